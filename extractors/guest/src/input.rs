//! What goes in: a page's bytes and what is known about them.

use serde::{Deserialize, Serialize};

/// What is known of a page besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// Address that relative links are resolved against; the page's own `<base>` goes before it.
    pub base_url: Option<String>,
    /// Charset label from outside, as a `Content-Type` header has it.
    pub charset: Option<String>,
    /// Whether [`Document::html`](crate::Document::html) is wanted.
    pub html: bool,
}

//! What comes out: one page as structured content.
//!
//! The same types leave the sandbox, the library, the command line and later HTTP. Field order is the order
//! in JSON. Adding a field changes the layout across the sandbox and needs a new [`crate::ABI_VERSION`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::Json;

/// One page as structured content. Strings are trimmed; what is not known is `None` or empty, never invented.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The page's own canonical address, else the one it was asked for under.
    pub url: Option<String>,
    /// Title of the content, without the site's name where that can be told apart.
    pub title: Option<String>,
    /// Authors' names, in the order found.
    pub authors: Vec<String>,
    /// When it was published, as the page writes it (mostly ISO 8601).
    pub published: Option<String>,
    /// When it was last changed, as the page writes it.
    pub modified: Option<String>,
    /// BCP 47 tag, as declared.
    pub language: Option<String>,
    /// Name of the site.
    pub site_name: Option<String>,
    /// The page's own summary.
    pub description: Option<String>,
    /// What kind of page it is.
    pub page_type: PageType,
    /// The content as GitHub-flavoured Markdown, links absolute.
    pub markdown: String,
    /// The content as plain text: blocks on lines of their own, no markup.
    pub text: String,
    /// The content as clean HTML, if it was asked for.
    pub html: Option<String>,
    /// Links of the whole page in document order, each address once.
    pub links: Vec<Link>,
    /// Images of the content.
    pub images: Vec<Image>,
    /// Data tables of the content; tables that only lay out are not among them.
    pub tables: Vec<Table>,
    /// What the page says about itself.
    pub metadata: Metadata,
    /// Words of `text`; each CJK character counts as one.
    pub word_count: u32,
    /// How far the content can be trusted to be the page's content, 0 (empty) to 1.
    pub quality: f32,
    /// The charset that the bytes were decoded with, by its WHATWG name.
    pub charset: String,
}

/// What kind of page it is, as far as can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageType {
    /// One text with an author's voice: news, blog, encyclopaedia.
    Article,
    /// Reference and manuals.
    Documentation,
    /// A discussion.
    Forum,
    /// One thing for sale.
    Product,
    /// Many like things, each with a link of its own.
    Listing,
    /// None of these, or not to be told.
    #[default]
    Other,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Absolute address; relative only if there was no base to resolve it against.
    pub href: String,
    /// What it says.
    pub text: String,
    /// Its `rel`, as written.
    pub rel: Option<String>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Absolute address; relative only if there was no base to resolve it against.
    pub src: String,
    /// Its alternative text, empty if it has none.
    pub alt: String,
}

/// One data table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its header cells, empty if it has no header row.
    pub header: Vec<String>,
    /// Its rows; shorter ones are as short as they are in the page.
    pub rows: Vec<Vec<String>>,
}

/// What the page says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// `og:*`, `article:*` and the like, by their full name; the first one wins.
    pub open_graph: BTreeMap<String, String>,
    /// The JSON-LD blocks that parse.
    pub json_ld: Vec<Json>,
    /// All other `<meta name>` values; the first one wins.
    pub meta: BTreeMap<String, String>,
}

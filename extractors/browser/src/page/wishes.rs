//! What one request wants otherwise than the rest.

use bytes::Bytes;
use chromiumoxide_cdp::cdp::browser_protocol::emulation::{
    SetLocaleOverrideParams, SetTimezoneOverrideParams, SetUserAgentOverrideParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::network::{SetBlockedUrLsParams, SetExtraHttpHeadersParams};

/// What dialogs are answered with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) accept: bool,
    pub(crate) text: Option<String>,
}

/// What a request wants otherwise than the rest, and what holds in every process that shows a part of the page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) no_scripts: bool,
    pub(crate) block: Option<SetBlockedUrLsParams>,
    pub(crate) identity: Option<SetUserAgentOverrideParams>,
    pub(crate) headers: Option<SetExtraHttpHeadersParams>,
    pub(crate) locale: Option<SetLocaleOverrideParams>,
    pub(crate) timezone: Option<SetTimezoneOverrideParams>,
}

/// A document that is answered from memory.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) html: Bytes,
    pub(crate) content_type: String,
}

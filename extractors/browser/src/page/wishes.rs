//! What one request wants otherwise than the rest.

use bytes::Bytes;
use chromiumoxide_cdp::cdp::browser_protocol::browser::BrowserContextId;
use chromiumoxide_cdp::cdp::browser_protocol::emulation::{
    SetLocaleOverrideParams, SetTimezoneOverrideParams, SetUserAgentOverrideParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::network::{SetBlockedUrLsParams, SetExtraHttpHeadersParams};
use chromiumoxide_types::{Command, Method, MethodId};
use serde::{Deserialize, Serialize};

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

/// What pages of a context may do with the machine besides showing themselves: with the list of what is granted, all the rest is
/// denied, now and without a question that nobody would see.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Permissions {
    permissions: Vec<String>,
    browser_context_id: BrowserContextId,
}

impl Permissions {
    /// Nothing is granted.
    pub(crate) fn none(context: &str) -> Self {
        Self { permissions: Vec::new(), browser_context_id: BrowserContextId::from(context.to_owned()) }
    }
}

impl Method for Permissions {
    fn identifier(&self) -> MethodId {
        "Browser.grantPermissions".into()
    }
}

impl Command for Permissions {
    type Response = Granted;
}

/// That it holds.
#[derive(Debug, Deserialize)]
pub(crate) struct Granted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted() {
        let asked = Permissions::none("C");
        let text = serde_json::to_string(&asked).expect("it is JSON");
        assert_eq!(text, r#"{"permissions":[],"browserContextId":"C"}"#);
        assert_eq!(asked.identifier(), "Browser.grantPermissions");
    }
}

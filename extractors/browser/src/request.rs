//! What is asked of a browser, and what comes of it.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::actions::{Action, Outcome};

/// Where a page comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderSource {
    /// From the web.
    Url(String),
    /// From memory, as if it had come from `url`.
    Html {
        /// The page.
        html: Bytes,
        /// Where it is said to come from. Default: from nowhere, and only what has an address of its own can be loaded.
        url: Option<String>,
        /// Its content type. Default `text/html`, and the page itself says how it is encoded.
        content_type: Option<String>,
    },
}

/// A window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Viewport {
    /// CSS pixels across.
    pub width: u32,
    /// CSS pixels down.
    pub height: u32,
    /// Pixels of a picture per CSS pixel.
    pub scale: f64,
}

impl Default for Viewport {
    fn default() -> Self {
        Self { width: 1280, height: 800, scale: 1.0 }
    }
}

/// What is waited for before the actions, or before the content is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Until nothing that matters is going on any more.
    #[default]
    Settled,
    /// Until an element can be seen.
    Selector(String),
    /// Until an expression of JavaScript is true.
    Function(String),
    /// Until a response has come whose URL contains this.
    Response(String),
    /// Until the document has been parsed.
    DomContentLoaded,
    /// Until everything that the document names has been loaded.
    Load,
    /// Until at most two requests have been open for half a second, as the browser counts them.
    NetworkAlmostIdle,
    /// Until no request has been open for half a second, as the browser counts them.
    NetworkIdle,
    /// For so long after the document was parsed.
    Time(Duration),
}

impl FromStr for Wait {
    type Err = String;

    /// As it is written on command lines and in requests: `settled`, `selector:main`, `time:250` and so on.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
        match (name, value.filter(|value| !value.is_empty())) {
            ("settled", None) => Ok(Self::Settled),
            ("load", None) => Ok(Self::Load),
            ("dom", None) => Ok(Self::DomContentLoaded),
            ("networkidle", None) => Ok(Self::NetworkIdle),
            ("networkalmostidle", None) => Ok(Self::NetworkAlmostIdle),
            ("selector", Some(selector)) => Ok(Self::Selector(selector.to_owned())),
            ("function", Some(script)) => Ok(Self::Function(script.to_owned())),
            ("response", Some(part)) => Ok(Self::Response(part.to_owned())),
            ("time", Some(millis)) => millis
                .parse()
                .map(|millis| Self::Time(Duration::from_millis(millis)))
                .map_err(|_| format!("{millis} is no number of milliseconds")),
            _ => Err("settled, load, dom, networkidle, networkalmostidle, selector:CSS, function:JS, response:PART-OF-URL and \
                      time:MILLISECONDS are known"
                .to_owned()),
        }
    }
}

/// A cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that it belongs to. Default: the page's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Its path. Default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether it goes over https alone.
    #[serde(default)]
    pub secure: bool,
    /// Whether scripts do not see it.
    #[serde(default)]
    pub http_only: bool,
    /// When it ends, in seconds since 1970. Default: with the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// The format of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureFormat {
    /// Without loss.
    #[default]
    Png,
    /// Small, for photographs.
    Jpeg,
    /// Smaller.
    Webp,
}

/// A picture of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Screenshot {
    /// The whole page, not only what the window shows.
    pub full_page: bool,
    /// Only this element.
    pub selector: Option<String>,
    /// Its format.
    pub format: PictureFormat,
}

/// What is asked of a browser.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderRequest {
    /// Where the page comes from.
    pub source: RenderSource,
    /// How it is rendered.
    pub options: RenderOptions,
}

/// How a page is rendered, and what is wanted of it. By default its content, once it has settled.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderOptions {
    /// The window. Default 1280 by 800.
    pub viewport: Viewport,
    /// What the browser calls itself. Default: its own name.
    pub user_agent: Option<String>,
    /// Headers of all requests besides the usual ones.
    pub headers: Vec<(String, String)>,
    /// Cookies that are there from the start.
    pub cookies: Vec<Cookie>,
    /// Language and region, such as `de-CH`. Default `en-US`.
    pub locale: Option<String>,
    /// Time zone, such as `Europe/Zurich`. Default: the machine's.
    pub timezone: Option<String>,
    /// Whether scripts run. Default they do.
    pub javascript: bool,
    /// Whether advertisements, trackers and media are left out. Default they are.
    pub block_defaults: bool,
    /// URL patterns that are left out besides, such as `*://*.example.com/*`.
    pub block: Vec<String>,
    /// What is waited for. Default: until the page has settled.
    pub wait: Wait,
    /// How long that may take; then the page is taken as it is. Default 10 s.
    pub settle_cap: Duration,
    /// What is done with the page.
    pub actions: Vec<Action>,
    /// A picture at the end.
    pub screenshot: Option<Screenshot>,
    /// The page as a PDF at the end.
    pub pdf: bool,
    /// Whether the content is wanted. Default it is.
    pub html: bool,
    /// Whether the HTML is wanted as it is, besides what is extracted from it.
    pub raw: bool,
    /// Whether what the page tells the console is wanted.
    pub console: bool,
    /// Whether a log of its requests is wanted.
    pub network: bool,
    /// Whether the cookies are wanted that are there at the end.
    pub with_cookies: bool,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            viewport: Viewport::default(),
            user_agent: None,
            headers: Vec::new(),
            cookies: Vec::new(),
            locale: None,
            timezone: None,
            javascript: true,
            block_defaults: true,
            block: Vec::new(),
            wait: Wait::Settled,
            settle_cap: Duration::from_secs(10),
            actions: Vec::new(),
            screenshot: None,
            pdf: false,
            html: true,
            raw: false,
            console: false,
            network: false,
            with_cookies: false,
        }
    }
}

impl RenderRequest {
    /// What makes no sense about it, if anything.
    ///
    /// # Errors
    /// A sentence that names it.
    pub fn check(&self) -> Result<(), String> {
        match &self.source {
            RenderSource::Url(url) => drop(address(url)?),
            RenderSource::Html { url: Some(url), .. } => drop(address(url)?),
            RenderSource::Html { url: None, .. } => {}
        }
        self.options.check()
    }
}

impl RenderRequest {
    /// Where a page has to go that needs nothing else than all pages before it does.
    pub(crate) fn plain_address(&self) -> Option<&str> {
        let RenderSource::Url(url) = &self.source else { return None };
        self.options.begin_as_usual().then_some(url)
    }
}

/// The longest that an action may take.
const LONGEST: Duration = Duration::from_secs(60 * 60);

impl RenderOptions {
    /// Whether they ask for something that only a browser brings, whatever the page is like: something done with it, or a picture, a
    /// PDF, the HTML as it is shown, what it says or asks for, its cookies.
    #[must_use]
    pub fn need_a_browser(&self) -> bool {
        let brings = self.screenshot.is_some() || self.pdf || self.raw || self.console || self.network || self.with_cookies;
        brings || !self.actions.is_empty()
    }

    /// Whether the browser has nothing to be told of them before the page begins to load.
    fn begin_as_usual(&self) -> bool {
        let Self {
            viewport,
            user_agent,
            headers,
            cookies,
            locale,
            timezone,
            javascript,
            block_defaults,
            block,
            // What is seen to while it loads, and later.
            wait: _,
            settle_cap: _,
            actions: _,
            screenshot: _,
            pdf: _,
            html: _,
            raw: _,
            console: _,
            network: _,
            with_cookies: _,
        } = self;
        let identity = user_agent.is_none() && locale.is_none() && timezone.is_none() && *viewport == Viewport::default();
        identity && headers.is_empty() && cookies.is_empty() && *javascript && *block_defaults && block.is_empty()
    }

    /// What makes no sense about them, if anything.
    ///
    /// # Errors
    /// A sentence that names it.
    pub fn check(&self) -> Result<(), String> {
        let Viewport { width, height, scale } = self.viewport;
        if !(1..=10_000).contains(&width) || !(1..=10_000).contains(&height) || !(0.1..=8.0).contains(&scale) {
            return Err("a window is 1 to 10000 pixels across and down, at a scale of 0.1 to 8".to_owned());
        }
        let longest = match self.wait {
            Wait::Time(time) => time.max(self.settle_cap),
            Wait::Settled
            | Wait::Selector(_)
            | Wait::Function(_)
            | Wait::Response(_)
            | Wait::DomContentLoaded
            | Wait::Load
            | Wait::NetworkAlmostIdle
            | Wait::NetworkIdle => self.settle_cap,
        };
        if longest > Duration::from_secs(24 * 60 * 60) || self.actions.iter().any(|action| action.timeout > LONGEST) {
            return Err("nothing is waited for longer than a day, and no action for longer than an hour".to_owned());
        }
        if self.actions.len() > crate::actions::MOST {
            return Err(format!("{} actions are more than {}", self.actions.len(), crate::actions::MOST));
        }
        if self.headers.iter().any(|(name, value)| !is_header(name) || value.contains(['\r', '\n', '\0'])) {
            return Err("a header has a name that is a token, and a value of one line".to_owned());
        }
        if self.block.len() > 1_000 {
            return Err("more than 1000 patterns are to be left out".to_owned());
        }
        Ok(())
    }
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// An address that a page may have: http or https, nothing of the machine's own.
pub(crate) fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text} is no URL: {error}"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(format!("{text} is neither http nor https")) }
}

/// Why waiting has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettleReason {
    /// Nothing that matters went on any more.
    Settled,
    /// Only requests were open that have been open for long, beside a page that stands.
    Patience,
    /// What was waited for came.
    Came,
    /// The time was up.
    Cap,
}

/// How waiting has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Why.
    pub reason: SettleReason,
    /// Milliseconds from the start of the navigation.
    pub ms: u64,
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The action that asked for it, from 0; none is the picture at the end.
    pub action: Option<usize>,
    /// Its format.
    pub format: PictureFormat,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a page told the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleMessage {
    /// `log`, `warning`, `error`, `exception` and so on.
    pub level: String,
    /// What it said.
    pub text: String,
}

/// A request that a page made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkEntry {
    /// What it asked for.
    pub url: String,
    /// How.
    pub method: String,
    /// For what: `Document`, `Script`, `Fetch` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The answer's status, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Bytes on the wire.
    pub bytes: u64,
}

/// A dialog that came up, and was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// `alert`, `confirm`, `prompt` or `beforeunload`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it said.
    pub message: String,
    /// Whether it was accepted.
    pub accepted: bool,
}

/// Content that an action took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extract {
    /// As it was called.
    pub name: String,
    /// The page then.
    pub html: String,
    /// Its address then.
    pub url: String,
}

/// How long the parts of a rendering took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderTiming {
    /// Until there was a page to load it into.
    pub page: Duration,
    /// From the navigation until the page had settled.
    pub load: Duration,
    /// The actions.
    pub actions: Duration,
    /// All of it.
    pub total: Duration,
}

/// A page, rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Its content, as HTML. Open shadow roots and frames are part of it. In a reply it is empty unless it was asked for by
    /// [`RenderOptions::raw`].
    pub html: String,
    /// Where it was in the end.
    pub url: String,
    /// The status it came with.
    pub status: Option<u16>,
    /// What it said it was.
    pub content_type: Option<String>,
    /// What its answer said of how long it may be kept: names in lower case, one entry for each line. Those are `cache-control`,
    /// `expires`, `date`, `age`, `etag`, `last-modified`, `vary` and `pragma`; no answer shows them. Empty if the page did not come
    /// from the web.
    pub headers: Vec<(String, String)>,
    /// How waiting has ended.
    pub settled: Settled,
    /// What has come of each action.
    pub outcomes: Vec<Outcome>,
    /// Pictures, in the order in which they were taken.
    pub pictures: Vec<Picture>,
    /// The page as a PDF.
    pub pdf: Option<Vec<u8>>,
    /// Content that actions took.
    pub extracts: Vec<Extract>,
    /// What it told the console.
    pub console: Vec<ConsoleMessage>,
    /// Its requests.
    pub network: Vec<NetworkEntry>,
    /// The cookies that were there at the end.
    pub cookies: Vec<Cookie>,
    /// Dialogs that came up.
    pub dialogs: Vec<Dialog>,
    /// Addresses of windows that it wanted to open, and that were closed.
    pub popups: Vec<String>,
    /// Addresses of files that it wanted to save, and that were refused.
    pub downloads: Vec<String>,
    /// How long it took.
    pub timing: RenderTiming,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_web_can_be_asked_for() {
        for good in ["http://example.com", "https://[::1]:8080/x?y#z"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["file:///etc/passwd", "chrome://version", "javascript:1", "about:blank", "data:text/html,x", "x", ""] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_waited_for_in_words() {
        assert_eq!("settled".parse(), Ok(Wait::Settled));
        assert_eq!("networkidle".parse(), Ok(Wait::NetworkIdle));
        assert_eq!("selector:a:hover".parse(), Ok(Wait::Selector("a:hover".to_owned())));
        assert_eq!("time:250".parse(), Ok(Wait::Time(Duration::from_millis(250))));
        for bad in ["", "settled:1", "selector:", "time:x", "networkidle:1", "idle"] {
            assert!(bad.parse::<Wait>().is_err(), "{bad}");
        }
    }

    #[test]
    fn requests_that_make_no_sense_are_refused() {
        let sound = RenderOptions::default();
        assert_eq!(sound.check(), Ok(()));
        let bad = [
            RenderOptions { viewport: Viewport { width: 0, ..Viewport::default() }, ..sound.clone() },
            RenderOptions { viewport: Viewport { scale: f64::NAN, ..Viewport::default() }, ..sound.clone() },
            RenderOptions { headers: vec![("a b".to_owned(), String::new())], ..sound.clone() },
            RenderOptions { headers: vec![("a".to_owned(), "b\r\nc".to_owned())], ..sound.clone() },
        ];
        for request in bad {
            assert!(request.check().is_err(), "{request:?}");
        }
    }
}

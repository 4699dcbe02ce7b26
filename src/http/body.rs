//! What comes in: bodies as they are written, and as the engine takes them.
//!
//! A field that is not known is refused by its name: nothing that was asked for is silently left out.

use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::Priority;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::incoming::{decoded, encoded};
use super::problem::{HttpFailure, Problem};
use crate::cache::Directives;
use crate::render::{Action, Cookie, PictureFormat, RenderOptions, Screenshot, Viewport, Wait};
use crate::request::{RenderMode, Request, Robots, Source};

/// One page to be extracted: its address, or what it is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtractBody {
    /// The page's address. One of `url`, `html` and `data` is needed.
    #[schema(example = "https://example.com/")]
    pub(crate) url: Option<String>,
    /// The page itself, as HTML.
    pub(crate) html: Option<String>,
    /// The page or PDF itself, in Base64.
    pub(crate) data: Option<String>,
    /// A file that came beside this.
    #[serde(skip)]
    pub(crate) file: Option<Bytes>,
    /// What relative links are resolved against. Default: the address that the page was found at.
    pub(crate) base_url: Option<String>,
    /// The charset, if it is known from outside.
    pub(crate) charset: Option<String>,
    /// The password of a PDF.
    pub(crate) password: Option<String>,
    /// Whether the content is wanted as clean HTML, too.
    #[serde(default)]
    pub(crate) with_html: bool,
    /// Whether the images of a PDF are wanted.
    #[serde(default)]
    pub(crate) with_images: bool,
    /// Whether a browser renders the page first.
    #[serde(default)]
    pub(crate) render: RenderWhen,
    /// How it does.
    pub(crate) browser: Option<BrowserBody>,
    /// Who is served first. Default `interactive`. Not for the pages of a batch or a crawl, which says it of all of them.
    pub(crate) priority: Option<PriorityBody>,
    /// Milliseconds for all of it, waiting included. Default: the daemon's.
    pub(crate) deadline_ms: Option<u64>,
    /// The oldest answer that is taken from what is kept, in milliseconds; 0 asks anew.
    pub(crate) max_age_ms: Option<u64>,
    /// How long past its time an answer that is kept is still taken, in milliseconds.
    pub(crate) max_stale_ms: Option<u64>,
    /// Whether nothing that is kept is taken, and nothing of this is kept.
    #[serde(default)]
    pub(crate) no_store: bool,
    /// The session whose cookies are sent and kept. What is asked for with one is not taken from what is kept.
    pub(crate) session: Option<String>,
    /// What is done about the site's robots.txt. Default: what the daemon does, which may not let it be ignored.
    pub(crate) robots: Option<RobotsBody>,
}

/// What is done about a site's robots.txt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RobotsBody {
    /// What it does not allow is not asked for.
    Honour,
    /// It is not looked at.
    Ignore,
}

/// Whether a browser renders the page first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RenderWhen {
    /// If it is empty without its scripts, or something is asked for that only a browser brings.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Who is served first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PriorityBody {
    /// Somebody waits.
    #[default]
    Interactive,
    /// Nobody waits: it is sent away first when memory is short.
    Batch,
}

/// How a page is rendered, and what is wanted of it besides its content.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrowserBody {
    /// The window. Default 1280 by 800, at a scale of 1.
    pub(crate) viewport: Option<ViewportBody>,
    /// What the browser calls itself.
    pub(crate) user_agent: Option<String>,
    /// Headers of all its requests, by name.
    #[serde(default)]
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    /// Cookies that are there from the start.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    pub(crate) cookies: Vec<CookieBody>,
    /// Language and region.
    #[schema(example = "de-CH")]
    pub(crate) locale: Option<String>,
    /// Time zone.
    #[schema(example = "Europe/Zurich")]
    pub(crate) timezone: Option<String>,
    /// Whether scripts run. Default they do.
    pub(crate) javascript: Option<bool>,
    /// Whether advertisements, trackers and media are left out. Default they are.
    pub(crate) block_defaults: Option<bool>,
    /// URL patterns that are left out besides.
    #[serde(default)]
    pub(crate) block: Vec<String>,
    /// What is waited for: settled, load, dom, networkidle, networkalmostidle, selector:CSS, function:JS,
    /// response:PART-OF-URL or time:MILLISECONDS. Default settled.
    #[schema(example = "selector:main")]
    pub(crate) wait: Option<String>,
    /// Milliseconds that this may take; then the page is taken as it is. Default 10,000.
    pub(crate) settle_cap_ms: Option<u64>,
    /// What is done with the page.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    pub(crate) actions: Vec<Action>,
    /// A picture at the end.
    pub(crate) screenshot: Option<PictureBody>,
    /// The page as a PDF at the end.
    #[serde(default)]
    pub(crate) pdf: bool,
    /// Whether the page's HTML is wanted as it is, besides what is extracted from it.
    #[serde(default)]
    pub(crate) raw_html: bool,
    /// Whether what the page tells the console is wanted.
    #[serde(default)]
    pub(crate) console: bool,
    /// Whether a log of its requests is wanted.
    #[serde(default)]
    pub(crate) network: bool,
    /// Whether the cookies are wanted that are there at the end.
    #[serde(default)]
    pub(crate) with_cookies: bool,
}

/// A window.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewportBody {
    /// CSS pixels across.
    width: u32,
    /// CSS pixels down.
    height: u32,
    /// Pixels of a picture per CSS pixel.
    #[serde(default = "one")]
    scale: f64,
}

fn one() -> f64 {
    1.0
}

/// A cookie, as it is asked for. One that comes back may say more in other versions; one that is sent must not.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CookieBody {
    name: String,
    value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default)]
    secure: bool,
    #[serde(default)]
    http_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

impl From<CookieBody> for Cookie {
    fn from(body: CookieBody) -> Self {
        let CookieBody { name, value, domain, path, secure, http_only, expires } = body;
        Self { name, value, domain, path, secure, http_only, expires }
    }
}

/// A picture of a page.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PictureBody {
    /// The whole page, not only what the window shows.
    #[serde(default)]
    full_page: bool,
    /// Only this element.
    selector: Option<String>,
    /// `png`, `jpeg` or `webp`.
    #[schema(value_type = String)]
    #[serde(default)]
    format: PictureFormat,
}

/// A page to be photographed.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScreenshotBody {
    /// The page's address. One of `url` and `html` is needed.
    url: Option<String>,
    /// The page itself, as HTML.
    html: Option<String>,
    /// Where the page is said to come from.
    base_url: Option<String>,
    /// What the picture shows.
    #[serde(default)]
    picture: PictureBody,
    /// How the page is rendered.
    browser: Option<BrowserBody>,
    /// Who is served first.
    #[serde(default)]
    priority: PriorityBody,
    /// Milliseconds for all of it.
    deadline_ms: Option<u64>,
    /// The session whose cookies are sent and kept.
    pub(crate) session: Option<String>,
    /// What is done about the site's robots.txt. Default: what the daemon does, which may not let it be ignored.
    robots: Option<RobotsBody>,
}

impl ExtractBody {
    /// Who is served first.
    pub(crate) fn priority(&self) -> PriorityBody {
        self.priority.unwrap_or_default()
    }

    /// As it can be written down: a file becomes text.
    pub(crate) fn settled(mut self) -> Self {
        if let Some(file) = self.file.take() {
            self.data = Some(encoded(&file));
        }
        self.priority = Some(self.priority());
        self
    }

    /// As the engine takes it.
    pub(crate) fn request(self) -> Result<Request, Problem> {
        let priority = self.priority();
        let source = match (self.url, self.html, self.data, self.file) {
            (Some(url), None, None, None) => Source::Url(url),
            (None, Some(html), None, None) => Source::Bytes(html.into()),
            (None, None, Some(data), None) => {
                Source::Bytes(decoded(&data).map_err(|error| senseless("/data", format!("is no Base64: {error}")))?)
            }
            (None, None, None, Some(file)) => Source::Bytes(file),
            _ => return Err(Problem::http(HttpFailure::Semantics, "exactly one of url, html, data and a file is needed")),
        };
        let mut request = Request::new(source).priority(priority.into());
        if let Some(base_url) = self.base_url {
            let base = url::Url::parse(&base_url).ok().filter(|url| !url.cannot_be_a_base());
            request = request.base_url(base.ok_or_else(|| senseless("/base_url", "is no URL that others can be relative to"))?);
        }
        if self.session.is_some() {
            // Whoever knows of sessions has taken it.
            return Err(senseless("/session", "makes no sense here"));
        }
        if let Some(robots) = self.robots {
            request = request.robots(robots.into());
        }
        if let Some(charset) = self.charset {
            request = request.charset(charset);
        }
        if let Some(password) = self.password {
            request = request.password(password);
        }
        if self.with_html {
            request = request.with_html();
        }
        if self.with_images {
            request = request.with_images();
        }
        if let Some(millis) = self.deadline_ms {
            request = request.deadline(deadline(millis)?);
        }
        request = request.cache(Directives {
            max_age: self.max_age_ms.map(Duration::from_millis),
            max_stale: self.max_stale_ms.map(Duration::from_millis),
            no_store: self.no_store,
            only_if_cached: false,
        });
        let asked = self.browser.is_some();
        let options = self.browser.unwrap_or_default().options()?;
        let mode = match self.render {
            RenderWhen::Never if asked => {
                return Err(senseless("/browser", "says how to render a page that is never rendered"));
            }
            RenderWhen::Never => RenderMode::Never,
            // Whoever wants something done with the page, or a picture of it, wants it rendered; the request sees to that.
            RenderWhen::Auto => RenderMode::Auto,
            RenderWhen::Always => RenderMode::Always,
        };
        Ok(request.rendered(mode, options))
    }
}

impl ScreenshotBody {
    /// As the engine takes it.
    pub(crate) fn request(self) -> Result<Request, Problem> {
        let mut browser = self.browser.unwrap_or_default();
        if browser.screenshot.is_some() {
            return Err(senseless("/browser/screenshot", "is said twice; picture says it here"));
        }
        browser.screenshot = Some(self.picture);
        let body = ExtractBody {
            url: self.url,
            html: self.html,
            base_url: self.base_url,
            render: RenderWhen::Always,
            browser: Some(browser),
            priority: Some(self.priority),
            deadline_ms: self.deadline_ms,
            session: self.session,
            robots: self.robots,
            ..ExtractBody::default()
        };
        body.request()
    }
}

impl BrowserBody {
    fn options(self) -> Result<RenderOptions, Problem> {
        let defaults = RenderOptions::default();
        let wait = match self.wait {
            Some(wait) => wait.parse::<Wait>().map_err(|why| senseless("/browser/wait", why))?,
            None => defaults.wait,
        };
        let options = RenderOptions {
            viewport: self.viewport.map_or(defaults.viewport, |size| Viewport {
                width: size.width,
                height: size.height,
                scale: size.scale,
            }),
            user_agent: self.user_agent,
            headers: self.headers.into_iter().collect(),
            cookies: self.cookies.into_iter().map(Cookie::from).collect(),
            locale: self.locale,
            timezone: self.timezone,
            javascript: self.javascript.unwrap_or(defaults.javascript),
            block_defaults: self.block_defaults.unwrap_or(defaults.block_defaults),
            block: self.block,
            wait,
            settle_cap: self.settle_cap_ms.map_or(defaults.settle_cap, Duration::from_millis),
            actions: self.actions,
            screenshot: self.screenshot.map(|picture| Screenshot {
                full_page: picture.full_page,
                selector: picture.selector,
                format: picture.format,
            }),
            pdf: self.pdf,
            html: defaults.html,
            raw: self.raw_html,
            console: self.console,
            network: self.network,
            with_cookies: self.with_cookies,
        };
        options.check().map_err(|why| senseless("/browser", why))?;
        Ok(options)
    }
}

impl From<RobotsBody> for Robots {
    fn from(robots: RobotsBody) -> Self {
        match robots {
            RobotsBody::Honour => Self::Honour,
            RobotsBody::Ignore => Self::Ignore,
        }
    }
}

impl From<PriorityBody> for Priority {
    fn from(priority: PriorityBody) -> Self {
        match priority {
            PriorityBody::Interactive => Self::Interactive,
            PriorityBody::Batch => Self::Batch,
        }
    }
}

/// A deadline in milliseconds, which is none at zero.
pub(super) fn deadline(millis: u64) -> Result<Duration, Problem> {
    let deadline = Duration::from_millis(millis);
    if deadline.is_zero() { Err(senseless("/deadline_ms", "leaves no time at all")) } else { Ok(deadline) }
}

fn senseless(pointer: &str, detail: impl Into<String>) -> Problem {
    let detail = detail.into();
    Problem::http(HttpFailure::Semantics, format!("{} {detail}", pointer.trim_start_matches('/').replace('/', ".")))
        .at(pointer, detail)
}

/// A body of JSON, whose faults are told by the place where they are.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader);
    let parsed = parsed.map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            Problem::http(HttpFailure::Semantics, inner.to_string()).at(pointer, inner.to_string())
        } else {
            Problem::http(HttpFailure::Syntax, inner.to_string())
        }
    })?;
    reader.end().map_err(|error| Problem::http(HttpFailure::Syntax, error.to_string()))?;
    Ok(parsed)
}

/// A path as a JSON Pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { variant } => pointer.push_str(&format!("/{variant}")),
            Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(text: &str) -> Result<Request, Problem> {
        json::<ExtractBody>(text.as_bytes()).and_then(ExtractBody::request)
    }

    fn told(text: &str) -> (u16, serde_json::Value) {
        let problem = extract(text).expect_err(text);
        (problem.status().as_u16(), serde_json::to_value(&problem).expect("it is JSON"))
    }

    #[test]
    fn a_body_is_taken_as_it_is_meant() {
        let request = extract(r#"{"url": "https://example.com/"}"#).expect("it is one");
        assert_eq!(request.mode, RenderMode::Auto);
        let request = extract(r#"{"html": "<p>x", "browser": {"screenshot": {}}}"#).expect("it is one");
        assert_eq!(request.mode, RenderMode::Always);
        let request = extract(r#"{"data": "JVBERi0=", "render": "never", "priority": "batch"}"#).expect("it is one");
        assert_eq!((request.mode, request.priority), (RenderMode::Never, Priority::Batch));
        assert!(matches!(request.source, Source::Bytes(bytes) if &bytes[..] == b"%PDF-"));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        let cases = [
            (r"{", 400, ""),
            (r#"{"url": "https://example.com/"} x"#, 400, ""),
            (r#"{}"#, 422, ""),
            (r#"{"url": "a", "html": "b"}"#, 422, ""),
            (r#"{"url": "a", "colour": 1}"#, 422, "/colour"),
            (r#"{"url": "a", "browser": {"viewport": {"width": "x", "height": 1}}}"#, 422, "/browser/viewport/width"),
            (r#"{"url": "a", "browser": {"viewport": {"width": 1, "height": 1, "depth": 1}}}"#, 422, "/browser/viewport/depth"),
            (
                r#"{"url": "a", "browser": {"cookies": [{"name": "a", "value": "b", "httpOnly": true}]}}"#,
                422,
                "/browser/cookies/0",
            ),
            (r#"{"url": "a", "browser": {"wait": "never"}}"#, 422, "/browser/wait"),
            (r#"{"url": "a", "browser": {"actions": [{"action": "dance"}]}}"#, 422, "/browser/actions/0"),
            (r#"{"url": "a", "deadline_ms": 0}"#, 422, "/deadline_ms"),
            (r#"{"data": "%"}"#, 422, "/data"),
            (r#"{"url": "a", "base_url": "b"}"#, 422, "/base_url"),
            (r#"{"url": "a", "render": "never", "browser": {}}"#, 422, "/browser"),
        ];
        for (text, status, pointer) in cases {
            let (told, problem) = told(text);
            assert_eq!(told, status, "{text}");
            if !pointer.is_empty() {
                let found = problem["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
                assert!(found.starts_with(pointer), "{text}: {problem}");
            }
        }
        assert!(told(r#"{"url": "a", "colour": 1}"#).1["detail"].as_str().expect("text").contains("colour"));
    }
}

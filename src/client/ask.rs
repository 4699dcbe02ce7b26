//! A request as a daemon takes it. Pure, but for the line that parts a form.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::Priority;
use eventmesh_extractors::pdf::Password;
use serde::Serialize;

use crate::error::{Error, ErrorKind};
use crate::render::{Action, Cookie, PictureFormat, RenderOptions, Viewport, Wait};
use crate::request::{RenderMode, Request, Robots, Source};

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) path: &'static str,
    /// With its media type.
    pub(super) body: Option<(String, Bytes)>,
}

/// Field by field what the API documents.
#[derive(Serialize)]
struct Options<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charset: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'r Password>,
    with_html: bool,
    with_images: bool,
    render: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    browser: Option<Browser<'r>>,
    priority: &'static str,
    deadline_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_stale_ms: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_store: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    robots: Option<&'static str>,
}

#[derive(Serialize)]
struct Browser<'r> {
    viewport: Viewport,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'r str>,
    headers: BTreeMap<&'r str, &'r str>,
    cookies: &'r [Cookie],
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<&'r str>,
    javascript: bool,
    block_defaults: bool,
    block: &'r [String],
    wait: String,
    settle_cap_ms: u64,
    actions: &'r [Action],
    #[serde(skip_serializing_if = "Option::is_none")]
    screenshot: Option<Picture<'r>>,
    pdf: bool,
    raw_html: bool,
    console: bool,
    network: bool,
    with_cookies: bool,
}

#[derive(Serialize)]
struct Picture<'r> {
    full_page: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<&'r str>,
    format: PictureFormat,
}

/// What to send for `request`, whose page is `page` if it is not to be fetched there.
pub(super) fn ask(request: &Request, page: Option<&Bytes>, within: Duration) -> Result<Ask, Error> {
    if request.render.is_some() {
        return Err(Error::new(ErrorKind::InvalidRequest, "a daemon draws no pages of PDFs; an engine here does"));
    }
    let options = Options {
        url: match &request.source {
            Source::Url(url) => Some(url),
            Source::Bytes(_) | Source::Path(_) => None,
        },
        base_url: request.base_url.as_deref(),
        charset: request.charset.as_deref(),
        password: request.password.as_ref(),
        with_html: request.html,
        with_images: request.images,
        render: match request.mode {
            RenderMode::Never => "never",
            RenderMode::Auto => "auto",
            RenderMode::Always => "always",
        },
        browser: match request.mode {
            RenderMode::Never => None,
            RenderMode::Auto | RenderMode::Always => Some(browser(&request.options)),
        },
        priority: match request.priority {
            Priority::Interactive => "interactive",
            Priority::Batch => "batch",
        },
        deadline_ms: millis(within),
        max_age_ms: request.cache.max_age.map(millis),
        max_stale_ms: request.cache.max_stale.map(millis),
        no_store: request.cache.no_store,
        robots: request.robots.map(|robots| match robots {
            Robots::Honour => "honour",
            Robots::Ignore => "ignore",
        }),
    };
    let options = serde_json::to_vec(&options)
        .map_err(|error| Error::new(ErrorKind::Internal, "the request cannot be written down").caused_by(error))?;
    let body = match page {
        None => ("application/json".to_owned(), options.into()),
        Some(page) => form(&options, page, &boundary()),
    };
    Ok(Ask { path: "/v1/extract", body: Some(body) })
}

fn browser(options: &RenderOptions) -> Browser<'_> {
    Browser {
        viewport: options.viewport,
        user_agent: options.user_agent.as_deref(),
        // The last of several with the same name counts, as it does for the browser.
        headers: options.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        cookies: &options.cookies,
        locale: options.locale.as_deref(),
        timezone: options.timezone.as_deref(),
        javascript: options.javascript,
        block_defaults: options.block_defaults,
        block: &options.block,
        wait: written(&options.wait),
        settle_cap_ms: millis(options.settle_cap),
        actions: &options.actions,
        screenshot: options.screenshot.as_ref().map(|picture| Picture {
            full_page: picture.full_page,
            selector: picture.selector.as_deref(),
            format: picture.format,
        }),
        pdf: options.pdf,
        raw_html: options.raw,
        console: options.console,
        network: options.network,
        with_cookies: options.with_cookies,
    }
}

/// What is waited for, in words.
fn written(wait: &Wait) -> String {
    match wait {
        Wait::Settled => "settled".to_owned(),
        Wait::Selector(selector) => format!("selector:{selector}"),
        Wait::Function(script) => format!("function:{script}"),
        Wait::Response(part) => format!("response:{part}"),
        Wait::DomContentLoaded => "dom".to_owned(),
        Wait::Load => "load".to_owned(),
        Wait::NetworkAlmostIdle => "networkalmostidle".to_owned(),
        Wait::NetworkIdle => "networkidle".to_owned(),
        Wait::Time(time) => format!("time:{}", time.as_millis()),
    }
}

/// Whole milliseconds, never fewer: nothing that takes time takes none.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A line that no page holds, as far as anybody can guess.
fn boundary() -> String {
    format!("eventmesh-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

/// A form of the page, as it is, and what there is to say of it.
fn form(options: &[u8], page: &[u8], boundary: &str) -> (String, Bytes) {
    let mut body = Vec::with_capacity(page.len() + options.len() + 512);
    let mut part = |head: &str, bytes: &[u8]| {
        body.extend_from_slice(format!("--{boundary}\r\ncontent-disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    };
    part("name=\"options\"\r\ncontent-type: application/json", options);
    part("name=\"file\"; filename=\"page\"", page);
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sent(request: &Request) -> Value {
        let ask = ask(request, None, Duration::from_micros(1_500)).expect("it can be asked");
        serde_json::from_slice(&ask.body.expect("a body").1).expect("it is JSON")
    }

    #[test]
    fn a_request_is_sent_as_it_is_meant() {
        let request = Request::url("https://example.com/").password("sesame").priority(Priority::Batch);
        let expected = json!({
            "url": "https://example.com/", "password": "sesame", "with_html": false, "with_images": false, "render": "never",
            "priority": "batch", "deadline_ms": 2,
        });
        assert_eq!(sent(&request), expected);
        let options = RenderOptions {
            headers: vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())],
            settle_cap: Duration::from_millis(300),
            ..RenderOptions::default()
        };
        let sent = sent(&request.rendered(RenderMode::Always, options).robots(Robots::Honour));
        assert_eq!(sent["robots"], "honour");
        assert_eq!((&sent["render"], &sent["browser"]["headers"]), (&json!("always"), &json!({ "a": "2" })));
        assert_eq!((&sent["browser"]["settle_cap_ms"], &sent["browser"]["wait"]), (&json!(300), &json!("settled")));
    }

    /// Whatever is written here is understood there.
    #[test]
    fn what_is_waited_for_is_read_as_it_is_written() {
        for text in
            ["settled", "load", "dom", "networkidle", "networkalmostidle", "selector:a:b", "function:x", "response:y", "time:5"]
        {
            assert_eq!(written(&text.parse().expect(text)), text);
        }
    }

    #[test]
    fn a_page_goes_as_it_is() {
        let (kind, body) = form(b"{}", b"\r\n--x\0", "b");
        assert_eq!(kind, "multipart/form-data; boundary=b");
        let expected: &[u8] =
            b"--b\r\ncontent-disposition: form-data; name=\"options\"\r\ncontent-type: application/json\r\n\r\n{}\r\n\
            --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"page\"\r\n\r\n\r\n--x\0\r\n--b--\r\n";
        assert_eq!(&body[..], expected);
    }
}

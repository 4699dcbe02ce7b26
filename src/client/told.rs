//! What a daemon says, as an engine here would have said it. Pure.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::Address;
use crate::error::{Error, ErrorKind};
use crate::gate::RouteTaken;
use crate::render::{
    ConsoleMessage, Cookie, Dialog, NetworkEntry, Outcome, Picture, PictureFormat, RenderTiming, Rendered, Settled,
};
use crate::reply::{Answer, Head, Timing};
use eventmesh_extractors::{Document, Page};

/// An answer of HTTP, whole.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer, and whether it is worth asking again.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    /// When, if it is.
    pub(crate) again: Option<Duration>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, again: None }
    }
}

/// A daemon that is not there is started again by whoever looks after it.
const BACK: Duration = Duration::from_secs(1);

/// The daemon could not be asked, or did not say all.
pub(super) fn lost(message: String, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Refusal {
    Refusal { error: Error::new(ErrorKind::Unavailable, message).caused_by(error), again: Some(BACK) }
}

/// What a daemon can do, as far as it is needed here.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Abilities {
    pub(super) limits: Limits,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Limits {
    pub(super) body_bytes: u64,
    pub(super) page_bytes: u64,
}

pub(super) fn abilities(said: &Said) -> Result<Abilities, Refusal> {
    understood(said)
}

fn understood<T: DeserializeOwned>(said: &Said) -> Result<T, Refusal> {
    serde_json::from_slice(&said.body).map_err(|error| {
        let message = format!("the daemon's answer is not understood, its version may be another one: {error}");
        Error::new(ErrorKind::Internal, message).caused_by(error).into()
    })
}

#[derive(Deserialize)]
struct Written {
    url: Option<String>,
    status: Option<u16>,
    content_type: Option<String>,
    bytes: usize,
    route: Option<Box<RouteTaken>>,
    document: Document,
    #[serde(default)]
    pages: Vec<Page>,
    rendered: Option<WrittenRendered>,
    #[serde(default)]
    extracts: Vec<Named>,
    timing: WrittenTiming,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    document: Document,
}

#[derive(Deserialize)]
struct WrittenTiming {
    total_ms: f64,
    fetch_ms: f64,
    wait_ms: f64,
    extract_ms: f64,
}

#[derive(Deserialize)]
struct WrittenRendered {
    url: String,
    status: Option<u16>,
    settled: Settled,
    #[serde(default)]
    actions: Vec<Outcome>,
    #[serde(default)]
    pictures: Vec<WrittenPicture>,
    #[serde(default)]
    pdf: Option<InBase64>,
    #[serde(default)]
    html: String,
    #[serde(default)]
    console: Vec<ConsoleMessage>,
    #[serde(default)]
    network: Vec<NetworkEntry>,
    #[serde(default)]
    cookies: Vec<Cookie>,
    #[serde(default)]
    dialogs: Vec<Dialog>,
    #[serde(default)]
    popups: Vec<String>,
    #[serde(default)]
    downloads: Vec<String>,
}

#[derive(Deserialize)]
struct WrittenPicture {
    action: Option<usize>,
    format: PictureFormat,
    data: InBase64,
}

struct InBase64(Vec<u8>);

impl<'de> Deserialize<'de> for InBase64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The answer that has come.
pub(super) fn answer(said: &Said) -> Result<Answer, Refusal> {
    let mut written: Written = understood(said)?;
    written.document.pages.append(&mut written.pages);
    Ok(Answer {
        head: Head { url: written.url, status: written.status, content_type: written.content_type, bytes: written.bytes },
        route: written.route,
        document: written.document,
        rendered: written.rendered.map(|rendered| Box::new(rendered.into())),
        extracts: written.extracts.into_iter().map(|named| (named.name, named.document)).collect(),
        timing: written.timing.into(),
        cache: None,
    })
}

impl From<WrittenTiming> for Timing {
    fn from(written: WrittenTiming) -> Self {
        let duration = |millis: f64| Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default();
        Self {
            total: duration(written.total_ms),
            fetch: duration(written.fetch_ms),
            wait: duration(written.wait_ms),
            extract: duration(written.extract_ms),
        }
    }
}

impl From<WrittenRendered> for Rendered {
    fn from(written: WrittenRendered) -> Self {
        let picture = |picture: WrittenPicture| Picture { action: picture.action, format: picture.format, bytes: picture.data.0 };
        Self {
            html: written.html,
            url: written.url,
            status: written.status,
            content_type: None,
            headers: Vec::new(),
            settled: written.settled,
            outcomes: written.actions,
            pictures: written.pictures.into_iter().map(picture).collect(),
            pdf: written.pdf.map(|pdf| pdf.0),
            extracts: Vec::new(),
            console: written.console,
            network: written.network,
            cookies: written.cookies,
            dialogs: written.dialogs,
            popups: written.popups,
            downloads: written.downloads,
            timing: RenderTiming::default(),
        }
    }
}

/// A failure, as far as it is needed here.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
    retry_after_ms: Option<u64>,
}

/// Why there is no answer, from an answer that is no success.
pub(super) fn refusal(said: &Said, address: &Address) -> Refusal {
    let busy = matches!(said.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let Ok(problem) = serde_json::from_slice::<Problem>(&said.body) else {
        // Somebody between us and the daemon, or no daemon at all.
        let gone = busy || matches!(said.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
        let kind = if gone { ErrorKind::Unavailable } else { ErrorKind::InvalidRequest };
        let what = if gone { "what stands before the daemon" } else { "what is no daemon, or a daemon of another version," };
        let message = format!("{what} answers at {address} with HTTP {}", said.status);
        let again = gone.then(|| asked(&said.headers).unwrap_or(BACK));
        return Refusal { error: Error::new(kind, message), again };
    };
    let delay = problem.retry_after_ms.map(Duration::from_millis);
    // An error says itself when to come back.
    let (detail, told) = match problem.detail.rsplit_once("; try again in ") {
        Some((detail, _)) if delay.is_some() => (detail, true),
        Some(_) | None => (problem.detail.as_str(), false),
    };
    let error = Error::new(kind(&problem.code), message(&problem.code, detail, address));
    let error = match delay {
        Some(delay) if told || problem.code == "quota" => error.retry_after(delay),
        Some(_) | None => error,
    };
    let again = busy.then(|| delay.or_else(|| asked(&said.headers)).unwrap_or(BACK));
    Refusal { error, again }
}

/// The seconds of `Retry-After`.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs)
}

/// The kind that is called `code`. Failures of HTTP itself are those of whoever has set this up.
fn kind(code: &str) -> ErrorKind {
    match code {
        "body_too_large" => ErrorKind::TooLarge,
        "quota" => ErrorKind::Overloaded,
        "body_stalled" => ErrorKind::Unavailable,
        "syntax" | "semantics" | "media_type" | "not_acceptable" | "no_such_path" | "method" | "unauthorized" | "forbidden"
        | "foreign" => ErrorKind::InvalidRequest,
        code => ErrorKind::from_label(code).unwrap_or(ErrorKind::Internal),
    }
}

fn message(code: &str, detail: &str, address: &Address) -> String {
    match code {
        "unauthorized" => {
            format!("the daemon at {address} needs a key that it knows; --key-file or EVENTMESH_KEY gives one")
        }
        "forbidden" | "foreign" | "quota" | "body_too_large" => format!("the daemon at {address} refuses: {detail}"),
        _ => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn said(status: u16, body: &str) -> Said {
        let status = StatusCode::from_u16(status).expect("a status");
        Said { status, headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    fn refused(status: u16, code: &str, detail: &str, delay: Option<u64>) -> Refusal {
        let mut body = json!({ "type": format!("/problems/{code}"), "code": code, "detail": detail, "status": status });
        if let Some(delay) = delay {
            body["retry_after_ms"] = delay.into();
        }
        refusal(&said(status, &body.to_string()), &"http://mesh.example:7800".parse().expect("an address"))
    }

    /// An engine's error, told by HTTP and read here, is the same error.
    #[test]
    fn errors_are_those_of_an_engine() {
        for kind in ErrorKind::ALL {
            let plain = refused(500, kind.label(), "why; what to do", None);
            assert_eq!((plain.error.kind(), plain.error.to_string()), (kind, "why; what to do".to_owned()));
            let delayed = Error::new(kind, "why").retry_after(Duration::from_millis(1_500));
            let told = refused(503, kind.label(), &delayed.to_string(), Some(1_500));
            assert_eq!((told.error.to_string(), told.error.retry_delay()), (delayed.to_string(), delayed.retry_delay()));
            assert_eq!(told.again, Some(Duration::from_millis(1_500)));
        }
    }

    #[test]
    fn when_to_come_back_is_known_even_where_the_error_does_not_say() {
        let going = refused(503, "shutting_down", "the engine is shutting down", Some(5_000));
        assert_eq!(going.error.to_string(), "the engine is shutting down");
        assert_eq!(going.again, Some(Duration::from_secs(5)));
        let quota = refused(429, "quota", "the key a has asked for too much", Some(20));
        assert_eq!((quota.error.kind(), quota.again), (ErrorKind::Overloaded, Some(Duration::from_millis(20))));
        assert!(quota.error.to_string().ends_with("; try again in 20ms"), "{}", quota.error);
        assert_eq!(refused(422, "semantics", "x", None).again, None);
    }

    #[test]
    fn who_is_no_daemon_is_told_from_one_that_is_not_there() {
        let address = "http://mesh.example".parse().expect("an address");
        let stranger = refusal(&said(404, "<html>not here"), &address);
        assert_eq!((stranger.error.kind(), stranger.again), (ErrorKind::InvalidRequest, None));
        let mut proxy = said(503, "");
        proxy.headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let proxy = refusal(&proxy, &address);
        assert_eq!((proxy.error.kind(), proxy.again), (ErrorKind::Unavailable, Some(Duration::from_secs(7))));
    }

    #[test]
    fn a_key_that_is_missing_is_asked_for() {
        let error = refused(401, "unauthorized", "a key is needed", None).error;
        assert!(error.kind().exit_code() == 2 && error.to_string().contains("--key-file"), "{error}");
    }

    #[test]
    fn a_rendered_page_comes_back_whole() {
        let document = serde_json::to_value(Document::default()).expect("it is JSON");
        let body = json!({
            "url": "https://a/", "status": 200, "bytes": 3, "document": document,
            "timing": { "total_ms": 1.234, "fetch_ms": 0.0, "wait_ms": 0.001, "extract_ms": 1.0 },
            "rendered": {
                "url": "https://a/b", "settled": { "reason": "settled", "ms": 5 },
                "actions": [{ "action": "click", "status": "ok", "ms": 1.5 }],
                "pictures": [{ "action": null, "format": "png", "data": "AAE=" }], "pdf": "AgM=",
            },
        });
        let answer = answer(&said(200, &body.to_string())).expect("it is understood");
        assert_eq!(answer.timing.total, Duration::from_micros(1_234));
        let rendered = answer.rendered.expect("it was rendered");
        assert_eq!((rendered.outcomes[0].action, rendered.outcomes[0].took), ("click", Duration::from_micros(1_500)));
        assert_eq!((rendered.pictures[0].bytes.as_slice(), rendered.pdf.as_deref()), (&[0, 1][..], Some(&[2, 3][..])));
        let written = serde_json::to_value(&rendered.outcomes).expect("it is JSON");
        assert_eq!(written, body["rendered"]["actions"]);
    }
}

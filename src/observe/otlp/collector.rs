//! The collector as an HTTP client meets it: one batch, one answer.
//!
//! It is the operator's own and stands in a private network more often than not, so it is not asked for through
//! [`egress`](crate::egress), which guards against what callers name. No caller can name this one.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use tokio::time::timeout;

use crate::cache::UnixTime;
use crate::fetch::{FetcherError, retry_after, tls};

/// Where batches are sent.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    traces: Uri,
    patience: Duration,
}

/// What came of sending a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was taken, but for so many spans.
    Taken { rejected: u64 },
    /// It was not, and may be if it is sent again.
    Missed { why: String, wish: Option<Duration> },
    /// It was not, and will not be.
    Refused { why: String },
}

/// A connection that nobody uses is kept for the next batch, if that comes soon.
const KEPT: Duration = Duration::from_secs(30);
/// More is not read of an answer.
const LONGEST: usize = 64 << 10;
const AGENT: &str = concat!("eventmesh/", env!("CARGO_PKG_VERSION"));

impl Collector {
    pub(super) fn new(traces: Uri, patience: Duration) -> Result<Self, FetcherError> {
        let mut plain = HttpConnector::new();
        // TLS comes above it.
        plain.enforce_http(false);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls()?).https_or_http().enable_http1().wrap_connector(plain);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Self { client, traces, patience })
    }

    /// Sends `body` once.
    pub(super) async fn post(&self, body: Bytes) -> Told {
        let request = Request::post(self.traces.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT)
            .body(Full::new(body));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Told::Refused { why: error.to_string() },
        };
        let response = match timeout(self.patience, self.client.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Told::Missed { why: root(&error), wish: None },
            Err(_) => return Told::Missed { why: format!("it did not answer within {:?}", self.patience), wish: None },
        };
        let status = response.status();
        let wish = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wish = wish.and_then(|value| retry_after(value, UnixTime::now()));
        if !status.is_success() {
            return judge(status.as_u16(), wish);
        }
        // It was taken, whatever becomes of the rest of the answer.
        let answer = timeout(self.patience, Limited::new(response.into_body(), LONGEST).collect()).await;
        let answer = answer.ok().and_then(Result::ok);
        Told::Taken { rejected: answer.map_or(0, |answer| rejected(&answer.to_bytes())) }
    }
}

/// What an answer that is no success means: the protocol says which of them may pass.
fn judge(status: u16, wish: Option<Duration>) -> Told {
    let why = format!("it answers with HTTP {status}");
    match status {
        429 | 502 | 503 | 504 => Told::Missed { why, wish },
        _ => Told::Refused { why },
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    partial_success: Option<Partial>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Partial {
    rejected_spans: Option<Number>,
}

/// As the protocol writes numbers, or as others do.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Written(String),
    Plain(u64),
}

/// Spans of a batch that was taken that were not.
fn rejected(answer: &[u8]) -> u64 {
    let answer = serde_json::from_slice::<Answer>(answer).ok();
    match answer.and_then(|answer| answer.partial_success?.rejected_spans) {
        Some(Number::Written(text)) => text.parse().unwrap_or(0),
        Some(Number::Plain(count)) => count,
        None => 0,
    }
}

/// The first cause, which is what says something.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let wish = Some(Duration::from_secs(2));
        for status in [429, 502, 503, 504] {
            assert!(matches!(judge(status, wish), Told::Missed { wish: Some(_), .. }), "{status}");
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            assert!(matches!(judge(status, wish), Told::Refused { .. }), "{status}");
        }
    }

    #[test]
    fn spans_that_were_not_taken_are_read_however_they_are_written() {
        for (answer, expected) in [
            (r#"{"partialSuccess":{"rejectedSpans":"7","errorMessage":"no"}}"#, 7),
            (r#"{"partialSuccess":{"rejectedSpans":7}}"#, 7),
            (r#"{"partialSuccess":{}}"#, 0),
            (r#"{"partialSuccess":null}"#, 0),
            (r#"{"partialSuccess":{"rejectedSpans":"-1"}}"#, 0),
            ("{}", 0),
            ("", 0),
            ("thank you", 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }

    #[test]
    fn https_needs_nothing_else() {
        let traces = super::super::config::traces("https://traces.example").expect("an address");
        assert!(Collector::new(traces, Duration::from_secs(1)).is_ok());
    }
}

//! A collector of traces that keeps what it is sent, and answers as the test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::daemon::PATIENCE;

/// A span, as it came.
pub(crate) type Span = Value;

#[derive(Clone, Default)]
struct Shared {
    taken: Arc<Mutex<Vec<Span>>>,
    /// Answers to come before those that are well: a status, and when to come back.
    answers: Arc<Mutex<VecDeque<(StatusCode, &'static str)>>>,
}

/// A collector at an address of its own.
pub(crate) struct Collector {
    address: SocketAddr,
    shared: Shared,
    serving: tokio::task::JoinHandle<()>,
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers.get("content-type").map(|value| value.as_bytes()), Some(b"application/json".as_slice()));
    let answer = shared.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    if let Some((status, wish)) = answer {
        return (status, [("retry-after", wish)]).into_response();
    }
    let export: Value = serde_json::from_slice(&body).expect("JSON");
    let of = &export["resourceSpans"][0];
    assert_eq!(of["resource"]["attributes"][0], json!({ "key": "service.name", "value": { "stringValue": "eventmesh" } }));
    let spans = of["scopeSpans"][0]["spans"].as_array().expect("a list").clone();
    assert!(!spans.is_empty(), "nothing is not sent");
    shared.taken.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
    axum::Json(json!({ "partialSuccess": {} })).into_response()
}

impl Collector {
    /// One that first answers as `answers` say.
    pub(crate) async fn open(answers: &[(StatusCode, &'static str)]) -> Self {
        let shared = Shared { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Shared::default() };
        let router = Router::new().route("/v1/traces", post(take)).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { address, shared, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that has come so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of the request of that id and of its stages, once they are there: it is the last of them.
    pub(crate) async fn of_request(&self, id: &str) -> Vec<Span> {
        let began = Instant::now();
        loop {
            let spans = self.spans();
            let named = spans.iter().find(|span| attribute(span, "eventmesh.request.id").as_str() == Some(id));
            if let Some(trace) = named.map(|span| span["traceId"].clone()) {
                return spans.into_iter().filter(|span| span["traceId"] == trace).collect();
            }
            assert!(began.elapsed() < PATIENCE, "{id} never comes: {spans:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What a span says of `key`: a text, a number as text, or nothing.
pub(crate) fn attribute(span: &Span, key: &str) -> Value {
    let attributes = span["attributes"].as_array().expect("a list");
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    found.and_then(|found| found["value"].as_object()?.values().next().cloned()).unwrap_or_default()
}

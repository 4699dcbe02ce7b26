//! What every request goes through: it gets a name, is let in or not, and is told of in the log and the figures.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use super::Api;
use super::answer::{SERVER_TIMING, total_timing};
use super::keys::{Entered, Key, Scope};
use super::origin;
use super::problem::{HttpFailure, Problem, Told};
use super::quota::Exhausted;

/// A request's name, as the caller chose it or as we did.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The trace that a request is part of, as the caller says; it gets it back.
const TRACE: HeaderName = HeaderName::from_static("traceparent");
/// Where keys may stand besides `Authorization: Bearer`.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The longest name of a request.
const LONGEST_ID: usize = 128;

/// A request's name.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Names the request, and tells of it when it has been answered.
pub(crate) async fn identify(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(new_id, Arc::from);
    let id = RequestId(id);
    request.extensions_mut().insert(id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let trace = request.headers().get(&TRACE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // Of the highest level: whatever is logged of a request is told under its name, however little is logged.
    let span = tracing::error_span!(
        "request", id = %id.0, %method, route, trace = trace.as_deref(), status = Empty, code = Empty, error = Empty
    );
    let active = api.inner.metrics.http.enter();
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = problem.instance(&id.0).body();
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().insert(SERVER_TIMING, total_timing(began.elapsed()));
    }
    let told = response.extensions().get::<Told>().copied();
    let status = response.status();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if let Some(value) = trace.and_then(|trace| HeaderValue::from_str(&trace).ok()) {
        response.headers_mut().insert(TRACE, value);
    }
    let took = began.elapsed();
    api.inner.metrics.http.answered(&method, &route, status, told.map(|told| told.0), took);
    drop(active);
    if api.inner.metrics.spans.are_wanted() {
        // For traces alone: the log has it in the line below.
        span.record("status", status.as_u16());
        if let Some(Told(code)) = told {
            span.record(if status.is_server_error() { "error" } else { "code" }, code);
        }
    }
    span.in_scope(|| {
        let (status, code) = (status.as_u16(), told.map(|told| told.0));
        tracing::debug!(path, status, code, took_ms = took.as_secs_f64() * 1e3, "answered");
    });
    response
}

/// Lets the request in, if it has a key where one is needed, and the key's quota is not used up.
pub(crate) async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    match entered(&api, &request) {
        Err(problem) => refused(problem),
        Ok(None) => next.run(request).await,
        Ok(Some((key, entered))) => {
            request.extensions_mut().insert(key);
            let response = next.run(request).await;
            // An answer that comes bit by bit is at work until its end.
            let (parts, body) = response.into_parts();
            Response::from_parts(parts, axum::body::Body::new(Held { body, _entered: entered }))
        }
    }
}

fn entered(api: &Api, request: &Request) -> Result<Option<(Key, Entered)>, Problem> {
    let keys = &api.inner.keys;
    if !keys.are_needed() {
        return origin::check(request, &api.inner.hosts).map(|()| None);
    }
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let plain = || request.headers().get(&API_KEY).and_then(|value| value.to_str().ok());
    let secret = bearer.map(|(_, secret)| secret.trim()).or_else(plain);
    let unknown = || {
        Problem::http(
            HttpFailure::Unauthorized,
            "a key is needed, and this request has none that is known; send it as Authorization: Bearer KEY",
        )
    };
    let key = secret.and_then(|secret| keys.find(secret)).ok_or_else(unknown)?;
    if !key.allows(Scope::Extract) {
        return Err(Problem::http(HttpFailure::Forbidden, format!("the key {} is not for this", key.name())));
    }
    let entered = keys.enter(&key).map_err(|exhausted| match exhausted {
        Exhausted::Rate { retry_after } => {
            let message = format!("the key {} has asked for too much in too short a time", key.name());
            Problem::http(HttpFailure::Quota, message).retry_after(retry_after)
        }
        Exhausted::Concurrency => {
            let message = format!("the key {} has {} requests at work, as many as it may have", key.name(), key.concurrent());
            Problem::http(HttpFailure::Quota, message).retry_after(Duration::from_secs(1))
        }
    })?;
    Ok(Some((key, entered)))
}

fn refused(problem: Problem) -> Response {
    let unauthorized = problem.status() == StatusCode::UNAUTHORIZED;
    let mut response = problem.into_response();
    if unauthorized {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn new_id() -> Arc<str> {
    format!("{:016x}", fastrand::u64(..)).into()
}

/// A body that holds a place in its key's quota for as long as it lasts.
#[derive(Debug)]
struct Held {
    body: axum::body::Body,
    _entered: Entered,
}

impl hyper::body::Body for Held {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, axum::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

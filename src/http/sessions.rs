//! Sessions over HTTP: cookies under a name, for those who made them.
//!
//! A key sees its own sessions and no others; without keys all are everybody's. Names are the caller's, values of cookies are
//! told only to those who ask for them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::body::CookieBody;
use super::incoming::{FromSource, Incoming};
use super::keys::Key;
use super::problem::{HttpFailure, Problem};
use crate::cache::UnixTime;
use crate::render::Cookie;
use crate::request::{RenderMode, Request, Source};
use crate::sessions::{Session, SessionError};

/// When somebody who has too many sessions may try again.
const LATER: Duration = Duration::from_secs(60);
/// The longest name.
const LONGEST_NAME: usize = 64;

/// A session to be made.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionBody {
    /// Its name: up to 64 letters, digits, -, _ and dots.
    #[schema(example = "shop")]
    name: String,
    /// Milliseconds that it lives. Default an hour, at most a day; half an hour without a request ends it, too.
    ttl_ms: Option<u64>,
    /// Cookies that are in it from the start. Each needs a `domain`, with a dot before it if it is for the hosts below, too.
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    cookies: Vec<CookieBody>,
}

impl FromSource for SessionBody {
    fn with_file(self, _: Bytes, _: Option<&str>) -> Option<Self> {
        None
    }

    fn empty() -> Self {
        Self::default()
    }
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionAnswer {
    /// Its name.
    name: String,
    /// When it ends at the latest, in milliseconds since 1970.
    ends_ms: u64,
    /// Its cookies.
    cookies: Vec<CookieAnswer>,
}

/// A cookie of a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CookieAnswer {
    /// Its name.
    name: String,
    /// Its value, if values are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The host that it is sent to; with a dot before it, those below it, too.
    domain: Option<String>,
    /// The directory that it is sent for.
    path: Option<String>,
    /// Whether it goes over https alone.
    secure: bool,
    /// Whether scripts do not see it.
    http_only: bool,
    /// When it ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

/// What is told of a session.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    values: bool,
}

impl SessionAnswer {
    fn new(name: &str, ends: UnixTime, session: &Session, values: bool) -> Self {
        let cookie = |cookie: Cookie| CookieAnswer {
            name: cookie.name,
            value: values.then_some(cookie.value),
            domain: cookie.domain,
            path: cookie.path,
            secure: cookie.secure,
            http_only: cookie.http_only,
            expires: cookie.expires,
        };
        let cookies = session.cookies().into_iter().map(cookie).collect();
        Self { name: name.to_owned(), ends_ms: ends.as_millis(), cookies }
    }
}

/// Makes a session: cookies that fetches and renders with its name share.
///
/// It lives in memory: it ends with the daemon. A request with a session is never answered from the cache.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions", request_body = SessionBody,
    responses(
        (status = 201, description = "It is made", body = SessionAnswer),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    Incoming(body, _place): Incoming<SessionBody>,
) -> Result<Response, Problem> {
    let SessionBody { name, ttl_ms, cookies } = body;
    let senseless = |pointer: &str, why: String| Problem::http(HttpFailure::Semantics, why.clone()).at(pointer, why);
    if name.is_empty()
        || name.len() > LONGEST_NAME
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        return Err(senseless("/name", format!("name is up to {LONGEST_NAME} letters, digits, -, _ and dots")));
    }
    if ttl_ms == Some(0) {
        return Err(senseless("/ttl_ms", "ttl_ms leaves no time at all".to_owned()));
    }
    let session = Session::new();
    session.put(cookies.into_iter().map(Cookie::from).collect()).map_err(|why| senseless("/cookies", why))?;
    let sessions = &api.inner.sessions;
    let life = ttl_ms.map(Duration::from_millis);
    let ends =
        sessions.add(&owner(key.as_deref()), &name, session.clone(), life, UnixTime::now()).map_err(|error| match error {
            SessionError::Exists => {
                Problem::http(HttpFailure::SessionExists, format!("there is a session {name} already; delete it, or use it"))
            }
            SessionError::Full => {
                let most = sessions.limits().per_owner;
                let message = format!(
                    "there are as many sessions as there may be ({most} for each key); delete one, or wait for one to end"
                );
                Problem::http(HttpFailure::Quota, message).retry_after(LATER)
            }
        })?;
    let mut response = (StatusCode::CREATED, Json(SessionAnswer::new(&name, ends, &session, false))).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/sessions/{name}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Tells of a session: its cookies, with `?values=true` their values, too.
#[utoipa::path(
    get, path = "/v1/sessions/{name}", tag = "sessions",
    params(
        ("name" = String, Path, description = "Its name"),
        ("values" = Option<bool>, Query, description = "Whether the values of its cookies are told"),
    ),
    responses(
        (status = 200, description = "The session", body = SessionAnswer),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    Path(name): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::http(HttpFailure::Syntax, error.body_text()))?;
    let found = api.inner.sessions.find(&owner(key.as_deref()), &name, UnixTime::now());
    let (session, ends) = found.ok_or_else(|| missing(&name))?;
    let mut response = Json(SessionAnswer::new(&name, ends, &session, wanted.values)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Forgets a session, and its cookies.
#[utoipa::path(
    delete, path = "/v1/sessions/{name}", tag = "sessions",
    params(("name" = String, Path, description = "Its name")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let removed = api.inner.sessions.remove(&owner(key.as_deref()), &name, UnixTime::now());
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&name)) }
}

/// The request with the session that it names, if it names one.
pub(super) fn with_session(api: &Api, key: Option<&Key>, name: Option<&str>, request: Request) -> Result<Request, Problem> {
    let Some(name) = name else { return Ok(request) };
    if request.mode == RenderMode::Never && !matches!(request.source, Source::Url(_)) {
        let why = "session makes no sense for a page that is neither fetched nor rendered";
        return Err(Problem::http(HttpFailure::Semantics, why).at("/session", why));
    }
    let found = api.inner.sessions.find(&owner(key), name, UnixTime::now());
    let (session, _) = found.ok_or_else(|| missing(name).at("/session", "is no session"))?;
    Ok(request.session(session))
}

/// Whose sessions: the key's, or everybody's where nobody needs one.
fn owner(key: Option<&Key>) -> Arc<str> {
    key.map_or_else(|| Arc::from(""), |key| Arc::clone(key.name()))
}

fn missing(name: &str) -> Problem {
    Problem::http(HttpFailure::NoSuchSession, format!("there is no session {name}, or it has ended; POST /v1/sessions makes one"))
}

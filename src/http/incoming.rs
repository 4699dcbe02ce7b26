//! Bodies on their way in: bounded while they come, and taken for what they are said to be.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde::de::DeserializeOwned;

use super::Api;
use super::arrival::{Arrival, QUIET, WHOLE, is_stalled};
use super::aside::aside;
use super::body::{ExtractBody, ScreenshotBody, json};
use super::problem::{HttpFailure, Problem};
use super::room::{Place, is_no_room};
use crate::error::{Error, ErrorKind};

/// A body that has come in whole, and the room that it takes.
#[derive(Debug)]
pub(crate) struct Incoming<T>(pub(crate) T, pub(crate) Place);

/// What can be made of a body that is no JSON.
pub(crate) trait FromSource: DeserializeOwned + Send + 'static {
    /// With a file instead of an address; `None` where a file makes no sense.
    fn with_file(self, file: Bytes, content_type: Option<&str>) -> Option<Self>;
    /// Saying nothing.
    fn empty() -> Self;
}

impl FromSource for ExtractBody {
    fn with_file(mut self, file: Bytes, content_type: Option<&str>) -> Option<Self> {
        let charset = content_type.and_then(crate::gate::charset);
        self.charset = self.charset.or(charset);
        self.file = Some(file);
        Some(self)
    }

    fn empty() -> Self {
        Self::default()
    }
}

impl FromSource for ScreenshotBody {
    fn with_file(self, _: Bytes, _: Option<&str>) -> Option<Self> {
        None
    }

    fn empty() -> Self {
        Self::default()
    }
}

impl<T: FromSource> FromRequest<Api> for Incoming<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (limit, place) = (api.inner.max_body, api.inner.room.place());
        let content_type = essence(request.headers());
        match content_type.as_deref() {
            None | Some("application/json" | "") => {
                let bytes = whole(request, limit, &place).await?;
                aside(bytes.len(), move || json(&bytes)).await?.map(|body| Self(body, place))
            }
            Some("multipart/form-data") => form(request, limit, &place).await.map(|body| Self(body, place)),
            Some("text/html" | "application/xhtml+xml" | "application/pdf" | "application/octet-stream") => {
                let said = full_type(request.headers());
                let file = whole(request, limit, &place).await?;
                let body = T::empty().with_file(file, said.as_deref()).ok_or_else(|| unknown("this"))?;
                Ok(Self(body, place))
            }
            Some(other) => Err(unknown(other)),
        }
    }
}

fn unknown(kind: &str) -> Problem {
    let known = "application/json, multipart/form-data, text/html, application/xhtml+xml, application/pdf and \
                 application/octet-stream, the latter four where a file makes sense";
    Problem::http(HttpFailure::MediaType, format!("{kind} is not known as a body; there are {known}"))
}

fn full_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn essence(headers: &HeaderMap) -> Option<String> {
    full_type(headers).map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn too_large(limit: usize) -> Problem {
    Problem::http(HttpFailure::BodyTooLarge, format!("a body may have {} MiB at most", limit.div_ceil(1 << 20)))
}

fn stalled() -> Problem {
    let message = format!("nothing has come of the body for {QUIET:?}, or not all of it within {WHOLE:?}");
    Problem::http(HttpFailure::Stalled, message)
}

/// When there may be room again: bodies come in within seconds.
const SOON: Duration = Duration::from_secs(1);

fn no_room() -> Problem {
    let full = "as many bytes of requests are on their way in as may be at once (daemon.bodies)";
    Error::new(ErrorKind::Overloaded, full).retry_after(SOON).into()
}

/// All of a body, whatever its `Content-Length` says.
async fn whole(request: Request, limit: usize, place: &Place) -> Result<Bytes, Problem> {
    match Limited::new(Arrival::new(request.into_body(), place.clone(), limit), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Err(error) if is_stalled(&*error) => Err(stalled()),
        Err(error) if is_no_room(&*error) => Err(no_room()),
        Err(error) => Err(Problem::http(HttpFailure::Syntax, format!("the body does not come through: {error}"))),
    }
}

/// A form: `file` is the page, `options` is JSON and says what else there is to say.
async fn form<T: FromSource>(request: Request, limit: usize, place: &Place) -> Result<T, Problem> {
    let broken = |error: axum::extract::multipart::MultipartError| {
        if error.status() == hyper::StatusCode::PAYLOAD_TOO_LARGE {
            too_large(limit)
        } else if is_stalled(&error) {
            stalled()
        } else if is_no_room(&error) {
            no_room()
        } else {
            Problem::http(HttpFailure::Syntax, format!("the form cannot be parsed: {}", error.body_text()))
        }
    };
    // All of its parts together are held to the same limit as any body.
    let (parts, body) = request.into_parts();
    let body = axum::body::Body::new(Limited::new(Arrival::new(body, place.clone(), limit), limit));
    let mut request = Request::from_parts(parts, body);
    // The framework's own limit is far below that.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::http(HttpFailure::Syntax, format!("this is no form: {}", error.body_text())))?;
    let (mut options, mut file) = (None, None);
    while let Some(part) = form.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        let kind = part.content_type().map(str::to_owned);
        let bytes = part.bytes().await.map_err(broken)?;
        match name.as_str() {
            "options" => options = Some(json::<T>(&bytes)?),
            "file" => file = Some((bytes, kind)),
            other => {
                let message = format!("the form has a part {other}, which is neither file nor options");
                return Err(Problem::http(HttpFailure::Semantics, message));
            }
        }
    }
    let options = options.unwrap_or_else(T::empty);
    match file {
        None => Ok(options),
        Some((bytes, kind)) => options.with_file(bytes, kind.as_deref()).ok_or_else(|| unknown("a form with a file")),
    }
}

/// A body of JSON that has come in whole, the bytes that it was written in, and the room that it takes.
#[derive(Debug)]
pub(crate) struct Written<T>(pub(crate) T, pub(crate) Bytes, pub(crate) Place);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Api> for Written<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        match essence(request.headers()).as_deref() {
            None | Some("application/json" | "") => {
                let place = api.inner.room.place();
                let bytes = whole(request, api.inner.max_body, &place).await?;
                let read = bytes.clone();
                Ok(Self(aside(bytes.len(), move || json(&read)).await??, bytes, place))
            }
            Some(other) => {
                Err(Problem::http(HttpFailure::MediaType, format!("{other} is not known here; there is application/json")))
            }
        }
    }
}

/// A file as a body's own Base64.
pub(super) fn encoded(file: &Bytes) -> String {
    BASE64.encode(file)
}

/// Base64 of a body's own, decoded.
pub(super) fn decoded(data: &str) -> Result<Bytes, base64::DecodeError> {
    BASE64.decode(data).map(Bytes::from)
}

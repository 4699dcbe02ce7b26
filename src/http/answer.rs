//! What goes out in one piece: an answer in the format that the caller asks for.

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::problem::{HttpFailure, Problem};
use super::spliced::Spliced;
use crate::error::{Error, ErrorKind};
use crate::gate::RouteTaken;
use crate::render::{PictureFormat, Rendered};
use crate::reply::{Answer, Head, Parts, Timing};
use crate::{Document, Page};

/// The formats that content can be had in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Everything, as one object.
    Json,
    /// The content as Markdown.
    Markdown,
    /// The content as plain text.
    Text,
    /// The content as clean HTML.
    Html,
    /// One JSON object a line, as it comes.
    Ndjson,
    /// Server-sent events, as it comes.
    Events,
}

impl Format {
    /// In the order in which they are chosen where several are equally welcome.
    const ALL: [Self; 6] = [Self::Json, Self::Markdown, Self::Text, Self::Html, Self::Ndjson, Self::Events];

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Markdown => "text/markdown",
            Self::Text => "text/plain",
            Self::Html => "text/html",
            Self::Ndjson => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    /// What `headers` ask for: the most welcome of what there is (RFC 9110 §12.5.1).
    pub(crate) fn negotiated(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut asked = false;
        let mut best: Option<(u16, Self)> = None;
        for part in headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
            let mut parameters = part.split(';').map(str::trim);
            let range = parameters.next().unwrap_or_default().to_ascii_lowercase();
            if range.is_empty() {
                continue;
            }
            asked = true;
            let quality = parameters
                .find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")))
                .map_or(1.0, |quality| quality.parse::<f64>().unwrap_or(0.0));
            // Three digits are all that there may be.
            let quality = (quality.clamp(0.0, 1.0) * 1000.0) as u16;
            let Some(format) = Self::ALL.into_iter().find(|format| format.is_in(&range)) else { continue };
            if quality > 0 && best.is_none_or(|(so_far, _)| quality > so_far) {
                best = Some((quality, format));
            }
        }
        match best {
            Some((_, format)) => Ok(format),
            None if !asked => Ok(Self::Json),
            None => {
                let known = Self::ALL.map(Self::media_type).join(", ");
                Err(Problem::http(HttpFailure::NotAcceptable, format!("there are {known}")))
            }
        }
    }

    fn is_in(self, range: &str) -> bool {
        let known = self.media_type();
        range == "*/*" || range == known || range.strip_suffix("/*").is_some_and(|kind| known.split('/').next() == Some(kind))
    }
}

/// An answer, with everything.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnswerBody {
    /// Where the page was found in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The status that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// What its server says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// Its size in bytes, decompressed.
    bytes: usize,
    /// Which way it has gone, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    route: Option<Box<RouteTaken>>,
    /// The pages of a PDF that were sent one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pages: Vec<Page>,
    /// What the browser brought besides, if it was rendered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    rendered: Option<Value>,
    /// Contents that actions took on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extracts: Vec<NamedDocument>,
    /// Where the time went, in milliseconds.
    #[schema(value_type = Object)]
    timing: Timing,
    /// Its content. Comes last: what is written down already is put there as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = true)]
    document: Option<Box<RawValue>>,
}

/// Content that an action took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamedDocument {
    /// As the action called it.
    name: String,
    /// The content.
    #[schema(value_type = Object)]
    document: Document,
}

/// Bytes that all around the content mostly has as JSON: the features of its page are most of it.
const AROUND: usize = 2 << 10;

impl AnswerBody {
    /// An answer as JSON, whose content stays as it is if it is written down already.
    fn written(parts: Parts) -> Result<Spliced, Error> {
        let Head { url, status, content_type, bytes } = parts.head;
        let around = Self {
            url,
            status,
            content_type,
            bytes,
            route: parts.route,
            pages: parts.pages,
            rendered: parts.rendered.as_deref().map(rendered),
            extracts: parts.extracts.into_iter().map(|(name, document)| NamedDocument { name, document }).collect(),
            timing: parts.timing,
            document: None,
        };
        let unwritten =
            |error: serde_json::Error| Error::new(ErrorKind::Internal, "the answer cannot be written down").caused_by(error);
        let mut json = Vec::with_capacity(AROUND);
        serde_json::to_writer(&mut json, &around).map_err(unwritten)?;
        // Never empty: the size and the timing are in it.
        json.pop();
        json.extend_from_slice(b",\"document\":");
        parts.body.written_after(json, b"}").map(Spliced::of)
    }
}

impl TryFrom<Answer> for AnswerBody {
    type Error = serde_json::Error;

    fn try_from(answer: Answer) -> Result<Self, serde_json::Error> {
        let Head { url, status, content_type, bytes } = answer.head;
        Ok(Self {
            url,
            status,
            content_type,
            bytes,
            route: answer.route,
            pages: Vec::new(),
            rendered: answer.rendered.as_deref().map(rendered),
            extracts: answer.extracts.into_iter().map(|(name, document)| NamedDocument { name, document }).collect(),
            timing: answer.timing,
            document: Some(to_raw_value(&answer.document)?),
        })
    }
}

/// What a browser brought, besides the page's content.
pub(crate) fn rendered(rendered: &Rendered) -> Value {
    let pictures: Vec<_> = rendered
        .pictures
        .iter()
        .map(|picture| json!({ "action": picture.action, "format": picture.format, "data": BASE64.encode(&picture.bytes) }))
        .collect();
    let mut value = json!({
        "url": rendered.url,
        "status": rendered.status,
        "settled": rendered.settled,
        "actions": rendered.outcomes,
        "pictures": pictures,
        "pdf": rendered.pdf.as_ref().map(|pdf| BASE64.encode(pdf)),
        "html": Some(&rendered.html).filter(|html| !html.is_empty()),
        "console": rendered.console,
        "network": rendered.network,
        "cookies": rendered.cookies,
        "dialogs": rendered.dialogs,
        "popups": rendered.popups,
        "downloads": rendered.downloads,
    });
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => true,
        });
    }
    value
}

/// The whole answer, in a format that comes in one piece.
pub(crate) fn whole(parts: Parts, format: Format) -> Result<Response, Problem> {
    let timing = parts.timing;
    let found = parts.head.url.clone();
    let cache = parts.body.cache().map(ToString::to_string);
    let mut response = match format {
        Format::Json | Format::Ndjson | Format::Events => axum::body::Body::new(AnswerBody::written(parts)?).into_response(),
        Format::Markdown => parts.body.into_document()?.markdown.into_response(),
        Format::Text => parts.body.into_document()?.text.into_response(),
        Format::Html => parts.body.into_document()?.html.unwrap_or_default().into_response(),
    };
    let kind = match format {
        Format::Json | Format::Ndjson | Format::Events => Format::Json.media_type().to_owned(),
        Format::Markdown | Format::Text | Format::Html => format!("{}; charset=utf-8", format.media_type()),
    };
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(SERVER_TIMING, server_timing(&timing));
    if let Some(cache) = cache.and_then(|status| HeaderValue::from_str(&status).ok()) {
        headers.insert(CACHE_STATUS, cache);
    }
    if let Some(found) = found.and_then(|url| HeaderValue::from_str(&url).ok()) {
        headers.insert(hyper::header::CONTENT_LOCATION, found);
    }
    Ok(response)
}

/// How an answer came through the cache (RFC 9211).
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Where the time went, as browsers show it.
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The value of [`SERVER_TIMING`].
pub(crate) fn server_timing(timing: &Timing) -> HeaderValue {
    let millis = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let value = format!(
        "fetch;dur={:.1}, queue;dur={:.1}, extract;dur={:.1}, total;dur={:.1}",
        millis(timing.fetch),
        millis(timing.wait),
        millis(timing.extract),
        millis(timing.total)
    );
    // Digits and letters.
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""))
}

/// The value of [`SERVER_TIMING`] where no more is known than how long it took.
pub(crate) fn total_timing(took: std::time::Duration) -> HeaderValue {
    HeaderValue::from_str(&format!("total;dur={:.1}", took.as_secs_f64() * 1e3)).unwrap_or(HeaderValue::from_static(""))
}

/// The picture that was asked for, alone.
pub(crate) fn picture(answer: &Parts) -> Result<Response, Problem> {
    let pictures = answer.rendered.as_deref().map(|rendered| &rendered.pictures);
    let picture = pictures.and_then(|pictures| pictures.iter().rev().find(|picture| picture.action.is_none()));
    let Some(picture) = picture else {
        return Err(Error::new(ErrorKind::Internal, "the page was rendered without its picture").into());
    };
    let kind = match picture.format {
        PictureFormat::Png => "image/png",
        PictureFormat::Jpeg => "image/jpeg",
        PictureFormat::Webp => "image/webp",
    };
    let mut response = Bytes::copy_from_slice(&picture.bytes).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(SERVER_TIMING, server_timing(&answer.timing));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_welcome_format_is_chosen() {
        let table: &[(&[&str], Option<Format>)] = &[
            (&[], Some(Format::Json)),
            (&["*/*"], Some(Format::Json)),
            (&["text/markdown"], Some(Format::Markdown)),
            (&["text/*"], Some(Format::Markdown)),
            (&["text/html, text/markdown;q=0.9"], Some(Format::Html)),
            (&["text/html;q=0.1", "application/x-ndjson;q=0.2"], Some(Format::Ndjson)),
            (&["image/png, text/event-stream"], Some(Format::Events)),
            (&["TEXT/PLAIN; charset=utf-8"], Some(Format::Text)),
            (&["application/json;q=0"], None),
            (&["image/png"], None),
            (&["text/html;q=x"], None),
        ];
        for (values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Format::negotiated(&headers).ok(), *expected, "{values:?}");
        }
    }
}

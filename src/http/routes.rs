//! The operations.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hyper::header::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::{AnswerBody, Format, picture, whole};
use super::aside::aside;
use super::body::{ExtractBody, RenderWhen, ScreenshotBody};
use super::incoming::Incoming;
use super::keys::Key;
use super::later::{is_idempotent, owner};
use super::prefer::Prefer;
use super::problem::{HttpFailure, Problem};
use super::sessions::with_session;
use super::stream::streamed;
use crate::jobs::{JobView, Kind};

/// Extracts the content of one page or PDF.
///
/// The page is named by its address or is in the request: as JSON, as it is (`text/html`, `application/pdf`), or as the part
/// `file` of a form, beside a part `options` of JSON. The answer comes in the format that `Accept` asks for; as lines of JSON
/// or events it comes as it is made, page by page for a PDF, and always ends with an `end`.
#[utoipa::path(
    post, path = "/v1/extract", tag = "pages", request_body = ExtractBody,
    params(
        ("Prefer" = Option<String>, Header, description = "`respond-async`: as a job; `wait=N`: unless it is done in so many seconds"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send this again, as a job"),
    ),
    responses(
        (status = 200, description = "The content", content(
            (AnswerBody = "application/json"), (String = "text/markdown"), (String = "text/plain"), (String = "text/html"),
            (String = "application/x-ndjson"), (String = "text/event-stream"),
        )),
        (status = 202, description = "A job, with `Prefer: respond-async`", body = JobView),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn extract(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    headers: HeaderMap,
    Incoming(body, _place): Incoming<ExtractBody>,
) -> Result<Response, Problem> {
    answered(&api, Kind::Extract, key.as_ref(), &headers, body).await
}

/// Renders one page with a browser, and extracts its content.
///
/// Like `/v1/extract` with `render` set to `always`. `browser` says how, what is done with the page, and what is wanted
/// besides its content: its HTML, a picture, a PDF, its requests.
#[utoipa::path(
    post, path = "/v1/render", tag = "pages", request_body = ExtractBody,
    params(
        ("Prefer" = Option<String>, Header, description = "`respond-async`: as a job; `wait=N`: unless it is done in so many seconds"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send this again, as a job"),
    ),
    responses(
        (status = 200, description = "The page", content(
            (AnswerBody = "application/json"), (String = "text/markdown"), (String = "text/plain"), (String = "text/html"),
            (String = "application/x-ndjson"), (String = "text/event-stream"),
        )),
        (status = 202, description = "A job, with `Prefer: respond-async`", body = JobView),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn render(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    headers: HeaderMap,
    Incoming(mut body, _place): Incoming<ExtractBody>,
) -> Result<Response, Problem> {
    match body.render {
        RenderWhen::Never => {
            let message = "/v1/render renders; /v1/extract is for pages that are never rendered";
            return Err(Problem::http(HttpFailure::Semantics, message).at("/render", message));
        }
        RenderWhen::Auto | RenderWhen::Always => body.render = RenderWhen::Always,
    }
    answered(&api, Kind::Render, key.as_ref(), &headers, body).await
}

/// Takes a picture of one page.
#[utoipa::path(
    post, path = "/v1/screenshot", tag = "pages", request_body = ScreenshotBody,
    responses(
        (status = 200, description = "The picture", content(
            (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"),
        )),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn screenshot(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    Incoming(mut body, _place): Incoming<ScreenshotBody>,
) -> Result<Response, Problem> {
    let session = body.session.take();
    let request = with_session(&api, key.as_deref(), session.as_deref(), body.request()?)?;
    let answer = api.inner.engine.extract(request).parts().await?;
    picture(&answer)
}

async fn answered(
    api: &Api,
    kind: Kind,
    key: Option<&Extension<Key>>,
    headers: &HeaderMap,
    mut body: ExtractBody,
) -> Result<Response, Problem> {
    let prefer = Prefer::of(headers);
    if prefer.later {
        return Box::pin(api.accept_page(body, kind, prefer, owner(key), headers)).await;
    }
    if is_idempotent(headers) {
        let message = "an Idempotency-Key is for jobs; Prefer: respond-async makes this one";
        return Err(Problem::http(HttpFailure::Semantics, message));
    }
    let format = Format::negotiated(headers)?;
    body.with_html |= format == Format::Html;
    let session = body.session.take();
    // Base64 is all that there is much of.
    let request = aside(body.data.as_ref().map_or(0, String::len), move || body.request()).await??;
    let request = with_session(api, key.map(|key| &key.0), session.as_deref(), request)?;
    match format {
        Format::Ndjson | Format::Events => Ok(streamed(api.inner.engine.extract(request.stream_pages()), format)),
        Format::Json | Format::Markdown | Format::Text | Format::Html => {
            let parts = api.inner.engine.extract(request).parts().await?;
            aside(parts.size(), move || whole(parts, format)).await?
        }
    }
}

/// What this daemon can do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Capabilities {
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The operations, by name.
    operations: Vec<&'static str>,
    /// The formats of content.
    formats: Vec<&'static str>,
    /// Whether pages can be rendered, and if not, why.
    render: Capability,
    /// Whether PDFs can be read, and if not, why.
    pdf: Capability,
    /// Whether jobs are kept, and if not, why: batches can be streamed all the same.
    jobs: Capability,
    /// What a request may be at most.
    limits: Limits,
}

/// Whether something can be had.
#[derive(Debug, Serialize, ToSchema)]
struct Capability {
    /// It can.
    available: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Capability {
    fn unless(reason: Option<String>) -> Self {
        Self { available: reason.is_none(), reason }
    }
}

/// What a request may be at most.
#[derive(Debug, Serialize, ToSchema)]
struct Limits {
    /// Bytes of a request's body.
    body_bytes: u64,
    /// Bytes of a page, decompressed.
    page_bytes: u64,
    /// Milliseconds, where a request says nothing else.
    deadline_ms: u64,
    /// Requests at once.
    requests: usize,
    /// Pages of a batch.
    batch_items: usize,
    /// Pages of a crawl.
    crawl_pages: usize,
}

/// Says what this daemon can do.
#[utoipa::path(
    get, path = "/v1/capabilities", tag = "daemon",
    responses(
        (status = 200, description = "What it can do", body = Capabilities),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn capabilities(State(api): State<Api>) -> axum::Json<Capabilities> {
    let snapshot = api.inner.engine.snapshot();
    let config = api.inner.engine.config();
    axum::Json(Capabilities {
        version: env!("CARGO_PKG_VERSION"),
        operations: vec!["extract", "render", "screenshot", "batch", "crawl", "jobs", "sessions"],
        formats: vec![
            Format::Json.media_type(),
            Format::Markdown.media_type(),
            Format::Text.media_type(),
            Format::Html.media_type(),
            Format::Ndjson.media_type(),
            Format::Events.media_type(),
        ],
        render: Capability::unless(snapshot.browser.missing),
        pdf: Capability::unless(snapshot.pdf.missing),
        jobs: Capability::unless(api.inner.later.jobs.as_ref().err().map(|why| why.to_string())),
        limits: Limits {
            body_bytes: api.inner.max_body as u64,
            page_bytes: config.max_page_bytes,
            deadline_ms: u64::try_from(config.deadline.as_millis()).unwrap_or(u64::MAX),
            requests: config.max_requests,
            batch_items: api.inner.later.limits().max_items,
            crawl_pages: api.inner.later.limits().max_pages,
        },
    })
}

//! What is accepted now and done later: jobs, as they are asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_LOCATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::Api;
use super::answer::{Format, SERVER_TIMING, server_timing};
use super::body::{ExtractBody, PriorityBody};
use super::keys::Key;
use super::prefer::Prefer;
use super::problem::{HttpFailure, Problem};
use crate::jobs::{Items, Jobs, JobsConfig, Kind, Sender, WebhookSecret, shown, stopped};
use crate::queue::{Idempotency, Job, Lane, Selection, Submission};
use crate::reply::Timing;

/// What works on jobs, or why nothing does. Streamed batches need no jobs.
#[derive(Clone, Debug)]
pub(crate) struct Later {
    pub(crate) jobs: Result<Jobs, Arc<str>>,
    pub(crate) items: Items,
    pub(crate) sender: Arc<Sender>,
    pub(crate) limits: JobsConfig,
}

impl Later {
    /// What may be asked for.
    pub(super) fn limits(&self) -> &JobsConfig {
        &self.limits
    }
}

/// Who is told of a job's end.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookBody {
    /// Where to; it must be an address that pages could be asked for at. Redirects are not followed.
    #[schema(example = "https://example.com/hooks/eventmesh")]
    pub(crate) url: String,
    /// What it is signed with, as `whsec_` and Base64 (Standard Webhooks). Default: the daemon's secret, if it has one.
    #[schema(value_type = Option<String>)]
    pub(crate) secret: Option<WebhookSecret>,
}

/// A job to be accepted.
pub(super) struct Wanted<'w> {
    pub(super) kind: Kind,
    pub(super) priority: PriorityBody,
    pub(super) items: Option<u32>,
    pub(super) spec: Bytes,
    pub(super) webhook: Option<&'w WebhookBody>,
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Nobody waits longer for a job before being told of it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Whose request it is.
pub(super) fn owner(key: Option<&Extension<Key>>) -> Option<&str> {
    key.map(|key| &**key.name())
}

impl Api {
    /// The jobs, if there can be any.
    pub(super) fn jobs(&self) -> Result<&Jobs, Problem> {
        let missing = |why: &Arc<str>| Problem::http(HttpFailure::NoJobs, format!("this daemon keeps no jobs: {why}"));
        self.inner.later.jobs.as_ref().map_err(missing)
    }

    /// Accepts a job and tells of it.
    pub(super) async fn accept(&self, wanted: Wanted<'_>, owner: Option<&str>, headers: &HeaderMap) -> Result<Response, Problem> {
        let (job, replayed) = self.submitted(wanted, owner, headers).await?;
        self.told(&job, replayed).await
    }

    /// Accepts one page, and answers with it if it is done while the client waits, else tells of the job.
    pub(super) async fn accept_page(
        &self,
        body: ExtractBody,
        kind: Kind,
        prefer: Prefer,
        owner: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let mut body = body.settled();
        let format = Format::negotiated(headers)?;
        body.with_html |= format == Format::Html;
        body.clone().request()?;
        let spec = serde_json::to_vec(&body).map_err(|error| Problem::http(HttpFailure::Semantics, error.to_string()))?;
        let wanted = Wanted { kind, priority: body.priority(), items: Some(1), spec: spec.into(), webhook: None };
        let (job, replayed) = self.submitted(wanted, owner, headers).await?;
        if let Some(wait) = prefer.wait.filter(|wait| !wait.is_zero()) {
            let jobs = self.jobs()?;
            let mut stop = jobs.stop();
            let ended = tokio::select! {
                ended = timeout(wait.min(LONGEST_WAIT), jobs.queue().wait(&job.id, u64::MAX)) => ended.is_ok_and(|job| job.is_ok()),
                () = stopped(&mut stop) => false,
            };
            if ended && let Some(mut response) = self.page(&job, format).await? {
                mark(response.headers_mut(), replayed);
                return Ok(response);
            }
        }
        self.told(&job, replayed).await
    }

    async fn submitted(&self, wanted: Wanted<'_>, owner: Option<&str>, headers: &HeaderMap) -> Result<(Job, bool), Problem> {
        let jobs = self.jobs()?;
        if let Some(webhook) = wanted.webhook {
            let fault =
                |why: String| Problem::http(HttpFailure::Semantics, format!("webhook.url: {why}")).at("/webhook/url", why);
            self.inner.later.sender.check(&webhook.url).map_err(fault)?;
        }
        let submission = Submission {
            owner: owner.map(str::to_owned),
            lane: match wanted.priority {
                PriorityBody::Interactive => Lane::Interactive,
                PriorityBody::Batch => Lane::Batch,
            },
            kind: wanted.kind.label().to_owned(),
            idempotency: idempotency(headers, &wanted.spec)?,
            spec: wanted.spec,
            items: wanted.items,
        };
        let submitted = jobs.submit(submission, wanted.webhook).await?;
        Ok((submitted.job, submitted.replayed))
    }

    async fn told(&self, job: &Job, replayed: bool) -> Result<Response, Problem> {
        let view = self.jobs()?.whole_view(job).await?;
        let mut response = (StatusCode::ACCEPTED, axum::Json(view)).into_response();
        if let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{}", job.id)) {
            response.headers_mut().insert(LOCATION, location);
        }
        response.headers_mut().insert(APPLIED, HeaderValue::from_static("respond-async"));
        mark(response.headers_mut(), replayed);
        Ok(response)
    }

    /// The answer of a job of one page, as if it had been asked for now. `None` if it has none.
    async fn page(&self, job: &Job, format: Format) -> Result<Option<Response>, Problem> {
        let jobs = self.jobs()?;
        let page = jobs.queue().events(&job.id, Selection::Answers, 0, 1).await?;
        let Some(event) = page.events.first() else { return Ok(None) };
        let line = shown(event, &job.id, jobs.blobs()).await.map_err(|error| Problem::storage(&error))?;
        let mut value: Value = serde_json::from_str(&line).map_err(|error| Problem::storage(&error))?;
        if value["problem"].is_object() {
            return Ok(Some(failed(&value["problem"])));
        }
        let answer = value["answer"].take();
        let text = |name: &str| answer["document"][name].as_str().unwrap_or_default().to_owned();
        let body = match format {
            Format::Json | Format::Ndjson | Format::Events => answer.to_string(),
            Format::Markdown => text("markdown"),
            Format::Text => text("text"),
            Format::Html => text("html"),
        };
        let mut response = body.into_response();
        let kind = match format {
            Format::Json | Format::Ndjson | Format::Events => Format::Json.media_type().to_owned(),
            Format::Markdown | Format::Text | Format::Html => format!("{}; charset=utf-8", format.media_type()),
        };
        let timing = |name: &str| {
            let seconds = answer["timing"][name].as_f64().unwrap_or_default() / 1e3;
            Duration::try_from_secs_f64(seconds).unwrap_or_default()
        };
        let timing = Timing {
            total: timing("total_ms"),
            fetch: timing("fetch_ms"),
            wait: timing("wait_ms"),
            extract: timing("extract_ms"),
        };
        let headers = response.headers_mut();
        headers.insert(SERVER_TIMING, server_timing(&timing));
        headers.extend(HeaderValue::from_str(&kind).ok().map(|kind| (CONTENT_TYPE, kind)));
        headers.extend(answer["url"].as_str().and_then(|url| HeaderValue::from_str(url).ok()).map(|url| (CONTENT_LOCATION, url)));
        Ok(Some(response))
    }
}

/// A failure as it was written down.
fn failed(problem: &Value) -> Response {
    let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, problem.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(delay) = problem["retry_after_ms"].as_u64() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(delay.div_ceil(1000).max(1)));
    }
    response
}

/// The key that makes a submission safe to repeat, with what it stands for.
fn idempotency(headers: &HeaderMap, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key.to_str().ok().map(|key| key.trim().trim_matches('"')).filter(|key| (1..=255).contains(&key.len()));
    let why = "an Idempotency-Key is 1 to 255 printable characters";
    key.map(|key| Some(Idempotency::new(key, body))).ok_or_else(|| Problem::http(HttpFailure::Semantics, why))
}

/// Whether a request brings such a key.
pub(super) fn is_idempotent(headers: &HeaderMap) -> bool {
    headers.contains_key(IDEMPOTENCY_KEY)
}

fn mark(headers: &mut HeaderMap, replayed: bool) {
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

//! Many pages at once: as a job, or as a stream of answers that is never longer than its reader wants it.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{FuturesUnordered, unfold};
use hyper::header::HeaderMap;
use serde::Deserialize;
use tokio::time::{Instant, Interval, sleep_until};
use utoipa::ToSchema;

use super::Api;
use super::answer::Format;
use super::body::{ExtractBody, PriorityBody, deadline};
use super::incoming::Written;
use super::keys::Key;
use super::later::{Wanted, WebhookBody, is_idempotent, owner};
use super::prefer::Prefer;
use super::problem::{HttpFailure, Problem};
use super::room::Place;
use super::stream::{Writing, signs, streaming};
use crate::error::{Error, ErrorKind};
use crate::jobs::{Items, JobView, JobsConfig, Kind, Outcome, Record, Running, Shown, Totals};
use crate::request::Source;

/// Many pages.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchBody {
    /// The pages, each with what there is to say of it. One of `requests` and `urls` is needed.
    #[serde(default)]
    requests: Vec<ExtractBody>,
    /// The addresses of the pages.
    #[serde(default)]
    urls: Vec<String>,
    /// What there is to say of all `urls`.
    options: Option<ExtractBody>,
    /// Who is told when all is done. Only for jobs.
    pub(crate) webhook: Option<WebhookBody>,
    /// Who is served first. Default `batch`.
    priority: Option<PriorityBody>,
    /// Milliseconds for all of it. What is not done then has no answer, and the job has failed.
    pub(crate) deadline_ms: Option<u64>,
}

impl BatchBody {
    /// One page.
    pub(crate) fn of_one(body: ExtractBody) -> Self {
        Self { priority: Some(body.priority()), requests: vec![body], ..Self::default() }
    }

    /// How many pages.
    pub(crate) fn items(&self) -> u32 {
        u32::try_from(self.requests.len() + self.urls.len()).unwrap_or(u32::MAX)
    }

    /// One of the pages.
    pub(crate) fn item(&self, item: u32) -> Option<ExtractBody> {
        let item = item as usize;
        let mut body = match self.requests.get(item) {
            Some(body) => body.clone(),
            None => {
                let url = self.urls.get(item)?.clone();
                ExtractBody { url: Some(url), ..self.options.clone().unwrap_or_default() }
            }
        };
        body.priority = Some(self.priority());
        Some(body)
    }

    fn priority(&self) -> PriorityBody {
        self.priority.unwrap_or(PriorityBody::Batch)
    }

    /// Refuses what makes no sense.
    fn check(&self, limits: &JobsConfig) -> Result<(), Problem> {
        if self.requests.is_empty() == self.urls.is_empty() {
            return Err(Problem::http(
                HttpFailure::Semantics,
                "exactly one of requests and urls is needed, with something in it",
            ));
        }
        let most = limits.max_items;
        if self.items() as usize > most {
            let place = if self.urls.is_empty() { "/requests" } else { "/urls" };
            let message = format!("a batch has {most} pages at most, and this one has {}", self.items());
            return Err(Problem::http(HttpFailure::Semantics, message.clone()).at(place, message));
        }
        if self.options.is_some() && self.urls.is_empty() {
            let message = "options are what there is to say of urls, and there are none";
            return Err(Problem::http(HttpFailure::Semantics, message).at("/options", message));
        }
        if let Some(options) = &self.options {
            options.clone().check_options()?;
        }
        self.deadline_ms.map(deadline).transpose()?;
        // What is said of all is the same for all.
        for item in 0..if self.urls.is_empty() { self.items() } else { 1 } {
            let place = if self.urls.is_empty() { format!("/requests/{item}") } else { "/options".to_owned() };
            if self.requests.get(item as usize).is_some_and(|body| body.priority.is_some()) {
                return Err(priority_of_one(&format!("{place}/priority")));
            }
            if let Some(body) = self.item(item) {
                body.request().map_err(|problem| problem.under(&place))?;
            }
        }
        Ok(())
    }
}

/// Nothing of what is done together goes before the rest.
fn priority_of_one(place: &str) -> Problem {
    let message = "priority is said of all pages together, beside them";
    Problem::http(HttpFailure::Semantics, message).at(place, message)
}

/// Extracts the contents of many pages and PDFs.
///
/// With `Accept: application/x-ndjson` or `text/event-stream` the answers come as they are made, one event for each page with
/// its number as `item`, and then an `end` with totals; whoever reads slowly holds the work back. Otherwise, and always with
/// `Prefer: respond-async`, it becomes a job that outlives the connection and the daemon: the answer is 202 and says where it
/// is. With an `Idempotency-Key` the same request makes one job, however often it is sent.
#[utoipa::path(
    post, path = "/v1/batch", tag = "jobs", request_body = BatchBody,
    params(
        ("Prefer" = Option<String>, Header, description = "`respond-async`: as a job, whatever is accepted"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send this again"),
    ),
    responses(
        (status = 200, description = "The contents, as they come", content(
            (String = "application/x-ndjson"), (String = "text/event-stream"),
        )),
        (status = 202, description = "The job", body = JobView),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn batch(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    headers: HeaderMap,
    Written(body, written, place): Written<BatchBody>,
) -> Result<Response, Problem> {
    let limits = api.inner.later.limits();
    body.check(limits)?;
    let format = Format::negotiated(&headers)?;
    let writing = match format {
        Format::Ndjson | Format::Events if !Prefer::of(&headers).later => Some(Writing::of(format)),
        Format::Json | Format::Markdown | Format::Text | Format::Html | Format::Ndjson | Format::Events => None,
    };
    let Some(writing) = writing else {
        let wanted = Wanted {
            kind: Kind::Batch,
            priority: body.priority(),
            items: Some(body.items()),
            spec: written,
            webhook: body.webhook.as_ref(),
        };
        return api.accept(wanted, owner(key.as_ref()), &headers).await;
    };
    if body.webhook.is_some() || is_idempotent(&headers) {
        let message = "webhook and Idempotency-Key are for jobs; this answer is streamed. Prefer: respond-async makes it a job";
        return Err(Problem::http(HttpFailure::Semantics, message));
    }
    let within = body.deadline_ms.map_or(limits.deadline, |millis| Duration::from_millis(millis).min(limits.deadline));
    let streamed = Streamed {
        items: api.inner.later.items.clone(),
        body,
        next: 0,
        at_work: FuturesUnordered::new(),
        totals: Totals::default(),
        writing,
        numbered: 0,
        signs: signs(),
        deadline: Instant::now() + within,
        ended: false,
        _place: place,
    };
    let lines = unfold(streamed, |mut streamed| async move {
        let line = streamed.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), streamed))
    });
    Ok(streaming(Body::from_stream(lines), writing))
}

/// Answers of one streamed batch that are made, or kept for its reader, at once. Dropping it ends the work.
const AT_ONCE: usize = 4;

/// A batch on its way to a reader. It is only looked at when there is room for more, so that no more is begun meanwhile.
struct Streamed {
    items: Items,
    body: BatchBody,
    next: u32,
    at_work: FuturesUnordered<Running<Outcome>>,
    totals: Totals,
    writing: Writing,
    numbered: u64,
    signs: Interval,
    deadline: Instant,
    ended: bool,
    /// The body is here until the end.
    _place: Place,
}

impl Streamed {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        while self.at_work.len() < AT_ONCE
            && let Some(body) = self.body.item(self.next)
        {
            let item = self.next;
            self.next += 1;
            match body.request() {
                Ok(request) => self.at_work.push(self.items.start(item, request)),
                Err(problem) => return Some(self.event(item, Record::failed(&problem))),
            }
        }
        tokio::select! {
            biased;
            Some((item, done)) = self.at_work.next() => {
                self.signs.reset();
                let record = match done {
                    Some(Some(Ok(answer))) => Record::answered(answer),
                    Some(Some(Err(error))) => Record::failed(&error.into()),
                    Some(None) => Record::failed(&Error::new(ErrorKind::ShuttingDown, "the engine is shutting down").into()),
                    None => Record::failed(&Error::new(ErrorKind::Internal, "the work on this page has crashed").into()),
                };
                Some(self.event(item, record))
            }
            () = sleep_until(self.deadline), if !self.at_work.is_empty() => Some(self.end()),
            _ = self.signs.tick(), if !self.at_work.is_empty() => Some(self.writing.sign()),
            else => Some(self.end()),
        }
    }

    fn event(&mut self, item: u32, record: Record) -> Bytes {
        self.totals.count(&record);
        self.numbered += 1;
        let kind = if record.problem.is_some() { "error" } else { "result" };
        let record = Record { url: self.body.item(item).and_then(|body| body.url), ..record };
        let shown = Shown { item: Some(item), ..Shown::new(self.numbered, kind, &record) };
        self.writing.event(None, kind, &shown.line())
    }

    fn end(&mut self) -> Bytes {
        self.ended = true;
        self.numbered += 1;
        self.totals.left = self.body.items().saturating_sub(self.totals.ok + self.totals.failed);
        let record = Record { totals: Some(self.totals), ..Record::default() };
        let state = if self.totals.left == 0 { "done" } else { "failed" };
        let shown = Shown { state: Some(state), ..Shown::new(self.numbered, "end", &record) };
        self.writing.event(None, "end", &shown.line())
    }
}

impl ExtractBody {
    /// Refuses a source where only options belong.
    pub(super) fn check_options(self) -> Result<(), Problem> {
        for (given, place) in
            [(self.url.is_some(), "/options/url"), (self.html.is_some(), "/options/html"), (self.data.is_some(), "/options/data")]
        {
            if given {
                let message = "options are said of many pages and name none";
                return Err(Problem::http(HttpFailure::Semantics, message).at(place, message));
            }
        }
        if self.priority.is_some() {
            return Err(priority_of_one("/options/priority"));
        }
        let sample = Self { url: Some("https://example.com/".to_owned()), ..self };
        let request = sample.request().map_err(|problem| problem.under("/options"))?;
        debug_assert!(matches!(request.source, Source::Url(_)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::json;
    use super::*;

    #[test]
    fn what_is_wrong_with_a_batch_is_told_by_its_place() {
        let limits = JobsConfig { max_items: 2, ..JobsConfig::default() };
        let cases = [
            (r#"{"urls": ["http://a.b/"]}"#, None),
            (r#"{"urls": ["http://a.b/"], "options": {"render": "never"}}"#, None),
            (r#"{"requests": [{"html": "x"}, {"url": "http://a.b/"}], "priority": "interactive"}"#, None),
            ("{}", Some("")),
            (r#"{"urls": ["a"], "requests": [{"html": "x"}]}"#, Some("")),
            (r#"{"urls": ["a", "b", "c"]}"#, Some("/urls")),
            (r#"{"requests": [{"html": "x"}], "options": {}}"#, Some("/options")),
            (r#"{"urls": ["a"], "options": {"html": "x"}}"#, Some("/options/html")),
            (r#"{"urls": ["a"], "options": {"browser": {"wait": "never"}}}"#, Some("/options/browser/wait")),
            (r#"{"requests": [{"html": "x"}, {"html": "x", "deadline_ms": 0}]}"#, Some("/requests/1/deadline_ms")),
            (r#"{"requests": [{"html": "x"}, {"html": "x", "priority": "interactive"}]}"#, Some("/requests/1/priority")),
            (r#"{"urls": ["a"], "options": {"priority": "batch"}}"#, Some("/options/priority")),
            (r#"{"urls": ["a"], "deadline_ms": 0}"#, Some("/deadline_ms")),
            (r#"{"urls": ["a"], "webhook": {"url": "http://a.b/", "secret": "x"}}"#, Some("/webhook/secret")),
        ];
        for (text, expected) in cases {
            let checked = json::<BatchBody>(text.as_bytes()).and_then(|body| body.check(&limits));
            let pointer = checked.err().map(|problem| {
                let value = serde_json::to_value(&problem).expect("it is JSON");
                value["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned()
            });
            assert_eq!(pointer.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn items_are_counted_and_nobody_waits_for_them() {
        let body: BatchBody = json(br#"{"urls": ["a", "b"], "options": {"charset": "utf-8"}}"#).expect("it is one");
        let item = body.item(1).expect("it is there");
        assert_eq!(
            (item.url.as_deref(), item.charset.as_deref(), item.priority),
            (Some("b"), Some("utf-8"), Some(PriorityBody::Batch))
        );
        assert!(body.items() == 2 && body.item(2).is_none());
    }
}

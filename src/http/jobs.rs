//! Jobs, as they are looked at, followed and ended. A key sees its own jobs; to it there are no others.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Interval;
use utoipa::ToSchema;

use super::Api;
use super::answer::Format;
use super::keys::Key;
use super::later::owner;
use super::problem::{HttpFailure, Problem};
use super::stream::{Writing, signs, streaming};
use crate::jobs::{JobView, Jobs, shown, stopped};
use crate::queue::{Ending, Event, EventReader, Filter, Job, JobId, QueueError, Selection, State as JobState, Whose};

/// Which jobs to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// Only those in this state: `queued`, `running`, `done`, `failed`, `cancelled` or `dead`.
    state: Option<String>,
    /// Only those older than this one, the last of the page before.
    before: Option<String>,
    /// So many at most. Default 100, and never more than 1,000.
    limit: Option<usize>,
}

/// Jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobList {
    /// The newest first.
    jobs: Vec<JobView>,
    /// What `before` is for the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Where to go on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    /// The number of the last event that is known. Default 0: from the beginning.
    #[serde(default)]
    after: u64,
    /// So many results at most. Default 100, and never more than 1,000.
    limit: Option<usize>,
}

/// Where to go on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    #[serde(default)]
    after: u64,
}

/// Some results of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResultsPage {
    /// Each is what the event says: `seq`, `item`, `url`, and `answer` or `problem`.
    #[schema(value_type = Vec<Object>)]
    results: Vec<Box<RawValue>>,
    /// What `after` is for the next page.
    after: u64,
    /// The job has ended, and there are no more.
    complete: bool,
}

/// Where to go on, in the header that browsers send when they come back.
const LAST_EVENT_ID: &str = "last-event-id";
/// Bytes of results in one answer; one result always fits.
const PAGE_BYTES: usize = 8 << 20;
/// Jobs or results on one page if nobody says how many, and at most.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;
/// When a browser comes back that has lost its connection.
const COME_BACK: &[u8] = b"retry: 1000\n\n";

type Asked<T> = Result<Query<T>, QueryRejection>;

fn asked<T>(query: Asked<T>) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|error| Problem::http(HttpFailure::Semantics, error.body_text()))
}

/// How many come on one page: one at least, or nobody would get any further.
fn on_a_page(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE)
}

/// Lists jobs.
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/jobs", tag = "jobs",
    params(
        ("state" = Option<String>, Query, description = "Only those that are `queued`, `running`, `done`, `failed`, `cancelled` or `dead`"),
        ("before" = Option<String>, Query, description = "Only those older than this one, the last of the page before"),
        ("limit" = Option<usize>, Query, description = "So many at most. Default 100, and never more than 1,000"),
    ),
    responses(
        (status = 200, description = "The jobs", body = JobList),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(api): State<Api>, key: Option<Extension<Key>>, query: Asked<Listed>) -> Result<Response, Problem> {
    let Listed { state, before, limit } = asked(query)?;
    let jobs = api.jobs()?;
    let limit = on_a_page(limit);
    let filter = Filter {
        whose: Whose::Of(owner(key.as_ref()).map(str::to_owned)),
        state: state.map(|state| known_state(&state)).transpose()?,
        before: before.map(|before| before.parse()).transpose()?,
        limit,
    };
    let found = jobs.queue().list(filter).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|job| job.id.to_string());
    let found = found.iter().map(|job| jobs.view(job, None)).collect();
    Ok(axum::Json(JobList { jobs: found, next }).into_response())
}

fn known_state(label: &str) -> Result<JobState, Problem> {
    let endings = [Ending::Done, Ending::Failed, Ending::Cancelled, Ending::Dead].map(JobState::Ended);
    let known = [JobState::Queued, JobState::Running].into_iter().chain(endings).find(|state| state.label() == label);
    known.ok_or_else(|| Problem::http(HttpFailure::Semantics, format!("jobs are never {label}")))
}

/// Looks at a job.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The job", body = JobView),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn look(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let jobs = api.jobs()?;
    let job = jobs.find(&id, owner(key.as_ref())).await?;
    Ok(axum::Json(jobs.whole_view(&job).await?).into_response())
}

/// Cancels a job.
///
/// What it has done so far stays there to be read.
#[utoipa::path(
    delete, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The job, which is cancelled", body = JobView),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let jobs = api.jobs()?;
    let job = jobs.find(&id, owner(key.as_ref())).await?;
    let job = jobs.cancel(&job.id).await?;
    match job.state {
        JobState::Ended(Ending::Cancelled) => Ok(axum::Json(jobs.whole_view(&job).await?).into_response()),
        JobState::Ended(ending @ (Ending::Done | Ending::Failed | Ending::Dead)) => Err(QueueError::Ended(ending).into()),
        // Nobody can have begun it again.
        JobState::Queued | JobState::Running => Err(QueueError::Stale.into()),
    }
}

/// Follows a job.
///
/// Its events from the first, or the one after `Last-Event-ID` or `after`, up to its `end`, as server-sent events or, with
/// `Accept: application/x-ndjson`, as lines of JSON. A connection that is lost can be taken up again where it was.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/events", tag = "jobs",
    params(
        ("id" = String, Path, description = "Its name"),
        ("after" = Option<u64>, Query, description = "The number of the last event that is known"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The same, and it counts first"),
    ),
    responses(
        (status = 200, description = "The events", content((String = "text/event-stream"), (String = "application/x-ndjson"))),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn events(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Asked<Since>,
) -> Result<Response, Problem> {
    let writing = match Format::negotiated(&headers)? {
        Format::Ndjson => Writing::Lines,
        // Who asks for anything gets what a browser can follow.
        Format::Events | Format::Json => Writing::Events,
        Format::Markdown | Format::Text | Format::Html => {
            return Err(Problem::http(HttpFailure::NotAcceptable, "there are text/event-stream and application/x-ndjson"));
        }
    };
    let Since { after } = asked(query)?;
    let last = match headers.get(LAST_EVENT_ID) {
        None => None,
        Some(last) => {
            let number = last.to_str().ok().and_then(|last| last.trim().parse().ok());
            let why = "Last-Event-ID is not the number of an event";
            Some(number.ok_or_else(|| Problem::http(HttpFailure::Semantics, why))?)
        }
    };
    let jobs = api.jobs()?;
    let job = jobs.find(&id, owner(key.as_ref())).await?;
    let following = Following {
        reader: EventReader::new(Arc::clone(jobs.queue()), job.id.clone(), last.unwrap_or(after)),
        jobs: jobs.clone(),
        job: job.id,
        waiting: VecDeque::new(),
        writing,
        signs: signs(),
        stop: jobs.stop(),
        first: writing == Writing::Events,
        over: false,
    };
    let lines = unfold(following, |mut following| async move {
        let line = following.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), following))
    });
    Ok(streaming(Body::from_stream(lines), writing))
}

/// A reader of a job's events. It holds one page of them, and reads on when that has been taken.
struct Following {
    reader: EventReader,
    jobs: Jobs,
    job: JobId,
    waiting: VecDeque<Event>,
    writing: Writing,
    signs: Interval,
    stop: watch::Receiver<bool>,
    first: bool,
    over: bool,
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.first) {
            return Some(Bytes::from_static(COME_BACK));
        }
        loop {
            if self.over {
                return None;
            }
            if let Some(event) = self.waiting.pop_front() {
                self.signs.reset();
                return Some(self.line(&event).await);
            }
            tokio::select! {
                read = self.reader.next() => match read {
                    Ok(Some(events)) => self.waiting.extend(events),
                    Ok(None) => return None,
                    Err(error) => {
                        self.over = true;
                        let problem = Problem::from(error);
                        return Some(self.writing.event(None, "error", &json!({ "type": "error", "problem": problem }).to_string()));
                    }
                },
                _ = self.signs.tick() => return Some(self.writing.sign()),
                // The daemon is going; whoever wants to know more comes back.
                () = stopped(&mut self.stop) => return None,
            }
        }
    }

    async fn line(&mut self, event: &Event) -> Bytes {
        match shown(event, &self.job, self.jobs.blobs()).await {
            Ok(line) => self.writing.event(Some(event.seq), event.kind.label(), &line),
            Err(error) => {
                let problem = Problem::storage(&error);
                let line = json!({ "seq": event.seq, "type": "error", "item": event.item, "problem": problem });
                self.writing.event(Some(event.seq), "error", &line.to_string())
            }
        }
    }
}

/// Reads results.
///
/// The answers of a job so far, in the order in which they were made: `after` says where the next page begins. With
/// `Accept: application/x-ndjson` each is a line, and the last line says where to go on.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/results", tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's name"),
        ("after" = Option<u64>, Query, description = "The number of the last event that is known"),
        ("limit" = Option<usize>, Query, description = "So many at most. Default 100, and never more than 1,000"),
    ),
    responses(
        (status = 200, description = "Some results", content((ResultsPage = "application/json"), (String = "application/x-ndjson"))),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn results(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Asked<After>,
) -> Result<Response, Problem> {
    let format = Format::negotiated(&headers)?;
    let After { after, limit } = asked(query)?;
    let jobs = api.jobs()?;
    let job: Job = jobs.find(&id, owner(key.as_ref())).await?;
    let page = jobs.queue().events(&job.id, Selection::Answers, after, on_a_page(limit)).await?;
    let (mut results, mut bytes, mut last, mut whole) = (Vec::new(), 0, after, true);
    for event in &page.events {
        let line = shown(event, &job.id, jobs.blobs()).await.map_err(|error| Problem::storage(&error))?;
        if bytes > 0 && bytes + line.len() > PAGE_BYTES {
            whole = false;
            break;
        }
        bytes += line.len();
        last = event.seq;
        results.push(RawValue::from_string(line).map_err(|error| Problem::storage(&error))?);
    }
    let (after, complete) = if whole { (page.after, page.complete) } else { (last, false) };
    match format {
        Format::Ndjson => {
            let mut text = String::with_capacity(bytes + results.len() + 64);
            for line in &results {
                text.push_str(line.get());
                text.push('\n');
            }
            text.push_str(&format!("{}\n", json!({ "type": "page", "after": after, "complete": complete })));
            Ok(([(CONTENT_TYPE, Format::Ndjson.media_type())], text).into_response())
        }
        Format::Json => Ok(axum::Json(ResultsPage { results, after, complete }).into_response()),
        Format::Markdown | Format::Text | Format::Html | Format::Events => {
            Err(Problem::http(HttpFailure::NotAcceptable, "there are application/json and application/x-ndjson"))
        }
    }
}

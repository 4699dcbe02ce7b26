//! The way of a request, as one function.
//!
//! ```text
//!   admission ─▶ fetch ─▶ Head ─▶ gate ─▶ wasm pool ─▶ Body ─▶ Done
//!        └──────────┴───────────────┴─────────┴─────────────▶ Error
//! ```
//! Everything a request holds is held by this function's locals: however it ends, by its end, an error, a panic
//! or the caller's going, permit and lease are given back by `Drop`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use eventmesh_actors::{Demand, LeaseError, RunError};
use eventmesh_extractors::Hints;
use eventmesh_extractors::wasm::{Job, PageError};
use tokio::time::{Instant, timeout_at};

use crate::admission::Permit;
use crate::engine::Inner;
use crate::error::{Error, ErrorKind};
use crate::gate::{self, Route};
use crate::reply::{Chunk, ReplySender, Timing};
use crate::request::Request;

/// Works on an accepted request and ends its reply.
pub(crate) async fn work(inner: &Inner, request: Request, permit: Permit, reply: ReplySender) {
    let within = request.deadline.unwrap_or(inner.config.deadline).min(LONGEST);
    let began = Instant::now();
    let result = tokio::select! {
        biased;
        () = inner.aborted() => Err(Error::new(ErrorKind::ShuttingDown, "the engine shut down before the request was done")),
        result = extract(inner, request, permit, began, within, &reply) => result,
    };
    reply.finish(result);
}

/// A deadline past this is no deadline.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

async fn extract(
    inner: &Inner,
    request: Request,
    permit: Permit,
    began: Instant,
    within: Duration,
    reply: &ReplySender,
) -> Result<Timing, Error> {
    let deadline = began + within;
    let late = |doing: &str| {
        let message = format!("the request was not done within {within:?}, it was still {doing}");
        Error::new(ErrorKind::Deadline, message)
    };

    let page = timeout_at(deadline, inner.fetcher.get(request.source, permit)).await.map_err(|_| late("being fetched"))??;
    let fetched = Instant::now();
    let charset = request.charset.or_else(|| page.head.content_type.as_deref().and_then(gate::charset));
    let hints = Hints { base_url: request.base_url.or_else(|| page.head.url.clone()), charset, html: request.html };
    let content_type = page.head.content_type.clone();
    reply.send(Chunk::Head(page.head.clone())).await;
    // Held until the answer is out.
    let (page, _permit) = page.hold();

    let Route::Extract = gate::route(content_type.as_deref(), &page)?;
    let demand = Demand::new(page.len() as u64, deadline).priority(request.priority).key(key_of(&page));
    let job = || Job { page: page.clone(), hints: hints.clone(), deadline };
    let extracted = inner.pool.run(demand, job).await.map_err(|error| failure(error, &late))?;
    let done = Instant::now();
    reply.send(Chunk::Body(Box::new(extracted.document))).await;
    Ok(Timing {
        total: done - began,
        fetch: fetched - began,
        wait: (done - fetched).saturating_sub(extracted.ran),
        extract: extracted.ran,
    })
}

/// What a page is known by if it kills workers. The same in every run, so that logs can be compared.
fn key_of(page: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    page.hash(&mut hasher);
    hasher.finish()
}

/// What the pool says, as the caller is told it.
fn failure(error: RunError<PageError>, late: &dyn Fn(&str) -> Error) -> Error {
    match error {
        RunError::Lease(error) => refused(error, late),
        RunError::Deadline { .. } => late("being extracted"),
        RunError::Job(error) | RunError::Worker(error) => page_failure(error, late),
        RunError::Stalled { .. } => {
            Error::new(ErrorKind::ExtractionFailed, "the extraction stopped making progress and was cancelled").caused_by(error)
        }
        RunError::ChildEnded { .. } => {
            Error::new(ErrorKind::ExtractionFailed, "two workers ended under this page; it is not tried again").caused_by(error)
        }
    }
}

fn refused(error: LeaseError, late: &dyn Fn(&str) -> Error) -> Error {
    match &error {
        LeaseError::QueueFull { retry_after, .. } | LeaseError::BytesFull { retry_after, .. } => {
            let delay = *retry_after;
            Error::new(ErrorKind::Overloaded, "as many pages wait as may").retry_after(delay).caused_by(error)
        }
        LeaseError::Pressed { retry_after, .. } => {
            let delay = *retry_after;
            Error::new(ErrorKind::Overloaded, "memory is short").retry_after(delay).caused_by(error)
        }
        LeaseError::Quarantined { retry_after, .. } => {
            let delay = *retry_after;
            let message = "this page has cost several workers and is quarantined";
            Error::new(ErrorKind::Quarantined, message).retry_after(delay).caused_by(error)
        }
        LeaseError::TooLarge { .. } => {
            Error::new(ErrorKind::TooLarge, "the page is larger than the pool may hold").caused_by(error)
        }
        LeaseError::Deadline { .. } => late("waiting for a worker"),
        LeaseError::Unavailable { retry_after, .. } => {
            let delay = *retry_after;
            Error::new(ErrorKind::Unavailable, "the workers are down after repeated failures").retry_after(delay).caused_by(error)
        }
        LeaseError::Closed { .. } => Error::new(ErrorKind::ShuttingDown, "the engine is shutting down").caused_by(error),
    }
}

fn page_failure(error: PageError, late: &dyn Fn(&str) -> Error) -> Error {
    match &error {
        PageError::Deadline { .. } => late("being extracted"),
        PageError::Memory { limit } => {
            let message = format!("the page needs more than {} MiB to be extracted, the limit for one page", limit >> 20);
            Error::new(ErrorKind::ResourceLimit, message).caused_by(error)
        }
        PageError::Crash { .. } | PageError::Garbage { .. } => {
            let message = format!("{error}; the page is at fault or we are: please report it with the page");
            Error::new(ErrorKind::ExtractionFailed, message).caused_by(error)
        }
        PageError::Cancelled | PageError::Instance { .. } | PageError::ThreadGone | PageError::Thread(_) => {
            Error::new(ErrorKind::Internal, "the worker failed twice on this page").caused_by(error)
        }
    }
}

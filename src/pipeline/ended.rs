//! How stages end: what came of one is said of its span, and what a pool says is put as the caller is told it.

use std::error::Error as StdError;

use eventmesh_actors::{LeaseError, RunError};
use eventmesh_extractors::wasm::PageError;
use tracing::Span;

use super::{Doing, Late};
use crate::error::{Error, ErrorKind};

/// What came of a stage, whose span says so if it is a failure.
pub(super) fn ended<T>(stage: Span, result: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &result {
        stage.record("error", error.kind().label());
    }
    drop(stage);
    result
}

/// What the pool says, as the caller is told it.
pub(super) fn failure<E: StdError + Send + Sync + 'static>(
    error: RunError<E>,
    late: &Late<'_>,
    of_job: impl Fn(E, &Late<'_>) -> Error,
) -> Error {
    match error {
        RunError::Lease(error) => refused(error, late),
        RunError::Deadline { .. } => late(Doing::Extracting),
        RunError::Job(error) | RunError::Worker(error) => of_job(error, late),
        RunError::Stalled { .. } => {
            Error::new(ErrorKind::ExtractionFailed, "the extraction stopped making progress and was cancelled").caused_by(error)
        }
        RunError::ChildEnded { .. } => {
            Error::new(ErrorKind::ExtractionFailed, "two workers ended under this page; it is not tried again").caused_by(error)
        }
    }
}

fn refused(error: LeaseError, late: &Late<'_>) -> Error {
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
        LeaseError::Deadline { .. } => late(Doing::AwaitingWorker),
        LeaseError::Unavailable { retry_after, .. } => {
            let delay = *retry_after;
            Error::new(ErrorKind::Unavailable, "the workers are down after repeated failures").retry_after(delay).caused_by(error)
        }
        LeaseError::Closed { .. } => Error::new(ErrorKind::ShuttingDown, "the engine is shutting down").caused_by(error),
    }
}

pub(super) fn page_failure(error: PageError, late: &Late<'_>) -> Error {
    match &error {
        PageError::Deadline { .. } => late(Doing::Extracting),
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

//! What can be supervised: something that does jobs and can go bad.
//!
//! A [`Worker`] knows nothing of pools, restarts or callers. It starts, runs one job at a time, says what it
//! uses, and stops. It is owned by exactly one child actor, so `&mut self` is all the locking there is.

use std::future::Future;
use std::sync::Arc;

use serde::Serialize;

use crate::id::ChildId;
use crate::progress::{Interrupt, Progress};

/// Something that does jobs and can go bad.
///
/// **Cancellation.** Dropping the future of [`run`](Worker::run) cancels the job. Afterwards the worker must
/// either be able to run another job or say so with [`Usage::healthy`] `= false`.
///
/// **Blocking work** runs on a thread or process of the worker's own, never on the runtime's threads: a
/// handler that does not reach an await point cannot be killed.
///
/// **Dropping** a worker must free everything it holds. [`stop`](Worker::stop) is the polite way; after a
/// panic or a kill there is only `Drop`.
pub trait Worker: Sized + Send + 'static {
    /// What a worker is started from; shared by all workers of a pool.
    type Spec: Send + Sync + 'static;
    /// One piece of work.
    type Job: Send + 'static;
    /// What a job brings.
    type Output: Send + 'static;
    /// Why a start or a job failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Starts a worker for `child`. May be slow: no caller waits for it while another child serves.
    ///
    /// # Errors
    /// Any error counts as a failed start: it is retried with backoff, within the restart budget.
    fn start(spec: &Self::Spec, child: &ChildId) -> impl Future<Output = Result<Self, Self::Error>> + Send;

    /// Runs one job. Never called while another job of this worker runs. A job that says in `progress` which phase it
    /// is in and that it goes on is found out as soon as it does not; see [`HangPolicy`](crate::HangPolicy).
    ///
    /// # Errors
    /// [`Failure::Job`] blames the input, the worker goes on; [`Failure::Worker`] blames the worker, which is
    /// replaced.
    fn run(
        &mut self,
        job: Self::Job,
        progress: &Progress,
    ) -> impl Future<Output = Result<Self::Output, Failure<Self::Error>>> + Send;

    /// What the worker uses now. Called after every job, so it must be cheap.
    fn usage(&self) -> Usage;

    /// How this worker can be stopped from outside, asked for once after its start. By default only by dropping it.
    fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        None
    }

    /// Stops the worker within the pool's stop grace; past it, the worker is dropped.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// Whose fault a failed job was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<E> {
    /// The input's: the child lives on, nothing is restarted.
    Job(E),
    /// The worker's: the child is replaced, the job may be tried once more elsewhere.
    Worker(E),
}

/// What a worker says of itself after a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Memory that the worker holds between jobs, in bytes.
    pub bytes: u64,
    /// The most memory that the last job held, in bytes.
    pub last_job_bytes: u64,
    /// `false` asks for a replacement before the next job.
    pub healthy: bool,
}

impl Usage {
    /// Nothing held, all well.
    pub const NONE: Self = Self { bytes: 0, last_job_bytes: 0, healthy: true };
}

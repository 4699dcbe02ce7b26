//! Jobs that were accepted and must end exactly once as their client sees it, whatever kills the process.
//!
//! ```text
//!   submit ─▶ Queued ──claim──▶ Running ──finish──▶ Done | Failed
//!               ▲  │               │ │
//!               │  └────cancel─────┼─┴─────────────▶ Cancelled
//!               └── lease lapsed, ─┤
//!                   process died   └─ too often ───▶ Dead
//! ```
//! - A job has an append-only log. Its sequence numbers start at 1 and have no gaps, so a reader resumes where it was.
//! - Work may run more than once, answers do not: an item is answered once, and the end is one event, written together
//!   with the state. Whoever holds a job proves it with a [`Claim`], and a claim that was lost is refused.
//! - [`Journal`] keeps all this in one file. Another engine can stand behind the same trait.
//!
//! What a job means, who may see it and when it is swept is not decided here. Time is handed in by the caller.

mod desk;
mod error;
mod event;
mod index;
mod job;
mod journal;
mod limits;
mod look;
mod reader;
mod record;
mod submission;
mod tables;
mod tally;
mod watchers;
mod writer;

use std::fmt::Debug;
use std::pin::Pin;

use bytes::Bytes;

pub use error::{Full, Part, QueueError};
pub use event::{Entry, EntryKind, Event, EventKind, Page, Selection};
pub use job::{Claim, Claimed, Counts, Ending, Filter, Job, JobId, Lane, Outcome, State, Swept, UnixMillis, Whose};
pub use journal::Journal;
pub use limits::QueueLimits;
pub use reader::EventReader;
pub use submission::{Idempotency, Submission, Submitted};
pub use tally::{Commits, QueueSnapshot, Tally};

/// What a queue answers, when it does. Boxed by hand, so that the trait can be an object.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, QueueError>> + Send + 'a>>;

/// Why a queue has stopped by itself, when it does.
pub type Failed<'a> = Pin<Box<dyn Future<Output = QueueError> + Send + 'a>>;

/// A durable queue of jobs.
///
/// What is answered with `Ok` is on the disk and visible to every reader. A future that is dropped before it has answered
/// may still have done its work; an [`Idempotency`] key makes asking again safe.
pub trait JobQueue: Debug + Send + Sync {
    /// Accepts a job, or returns the one that the same key and body have made before.
    fn submit(&self, submission: Submission, now: UnixMillis) -> Answer<'_, Submitted>;

    /// The job that the same key and body have made before, if they have: what a submission would be answered with that takes
    /// no room.
    fn replay(&self, submission: &Submission) -> Answer<'_, Option<Job>>;

    /// Takes the next job, the interactive lane first, there owners who have no job running first, and then the oldest first; and
    /// holds it until `lease`. Jobs of an owner who has as many running as one may ([`QueueLimits::max_running_per_owner`]) are
    /// left where they are. Jobs whose lease has lapsed go back into the queue before.
    fn claim(&self, lease: UnixMillis, now: UnixMillis) -> Answer<'_, Option<Claimed>>;

    /// Waits until there is a job to claim, or may be. Lapsed leases are found by claims and sweeps, not by this.
    fn available(&self) -> Answer<'_, ()>;

    /// Holds a claimed job until `lease`.
    fn heartbeat(&self, claim: &Claim, lease: UnixMillis) -> Answer<'_, ()>;

    /// Gives a claimed job back unharmed, at a planned stop. It costs none of its attempts.
    fn release(&self, claim: &Claim, now: UnixMillis) -> Answer<'_, ()>;

    /// Adds to a claimed job's log and returns the sequence number.
    fn append(&self, claim: &Claim, entry: Entry, now: UnixMillis) -> Answer<'_, u64>;

    /// Ends a claimed job: its state and the last event of its log, in one step.
    fn finish(&self, claim: &Claim, outcome: Outcome, data: Bytes, now: UnixMillis) -> Answer<'_, u64>;

    /// Ends a job that is queued or running, and returns what it is then. One that had ended stays as it was.
    fn cancel(&self, job: &JobId, now: UnixMillis) -> Answer<'_, Job>;

    /// What is known about a job.
    fn get(&self, job: &JobId) -> Answer<'_, Job>;

    /// The bytes that a job was submitted with.
    fn spec(&self, job: &JobId) -> Answer<'_, Bytes>;

    /// Jobs, the newest first.
    fn list(&self, filter: Filter) -> Answer<'_, Vec<Job>>;

    /// A job's log after a sequence number. A page may be shorter than `limit`, it is bounded by bytes as well.
    fn events(&self, job: &JobId, selection: Selection, after: u64, limit: usize) -> Answer<'_, Page>;

    /// The items that are answered, in order.
    fn done_items(&self, job: &JobId) -> Answer<'_, Vec<u32>>;

    /// Waits until a job has ended or its log goes on after a sequence number.
    fn wait(&self, job: &JobId, after: u64) -> Answer<'_, Job>;

    /// Puts jobs back whose lease has lapsed, and forgets ended jobs that are too old or too many, the oldest first. Does a
    /// slice of the work at a time; call it again while there is more.
    fn sweep(&self, now: UnixMillis) -> Answer<'_, Swept>;

    /// How many jobs there are.
    fn counts(&self) -> Answer<'_, Counts>;

    /// Waits until its storage has failed, and tells how: from then on it is closed to everybody. It waits for ever where it does
    /// not, or is closed as it should be.
    fn failed(&self) -> Failed<'_>;

    /// What it is and what it has done, at once. It may look at its file, but not into it.
    fn snapshot(&self) -> QueueSnapshot;

    /// Takes nothing more, and answers when everything is written and the storage is let go.
    fn close(&self) -> Answer<'_, ()>;
}

//! Why a caller did not get what it asked of a pool.

use std::time::Duration;

use crate::exit::Exit;
use crate::id::ChildId;
use crate::pressure::Pressure;

/// Why a lease was not granted. Nothing has been started on the caller's behalf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// As many callers wait as may.
    #[error("{waiting} callers already wait for pool {pool}; try again in {retry_after:?}")]
    QueueFull {
        /// The pool.
        pool: String,
        /// How many wait.
        waiting: usize,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// The jobs waiting and running hold as many bytes as they may.
    #[error("pool {pool} holds {admitted} of {budget} bytes, no room for {asked}; try again in {retry_after:?}")]
    BytesFull {
        /// The pool.
        pool: String,
        /// Bytes asked for.
        asked: u64,
        /// Bytes waiting and running.
        admitted: u64,
        /// Bytes allowed.
        budget: u64,
        /// When room is likely.
        retry_after: Duration,
    },
    /// The job alone is larger than the pool's whole budget; waiting will not help.
    #[error("a job of {asked} bytes exceeds the budget of pool {pool}, {budget} bytes")]
    TooLarge {
        /// The pool.
        pool: String,
        /// Bytes asked for.
        asked: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// The deadline came before a child was free.
    #[error("no child of pool {pool} was free before the deadline")]
    Deadline {
        /// The pool.
        pool: String,
    },
    /// The pool has failed too often and is down until its supervisor restarts it.
    #[error("pool {pool} is down after repeated failures; try again in {retry_after:?}")]
    Unavailable {
        /// The pool.
        pool: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// Memory is short, and this caller's priority is not served until it is not.
    #[error("memory is short ({pressure}) and pool {pool} takes no such work now; try again in {retry_after:?}")]
    Pressed {
        /// The pool.
        pool: String,
        /// How short.
        pressure: Pressure,
        /// When to try again.
        retry_after: Duration,
    },
    /// The same input has cost the pool several children and is not tried again for a while.
    #[error("this input has killed too many children of pool {pool} and is quarantined for {retry_after:?}")]
    Quarantined {
        /// The pool.
        pool: String,
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// The pool is shutting down, or was never started.
    #[error("pool {pool} is not open")]
    Closed {
        /// The pool.
        pool: String,
    },
}

/// Why a job brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E: std::error::Error + 'static> {
    /// No child could be had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The worker says that the input is at fault.
    #[error("the job failed")]
    Job(#[source] E),
    /// The worker says that it is itself at fault; it is being replaced.
    #[error("the worker failed")]
    Worker(#[source] E),
    /// The deadline came; the job was cancelled and the child lives on.
    #[error("the deadline came while {child} was at work")]
    Deadline {
        /// Who was at work.
        child: ChildId,
    },
    /// The job stopped making progress and was cancelled; the child lives on.
    #[error("the job on {child} made no progress for longer than its phase allows")]
    Stalled {
        /// Who was at work.
        child: ChildId,
    },
    /// The child ended under the job, for another reason than [`RunError::Worker`].
    #[error("{child} ended under the job{}", exit.as_ref().map(|exit| format!(" ({exit})")).unwrap_or_default())]
    ChildEnded {
        /// Who ended.
        child: ChildId,
        /// Why, if the pool knows by now: it does if it ended the child itself (it hung, or reached its fatal limit), and
        /// mostly does not yet if the child panicked or was killed. Events and snapshots tell in any case.
        exit: Option<Exit>,
    },
}

impl LeaseError {
    /// When to try again, if trying again may help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after, .. }
            | Self::BytesFull { retry_after, .. }
            | Self::Unavailable { retry_after, .. }
            | Self::Pressed { retry_after, .. }
            | Self::Quarantined { retry_after, .. } => Some(*retry_after),
            Self::TooLarge { .. } | Self::Deadline { .. } | Self::Closed { .. } => None,
        }
    }
}

impl<E: std::error::Error + 'static> RunError<E> {
    /// Whether another child may do better with the same job.
    #[must_use]
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Worker(_) | Self::ChildEnded { .. } => true,
            Self::Lease(_) | Self::Job(_) | Self::Deadline { .. } | Self::Stalled { .. } => false,
        }
    }
}

//! Why a child ended: one closed enum.
//!
//! It is the only vocabulary in which restarts, recycles, events and snapshots speak of ends. Planned ends
//! ([`Exit::Recycled`], [`Exit::Shutdown`]) are no failures and touch no budget.

use std::fmt;

use serde::Serialize;

use crate::recycle::RecycleReason;

/// Why a child ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "exit", content = "detail")]
pub enum Exit {
    /// Replaced by plan, after its replacement stood.
    Recycled(RecycleReason),
    /// Its pool was told to stop.
    Shutdown,
    /// It never came up: the worker's start failed, panicked or took too long.
    StartFailed(String),
    /// It panicked.
    Panicked(String),
    /// A job ended with [`Failure::Worker`](crate::Failure::Worker).
    Broken(String),
    /// A job was still running past its deadline and its grace, and would not be cancelled.
    Hung,
    /// It held more memory than the fatal limit allows, in bytes, and was killed at once.
    OutOfMemory(u64),
    /// It was killed from outside, or vanished.
    Killed,
    /// It came to an end of its own, without a failure.
    Finished,
    /// It is a supervisor, and has failed more often than it may.
    Escalated(String),
}

/// What restarts are counted by: the unplanned ways to end, without their details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// [`Exit::StartFailed`].
    StartFailed,
    /// [`Exit::Panicked`].
    Panicked,
    /// [`Exit::Broken`].
    Broken,
    /// [`Exit::Hung`].
    Hung,
    /// [`Exit::OutOfMemory`].
    OutOfMemory,
    /// [`Exit::Killed`].
    Killed,
    /// [`Exit::Finished`] of a child that should be there always.
    Finished,
    /// [`Exit::Escalated`].
    Escalated,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 8] = [
        Self::StartFailed,
        Self::Panicked,
        Self::Broken,
        Self::Hung,
        Self::OutOfMemory,
        Self::Killed,
        Self::Finished,
        Self::Escalated,
    ];

    /// The cause as a short label, for counters.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::StartFailed => "start_failed",
            Self::Panicked => "panicked",
            Self::Broken => "broken",
            Self::Hung => "hung",
            Self::OutOfMemory => "out_of_memory",
            Self::Killed => "killed",
            Self::Finished => "finished",
            Self::Escalated => "escalated",
        }
    }
}

impl Exit {
    /// What a restart after this end is counted by; `None` if the end was planned.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Recycled(_) | Self::Shutdown => None,
            Self::StartFailed(_) => Some(Cause::StartFailed),
            Self::Panicked(_) => Some(Cause::Panicked),
            Self::Broken(_) => Some(Cause::Broken),
            Self::Hung => Some(Cause::Hung),
            Self::OutOfMemory(_) => Some(Cause::OutOfMemory),
            Self::Killed => Some(Cause::Killed),
            Self::Finished => Some(Cause::Finished),
            Self::Escalated(_) => Some(Cause::Escalated),
        }
    }

    /// Whether the end was planned: it then counts neither as a restart nor against any budget.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        self.cause().is_none()
    }

    /// Whether OTP would call the end abnormal: a transient child is then started again. A kill from outside is.
    #[must_use]
    pub fn is_abnormal(&self) -> bool {
        self.cause().is_some_and(|cause| cause != Cause::Finished)
    }

    /// The end as a short label with few values, for counters.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Recycled(_) => "recycled",
            Self::Shutdown => "shutdown",
            Self::StartFailed(_)
            | Self::Panicked(_)
            | Self::Broken(_)
            | Self::Hung
            | Self::OutOfMemory(_)
            | Self::Killed
            | Self::Finished
            | Self::Escalated(_) => self.cause().map_or("planned", Cause::label),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recycled(reason) => write!(f, "recycled ({reason})"),
            Self::StartFailed(why) => write!(f, "start failed: {why}"),
            Self::Panicked(why) => write!(f, "panicked: {why}"),
            Self::Broken(why) => write!(f, "broken: {why}"),
            Self::OutOfMemory(bytes) => write!(f, "out of memory at {:.1} MiB", mebibytes(*bytes)),
            Self::Escalated(why) => write!(f, "gave up: {why}"),
            Self::Shutdown | Self::Hung | Self::Killed | Self::Finished => f.write_str(self.label()),
        }
    }
}

/// How an actor of ours says why it fails. What fails in another way has panicked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FailedWith(pub(crate) Exit);

impl FailedWith {
    /// What the failure of an actor means.
    pub(crate) fn exit_of(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Exit {
        error.downcast_ref::<Self>().map_or_else(|| Exit::Panicked(error.to_string()), |failed| failed.0.clone())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

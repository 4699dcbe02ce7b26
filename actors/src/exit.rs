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
    /// It was killed from outside, or vanished.
    Killed,
}

impl Exit {
    /// Whether the end was planned: it then counts neither as a restart nor against any budget.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        match self {
            Self::Recycled(_) | Self::Shutdown => true,
            Self::StartFailed(_) | Self::Panicked(_) | Self::Broken(_) | Self::Hung | Self::Killed => false,
        }
    }

    /// The cause as a short label with few values, for counters.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Recycled(_) => "recycled",
            Self::Shutdown => "shutdown",
            Self::StartFailed(_) => "start_failed",
            Self::Panicked(_) => "panicked",
            Self::Broken(_) => "broken",
            Self::Hung => "hung",
            Self::Killed => "killed",
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
            Self::Shutdown | Self::Hung | Self::Killed => f.write_str(self.label()),
        }
    }
}

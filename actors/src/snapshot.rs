//! The live tree as data: what runs, in which state, since when, and what has happened to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::exit::Exit;
use crate::id::ChildId;
use crate::worker::Usage;

/// A tree and its subtrees, in start order.
#[derive(Clone, Debug, Serialize)]
pub struct TreeSnapshot {
    /// The tree's name.
    pub name: Arc<str>,
    /// `running`, `stopping` or `down`.
    pub state: &'static str,
    /// Subtrees started again since the tree was started.
    pub restarts: u64,
    /// The pools, in start order.
    pub pools: Vec<PoolSnapshot>,
}

/// One pool.
#[derive(Clone, Debug, Serialize)]
pub struct PoolSnapshot {
    /// The pool's name.
    pub name: Arc<str>,
    /// `closed`, `open`, `draining` or `spent`.
    pub phase: &'static str,
    /// Children that the pool keeps.
    pub size: u32,
    /// Callers waiting for a child.
    pub waiting: usize,
    /// Bytes of the jobs waiting and running.
    pub admitted_bytes: u64,
    /// Bytes that may be admitted.
    pub max_bytes: u64,
    /// What has happened since the pool was made.
    pub counts: PoolCounts,
    /// The last end of a child that nobody had planned.
    pub last_failure: Option<Exit>,
    /// The children, by slot and generation.
    pub children: Vec<ChildSnapshot>,
}

/// Totals since a pool was made; they survive its restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolCounts {
    /// Leases granted.
    pub leases: u64,
    /// Leases refused or not granted in time, by cause.
    pub refused: BTreeMap<&'static str, u64>,
    /// Jobs that ran to an end of their own: an output, or a failure that blames the input.
    pub jobs: u64,
    /// Jobs that ended with their child.
    pub jobs_lost: u64,
    /// Children started after a failure, by cause.
    pub restarts: BTreeMap<&'static str, u64>,
    /// Children replaced by plan, by reason.
    pub recycles: BTreeMap<&'static str, u64>,
    /// Replacements that would not start.
    pub recycles_failed: u64,
    /// Promises broken: always a bug.
    pub violations: u64,
}

/// One child.
#[derive(Clone, Debug, Serialize)]
pub struct ChildSnapshot {
    /// Pool, slot and generation.
    pub id: ChildId,
    /// `backoff`, `starting`, `idle`, `leased`, `retiring` or `stopping`.
    pub state: &'static str,
    /// How long it has been in that state.
    pub since: Duration,
    /// How long it has been up, zero before it started.
    pub age: Duration,
    /// Jobs done.
    pub jobs: u64,
    /// What it said it used after its last job.
    pub usage: Usage,
    /// How long until it is started, while in backoff.
    pub starts_in: Option<Duration>,
}

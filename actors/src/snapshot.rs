//! The live tree as data: what runs, in which state, since when, and what has happened to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::exit::Exit;
use crate::id::ChildId;
use crate::leak::Leak;
use crate::limits::MemoryLevel;
use crate::pressure::Pressure;
use crate::restart::RestartIntensity;
use crate::watchdog::Step;
use crate::worker::Usage;

/// A supervisor and what it supervises, in start order.
#[derive(Clone, Debug, Serialize)]
pub struct TreeSnapshot {
    /// The supervisor's name.
    pub name: Arc<str>,
    /// `starting`, `running`, `stopping` or `down`.
    pub state: &'static str,
    /// `one_for_one`, `one_for_all` or `rest_for_one`.
    pub strategy: &'static str,
    /// Children started again since the supervisor was made, by cause.
    pub restarts: BTreeMap<&'static str, u64>,
    /// Its children, in start order.
    pub children: Vec<NodeSnapshot>,
}

impl TreeSnapshot {
    /// All pools below, in start order.
    #[must_use]
    pub fn pools(&self) -> Vec<&PoolSnapshot> {
        self.children
            .iter()
            .flat_map(|node| match &node.detail {
                NodeDetail::Pool(pool) => vec![&**pool],
                NodeDetail::Supervisor(tree) => tree.pools(),
                NodeDetail::Service => Vec::new(),
            })
            .collect()
    }

    /// The pool called `name`, wherever it is.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&PoolSnapshot> {
        self.pools().into_iter().find(|pool| &*pool.name == name)
    }

    /// All restarts of children, of this supervisor alone.
    #[must_use]
    pub fn restarted(&self) -> u64 {
        self.restarts.values().sum()
    }
}

/// One child of a supervisor.
#[derive(Clone, Debug, Serialize)]
pub struct NodeSnapshot {
    /// Its name within its supervisor.
    pub name: Arc<str>,
    /// Its life, from 1: how often it has been started.
    pub generation: u64,
    /// `down`, `backoff`, `starting`, `running`, `stopping` or `killing`.
    pub state: &'static str,
    /// How long it has been in that state.
    pub since: Duration,
    /// `permanent`, `transient` or `temporary`.
    pub restart: &'static str,
    /// Whether its end can end its supervisor.
    pub significant: bool,
    /// Whether it was there when it was looked for last: `false` for one that was killed and would not go.
    pub answers: bool,
    /// How long until it is started, while in backoff.
    pub starts_in: Option<Duration>,
    /// How its last life ended.
    pub last_exit: Option<Exit>,
    /// What it is.
    pub detail: NodeDetail,
}

/// What a supervised child is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum NodeDetail {
    /// A pool of workers.
    Pool(Box<PoolSnapshot>),
    /// A supervisor of its own.
    Supervisor(Box<TreeSnapshot>),
    /// A long-running task.
    Service,
}

/// One pool.
#[derive(Clone, Debug, Serialize)]
pub struct PoolSnapshot {
    /// The pool's name.
    pub name: Arc<str>,
    /// `closed`, `probing`, `open`, `draining` or `spent`.
    pub phase: &'static str,
    /// Children that the pool keeps.
    pub size: u32,
    /// Children that it keeps now, while it is probing or memory is short.
    pub target: u32,
    /// How many of these batch work leaves to callers that somebody waits for.
    pub reserved: usize,
    /// Restarts that it may do, of all causes together, before it gives up.
    pub restarts_allowed: RestartIntensity,
    /// How short memory is, as the pool was told last.
    pub pressure: Pressure,
    /// Callers waiting for a child.
    pub waiting: usize,
    /// Accepted demands that have not been answered yet.
    pub open_entries: usize,
    /// Bytes of the jobs waiting and running.
    pub admitted_bytes: u64,
    /// Bytes that may be admitted.
    pub max_bytes: u64,
    /// What all children held together at the last look of the pool's memory probe, in bytes, if it has one.
    pub held_bytes: Option<u64>,
    /// Inputs that are refused as poison now.
    pub quarantined: usize,
    /// How long until its supervisor starts it again, while it is spent.
    pub back_in: Option<Duration>,
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
    /// Demands accepted: lent to at once, or put in line.
    pub accepted: u64,
    /// Answers to them, by kind: one each.
    pub answers: BTreeMap<&'static str, u64>,
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
    /// Promises broken, by the id of the promise: always a bug. `invariant_violations_total`.
    #[serde(rename = "invariant_violations_total")]
    pub violations: BTreeMap<&'static str, u64>,
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
    /// Where its memory stands against its limits.
    pub memory: MemoryLevel,
    /// `false` while its job is silent for longer than its phase allows.
    pub answers: bool,
    /// What was done last about that.
    pub hang_step: Option<Step>,
    /// The leak that was found in it.
    pub leak: Option<Leak>,
    /// How long until it is started, while in backoff.
    pub starts_in: Option<Duration>,
}

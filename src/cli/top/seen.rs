//! What a daemon says of itself, as far as it is shown here.
//!
//! Fields that this program does not know are passed over, and those that an older daemon does not send have a default: the
//! program that looks may be of another version than the one that is looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// What `/debug/tree` says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Seen {
    #[serde(default)]
    pub(crate) requests: u64,
    #[serde(default)]
    pub(crate) requests_ended: Option<u64>,
    #[serde(default)]
    pub(crate) admitted_bytes: u64,
    #[serde(default)]
    pub(crate) sandbox: Sandbox,
    #[serde(default)]
    pub(crate) pdf: Pdf,
    #[serde(default)]
    pub(crate) browser: Browser,
    #[serde(default)]
    pub(crate) egress: Egress,
    /// Without these two it is something else that has answered.
    pub(crate) memory: Memory,
    pub(crate) tree: Tree,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sandbox {
    pub(crate) pages: u64,
    pub(crate) warm_pages: u64,
    pub(crate) live_memories: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pdf {
    pub(crate) missing: Option<String>,
    pub(crate) processes: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Browser {
    pub(crate) missing: Option<String>,
    pub(crate) fleet: Option<Fleet>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fleet {
    pub(crate) started: u64,
    pub(crate) pages: u64,
    pub(crate) memory: u64,
    pub(crate) failure: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Egress {
    pub(crate) refused: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    pub(crate) pressure: String,
    pub(crate) memory: Reading,
    pub(crate) budget: u64,
    pub(crate) machine: Option<Limits>,
    pub(crate) cgroup: Option<Limits>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reading {
    pub(crate) resident: u64,
    pub(crate) processes: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    pub(crate) total: u64,
    pub(crate) used: u64,
}

/// What has happened so far, by kind.
pub(crate) type Counts = BTreeMap<String, u64>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tree {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) strategy: String,
    pub(crate) restarts: Counts,
    pub(crate) children: Vec<Node>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) generation: u64,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) since: Duration,
    #[serde(default = "yes")]
    pub(crate) answers: bool,
    #[serde(default)]
    pub(crate) starts_in: Option<Duration>,
    #[serde(default)]
    pub(crate) last_exit: Option<Value>,
    #[serde(default)]
    pub(crate) detail: Detail,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Detail {
    Pool(Box<Pool>),
    Supervisor(Box<Tree>),
    /// A service, or what is not known here.
    #[default]
    #[serde(other)]
    Service,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) phase: String,
    pub(crate) size: u64,
    pub(crate) target: u64,
    pub(crate) waiting: u64,
    pub(crate) held_bytes: Option<u64>,
    pub(crate) quarantined: u64,
    pub(crate) back_in: Option<Duration>,
    pub(crate) counts: PoolCounts,
    pub(crate) last_failure: Option<Value>,
    pub(crate) children: Vec<Child>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PoolCounts {
    pub(crate) refused: Counts,
    pub(crate) jobs: u64,
    pub(crate) jobs_lost: u64,
    pub(crate) restarts: Counts,
    pub(crate) recycles: Counts,
    #[serde(rename = "invariant_violations_total")]
    pub(crate) violations: Counts,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Child {
    /// `POOL/SLOT#GENERATION`.
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) since: Duration,
    #[serde(default)]
    pub(crate) age: Duration,
    #[serde(default)]
    pub(crate) jobs: u64,
    #[serde(default)]
    pub(crate) usage: Usage,
    #[serde(default)]
    pub(crate) memory: String,
    #[serde(default = "yes")]
    pub(crate) answers: bool,
    #[serde(default)]
    pub(crate) hang_step: Option<String>,
    #[serde(default)]
    pub(crate) leak: Option<Value>,
    #[serde(default)]
    pub(crate) starts_in: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) last_job_bytes: u64,
}

/// What `/readyz` says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ready {
    pub(crate) ready: bool,
    /// `false` while it drains.
    pub(crate) open: bool,
    /// What a request needs, and whether it is there.
    pub(crate) engine: BTreeMap<String, bool>,
}

fn yes() -> bool {
    true
}

impl Child {
    /// Its slot and its life, as its name says.
    pub(crate) fn place(&self) -> Option<(u32, u64)> {
        let (place, generation) = self.id.rsplit_once('#')?;
        let (_, slot) = place.rsplit_once('/')?;
        Some((slot.parse().ok()?, generation.parse().ok()?))
    }
}

impl Tree {
    /// All pools below, in start order.
    pub(crate) fn pools(&self) -> Vec<&Pool> {
        self.children
            .iter()
            .flat_map(|node| match &node.detail {
                Detail::Pool(pool) => vec![&**pool],
                Detail::Supervisor(tree) => tree.pools(),
                Detail::Service => Vec::new(),
            })
            .collect()
    }

    /// Restarts of children of supervisors, of this one and of all below.
    pub(crate) fn restarted(&self) -> u64 {
        let below = self.children.iter().map(|node| match &node.detail {
            Detail::Supervisor(tree) => tree.restarted(),
            Detail::Pool(_) | Detail::Service => 0,
        });
        total(&self.restarts).saturating_add(below.fold(0, u64::saturating_add))
    }
}

/// All kinds together.
pub(crate) fn total(counts: &Counts) -> u64 {
    counts.values().copied().fold(0, u64::saturating_add)
}

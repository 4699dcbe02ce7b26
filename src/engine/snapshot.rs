//! What an engine tells of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use eventmesh_actors::{ControlGroupsSnapshot, GovernorSnapshot, TreeSnapshot};
use eventmesh_extractors::wasm::SandboxUsage;
use serde::Serialize;

use crate::browser::BrowserSnapshot;
use crate::cache::Counts;
use crate::fetch::FetchSnapshot;

/// What has been done so far, and what is being done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Requests that have ended.
    pub(crate) ended: u64,
    /// Requests that are being worked on.
    pub(crate) at_work: usize,
    /// How far the one of them that should have ended first is past its deadline; `None` if none is.
    pub(crate) overdue: Option<Duration>,
    /// Looks that the governor has taken.
    pub(crate) looks: u64,
}

/// What a request needs to be worked on, and whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// A worker for HTML is up.
    pub workers: bool,
    /// There is room for one more request.
    pub room: bool,
    /// Memory is not so short that everybody is sent away.
    pub memory: bool,
}

impl Readiness {
    /// All of it is there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.workers && self.room && self.memory
    }
}

/// What an engine is doing.
#[derive(Clone, Debug, Serialize)]
pub struct EngineSnapshot {
    /// Requests being worked on.
    pub requests: usize,
    /// Requests that have ended so far, whatever the end.
    pub requests_ended: u64,
    /// Bytes of their pages.
    pub admitted_bytes: u64,
    /// The sandbox.
    pub sandbox: SandboxSnapshot,
    /// What reads PDFs.
    pub pdf: PdfSnapshot,
    /// What renders pages.
    pub browser: BrowserSnapshot,
    /// Connections to others.
    pub egress: EgressSnapshot,
    /// Events that slow readers have missed, all readers together.
    pub events_missed: u64,
    /// The control groups of processes.
    pub control_groups: ControlGroupsSnapshot,
    /// How sites are treated.
    pub fetch: FetchSnapshot,
    /// What is kept of pages, if anything is.
    pub cache: Option<Counts>,
    /// What is held, and how short memory is.
    pub memory: GovernorSnapshot,
    /// The live tree.
    pub tree: TreeSnapshot,
}

/// Connections to others.
#[derive(Clone, Debug, Serialize)]
pub struct EgressSnapshot {
    /// Those that the policy has refused so far.
    pub refused: u64,
    /// The same by why, in a word.
    pub why: BTreeMap<&'static str, u64>,
}

/// What reads PDFs, or why nothing does.
#[derive(Clone, Debug, Serialize)]
pub struct PdfSnapshot {
    /// libpdfium, by its path.
    pub library: Option<String>,
    /// Why PDFs cannot be read, if so.
    pub missing: Option<String>,
    /// How the processes are confined, once one has come up.
    pub confinement: Option<String>,
    /// Processes that are there now.
    pub processes: usize,
}

/// What the sandbox holds and has done.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SandboxSnapshot {
    /// Pages run.
    pub pages: u64,
    /// Those of them that found a warm slot.
    pub warm_pages: u64,
    /// Linear memories in use.
    pub live_memories: usize,
    /// Bytes that unused slots keep resident.
    pub resident_unused_bytes: usize,
}

impl From<SandboxUsage> for SandboxSnapshot {
    fn from(usage: SandboxUsage) -> Self {
        Self {
            pages: usage.pages,
            warm_pages: usage.warm_pages,
            live_memories: usage.live,
            resident_unused_bytes: usage.resident_unused,
        }
    }
}

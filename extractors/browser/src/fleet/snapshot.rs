//! What a fleet tells of itself.

use serde::Serialize;

use super::policy::Retirement;

/// What a fleet is doing.
#[derive(Clone, Debug, Serialize)]
pub struct FleetSnapshot {
    /// Chromium, by its path.
    pub chromium: String,
    /// The version of the browser in use, if one is.
    pub version: Option<String>,
    /// Its number, and how many were started so far.
    pub browser: Option<u64>,
    /// How many were started so far.
    pub started: u64,
    /// Pages that it was asked for.
    pub pages: u64,
    /// Pages that are in it.
    pub leases: usize,
    /// Browsers that finish their pages.
    pub draining: usize,
    /// Bytes (PSS) of its processes when they were added up last.
    pub memory: u64,
    /// Whether it confines its own processes; none as long as none has come up.
    pub sandboxed: Option<bool>,
    /// Why not, if it was tried.
    pub unsandboxed_because: Option<String>,
    /// Why the last start failed, if it did.
    pub failure: Option<String>,
    /// How many were replaced, and why.
    pub retired: Vec<(Retirement, u64)>,
}

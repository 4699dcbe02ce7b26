//! What a started process does to itself, first thing: ties its life to its parent's, and limits itself.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit};

use super::{PARENT, SCRATCH};

/// Limits that a process sets on itself. It never dumps core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelfLimits {
    /// Bytes of address space.
    pub address_space: Option<u64>,
    /// Time on the processor, in whole seconds, rounded up.
    pub processor: Option<Duration>,
    /// Open files.
    pub open_files: Option<u64>,
}

/// Why a process must not go on.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// It was not started by a [`ProcessHost`](super::ProcessHost).
    #[error("this was not started by an engine, and is of no use by itself")]
    Stray,
    /// Whoever started it is gone already.
    #[error("whoever started this is gone")]
    Orphaned,
    /// A limit could not be set.
    #[error("failed to limit this process")]
    Limit(#[source] io::Error),
}

/// Makes the calling process die with the one that started it, and sets `limits`. To be called first thing in `main`.
/// Returns its scratch directory.
///
/// # Errors
/// See [`EntryError`]; the process should end then.
pub fn enter(limits: &SelfLimits) -> Result<PathBuf, EntryError> {
    let parent: i32 = std::env::var(PARENT).ok().and_then(|parent| parent.parse().ok()).ok_or(EntryError::Stray)?;
    let scratch = std::env::var_os(SCRATCH).ok_or(EntryError::Stray)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| EntryError::Limit(error.into()))?;
    // If it died before that, there is another parent now, and no signal will come.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        return Err(EntryError::Orphaned);
    }
    let both = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    let mut set = vec![(Resource::Core, 0)];
    set.extend(limits.address_space.map(|bytes| (Resource::As, bytes)));
    set.extend(limits.processor.map(|time| (Resource::Cpu, time.as_secs() + u64::from(time.subsec_nanos() > 0))));
    set.extend(limits.open_files.map(|files| (Resource::Nofile, files)));
    for (resource, limit) in set {
        setrlimit(resource, both(limit)).map_err(|error| EntryError::Limit(error.into()))?;
    }
    Ok(scratch.into())
}

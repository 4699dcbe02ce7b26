//! The processes of an engine under trial, found from outside.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::os::{families, proc_text};

/// All processes whose scratch directories lie in one place, and theirs.
#[derive(Debug)]
pub struct Family {
    scratch: PathBuf,
}

impl Family {
    /// Those of the engine that has its scratch directories in `scratch`.
    #[must_use]
    pub fn of(scratch: &Path) -> Self {
        Self { scratch: scratch.to_owned() }
    }

    /// Each with its command line.
    #[must_use]
    pub fn members(&self) -> Vec<(Pid, String)> {
        let place = self.scratch.to_string_lossy().into_owned();
        let here = |pid: u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&self.scratch));
        let found = families(|pid| here(pid) || proc_text(pid, "cmdline").contains(&place));
        found.into_iter().filter_map(|(pid, command)| Some((Pid::from_raw(i32::try_from(pid).ok()?)?, command))).collect()
    }

    /// Signals one of those whose command line `fits`; returns whether there was one.
    #[must_use]
    pub fn signal(&self, which: u32, signal: Signal, fits: impl Fn(&str) -> bool) -> bool {
        let fit: Vec<Pid> = self.members().into_iter().filter(|(_, command)| fits(command)).map(|(pid, _)| pid).collect();
        let pid = fit.get(which as usize % fit.len().max(1));
        pid.is_some_and(|pid| kill_process(*pid, signal).is_ok())
    }

    /// What of it is still there, processes and directories.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let mut left: Vec<String> =
            self.members().into_iter().map(|(pid, command)| format!("process {pid:?}: {command}")).collect();
        left.extend(directories(&self.scratch));
        left
    }
}

/// The directories in `place`.
pub(super) fn directories(place: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(place).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.path().display().to_string()).collect()
}

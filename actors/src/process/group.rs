//! Process groups, by their numbers.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::watch;

use crate::progress::Interrupt;

/// Signals the whole group, as long as its number is its own.
pub(super) fn signal(pid: Pid, buried: &Mutex<bool>, signal: Signal) {
    let buried = buried.lock().unwrap_or_else(PoisonError::into_inner);
    if !*buried {
        kill_group(pid, signal);
    }
}

/// How many processes are in the group of `pid`, zombies included.
pub(super) fn members(pid: Pid) -> usize {
    groups().filter(|(_, group)| *group == pid).count()
}

/// All processes there are, each with its group.
pub(super) fn groups() -> impl Iterator<Item = (u32, Pid)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    processes.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name in parentheses: state, parent, group.
        let group = stat.rsplit(')').next()?.split_ascii_whitespace().nth(2)?.parse().ok()?;
        Some((pid, Pid::from_raw(group)?))
    })
}

pub(super) fn kill_group(pid: Pid, signal: Signal) {
    // A group that is gone needs no signal.
    let _ = kill_process_group(pid, signal);
}

/// The process group of a child, for whoever may have to end it.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) pid: Pid,
    /// Whether the number has been given back; locked while it is, and while it is used.
    pub(super) buried: Arc<Mutex<bool>>,
    pub(super) end: watch::Receiver<Option<ExitStatus>>,
}

impl Group {
    /// Signals the whole group, as long as its number is its own.
    pub(super) fn signal(&self, which: Signal) {
        signal(self.pid, &self.buried, which);
    }
}

impl Interrupt for Group {
    fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
    }
}

//! Process groups, by their numbers.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::sync::watch;

use crate::progress::Interrupt;

/// Signals the whole group, as long as its number is its own.
pub(super) fn signal(pid: Pid, buried: &Mutex<bool>, signal: Signal) {
    let buried = buried.lock().unwrap_or_else(PoisonError::into_inner);
    if !*buried {
        kill_group(pid, signal);
    }
}

/// A process, as `/proc` has it.
#[derive(Clone, Copy, Debug)]
struct Member {
    pid: u32,
    parent: u32,
    group: Pid,
    /// It has ended, and its parent has not taken note yet.
    zombie: bool,
}

impl Member {
    fn of(pid: u32, stat: &str) -> Option<Self> {
        // After the name in parentheses: state, parent, group.
        let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace();
        let zombie = matches!(fields.next()?, "Z" | "X");
        Some(Self { pid, parent: fields.next()?.parse().ok()?, group: Pid::from_raw(fields.next()?.parse().ok()?)?, zombie })
    }

    /// All there are.
    fn all() -> impl Iterator<Item = Self> {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        processes.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Self::of(pid, &std::fs::read_to_string(entry.path().join("stat")).ok()?)
        })
    }
}

/// How many processes of the group of `pid` still run. Those that have ended do nothing any more, whenever their parents take
/// note of it; where that is this process, because it is the first one of a container, it does so here.
pub(super) fn running(pid: Pid) -> usize {
    let own = std::process::id();
    let mut running = 0;
    for member in Member::all().filter(|member| member.group == pid) {
        if !member.zombie {
            running += 1;
        } else if member.parent == own
            && let Some(orphan) = i32::try_from(member.pid).ok().and_then(Pid::from_raw).filter(|orphan| *orphan != pid)
        {
            // Whoever has been before us has done it.
            let _ = waitid(WaitId::Pid(orphan), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
    running
}

/// All processes there are, each with its group.
pub(super) fn groups() -> impl Iterator<Item = (u32, Pid)> {
    Member::all().map(|member| (member.pid, member.group))
}

/// Those of the group of `pid` that there are.
pub(super) fn members(pid: Pid) -> Vec<u32> {
    groups().filter(|(_, group)| *group == pid).map(|(member, _)| member).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_a_process_is_read_whatever_its_name() {
        let member = Member::of(7, "7 (a) Z 1 (b)) S 3 5 5 0 -1").expect("it is whole");
        assert_eq!((member.parent, member.group.as_raw_nonzero().get(), member.zombie), (3, 5, false));
        assert!(Member::of(7, "7 (x) Z 3 5 5").is_some_and(|member| member.zombie));
        for garbage in ["", "7 (x)", "7 (x) S", "7 (x) S 1", "7 (x) S 1 0", "7 (x) S a b"] {
            assert!(Member::of(7, garbage).is_none(), "{garbage}");
        }
    }
}

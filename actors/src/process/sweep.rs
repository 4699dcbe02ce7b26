//! What dead engines have left: processes that outlived them, and scratch directories.
//!
//! Every engine has a directory of its own below the root and holds a lock on a file in it, which the kernel gives
//! back however the engine ends. So a directory whose lock can be had belongs to nobody. Its processes are known by the
//! mark in their environment, which they and all their descendants have; each is looked at again after it has been
//! pinned by a descriptor, so that no innocent one that got the same number is hit.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;

use super::INSTANCE;

/// What was swept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Directories of dead engines.
    pub directories: u32,
    /// Processes killed.
    pub processes: u32,
    /// Directories that could not be removed, with the reason.
    pub failed: Vec<String>,
}

const PREFIX: &str = "engine-";

/// Sweeps `root` and claims a directory in it.
pub(super) fn claim(root: &Path) -> io::Result<(PathBuf, File, Swept)> {
    fs::create_dir_all(root)?;
    // Engines that start at the same time take turns: a directory that is made but not locked yet is no dead one.
    let turn = lock_file(&root.join("turn"))?;
    flock(turn.as_fd(), FlockOperation::LockExclusive)?;
    let swept = sweep(root)?;
    for _try in 0..100 {
        // Never used twice, anywhere: it is the mark that processes are known by.
        let directory = root.join(format!("{PREFIX}{}-{:016x}", std::process::id(), fastrand::u64(..)));
        match fs::create_dir(&directory) {
            Ok(()) => {
                let lock = lock_file(&directory.join("lock"))?;
                flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive)?;
                return Ok((directory, lock, swept));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no name is left for a scratch directory"))
}

fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

fn sweep(root: &Path) -> io::Result<Swept> {
    let mut swept = Swept::default();
    for entry in fs::read_dir(root)?.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let directory = entry.path();
        let lock = match OpenOptions::new().write(true).open(directory.join("lock")) {
            Ok(lock) => Some(lock),
            // Its engine died before it had one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => continue,
        };
        if lock.is_some_and(|lock| flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err()) {
            continue;
        }
        swept.processes += kill_marked(&name);
        match fs::remove_dir_all(&directory) {
            Ok(()) => swept.directories += 1,
            Err(error) => swept.failed.push(format!("{}: {error}", directory.display())),
        }
    }
    if swept != Swept::default() {
        let Swept { directories, processes, failed } = &swept;
        tracing::warn!(directories, processes, ?failed, "swept what a dead engine had left");
    }
    Ok(swept)
}

/// Kills every process with the mark of the engine `instance`; they may start others meanwhile, so until there is none.
fn kill_marked(instance: &str) -> u32 {
    let mark = format!("{INSTANCE}={instance}");
    let mut killed = BTreeSet::new();
    for _round in 0..10 {
        let before = killed.len();
        for pid in processes() {
            let Some(pidfd) = marked(pid, &mark).then(|| pidfd_open(pid, PidfdFlags::empty()).ok()).flatten() else { continue };
            // Pinned now: if it is still the one with the mark, the signal cannot hit another.
            if marked(pid, &mark) && pidfd_send_signal(pidfd, Signal::KILL).is_ok() {
                killed.insert(pid.as_raw_nonzero());
            }
        }
        if killed.len() == before {
            break;
        }
    }
    u32::try_from(killed.len()).unwrap_or(u32::MAX)
}

fn processes() -> Vec<Pid> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    numbers.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// A zombie has no environment, and is its parent's to bury.
fn marked(pid: Pid, mark: &str) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
}

//! Processes as `/proc` has them.

use std::path::PathBuf;

/// A process. Its number alone may be another's a moment later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    parent: u32,
    began: u64,
    zombie: bool,
    name: String,
}

fn of(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        began: fields.get(19)?.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        name: before.split_once('(')?.1.to_owned(),
    })
}

fn all() -> Vec<Process> {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    numbers.filter_map(|entry| of(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// All that `pid` has started, and what that has started.
pub(crate) fn below(pid: u32) -> Vec<Process> {
    let all = all();
    let mut parents = vec![pid];
    let mut found: Vec<Process> = Vec::new();
    while let Some(parent) = parents.pop() {
        let children = all.iter().filter(|process| process.parent == parent);
        parents.extend(children.clone().map(|child| child.pid));
        found.extend(children.cloned());
    }
    found
}

/// Whether it runs no more. One that nobody has buried yet does nothing, either.
pub(crate) fn gone(process: &Process) -> bool {
    of(process.pid).is_none_or(|now| now.began != process.began || now.zombie)
}

/// Processes that bear the mark of an engine whose scratch directory is one of these.
pub(crate) fn of_engines(scratch: &[PathBuf]) -> Vec<Process> {
    let marks: Vec<String> =
        scratch.iter().filter_map(|path| Some(format!("EVENTMESH_INSTANCE={}", path.file_name()?.to_str()?))).collect();
    let marked = |process: &Process| {
        let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| marks.iter().any(|mark| mark.as_bytes() == variable))
    };
    all().into_iter().filter(|process| !process.zombie && marked(process)).collect()
}

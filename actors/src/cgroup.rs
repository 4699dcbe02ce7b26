//! A control group of its own for every tree of processes, where a service manager has handed its group over to this program.
//!
//! ```text
//!   eventmesh.service          handed over (Delegate=); holds groups only, as the kernel wants it where limits are set
//!    ├─ daemon                 this process
//!    ├─ pages-7                one tree: limited as a whole, killed as a whole, whatever its processes do to themselves
//!    └─ pages-8
//! ```
//! - A process is moved in right after its start, by the thread that minds it: nothing runs between fork and exec, so that it
//!   cannot do so itself. What it has started before that is looked for and moved after it; from then on whatever it starts is
//!   born inside. So at most the first moments of a tree are not limited, and nothing of it is outside when anybody is told
//!   of it.
//! - That a directory can be written to does not say that it is ours: root can write to all of them. What counts is the mark
//!   that the service manager sets.
//! - Where nothing is handed over, there are no groups, and process groups have to do.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// The group of this process itself.
const LEAF: &str = "daemon";
/// Controllers that are handed on, if they are there: without the first there are no limits of memory.
const MEMORY: &str = "memory";
const PIDS: &str = "pids";
/// How often a name is tried that is taken.
const NAMES: u32 = 1_000;

/// Why there are no control groups.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDelegated {
    /// The kernel has none, or they are not mounted.
    #[error("control groups of version 2 are not mounted")]
    NoHierarchy,
    /// They are somebody else's.
    #[error("the control group {} is not handed over to this program; systemd does so with Delegate=memory pids", group.display())]
    NotOurs {
        /// That of this process.
        group: PathBuf,
    },
    /// They were handed over and are of no use.
    #[error("the control group {} cannot be used: {why}", group.display())]
    Unusable {
        /// The one that was handed over.
        group: PathBuf,
        /// The system's reason.
        why: String,
    },
}

/// Whether process trees have control groups, for people to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ControlGroupsSnapshot {
    /// The group that theirs are in.
    pub group: Option<PathBuf>,
    /// Whether limits of memory can be set there.
    pub memory: bool,
    /// Trees that have none although they should.
    pub failed: u64,
    /// Why there are none at all.
    pub missing: Option<String>,
}

/// A group that was handed over, and in which every process tree gets one of its own. Clones are the same one.
#[derive(Clone, Debug)]
pub struct ControlGroups {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    base: PathBuf,
    memory: bool,
    next: AtomicU64,
    failed: AtomicU64,
}

impl ControlGroups {
    /// Takes over the group that was handed to this process, and moves the process itself into a group below it if need be. For
    /// programs that are a service, not for libraries in somebody else's process.
    ///
    /// # Errors
    /// See [`NotDelegated`]. Then nothing has changed, but that the process may be in a group of its own.
    pub fn adopt() -> Result<Self, NotDelegated> {
        Self::adopt_below(Path::new("/"), marked)
    }

    /// The same with the kernel's files below `root`.
    fn adopt_below(root: &Path, marked: impl Fn(&Path) -> bool) -> Result<Self, NotDelegated> {
        let own = own_group(root).ok_or(NotDelegated::NoHierarchy)?;
        let Some(handed) = handed_over(&own, marked) else { return Err(NotDelegated::NotOurs { group: own }) };
        let (Handed::Whole(base) | Handed::Above(base)) = &handed;
        let unusable = |error: io::Error| NotDelegated::Unusable { group: base.clone(), why: error.to_string() };
        if let Handed::Whole(base) = &handed {
            let leaf = base.join(LEAF);
            match std::fs::create_dir(&leaf) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
                Ok(()) | Err(_) => {}
            }
            // All threads of this process at once.
            std::fs::write(leaf.join("cgroup.procs"), "0").map_err(unusable)?;
        }
        let text = std::fs::read_to_string(base.join("cgroup.controllers")).map_err(unusable)?;
        let there: BTreeSet<&str> = text.split_ascii_whitespace().collect();
        let mut memory = false;
        for controller in [MEMORY, PIDS].into_iter().filter(|controller| there.contains(controller)) {
            // Together they would be refused together.
            match std::fs::write(base.join("cgroup.subtree_control"), format!("+{controller}")) {
                Ok(()) => memory |= controller == MEMORY,
                Err(error) => tracing::warn!(%error, controller, "a controller cannot be handed on to the groups of processes"),
            }
        }
        let inner = Inner { base: base.clone(), memory, next: AtomicU64::new(1), failed: AtomicU64::new(0) };
        let groups = Self { inner: Arc::new(inner) };
        groups.sweep();
        Ok(groups)
    }

    /// How it is, for people.
    #[must_use]
    pub fn snapshot(&self) -> ControlGroupsSnapshot {
        let Inner { base, memory, failed, .. } = &*self.inner;
        let failed = failed.load(Ordering::Relaxed);
        ControlGroupsSnapshot { group: Some(base.clone()), memory: *memory, failed, missing: None }
    }

    /// Removes groups that an earlier life has left and that nobody is in. The kernel refuses to remove others.
    fn sweep(&self) {
        let entries = std::fs::read_dir(&self.inner.base).into_iter().flatten().filter_map(Result::ok);
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let numbered = name.rsplit_once('-').is_some_and(|(_, number)| number.parse::<u64>().is_ok());
            if numbered && std::fs::remove_dir(entry.path()).is_ok() {
                tracing::info!(group = name, "swept a control group");
            }
        }
    }

    /// A group for the tree of a process called `name`, that may have `memory` bytes. `None`, which is told, if there can be none:
    /// a process without is better than no process.
    pub(crate) fn open(&self, name: &str, memory: Option<u64>) -> Option<TreeGroup> {
        let opened = self.create(name).and_then(|group| {
            let limited = self.limit(&group, memory);
            if limited.is_err() {
                // Nobody is in it yet.
                let _ = std::fs::remove_dir(&group.path);
            }
            limited.map(|()| group)
        });
        opened.map_err(|error| self.failed(name, &error)).ok()
    }

    fn create(&self, name: &str) -> io::Result<TreeGroup> {
        let plain = plain(name);
        for _ in 0..NAMES {
            let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
            let path = self.inner.base.join(format!("{plain}-{number}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(TreeGroup { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no name is left for a control group"))
    }

    fn limit(&self, group: &TreeGroup, memory: Option<u64>) -> io::Result<()> {
        if !self.inner.memory {
            return Ok(());
        }
        // Half a tree is of no use, and its other half may wait for ever.
        std::fs::write(group.path.join("memory.oom.group"), "1")?;
        memory.map_or(Ok(()), |bytes| std::fs::write(group.path.join("memory.max"), bytes.to_string()))
    }

    /// A tree has no group although it should.
    pub(crate) fn failed(&self, name: &str, error: &io::Error) {
        self.inner.failed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, name, "processes have no control group of their own");
    }
}

/// The group of one tree of processes.
#[derive(Debug)]
pub(crate) struct TreeGroup {
    path: PathBuf,
}

impl TreeGroup {
    /// Moves a process in, with all its threads.
    pub(crate) fn take_in(&self, pid: u32) -> io::Result<()> {
        std::fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// Moves in `first` and those of `others` that are outside, until there are none: what they start then is born inside.
    pub(crate) fn take_in_all(&self, first: u32, others: impl Fn() -> Vec<u32>) -> io::Result<()> {
        self.take_in(first)?;
        for _round in 0..ROUNDS {
            let inside: BTreeSet<u32> = self.members();
            let outside: Vec<u32> = others().into_iter().filter(|pid| !inside.contains(pid)).collect();
            if outside.is_empty() {
                return Ok(());
            }
            for pid in outside {
                match self.take_in(pid) {
                    // It has ended meanwhile.
                    Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                    taken => taken?,
                }
            }
        }
        Ok(())
    }

    fn members(&self) -> BTreeSet<u32> {
        let text = std::fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// Kills all that is in it at once, whatever group of processes or session it has put itself into.
    pub(crate) fn kill(&self) {
        // Older kernels than 5.14 cannot, and the process group is signalled in any case.
        let _ = std::fs::write(self.path.join("cgroup.kill"), "1");
    }

    /// Whether nothing in it runs any more.
    pub(crate) fn is_empty(&self) -> bool {
        let events = std::fs::read_to_string(self.path.join("cgroup.events")).unwrap_or_default();
        !events.lines().any(|line| line == "populated 1")
    }

    /// Removes it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Generations of processes that a tree may have had before it was moved. More than one is rare already.
const ROUNDS: u32 = 8;

/// What was handed over.
#[derive(Debug, PartialEq, Eq)]
enum Handed {
    /// The group that this process is in, which it has to leave for one below: groups with limits hold no processes.
    Whole(PathBuf),
    /// The one above it.
    Above(PathBuf),
}

/// Which group was handed over: the one of this process, or the one above if the service manager has put it into a leaf already.
fn handed_over(own: &Path, marked: impl Fn(&Path) -> bool) -> Option<Handed> {
    if marked(own) {
        return Some(Handed::Whole(own.to_owned()));
    }
    own.parent().filter(|above| marked(above)).map(|above| Handed::Above(above.to_owned()))
}

/// The directory of the group of this process.
fn own_group(root: &Path) -> Option<PathBuf> {
    let top = root.join("sys/fs/cgroup");
    if !top.join("cgroup.controllers").exists() {
        return None;
    }
    let text = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(top.join(path.trim_start_matches('/')))
}

/// Whether systemd has marked a group as handed over.
fn marked(group: &Path) -> bool {
    let mut value = [0; 8];
    ["user.delegate", "trusted.delegate"].into_iter().any(|mark| {
        let read = rustix::fs::getxattr(group, mark, &mut value[..]).unwrap_or(0);
        value.get(..read) == Some(b"1")
    })
}

/// A name that is one for a directory, too.
fn plain(name: &str) -> String {
    let plain: String = name.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '-' }).take(48).collect();
    if plain.is_empty() { "process".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{ProcessHost, ProcessSpec};

    /// A made-up machine. Its files hold what was written to them last; nobody acts on it.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("eventmesh-cgroup-{name}-{}", std::process::id()));
            let machine = Self(root);
            for (path, text) in files {
                machine.write(path, text);
            }
            machine
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("own directory");
            std::fs::write(path, text).expect("own directory");
        }

        fn read(&self, path: &str) -> String {
            std::fs::read_to_string(self.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        }

        fn adopt(&self, handed: &str) -> Result<ControlGroups, NotDelegated> {
            let handed = self.0.join(handed);
            ControlGroups::adopt_below(&self.0, |group| group == handed)
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const SERVICE: &str = "sys/fs/cgroup/system.slice/eventmesh.service";
    const TOP: (&str, &str) = ("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");

    fn service(name: &str, controllers: &str) -> Machine {
        let machine = Machine::new(name, &[TOP, ("proc/self/cgroup", "0::/system.slice/eventmesh.service\n")]);
        machine.write(&format!("{SERVICE}/cgroup.controllers"), controllers);
        machine
    }

    #[test]
    fn a_group_that_was_handed_over_is_left_for_a_leaf_and_hands_its_controllers_on() {
        let machine = service("whole", "cpu memory pids\n");
        machine.write(&format!("{SERVICE}/old-3/x"), "somebody is in there");
        std::fs::create_dir(machine.0.join(SERVICE).join("old-4")).expect("own directory");
        std::fs::create_dir(machine.0.join(SERVICE).join("control")).expect("own directory");
        let groups = machine.adopt(SERVICE).expect("it was handed over");
        assert_eq!(machine.read(&format!("{SERVICE}/daemon/cgroup.procs")), "0");
        assert_eq!(machine.read(&format!("{SERVICE}/cgroup.subtree_control")), "+pids", "the last of two");
        let there = |name: &str| machine.0.join(SERVICE).join(name).exists();
        assert_eq!((there("old-3"), there("old-4"), there("control")), (true, false, true), "only what is empty and was ours");
        let snapshot = groups.snapshot();
        assert_eq!((snapshot.group, snapshot.memory, snapshot.missing), (Some(machine.0.join(SERVICE)), true, None));
    }

    #[test]
    fn a_process_that_is_in_a_leaf_already_stays_there() {
        let leaf = "0::/system.slice/eventmesh.service/main\n";
        let machine = Machine::new("leaf", &[TOP, ("proc/self/cgroup", leaf)]);
        machine.write(&format!("{SERVICE}/cgroup.controllers"), "memory\n");
        let groups = machine.adopt(SERVICE).expect("it was handed over");
        assert!(!machine.0.join(SERVICE).join(LEAF).exists());
        assert_eq!(machine.read(&format!("{SERVICE}/cgroup.subtree_control")), "+memory");
        assert!(groups.snapshot().memory);
    }

    #[test]
    fn where_nothing_was_handed_over_nothing_is_touched_and_it_is_said_why() {
        let machine = service("not-ours", "memory\n");
        let missing = machine.adopt("sys/fs/cgroup").expect_err("it is somebody else's");
        assert_eq!(missing, NotDelegated::NotOurs { group: machine.0.join(SERVICE) });
        assert!(missing.to_string().contains("Delegate="), "{missing}");
        assert!(!machine.0.join(SERVICE).join(LEAF).exists());
        let old = Machine::new("v1", &[("proc/self/cgroup", "4:memory:/a\n0::/\n")]);
        assert_eq!(old.adopt("sys/fs/cgroup").expect_err("version 1"), NotDelegated::NoHierarchy);
        let broken = Machine::new("broken", &[TOP, ("proc/self/cgroup", "0::/gone\n")]);
        let missing = broken.adopt("sys/fs/cgroup/gone").expect_err("it is not there");
        assert!(matches!(missing, NotDelegated::Unusable { .. }), "{missing}");
    }

    #[test]
    fn a_tree_has_a_group_with_its_limits_which_goes_with_it() {
        let machine = service("tree", "memory\n");
        let groups = machine.adopt(SERVICE).expect("it was handed over");
        std::fs::create_dir(machine.0.join(SERVICE).join("pages-7-1")).expect("somebody has the name");
        let group = groups.open("pages#7", Some(1 << 20)).expect("it is made");
        let at = |file: &str| format!("{SERVICE}/pages-7-2/{file}");
        assert_eq!(machine.read(&at("memory.max")), "1048576");
        assert_eq!(machine.read(&at("memory.oom.group")), "1");
        group.take_in(42).expect("it is there");
        assert_eq!(machine.read(&at("cgroup.procs")), "42");
        machine.write(&at("cgroup.events"), "populated 1\nfrozen 0\n");
        assert!(!group.is_empty());
        group.kill();
        assert_eq!(machine.read(&at("cgroup.kill")), "1");
        assert!(group.remove().is_err(), "as long as there is something in it");
        machine.write(&at("cgroup.events"), "populated 0\nfrozen 0\n");
        assert!(group.is_empty());
        std::fs::remove_dir_all(&group.path).expect("as the kernel does");
        group.remove().expect("it is gone already");
    }

    #[test]
    fn without_the_controller_there_are_groups_and_no_limits() {
        let machine = service("no-memory", "cpu\n");
        let groups = machine.adopt(SERVICE).expect("it was handed over");
        assert!(!groups.snapshot().memory);
        let group = groups.open("a", Some(1)).expect("it is made");
        assert!(!group.path.join("memory.max").exists());
        std::fs::remove_dir_all(machine.0.join(SERVICE)).expect("own directory");
        assert!(groups.open("b", None).is_none(), "its place is gone");
        assert_eq!(groups.snapshot().failed, 1);
    }

    #[test]
    fn what_was_started_before_the_move_is_moved_too() {
        let machine = service("stragglers", "memory\n");
        let group = machine.adopt(SERVICE).expect("it was handed over").open("a", None).expect("it is made");
        let scans = std::cell::Cell::new(0);
        let others = || {
            scans.set(scans.get() + 1);
            // The file holds one line only: the one that was written last.
            if scans.get() == 1 { vec![1, 2] } else { vec![2] }
        };
        group.take_in_all(1, others).expect("they are there");
        assert_eq!((scans.get(), group.members()), (2, BTreeSet::from([2])));
    }

    #[tokio::test]
    async fn a_process_is_in_its_group_before_anybody_hears_of_it_and_the_group_ends_with_it() {
        let machine = service("process", "memory\n");
        let groups = machine.adopt(SERVICE).expect("it was handed over");
        let host = ProcessHost::open_in(&machine.0.join("scratch"), Some(groups)).expect("own directory");
        let mut spec = ProcessSpec::new("/bin/sleep").argument("600");
        (spec.memory, spec.ask_grace) = (Some(4096), std::time::Duration::ZERO);
        let process = host.spawn(&spec, "pages/0#1").await.expect("it starts");
        let at = |file: &str| format!("{SERVICE}/pages-0-1-1/{file}");
        assert_eq!(machine.read(&at("cgroup.procs")), process.pid().to_string());
        assert_eq!(machine.read(&at("memory.max")), "4096");
        process.stop().await;
        assert_eq!(machine.read(&at("cgroup.kill")), "1");
        std::fs::remove_dir_all(machine.0.join(at(""))).expect("as the kernel does");
        host.close().await;
        assert!(!host.directory().exists());
    }

    #[test]
    fn names_are_names_of_directories() {
        for (name, plainly) in [("pages/3#17", "pages-3-17"), ("../x", "---x"), ("", "process"), ("ä b", "--b")] {
            assert_eq!(plain(name), plainly, "{name}");
        }
        assert_eq!(plain(&"x".repeat(300)).len(), 48);
    }
}

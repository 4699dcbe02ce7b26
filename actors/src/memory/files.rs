//! The kernel's accounts: `/proc`, control groups (v2) and pressure stall information.
//!
//! All paths lie below a root that tests can set. What is not there, or cannot be understood, is `None` and never a
//! guess: on machines without the controller or without PSI the other signals have to do.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Stalls for want of memory, in percent of the last ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stalls {
    /// Some task stalled.
    pub some: f64,
    /// All tasks stalled.
    pub all: f64,
}

/// What the machine, or the control group, has and uses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// What there is.
    pub total: u64,
    /// What of it is in use and cannot be had at once.
    pub used: u64,
}

/// Reads the kernel's files. Every read opens its file anew: a few microseconds each, and nothing to keep.
#[derive(Clone, Debug)]
pub struct KernelMemory {
    root: PathBuf,
    page: u64,
    cgroup: Option<PathBuf>,
}

impl KernelMemory {
    /// The files of this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::below(Path::new("/"))
    }

    /// The files below `root`, laid out as the kernel does.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let mut kernel = Self { root: root.to_owned(), page: rustix::param::page_size() as u64, cgroup: None };
        kernel.cgroup = kernel.find_cgroup();
        kernel
    }

    fn text(&self, path: &str) -> io::Result<String> {
        std::fs::read_to_string(self.root.join(path))
    }

    /// Resident bytes of this process; `/proc/self/statm`.
    #[must_use]
    pub fn resident(&self) -> Option<u64> {
        resident_pages(&self.text("proc/self/statm").ok()?).map(|pages| pages * self.page)
    }

    /// The share of `pid` in the memory of the machine (PSS), in bytes; `/proc/<pid>/smaps_rollup`. It costs the kernel
    /// a walk over all pages of the process, so it is for a look now and then.
    #[must_use]
    pub fn proportional(&self, pid: u32) -> Option<u64> {
        kibibytes(&self.text(&format!("proc/{pid}/smaps_rollup")).ok()?, "Pss:")
    }

    /// What the machine has and uses; `/proc/meminfo`.
    #[must_use]
    pub fn machine(&self) -> Option<Limits> {
        let text = self.text("proc/meminfo").ok()?;
        let (total, available) = (kibibytes(&text, "MemTotal:")?, kibibytes(&text, "MemAvailable:")?);
        Some(Limits { total, used: total.saturating_sub(available) })
    }

    /// What this process's control group may have and has, if it is limited; `memory.max` and `memory.current` less what
    /// the kernel can drop at once (`inactive_file` of `memory.stat`).
    #[must_use]
    pub fn cgroup(&self) -> Option<Limits> {
        let group = self.cgroup.as_ref()?;
        let number = |name: &str| std::fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
        let (total, current) = (number("memory.max")?, number("memory.current")?);
        let stat = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let droppable = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok()).unwrap_or(0);
        Some(Limits { total, used: current.saturating_sub(droppable) })
    }

    /// Stalls: of the control group if it is counted there, of the machine otherwise.
    #[must_use]
    pub fn stalls(&self) -> Option<Stalls> {
        let group = self.cgroup.as_ref().and_then(|group| std::fs::read_to_string(group.join("memory.pressure")).ok());
        let text = match group {
            Some(text) => text,
            None => self.text("proc/pressure/memory").ok()?,
        };
        stalls(&text)
    }

    /// The directory of the v2 group that this process is in and that has the memory controller. A limit may stand
    /// higher up, so the tightest ancestor with one is taken.
    fn find_cgroup(&self) -> Option<PathBuf> {
        let text = self.text("proc/self/cgroup").ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        let top = ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
            .into_iter()
            .map(|mount| self.root.join(mount))
            .find(|mount| mount.join("cgroup.controllers").exists())?;
        let own = top.join(path.trim_start_matches('/'));
        let limit = |group: &Path| std::fs::read_to_string(group.join("memory.max")).ok()?.trim().parse::<u64>().ok();
        let groups = own.ancestors().take_while(|group| group.starts_with(&top));
        let limited = groups.filter_map(|group| Some((limit(group)?, group.to_owned()))).min_by_key(|(limit, _)| *limit);
        limited.map(|(_, group)| group)
    }
}

fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The number of a line `Name:   123 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

fn stalls(text: &str) -> Option<Stalls> {
    let of = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
        let share: f64 = line.split_ascii_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse().ok()?;
        (0.0..=100.0).contains(&share).then_some(share)
    };
    Some(Stalls { some: of("some")?, all: of("full")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up machine in a directory of its own, which goes with it.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("eventmesh-kernel-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().expect("below the root")).expect("own directory");
                std::fs::write(path, text).expect("own directory");
            }
            Self(root)
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const PSI: &str = "some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=3.25 avg60=0.00 avg300=0.00 total=1\n";

    #[test]
    fn a_whole_machine_is_read() {
        let machine = Machine::new(
            "whole",
            &[
                ("proc/self/statm", "1000 200 30 4 0 50 0\n"),
                ("proc/self/cgroup", "0::/app.slice/daemon\n"),
                (
                    "proc/42/smaps_rollup",
                    "5560-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPss:  700 kB\nPss_Dirty: 1 kB\n",
                ),
                ("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 5 kB\nMemAvailable:   400 kB\n"),
                (
                    "proc/pressure/memory",
                    "some avg10=99.00 avg60=0 avg300=0 total=0\nfull avg10=99.00 avg60=0 avg300=0 total=0\n",
                ),
                ("sys/fs/cgroup/cgroup.controllers", "cpu memory\n"),
                ("sys/fs/cgroup/app.slice/memory.max", "4096000\n"),
                ("sys/fs/cgroup/app.slice/memory.current", "2048000\n"),
                ("sys/fs/cgroup/app.slice/memory.stat", "anon 1\ninactive_file 48000\n"),
                ("sys/fs/cgroup/app.slice/memory.pressure", PSI),
                ("sys/fs/cgroup/app.slice/daemon/memory.max", "max\n"),
            ],
        );
        let kernel = KernelMemory::below(&machine.0);
        assert_eq!(kernel.resident(), Some(200 * kernel.page));
        assert_eq!(kernel.proportional(42), Some(700 * 1024));
        assert_eq!(kernel.proportional(43), None);
        assert_eq!(kernel.machine(), Some(Limits { total: 1_024_000, used: 614_400 }));
        assert_eq!(kernel.cgroup(), Some(Limits { total: 4_096_000, used: 2_000_000 }), "the limit stands higher up");
        assert_eq!(kernel.stalls(), Some(Stalls { some: 12.5, all: 3.25 }), "the group's, not the machine's");
    }

    #[test]
    fn a_machine_without_groups_has_what_it_has() {
        let v1 = "12:memory:/a\n1:name=systemd:/a\n";
        let machine = Machine::new("v1", &[("proc/self/cgroup", v1), ("proc/pressure/memory", PSI)]);
        let kernel = KernelMemory::below(&machine.0);
        assert_eq!((kernel.cgroup(), kernel.machine(), kernel.resident()), (None, None, None));
        assert_eq!(kernel.stalls(), Some(Stalls { some: 12.5, all: 3.25 }));
        let empty = KernelMemory::below(Path::new("/nonexistent"));
        assert_eq!(empty.stalls(), None);
    }

    #[test]
    fn what_makes_no_sense_is_nothing() {
        for text in ["", "1", "a b c", "1 -2"] {
            assert_eq!(resident_pages(text), None, "{text:?}");
        }
        for text in ["", "Pss:", "Pss: x kB", "Pss: 1 MB", "Pss: 99999999999999999999 kB", "Pss: 18446744073709551615 kB"] {
            assert_eq!(kibibytes(text, "Pss:"), None, "{text:?}");
        }
        for text in
            ["", "some avg10=1", "some avg10=x\nfull avg10=1", "some avg10=-1\nfull avg10=0", "some avg10=NaN\nfull avg10=0"]
        {
            assert_eq!(stalls(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_machine_can_be_read() {
        let kernel = KernelMemory::of_this_machine();
        let (resident, machine) = (kernel.resident().expect("Linux"), kernel.machine().expect("Linux"));
        assert!(resident > 100_000 && resident < machine.total, "{resident} of {machine:?}");
        assert!(kernel.proportional(std::process::id()).is_some_and(|share| share > 0));
    }
}

//! This process as the kernel sees it, under the names that every Prometheus client uses, and the disks that it writes to.

use std::fmt;
use std::path::{Path, PathBuf};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::sheet::Sheet;

/// Writes down what the kernel knows of this process, and how full its disks are. What cannot be read is not written.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    directories: Vec<(&'static str, PathBuf)>,
}

impl ProcessCollector {
    /// For this process, and the disks that hold `directories`.
    pub(super) fn new(directories: Vec<(&'static str, PathBuf)>) -> Self {
        Self { directories }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sheet = &mut Sheet::new(encoder);
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let ticks = rustix::param::clock_ticks_per_second();
        let usage = read("/proc/self/stat").as_deref().and_then(|stat| Usage::parse(stat, ticks, page_size()));
        let booted = read("/proc/stat").as_deref().and_then(booted);
        sheet.counter(
            "process_cpu_seconds",
            "CPU time of this process, in user and system mode",
            usage.map(|usage| ([], usage.cpu)),
        )?;
        sheet.gauge(
            "process_start_time_seconds",
            "When this process was started, in seconds since the epoch",
            usage.zip(booted).map(|(usage, booted)| ([], booted + usage.started)),
        )?;
        sheet.gauge(
            "process_resident_memory_bytes",
            "Resident memory of this process",
            usage.map(|usage| ([], usage.resident)),
        )?;
        sheet.gauge(
            "process_virtual_memory_bytes",
            "Address space of this process",
            usage.map(|usage| ([], usage.virtual_size)),
        )?;
        sheet.gauge("process_threads", "Threads of this process", usage.map(|usage| ([], usage.threads)))?;
        // The one that reads the directory is not counted.
        let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| ([], entries.count().saturating_sub(1)));
        sheet.gauge("process_open_fds", "Open file descriptors of this process", open)?;
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        sheet.gauge("process_max_fds", "File descriptors that this process may have open", most.map(|most| ([], most)))?;

        let disks: Vec<_> = self.directories.iter().filter_map(|(name, path)| Some((*name, disk(path)?))).collect();
        sheet.gauge(
            "eventmesh_disk_size_bytes",
            "Size of the disk that holds a directory",
            disks.iter().map(|(name, disk)| ([("directory", *name)], disk.size)),
        )?;
        sheet.gauge(
            "eventmesh_disk_available_bytes",
            "Bytes that may still be written to that disk",
            disks.iter().map(|(name, disk)| ([("directory", *name)], disk.available)),
        )
    }
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// What `/proc/self/stat` says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usage {
    /// Seconds.
    cpu: f64,
    /// Seconds after the machine was.
    started: f64,
    resident: u64,
    virtual_size: u64,
    threads: u64,
}

impl Usage {
    fn parse(stat: &str, ticks: u64, page: u64) -> Option<Self> {
        // The name is in parentheses, and may hold spaces and parentheses itself. After it comes field 3.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
        Some(Self {
            cpu: seconds(field(14)?.checked_add(field(15)?)?, ticks),
            started: seconds(field(22)?, ticks),
            resident: field(24)?.saturating_mul(page),
            virtual_size: field(23)?,
            threads: field(20)?,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of a process's life are far fewer than what a float counts exactly")]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second.max(1) as f64
}

/// When the machine was started, from `/proc/stat`.
fn booted(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

struct Disk {
    size: u64,
    available: u64,
}

/// The disk that holds `path`, or will: of what is not there yet, the directory above counts.
fn disk(path: &Path) -> Option<Disk> {
    let there = path.ancestors().find(|path| path.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(Disk { size: found.f_blocks.saturating_mul(found.f_frsize), available: found.f_bavail.saturating_mul(found.f_frsize) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_skipped() {
        let stat = "4242 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 7 0 3000 1048576 256 18446744073709551615 1 1";
        let expected = Usage { cpu: 2.0, started: 30.0, resident: 256 * 4096, virtual_size: 1_048_576, threads: 7 };
        assert_eq!(Usage::parse(stat, 100, 4096), Some(expected));
        for broken in ["", "1 (x", "1 (x) S 1 2", "1 (x) S a b c d e f g h i j k l m n o p q r s t u v w x y z"] {
            assert_eq!(Usage::parse(broken, 100, 4096), None, "{broken}");
        }
    }

    #[test]
    fn this_process_is_read_and_was_started_after_the_machine() {
        let usage =
            Usage::parse(&std::fs::read_to_string("/proc/self/stat").expect("/proc is there"), 100, 4096).expect("it is read");
        assert!(usage.resident > 1 << 20 && usage.threads > 0 && usage.virtual_size >= usage.resident, "{usage:?}");
        assert_eq!(booted("cpu  1 2 3\nbtime 1700000000\nprocesses 5\n"), Some(1_700_000_000.0));
        assert_eq!(booted("cpu 1"), None);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_has_a_disk() {
        let disk = disk(Path::new("/nobody/has/made/this")).expect("the root is there");
        assert!(disk.size > 0 && disk.available <= disk.size);
    }
}

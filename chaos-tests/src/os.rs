//! Faults that come from the operating system, and what is read from it.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Memory that somebody else takes, as long as it is held. Every page is touched.
#[derive(Debug)]
pub struct MemoryHog(Vec<u8>);

impl MemoryHog {
    /// Takes `bytes`.
    #[must_use]
    pub fn take(bytes: usize) -> Self {
        let mut hog = vec![0u8; bytes];
        for page in hog.chunks_mut(4096) {
            page[0] = 1;
        }
        Self(hog)
    }

    /// How much is held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// No descriptor is left in this process, as long as it is held.
#[derive(Debug)]
pub struct NoFiles {
    before: Rlimit,
    _held: Vec<File>,
}

impl NoFiles {
    /// Lowers the limit to what is open, and opens files until there is no room.
    ///
    /// # Errors
    /// The system's, if the limit cannot be lowered.
    pub fn exhaust() -> std::io::Result<Self> {
        let before = getrlimit(Resource::Nofile);
        let room = open_descriptors() as u64 + 16;
        setrlimit(Resource::Nofile, Rlimit { current: Some(room), maximum: before.maximum })?;
        let mut held = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            held.push(file);
        }
        Ok(Self { before, _held: held })
    }
}

impl Drop for NoFiles {
    fn drop(&mut self) {
        // It was the limit before, so it is allowed now.
        let _ = setrlimit(Resource::Nofile, self.before);
    }
}

/// All processors busy, as long as it is held.
#[derive(Debug)]
pub struct BusyProcessors(Arc<AtomicBool>);

impl BusyProcessors {
    /// Starts four spinning threads for each processor.
    #[must_use]
    pub fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores * 4 {
            let over = Arc::clone(&over);
            let spin = move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            // Fewer threads are a smaller fault, and no reason to stop.
            let _ = std::thread::Builder::new().name("busy".to_owned()).spawn(spin);
        }
        Self(over)
    }
}

impl Drop for BusyProcessors {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Descriptors that this process has open.
#[must_use]
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1))
}

/// Children of this process that are dead and not reaped.
#[must_use]
pub fn zombies() -> usize {
    let own = std::process::id().to_string();
    let stats = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    stats
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let mut after_name = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
            after_name.next() == Some("Z") && after_name.next() == Some(&own)
        })
        .count()
}

/// The processes of those groups whose leader `leads` says yes to, each with its command line. Whatever a leader has started is
/// among them, also if it has forgotten its environment.
#[must_use]
pub fn families(leads: impl Fn(u32) -> bool) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // After the name in parentheses: state, parent, group.
    let group = |pid: u32| proc_text(pid, "stat").rsplit(')').next()?.split_ascii_whitespace().nth(2)?.parse::<u32>().ok();
    let leaders: Vec<u32> = pids.iter().copied().filter(|pid| group(*pid) == Some(*pid) && leads(*pid)).collect();
    let members = pids.into_iter().filter(|pid| group(*pid).is_some_and(|group| leaders.contains(&group)));
    members.map(|pid| (pid, proc_text(pid, "cmdline").replace('\0', " "))).collect()
}

/// What `/proc` says of a process; nothing of one that is gone, or that belongs to somebody else.
#[must_use]
pub fn proc_text(pid: u32, name: &str) -> String {
    std::fs::read(format!("/proc/{pid}/{name}")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

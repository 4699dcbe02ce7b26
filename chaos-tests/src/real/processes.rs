//! Workers that are processes of their own, running the test program.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use eventmesh_actors::process::{Process, ProcessError, ProcessHost, ProcessSpec};
use eventmesh_actors::{
    ChildId, Failure, HangPolicy, Interrupt, Phase, PhaseBudget, Pool, PoolSpec, ProcessList, Progress, RecycleLimits,
    RestartPolicy, Subscriber, TreeSnapshot, Usage, Worker,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;

use super::{PoolTree, StartError, bus};
use crate::board::Board;
use crate::faulty::{Faulty, FaultySpec, LEAK};
use crate::plan::{Fault, FaultKind};
use crate::target::{Answer, AnswerKind, Call, Target};
use crate::victim::FILE;

/// What a process worker is started from.
#[derive(Clone, Debug)]
pub struct VictimSpec {
    /// Where processes live.
    pub host: ProcessHost,
    /// What is run.
    pub process: ProcessSpec,
    /// Nothing can be written while it is.
    pub disk_full: Arc<Mutex<u32>>,
}

/// One process that does as it is told.
#[derive(Debug)]
pub struct VictimWorker {
    process: Process,
    input: pipe::Sender,
    output: BufReader<pipe::Receiver>,
    disk_full: Arc<Mutex<u32>>,
    /// An answer that nobody has read yet would be taken for that of the next job.
    in_step: bool,
}

/// Why a job of a process failed.
#[derive(Debug, thiserror::Error)]
pub enum VictimError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] ProcessError),
    /// Its streams cannot be used.
    #[error("failed to talk to the process")]
    Streams(#[from] io::Error),
    /// It is gone.
    #[error("the process is gone")]
    Gone,
    /// It says that it could not.
    #[error("the process says: {0}")]
    Told(String),
}

/// The only phase of these jobs.
const ASKED: Phase = Phase(0);

impl Worker for VictimWorker {
    type Spec = VictimSpec;
    type Job = String;
    type Output = String;
    type Error = VictimError;

    async fn start(spec: &VictimSpec, child: &ChildId) -> Result<Self, VictimError> {
        let mut process = spec.host.spawn(&spec.process, &child.to_string()).await?;
        let (Some(input), Some(output)) = (process.take_stdin(), process.take_stdout()) else {
            return Err(VictimError::Gone);
        };
        let input = pipe::Sender::from_owned_fd(OwnedFd::from(input))?;
        let output = BufReader::new(pipe::Receiver::from_owned_fd(OwnedFd::from(output))?);
        let disk_full = Arc::clone(&spec.disk_full);
        let mut worker = Self { process, input, output, disk_full, in_step: true };
        // A process that answers has come up.
        worker.ask("echo 1").await?;
        Ok(worker)
    }

    async fn run(&mut self, job: String, progress: &Progress) -> Result<String, Failure<VictimError>> {
        progress.enter(ASKED);
        let full = *self.disk_full.lock().unwrap_or_else(PoisonError::into_inner) > 0;
        fill_disk(self.process.scratch(), full);
        match self.ask(&job).await {
            Ok(answer) => match answer.strip_prefix("! ") {
                Some(why) => Err(Failure::Job(VictimError::Told(why.to_owned()))),
                None => Ok(answer),
            },
            Err(error) => Err(Failure::Worker(error)),
        }
    }

    fn usage(&self) -> Usage {
        let healthy = self.in_step && self.process.status().is_none();
        Usage { bytes: resident(self.process.pid()), last_job_bytes: 0, healthy }
    }

    fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        Some(self.process.interrupter())
    }

    async fn stop(self) {
        let Self { process, input, .. } = self;
        drop(input);
        process.stop().await;
    }
}

impl VictimWorker {
    async fn ask(&mut self, line: &str) -> Result<String, VictimError> {
        self.in_step = false;
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer).await? == 0 {
            return Err(VictimError::Gone);
        }
        self.in_step = true;
        Ok(answer.trim_end().to_owned())
    }
}

/// While it is full, whatever is written to the process's file does not fit.
fn fill_disk(scratch: &Path, full: bool) {
    let file = scratch.join(FILE);
    if file.is_symlink() == full {
        return;
    }
    // The directory may be gone with its process; then there is nothing to fill, and nothing to empty.
    let _ = std::fs::remove_file(&file);
    if full {
        let _ = std::os::unix::fs::symlink("/dev/full", &file);
    }
}

fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// A pool of decorated process workers.
#[derive(Debug)]
pub struct ProcessTarget {
    tree: PoolTree<Faulty<VictimWorker>>,
    spec: VictimSpec,
}

const SHUTDOWN: Duration = Duration::from_secs(8);

impl ProcessTarget {
    /// Starts `size` processes of `program`, with their scratch directories below `root`.
    ///
    /// # Errors
    /// What keeps them from serving.
    pub async fn start(size: u32, program: &Path, root: &Path, board: Arc<Board>, seed: u64) -> Result<Self, StartError> {
        let bus = bus();
        let spec = VictimSpec {
            host: ProcessHost::open(root)?,
            process: ProcessSpec {
                ask_grace: Duration::from_secs(1),
                term_grace: Duration::from_millis(500),
                ..ProcessSpec::new(program).argument("victim")
            },
            disk_full: Arc::default(),
        };
        let asked = PhaseBudget { name: "asked", budget: Some(Duration::from_millis(400)) };
        let pool = PoolSpec {
            restarts: RestartPolicy::any(1000, Duration::from_secs(1)),
            recycle: RecycleLimits { jobs: Some(500), jitter: 0.1, ..RecycleLimits::NEVER },
            hang: HangPolicy { phases: vec![asked], grace: Duration::from_millis(100) },
            tick: Duration::from_millis(50),
            stop_grace: Duration::from_secs(3),
            seed,
            ..PoolSpec::new("process", size)
        };
        let worker = FaultySpec { inner: spec.clone(), board, leak: LEAK };
        let tree = PoolTree::start(Pool::new(pool, worker, bus.clone()), bus, SHUTDOWN).await?;
        Ok(Self { tree, spec })
    }

    fn signal(&self, target: u32, signal: Signal) -> bool {
        let pids = self.spec.host.pids();
        let pid = pids.get(target as usize % pids.len().max(1)).and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

impl Target for ProcessTarget {
    fn call(&self, number: u64, within: Duration) -> Call {
        let pool = self.tree.pool.clone();
        Box::pin(async move {
            let writes = number % 3 == 2;
            let job = || format!("{} {number}", if writes { "write" } else { "echo" });
            let (answer, output) = PoolTree::call(&pool, number, 1, within, job).await;
            match output {
                Some(output) if output != number.to_string() => Answer::new(AnswerKind::Wrong, "wrong"),
                Some(_) | None => answer,
            }
        })
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn tree(&self) -> TreeSnapshot {
        self.tree.snapshot()
    }

    fn events(&self) -> Subscriber {
        self.tree.events()
    }

    fn inflict(&self, fault: &Fault) -> bool {
        match fault.kind {
            FaultKind::Kill => self.signal(fault.target, Signal::KILL),
            FaultKind::Freeze => self.signal(fault.target, Signal::STOP),
            FaultKind::DiskFull => {
                *self.spec.disk_full.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                true
            }
            FaultKind::Retire => self.tree.pool.retire(fault.target % 2),
            FaultKind::Panic
            | FaultKind::Fail
            | FaultKind::Break
            | FaultKind::Hang
            | FaultKind::Grow
            | FaultKind::Leak
            | FaultKind::SlowStart
            | FaultKind::FailStart
            | FaultKind::Sicken
            | FaultKind::MemoryHog
            | FaultKind::NoFiles
            | FaultKind::StarveClock
            | FaultKind::CallersLeave
            | FaultKind::LibraryGone
            | FaultKind::Poison => false,
        }
    }

    /// A frozen process is never thawed: whoever supervises it has to find out. The disk has room again.
    fn relieve(&self, fault: &Fault) {
        if fault.kind != FaultKind::DiskFull {
            return;
        }
        let mut full = self.spec.disk_full.lock().unwrap_or_else(PoisonError::into_inner);
        *full = full.saturating_sub(1);
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = Duration> + Send + '_>> {
        Box::pin(self.tree.stop())
    }

    fn left_behind(&self) -> Vec<String> {
        let mut left: Vec<String> = self.spec.host.pids().into_iter().map(|pid| format!("process {pid}")).collect();
        let entries = std::fs::read_dir(self.spec.host.directory()).into_iter().flatten().filter_map(Result::ok);
        let directories = entries.filter(|entry| entry.path().is_dir());
        left.extend(directories.map(|entry| entry.path().display().to_string()));
        left
    }
}

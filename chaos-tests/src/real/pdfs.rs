//! The processes that read PDFs, fed good and bad ones.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::process::ProcessHost;
use eventmesh_actors::{
    BackoffSpec, MemoryLimits, Pool, PoolSpec, ProcessList, RecycleLimits, RestartPolicy, RunError, Subscriber, TreeSnapshot,
};
use eventmesh_extractors::pdf::{PdfError, PdfJob, PdfLibrary, PdfLimits, PdfOutput, PdfProgram, PdfSpec, PdfTask, PdfWorker};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{PoolTree, StartError, bus};
use crate::board::Board;
use crate::faulty::{Faulty, FaultyError, FaultySpec};
use crate::plan::{Fault, FaultKind};
use crate::target::{Answer, AnswerKind, Call, Target};

#[path = "../../../tests/pdf/make.rs"]
pub(super) mod make;

/// A pool of decorated workers, each with a process of its own.
#[derive(Debug)]
pub struct PdfTarget {
    tree: PoolTree<Faulty<PdfWorker>>,
    host: ProcessHost,
    library: PathBuf,
    bomb: Bytes,
    endless: Bytes,
}

const SHUTDOWN: Duration = Duration::from_secs(8);
/// One document in so many is of a bad kind: often enough to meet every fault, and seldom enough to leave room for others.
const BAD: u64 = 400;

/// What a document leaks while leaking is on, in bytes: a few of them pass the limit long before a worker has done all that it may.
const LEAK: usize = 16 << 20;

/// What a document must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Its pages, each saying its number and the document's.
    Pages(u64),
    Malformed,
    /// Too much memory, or too much time.
    TooMuch,
}

impl PdfTarget {
    /// Starts `size` workers. Their library is a link of its own below `root`, which can be taken away.
    ///
    /// # Errors
    /// What keeps them from serving.
    pub async fn start(size: u32, root: &Path, board: Arc<Board>, seed: u64) -> Result<Self, StartError> {
        let library = root.join("libpdfium.so");
        std::os::unix::fs::symlink(PdfLibrary::find(None)?.path, &library)?;
        let host = ProcessHost::open(&root.join("processes"))?;
        let limits = PdfLimits {
            address_space: 160 << 20,
            large_address_space: 192 << 20,
            idle: Duration::from_secs(2),
            ..PdfLimits::default()
        };
        let spec = PdfSpec::new(PdfProgram::ThisOne, library.clone(), host.clone(), limits);
        let bus = bus();
        let memory = MemoryLimits { soft: Some(64 << 20), ..MemoryLimits::NONE };
        let pool = PoolSpec {
            restarts: RestartPolicy::any(1000, Duration::from_secs(1)),
            recycle: RecycleLimits { jobs: Some(200), memory, jitter: 0.1, ..RecycleLimits::NEVER },
            backoff: BackoffSpec {
                base: Duration::from_millis(1),
                cap: Duration::from_millis(250),
                reset_after: Duration::from_secs(60),
            },
            hang: PdfSpec::hang_policy(),
            tick: Duration::from_millis(50),
            seed,
            ..PoolSpec::new("pdf", size)
        };
        let worker = FaultySpec { inner: spec, board, leak: LEAK };
        let tree = PoolTree::start(Pool::new(pool, worker, bus.clone()), bus, SHUTDOWN).await?;
        let (bomb, endless) = (make::inflating(64 << 20)?.into(), make::doubling(40).into());
        Ok(Self { tree, host, library, bomb, endless })
    }

    fn document(&self, number: u64) -> (Bytes, Expected) {
        match number % BAD {
            100 => (self.bomb.clone(), Expected::TooMuch),
            200 => (self.endless.clone(), Expected::TooMuch),
            place if place % 20 == 7 => (Bytes::from_static(b"%PDF-1.7\nand nothing else"), Expected::Malformed),
            place if place % 20 == 13 => (make::numbered(30).into(), Expected::Pages(30)),
            _ => {
                let content = format!("BT /F1 12 Tf 40 200 Td (This is page 1 of story {number}.) Tj ET");
                (make::pdf(&[content.as_bytes()]).into(), Expected::Pages(1))
            }
        }
    }

    fn signal(&self, target: u32, signal: Signal) -> bool {
        let pids = self.host.pids();
        let pid = pids.get(target as usize % pids.len().max(1)).and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Where the library is while it is not there.
    fn hidden(&self) -> PathBuf {
        self.library.with_extension("gone")
    }
}

impl Target for PdfTarget {
    fn call(&self, number: u64, within: Duration) -> Call {
        let pool = self.tree.pool.clone();
        let (document, expected) = self.document(number);
        Box::pin(async move {
            let deadline = Instant::now() + within;
            let (out, mut found) = mpsc::channel(64);
            let sent = Arc::default();
            let job = || PdfJob {
                document: document.clone(),
                task: PdfTask::Extract { images: false },
                password: None,
                deadline,
                out: out.clone(),
                sent: Arc::clone(&sent),
            };
            let demand = eventmesh_actors::Demand::new(document.len() as u64, deadline).key(number);
            let result = pool.run(demand, job).await;
            let mut pages = Vec::new();
            while let Ok(output) = found.try_recv() {
                if let PdfOutput::Page(page) = output {
                    pages.push(page.text);
                }
            }
            let right = match expected {
                Expected::Pages(1) => pages == [format!("This is page 1 of story {number}.")],
                Expected::Pages(count) => {
                    (1..=count).zip(&pages).filter(|(page, text)| **text == format!("This is page {page} of the story.")).count()
                        == pages.len()
                        && pages.len() as u64 == count
                }
                Expected::Malformed | Expected::TooMuch => false,
            };
            match (result, expected) {
                (Ok(_), _) if right => Answer::new(AnswerKind::Good, "good"),
                (Ok(_), _) => Answer::new(AnswerKind::Wrong, "wrong"),
                (Err(RunError::Job(FaultyError::Real(PdfError::Format | PdfError::Empty))), Expected::Malformed) => {
                    Answer::new(AnswerKind::Rejected, "malformed")
                }
                (
                    Err(RunError::Job(FaultyError::Real(PdfError::Memory { .. } | PdfError::Processor | PdfError::Deadline))),
                    Expected::TooMuch,
                ) => Answer::new(AnswerKind::Rejected, "too_much"),
                // A document that was read and found wanting, though nothing is wrong with it.
                (
                    Err(RunError::Job(FaultyError::Real(
                        PdfError::Format | PdfError::Empty | PdfError::Security | PdfError::Password { .. },
                    ))),
                    _,
                ) => Answer::new(AnswerKind::Wrong, "wrong"),
                (Err(RunError::Job(FaultyError::Real(PdfError::Unfit { .. }))), _) => {
                    Answer::new(AnswerKind::Failed, "not_installed")
                }
                (Err(error), _) => super::answer(&error),
            }
        })
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(300)
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
            FaultKind::Retire => self.tree.pool.retire(fault.target % 2),
            FaultKind::LibraryGone => std::fs::rename(&self.library, self.hidden()).is_ok(),
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
            | FaultKind::DiskFull
            | FaultKind::StarveClock
            | FaultKind::CallersLeave
            | FaultKind::Poison => false,
        }
    }

    /// A frozen process is never thawed: whoever supervises it has to find out. The library is put back.
    fn relieve(&self, fault: &Fault) {
        if fault.kind == FaultKind::LibraryGone {
            // Another fault of the kind may have put it back already.
            let _ = std::fs::rename(self.hidden(), &self.library);
        }
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = Duration> + Send + '_>> {
        Box::pin(self.tree.stop())
    }

    fn left_behind(&self) -> Vec<String> {
        let mut left: Vec<String> = self.host.pids().into_iter().map(|pid| format!("process {pid}")).collect();
        left.extend(super::family::directories(self.host.directory()));
        left
    }
}

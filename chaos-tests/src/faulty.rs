//! A decorator that makes any worker go bad on demand. Faults enter here or through the operating system, never through
//! the code that is tried.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use eventmesh_actors::{ChildId, Failure, Interrupt, Progress, Usage, Worker};

use crate::board::Board;
use crate::plan::FaultKind;

/// Any worker, and the faults that befall it.
pub struct Faulty<W> {
    inner: W,
    board: Arc<Board>,
    leak: usize,
    /// What grows and leaks.
    ballast: Vec<Vec<u8>>,
    sick: bool,
}

/// What a decorated worker is started from.
#[derive(Clone, Debug)]
pub struct FaultySpec<S> {
    /// The worker's own.
    pub inner: S,
    /// Which faults are on.
    pub board: Arc<Board>,
    /// Bytes that a job leaks while leaking is on: [`LEAK`] is so little that it takes many of them.
    pub leak: usize,
}

/// The worker's own error, or one made on purpose.
#[derive(Debug)]
pub enum FaultyError<E> {
    /// The worker's own.
    Real(E),
    /// Made here.
    OnPurpose(FaultKind),
}

impl<E: fmt::Display> fmt::Display for FaultyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real(error) => error.fmt(f),
            Self::OnPurpose(kind) => write!(f, "{kind} on purpose"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for FaultyError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Real(error) => error.source(),
            Self::OnPurpose(_) => None,
        }
    }
}

/// What a job leaks, if nothing else is said, in bytes.
pub const LEAK: usize = 64 << 10;
/// What a job makes its worker grow by, in bytes.
const GROWTH: usize = 16 << 20;
/// How much longer a slow start takes.
const SLOW: Duration = Duration::from_millis(150);

impl<W: Worker> Worker for Faulty<W> {
    type Spec = FaultySpec<W::Spec>;
    type Job = W::Job;
    type Output = W::Output;
    type Error = FaultyError<W::Error>;

    async fn start(spec: &Self::Spec, child: &ChildId) -> Result<Self, Self::Error> {
        if spec.board.hits(FaultKind::SlowStart) {
            tokio::time::sleep(SLOW).await;
        }
        if spec.board.hits(FaultKind::FailStart) {
            return Err(FaultyError::OnPurpose(FaultKind::FailStart));
        }
        let inner = W::start(&spec.inner, child).await.map_err(FaultyError::Real)?;
        Ok(Self { inner, board: Arc::clone(&spec.board), leak: spec.leak, ballast: Vec::new(), sick: false })
    }

    async fn run(&mut self, job: Self::Job, progress: &Progress) -> Result<Self::Output, Failure<Self::Error>> {
        let board = &self.board;
        assert!(!board.hits(FaultKind::Panic), "panic on purpose");
        if board.hits(FaultKind::Fail) {
            return Err(Failure::Job(FaultyError::OnPurpose(FaultKind::Fail)));
        }
        if board.hits(FaultKind::Break) {
            return Err(Failure::Worker(FaultyError::OnPurpose(FaultKind::Break)));
        }
        if board.hits(FaultKind::Hang) {
            std::future::pending::<()>().await;
        }
        if board.hits(FaultKind::Leak) {
            // Counted, and never written to: what a process of its own would hold is not to weigh on the harness.
            self.ballast.push(Vec::with_capacity(self.leak));
        }
        if board.hits(FaultKind::Grow) {
            self.ballast.push(vec![1; GROWTH]);
        }
        self.sick |= board.hits(FaultKind::Sicken);
        self.inner.run(job, progress).await.map_err(|failure| match failure {
            Failure::Job(error) => Failure::Job(FaultyError::Real(error)),
            Failure::Worker(error) => Failure::Worker(FaultyError::Real(error)),
        })
    }

    fn usage(&self) -> Usage {
        let usage = self.inner.usage();
        let ballast: usize = self.ballast.iter().map(Vec::capacity).sum();
        Usage { bytes: usage.bytes + ballast as u64, healthy: usage.healthy && !self.sick, ..usage }
    }

    fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        self.inner.interrupt()
    }

    async fn stop(self) {
        self.inner.stop().await;
    }
}

impl<W: fmt::Debug> fmt::Debug for Faulty<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}

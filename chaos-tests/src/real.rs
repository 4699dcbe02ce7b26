//! The real level: real workers, processes and engines to be tried.

pub mod browsers;
pub mod engine;
pub mod family;
pub mod mixed;
pub mod pdfs;
pub mod processes;
pub mod wasm;

use std::time::Duration;

use eventmesh_actors::{
    Bus, ChildSpec, Demand, LeaseError, Pool, RunError, Shutdown, Subscriber, SupervisorSpec, Tree, TreeError, TreeSnapshot,
    Worker,
};
use tokio::time::Instant;

use crate::target::{Answer, AnswerKind};

/// One pool under a tree of its own.
#[derive(Debug)]
pub struct PoolTree<W: Worker> {
    /// The pool.
    pub pool: Pool<W>,
    tree: Tree,
    bus: Bus,
    shutdown: Duration,
}

impl<W: Worker> PoolTree<W> {
    /// Starts the tree and waits until a child serves.
    ///
    /// # Errors
    /// What keeps it from serving.
    pub async fn start(pool: Pool<W>, bus: Bus, shutdown: Duration) -> Result<Self, StartError> {
        let child = ChildSpec::pool(&pool).shutdown(Shutdown::Within(shutdown));
        // What is tried is the pool: its supervisor may restart it as often as it wants.
        let root = SupervisorSpec::new("trial")
            .restarts(eventmesh_actors::RestartPolicy::any(1000, Duration::from_secs(60)))
            .child(child);
        let tree = Tree::start(root, bus.clone()).await?;
        pool.ready(Instant::now() + Duration::from_secs(30)).await?;
        Ok(Self { pool, tree, bus, shutdown })
    }

    /// The live tree.
    #[must_use]
    pub fn snapshot(&self) -> TreeSnapshot {
        self.tree.snapshot()
    }

    /// What happens in the tree from now on.
    #[must_use]
    pub fn events(&self) -> Subscriber {
        self.bus.subscribe()
    }

    /// Stops the tree; returns how long that may take.
    pub async fn stop(&self) -> Duration {
        self.tree.shutdown(self.shutdown).await;
        // Each level may need a second more for a kill, and timers of a busy machine fire late.
        self.shutdown + Duration::from_secs(3)
    }

    /// Runs one job; tells how it ended, and its output if there is one.
    pub async fn call(
        pool: &Pool<W>,
        number: u64,
        bytes: u64,
        within: Duration,
        job: impl FnMut() -> W::Job,
    ) -> (Answer, Option<W::Output>) {
        let demand = Demand::new(bytes, Instant::now() + within).key(number);
        match pool.run(demand, job).await {
            Ok(output) => (Answer::new(AnswerKind::Good, "good"), Some(output)),
            Err(error) => (answer(&error), None),
        }
    }
}

/// Why a tree to be tried did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Its pool.
    #[error(transparent)]
    Pool(#[from] LeaseError),
    /// The sandbox of its workers.
    #[error("failed to set up the sandbox")]
    Sandbox(#[from] eventmesh_extractors::wasm::SandboxError),
    /// The processes of its workers.
    #[error(transparent)]
    Process(#[from] eventmesh_actors::process::ProcessError),
    /// What reads PDFs.
    #[error(transparent)]
    Library(#[from] eventmesh_extractors::pdf::LibraryMissing),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] eventmesh::StartError),
    /// The system.
    #[error("failed to set up what it takes")]
    System(#[from] std::io::Error),
}

/// What a pool's error is to a trial.
fn answer<E: std::error::Error>(error: &RunError<E>) -> Answer {
    match error {
        RunError::Lease(LeaseError::Deadline { .. }) => Answer::new(AnswerKind::Failed, "deadline"),
        RunError::Lease(error) => {
            let comes_back = matches!(error, LeaseError::TooLarge { .. } | LeaseError::Closed { .. });
            let told = error.retry_after().is_some_and(|delay| !delay.is_zero());
            Answer { kind: AnswerKind::Refused, label: "refused", comes_back: comes_back || told }
        }
        RunError::Job(_) => Answer::new(AnswerKind::Failed, "job_failed"),
        RunError::Worker(_) => Answer::new(AnswerKind::Failed, "worker_failed"),
        RunError::Deadline { .. } => Answer::new(AnswerKind::Failed, "deadline"),
        RunError::Stalled { .. } => Answer::new(AnswerKind::Failed, "stalled"),
        RunError::ChildEnded { .. } => Answer::new(AnswerKind::Failed, "child_ended"),
    }
}

/// What an engine's error is to a trial, where some are the right answer.
fn said(error: &eventmesh::Error, expected: &[eventmesh::ErrorKind]) -> Answer {
    use eventmesh::ErrorKind;
    let label = error.kind().label();
    if expected.contains(&error.kind()) {
        return Answer::new(AnswerKind::Rejected, label);
    }
    let refused = matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::Quarantined);
    let kind = if refused { AnswerKind::Refused } else { AnswerKind::Failed };
    Answer { kind, label, comes_back: !refused || error.retry_delay().is_some() }
}

/// A bus that no watcher falls behind of in a trial.
fn bus() -> Bus {
    Bus::new(1 << 16)
}

/// Where a trial keeps what it writes; shared by all that are to find each other's compiled code.
fn cache() -> eventmesh::ArtifactCache {
    eventmesh::ArtifactCache::of_user()
}

/// A page whose answer is known from its number.
fn page(number: u64) -> bytes::Bytes {
    let words = "word ".repeat(20 + usize::try_from(number % 200).unwrap_or(0));
    let page = format!("<title>Page {number}</title><main><h1>Page {number}</h1><p>This is page {number}. {words}</p></main>");
    page.into_bytes().into()
}

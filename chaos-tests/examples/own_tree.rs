//! A host application tries its own tree: a worker of its own, decorated, under load and faults.
//!
//! `cargo run --release -p eventmesh-chaos --example own_tree`

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use eventmesh_actors::{
    Bus, ChildId, ChildSpec, Demand, Failure, Pool, PoolSpec, Progress, RestartPolicy, RunError, Subscriber, SupervisorSpec,
    Tree, TreeSnapshot, Usage, Worker,
};
use eventmesh_chaos::{Answer, AnswerKind, Board, Call, FaultKind, FaultPlan, Faulty, FaultySpec, LEAK, Load, Target, Trial};
use tokio::time::{Instant, sleep};

/// What the host application has: a worker that squares numbers, slowly.
struct Squarer;

impl Worker for Squarer {
    type Spec = ();
    type Job = u64;
    type Output = u64;
    type Error = Infallible;

    async fn start(_spec: &(), _child: &ChildId) -> Result<Self, Infallible> {
        Ok(Self)
    }

    async fn run(&mut self, number: u64, _progress: &Progress) -> Result<u64, Failure<Infallible>> {
        sleep(Duration::from_millis(2)).await;
        Ok(number * number)
    }

    fn usage(&self) -> Usage {
        Usage::NONE
    }

    async fn stop(self) {}
}

/// What is tried: its tree.
struct Squares {
    pool: Pool<Faulty<Squarer>>,
    tree: Tree,
    bus: Bus,
}

impl Target for Squares {
    fn call(&self, number: u64, within: Duration) -> Call {
        let pool = self.pool.clone();
        Box::pin(async move {
            match pool.run(Demand::new(8, Instant::now() + within), || number).await {
                Ok(square) if square == number * number => Answer::new(AnswerKind::Good, "good"),
                Ok(_) => Answer::new(AnswerKind::Wrong, "wrong"),
                Err(RunError::Lease(error)) => {
                    Answer { kind: AnswerKind::Refused, label: "refused", comes_back: error.retry_after().is_some() }
                }
                Err(_) => Answer::new(AnswerKind::Failed, "failed"),
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
        self.bus.subscribe()
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = Duration> + Send + '_>> {
        Box::pin(async {
            self.tree.shutdown(Duration::from_secs(5)).await;
            Duration::from_secs(7)
        })
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let board = Arc::new(Board::new(1, 0.2));
    let bus = Bus::new(1 << 14);
    let spec = PoolSpec { restarts: RestartPolicy::any(1000, Duration::from_secs(1)), ..PoolSpec::new("squares", 2) };
    let pool = Pool::new(spec, FaultySpec { inner: (), board: Arc::clone(&board), leak: LEAK }, bus.clone());
    let tree = Tree::start(SupervisorSpec::new("host").child(ChildSpec::pool(&pool)), bus.clone()).await?;
    pool.ready(Instant::now() + Duration::from_secs(5)).await?;
    let chaos = Duration::from_secs(5);
    let kinds = [FaultKind::Panic, FaultKind::Break, FaultKind::Hang, FaultKind::FailStart, FaultKind::Sicken];
    let trial = Trial {
        scenario: "squares".to_owned(),
        seed: 1,
        target: Arc::new(Squares { pool, tree, bus }),
        board: Some(board),
        plan: FaultPlan::draw(1, &kinds, 20, 5_000),
        load: Load { seed: 1, rate: 100.0, within: Duration::from_secs(2), at_once: 200 },
        baseline: Duration::from_secs(1),
        chaos,
        converge: Duration::from_secs(10),
        hog: 0,
        memory_slack: 32 << 20,
        lossless: false,
        recycled: false,
    };
    let report = trial.run(|_| {}).await;
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, report.markdown().as_bytes())?;
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `recovery`: a worker panics; how long until its replacement has been lent? Beside a bare actor that is started again.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eventmesh_actors::{
    BackoffSpec, Bus, ChildId, ChildSpec, Demand, Failure, Pool, PoolSpec, Progress, RestartPolicy, SupervisorSpec, Tree, Usage,
    Worker, spawn_named,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Error;
use crate::report::Report;
use crate::stats::{micros, percentile};

const PANICS: usize = 2_000;

/// When the last panic was.
type LastPanic = Arc<Mutex<Instant>>;

/// Starts in no time, and panics on demand.
struct Mortal(LastPanic);

fn panic_now(last: &LastPanic) -> ! {
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    panic!("on purpose")
}

fn since(last: &LastPanic) -> Duration {
    last.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
}

impl Worker for Mortal {
    type Spec = LastPanic;
    type Job = bool;
    type Output = ();
    type Error = Infallible;

    async fn start(last: &LastPanic, _child: &ChildId) -> Result<Self, Infallible> {
        Ok(Self(Arc::clone(last)))
    }

    async fn run(&mut self, dies: bool, _progress: &Progress) -> Result<(), Failure<Infallible>> {
        if dies { panic_now(&self.0) } else { Ok(()) }
    }

    fn usage(&self) -> Usage {
        Usage::NONE
    }

    async fn stop(self) {}
}

pub(crate) fn run() -> Result<Report, Error> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    // In a task, as real callers are.
    let report = tokio::runtime::Runtime::new()?.block_on(async { spawn_named("bench", measure()).await });
    std::panic::set_hook(hook);
    Ok(report?.ok_or("the bench panicked")??)
}

async fn measure() -> Result<Report, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let last: LastPanic = Arc::new(Mutex::new(Instant::now()));
    let bus = Bus::new(16);
    let spec = PoolSpec {
        // Every crash is forgiven at once, so that what is measured is the machinery and not a backoff.
        backoff: BackoffSpec { base: Duration::ZERO, cap: Duration::ZERO, reset_after: Duration::ZERO },
        restarts: RestartPolicy::any(u32::MAX, Duration::from_secs(1)),
        ..PoolSpec::new("mortal", 1)
    };
    let pool = Pool::<Mortal>::new(spec, Arc::clone(&last), bus.clone());
    let tree = Tree::start(SupervisorSpec::new("bench").child(ChildSpec::pool(&pool)), bus).await.map_err(|e| text(&e))?;
    let demand = || Demand::new(1, Instant::now() + Duration::from_secs(60));
    let mut pooled = Vec::new();
    for _ in 0..PANICS {
        let mut lease = pool.lease(demand()).await.map_err(|e| text(&e))?;
        if lease.run(true).await.is_ok() {
            return Err("the job did not panic".to_owned());
        }
        drop(lease);
        // Served again: the job of the next caller has come back.
        pool.lease(demand()).await.map_err(|e| text(&e))?.run(false).await.map_err(|e| text(&e))?;
        pooled.push(since(&last));
    }
    let restarts = pool.snapshot().counts.restarts.clone();
    tree.shutdown(Duration::from_secs(1)).await;

    let mut bare = Vec::new();
    let (started, mut starts) = mpsc::channel(1);
    let (guardian, guarded) =
        Actor::spawn(None, Guardian { started, last: Arc::clone(&last) }, ()).await.map_err(|e| text(&e))?;
    let mut child = starts.recv().await.ok_or("no child")?;
    for _ in 0..PANICS {
        child.cast(()).map_err(|e| text(&e))?;
        child = starts.recv().await.ok_or("no child")?;
        bare.push(since(&last));
    }
    guardian.stop(None);
    guarded.await.map_err(|e| text(&e))?;

    let mut report = Report::default();
    for (name, samples) in [("panic to the next job done, pool", &mut pooled), ("panic to the next actor up, bare", &mut bare)] {
        let (p50, p95, p99) = (percentile(samples, 0.5), percentile(samples, 0.95), percentile(samples, 0.99));
        report.row([
            ("what", json!(name)),
            ("panics", json!(samples.len())),
            ("p50_us", json!(micros(p50))),
            ("p95_us", json!(micros(p95))),
            ("p99_us", json!(micros(p99))),
        ]);
    }
    report.row([("restarts", json!(restarts))]);
    let (pooled, bare) = (micros(percentile(&mut pooled, 0.5)), micros(percentile(&mut bare, 0.5)));
    report.at_most("panic to replaced and serving, p50 in µs", pooled, 100.0);
    report.row([("pool_over_bare", json!(pooled / bare))]);
    Ok(report)
}

/// The floor: an actor that starts another one whenever it dies, and nothing else.
struct Guardian {
    started: mpsc::Sender<ActorRef<()>>,
    last: LastPanic,
}

struct Guarded(LastPanic);

impl Actor for Guarded {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, _arguments: ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _myself: ActorRef<()>, _message: (), _state: &mut ()) -> Result<(), ActorProcessingErr> {
        panic_now(&self.0)
    }
}

impl Guardian {
    async fn start(&self, myself: &ActorRef<()>) -> Result<(), ActorProcessingErr> {
        let (child, _) = Actor::spawn_linked(None, Guarded(Arc::clone(&self.last)), (), myself.get_cell()).await?;
        Ok(self.started.send(child).await?)
    }
}

impl Actor for Guardian {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<()>, _arguments: ()) -> Result<(), ActorProcessingErr> {
        self.start(&myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        _state: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(..) | SupervisionEvent::ActorTerminated(..) => self.start(&myself).await,
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => Ok(()),
        }
    }
}

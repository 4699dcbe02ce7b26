//! The same situations here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use eventmesh_actors::{
    Bus, ChildId, ChildSpec, Demand, Failure, HangPolicy, Phase, PhaseBudget, Pool, PoolSpec, Progress, RecycleLimits, Restart,
    RestartPolicy, RunError, Shutdown, SupervisorSpec, Tree, Usage, Worker,
};
use tokio::time::{Instant, sleep};

use crate::Ours;
use crate::factory::resident;

#[derive(Clone)]
enum Job {
    Answer(Duration),
    /// Takes so long, and says all the while that it goes on.
    Beat(Duration),
    Panic,
}

#[derive(Clone, Default)]
struct Script {
    failing_starts: Arc<AtomicU64>,
    stops: Arc<AtomicU64>,
}

struct Hand(Script);

#[derive(Debug)]
struct OnPurpose;

impl std::fmt::Display for OnPurpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("on purpose")
    }
}

impl std::error::Error for OnPurpose {}

impl Worker for Hand {
    type Spec = Script;
    type Job = Job;
    type Output = ();
    type Error = OnPurpose;

    async fn start(script: &Script, _child: &ChildId) -> Result<Self, OnPurpose> {
        let fails = script.failing_starts.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err(OnPurpose) } else { Ok(Self(script.clone())) }
    }

    async fn run(&mut self, job: Job, progress: &Progress) -> Result<(), Failure<OnPurpose>> {
        match job {
            Job::Answer(takes) => sleep(takes).await,
            Job::Beat(takes) => {
                let until = Instant::now() + takes;
                while Instant::now() < until {
                    progress.beat();
                    sleep(Duration::from_millis(50)).await;
                }
            }
            Job::Panic => panic!("on purpose"),
        }
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage::NONE
    }

    async fn stop(self) {
        sleep(Duration::from_millis(20)).await;
        self.0.stops.fetch_add(1, SeqCst);
    }
}

const LONG: Duration = Duration::from_secs(60);

fn demand() -> Demand {
    Demand::new(1, Instant::now() + LONG)
}

fn spec(size: u32) -> PoolSpec {
    PoolSpec {
        restarts: RestartPolicy::any(1_000_000, Duration::from_secs(1)),
        max_waiting: 10_000,
        ..PoolSpec::new("hands", size)
    }
}

async fn running(spec: PoolSpec, script: Script) -> (Pool<Hand>, Tree) {
    let bus = Bus::new(16);
    let pool = Pool::new(spec, script, bus.clone());
    let child = ChildSpec::pool(&pool).shutdown(Shutdown::Within(LONG));
    let tree = Tree::start(SupervisorSpec::new("peers").child(child), bus).await.expect("it starts");
    pool.ready(Instant::now() + LONG).await.expect("it serves");
    (pool, tree)
}

/// (good, typed errors) of jobs that are all asked for at once; none is tried twice.
async fn all(pool: &Pool<Hand>, jobs: impl Iterator<Item = Job>) -> (u64, u64) {
    let calls: Vec<_> = jobs
        .map(|job| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.lease(demand()).await?.run(job).await })
        })
        .collect();
    let (mut good, mut typed) = (0, 0);
    for call in calls {
        match call.await {
            Ok(Ok(())) => good += 1,
            Ok(Err(RunError::ChildEnded { .. })) => typed += 1,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    (good, typed)
}

pub async fn panicking_jobs() -> Ours {
    let (pool, tree) = running(spec(4), Script::default()).await;
    let job = |key: u64| if key % 100 == 50 { Job::Panic } else { Job::Answer(Duration::ZERO) };
    let (good, typed) = all(&pool, (0..5_000).map(job)).await;
    tree.shutdown(LONG).await;
    Ours::new(format!("{good} answered, {typed} told that their child ended"), (good, typed) == (4_950, 50))
}

pub async fn recycling() -> Ours {
    let recycle = RecycleLimits { jobs: Some(50), ..RecycleLimits::NEVER };
    let (pool, tree) = running(PoolSpec { recycle, ..spec(4) }, Script::default()).await;
    let (good, _) = all(&pool, (0..4_000).map(|_| Job::Answer(Duration::from_millis(1)))).await;
    let recycles: u64 = pool.snapshot().counts.recycles.values().sum();
    tree.shutdown(LONG).await;
    Ours::new(format!("{} lost in {recycles} recycles", 4_000 - good), good == 4_000 && recycles > 10)
}

pub async fn failing_start() -> Ours {
    let script = Script::default();
    let failing = Arc::clone(&script.failing_starts);
    let (pool, tree) = running(spec(4), script).await;
    failing.store(1, SeqCst);
    let job = |key| if key == 100 { Job::Panic } else { Job::Answer(Duration::from_millis(1)) };
    let (good, typed) = all(&pool, (0..500).map(job)).await;
    tree.shutdown(LONG).await;
    Ours::new(format!("{good} answered, {typed} told that its child ended"), (good, typed) == (499, 1))
}

pub async fn a_long_job() -> Ours {
    let phases = vec![PhaseBudget { name: "job", budget: Some(Duration::from_millis(300)) }];
    let hang = HangPolicy { phases, grace: Duration::from_millis(100) };
    let (pool, tree) = running(PoolSpec { hang, ..spec(2) }, Script::default()).await;
    let began = Instant::now();
    let good = pool.run(demand(), || Job::Beat(Duration::from_secs(12))).await.is_ok();
    let took = began.elapsed();
    let began = Instant::now();
    let stalled = pool.run(demand(), || Job::Answer(LONG)).await;
    let found = began.elapsed();
    tree.shutdown(LONG).await;
    let fine = good && matches!(stalled, Err(RunError::Stalled { .. })) && Phase::default() == Phase(0);
    Ours::new(format!("answered after {took:.1?}; one that is silent is cancelled after {found:.1?}"), fine)
}

pub async fn flood() -> Ours {
    let (pool, tree) = running(PoolSpec { max_waiting: 1024, ..spec(1) }, Script::default()).await;
    let busy = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(demand(), || Job::Answer(LONG)).await }
    });
    while pool.snapshot().counts.leases == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let before = resident();
    let (mut waiting, mut refused) = (Vec::new(), 0u32);
    for _ in 0..200_000 {
        let mut call = Box::pin(pool.lease(Demand::new(1024, Instant::now() + LONG)));
        // Polled once: it is in line then, or refused.
        match futures_poll(&mut call).await {
            Some(Err(error)) if error.retry_after().is_some() => refused += 1,
            Some(_) => {}
            None => waiting.push(call),
        }
    }
    let (waits, grown) = (waiting.len(), resident().saturating_sub(before) >> 20);
    drop(waiting);
    busy.abort();
    tree.shutdown(Duration::ZERO).await;
    let fine = waits == 1024 && refused == 200_000 - 1024;
    Ours::new(format!("{waits} wait, {refused} refused with a time to come back, {grown} MiB more"), fine)
}

async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

pub async fn parent_stop() -> Ours {
    let script = Script::default();
    let stops = Arc::clone(&script.stops);
    let (_pool, tree) = running(spec(1), script).await;
    tree.shutdown(LONG).await;
    let stops = stops.load(SeqCst);
    Ours::new(format!("the worker's `stop` is run, {stops} time"), stops == 1)
}

pub async fn stop_limit() -> Ours {
    let (pool, tree) = running(spec(1), Script::default()).await;
    let busy = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(demand(), || Job::Answer(LONG)).await }
    });
    while pool.snapshot().counts.leases == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let began = Instant::now();
    tree.shutdown(Duration::from_millis(300)).await;
    let (took, left) = (began.elapsed(), pool.snapshot().children.len());
    let told = busy.await.is_ok_and(|answer| answer.is_err());
    Ours::new(
        format!("killed after {took:.1?}, {left} left, its caller told"),
        left == 0 && told && took < Duration::from_secs(2),
    )
}

pub async fn killed_transient() -> Ours {
    let starts = Arc::new(AtomicU64::new(0));
    let service = ChildSpec::service("transient", {
        let starts = Arc::clone(&starts);
        move |context| {
            starts.fetch_add(1, SeqCst);
            async move {
                context.ready();
                context.stopping().await;
                Ok::<(), std::convert::Infallible>(())
            }
        }
    });
    let root = SupervisorSpec::new("peers").child(service.restart(Restart::Transient));
    let tree = Tree::start(root, Bus::new(16)).await.expect("it starts");
    let _ = tree.root().kill_child("transient");
    sleep(Duration::from_millis(400)).await;
    let (starts, state) = (starts.load(SeqCst), tree.snapshot().children[0].state);
    tree.shutdown(LONG).await;
    Ours::new(format!("started {starts} times, then {state}"), starts == 2 && state == "running")
}

pub async fn same_name() -> Ours {
    let (first, first_tree) = running(spec(1), Script::default()).await;
    let (second, second_tree) = running(spec(1), Script::default()).await;
    let good = first.run(demand(), || Job::Answer(Duration::ZERO)).await.is_ok()
        && second.run(demand(), || Job::Answer(Duration::ZERO)).await.is_ok();
    first_tree.shutdown(LONG).await;
    let still = second.run(demand(), || Job::Answer(Duration::ZERO)).await.is_ok();
    second_tree.shutdown(LONG).await;
    Ours::new("both serve, and the end of one is nothing to the other".to_owned(), good && still)
}

pub async fn intensity() -> Ours {
    let restarts = RestartPolicy::any(3, Duration::from_secs(1));
    let (pool, tree) = running(PoolSpec { restarts, ..PoolSpec::new("hands", 1) }, Script::default()).await;
    for _ in 0..10 {
        sleep(Duration::from_millis(400)).await;
        if let Ok(mut lease) = pool.lease(demand()).await {
            let _ = lease.run(Job::Panic).await;
        }
    }
    sleep(Duration::from_millis(1200)).await;
    let snapshot = pool.snapshot();
    let restarts: u64 = snapshot.counts.restarts.values().sum();
    tree.shutdown(LONG).await;
    Ours::new(format!("{restarts} restarts for 10 crashes, then {}", snapshot.phase), restarts == 10 && snapshot.phase == "open")
}

pub async fn hot_loop() -> Ours {
    let script = Script::default();
    script.failing_starts.store(u64::MAX, SeqCst);
    let failing = Arc::clone(&script.failing_starts);
    let bus = Bus::new(16);
    let pool = Pool::<Hand>::new(spec(1), script, bus.clone());
    let tree = Tree::start(SupervisorSpec::new("peers").child(ChildSpec::pool(&pool)), bus).await.expect("it starts");
    sleep(Duration::from_millis(200)).await;
    let starts = u64::MAX - failing.load(SeqCst);
    tree.shutdown(LONG).await;
    Ours::new(format!("{starts} starts, with a growing pause between them"), (2..100).contains(&starts))
}

pub async fn stale_kill() -> Ours {
    let lives = Arc::new(AtomicU64::new(0));
    let service = ChildSpec::service("child", {
        let lives = Arc::clone(&lives);
        move |context| {
            let life = lives.fetch_add(1, SeqCst);
            async move {
                context.ready();
                if life == 0 {
                    return Err("on purpose");
                }
                context.stopping().await;
                Ok(())
            }
        }
    });
    let tree = Tree::start(SupervisorSpec::new("peers").child(service), Bus::new(16)).await.expect("it starts");
    sleep(Duration::from_millis(200)).await;
    // A child is ended by its name, and whatever life it is in.
    let _ = tree.root().terminate_child("child");
    sleep(Duration::from_millis(200)).await;
    let state = tree.snapshot().children[0].state;
    tree.shutdown(LONG).await;
    let lives = lives.load(SeqCst);
    Ours::new(format!("children are ended by name, whatever their life: life {lives} is {state}"), lives == 2 && state == "down")
}

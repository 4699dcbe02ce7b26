//! `leak-real`: a real worker that leaks 16 KiB with every job, on an arena of its own, beside one that does not.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use eventmesh::memory::Jemalloc;
use eventmesh_actors::{
    Bus, ChildId, ChildSpec, Demand, Event, Failure, LeakPolicy, MemoryProbe, MemorySource, Pool, PoolMemory, PoolSpec, Progress,
    SupervisorSpec, Tree, Usage, Worker,
};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::report::Report;

const LEAK: usize = 16 << 10;
const JOBS: u64 = 20_000;

#[derive(Debug)]
struct Account(Arc<dyn PoolMemory>);

impl MemoryProbe for Account {
    fn bytes(&self) -> Option<u64> {
        self.0.bytes()
    }
}

struct Spec {
    account: Arc<dyn PoolMemory>,
    leak: usize,
}

/// A thread of its own that allocates, frees, and keeps what it should not.
struct Leaky {
    jobs: SyncSender<oneshot::Sender<()>>,
    account: Arc<dyn PoolMemory>,
}

impl Worker for Leaky {
    type Spec = Spec;
    type Job = ();
    type Output = ();
    type Error = Infallible;

    async fn start(spec: &Spec, _child: &ChildId) -> Result<Self, Infallible> {
        let (jobs, listed) = sync_channel::<oneshot::Sender<()>>(1);
        let (account, leak) = (Arc::clone(&spec.account), spec.leak);
        std::thread::spawn(move || {
            account.bind_thread();
            let (mut kept, mut rng) = (Vec::new(), fastrand::Rng::with_seed(1));
            for answer in listed {
                // What a job needs for itself, and gives back.
                let work: Vec<Vec<u8>> = (0..16).map(|_| vec![1; rng.usize(1..64 << 10)]).collect();
                if leak > 0 {
                    kept.push(vec![1u8; leak]);
                }
                drop(std::hint::black_box(work));
                // A caller that has gone does not read its answer.
                let _ = answer.send(());
            }
        });
        Ok(Self { jobs, account: Arc::clone(&spec.account) })
    }

    async fn run(&mut self, _job: (), _progress: &Progress) -> Result<(), Failure<Infallible>> {
        let (answer, done) = oneshot::channel();
        if self.jobs.send(answer).is_ok() {
            // A thread that has gone answers nothing.
            let _ = done.await;
        }
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage { bytes: self.account.bytes().unwrap_or(0), ..Usage::NONE }
    }

    async fn stop(self) {}
}

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

/// What was seen of one worker.
#[derive(Default)]
struct Seen {
    found_at: Option<u64>,
    slope: f64,
    low: f64,
    high: f64,
    freed: Option<u64>,
    lost: u64,
}

async fn measure() -> Result<Report, Error> {
    let mut report = Report::default();
    for leak in [0, LEAK] {
        let seen = watched(leak).await?;
        report.row([
            ("leak_bytes_per_job", json!(leak)),
            ("jobs", json!(JOBS)),
            ("found_at_job", json!(seen.found_at)),
            ("slope_bytes_per_job", json!(seen.slope)),
            ("low", json!(seen.low)),
            ("high", json!(seen.high)),
            ("freed_bytes", json!(seen.freed)),
            ("jobs_lost", json!(seen.lost)),
        ]);
        #[expect(clippy::cast_precision_loss, reason = "a few thousand jobs")]
        let jobs = seen.found_at.map_or(f64::INFINITY, |jobs| jobs as f64);
        if leak == 0 {
            report.at_most("leaks found in a worker without", f64::from(u8::from(seen.found_at.is_some())), 0.0);
        } else {
            #[expect(clippy::cast_precision_loss, reason = "some KiB")]
            let leaked = jobs * leak as f64 / f64::from(1 << 20);
            report.at_most("MiB leaked until it is found", leaked, 64.0);
            #[expect(clippy::cast_precision_loss, reason = "some KiB")]
            let off = (seen.slope / leak as f64 - 1.0).abs() * 100.0;
            report.at_most("the slope is off by percent", off, 20.0);
            report.at_least("memory was given back by the recycle, MiB", mib(seen.freed.unwrap_or(0)), 1.0);
        }
    }
    Ok(report)
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

async fn watched(leak: usize) -> Result<Seen, Error> {
    let jemalloc = Jemalloc::of_this_process().ok_or("this bench allocates with jemalloc, and jemalloc says nothing")?;
    let account = jemalloc.pool("leaky").ok_or("jemalloc gives no arena")?;
    let bus = Bus::new(4096);
    let mut events = bus.subscribe();
    let spec = PoolSpec {
        leak: Some(LeakPolicy::default()),
        memory: Some(Arc::new(Account(Arc::clone(&account)))),
        tick: Duration::from_millis(100),
        ..PoolSpec::new("leaky", 1)
    };
    let pool = Pool::<Leaky>::new(spec, Spec { account, leak }, bus.clone());
    let tree = Tree::start(SupervisorSpec::new("bench").child(ChildSpec::pool(&pool)), bus.clone()).await?;
    let mut seen = Seen::default();
    for job in 0..JOBS {
        pool.run(Demand::new(1, Instant::now() + Duration::from_secs(10)), || ()).await?;
        if seen.found_at.is_none()
            && let Some(leak) = pool.snapshot().children.iter().find_map(|child| child.leak)
        {
            (seen.found_at, seen.slope, seen.low, seen.high) = (Some(job), leak.slope, leak.low, leak.high);
            // A trough, so that it is recycled, and time for its memory to be looked for.
            sleep(Duration::from_secs(4)).await;
            break;
        }
    }
    seen.lost = pool.snapshot().counts.jobs_lost;
    tree.shutdown(Duration::from_secs(5)).await;
    drop((pool, tree, bus));
    while let Some(event) = events.recv().await {
        if let Event::LeakRecycled { freed_bytes, .. } = event {
            seen.freed = Some(freed_bytes);
        }
    }
    Ok(seen)
}

//! `recycle`: a pool of one whose child is replaced every ten jobs, beside one whose child never is, in the same run.

use std::convert::Infallible;
use std::time::Duration;

use eventmesh_actors::{
    Bus, ChildId, ChildSpec, Demand, Failure, Pool, PoolSpec, Progress, RecycleLimits, SupervisorSpec, Tree, Usage, Worker,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::report::Report;
use crate::stats::{micros, percentile};

const BLOCKS: usize = 20;
const JOBS: usize = 500;
/// What a job takes, as the timer counts it.
const JOB: Duration = Duration::from_millis(1);
/// What a worker takes to start: more than a job, so that a replacement that is not made first would be seen.
const START: Duration = Duration::from_millis(20);

struct Steady;

impl Worker for Steady {
    type Spec = ();
    type Job = ();
    type Output = ();
    type Error = Infallible;

    async fn start(_spec: &(), _child: &ChildId) -> Result<Self, Infallible> {
        sleep(START).await;
        Ok(Self)
    }

    async fn run(&mut self, _job: (), _progress: &Progress) -> Result<(), Failure<Infallible>> {
        sleep(JOB).await;
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage::NONE
    }

    async fn stop(self) {}
}

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let bus = Bus::new(16);
    let often = RecycleLimits { jobs: Some(10), ..RecycleLimits::NEVER };
    let recycled = Pool::<Steady>::new(PoolSpec { recycle: often, ..PoolSpec::new("recycled", 1) }, (), bus.clone());
    let kept = Pool::<Steady>::new(PoolSpec::new("kept", 1), (), bus.clone());
    let root = SupervisorSpec::new("bench").child(ChildSpec::pool(&recycled)).child(ChildSpec::pool(&kept));
    let tree = Tree::start(root, bus).await?;
    let (mut with, mut without, mut errors) = (Vec::new(), Vec::new(), 0u64);
    for pool in [&recycled, &kept] {
        pool.ready(Instant::now() + Duration::from_secs(5)).await?;
    }
    for _ in 0..BLOCKS {
        for (pool, samples) in [(&kept, &mut without), (&recycled, &mut with)] {
            for _ in 0..JOBS {
                let asked = Instant::now();
                let done = pool.run(Demand::new(1, asked + Duration::from_secs(10)), || ()).await;
                errors += u64::from(done.is_err());
                samples.push(asked.elapsed());
            }
        }
    }
    let counts = recycled.snapshot().counts;
    tree.shutdown(Duration::from_secs(1)).await;
    let mut report = Report::default();
    for (name, samples) in [("never recycled", &mut without), ("recycled every 10 jobs", &mut with)] {
        report.row([
            ("what", json!(name)),
            ("jobs", json!(samples.len())),
            ("p50_us", json!(micros(percentile(samples, 0.5)))),
            ("p99_us", json!(micros(percentile(samples, 0.99)))),
            ("max_us", json!(micros(percentile(samples, 1.0)))),
        ]);
    }
    report.row([("recycles", json!(counts.recycles)), ("restarts", json!(counts.restarts)), ("errors", json!(errors))]);
    let job = micros(percentile(&mut without, 0.5));
    let added = micros(percentile(&mut with, 0.99)) - micros(percentile(&mut without, 0.99));
    #[expect(clippy::cast_precision_loss, reason = "counts of jobs")]
    let (lost, errors) = (counts.jobs_lost as f64, errors as f64);
    report.at_most("jobs lost", lost, 0.0);
    report.at_most("errors", errors, 0.0);
    report.at_most("added p99, in jobs", added / job, 1.0);
    Ok(report)
}

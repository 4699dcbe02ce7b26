//! `lease`: lease, job and check-in of an idle child, against the bare channels that any hand-off needs.

use std::convert::Infallible;
use std::time::Duration;

use eventmesh_actors::{
    Bus, ChildId, ChildSpec, Demand, Failure, Pool, PoolSpec, Progress, SupervisorSpec, Tree, Usage, Worker, spawn_named,
};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::Error;
use crate::report::Report;
use crate::stats::{micros, percentile};

const BLOCKS: usize = 40;
const ROUNDS: usize = 2_500;

/// Returns what it is given.
struct Echo;

impl Worker for Echo {
    type Spec = ();
    type Job = u64;
    type Output = u64;
    type Error = Infallible;

    async fn start(_spec: &(), _child: &ChildId) -> Result<Self, Infallible> {
        Ok(Self)
    }

    async fn run(&mut self, number: u64, _progress: &Progress) -> Result<u64, Failure<Infallible>> {
        Ok(number)
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
    let pool = Pool::<Echo>::new(PoolSpec::new("echo", 1), (), bus.clone());
    let tree = Tree::start(SupervisorSpec::new("bench").child(ChildSpec::pool(&pool)), bus).await?;
    pool.ready(Instant::now() + Duration::from_secs(5)).await?;
    let (jobs, mut listed) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(1);
    let floor = spawn_named("floor", async move {
        while let Some((number, reply)) = listed.recv().await {
            // A caller that has gone does not read its answer.
            let _ = reply.send(number);
        }
    });
    // From a task, as real callers are, and in alternating blocks, so that both see the same noise.
    let caller = spawn_named("caller", async move {
        let (mut bare, mut leased) = (Vec::new(), Vec::new());
        for block in 0..BLOCKS + 2 {
            for number in 0..ROUNDS as u64 {
                let began = Instant::now();
                let (reply, answer) = oneshot::channel();
                if jobs.send((number, reply)).await.is_err() || answer.await != Ok(number) {
                    return None;
                }
                bare.push(began.elapsed());
            }
            for number in 0..ROUNDS as u64 {
                let began = Instant::now();
                let demand = Demand::new(1, began + Duration::from_secs(60));
                if pool.run(demand, || number).await.ok() != Some(number) {
                    return None;
                }
                leased.push(began.elapsed());
            }
            if block < 2 {
                bare.clear();
                leased.clear();
            }
        }
        Some((bare, leased))
    });
    let (mut bare, mut leased) = caller.await?.flatten().ok_or("a job was not answered")?;
    tree.shutdown(Duration::from_secs(1)).await;
    floor.abort();
    let mut report = Report::default();
    let mut p50s = Vec::new();
    for (name, samples) in [("raw channels", &mut bare), ("lease, job, check-in", &mut leased)] {
        let (p50, p95) = (percentile(samples, 0.5), percentile(samples, 0.95));
        report.row([
            ("what", json!(name)),
            ("jobs", json!(samples.len())),
            ("p50_us", json!(micros(p50))),
            ("p95_us", json!(micros(p95))),
        ]);
        p50s.push(micros(p50));
    }
    report.at_most("lease, job and check-in over the raw channels, p50 in µs", p50s[1] - p50s[0], 10.0);
    Ok(report)
}

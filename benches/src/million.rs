//! `million`: a million jobs of which 1 % panic, 1 % hang and 1 % fail; each is answered exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventmesh_actors::{
    BackoffSpec, Bus, ChildId, ChildSpec, Demand, Failure, Pool, PoolSpec, Progress, QuarantinePolicy, RestartPolicy, RunError,
    SupervisorSpec, Tree, Usage, Worker, spawn_named,
};
use serde_json::json;
use tokio::time::Instant;

use crate::Error;
use crate::report::Report;

const JOBS: u64 = 1_000_000;
const CHILDREN: u32 = 16;
const CALLERS: u64 = 64;
/// How long a job that hangs may take; the others have a minute.
const PATIENCE: Duration = Duration::from_millis(5);

#[derive(Debug, thiserror::Error)]
#[error("on purpose")]
struct OnPurpose;

/// Does what the number of the job says.
struct Unlucky;

impl Worker for Unlucky {
    type Spec = ();
    type Job = u64;
    type Output = u64;
    type Error = OnPurpose;

    async fn start(_spec: &(), _child: &ChildId) -> Result<Self, OnPurpose> {
        Ok(Self)
    }

    async fn run(&mut self, number: u64, _progress: &Progress) -> Result<u64, Failure<OnPurpose>> {
        match number % 100 {
            17 => panic!("on purpose"),
            42 => std::future::pending().await,
            71 => Err(Failure::Job(OnPurpose)),
            _ => Ok(number),
        }
    }

    fn usage(&self) -> Usage {
        Usage::NONE
    }

    async fn stop(self) {}
}

pub(crate) fn run() -> Result<Report, Error> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let report = tokio::runtime::Runtime::new()?.block_on(measure());
    std::panic::set_hook(hook);
    report
}

async fn measure() -> Result<Report, Error> {
    let bus = Bus::new(16);
    let spec = PoolSpec {
        backoff: BackoffSpec { base: Duration::ZERO, cap: Duration::ZERO, reset_after: Duration::ZERO },
        restarts: RestartPolicy::any(u32::MAX, Duration::from_millis(1)),
        quarantine: QuarantinePolicy::default(),
        cancel_grace: Duration::from_millis(20),
        ..PoolSpec::new("unlucky", CHILDREN)
    };
    let pool = Pool::<Unlucky>::new(spec, (), bus.clone());
    let tree = Tree::start(SupervisorSpec::new("bench").child(ChildSpec::pool(&pool)), bus).await?;
    pool.ready(Instant::now() + Duration::from_secs(5)).await?;
    let (began, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let (pool, next) = (pool.clone(), Arc::clone(&next));
        callers.push(spawn_named("caller", async move {
            let mut answers: BTreeMap<&'static str, u64> = BTreeMap::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= JOBS {
                    return answers;
                }
                *answers.entry(ask(&pool, number).await).or_default() += 1;
            }
        }));
    }
    let mut answers: BTreeMap<&'static str, u64> = BTreeMap::new();
    for caller in callers {
        for (answer, count) in caller.await?.ok_or("a caller panicked")? {
            *answers.entry(answer).or_default() += count;
        }
    }
    let took = began.elapsed();
    let snapshot = pool.snapshot();
    tree.shutdown(Duration::from_secs(5)).await;
    let counts = snapshot.counts;
    let mut report = Report::default();
    report.row([
        ("jobs", json!(JOBS)),
        ("answers", json!(answers)),
        ("seconds", json!(took.as_secs_f64())),
        ("restarts", json!(counts.restarts)),
        ("ledger_accepted", json!(counts.accepted)),
        ("ledger_answers", json!(counts.answers)),
        ("invariant_violations_total", json!(counts.violations)),
        ("open_entries", json!(snapshot.open_entries)),
    ]);
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
    let number = |count: u64| count as f64;
    let of = |answer: &str| answers.get(answer).copied().unwrap_or(0);
    report.at_most("jobs without an answer", number(JOBS - answers.values().sum::<u64>()), 0.0);
    report.at_most("innocent jobs not answered well", number(JOBS / 100 * 97 - of("output")), 0.0);
    report.at_most("panics not told as such", number((JOBS / 100).abs_diff(of("child_ended"))), 0.0);
    report.at_most("hangs not told as such", number((JOBS / 100).abs_diff(of("deadline"))), 0.0);
    report.at_most("failures not told as such", number((JOBS / 100).abs_diff(of("job_failed"))), 0.0);
    report.at_most(
        "ledger entries without exactly one answer",
        number(counts.accepted.abs_diff(counts.answers.values().sum())),
        0.0,
    );
    report.at_most("invariants violated", number(counts.violations.values().sum()), 0.0);
    Ok(report)
}

async fn ask(pool: &Pool<Unlucky>, number: u64) -> &'static str {
    let demand = |within| Demand::new(1, Instant::now() + within);
    // A job that is to hang waits in line like all others, and only then is its time short.
    let mut lease = match pool.lease(demand(Duration::from_secs(60))).await {
        Ok(lease) => lease,
        Err(_) => return "refused",
    };
    let hangs = number % 100 == 42;
    let answer = if hangs { lease.within(PATIENCE).run(number).await } else { lease.run(number).await };
    match answer {
        Ok(output) if output == number => "output",
        Ok(_) => "wrong",
        Err(RunError::ChildEnded { .. }) => "child_ended",
        Err(RunError::Deadline { .. }) => "deadline",
        Err(RunError::Job(_)) => "job_failed",
        Err(RunError::Lease(_) | RunError::Worker(_) | RunError::Stalled { .. }) => "other",
    }
}

//! `concurrency`: work per CPU-second through the whole engine, at 1 to 16 requests at once.

use std::time::Duration;

use bytes::Bytes;
use eventmesh::{Engine, Request};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Error;
use crate::machine::process_cpu;
use crate::pages::page;
use crate::report::Report;
use crate::stats::{micros, percentile};

const STEPS: [usize; 5] = [1, 2, 4, 8, 16];
/// The steps are walked through this often, so that noise meets all of them.
const PASSES: usize = 5;
const STEP: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Step {
    done: u64,
    cpu: Duration,
    wall: Duration,
    latencies: Vec<Duration>,
}

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let engine = Engine::builder().start().await?;
    let page: Bytes = page(10_000, 1).into_bytes().into();
    let mut steps: Vec<Step> = STEPS.iter().map(|_| Step::default()).collect();
    for _ in 0..PASSES {
        for (at_once, step) in STEPS.iter().zip(&mut steps) {
            walk(&engine, &page, *at_once, step).await?;
        }
    }
    engine.shutdown(Duration::from_secs(5)).await;
    let mut report = Report::default();
    let mut efficiencies = Vec::new();
    for (at_once, step) in STEPS.iter().zip(&mut steps) {
        #[expect(clippy::cast_precision_loss, reason = "a count of pages")]
        let done = step.done as f64;
        let efficiency = done / step.cpu.as_secs_f64();
        report.row([
            ("at_once", json!(at_once)),
            ("pages", json!(step.done)),
            ("ops_per_cpu_second", json!(efficiency)),
            ("ops_per_second", json!(done / step.wall.as_secs_f64())),
            ("p50_ms", json!(micros(percentile(&mut step.latencies, 0.5)) / 1e3)),
            ("p95_ms", json!(micros(percentile(&mut step.latencies, 0.95)) / 1e3)),
        ]);
        efficiencies.push(efficiency);
    }
    report.at_least("work per CPU-second at 16 requests at once, of that at 1", efficiencies[4] / efficiencies[0], 0.9);
    Ok(report)
}

async fn walk(engine: &Engine, page: &Bytes, at_once: usize, step: &mut Step) -> Result<(), Error> {
    let (cpu, began) = (process_cpu(), Instant::now());
    let mut callers = JoinSet::new();
    for _ in 0..at_once {
        let (engine, page) = (engine.clone(), page.clone());
        callers.spawn(async move {
            let mut latencies = Vec::new();
            while began.elapsed() < STEP {
                let asked = Instant::now();
                engine.extract(Request::bytes(page.clone())).document().await?;
                latencies.push(asked.elapsed());
            }
            Ok::<_, eventmesh::Error>(latencies)
        });
    }
    while let Some(latencies) = callers.join_next().await {
        let latencies = latencies??;
        step.done += latencies.len() as u64;
        step.latencies.extend(latencies);
    }
    step.cpu += process_cpu() - cpu;
    step.wall += began.elapsed();
    Ok(())
}

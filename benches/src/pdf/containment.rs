//! `pdf-containment`: bad documents one after the other, while small ones are read beside them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventmesh::actors::{MemorySource, spawn_named};
use eventmesh::memory::Jemalloc;
use eventmesh::{Engine, Request};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::corpus::Corpus;
use super::{engine, request};
use crate::Error;
use crate::machine::resident;
use crate::report::Report;
use crate::stats::{micros, percentile};

const DEADLINE: Duration = Duration::from_secs(3);
/// Small documents come this far apart: a load that one worker carries with ease.
const EVERY: Duration = Duration::from_millis(20);

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let corpus = Corpus::open()?;
    let small = corpus.ending("chromium-hebrew.pdf")?;
    let bad = corpus.set("bad");
    let engine = engine(2, |_| {}).await?;
    let mut report = Report::default();

    let siblings = Siblings::start(&engine, &small);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut alone = siblings.stop().await?;
    // What is needed once for the largest of them, buffers and all, is no growth.
    for path in &bad {
        let _ = engine.extract(Request::path(path).deadline(DEADLINE)).document().await;
    }
    let before = held();

    let siblings = Siblings::start(&engine, &small);
    let (mut worst, mut ready) = (Duration::ZERO, Vec::new());
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < Duration::from_secs(30) || rounds < 2 {
        rounds += 1;
        for path in &bad {
            let asked = Instant::now();
            let answer = engine.extract(Request::path(path).deadline(DEADLINE)).document().await;
            worst = worst.max(asked.elapsed().saturating_sub(DEADLINE));
            let kind = answer.map_or_else(|error| error.kind().to_string(), |_| "read".to_owned());
            let killed = kind == "deadline" || kind == "resource_limit";
            *kinds.entry(kind).or_default() += 1;
            if killed {
                // Both workers, one after the other: one of them has a new process.
                let began = Instant::now();
                let (one, other) =
                    tokio::join!(engine.extract(request(&small)).document(), engine.extract(request(&small)).document());
                one?;
                other?;
                ready.push(began.elapsed());
            }
        }
    }
    let mut beside = siblings.stop().await?;
    let grown = held().saturating_sub(before);
    engine.shutdown(Duration::from_secs(5)).await;

    let (alone_p95, beside_p95) = (percentile(&mut alone, 0.95), percentile(&mut beside, 0.95));
    report.row([("what", json!("bad documents")), ("rounds", json!(rounds)), ("ended", json!(kinds))]);
    report.row([
        ("what", json!("small documents alone")),
        ("count", json!(alone.len())),
        ("p50_ms", json!(micros(percentile(&mut alone, 0.5)) / 1e3)),
        ("p95_ms", json!(micros(alone_p95) / 1e3)),
    ]);
    report.row([
        ("what", json!("small documents beside bad ones")),
        ("count", json!(beside.len())),
        ("p50_ms", json!(micros(percentile(&mut beside, 0.5)) / 1e3)),
        ("p95_ms", json!(micros(beside_p95) / 1e3)),
    ]);
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
    let grown = grown as f64 / 1e6;
    report.at_most("answered past the deadline, ms", micros(worst) / 1e3, 100.0);
    report.at_most("two documents after a killed process, ms p50", micros(percentile(&mut ready, 0.5)) / 1e3, 20.0);
    report.at_most("growth of this process, MB", grown, 2.0);
    report.at_most("p95 beside bad documents, of alone", beside_p95.as_secs_f64() / alone_p95.as_secs_f64(), 1.5);
    Ok(report)
}

/// Resident bytes of this process, without what its allocator keeps for the next time.
fn held() -> u64 {
    if let Some(jemalloc) = Jemalloc::of_this_process() {
        jemalloc.give_back();
    }
    resident()
}

/// Small documents at a steady rate.
struct Siblings {
    over: Arc<AtomicBool>,
    work: JoinHandle<Option<Result<Vec<Duration>, eventmesh::Error>>>,
}

impl Siblings {
    fn start(engine: &Engine, small: &Path) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (engine, small, seen) = (engine.clone(), small.to_owned(), Arc::clone(&over));
        let work = spawn_named("siblings", async move {
            let mut latencies = Vec::new();
            let mut tick = tokio::time::interval(EVERY);
            while !seen.load(Ordering::Relaxed) {
                tick.tick().await;
                let asked = Instant::now();
                engine.extract(request(&small)).document().await?;
                latencies.push(asked.elapsed());
            }
            Ok(latencies)
        });
        Self { over, work }
    }

    async fn stop(self) -> Result<Vec<Duration>, Error> {
        self.over.store(true, Ordering::Relaxed);
        Ok(self.work.await?.ok_or("the siblings crashed")??)
    }
}

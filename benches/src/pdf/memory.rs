//! `pdf-memory`: what a pool of two holds over the whole realistic corpus, what a worker holds after each document, and
//! whether that grows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use eventmesh::Engine;
use serde_json::json;
use tokio::task::JoinSet;

use super::corpus::Corpus;
use super::{engine, request};
use crate::Error;
use crate::report::Report;

/// Documents of the long run.
const RUN: usize = 10_000;
const MIB: f64 = 1_048_576.0;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let corpus = Corpus::open()?;
    let all: Vec<PathBuf> = corpus.realistic().map(|entry| corpus.path(entry)).collect();
    let small: Vec<PathBuf> =
        corpus.realistic().filter(|entry| entry.bytes <= 128 << 10).map(|entry| corpus.path(entry)).collect();
    let mut report = Report::default();
    peak(&all, &mut report).await?;
    after(&all, &mut report).await?;
    drift(&small, &mut report).await?;
    Ok(report)
}

/// Proportional set size of this process and its children, in bytes.
fn pss() -> u64 {
    let own = std::process::id();
    workers().into_iter().chain([own]).map(|pid| field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")).sum()
}

/// The processes that this one has started.
fn workers() -> Vec<u32> {
    let own = std::process::id().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit(") ").next()?.split(' ').nth(1)?.to_owned();
            (parent == own).then(|| entry.file_name().to_str()?.parse().ok())?
        })
        .collect()
}

/// A field in KiB of a file in `/proc`, in bytes.
fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) << 10
}

async fn peak(all: &[PathBuf], report: &mut Report) -> Result<(), Error> {
    let engine = engine(2, |_| {}).await?;
    let over = Arc::new(AtomicBool::new(false));
    let watch = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(pss());
                std::thread::park_timeout(Duration::from_millis(3));
            }
            most
        })
    };
    let done = walk(&engine, &Arc::new(all.to_vec()), 4, all.len()).await?;
    over.store(true, Ordering::Relaxed);
    let most = watch.join().map_err(|_| "the watch crashed")?;
    engine.shutdown(Duration::from_secs(5)).await;
    report.row([("what", json!("peak PSS of parent and two workers")), ("documents", json!(done)), ("mib", json!(mib(most)))]);
    report.at_most("peak PSS of parent and two workers, MB", f64_of(most) / 1e6, 140.0);
    Ok(())
}

async fn after(all: &[PathBuf], report: &mut Report) -> Result<(), Error> {
    let engine = engine(1, |_| {}).await?;
    let (mut held, mut private) = (BTreeMap::<u64, &PathBuf>::new(), 0);
    for path in all {
        let _ = engine.extract(request(path)).document().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        for pid in workers() {
            held.insert(field(&format!("/proc/{pid}/status"), "VmRSS:"), path);
            private = private.max(field(&format!("/proc/{pid}/smaps_rollup"), "Pss:"));
        }
    }
    engine.shutdown(Duration::from_secs(5)).await;
    for (bytes, path) in held.iter().rev().take(3) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        report.row([("what", json!("RSS of a worker 50 ms after")), ("document", json!(name)), ("mib", json!(mib(*bytes)))]);
    }
    report.row([("what", json!("PSS of a worker 50 ms after any document")), ("mib", json!(mib(private)))]);
    let most = held.keys().next_back().copied().unwrap_or(0);
    report.at_most("RSS of a worker 50 ms after any document, MB", f64_of(most) / 1e6, 15.0);
    Ok(())
}

async fn drift(small: &[PathBuf], report: &mut Report) -> Result<(), Error> {
    let engine = engine(2, |_| {}).await?;
    let small = Arc::new(small.to_vec());
    let mut readings = Vec::new();
    for _ in 0..10 {
        walk(&engine, &small, 4, RUN / 10).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        readings.push(pss());
    }
    engine.shutdown(Duration::from_secs(5)).await;
    let all: Vec<f64> = readings.iter().map(|bytes| mib(*bytes)).collect();
    // The first tenth warms up. Medians of the halves, since each reading meets workers of another age.
    let median = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        f64_of(part[part.len() / 2])
    };
    let grown = (median(&readings[6..]) - median(&readings[1..5])) / 1e6;
    report.row([("what", json!("PSS every tenth of the run, MiB")), ("documents", json!(RUN)), ("readings", json!(all))]);
    report.at_most("growth over 10,000 documents, MB", grown, 1.0);
    Ok(())
}

async fn walk(engine: &Engine, paths: &Arc<Vec<PathBuf>>, at_once: usize, count: usize) -> Result<usize, Error> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..at_once {
        let (engine, paths, next) = (engine.clone(), Arc::clone(paths), Arc::clone(&next));
        callers.spawn(async move {
            let mut done = 0;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break done;
                }
                done += usize::from(engine.extract(request(&paths[index % paths.len()])).document().await.is_ok());
            }
        });
    }
    let mut done = 0;
    while let Some(some) = callers.join_next().await {
        done += some?;
    }
    Ok(done)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
fn f64_of(bytes: u64) -> f64 {
    bytes as f64
}

fn mib(bytes: u64) -> f64 {
    f64_of(bytes) / MIB
}

//! `pdf-small`: documents in a second with one worker and with two, against one process per document.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::corpus::Corpus;
use super::peers::Peer;
use super::{engine, request};
use crate::Error;
use crate::report::Report;
use crate::stats::{percentile, ratio};

/// All variants in turn, so that noise meets all of them.
const ROUNDS: usize = 5;
/// A small document.
const BYTES: u64 = 512 << 10;
const PAGES: usize = 20;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let corpus = Corpus::open()?;
    let peers = [Peer::pdftotext()?, Peer::mutool()?];
    let (one, two) = (engine(1, |_| {}).await?, engine(2, |_| {}).await?);
    let mut documents: Vec<PathBuf> = Vec::new();
    for entry in corpus.realistic().filter(|entry| entry.bytes <= BYTES) {
        let path = corpus.path(entry);
        if one.extract(request(&path)).document().await.is_ok_and(|answer| (1..=PAGES).contains(&answer.document.pages.len())) {
            documents.push(path);
        }
    }
    let documents = Arc::new(documents);
    let mut walls: Vec<Vec<Duration>> = vec![Vec::new(); 4];
    for _ in 0..ROUNDS {
        walls[0].push(ours(&one, &documents, 2).await?);
        walls[1].push(ours(&two, &documents, 4).await?);
        for (wall, peer) in walls[2..].iter_mut().zip(&peers) {
            wall.push(theirs(peer, &documents)?);
        }
    }
    one.shutdown(Duration::from_secs(5)).await;
    two.shutdown(Duration::from_secs(5)).await;
    let mut medians = Vec::new();
    let mut report = Report::default();
    #[expect(clippy::cast_precision_loss, reason = "a count of documents")]
    let count = documents.len() as f64;
    for (name, wall) in ["one worker", "two workers", "pdftotext", "mutool"].iter().zip(&mut walls) {
        let median = percentile(wall, 0.5);
        report.row([
            ("what", json!(name)),
            ("documents", json!(documents.len())),
            ("wall_ms", json!(median.as_secs_f64() * 1e3)),
            ("documents_per_second", json!(count / median.as_secs_f64())),
        ]);
        medians.push(median);
    }
    report.at_least("two workers, of one", ratio(medians[0], medians[1]), 1.7);
    report.at_least("two workers, of pdftotext once per document, one after the other", ratio(medians[2], medians[1]), 6.0);
    report.at_least("two workers, of mutool once per document, one after the other", ratio(medians[3], medians[1]), 4.5);
    Ok(report)
}

async fn ours(engine: &eventmesh::Engine, documents: &Arc<Vec<PathBuf>>, at_once: usize) -> Result<Duration, Error> {
    let began = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..at_once {
        let (engine, documents, next) = (engine.clone(), Arc::clone(documents), Arc::clone(&next));
        callers.spawn(async move {
            while let Some(path) = documents.get(next.fetch_add(1, Ordering::Relaxed)) {
                engine.extract(request(path)).document().await?;
            }
            Ok::<_, eventmesh::Error>(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    Ok(began.elapsed())
}

fn theirs(peer: &Peer, documents: &[PathBuf]) -> Result<Duration, Error> {
    let began = Instant::now();
    for document in documents {
        peer.read(document)?;
    }
    Ok(began.elapsed())
}

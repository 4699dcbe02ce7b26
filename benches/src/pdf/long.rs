//! `pdf-long`: pages per CPU-second of long documents, start of the processes included, against the peers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use eventmesh::{Chunk, Engine};
use serde_json::json;

use super::corpus::Corpus;
use super::peers::Peer;
use super::{engine, request};
use crate::Error;
use crate::machine::{children_cpu, process_cpu};
use crate::report::Report;
use crate::stats::{percentile, ratio};

const ROUNDS: usize = 5;
/// A document of so many pages is long.
const PAGES: u32 = 40;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let corpus = Corpus::open()?;
    let peers = [Peer::pypdfium2()?, Peer::pdftotext()?, Peer::mutool()?, Peer::libpdfium_alone()?];
    let mut long: Vec<(String, PathBuf)> = Vec::new();
    let scout = engine(1, |_| {}).await?;
    for entry in corpus.realistic() {
        let path = corpus.path(entry);
        if pages(&scout, &path).await.is_ok_and(|pages| pages >= PAGES) {
            long.push((Corpus::name(entry), path));
        }
    }
    scout.shutdown(Duration::from_secs(5)).await;
    let mut report = Report::default();
    for (name, path) in long {
        let (mut ours, mut theirs) = (Vec::new(), vec![Vec::new(); peers.len()]);
        let mut count = 0;
        for _ in 0..ROUNDS {
            // Started before the clock: the engine's own start is no cost of a document. Its process is, and is counted when it
            // has gone.
            let engine = engine(1, |_| {}).await?;
            let before = children_cpu() + process_cpu();
            count = pages(&engine, &path).await?;
            engine.shutdown(Duration::from_secs(5)).await;
            ours.push(children_cpu() + process_cpu() - before);
            for (cpu, peer) in theirs.iter_mut().zip(&peers) {
                cpu.push(peer.cpu(&path)?);
            }
        }
        let ours = percentile(&mut ours, 0.5);
        let theirs: Vec<Duration> = theirs.iter_mut().map(|cpu| percentile(cpu, 0.5)).collect();
        let rate = |cpu: Duration| f64::from(count) / cpu.as_secs_f64().max(1e-3);
        report.row([
            ("document", json!(name)),
            ("pages", json!(count)),
            ("pages_per_cpu_second", json!(rate(ours))),
            ("pypdfium2", json!(rate(theirs[0]))),
            ("pdftotext", json!(rate(theirs[1]))),
            ("mutool", json!(rate(theirs[2]))),
            // Nothing is read here: a floor, and no peer.
            ("libpdfium_alone", json!(rate(theirs[3]))),
        ]);
        report.at_least(&format!("{name}: of pypdfium2"), ratio(theirs[0], ours), 1.1);
        report.at_least(&format!("{name}: of the better of pdftotext and mutool"), ratio(theirs[1].min(theirs[2]), ours), 0.9);
    }
    Ok(report)
}

async fn pages(engine: &Engine, path: &Path) -> Result<u32, Error> {
    let mut reply = engine.extract(request(path).stream_pages());
    let mut count = 0;
    while let Some(chunk) = reply.next().await {
        match chunk {
            Chunk::Page(_) => count += 1,
            Chunk::Error(error) => return Err(error.into()),
            Chunk::Head(_)
            | Chunk::Route(_)
            | Chunk::Picture(_)
            | Chunk::Rendered(_)
            | Chunk::Extract(..)
            | Chunk::Body(_)
            | Chunk::Done(_) => {}
        }
    }
    Ok(count)
}

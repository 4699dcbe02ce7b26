//! `pdf-first-page`: how soon the first page of a thousand is there, beside a tool that reads that page alone.

use std::path::Path;
use std::time::Duration;

use eventmesh::{Chunk, Engine};
use serde_json::json;
use tokio::time::Instant;

use super::corpus::Corpus;
use super::{engine, request};
use crate::Error;
use crate::report::Report;
use crate::stats::{micros, percentile};

const ROUNDS: usize = 15;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let document = Corpus::open()?.ending("reportlab-1000p.pdf")?;
    let warm = engine(1, |_| {}).await?;
    first(&warm, &document).await?;
    let (mut cold_times, mut warm_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        warm_times.push(first(&warm, &document).await?);
        let cold = engine(1, |_| {}).await?;
        cold_times.push(first(&cold, &document).await?);
        cold.shutdown(Duration::ZERO).await;
    }
    warm.shutdown(Duration::ZERO).await;
    let mut report = Report::default();
    for (name, times) in [("process there", &mut warm_times), ("process started for it", &mut cold_times)] {
        let median = micros(percentile(times, 0.5)) / 1e3;
        report.row([("what", json!(name)), ("p50_ms", json!(median)), ("p95_ms", json!(micros(percentile(times, 0.95)) / 1e3))]);
        report.at_most(&format!("first of 1,000 pages, {name}, ms"), median, 100.0);
    }
    Ok(report)
}

async fn first(engine: &Engine, document: &Path) -> Result<Duration, Error> {
    let began = Instant::now();
    let mut reply = engine.extract(request(document).stream_pages());
    while let Some(chunk) = reply.next().await {
        match chunk {
            // The rest is given up, as by a reader that has seen enough.
            Chunk::Page(_) => return Ok(began.elapsed()),
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
    Err("the document has no page".into())
}

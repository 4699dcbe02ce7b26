//! `pdf-isolation`: files of about ten pages through a worker, against the same code in this process.

use std::path::PathBuf;
use std::time::Duration;

use eventmesh_extractors::pdf::PdfLibrary;
use eventmesh_pdf::{Document, Library, Step, Wanted};
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
    let corpus = Corpus::open()?;
    let library = Library::load(&PdfLibrary::find(None)?.path, &[])?;
    let engine = engine(1, |_| {}).await?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in corpus.realistic() {
        let path = corpus.path(entry);
        if engine.extract(request(&path)).document().await.is_ok_and(|answer| (8..=12).contains(&answer.document.pages.len())) {
            files.push(path);
        }
    }
    let mut report = Report::default();
    let (mut here, mut there) = (Duration::ZERO, Duration::ZERO);
    for path in &files {
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let began = Instant::now();
            in_process(&library, path)?;
            inside.push(began.elapsed());
            let began = Instant::now();
            engine.extract(request(path)).document().await?;
            outside.push(began.elapsed());
        }
        let (inside, outside) = (percentile(&mut inside, 0.5), percentile(&mut outside, 0.5));
        report.row([
            ("document", json!(path.file_name().unwrap_or_default().to_string_lossy())),
            ("in_process_us", json!(micros(inside))),
            ("worker_us", json!(micros(outside))),
            ("ratio", json!(outside.as_secs_f64() / inside.as_secs_f64())),
        ]);
        here += inside;
        there += outside;
    }
    engine.shutdown(Duration::from_secs(5)).await;
    report.at_most("all files through a worker, of in-process", there.as_secs_f64() / here.as_secs_f64(), 1.2);
    Ok(report)
}

fn in_process(library: &Library, path: &std::path::Path) -> Result<usize, Error> {
    let bytes = std::fs::read(path)?;
    let document = Document::open(library, &bytes, None)?;
    let facts = document.facts();
    let mut pages = document.pages(Wanted::default(), &facts.outline, u32::MAX);
    let mut letters = document.info().title.map_or(0, |title| title.len());
    while let Some(step) = pages.step() {
        if let Step::Page(page) = step {
            letters += page.text.len();
        }
    }
    Ok(letters)
}

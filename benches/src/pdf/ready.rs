//! `pdf-ready`: how long a worker's process takes from nothing to ready, confined and all.

use eventmesh_actors::process::ProcessHost;
use eventmesh_extractors::pdf::{PdfLibrary, PdfLimits, PdfProgram, PdfSpec};
use serde_json::json;

use crate::Error;
use crate::report::Report;
use crate::stats::{micros, percentile};

const ROUNDS: usize = 200;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let scratch = std::env::temp_dir().join(format!("eventmesh-bench-{}", std::process::id()));
    let host = ProcessHost::open(&scratch)?;
    let spec = PdfSpec::new(PdfProgram::ThisOne, PdfLibrary::find(None)?.path, host.clone(), PdfLimits::default());
    let mut times = Vec::new();
    let mut confinement = String::new();
    for _ in 0..ROUNDS {
        let (ready, confined) = spec.try_out().await?;
        times.push(ready);
        confinement = confined.to_string();
    }
    host.close().await;
    std::fs::remove_dir_all(&scratch)?;
    let mut report = Report::default();
    let median = micros(percentile(&mut times, 0.5)) / 1e3;
    report.row([
        ("starts", json!(ROUNDS)),
        ("p50_ms", json!(median)),
        ("p95_ms", json!(micros(percentile(&mut times, 0.95)) / 1e3)),
        ("confinement", json!(confinement)),
    ]);
    report.at_most("a process ready, ms p50", median, 5.0);
    Ok(report)
}

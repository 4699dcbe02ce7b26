//! `instantiate`: what every page pays before its first byte.

use eventmesh_extractors::wasm::{Sandbox, SandboxSpec};
use serde_json::json;
use tokio::time::Instant;

use crate::Error;
use crate::report::Report;
use crate::stats::{micros, percentile};

const ROUNDS: usize = 50_000;

pub(crate) fn run() -> Result<Report, Error> {
    let sandbox = Sandbox::new(&SandboxSpec::new(2))?;
    let mut report = Report::default();
    let mut samples = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS + 1000 {
        let began = Instant::now();
        sandbox.instantiate()?;
        if round >= 1000 {
            samples.push(began.elapsed());
        }
    }
    let (p50, p95) = (percentile(&mut samples, 0.5), percentile(&mut samples, 0.95));
    report.row([("instances", json!(ROUNDS)), ("p50_us", json!(micros(p50))), ("p95_us", json!(micros(p95)))]);
    report.at_most("instantiate and drop, p50 in µs", micros(p50), 10.0);
    Ok(report)
}

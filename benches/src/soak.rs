//! `soak`: 200,000 pages in one process; does memory grow after the warm-up?

use std::time::Duration;

use bytes::Bytes;
use eventmesh::{Engine, Request};
use serde_json::json;
use tokio::task::JoinSet;

use crate::Error;
use crate::machine::resident;
use crate::pages::page;
use crate::report::Report;
use crate::stats::slope;

const PAGES: u64 = 200_000;
/// Readings are taken this often, and the first tenth of them is the warm-up.
const EVERY: u64 = 1_000;
const AT_ONCE: usize = 4;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let engine = Engine::builder().start().await?;
    let small: Vec<Bytes> =
        (0..16).map(|seed| page(1_000 + 500 * usize::try_from(seed).unwrap_or(0), seed).into_bytes().into()).collect();
    let large: Bytes = page(100_000, 1).into_bytes().into();
    let mut at_work = JoinSet::new();
    let mut readings = Vec::new();
    let (mut begun, mut done) = (0u64, 0u64);
    while done < PAGES {
        while begun < PAGES && at_work.len() < AT_ONCE {
            let page = if begun % 500 == 499 { &large } else { &small[usize::try_from(begun % 16).unwrap_or(0)] };
            at_work.spawn(engine.extract(Request::bytes(page.clone())).document());
            begun += 1;
        }
        if let Some(answer) = at_work.join_next().await {
            answer??;
            done += 1;
        }
        if done % EVERY == 0 {
            readings.push((done, resident()));
        }
    }
    let snapshot = engine.snapshot();
    engine.shutdown(Duration::from_secs(5)).await;
    let warm = &readings[readings.len() / 10..];
    #[expect(clippy::cast_precision_loss, reason = "bytes and counts, to be fitted by a line")]
    let points: Vec<(f64, f64)> = warm.iter().map(|(done, bytes)| (*done as f64 / 1e3, *bytes as f64)).collect();
    let (grows, within) = slope(&points);
    let mut report = Report::default();
    report.row([
        ("pages", json!(done)),
        ("rss_after_warm_up_bytes", json!(warm.first().map(|reading| reading.1))),
        ("rss_at_the_end_bytes", json!(warm.last().map(|reading| reading.1))),
        ("bytes_per_1000_pages", json!(grows)),
        ("confidence_95", json!(within)),
        ("jobs_lost", json!(snapshot.tree.pools()[0].counts.jobs_lost)),
        ("recycles", json!(snapshot.tree.pools()[0].counts.recycles)),
    ]);
    report
        .row([("rss_mib_every_10000_pages", json!(warm.iter().step_by(10).map(|reading| reading.1 >> 20).collect::<Vec<_>>()))]);
    // Growth is shown only if zero lies outside of the interval; one page of memory in a thousand is none.
    report.at_most("lower end of the slope's interval, bytes per 1000 pages", grows - within, 4096.0);
    Ok(report)
}

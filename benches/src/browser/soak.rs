//! `browser-soak`: ten thousand navigations through one place for pages, with recycling, and what they leave behind.

use std::time::Duration;

use eventmesh::actors::KernelMemory;
use eventmesh::render::{RenderOptions, Wait};
use eventmesh_chaos::pages::Pages;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{engine, render};
use crate::Error;
use crate::report::Report;
use crate::stats::percentile;

/// `EVENTMESH_SOAK_PAGES` says otherwise.
const PAGES: usize = 10_000;
/// Navigations that are looked at together on the way.
const LATELY: usize = 100;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let pages = std::env::var("EVENTMESH_SOAK_PAGES").ok().and_then(|pages| pages.parse().ok()).unwrap_or(PAGES);
    let site = Pages::open().await?;
    let mut report = Report::default();
    let engine = engine(|config| config.browser.pages = 1).await?;
    let options = || RenderOptions { wait: Wait::Load, ..RenderOptions::default() };
    let (mut times, mut failed, mut weights) = (Vec::new(), 0_u32, Vec::new());
    let mut idle = None;
    for number in 0..pages {
        let began = Instant::now();
        match render(&engine, site.url("static"), options()).document().await {
            Ok(answer) => times.push(answer.rendered.map_or(began.elapsed(), |rendered| rendered.timing.load)),
            Err(error) => {
                eprintln!("page {number}: {error}");
                failed += 1;
            }
        }
        if number == 10 || number == 100 || (number > 0 && number % (pages / 10).max(1) == 0) {
            sleep(Duration::from_millis(300)).await;
            let weight = weigh();
            if number == 10 {
                idle = Some(weight);
            }
            let retired = engine.snapshot().browser.fleet.map(|fleet| fleet.retired);
            let mut lately = times[times.len().saturating_sub(LATELY)..].to_vec();
            report.row([
                ("pages", json!(number)),
                ("lately_ms", json!(percentile(&mut lately, 0.5).as_secs_f64() * 1e3)),
                ("tree_pss_mb", json!(weight as f64 / 1e6)),
                ("retired", json!(retired)),
            ]);
            weights.push((number, weight));
        }
    }
    let (mut first, mut last) = (times[10..times.len().min(510)].to_vec(), times[times.len().saturating_sub(500)..].to_vec());
    let (first, last) = (percentile(&mut first, 0.5), percentile(&mut last, 0.5));
    let after_first = weights.iter().find(|(number, _)| *number >= 100).map_or(1, |(_, weight)| *weight);
    let end = weights.last().map_or(0, |(_, weight)| *weight);
    report.row([
        ("first_500_ms", json!(first.as_secs_f64() * 1e3)),
        ("last_500_ms", json!(last.as_secs_f64() * 1e3)),
        ("failed", json!(failed)),
    ]);
    report.at_most("pages that failed", f64::from(failed), 0.0);
    report.at_most("median navigation of the last 500, of the first", last.as_secs_f64() / first.as_secs_f64(), 1.2);
    report.at_most(
        "PSS of the browser's processes at the end, of that after the first 100",
        end as f64 / after_first as f64,
        1.2,
    );
    if let Some(idle) = idle {
        // One page is ready in it.
        report.at_most("PSS of a browser with one spare page, MB", idle as f64 / 1e6, 110.0);
    }
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(report)
}

/// PSS of all processes that are our descendants, in bytes.
fn weigh() -> u64 {
    let memory = KernelMemory::of_this_machine();
    super::family().into_iter().filter_map(|(pid, _)| memory.proportional(pid)).sum()
}

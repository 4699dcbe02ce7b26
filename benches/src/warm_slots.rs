//! `warm-slots`: the share of pages that find a slot warm from an earlier page, under bursts with pauses.

use std::time::Duration;

use bytes::Bytes;
use eventmesh::{Engine, Request};
use fastrand::Rng;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Error;
use crate::pages::{SIZES, page};
use crate::report::Report;

const BURSTS: usize = 200;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let engine = Engine::builder().start().await?;
    let pages: Vec<Bytes> = SIZES.iter().map(|(_, size)| page(*size, 1).into_bytes().into()).collect();
    let mut rng = Rng::with_seed(1);
    let mut sent = 0u64;
    for _ in 0..BURSTS {
        let mut burst = JoinSet::new();
        for _ in 0..rng.usize(1..40) {
            // Zipf over the sizes: the small ones are common, the large ones rare.
            let rank = rng.f64();
            let place = [0.44, 0.66, 0.81, 0.92].iter().filter(|bound| rank > **bound).count();
            burst.spawn(engine.extract(Request::bytes(pages[place].clone())).document());
            sent += 1;
        }
        while let Some(answer) = burst.join_next().await {
            answer??;
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(0..30))).await;
    }
    let sandbox = engine.snapshot().sandbox;
    engine.shutdown(Duration::from_secs(5)).await;
    let mut report = Report::default();
    #[expect(clippy::cast_precision_loss, reason = "counts of pages")]
    let share = sandbox.warm_pages as f64 / sandbox.pages as f64;
    report.row([
        ("bursts", json!(BURSTS)),
        ("sent", json!(sent)),
        ("pages", json!(sandbox.pages)),
        ("warm_pages", json!(sandbox.warm_pages)),
        ("kept_resident_bytes", json!(sandbox.resident_unused_bytes)),
    ]);
    report.at_least("share of pages in warm slots", share, 0.85);
    Ok(report)
}

//! Steady load with recycling on, and nothing going wrong: does memory grow, is anything lost, does it get slower?

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use eventmesh_actors::{Invariant, KernelMemory, RecycleLimits, Slope, spawn_named};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::board::Board;
use crate::invariant::{Checker, Verdict};
use crate::load::{Called, Load};
use crate::real::StartError;
use crate::real::wasm::WasmTarget;
use crate::report::{Latencies, Tally};
use crate::target::{AnswerKind, Target};

/// How long, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// How long.
    pub length: Duration,
    /// Calls in a second.
    pub rate: f64,
    /// Draws the load.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct SoakReport {
    /// Calls made.
    pub calls: u64,
    /// Calls that were not answered well.
    pub lost: u64,
    /// Growth of the resident memory after the warm-up, in bytes per hour.
    pub slope: Option<Slope>,
    /// Whether it was long enough to judge that.
    pub judges_growth: bool,
    /// Latencies of the first quarter after the warm-up.
    pub first_quarter: Latencies,
    /// Latencies of the last quarter.
    pub last_quarter: Latencies,
    /// Recycles by reason.
    pub recycles: std::collections::BTreeMap<&'static str, u64>,
    /// One verdict for each promise.
    pub verdicts: Vec<Verdict>,
    /// Seconds since the start, and bytes resident.
    pub memory: Vec<(f64, u64)>,
}

/// Samples of memory in one block; the slope is that of the blocks' minima, which the noise of single pages is not in.
const BLOCK: usize = 10;
/// The share of the length that counts as warm-up.
const WARM_UP: f64 = 0.1;
/// In less than that, what looks like growth is warm-up.
const LONG_ENOUGH: Duration = Duration::from_secs(600);
/// A slope is growth if it surely exceeds this, in bytes per hour.
const GROWTH: f64 = 1024.0 * 1024.0;

impl Soak {
    /// Runs it. `progress` is told now and then.
    ///
    /// # Errors
    /// What keeps the workers from serving.
    pub async fn run(self, mut progress: impl FnMut(&str)) -> Result<SoakReport, StartError> {
        let recycle = RecycleLimits { jobs: Some(1000), age: Some(Duration::from_secs(30)), jitter: 0.2, ..RecycleLimits::NEVER };
        let board = Arc::new(Board::new(self.seed, 0.0));
        let target: Arc<dyn Target> = Arc::new(WasmTarget::start(2, recycle, board, self.seed).await?);
        let load = Load { seed: self.seed, rate: self.rate, within: Duration::from_secs(5), at_once: 500 };
        let (stop, stopped) = watch::channel(false);
        // Nothing is kept of a call but counts: what the harness gathers would look like growth.
        let length = self.length;
        let loading = Arc::clone(&target);
        let calls = spawn_named("load", async move {
            let mut counted = Counted::default();
            load.each(loading, stopped, |call| counted.add(&call, length)).await;
            counted
        });
        let (kernel, began, mut memory) = (KernelMemory::of_this_machine(), Instant::now(), Vec::new());
        // At most some thousand samples, however long it takes.
        let mut looks = interval((self.length / 4000).max(Duration::from_millis(100)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut told = Duration::ZERO;
        while began.elapsed() < self.length {
            looks.tick().await;
            let at = began.elapsed();
            memory.extend(kernel.resident().map(|resident| (at.as_secs_f64(), resident)));
            if at - told >= Duration::from_secs(30) {
                told = at;
                let resident = memory.last().map_or(0, |(_, bytes)| bytes >> 20);
                progress(&format!("{:.0} of {:.0} s, {resident} MiB resident", at.as_secs_f64(), self.length.as_secs_f64()));
            }
        }
        stop.send_replace(true);
        let calls = calls.await.ok().flatten().unwrap_or_default();
        let tree = target.tree();
        target.stop().await;
        Ok(judged(self.length, &calls, memory, &tree))
    }
}

/// What is kept of the calls.
#[derive(Default)]
struct Counted {
    calls: u64,
    good: u64,
    unanswered: u64,
    first_quarter: Tally,
    last_quarter: Tally,
}

impl Counted {
    fn add(&mut self, call: &Called, length: Duration) {
        self.calls += 1;
        self.good += u64::from(call.answer.as_ref().is_some_and(|answer| answer.kind == AnswerKind::Good));
        self.unanswered += u64::from(call.answer.is_none());
        let quarter = (1.0 - WARM_UP) / 4.0;
        let at = call.at.as_secs_f64() / length.as_secs_f64();
        if (WARM_UP..WARM_UP + quarter).contains(&at) {
            self.first_quarter.add(call);
        } else if at >= 1.0 - quarter {
            self.last_quarter.add(call);
        }
    }
}

fn judged(length: Duration, calls: &Counted, memory: Vec<(f64, u64)>, tree: &eventmesh_actors::TreeSnapshot) -> SoakReport {
    let warm = length.mul_f64(WARM_UP);
    let slope = Slope::of(&minima(&memory, warm), 1.96);
    let lost = calls.calls - calls.good;
    let mut checker = Checker::new();
    checker.check(Invariant::I10, lost == 0, || format!("{lost} of {} calls were lost", calls.calls));
    checker.check(Invariant::I1, calls.calls > 0 && calls.unanswered == 0, || {
        format!("{} calls, {} of them never answered", calls.calls, calls.unanswered)
    });
    if let Some(slope) = slope.filter(|_| length >= LONG_ENOUGH) {
        checker.check(Invariant::I8, slope.low <= GROWTH, || format!("memory grows: {slope:?} bytes per hour"));
    }
    let pools = tree.pools();
    for pool in &pools {
        checker.check(Invariant::I2, pool.counts.violations.is_empty(), || format!("{:?}", pool.counts.violations));
    }
    SoakReport {
        calls: calls.calls,
        lost,
        slope,
        judges_growth: length >= LONG_ENOUGH,
        first_quarter: calls.first_quarter.latencies(),
        last_quarter: calls.last_quarter.latencies(),
        recycles: pools.first().map(|pool| pool.counts.recycles.clone()).unwrap_or_default(),
        verdicts: checker.verdicts(),
        memory,
    }
}

/// Hours since the start, and the least that was resident in each block after the warm-up; some hundred blocks at most.
fn minima(memory: &[(f64, u64)], warm: Duration) -> Vec<(f64, f64)> {
    let after: Vec<&(f64, u64)> = memory.iter().filter(|(at, _)| *at >= warm.as_secs_f64()).collect();
    let size = BLOCK.max(after.len() / 200);
    let blocks = after.chunks_exact(size);
    #[expect(clippy::cast_precision_loss, reason = "bytes, to be fitted by a line")]
    let least = |block: &[&(f64, u64)]| {
        let bytes = block.iter().map(|(_, bytes)| *bytes).min()? as f64;
        Some((block[block.len() / 2].0 / 3600.0, bytes))
    };
    blocks.filter_map(least).collect()
}

impl SoakReport {
    /// Whether every promise held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.violations == 0)
    }

    /// The report as a few lines.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "calls      {} made, {} lost", self.calls, self.lost);
        match &self.slope {
            Some(slope) => {
                let (low, high) = (mib(slope.low), mib(slope.high));
                let short = if self.judges_growth { "" } else { "; under ten minutes, not judged" };
                let _ =
                    writeln!(text, "memory     {:+.2} MiB/h, between {low:+.2} and {high:+.2} (95 %){short}", mib(slope.slope));
            }
            None => text.push_str("memory     too short to tell\n"),
        }
        let (first, last) = (&self.first_quarter, &self.last_quarter);
        let drift = if first.p50_ms > 0.0 { last.p50_ms / first.p50_ms } else { 1.0 };
        let _ = writeln!(
            text,
            "latency    p50 {:.2} ms at first, {:.2} ms at last: {drift:.2} times; p99 {:.2} and {:.2} ms",
            first.p50_ms, last.p50_ms, first.p99_ms, last.p99_ms
        );
        let _ = writeln!(text, "recycles   {:?}", self.recycles);
        text
    }
}

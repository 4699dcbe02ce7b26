//! `sim`: ten thousand simulated runs of the engine's own books.

use eventmesh_chaos::sim::SimRun;
use serde_json::json;
use tokio::time::Instant;

use crate::Error;
use crate::machine::thread_cpu;
use crate::report::Report;

const SEEDS: u64 = 10_000;

pub(crate) fn run() -> Result<Report, Error> {
    let (cpu, began) = (thread_cpu(), Instant::now());
    let (mut events, mut callers, mut gave_up, mut broken) = (0, 0, 0, 0u32);
    for seed in 0..SEEDS {
        let outcome = SimRun::of_seed(seed).run();
        events += outcome.events;
        callers += outcome.callers;
        gave_up += u64::from(outcome.gave_up);
        broken += u32::from(!outcome.holds());
    }
    let (cpu, took) = (thread_cpu() - cpu, began.elapsed());
    let mut report = Report::default();
    report.row([
        ("seeds", json!(SEEDS)),
        ("events", json!(events)),
        ("callers", json!(callers)),
        ("gave_up", json!(gave_up)),
        ("cpu_seconds", json!(cpu.as_secs_f64())),
        ("seconds", json!(took.as_secs_f64())),
    ]);
    report.at_most("seeds with a violation", f64::from(broken), 0.0);
    report.at_most("seconds for 10,000 seeds", took.as_secs_f64(), 60.0);
    Ok(report)
}

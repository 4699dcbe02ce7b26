//! `governor`: what it costs to look at memory, and what an engine at rest costs altogether.

use std::sync::Arc;
use std::time::Duration;

use eventmesh::Engine;
use eventmesh::memory::Jemalloc;
use eventmesh_actors::{Bus, Governor, GovernorSpec, ProcessList};
use serde_json::json;
use tokio::time::sleep;

use crate::Error;
use crate::machine::{process_cpu, thread_cpu};
use crate::report::Report;

const LOOKS: u32 = 3_000;
/// Processes whose PSS is read: this one, as if it were many.
const PROCESSES: usize = 8;
const REST: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Itself;

impl ProcessList for Itself {
    fn pids(&self) -> Vec<u32> {
        vec![std::process::id(); PROCESSES]
    }
}

pub(crate) fn run() -> Result<Report, Error> {
    let jemalloc = Jemalloc::of_this_process().ok_or("this bench allocates with jemalloc, and jemalloc says nothing")?;
    let spec = GovernorSpec::default();
    let interval = spec.interval;
    let governor = Governor::new(spec, Arc::new(jemalloc), Some(Arc::new(Itself)), Bus::new(16));
    let before = thread_cpu();
    for _ in 0..LOOKS {
        governor.look();
    }
    let look = (thread_cpu() - before) / LOOKS;
    let share = look.as_secs_f64() / interval.as_secs_f64() * 100.0;
    let mut report = Report::default();
    report.row([
        ("what", json!("one look, with the PSS of 8 processes at every 15th")),
        ("looks", json!(LOOKS)),
        ("cpu_us", json!(look.as_secs_f64() * 1e6)),
        ("interval_s", json!(interval.as_secs_f64())),
        ("percent_of_a_core", json!(share)),
    ]);
    let resting = tokio::runtime::Runtime::new()?.block_on(rest(Arc::new(jemalloc)))?;
    report.row([
        ("what", json!("a whole engine at rest, governor and pool included")),
        ("seconds", json!(REST.as_secs_f64())),
        ("percent_of_a_core", json!(resting)),
    ]);
    report.at_most("governor at rest, percent of a core", share, 0.1);
    Ok(report)
}

async fn rest(memory: Arc<Jemalloc>) -> Result<f64, Error> {
    let engine = Engine::builder().memory(memory).start().await?;
    sleep(Duration::from_secs(2)).await;
    let before = process_cpu();
    sleep(REST).await;
    let spent = process_cpu() - before;
    engine.shutdown(Duration::from_secs(1)).await;
    Ok(spent.as_secs_f64() / REST.as_secs_f64() * 100.0)
}

//! `eventmesh tree`: the live tree in the middle of a short run.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use eventmesh_actors::{ChildSnapshot, NodeDetail, NodeSnapshot, PoolSnapshot};
use tokio::task::JoinSet;

use super::EngineArgs;
use super::exit::{Exit, write_out};
use super::interrupt::interrupted;
use crate::engine::{Engine, EngineSnapshot};
use crate::request::Request;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventmesh tree
  eventmesh tree --pages 10000 --json | jq '.tree.pools[].children'")]
pub(crate) struct TreeArgs {
    /// Pages of the run; the tree is printed when half of them are done
    #[arg(long, value_name = "N", default_value_t = 500)]
    pages: u32,
    /// Prints everything that is known, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) engine: EngineArgs,
}

/// What the run extracts; the page that `./x demo` shows.
const SAMPLE: &[u8] = include_bytes!("../../examples/sample.html");

/// Pages at work at once, so that the tree shows callers waiting.
const AT_ONCE: usize = 8;

pub(crate) async fn run(arguments: TreeArgs) -> Result<(), Exit> {
    let engine = super::start(arguments.engine.config()?).await?;
    let snapshot = tokio::select! {
        snapshot = halfway(&engine, arguments.pages) => snapshot,
        () = interrupted() => Err(Exit::interrupted()),
    };
    engine.shutdown(Duration::ZERO).await;
    let snapshot = snapshot?;
    let text = if arguments.json {
        let json = serde_json::to_string_pretty(&snapshot);
        json.map_err(|error| Exit::fault("failed to write JSON", error))? + "\n"
    } else {
        drawn(&snapshot)
    };
    write_out(text.as_bytes())
}

async fn halfway(engine: &Engine, pages: u32) -> Result<EngineSnapshot, Exit> {
    let mut at_work = JoinSet::new();
    let (mut begun, mut snapshot) = (0, None);
    for done in 0..pages {
        while begun < pages && at_work.len() < AT_ONCE {
            let reply = engine.extract(Request::bytes(SAMPLE).base_url("https://sample.example/"));
            at_work.spawn(reply.document());
            begun += 1;
        }
        if done == pages / 2 {
            // Let the pages that were just begun reach their workers.
            tokio::task::yield_now().await;
            snapshot = Some(engine.snapshot());
        }
        if let Some(Ok(answer)) = at_work.join_next().await {
            answer?;
        }
    }
    Ok(snapshot.unwrap_or_else(|| engine.snapshot()))
}

fn drawn(snapshot: &EngineSnapshot) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}  {}  {} requests, {:.1} MiB admitted, {} restarts",
        snapshot.tree.name,
        snapshot.tree.state,
        snapshot.requests,
        mebibytes(snapshot.admitted_bytes),
        snapshot.tree.restarted(),
    );
    for (place, node) in snapshot.tree.children.iter().enumerate() {
        let last = place + 1 == snapshot.tree.children.len();
        match &node.detail {
            NodeDetail::Pool(pool) => draw_pool(&mut text, pool, last),
            NodeDetail::Supervisor(_) | NodeDetail::Service => draw_node(&mut text, node, last),
        }
    }
    let memory = &snapshot.memory;
    let _ = writeln!(
        text,
        "memory   {}: {:.1} of {:.1} MiB, {:.1} MiB of them live in the heap",
        memory.pressure,
        mebibytes(memory.memory.total()),
        mebibytes(memory.budget),
        mebibytes(memory.memory.heap.unwrap_or(0)),
    );
    let sandbox = &snapshot.sandbox;
    let _ = writeln!(
        text,
        "sandbox  {} pages, {} of them in warm slots; {} instances live, {:.1} MiB kept resident",
        sandbox.pages,
        sandbox.warm_pages,
        sandbox.live_memories,
        mebibytes(sandbox.resident_unused_bytes as u64),
    );
    text
}

fn draw_node(text: &mut String, node: &NodeSnapshot, last: bool) {
    let branch = if last { "└─" } else { "├─" };
    let _ = writeln!(text, "{branch} {}  {}  for {}", node.name, node.state, rounded(node.since));
}

fn draw_pool(text: &mut String, pool: &PoolSnapshot, last: bool) {
    let (branch, stem) = if last { ("└─", "  ") } else { ("├─", "│ ") };
    let total = |counts: &std::collections::BTreeMap<&'static str, u64>| counts.values().sum::<u64>();
    let _ = writeln!(
        text,
        "{branch} {}  {}  {} waiting, {} jobs done, {} lost, {} restarts, {} recycles",
        pool.name,
        pool.phase,
        pool.waiting,
        pool.counts.jobs,
        pool.counts.jobs_lost,
        total(&pool.counts.restarts),
        total(&pool.counts.recycles),
    );
    for (place, child) in pool.children.iter().enumerate() {
        let branch = if place + 1 == pool.children.len() { "└─" } else { "├─" };
        draw_child(text, stem, branch, child);
    }
}

fn draw_child(text: &mut String, stem: &str, branch: &str, child: &ChildSnapshot) {
    let id = child.id.to_string();
    let _ = writeln!(
        text,
        "{stem} {branch} {id:<12} {:<9} for {:<10} up {:<10} {} jobs, last one {:.1} MiB",
        child.state,
        rounded(child.since),
        rounded(child.age),
        child.jobs,
        mebibytes(child.usage.last_job_bytes),
    );
}

fn rounded(duration: Duration) -> String {
    if duration >= Duration::from_secs(1) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

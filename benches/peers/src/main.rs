//! Other supervision crates and this one in the same bad situations, one row each.
//!
//! Nothing is asserted of the peers: the table says what they did. What this crate did is checked, and a row that it
//! fails makes the program fail.

#![expect(clippy::disallowed_methods, reason = "tasks of a bench are its own, and peers start theirs as they do")]

mod factory;
mod kameo_peer;
mod ours;
mod supervisor_peer;

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

/// One situation.
struct Row {
    situation: &'static str,
    peer: &'static str,
    theirs: String,
    ours: Ours,
}

/// What happened here, and whether it should.
struct Ours {
    what: String,
    fine: bool,
}

impl Ours {
    fn new(what: String, fine: bool) -> Self {
        Self { what, fine }
    }
}

async fn rows() -> Vec<Row> {
    // These take ten seconds and next to no processor time.
    let their_long_job = tokio::spawn(factory::a_long_job());
    let our_long_job = tokio::spawn(ours::a_long_job());
    let row = |situation, peer, theirs, ours| Row { situation, peer, theirs, ours };
    let mut rows = vec![
        row("1 of 100 jobs panics", "ractor factory", factory::panicking_jobs().await, ours::panicking_jobs().await),
        row(
            "a worker recycles itself after a job, having looked at its memory",
            "ractor factory",
            factory::recycling().await,
            ours::recycling().await,
        ),
        row("a replacement fails to start once", "ractor factory", factory::failing_start().await, ours::failing_start().await),
        row("200,000 jobs of 1 KiB for a busy worker", "ractor", factory::flood().await, ours::flood().await),
        row(
            "a parent is stopped with a child that has to clean up",
            "ractor",
            factory::parent_stop().await,
            ours::parent_stop().await,
        ),
        row(
            "a stop with a time limit, of an actor that is busy for longer",
            "ractor",
            factory::stop_limit().await,
            ours::stop_limit().await,
        ),
        row(
            "a transient child is killed from outside",
            "ractor-supervisor",
            supervisor_peer::killed_transient().await,
            ours::killed_transient().await,
        ),
        row(
            "two supervisors in one process have a child of the same name",
            "ractor-supervisor",
            supervisor_peer::same_name().await,
            ours::same_name().await,
        ),
        row("a crash every 400 ms, 3 restarts in 1 s allowed", "kameo", kameo_peer::intensity().await, ours::intensity().await),
        row("a child that dies as soon as it starts, for 200 ms", "kameo", kameo_peer::hot_loop().await, ours::hot_loop().await),
        row(
            "ending a child by the handle it had before a restart",
            "kameo",
            kameo_peer::stale_kill().await,
            ours::stale_kill().await,
        ),
    ];
    let theirs = their_long_job.await.unwrap_or_else(|error| error.to_string());
    let ours = our_long_job.await.unwrap_or_else(|error| Ours::new(error.to_string(), false));
    rows.insert(3, row("a healthy job of 12 s, hangs to be found after 300 ms", "ractor factory", theirs, ours));
    rows
}

fn main() -> ExitCode {
    // The panics here are on purpose.
    std::panic::set_hook(Box::new(|_| {}));
    kameo::error::set_actor_error_hook(|_| {});
    let label = std::env::args().nth(1).unwrap_or_else(|| "run".to_owned());
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let rows = match runtime.block_on(async { tokio::spawn(rows()).await }) {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("the peers did not run: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("| situation | peer | what it does | what happens here |\n|---|---|---|---|");
    for Row { situation, peer, theirs, ours } in &rows {
        let mark = if ours.fine { "" } else { " **MISSED**" };
        println!("| {situation} | {peer} | {theirs} | {}{mark} |", ours.what);
    }
    let kept: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "situation": row.situation, "peer": row.peer, "theirs": row.theirs, "ours": row.ours.what, "fine": row.ours.fine }))
        .collect();
    let versions = json!({ "ractor": "0.16.5", "ractor-supervisor": "0.2.0", "kameo": "0.22.2" });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results").join(format!("{label}-peers.json"));
    let text = json!({ "id": "peers", "label": label, "versions": versions, "rows": kept });
    if let Err(error) = std::fs::write(&path, format!("{text:#}\n")) {
        eprintln!("failed to keep the results: {error}");
        return ExitCode::FAILURE;
    }
    println!("\nkept in benches/results/{label}-peers.json");
    if rows.iter().all(|row| row.ours.fine) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! One bench id per figure that EventMesh claims, each beside its floor or its peer in the same run.
//!
//! `./x bench` runs them all, `./x bench ID..` some. What is printed is also kept, raw, under `benches/results/`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench talks to the terminal")]

mod batch;
mod browser;
mod concurrency;
mod daemon;
mod gate;
mod governor;
mod instantiate;
mod leak;
mod leak_real;
mod lease;
mod machine;
mod million;
mod pages;
mod pdf;
mod recovery;
mod recycle;
mod report;
mod sim;
mod sizes;
mod soak;
mod stats;
mod warm_slots;

use std::process::ExitCode;

use clap::Parser;

use crate::report::Report;

/// The allocator that the binary ships with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures what EventMesh claims.
#[derive(Debug, Parser)]
struct Cli {
    /// What to run; `list` names them; nothing runs all
    ids: Vec<String>,
    /// Names the run in the file of its results
    #[arg(long, default_value = "run")]
    label: String,
}

type Error = Box<dyn std::error::Error>;
type Bench = fn() -> Result<Report, Error>;

const BENCHES: &[(&str, &str, Bench)] = &[
    ("instantiate", "an instance made and dropped", instantiate::run),
    ("sizes", "a page of 1 to 500 KB: sandboxed against native", sizes::run),
    ("lease", "lease, job and check-in against a raw channel", lease::run),
    ("concurrency", "work per CPU-second at 1 to 16 requests at once", concurrency::run),
    ("warm-slots", "share of pages that find a warm slot under bursts", warm_slots::run),
    ("soak", "memory over 200,000 pages in one process", soak::run),
    ("recovery", "panic to replaced and serving, against a bare actor", recovery::run),
    ("recycle", "what a planned replacement adds to latency, and loses", recycle::run),
    ("million", "a million jobs, 1 % panics, 1 % hangs, 1 % failures: one answer each", million::run),
    ("governor", "what looking at memory costs at rest", governor::run),
    ("leak", "false alarms of the leak detector, and its time to find a leak", leak::run),
    ("leak-real", "a real worker that leaks: found, recycled, verified", leak_real::run),
    ("sim", "ten thousand simulated runs of the engine's books", sim::run),
    ("pdf-small", "small PDFs in a second: one worker, two, and a process for each", pdf::small::run),
    ("pdf-long", "pages of long PDFs per CPU-second", pdf::long::run),
    ("pdf-memory", "what PDFs leave behind", pdf::memory::run),
    ("pdf-first-page", "how soon the first of a thousand pages is there", pdf::first_page::run),
    ("pdf-ready", "a worker's process from nothing to ready", pdf::ready::run),
    ("pdf-isolation", "a worker's process against the same code in-process", pdf::isolation::run),
    ("pdf-containment", "bad PDFs, and those beside them", pdf::containment::run),
    ("gate", "which pages are sent to a browser, against a labelled set, and what they have in the end", gate::run),
    ("eval-pdf", "how good the content of PDFs is, against ground truth", pdf::eval::run),
    ("browser", "rendering, actions and settling, beside Playwright and Puppeteer", browser::peers::run),
    ("browser-faults", "renderers, browsers and zygotes that are killed", browser::faults::run),
    ("browser-soak", "ten thousand navigations, and what they leave behind", browser::soak::run),
    ("daemon", "the daemon over HTTP: latencies, throughput, cost, memory", daemon::run),
    ("batch", "CPU time of a corpus against Python trafilatura", batch::run),
];

fn main() -> ExitCode {
    eventmesh::worker_main();
    if daemon::serve_bare() {
        return ExitCode::SUCCESS;
    }
    let cli = Cli::parse();
    if cli.ids.iter().any(|id| id == "list") {
        for (id, what, _) in BENCHES {
            println!("{id:<15} {what}");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = cli.ids.iter().find(|id| !BENCHES.iter().any(|(known, ..)| known == id)) {
        eprintln!("there is no bench '{unknown}'; 'list' names them");
        return ExitCode::from(2);
    }
    let mut failed = false;
    for (id, what, run) in BENCHES {
        if !cli.ids.is_empty() && !cli.ids.iter().any(|wanted| wanted == id) {
            continue;
        }
        println!("\n## {id}: {what}");
        match run().and_then(|report| report.keep(id, &cli.label)) {
            Ok(missed) => failed |= missed,
            Err(error) => {
                eprintln!("{id} did not run: {error}");
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

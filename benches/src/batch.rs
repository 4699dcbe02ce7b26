//! `batch`: total CPU of a corpus through `eventmesh batch`, against Python trafilatura on the same pages.

#![expect(clippy::disallowed_methods, reason = "a bench runs programs, and waits for each")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::Error;
use crate::machine::children_cpu;
use crate::report::Report;
use crate::stats::ratio;

/// The peer's version that figures were taken with.
const TRAFILATURA: &str = "trafilatura==2.3.1";

pub(crate) fn run() -> Result<Report, Error> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let corpus = project.join("../shared/corpora/html/dev/html");
    if !corpus.is_dir() {
        return Err("the corpus is not beside this checkout (shared/corpora/html/dev)".into());
    }
    let mut pages = Vec::new();
    find_pages(&corpus, &mut pages)?;
    pages.sort();
    let scratch = project.join("target/bench-batch");
    std::fs::create_dir_all(&scratch)?;
    let list = scratch.join("list.ndjson");
    let lines: Vec<String> = pages.iter().map(|page| json!({ "id": page, "source": page }).to_string()).collect();
    std::fs::write(&list, lines.join("\n") + "\n")?;

    let ours = timed(
        Command::new(project.join("target/release/eventmesh")).arg("batch").arg(&list).arg("-o").arg(scratch.join("ours.ndjson")),
    )?;
    let python = peer(&project)?;
    let theirs = timed(
        Command::new(python)
            .arg(project.join("benches/peers/trafilatura_batch.py"))
            .arg(&list)
            .arg(scratch.join("theirs.ndjson")),
    )?;
    let mut report = Report::default();
    for (name, cpu) in [("eventmesh batch", ours), (TRAFILATURA, theirs)] {
        report.row([("what", json!(name)), ("pages", json!(pages.len())), ("cpu_seconds", json!(cpu.as_secs_f64()))]);
    }
    report.at_most("total CPU, of that of the peer", ratio(ours, theirs), 1.0 / 3.0);
    Ok(report)
}

fn find_pages(directory: &Path, pages: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            find_pages(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "gz") {
            pages.push(path);
        }
    }
    Ok(())
}

/// CPU time of a command, user and system, start-up included.
fn timed(command: &mut Command) -> Result<Duration, Error> {
    let before = children_cpu();
    let status = command.status()?;
    if !status.success() {
        return Err(format!("{command:?} failed: {status}").into());
    }
    Ok(children_cpu() - before)
}

/// A Python with the peer installed, in a place of its own.
fn peer(project: &Path) -> Result<PathBuf, Error> {
    let home = project.join("target/peers/trafilatura");
    let python = home.join("bin/python");
    if !python.exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&home).status()?;
        let installed =
            Command::new(&python).args(["-m", "pip", "install", "--quiet", TRAFILATURA, "lxml_html_clean"]).status()?;
        if !made.success() || !installed.success() {
            // Half a place would be taken for a whole one the next time.
            std::fs::remove_dir_all(&home)?;
            return Err(format!("{TRAFILATURA} could not be installed").into());
        }
    }
    Ok(python)
}

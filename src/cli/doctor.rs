//! `eventmesh doctor`: looks at everything that the engine needs, and tries it.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use eventmesh_extractors::pdf::{PINNED, PdfLibrary};
use serde::Serialize;

use super::EngineArgs;
use super::exit::{Exit, write_out};
use super::interrupt::interrupted;
use crate::engine::Engine;
use crate::request::Request;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventmesh doctor
  eventmesh doctor --json | jq '.[] | select(.verdict == \"bad\")'

Exit code 0 if all is well or only less than it could be, 9 if something is missing or does not work.")]
pub(crate) struct DoctorArgs {
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    says: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    /// It works, and could be better.
    Fair,
    Bad,
}

const SAMPLE_PAGE: &[u8] = include_bytes!("../../examples/sample.html");
const SAMPLE_PDF: &[u8] = include_bytes!("../../examples/sample.pdf");

pub(crate) async fn run(arguments: DoctorArgs) -> Result<(), Exit> {
    let json = arguments.json;
    let findings = tokio::select! {
        biased;
        () = interrupted() => return Err(Exit::interrupted()),
        findings = examine(arguments) => findings?,
    };
    let text = if json {
        serde_json::to_string_pretty(&findings).map_err(|error| Exit::fault("failed to write JSON", error))? + "\n"
    } else {
        told(&findings)
    };
    write_out(text.as_bytes())?;
    if findings.iter().any(|finding| finding.verdict == Verdict::Bad) { Err(Exit::unwell()) } else { Ok(()) }
}

fn told(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Good => "ok ",
            Verdict::Fair => "hm ",
            Verdict::Bad => "BAD",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{mark}  {:<11} {}", finding.what, finding.says);
    }
    text
}

async fn examine(arguments: DoctorArgs) -> Result<Vec<Finding>, Exit> {
    let config = arguments.engine.config();
    let mut findings = library(config.pdf.library.as_deref()).await;
    let engine = super::start(config).await?;
    findings.push(trial(&engine, "html", SAMPLE_PAGE).await);
    let found = findings.iter().all(|finding| finding.verdict != Verdict::Bad);
    if found {
        let pdf = trial(&engine, "pdf", SAMPLE_PDF).await;
        let worked = pdf.verdict == Verdict::Good;
        findings.push(pdf);
        if let (true, Some(says)) = (worked, engine.snapshot().pdf.confinement) {
            let full = says == "landlock in full, seccomp";
            findings.push(Finding { what: "confinement", verdict: if full { Verdict::Good } else { Verdict::Fair }, says });
        }
    }
    engine.shutdown(Duration::from_secs(1)).await;
    Ok(findings)
}

/// Where libpdfium is, and whether it is the one that was tested.
async fn library(setting: Option<&std::path::Path>) -> Vec<Finding> {
    let finding = |verdict, says| vec![Finding { what: "libpdfium", verdict, says }];
    let library = match PdfLibrary::find(setting) {
        Ok(library) => library,
        Err(missing) => return finding(Verdict::Bad, missing.to_string()),
    };
    let place = format!("{} ({})", library.path.display(), library.found);
    match tokio::task::spawn_blocking(move || library.sha256()).await {
        Ok(Ok(hash)) if hash == PINNED.sha256 => {
            finding(Verdict::Good, format!("{place}, version {}, checksum as expected", PINNED.version))
        }
        Ok(Ok(hash)) => {
            let says = format!("{place}: not the {} that this was tested with; its SHA-256 is {hash}", PINNED.version);
            finding(Verdict::Fair, says)
        }
        Ok(Err(error)) => finding(Verdict::Bad, format!("{place} cannot be read: {error}")),
        Err(error) => finding(Verdict::Bad, format!("{place} was not read: {error}")),
    }
}

/// Extracts a sample.
async fn trial(engine: &Engine, what: &'static str, sample: &'static [u8]) -> Finding {
    match engine.extract(Request::bytes(sample)).document().await {
        Ok(answer) if !answer.document.text.is_empty() => {
            let says = format!("a sample was extracted in {:.1} ms", answer.timing.total.as_secs_f64() * 1000.0);
            Finding { what, verdict: Verdict::Good, says }
        }
        Ok(_) => Finding { what, verdict: Verdict::Bad, says: "a sample was extracted, and nothing was in it".to_owned() },
        Err(error) => Finding { what, verdict: Verdict::Bad, says: error.to_string() },
    }
}

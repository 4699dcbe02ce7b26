//! `eventmesh doctor`: looks at everything that the engine needs, and tries it.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use eventmesh_extractors::browser::{Chromium, ChromiumMissing, RenderOptions, Screenshot};
use eventmesh_extractors::pdf::{PINNED, PdfLibrary};
use serde::Serialize;

use super::EngineArgs;
use super::exit::{Exit, write_out};
use super::interrupt::interrupted;
use crate::engine::Engine;
use crate::request::{RenderMode, Request};

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
const SAMPLE_APP: &[u8] = include_bytes!("../../examples/app.html");
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
    let config = arguments.engine.config()?;
    let mut findings = library(config.pdf.library.as_deref()).await;
    let library = findings.iter().all(|finding| finding.verdict != Verdict::Bad);
    let browser = Chromium::find(config.browser.chromium.as_deref()).is_ok();
    findings.push(chromium(config.browser.chromium.as_deref()));
    findings.push(shared_memory());
    let engine = super::start(config).await?;
    findings.push(trial(&engine, "html", SAMPLE_PAGE).await);
    if browser {
        findings.extend(render(&engine).await);
    }
    if library {
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

/// Where Chromium is.
fn chromium(setting: Option<&Path>) -> Finding {
    match Chromium::find(setting) {
        Ok(chromium) => {
            let place = format!("{} ({})", chromium.path.display(), chromium.found);
            if chromium.is_shell() {
                Finding { what: "chromium", verdict: Verdict::Good, says: place }
            } else {
                let says = format!("{place}: the whole browser, which takes four times the memory of chromium-headless-shell");
                Finding { what: "chromium", verdict: Verdict::Fair, says }
            }
        }
        // All else works without it.
        Err(missing @ ChromiumMissing::Nowhere) => {
            Finding { what: "chromium", verdict: Verdict::Fair, says: missing.to_string() }
        }
        Err(missing @ ChromiumMissing::Unfit { .. }) => {
            Finding { what: "chromium", verdict: Verdict::Bad, says: missing.to_string() }
        }
    }
}

/// Whether Chromium has where to share memory between its processes.
fn shared_memory() -> Finding {
    const ENOUGH: u64 = 64 << 20;
    let (verdict, says) = match rustix::fs::statvfs("/dev/shm") {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let says = format!("/dev/shm has {} MiB free", free >> 20);
            if free >= ENOUGH {
                (Verdict::Good, says)
            } else {
                (
                    Verdict::Fair,
                    format!(
                        "{says}, and large pages may crash; give it more, or pass --disable-dev-shm-usage in browser.arguments"
                    ),
                )
            }
        }
        Err(error) => (Verdict::Fair, format!("/dev/shm cannot be looked at: {error}")),
    };
    Finding { what: "shared mem", verdict, says }
}

/// Renders a sample, with a picture of it, and looks at how the browser runs.
async fn render(engine: &Engine) -> Vec<Finding> {
    let options = RenderOptions { screenshot: Some(Screenshot::default()), ..RenderOptions::default() };
    let request = Request::bytes(SAMPLE_APP).rendered(RenderMode::Always, options);
    let trial = match engine.extract(request).document().await {
        Ok(answer) if answer.document.text.contains("Mercury") => {
            let picture =
                answer.rendered.as_ref().and_then(|rendered| rendered.pictures.first()).map_or(0, |picture| picture.bytes.len());
            let says = format!(
                "a sample was rendered in {:.0} ms, its start included, with a picture of {picture} bytes",
                answer.timing.total.as_secs_f64() * 1000.0
            );
            Finding { what: "render", verdict: Verdict::Good, says }
        }
        Ok(_) => Finding {
            what: "render",
            verdict: Verdict::Bad,
            says: "a sample was rendered without what its script makes".to_owned(),
        },
        Err(error) => Finding { what: "render", verdict: Verdict::Bad, says: error.to_string() },
    };
    let mut findings = vec![trial];
    if let Some(fleet) = engine.snapshot().browser.fleet
        && let Some(version) = fleet.version
    {
        let sandboxed = fleet.sandboxed == Some(true);
        let says = match (&fleet.unsandboxed_because, sandboxed) {
            (_, true) => format!("{version} confines its own processes"),
            (Some(why), false) => format!("{version} runs without its sandbox, because: {why}"),
            (None, false) => format!("{version} runs without its sandbox, as it was told"),
        };
        findings.push(Finding { what: "sandbox", verdict: if sandboxed { Verdict::Good } else { Verdict::Fair }, says });
    }
    findings.push(fonts());
    findings
}

/// Whether there are fonts for pictures.
fn fonts() -> Finding {
    let places = ["/usr/share/fonts", "/usr/local/share/fonts"];
    let there = places.iter().any(|place| std::fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some()));
    let (verdict, says) = if there {
        (Verdict::Good, "the system has some")
    } else {
        (
            Verdict::Fair,
            "the system has none, so pictures show boxes for letters; on Debian: apt-get install fonts-liberation fonts-noto",
        )
    };
    Finding { what: "fonts", verdict, says: says.to_owned() }
}

/// Where libpdfium is, and whether it is the one that was tested.
async fn library(setting: Option<&Path>) -> Vec<Finding> {
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

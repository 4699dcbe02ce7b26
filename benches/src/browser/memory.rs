//! What a browser holds that has nothing to do, and what each page adds, beside the same browser in others' hands.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use eventmesh::actors::KernelMemory;
use eventmesh::render::{SandboxPolicy, Wait};
use eventmesh_chaos::pages::Pages;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{actions, engine, render};
use crate::Error;
use crate::report::Report;

/// Pages that are open at once.
const PAGES: u32 = 5;

/// Bytes (PSS) of all processes of this process's browsers, and of all but renderers.
fn held() -> (f64, f64) {
    let memory = KernelMemory::of_this_machine();
    super::family().into_iter().fold((0.0, 0.0), |(all, others), (pid, command)| {
        let bytes = memory.proportional(pid).unwrap_or(0) as f64;
        (all + bytes, if command.contains("--type=renderer") { others } else { others + bytes })
    })
}

/// Weighs ours, with and without its sandbox, and puts what the peers have found beside it.
pub(crate) async fn weigh(report: &mut Report, site: &Pages, peers: [(&str, &Value); 2]) -> Result<(), Error> {
    let mut ours = Vec::new();
    let mut chromium = None;
    for (name, sandbox) in [("eventmesh", SandboxPolicy::Off), ("eventmesh, sandbox on", SandboxPolicy::Required)] {
        let engine = engine(|config| {
            config.browser.sandbox = sandbox;
            config.browser.pages = PAGES;
        })
        .await?;
        render(&engine, site.url("static"), super::peers::loaded()).document().await?;
        // One page is ready now, and its renderer has come to rest.
        sleep(Duration::from_secs(1)).await;
        let spare = held();
        chromium = engine.snapshot().browser.fleet.map(|fleet| fleet.chromium).or(chromium);
        let mut options = super::peers::loaded();
        options.wait = Wait::Load;
        options.actions = actions(json!([{"action": "wait", "time_ms": 4000}]))?;
        let pages: Vec<_> = (0..PAGES).map(|_| render(&engine, site.url("static"), options.clone())).collect();
        sleep(Duration::from_secs(3)).await;
        let full = held();
        for page in pages {
            page.document().await?;
        }
        engine.shutdown(Duration::from_secs(5)).await;
        let each = (full.0 - spare.0) / f64::from(PAGES - 1);
        row(report, name, [spare.1, full.1], each);
        ours.push((spare.1, each));
    }
    if let Some(chromium) = chromium {
        // What draws and what loads are processes of their own, so that each can end without the others.
        let together = ["--in-process-gpu", "--enable-features=NetworkServiceInProcess2"];
        for (how, arguments) in [("", &[][..]), (", what draws and loads in its main process", &together)] {
            report.row([
                ("what", json!(format!("memory: Chromium alone, in nobody's hands and without a page{how}"))),
                ("all_mb", json!(bare(&chromium, arguments).await? / 1e6)),
            ]);
        }
    }
    for (name, peer) in peers {
        let figure = |when: &str, which: usize| peer["memory"][when][which].as_f64().unwrap_or(f64::NAN);
        let each = (figure("pages", 0) - figure("idle", 0)) / f64::from(PAGES);
        row(report, name, [figure("idle", 1), figure("pages", 1)], each);
    }
    if let [(open, _), (confined, page)] = ours[..] {
        let floor = peers.iter().filter_map(|(_, peer)| peer["memory"]["idle"][1].as_f64()).fold(f64::INFINITY, f64::min);
        report.at_most("browser without renderers, of the lighter peer's", open / floor, 1.05);
        report.at_most("browser without renderers, MB", confined / 1e6, 110.0);
        report.at_most("each page more, MB", page / 1e6, 30.0);
    }
    Ok(())
}

/// What the browser itself holds, started with as little as keeps it there: a floor for whoever uses it. Nothing of it is shared
/// with a renderer, since there is none.
#[expect(clippy::disallowed_methods, reason = "a bench runs programs, and waits for each")]
async fn bare(chromium: &str, arguments: &[&str]) -> Result<f64, Error> {
    let profile = tempfile::tempdir()?;
    let mut process = std::process::Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-startup-window", "--remote-debugging-port=0"])
        .args(arguments)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        // So it is found like ours.
        .env("EVENTMESH_PARENT", std::process::id().to_string())
        .process_group(0)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    sleep(Duration::from_secs(3)).await;
    let (all, _) = held();
    process.kill()?;
    process.wait()?;
    // The others notice, and go.
    for _ in 0..100 {
        if super::family().is_empty() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    if all > 0.0 { Ok(all) } else { Err("Chromium did not stay".into()) }
}

fn row(report: &mut Report, name: &str, [idle, full]: [f64; 2], page: f64) {
    report.row([
        ("what", json!(format!("memory: {name}"))),
        ("browser_without_renderers_mb", json!(idle / 1e6)),
        ("with_five_pages_open_mb", json!(full / 1e6)),
        ("each_page_mb", json!(page / 1e6)),
    ]);
}

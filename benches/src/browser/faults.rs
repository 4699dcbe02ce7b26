//! `browser-faults`: how soon the death of a renderer, a browser and a zygote is noticed, and when there is a page again.

use std::time::Duration;

use eventmesh::actors::spawn_named;
use eventmesh::render::RenderOptions;
use eventmesh::{Engine, ErrorKind};
use eventmesh_chaos::pages::Pages;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{engine, render};
use crate::Error;
use crate::report::Report;
use crate::stats::percentile;

const ROUNDS: usize = 10;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

/// Processes of browsers that this process has started, by what they are; `browser` is the first of them.
fn processes(kind: &str) -> Vec<Pid> {
    let is = |command: &str| {
        if kind == "browser" { !command.contains("--type=") } else { command.contains(&format!("--type={kind}")) }
    };
    let found = super::family().into_iter().filter(|(_, command)| is(command));
    found.filter_map(|(pid, _)| Pid::from_raw(i32::try_from(pid).ok()?)).collect()
}

fn kill(kind: &str) -> usize {
    let found = processes(kind);
    for pid in &found {
        let _ = kill_process(*pid, Signal::KILL);
    }
    found.len()
}

fn short() -> RenderOptions {
    RenderOptions { settle_cap: Duration::from_secs(8), ..RenderOptions::default() }
}

async fn measure() -> Result<Report, Error> {
    let site = Pages::open().await?;
    let mut report = Report::default();
    let engine = engine(|config| config.browser.pages = 1).await?;
    let (mut again, mut fresh, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // A page that never ends loses its renderer: it is noticed, and rendered again in a fresh page, which loses its renderer, too.
        settle(&engine, &site).await?;
        let waiting = spawn_named("a page that never ends", render(&engine, site.url("never"), short()).document());
        sleep(Duration::from_millis(300)).await;
        let before = processes("renderer");
        let began = Instant::now();
        kill("renderer");
        while processes("renderer").iter().all(|pid| before.contains(pid)) {
            if began.elapsed() > Duration::from_secs(5) {
                return Err("a killed renderer was not noticed".into());
            }
            sleep(Duration::from_millis(1)).await;
        }
        again.push(began.elapsed());
        sleep(Duration::from_millis(300)).await;
        kill("renderer");
        let killed = Instant::now();
        let error = waiting.await?.ok_or("a page panicked")?.err().ok_or("a page without a renderer was rendered")?;
        if error.kind() != ErrorKind::ExtractionFailed {
            return Err(format!("a page whose renderer was killed twice: {error}").into());
        }
        report_noticed(&mut fresh, killed, &engine, &site).await?;
        settle(&engine, &site).await?;
        let began = Instant::now();
        kill("browser");
        render(&engine, site.url("static"), short()).document().await?;
        back.push(began.elapsed());
    }
    let ms = |list: &mut Vec<Duration>, quantile| percentile(list, quantile).as_secs_f64() * 1e3;
    report.row([
        ("what", json!("a killed renderer to the start of another, ms")),
        ("p50", json!(ms(&mut again, 0.5))),
        ("p95", json!(ms(&mut again, 0.95))),
    ]);
    report.row([
        ("what", json!("a killed renderer told, and the next page rendered, ms")),
        ("p50", json!(ms(&mut fresh, 0.5))),
        ("p95", json!(ms(&mut fresh, 0.95))),
    ]);
    report.row([
        ("what", json!("a killed browser to the next page, ms")),
        ("p50", json!(ms(&mut back, 0.5))),
        ("p95", json!(ms(&mut back, 0.95))),
    ]);
    report.at_most("another renderer after a killed one, ms p95", ms(&mut again, 0.95), 100.0);
    report.at_most("the next page after a killed renderer, ms p95", ms(&mut fresh, 0.95), 250.0);
    report.at_most("the next page after a killed browser, ms p95", ms(&mut back, 0.95), 1_000.0);

    // Nothing is heard of a dead zygote: only a page that does not come tells of it.
    let mut noticed = Vec::new();
    for _ in 0..3 {
        settle(&engine, &site).await?;
        let before = engine.snapshot().browser.fleet.map_or(0, |fleet| fleet.started);
        let began = Instant::now();
        kill("zygote");
        while engine.snapshot().browser.fleet.map_or(0, |fleet| fleet.started) == before {
            if began.elapsed() > Duration::from_secs(30) {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        noticed.push(began.elapsed());
        render(&engine, site.url("static"), short()).document().await?;
    }
    report.row([
        ("what", json!("a dead zygote to the start of another browser, ms")),
        ("p50", json!(ms(&mut noticed, 0.5))),
        ("most", json!(ms(&mut noticed, 1.0))),
    ]);
    report.at_most("a dead zygote is noticed, ms, most", ms(&mut noticed, 1.0), 5_000.0);
    engine.shutdown(Duration::from_secs(5)).await;
    report.at_most("processes left", (processes("renderer").len() + processes("browser").len()) as f64, 0.0);
    Ok(report)
}

/// Until there is a page, and a spare one.
async fn settle(engine: &Engine, site: &Pages) -> Result<(), Error> {
    render(engine, site.url("static"), short()).document().await?;
    sleep(Duration::from_millis(400)).await;
    Ok(())
}

async fn report_noticed(fresh: &mut Vec<Duration>, killed: Instant, engine: &Engine, site: &Pages) -> Result<(), Error> {
    render(engine, site.url("static"), short()).document().await?;
    fresh.push(killed.elapsed());
    Ok(())
}

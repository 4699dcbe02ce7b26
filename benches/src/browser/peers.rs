//! `browser`: the same pages and the same work through Playwright and Puppeteer, on the same Chromium, in the same run.

#![expect(clippy::disallowed_methods, reason = "a bench runs programs, and waits for each")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use eventmesh::Config;
use eventmesh::render::{RenderOptions, Rendered, SandboxPolicy, Status, Wait};
use eventmesh_chaos::pages::{BUILT, Pages, SETTLING};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{actions, engine, render};
use crate::Error;
use crate::report::Report;
use crate::stats::percentile;

const ROUNDS: usize = 9;
/// Launches by each.
const LAUNCHES: usize = 15;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

/// The peers' packages, installed once.
fn packages() -> Result<PathBuf, Error> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let home = project.join("target/peers/node");
    if !home.join("node_modules/playwright-core").exists() {
        std::fs::create_dir_all(&home)?;
        std::fs::copy(project.join("benches/peers/package.json"), home.join("package.json"))?;
        let installed = Command::new("npm")
            .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"])
            .current_dir(&home)
            .status()
            .map_err(|error| format!("npm is not there ({error}); on Debian: apt-get install npm"))?;
        if !installed.success() {
            return Err("the peers' packages could not be installed".into());
        }
    }
    Ok(home)
}

fn node(home: &Path, library: &str, chromium: &str, site: &Pages, rounds: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/browsers.mjs")).current_dir(home).stderr(Stdio::inherit());
    command.args([library, chromium, &format!("http://{}", site.address()), rounds]);
    command
}

fn peer(home: &Path, library: &str, chromium: &str, site: &Pages, pages: &str) -> Result<Value, Error> {
    let output = node(home, library, chromium, site, &ROUNDS.to_string()).arg(pages).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn median(figures: &Value) -> f64 {
    median_of(figures.as_array().into_iter().flatten().filter_map(Value::as_f64))
}

fn median_of(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One launch by each, in milliseconds.
struct Round(Vec<(&'static str, f64)>);

impl Round {
    fn of(&self, name: &str) -> f64 {
        self.0.iter().find(|(known, _)| *known == name).map_or(f64::NAN, |(_, took)| *took)
    }
}

/// A peer that launches when it is asked to.
struct Asked {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Asked {
    fn start(home: &Path, library: &str, chromium: &str, site: &Pages) -> Result<Self, Error> {
        let mut child = node(home, library, chromium, site, "asked").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("it says nothing")?);
        Ok(Self { child, lines })
    }

    fn launch(&mut self) -> Result<f64, Error> {
        self.child.stdin.as_mut().ok_or("it is not asked")?.write_all(b"\n")?;
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // Asked no more, it ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// From nothing to the first page, by one after the other, each as often; who is first changes.
async fn launches(home: &Path, site: &Pages) -> Result<Vec<Round>, Error> {
    let chromium = engine(open).await?;
    let path = chromium.snapshot().browser.fleet.ok_or("there is no browser")?.chromium;
    chromium.shutdown(Duration::from_secs(5)).await;
    let mut peers = Vec::new();
    for library in ["playwright", "puppeteer", "barest"] {
        peers.push((library, Asked::start(home, library, &path, site)?));
    }
    let mut rounds = Vec::new();
    // The first launch of each is not counted: it reads the program from the disk, and a library compiles itself.
    for number in 0..=LAUNCHES {
        let mut round = Vec::new();
        for turn in 0..5 {
            let at = (number + turn) % 5;
            round.push(match at {
                0 => ("ours", launched(open, site).await?),
                1 => ("confined", launched(|config| config.browser.pages = 1, site).await?),
                _ => (peers[at - 2].0, peers[at - 2].1.launch()?),
            });
        }
        if number > 0 {
            rounds.push(Round(round));
        }
    }
    Ok(rounds)
}

async fn launched(change: fn(&mut Config), site: &Pages) -> Result<f64, Error> {
    let began = Instant::now();
    let engine = engine(change).await?;
    render(&engine, site.url("static"), loaded()).document().await?;
    let took = began.elapsed();
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(took.as_secs_f64() * 1e3)
}

fn ms(durations: &mut [Duration]) -> f64 {
    percentile(durations, 0.5).as_secs_f64() * 1e3
}

/// As the peers run it: without its own sandbox.
fn open(config: &mut Config) {
    config.browser.sandbox = SandboxPolicy::Off;
    config.browser.pages = 1;
}

/// What takes as long as the peers' `goto` does.
pub(super) fn loaded() -> RenderOptions {
    RenderOptions { wait: Wait::Load, raw: true, ..RenderOptions::default() }
}

async fn measure() -> Result<Report, Error> {
    let home = packages()?;
    let site = Pages::with_files(Some(home.join("node_modules"))).await?;
    let mut report = Report::default();

    let launches = launches(&home, &site).await?;
    let engine = engine(open).await?;
    let fleet = engine.snapshot().browser.fleet.ok_or("there is no browser")?;
    let warm = render(&engine, site.url("static"), loaded()).document().await?;
    drop(warm);
    let mut mix = Vec::new();
    for k in 0..20 {
        let i = k + 1;
        mix.push(match k % 5 {
            0 => json!({"action": "click", "selector": format!("#b{i}")}),
            1 => json!({"action": "type", "selector": format!("#i{i}"), "text": "abcdefgh"}),
            2 => json!({"action": "select", "selector": format!("#s{i}"), "values": ["c"]}),
            3 => json!({"action": "scroll", "selector": format!("#w{i}")}),
            _ => json!({"action": "wait", "selector": format!("#w{i}")}),
        });
    }
    let mix = actions(mix.into())?;
    let verify = actions(json!([{"action": "evaluate", "script": "verify()"}]))?;
    let chain = actions((1..=20).map(|i| json!({"action": "click", "selector": format!("#c{i}")})).collect())?;
    let (mut jobs, mut forms, mut form_jobs, mut chains, mut settled) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let job = async |name: &str, options: RenderOptions| -> Result<(Duration, Box<Rendered>), Error> {
        // The page after it is made ready meanwhile, as it is between two requests of a load that one worker can bear.
        tokio::time::sleep(Duration::from_millis(150)).await;
        let began = Instant::now();
        let answer = render(&engine, site.url(name), options).document().await?;
        Ok((began.elapsed(), answer.rendered.ok_or("nothing was rendered")?))
    };
    for _ in 0..ROUNDS {
        jobs.push(job("static", loaded()).await?.0);
        settled.push(job("static", RenderOptions { wait: Wait::Settled, ..loaded() }).await?.0);
        let (whole, done) = job("form", RenderOptions { actions: mix.clone(), ..loaded() }).await?;
        form_jobs.push(whole);
        forms.push(done.timing.actions);
        chains.push(job("chain", RenderOptions { actions: chain.clone(), ..loaded() }).await?.1.timing.actions);
    }
    let verified = job("form", RenderOptions { actions: mix.into_iter().chain(verify).collect(), ..loaded() }).await?.1;
    let effects = verified.outcomes.last().and_then(|outcome| outcome.value.clone()).unwrap_or_default();
    let expected = json!({"clicks": 4, "typed": 4, "selected": 4, "trusted": 4, "keys": 32});
    if effects != expected || verified.outcomes.iter().any(|outcome| outcome.status != Status::Ok) {
        return Err(format!("not all actions had their effect: {effects}").into());
    }

    let names: Vec<&str> = SETTLING.iter().map(|(name, _)| *name).chain(["streaming"]).collect();
    let built: Vec<&str> = BUILT.iter().map(|(name, ..)| *name).collect();
    let all = names.iter().chain(&built).copied().collect::<Vec<_>>();
    // What another Chromium has loaded would be shared with theirs, and counted as half of it.
    engine.shutdown(Duration::from_secs(5)).await;
    let playwright = peer(&home, "playwright", &fleet.chromium, &site, &all.join(","))?;
    let puppeteer = peer(&home, "puppeteer", &fleet.chromium, &site, "")?;
    // What nobody who drives this Chromium gets below.
    let barest = peer(&home, "barest", &fleet.chromium, &site, "")?;

    let figures = |name: &str| (median(&playwright[name]), median(&puppeteer[name]));
    let launch = |name: &str| median_of(launches.iter().map(|round| round.of(name)));
    let rows = [
        ("launch to first content", launch("ours"), (launch("playwright"), launch("puppeteer"))),
        ("whole job, no actions", ms(&mut jobs), figures("job")),
        ("20 independent actions", ms(&mut forms), figures("form")),
        ("20 dependent actions", ms(&mut chains), figures("chain")),
        ("whole job, 20 actions", ms(&mut form_jobs), figures("form_job")),
    ];
    for (what, ours, (playwright, puppeteer)) in rows {
        report.row([
            ("what", json!(what)),
            ("ms", json!(ours)),
            ("playwright_ms", json!(playwright)),
            ("puppeteer_ms", json!(puppeteer)),
        ]);
    }
    for ((what, ours, (playwright, puppeteer)), floor) in [(rows[0], launch("barest")), (rows[2], median(&barest["form"]))] {
        report.row([
            ("what", json!(format!("{what}, by the barest protocol alone"))),
            ("barest_ms", json!(floor)),
            ("of_playwright", json!(floor / playwright)),
            ("puppeteer_of_it", json!(puppeteer / floor)),
            ("ours_of_it", json!(ours / floor)),
        ]);
    }
    report.row([("what", json!("launch to first content, with Chromium's sandbox")), ("ms", json!(launch("confined")))]);
    report.row([("what", json!("whole job, no actions, until settled")), ("ms", json!(ms(&mut settled)))]);
    report.at_least("Playwright, of 20 independent actions", rows[2].2.0 / rows[2].1, 10.0);
    report.at_least("Puppeteer, of 20 independent actions", rows[2].2.1 / rows[2].1, 6.0);
    report.at_least("Playwright, of 20 dependent actions", rows[3].2.0 / rows[3].1, 4.0);
    report.at_most("whole job with 20 actions, of Playwright's", rows[4].1 / rows[4].2.0, 0.2);
    report.at_most("whole job without actions, of Playwright's", rows[1].1 / rows[1].2.0, 0.5);
    // Round by round: what disturbs the machine for a while disturbs both.
    let paired = median_of(launches.iter().map(|round| round.of("ours") / round.of("playwright")));
    report.at_most("launch to first content, of Playwright's", paired, 0.8);

    let engine = super::engine(open).await?;
    render(&engine, site.url("static"), loaded()).document().await?;
    settling(&mut report, &engine, &site, &names, &playwright).await?;
    engine.shutdown(Duration::from_secs(5)).await;
    super::memory::weigh(&mut report, &site, [("Playwright", &playwright), ("Puppeteer", &puppeteer)]).await?;
    Ok(report)
}

async fn settling(
    report: &mut Report,
    engine: &eventmesh::Engine,
    site: &Pages,
    names: &[&str],
    peer: &Value,
) -> Result<(), Error> {
    let clock = actions(json!([{"action": "evaluate", "script": "performance.timeOrigin + performance.now()"}]))?;
    let (mut beyond, mut faster, mut complete, mut theirs) = (Vec::new(), Vec::new(), 0_u32, 0_u32);
    for name in names {
        let options = RenderOptions { raw: true, actions: clock.clone(), ..RenderOptions::default() };
        let mut took = Vec::new();
        let mut over = Vec::new();
        let mut whole = true;
        for _ in 0..3 {
            let answer = render(engine, site.url(name), options.clone()).document().await?;
            let rendered = answer.rendered.ok_or("nothing was rendered")?;
            let then = rendered.outcomes.first().and_then(|outcome| outcome.value.as_ref()?.as_f64());
            took.push(rendered.timing.load.as_secs_f64() * 1e3);
            whole &= rendered.html.contains("id=\"done\"");
            // Pages without scripts are complete when they are parsed.
            let at = rendered.html.split("data-at=\"").nth(1).and_then(|rest| rest.split('"').next()?.parse::<f64>().ok());
            if let (Some(then), Some(at)) = (then, at) {
                over.push(then - at);
            }
        }
        took.sort_by(f64::total_cmp);
        over.sort_by(f64::total_cmp);
        let idle = &peer["idle"][name];
        complete += u32::from(whole);
        theirs += u32::from(idle["complete"] == true);
        let over = over.get(over.len() / 2).copied();
        beyond.extend(over);
        let ratio = idle["ms"].as_f64().unwrap_or(f64::NAN) / took[1];
        faster.push(ratio);
        report.row([
            ("page", json!(name)),
            ("complete", json!(whole)),
            ("settled_ms", json!(took[1])),
            ("beyond_ms", json!(over)),
            ("playwright_networkidle_ms", idle["ms"].clone()),
            ("playwright_complete", idle["complete"].clone()),
        ]);
    }
    for (name, _, text) in BUILT {
        let answer = render(engine, site.url(name), RenderOptions { raw: true, ..RenderOptions::default() }).document().await?;
        let rendered = answer.rendered.ok_or("nothing was rendered")?;
        let whole = rendered.html.contains(text);
        report.row([
            ("application", json!(name)),
            ("complete", json!(whole)),
            ("settled_ms", json!(rendered.timing.load.as_secs_f64() * 1e3)),
            ("playwright_networkidle_ms", peer["idle"][name]["ms"].clone()),
        ]);
        complete += u32::from(whole);
    }
    report.row([("playwright_complete", json!(theirs)), ("of", json!(names.len()))]);
    for list in [&mut beyond, &mut faster] {
        list.sort_by(f64::total_cmp);
    }
    let pages = names.len() + BUILT.len();
    report.at_least("pages that were complete, of all", f64::from(complete) / pages as f64, 1.0);
    report.at_most("settled beyond the content, ms, median", beyond[beyond.len() / 2], 80.0);
    report.at_least("networkidle of Playwright, of settling, median", faster[faster.len() / 2], 2.0);
    Ok(())
}

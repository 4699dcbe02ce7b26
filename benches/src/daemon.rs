//! `daemon`: the whole of it over HTTP: how soon answers come, how many, at what cost, and what is left afterwards.
//!
//! The daemon is the real program in a process of its own; the origin is in this one and answers after a fixed delay. The floor
//! of throughput is a bare axum handler, in a process of its own, that returns the very bytes that the daemon does.

#![expect(clippy::disallowed_methods, reason = "the origin ends with this process")]

mod client;
mod process;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::Html;
use axum::routing::get;
use bytes::Bytes;
use eventmesh::{Config, EgressPolicy, Engine, Request};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Error;
use crate::pages::page;
use crate::report::Report;
use crate::stats::{micros, percentile};
use client::{Answered, Connection, Failure, ask};
use process::{Daemon, bare, load};

/// How long the origin takes.
const DELAY: Duration = Duration::from_millis(50);
/// Bytes of a page.
const SIZE: usize = 30_000;
/// Pages that are asked for again and again.
const KNOWN: usize = 100;
/// Requests of each kind of latency.
const ASKED: usize = 600;
/// Requests a second, come what may.
const RATE: f64 = 60.0;
/// How long throughput is measured, in seconds, each time.
const SECONDS: u32 = 4;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let mut report = Report::default();
    let origin = origin().await?;
    let cache = tempfile::tempdir()?;
    let kept = cache.path().display().to_string();
    let started = || {
        let kept = kept.clone();
        async move { Daemon::start(&["--page-cache", &kept]).await }
    };
    let daemon = started().await?;
    sleep(Duration::from_secs(2)).await;
    let idle = daemon.resident()?;
    report.row([("what", json!("at rest")), ("rss_mb", json!(mega(idle)))]);
    report.at_most("resident memory of the daemon at rest, MB", mega(idle), 30.0);

    rested(&mut report, &daemon).await?;
    latencies(&mut report, daemon, &started, origin).await?;
    let daemon = started().await?;
    throughput(&mut report, &daemon, origin).await?;
    cost(&mut report, &daemon).await?;
    drop(daemon);
    saturation(&mut report).await?;
    burst(&mut report, origin).await?;
    workers(&mut report).await?;
    Ok(report)
}

/// What it costs a page that it is the first after a rest, in which memory and code have been let go.
async fn rested(report: &mut Report, daemon: &Daemon) -> Result<(), Error> {
    let source: Bytes = page(SIZE, 3).into();
    let mut connection = Connection::open(daemon.address).await?;
    let mut before = Vec::new();
    for _ in 0..100 {
        before.push(connection.ask("text/html", &source).await?.first_byte);
    }
    // Those at the beginning are not like those that follow.
    let mut before = before.split_off(50);
    let busy = daemon.resident()?;
    // Two looks, ten seconds apart.
    sleep(Duration::from_secs(22)).await;
    let rested = daemon.resident()?;
    let first = Connection::open(daemon.address).await?.ask("text/html", &source).await?.first_byte;
    report.row([
        ("what", json!("the first page after a rest")),
        ("first_byte_ms", json!(first.as_secs_f64() * 1e3)),
        ("before_ms", json!(millis(&mut before, 0.5))),
        ("busy_mb", json!(mega(busy))),
        ("rested_mb", json!(mega(rested))),
    ]);
    Ok(())
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn millis(samples: &mut [Duration], quantile: f64) -> f64 {
    micros(percentile(samples, quantile)) / 1e3
}

/// A site whose pages come after a while.
async fn origin() -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let one = |Path(number): Path<u64>| async move {
        sleep(DELAY).await;
        Html(page(SIZE, number))
    };
    let app = Router::new().route("/{number}", get(one));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

fn body(origin: SocketAddr, number: usize) -> Vec<u8> {
    json!({ "url": format!("http://{origin}/{number}"), "render": "never" }).to_string().into_bytes()
}

/// How soon the first byte of a result is there, at a steady rate that does not wait for answers.
async fn latencies<F>(
    report: &mut Report,
    daemon: Daemon,
    started: &(impl Fn() -> F + Sync),
    origin: SocketAddr,
) -> Result<(), Error>
where
    F: Future<Output = Result<Daemon, Error>>,
{
    // Each page once, so that the first of the next are all known.
    let mut misses = open_loop(daemon.address, KNOWN, |number| body(origin, number)).await?;
    let mut memory = open_loop(daemon.address, ASKED, |number| body(origin, number % KNOWN)).await?;
    daemon.end().await?;
    // Nothing is in memory any more: each page is found on disk the first time that it is asked for.
    let daemon = started().await?;
    let mut disk = open_loop(daemon.address, KNOWN, |number| body(origin, number)).await?;
    misses.extend(open_loop(daemon.address, ASKED, |number| body(origin, KNOWN + number)).await?);
    daemon.end().await?;
    let mut floor = floor(origin).await?;
    let mut row = |what: &str, samples: &mut Vec<Answered>, way: &str| -> Result<[f64; 3], Error> {
        if let Some(other) = samples.iter().find(|answered| answered.status != 200 || !answered.cache.contains(way)) {
            return Err(format!("{what}: an answer is {} and came by {:?}, not {way:?}", other.status, other.cache).into());
        }
        let mut first: Vec<_> = samples.iter().map(|answered| answered.first_byte).collect();
        let figures = [0.5, 0.95, 0.99].map(|quantile| millis(&mut first, quantile));
        report.row([
            ("what", json!(what)),
            ("requests", json!(samples.len())),
            ("first_byte_p50_ms", json!(figures[0])),
            ("p95_ms", json!(figures[1])),
            ("p99_ms", json!(figures[2])),
        ]);
        Ok(figures)
    };
    let memory = row("known, in memory", &mut memory, "hit")?;
    let disk = row("known, on disk", &mut disk, "hit")?;
    let miss = row("not known", &mut misses, "fwd=miss")?;
    let floor = millis(&mut floor, 0.95);
    report.row([("what", json!("floor of what is not known: fetched and extracted in-process")), ("p95_ms", json!(floor))]);
    report.at_most("first byte of a page in memory, p95 ms", memory[1], 5.0);
    report.at_most("first byte of a page on disk, p95 ms", disk[1], 20.0);
    report.at_most("first byte of a page that is not known, p95 ms beyond the floor", miss[1] - floor, 15.0);
    Ok(())
}

/// What fetching and extracting takes without the daemon around it.
async fn floor(origin: SocketAddr) -> Result<Vec<Duration>, Error> {
    let mut config = Config::default();
    config.egress.policy = EgressPolicy::default().allowing_loopback();
    let engine = Engine::builder().config(config).start().await?;
    let mut took = Vec::new();
    for number in 0..100 {
        let began = Instant::now();
        engine.extract(Request::url(format!("http://{origin}/{}", 1_000_000 + number))).document().await?;
        took.push(began.elapsed());
    }
    engine.shutdown(Duration::ZERO).await;
    Ok(took)
}

/// Requests at [`RATE`], whether or not answers come.
async fn open_loop(address: SocketAddr, count: usize, body: impl Fn(usize) -> Vec<u8>) -> Result<Vec<Answered>, Error> {
    let began = Instant::now();
    let mut asked = JoinSet::new();
    for number in 0..count {
        sleep_until(began + Duration::from_secs_f64(number as f64 / RATE)).await;
        asked.spawn(ask(address, "application/json", body(number)));
    }
    let mut answers = Vec::new();
    while let Some(answer) = asked.join_next().await {
        answers.push(answer??);
    }
    Ok(answers)
}

/// Known pages a second, beside a bare handler that returns the same bytes.
async fn throughput(report: &mut Report, daemon: &Daemon, origin: SocketAddr) -> Result<(), Error> {
    let body = body(origin, 0);
    let known = ask(daemon.address, "application/json", body.clone()).await?;
    let floor = bare(&known.body).await?;
    let mut pairs = Vec::new();
    for _ in 0..5 {
        let cpu = daemon.cpu()?;
        let ours = load(daemon.address, SECONDS, &body).await?;
        let spent = daemon.cpu()? - cpu;
        let bare = load(floor.address, SECONDS, &body).await?;
        let each = spent.as_secs_f64() * 1e6 / (ours * f64::from(SECONDS));
        pairs.push((ours / bare, ours, bare, each));
    }
    pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, ours, bare, each) = pairs[pairs.len() / 2];
    report.row([
        ("what", json!("known pages, as many as go")),
        ("bytes", json!(known.body.len())),
        ("per_second", json!(ours)),
        ("bare_handler_per_second", json!(bare)),
        ("ratio", json!(ratio)),
        ("cpu_us_each", json!(each)),
    ]);
    report.at_least("known pages a second, of a bare handler", ratio, 0.5);
    report.at_least("known pages a second, on these cores and with the load beside it", ours, 20_000.0);
    report.at_most("CPU of a known page, µs", each, 200.0);
    Ok(())
}

/// What a page costs that is sent along, beyond its extraction, which has threads of its own: under load, and one after the other,
/// where every step of a page also wakes a thread that has gone to sleep.
async fn cost(report: &mut Report, daemon: &Daemon) -> Result<(), Error> {
    // What it takes to receive the page and to send as much as the answer has, and nothing else.
    let source: Bytes = page(SIZE, 1).into();
    let handler = bare(&ask(daemon.address, "text/html", source.to_vec()).await?.body).await?;
    for callers in [4, 1] {
        let mut rounds = Vec::new();
        for _ in 0..5 {
            let readers = daemon.readers()?;
            let all = cost_each(callers, daemon, &source).await?;
            let now = daemon.readers()?;
            if readers.len() != now.len() || !readers.keys().all(|reader| now.contains_key(reader)) {
                // One was recycled, and has taken with it what it had spent.
                continue;
            }
            let extraction = micros((now.values().sum::<Duration>() - readers.values().sum()) / PAGES);
            rounds.push((all - extraction, all, extraction, cost_each(callers, &handler, &source).await?));
        }
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (beyond, all, extraction, handler) = *rounds.get(rounds.len() / 2).ok_or("workers were recycled in every round")?;
        report.row([
            ("what", json!("a page that is sent along")),
            ("callers", json!(callers)),
            ("rounds", json!(rounds.len())),
            ("daemon_cpu_us", json!(all)),
            ("extraction_cpu_us", json!(extraction)),
            ("beyond_us", json!(beyond)),
            ("bare_handler_cpu_us", json!(handler)),
        ]);
        let how = if callers > 1 { "under load" } else { "one after the other" };
        report.at_most(&format!("CPU of a page that is sent along, {how}, beyond its extraction, µs"), beyond, 200.0);
        report.at_most(&format!("the same, {how}, beyond what a bare handler takes for it, µs"), beyond - handler, 200.0);
    }
    Ok(())
}

/// Microseconds of CPU that a page costs whoever answers.
async fn cost_each(callers: u32, of: &Daemon, source: &Bytes) -> Result<f64, Error> {
    let before = of.cpu()?;
    let asked = (0..callers).map(async |_| {
        let mut connection = Connection::open(of.address).await?;
        for _ in 0..PAGES / callers {
            let answered = connection.ask("text/html", source).await?;
            if answered.status != 200 {
                return Err(Error::from(format!("a page was answered with {}", answered.status)));
            }
        }
        Ok(())
    });
    futures_util::future::try_join_all(asked).await?;
    Ok(micros((of.cpu()? - before) / PAGES))
}

/// Pages that are asked for to see what one costs.
const PAGES: u32 = 3_000;

/// Twice as much as can be done: those who are let in wait alike, the others are told at once.
async fn saturation(report: &mut Report) -> Result<(), Error> {
    let daemon = Daemon::start(&["--max-requests", "64"]).await?;
    let source: Bytes = page(SIZE, 2).into();
    // What can be done, by as many callers as may be let in.
    let began = Instant::now();
    let mut done = 0u32;
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let (address, source) = (daemon.address, source.clone());
        callers.spawn(async move {
            let mut done = 0u32;
            while began.elapsed() < Duration::from_secs(3) {
                done += u32::from(ask(address, "text/html", source.to_vec()).await?.status == 200);
            }
            Ok::<_, Failure>(done)
        });
    }
    while let Some(caller) = callers.join_next().await {
        done += caller??;
    }
    let capacity = f64::from(done) / began.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut asked = JoinSet::new();
    let total = (capacity * 2.0 * 6.0) as u32;
    for number in 0..total {
        sleep_until(began + Duration::from_secs_f64(f64::from(number) / (capacity * 2.0))).await;
        asked.spawn(ask(daemon.address, "text/html", source.to_vec()));
    }
    let (mut served, mut refused) = (Vec::new(), Vec::new());
    while let Some(answer) = asked.join_next().await {
        let answer = answer??;
        match answer.status {
            200 => served.push(answer.first_byte),
            503 if answer.retry_after => refused.push(answer.first_byte),
            other => return Err(format!("at saturation an answer is {other}").into()),
        }
    }
    let tail = millis(&mut served, 0.99) / millis(&mut served, 0.5);
    report.row([
        ("what", json!("twice as much as can be done")),
        ("capacity_per_second", json!(capacity)),
        ("served", json!(served.len())),
        ("refused", json!(refused.len())),
        ("served_p50_ms", json!(millis(&mut served, 0.5))),
        ("served_p99_ms", json!(millis(&mut served, 0.99))),
        ("refused_p99_ms", json!(millis(&mut refused, 0.99))),
    ]);
    report.at_most("p99 of p50 at saturation", tail, 4.0);
    daemon.end().await
}

/// A hundred requests of all kinds at once, and what is left of them after a minute.
async fn burst(report: &mut Report, origin: SocketAddr) -> Result<(), Error> {
    let daemon = Daemon::start(&[]).await?;
    let pdf = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sample.pdf"))?;
    let source = page(SIZE, 3).into_bytes();
    let app = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/app.html"))?;
    // Once, so that what is made once is there.
    for (kind, body) in [("text/html", source.clone()), ("application/pdf", pdf.clone()), ("text/html", app.clone())] {
        ask(daemon.address, kind, body).await?;
    }
    sleep(Duration::from_secs(2)).await;
    let before = daemon.resident()?;
    let mut asked = JoinSet::new();
    for number in 0..100 {
        let (kind, body) = match number % 4 {
            0 => ("text/html", source.clone()),
            1 => ("application/pdf", pdf.clone()),
            2 => ("text/html", app.clone()),
            _ => ("application/json", body(origin, 2_000_000 + number)),
        };
        asked.spawn(ask(daemon.address, kind, body));
    }
    let mut answered = 0;
    while let Some(answer) = asked.join_next().await {
        answered += u32::from(answer??.status == 200);
    }
    let peak = daemon.resident()?;
    let began = Instant::now();
    let mut after = peak;
    while began.elapsed() < Duration::from_secs(60) && after as f64 > before as f64 * 1.15 {
        sleep(Duration::from_secs(1)).await;
        after = daemon.resident()?;
    }
    report.row([
        ("what", json!("a hundred mixed requests at once")),
        ("answered", json!(answered)),
        ("before_mb", json!(mega(before))),
        ("right_after_mb", json!(mega(peak))),
        ("then_mb", json!(mega(after))),
        ("seconds", json!(began.elapsed().as_secs())),
    ]);
    report.at_least("of a hundred mixed requests at once, answered", f64::from(answered), 100.0);
    report.at_most("resident memory within 60 s, of that before", after as f64 / before as f64, 1.15);
    daemon.end().await
}

/// Sixteen workers on these cores against one.
async fn workers(report: &mut Report) -> Result<(), Error> {
    let (one, many) = (Daemon::start(&["--workers", "1"]).await?, Daemon::start(&["--workers", "16"]).await?);
    let source: Bytes = page(SIZE, 4).into();
    let work = async |daemon: &Daemon| -> Result<f64, Error> {
        let (cpu, began) = (daemon.cpu()?, Instant::now());
        let mut callers = JoinSet::new();
        for _ in 0..16 {
            let (address, source) = (daemon.address, source.clone());
            callers.spawn(async move {
                let mut done = 0u32;
                while began.elapsed() < Duration::from_secs(2) {
                    done += u32::from(ask(address, "text/html", source.to_vec()).await?.status == 200);
                }
                Ok::<_, Failure>(done)
            });
        }
        let mut done = 0;
        while let Some(caller) = callers.join_next().await {
            done += caller??;
        }
        Ok(f64::from(done) / (daemon.cpu()? - cpu).as_secs_f64())
    };
    let mut pairs = Vec::new();
    for _ in 0..5 {
        let (alone, together) = (work(&one).await?, work(&many).await?);
        pairs.push((together / alone, alone, together));
    }
    pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, alone, together) = pairs[pairs.len() / 2];
    report.row([
        ("what", json!("pages per CPU-second, with 1 worker and with 16")),
        ("one", json!(alone)),
        ("sixteen", json!(together)),
        ("ratio", json!(ratio)),
    ]);
    report.at_least("pages per CPU-second with 16 workers, of those with 1", ratio, 0.9);
    one.end().await?;
    many.end().await
}

/// Serves the same bytes to everybody, as the floor: what this process becomes if it is told so.
pub(crate) fn serve_bare() -> bool {
    process::serve_bare()
}

//! The processes that are measured: the daemon, the bare handler that is its floor, and the load.

#![expect(clippy::disallowed_methods, reason = "what is measured is started as its users start it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::Error;

/// A process that listens. It is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) address: SocketAddr,
    child: Child,
}

/// What is found in one of the lines that a process says. The others are read, too, so that it can go on.
async fn told<R, T>(said: R, found: impl Fn(&str) -> Option<T> + Send + 'static) -> Result<Option<T>, Error>
where
    R: std::io::Read + Send + 'static,
    T: Send + 'static,
{
    let mut lines = BufReader::new(said).lines();
    let first = tokio::task::spawn_blocking(move || {
        let first = lines.by_ref().map_while(Result::ok).find_map(|line| found(&line));
        (first, lines)
    });
    let (first, rest) = first.await?;
    std::thread::spawn(move || rest.map_while(Result::ok).for_each(drop));
    Ok(first)
}

fn program() -> Result<PathBuf, Error> {
    let here = std::env::current_exe()?;
    Ok(here.with_file_name("eventmesh"))
}

impl Daemon {
    /// The daemon, with `arguments` besides those that it needs here.
    pub(super) async fn start(arguments: &[&str]) -> Result<Self, Error> {
        let mut child = Command::new(program()?)
            .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--allow-net", "127.0.0.0/8"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let found = |line: &str| line.split("serving at http://").nth(1).and_then(|rest| rest.split(';').next()?.parse().ok());
        let address = told(stderr, found).await?.ok_or("the daemon ended before it served")?;
        Ok(Self { address, child })
    }

    fn stat(&self) -> Result<Vec<String>, Error> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(") ").next().unwrap_or_default().to_owned();
        Ok(after_name.split(' ').map(str::to_owned).collect())
    }

    /// CPU time so far, of the process alone.
    pub(super) fn cpu(&self) -> Result<Duration, Error> {
        let stat = self.stat()?;
        let ticks: u64 = stat.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// CPU time so far of each of the threads that read pages, by its number.
    pub(super) fn readers(&self) -> Result<BTreeMap<String, Duration>, Error> {
        let mut readers = BTreeMap::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?;
            if !std::fs::read_to_string(task.path().join("comm"))?.starts_with("wasm/") {
                continue;
            }
            let spent = std::fs::read_to_string(task.path().join("schedstat"))?;
            let nanos = spent.split(' ').next().and_then(|nanos| nanos.parse().ok()).ok_or("no time on a core")?;
            readers.insert(task.file_name().to_string_lossy().into_owned(), Duration::from_nanos(nanos));
        }
        Ok(readers)
    }

    /// Resident memory, of the process alone, in bytes.
    pub(super) fn resident(&self) -> Result<u64, Error> {
        let pages: u64 = self.stat()?.get(21).and_then(|pages| pages.parse().ok()).ok_or("no resident size")?;
        Ok(pages * rustix::param::page_size() as u64)
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn end(mut self) -> Result<(), Error> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).ok_or("no process")?;
        kill_process(pid, Signal::TERM)?;
        let status = tokio::task::spawn_blocking(move || self.child.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("the daemon ended with {status}").into()) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a copy of this program the bare handler.
const BARE: &str = "EVENTMESH_BENCH_BARE";

/// A bare handler that returns `body` to everybody.
pub(super) async fn bare(body: &[u8]) -> Result<Daemon, Error> {
    let directory = std::env::temp_dir().join(format!("eventmesh-bench-{}", std::process::id()));
    std::fs::write(&directory, body)?;
    let mut child = Command::new(std::env::current_exe()?).env(BARE, &directory).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let address = told(stdout, |line| line.parse().ok()).await?.ok_or("the bare handler ended before it served")?;
    std::fs::remove_file(&directory)?;
    Ok(Daemon { address, child })
}

/// Is the bare handler, if this process is told to be.
pub(super) fn serve_bare() -> bool {
    let Some(path) = std::env::var_os(BARE) else { return false };
    let served = || -> Result<(), Error> {
        let body: Bytes = std::fs::read(Path::new(&path))?.into();
        tokio::runtime::Runtime::new()?.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("{}", listener.local_addr()?);
            // JSON is read, as whoever answers must; a page is only taken in.
            let answer = async move |headers: HeaderMap, sent: Bytes| {
                if headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
                    serde_json::from_slice::<Value>(&sent).map_err(|_| StatusCode::BAD_REQUEST)?;
                }
                Ok::<_, StatusCode>(([(CONTENT_TYPE, "application/json")], body.clone()))
            };
            axum::serve(listener, Router::new().route("/v1/extract", post(answer))).await?;
            Ok(())
        })
    };
    if let Err(error) = served() {
        eprintln!("the bare handler ended: {error}");
    }
    true
}

/// As many requests with `body` as go for `seconds`, by wrk; how many a second.
pub(super) async fn load(address: SocketAddr, seconds: u32, body: &[u8]) -> Result<f64, Error> {
    let script = tempfile::Builder::new().suffix(".lua").tempfile()?;
    let text = String::from_utf8(body.to_vec())?;
    let lua = format!(
        "wrk.method = 'POST'\nwrk.path = '/v1/extract'\nwrk.headers['content-type'] = 'application/json'\nwrk.body = [==[{text}]==]\n"
    );
    std::fs::write(script.path(), lua)?;
    let script_path = script.path().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new("wrk")
            .args(["-t1", "-c32", &format!("-d{seconds}s"), "-s"])
            .arg(&script_path)
            .arg(format!("http://{address}/"))
            .output()
    })
    .await?
    .map_err(|error| format!("wrk is not there ({error}); on Debian: apt-get install wrk"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(format!("the load did not go through: {said}").into());
    }
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")).map(str::trim);
    rate.and_then(|rate| rate.parse().ok()).ok_or_else(|| format!("wrk says no rate: {said}").into())
}

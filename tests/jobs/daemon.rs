//! A real daemon in a process of its own, and a client for it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A daemon. It is killed when dropped.
pub struct Daemon {
    child: Child,
    pub address: String,
    /// Where it lets operators in.
    operators: String,
}

impl Daemon {
    #[expect(clippy::disallowed_methods, reason = "the daemon is what is tested, and is killed here")]
    pub fn start_with(state: Option<&Path>, arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eventmesh"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--allow-net", "127.0.0.0/8"]);
        // Manners towards sites have tests of their own; these sites count what they are asked.
        command.env("EVENTMESH__FETCH__ROBOTS", "false");
        command.args(["--workers", "2"]).args(arguments).envs(environment.iter().copied());
        if let Some(state) = state {
            command.arg("--state-dir").arg(state);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let (mut line, mut said) = (String::new(), String::new());
        let (address, operators) = loop {
            line.clear();
            assert!(lines.read_line(&mut line).expect("reads") > 0, "the daemon has ended: {said}");
            said.push_str(&line);
            if let Some((_, rest)) = line.split_once("serving at http://") {
                let (address, operators) = rest.split_once("; for operators at http://").expect("both addresses");
                break (address.split(',').next().expect("an address").to_owned(), operators.trim_end().to_owned());
            }
        };
        // Read to its end, so that the daemon is never held up by what it has to say.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, address, operators }
    }

    pub fn start(state: &Path) -> Self {
        Self::start_with(Some(state), &[], &[])
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("is killed");
        self.child.wait().expect("is gone");
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("is told");
        assert!(self.child.wait().expect("ends").success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer that has come in whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The name of the job that was accepted.
    pub fn job(&self) -> String {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{}", self.text);
        let id = self.json()["id"].as_str().expect("a name").to_owned();
        assert_eq!(self.headers["location"], format!("/v1/jobs/{id}"));
        id
    }
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

pub fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build(HttpConnector::new())
}

/// Asks a daemon and returns the answer as it begins.
pub async fn ask(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> hyper::Response<Incoming> {
    let mut request = hyper::Request::builder().method(method).uri(format!("http://{}{path}", daemon.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    client().request(request.body(Full::from(body)).expect("a request")).await.expect("an answer")
}

/// Asks a daemon and returns the whole answer.
pub async fn call(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let (parts, body) = ask(daemon, method, path, headers, body).await.into_parts();
    let text = body.collect().await.expect("it ends").to_bytes();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(text.to_vec()).expect("text") }
}

pub async fn get(daemon: &Daemon, path: &str) -> Answer {
    call(daemon, "GET", path, &[("accept", "application/json, application/x-ndjson;q=0.9")], &Value::Null).await
}

/// What a daemon tells its operators, by names and labels as they are written.
pub async fn figures(daemon: &Daemon) -> HashMap<String, f64> {
    let request = hyper::Request::get(format!("http://{}/metrics", daemon.operators)).body(Full::default()).expect("a request");
    let body = client().request(request).await.expect("an answer").into_body();
    let text = body.collect().await.expect("it ends").to_bytes();
    let rows = std::str::from_utf8(&text).expect("text").lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| line.rsplit_once(' ').map(|(key, value)| (key.to_owned(), value.parse::<f64>().expect("a number")));
    rows.map(|line| row(line).expect("a name and a number")).collect()
}

/// Compares some of them with what they should be.
pub async fn expect(daemon: &Daemon, expected: &[(&str, f64)]) {
    let figures = figures(daemon).await;
    for (key, expected) in expected {
        assert_eq!(figures.get(*key), Some(expected), "{key}");
    }
}

/// Lines of a stream, as they come; `None` when it ends, however it does.
pub struct Lines {
    body: Incoming,
    read: Vec<u8>,
}

impl Lines {
    pub fn new(response: hyper::Response<Incoming>) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self { body: response.into_body(), read: Vec::new() }
    }

    /// The next line that is not empty, as JSON.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if line.len() > 1 {
                    return Some(serde_json::from_slice(&line).expect("a line is JSON"));
                }
            }
            let frame = self.body.frame().await?.ok()?;
            self.read.extend(frame.into_data().unwrap_or_default());
        }
    }
}

/// Follows a job's events after one of them.
pub async fn follow(daemon: &Daemon, job: &str, after: u64) -> Lines {
    let after = after.to_string();
    let headers = [("accept", "application/x-ndjson"), ("last-event-id", &*after)];
    Lines::new(ask(daemon, "GET", &format!("/v1/jobs/{job}/events"), &headers, &Value::Null).await)
}

/// All events of a job up to its end.
pub async fn events(daemon: &Daemon, job: &str) -> Vec<Value> {
    let mut lines = follow(daemon, job, 0).await;
    let mut events = Vec::new();
    while let Some(event) = lines.next().await {
        events.push(event);
    }
    check(&events);
    events
}

/// What holds of every job that has ended: no gaps, no item answered twice, one end.
pub fn check(events: &[Value]) {
    let mut items = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], at as u64 + 1, "the events have no gaps");
        let kind = event["type"].as_str().expect("a type");
        assert_eq!(kind == "end", at + 1 == events.len(), "one end, at the end: {event}");
        if matches!(kind, "result" | "error") {
            let item = event["item"].as_u64().expect("an answer is of an item");
            assert_eq!(items.insert(item, at), None, "item {item} is answered twice");
        }
    }
    assert!(!events.is_empty());
}

/// Waits until something is so, for a time that only a broken program needs.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    for _ in 0..2_400 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} has not come");
}

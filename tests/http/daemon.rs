//! A daemon as an operator starts it, and callers that ask it. It ends with its test, whatever comes of that.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

/// A place for jobs that is no other daemon's.
fn state_home() -> String {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{}/state-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

/// What must come, comes within this time; nothing here is a measure of speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program itself.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventmesh"));
    for name in ["EVENTMESH_LOG", "EVENTMESH_CONFIG", "EVENTMESH_SERVER", "EVENTMESH_KEY"] {
        command.env_remove(name);
    }
    for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "CACHE_DIRECTORY"] {
        command.env_remove(name);
    }
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).env("XDG_STATE_HOME", state_home()).stdin(Stdio::null());
    // Manners towards sites have tests of their own; these sites count what they are asked.
    command.env("EVENTMESH__FETCH__ROBOTS", "false").env("EVENTMESH__FETCH__HOSTS__PER_OWN_HOST", "4096");
    command
}

/// A daemon of its own.
pub(crate) struct Daemon {
    child: Child,
    /// What it said of where it is.
    pub(crate) said: String,
    pub(crate) ops: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }

    /// The kind of problem that it is.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        self.json()["code"].as_str().expect("a code").to_owned()
    }
}

impl Daemon {
    /// With what `arguments` say besides.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let given = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--allow-net", "127.0.0.0/8"];
        Self::of(program().args(given).args(arguments)).await
    }

    /// As `command` says.
    pub(crate) async fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let log = Arc::new(Mutex::new(String::new()));
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut ready = Some(ready);
            for line in stderr.lines().map_while(Result::ok) {
                if line.contains("serving at ")
                    && let Some(ready) = ready.take()
                {
                    let _ = ready.send(line.clone());
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let said = tokio::time::timeout(PATIENCE, is_ready).await.expect("it is ready in time");
        let said = said.unwrap_or_else(|_| panic!("it does not start: {}", log.lock().expect("whole")));
        let ops = said.rsplit_once("for operators at http://").expect(&said).1.parse().expect("an address");
        Self { child, said, ops, log }
    }

    /// Where requests come in.
    pub(crate) fn api(&self) -> SocketAddr {
        let address = self.said.split_once("http://").expect(&self.said).1;
        address.split([',', ';']).next().expect("something").parse().expect("an address")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api())
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        ask(self.api(), Method::GET, path, &[], Bytes::new()).await
    }

    /// Asks for JSON by JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        ask(self.api(), Method::POST, path, &all, body.to_string().into()).await
    }

    /// What operators see.
    pub(crate) async fn operators(&self, method: Method, path: &str) -> Answer {
        ask(self.ops, method, path, &[], Bytes::new()).await
    }

    pub(crate) async fn tree(&self) -> Value {
        self.operators(Method::GET, "/debug/tree").await.json()
    }

    /// Waits until `wanted` is so, in the tree.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let tree = self.tree().await;
            if wanted(&tree) {
                return tree;
            }
            assert!(began.elapsed() < PATIENCE, "never {what}: {tree}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until nothing is at work any more, down to the workers.
    pub(crate) async fn until_idle(&self) {
        self.until("idle", |tree| tree["requests"] == 0 && tree["admitted_bytes"] == 0 && !works(&tree["tree"])).await;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether any worker below `node` has something to do.
pub(crate) fn works(node: &Value) -> bool {
    match node {
        Value::Object(fields) => fields.get("state").is_some_and(|state| state == "leased") || fields.values().any(works),
        Value::Array(items) => items.iter().any(works),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The pool of that name.
pub(crate) fn pool<'t>(node: &'t Value, name: &str) -> Option<&'t Value> {
    if node["kind"] == "pool" && node["name"] == name {
        return Some(node);
    }
    match node {
        Value::Object(fields) => fields.values().find_map(|inner| pool(inner, name)),
        Value::Array(items) => items.iter().find_map(|inner| pool(inner, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// A connection of its own, which ends when the answer is dropped.
pub(crate) struct Open {
    pub(crate) response: Response<Incoming>,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Open {
    pub(crate) async fn whole(mut self) -> Answer {
        let (status, headers) = (self.response.status(), self.response.headers().clone());
        let body = self.response.body_mut().collect().await.expect("it comes through").to_bytes();
        Answer { status, headers, body }
    }
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a path");
    request.headers_mut().insert("host", HeaderValue::from_static("localhost"));
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
    }
    request
}

/// Asks by a connection of its own.
pub(crate) async fn open(address: SocketAddr, request: Request<Full<Bytes>>) -> Open {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it talks");
    let connection = tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.expect("it answers");
    Open { response, connection }
}

pub(crate) async fn ask(address: SocketAddr, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
    open(address, request(method, path, headers, body)).await.whole().await
}

/// Asks by a socket file.
pub(crate) async fn ask_unix(path: &std::path::Path, request: Request<Full<Bytes>>) -> Answer {
    let stream = UnixStream::connect(path).await.expect("it listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it talks");
    let connection = tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.expect("it answers");
    Open { response, connection }.whole().await
}

/// Asks by HTTP/2, which both sides know of beforehand.
pub(crate) async fn ask_http2(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it talks");
    let connection = tokio::spawn(async move { drop(connection.await) });
    let mut request = request(Method::GET, &format!("http://{address}{path}"), &[], Bytes::new());
    request.headers_mut().remove("host");
    let response = sender.send_request(request).await.expect("it answers");
    assert_eq!(response.version(), hyper::Version::HTTP_2);
    Open { response, connection }.whole().await
}

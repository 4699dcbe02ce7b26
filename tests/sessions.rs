//! Sessions over HTTP, as a client of the daemon sees them.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail, and runs the program itself")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A place for jobs that is no other daemon's.
fn state_home() -> String {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{}/state-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

/// The daemon, and nobody else's: it is ended with the test.
struct Daemon {
    child: Child,
    address: String,
    _keys: tempfile::NamedTempFile,
}

impl Daemon {
    fn start() -> Self {
        let keys = tempfile::NamedTempFile::new().expect("a file");
        let entry = |name: &str| {
            let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("[[key]]\nname = \"{name}\"\nsha256 = \"{hash}\"\n")
        };
        std::fs::write(keys.path(), entry("one") + &entry("other")).expect("it can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_eventmesh"))
            .args(["serve", "--workers", "1", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .args(["--allow-net", "127.0.0.2/32", "--keys"])
            .arg(keys.path())
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env("XDG_STATE_HOME", state_home())
            .env_remove("EVENTMESH_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let told = BufReader::new(child.stderr.take().expect("it is a pipe")).lines().map_while(Result::ok);
        let address = told
            .filter_map(|line| {
                Some(line.split_once("serving at ")?.1.split(';').next()?.trim_start_matches("http://").to_owned())
            })
            .next()
            .expect("it says where it serves");
        Self { child, address, _keys: keys }
    }

    /// Asks with a key; the status and the body.
    fn ask(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map_or_else(String::new, |body| body.to_string());
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("there is a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("there is a status");
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says which cookies came, and sets one.
async fn site() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let page = |headers: HeaderMap| async move {
        let sent = headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or("nothing").to_owned();
        ([(SET_COOKIE, "seen=secret; Path=/; Max-Age=600")], Html(format!("<p>You have sent {sent} along.")))
    };
    let app = Router::new().route("/", get(page));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/")
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_made_used_shown_and_forgotten_by_their_owners() {
    let site = site().await;
    let daemon = Daemon::start();
    let cookies = json!([{"name": "given", "value": "1", "domain": "127.0.0.2"}]);
    let (status, made) =
        daemon.ask("one", "POST", "/v1/sessions", Some(json!({"name": "s", "cookies": cookies, "ttl_ms": 60_000})));
    assert_eq!((status, made["cookies"][0]["name"].as_str()), (201, Some("given")), "{made}");
    assert!(made["cookies"][0]["value"].is_null() && made["ends_ms"].is_u64(), "{made}");
    let (status, again) = daemon.ask("one", "POST", "/v1/sessions", Some(json!({"name": "s"})));
    assert_eq!((status, again["code"].as_str()), (409, Some("session_exists")));

    let extract = |key: &str| {
        let (status, answer) =
            daemon.ask(key, "POST", "/v1/extract", Some(json!({"url": site, "session": "s", "render": "never"})));
        (status, answer.to_string())
    };
    let (status, text) = extract("one");
    assert!(status == 200 && text.contains("given=1 along"), "{text}");
    // The second answer is no copy of the first one.
    let (status, text) = extract("one");
    assert!(status == 200 && text.contains("given=1; seen=secret along"), "{text}");
    let (status, text) = extract("other");
    assert!(status == 404 && text.contains("no_such_session"), "{text}");

    let (status, shown) = daemon.ask("one", "GET", "/v1/sessions/s", None);
    assert!(status == 200 && !shown.to_string().contains("secret") && shown["cookies"][1]["expires"].is_u64(), "{shown}");
    let (_, shown) = daemon.ask("one", "GET", "/v1/sessions/s?values=true", None);
    assert_eq!(shown["cookies"][1]["value"].as_str(), Some("secret"));
    for (method, key) in [("GET", "other"), ("DELETE", "other")] {
        assert_eq!(daemon.ask(key, method, "/v1/sessions/s", None).0, 404, "{method}");
    }
    assert_eq!(daemon.ask("one", "DELETE", "/v1/sessions/s", None).0, 204);
    assert_eq!(daemon.ask("one", "DELETE", "/v1/sessions/s", None).0, 404);

    for bad in [
        json!({"name": ""}),
        json!({"name": "a b"}),
        json!({"name": "a", "ttl_ms": 0}),
        json!({"name": "a", "cookies": [{"name": "n", "value": "v"}]}),
        json!({"name": "a", "colour": 1}),
    ] {
        let (status, answer) = daemon.ask("one", "POST", "/v1/sessions", Some(bad.clone()));
        assert_eq!(status, 422, "{bad}: {answer}");
    }
    let senseless = json!({"html": "<p>x", "session": "s", "render": "never"});
    assert_eq!(daemon.ask("one", "POST", "/v1/extract", Some(senseless)).0, 422);
    // The site has no robots.txt; whoever wants it ignored may not have that.
    let (status, answer) = daemon.ask("one", "POST", "/v1/extract", Some(json!({"url": site, "robots": "ignore"})));
    assert_eq!((status, answer["code"].as_str()), (403, Some("disallowed")));
}

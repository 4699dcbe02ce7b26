//! Keys: who comes in, for what, and how often.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hyper::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::json;

use super::daemon::{Answer, Daemon, ask, program};
use super::site::Site;

/// A file of keys in a directory of its own.
pub(crate) struct Ring {
    directory: tempfile::TempDir,
    text: String,
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), text: String::new() }
    }

    /// A new key as `eventmesh keys new` makes it, with `changed` instead of what its entry says.
    pub(crate) fn add(&mut self, name: &str, scope: &str, changed: &[(&str, &str)]) -> String {
        let made = program().args(["keys", "new", name, "--scope", scope]).output().expect("it starts");
        assert!(made.status.success());
        let mut entry = String::from_utf8(made.stdout).expect("UTF-8");
        for (from, to) in changed {
            assert!(entry.contains(from), "{from}: {entry}");
            entry = entry.replace(from, to);
        }
        let said = String::from_utf8(made.stderr).expect("UTF-8");
        let secret = said.trim().rsplit(' ').next().expect("a key").to_owned();
        assert!(!entry.contains(&secret), "only its hash is kept");
        writeln!(self.text, "{entry}").expect("memory");
        std::fs::write(self.path(), &self.text).expect("own directory");
        secret
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("keys.toml")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

async fn asked(daemon: &Daemon, key: Option<&str>) -> Answer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = bearer.as_deref().map(|bearer| ("authorization", bearer)).into_iter().collect();
    ask(daemon.api(), Method::GET, "/v1/capabilities", &headers, Default::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_a_key_for_it_comes_in() {
    let mut ring = Ring::new();
    let (extract, admin) = (ring.add("reader", "extract", &[]), ring.add("steward", "admin", &[]));
    let path = ring.path();
    let mut daemon = Daemon::start(&["--keys", path.to_str().expect("UTF-8")]).await;
    let wrong = format!("{extract}0");
    for key in [None, Some(""), Some("nonsense"), Some(wrong.as_str())] {
        let refused = asked(&daemon, key).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"), "{key:?}");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    let refused = asked(&daemon, Some(&admin)).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    assert_eq!(asked(&daemon, Some(&extract)).await.status, StatusCode::OK);
    let plain = ask(daemon.api(), Method::GET, "/v1/capabilities", &[("x-api-key", &extract)], Default::default()).await;
    assert_eq!(plain.status, StatusCode::OK);
    // Whoever has no key is told so before anything of the body is looked at.
    let body = daemon.post("/v1/extract", &json!({ "colour": 1 })).await;
    assert_eq!(body.status, StatusCode::UNAUTHORIZED);
    for open in ["/docs", "/openapi.json", "/problems/unauthorized"] {
        assert_eq!(daemon.get(open).await.status, StatusCode::OK, "{open}");
    }
    daemon.signal(Signal::TERM);
    daemon.ended().await;
    assert!(!daemon.log().contains(&extract) && !daemon.log().contains(&wrong), "no key is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let mut ring = Ring::new();
    let slow = ring.add("slow", "extract", &[("per_second = 50", "per_second = 0.01"), ("burst = 100", "burst = 3")]);
    let other = ring.add("other", "extract", &[]);
    let path = ring.path();
    let daemon = Daemon::start(&["--keys", path.to_str().expect("UTF-8")]).await;
    for _ in 0..3 {
        assert_eq!(asked(&daemon, Some(&slow)).await.status, StatusCode::OK, "a burst");
    }
    let refused = asked(&daemon, Some(&slow)).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "quota"));
    let after: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((90..=100).contains(&after), "one every hundred seconds: {after}");
    assert_eq!(refused.json()["retryable"], true);
    assert_eq!(asked(&daemon, Some(&other)).await.status, StatusCode::OK, "each key has a quota of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_only_so_much_at_work() {
    let mut ring = Ring::new();
    let key = ring.add("narrow", "extract", &[("concurrent = 100", "concurrent = 2")]);
    let path = ring.path();
    let (daemon, site) =
        (Daemon::start(&["--keys", path.to_str().expect("UTF-8"), "--timeout", "600"]).await, Site::open().await);
    let bearer = format!("Bearer {key}");
    let mut working = Vec::new();
    for (number, accept) in ["application/json", "application/x-ndjson"].into_iter().enumerate() {
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str()), ("accept", accept)];
        let body = json!({ "url": site.url(&format!("/held?n={number}")) }).to_string();
        let request = super::daemon::request(Method::POST, "/v1/extract", &headers, body.into());
        let address = daemon.api();
        working.push(tokio::spawn(async move { super::daemon::open(address, request).await.whole().await }));
    }
    site.until_open("both at work", |open| open == 2).await;
    let refused = asked(&daemon, Some(&key)).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "quota"));
    assert!(refused.headers.contains_key("retry-after"));
    // A caller that goes away makes room.
    working.pop().expect("two").abort();
    site.until_open("one at work", |open| open == 1).await;
    daemon.until("one at work", |tree| tree["requests"] == 1).await;
    assert_eq!(asked(&daemon, Some(&key)).await.status, StatusCode::OK);
    site.release();
    assert_eq!(working.pop().expect("one").await.expect("it is answered").status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_read_again_when_told_so() {
    let mut ring = Ring::new();
    let old = ring.add("old", "extract", &[]);
    let path = ring.path();
    let daemon = Daemon::start(&["--keys", path.to_str().expect("UTF-8")]).await;
    let new = ring.add("new", "extract", &[]);
    assert_eq!(asked(&daemon, Some(&new)).await.status, StatusCode::UNAUTHORIZED);
    daemon.signal(Signal::HUP);
    until(&daemon, &new, StatusCode::OK).await;
    assert_eq!(asked(&daemon, Some(&old)).await.status, StatusCode::OK);
    // A file that makes no sense changes nothing, and is told of.
    std::fs::write(&path, "nonsense").expect("own directory");
    assert_eq!(daemon.operators(Method::POST, "/admin/reload").await.status, StatusCode::ACCEPTED);
    while !daemon.log().contains("nothing has been read again") {
        assert_eq!(asked(&daemon, Some(&new)).await.status, StatusCode::OK);
    }
    let mut again = Ring::new();
    let only = again.add("only", "extract", &[]);
    std::fs::copy(again.path(), &path).expect("own directory");
    daemon.signal(Signal::HUP);
    until(&daemon, &only, StatusCode::OK).await;
    assert_eq!(asked(&daemon, Some(&old)).await.status, StatusCode::UNAUTHORIZED, "a key that is gone opens nothing");
}

async fn until(daemon: &Daemon, key: &str, status: StatusCode) {
    let waiting = async {
        while asked(daemon, Some(key)).await.status != status {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::daemon::PATIENCE, waiting).await.expect("it comes to that");
}

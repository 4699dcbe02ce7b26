//! A daemon's life: its doors, what its operators see and order, and its end.

use std::process::Output;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::daemon::{Daemon, ask, ask_unix, open, program, request};
use super::formats::lines;
use super::site::{Site, pdf};

fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = program().arg("serve").args(arguments).output().expect("it starts");
    (status.code(), String::from_utf8(stderr).expect("UTF-8"))
}

#[test]
fn without_keys_only_this_machine_is_listened_to() {
    let ops = ["--ops-listen", "127.0.0.1:0"];
    for public in ["0.0.0.0:0", "[::]:0"] {
        let (code, said) = refused(&[&["--listen", public], &ops[..]].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("--keys") && said.contains("eventmesh keys new") && said.contains("127.0.0.1"), "{said}");
    }
    let (code, said) = refused(&["--listen", "127.0.0.1:0", "--ops-listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(2), "whoever gets in there may stop everything: {said}");
}

#[test]
fn doors_that_are_none_are_told_of() {
    for address in ["nonsense", "127.0.0.1:99999", "unix:/no/such/directory/socket", "192.0.2.1:80"] {
        let (code, said) = refused(&["--listen", address, "--ops-listen", "127.0.0.1:0"]);
        assert!(code == Some(7) || code == Some(2), "{address}: {said}");
        assert!(said.contains(address), "{address}: {said}");
    }
    let (code, said) = refused(&["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--keys", "/no/such/keys"]);
    assert!(code == Some(2) && said.contains("/no/such/keys"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_there_is() {
    let daemon = Daemon::start(&[]).await;
    let alive = daemon.operators(Method::GET, "/healthz").await;
    assert_eq!((alive.status, alive.text()), (StatusCode::OK, "alive\n"));
    let ready = daemon.operators(Method::GET, "/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"], &ready.json()["open"]), (StatusCode::OK, &json!(true), &json!(true)));
    let metrics = daemon.operators(Method::GET, "/metrics").await;
    assert!(
        metrics.text().contains("\n# TYPE http_server_active_requests gauge\nhttp_server_active_requests "),
        "{}",
        metrics.text()
    );
    let events = daemon.operators(Method::GET, "/debug/events").await.json();
    let events = events.as_array().expect("a list");
    let numbers: Vec<_> = events.iter().map(|event| event["number"].as_u64().expect("a number")).collect();
    assert!(!numbers.is_empty() && numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    let last = daemon.operators(Method::GET, "/debug/events?last=2").await.json();
    assert_eq!(last.as_array().expect("a list").len(), 2);
    for path in ["/", "/v1/extract"] {
        assert_eq!(daemon.operators(Method::POST, path).await.code(), "no_such_path", "{path}");
    }
    // What operators may do is not done at the other door, nor the other way round.
    for path in ["/admin/drain", "/debug/tree", "/metrics"] {
        assert_eq!(daemon.post(path, &json!({})).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_of_other_sites_are_not_let_in() {
    let mut daemon = Daemon::start(&[]).await;
    let (own, own_ops) = (format!("http://{}", daemon.api()), format!("http://{}", daemon.ops));
    let host = daemon.api().to_string();
    let foreign: [&[(&str, &str)]; 3] =
        [&[("origin", "https://example.com")], &[("sec-fetch-site", "cross-site")], &[("host", "rebound.example")]];
    for headers in foreign {
        for (address, path) in [(daemon.ops, "/admin/drain"), (daemon.api(), "/v1/extract")] {
            let answer = ask(address, Method::POST, path, headers, Bytes::new()).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "foreign"), "{path} {headers:?}");
        }
        let seen = ask(daemon.api(), Method::GET, "/docs", headers, Bytes::new()).await;
        assert_eq!(seen.status, StatusCode::OK, "what anybody may know: {headers:?}");
    }
    // A page that the daemon serves itself may ask it.
    let asked =
        [("host", host.as_str()), ("origin", own.as_str()), ("sec-fetch-site", "same-origin"), ("content-type", "text/html")];
    let mut request = request(Method::POST, "/v1/extract", &asked[1..], "<p>Some text.".into());
    request.headers_mut().insert(asked[0].0, asked[0].1.parse().expect("a value"));
    assert_eq!(open(daemon.api(), request).await.whole().await.status, StatusCode::OK);
    let looked = ask(daemon.ops, Method::GET, "/healthz", &[("sec-fetch-site", "none")], Bytes::new()).await;
    assert_eq!(looked.status, StatusCode::OK, "{own_ops}");
    assert_eq!(daemon.operators(Method::POST, "/admin/drain").await.status, StatusCode::ACCEPTED, "nobody has drained it before");
    assert!(daemon.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_may_ask_by_its_own_name_if_that_is_known() {
    let daemon = Daemon::of(
        program()
            .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .env("EVENTMESH__DAEMON__HOSTS", "mesh.example.org,mesh"),
    )
    .await;
    let asked = async |address, host: &str, headers: &[(&str, &str)]| {
        let mut request = request(Method::POST, "/v1/extract", headers, "<p>Some text.".into());
        request.headers_mut().insert("host", host.parse().expect("a value"));
        request.headers_mut().insert("content-type", "text/html".parse().expect("a value"));
        open(address, request).await.whole().await.status
    };
    for (host, status) in [("mesh.example.org", 200), ("MESH:8443", 200), ("rebound.example", 403), ("127.0.0.1", 200)] {
        assert_eq!(asked(daemon.api(), host, &[]).await.as_u16(), status, "{host}");
    }
    assert_eq!(asked(daemon.api(), "mesh", &[("origin", "https://example.com")]).await, StatusCode::FORBIDDEN);
    assert_eq!(asked(daemon.ops, "mesh", &[]).await, StatusCode::FORBIDDEN, "operators are let in by no name");
}

fn given(state: &std::path::Path) -> std::process::Command {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]).env("STATE_DIRECTORY", state);
    command
}

#[test]
fn a_directory_of_the_service_manager_whose_journal_is_damaged_is_told_of() {
    let state = tempfile::tempdir().expect("a directory");
    std::fs::write(state.path().join("jobs"), "This is no journal. ".repeat(1_000)).expect("own directory");
    let Output { status, stderr, .. } = given(state.path()).output().expect("it starts");
    let said = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&state.path().join("jobs").display().to_string()) && said.contains("damaged or no journal"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_fails_ends_the_daemon_which_says_so() {
    let state = tempfile::tempdir().expect("a directory");
    // What is in memory would be written back without a look at what is there.
    let mut daemon = Daemon::of(given(state.path()).env("EVENTMESH__QUEUE__CACHE_BYTES", "0")).await;
    let body = json!({ "html": "<p>Some text." });
    let later = [("prefer", "respond-async")];
    // All of it is done: nothing else is written that could fail first.
    let done = daemon.post_with("/v1/extract", &[("prefer", "respond-async, wait=60")], &body).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text());
    assert!(done.header("server-timing").contains("total;dur="), "{:?}", done.headers);
    let journal = std::fs::OpenOptions::new().write(true).open(state.path().join("jobs")).expect("it is there");
    journal.set_len(0).expect("own file");
    let failed = daemon.post_with("/v1/extract", &later, &body).await;
    assert!(failed.status.is_server_error(), "{}", failed.text());
    let ended = daemon.ended().await;
    assert_eq!(ended.code(), Some(1), "{}", daemon.log());
    // Its last words are read by another thread.
    let said = async {
        while !daemon.log().contains("nothing works on jobs any more: the journal cannot be read or written") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let said = tokio::time::timeout(super::daemon::PATIENCE, said).await;
    assert!(said.is_ok(), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_is_a_door_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("api.sock");
    // What an earlier life has left is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("own directory"));
    let listen = format!("unix:{}", path.display());
    let mut command = program();
    command.args(["serve", "--listen", &listen, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let mut daemon = Daemon::of(&mut command).await;
    assert!(daemon.said.contains(&listen), "{}", daemon.said);
    let body = json!({ "html": "<p>Some text." }).to_string();
    let asked = request(Method::POST, "/v1/extract", &[("content-type", "application/json")], body.into());
    let answer = ask_unix(&path, asked).await;
    assert_eq!(answer.json()["document"]["text"], "Some text.");
    assert_eq!(daemon.get("/v1/capabilities").await.status, StatusCode::OK);
    // A door at which somebody stands is not taken away.
    let (code, said) = refused(&["--listen", &listen, "--ops-listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(7), "{said}");
    assert!(path.exists());
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success());
    assert!(!path.exists(), "it takes its socket along");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_do_not_meet() {
    let (mut one, two, site) =
        (Daemon::start(&["--timeout", "600"]).await, Daemon::start(&["--timeout", "600"]).await, Site::open().await);
    let body = json!({ "url": site.url("/held") }).to_string();
    let asked = request(Method::POST, "/v1/extract", &[("content-type", "application/json")], body.into());
    let address = two.api();
    let held = tokio::spawn(async move { open(address, asked).await.whole().await });
    two.until("at work", |tree| tree["requests"] == 1).await;
    assert_eq!(one.tree().await["requests"], 0);
    let taken = refused(&["--listen", &two.api().to_string(), "--ops-listen", "127.0.0.1:0"]);
    assert_eq!(taken.0, Some(7), "{}", taken.1);
    one.signal(Signal::TERM);
    assert!(one.ended().await.success());
    site.release();
    assert_eq!(held.await.expect("it is answered").status, StatusCode::OK, "the end of one is nothing to the other");
    assert_eq!(two.post("/v1/extract", &json!({ "html": "<p>x" })).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_at_work_and_lets_nobody_in() {
    let (mut daemon, site) = (Daemon::start(&["--timeout", "600", "--drain", "600"]).await, Site::open().await);
    let body = json!({ "url": site.url("/held") }).to_string();
    let asked = request(Method::POST, "/v1/extract", &[("content-type", "application/json")], body.into());
    let address = daemon.api();
    let held = tokio::spawn(async move { open(address, asked).await.whole().await });
    site.until_open("at work", |open| open == 1).await;
    assert_eq!(daemon.operators(Method::POST, "/admin/drain").await.status, StatusCode::ACCEPTED);
    let closing = async {
        while TcpStream::connect(daemon.api()).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::daemon::PATIENCE, closing).await.expect("the door is shut");
    let ready = daemon.operators(Method::GET, "/readyz").await;
    assert_eq!((ready.status, &ready.json()["open"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)));
    assert_eq!(daemon.operators(Method::GET, "/healthz").await.status, StatusCode::OK, "one that drains is not restarted");
    site.release();
    let answer = held.await.expect("it is answered");
    assert_eq!((answer.status, &answer.json()["document"]["title"]), (StatusCode::OK, &json!("Held")));
    assert!(daemon.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_on_its_way_is_finished_at_the_end() {
    let mut daemon = Daemon::start(&["--timeout", "600", "--drain", "600"]).await;
    let pages = 1_500;
    let headers = [("content-type", "application/pdf"), ("accept", "application/x-ndjson")];
    let mut answer = open(daemon.api(), request(Method::POST, "/v1/extract", &headers, pdf(pages).into())).await;
    let first = answer.response.body_mut().frame().await.expect("it begins").expect("it comes through");
    let mut text = first.into_data().expect("data").to_vec();
    daemon.signal(Signal::TERM);
    while let Some(frame) = answer.response.body_mut().frame().await {
        text.extend_from_slice(&frame.expect("it comes through").into_data().unwrap_or_default());
    }
    let events = lines(&String::from_utf8(text).expect("UTF-8"));
    let last = events.last().expect("there is one");
    if events.iter().any(|event| event["problem"]["code"] == "not_installed") {
        eprintln!("SKIPPED: {last}");
        return;
    }
    assert_eq!((&last["type"], &last["ok"]), (&json!("end"), &json!(true)), "{last}");
    assert_eq!(events.iter().filter(|event| event["type"] == "page").count(), pages);
    assert!(events.iter().zip(1..).all(|(event, number): (&Value, u64)| event["seq"] == number));
    assert!(daemon.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_twice_means_it() {
    let (mut daemon, site) = (Daemon::start(&["--timeout", "600", "--drain", "600"]).await, Site::open().await);
    let body = json!({ "url": site.url("/held") }).to_string();
    let headers = [("content-type", "application/json"), ("accept", "application/x-ndjson")];
    let answer = open(daemon.api(), request(Method::POST, "/v1/extract", &headers, body.into())).await;
    site.until_open("at work", |open| open == 1).await;
    daemon.signal(Signal::TERM);
    let closing = async {
        while TcpStream::connect(daemon.api()).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::daemon::PATIENCE, closing).await.expect("the door is shut");
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success());
    drop(answer);
    site.until_open("given up", |open| open == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_many_and_rests_in_between() {
    let daemon = Daemon::start(&[]).await;
    let stream = TcpStream::connect(daemon.api()).await.expect("it listens");
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("it talks");
    let connection = tokio::spawn(async move { drop(connection.await) });
    for _ in 0..50 {
        let asked = request(Method::GET, "/v1/capabilities", &[], Bytes::new());
        let answer = sender.send_request(asked).await.expect("it answers");
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().collect().await.expect("it comes through");
        sender.ready().await.expect("it stays");
    }
    connection.abort();
}

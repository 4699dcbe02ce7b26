//! What goes out: every format, whole and as it comes, and who asked for it.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::daemon::{Daemon, ask, ask_http2};
use super::site::{PROSE, Site, pdf};

/// A line of JSON is an event, with its number.
fn numbered(events: &[Value]) {
    let numbers: Vec<_> = events.iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    let ends = events.iter().filter(|event| event["type"] == "end").count();
    assert_eq!((ends, &events[events.len() - 1]["type"]), (1, &json!("end")), "there is one end, at the end");
}

pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_what_was_asked_for() {
    let (daemon, site) = (Daemon::start(&[]).await, Site::open().await);
    let body = json!({ "url": site.url("/page") });
    let whole = [
        ("application/json", "application/json", "{"),
        ("*/*", "application/json", "{"),
        ("text/markdown", "text/markdown; charset=utf-8", "# A heron\n"),
        ("text/plain", "text/plain; charset=utf-8", "A heron\n"),
        ("text/html", "text/html; charset=utf-8", "<"),
    ];
    for (accept, kind, start) in whole {
        let answer = daemon.post_with("/v1/extract", &[("accept", accept)], &body).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, kind), "{}", answer.text());
        assert!(answer.text().starts_with(start) && answer.text().contains("herons are patient"), "{}", answer.text());
        assert!(answer.header("server-timing").contains("total;dur="), "{accept}");
        assert_eq!(answer.header("content-location"), site.url("/page"), "{accept}");
        assert_eq!(answer.header("vary"), "accept");
    }
    let answer = daemon.post("/v1/extract", &body).await.json();
    assert_eq!((&answer["status"], &answer["url"]), (&json!(200), &json!(site.url("/page"))));
    assert_eq!(answer["document"]["links"][0]["href"], site.url("/next"));

    let answer = daemon.post_with("/v1/extract", &[("accept", "application/x-ndjson")], &body).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let events = lines(answer.text());
    numbered(&events);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["head", "route", "result", "end"]);
    assert_eq!(events[1]["route"]["route"], "extract");
    assert!(events[2]["document"]["text"].as_str().expect("text").contains(PROSE.split(',').next().expect("some")));
    assert_eq!(events[3]["ok"], true);

    let answer = daemon.post_with("/v1/extract", &[("accept", "text/event-stream")], &body).await;
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("text/event-stream", "no-store"));
    let mut events = Vec::new();
    for event in answer.text().split_terminator("\n\n") {
        let parts: Vec<_> = event.lines().map(|line| line.split_once(": ").expect("a field")).collect();
        assert_eq!(parts.iter().map(|part| part.0).collect::<Vec<_>>(), ["event", "data"], "{event}");
        let data: Value = serde_json::from_str(parts[1].1).expect("JSON");
        assert_eq!(data["type"], json!(parts[0].1));
        events.push(data);
    }
    numbered(&events);

    let none = daemon.post_with("/v1/extract", &[("accept", "image/png")], &body).await;
    assert_eq!((none.status, none.code().as_str()), (StatusCode::NOT_ACCEPTABLE, "not_acceptable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_says_how_it_came_through_the_cache() {
    let (daemon, site) = (Daemon::start(&[]).await, Site::open().await);
    let gone = json!({ "url": site.url("/gone") });
    let status = async |body: &Value| {
        let answer = daemon.post("/v1/extract", body).await;
        (answer.code(), answer.header("cache-status").to_owned())
    };
    let (code, first) = status(&gone).await;
    assert_eq!((&*code, &*first), ("source_not_found", "eventmesh; fwd=miss; fwd-status=404; stored"));
    let (code, again) = status(&gone).await;
    assert_eq!(code, "source_not_found");
    assert!(again.starts_with("eventmesh; hit; ttl=") && again.ends_with("; detail=memory"), "{again}");
    let bypassed = json!({ "url": site.url("/gone"), "no_store": true });
    assert_eq!(status(&bypassed).await.1, "eventmesh; fwd=bypass; fwd-status=404");
    // Nobody has looked there for these.
    for body in [json!({ "url": "http://10.0.0.1/" }), json!({ "html": "<p>x", "base_url": "nonsense" })] {
        assert_eq!(status(&body).await.1, "", "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_a_stream_is_told_and_ends_too() {
    let daemon = Daemon::start(&[]).await;
    let body = json!({ "url": "http://127.0.0.1:9/" });
    let answer = daemon.post_with("/v1/extract", &[("accept", "application/x-ndjson")], &body).await;
    let events = lines(answer.text());
    numbered(&events);
    assert_eq!((&events[0]["type"], &events[0]["problem"]["code"]), (&json!("error"), &json!("source_unreadable")));
    assert_eq!(events[1]["ok"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pdf_comes_page_by_page() {
    let daemon = Daemon::start(&[]).await;
    let headers = [("content-type", "application/pdf"), ("accept", "application/x-ndjson")];
    let answer = ask(daemon.api(), Method::POST, "/v1/extract", &headers, pdf(30).into()).await;
    let events = lines(answer.text());
    numbered(&events);
    if events[0]["problem"]["code"] == "not_installed" {
        eprintln!("SKIPPED: {}", events[0]);
        return;
    }
    let pages: Vec<_> =
        events.iter().filter(|event| event["type"] == "page").map(|event| event["page"]["number"].clone()).collect();
    assert_eq!(pages, (1..=30).map(Value::from).collect::<Vec<_>>());
    let whole = &events[events.len() - 2];
    assert_eq!((&whole["type"], &whole["document"]["pages"]), (&json!("result"), &json!([])), "no page comes twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_have_names_and_are_known_by_them() {
    let daemon = Daemon::start(&[]).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("x-request-id", "mine-1"), ("traceparent", trace)];
    let answer = ask(daemon.api(), Method::GET, "/nowhere", &headers, Default::default()).await;
    assert_eq!((answer.code().as_str(), answer.header("x-request-id")), ("no_such_path", "mine-1"));
    assert_eq!(answer.header("traceparent"), trace);
    assert_eq!(answer.json()["instance"], "mine-1", "a problem says which request it happened to");
    let long = "x".repeat(129);
    let mut given = Vec::new();
    for unusable in [None, Some(long.as_str()), Some("two words")] {
        let headers: Vec<_> = unusable.into_iter().map(|id| ("x-request-id", id)).collect();
        let answer = ask(daemon.api(), Method::GET, "/v1/capabilities", &headers, Default::default()).await;
        let id = answer.header("x-request-id").to_owned();
        assert!(!id.is_empty() && Some(id.as_str()) != unusable && !given.contains(&id), "{id}");
        assert_eq!(answer.header("traceparent"), "", "what was not sent is not sent back");
        given.push(id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_those_of_http() {
    let daemon = Daemon::start(&[]).await;
    for (method, path, status) in [
        (Method::GET, "/v1/capabilities", 200),
        (Method::HEAD, "/v1/capabilities", 200),
        (Method::HEAD, "/docs", 200),
        (Method::GET, "/v1/extract", 405),
        (Method::HEAD, "/v1/extract", 405),
        (Method::OPTIONS, "/v1/extract", 405),
        (Method::DELETE, "/v1/extract", 405),
        (Method::POST, "/v1/capabilities", 405),
        (Method::GET, "/v1/nonsense", 404),
        (Method::POST, "/", 404),
    ] {
        let answer = ask(daemon.api(), method.clone(), path, &[], Default::default()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if method == Method::HEAD {
            assert_eq!(answer.body.len(), 0, "{path}");
        } else if status >= 400 {
            assert_eq!(answer.code(), if status == 405 { "method" } else { "no_such_path" });
        }
        if status == 405 {
            let known = if path == "/v1/extract" { "POST" } else { "GET" };
            assert!(answer.header("allow").contains(known), "{method} {path}: {:?}", answer.headers);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_by_who_knows_beforehand() {
    let daemon = Daemon::start(&[]).await;
    let answer = ask_http2(daemon.api(), "/v1/capabilities").await;
    assert_eq!(answer.status, StatusCode::OK);
    let operations = answer.json()["operations"].clone();
    assert!(
        ["extract", "jobs"].iter().all(|name| operations.as_array().is_some_and(|all| all.contains(&json!(name)))),
        "{operations}"
    );
}

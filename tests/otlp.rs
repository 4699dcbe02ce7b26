//! Traces as a collector meets them: the spans of requests, and what a bad collector does to them, which is nothing.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail, and runs the program itself")]

#[path = "otlp/collector.rs"]
mod collector;
#[path = "http/daemon.rs"]
#[expect(dead_code, reason = "the tests of the API need more of it")]
mod daemon;

use std::time::Duration;

use axum::http::StatusCode;
use hyper::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use collector::{Collector, Span, attribute};
use daemon::{Daemon, PATIENCE, program};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// A daemon that sends spans to `endpoint`, as `settings` say.
async fn start(endpoint: &str, settings: &[(&str, &str)]) -> Daemon {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--workers", "1"]);
    command.env("EVENTMESH__OBSERVE__OTLP__ENDPOINT", endpoint);
    for (name, value) in settings {
        command.env(format!("EVENTMESH__OBSERVE__OTLP__{name}"), value);
    }
    Daemon::of(&mut command).await
}

/// Extracts a page, whatever becomes of its spans.
async fn extract(daemon: &Daemon, id: &str, trace: Option<&str>) {
    let mut headers = vec![("x-request-id", id)];
    headers.extend(trace.map(|trace| ("traceparent", trace)));
    let page = "<title>A page</title><p>With a text that is long enough to be one.";
    let answer = daemon.post_with("/v1/extract", &headers, &json!({ "html": page, "render": "never" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Spans so far, by what became of them.
async fn counted(daemon: &Daemon, outcome: &str) -> u64 {
    let answer = daemon.operators(Method::GET, "/metrics").await;
    let row = format!("eventmesh_otlp_spans_total{{outcome=\"{outcome}\"}} ");
    let value = answer.text().lines().find_map(|line| line.strip_prefix(&row));
    value.unwrap_or_else(|| panic!("no {row}: {}", answer.text())).parse().expect("a number")
}

async fn until_counted(daemon: &Daemon, outcome: &str, wanted: impl Fn(u64) -> bool) -> u64 {
    let began = Instant::now();
    loop {
        let count = counted(daemon, outcome).await;
        if wanted(count) {
            return count;
        }
        assert!(began.elapsed() < PATIENCE, "{count} are {outcome}: {}", daemon.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no {name}: {spans:#?}"))
}

fn nanos(span: &Span, of: &str) -> u64 {
    span[of].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{of}: {span}"))
}

/// Asserts that every span but `top` stands below another one, and within its time.
fn assert_nested(spans: &[Span], top: &Span) {
    for span in spans {
        let (began, ended) = (nanos(span, "startTimeUnixNano"), nanos(span, "endTimeUnixNano"));
        assert!(began <= ended, "{span}");
        assert_eq!(span["spanId"].as_str().map(str::len), Some(16), "{span}");
        if span["spanId"] == top["spanId"] {
            continue;
        }
        let parent = spans.iter().find(|above| above["spanId"] == span["parentSpanId"]);
        let parent = parent.unwrap_or_else(|| panic!("{span} stands below nothing: {spans:#?}"));
        assert!(nanos(parent, "startTimeUnixNano") <= began && ended <= nanos(parent, "endTimeUnixNano"), "{span} in {parent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_stages_are_spans_of_its_callers_trace() {
    let collector = Collector::open(&[]).await;
    let daemon = start(&collector.url(), &[("INTERVAL", "50ms")]).await;
    let minute = Duration::from_secs(60).as_nanos();
    let now = u64::try_from(std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos()).expect("before 2554");
    extract(&daemon, "traced", Some(&traceparent("01"))).await;
    let spans = collector.of_request("traced").await;
    let request = named(&spans, "POST /v1/extract");
    assert_eq!((request["traceId"].as_str(), request["parentSpanId"].as_str()), (Some(TRACE), Some(CALLER)));
    assert_eq!((&request["kind"], &request["status"]["code"]), (&json!(2), &json!(0)));
    assert_eq!(attribute(request, "http.response.status_code"), "200");
    assert_eq!(attribute(request, "http.route"), "/v1/extract");
    assert!(u128::from(nanos(request, "startTimeUnixNano").abs_diff(now)) < minute, "{request} at {now}");
    assert_nested(&spans, request);
    for stage in ["fetch", "gate", "extract"] {
        assert_eq!(named(&spans, stage)["parentSpanId"], request["spanId"], "{stage}");
    }
    let queue = named(&spans, "queue");
    assert_eq!(queue["parentSpanId"], named(&spans, "extract")["spanId"], "waiting is a part of it");
    assert_eq!(attribute(queue, "eventmesh.pool"), "wasm");

    // Without a caller's trace it begins one; what a caller does not record is not told, nor is what is no request's.
    extract(&daemon, "unrecorded", Some(&traceparent("00"))).await;
    extract(&daemon, "of-its-own", None).await;
    let spans = collector.of_request("of-its-own").await;
    let request = named(&spans, "POST /v1/extract");
    assert!(request.get("parentSpanId").is_none() && request["traceId"] != TRACE, "{request}");
    assert_nested(&spans, request);
    let all = collector.spans();
    assert!(!all.iter().any(|span| attribute(span, "eventmesh.request.id") == "unrecorded"), "{all:#?}");
    let requests: Vec<_> = all.iter().filter(|span| span["kind"] == 2).map(|span| &span["traceId"]).collect();
    assert!(all.iter().all(|span| requests.contains(&&span["traceId"])), "all belong to a request: {all:#?}");
    assert_eq!((counted(&daemon, "dropped").await, counted(&daemon, "failed").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_marked_where_it_does() {
    let collector = Collector::open(&[]).await;
    let daemon = start(&collector.url(), &[("INTERVAL", "50ms")]).await;
    let headers = [("x-request-id", "blocked")];
    let answer = daemon.post_with("/v1/extract", &headers, &json!({ "url": "http://10.0.0.1/" })).await;
    assert_eq!(answer.code(), "blocked");
    let spans = collector.of_request("blocked").await;
    let request = named(&spans, "POST /v1/extract");
    assert_eq!(attribute(request, "http.response.status_code"), "403");
    assert_eq!(attribute(request, "error.type"), "blocked");
    assert_eq!(request["status"]["code"], 0, "a request that is refused is no failure of the daemon's");
    let fetch = named(&spans, "fetch");
    assert_eq!((&fetch["status"]["code"], &fetch["status"]["message"]), (&json!(2), &json!("blocked")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_at_the_end() {
    let collector = Collector::open(&[]).await;
    let mut daemon = start(&collector.url(), &[("INTERVAL", "1h")]).await;
    extract(&daemon, "last", None).await;
    assert_eq!(collector.spans(), Vec::<Value>::new(), "it is not yet time");
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success(), "{}", daemon.log());
    let spans = collector.of_request("last").await;
    assert_nested(&spans, named(&spans, "POST /v1/extract"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_busy_gets_each_span_once() {
    let collector = Collector::open(&[(StatusCode::TOO_MANY_REQUESTS, "1")]).await;
    let daemon = start(&collector.url(), &[("INTERVAL", "50ms")]).await;
    extract(&daemon, "patient", None).await;
    let spans = collector.of_request("patient").await;
    until_counted(&daemon, "sent", |sent| sent >= spans.len() as u64).await;
    let mut ids: Vec<_> = collector.spans().iter().map(|span| span["spanId"].to_string()).collect();
    ids.sort();
    let all = ids.len();
    ids.dedup();
    assert_eq!((ids.len(), counted(&daemon, "failed").await), (all, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_refused_is_not_sent_again() {
    let collector = Collector::open(&[(StatusCode::BAD_REQUEST, "0")]).await;
    let daemon = start(&collector.url(), &[("INTERVAL", "50ms")]).await;
    extract(&daemon, "refused", None).await;
    let failed = until_counted(&daemon, "failed", |failed| failed > 0).await;
    extract(&daemon, "taken", None).await;
    collector.of_request("taken").await;
    assert_eq!(counted(&daemon, "failed").await, failed);
    assert!(daemon.log().contains("the collector does not take spans"), "{}", daemon.log());
}

/// Asks more than there is room for, and ends the daemon.
async fn withstand(mut daemon: Daemon) {
    for number in 0..20 {
        extract(&daemon, &format!("page-{number}"), None).await;
    }
    until_counted(&daemon, "dropped", |dropped| dropped > 0).await;
    assert_eq!(counted(&daemon, "sent").await, 0);
    let answer = daemon.operators(Method::GET, "/metrics").await;
    let waiting = answer.text().lines().find_map(|line| line.strip_prefix("eventmesh_otlp_waiting_spans "));
    let waiting: u64 = waiting.expect("it is told").parse().expect("a number");
    assert!(waiting <= 8, "{waiting}");
    let began = Instant::now();
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success(), "{}", daemon.log());
    assert!(began.elapsed() < Duration::from_secs(15), "it waits for nobody: {:?}", began.elapsed());
}

const SMALL: [(&str, &str); 3] = [("INTERVAL", "10ms"), ("QUEUE", "8"), ("BATCH", "4")];

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_leaves_answers_alone_and_is_counted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    withstand(start(&format!("http://{address}"), &SMALL).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_silent_leaves_answers_alone_and_is_counted() {
    // The kernel takes the connections, and nobody ever says a word.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let address = listener.local_addr().expect("an address");
    withstand(start(&format!("http://{address}"), &SMALL).await).await;
}

#[test]
fn an_endpoint_that_is_none_is_told_before_anything_starts() {
    for endpoint in ["collector:4318", "grpc://collector:4317", "https://user:secret@collector"] {
        let checked =
            program().args(["config", "check"]).env("EVENTMESH__OBSERVE__OTLP__ENDPOINT", endpoint).output().expect("it starts");
        let told = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
        assert_eq!(checked.status.code(), Some(2), "{told}");
        assert!(told.contains("observe.otlp.endpoint must be http://HOST:PORT"), "{told}");
    }
}

//! Who goes away takes the work along, down to the worker; who is too many is sent away at once; nobody is forgotten.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::daemon::{Daemon, ask, open, pool, request};
use super::site::Site;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_takes_the_fetch_along() {
    let (daemon, site) = (Daemon::start(&["--timeout", "600"]).await, Site::open().await);
    for accept in ["application/json", "application/x-ndjson"] {
        let body = json!({ "url": site.url("/held") }).to_string();
        let asked = tokio::spawn({
            let address = daemon.api();
            let headers = [JSON, ("accept", accept)];
            let request = request(Method::POST, "/v1/extract", &headers, body.into());
            async move { open(address, request).await.whole().await }
        });
        site.until_open("asked for", |open| open == 1).await;
        daemon.until("at work", |tree| tree["requests"] == 1).await;
        asked.abort();
        site.until_open("given up", |open| open == 0).await;
        daemon.until_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_takes_the_extraction_along() {
    let daemon = Daemon::start(&["--timeout", "600"]).await;
    let attributes: String = (0..600_000).map(|number| format!(" a{number}=1")).collect();
    let body = format!("<p{attributes}>");
    let asked = tokio::spawn({
        let address = daemon.api();
        let request = request(Method::POST, "/v1/extract", &[("content-type", "text/html")], body.into());
        async move { open(address, request).await.whole().await }
    });
    daemon.until("at work", |tree| super::daemon::works(&tree["tree"])).await;
    asked.abort();
    daemon.until_idle().await;
    let answer = daemon.post("/v1/extract", &json!({ "html": "<p>Some text." })).await;
    assert_eq!(answer.status, StatusCode::OK, "and the next one finds a worker: {}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_takes_the_rendering_along() {
    let (daemon, site) = (Daemon::start(&["--timeout", "600"]).await, Site::open().await);
    let render = &daemon.get("/v1/capabilities").await.json()["render"];
    if render["available"] != true {
        eprintln!("SKIPPED: {render}");
        return;
    }
    let body = json!({ "url": site.url("/restless"), "browser": { "wait": "selector:#never", "settle_cap_ms": 500_000 } });
    let asked = tokio::spawn({
        let address = daemon.api();
        let request = request(Method::POST, "/v1/render", &[JSON], body.to_string().into());
        async move { open(address, request).await.whole().await }
    });
    site.until_open("rendered", |open| open > 0).await;
    let pages = |tree: &Value| pool(&tree["tree"], "pages").expect("there is one").clone();
    daemon.until("at work", |tree| super::daemon::works(&pages(tree))).await;
    asked.abort();
    daemon.until_idle().await;
    site.until_open("left alone", |open| open == 0).await;
    let answer = daemon.post("/v1/render", &json!({ "url": site.url("/page") })).await;
    assert_eq!(answer.status, StatusCode::OK, "and the next one finds a browser: {}", answer.text());
}

/// As many as the daemon takes are at work, and stay there; all others are sent away while they do.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_too_many_are_sent_away_at_once() {
    let (daemon, site) = (Daemon::start(&["--timeout", "600"]).await, Site::open().await);
    let most = daemon.get("/v1/capabilities").await.json()["limits"]["requests"].as_u64().expect("a number");
    let all = most + 76;
    let mut asked = JoinSet::new();
    for number in 0..all {
        let body = json!({ "url": site.url(&format!("/held?n={number}")), "render": "never" }).to_string();
        let address = daemon.api();
        asked.spawn(async move { ask(address, Method::POST, "/v1/extract", &[JSON], body.into()).await });
    }
    for _ in most..all {
        let refused = asked.join_next().await.expect("there are some").expect("it is answered");
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
        let after: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!(after >= 1 && refused.json()["retry_after_ms"].is_u64(), "{}", refused.text());
    }
    assert!(asked.try_join_next().is_none(), "the others wait for their pages");
    // Operators come in by another door, and see that it is full.
    assert_eq!(daemon.tree().await["requests"], most);
    let ready = daemon.operators(Method::GET, "/readyz").await;
    assert_eq!((ready.status, &ready.json()["engine"]["room"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)));
    assert_eq!(daemon.operators(Method::GET, "/healthz").await.status, StatusCode::OK);
    site.until_open("all asked for", |open| open as u64 == most).await;
    site.release();
    let mut done = 0;
    while let Some(answer) = asked.join_next().await {
        let answer = answer.expect("it is answered");
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        done += 1;
    }
    assert_eq!(done, most);
    daemon.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_replaced_under_load_and_nothing_is_lost() {
    let daemon = Daemon::start(&["--workers", "2"]).await;
    let mut asked = JoinSet::new();
    for caller in 0..8 {
        let address = daemon.api();
        asked.spawn(async move {
            for number in 0..60 {
                let body = format!("<p>Caller {caller} has page {number}.");
                let answer = ask(address, Method::POST, "/v1/extract", &[("content-type", "text/html")], body.into()).await;
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                assert_eq!(answer.json()["document"]["text"], format!("Caller {caller} has page {number}."));
            }
        });
    }
    let mut ordered = 0;
    while !asked.is_empty() {
        for slot in 0..2 {
            let answer = daemon.operators(Method::POST, &format!("/admin/recycle/wasm/{slot}")).await;
            // One that is being replaced already is not replaced again.
            assert!(matches!(answer.status.as_u16(), 202 | 422), "{}", answer.text());
            ordered += u32::from(answer.status == StatusCode::ACCEPTED);
        }
        while let Some(done) = asked.try_join_next() {
            done.expect("every page is answered");
        }
    }
    assert!(ordered > 0);
    let recycles = |tree: &Value| {
        let counts = &pool(&tree["tree"], "wasm").expect("there is one")["counts"];
        (counts["recycles"].as_object().expect("a map").values().filter_map(Value::as_u64).sum::<u64>(), counts.clone())
    };
    let tree = daemon.until("replaced", |tree| recycles(tree).0 > 0).await;
    let counts = recycles(&tree).1;
    assert_eq!((&counts["jobs_lost"], &counts["restarts"]), (&json!(0), &json!({})), "{counts}");
    let nowhere = daemon.operators(Method::POST, "/admin/recycle/nothing/0").await;
    assert_eq!(nowhere.code(), "no_such_path");
    assert_eq!(daemon.operators(Method::POST, "/admin/recycle/wasm/99").await.code(), "semantics");
}

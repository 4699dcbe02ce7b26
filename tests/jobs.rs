//! What the daemon accepts now and does later: batches, crawls and single pages as jobs, that outlive their connection and the
//! daemon itself.
#![expect(clippy::expect_used, reason = "a test may fail")]

#[path = "jobs/daemon.rs"]
#[expect(unreachable_pub, reason = "a module of one test")]
mod daemon;
#[path = "jobs/hooks.rs"]
mod hooks;
#[path = "jobs/limits.rs"]
mod limits;
#[path = "jobs/site.rs"]
mod site;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Html;
use axum::routing::{get as route, post};
use base64::Engine as _;
use daemon::{Daemon, Lines, ask, call, check, events, expect, figures, follow, get, until};
use hooks::hmac;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use site::site;

const NDJSON: (&str, &str) = ("accept", "application/x-ndjson");
const LATER: (&str, &str) = ("prefer", "respond-async");

fn page(number: usize) -> Html<String> {
    Html(format!("<title>{number}</title><p>This is page number {number}, and it says so in a whole sentence."))
}

/// A site whose pages take their time.
fn slow() -> Router {
    Router::new().route(
        "/slow/{number}",
        route(|Path(number): Path<usize>| async move {
            tokio::time::sleep(Duration::from_millis(150)).await;
            page(number)
        }),
    )
}

/// A key of a file of keys, whose secret is its name.
fn key_named(name: &str) -> String {
    let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[key]]\nname = \"{name}\"\nsha256 = \"{hash}\"\n")
}

fn text(event: &Value) -> &str {
    event["answer"]["document"]["text"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_accepted_once_and_ends_once() {
    let state = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(state.path());
    let requests: Vec<_> = (0..6).map(|at| json!({ "html": format!("<p>This is item {at} of the batch.") })).collect();
    let body = json!({ "requests": requests });
    let key = [("idempotency-key", "one")];
    let accepted = call(&daemon, "POST", "/v1/batch", &key, &body).await;
    let job = accepted.job();
    assert!(!accepted.headers.contains_key("idempotency-replayed"));

    let all = events(&daemon, &job).await;
    let results: Vec<_> = all.iter().filter(|event| event["type"] == "result").collect();
    assert_eq!(results.len(), 6);
    for result in results {
        assert!(text(result).contains(&format!("This is item {} of", result["item"])), "{result}");
    }
    let end = all.last().expect("an end");
    assert_eq!((&end["state"], &end["totals"]["ok"], &end["totals"]["failed"]), (&json!("done"), &json!(6), &json!(0)));

    // The same again is the same job, whose end is known; another body is not.
    let again = call(&daemon, "POST", "/v1/batch", &key, &body).await;
    assert_eq!((again.job(), &again.headers["idempotency-replayed"]), (job.clone(), &"true".parse().expect("a value")));
    let other = call(&daemon, "POST", "/v1/batch", &key, &json!({ "urls": ["http://127.0.0.1:1/"] })).await;
    assert_eq!((other.status, &other.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_conflict")));

    // Reading on from the middle, in pages, and as a browser does.
    let rest = get(&daemon, &format!("/v1/jobs/{job}/results?limit=2")).await.json();
    assert_eq!((rest["results"].as_array().map(Vec::len), &rest["complete"]), (Some(2), &json!(false)));
    let rest = get(&daemon, &format!("/v1/jobs/{job}/results?after={}", rest["after"])).await.json();
    assert_eq!((rest["results"].as_array().map(Vec::len), &rest["complete"]), (Some(4), &json!(true)));
    let after =
        call(&daemon, "GET", &format!("/v1/jobs/{job}/events?after=7"), &[("accept", "text/event-stream")], &Value::Null).await;
    assert!(after.text.starts_with("retry: ") && after.text.contains("id: 8\nevent: end\ndata: {"), "{}", after.text);
    assert_eq!(after.text.matches("\nevent: ").count(), 1, "{}", after.text);

    let list = get(&daemon, "/v1/jobs?state=done").await.json();
    assert_eq!((&list["jobs"][0]["id"], &list["jobs"][0]["done_items"]), (&json!(job), &json!(6)));
    assert_eq!(get(&daemon, "/v1/jobs?state=running").await.json()["jobs"], json!([]));

    // What operators see: each thing once, and nothing for what was asked for again.
    let expected = [
        ("eventmesh_jobs{state=\"done\"}", 1.0),
        ("eventmesh_jobs{state=\"queued\"}", 0.0),
        ("eventmesh_jobs{state=\"running\"}", 0.0),
        ("eventmesh_jobs_oldest_wait_seconds", 0.0),
        ("eventmesh_jobs_ended_total{kind=\"batch\",outcome=\"done\"}", 1.0),
        ("eventmesh_jobs_ended_total{kind=\"crawl\",outcome=\"dead\"}", 0.0),
        ("eventmesh_jobs_refused_total{reason=\"conflict\"}", 1.0),
        ("eventmesh_jobs_refused_total{reason=\"queue_full\"}", 0.0),
        ("eventmesh_job_items_total{outcome=\"ok\"}", 6.0),
        ("eventmesh_job_items_total{outcome=\"failed\"}", 0.0),
        ("eventmesh_job_runs_lost_total", 0.0),
        ("eventmesh_item_retries_total{why=\"failed\"}", 0.0),
        ("eventmesh_webhooks_pending", 0.0),
        ("eventmesh_blob_bytes", 0.0),
    ];
    expect(&daemon, &expected).await;
    let figures = figures(&daemon).await;
    let of = |key: &str| *figures.get(key).unwrap_or_else(|| panic!("there is no {key}"));
    let (bytes, file) = (of("eventmesh_journal_bytes"), of("eventmesh_journal_file_bytes"));
    assert!(bytes > 0.0 && bytes < of("eventmesh_journal_limit_bytes") && file > 0.0, "{bytes}, {file}");
    // Accepted, claimed, begun, answered six times and ended; orders that come together share a commit.
    let (commits, orders) = (of("eventmesh_journal_commit_duration_seconds_count"), of("eventmesh_journal_orders_total"));
    assert!((5.0..=10.0).contains(&commits) && orders >= 10.0, "{commits} for {orders}");
    assert!(of("eventmesh_journal_commit_duration_seconds_sum") > 0.0);
}

/// Kills while batches come in and are worked on, HTML, PDFs and pages of a site; `EVENTMESH_KILLS` says how many.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_again_and_again_leaves_nothing_undone_and_nothing_behind() {
    let kills: usize = std::env::var("EVENTMESH_KILLS").map_or(8, |kills| kills.parse().expect("a number"));
    let (state, scratch) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let start =
        || Daemon::start_with(Some(state.path()), &[], &[("TMPDIR", scratch.path()), ("XDG_RUNTIME_DIR", scratch.path())]);
    let (address, _) = site(slow()).await;
    let pdf = base64::engine::general_purpose::STANDARD.encode(include_bytes!("../examples/sample.pdf"));
    let mut daemon = start();
    let mut jobs = Vec::new();
    for kill in 0..kills {
        let requests = json!([
            { "html": format!("<p>This is item 0 of batch {kill}.") },
            { "data": pdf },
            { "url": format!("{address}/slow/{kill}") },
            { "html": "<p>The last one." },
        ]);
        let key = format!("batch {kill}");
        let headers = [("idempotency-key", key.as_str())];
        let answer = call(&daemon, "POST", "/v1/batch", &headers, &json!({ "requests": requests })).await;
        jobs.push(answer.job());
        // At once, after the first answer, after the second and so on.
        let mut lines = follow(&daemon, &jobs[kill], 0).await;
        for _ in 0..kill % 5 {
            lines.next().await;
        }
        daemon.kill();
        daemon = start();
        let again = call(&daemon, "POST", "/v1/batch", &headers, &json!({ "requests": requests })).await;
        assert_eq!(again.job(), jobs[kill], "an accepted job is there");
    }
    for job in &jobs {
        let seen = events(&daemon, job).await;
        check(&seen);
        let end = seen.last().expect("an end");
        assert_eq!((&end["state"], &end["totals"]["ok"]), (&json!("done"), &json!(4)), "{seen:?}");
    }
    daemon.stop();
    let here = |pid: &std::path::Path| std::fs::read_link(pid.join("cwd")).is_ok_and(|cwd| cwd.starts_with(scratch.path()));
    let left = || std::fs::read_dir("/proc").expect("it is there").filter_map(Result::ok).any(|entry| here(&entry.path()));
    until("the end of all processes", async || !left()).await;
    let places = std::fs::read_dir(scratch.path()).expect("readable").filter_map(Result::ok);
    let behind: Vec<_> = places
        .flat_map(|place| std::fs::read_dir(place.path()).into_iter().flatten().filter_map(Result::ok))
        .filter(|entry| entry.path().is_dir())
        .collect();
    assert!(behind.is_empty(), "{behind:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_kills_the_daemon_every_job_ends_once_and_no_item_is_answered_twice() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, hits) = site(slow()).await;
    let mut daemon = Daemon::start(state.path());
    let urls: Vec<_> = (0..24).map(|at| format!("{address}/slow/{at}")).collect();
    let mut jobs = Vec::new();
    for name in ["a", "b", "c"] {
        let answer = call(&daemon, "POST", "/v1/batch", &[("idempotency-key", name)], &json!({ "urls": urls })).await;
        jobs.push((answer.job(), Vec::<Value>::new()));
    }
    for kill in 1..=5_usize {
        // Something more is done each time, and read up to there.
        for (job, seen) in &mut jobs {
            let mut lines = follow(&daemon, job, seen.len() as u64).await;
            let enough = (seen.len() + 3).min(kill * 4);
            while seen.len() < enough
                && let Some(event) = lines.next().await
            {
                seen.push(event);
            }
        }
        daemon.kill();
        daemon = Daemon::start(state.path());
        let again = call(&daemon, "POST", "/v1/batch", &[("idempotency-key", "a")], &json!({ "urls": urls })).await;
        assert_eq!((again.job(), again.headers.contains_key("idempotency-replayed")), (jobs[0].0.clone(), true));
    }
    for (job, seen) in &mut jobs {
        let mut lines = follow(&daemon, job, seen.len() as u64).await;
        while let Some(event) = lines.next().await {
            seen.push(event);
        }
        check(seen);
        assert_eq!(*seen, events(&daemon, job).await, "what was read in pieces is what there is");
        assert_eq!(seen.iter().filter(|event| event["type"] == "result").count(), 24);
        assert_eq!(seen.last().expect("an end")["totals"]["ok"], 24);
    }
    // At most what was at work at each kill was asked for again.
    assert!(hits.all() <= 24 * 3 + 5 * 32, "{}", hits.all());
    assert_eq!(get(&daemon, "/v1/jobs").await.json()["jobs"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_stop_gives_jobs_back_and_costs_no_run() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, hits) = site(slow()).await;
    let mut daemon = Daemon::start(state.path());
    let urls: Vec<_> = (0..40).map(|at| format!("{address}/slow/{at}")).collect();
    let job = call(&daemon, "POST", "/v1/batch", &[], &json!({ "urls": urls })).await.job();
    let mut lines = follow(&daemon, &job, 0).await;
    for _ in 0..3 {
        lines.next().await.expect("an event");
    }
    daemon.stop();
    // A reader is not held up, and not told of an end that there was not.
    let mut last = None;
    while let Some(event) = lines.next().await {
        last = Some(event);
    }
    assert!(last.is_none_or(|event| event["type"] != "end"));
    let daemon = Daemon::start(state.path());
    let all = events(&daemon, &job).await;
    assert_eq!(all.last().expect("an end")["totals"]["ok"], 40);
    assert_eq!(get(&daemon, &format!("/v1/jobs/{job}")).await.json()["attempts"], 0);
    expect(&daemon, &[("eventmesh_job_runs_lost_total", 0.0)]).await;
    // What was at work was finished before.
    assert_eq!(hits.each().values().max(), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_cancelled_until_it_has_ended() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, hits) = site(slow()).await;
    let daemon = Daemon::start(state.path());
    let urls: Vec<_> = (0..2_000).map(|at| format!("{address}/slow/{at}")).collect();
    let job = call(&daemon, "POST", "/v1/batch", &[], &json!({ "urls": urls })).await.job();
    let mut lines = follow(&daemon, &job, 0).await;
    lines.next().await.expect("it has begun");
    let path = format!("/v1/jobs/{job}");
    let cancelled = call(&daemon, "DELETE", &path, &[], &Value::Null).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (StatusCode::OK, &json!("cancelled")));
    assert_eq!(call(&daemon, "DELETE", &path, &[], &Value::Null).await.status, StatusCode::OK);
    let all = events(&daemon, &job).await;
    assert_eq!(all.last().expect("an end")["state"], "cancelled");
    // Nobody goes on with it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = hits.all();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(hits.all(), before);

    let done = call(&daemon, "POST", "/v1/batch", &[], &json!({ "requests": [{ "html": "<p>One." }] })).await.job();
    events(&daemon, &done).await;
    let late = call(&daemon, "DELETE", &format!("/v1/jobs/{done}"), &[], &Value::Null).await;
    assert_eq!((late.status, &late.json()["code"]), (StatusCode::CONFLICT, &json!("job_ended")));
    let unknown = get(&daemon, "/v1/jobs/00000000000000000000000000").await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (StatusCode::NOT_FOUND, &json!("no_such_job")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_page_can_be_had_later_or_waited_for() {
    let state = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(state.path());
    let body = json!({ "html": "<title>T</title><p>A page that is waited for." });
    let job = call(&daemon, "POST", "/v1/extract", &[LATER, ("idempotency-key", "k")], &body).await.job();
    assert_eq!(events(&daemon, &job).await.len(), 3);
    let waited = [("prefer", "respond-async, wait=60"), ("accept", "text/markdown"), ("idempotency-key", "k")];
    let plain = call(&daemon, "POST", "/v1/extract", &waited, &body).await;
    assert_eq!((plain.status, plain.text.trim()), (StatusCode::OK, "A page that is waited for."));
    assert_eq!(plain.headers["idempotency-replayed"], "true");
    let failing = json!({ "url": "http://127.0.0.1:1/" });
    let failed = call(&daemon, "POST", "/v1/extract", &[("prefer", "respond-async, wait=60")], &failing).await;
    assert_eq!((failed.status, &failed.json()["code"]), (StatusCode::BAD_GATEWAY, &json!("source_unreadable")));
    let sooner = call(&daemon, "POST", "/v1/extract", &[("idempotency-key", "x")], &body).await;
    assert_eq!(sooner.status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// Sixty pages that link in circles, a path that leads to itself for ever, a calendar without an end, and pages that move.
fn maze() -> Router {
    let link = |to: usize| format!("<a href=/p/{to}#part>Page {to}</a> <a href=/p/{to}?>again</a> ");
    let maze = move |Path(number): Path<usize>| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let links: String =
            [number * 2 + 1, number * 2 + 2, number / 2, number].into_iter().filter(|to| *to < 50).map(link).collect();
        Html(format!(
            "<title>{number}</title><p>This is page {number} of a maze. {links}<a href=/trap/in/>in</a> <a href=/moved/{number}>m</a> \
             <a href=/calendar?day={number}>day</a> <a href=/secret rel=nofollow>s</a> <a href=http://127.0.0.2:9/>away</a>"
        ))
    };
    Router::new()
        .route("/p/{number}", route(maze))
        .route("/map/{number}", route(|Path(number): Path<usize>| async move { page(number) }))
        .route("/trap/{*rest}", route(|| async { Html("<p>Deeper and deeper it goes.<a href=in/>in</a>") }))
        .route("/moved/{number}", route(|| async { axum::response::Redirect::permanent("/p/0") }))
        .route(
            "/sitemap.xml",
            route(|headers: HeaderMap| async move {
                let host = headers["host"].to_str().expect("a name").to_owned();
                let pages: String = (50..60).map(|at| format!("<url><loc>http://{host}/map/{at}</loc></url>")).collect();
                format!("<?xml version=\"1.0\"?><urlset>{pages}</urlset>")
            }),
        )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_goes_on_where_it_was_and_fetches_nothing_again_that_it_has() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, hits) = site(maze()).await;
    let mut daemon = Daemon::start(state.path());
    let body =
        json!({ "url": format!("{address}/p/0"), "max_pages": 500, "max_depth": 12, "exclude": ["/calendar**", "/moved/1*"] });
    let job = call(&daemon, "POST", "/v1/crawl", &[], &body).await.job();
    // Pages that are done, and how often each had been asked for by then.
    let mut done = HashMap::new();
    let mut seen = 0;
    for _ in 0..2 {
        let mut lines = follow(&daemon, &job, seen).await;
        for _ in 0..12 {
            let event = lines.next().await.expect("it goes on");
            seen += 1;
            assert_ne!(event["type"], "end", "it was to be interrupted");
            if event["answer"].is_object() {
                let path = event["url"].as_str().and_then(|url| url.strip_prefix(&*address)).expect("of this site").to_owned();
                let hits = hits.of(&path);
                done.insert(path, hits);
            }
        }
        daemon.kill();
        daemon = Daemon::start(state.path());
    }
    assert!(done.len() > 10, "{done:?}");
    let all = events(&daemon, &job).await;
    let end = all.last().expect("an end");
    assert_eq!((&end["state"], &end["totals"]["failed"]), (&json!("done"), &json!(0)), "{end}");
    let pages: HashSet<_> =
        all.iter().filter(|event| event["answer"].is_object()).filter_map(|event| event["url"].as_str()).collect();
    for number in 0..60 {
        let path = if number < 50 { format!("/p/{number}") } else { format!("/map/{number}") };
        assert!(pages.contains(&*format!("{address}{path}")), "{path}");
    }
    for path in hits.each().keys() {
        assert!(!path.starts_with("/calendar") && path != "/secret" && !path.starts_with("/moved/1"), "{path}");
    }
    assert!(pages.iter().filter(|page| page.contains("/trap/")).count() <= 4, "{pages:?}");
    // Pages that moved are another's; their content is there once.
    let skipped: Vec<_> = all.iter().filter(|event| event["skipped"] == "duplicate").collect();
    assert!(skipped.iter().all(|event| event["found_at"] == format!("{address}/p/0")) && !skipped.is_empty());
    for (path, before) in &done {
        // Those that moved there ask for the first page, too.
        assert!(path == "/p/0" || hits.of(path) == *before, "{path} was asked for again");
    }
    assert_eq!(hits.of("/sitemap.xml"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_goes_where_its_first_page_leads_and_reads_the_sitemaps_that_its_robots_txt_names() {
    let host = |headers: &HeaderMap| headers["host"].to_str().expect("a name").to_owned();
    let there = Router::new()
        .route(
            "/",
            route(|| async { Html("<p>The first page of a site, with a link to another one. <a href=/linked>Linked</a>") }),
        )
        .route("/linked", route(|| async { page(1) }))
        .route("/mapped", route(|| async { page(2) }))
        .route("/map.txt", route(move |headers: HeaderMap| async move { format!("http://{}/mapped\n", host(&headers)) }))
        .route(
            "/robots.txt",
            route(move |headers: HeaderMap| async move {
                format!("Sitemap: http://{}/map.txt\nSitemap: http://127.0.0.2:9/map.txt\n", host(&headers))
            }),
        );
    let (there, hits) = site(there).await;
    let first = format!("{there}/");
    let moved = Router::new().route("/", route(move || async move { axum::response::Redirect::permanent(&first) }));
    let (here, _) = site(moved).await;
    let state = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(state.path());
    let job = call(&daemon, "POST", "/v1/crawl", &[], &json!({ "url": format!("{here}/") })).await.job();
    let all = events(&daemon, &job).await;
    let end = all.last().expect("an end");
    assert_eq!(
        (&end["state"], &end["totals"]["ok"], &end["totals"]["skipped"]),
        (&json!("done"), &json!(3), &json!(0)),
        "{all:?}"
    );
    let seed = all.iter().find(|event| event["item"] == 0).expect("the first page");
    assert_eq!((&seed["url"], &seed["found_at"]), (&json!(format!("{here}/")), &json!(format!("{there}/"))));
    for path in ["/linked", "/mapped"] {
        assert!(
            all.iter().any(|event| event["answer"].is_object() && event["url"] == format!("{there}{path}")),
            "{path}: {all:?}"
        );
        assert_eq!(hits.of(path), 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_tells_of_the_end_signed_and_once() {
    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
    let taken = Arc::new(AtomicUsize::new(0));
    let refused = Arc::new(AtomicUsize::new(0));
    let (send, mut received) = tokio::sync::mpsc::channel(16);
    let hook = {
        let (taken, refused) = (Arc::clone(&taken), Arc::clone(&refused));
        move |headers: HeaderMap, body: Bytes| async move {
            // The first try fails.
            if refused.fetch_add(1, Ordering::SeqCst) == 0 {
                return StatusCode::INTERNAL_SERVER_ERROR;
            }
            taken.fetch_add(1, Ordering::SeqCst);
            send.send((headers, body)).await.expect("somebody listens");
            StatusCode::NO_CONTENT
        }
    };
    let (address, _) = site(Router::new().route("/hook", post(hook))).await;
    let state = tempfile::tempdir().expect("a directory");
    let mut daemon = Daemon::start(state.path());
    let secret = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(KEY));
    let webhook = json!({ "url": format!("{address}/hook"), "secret": secret });
    let body = json!({ "requests": [{ "html": "<p>One." }], "webhook": webhook });
    let job = call(&daemon, "POST", "/v1/batch", &[], &body).await.job();
    // Killed between the end and the second try, it is sent all the same.
    until("the first try", || std::future::ready(refused.load(Ordering::SeqCst) > 0)).await;
    daemon.kill();
    let daemon = Daemon::start(state.path());
    let (headers, body) = received.recv().await.expect("it comes");
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    assert_eq!(header("webhook-id"), format!("msg_{job}"));
    let signed = [header("webhook-id"), header("webhook-timestamp"), String::from_utf8(body.to_vec()).expect("text")].join(".");
    let signature = base64::engine::general_purpose::STANDARD.encode(hmac(KEY, signed.as_bytes()));
    assert_eq!(header("webhook-signature"), format!("v1,{signature}"));
    let told: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((&told["type"], &told["data"]["id"]), (&json!("job.done"), &json!(job)));
    let path = format!("/v1/jobs/{job}");
    until("that it is delivered", || async { get(&daemon, &path).await.json()["webhook"] == "delivered" }).await;
    let sent =
        [("eventmesh_webhooks_total{outcome=\"delivered\"}", 1.0), ("eventmesh_webhooks_total{outcome=\"given_up\"}", 0.0)];
    expect(&daemon, &sent).await;
    expect(&daemon, &[("eventmesh_webhooks_pending", 0.0)]).await;
    drop(daemon);
    let daemon = Daemon::start(state.path());
    assert_eq!(get(&daemon, &path).await.json()["webhook"], "delivered");
    assert_eq!(taken.load(Ordering::SeqCst), 1);

    let inside = json!({ "requests": [{ "html": "x" }], "webhook": { "url": "http://10.0.0.1/hook" } });
    let refused = call(&daemon, "POST", "/v1/batch", &[], &inside).await;
    assert_eq!(
        (refused.status, &refused.json()["errors"][0]["pointer"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("/webhook/url"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_reading_holds_the_work_back_and_loses_nothing() {
    const PAGES: usize = 60;
    let large =
        || async { Html(format!("<title>L</title><article>{}</article>", "<p>A large page has much to say.".repeat(40_000))) };
    let (address, hits) = site(Router::new().route("/large/{number}", route(large))).await;
    let state = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(state.path());
    let urls: Vec<_> = (0..PAGES).map(|at| format!("{address}/large/{at}")).collect();
    let mut lines = Lines::new(ask(&daemon, "POST", "/v1/batch", &[NDJSON], &json!({ "urls": urls })).await);
    let first = lines.next().await.expect("the first answer");
    // Nothing is read until the work has come to a rest.
    let mut before = 0;
    until("a rest", || {
        let now = hits.all();
        let rests = std::mem::replace(&mut before, now) == now;
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            rests
        }
    })
    .await;
    assert!(hits.all() < PAGES / 2, "{} pages were asked for, and one was read", hits.all());
    let mut items = vec![first["item"].as_u64().expect("an item")];
    let end = loop {
        let event = lines.next().await.expect("it goes on to its end");
        match event["item"].as_u64() {
            Some(item) => items.push(item),
            None => break event,
        }
    };
    items.sort_unstable();
    assert_eq!(items, (0..PAGES as u64).collect::<Vec<_>>());
    assert_eq!((&end["type"], &end["totals"]["ok"]), (&json!("end"), &json!(PAGES)));
    assert!(lines.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_too_large_for_the_journal_are_there_all_the_same() {
    let state = tempfile::tempdir().expect("a directory");
    let mut daemon = Daemon::start(state.path());
    let html = format!("<title>L</title><article>{}</article>", "<p>A page that is larger than an event.".repeat(80_000));
    let (address, _) = site(Router::new().route("/large", route(move || async move { Html(html) }))).await;
    let job = call(&daemon, "POST", "/v1/batch", &[], &json!({ "urls": [format!("{address}/large")] })).await.job();
    let all = events(&daemon, &job).await;
    let answer = all.iter().find(|event| event["type"] == "result").expect("an answer");
    assert!(text(answer).len() > 2 << 20 && answer.get("kept").is_none());
    let files = || std::fs::read_dir(state.path().join("blobs").join(&job)).map_or(0, Iterator::count);
    assert_eq!(files(), 1);
    // What belongs to no job is gone after the next start.
    let orphan = state.path().join("blobs").join("00000000000000000000000000");
    std::fs::create_dir(&orphan).expect("is made");
    daemon.stop();
    let daemon = Daemon::start(state.path());
    until("the sweep", || std::future::ready(!orphan.exists())).await;
    assert_eq!((files(), events(&daemon, &job).await), (1, all));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_sees_its_own_jobs_only() {
    let state = tempfile::tempdir().expect("a directory");
    let keys = state.path().join("keys.toml");
    std::fs::write(&keys, key_named("ann") + &key_named("bob")).expect("writes");
    let daemon = Daemon::start_with(Some(&state.path().join("jobs")), &["--keys", keys.to_str().expect("text")], &[]);
    let (ann, bob) = (("x-api-key", "ann"), ("x-api-key", "bob"));
    let body = json!({ "requests": [{ "html": "<p>One." }] });
    let key = ("idempotency-key", "same");
    let job = call(&daemon, "POST", "/v1/batch", &[ann, key], &body).await.job();
    let theirs = call(&daemon, "POST", "/v1/batch", &[bob, key], &body).await.job();
    assert_ne!(job, theirs, "keys of two owners are two");
    for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/results")] {
        let path = format!("/v1/jobs/{job}{path}");
        assert_eq!(call(&daemon, method, &path, &[bob], &Value::Null).await.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(call(&daemon, method, &path, &[], &Value::Null).await.status, StatusCode::UNAUTHORIZED);
    }
    let list = call(&daemon, "GET", "/v1/jobs", &[bob], &Value::Null).await.json();
    assert_eq!((list["jobs"].as_array().map(Vec::len), &list["jobs"][0]["id"]), (Some(1), &json!(theirs)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_directory_there_are_no_jobs_and_everything_else() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let daemon = Daemon::start_with(None, &[], &[("XDG_STATE_HOME", file.path()), ("STATE_DIRECTORY", std::path::Path::new(""))]);
    let body = json!({ "requests": [{ "html": "<p>One." }, { "url": "http://10.0.0.1/" }] });
    let refused = call(&daemon, "POST", "/v1/batch", &[], &body).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::NOT_IMPLEMENTED, &json!("no_jobs")));
    assert_eq!(get(&daemon, "/v1/jobs").await.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(get(&daemon, "/v1/capabilities").await.json()["jobs"]["available"], false);
    let streamed = call(&daemon, "POST", "/v1/batch", &[NDJSON], &body).await;
    let lines: Vec<Value> = streamed.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[2]["type"], &lines[2]["totals"]["ok"], &lines[2]["totals"]["failed"]),
        (&json!("end"), &json!(1), &json!(1))
    );
}

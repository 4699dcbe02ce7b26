//! Where jobs have their limits: time, room, runs, and for how long they are kept. Each is made small, and what happens there is
//! waited for.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get as route;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::daemon::{Answer, Daemon, Lines, call, events, follow, get, until};
use super::hooks::{next, receiver, webhook};
use super::site::site;
use super::{LATER, NDJSON, key_named, page, text};

/// A daemon with settings.
fn limited(state: &FilePath, settings: &[(&str, &str)]) -> Daemon {
    let environment: Vec<_> = settings.iter().map(|(name, value)| (*name, FilePath::new(*value))).collect();
    Daemon::start_with(Some(state), &[], &environment)
}

/// A site, some of whose pages come when they are let.
async fn held_site() -> (String, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let held = {
        let gate = Arc::clone(&gate);
        move |Path(number): Path<usize>| async move {
            let _passed = gate.acquire().await.expect("it is never closed");
            page(number)
        }
    };
    let large =
        || async { Html(format!("<title>L</title><article>{}</article>", "<p>A large page has much to say.".repeat(40_000))) };
    let index =
        || async { Html("<title>I</title><p>Here it begins, as a whole sentence says. It leads to <a href=/held/9>page 9</a>.") };
    let router = Router::new().route("/held/{number}", route(held)).route("/large", route(large)).route("/index", route(index));
    (site(router).await.0, gate)
}

async fn submit(daemon: &Daemon, headers: &[(&str, &str)], body: &Value) -> Answer {
    call(daemon, "POST", "/v1/batch", headers, body).await
}

/// Reads events up to the first result, and returns that.
async fn first_result(lines: &mut Lines) -> Value {
    loop {
        let event = lines.next().await.expect("it goes on");
        if event["type"] == "result" {
            return event;
        }
    }
}

/// There is no room for a job, and that is said as it should be.
async fn is_sent_away(daemon: &Daemon, body: &Value) {
    let answer = submit(daemon, &[], body).await;
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("queue_full")), "{problem}");
    assert_eq!((&problem["type"], &problem["retryable"]), (&json!("/problems/queue_full"), &json!(true)));
    assert_eq!((&problem["retry_after_ms"], &answer.headers["retry-after"]), (&json!(5_000), &"5".parse().expect("a value")));
    assert_eq!(answer.headers["content-type"], "application/problem+json");
}

/// Whoever asks again for a job that was accepted is told of it, however full it is.
async fn is_known(daemon: &Daemon, key: &str, body: &Value, job: &str) {
    let again = submit(daemon, &[("idempotency-key", key)], body).await;
    assert_eq!(again.job(), job);
    assert_eq!(again.headers["idempotency-replayed"], "true");
}

/// Waits until a job is accepted.
async fn until_taken(daemon: &Daemon, body: &Value) {
    until("room", || async { submit(daemon, &[], body).await.status == StatusCode::ACCEPTED }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_time_is_over_ends_once_and_keeps_what_was_done() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, gate) = held_site().await;
    let start = || limited(state.path(), &[("EVENTMESH__JOBS__DEADLINE", "4s")]);
    let mut daemon = start();
    let held = |number: usize| json!({ "url": format!("{address}/held/{number}") });
    let requests = json!([{ "html": "<p>The first one." }, held(1), { "html": "<p>The last one." }, held(2)]);
    // They would like to have more time than there is.
    let batch = submit(&daemon, &[], &json!({ "requests": requests, "deadline_ms": 3_600_000 })).await.job();
    let body = json!({ "url": format!("{address}/index"), "sitemap": false, "max_time_ms": 3_600_000 });
    let crawl = call(&daemon, "POST", "/v1/crawl", &[], &body).await.job();

    let batched = events(&daemon, &batch).await;
    let end = batched.last().expect("an end");
    let problem = &end["problem"];
    assert_eq!((&end["state"], &problem["code"], &problem["status"]), (&json!("failed"), &json!("deadline"), &json!(504)));
    assert_eq!(end["totals"], json!({ "ok": 2, "failed": 0, "skipped": 0, "left": 2 }), "{end}");
    let view = get(&daemon, &format!("/v1/jobs/{batch}")).await.json();
    assert_eq!((&view["state"], &view["done_items"], &view["attempts"]), (&json!("failed"), &json!(2), &json!(0)));
    let results = get(&daemon, &format!("/v1/jobs/{batch}/results")).await.json();
    assert_eq!((results["results"].as_array().map(Vec::len), &results["complete"]), (Some(2), &json!(true)));
    // A crawl has what it has found by then.
    let crawled = events(&daemon, &crawl).await;
    let end = crawled.last().expect("an end");
    assert_eq!((&end["state"], end.get("problem")), (&json!("done"), None));
    assert_eq!(end["totals"], json!({ "ok": 1, "failed": 0, "skipped": 0, "left": 1 }), "{end}");

    // The pages come after all, and another daemon: both are over.
    gate.add_permits(1);
    daemon.kill();
    daemon = start();
    for (job, before) in [(&batch, batched), (&crawl, crawled)] {
        assert_eq!(events(&daemon, job).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sends_away_and_takes_again_when_there_is_room() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, gate) = held_site().await;
    let daemon = limited(state.path(), &[("EVENTMESH__JOBS__AT_ONCE", "1"), ("EVENTMESH__QUEUE__MAX_QUEUED", "1")]);
    let body = json!({ "urls": [format!("{address}/held/1")] });
    let running = submit(&daemon, &[], &body).await.job();
    follow(&daemon, &running, 0).await.next().await.expect("it has begun");
    let queued = submit(&daemon, &[("idempotency-key", "queued")], &body).await.job();
    is_sent_away(&daemon, &body).await;
    is_known(&daemon, "queued", &body, &queued).await;
    gate.add_permits(1);
    for job in [running, queued] {
        assert_eq!(events(&daemon, &job).await.last().expect("an end")["state"], "done");
    }
    let taken = submit(&daemon, &[], &body).await.job();
    assert_eq!(events(&daemon, &taken).await.last().expect("an end")["state"], "done");
}

/// One key had long jobs in all places, and the short one of another waited for hours.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_never_has_all_places() {
    let state = tempfile::tempdir().expect("a directory");
    let keys = state.path().join("keys.toml");
    std::fs::write(&keys, key_named("ann") + &key_named("bob")).expect("writes");
    let (address, gate) = held_site().await;
    let settings = [("EVENTMESH__JOBS__AT_ONCE", "2"), ("EVENTMESH__DAEMON__KEYS", keys.to_str().expect("text"))];
    let daemon = limited(&state.path().join("jobs"), &settings);
    let (ann, bob) = (("x-api-key", "ann"), ("x-api-key", "bob"));
    let (daemon, address) = (&daemon, &address);
    let long = |number: usize| async move {
        submit(daemon, &[ann], &json!({ "urls": [format!("{address}/held/{number}")] })).await.job()
    };
    let state_of = |job: String, key| async move {
        call(daemon, "GET", &format!("/v1/jobs/{job}"), &[key], &Value::Null).await.json()["state"].clone()
    };
    let (first, second) = (long(1).await, long(2).await);
    until("its first job", || async { state_of(first.clone(), ann).await == "running" }).await;
    let short = submit(daemon, &[bob], &json!({ "requests": [{ "html": "<p>One." }] })).await.job();
    until("the short job's end", || async { state_of(short.clone(), bob).await == "done" }).await;
    assert_eq!((state_of(first.clone(), ann).await, state_of(second.clone(), ann).await), (json!("running"), json!("queued")));
    gate.add_permits(1);
    for job in [first, second] {
        until("the end of a long job", || async { state_of(job.clone(), ann).await == "done" }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_sends_away_and_what_has_ended_makes_room() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, gate) = held_site().await;
    // One of these jobs is most of it.
    let daemon = limited(state.path(), &[("EVENTMESH__QUEUE__MAX_JOURNAL_BYTES", "4KiB")]);
    let padded = format!("<p>One.<!--{}-->", "x".repeat(2_800));
    let body = json!({ "requests": [{ "url": format!("{address}/held/1") }, { "html": padded }] });
    let first = submit(&daemon, &[("idempotency-key", "first")], &body).await.job();
    is_sent_away(&daemon, &body).await;
    is_known(&daemon, "first", &body, &first).await;
    // What was accepted goes on, also beyond the limit.
    gate.add_permits(1);
    let end = events(&daemon, &first).await.pop().expect("an end");
    assert_eq!((&end["state"], &end["totals"]["ok"]), (&json!("done"), &json!(2)));
    until_taken(&daemon, &body).await;
    assert_eq!(get(&daemon, &format!("/v1/jobs/{first}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_may_fill_their_place_and_then_there_is_no_new_job_until_they_are_forgotten() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, gate) = held_site().await;
    let settings = [
        ("EVENTMESH__QUEUE__MAX_EVENT_BYTES", "2MiB"),
        ("EVENTMESH__QUEUE__KEEP_ENDED", "1s"),
        ("EVENTMESH__JOBS__MAX_BLOB_BYTES", "1"),
    ];
    let daemon = limited(state.path(), &settings);
    let body = json!({ "urls": [format!("{address}/large"), format!("{address}/held/1")] });
    let small = json!({ "requests": [{ "html": "<p>One." }] });
    let key = [("idempotency-key", "large")];
    let job = submit(&daemon, &key, &body).await.job();
    let mut lines = follow(&daemon, &job, 0).await;
    let answer = first_result(&mut lines).await;
    assert!(text(&answer).len() > 1 << 20, "it is there although it is too large for the journal");
    let place = state.path().join("blobs").join(&job);
    assert_eq!(std::fs::read_dir(&place).expect("it is there").count(), 1);
    is_sent_away(&daemon, &small).await;
    is_known(&daemon, "large", &body, &job).await;
    let other = submit(&daemon, &key, &small).await;
    assert_eq!((other.status, &other.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_conflict")));
    // What was accepted goes on.
    gate.add_permits(1);
    let mut last = Value::Null;
    while let Some(event) = lines.next().await {
        last = event;
    }
    assert_eq!((&last["state"], &last["totals"]["ok"]), (&json!("done"), &json!(2)));
    until_taken(&daemon, &small).await;
    assert!(!place.exists());
    assert_eq!(get(&daemon, &format!("/v1/jobs/{job}")).await.status, StatusCode::NOT_FOUND);
    let again = submit(&daemon, &key, &body).await;
    assert!(again.job() != job && !again.headers.contains_key("idempotency-replayed"), "its key is forgotten with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_forgotten_in_time_with_all_that_belongs_to_it() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, gate) = held_site().await;
    let settings = [("EVENTMESH__QUEUE__MAX_EVENT_BYTES", "2MiB"), ("EVENTMESH__QUEUE__KEEP_ENDED", "1s")];
    let daemon = limited(state.path(), &settings);
    let (hook, mut told) = receiver(StatusCode::NO_CONTENT).await;
    let body = json!({ "urls": [format!("{address}/large")], "webhook": webhook(&hook) });
    let ended = submit(&daemon, &[], &body).await.job();
    // One that has not ended is kept, however old it is.
    let living = submit(&daemon, &[], &json!({ "urls": [format!("{address}/held/1")] })).await.job();
    assert_eq!(next(&mut told).await.read()["data"]["state"], "done");
    let places = ["blobs", "webhooks"].map(|place| state.path().join(place).join(&ended));
    let path = format!("/v1/jobs/{ended}");
    until("that it is forgotten", || async { get(&daemon, &path).await.status == StatusCode::NOT_FOUND }).await;
    until("that its files are gone", || std::future::ready(places.iter().all(|place| !place.exists()))).await;
    for path in [format!("{path}/events"), format!("{path}/results")] {
        let gone = get(&daemon, &path).await;
        assert_eq!((gone.status, &gone.json()["code"]), (StatusCode::NOT_FOUND, &json!("no_such_job")), "{path}");
    }
    let list = get(&daemon, "/v1/jobs").await.json();
    assert_eq!((list["jobs"].as_array().map(Vec::len), &list["jobs"][0]["id"]), (Some(1), &json!(living)));
    gate.add_permits(1);
    assert_eq!(events(&daemon, &living).await.last().expect("an end")["type"], "end");
}

type Headers = &'static [(&'static str, &'static str)];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_a_job_may_be_is_refused_by_name() {
    let state = tempfile::tempdir().expect("a directory");
    let settings =
        [("EVENTMESH__JOBS__MAX_ITEMS", "2"), ("EVENTMESH__JOBS__MAX_PAGES", "2"), ("EVENTMESH__QUEUE__MAX_SPEC_BYTES", "1KiB")];
    let daemon = limited(state.path(), &settings);
    let url = "http://127.0.0.1:1/";
    let item = json!({ "html": "<p>One." });
    let many: [(&str, Headers, Value, &str, &str); 4] = [
        ("/v1/batch", &[], json!({ "urls": [url, url, url] }), "/urls", "2 pages at most"),
        ("/v1/batch", &[], json!({ "requests": [item, item, item] }), "/requests", "2 pages at most"),
        // What is streamed is no job, and has the same limit.
        ("/v1/batch", &[NDJSON], json!({ "urls": [url, url, url] }), "/urls", "2 pages at most"),
        ("/v1/crawl", &[], json!({ "url": url, "max_pages": 3 }), "/max_pages", "1 to 2"),
    ];
    for (path, headers, body, pointer, said) in many {
        let answer = call(&daemon, "POST", path, headers, &body).await;
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("semantics")), "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{problem}");
    }
    let large = json!({ "html": format!("<p>{}", "One. ".repeat(400)) });
    let long: [(&str, Headers, Value); 2] =
        [("/v1/batch", &[], json!({ "requests": [large] })), ("/v1/extract", &[LATER], large)];
    for (path, headers, body) in long {
        let answer = call(&daemon, "POST", path, headers, &body).await;
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large")), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("the spec") && detail.contains("1024")));
    }
    assert_eq!(get(&daemon, "/v1/jobs").await.json()["jobs"], json!([]), "nothing of it was accepted");
    let fits = submit(&daemon, &[], &json!({ "requests": [item, item] })).await.job();
    assert_eq!(events(&daemon, &fits).await.last().expect("an end")["totals"]["ok"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_costs_too_many_runs_is_dead_and_its_webhook_says_so() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, _gate) = held_site().await;
    let (hook, mut told) = receiver(StatusCode::NO_CONTENT).await;
    let start = || limited(state.path(), &[("EVENTMESH__QUEUE__MAX_ATTEMPTS", "2")]);
    let mut daemon = start();
    let requests = json!([{ "html": "<p>One." }, { "url": format!("{address}/held/1") }]);
    let job = submit(&daemon, &[], &json!({ "requests": requests, "webhook": webhook(&hook) })).await.job();
    let path = format!("/v1/jobs/{job}");
    first_result(&mut follow(&daemon, &job, 0).await).await;
    for lost in 0..2 {
        until("a run", || async {
            let view = get(&daemon, &path).await.json();
            view["state"] == "running" && view["attempts"] == lost
        })
        .await;
        daemon.kill();
        daemon = start();
    }
    let letter = next(&mut told).await;
    let said = letter.read();
    assert_eq!((&said["type"], letter.id()), (&json!("job.dead"), &*format!("msg_{job}")));
    assert_eq!((&said["data"]["id"], &said["data"]["state"]), (&json!(job), &json!("dead")));
    assert_eq!((&said["data"]["attempts"], &said["data"]["done_items"]), (&json!(2), &json!(1)));
    until("that it is delivered", || async { get(&daemon, &path).await.json()["webhook"] == "delivered" }).await;
    let all = events(&daemon, &job).await;
    assert_eq!(all.last().expect("an end")["state"], "dead");
    assert_eq!(all.iter().filter(|event| event["type"] == "result").count(), 1, "what was done is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_nobody_takes_is_given_up_and_holds_nothing_up() {
    let state = tempfile::tempdir().expect("a directory");
    let tries = [("EVENTMESH__JOBS__WEBHOOK_TRIES", "5")];
    let mut daemon = limited(state.path(), &tries);
    let (deaf, mut refused) = receiver(StatusCode::INTERNAL_SERVER_ERROR).await;
    let (gone, mut unwanted) = receiver(StatusCode::GONE).await;
    let (fine, mut taken) = receiver(StatusCode::NO_CONTENT).await;
    let mut jobs = Vec::new();
    for hook in [&deaf, &gone, &fine] {
        let body = json!({ "requests": [{ "html": "<p>One." }], "webhook": webhook(hook) });
        jobs.push(submit(&daemon, &[], &body).await.job());
    }
    for job in &jobs {
        assert_eq!(events(&daemon, job).await.last().expect("an end")["state"], "done");
    }
    assert_eq!(next(&mut taken).await.read()["data"]["id"], json!(jobs[2]));
    let expected = ["given_up", "given_up", "delivered"];
    for (job, expected) in jobs.iter().zip(expected) {
        let path = format!("/v1/jobs/{job}");
        until("what becomes of it", || async { get(&daemon, &path).await.json()["webhook"] == expected }).await;
    }
    // Each try is the same message, and can be known by its name.
    for _ in 0..5 {
        let letter = next(&mut refused).await;
        assert_eq!((&letter.read()["type"], letter.id()), (&json!("job.done"), &*format!("msg_{}", jobs[0])));
    }
    assert!(refused.try_recv().is_err(), "five tries are all");
    // Whoever says that it is gone is asked once.
    next(&mut unwanted).await;
    assert!(unwanted.try_recv().is_err());
    // All this is known to the next daemon, too.
    daemon.stop();
    let daemon = Daemon::start(state.path());
    for (job, expected) in jobs.iter().zip(expected) {
        let view = get(&daemon, &format!("/v1/jobs/{job}")).await.json();
        assert_eq!((&view["state"], &view["webhook"]), (&json!("done"), &json!(expected)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_that_is_deleted_keeps_its_answers_makes_room_and_tells_of_its_end() {
    let state = tempfile::tempdir().expect("a directory");
    let (address, _gate) = held_site().await;
    let (hook, mut told) = receiver(StatusCode::NO_CONTENT).await;
    let daemon = limited(state.path(), &[("EVENTMESH__JOBS__AT_ONCE", "1")]);
    let requests = json!([{ "html": "<p>One." }, { "url": format!("{address}/held/1") }]);
    let job = submit(&daemon, &[], &json!({ "requests": requests, "webhook": webhook(&hook) })).await.job();
    let mut lines = follow(&daemon, &job, 0).await;
    first_result(&mut lines).await;
    let waits = submit(&daemon, &[], &json!({ "requests": [{ "html": "<p>The next one." }] })).await.job();
    let path = format!("/v1/jobs/{job}");
    let cancelled = call(&daemon, "DELETE", &path, &[], &Value::Null).await;
    let view = cancelled.json();
    assert_eq!((cancelled.status, &view["state"], &view["done_items"]), (StatusCode::OK, &json!("cancelled"), &json!(1)));
    let end = lines.next().await.expect("an end");
    assert_eq!((&end["type"], &end["state"]), (&json!("end"), &json!("cancelled")));
    assert!(lines.next().await.is_none());
    let said = next(&mut told).await.read();
    assert_eq!((&said["type"], &said["data"]["state"]), (&json!("job.cancelled"), &json!("cancelled")));
    // Its page has never come, and yet the next job is done.
    assert_eq!(events(&daemon, &waits).await.last().expect("an end")["state"], "done");
    let before = events(&daemon, &job).await;
    assert_eq!(call(&daemon, "DELETE", &path, &[], &Value::Null).await.status, StatusCode::OK);
    assert_eq!(events(&daemon, &job).await, before);
    let results = get(&daemon, &format!("{path}/results")).await.json();
    assert_eq!((results["results"].as_array().map(Vec::len), &results["complete"]), (Some(1), &json!(true)));
}

//! Pages through an engine, with a real browser. Without one these tests are skipped, and say so.

#![expect(clippy::expect_used, reason = "a test may fail")]

#[path = "browser/host.rs"]
mod host;
#[expect(unreachable_pub, reason = "it is public where it is a library")]
#[path = "../chaos-tests/src/pages.rs"]
mod pages;

use std::time::Duration;

use eventmesh::render::{Action, RenderOptions, Rendered, Retirement, SettleReason, Status, Wait};
use eventmesh::{Chunk, Config, Error, ErrorKind, RenderMode, Request};
use host::Host;
use pages::Pages;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// `None` without a browser.
async fn start(change: impl FnOnce(&mut Config)) -> Option<Host<Pages>> {
    let pages = Pages::open().await.expect("a site");
    let at = pages.url("");
    Host::start(pages, at, change).await
}

fn complete(rendered: &Rendered) -> bool {
    rendered.html.contains("id=\"done\"") && rendered.html.contains("COMPLETE")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_complete_when_it_has_settled() {
    let Some(host) = start(|_| {}).await else { return };
    let mut incomplete = Vec::new();
    for (name, _) in pages::SETTLING.iter().chain(&[("streaming", "")]) {
        let answer = host.answer(name, RenderOptions::default()).await.expect(name);
        let rendered = answer.rendered.expect("it was rendered");
        if !complete(&rendered) || rendered.settled.reason == SettleReason::Cap {
            incomplete.push((name, rendered.settled));
        }
        assert!(
            answer.document.text.contains("A page") || answer.document.text.contains("Paragraph"),
            "{name}: {}",
            answer.document.text
        );
    }
    assert!(incomplete.is_empty(), "{incomplete:#?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn independent_actions_are_done_together_and_all_have_their_effect() {
    let Some(host) = start(|_| {}).await else { return };
    let mut actions = Vec::new();
    for i in 1..=5 {
        actions.push(json!({"action": "click", "selector": format!("#b{i}")}));
        actions.push(json!({"action": "type", "selector": format!("#i{i}"), "text": "abcdefgh"}));
        actions.push(json!({"action": "select", "selector": format!("#s{i}"), "values": ["c"]}));
        actions.push(json!({"action": "wait", "selector": format!("#w{i}")}));
    }
    actions.push(json!({"action": "evaluate", "script": "verify()"}));
    let rendered = host.act("form", json!(actions)).await.expect("it is rendered");
    let said = rendered.outcomes.last().and_then(|outcome| outcome.value.clone());
    assert_eq!(said, Some(json!({"clicks": 5, "typed": 5, "selected": 5, "trusted": 5, "keys": 40})));
    assert!(rendered.outcomes.iter().all(|outcome| outcome.status == Status::Ok), "{:?}", rendered.outcomes);
    assert_eq!(rendered.outcomes[0].batch, Some(1));
    assert_eq!(rendered.outcomes.len(), 21);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dependent_actions_are_done_in_order() {
    let Some(host) = start(|_| {}).await else { return };
    let mut actions: Vec<_> = (1..=20).map(|i| json!({"action": "click", "selector": format!("#c{i}")})).collect();
    actions.push(json!({"action": "evaluate", "script": "window.steps"}));
    let rendered = host.act("chain", json!(actions)).await.expect("it is rendered");
    assert_eq!(rendered.outcomes.last().and_then(|outcome| outcome.value.clone()), Some(json!(21)));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_away_is_not_missed_and_nothing_else_is_hit() {
    let Some(host) = start(|_| {}).await else { return };
    let actions = json!([
        {"action": "click", "selector": "#open"},
        {"action": "click", "selector": "#a"},
        {"action": "click", "selector": "#b"},
        {"action": "evaluate", "script": "[window.na, window.nb, more.style.height]"},
    ]);
    let rendered = host.act("moving", actions).await.expect("it is rendered");
    assert_eq!(
        rendered.outcomes.last().and_then(|outcome| outcome.value.clone()),
        Some(json!([1, 1, "300px"])),
        "{:?}",
        rendered.outcomes
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_of_elements_can_be_acted_upon() {
    let Some(host) = start(|_| {}).await else { return };
    let actions = json!([
        {"action": "click", "selector": "text=Deep inside"},
        {"action": "fill", "selector": "role=textbox[name=\"Your name\"]", "text": "first"},
        {"action": "fill", "selector": "#name", "text": "Ada"},
        {"action": "press", "selector": "#name", "key": "End"},
        {"action": "press", "key": "!"},
        {"action": "fill", "selector": "#day", "text": "2026-01-31"},
        {"action": "click", "selector": "role=button[name=Close]"},
        {"action": "select", "selector": "xpath=//select[@id='one']", "values": ["Two"]},
        {"action": "check", "selector": "#box"},
        {"action": "uncheck", "selector": "#box"},
        {"action": "check", "selector": "#box"},
        {"action": "upload", "selector": "#file", "files": [{"name": "a.txt", "base64": "aGVsbG8="}]},
        {"action": "hover", "selector": "text=\"Second\""},
        {"action": "click", "selector": "#in", "frame": ["iframe"]},
        {"action": "drag", "selector": "#drag", "onto": "#drop"},
        {"action": "scroll", "to": "bottom"},
        {"action": "evaluate", "script": "(async () => [window.deep, document.getElementById('name').value, day.value, one.value, box.checked, \
            await file.files[0].text(), drop.textContent, frames[0].document.getElementById('in').textContent])()"},
        {"action": "screenshot", "selector": "#name"},
        {"action": "extract", "name": "before"},
        {"action": "click", "selector": "text=leave"},
        {"action": "wait", "settled": true},
        {"action": "back"},
        {"action": "wait", "selector": "#name"},
    ]);
    let rendered = host.act("parts", actions).await.expect("it is rendered");
    assert!(rendered.outcomes.iter().all(|outcome| outcome.status == Status::Ok), "{:#?}", rendered.outcomes);
    let said = rendered.outcomes.iter().find(|outcome| outcome.action == "evaluate").and_then(|outcome| outcome.value.clone());
    assert_eq!(said, Some(json!([true, "Ada!", "2026-01-31", "2", true, "hello", "dropped it", "pressed"])));
    assert!(rendered.pictures[0].bytes.starts_with(b"\x89PNG"));
    assert!(rendered.url.ends_with("/page/parts"), "{}", rendered.url);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_read_is_waited_for_until_its_deadline() {
    let Some(host) = start(|_| {}).await else { return };
    // More of them than fit on the way to a caller.
    let takes: Vec<_> = (0..8).map(|at| json!({"action": "extract", "name": format!("take {at}")})).collect();
    let actions: Vec<Action> = serde_json::from_value(takes.into()).expect("they make sense");
    let within = Duration::from_secs(8);
    let options = RenderOptions { actions, ..RenderOptions::default() };
    let request = Request::url(host.url("parts")).rendered(RenderMode::Always, options).deadline(within);
    let mut reply = host.engine.extract(request);
    tokio::time::sleep(within + Duration::from_secs(3)).await;
    assert_eq!(host.engine.snapshot().requests, 0, "it is still at work");
    let (mut taken, mut last) = (0, None);
    while let Some(chunk) = reply.next().await {
        taken += usize::from(matches!(chunk, Chunk::Extract(..)));
        last = Some(chunk);
    }
    assert!(matches!(&last, Some(Chunk::Error(error)) if error.kind() == ErrorKind::Deadline), "{last:?}");
    assert!((1..8).contains(&taken), "{taken}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_name() {
    let Some(host) = start(|_| {}).await else { return };
    let go_on = |mut action: serde_json::Value| {
        action["on_error"] = json!("continue");
        action["timeout_ms"] = json!(300);
        action
    };
    let actions = [
        json!({"action": "click", "selector": "#nowhere"}),
        json!({"action": "click", "selector": "#gone"}),
        json!({"action": "click", "selector": "#off"}),
        json!({"action": "click", "selector": "((("}),
        json!({"action": "fill", "selector": "ul", "text": "x"}),
        json!({"action": "select", "selector": "#one", "values": ["Three"]}),
        json!({"action": "wait", "selector": "#nowhere"}),
        json!({"action": "wait", "function": "false"}),
        json!({"action": "evaluate", "script": "nonsense("}),
        json!({"action": "evaluate", "script": "for (;;);"}),
        json!({"action": "navigate", "url": "http://127.0.0.1:1/"}),
    ];
    let rendered = host.act("parts", json!(actions.map(go_on))).await.expect("it is rendered");
    let statuses: Vec<Status> = rendered.outcomes.iter().map(|outcome| outcome.status).collect();
    let expected = [
        Status::NotFound,
        Status::NotVisible,
        Status::Disabled,
        Status::Failed,
        Status::NotEditable,
        Status::Failed,
        Status::TimedOut,
        Status::TimedOut,
        Status::Failed,
        Status::TimedOut,
        Status::Failed,
    ];
    assert_eq!(statuses, expected, "{:#?}", rendered.outcomes);
    let covered =
        host.act("covered", json!([{"action": "click", "selector": "#under", "timeout_ms": 300, "on_error": "continue"}])).await;
    let covered = covered.expect("it is rendered");
    assert_eq!((covered.outcomes[0].status, covered.outcomes[0].detail.as_deref()), (Status::CoveredBy, Some("<div#veil>")));
    let error =
        host.act("parts", json!([{"action": "click", "selector": "#nowhere", "timeout_ms": 200}])).await.expect_err("it stops");
    assert!(error.to_string().contains("action 1 (click)") && error.kind() == ErrorKind::ExtractionFailed, "{error}");
    host.stop().await;
}

/// Somebody who answers with this, and then with nothing more, for as long as the test runs.
async fn stalls_after(begun: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            // Nobody answers before they are asked.
            if stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                stream.write_all(begun.as_bytes()).await.expect("it listens");
            }
            held.push(stream);
        }
    });
    format!("http://{address}/")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_not_there_is_passed_over_by_whoever_goes_on() {
    let Some(host) = start(|config| config.deadline = Duration::from_secs(20)).await else { return };
    let port = TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a port").port();
    let gone = ["http", "https"].map(|scheme| format!("{scheme}://127.0.0.1:{port}/"));
    let mute = stalls_after("").await;
    let go = |url: &str| json!({"action": "navigate", "url": url, "on_error": "continue", "timeout_ms": 2000});
    let place = || json!({"action": "evaluate", "script": "location.pathname"});
    let file = format!("http://{}/file", host.site.address());
    let actions = json!([
        go(&file), place(), go(&mute), place(), {"action": "click", "selector": "#box"},
        go(&gone[0]), go(&gone[1]), {"action": "back", "on_error": "continue"}, go(&host.url("static")), place(),
    ]);
    let rendered = host.act("parts", actions).await.expect("it is rendered");
    let said: Vec<_> = rendered.outcomes.iter().map(|outcome| (outcome.status, outcome.detail.as_deref())).collect();
    let refused = (Status::Failed, Some("net::ERR_CONNECTION_REFUSED"));
    assert_eq!(
        [said[0], said[2], said[4], said[5], said[6], said[8]],
        [
            (Status::Failed, Some("it is a download")),
            (Status::TimedOut, None),
            (Status::Ok, None),
            refused,
            refused,
            (Status::Ok, None)
        ],
        "{:#?}",
        rendered.outcomes
    );
    for (index, path) in [(1, "/page/parts"), (3, "/page/parts"), (9, "/page/static")] {
        assert_eq!(rendered.outcomes[index].value, Some(json!(path)), "{:#?}", rendered.outcomes);
    }
    assert_eq!((rendered.status, complete(&rendered)), (Some(200), true));
    for url in &gone {
        // It is the last thing that is done: there is nothing then.
        let rendered = host.act("parts", json!([go(url)])).await.expect("it is rendered");
        assert_eq!((rendered.outcomes[0].status, rendered.outcomes[0].detail.as_deref()), refused);
        assert_eq!((rendered.html.as_str(), rendered.status, &rendered.url), ("", None, url));
        // Nobody has passed over this.
        let leads =
            json!([{"action": "evaluate", "script": format!("location.href = '{url}'")}, {"action": "wait", "time_ms": 1000}]);
        let error = host.act("parts", leads).await.expect_err("it is not there");
        assert!(error.kind() == ErrorKind::SourceUnreadable && error.to_string().contains("ERR_CONNECTION_REFUSED"), "{error}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_late_is_stopped_or_found_there() {
    let Some(host) = start(|config| config.deadline = Duration::from_secs(20)).await else { return };
    let half = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 999\r\n\r\n<p>Half<button id=b onclick='this.id=\"clicked\"'>b</button>";
    let half = stalls_after(half).await;
    let go = |url: &str| json!({"action": "navigate", "url": url, "on_error": "continue", "timeout_ms": 700});
    let actions = json!([
        // It is at work when it is to be left, and goes when it is done.
        {"action": "evaluate", "script": "setTimeout(() => { const end = Date.now() + 2000; while (Date.now() < end); }), 1"},
        go(&host.url("static")), {"action": "wait", "selector": "#done"},
        go(&half), {"action": "click", "selector": "#b"}, {"action": "wait", "settled": true}, {"action": "wait", "selector": "#clicked"},
    ]);
    let rendered = host.act("parts", actions).await.expect("it is rendered");
    let statuses: Vec<Status> = rendered.outcomes.iter().map(|outcome| outcome.status).collect();
    let late = Status::TimedOut;
    assert_eq!(statuses, [Status::Ok, late, Status::Ok, late, Status::Ok, Status::Ok, Status::Ok], "{:#?}", rendered.outcomes);
    assert_eq!((rendered.html.contains("clicked"), rendered.url), (true, half));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_failure_or_another_page_is_still_done() {
    let Some(host) = start(|_| {}).await else { return };
    let actions = json!([
        {"action": "evaluate", "script": "history.pushState({}, '', '?view=2'), 'a' + String.fromCharCode(0xd83d)"},
        {"action": "back"},
        {"action": "click", "selector": "#box"},
        {"action": "wait", "selector": "((bad", "on_error": "continue", "timeout_ms": 300},
        {"action": "navigate", "url": host.url("parts") + "#end"},
        {"action": "evaluate", "script": "document.body.insertAdjacentHTML('beforeend', '<form action=/page/static><input id=q name=q></form>')"},
        {"action": "type", "selector": "#q", "text": "x"},
        {"action": "press", "key": "Enter"},
        {"action": "wait", "selector": "#done"},
        {"action": "evaluate", "script": "location.pathname"},
    ]);
    let rendered = host.act("parts", actions).await.expect("it is rendered");
    let statuses: Vec<Status> = rendered.outcomes.iter().map(|outcome| outcome.status).collect();
    let mut expected = vec![Status::Ok; 10];
    expected[3] = Status::Failed;
    assert_eq!(statuses, expected, "{:#?}", rendered.outcomes);
    assert_eq!(rendered.outcomes[9].value, Some(json!("/page/static")));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scrolling_until_no_more_brings_it_all() {
    let Some(host) = start(|_| {}).await else { return };
    let rendered = host
        .act("scroll", json!([{"action": "scroll", "until_no_more": 50, "timeout_ms": 20000}]))
        .await
        .expect("it is rendered");
    assert!(complete(&rendered) && rendered.html.contains("Item 100"), "{:?}", rendered.outcomes);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pages_want_of_a_person_is_answered() {
    let Some(host) = start(|_| {}).await else { return };
    let dialogs = host.render("dialogs", RenderOptions::default()).await.expect("rendered");
    let kinds: Vec<(&str, bool)> = dialogs.dialogs.iter().map(|dialog| (dialog.kind.as_str(), dialog.accepted)).collect();
    assert_eq!(kinds, [("confirm", false), ("prompt", false), ("alert", false)]);
    assert!(complete(&dialogs));
    let popups = host.render("popups", RenderOptions::default()).await.expect("rendered");
    assert_eq!(popups.popups, [host.url("static"), host.url("fetch")]);
    let download = host.render("download", RenderOptions::default()).await.expect("rendered");
    assert!(complete(&download) && download.downloads.iter().any(|url| url.ends_with("/file")), "{:?}", download.downloads);
    let blocked = host.render("blocked", RenderOptions::default()).await.expect("rendered");
    assert!(blocked.html.contains("blocked"), "{}", blocked.html);
    let worker = host.render("service-worker", RenderOptions::default()).await.expect("rendered");
    assert!(complete(&worker));
    let error = host.engine.extract(
        Request::url(format!("http://{}/file", host.site.address())).rendered(RenderMode::Always, RenderOptions::default()),
    );
    assert_eq!(error.document().await.expect_err("it is a file").kind(), ErrorKind::Unsupported);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_pages_cost_themselves_and_nobody_else() {
    let change = |config: &mut Config| {
        config.deadline = Duration::from_secs(6);
        config.browser.limits.page_memory = 128 << 20;
        // It is beyond that before it is taken as it is, on a slow machine, too.
        config.browser.limits.requests = 300;
    };
    let Some(host) = start(change).await else { return };
    let table = [
        ("hang", None),
        ("hang-at-once", None),
        ("heap-hog", Some(ErrorKind::ResourceLimit)),
        ("buffer-hog", Some(ErrorKind::ResourceLimit)),
        ("many-requests", Some(ErrorKind::ResourceLimit)),
    ];
    for (page, expected) in table {
        // Those that only want memory have nothing to show, and would be done before they have it.
        let wait = if page.ends_with("hog") { Wait::Time(Duration::from_secs(5)) } else { Wait::Settled };
        let cap = if page.ends_with("hog") { 5 } else { 2 };
        let options = || RenderOptions { settle_cap: Duration::from_secs(cap), ..RenderOptions::default() };
        let (bad, good) = tokio::join!(host.render(page, RenderOptions { wait, ..options() }), host.render("fetch", options()));
        let kind = bad.as_ref().err().map(Error::kind);
        // A script that leaves no time to be looked at ends by its own heap's limit, or by the deadline.
        let ended = page == "heap-hog" && matches!(kind, Some(ErrorKind::ExtractionFailed | ErrorKind::Deadline));
        assert!(kind == expected || ended, "{page}: {bad:?}");
        assert!(complete(&good.expect("it is no fault of its own")), "beside {page}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_browser_loses_no_page() {
    let Some(host) = start(|_| {}).await else { return };
    host.render("static", RenderOptions::default()).await.expect("a browser is up");
    let (page, ()) = tokio::join!(host.render("slow-fetch", RenderOptions::default()), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        signal(&host, Signal::KILL, |command| !command.contains("--type="));
    });
    assert!(complete(&page.expect("it is rendered elsewhere")));
    assert!(host.engine.snapshot().browser.fleet.expect("a fleet").started >= 2);
    host.stop().await;
}

/// Chromium gives up what is on its way with them, and does not say why at once.
#[tokio::test(flavor = "multi_thread")]
async fn killed_renderers_lose_no_page() {
    let Some(host) = start(|_| {}).await else { return };
    host.render("static", RenderOptions::default()).await.expect("a browser is up");
    for round in 0..12 {
        let (page, ()) = tokio::join!(host.render("static", RenderOptions::default()), async {
            tokio::time::sleep(Duration::from_millis(3 * (round % 4))).await;
            // Its page may not have one yet.
            while hit(&host, Signal::KILL, |command| command.contains("--type=renderer")) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(complete(&page.expect("it is rendered again")), "round {round}");
    }
    host.stop().await;
}

/// Chromium replaces the process that loads, and tells nobody that it has to.
#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_ends_or_hangs_loses_no_page() {
    let Some(host) = start(|config| config.browser.limits.look = Duration::from_millis(300)).await else { return };
    host.render("static", RenderOptions::default()).await.expect("a browser is up");
    let loads = |command: &str| command.contains("--utility-sub-type=network");
    let (page, ()) = tokio::join!(host.render("slow-fetch", RenderOptions::default()), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        signal(&host, Signal::KILL, loads);
    });
    assert!(complete(&page.expect("it is rendered again")));
    signal(&host, Signal::STOP, loads);
    let page = host.render("static", RenderOptions::default()).await.expect("another browser takes over");
    assert!(complete(&page));
    let retired = host.engine.snapshot().browser.fleet.expect("a fleet").retired;
    assert!(retired.iter().any(|(reason, _)| *reason == Retirement::Canary), "{retired:?}");
    host.stop().await;
}

/// Signals those processes of an engine's browsers that fit; these lead a group each, and are known by its scratch directory.
fn signal(host: &Host<Pages>, signal: Signal, fits: impl Fn(&str) -> bool) {
    assert!(hit(host, signal, fits) > 0, "there is such a process");
}

/// How many of them there were.
fn hit(host: &Host<Pages>, signal: Signal, fits: impl Fn(&str) -> bool) -> u32 {
    let scratch = host.scratch.path().to_string_lossy().into_owned();
    let read = |pid: i32, name: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let entries = std::fs::read_dir("/proc").expect("readable").filter_map(Result::ok);
    let pids: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let group = |pid| read(pid, "stat").rsplit(')').next()?.split_whitespace().nth(2)?.parse::<i32>().ok();
    let ours = |pid: i32| group(pid).is_some_and(|leader| read(leader, "cmdline").contains(&scratch));
    let mut hit = 0;
    for pid in pids.into_iter().filter(|pid| ours(*pid) && fits(&read(*pid, "cmdline"))) {
        let pid = rustix::process::Pid::from_raw(pid).expect("a number");
        hit += u32::from(rustix::process::kill_process(pid, signal).is_ok());
    }
    hit
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_as_they_were_asked_for() {
    let Some(host) = start(|_| {}).await else { return };
    let cookie = |name: &str| serde_json::from_value(json!({"name": name, "value": "v"})).expect("a cookie");
    let options = RenderOptions {
        user_agent: Some("Somebody/1".to_owned()),
        headers: vec![("X-Extra".to_owned(), "yes".to_owned())],
        cookies: vec![cookie("c")],
        locale: Some("de-CH".to_owned()),
        timezone: Some("Asia/Tokyo".to_owned()),
        with_cookies: true,
        network: true,
        ..RenderOptions::default()
    };
    let url = format!("http://{}/echo", host.site.address());
    let answer = host
        .engine
        .extract(Request::url(url).rendered(RenderMode::Always, RenderOptions { raw: true, ..options }))
        .document()
        .await;
    let rendered = *answer.expect("rendered").rendered.expect("rendered");
    for part in ["Somebody/1", "X-Extra: yes", "Cookie: c=v", "de-CH"] {
        assert!(rendered.html.contains(part), "{part} in {}", rendered.html);
    }
    assert_eq!(rendered.cookies.len(), 1);
    assert!(
        rendered.network.iter().any(|entry| entry.url.ends_with("/echo") && entry.status == Some(200)),
        "{:?}",
        rendered.network
    );
    // What is in a process of its own, too.
    let framed = RenderOptions {
        headers: vec![("X-Extra".to_owned(), "yes".to_owned())],
        locale: Some("de-CH".to_owned()),
        timezone: Some("Asia/Tokyo".to_owned()),
        ..RenderOptions::default()
    };
    let framed = host.render("foreign", framed).await.expect("rendered").html;
    for part in ["X-Extra: yes", "Asia/Tokyo", "de-CH"] {
        assert!(framed.contains(part), "{part} in {framed}");
    }
    let plain = host.render("late-timer", RenderOptions { javascript: false, ..RenderOptions::default() }).await;
    let plain = plain.expect("rendered");
    assert!(!complete(&plain));
    let options = RenderOptions { console: true, ..RenderOptions::default() };
    let console = host.render("console", options).await.expect("rendered").console;
    let levels: Vec<&str> = console.iter().map(|message| message.level.as_str()).collect();
    assert_eq!(levels, ["log", "error", "exception"], "{console:?}");
    let zone = RenderOptions { timezone: Some("Nowhere/Atlantis".to_owned()), ..RenderOptions::default() };
    assert_eq!(host.render("static", zone).await.expect_err("there is none").kind(), ErrorKind::InvalidRequest);
    for bad in ["http://127.0.0.1:1/", "file:///etc/passwd", "chrome://version"] {
        let error =
            host.engine.extract(Request::url(bad).rendered(RenderMode::Always, RenderOptions::default())).document().await;
        let kind = error.expect_err(bad).kind();
        assert!(matches!(kind, ErrorKind::SourceUnreadable | ErrorKind::InvalidRequest), "{bad}: {kind:?}");
    }
    host.stop().await;
}

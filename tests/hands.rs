//! What actions hit, and what they say of it, with a real browser. Without one these tests are skipped, and say so.

#![expect(clippy::expect_used, reason = "a test may fail")]

#[path = "browser/host.rs"]
mod host;
#[expect(unreachable_pub, reason = "it is public where it is a library")]
#[path = "../chaos-tests/src/pages.rs"]
mod pages;

use eventmesh::render::{PictureFormat, RenderOptions, Rendered, Screenshot, SettleReason, Status, Wait};
use host::Host;
use pages::Pages;
use serde_json::{Value, json};

/// `None` without a browser.
async fn start() -> Option<Host<Pages>> {
    let pages = Pages::open().await.expect("a site");
    let at = pages.url("");
    Host::start(pages, at, |_| {}).await
}

/// The same, but what fails is told, and soon.
fn told(mut action: Value) -> Value {
    action["on_error"] = json!("continue");
    action["timeout_ms"] = json!(1_500);
    action
}

fn values(rendered: &Rendered) -> Vec<&Value> {
    rendered.outcomes.iter().filter_map(|outcome| outcome.value.as_ref()).collect()
}

fn assert_all_done(rendered: &Rendered) {
    assert!(rendered.outcomes.iter().all(|outcome| outcome.status == Status::Ok), "{:#?}", rendered.outcomes);
}

/// Width and height, as a PNG says them.
fn size(png: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_hit_whatever_is_done() {
    let Some(host) = start().await else { return };
    let actions = [
        json!({"action": "click", "selector": "#under", "button": "right"}),
        json!({"action": "click", "selector": "#under", "button": "middle"}),
        json!({"action": "type", "selector": "#field", "text": "x".repeat(2_500)}),
        json!({"action": "drag", "selector": "#from", "onto": "#to"}),
        json!({"action": "evaluate", "script": "[window.hit ?? 0, field.value]"}),
    ];
    let veiled = host.act("veiled", json!(actions.map(told))).await.expect("it is rendered");
    for outcome in &veiled.outcomes[..4] {
        assert_eq!((outcome.status, outcome.detail.as_deref()), (Status::CoveredBy, Some("<div#veil>")), "{outcome:?}");
    }
    assert_eq!(values(&veiled), [&json!([0, ""])]);
    let actions = [
        json!({"action": "click", "selector": "#right", "button": "right"}),
        json!({"action": "click", "selector": "#middle", "button": "middle"}),
        json!({"action": "type", "selector": "#long", "text": "x".repeat(2_500)}),
        json!({"action": "type", "selector": "#closed", "text": "x".repeat(2_500)}),
        json!({"action": "type", "selector": "#shy", "text": "x".repeat(2_500)}),
        json!({"action": "drag", "selector": "#right", "onto": "#nowhere"}),
        json!({"action": "evaluate", "script": "[window.menus, window.middles, long.value.length, shy.value]"}),
    ];
    let done = host.act("hands", json!(actions.map(told))).await.expect("it is rendered");
    let statuses: Vec<Status> = done.outcomes.iter().map(|outcome| outcome.status).collect();
    let expected = [Status::Ok, Status::Ok, Status::Ok, Status::NotEditable, Status::TimedOut, Status::NotFound, Status::Ok];
    assert_eq!(statuses, expected, "{:#?}", done.outcomes);
    assert_eq!(values(&done), [&json!([1, 1, 2_500, ""])]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_scrolls_within_and_what_lies_under_a_header_is_reached() {
    let Some(host) = start().await else { return };
    let actions = json!([
        {"action": "click", "selector": "#deep"},
        {"action": "evaluate", "script": "(box.scrollTop = 0, window.deeps)"},
        {"action": "scroll", "selector": "#deep"},
        {"action": "evaluate", "script": "(() => { const d = deep.getBoundingClientRect(), b = box.getBoundingClientRect(); \
            return d.top >= b.top && d.bottom <= b.bottom })()"},
        // Its upper edge to that of the window, where the header is.
        {"action": "evaluate", "script": "scrollTo(0, low.getBoundingClientRect().top + scrollY)"},
        {"action": "click", "selector": "#low"},
        {"action": "evaluate", "script": "window.lows"},
    ]);
    let rendered = host.act("inner-scroll", actions).await.expect("it is rendered");
    assert_all_done(&rendered);
    let said: Vec<&Value> = values(&rendered).into_iter().filter(|value| !value.is_null()).collect();
    assert_eq!(said, [&json!(1), &json!(true), &json!(1)], "{:#?}", rendered.outcomes);
    let list = host.act("inner-list", json!([{"action": "scroll", "until_no_more": 30, "timeout_ms": 20000}])).await;
    let list = list.expect("it is rendered");
    assert!(list.html.contains("Item 100") && list.html.contains("id=\"done\""), "{:?}", list.outcomes);
    let drag = json!([
        {"action": "drag", "selector": "#from", "onto": "#to"},
        {"action": "evaluate", "script": "to.textContent"},
    ]);
    let far = host.act("far", drag).await.expect("it is rendered");
    assert_all_done(&far);
    assert_eq!(values(&far), [&json!("dropped it")]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_nothing_is_a_failure_of_its_own() {
    let Some(host) = start().await else { return };
    let actions = json!([
        told(json!({"action": "screenshot", "selector": "#nowhere"})),
        {"action": "screenshot", "selector": "#set"},
    ]);
    let rendered = host.act("hands", actions).await.expect("it is rendered");
    let statuses: Vec<Status> = rendered.outcomes.iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, [Status::NotFound, Status::Ok]);
    assert_eq!((rendered.pictures.len(), rendered.pictures[0].action), (1, Some(1)));
    let stopped = host.act("hands", json!([{"action": "screenshot", "selector": "#nowhere", "timeout_ms": 200}])).await;
    let error = stopped.expect_err("it stops");
    assert!(error.to_string().contains("action 1 (screenshot)") && error.to_string().contains("not found"), "{error}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_is_acted_upon_wherever_it_lies() {
    let Some(host) = start().await else { return };
    for frame in ["#own", "#other"] {
        let actions = [
            json!({"action": "click", "selector": "#last"}),
            json!({"action": "click", "selector": "#first"}),
            json!({"action": "wait", "function": "window.late"}),
            json!({"action": "evaluate", "script": "[window.where, first.textContent, last.textContent]"}),
            json!({"action": "screenshot", "selector": "#last"}),
            json!({"action": "screenshot", "selector": "#first"}),
        ];
        let within = actions.map(|mut action| {
            action["frame"] = json!([frame]);
            action
        });
        let rendered = host.act("tall-frames", json!(within)).await.expect("it is rendered");
        assert_all_done(&rendered);
        assert_eq!(values(&rendered), [&json!(["inside", "pressed", "pressed"])], "{frame}");
        let sizes: Vec<(u32, u32)> = rendered.pictures.iter().map(|picture| size(&picture.bytes)).collect();
        assert_eq!(sizes, [(120, 20); 2], "{frame}");
    }
    let nowhere = json!([told(json!({"action": "evaluate", "script": "1", "frame": ["#nowhere"]}))]);
    let nowhere = host.act("tall-frames", nowhere).await.expect("it is rendered");
    assert_eq!(nowhere.outcomes[0].status, Status::NotFound);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_has_a_time_of_its_own() {
    let Some(host) = start().await else { return };
    let actions = json!([
        {"action": "click", "selector": "#go"},
        {"action": "click", "selector": "#late"},
        {"action": "click", "selector": "(((", "on_error": "continue"},
        told(json!({"action": "click", "selector": "#nowhere"})),
        {"action": "wait", "time_ms": 300},
    ]);
    let rendered = host.act("hands", actions).await.expect("it is rendered");
    let took: Vec<u128> = rendered.outcomes.iter().map(|outcome| outcome.took.as_millis()).collect();
    // The button comes 600 ms after the click that asks for it.
    // What the second waits for is not the first one's.
    assert!(took[0] < 590 && took[0] + took[1] >= 590, "{took:?}");
    assert!(took[2] < 1_490 && took[3] >= 1_490 && took[4] >= 300, "{took:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_actions_do_what_they_say() {
    let Some(host) = start().await else { return };
    let actions = json!([
        {"action": "double_click", "selector": "#twice"},
        {"action": "click", "selector": "#fast", "fast": true},
        {"action": "fill", "selector": "#set", "text": "at once", "fast": true},
        {"action": "dialog", "accept": true, "text": "Ada"},
        {"action": "click", "selector": "#ask"},
        {"action": "click", "selector": "#go"},
        {"action": "wait", "selector": "#word", "text": "ready"},
        {"action": "evaluate", "script": "[window.doubles, window.fast, set.value, window.said, word.textContent]"},
    ]);
    let rendered = host.act("hands", actions).await.expect("it is rendered");
    assert_all_done(&rendered);
    assert_eq!(values(&rendered), [&json!([1, false, "at once", "Ada", "ready"])]);
    assert!(rendered.dialogs.iter().any(|dialog| dialog.kind == "prompt" && dialog.accepted), "{:?}", rendered.dialogs);
    let actions = json!([
        {"action": "scroll", "by": 250},
        {"action": "evaluate", "script": "scrollY"},
        {"action": "scroll", "to": "bottom"},
        {"action": "evaluate", "script": "scrollY + innerHeight >= document.documentElement.scrollHeight - 1"},
        {"action": "scroll", "to": "top"},
        {"action": "evaluate", "script": "scrollY"},
    ]);
    let scrolled = host.act("inner-scroll", actions).await.expect("it is rendered");
    assert_eq!(values(&scrolled), [&json!(250), &json!(true), &json!(0)], "{:#?}", scrolled.outcomes);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_waited_for_as_was_asked() {
    let Some(host) = start().await else { return };
    let data = format!("{}/data", host.site.address());
    let table = [
        ("late-timer", Wait::Selector("#done".to_owned())),
        ("late-timer", Wait::Function("document.getElementById('done')".to_owned())),
        ("slow-fetch", Wait::Response(data)),
    ];
    for (page, wait) in table {
        let rendered = host.render(page, RenderOptions { wait: wait.clone(), ..RenderOptions::default() }).await;
        let rendered = rendered.expect("it is rendered");
        assert_eq!(rendered.settled.reason, SettleReason::Came, "{wait:?}");
        assert!(rendered.html.contains("id=\"done\"") || matches!(wait, Wait::Response(_)), "{wait:?}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_of_what_was_asked_for() {
    let Some(host) = start().await else { return };
    let picture = async |screenshot: Screenshot| {
        let options = RenderOptions { screenshot: Some(screenshot), ..RenderOptions::default() };
        let rendered = host.render("far", options).await.expect("it is rendered");
        rendered.pictures.into_iter().next_back().expect("a picture").bytes
    };
    let jpeg = picture(Screenshot { format: PictureFormat::Jpeg, ..Screenshot::default() }).await;
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]));
    let webp = picture(Screenshot { format: PictureFormat::Webp, ..Screenshot::default() }).await;
    assert!(webp.starts_with(b"RIFF") && webp[8..].starts_with(b"WEBP"));
    assert_eq!(size(&picture(Screenshot::default()).await), (1280, 800));
    let whole = size(&picture(Screenshot { full_page: true, ..Screenshot::default() }).await);
    assert_eq!(whole.1, 2_140, "{whole:?}");
    let element = picture(Screenshot { selector: Some("#to".to_owned()), ..Screenshot::default() }).await;
    assert_eq!(size(&element), (100, 100));
    host.stop().await;
}

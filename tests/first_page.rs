//! The first page of a browser comes up while its document is on its way, and is like any other. Without a browser these tests are
//! skipped, and say so.

#![expect(clippy::expect_used, reason = "a test may fail")]

#[path = "browser/host.rs"]
#[expect(dead_code, reason = "the tests of actions need more of it")]
mod host;
#[path = "jobs/site.rs"]
#[expect(dead_code, reason = "the tests of jobs need more of it")]
mod site;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as Asked;
use axum::http::StatusCode;
use axum::response::Response;
use eventmesh::render::{RenderOptions, Rendered, Wait};
use eventmesh::{Config, Engine, Error, ErrorKind, RenderMode, Request};
use futures_util::StreamExt;
use host::Host;
use serde_json::{Value, json};
use site::{Hits, site};
use tokio::net::TcpListener;

/// What a page sees of how it has come to be.
const SEES: &str = "<script>document.body.append('length='+history.length);document.body.append(JSON.stringify([document.referrer,document.visibilityState,\
    document.hasFocus(),innerWidth,innerHeight,screen.width,devicePixelRatio,opener===null,name,navigator.webdriver,\
    navigator.language,performance.getEntriesByType('navigation')[0].type,crossOriginIsolated,isSecureContext,\
    Object.keys(window).filter((key)=>!/^_[0-9a-f]{16}$/.test(key)).length]))</script>";
const DIALOG: &str = "<script>document.body.append(alert('a')+confirm('b')+prompt('c'));console.log('said')</script>";
const POPUPS: &str = "<a href=/a target=_blank id=a></a><script>const p=(...of)=>document.body.append(String(open(...of)===null));\
    p('/empty');p('');p('/b','_blank','noopener');a.click();p(`http://localhost:${location.port}/c`)</script>";
const LEAVES: &str = "<script>location.replace('/text')</script>";
const WORKS: &str = "<script>navigator.serviceWorker.register('/x.js').catch((error)=>document.body.append(error.name))</script>\
    <iframe src='/text'></iframe>";

/// Pages that the first one is compared with, at most.
const OTHERS: usize = 4;
/// Pages that are none.
const NONE: [&str; 10] =
    ["/nothing", "/reset", "/zip", "/pdf", "/late", "/attached", "/loop", "/breaks-at-once", "/breaks-off", "/inward"];
/// What is there a while after the page is, and is seen only by who watches it from its beginning.
const TIMER: &str = "<script>setTimeout(()=>document.body.append('by now'),300)</script>";

async fn visit(asked: Asked) -> Response {
    let (kind, status, body) = match asked.uri().path() {
        "/sees" => {
            // Which port it is reached at differs, and nothing else should.
            let heads = asked.headers().iter().map(|(name, value)| format!("{name}: {}<br>", value.to_str().unwrap_or("?")));
            ("text/html", 200, format!("{}{SEES}", heads.collect::<String>()))
        }
        "/dialog" => ("text/html", 200, DIALOG.to_owned()),
        "/popups" => ("text/html", 200, POPUPS.to_owned()),
        "/leaves" => ("text/html", 200, LEAVES.to_owned()),
        "/works" => ("text/html", 200, WORKS.to_owned()),
        "/timer" => ("text/html", 200, format!("<p>Some text</p>{TIMER}")),
        "/bare" => ("text/html", 200, "<!doctype html><p>x</p><script>document.documentElement.remove()</script>".to_owned()),
        "/breaks-at-once" => ("text/html", 200, String::new()),
        "/breaks-off" => ("text/html", 200, "<p>Some text".to_owned()),
        "/text" => ("text/plain", 200, "Some text".to_owned()),
        "/xml" => ("application/xml", 200, "<a><b>c</b></a>".to_owned()),
        "/json" => ("application/json", 200, "{\"a\":1}".to_owned()),
        "/picture" => ("image/svg+xml", 200, "<svg xmlns='http://www.w3.org/2000/svg'><text>s</text></svg>".to_owned()),
        "/empty" => ("text/html", 200, String::new()),
        "/gone" => ("text/html", 410, "<p>Gone</p>".to_owned()),
        "/empty-gone" => ("text/html", 410, String::new()),
        "/nothing" => ("text/html", 204, String::new()),
        "/reset" => ("text/html", 205, String::new()),
        "/zip" => ("application/zip", 200, "PK".to_owned()),
        "/pdf" => ("application/pdf", 200, "%PDF-1.4".to_owned()),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(700)).await;
            ("text/html", 200, format!("<p>Slow</p>{SEES}"))
        }
        "/late" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            ("text/html", 200, "<p>Late</p>".to_owned())
        }
        "/attached" => ("text/html", 200, "<p>Saved</p>".to_owned()),
        "/there" => ("text/html", 302, String::new()),
        "/loop" | "/inward" => ("text/html", 302, String::new()),
        _ => ("text/plain", 404, String::new()),
    };
    let response = Response::builder().status(StatusCode::from_u16(status).expect("a status")).header("content-type", kind);
    let response = response.header("cache-control", "no-store");
    let response = match asked.uri().path() {
        "/attached" => response.header("content-disposition", "attachment; filename=a.html"),
        "/there" => response.header("location", "/sees"),
        "/loop" => response.header("location", "/loop"),
        "/inward" => response.header("location", "https://10.0.0.1/"),
        _ => response,
    };
    let body = if asked.uri().path().starts_with("/breaks") { breaking(body) } else { Body::from(body) };
    response.body(body).expect("an answer")
}

/// A body of which no more comes than this, though more was promised.
fn breaking(body: String) -> Body {
    let rest = async {
        // What came before is on its way by then.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(std::io::Error::other("the end"))
    };
    let begun = futures_util::stream::iter((!body.is_empty()).then_some(Ok(body)));
    Body::from_stream(begun.chain(futures_util::stream::once(rest)))
}

/// `None` without a browser.
async fn start(change: impl FnOnce(&mut Config)) -> Option<Host<Hits>> {
    let (at, hits) = site(Router::new().fallback(visit)).await;
    Host::start(hits, at, change).await
}

/// Whoever is there hangs up.
async fn hangs_up() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    format!("http://{address}/")
}

async fn render(engine: &Engine, url: &str, options: &RenderOptions) -> Result<Rendered, Error> {
    let request = Request::url(url).rendered(RenderMode::Always, RenderOptions { raw: true, ..options.clone() });
    Ok(*engine.extract(request).document().await?.rendered.expect("it was rendered"))
}

/// All that is told of a page but how long it took.
fn told(rendered: Result<Rendered, Error>) -> Value {
    match rendered {
        Ok(rendered) => {
            let mut network: Vec<_> = rendered
                .network
                .iter()
                .map(|entry| json!([entry.url, entry.method, entry.kind, entry.status, entry.error]))
                .collect();
            network.sort_by_key(ToString::to_string);
            let headers: Vec<_> = rendered.headers.iter().filter(|(name, _)| name != "date").collect();
            json!({
                "url": rendered.url, "status": rendered.status, "type": rendered.content_type, "headers": headers,
                // An empty page before it is the only thing that may be seen of the way that it came.
                "html": rendered.html.replace("length=1", "length=2").replace("length=3", "length=2"), "settled": format!("{:?}", rendered.settled.reason), "network": network,
                "console": format!("{:?}", rendered.console), "dialogs": format!("{:?}", rendered.dialogs),
                "popups": rendered.popups, "downloads": rendered.downloads,
                "outcomes": rendered.outcomes.iter().map(|outcome| json!([format!("{:?}", outcome.status), outcome.value])).collect::<Vec<_>>(),
            })
        }
        Err(error) => json!({"kind": format!("{:?}", error.kind()), "error": error.to_string()}),
    }
}

/// What is told of the first that is not told so of the second, from a little before where they part.
fn apart(first: &Value, second: &Value) -> Vec<String> {
    let both =
        first.as_object().into_iter().flatten().map(|(name, value)| (name, value.to_string(), second[name.as_str()].to_string()));
    let part = |text: &str, at: usize| text.chars().skip(at.saturating_sub(20)).take(200).collect::<String>();
    both.filter(|(_, one, other)| one != other)
        .map(|(name, one, other)| {
            let at = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
            format!("{name}: {} / {}", part(&one, at), part(&other, at))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_like_the_second_one() {
    let hung_up = hangs_up().await;
    let actions = json!([
        {"action": "evaluate", "script": "document.body.innerText.length > 0"},
        {"action": "back", "on_error": "continue"},
        {"action": "evaluate", "script": "location.assign('/text')"},
        {"action": "wait", "function": "location.pathname === '/text'"},
        {"action": "back"},
        {"action": "evaluate", "script": "location.pathname"},
    ]);
    let acting = RenderOptions { actions: serde_json::from_value(actions).expect("they make sense"), ..RenderOptions::default() };
    let loaded = RenderOptions { wait: Wait::Load, ..RenderOptions::default() };
    let pages = [
        "sees",
        "dialog",
        "popups",
        "leaves",
        "works",
        "text",
        "xml",
        "json",
        "picture",
        "empty",
        "gone",
        "empty-gone",
        "nothing",
        "reset",
        "zip",
        "pdf",
        "slow",
        "late",
        "attached",
        "there",
        "loop",
        "missing",
        "timer",
        "bare",
        "breaks-at-once",
        "breaks-off",
        "inward",
    ];
    let mut cases: Vec<(String, RenderOptions)> =
        pages.iter().map(|page| (format!("/{page}"), RenderOptions::default())).collect();
    cases.extend([("/sees".to_owned(), acting), ("/sees".to_owned(), loaded.clone()), ("/slow".to_owned(), loaded)]);
    // Nobody there, either way, nobody of that name, another protocol, what is left out, what is no name.
    let elsewhere = [
        "http://127.0.0.1:1/",
        "http://127.0.0.1:9999/",
        "https://127.0.0.1:9998/",
        "http://nobody.invalid/",
        &hung_up,
        "http://doubleclick.net/ads",
    ];
    cases.extend(elsewhere.map(|url| (url.to_owned(), RenderOptions::default())));
    let mut differ = Vec::new();
    for (page, options) in cases {
        let options = RenderOptions { network: true, console: true, ..options };
        let Some(host) = start(|config| config.deadline = Duration::from_secs(3)).await else { return };
        let url = if page.starts_with('/') { host.url(&page) } else { page.clone() };
        let first = told(render(&host.engine, &url, &options).await);
        // A page that is ready, and one that is not: after some others.
        render(&host.engine, &host.url("/between"), &RenderOptions::default()).await.expect("the browser goes on");
        // What comes first of two things that a page does at once is not always the same, for no page.
        let mut others = Vec::new();
        while !others.contains(&first) && others.len() < OTHERS {
            others.push(told(render(&host.engine, &url, &options).await));
        }
        let comes = page.starts_with('/') && !NONE.contains(&page.as_str());
        assert_eq!(first["html"].is_string(), comes, "{page}: {first}");
        match page.as_str() {
            "/timer" => assert!(first["html"].to_string().contains("by now"), "{first}"),
            "/bare" => assert_eq!(first["html"], "<!DOCTYPE html>"),
            "/breaks-at-once" | "/breaks-off" => assert_eq!(first["kind"], "SourceUnreadable", "{first}"),
            "/inward" => assert_eq!(first["kind"], "Blocked", "{first}"),
            "https://127.0.0.1:9998/" => assert!(first["error"].to_string().contains("CONNECTION_REFUSED"), "{first}"),
            _ => {}
        }
        if !others.contains(&first) {
            differ.push((page.clone(), others.iter().map(|other| apart(&first, other)).collect::<Vec<_>>()));
        }
        // Whoever goes back asks again.
        let times = if options.actions.is_empty() { 1 } else { 2 };
        let hits = host.site.of(&page);
        assert!(
            !page.starts_with('/') || page == "/loop" || hits == (1 + others.len()) * times,
            "{page} was asked for {hits} times"
        );
        host.stop().await;
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_it_up_leaves_nothing_held() {
    // Before there is a browser, while the page comes to be and is let go, and as its document does not come.
    for patience in [1_u64, 40, 60, 70, 80, 90, 100, 120, 150, 400] {
        let Some(host) = start(|_| {}).await else { return };
        let (late, options) = (host.url("/late"), RenderOptions::default());
        let given_up = tokio::time::timeout(Duration::from_millis(patience), render(&host.engine, &late, &options)).await;
        assert!(given_up.is_err(), "it comes late");
        let popups = render(&host.engine, &host.url("/popups"), &options).await.expect("the next one comes");
        assert_eq!((popups.status, popups.popups.len()), (Some(200), 5), "after {patience} ms");
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_beside_it_are_not_held() {
    let Some(host) = start(|_| {}).await else { return };
    let (url, options) = (host.url("/sees"), RenderOptions::default());
    // More at once than there are workers: one of them is first.
    let pages = futures_util::future::join_all((0..8).map(|_| render(&host.engine, &url, &options))).await;
    let pages: Vec<_> = pages.into_iter().map(|page| page.expect("it comes")).collect();
    assert!(pages.iter().all(|page| page.status == Some(200)));
    // There is nothing before it, as there is before the others: an empty page that was made ahead.
    let first = pages.iter().filter(|page| page.html.contains("length=1")).count();
    let started = host.engine.snapshot().browser.fleet.map_or(0, |fleet| fleet.started);
    // Chromium ends in its own start now and then; the page after that follows a canary.
    assert!(first == 1 || started > 1, "{first} pages were there at once, and {started} browsers");
    assert_eq!(host.site.of("/sees"), 8);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_otherwise_holds_for_it_too() {
    let wants = [
        (RenderOptions { headers: vec![("X-Extra".to_owned(), "yes".to_owned())], ..RenderOptions::default() }, "x-extra: yes"),
        (RenderOptions { locale: Some("de-CH".to_owned()), ..RenderOptions::default() }, "de-CH"),
        (RenderOptions { user_agent: Some("Somebody/1".to_owned()), ..RenderOptions::default() }, "Somebody/1"),
        (
            RenderOptions {
                cookies: vec![serde_json::from_value(json!({"name": "c", "value": "v"})).expect("a cookie")],
                ..RenderOptions::default()
            },
            "cookie: c=v",
        ),
        (
            RenderOptions {
                viewport: eventmesh::render::Viewport { width: 333, height: 222, scale: 1.0 },
                ..RenderOptions::default()
            },
            "333,222",
        ),
    ];
    for (options, shown) in wants {
        let Some(host) = start(|_| {}).await else { return };
        let html = render(&host.engine, &host.url("/sees"), &options).await.expect(shown).html;
        assert!(html.contains(shown), "{shown} in {html}");
        host.stop().await;
    }
    let Some(host) = start(|_| {}).await else { return };
    let zone = RenderOptions { timezone: Some("Nowhere/Atlantis".to_owned()), ..RenderOptions::default() };
    let refused = render(&host.engine, &host.url("/sees"), &zone).await.expect_err("there is none");
    assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
    assert_eq!(host.site.of("/sees"), 0, "nothing was asked for");
    host.stop().await;
}

//! What a rendered page may not do, by itself or by its workers. Without a browser these tests are skipped, and say so.

#![expect(clippy::expect_used, reason = "a test may fail")]

#[path = "browser/host.rs"]
#[expect(dead_code, reason = "the tests of actions need more of it")]
mod host;
#[path = "jobs/site.rs"]
#[expect(dead_code, reason = "the tests of jobs need more of it")]
mod site;

use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use eventmesh::render::{RenderOptions, Wait};
use eventmesh::{Config, ErrorKind};
use host::Host;
use site::{Hits, site};

/// What it says is found in the page.
const SHOW: &str = "<script>const show=(text)=>document.body.append(text+' ');const work=(path)=>{const w=new Worker(path);\
                    w.onmessage=(e)=>show(e.data);return w}</script>";
const LOAD: &str = "(async()=>{for(let i=0;i<40;i++)await (await fetch('/big?'+i)).arrayBuffer();self.postMessage?.('done')})()";
const ASK: &str = "(async()=>{for(let i=0;i<60;i++)await (await fetch('/small?'+i)).text();postMessage('done')})()";
const TRACKED: &str = "const tell=(n)=>fetch('/tracker?'+n).then(()=>postMessage('loaded'),()=>postMessage('blocked'));tell(1);\
                       const inner=new Worker('/inner.js');inner.onmessage=(e)=>postMessage('inner-'+e.data)";
const INNER: &str = "fetch('/tracker?2').then(()=>postMessage('loaded'),()=>postMessage('blocked'))";
const HOG: &str = "const kept=[];setInterval(()=>{if(kept.length<40)kept.push(new Uint8Array(16<<20).fill(1))},50)";
/// Grows without a pause, and then does not rest either.
const BUSY: &str =
    "const end=Date.now()+5000,kept=[];while(Date.now()<end)if(kept.length<60)kept.push(new Uint8Array(8<<20).fill(1))";
const MAY: &str = "Promise.all(['geolocation','notifications','camera','microphone','clipboard-read','clipboard-write','midi']\
                   .map(async(name)=>show(name+'='+(await navigator.permissions.query({name})).state))).then(()=>show('done'))";

fn answer(path: &str) -> (&'static str, String) {
    let page = |script: &str| {
        ("text/html", format!("<!doctype html><title>x</title><body>{SHOW}<p>A page.</p><script>{script}</script>"))
    };
    let script = |text: &str| ("text/javascript", text.to_owned());
    match path {
        "/loads" => page("work('/load.js')"),
        "/asks" => page("work('/ask.js')"),
        "/tracked" => page("work('/tracked.js')"),
        "/hogs" => page("work('/hog.js')"),
        "/crowd" => page("const all=[];for(let i=0;i<60;i++)all.push(work('/idle.js?'+i))"),
        "/shared" => page("show('shared-'+typeof SharedWorker)"),
        "/serves" => page("navigator.serviceWorker.register('/load.js').catch((error)=>show(error))"),
        "/busy" => page(&format!("setTimeout(()=>{{{BUSY}}},50)")),
        "/busy-worker" => page("work('/busy.js')"),
        "/may" => page(MAY),
        "/load.js" => script(LOAD),
        "/ask.js" => script(ASK),
        "/tracked.js" => script(TRACKED),
        "/inner.js" => script(INNER),
        "/hog.js" => script(HOG),
        "/idle.js" => script("0"),
        "/busy.js" => script(BUSY),
        "/big" => ("application/octet-stream", "x".repeat(4 << 20)),
        _ => ("text/plain", "small".to_owned()),
    }
}

async fn visit(uri: Uri) -> Response {
    let (kind, body) = answer(uri.path());
    let head = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "max-age=7"),
        (ETAG, "\"x\""),
        (SET_COOKIE, "a=b"),
        // Who asks twice comes twice.
        (CONNECTION, "close"),
    ];
    (head, body).into_response()
}

/// `None` without a browser.
async fn start(change: impl FnOnce(&mut Config)) -> Option<Host<Hits>> {
    let (at, hits) = site(Router::new().fallback(visit)).await;
    Host::start(hits, at, change).await
}

/// How often the site was asked for what has this in its name.
fn asked(host: &Host<Hits>, part: &str) -> usize {
    host.site.each().iter().filter(|(target, _)| target.contains(part)).map(|(_, times)| times).sum()
}

/// A page that is to be ended for what it takes, long before it is done.
async fn refused(host: &Host<Hits>, page: &str) -> String {
    let error = host.render(page, waiting(Wait::Time(Duration::from_secs(8)))).await.expect_err(page);
    assert_eq!(error.kind(), ErrorKind::ResourceLimit, "{page}: {error}");
    error.to_string()
}

fn waiting(wait: Wait) -> RenderOptions {
    RenderOptions { wait, settle_cap: Duration::from_secs(8), ..RenderOptions::default() }
}

/// Until the page shows this.
fn shows(text: &str) -> RenderOptions {
    waiting(Wait::Function(format!("document.body.innerText.includes('{text}')")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_load_is_what_the_page_loads() {
    let change = |config: &mut Config| (config.browser.limits.bytes, config.browser.limits.requests) = (8 << 20, 50);
    let Some(host) = start(change).await else { return };
    for (page, what) in [("/loads", "8 MiB"), ("/serves", "8 MiB"), ("/asks", "50 requests")] {
        let before = asked(&host, "/big");
        let why = refused(&host, page).await;
        assert!(why.contains(what), "{page}: {why}");
        assert!(asked(&host, "/big") - before < 40, "{page} was let finish");
    }
    // What no page hears of does not run.
    let shown = host.render("/shared", shows("shared-")).await.expect("it is rendered").html;
    assert!(shown.contains("shared-undefined"), "{shown}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_left_out_for_workers() {
    let Some(host) = start(|_| {}).await else { return };
    let options = RenderOptions { block: vec!["*://*:*/tracker*".to_owned()], ..shows("inner-") };
    let rendered = host.render("/tracked", options).await.expect("it is rendered");
    assert!(rendered.html.contains("inner-blocked"), "{}", rendered.html);
    assert_eq!(asked(&host, "/tracker"), 0);
    let rendered = host.render("/tracked", shows("inner-")).await.expect("it is rendered");
    assert!(rendered.html.contains("inner-loaded"), "{}", rendered.html);
    assert_eq!(asked(&host, "/tracker"), 2);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_hold_is_what_the_page_holds() {
    let Some(host) = start(|config| config.browser.limits.page_memory = 64 << 20).await else { return };
    let why = refused(&host, "/hogs").await;
    assert!(why.contains("64 MiB are allowed"), "{why}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_only_so_many_workers() {
    let Some(host) = start(|_| {}).await else { return };
    let why = refused(&host, "/crowd").await;
    assert!(why.contains("more than 50 workers"), "{why}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_too_busy_to_be_asked_is_seen_from_outside() {
    let Some(host) = start(|config| config.browser.limits.page_memory = 64 << 20).await else { return };
    // A worker may have said what it holds before it got busy.
    for (page, allowed) in [("/busy", "256 MiB are allowed"), ("/busy-worker", "MiB are allowed")] {
        let why = refused(&host, page).await;
        assert!(why.contains(allowed), "{page}: {why}");
    }
    let rendered = host.render("/may", shows("done")).await.expect("the next page is rendered");
    assert!(rendered.html.contains("done"));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_nothing_and_says_how_long_it_is_good() {
    let Some(host) = start(|_| {}).await else { return };
    let rendered = host.render("/may", shows("done")).await.expect("it is rendered");
    for name in ["geolocation", "notifications", "camera", "microphone", "clipboard-read", "clipboard-write", "midi"] {
        assert!(rendered.html.contains(&format!("{name}=denied")), "{name}: {}", rendered.html);
    }
    let expected = [("cache-control", "max-age=7"), ("etag", "\"x\"")];
    // When it came is added on the way, where nobody says.
    let headers: Vec<_> = rendered.headers.iter().filter(|(name, _)| name != "date").collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, expected);
    host.stop().await;
}

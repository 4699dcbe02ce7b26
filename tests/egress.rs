//! Whom an engine connects to, and whom it does not, whatever a page, a redirect or a name says.
//!
//! The allowed site is at 127.0.0.2; the canary, which nobody may reach, at 127.0.0.1. Every refusal has its control: the same
//! page with the canary allowed, which does reach it.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "a test may fail, and one that is skipped says so")]
#![expect(clippy::disallowed_methods, reason = "sites end with the test")]

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::Html;
use axum::routing::get;
use eventmesh::render::{RenderOptions, Rendered, SettleReason, Wait};
use eventmesh::{Config, EgressPolicy, Engine, Error, ErrorKind, RenderMode, Request, Resolver, Resolving};
use tokio::net::TcpListener;

const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Counts who comes, and answers as a web server would.
struct Canary {
    address: SocketAddr,
    /// Connections.
    came: Arc<AtomicUsize>,
    /// Requests: a connection may be kept for the next page.
    asked: Arc<AtomicUsize>,
}

impl Canary {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let came = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(AtomicUsize::new(0));
        let (counted, requests) = (Arc::clone(&came), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let requests = Arc::clone(&requests);
                let answer = move || {
                    requests.fetch_add(1, Ordering::SeqCst);
                    std::future::ready(Html("<p>secret"))
                };
                let app = Router::new().fallback(axum::routing::any(answer));
                tokio::spawn(async move {
                    let service = hyper_util::service::TowerToHyperService::new(app);
                    let io = hyper_util::rt::TokioIo::new(stream);
                    let served = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                    drop(served);
                });
            }
        });
        Self { address, came, asked }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    /// Whether anybody has come or asked since the last time.
    fn heard(&self) -> bool {
        let (came, asked) = (self.came.swap(0, Ordering::SeqCst), self.asked.swap(0, Ordering::SeqCst));
        came + asked > 0
    }
}

/// Ways for a page to make its browser connect somewhere. `CANARY` is where.
const PAGES: &[(&str, &str)] = &[
    ("image", "<img src='http://CANARY/x.png'>"),
    ("script", "<script src='http://CANARY/x.js'></script>"),
    ("style", "<style>@import url('http://CANARY/x.css');</style>"),
    ("iframe", "<iframe src='http://CANARY/x'></iframe>"),
    ("iframe by name", "<iframe src='http://localhost:PORT/x'></iframe>"),
    ("iframe by another spelling", "<iframe src='http://0x7f000001:PORT/x'></iframe>"),
    ("embedded in IPv6", "<iframe src='http://[::ffff:127.0.0.1]:PORT/x'></iframe>"),
    ("tls", "<img src='https://CANARY/x.png'>"),
    ("fetch", "<script>fetch('http://CANARY/x', {mode: 'no-cors'}).catch(() => {})</script>"),
    ("beacon", "<script>navigator.sendBeacon('http://CANARY/x', 'y')</script>"),
    ("websocket", "<script>new WebSocket('ws://CANARY/x')</script>"),
    ("secure websocket", "<script>new WebSocket('wss://CANARY/x')</script>"),
    ("events", "<script>new EventSource('http://CANARY/x')</script>"),
    ("script that navigates", "<script>location.href = 'http://CANARY/x'</script>"),
    ("refresh", "<meta http-equiv=refresh content='0; url=http://CANARY/x'>"),
    ("form", "<form action='http://CANARY/x'></form><script>document.forms[0].submit()</script>"),
    ("popup", "<script>open('http://CANARY/x')</script>"),
    ("prefetch", "<link rel=preload as=image href='http://CANARY/x'><link rel=preconnect href='http://CANARY/'>"),
    ("redirected image", "<img src='/to-canary'>"),
    ("redirected frame", "<iframe src='/to-canary'></iframe>"),
    ("worker", "<script>new Worker(URL.createObjectURL(new Blob([\"fetch('http://CANARY/x', {mode: 'no-cors'})\"])))</script>"),
    (
        "turn",
        "<script>const c = new RTCPeerConnection({iceServers: [{urls: 'turn:CANARY?transport=tcp', username: 'a', credential: 'b'}]}); c.createDataChannel('x'); c.createOffer().then(o => c.setLocalDescription(o))</script>",
    ),
];

/// These do not reach the canary from this page even where they may: they need a certificate, or the page to be secure.
const WITHOUT_CONTROL: &[&str] = &["turn"];

/// Ways for a service worker to do so by itself. Until all of it has been tried, it is not installed.
const SERVICE_WORKERS: &[(&str, &str)] = &[
    ("at once", "const tried = fetch('http://CANARY/x', {mode: 'no-cors'}).then(() => {}, () => {}); UNTIL"),
    (
        "when it is installed",
        "const tried = new Promise(over => oninstall = () => fetch('http://CANARY/x', {mode: 'no-cors'}).then(over, over)); UNTIL",
    ),
    ("by a redirect", "const tried = fetch('/to-canary', {mode: 'no-cors'}).then(() => {}, () => {}); UNTIL"),
    (
        "by what it keeps",
        "const tried = caches.open('x').then(cache => cache.add('http://CANARY/x')).then(() => {}, () => {}); UNTIL",
    ),
    (
        "websocket",
        "const tried = new Promise(over => { const socket = new WebSocket('ws://CANARY/x'); socket.onopen = socket.onerror = over }); UNTIL",
    ),
    ("script of another site", "importScripts('http://CANARY/x.js')"),
];
const UNTIL: &str = "addEventListener('install', event => event.waitUntil(tried))";
/// Waits until its worker is there, or has failed for good.
const INSTALLS: &str = "<script>navigator.serviceWorker.register('worker.js').then(() => navigator.serviceWorker.ready)\
                        .then(() => {}, () => {}).then(() => window.tried = true)</script>";

/// Answers what the pages of its scope ask for, with what the canary says. That it has taken them over may not be told.
const BETWEEN: &str = "addEventListener('install', () => skipWaiting());\
                       addEventListener('activate', event => event.waitUntil(clients.claim()));\
                       addEventListener('fetch', event => {\
                       if (event.request.url.includes('asked')) event.respondWith(fetch('http://CANARY/x', {mode: 'no-cors'}))})";
const ASKS: &str = "<script>(async () => {\
                    const taken = new Promise(over => { navigator.serviceWorker.oncontrollerchange = over; setTimeout(over, 1500) });\
                    await navigator.serviceWorker.register('worker.js'); await navigator.serviceWorker.ready; await taken;\
                    document.body.append(await (await fetch('asked')).text())\
                    })().catch(error => document.body.append(error)).then(() => window.tried = true)</script>";

async fn site(canary: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((ALLOWED, 0)).await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let mut app = Router::new()
        .route(
            "/to-canary",
            get(move || async move { (axum::http::StatusCode::FOUND, [(LOCATION, format!("http://{canary}/x"))]) }),
        )
        .route(
            "/again/{left}",
            get(|path: axum::extract::Path<u32>| async move {
                let left = path.0;
                let next = if left == 0 { "/to-canary".to_owned() } else { format!("/again/{}", left - 1) };
                (axum::http::StatusCode::TEMPORARY_REDIRECT, [(LOCATION, next)])
            }),
        )
        .route("/plain", get(|| async { Html("<p>A page that anybody may read, with a few words.") }));
    for (index, (_, page)) in PAGES.iter().enumerate() {
        let page = page.replace("CANARY", &canary.to_string()).replace("PORT", &canary.port().to_string());
        app = app
            .route(&format!("/page/{index}"), get(move || async move { Html(format!("<!doctype html><body>{page}<p>Hello")) }));
    }
    let between = ("", BETWEEN);
    for (index, (_, worker)) in SERVICE_WORKERS.iter().chain([&between]).enumerate() {
        let worker = worker.replace("UNTIL", UNTIL).replace("CANARY", &canary.to_string());
        let page = if index < SERVICE_WORKERS.len() { INSTALLS } else { ASKS };
        app = app
            .route(
                &format!("/service/{index}/page"),
                get(move || async move { Html(format!("<!doctype html><body>{page}<p>Hello")) }),
            )
            .route(&format!("/service/{index}/asked"), get(|| async { "the site itself" }))
            .route(
                &format!("/service/{index}/worker.js"),
                get(move || async move { ([(CONTENT_TYPE, "text/javascript")], worker) }),
            );
    }
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn engine(policy: EgressPolicy, resolver: Option<Arc<dyn Resolver>>) -> Engine {
    let mut config = Config { workers: 1, deadline: Duration::from_secs(20), ..Config::default() };
    config.browser.program = Some(env!("CARGO_BIN_EXE_eventmesh").into());
    config.egress.policy = policy;
    if let Some(resolver) = resolver {
        config.egress.resolver = resolver;
    }
    Engine::builder().config(config).start().await.expect("it starts")
}

fn only_the_site() -> EgressPolicy {
    EgressPolicy::default().allowing([IpAddr::V4(ALLOWED).into()])
}

async fn kind(engine: &Engine, request: Request) -> Result<String, ErrorKind> {
    engine.extract(request).document().await.map(|answer| answer.document.text).map_err(|error: Error| error.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_looked_at_like_everything_else() {
    let canary = Canary::open().await;
    let site = site(canary.address).await;
    let strict = engine(only_the_site(), None).await;
    for path in ["to-canary", "again/0", "again/5"] {
        assert_eq!(kind(&strict, Request::url(format!("http://{site}/{path}"))).await, Err(ErrorKind::Blocked), "{path}");
    }
    assert_eq!(kind(&strict, Request::url(format!("http://{site}/again/20"))).await, Err(ErrorKind::SourceRefused));
    assert!(kind(&strict, Request::url(format!("http://{site}/plain"))).await.expect("it is allowed").contains("anybody"));
    assert_eq!(canary.came(), 0);
    assert_eq!(strict.snapshot().egress.refused, 3);
    let lenient = engine(EgressPolicy::default().allowing_loopback(), None).await;
    assert!(kind(&lenient, Request::url(format!("http://{site}/again/5"))).await.expect("it is allowed").contains("secret"));
    assert_eq!(canary.came(), 1, "the canary can be reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_allowed_is_not_connected_to() {
    let canary = Canary::open().await;
    let port = canary.address.port();
    let closed = engine(EgressPolicy::default(), None).await;
    for host in ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:7f00:1]", "0", "127.1", "2130706433", "LOCALHOST."] {
        for mode in [RenderMode::Never, RenderMode::Always] {
            let request = Request::url(format!("http://{host}:{port}/")).rendered(mode, RenderOptions::default());
            assert_eq!(kind(&closed, request).await, Err(ErrorKind::Blocked), "{host} {mode:?}");
        }
    }
    assert_eq!(canary.came(), 0);
}

/// Says what it was told to, one answer after the other, and the last one for ever.
#[derive(Debug)]
struct Scripted {
    answers: HashMap<&'static str, Vec<Vec<IpAddr>>>,
    asked: Mutex<HashMap<String, usize>>,
}

impl Resolver for Scripted {
    fn resolve<'r>(&'r self, host: &'r str) -> Resolving<'r> {
        Box::pin(async move {
            let answers = self.answers.get(host).ok_or(io::ErrorKind::NotFound)?;
            let mut asked = self.asked.lock().expect("nobody panics");
            let turn = asked.entry(host.to_owned()).or_default();
            let answer = answers[(*turn).min(answers.len() - 1)].clone();
            *turn += 1;
            Ok(answer)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let canary = Canary::open().await;
    let site = site(canary.address).await;
    let (good, bad) = (IpAddr::V4(ALLOWED), canary.address.ip());
    let answers = HashMap::from([
        ("rebinding.example.com", vec![vec![good], vec![bad]]),
        ("both.example.com", vec![vec![good, bad]]),
        ("bad.example.com", vec![vec![bad]]),
        ("good.example.com", vec![vec![good]]),
        ("none.example.com", vec![vec![]]),
    ]);
    let resolver = Arc::new(Scripted { answers, asked: Mutex::default() });
    let engine = engine(only_the_site(), Some(Arc::clone(&resolver) as Arc<dyn Resolver>)).await;
    let ask = async |host: &str, port: u16| kind(&engine, Request::url(format!("http://{host}:{port}/plain"))).await;
    assert!(ask("good.example.com", site.port()).await.is_ok());
    // What was looked up is what is connected to.
    assert!(ask("rebinding.example.com", site.port()).await.is_ok());
    for host in ["rebinding.example.com", "both.example.com", "bad.example.com"] {
        assert_eq!(ask(host, canary.address.port()).await, Err(ErrorKind::Blocked), "{host}");
    }
    for host in ["none.example.com", "unknown.example.com"] {
        assert_eq!(ask(host, canary.address.port()).await, Err(ErrorKind::SourceUnreadable), "{host}");
    }
    // A browser asks for the name once for us and once for itself, and gets the second answer looked at, too.
    let turns = HashMap::from([("later.example.com", vec![vec![good], vec![bad]])]);
    let resolver = Arc::new(Scripted { answers: turns, asked: Mutex::default() });
    let engine = self::engine(only_the_site(), Some(resolver)).await;
    if engine.snapshot().browser.missing.is_some() {
        eprintln!("SKIPPED: there is no browser");
        return;
    }
    let url = format!("http://later.example.com:{}/plain", canary.address.port());
    let rendered = kind(&engine, Request::url(url).rendered(RenderMode::Always, RenderOptions::default())).await;
    assert_eq!(rendered, Err(ErrorKind::Blocked));
    assert_eq!(canary.came(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_makes_its_browser_connect_elsewhere() {
    let canary = Canary::open().await;
    let site = site(canary.address).await;
    let strict = engine(only_the_site(), None).await;
    if let Some(missing) = strict.snapshot().browser.missing {
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let lenient = engine(EgressPolicy::default().allowing_loopback(), None).await;
    let options = RenderOptions { wait: Wait::Time(Duration::from_millis(400)), ..RenderOptions::default() };
    for (index, (name, _)) in PAGES.iter().enumerate() {
        let request = || Request::url(format!("http://{site}/page/{index}")).rendered(RenderMode::Always, options.clone());
        // A page that goes where it may not is none; all others are there, without what they may not have.
        match kind(&strict, request()).await {
            Ok(text) => assert!(!text.contains("secret"), "{name}: {text}"),
            Err(error) => assert_eq!(error, ErrorKind::Blocked, "{name}"),
        }
        assert_eq!(canary.came(), 0, "{name} reached the canary");
        let done = lenient.extract(request()).document().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        // A window is closed as soon as it is seen, often before it has asked for anything.
        let opened =
            done.rendered.is_some_and(|rendered| rendered.popups.iter().any(|url| url.contains(&canary.address.to_string())));
        assert!(canary.heard() || opened || WITHOUT_CONTROL.contains(name), "{name} does not even try");
    }
    assert!(strict.snapshot().egress.refused > 0);
    strict.shutdown(Duration::ZERO).await;
    lenient.shutdown(Duration::ZERO).await;
}

/// A page with a service worker, when its worker has tried what it tries.
async fn tried(engine: &Engine, site: SocketAddr, index: usize) -> Rendered {
    let wait = Wait::Function("window.tried".to_owned());
    let options = RenderOptions { wait, settle_cap: Duration::from_secs(15), raw: true, ..RenderOptions::default() };
    let request = Request::url(format!("http://{site}/service/{index}/page")).rendered(RenderMode::Always, options);
    let answer = engine.extract(request).document().await.expect("the page itself is allowed");
    let rendered = *answer.rendered.expect("it was rendered");
    assert_eq!(rendered.settled.reason, SettleReason::Came, "its worker never comes to an end: {}", rendered.html);
    rendered
}

#[tokio::test(flavor = "multi_thread")]
async fn no_service_worker_connects_elsewhere() {
    let canary = Canary::open().await;
    let site = site(canary.address).await;
    let strict = engine(only_the_site(), None).await;
    if let Some(missing) = strict.snapshot().browser.missing {
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let lenient = engine(EgressPolicy::default().allowing_loopback(), None).await;
    for (index, (name, _)) in SERVICE_WORKERS.iter().enumerate() {
        let refused = strict.snapshot().egress.refused;
        tried(&strict, site, index).await;
        assert_eq!(canary.came(), 0, "{name} reached the canary");
        assert!(strict.snapshot().egress.refused > refused, "{name} was not refused");
        tried(&lenient, site, index).await;
        assert!(canary.heard(), "{name} does not even try");
    }
    strict.shutdown(Duration::ZERO).await;
    lenient.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_service_worker_comes_between_a_page_and_its_site() {
    let canary = Canary::open().await;
    let site = site(canary.address).await;
    let strict = engine(only_the_site(), None).await;
    if let Some(missing) = strict.snapshot().browser.missing {
        eprintln!("SKIPPED: {missing}");
        return;
    }
    // Not even where it might connect to whom it wants to.
    let lenient = engine(EgressPolicy::default().allowing_loopback(), None).await;
    for engine in [&strict, &lenient] {
        let rendered = tried(engine, site, SERVICE_WORKERS.len()).await;
        assert!(rendered.html.contains("the site itself"), "{}", rendered.html);
        assert_eq!(canary.came(), 0, "a worker has answered");
    }
    strict.shutdown(Duration::ZERO).await;
    lenient.shutdown(Duration::ZERO).await;
}

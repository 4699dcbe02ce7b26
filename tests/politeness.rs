//! How sites are treated, by sites that count: how much is asked of them at once, again, and in spite of what they say.
//!
//! They are at 127.0.0.2 and 127.0.0.3, which are allowed, and therefore the operator's own.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may fail, one that is skipped says so, and its tasks need no names"
)]

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, LOCATION, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use eventmesh::render::{Cookie, RenderOptions};
use eventmesh::{
    Config, EgressPolicy, Engine, Error, ErrorKind, FetchLimits, HostLimits, RenderMode, Request, RetryLimits, Robots, Session,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// What a site has seen.
#[derive(Debug, Default)]
struct Seen {
    asked: Mutex<Vec<String>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Seen {
    fn times(&self, path: &str) -> usize {
        self.asked.lock().expect("nobody panics").iter().filter(|asked| *asked == path).count()
    }
}

/// A site with its robots.txt.
struct Site {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl Site {
    async fn open(host: Ipv4Addr, robots: impl IntoResponse + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::<Seen>::default();
        let app = Router::new()
            .route("/robots.txt", get(move || async move { robots }))
            .route("/page", get(page))
            .route("/private", get(page))
            .route("/to-private", get(|| async { (StatusCode::FOUND, [(LOCATION, "/private")]) }))
            .route("/slow", get(slow))
            .route("/pauses/{name}", get(pauses))
            .route("/enough", get(|| async { (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "3600")]) }))
            .route("/flaps/{times}", get(flaps))
            .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
            .route("/drips", get(drips))
            .route("/grows/{kib}", get(grows))
            .route("/headers/{number}", get(headers))
            .route("/steps", get(steps))
            .route("/cookies", get(cookies))
            .route("/stamp", get(|headers: HeaderMap| async move { ([(SET_COOKIE, "stamp=1; Path=/")], cookies(headers).await) }))
            .layer(from_fn_with_state(Arc::clone(&seen), look))
            .with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, seen }
    }

    async fn plain(host: Ipv4Addr) -> Self {
        Self::open(host, (StatusCode::NOT_FOUND, "")).await
    }

    fn request(&self, path: &str) -> Request {
        Request::url(format!("http://{}{path}", self.address))
    }
}

async fn look(State(seen): State<Arc<Seen>>, uri: Uri, request: axum::extract::Request, next: Next) -> Response {
    seen.asked.lock().expect("nobody panics").push(uri.path().to_owned());
    next.run(request).await
}

async fn page() -> Html<&'static str> {
    Html("<p>A page that anybody may read, with a few words.")
}

async fn slow(State(seen): State<Arc<Seen>>) -> Html<&'static str> {
    let running = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(running, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(30)).await;
    seen.running.fetch_sub(1, Ordering::SeqCst);
    page().await
}

async fn pauses(State(seen): State<Arc<Seen>>, uri: Uri) -> Response {
    if seen.times(uri.path()) == 1 {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response();
    }
    page().await.into_response()
}

async fn flaps(State(seen): State<Arc<Seen>>, Path(times): Path<usize>, uri: Uri) -> Response {
    if seen.times(uri.path()) <= times { StatusCode::BAD_GATEWAY.into_response() } else { page().await.into_response() }
}

async fn drips() -> Response {
    let drops = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>("<p>x"), ()))
    });
    ([(CONTENT_TYPE, "text/html")], Body::from_stream(drops)).into_response()
}

async fn grows(Path(kib): Path<usize>) -> Response {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&b"<p>word ".repeat(kib << 7)).expect("memory");
    let bytes = gzip.finish().expect("memory");
    ([(CONTENT_TYPE, "text/html"), (CONTENT_ENCODING, "gzip")], bytes).into_response()
}

async fn headers(Path(number): Path<usize>) -> Response {
    let mut response = page().await.into_response();
    for index in 0..number {
        let name = format!("x-header-{index}").parse::<axum::http::HeaderName>().expect("it is one");
        response.headers_mut().insert(name, "v".parse().expect("it is one"));
    }
    response
}

fn sent(headers: &HeaderMap) -> &str {
    headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or("nothing")
}

/// Redirects to itself until its cookie has counted to three.
async fn steps(headers: HeaderMap) -> Response {
    let step: usize = sent(&headers).strip_prefix("step=").and_then(|step| step.parse().ok()).unwrap_or(0);
    if step == 3 {
        return (StatusCode::FOUND, [(LOCATION, "/cookies")]).into_response();
    }
    (StatusCode::FOUND, [(LOCATION, "/steps".to_owned()), (SET_COOKIE, format!("step={}; Path=/", step + 1))]).into_response()
}

async fn cookies(headers: HeaderMap) -> Html<String> {
    Html(format!("<p>You have sent {} along.", sent(&headers)))
}

fn limits() -> FetchLimits {
    let retries = RetryLimits { base: Duration::from_millis(5), ..RetryLimits::default() };
    FetchLimits { retries, ..FetchLimits::default() }
}

async fn engine(fetch: FetchLimits) -> Engine {
    let mut config = Config { workers: 1, deadline: Duration::from_secs(30), fetch, ..Config::default() };
    config.browser.program = Some(env!("CARGO_BIN_EXE_eventmesh").into());
    config.egress.policy = EgressPolicy::default().allowing([IpAddr::V4(FIRST).into(), IpAddr::V4(SECOND).into()]);
    Engine::builder().config(config).start().await.expect("it starts")
}

async fn ask(engine: &Engine, request: Request) -> Result<String, Error> {
    engine.extract(request).document().await.map(|answer| answer.document.text)
}

/// All at once.
async fn all(engine: &Engine, requests: impl Iterator<Item = Request>) -> Vec<Result<String, Error>> {
    let mut asked = JoinSet::new();
    for request in requests {
        let engine = engine.clone();
        asked.spawn(async move { ask(&engine, request).await });
    }
    asked.join_all().await
}

async fn refused(engine: &Engine, request: Request, kind: ErrorKind) -> Error {
    let error = ask(engine, request).await.expect_err("it is refused");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_at_once_than_may_be() {
    let (first, second) = (Site::plain(FIRST).await, Site::plain(SECOND).await);
    let hosts = HostLimits { per_host: 3, per_second: 1_000.0, burst: 100, own: true, ..HostLimits::default() };
    let engine = engine(FetchLimits { hosts, ..limits() }).await;
    let requests = (0..30).map(|index| if index % 2 == 0 { first.request("/slow") } else { second.request("/slow") });
    let done = all(&engine, requests).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    for site in [&first, &second] {
        assert_eq!(site.seen.most.load(Ordering::SeqCst), 3);
        assert_eq!(site.seen.times("/slow"), 15);
    }
    assert!(engine.snapshot().fetch.waited > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_for_strangers_unless_the_operator_says_otherwise() {
    let site = Site::plain(FIRST).await;
    // One now, the next one in twenty minutes.
    let hosts = HostLimits { per_second: 0.001, burst: 1, ..HostLimits::default() };
    let own = engine(FetchLimits { hosts, ..limits() }).await;
    for _ in 0..5 {
        ask(&own, site.request("/page")).await.expect("it is the operator's");
    }
    let strict = engine(FetchLimits { hosts: HostLimits { own: true, ..hosts }, ..limits() }).await;
    ask(&strict, site.request("/page")).await.expect("the first");
    let error = refused(&strict, site.request("/page"), ErrorKind::Overloaded).await;
    assert!(error.retry_delay().is_some_and(|delay| delay > Duration::from_secs(60)), "{error}");
    assert_eq!(site.seen.times("/page"), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_wants_to_be_left_alone_is() {
    let (first, second) = (Site::plain(FIRST).await, Site::plain(SECOND).await);
    let engine = engine(limits()).await;
    ask(&engine, first.request("/pauses/one")).await.expect("it was asked again when it wanted to be");
    assert_eq!(first.seen.times("/pauses/one"), 2);
    let error = refused(&engine, first.request("/enough"), ErrorKind::SourceRefused).await;
    assert_eq!((error.upstream_status(), error.retry_delay()), (Some(429), Some(Duration::from_secs(3_600))));
    let error = refused(&engine, first.request("/page"), ErrorKind::SourceRefused).await;
    assert!(error.retry_delay().is_some(), "{error}");
    assert_eq!((first.seen.times("/enough"), first.seen.times("/page")), (1, 0));
    ask(&engine, second.request("/page")).await.expect("another one is not concerned");
    let snapshot = engine.snapshot().fetch;
    assert_eq!((snapshot.paused, snapshot.retried, snapshot.hosts), (2, 1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_a_moment_is_asked_for_again_and_no_more_often_than_may_be() {
    let site = Site::plain(FIRST).await;
    let engine = engine(limits()).await;
    ask(&engine, site.request("/flaps/2")).await.expect("the third time");
    assert_eq!(site.seen.times("/flaps/2"), 3);
    refused(&engine, site.request("/flaps/3"), ErrorKind::SourceRefused).await;
    assert_eq!(site.seen.times("/flaps/3"), 3);
    // What has nothing to do with the moment is not.
    refused(&engine, site.request("/broken"), ErrorKind::SourceRefused).await;
    refused(&engine, site.request("/nowhere"), ErrorKind::SourceNotFound).await;
    assert_eq!((site.seen.times("/broken"), site.seen.times("/nowhere")), (1, 1));
    assert_eq!(engine.snapshot().fetch.retried, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fail_are_tried_again() {
    // Nobody listens there any more.
    let gone = TcpListener::bind((FIRST, 0)).await.expect("a port").local_addr().expect("it is bound");
    let engine = engine(limits()).await;
    refused(&engine, Request::url(format!("http://{gone}/")), ErrorKind::SourceUnreadable).await;
    assert_eq!(engine.snapshot().fetch.retried, 2);
    // One that closes every connection at once.
    let listener = TcpListener::bind((FIRST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    refused(&engine, Request::url(format!("http://{address}/")), ErrorKind::SourceUnreadable).await;
    assert_eq!(came.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_host_is_left_alone_and_tried_by_one() {
    let (first, second) = (Site::plain(FIRST).await, Site::plain(SECOND).await);
    let hosts = HostLimits { open: Duration::from_millis(300), window: Duration::from_secs(60), ..HostLimits::default() };
    let engine = engine(FetchLimits { hosts, ..limits() }).await;
    for _ in 0..5 {
        refused(&engine, first.request("/broken"), ErrorKind::SourceRefused).await;
    }
    let error = refused(&engine, first.request("/page"), ErrorKind::SourceUnreadable).await;
    let after = error.retry_delay().expect("it says when");
    assert_eq!((first.seen.times("/page"), engine.snapshot().fetch.opened), (0, 1));
    ask(&engine, second.request("/page")).await.expect("another one is not concerned");
    tokio::time::sleep(after).await;
    // The one that tries fails, and the others with it.
    refused(&engine, first.request("/broken"), ErrorKind::SourceRefused).await;
    let error = refused(&engine, first.request("/page"), ErrorKind::SourceUnreadable).await;
    tokio::time::sleep(error.retry_delay().expect("it says when")).await;
    let done = all(&engine, (0..5).map(|_| first.request("/page"))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!((first.seen.times("/broken"), first.seen.times("/page")), (6, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets() {
    let site = Site::plain(FIRST).await;
    let engine = engine(FetchLimits { body: Duration::from_millis(300), headers: 64, ..limits() }).await;
    let error = refused(&engine, site.request("/drips"), ErrorKind::SourceUnreadable).await;
    assert!(error.to_string().contains("did not come within"), "{error}");
    let error = refused(&engine, site.request("/grows/8192"), ErrorKind::TooLarge).await;
    assert!(error.to_string().contains("200 times"), "{error}");
    ask(&engine, site.request("/grows/512")).await.expect("it is small");
    refused(&engine, site.request("/headers/100"), ErrorKind::SourceUnreadable).await;
    ask(&engine, site.request("/headers/40")).await.expect("these are not too many");
    let snapshot = engine.snapshot();
    assert_eq!((snapshot.admitted_bytes, snapshot.requests), (0, 0));
}

const RULES: &str = "User-agent: *\nDisallow: /private\n\nUser-agent: somebody-else\nDisallow: /\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_robots_txt_does_not_allow_is_not_asked_for() {
    let site = Site::open(FIRST, (StatusCode::OK, RULES)).await;
    let polite = engine(FetchLimits { robots: true, ..limits() }).await;
    let done = all(&polite, (0..10).map(|_| site.request("/page"))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    for path in ["/private", "/private?x", "/to-private", "/%70rivate"] {
        refused(&polite, site.request(path), ErrorKind::Disallowed).await;
    }
    refused(&polite, site.request("/page").robots(Robots::Ignore), ErrorKind::Disallowed).await;
    assert_eq!((site.seen.times("/robots.txt"), site.seen.times("/private"), site.seen.times("/page")), (1, 0, 10));
    assert_eq!((polite.snapshot().fetch.disallowed, polite.snapshot().fetch.robots), (4, 1));
    let lenient = engine(FetchLimits { robots: true, robots_optional: true, ..limits() }).await;
    ask(&lenient, site.request("/private").robots(Robots::Ignore)).await.expect("the operator lets it");
    refused(&lenient, site.request("/private"), ErrorKind::Disallowed).await;
    let rude = engine(limits()).await;
    ask(&rude, site.request("/private")).await.expect("nobody has looked");
    assert_eq!(site.seen.times("/robots.txt"), 2);
    refused(&rude, site.request("/private").robots(Robots::Honour), ErrorKind::Disallowed).await;
    assert_eq!((site.seen.times("/robots.txt"), site.seen.times("/private")), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_rules_allows_all_and_one_that_fails_nothing() {
    for status in [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN, StatusCode::NO_CONTENT] {
        let site = Site::open(FIRST, (status, "")).await;
        let engine = engine(FetchLimits { robots: true, ..limits() }).await;
        ask(&engine, site.request("/private")).await.expect("it is allowed");
    }
    let site = Site::open(FIRST, (StatusCode::INTERNAL_SERVER_ERROR, RULES)).await;
    let engine = engine(FetchLimits { robots: true, robots_again: Duration::from_secs(600), ..limits() }).await;
    for _ in 0..3 {
        let error = refused(&engine, site.request("/page"), ErrorKind::Disallowed).await;
        assert!(error.retry_delay().is_some(), "{error}");
    }
    assert_eq!((site.seen.times("/robots.txt"), site.seen.times("/page")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_are_sent_as_gzip_are_read_and_those_that_cannot_be_allow_nothing() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(RULES.as_bytes()).expect("packs");
    let packed = packed.finish().expect("packs");
    let site = Site::open(FIRST, ([(CONTENT_ENCODING, "gzip")], packed.clone())).await;
    let polite = engine(FetchLimits { robots: true, ..limits() }).await;
    ask(&polite, site.request("/page")).await.expect("it is allowed");
    refused(&polite, site.request("/private"), ErrorKind::Disallowed).await;
    assert_eq!(site.seen.times("/private"), 0);
    for (coding, body) in [("gzip", packed[..packed.len() / 2].to_vec()), ("br", packed)] {
        let site = Site::open(FIRST, ([(CONTENT_ENCODING, coding)], body)).await;
        let polite = engine(FetchLimits { robots: true, ..limits() }).await;
        let error = refused(&polite, site.request("/page"), ErrorKind::SourceUnreadable).await;
        assert!(error.retry_delay().is_some(), "{error}");
        assert_eq!(site.seen.times("/page"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_its_cookies_from_hop_to_hop_and_from_request_to_request() {
    let (first, second) = (Site::plain(FIRST).await, Site::plain(SECOND).await);
    let engine = engine(limits()).await;
    // Without cookies it never gets anywhere.
    refused(&engine, first.request("/steps"), ErrorKind::SourceRefused).await;
    let session = Session::new();
    let text = ask(&engine, first.request("/steps").session(session.clone())).await.expect("three steps");
    assert!(text.contains("step=3"), "{text}");
    let text = ask(&engine, first.request("/cookies").session(session.clone())).await.expect("a page");
    assert!(text.contains("step=3"), "{text}");
    for request in [second.request("/cookies").session(session.clone()), first.request("/cookies")] {
        let text = ask(&engine, request).await.expect("a page");
        assert!(text.contains("nothing"), "{text}");
    }
    assert_eq!(session.cookies().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shares_the_session_and_the_manners() {
    let site = Site::open(FIRST, (StatusCode::OK, RULES)).await;
    let engine = engine(FetchLimits { robots: true, ..limits() }).await;
    if let Some(missing) = engine.snapshot().browser.missing {
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let render = |path: &str| site.request(path).rendered(RenderMode::Always, RenderOptions::default());
    let session = Session::new();
    let given = Cookie {
        name: "given".to_owned(),
        value: "1".to_owned(),
        domain: Some(FIRST.to_string()),
        path: None,
        secure: false,
        http_only: true,
        expires: None,
    };
    session.put(vec![given]).expect("it makes sense");
    let answer = engine.extract(render("/stamp").session(session.clone())).document().await.expect("a page");
    assert!(answer.document.text.contains("given=1"), "{}", answer.document.text);
    assert!(answer.rendered.expect("it was rendered").cookies.is_empty(), "nobody has asked for them");
    let mut names: Vec<_> = session.cookies().into_iter().map(|cookie| (cookie.name, cookie.domain)).collect();
    names.sort_unstable();
    let here = Some(FIRST.to_string());
    assert_eq!(names, [("given".to_owned(), here.clone()), ("stamp".to_owned(), here)]);
    let text = ask(&engine, site.request("/cookies").session(session)).await.expect("a page");
    assert!(text.contains("given=1; stamp=1"), "{text}");
    refused(&engine, render("/private"), ErrorKind::Disallowed).await;
    assert_eq!((site.seen.times("/private"), site.seen.times("/robots.txt")), (0, 1));
    engine.shutdown(Duration::ZERO).await;
}

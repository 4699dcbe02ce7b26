//! Promises of the engine, each tried on a real engine with a real sandbox and a real HTTP client.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail, and its tasks are its own")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventmesh::{ArtifactCache, Chunk, Config, EgressConfig, EgressPolicy, Engine, ErrorKind, PageType, Request, StartError};
use eventmesh_chaos::site::{PAGE, Site, gzip};

/// Far more than anything here needs: a test that reaches it has found a hang.
const LONG: Duration = Duration::from_secs(60);

fn config() -> Config {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm-cache");
    let egress = EgressConfig { policy: EgressPolicy::default().allowing_loopback(), ..EgressConfig::default() };
    Config { workers: 2, artifact_cache: ArtifactCache::Directory(cache), deadline: LONG, egress, ..Config::default() }
}

async fn engine(config: Config) -> Engine {
    Engine::builder().config(config).start().await.expect("the engine starts")
}

fn page() -> Request {
    Request::bytes(PAGE.as_bytes())
}

/// A page that keeps a worker busy until its deadline: attributes are compared each with each.
fn endless() -> Request {
    let attributes: String = (0..1_000_000).map(|number| format!(" a{number}=1")).collect();
    Request::bytes(format!("<p{attributes}>").into_bytes())
}

async fn kind_of(engine: &Engine, request: Request) -> ErrorKind {
    engine.extract(request).document().await.expect_err("it fails").kind()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_comes_back_as_a_document() {
    let engine = engine(config()).await;
    let answer = engine.extract(page().base_url("https://example.com/dir/")).document().await.expect("a document");
    assert_eq!(answer.document.title.as_deref(), Some("A page"));
    assert_eq!(answer.document.language.as_deref(), Some("en"));
    assert_eq!(answer.document.page_type, PageType::Other);
    assert!(answer.document.markdown.contains("[a link](https://example.com/dir/more.html)"), "{}", answer.document.markdown);
    assert_eq!(answer.head.bytes, PAGE.len());
    assert!(answer.timing.total >= answer.timing.extract);
    engine.shutdown(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_request_gets_exactly_one_terminal_chunk() {
    let engine = engine(Config { max_requests: 2000, ..config() }).await;
    let terminal = Arc::new(AtomicU64::new(0));
    let mut readers = Vec::new();
    for number in 0..500u32 {
        let request = match number % 5 {
            0 => Request::bytes(b"%PDF-1.7".as_slice()),
            1 => Request::path("no-such-file"),
            2 => endless().deadline(Duration::from_millis(1)),
            _ => page(),
        };
        let (mut reply, terminal) = (engine.extract(request), Arc::clone(&terminal));
        readers.push(tokio::spawn(async move {
            let mut ended = false;
            while let Some(chunk) = reply.next().await {
                assert!(!ended, "a chunk after the last one");
                if let Chunk::Done(_) | Chunk::Error(_) = chunk {
                    ended = true;
                    terminal.fetch_add(1, Ordering::SeqCst);
                }
            }
        }));
    }
    for reader in readers {
        reader.await.expect("no reader panics");
    }
    assert_eq!(terminal.load(Ordering::SeqCst), 500);
    let snapshot = engine.snapshot();
    assert_eq!((snapshot.requests, snapshot.admitted_bytes, snapshot.sandbox.live_memories), (0, 0, 0), "{snapshot:?}");
    assert_eq!(snapshot.tree.pools()[0].counts.violations.len(), 0);
    engine.shutdown(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_never_ends_disturbs_nobody() {
    let engine = engine(config()).await;
    let bad = engine.extract(endless().deadline(Duration::from_secs(1))).document();
    let bad = tokio::spawn(bad);
    for _ in 0..50 {
        engine.extract(page()).document().await.expect("the other worker serves");
    }
    let error = bad.await.expect("no panic").expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    assert!(engine.snapshot().tree.pools()[0].counts.restarts.is_empty(), "its worker lives on");
    engine.shutdown(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_reply_cancels_its_work() {
    let engine = engine(Config { workers: 1, ..config() }).await;
    let mut reply = engine.extract(endless());
    assert!(matches!(reply.next().await, Some(Chunk::Head(_))));
    drop(reply);
    // The only worker is free again, long before the deadline of the page that nobody wants.
    engine.extract(page().deadline(LONG / 2)).document().await.expect("a document");
    while engine.snapshot().admitted_bytes > 0 {
        tokio::task::yield_now().await;
    }
    engine.shutdown(LONG).await;
}

/// Replies dropped faster than the sandbox looks at its clock: no worker is taken for broken.
#[tokio::test(flavor = "multi_thread")]
async fn many_dropped_replies_cost_no_worker() {
    let engine = engine(Config { workers: 1, ..config() }).await;
    for _ in 0..50 {
        let mut reply = engine.extract(endless_of(300 << 10));
        assert!(matches!(reply.next().await, Some(Chunk::Head(_))));
        tokio::time::sleep(Duration::from_millis(2)).await;
        drop(reply);
    }
    engine.extract(page()).document().await.expect("a document");
    let counts = engine.snapshot().tree.pools()[0].counts.clone();
    assert!(counts.restarts.is_empty(), "{counts:?}");
    engine.shutdown(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_at_once_and_says_when_to_come_back() {
    let engine = engine(Config { max_requests: 1, ..config() }).await;
    let busy = engine.extract(endless().deadline(Duration::from_secs(2)));
    let error = engine.extract(page()).document().await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.retry_delay().is_some());
    drop(busy);
    while engine.snapshot().requests > 0 {
        tokio::task::yield_now().await;
    }
    engine.extract(page()).document().await.expect("room again");
    engine.shutdown(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_past_the_budget_of_bytes_is_refused() {
    let engine = engine(Config { max_page_bytes: 1 << 20, max_admitted_bytes: 1 << 20, ..config() }).await;
    assert_eq!(kind_of(&engine, Request::bytes(vec![b'x'; (1 << 20) + 1])).await, ErrorKind::TooLarge);
    let mut half = engine.extract(endless_of(600 << 10));
    assert!(matches!(half.next().await, Some(Chunk::Head(_))));
    assert_eq!(kind_of(&engine, Request::bytes(vec![b'x'; 600 << 10])).await, ErrorKind::Overloaded);
    drop(half);
    engine.shutdown(LONG).await;
}

fn endless_of(bytes: usize) -> Request {
    let mut page = String::from("<p");
    for number in 0.. {
        page.push_str(&format!(" a{number}"));
        if page.len() >= bytes {
            break;
        }
    }
    Request::bytes(page.into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_lets_work_end_and_tells_the_rest() {
    let engine = engine(config()).await;
    let fine: Vec<_> = (0..20).map(|_| tokio::spawn(engine.extract(page()).document())).collect();
    let late = tokio::spawn(engine.extract(endless()).document());
    tokio::time::timeout(LONG, engine.shutdown(Duration::from_millis(500))).await.expect("it ends");
    for reply in fine {
        let answer = reply.await.expect("no panic");
        assert!(answer.is_ok(), "{answer:?}");
    }
    let error = late.await.expect("no panic").expect_err("it was given up");
    assert_eq!(error.kind(), ErrorKind::ShuttingDown, "{error}");
    assert_eq!(kind_of(&engine, page()).await, ErrorKind::ShuttingDown);
    let snapshot = engine.snapshot();
    assert!(snapshot.tree.pools()[0].children.is_empty(), "{snapshot:?}");
    assert_eq!(snapshot.tree.state, "down");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_engines_in_one_process_never_meet() {
    let first = engine(Config { workers: 1, max_requests: 1, ..config() }).await;
    let second = engine(Config { workers: 1, ..config() }).await;
    let mut told = second.events();
    let busy = first.extract(endless());
    assert_eq!(kind_of(&first, page()).await, ErrorKind::Overloaded);
    for _ in 0..10 {
        second.extract(page()).document().await.expect("the other engine is not busy");
    }
    drop(busy);
    first.shutdown(LONG).await;
    second.extract(page()).document().await.expect("the other engine is not down");
    assert_eq!(second.snapshot().sandbox.pages, 11);
    second.shutdown(LONG).await;
    drop((first, second));
    while let Some(event) = told.recv().await {
        let text = format!("{event:?}");
        assert!(!text.contains("ChildStarted"), "the second engine was told of the first one's child: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense_start_nothing() {
    let result = Engine::builder().config(Config { workers: 0, deadline: Duration::ZERO, ..config() }).start().await;
    assert!(matches!(result, Err(StartError::Config { problems }) if problems.len() == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_fetched_as_they_are_meant() {
    let (engine, open) = (engine(config()).await, Site::open().await.expect("a port"));
    let site = open.address();
    let get = |path: &str| engine.extract(Request::url(format!("http://{site}{path}"))).document();
    let page = get("/page").await.expect("a document");
    assert_eq!((page.head.status, page.document.title.as_deref()), (Some(200), Some("A page")));
    assert_eq!(get("/latin").await.expect("a document").document.text, "Viele Grüße");
    assert_eq!(get("/zipped").await.expect("a document").head.bytes, PAGE.len());
    assert_eq!(get("/padded").await.expect("a document").head.bytes, PAGE.len());
    let moved = get("/moved").await.expect("a document");
    assert_eq!(moved.head.url, Some(format!("http://{site}/dir/page")));
    assert!(
        moved.document.markdown.contains(&format!("http://{site}/dir/more.html")),
        "links are relative to where it was found"
    );
    engine.shutdown(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_bad_manners_gets_a_typed_error_and_holds_nobody_up() {
    let (engine, open) = (engine(config()).await, Site::open().await.expect("a port"));
    let site = open.address();
    let table = [
        ("/nowhere", ErrorKind::SourceNotFound),
        ("/gone", ErrorKind::SourceNotFound),
        ("/forbidden", ErrorKind::SourceRefused),
        ("/loop", ErrorKind::SourceRefused),
        ("/image", ErrorKind::Unsupported),
        ("/brotli", ErrorKind::Unsupported),
        ("/bomb", ErrorKind::TooLarge),
        ("/huge", ErrorKind::TooLarge),
        ("/endless", ErrorKind::TooLarge),
        ("/badly-zipped", ErrorKind::SourceUnreadable),
        ("/liar", ErrorKind::SourceUnreadable),
        ("/nonsense", ErrorKind::SourceUnreadable),
    ];
    for (path, expected) in table {
        let error = engine.extract(Request::url(format!("http://{site}{path}"))).document().await.expect_err(path);
        assert_eq!(error.kind(), expected, "{path}: {error}");
    }
    let silent = Request::url(format!("http://{site}/silent")).deadline(Duration::from_millis(200));
    assert_eq!(kind_of(&engine, silent).await, ErrorKind::Deadline);
    for (address, expected) in [
        ("http://[", ErrorKind::InvalidRequest),
        ("file:///etc/passwd", ErrorKind::InvalidRequest),
        ("http://no-such-host.invalid/", ErrorKind::SourceUnreadable),
    ] {
        assert_eq!(kind_of(&engine, Request::url(address)).await, expected, "{address}");
    }
    assert_eq!(engine.snapshot().admitted_bytes, 0);
    engine.shutdown(LONG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_and_decompressed_within_limits() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = engine(Config { max_page_bytes: 1 << 20, max_admitted_bytes: 4 << 20, ..config() }).await;
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("own directory");
        path
    };
    let zipped = file("page.html.gz", &gzip(PAGE.as_bytes()));
    assert_eq!(
        engine.extract(Request::path(zipped)).document().await.expect("a document").document.title.as_deref(),
        Some("A page")
    );
    let bomb = file("bomb.html.gz", &gzip(&vec![b'x'; 64 << 20]));
    assert_eq!(kind_of(&engine, Request::path(bomb)).await, ErrorKind::TooLarge);
    let truncated = file("truncated.html.gz", &gzip(PAGE.as_bytes())[..40]);
    assert_eq!(kind_of(&engine, Request::path(truncated)).await, ErrorKind::SourceUnreadable);
    assert_eq!(kind_of(&engine, Request::path(directory.path())).await, ErrorKind::SourceUnreadable);
    assert_eq!(kind_of(&engine, Request::path("/dev/zero")).await, ErrorKind::SourceUnreadable);
    engine.shutdown(LONG).await;
}

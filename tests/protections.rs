//! What a rendered page may not do, by itself or by its workers. Without a browser these tests are skipped, and say so.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "a test may fail, and one that is skipped says so")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eventmesh::actors::spawn_named;
use eventmesh::render::{RenderOptions, Rendered, Wait};
use eventmesh::{Config, Engine, Error, ErrorKind, RenderMode, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

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

/// A site that takes note of what it is asked for.
struct Site {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    door: AbortHandle,
}

impl Site {
    async fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let door = spawn_named("site", {
            let asked = Arc::clone(&asked);
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let asked = Arc::clone(&asked);
                    spawn_named("visitor", async move { drop(visit(socket, &asked).await) });
                }
            }
        });
        Self { address, asked, door: door.abort_handle() }
    }

    fn asked(&self, part: &str) -> usize {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|target| target.contains(part)).count()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn visit(mut socket: TcpStream, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > 64 << 10 || socket.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let target = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(target);
    let (kind, body) = answer(&path);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: max-age=7\r\nETag: \"x\"\r\n\
         Set-Cookie: a=b\r\nConnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    socket.shutdown().await
}

struct Host {
    engine: Engine,
    site: Site,
    _scratch: tempfile::TempDir,
}

impl Host {
    /// `None` without a browser.
    async fn start(change: impl FnOnce(&mut Config)) -> Option<Self> {
        let scratch = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).expect("it is ours");
        let mut config = Config { scratch: Some(scratch.path().to_owned()), ..Config::default() };
        config.browser.program = Some(env!("CARGO_BIN_EXE_eventmesh").into());
        config.egress.policy = config.egress.policy.allowing_loopback();
        change(&mut config);
        let engine = Engine::builder().config(config).start().await.expect("it starts");
        if let Some(missing) = engine.snapshot().browser.missing {
            eprintln!("SKIPPED: {missing}");
            return None;
        }
        Some(Self { engine, site: Site::open().await, _scratch: scratch })
    }

    async fn render(&self, page: &str, options: RenderOptions) -> Result<Rendered, Error> {
        let options = RenderOptions { raw: true, settle_cap: Duration::from_secs(8), ..options };
        let request = Request::url(format!("http://{}{page}", self.site.address)).rendered(RenderMode::Always, options);
        let answer = self.engine.extract(request).document().await?;
        Ok(*answer.rendered.expect("it was rendered"))
    }

    /// A page that is to be ended for what it takes, long before it is done.
    async fn refused(&self, page: &str) -> String {
        let options = RenderOptions { wait: Wait::Time(Duration::from_secs(8)), ..RenderOptions::default() };
        let error = self.render(page, options).await.expect_err(page);
        assert_eq!(error.kind(), ErrorKind::ResourceLimit, "{page}: {error}");
        error.to_string()
    }

    async fn stop(self) {
        self.engine.shutdown(Duration::ZERO).await;
    }
}

/// Until the page shows this.
fn shows(text: &str) -> RenderOptions {
    RenderOptions { wait: Wait::Function(format!("document.body.innerText.includes('{text}')")), ..RenderOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_load_is_what_the_page_loads() {
    let change = |config: &mut Config| (config.browser.limits.bytes, config.browser.limits.requests) = (8 << 20, 50);
    let Some(host) = Host::start(change).await else { return };
    for (page, what) in [("/loads", "8 MiB"), ("/serves", "8 MiB"), ("/asks", "50 requests")] {
        let before = host.site.asked("/big");
        let why = host.refused(page).await;
        assert!(why.contains(what), "{page}: {why}");
        assert!(host.site.asked("/big") - before < 40, "{page} was let finish");
    }
    // What no page hears of does not run.
    let shown = host.render("/shared", shows("shared-")).await.expect("it is rendered").html;
    assert!(shown.contains("shared-undefined"), "{shown}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_left_out_for_workers() {
    let Some(host) = Host::start(|_| {}).await else { return };
    let options = RenderOptions { block: vec!["*://*:*/tracker*".to_owned()], ..shows("inner-") };
    let rendered = host.render("/tracked", options).await.expect("it is rendered");
    assert!(rendered.html.contains("inner-blocked"), "{}", rendered.html);
    assert_eq!(host.site.asked("/tracker"), 0);
    let rendered = host.render("/tracked", shows("inner-")).await.expect("it is rendered");
    assert!(rendered.html.contains("inner-loaded"), "{}", rendered.html);
    assert_eq!(host.site.asked("/tracker"), 2);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_hold_is_what_the_page_holds() {
    let Some(host) = Host::start(|config| config.browser.limits.page_memory = 64 << 20).await else { return };
    let why = host.refused("/hogs").await;
    assert!(why.contains("64 MiB are allowed"), "{why}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_only_so_many_workers() {
    let Some(host) = Host::start(|_| {}).await else { return };
    let why = host.refused("/crowd").await;
    assert!(why.contains("more than 50 workers"), "{why}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_too_busy_to_be_asked_is_seen_from_outside() {
    let Some(host) = Host::start(|config| config.browser.limits.page_memory = 64 << 20).await else { return };
    // A worker may have said what it holds before it got busy.
    for (page, allowed) in [("/busy", "256 MiB are allowed"), ("/busy-worker", "MiB are allowed")] {
        let why = host.refused(page).await;
        assert!(why.contains(allowed), "{page}: {why}");
    }
    let rendered = host.render("/may", shows("done")).await.expect("the next page is rendered");
    assert!(rendered.html.contains("done"));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_nothing_and_says_how_long_it_is_good() {
    let Some(host) = Host::start(|_| {}).await else { return };
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

//! A site of pages that take their time, which knows how many it is being asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Html;
use axum::routing::get;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::daemon::PATIENCE;

/// A site at an address of its own.
pub(crate) struct Site {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    held: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

/// Counts a request for as long as somebody waits for it.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) const PROSE: &str = "The heron stands still for a long time, and then it does not. What it has seen in the water is a fish, \
     which has not seen the heron; the rest is a matter of a moment. It is said that herons are patient.";

fn page(title: &str) -> Html<String> {
    Html(format!("<!doctype html><title>{title}</title><article><h1>{title}</h1><p>{PROSE}<p><a href=/next>Next</a></article>"))
}

#[derive(Clone)]
struct Shared {
    open: Arc<AtomicUsize>,
    held: watch::Receiver<bool>,
}

/// A page that comes when the test says so.
async fn held(State(mut shared): State<Shared>) -> Html<String> {
    let _counted = Counted::new(&shared.open);
    // A site that is gone holds nobody.
    let _ = shared.held.wait_for(|held| !held).await;
    page("Held")
}

async fn slow(State(Shared { open, .. }): State<Shared>, Query(Slow { ms }): Query<Slow>) -> Html<String> {
    let _counted = Counted::new(&open);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    page("Slow")
}

/// A page that always has something to fetch, and always changes.
async fn restless() -> Html<&'static str> {
    Html(
        "<!doctype html><title>Restless</title><p id=p>x<script>let n=0;\
         setInterval(()=>{p.textContent='at '+(++n)},20);\
         (async()=>{for(;;){try{await fetch('/slow?ms=50&n='+n)}catch(e){}}})()</script>",
    )
}

impl Site {
    pub(crate) async fn open() -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        let held_now = watch::Sender::new(true);
        let router = Router::new()
            .route("/page", get(|| async { page("A heron") }))
            // For those who ask what they may ask for.
            .route("/robots.txt", get(|| async { "User-agent: *\nDisallow: /private\n" }))
            .route("/private", get(|| async { page("A heron in private") }))
            .route("/held", get(held))
            .route("/slow", get(slow))
            .route("/restless", get(restless))
            .with_state(Shared { open: Arc::clone(&open), held: held_now.subscribe() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { address, open, held: held_now, serving }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Lets go of all pages that are held.
    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }

    /// Waits until as many pages are being asked for.
    pub(crate) async fn until_open(&self, what: &str, wanted: impl Fn(usize) -> bool) {
        let began = Instant::now();
        while !wanted(self.open.load(Ordering::SeqCst)) {
            assert!(began.elapsed() < PATIENCE, "never {what}: {}", self.open.load(Ordering::SeqCst));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A PDF of as many pages, each with a good deal of text.
pub(crate) fn pdf(pages: usize) -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    let mut object = |bytes: &mut Vec<u8>, text: &str| {
        offsets.push(bytes.len());
        bytes.extend_from_slice(format!("{} 0 obj\n{text}\nendobj\n", offsets.len()).as_bytes());
    };
    object(&mut bytes, "<</Type/Catalog/Pages 2 0 R>>");
    let kids: String = (0..pages).map(|page| format!("{} 0 R ", 4 + page * 2)).collect();
    object(&mut bytes, &format!("<</Type/Pages/Count {pages}/Kids[{kids}]>>"));
    object(&mut bytes, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>");
    for page in 0..pages {
        let content = 5 + page * 2;
        let head =
            format!("<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F 3 0 R>>>>/Contents {content} 0 R>>");
        object(&mut bytes, &head);
        let lines: String = (0..40)
            .map(|line| format!("({page} {line} herons are patient, {line} fish are not, and so it goes.)Tj T* "))
            .collect();
        let text = format!("BT /F 10 Tf 14 TL 72 740 Td {lines}ET");
        object(&mut bytes, &format!("<</Length {}>>stream\n{text}\nendstream", text.len()));
    }
    let start = bytes.len();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", offsets.len() + 1);
    for offset in &offsets {
        table.push_str(&format!("{offset:010} 00000 n \n"));
    }
    table.push_str(&format!("trailer<</Size {}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n", offsets.len() + 1));
    bytes.extend_from_slice(table.as_bytes());
    bytes
}

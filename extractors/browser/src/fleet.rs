//! Browsers that take turns: one is in use, and when it wears out, another one is started and tried before it takes over. The old
//! one finishes its pages.
//!
//! ```text
//!   Fleet ──┬── current ◀── leases ◀── pages
//!           ├── draining (until its pages are done, or its time is up) ──▶ stopped
//!           └── watch: canary, memory, pages, end; backoff between failed starts
//! ```

mod canary;
mod policy;
mod snapshot;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use eventmesh_actors::process::ProcessHost;
use eventmesh_actors::{Backoff, BackoffSpec, ServiceContext, is_shortage, spawn_named};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::error::{Doing, RenderError};
use crate::instance::{Browser, BrowserLease};
use crate::page::Page;
use crate::request::RenderRequest;
use crate::spec::{BrowserSpec, SandboxPolicy};
use canary::{Song, try_out};
pub use policy::Retirement;
use policy::{Record, Seen};
pub use snapshot::FleetSnapshot;

/// Browsers that may drain at once; past that, the oldest is ended.
const DRAINING: usize = 2;
/// A canary that is not back within this is dead.
const CANARY: Duration = Duration::from_millis(1_500);
/// How long the service that starts browsers may take to come up.
const UP: Duration = Duration::from_secs(1);
/// Starts of one browser, before that counts as a failure.
const STARTS: u32 = 3;
/// A browser that lived this long has proved itself.
const PROVEN: Duration = Duration::from_secs(1);
/// Every so many looks, the memory of all processes is added up, which costs tens of milliseconds.
const WEIGHED: u32 = 5;

const BACKOFF: BackoffSpec =
    BackoffSpec { base: Duration::from_millis(50), cap: Duration::from_secs(10), reset_after: Duration::from_secs(60) };

/// When a browser is started again that could not be for want of descriptors, processes or memory.
const SHORTAGE: Duration = Duration::from_millis(500);

/// Browsers of one engine.
#[derive(Clone, Debug)]
pub struct Fleet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    spec: BrowserSpec,
    host: ProcessHost,
    state: Mutex<State>,
    current: watch::Sender<Option<Arc<Browser>>>,
    /// Somebody needs a browser, and how many do.
    wanted: Notify,
    waiting: AtomicUsize,
    /// The one in use is to be looked at now.
    suspected: Notify,
}

#[derive(Debug, Default)]
struct State {
    started: u64,
    /// Why Chromium cannot confine itself, once that has been proven.
    unsandboxed: Option<String>,
    failure: Option<(String, Instant)>,
    /// Those on their way out.
    draining: Vec<Arc<Browser>>,
    retired: Vec<(Retirement, u64)>,
    used: Option<Instant>,
    running: bool,
    memory: u64,
    /// Somebody asked for another browser.
    asked: bool,
    /// Places for pages that are ready.
    spares: Vec<Weak<Spare>>,
}

/// A place for a page that is ready.
pub(crate) type Spare = Mutex<Option<Page>>;

impl Fleet {
    /// Browsers of `spec`, whose processes `host` minds. None is started before one is needed.
    #[must_use]
    pub fn new(spec: BrowserSpec, host: ProcessHost) -> Self {
        let inner = Inner {
            spec,
            host,
            state: Mutex::default(),
            current: watch::Sender::new(None),
            wanted: Notify::new(),
            waiting: AtomicUsize::new(0),
            suspected: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What its browsers are started from.
    #[must_use]
    pub fn spec(&self) -> &BrowserSpec {
        &self.inner.spec
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is doing.
    #[must_use]
    pub fn snapshot(&self) -> FleetSnapshot {
        let current = self.inner.current.borrow().clone();
        let state = self.state();
        FleetSnapshot {
            chromium: self.inner.spec.chromium.path.display().to_string(),
            version: current.as_ref().map(|browser| browser.version.clone()),
            browser: current.as_ref().map(|browser| browser.number),
            started: state.started,
            pages: current.as_ref().map_or(0, |browser| browser.pages.load(Ordering::Relaxed)),
            leases: current.as_ref().map_or(0, |browser| browser.leases()),
            draining: state.draining.len(),
            memory: state.memory,
            sandboxed: current.as_ref().map(|browser| browser.sandboxed),
            unsandboxed_because: state.unsandboxed.clone(),
            failure: state.failure.as_ref().map(|(why, _)| why.clone()),
            retired: state.retired.clone(),
        }
    }

    /// Asks for another browser to take over.
    pub fn recycle(&self) {
        self.state().asked = true;
        self.inner.suspected.notify_one();
    }

    /// A place in the browser in use; waits until there is one.
    pub(crate) async fn lease(&self, deadline: Instant) -> Result<BrowserLease, RenderError> {
        let mut current = self.inner.current.subscribe();
        self.state().used = Some(Instant::now());
        let asked = Instant::now();
        let _waiting = Waiting::new(&self.inner.waiting);
        loop {
            if let Some(browser) = current.borrow_and_update().clone().filter(|browser| !browser.is_gone()) {
                return Ok(browser.lease());
            }
            self.inner.wanted.notify_one();
            {
                let state = self.state();
                // A start that failed after this was asked for is this one's answer.
                if let Some((why, next)) = state.failure.as_ref().filter(|(_, next)| *next > asked) {
                    let retry_after = next.saturating_duration_since(Instant::now());
                    return Err(RenderError::Unavailable { why: why.clone(), retry_after });
                }
                if !state.running && asked.elapsed() >= UP {
                    return Err(RenderError::Unavailable {
                        why: "the browsers are being restarted".to_owned(),
                        retry_after: Duration::from_secs(1),
                    });
                }
            }
            match timeout_at(deadline.min(Instant::now() + UP), current.changed()).await {
                Err(_) if Instant::now() < deadline => {}
                Err(_) => return Err(RenderError::Deadline { doing: Doing::AwaitingBrowser }),
                // The sender lives in `self`.
                Ok(_) => {}
            }
        }
    }

    /// A page that has just been opened in the browser in use.
    pub(crate) async fn page(&self, deadline: Instant) -> Result<Page, RenderError> {
        Page::open(self.lease(deadline).await?, self.inner.spec.limits).await
    }

    /// The same for a request that waits for it: if its page is the first one of the browser and has only to go there, it comes up
    /// while it goes.
    pub(crate) async fn page_for(&self, request: &RenderRequest, deadline: Instant) -> Result<Page, RenderError> {
        let (lease, limits) = (self.lease(deadline).await?, self.inner.spec.limits);
        match request.plain_address() {
            Some(url) => Page::open_at(lease, limits, url, deadline).await,
            None => Page::open(lease, limits).await,
        }
    }

    /// The same as [`Fleet::page`] for whoever comes later: nothing of it is still to come.
    pub(crate) async fn spare(&self, deadline: Instant) -> Result<Page, RenderError> {
        let page = self.page(deadline).await?;
        page.ready().await?;
        Ok(page)
    }

    /// Waits until the browser in use brings a page of nothing: for whoever has just lost one in it.
    pub(crate) async fn trusted(&self, deadline: Instant) -> Result<(), RenderError> {
        loop {
            let lease = self.lease(deadline).await?;
            let mut current = self.inner.current.subscribe();
            current.mark_unchanged();
            let left = deadline.saturating_duration_since(Instant::now());
            if try_out(&lease.browser, CANARY.min(left), Song::Page).await.is_some() {
                return Ok(());
            }
            self.suspect();
            if self.is_current(&lease.browser) && !lease.browser.is_gone() {
                drop(lease);
                timeout_at(deadline, current.changed())
                    .await
                    .map_err(|_| RenderError::Deadline { doing: Doing::AwaitingBrowser })?
                    .ok();
            }
        }
    }

    /// Whether `browser` is the one in use.
    pub(crate) fn is_current(&self, browser: &Arc<Browser>) -> bool {
        self.inner.current.borrow().as_ref().is_some_and(|current| Arc::ptr_eq(current, browser))
    }

    /// Something went wrong that the browser in use may be the cause of.
    pub(crate) fn suspect(&self) {
        self.inner.suspected.notify_one();
    }

    /// Minds the browsers until it is told to stop. To be run as a service.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, context: ServiceContext) -> Result<(), RenderError> {
        self.state().running = true;
        let _stopped = Stopped(self.clone());
        context.ready();
        let mut backoff = Backoff::new(BACKOFF);
        let mut rng = fastrand::Rng::with_seed(u64::from(std::process::id()));
        let stopping = context.stopping();
        tokio::pin!(stopping);
        loop {
            // Nobody needs one.
            tokio::select! {
                biased;
                () = &mut stopping => break,
                () = self.inner.wanted.notified() => {}
            }
            if self.inner.waiting.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let started = tokio::select! {
                biased;
                () = &mut stopping => break,
                // Whoever waits for the first page is the best canary.
                started = self.start(Canary::Later) => started,
            };
            match started {
                Ok(browser) => {
                    self.state().failure = None;
                    let born = browser.born;
                    let done = tokio::select! {
                        biased;
                        () = &mut stopping => break,
                        done = self.mind(browser) => done,
                    };
                    if done == Idle::No {
                        // One that has served is followed at once, as long as nobody has to fear a loop.
                        let delay =
                            if born.elapsed() >= PROVEN { Duration::ZERO } else { backoff.after_crash(born.elapsed(), &mut rng) };
                        // Those who wait have been told by the change.
                        tokio::select! {
                            biased;
                            () = &mut stopping => break,
                            () = sleep(delay) => {}
                        }
                        self.inner.wanted.notify_one();
                    }
                }
                Err(error) => {
                    // What has run out is no fault of Chromium's: the next start is no likelier to fail than this one was.
                    let delay = if is_shortage(&error) { SHORTAGE } else { backoff.after_failed_start(&mut rng) };
                    let why = with_causes(&error);
                    tracing::warn!(error = %why, ?delay, "a browser did not start");
                    self.state().failure = Some((why, Instant::now() + delay));
                    self.inner.current.send_modify(|_| {});
                    tokio::select! {
                        biased;
                        () = &mut stopping => break,
                        () = sleep(delay) => {}
                    }
                }
            }
        }
        self.end().await;
        Ok(())
    }

    /// Starts a browser and tries it.
    async fn start(&self, canary: Canary) -> Result<Arc<Browser>, RenderError> {
        let number = {
            let mut state = self.state();
            state.started += 1;
            state.started
        };
        let spec = &self.inner.spec;
        let known = self.state().unsandboxed.is_some();
        let sandboxed = spec.sandbox != SandboxPolicy::Off && !known;
        let began = Instant::now();
        let mut tries = 1;
        let browser = loop {
            match Browser::start(&self.inner.host, spec, sandboxed, number).await {
                Err(RenderError::Start { why }) if sandboxed && cannot_confine(&why) => {
                    if spec.sandbox == SandboxPolicy::Required {
                        return Err(RenderError::Sandbox { why });
                    }
                    tracing::warn!(%why, "Chromium cannot confine its own processes here, and runs without its sandbox");
                    let browser = Browser::start(&self.inner.host, spec, false, number).await?;
                    // Proven: without it, it comes up.
                    self.state().unsandboxed = Some(why);
                    break browser;
                }
                // One start in some tens ends with a fault of Chromium's own, in threads that read the environment while others
                // change it. That is no reason to let anybody wait.
                Err(RenderError::Start { why }) if tries < STARTS => {
                    tracing::warn!(%why, tries, "Chromium ended in its own start, and is started again");
                    tries += 1;
                }
                started => break started?,
            }
        };
        // What cannot bring a page of nothing is no browser.
        if canary == Canary::First && try_out(&browser, spec.limits.start, Song::Page).await.is_none() {
            let said = browser.said();
            browser.kill();
            return Err(RenderError::Start { why: format!("it came up, but brings no page; {said}") });
        }
        tracing::info!(browser = number, version = %browser.version, sandboxed = browser.sandboxed, took = ?began.elapsed(), "a browser is up");
        Ok(browser)
    }

    /// Minds a browser until it is gone or not needed any more; another one takes over when it wears out.
    async fn mind(&self, mut browser: Arc<Browser>) -> Idle {
        let limits = self.inner.spec.limits;
        let mut record = Record::new(limits);
        let mut looks = 0_u32;
        self.inner.current.send_replace(Some(Arc::clone(&browser)));
        loop {
            let mut song = Song::Page;
            tokio::select! {
                biased;
                () = browser.gone() => {
                    tracing::warn!(browser = browser.number, said = %browser.said(), "a browser ended");
                    self.retire(&browser, Retirement::Gone);
                    self.inner.current.send_replace(None);
                    browser.kill();
                    let gone = Arc::clone(&browser);
                    spawn_named("browser's burial", async move { gone.stop().await });
                    return Idle::No;
                }
                () = self.inner.suspected.notified() => song = Song::Picture,
                () = sleep(limits.look) => {}
            }
            looks += 1;
            if self.is_idle(&browser) {
                self.inner.current.send_replace(None);
                tracing::debug!(browser = browser.number, "a browser without work goes");
                browser.stop().await;
                return Idle::Yes;
            }
            let canary = try_out(&browser, CANARY, song).await;
            if browser.is_gone() {
                continue;
            }
            let memory = if looks % WEIGHED == 1 { self.weigh(&browser).await } else { None };
            let pages = browser.pages.load(Ordering::Relaxed);
            let mut verdict = record.see(Seen { pages, memory, canary: Some(canary) });
            if canary.is_none() && verdict.is_none() {
                // A second look at once: whoever waits for a page waits in vain.
                let canary = try_out(&browser, CANARY, song).await;
                verdict = record.see(Seen { pages, memory: None, canary: Some(canary) });
            }
            if std::mem::take(&mut self.state().asked) {
                verdict = verdict.or(Some(Retirement::Asked));
            }
            let Some(reason) = verdict else { continue };
            match self.start(Canary::First).await {
                Ok(next) => {
                    tracing::info!(%reason, old = browser.number, new = next.number, "another browser takes over");
                    self.retire(&browser, reason);
                    self.inner.current.send_replace(Some(Arc::clone(&next)));
                    self.renew(&browser);
                    self.drain(std::mem::replace(&mut browser, next), reason);
                    record = Record::new(limits);
                    looks = 0;
                }
                Err(error) => {
                    // Worn out is better than none, unless it is dead.
                    tracing::warn!(error = %with_causes(&error), %reason, "a browser that is to take over did not start");
                    if reason == Retirement::Canary {
                        self.retire(&browser, reason);
                        self.inner.current.send_replace(None);
                        browser.kill();
                        return Idle::No;
                    }
                    sleep(BACKOFF.cap.min(Duration::from_secs(1))).await;
                }
            }
        }
    }

    fn is_idle(&self, browser: &Arc<Browser>) -> bool {
        let unused = self.state().used.is_none_or(|used| used.elapsed() >= self.inner.spec.limits.idle);
        let spare = |place: &Arc<Spare>| {
            let page = place.lock().unwrap_or_else(PoisonError::into_inner);
            page.as_ref().is_some_and(|page| Arc::ptr_eq(page.browser(), browser))
        };
        unused && browser.leases() <= self.spares().iter().filter(|place| spare(place)).count()
    }

    fn spares(&self) -> Vec<Arc<Spare>> {
        self.state().spares.iter().filter_map(Weak::upgrade).collect()
    }

    /// A place whose page is to be replaced when its browser is.
    pub(crate) fn enroll(&self, place: &Arc<Spare>) {
        let mut state = self.state();
        state.spares.retain(|place| place.strong_count() > 0);
        state.spares.push(Arc::downgrade(place));
    }

    /// Pages that are ready in a browser that goes are made anew in the one that has taken over.
    fn renew(&self, old: &Arc<Browser>) {
        for place in self.spares() {
            let page = {
                let mut spare = place.lock().unwrap_or_else(PoisonError::into_inner);
                if spare.as_ref().is_some_and(|page| Arc::ptr_eq(page.browser(), old)) { spare.take() } else { None }
            };
            let Some(page) = page else { continue };
            let fleet = self.clone();
            spawn_named("spare page", async move {
                let within = page.limits.call;
                page.close().await;
                if let Ok(page) = fleet.spare(Instant::now() + within).await {
                    let before = place.lock().unwrap_or_else(PoisonError::into_inner).replace(page);
                    drop(before);
                }
            });
        }
    }

    async fn weigh(&self, browser: &Arc<Browser>) -> Option<u64> {
        let weighed = Arc::clone(browser);
        let memory = tokio::task::spawn_blocking(move || weighed.pss()).await.ok().flatten()?;
        self.state().memory = memory;
        Some(memory)
    }

    fn retire(&self, _browser: &Arc<Browser>, reason: Retirement) {
        let mut state = self.state();
        match state.retired.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => state.retired.push((reason, 1)),
        }
    }

    /// A browser finishes its pages, and goes. One that is dead has nothing to finish.
    fn drain(&self, browser: Arc<Browser>, reason: Retirement) {
        let fleet = self.clone();
        let surplus = {
            let mut state = self.state();
            state.draining.push(Arc::clone(&browser));
            (state.draining.len() > DRAINING).then(|| Arc::clone(&state.draining[0]))
        };
        if let Some(oldest) = surplus {
            tracing::warn!(browser = oldest.number, "too many browsers drain at once; the oldest is ended");
            oldest.kill();
        }
        let within = if reason == Retirement::Canary { Duration::from_secs(5) } else { self.inner.spec.limits.drain };
        spawn_named("browser's end", async move {
            tokio::select! {
                biased;
                () = browser.gone() => {}
                done = timeout(within, browser.free()) => {
                    if done.is_err() {
                        tracing::warn!(browser = browser.number, pages = browser.leases(), "a browser is ended with pages still in it");
                    }
                }
            }
            browser.stop().await;
            fleet.state().draining.retain(|other| !Arc::ptr_eq(other, &browser));
        });
    }

    /// Ends all browsers.
    async fn end(&self) {
        let current = self.inner.current.send_replace(None);
        let draining = std::mem::take(&mut self.state().draining);
        for browser in draining.into_iter().chain(current) {
            browser.stop().await;
        }
    }
}

/// Whether a browser is tried before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canary {
    First,
    Later,
}

/// Whether a browser went because nobody needed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    Yes,
    No,
}

/// One who waits for a browser.
struct Waiting<'f>(&'f AtomicUsize);

impl<'f> Waiting<'f> {
    fn new(count: &'f AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// However the service ends, nobody waits for it in vain, and no browser stays.
struct Stopped(Fleet);

impl Drop for Stopped {
    fn drop(&mut self) {
        let draining = {
            let mut state = self.0.state();
            state.running = false;
            std::mem::take(&mut state.draining)
        };
        for browser in draining.into_iter().chain(self.0.inner.current.send_replace(None)) {
            browser.kill();
        }
    }
}

/// An error and what it comes from: that a process did not start is of use to nobody who does not know why.
fn with_causes(error: &RenderError) -> String {
    let mut told = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        told.push_str(": ");
        told.push_str(&cause.to_string());
        next = cause.source();
    }
    told
}

/// Whether what Chromium said means that its sandbox cannot work here.
fn cannot_confine(said: &str) -> bool {
    [
        "No usable sandbox",
        "sandbox_host_linux",
        "Failed to move to new namespace",
        "setuid sandbox",
        "Running as root without --no-sandbox",
        "zygote_host_impl_linux",
    ]
    .iter()
    .any(|words| said.contains(words))
}

//! One browser: its process, the connection to it, and what is known of its health.

mod outside;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chromiumoxide_cdp::cdp::browser_protocol::browser::{BrowserContextId, GetVersionParams};
use chromiumoxide_cdp::cdp::browser_protocol::page::CrashParams;
use chromiumoxide_cdp::cdp::browser_protocol::storage::GetCookiesParams;
use chromiumoxide_cdp::cdp::browser_protocol::target::{
    AttachToTargetParams, CloseTargetParams, CreateBrowserContextParams, CreateTargetParams, DisposeBrowserContextParams,
    FilterEntry, SetAutoAttachParams, SetDiscoverTargetsParams, TargetFilter, TargetId,
};
use chromiumoxide_cdp::cdp::js_protocol::runtime::RunIfWaitingForDebuggerParams;
use eventmesh_actors::process::{LastWords, Process, ProcessHost, ProcessSpec, Streams};
use eventmesh_actors::{Interrupt, KernelMemory, spawn_named};
use serde::Deserialize;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::cdp::{CdpError, Connection, Event, Session};
use crate::error::RenderError;
use crate::launcher::LAUNCHER_ARGUMENT;
use crate::spec::{ARGUMENTS, BrowserSpec, LauncherProgram, through};
use crate::tunnels::Tunnels;

/// The last that a browser said on standard error is kept, up to here, in bytes.
const SAID: usize = 4 << 10;
/// In the command line of the process that loads.
const NETWORK: &[u8] = b"--utility-sub-type=network.";

/// The event that says that windows are not held any more.
const FREE: &str = "free";
/// How long after one crash of a page's process others may not have been told of.
const LATELY: Duration = Duration::from_secs(1);

/// A browser that is up.
pub(crate) struct Browser {
    /// Which one, counted by its fleet.
    pub(crate) number: u64,
    pub(crate) version: String,
    /// Whether it confines its own processes.
    pub(crate) sandboxed: bool,
    pub(crate) born: Instant,
    /// Pages that it was asked for so far.
    pub(crate) pages: AtomicU64,
    pub(crate) tunnels: Option<Tunnels>,
    connection: Connection,
    process: Mutex<Option<Process>>,
    interrupt: Arc<dyn Interrupt>,
    pid: u32,
    said: LastWords,
    /// The process that loads, and how many of its kind have ended.
    network: Mutex<(Option<u32>, u64)>,
    /// A context that was made with the browser itself, for whoever is first to need one.
    first: Mutex<Option<String>>,
    /// Who waits for the session of a page that is held.
    holding: Mutex<Option<oneshot::Sender<Attached>>>,
    /// The context of the page that was held, for as long as windows are, too.
    held: Mutex<Option<String>>,
    leases: watch::Sender<usize>,
    /// When a page's process was last found to have ended.
    crashed: Mutex<Option<Instant>>,
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser").field("number", &self.number).field("pid", &self.pid).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attached {
    session_id: String,
    target_info: TargetInfo,
    #[serde(default)]
    waiting_for_debugger: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetEvent {
    target_info: TargetInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetInfo {
    target_id: String,
    #[serde(default)]
    r#type: String,
    opener_id: Option<String>,
}

impl Browser {
    /// A page's process was found to have ended.
    pub(crate) fn note_crash(&self) {
        *self.crashed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether one has ended so lately that others may have, too, of which nobody has heard yet.
    pub(crate) fn has_crashed_lately(&self) -> bool {
        self.crashed.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < LATELY)
    }

    /// Starts one and waits until it answers.
    pub(crate) async fn start(
        host: &ProcessHost,
        spec: &BrowserSpec,
        sandboxed: bool,
        number: u64,
    ) -> Result<Arc<Self>, RenderError> {
        let mut process = host.spawn(&process(spec, sandboxed), &format!("browser#{number}")).await?;
        let start = |why: String| RenderError::Start { why };
        let socket = process.take_socket().ok_or_else(|| start("it has no socket".to_owned()))?;
        let connection = Connection::open(socket).map_err(|error| start(error.to_string()))?;
        let said = LastWords::of(process.take_stderr(), SAID);
        // All at once: whoever has it started waits for its first page, and each of these takes a moment of a busy start.
        let mut batch = connection.browser().batch();
        let version = batch.add(&GetVersionParams::default());
        let discover = batch.add(&SetDiscoverTargetsParams::new(true));
        let context = batch.add(&separate());
        let answered = async {
            batch.send().await?;
            let version = version.within(spec.limits.start).await?;
            discover.within(spec.limits.call).await?;
            Ok::<_, CdpError>((version, context.within(spec.limits.call).await?))
        };
        let (version, context) = match answered.await {
            Ok((version, context)) => (version.product, context.browser_context_id.inner().clone()),
            Err(error) => {
                // What it says comes a moment after it has closed its pipes.
                drop(connection);
                let stopped = timeout(Duration::from_secs(1), process.wait()).await;
                said.settle(Duration::from_secs(1)).await;
                let said = told(&said);
                let status = stopped.map_or_else(|_| "it stays".to_owned(), |status| status.to_string());
                let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
                return Err(start(format!("{error}; {status}; {said}")));
            }
        };
        let browser = Arc::new(Self {
            number,
            version,
            sandboxed,
            born: Instant::now(),
            pages: AtomicU64::new(0),
            tunnels: spec.tunnels.clone(),
            interrupt: process.interrupter(),
            pid: process.pid(),
            connection,
            process: Mutex::new(Some(process)),
            said,
            network: Mutex::default(),
            first: Mutex::new(Some(context)),
            holding: Mutex::default(),
            held: Mutex::default(),
            leases: watch::Sender::new(0),
            crashed: Mutex::default(),
        });
        let mut events = browser.connection.events();
        let watched = Arc::downgrade(&browser);
        let connection = browser.connection.clone();
        spawn_named("browser's own events", async move {
            while let Some(event) = events.next().await {
                match watched.upgrade() {
                    Some(browser) => browser.hear(&event),
                    None => break,
                }
            }
            drop(connection);
        });
        Ok(browser)
    }

    /// A window that a page has opened is closed again. Where it was to lead, the page itself has said.
    fn hear(self: Arc<Self>, event: &Event) {
        if event.method == "Target.attachedToTarget" {
            let waits = self.holding.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let (Some(waits), Some(attached)) = (waits, event.read()) {
                // Whoever waited may have gone, and the page's context with it.
                let _ = waits.send(attached);
            }
            return;
        }
        if event.method == FREE {
            self.held().take();
        }
        if event.method != "Target.targetCreated" {
            return;
        }
        let Some(TargetEvent { target_info: info }) = event.read() else { return };
        if info.r#type != "page" || info.opener_id.is_none() {
            return;
        }
        let held = self.held().is_some();
        spawn_named("popup's end", async move {
            if let Err(error) = self.shut(TargetId::new(info.target_id), held).await {
                tracing::debug!(%error, "a popup was not closed; it goes with its page");
            }
        });
    }

    /// Closes a window that a page has opened.
    async fn shut(&self, window: TargetId, held: bool) -> Result<(), CdpError> {
        let root = self.session();
        if !held {
            return root.call(&CloseTargetParams::new(window), CLOSE).await.map(drop);
        }
        // Whoever has opened it waits for it to be let go.
        let attach = AttachToTargetParams { target_id: window.clone(), flatten: Some(true) };
        let attached = match root.call(&attach, CLOSE).await {
            Ok(attached) => Ok(attached),
            Err(_) => root.call(&attach, CLOSE).await,
        };
        let mut batch = root.batch();
        if let Ok(attached) = &attached {
            let (session, _) = self.connection.session(attached.session_id.inner());
            drop(batch.add_to(&session, &RunIfWaitingForDebuggerParams::default()));
            self.connection.forget(&session);
        }
        let closed = batch.add(&CloseTargetParams::new(window));
        batch.send().await?;
        closed.within(CLOSE).await?;
        attached.map(drop)
    }

    /// The browser itself, to be called.
    pub(crate) fn session(&self) -> Session {
        self.connection.browser()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.connection.is_gone()
    }

    pub(crate) async fn gone(&self) {
        self.connection.gone().await;
    }

    /// What it said last, in one line.
    pub(crate) fn said(&self) -> String {
        told(&self.said)
    }

    /// A page in a context of its own that is on its way to `url`, but held before anything of that is asked for; only if it is the
    /// browser's first one, since every page that came to be meanwhile would be held, too.
    pub(crate) async fn hold(self: &Arc<Self>, url: &str, within: Duration) -> Result<Option<Held>, RenderError> {
        let Some(id) = self.first.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(None) };
        self.pages.fetch_add(1, Ordering::Relaxed);
        let context = Context { browser: Arc::clone(self), id, kept: false };
        let (send, attached) = oneshot::channel();
        self.holding.lock().unwrap_or_else(PoisonError::into_inner).replace(send);
        self.held().replace(context.id.clone());
        let mut batch = self.session().batch();
        // In one write: nobody else's page comes to be in between.
        let hold = batch.add(&holding(true));
        let target = batch.add(&target(url, &context));
        let free = batch.add(&holding(false));
        drop(batch.add(&network_of(&context)));
        batch.send().await?;
        hold.within(within).await?;
        let target = target.within(within).await?.target_id.inner().clone();
        free.within(within).await?;
        let attached = timeout(within, attached).await;
        let attached = attached.map_err(|_| CdpError::Deadline { method: "Target.setAutoAttach".to_owned(), within })?;
        let Ok(attached) = attached else { return Err(RenderError::BrowserGone) };
        let ours = attached.target_info.target_id == target && attached.waiting_for_debugger;
        Ok(ours.then_some(Held { context, target, session: attached.session_id }))
    }

    /// A context of its own, with an empty page, and the id of that.
    pub(crate) async fn context(self: &Arc<Self>, within: Duration) -> Result<(Context, String), RenderError> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        let root = self.session();
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let context = match first {
            Some(first) => {
                // Whatever loads for it is made while its page comes up, and nobody waits for the answer.
                let mut batch = root.batch();
                let context = Context { browser: Arc::clone(self), id: first, kept: false };
                drop(batch.add(&network_of(&context)));
                batch.send().await?;
                context
            }
            None => {
                let id = root.call(&separate(), within).await?.browser_context_id.inner().clone();
                Context { browser: Arc::clone(self), id, kept: false }
            }
        };
        let target = root.call(&target("about:blank", &context), within).await?.target_id.inner().clone();
        Ok((context, target))
    }

    /// Ends a page with its context. If that does not go, what shows the page may be what holds it: that is killed, and it is
    /// tried again.
    pub(crate) async fn end(&self, session: &Session, context: &str, within: Duration) -> bool {
        if self.dispose(context, within / 4).await {
            return true;
        }
        let mut batch = session.batch();
        // It kills, and never answers.
        drop(batch.add(&CrashParams {}));
        let killed = batch.send().await.is_ok();
        tracing::debug!(killed, browser = self.number, "what shows a page is killed, since its context does not go");
        self.dispose(context, within / 2).await
    }

    /// Ends a context with all that is in it. Returns whether the browser has said so.
    pub(crate) async fn dispose(&self, context: &str, within: Duration) -> bool {
        let dispose = DisposeBrowserContextParams::new(BrowserContextId::from(context.to_owned()));
        match self.session().call(&dispose, within).await {
            Ok(_) => {
                self.hold_no_more(context).await;
                true
            }
            Err(error) => {
                tracing::debug!(%error, browser = self.number, "a context was not disposed of");
                self.is_gone()
            }
        }
    }

    /// Once the page is gone that was held, Chromium is told that no page is to be held: before that it would lose its session.
    async fn hold_no_more(&self, context: &str) {
        let held = self.held().as_deref() == Some(context);
        let none = SetAutoAttachParams { flatten: Some(true), ..SetAutoAttachParams::new(false, false) };
        if held && self.session().call(&none, CLOSE).await.is_ok() {
            // Of windows that were opened before, it has told before.
            self.connection.note(FREE);
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its scratch directory, which goes with it.
    pub(crate) fn scratch(&self) -> Option<PathBuf> {
        Some(self.process.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.scratch().to_owned())
    }

    /// The share of all its processes in the memory of the machine (PSS), in bytes. It costs the kernel milliseconds for each.
    pub(crate) fn pss(&self) -> Option<u64> {
        let family = self.process.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.family();
        let memory = KernelMemory::of_this_machine();
        Some(family.into_iter().filter_map(|pid| memory.proportional(pid)).sum())
    }

    /// A page has it.
    pub(crate) fn lease(self: &Arc<Self>) -> BrowserLease {
        self.leases.send_modify(|leases| *leases += 1);
        BrowserLease { browser: Arc::clone(self) }
    }

    pub(crate) fn leases(&self) -> usize {
        *self.leases.borrow()
    }

    /// Waits until no page has it.
    pub(crate) async fn free(&self) {
        let mut leases = self.leases.subscribe();
        // The sender lives in `self`.
        let _ = leases.wait_for(|leases| *leases == 0).await;
    }

    /// How many processes that load have ended so far, and whether there is one now. Chromium starts another one and does not say
    /// so; what was on its way, or begins before that one is there, is told to have failed, like anything that fails.
    pub(crate) fn network_ends(&self) -> (u64, bool) {
        let loads = |pid: u32| {
            // One that has ended has no command line any more.
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(NETWORK.len()).any(|window| window == NETWORK))
        };
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let (pid, ends) = &mut *network;
        if pid.is_some_and(|pid| !loads(pid)) {
            *pid = None;
            *ends += 1;
        }
        if pid.is_none() {
            let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            *pid = process.as_ref().and_then(|process| process.family().into_iter().find(|pid| loads(*pid)));
        }
        (*ends, pid.is_some())
    }

    /// Ends it at once, with all that it has started.
    pub(crate) fn kill(&self) {
        self.interrupt.kill();
    }

    /// Ends it. Nothing of it is kept, so there is nothing that it would have to see to: asked politely, it takes a second.
    pub(crate) async fn stop(&self) {
        self.connection.close();
        self.interrupt.kill();
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(process) = process {
            process.stop().await;
        }
    }
}

/// A page that is held, with its context and its session.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) context: Context,
    pub(crate) target: String,
    pub(crate) session: String,
}

/// A context that ends with whoever has it, unless it is kept.
#[derive(Debug)]
pub(crate) struct Context {
    browser: Arc<Browser>,
    id: String,
    kept: bool,
}

impl Context {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Its id, for whoever sees to its end from now on.
    pub(crate) fn keep(mut self) -> String {
        self.kept = true;
        std::mem::take(&mut self.id)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.kept || self.browser.is_gone() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (browser, id) = (Arc::clone(&self.browser), std::mem::take(&mut self.id));
        spawn_named("context's end", async move {
            browser.dispose(&id, CLOSE).await;
        });
    }
}

/// How long a window may take to close.
const CLOSE: Duration = Duration::from_secs(2);

/// The right of a page to be in a browser.
#[derive(Debug)]
pub(crate) struct BrowserLease {
    pub(crate) browser: Arc<Browser>,
}

impl Drop for BrowserLease {
    fn drop(&mut self) {
        self.browser.leases.send_modify(|leases| *leases = leases.saturating_sub(1));
    }
}

/// A context that has nothing in common with others.
fn separate() -> CreateBrowserContextParams {
    CreateBrowserContextParams { dispose_on_detach: Some(true), ..CreateBrowserContextParams::default() }
}

/// A page at `url`.
fn target(url: &str, context: &Context) -> CreateTargetParams {
    let mut target = CreateTargetParams::new(url);
    target.browser_context_id = Some(BrowserContextId::from(context.id.clone()));
    target.width = Some(1280);
    target.height = Some(800);
    target
}

/// A question that only whatever loads for a context can answer.
fn network_of(context: &Context) -> GetCookiesParams {
    GetCookiesParams { browser_context_id: Some(BrowserContextId::from(context.id.clone())) }
}

/// Whether pages that come to be are held until we let them go.
fn holding(pages: bool) -> SetAutoAttachParams {
    let mut attach = SetAutoAttachParams::new(true, pages);
    attach.flatten = Some(true);
    let page = FilterEntry { r#type: Some("page".to_owned()), exclude: Some(!pages) };
    attach.filter = Some(TargetFilter::new(vec![page, FilterEntry { r#type: None, exclude: Some(true) }]));
    attach
}

fn process(spec: &BrowserSpec, sandboxed: bool) -> ProcessSpec {
    let launcher = match &spec.launcher {
        // Also if the file has been replaced or removed since.
        LauncherProgram::ThisOne => PathBuf::from("/proc/self/exe"),
        LauncherProgram::At(path) => path.clone(),
    };
    let user = spec.user.map_or_else(|| "-".to_owned(), |user| user.to_string());
    let mut process = ProcessSpec::new(launcher).argument(LAUNCHER_ARGUMENT).argument(user).argument(&spec.chromium.path);
    process.arguments.extend(ARGUMENTS.iter().map(Into::into));
    if !sandboxed {
        process = process.argument("--no-sandbox");
    }
    // What a script holds is looked at while it runs; one that leaves no time for that ends with its process.
    process = process.argument(format!("--js-flags=--max-old-space-size={}", spec.limits.page_memory >> 20));
    process.arguments.extend(spec.proxy.into_iter().flat_map(through).map(Into::into));
    process.arguments.extend(spec.arguments.iter().map(Into::into));
    process.streams = Streams::Socket;
    process.family = true;
    process.ask_grace = Duration::from_secs(2);
    process.term_grace = Duration::from_secs(1);
    process.variable("PATH", "/usr/local/bin:/usr/bin:/bin").variable("LANG", "C.UTF-8")
}

fn told(said: &LastWords) -> String {
    let said = said.text();
    // What every start says on a machine without a desktop is no news.
    let lines = said.lines().filter(|line| !line.contains("dbus") && !line.contains("bluez") && !line.trim().is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

//! One page in a context of its own: made ahead, used for one job, and thrown away.

pub(crate) mod frames;
mod held;
mod outside;
mod parts;
pub(crate) mod settle;
pub(crate) mod state;
mod wishes;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chromiumoxide_cdp::cdp::browser_protocol::browser::{
    BrowserContextId, SetDownloadBehaviorBehavior, SetDownloadBehaviorParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::emulation::SetFocusEmulationEnabledParams;
use chromiumoxide_cdp::cdp::browser_protocol::fetch::{
    ContinueRequestParams, FulfillRequestParams, HeaderEntry, RequestId as FetchId,
};
use chromiumoxide_cdp::cdp::browser_protocol::inspector::EnableParams as EnableInspector;
use chromiumoxide_cdp::cdp::browser_protocol::network::{
    BlockPattern, EnableParams as EnableNetwork, SetBlockedUrLsParams, SetBypassServiceWorkerParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::page::{
    AddScriptToEvaluateOnNewDocumentParams, CreateIsolatedWorldParams, EnableParams as EnablePage, FrameId,
    GetNavigationHistoryParams, HandleJavaScriptDialogParams, SetLifecycleEventsEnabledParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::target::{AttachToTargetParams, TargetId};
use chromiumoxide_cdp::cdp::js_protocol::runtime::EnableParams as EnableRuntime;
use chromiumoxide_types::Command;
use eventmesh_actors::spawn_named;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::blocklist;
use crate::cdp::{Batch, CdpError, Event, Events, Session};
use crate::error::{Doing, RenderError};
use crate::instance::{Browser, BrowserLease, Context};
use crate::request::Dialog;
use crate::script;
use crate::spec::BrowserLimits;
use parts::Workers;
use state::PageState;
use wishes::Permissions;
pub(crate) use wishes::{Answer, Served, Wishes};

/// What a page and those who listen to it share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: watch::Sender<PageState>,
    /// The page's own session first, then those of frames in other processes.
    sessions: Mutex<Vec<Session>>,
    workers: Mutex<Workers<Session>>,
    answer: Mutex<Answer>,
    served: Mutex<Option<Served>>,
    /// What this request wants otherwise, for frames in other processes, too.
    wishes: Mutex<Wishes>,
    limits: (u32, u64),
    watch: String,
    ears: Mutex<Vec<AbortHandle>>,
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn session(&self, index: usize) -> Option<Session> {
        self.sessions().get(index).cloned()
    }
}

/// A world of our own: its session, its id, and that of the page's own world beside it, without which it is gone.
#[derive(Clone, Copy, Debug)]
struct Own {
    session: usize,
    id: i64,
    beside: i64,
}

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    lease: Option<BrowserLease>,
    browser: Arc<Browser>,
    context: String,
    pub(crate) frame: String,
    pub(crate) session: Session,
    pub(crate) shared: Arc<Shared>,
    /// The name that the watcher has in the page.
    pub(crate) key: String,
    pub(crate) limits: BrowserLimits,
    /// Worlds of our own, by frame.
    worlds: Mutex<HashMap<String, Own>>,
    disposed: bool,
    uploads: Mutex<Vec<PathBuf>>,
    born: Instant,
    /// The most that its scripts were seen to hold.
    held: AtomicU64,
    /// The answer to its first request.
    known: Later<Wait>,
    /// The answers to its set-up, while it is held.
    set_up: Later<Vec<Wait>>,
    /// It was let go and could not be set up.
    unfit: AtomicBool,
}

impl Page {
    /// A page with the defaults in place.
    pub(crate) async fn open(lease: BrowserLease, limits: BrowserLimits) -> Result<Self, RenderError> {
        let browser = Arc::clone(&lease.browser);
        let (context, target) = browser.context(limits.call).await?;
        let attach = AttachToTargetParams { target_id: TargetId::new(target.clone()), flatten: Some(true) };
        let attached = browser.session().call(&attach, limits.call).await?;
        let page = Self::new(lease, limits, context, &target, attached.session_id.inner());
        let (mut batch, waits) = page.set_up(limits.call);
        page.known.put(page.ask(&mut batch));
        batch.send().await?;
        for wait in waits {
            wait.await?;
        }
        Ok(page)
    }

    /// One that is listened to.
    fn new(lease: BrowserLease, limits: BrowserLimits, context: Context, target: &str, session: &str) -> Self {
        let browser = Arc::clone(&lease.browser);
        let (session, events) = browser.connection().session(session);
        let key = format!("_{:016x}", fastrand::u64(..));
        let shared = Arc::new(Shared {
            state: watch::Sender::new(PageState::new(target)),
            sessions: Mutex::new(vec![session.clone()]),
            workers: Mutex::default(),
            answer: Mutex::default(),
            served: Mutex::default(),
            wishes: Mutex::default(),
            limits: (limits.requests, limits.bytes),
            watch: format!("({})({}, 50, 1000)", script::WATCH.trim_end(), script::literal(&key)),
            ears: Mutex::default(),
        });
        shared.listen(Arc::clone(&browser), session.clone(), 0, events);
        Self {
            lease: Some(lease),
            browser,
            context: context.keep(),
            frame: target.to_owned(),
            session,
            shared,
            key,
            limits,
            worlds: Mutex::default(),
            disposed: false,
            uploads: Mutex::default(),
            born: Instant::now(),
            held: AtomicU64::new(0),
            known: Later::default(),
            set_up: Later::default(),
            unfit: AtomicBool::new(false),
        }
    }

    /// What holds for all pages, and the answers to it.
    fn set_up(&self, within: Duration) -> (Batch, Vec<Wait>) {
        let mut batch = self.session.batch();
        let mut waits = self.shared.furnish(&mut batch, &self.session, within);
        let root = self.browser.session();
        let deny = SetDownloadBehaviorParams {
            behavior: SetDownloadBehaviorBehavior::Deny,
            browser_context_id: Some(BrowserContextId::from(self.context.clone())),
            download_path: None,
            events_enabled: Some(true),
        };
        waits.push(settled(batch.add_to(&root, &deny), within));
        waits.push(settled(batch.add_to(&root, &Permissions::none(&self.context)), within));
        waits.push(settled(batch.add(&SetBypassServiceWorkerParams::new(true)), within));
        // Which page of a browser has the focus, and when, is a matter of chance otherwise.
        waits.push(settled(batch.add(&SetFocusEmulationEnabledParams::new(true)), within));
        waits.push(settled(batch.add(&block(blocklist::DEFAULT.iter().copied())), within));
        (batch, waits)
    }

    /// Has the page ask for something itself, by which is known what shows it.
    fn ask(&self, batch: &mut Batch) -> Wait {
        let own = format!("fetch('{}').then((answer) => answer.text())", state::OWN);
        settled(batch.add(&script::call(own, None)), self.limits.call)
    }

    /// Waits until it is ready to the last: until all that it needs of its process has been there once. Who is in a hurry goes
    /// without.
    pub(crate) async fn ready(&self) -> Result<(), RenderError> {
        if let Some(known) = self.known.take() {
            known.await?;
        }
        Ok(())
    }

    pub(crate) fn browser(&self) -> &Arc<Browser> {
        &self.browser
    }

    /// Whether it can still be used.
    pub(crate) fn is_sound(&self) -> bool {
        self.session.over().is_none()
    }

    /// Fails if what shows it has ended. Chromium gives up what is on its way with it, and says so before it says why.
    pub(crate) async fn is_shown(&self) -> Result<(), RenderError> {
        // Whatever this says, all that went before has been told by then.
        let told = self.session.call(&GetNavigationHistoryParams::default(), self.limits.call).await;
        match self.session.over().or(told.err().filter(CdpError::is_final)) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Whether it was handed out and then turned out to be none that anybody should have.
    pub(crate) fn is_unfit(&self) -> bool {
        self.unfit.load(Ordering::Relaxed)
    }

    /// A document that is answered from memory when the page asks for it.
    pub(crate) fn serve(&self, served: Served) {
        *self.shared.served.lock().unwrap_or_else(PoisonError::into_inner) = Some(served);
    }

    /// What holds in every process that shows a part of the page.
    pub(crate) fn wish(&self, wishes: Wishes) {
        *self.shared.wishes.lock().unwrap_or_else(PoisonError::into_inner) = wishes;
    }

    /// What dialogs are answered with from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// Waits until the page's state is as wanted; tells why it never will be.
    pub(crate) async fn until<T>(
        &self,
        deadline: Instant,
        doing: Doing,
        mut look: impl FnMut(&PageState) -> Option<T>,
    ) -> Result<T, RenderError> {
        let mut states = self.shared.state.subscribe();
        let mut found = None;
        let wait = states.wait_for(|state| {
            // Nothing is found in what stands in for a document that could not be loaded.
            let failed = state.failure().is_some();
            found = if failed { None } else { look(state) };
            found.is_some() || failed || state.over || state.too_much.is_some()
        });
        match timeout_at(deadline, wait).await {
            Err(_) => return Err(RenderError::Deadline { doing }),
            // The sender lives in `self`.
            Ok(seen) => drop(seen),
        }
        match found {
            Some(found) => Ok(found),
            None => Err(self.trouble()),
        }
    }

    /// What is wrong with the page.
    pub(crate) fn trouble(&self) -> RenderError {
        let state = self.shared.state.borrow();
        let trouble = state.too_much.clone().map(|what| RenderError::TooMuch { what });
        let failure = state.failure().map(str::to_owned);
        drop(state);
        if let Some(trouble) = trouble {
            return trouble;
        }
        if let Some(why) = failure {
            return self.unloaded(why);
        }
        self.session.over().unwrap_or(CdpError::Detached).into()
    }

    /// Something stands in for the document that should be there, as the browser says for this reason.
    fn unloaded(&self, why: String) -> RenderError {
        let state = self.shared.state.borrow();
        let why = match &self.browser.tunnels {
            Some(tunnels) => tunnels.explain(&state.url, why),
            None => why,
        };
        if state.was_led() { RenderError::Led { why } } else { RenderError::Load { why } }
    }

    /// The page's own session, or that of a frame in another process.
    pub(crate) fn session_at(&self, index: usize) -> Option<Session> {
        self.shared.session(index)
    }

    /// A world of our own in a frame, with our tools in it.
    pub(crate) async fn world(&self, frame: &str) -> Result<(Session, i64), RenderError> {
        let (index, beside) = {
            let state = self.shared.state.borrow();
            let known = self.worlds.lock().unwrap_or_else(PoisonError::into_inner).get(frame).copied();
            if let Some(own) = known
                && state.has(frame, own.beside)
                && let Some(session) = self.session_at(own.session)
            {
                return Ok((session, own.id));
            }
            state.worlds.iter().rev().find(|world| world.frame == frame).map_or((0, 0), |world| (world.session, world.id))
        };
        let session = self.session_at(index).ok_or(RenderError::Crashed)?;
        let world = self.create(&session, frame).await?;
        script::evaluate(&session, script::HANDS.to_owned(), Some(world), self.limits.call).await.map_err(RenderError::from)?;
        self.worlds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(frame.to_owned(), Own { session: index, id: world, beside });
        Ok((session, world))
    }

    /// A world of our own with nothing in it yet.
    async fn create(&self, session: &Session, frame: &str) -> Result<i64, CdpError> {
        let mut create = CreateIsolatedWorldParams::new(FrameId::new(frame));
        create.world_name = Some("eventmesh".to_owned());
        Ok(*session.call(&create, self.limits.call).await?.execution_context_id.inner())
    }

    /// Has our tools compiled while the page is on its way. Nobody waits for it, and they are made anew in what comes.
    pub(crate) async fn warm(&self) -> Result<(), RenderError> {
        let world = self.create(&self.session, &self.frame).await?;
        let mut batch = self.session.batch();
        drop(batch.add(&script::call(script::HANDS.to_owned(), Some(world))));
        Ok(batch.send().await?)
    }

    /// The worlds of our own are gone with their documents.
    pub(crate) fn forget_worlds(&self) {
        self.worlds.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A new directory for files that the page is given, beside the browser's own: that belongs to whom the browser runs as, and
    /// what is written there could be led elsewhere. It goes with the page.
    pub(crate) fn uploads(&self) -> Option<PathBuf> {
        let beside = self.browser.scratch()?.parent()?.join(format!("upload-{:016x}", fastrand::u64(..)));
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).push(beside.clone());
        Some(beside)
    }

    /// The most that its scripts were seen to hold.
    pub(crate) fn memory_seen(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How long it has been there.
    pub(crate) fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// Ends it, with its context.
    pub(crate) async fn close(mut self) -> bool {
        self.disposed = true;
        self.shared.deafen();
        let done = self.browser.end(&self.session, &self.context, self.limits.call).await;
        self.browser.connection().forget(&self.session);
        // The browser is free of it now, and not before.
        self.lease = None;
        done
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.shared.deafen();
        for directory in self.uploads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // What cannot be removed goes with the engine's own directory.
            let _ = std::fs::remove_dir_all(directory);
        }
        let own = |session: &Session| session.is(&self.session);
        for session in self.shared.sessions().drain(..).filter(|session| !own(session)) {
            self.browser.connection().forget(&session);
        }
        for session in self.shared.workers().sessions() {
            self.browser.connection().forget(&session);
        }
        if self.disposed || self.browser.is_gone() {
            self.browser.connection().forget(&self.session);
            return;
        }
        let (browser, session, context) = (Arc::clone(&self.browser), self.session.clone(), self.context.clone());
        let (lease, within) = (self.lease.take(), self.limits.call);
        if tokio::runtime::Handle::try_current().is_ok() {
            spawn_named("page's end", async move {
                // A browser that does not let go of it is found out by its canary, and takes it along.
                browser.end(&session, &context, within).await;
                browser.connection().forget(&session);
                drop(lease);
            });
        } else {
            self.browser.connection().forget(&self.session);
        }
    }
}

/// Patterns of URLs that are not loaded.
pub(crate) fn block<'p>(patterns: impl Iterator<Item = &'p str>) -> SetBlockedUrLsParams {
    let patterns = patterns.map(|pattern| BlockPattern { url_pattern: pattern.to_owned(), block: true }).collect();
    SetBlockedUrLsParams { url_patterns: Some(patterns) }
}

type Wait = std::pin::Pin<Box<dyn Future<Output = Result<(), CdpError>> + Send>>;

/// Answers, until somebody waits for them.
struct Later<W>(Mutex<Option<W>>);

impl<W> Default for Later<W> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<W> Later<W> {
    fn put(&self, waits: W) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(waits);
    }

    fn is_there(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Option<W> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<W> fmt::Debug for Later<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

/// The end of a call whose answer says nothing.
pub(crate) fn settled<C: Command + 'static>(pending: crate::cdp::Pending<C>, within: Duration) -> Wait
where
    C::Response: Send,
{
    Box::pin(async move { pending.within(within).await.map(drop) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attached {
    session_id: String,
    target_info: AttachedTarget,
}

#[derive(Deserialize)]
struct AttachedTarget {
    #[serde(default)]
    r#type: String,
    #[serde(default, rename = "targetId")]
    id: String,
}

#[derive(Deserialize)]
struct Window {
    #[serde(default)]
    url: String,
}

#[derive(Deserialize)]
struct Opening {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paused {
    request_id: String,
    #[serde(default)]
    resource_type: String,
    #[serde(default)]
    frame_id: String,
}

impl Shared {
    /// What every session needs, the page's and those of its frames.
    fn furnish(&self, batch: &mut Batch, session: &Session, call: Duration) -> Vec<Wait> {
        vec![
            settled(batch.add_to(session, &EnablePage::default()), call),
            settled(batch.add_to(session, &EnableRuntime::default()), call),
            settled(batch.add_to(session, &EnableNetwork::default()), call),
            settled(batch.add_to(session, &EnableInspector::default()), call),
            settled(batch.add_to(session, &SetLifecycleEventsEnabledParams::new(true)), call),
            settled(batch.add_to(session, &AddScriptToEvaluateOnNewDocumentParams::new(self.watch.clone())), call),
            settled(batch.add_to(session, &parts::attach()), call),
        ]
    }

    fn listen(self: &Arc<Self>, browser: Arc<Browser>, session: Session, index: usize, mut events: Events) {
        let shared = Arc::clone(self);
        let ear = spawn_named("page's ear", async move {
            while let Some(event) = events.next().await {
                shared.react(&browser, &session, index, &event).await;
            }
            if index == 0 {
                shared.state.send_modify(|state| state.over = true);
            } else {
                shared.flooded(&session);
                shared.state.send_modify(|state| state.worlds.retain(|world| world.session != index));
            }
        });
        self.ears.lock().unwrap_or_else(PoisonError::into_inner).push(ear.abort_handle());
    }

    fn deafen(&self) {
        for ear in self.ears.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            ear.abort();
        }
    }

    async fn react(self: &Arc<Self>, browser: &Arc<Browser>, session: &Session, index: usize, event: &Event) {
        match event.method.as_str() {
            "Target.attachedToTarget" => {
                if let Some(attached) = event.read::<Attached>() {
                    self.attached(browser, &attached).await;
                }
            }
            "Page.javascriptDialogOpening" => self.dialog(session, event).await,
            "Fetch.requestPaused" => self.paused(session, event).await,
            "Page.downloadWillBegin" | "Browser.downloadWillBegin" => {
                let url = event.read::<serde_json::Value>().and_then(|event| event.get("url")?.as_str().map(str::to_owned));
                self.state.send_modify(|state| state.wanted_to_save(url.as_deref().unwrap_or_default()));
            }
            // Whoever opens a window says so before the window has an address of its own; it is closed elsewhere.
            "Page.windowOpen" => {
                if let Some(window) = event.read::<Window>() {
                    let url = if window.url.is_empty() { "about:blank" } else { &window.url };
                    self.state.send_modify(|state| state.popped_up(url));
                }
            }
            _ => self.state.send_modify(|state| state.hear(event, index, Instant::now(), self.limits)),
        }
    }

    async fn dialog(&self, session: &Session, event: &Event) {
        let Some(opening) = event.read::<Opening>() else { return };
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Whoever navigates means it.
        let accept = answer.accept || opening.r#type == "beforeunload";
        let mut handle = HandleJavaScriptDialogParams::new(accept);
        handle.prompt_text = answer.text;
        let mut batch = session.batch();
        drop(batch.add(&handle));
        let _ = batch.send().await;
        self.state.send_modify(|state| state.asked(Dialog { kind: opening.r#type, message: opening.message, accepted: accept }));
    }

    /// A request waits for us: the document from memory, or what goes its own way.
    async fn paused(&self, session: &Session, event: &Event) {
        let Some(paused) = event.read::<Paused>() else { return };
        let main = paused.resource_type == "Document" && paused.frame_id == self.state.borrow().frame;
        let served = if main { self.served.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
        let mut batch = session.batch();
        match served {
            Some(served) => {
                let mut fulfill = FulfillRequestParams::new(FetchId::from(paused.request_id), 200);
                fulfill.response_headers = Some(vec![HeaderEntry::new("Content-Type", served.content_type)]);
                fulfill.body = Some(BASE64.encode(&served.html).into());
                drop(batch.add(&fulfill));
            }
            None => drop(batch.add(&ContinueRequestParams::new(FetchId::from(paused.request_id)))),
        }
        let _ = batch.send().await;
    }
}

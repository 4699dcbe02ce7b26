//! What is known of a page from what it tells. Pure: it is fed with events, and asked.

mod headers;
#[cfg(test)]
mod tests;
mod told;

use std::collections::HashMap;

use tokio::time::Instant;

use crate::cdp::Event;
use crate::request::{ConsoleMessage, Dialog, NetworkEntry};
use told::{
    Argument, Called, Context, Created, Data, Destroyed, Ended, Frame, Lifecycle, Navigated, Request, Response, Thrown, Within,
};

/// Messages to the console that are kept, and letters of each.
const MESSAGES: usize = 500;
const LETTERS: usize = 4_000;
/// Dialogs, popups and downloads that are kept.
const NOTED: usize = 100;
/// Frames and their worlds that are known.
const CONTEXTS: usize = 500;
/// Processes of a page that are known; those that were heard of last.
const PROCESSES: usize = 16;
/// Documents that are kept in mind while it is not known which of them was asked for.
const HEARD: usize = 16;
/// Where a page is before it goes anywhere.
const BLANK: &str = "about:blank";
/// What Chromium says of a body that nobody wants any more: the page went elsewhere, or has stopped it itself.
pub(crate) const ABORTED: &str = "net::ERR_ABORTED";

/// What a page is made to ask for, so that it is known which process shows it. That is no request of the page's.
pub(crate) const OWN: &str = "data:,own";

/// The session of any worker, which has none of the page's worlds in it.
pub(crate) const WORKER: usize = usize::MAX;

/// A response that is waited for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Awaited {
    /// What its URL contains.
    pub(crate) part: String,
    pub(crate) came: bool,
}

/// A request on its way.
#[derive(Clone, Debug)]
struct Open {
    kind: String,
    loader: String,
    since: Instant,
    entry: Option<usize>,
    bytes: u64,
}

/// The world of a frame's own scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct World {
    /// Which session it is part of: 0 is the page's own.
    pub(crate) session: usize,
    pub(crate) frame: String,
    pub(crate) id: i64,
}

/// What was answered before the document itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: Option<u16>,
    pub(crate) content_type: Option<String>,
    /// What is said of how long it may be kept.
    pub(crate) headers: Vec<(String, String)>,
}

/// What was known of a document that is about to be left.
#[derive(Debug)]
struct Left {
    loader: String,
    parsed: bool,
    loaded: bool,
    head: Head,
    failed: Option<(String, String)>,
    /// What address in the same document means that it is not left.
    same: Option<String>,
}

/// What is known of a page.
#[derive(Debug, Default)]
pub(crate) struct PageState {
    /// The page's own frame.
    pub(crate) frame: String,
    /// Which document is there, or on its way.
    pub(crate) loader: String,
    /// The document has been parsed, and everything that it names has been loaded.
    pub(crate) parsed: bool,
    pub(crate) loaded: bool,
    /// At most two requests, or none, have been open for half a second.
    pub(crate) almost_idle: bool,
    pub(crate) idle: bool,
    pub(crate) url: String,
    /// Of the document that is there.
    pub(crate) head: Head,
    /// Of one that may come, with its loader.
    next: Option<(String, Head)>,
    /// Which document could not be loaded, and why.
    failed: Option<(String, String)>,
    /// Which document failed for nobody but whoever went there, and has been told.
    passed_over: Option<String>,
    /// Which request for a document failed, and why.
    lost: Option<(String, String)>,
    /// The request for the document, the last one.
    pub(crate) main: Option<String>,
    /// The first document that has come, or what stands in for it.
    first: Option<String>,
    /// What has come of the page's first navigation: its document, or what kept it from coming.
    pub(crate) arrival: Option<Result<(), String>>,
    /// Counts what settling has to know of: documents, and scripts that come and go.
    pub(crate) version: u64,
    open: HashMap<String, Open>,
    /// Of the document that a navigation of our own is about to leave.
    left: Option<Left>,
    /// The documents that were heard of since a navigation of our own began.
    heard: Vec<String>,
    /// The document that this navigation has brought, until it is heard of.
    coming: Option<String>,
    pub(crate) worlds: Vec<World>,
    pub(crate) console: Vec<ConsoleMessage>,
    pub(crate) network: Vec<NetworkEntry>,
    /// Whether the log is wanted.
    pub(crate) log: bool,
    pub(crate) requests: u32,
    pub(crate) bytes: u64,
    pub(crate) dialogs: Vec<Dialog>,
    pub(crate) popups: Vec<String>,
    pub(crate) downloads: Vec<String>,
    /// The response that somebody waits for.
    pub(crate) awaited: Option<Awaited>,
    /// The processes that show it or have shown it, the last one last, as the requests tell that they make.
    pub(crate) pids: Vec<u32>,
    /// The request for [`OWN`].
    own: Option<String>,
    /// A request has failed that was not left out on purpose.
    pub(crate) broken: bool,
    /// What it has been given up for.
    pub(crate) too_much: Option<String>,
    /// What is being dragged, if the browser has told.
    pub(crate) drag: Option<serde_json::Value>,
    /// Nothing more comes.
    pub(crate) over: bool,
}

/// The rest of this request may be as slow as it likes: the content does not wait for it.
fn content_waits_for(kind: &str) -> bool {
    matches!(kind, "Document" | "Script")
}

fn cut(text: &str, letters: usize) -> String {
    text.char_indices().nth(letters).map_or(text, |(end, _)| &text[..end]).to_owned()
}

impl PageState {
    pub(crate) fn new(frame: &str) -> Self {
        Self { frame: frame.to_owned(), ..Self::default() }
    }

    /// It is only another place in the same document: what was known of that holds.
    pub(crate) fn stay(&mut self) {
        if let Some(left) = self.left.take() {
            (self.loader, self.parsed, self.loaded) = (left.loader, left.parsed, left.loaded);
            (self.head, self.failed, self.coming) = (left.head, left.failed, None);
            self.version += 1;
        }
    }

    /// Nothing of the document `loader` is there yet but its head.
    fn begin(&mut self, loader: &str) {
        loader.clone_into(&mut self.loader);
        (self.parsed, self.loaded, self.almost_idle, self.idle) = (false, false, false, false);
        self.head = self.next.take_if(|(next, _)| next == loader).map(|(_, head)| head).unwrap_or_default();
        self.version += 1;
    }

    /// A navigation of our own begins: whatever was known of the document before is past, unless the page turns out to be at `same`
    /// within that document.
    pub(crate) fn leave(&mut self, same: Option<String>) {
        let (loader, head) = (std::mem::take(&mut self.loader), std::mem::take(&mut self.head));
        let (parsed, loaded, failed) = (self.parsed, self.loaded, self.failed.take());
        self.left = Some(Left { loader, parsed, loaded, head, failed, same });
        (self.coming, self.next) = (None, None);
        self.heard.clear();
        self.open.clear();
        self.begin("");
    }

    /// A navigation of our own has brought the document `loader`. Answers are not in line with what is heard: if that document was
    /// not heard of yet, whatever was heard of others, or will be until then, is of the document that was left.
    pub(crate) fn brought(&mut self, loader: &str) {
        if self.heard.iter().any(|heard| heard == loader) {
            return;
        }
        self.left = None;
        if self.loader != loader {
            self.begin(loader);
        }
        self.coming = Some(loader.to_owned());
    }

    /// Whatever was on its way has been stopped: the document before stays, or what there is of the next one is all of it.
    pub(crate) fn stop(&mut self) {
        if self.left.is_some() {
            self.stay();
        } else {
            self.end();
        }
    }

    /// Nothing more comes of the document that is there, and nobody says so.
    fn end(&mut self) {
        (self.parsed, self.loaded) = (true, true);
        self.open.retain(|_, open| !content_waits_for(&open.kind));
        self.version += 1;
    }

    /// Why the document that is there, or on its way, could not be loaded.
    pub(crate) fn failure(&self) -> Option<&str> {
        let (loader, why) = self.failed.as_ref()?;
        (*loader == self.loader && !self.is_void()).then_some(why)
    }

    /// Whether another document was there before the one that is there.
    pub(crate) fn was_led(&self) -> bool {
        self.first.as_ref().is_some_and(|first| *first != self.loader)
    }

    /// That it could not be loaded is nobody's trouble any more.
    pub(crate) fn pass_over(&mut self) {
        if let Some((loader, _)) = &self.failed {
            self.passed_over = Some(loader.clone());
            self.head = Head::default();
        }
    }

    /// Whether there is nothing in the document's place but what says that it could not be loaded.
    pub(crate) fn is_void(&self) -> bool {
        self.passed_over.as_ref() == Some(&self.loader)
    }

    /// The status of what was answered last, which need not be a document that is shown.
    pub(crate) fn answered_with(&self) -> Option<u16> {
        self.next.as_ref().map_or(self.head.status, |(_, head)| head.status)
    }

    /// Whether what a navigation of our own has brought was heard of.
    pub(crate) fn has_come(&self) -> bool {
        self.coming.is_none()
    }

    /// Whether a document that is heard of is one that was left.
    fn is_past(&self, loader: &str) -> bool {
        self.coming.as_ref().is_some_and(|coming| coming != loader)
    }

    /// It is there.
    fn come(&mut self, loader: &str) {
        self.coming = None;
        if self.heard.len() == HEARD {
            self.heard.remove(0);
        }
        self.heard.push(loader.to_owned());
    }

    /// Something happened in one of the page's sessions.
    pub(crate) fn hear(&mut self, event: &Event, session: usize, now: Instant, limits: (u32, u64)) {
        match event.method.as_str() {
            "Network.requestWillBeSent" => drop(event.read().map(|request| self.asks(request, session == WORKER, now, limits))),
            "Network.responseReceived" => drop(event.read().map(|response| self.answered(response))),
            "Network.dataReceived" => drop(event.read().map(|data| self.loads(&data, limits))),
            "Network.loadingFinished" | "Network.loadingFailed" => drop(event.read().map(|ended| self.ends(ended))),
            "Page.lifecycleEvent" => drop(event.read().map(|event| self.lives(&event))),
            "Page.frameNavigated" => drop(event.read().map(|navigated: Navigated| self.goes(navigated.frame))),
            "Page.navigatedWithinDocument" => {
                if let Some(within) = event.read::<Within>().filter(|within| within.frame_id == self.frame) {
                    if self.left.as_ref().is_some_and(|left| left.same.as_ref() == Some(&within.url)) {
                        self.stay();
                    }
                    self.url = within.url;
                }
            }
            "Runtime.executionContextCreated" => drop(event.read().map(|created: Created| self.opens(created.context, session))),
            "Runtime.executionContextDestroyed" => {
                if let Some(gone) = event.read::<Destroyed>() {
                    self.worlds.retain(|world| world.session != session || world.id != gone.execution_context_id);
                }
            }
            "Runtime.executionContextsCleared" => self.worlds.retain(|world| world.session != session),
            "Runtime.consoleAPICalled" => {
                if let Some(called) = event.read::<Called>() {
                    let said = called.args.iter().map(Argument::told).collect::<Vec<_>>().join(" ");
                    self.says(called.r#type, &said);
                }
            }
            "Input.dragIntercepted" => {
                self.drag =
                    event.read::<serde_json::Value>().and_then(|mut event| event.get_mut("data").map(serde_json::Value::take));
            }
            "Runtime.exceptionThrown" => {
                if let Some(Thrown { exception_details: details }) = event.read() {
                    let why = details.exception.as_ref().map(Argument::told).unwrap_or_default();
                    self.says("exception".to_owned(), if why.is_empty() { &details.text } else { &why });
                }
            }
            _ => {}
        }
    }

    fn says(&mut self, level: String, text: &str) {
        if self.console.len() < MESSAGES {
            self.console.push(ConsoleMessage { level, text: cut(text, LETTERS) });
        }
    }

    /// A request that a page's process makes itself is known by that process and a number.
    fn comes_from(&mut self, request: &str) {
        let Some(pid) = request.split_once('.').and_then(|(pid, _)| pid.parse().ok()) else { return };
        if self.pids.last() != Some(&pid) {
            self.pids.retain(|known| *known != pid);
            if self.pids.len() >= PROCESSES {
                self.pids.remove(0);
            }
            self.pids.push(pid);
        }
    }

    fn asks(&mut self, request: Request, worker: bool, now: Instant, (most, _): (u32, u64)) {
        self.comes_from(&request.request_id);
        if request.request.url == OWN {
            self.own = Some(request.request_id);
            return;
        }
        let main = request.frame_id == self.frame && request.r#type == "Document" && request.request_id == request.loader_id;
        if main {
            self.version += 1;
            self.main = Some(request.request_id.clone());
            if let Some(before) = &request.redirect_response {
                self.next = Some((request.loader_id.clone(), Head { status: Some(before.status), ..Head::default() }));
            }
        }
        // What comes from memory comes at once, and not always is it said that it has.
        let kind = if request.request.url.starts_with("http") { request.r#type } else { "Memory".to_owned() };
        if !worker && content_waits_for(&kind) {
            self.version += 1;
        }
        // A redirect goes on as what it was.
        let before = self.open.remove(&request.request_id);
        if before.is_none() && !request.request.url.starts_with("data:") {
            self.requests += 1;
            if self.requests > most {
                self.too_much.get_or_insert_with(|| format!("more than {most} requests"));
                return;
            }
        }
        let entry = (self.log && self.network.len() < most as usize).then(|| {
            self.network.push(NetworkEntry {
                url: cut(&request.request.url, LETTERS),
                method: request.request.method,
                kind: kind.clone(),
                status: None,
                error: None,
                bytes: 0,
            });
            self.network.len() - 1
        });
        if let (Some(redirect), Some(entry)) = (&request.redirect_response, before.and_then(|before| before.entry))
            && let Some(entry) = self.network.get_mut(entry)
        {
            entry.status = Some(redirect.status);
        }
        // The content does not wait for what a worker needs: it says itself when it has something to show.
        let kind = if worker { "Worker".to_owned() } else { kind };
        self.open.insert(request.request_id, Open { kind, loader: request.loader_id, since: now, entry, bytes: 0 });
    }

    fn answered(&mut self, response: Response) {
        if self.own.as_ref() == Some(&response.request_id) {
            return;
        }
        if let Some(awaited) = &mut self.awaited {
            awaited.came |= response.response.url.contains(&awaited.part);
        }
        let entry = self.open.get(&response.request_id).and_then(|open| open.entry);
        if let Some(entry) = entry.and_then(|entry| self.network.get_mut(entry)) {
            entry.status = Some(response.response.status);
        }
        let main = response.frame_id == self.frame && response.r#type == "Document" && response.request_id == response.loader_id;
        if main {
            let told = response.response;
            let head = if let Some(why) = told.headers.failure() {
                // What the proxy says is not the page.
                self.failed = Some((response.loader_id.clone(), why.to_owned()));
                Head::default()
            } else {
                let charset = if told.charset.is_empty() { String::new() } else { format!("; charset={}", told.charset) };
                Head {
                    status: Some(told.status).filter(|status| *status > 0),
                    content_type: Some(format!("{}{charset}", told.mime_type)),
                    headers: told.headers.kept(),
                }
            };
            if response.loader_id == self.loader {
                self.head = head;
            } else {
                // It may be nothing that is shown.
                self.next = Some((response.loader_id, head));
            }
        }
    }

    fn loads(&mut self, data: &Data, (_, most): (u32, u64)) {
        // What is encoded, if the browser knows, else what it is.
        let bytes = data.encoded_data_length.max(data.data_length).max(0.0) as u64;
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(open) = self.open.get_mut(&data.request_id) {
            open.bytes += bytes;
        }
        if self.bytes > most {
            self.too_much.get_or_insert_with(|| format!("more than {} MiB", most >> 20));
        }
    }

    fn ends(&mut self, ended: Ended) {
        if self.own.as_ref() == Some(&ended.request_id) {
            return;
        }
        if self.main.as_ref() == Some(&ended.request_id)
            && let Some(why) = &ended.error_text
        {
            self.lost = Some((ended.request_id.clone(), why.clone()));
            // For anything else there is something that stands in.
            if why == ABORTED {
                self.arrival.get_or_insert_with(|| Err(why.clone()));
            }
        }
        let open = self.open.remove(&ended.request_id);
        // Its head has come, and its body breaks off; unless the page has put another document into its place meanwhile.
        if self.loader == ended.request_id
            && !self.parsed
            && let Some(why) = ended.error_text.as_ref().filter(|why| *why != ABORTED)
        {
            self.failed = Some((ended.request_id.clone(), why.clone()));
            self.end();
        }
        // What comes from memory is no matter of the network.
        let loaded = open.as_ref().is_none_or(|open| open.kind != "Memory");
        self.broken |= loaded && ended.error_text.is_some() && ended.blocked_reason.is_none();
        let Some(open) = open else { return };
        if content_waits_for(&open.kind) {
            self.version += 1;
        }
        if let Some(entry) = open.entry.and_then(|entry| self.network.get_mut(entry)) {
            entry.bytes = (ended.encoded_data_length.max(0.0) as u64).max(open.bytes);
            entry.error = ended.error_text.map(|error| match ended.blocked_reason {
                Some(reason) => format!("{error} ({reason})"),
                None => error,
            });
        }
    }

    fn lives(&mut self, event: &Lifecycle) {
        if event.frame_id != self.frame {
            return;
        }
        if event.name == "init" || event.name == "commit" {
            if self.is_past(&event.loader_id) {
                return;
            }
            self.left = None;
            if event.loader_id != self.loader {
                self.begin(&event.loader_id);
            }
            return;
        }
        if event.loader_id == self.loader {
            match event.name.as_str() {
                "DOMContentLoaded" => self.parsed = true,
                "load" => (self.parsed, self.loaded) = (true, true),
                "networkAlmostIdle" => self.almost_idle = true,
                "networkIdle" => (self.almost_idle, self.idle) = (true, true),
                _ => {}
            }
        }
    }

    fn goes(&mut self, frame: Frame) {
        if frame.id == self.frame && !self.is_past(&frame.loader_id) {
            self.come(&frame.loader_id);
            self.left = None;
            if self.first.is_none() && (frame.url != BLANK || frame.unreachable_url.is_some()) {
                self.first = Some(frame.loader_id.clone());
            }
            if frame.loader_id != self.loader {
                self.begin(&frame.loader_id);
            }
            match frame.unreachable_url {
                None => {
                    self.url = frame.url;
                    self.arrival.get_or_insert(Ok(()));
                }
                // In the place of a document that did not come there is a page of the browser's own.
                Some(url) => {
                    self.url = url;
                    // A redirect may have led to it.
                    self.head = Head::default();
                    let lost = self.lost.take_if(|(lost, _)| *lost == frame.loader_id);
                    let why = lost.map_or_else(|| "net::ERR_FAILED".to_owned(), |(_, why)| why);
                    self.arrival.get_or_insert_with(|| Err(why.clone()));
                    self.failed = Some((frame.loader_id.clone(), why));
                }
            }
            // What the document before still waited for never comes, and nobody says so.
            self.open.retain(|_, open| open.loader == frame.loader_id || !content_waits_for(&open.kind));
            self.version += 1;
        }
    }

    /// Whether that world of the page's own scripts is still there, in that frame.
    pub(crate) fn has(&self, frame: &str, id: i64) -> bool {
        self.worlds.iter().any(|world| world.frame == frame && world.id == id)
    }

    fn opens(&mut self, context: Context, session: usize) {
        if context.aux_data.is_default && self.worlds.len() < CONTEXTS {
            self.worlds.push(World { session, frame: context.aux_data.frame_id, id: context.id });
        }
    }

    /// A dialog came up.
    pub(crate) fn asked(&mut self, dialog: Dialog) {
        if self.dialogs.len() < NOTED {
            self.dialogs.push(Dialog { message: cut(&dialog.message, LETTERS), ..dialog });
        }
    }

    /// A window was to be opened.
    pub(crate) fn popped_up(&mut self, url: &str) {
        if self.popups.len() < NOTED {
            self.popups.push(cut(url, LETTERS));
        }
    }

    /// A file was to be saved.
    pub(crate) fn wanted_to_save(&mut self, url: &str) {
        if self.downloads.len() < NOTED {
            self.downloads.push(cut(url, LETTERS));
        }
    }

    /// When the oldest request was made that the content waits for, of those that are still open.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.open.values().filter(|open| content_waits_for(&open.kind)).map(|open| open.since).min()
    }

    /// The world of the page's own scripts.
    pub(crate) fn world(&self) -> Option<&World> {
        self.worlds.iter().rev().find(|world| world.frame == self.frame)
    }
}

//! What is known of a page from what it tells. Pure: it is fed with events, and asked.

mod headers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::Deserialize;
use tokio::time::Instant;

use crate::cdp::Event;
use crate::request::{ConsoleMessage, Dialog, NetworkEntry};
use headers::Headers;

/// Messages to the console that are kept, and letters of each.
const MESSAGES: usize = 500;
const LETTERS: usize = 4_000;
/// Dialogs, popups and downloads that are kept.
const NOTED: usize = 100;
/// Frames and their worlds that are known.
const CONTEXTS: usize = 500;
/// Processes of a page that are known; those that were heard of last.
const PROCESSES: usize = 16;

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

/// Loader, whether it is parsed and loaded, status, content type, headers.
type Left = (String, bool, bool, Option<u16>, Option<String>, Vec<(String, String)>);

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
    pub(crate) status: Option<u16>,
    pub(crate) content_type: Option<String>,
    /// What the document's answer said of how long it may be kept.
    pub(crate) headers: Vec<(String, String)>,
    /// Why the document could not be loaded.
    pub(crate) failed: Option<String>,
    /// The request for the document, the last one.
    pub(crate) main: Option<String>,
    /// What has come of the page's first navigation: its document, or what kept it from coming.
    pub(crate) arrival: Option<Result<(), String>>,
    /// Counts what settling has to know of: documents, and scripts that come and go.
    pub(crate) version: u64,
    open: HashMap<String, Open>,
    /// Of the document that a navigation of our own is about to leave.
    left: Option<Left>,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    request_id: String,
    #[serde(default)]
    loader_id: String,
    #[serde(default)]
    frame_id: String,
    request: RequestHead,
    #[serde(default)]
    r#type: String,
    redirect_response: Option<ResponseHead>,
}

#[derive(Deserialize)]
struct RequestHead {
    url: String,
    #[serde(default)]
    method: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    request_id: String,
    #[serde(default)]
    loader_id: String,
    #[serde(default)]
    frame_id: String,
    #[serde(default)]
    r#type: String,
    response: ResponseHead,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseHead {
    #[serde(default)]
    url: String,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    charset: String,
    #[serde(default)]
    headers: Headers,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    request_id: String,
    #[serde(default)]
    encoded_data_length: f64,
    #[serde(default)]
    error_text: Option<String>,
    #[serde(default)]
    blocked_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    request_id: String,
    #[serde(default)]
    encoded_data_length: f64,
    #[serde(default)]
    data_length: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle {
    frame_id: String,
    #[serde(default)]
    loader_id: String,
    name: String,
}

#[derive(Deserialize)]
struct Navigated {
    frame: Frame,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    id: String,
    #[serde(default)]
    loader_id: String,
    #[serde(default)]
    url: String,
    unreachable_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Within {
    frame_id: String,
    url: String,
}

#[derive(Deserialize)]
struct Created {
    context: Context,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    id: i64,
    #[serde(default)]
    aux_data: Auxiliary,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Auxiliary {
    is_default: bool,
    frame_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Destroyed {
    execution_context_id: i64,
}

#[derive(Deserialize)]
struct Called {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    args: Vec<Argument>,
}

#[derive(Deserialize)]
struct Argument {
    value: Option<serde_json::Value>,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thrown {
    exception_details: Details,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    text: String,
    exception: Option<Argument>,
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
            (self.loader, self.parsed, self.loaded, self.status, self.content_type, self.headers) = left;
            self.version += 1;
        }
    }

    /// Nothing of a document is there yet.
    fn begin(&mut self) {
        (self.parsed, self.loaded, self.almost_idle, self.idle) = (false, false, false, false);
    }

    /// A navigation of our own begins: whatever was known of the document before is past.
    pub(crate) fn leave(&mut self) {
        let (loader, headers) = (std::mem::take(&mut self.loader), std::mem::take(&mut self.headers));
        self.left = Some((loader, self.parsed, self.loaded, self.status, self.content_type.take(), headers));
        self.begin();
        (self.status, self.content_type, self.failed) = (None, None, None);
        self.loader.clear();
        self.open.clear();
        self.version += 1;
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
                    self.url = within.url;
                    self.stay();
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
                self.status = Some(before.status);
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
            let head = response.response;
            self.status = Some(head.status).filter(|status| *status > 0);
            let charset = if head.charset.is_empty() { String::new() } else { format!("; charset={}", head.charset) };
            self.content_type = Some(format!("{}{charset}", head.mime_type));
            // What the proxy says is not the page.
            self.failed = head.headers.failure().map(str::to_owned);
            self.headers = head.headers.kept();
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
            self.arrival.get_or_insert_with(|| Err(why.clone()));
        }
        // What comes from memory is no matter of the network.
        let loaded = self.open.get(&ended.request_id).is_none_or(|open| open.kind != "Memory");
        self.broken |= loaded && ended.error_text.is_some() && ended.blocked_reason.is_none();
        let Some(open) = self.open.remove(&ended.request_id) else { return };
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
            self.left = None;
            if event.loader_id != self.loader {
                self.loader.clone_from(&event.loader_id);
                self.begin();
                self.version += 1;
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
        if frame.id == self.frame {
            self.url = frame.url;
            self.left = None;
            // In the place of a document that did not come there is a page of the browser's own.
            let none = frame.unreachable_url.is_some();
            self.arrival.get_or_insert_with(|| if none { Err("net::ERR_FAILED".to_owned()) } else { Ok(()) });
            // What the document before still waited for never comes, and nobody says so.
            self.open.retain(|_, open| open.loader == frame.loader_id || !content_waits_for(&open.kind));
            if frame.loader_id != self.loader {
                self.loader = frame.loader_id;
                self.begin();
            }
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

impl Argument {
    fn told(&self) -> String {
        match (&self.value, &self.description) {
            (Some(serde_json::Value::String(text)), _) => text.clone(),
            (Some(value), None) => value.to_string(),
            (_, Some(description)) => description.clone(),
            (None, None) => "undefined".to_owned(),
        }
    }
}

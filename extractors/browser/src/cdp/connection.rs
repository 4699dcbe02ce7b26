//! One connection to a browser, shared by all its pages.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chromiumoxide_types::Command;
use eventmesh_actors::spawn_named;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::error::CdpError;
use super::message::{self, Splitter};

/// Writes that may wait. Each is one call or one batch of them.
const WRITES: usize = 64;
/// Events of one session that may wait. A page that sends more in a moment than this is given up.
const EVENTS: usize = 8192;
/// Bytes asked for at once.
const PIECE: usize = 64 << 10;

type Answer = Result<Box<RawValue>, CdpError>;

struct Waiting {
    session: Option<Arc<str>>,
    method: String,
    answer: oneshot::Sender<Answer>,
}

struct Listening {
    events: mpsc::Sender<Event>,
    /// Why nothing more comes, if so.
    over: Option<CdpError>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<u64, Waiting>,
    sessions: HashMap<Arc<str>, Listening>,
    /// Events of the browser itself.
    own: Option<mpsc::Sender<Event>>,
    gone: bool,
}

impl State {
    fn over(&self, session: Option<&str>) -> Option<CdpError> {
        let own = session.and_then(|session| self.sessions.get(session)?.over.clone());
        own.or_else(|| self.gone.then_some(CdpError::Gone))
    }

    /// Looked at and entered in one go: what ends in between must find it.
    fn wait(&mut self, id: u64, waiting: Waiting) {
        match self.over(waiting.session.as_deref()) {
            Some(over) => drop(waiting.answer.send(Err(over))),
            None => drop(self.waiting.insert(id, waiting)),
        }
    }
}

struct Shared {
    out: mpsc::Sender<Vec<u8>>,
    state: Mutex<State>,
    next: AtomicU64,
    gone: watch::Sender<bool>,
    unknown: AtomicU64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, bytes: &[u8]) {
        let Some(message) = message::read(bytes) else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Some(id) = message.id {
            let Some(waiting) = self.state().waiting.remove(&id) else { return };
            let answer = match (message.error, message.result) {
                (Some(refusal), _) => Err(CdpError::Refused { method: waiting.method, message: refusal.told() }),
                (None, Some(result)) => Ok(result.to_owned()),
                (None, None) => Err(CdpError::Garbage { method: waiting.method, why: "it is empty".to_owned() }),
            };
            // Whoever asked may have gone.
            let _ = waiting.answer.send(answer);
            return;
        }
        let Some(method) = message.method else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let params = message.params.map(RawValue::get).unwrap_or("{}");
        match (message.session, method) {
            (Some(session), "Inspector.targetCrashed") => self.end(session, &CdpError::Crashed),
            (_, "Target.detachedFromTarget") => {
                if let Some(session) = field(params, "sessionId") {
                    self.end(&session, &CdpError::Detached);
                }
            }
            _ => {}
        }
        let state = self.state();
        let event = || Event { method: method.to_owned(), params: params.to_owned() };
        let Some(session) = message.session else {
            if let Some(own) = &state.own {
                // What is said of the browser as a whole is little, and a hint at most.
                let _ = own.try_send(event());
            }
            return;
        };
        let Some(listening) = state.sessions.get(session) else { return };
        if listening.over.is_none() && matches!(listening.events.try_send(event()), Err(mpsc::error::TrySendError::Full(_))) {
            drop(state);
            self.end(session, &CdpError::Overrun);
        }
    }

    /// Nothing more comes from that session: all its calls fail.
    fn end(&self, session: &str, why: &CdpError) {
        let mut state = self.state();
        let Some(listening) = state.sessions.get_mut(session) else { return };
        if listening.over.is_some() {
            return;
        }
        listening.over = Some(why.clone());
        // The end of the channel is how whoever listens learns of it.
        listening.events = mpsc::channel(1).0;
        let ids: Vec<u64> =
            state.waiting.iter().filter(|(_, waiting)| waiting.session.as_deref() == Some(session)).map(|(id, _)| *id).collect();
        for waiting in ids.iter().filter_map(|id| state.waiting.remove(id)) {
            let _ = waiting.answer.send(Err(why.clone()));
        }
    }

    fn close(&self) {
        let mut state = self.state();
        state.gone = true;
        state.own = None;
        for (_, waiting) in state.waiting.drain() {
            let _ = waiting.answer.send(Err(CdpError::Gone));
        }
        for listening in state.sessions.values_mut() {
            listening.over.get_or_insert(CdpError::Gone);
            listening.events = mpsc::channel(1).0;
        }
        drop(state);
        self.gone.send_replace(true);
    }
}

/// A text field of an event, for those that concern the connection itself.
fn field(params: &str, name: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(params).ok()?;
    Some(value.get(name)?.as_str()?.to_owned())
}

/// What JSON says, also if there are halves of letters in it, as scripts make them.
fn understood<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(json).or_else(|error| match message::mended(json) {
        Some(mended) => serde_json::from_str(&mended),
        None => Err(error),
    })
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// As the protocol calls it.
    pub(crate) method: String,
    params: String,
}

impl Event {
    #[cfg(test)]
    pub(crate) fn for_test(method: &str, params: &str) -> Self {
        Self { method: method.to_owned(), params: params.to_owned() }
    }

    /// What it says, if it is understood. What is not is passed over: browsers are newer than we are.
    pub(crate) fn read<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        understood(&self.params)
            .inspect_err(|error| tracing::debug!(method = self.method, %error, "an event is not understood"))
            .ok()
    }
}

/// A connection. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

impl Connection {
    /// A connection over the socket whose other end is the browser's pipes.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn open(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (read, write) = UnixStream::from_std(socket)?.into_split();
        let (out, writes) = mpsc::channel(WRITES);
        let shared = Arc::new(Shared {
            out,
            state: Mutex::default(),
            next: AtomicU64::new(1),
            gone: watch::Sender::new(false),
            unknown: AtomicU64::new(0),
        });
        spawn_named("browser's ear", hear(Arc::clone(&shared), read));
        spawn_named("browser's mouth", speak(shared.gone.subscribe(), write, writes));
        Ok(Self { shared })
    }

    /// The browser itself.
    pub(crate) fn browser(&self) -> Session {
        Session { shared: Arc::clone(&self.shared), id: None }
    }

    /// Events of the browser itself, from now on; one listener at a time.
    pub(crate) fn events(&self) -> Events {
        let (events, heard) = mpsc::channel(EVENTS);
        let mut state = self.shared.state();
        if !state.gone {
            state.own = Some(events);
        }
        Events { events: heard }
    }

    /// Puts an event of ours after all events of the browser itself that have come so far. Whoever is too busy to hear it hears it not.
    pub(crate) fn note(&self, method: &str) {
        if let Some(own) = &self.shared.state().own {
            let _ = own.try_send(Event { method: method.to_owned(), params: "{}".to_owned() });
        }
    }

    /// A session that the browser has opened, and its events from now on.
    pub(crate) fn session(&self, id: &str) -> (Session, Events) {
        let id: Arc<str> = id.into();
        let (events, heard) = mpsc::channel(EVENTS);
        let mut state = self.shared.state();
        let over = state.gone.then_some(CdpError::Gone);
        state.sessions.insert(Arc::clone(&id), Listening { events, over });
        drop(state);
        (Session { shared: Arc::clone(&self.shared), id: Some(id) }, Events { events: heard })
    }

    /// Lets go of a session: nobody listens any more.
    pub(crate) fn forget(&self, session: &Session) {
        if let Some(id) = &session.id {
            self.shared.end(id, &CdpError::Detached);
            self.shared.state().sessions.remove(id);
        }
    }

    /// Ends the conversation, which the browser takes for its own end.
    pub(crate) fn close(&self) {
        self.shared.close();
    }

    /// Whether the browser is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.shared.state().gone
    }

    /// Waits until the browser is gone.
    pub(crate) async fn gone(&self) {
        let mut gone = self.shared.gone.subscribe();
        // The sender lives in `self`.
        let _ = gone.wait_for(|gone| *gone).await;
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("gone", &self.is_gone()).finish_non_exhaustive()
    }
}

async fn hear(shared: Arc<Shared>, mut read: OwnedReadHalf) {
    let mut splitter = Splitter::default();
    let mut gone = shared.gone.subscribe();
    loop {
        let room = splitter.room();
        room.reserve(PIECE);
        let heard = tokio::select! {
            biased;
            _ = gone.wait_for(|gone| *gone) => break,
            heard = read.read_buf(room) => heard,
        };
        match heard {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
        if splitter.drain(|message| shared.hear(message)).is_err() {
            // Whoever asked for it waits until its deadline.
            tracing::warn!("a browser sent a message that is longer than any may be; it is passed over");
        }
    }
    shared.close();
}

async fn speak(mut gone: watch::Receiver<bool>, mut write: OwnedWriteHalf, mut writes: mpsc::Receiver<Vec<u8>>) {
    loop {
        let next = tokio::select! {
            biased;
            _ = gone.wait_for(|gone| *gone) => break,
            next = writes.recv() => next,
        };
        let Some(next) = next else { break };
        // The reading side learns of it, too.
        if write.write_all(&next).await.is_err() {
            break;
        }
    }
}

/// What happens in one session. It ends when the session does.
#[derive(Debug)]
pub(crate) struct Events {
    events: mpsc::Receiver<Event>,
}

impl Events {
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// A page, a frame or the browser itself, to be called.
#[derive(Clone)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    id: Option<Arc<str>>,
}

impl Session {
    /// Whether both are the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Why nothing more can be had from it, if so.
    pub(crate) fn over(&self) -> Option<CdpError> {
        self.shared.state().over(self.id.as_deref())
    }

    /// Calls, and waits for the answer.
    pub(crate) async fn call<C: Command>(&self, command: &C, within: Duration) -> Result<C::Response, CdpError> {
        let mut batch = self.batch();
        let answer = batch.add(command);
        let method = answer.method.clone();
        // Also the way out may be blocked.
        match timeout(within, async {
            batch.send().await?;
            answer.get().await
        })
        .await
        {
            Ok(answer) => answer,
            Err(_) => Err(CdpError::Deadline { method, within }),
        }
    }

    /// Calls that go out as one write.
    pub(crate) fn batch(&self) -> Batch {
        Batch { session: self.clone(), bytes: Vec::new() }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.id).finish()
    }
}

/// Calls that go out as one write.
pub(crate) struct Batch {
    session: Session,
    bytes: Vec<u8>,
}

impl Batch {
    pub(crate) fn add<C: Command>(&mut self, command: &C) -> Pending<C> {
        let session = self.session.clone();
        self.add_to(&session, command)
    }

    /// The same for another session of the same connection.
    pub(crate) fn add_to<C: Command>(&mut self, session: &Session, command: &C) -> Pending<C> {
        let shared = Arc::clone(&session.shared);
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let method = command.identifier().into_owned();
        let (answer, answered) = oneshot::channel();
        match message::write(&mut self.bytes, id, &method, command, session.id.as_deref()) {
            Err(error) => {
                let _ = answer.send(Err(CdpError::Garbage { method: method.clone(), why: error.to_string() }));
            }
            Ok(()) => {
                let waiting = Waiting { session: session.id.clone(), method: method.clone(), answer };
                shared.state().wait(id, waiting);
            }
        }
        Pending { shared, id, method, answered, command: PhantomData }
    }

    /// Writes them all.
    pub(crate) async fn send(self) -> Result<(), CdpError> {
        self.session.shared.out.send(self.bytes).await.map_err(|_| CdpError::Gone)
    }
}

/// An answer that is waited for. Dropped, it is waited for no more.
pub(crate) struct Pending<C> {
    shared: Arc<Shared>,
    id: u64,
    method: String,
    answered: oneshot::Receiver<Answer>,
    command: PhantomData<fn() -> C>,
}

impl<C: Command> Pending<C> {
    pub(crate) async fn get(mut self) -> Result<C::Response, CdpError> {
        let answer = (&mut self.answered).await.unwrap_or(Err(CdpError::Gone))?;
        understood(answer.get()).map_err(|error| CdpError::Garbage { method: self.method.clone(), why: error.to_string() })
    }

    /// The same with a deadline.
    pub(crate) async fn within(self, within: Duration) -> Result<C::Response, CdpError> {
        let method = self.method.clone();
        timeout(within, self.get()).await.unwrap_or(Err(CdpError::Deadline { method, within }))
    }
}

impl<C> Drop for Pending<C> {
    fn drop(&mut self) {
        self.shared.state().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use chromiumoxide_cdp::cdp::browser_protocol::target::{CloseTargetParams, GetTargetsParams};

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    async fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        theirs.set_nonblocking(true).expect("it can");
        (Connection::open(ours).expect("it opens"), UnixStream::from_std(theirs).expect("a stream"))
    }

    async fn said(browser: &mut UnixStream, texts: &[&str]) {
        for text in texts {
            browser.write_all(text.as_bytes()).await.expect("it listens");
            browser.write_all(&[0]).await.expect("it listens");
        }
    }

    #[tokio::test]
    async fn answers_find_their_calls_whatever_stands_between_them() {
        let (connection, mut browser) = pair().await;
        let mut batch = connection.browser().batch();
        let (first, second) = (batch.add(&GetTargetsParams::default()), batch.add(&CloseTargetParams::new("t".to_owned())));
        batch.send().await.expect("it is written");
        let answers = [
            "nonsense",
            r#"{"method":"New.event","params":{}}"#,
            r#"{"id":2,"result":{"success":true,"new":1}}"#,
            r#"{"id":99,"result":{}}"#,
            r#"{"id":1,"error":{"code":-1,"message":"no"}}"#,
        ];
        said(&mut browser, &answers).await;
        assert!(second.within(SOON).await.is_ok());
        let refused = CdpError::Refused { method: "Target.getTargets".to_owned(), message: "no".to_owned() };
        assert_eq!(first.within(SOON).await.expect_err("it was refused"), refused);
        assert!(connection.shared.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_crash_fails_the_calls_of_its_page_and_no_others() {
        let (connection, mut browser) = pair().await;
        let ((one, mut one_events), (other, _other_events)) = (connection.session("one"), connection.session("other"));
        let mut batch = one.batch();
        let (lost, kept) = (batch.add(&GetTargetsParams::default()), batch.add_to(&other, &GetTargetsParams::default()));
        batch.send().await.expect("it is written");
        let answers = [
            r#"{"method":"Inspector.targetCrashed","params":{},"sessionId":"one"}"#,
            r#"{"id":2,"result":{"targetInfos":[]},"sessionId":"other"}"#,
        ];
        said(&mut browser, &answers).await;
        assert_eq!(lost.within(SOON).await.expect_err("it crashed"), CdpError::Crashed);
        assert!(kept.within(SOON).await.is_ok());
        assert_eq!(one.call(&GetTargetsParams::default(), SOON).await.expect_err("it is over"), CdpError::Crashed);
        assert_eq!(one_events.next().await, None);
    }

    #[tokio::test]
    async fn the_end_of_the_browser_fails_everything_at_once() {
        let (connection, browser) = pair().await;
        let (session, mut events) = connection.session("one");
        let call = spawn_named("a call", {
            let session = session.clone();
            async move { session.call(&GetTargetsParams::default(), SOON).await }
        });
        while connection.shared.state().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        drop(browser);
        assert_eq!(call.await.expect("it ends").expect("no panic").expect_err("it is gone"), CdpError::Gone);
        assert_eq!(events.next().await, None);
        connection.gone().await;
        assert_eq!(session.over(), Some(CdpError::Gone));
        assert_eq!(session.call(&GetTargetsParams::default(), SOON).await.expect_err("it is gone"), CdpError::Gone);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_with_the_deadline_and_leaves_nothing_behind() {
        let (connection, _browser) = pair().await;
        let silence = connection.browser().call(&GetTargetsParams::default(), Duration::from_secs(1)).await;
        let expected = CdpError::Deadline { method: "Target.getTargets".to_owned(), within: Duration::from_secs(1) };
        assert_eq!(silence.expect_err("nobody answers"), expected);
        assert!(connection.shared.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_page_that_floods_is_given_up() {
        let (connection, mut browser) = pair().await;
        let (session, _events) = connection.session("one");
        for _ in 0..=EVENTS {
            said(&mut browser, &[r#"{"method":"A.b","params":{},"sessionId":"one"}"#]).await;
        }
        while session.over().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(session.over(), Some(CdpError::Overrun));
    }
}

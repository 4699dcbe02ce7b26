//! What a page has besides its own frame: frames in processes of their own, and workers. Each is furnished before it runs, and all
//! that it asks for and holds is the page's.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use chromiumoxide_cdp::cdp::browser_protocol::emulation::SetScriptExecutionDisabledParams;
use chromiumoxide_cdp::cdp::browser_protocol::network::{EnableParams as EnableNetwork, SetBypassServiceWorkerParams};
use chromiumoxide_cdp::cdp::browser_protocol::target::{FilterEntry, SetAutoAttachParams, TargetFilter};
use chromiumoxide_cdp::cdp::js_protocol::runtime::RunIfWaitingForDebuggerParams;
use eventmesh_actors::spawn_named;
use tokio::time::Instant;

use super::state::WORKER;
use super::{Attached, Shared, block};
use crate::blocklist;
use crate::cdp::{Batch, CdpError, Events, Session};
use crate::instance::Browser;

/// Frames in processes of their own that a page may have.
const SESSIONS: usize = 100;
/// Workers that a page may have at once: each is a thread with a heap of its own.
const AT_ONCE: usize = 50;
/// Workers that a page may begin, one after another.
const BEGUN: usize = 1_000;

/// What is attached to, and waits for us before it runs.
pub(super) fn attach() -> SetAutoAttachParams {
    let mut attach = SetAutoAttachParams::new(true, true);
    attach.flatten = Some(true);
    let entry = |kind: Option<&str>, exclude: bool| FilterEntry { r#type: kind.map(str::to_owned), exclude: Some(exclude) };
    let kinds = ["iframe", "worker", "shared_worker", "service_worker"].map(|kind| entry(Some(kind), false));
    attach.filter = Some(TargetFilter::new(kinds.into_iter().chain([entry(None, true)]).collect::<Vec<_>>()));
    attach
}

/// The workers of a page. One that several frames have, as a service worker, has a session for each of them; the first counts.
#[derive(Debug)]
pub(super) struct Workers<S> {
    live: HashMap<String, Vec<S>>,
    begun: usize,
}

impl<S> Default for Workers<S> {
    fn default() -> Self {
        Self { live: HashMap::new(), begun: 0 }
    }
}

impl<S: Clone> Workers<S> {
    /// Takes one in, or says why it is one too many.
    fn enter(&mut self, target: &str, session: S) -> Result<(), String> {
        if let Some(sessions) = self.live.get_mut(target) {
            if sessions.len() >= SESSIONS {
                return Err(format!("a worker of more than {SESSIONS} frames"));
            }
            sessions.push(session);
            return Ok(());
        }
        if self.live.len() >= AT_ONCE {
            return Err(format!("more than {AT_ONCE} workers at once"));
        }
        if self.begun >= BEGUN {
            return Err(format!("more than {BEGUN} workers"));
        }
        self.begun += 1;
        self.live.insert(target.to_owned(), vec![session]);
        Ok(())
    }

    fn leave(&mut self, target: &str, is: impl Fn(&S) -> bool) {
        if let Some(sessions) = self.live.get_mut(target) {
            sessions.retain(|session| !is(session));
            if sessions.is_empty() {
                self.live.remove(target);
            }
        }
    }

    /// Whether what is heard of it there counts.
    fn counts(&self, target: &str, is: impl Fn(&S) -> bool) -> bool {
        self.live.get(target).and_then(|sessions| sessions.first()).is_some_and(is)
    }

    /// One of each.
    pub(super) fn each(&self) -> Vec<S> {
        self.live.values().filter_map(|sessions| sessions.first()).cloned().collect()
    }

    /// All of them.
    pub(super) fn sessions(&self) -> Vec<S> {
        self.live.values().flatten().cloned().collect()
    }
}

impl Shared {
    pub(super) fn workers(&self) -> MutexGuard<'_, Workers<Session>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn too_much(&self, what: impl FnOnce() -> String) {
        self.state.send_modify(|state| {
            state.too_much.get_or_insert_with(what);
        });
    }

    /// A part of the page that says more than is kept could hide what it does behind that.
    pub(super) fn flooded(&self, session: &Session) {
        if session.over() == Some(CdpError::Overrun) {
            self.too_much(|| "more events at once than are kept".to_owned());
        }
    }

    /// A frame or worker is there, and waits.
    pub(super) async fn attached(self: &Arc<Self>, browser: &Arc<Browser>, attached: &Attached) {
        if attached.target_info.r#type == "iframe" {
            self.frame(browser, &attached.session_id).await;
        } else {
            self.worker(browser, &attached.session_id, &attached.target_info.id).await;
        }
    }

    /// What this request wants otherwise than the rest. The answers do not matter: what goes meanwhile goes.
    fn want(&self, batch: &mut Batch) {
        let wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        drop(batch.add(&SetBypassServiceWorkerParams::new(true)));
        drop(batch.add(&wishes.block.unwrap_or_else(|| block(blocklist::DEFAULT.iter().copied()))));
        drop(wishes.identity.map(|identity| batch.add(&identity)));
        drop(wishes.headers.map(|headers| batch.add(&headers)));
        drop(wishes.locale.map(|locale| batch.add(&locale)));
        drop(wishes.timezone.map(|timezone| batch.add(&timezone)));
        if wishes.no_scripts {
            drop(batch.add(&SetScriptExecutionDisabledParams::new(true)));
        }
    }

    /// A worker of the page, or of another worker.
    async fn worker(self: &Arc<Self>, browser: &Arc<Browser>, id: &str, target: &str) {
        let (session, events) = browser.connection().session(id);
        if let Err(why) = self.workers().enter(target, session.clone()) {
            // It does not run any more: the page ends.
            browser.connection().forget(&session);
            self.too_much(|| why);
            return;
        }
        let mut batch = session.batch();
        self.heed(Arc::clone(browser), target.to_owned(), session, events);
        drop(batch.add(&EnableNetwork::default()));
        drop(batch.add(&attach()));
        self.want(&mut batch);
        drop(batch.add(&RunIfWaitingForDebuggerParams::default()));
        let _ = batch.send().await;
    }

    /// Listens to a worker: what it asks for counts as the page's.
    fn heed(self: &Arc<Self>, browser: Arc<Browser>, target: String, session: Session, mut events: Events) {
        let shared = Arc::clone(self);
        let ear = spawn_named("worker's ear", async move {
            while let Some(event) = events.next().await {
                if event.method == "Target.attachedToTarget" {
                    if let Some(attached) = event.read::<Attached>() {
                        shared.attached(&browser, &attached).await;
                    }
                } else if event.method.starts_with("Network.") && shared.workers().counts(&target, |known| known.is(&session)) {
                    shared.state.send_modify(|state| state.hear(&event, WORKER, Instant::now(), shared.limits));
                }
            }
            shared.flooded(&session);
            shared.workers().leave(&target, |known| known.is(&session));
            browser.connection().forget(&session);
        });
        self.ears.lock().unwrap_or_else(PoisonError::into_inner).push(ear.abort_handle());
    }

    /// A frame in a process of its own.
    async fn frame(self: &Arc<Self>, browser: &Arc<Browser>, id: &str) {
        let (session, events) = browser.connection().session(id);
        let index = {
            let mut sessions = self.sessions();
            if sessions.len() < SESSIONS {
                sessions.push(session.clone());
            }
            sessions.len() - 1
        };
        let mut batch = session.batch();
        if self.session(index).is_none_or(|last| !last.is(&session)) {
            // One too many: it runs, and is not looked at.
            drop(events);
            browser.connection().forget(&session);
        } else {
            self.listen(Arc::clone(browser), session.clone(), index, events);
            // Nobody waits for the answers.
            drop(self.furnish(&mut batch, &session, Duration::ZERO));
            self.want(&mut batch);
        }
        drop(batch.add(&RunIfWaitingForDebuggerParams::default()));
        let _ = batch.send().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_only_so_many_workers() {
        let mut workers = Workers::default();
        for number in 0..AT_ONCE {
            assert_eq!(workers.enter(&number.to_string(), number), Ok(()));
        }
        assert_eq!(workers.enter("0", 100), Ok(()), "it is there by way of another frame");
        assert_eq!((workers.each().len(), workers.sessions().len()), (AT_ONCE, AT_ONCE + 1));
        assert_eq!(workers.enter("more", 101), Err("more than 50 workers at once".to_owned()));
        let counts = |workers: &Workers<usize>, session| workers.counts("0", |known| *known == session);
        assert!(counts(&workers, 0) && !counts(&workers, 100));
        // With the first frame it goes from the one, and stays with the other.
        workers.leave("0", |known| *known == 0);
        assert!(counts(&workers, 100));
        workers.leave("0", |known| *known == 100);
        assert_eq!(workers.enter("more", 101), Ok(()));
    }

    #[test]
    fn workers_one_after_another_are_counted_too() {
        let mut workers = Workers::default();
        for number in 0..BEGUN {
            assert_eq!(workers.enter(&number.to_string(), ()), Ok(()));
            workers.leave(&number.to_string(), |()| true);
        }
        assert_eq!(workers.enter("more", ()), Err("more than 1000 workers".to_owned()));
    }
}

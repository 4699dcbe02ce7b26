//! What a supervisor can have as a child, and how it treats it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell};
use tokio::time::timeout;

use crate::pool::Pool;
use crate::pool::supervisor::PoolActor;
use crate::service::{Service, ServiceContext};
use crate::snapshot::NodeDetail;
use crate::supervisor::Supervisor;
use crate::supervisor::policy::{ChildPolicy, Restart, Shutdown};
use crate::worker::Worker;

pub(crate) type Starting<'a> = Pin<Box<dyn Future<Output = Result<ActorCell, String>> + Send + 'a>>;

/// What a supervisor needs to know of a child, without knowing what it is.
pub(crate) trait Subtree: Send + Sync + 'static {
    /// Starts it under `parent`; done when it is up.
    fn start(&self, parent: ActorCell) -> Starting<'_>;
    /// Asks it to stop within `grace`.
    fn stop(&self, grace: Duration);
    /// It will be started again after `delay`.
    fn back_in(&self, delay: Duration);
    /// Its supervisor is at its end: it will not be started again.
    fn abandon(&self);
    fn detail(&self) -> NodeDetail;
}

/// A child of a [`Supervisor`]: its name, what it is, and how it is treated. By default permanent, not significant,
/// with five seconds to stop and thirty to start.
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) name: Arc<str>,
    pub(crate) policy: ChildPolicy,
    pub(crate) start_timeout: Duration,
    pub(crate) subtree: Arc<dyn Subtree>,
}

impl ChildSpec {
    fn new(name: &str, subtree: Arc<dyn Subtree>) -> Self {
        Self { name: name.into(), policy: ChildPolicy::default(), start_timeout: Duration::from_secs(30), subtree }
    }

    /// A pool, under its own name. It counts as up at once; its workers come up meanwhile, see [`Pool::ready`].
    #[must_use]
    pub fn pool<W: Worker>(pool: &Pool<W>) -> Self {
        Self::new(pool.shared.name(), Arc::new(pool.clone()))
    }

    /// A supervisor of its own, under its own name. It is up when all its children are, and may take as long to stop as
    /// they do.
    #[must_use]
    pub fn supervisor(supervisor: &Supervisor) -> Self {
        let name = Arc::clone(supervisor.name());
        Self::new(&name, Arc::new(supervisor.clone())).shutdown(Shutdown::INFINITY)
    }

    /// A long-running task. It is up when it says so by [`ServiceContext::ready`], and is asked to stop by
    /// [`ServiceContext::stopping`]. Returning `Ok` is a normal end, `Err` and a panic are failures.
    pub fn service<F, R, E>(name: &str, run: F) -> Self
    where
        F: Fn(ServiceContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        Self::new(name, Arc::new(Service::new(name, run)))
    }

    /// Whether it is started again when it ends.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.policy.restart = restart;
        self
    }

    /// Whether its end can end its supervisor; see [`AutoShutdown`](crate::AutoShutdown).
    #[must_use]
    pub fn significant(mut self, significant: bool) -> Self {
        self.policy.significant = significant;
        self
    }

    /// How it is stopped.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.policy.shutdown = shutdown;
        self
    }

    /// How long it may take to come up; past that, the start has failed.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Starts it under `parent`, within its time.
    pub(crate) async fn start(&self, parent: ActorCell) -> Result<ActorCell, String> {
        match timeout(self.start_timeout, self.subtree.start(parent)).await {
            Ok(started) => started,
            Err(_) => Err(format!("not up within {:?}", self.start_timeout)),
        }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec").field("name", &self.name).field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl<W: Worker> Subtree for Pool<W> {
    fn start(&self, parent: ActorCell) -> Starting<'_> {
        Box::pin(async move {
            let arguments = Arc::clone(&self.shared);
            Actor::spawn_linked(None, PoolActor::<W>::new(), arguments, parent)
                .await
                .map(|(actor, _)| actor.get_cell())
                .map_err(|error| error.to_string())
        })
    }

    fn stop(&self, _grace: Duration) {
        self.shared.drain();
    }

    fn back_in(&self, delay: Duration) {
        self.shared.back_in(delay);
    }

    fn abandon(&self) {
        self.shared.abandon();
    }

    fn detail(&self) -> NodeDetail {
        NodeDetail::Pool(Box::new(self.snapshot()))
    }
}

//! Pools in start order under one root: the only place with a restart strategy.
//!
//! A pool restarts its own children. When it has spent its budget it ends, and the tree starts it again
//! (one_for_one: that pool alone), within the tree's own budget. When that is spent too, the tree stops
//! everything and is down; whoever runs it decides what then. Pools start from first to last and stop from
//! last to first, each with its shutdown timeout and then a kill.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{oneshot, watch};

use crate::clock::Clock;
use crate::event::{Bus, Event};
use crate::pool::Pool;
use crate::pool::supervisor::PoolActor;
use crate::restart::{RestartBudget, RestartIntensity};
use crate::snapshot::{PoolSnapshot, TreeSnapshot};
use crate::worker::Worker;

type Starting<'a> = Pin<Box<dyn Future<Output = Result<ActorCell, String>> + Send + 'a>>;

/// What a tree needs to know of a pool, without knowing its worker.
trait Subtree: Send + Sync + 'static {
    fn name(&self) -> Arc<str>;
    fn start(&self, parent: ActorCell) -> Starting<'_>;
    fn drain(&self);
    fn snapshot(&self) -> PoolSnapshot;
}

impl<W: Worker> Subtree for Pool<W> {
    fn name(&self) -> Arc<str> {
        Arc::clone(self.shared.name())
    }

    fn start(&self, parent: ActorCell) -> Starting<'_> {
        Box::pin(async move {
            let arguments = Arc::clone(&self.shared);
            Actor::spawn_linked(None, PoolActor::<W>::new(), arguments, parent)
                .await
                .map(|(actor, _)| actor.get_cell())
                .map_err(|error| error.to_string())
        })
    }

    fn drain(&self) {
        self.shared.drain();
    }

    fn snapshot(&self) -> PoolSnapshot {
        Pool::snapshot(self)
    }
}

/// Whether a tree runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeState {
    /// Its pools are served and watched.
    Running,
    /// It was told to stop.
    Stopping,
    /// It is gone: stopped, or its restart budget was spent.
    Down,
}

impl TreeState {
    fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Down => "down",
        }
    }
}

/// One pool's place in its tree.
struct ChildSpec {
    subtree: Box<dyn Subtree>,
    shutdown: Duration,
}

/// Collects pools in start order.
pub struct TreeBuilder {
    name: Arc<str>,
    bus: Bus,
    restarts: RestartIntensity,
    children: Vec<ChildSpec>,
}

impl TreeBuilder {
    /// How often pools may be restarted, all together, before the tree gives up. Default 3 in 60 s.
    #[must_use]
    pub fn restarts(mut self, restarts: RestartIntensity) -> Self {
        self.restarts = restarts;
        self
    }

    /// Adds a pool, to be started after those before it and stopped before them; past `shutdown` it is killed.
    #[must_use]
    pub fn pool<W: Worker>(mut self, pool: &Pool<W>, shutdown: Duration) -> Self {
        self.children.push(ChildSpec { subtree: Box::new(pool.clone()), shutdown });
        self
    }

    /// Starts the pools, from first to last. Their children come up meanwhile; see [`Pool::ready`].
    ///
    /// # Errors
    /// [`TreeError::Start`] if a pool's actor cannot be started; those before it are stopped again.
    pub async fn start(self) -> Result<Tree, TreeError> {
        let shared = Arc::new(TreeShared {
            name: self.name,
            children: self.children,
            restarts: AtomicU64::new(0),
            state: watch::Sender::new(TreeState::Running),
        });
        let arguments = TreeArguments { shared: Arc::clone(&shared), bus: self.bus, restarts: self.restarts };
        match Actor::spawn(None, TreeActor, arguments).await {
            Ok((actor, _)) => Ok(Tree { actor, shared }),
            Err(error) => Err(TreeError::Start { name: shared.name.to_string(), why: error.to_string() }),
        }
    }
}

impl fmt::Debug for TreeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a tree could not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A pool's actor did not start.
    #[error("failed to start tree {name}: {why}")]
    Start {
        /// The tree.
        name: String,
        /// The reason.
        why: String,
    },
}

/// A running tree. Dropping it kills everything under it at once; [`shutdown`](Tree::shutdown) is the polite way.
pub struct Tree {
    actor: ActorRef<TreeMessage>,
    shared: Arc<TreeShared>,
}

impl Tree {
    /// A tree called `name` that tells `bus` what happens.
    #[must_use]
    pub fn builder(name: &str, bus: Bus) -> TreeBuilder {
        TreeBuilder {
            name: name.into(),
            bus,
            restarts: RestartIntensity { intensity: 3, period: Duration::from_secs(60) },
            children: Vec::new(),
        }
    }

    /// Stops the pools from last to first: no new leases, running jobs may end, then what is left is killed.
    /// Takes at most the sum of the pools' shutdown timeouts, each cut to `grace` and plus the time of a kill.
    pub async fn shutdown(&self, grace: Duration) {
        let (done, finished) = oneshot::channel();
        if self.actor.cast(TreeMessage::Shutdown { grace, done }).is_ok() {
            // An error says that the tree ended in another way; either way it is down.
            let _ = finished.await;
        }
        let _ = self.actor.get_cell().wait(None).await;
    }

    /// Waits until the tree is down, by shutdown or because its restart budget is spent.
    pub async fn down(&self) {
        let mut state = self.shared.state.subscribe();
        // The sender lives in `self`, so this ends by the state alone.
        let _ = state.wait_for(|state| *state == TreeState::Down).await;
    }

    /// Whether the tree runs.
    #[must_use]
    pub fn state(&self) -> TreeState {
        *self.shared.state.borrow()
    }

    /// The tree as data, at once, whatever its children do.
    #[must_use]
    pub fn snapshot(&self) -> TreeSnapshot {
        TreeSnapshot {
            name: Arc::clone(&self.shared.name),
            state: self.state().label(),
            restarts: self.shared.restarts.load(Ordering::Relaxed),
            pools: self.shared.children.iter().map(|child| child.subtree.snapshot()).collect(),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.actor.kill();
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

struct TreeShared {
    name: Arc<str>,
    children: Vec<ChildSpec>,
    restarts: AtomicU64,
    state: watch::Sender<TreeState>,
}

enum TreeMessage {
    Shutdown { grace: Duration, done: oneshot::Sender<()> },
}

struct TreeActor;

struct TreeArguments {
    shared: Arc<TreeShared>,
    bus: Bus,
    restarts: RestartIntensity,
}

struct TreeHold {
    shared: Arc<TreeShared>,
    bus: Bus,
    clock: Clock,
    budget: RestartBudget,
    /// One per child, in start order; `None` once it has been stopped for good.
    running: Vec<Option<ActorCell>>,
}

impl Drop for TreeHold {
    fn drop(&mut self) {
        self.shared.state.send_replace(TreeState::Down);
    }
}

impl Actor for TreeActor {
    type Msg = TreeMessage;
    type State = TreeHold;
    type Arguments = TreeArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let mut hold = TreeHold {
            shared: arguments.shared,
            bus: arguments.bus,
            clock: Clock::new(),
            budget: RestartBudget::new(arguments.restarts),
            running: Vec::new(),
        };
        let shared = Arc::clone(&hold.shared);
        for child in &shared.children {
            match child.subtree.start(myself.get_cell()).await {
                Ok(cell) => hold.running.push(Some(cell)),
                Err(why) => {
                    hold.stop_all(Duration::MAX).await;
                    return Err(format!("pool {}: {why}", child.subtree.name()).into());
                }
            }
        }
        Ok(hold)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let TreeMessage::Shutdown { grace, done } = message;
        state.shared.state.send_replace(TreeState::Stopping);
        state.stop_all(grace).await;
        myself.stop(None);
        // Nobody has to wait for it.
        let _ = done.send(());
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, cause) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, state, reason) => {
                // What the pool's actor held ends before another one takes over.
                drop(state);
                (cell, reason.unwrap_or_else(|| "ended unasked".to_owned()))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let failed =
            state.running.iter().position(|running| running.as_ref().is_some_and(|running| running.get_id() == cell.get_id()));
        match failed {
            // One that was stopped on purpose.
            None => Ok(()),
            Some(place) => state.restart(place, cause, &myself).await,
        }
    }
}

impl TreeHold {
    async fn restart(
        &mut self,
        place: usize,
        mut cause: String,
        myself: &ActorRef<TreeMessage>,
    ) -> Result<(), ActorProcessingErr> {
        let shared = Arc::clone(&self.shared);
        let child = &shared.children[place];
        while self.budget.take(self.clock.now()) {
            shared.restarts.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(pool = %child.subtree.name(), cause, "pool is started again");
            self.bus.tell(Event::SubtreeRestarted { name: child.subtree.name(), cause: cause.clone() });
            match child.subtree.start(myself.get_cell()).await {
                Ok(cell) => {
                    self.running[place] = Some(cell);
                    return Ok(());
                }
                Err(why) => cause = why,
            }
        }
        self.running[place] = None;
        // It will not come back: callers are told that it is closed, not to try again.
        child.subtree.drain();
        let cause = format!("pool {}: {cause}", child.subtree.name());
        tracing::error!(tree = %shared.name, cause, "tree gives up: restart budget spent");
        self.bus.tell(Event::TreeDown { name: Arc::clone(&shared.name), cause: cause.clone() });
        self.stop_all(Duration::MAX).await;
        Err(cause.into())
    }

    /// Stops what runs, from last to first.
    async fn stop_all(&mut self, grace: Duration) {
        let shared = Arc::clone(&self.shared);
        for (place, child) in shared.children.iter().enumerate().rev() {
            let Some(cell) = self.running.get_mut(place).and_then(Option::take) else {
                continue;
            };
            child.subtree.drain();
            if cell.wait(Some(child.shutdown.min(grace))).await.is_err() {
                tracing::warn!(pool = %child.subtree.name(), "pool did not stop in time and is killed");
                let children = cell.get_children();
                cell.kill();
                // Killing drops the actor's state at its next await point; it holds no blocking work.
                let _ = cell.wait(Some(KILL_WAIT)).await;
                for child in children {
                    child.kill();
                    // One that does not reach an await point is left behind; nobody waits longer for it.
                    let _ = child.wait(Some(KILL_WAIT)).await;
                }
            }
        }
    }
}

/// How long a killed pool's actor may take to be gone. It never blocks, so this is only a bound on the wait.
const KILL_WAIT: Duration = Duration::from_secs(1);

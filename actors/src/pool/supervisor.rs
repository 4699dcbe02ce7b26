//! The pool's actor: starts children, hears of their ends, and nothing else. No job passes through it.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::child::{ChildActor, ChildArguments};
use crate::exit::{Exit, FailedWith};
use crate::id::Key;
use crate::pool::shared::{ChildHandle, Shared};
use crate::progress::Progress;
use crate::supervisor::AlreadyRuns;
use crate::task::spawn_named;
use crate::worker::Worker;

/// What the pool's actor is told. The number of these is bounded by the number of children.
pub(crate) enum PoolMessage<W: Worker> {
    Start {
        key: Key,
        delay: Duration,
    },
    Up {
        key: Key,
        child: Fresh<W>,
    },
    NotUp {
        key: Key,
        why: String,
    },
    /// The caller of this lease has gone in the middle of a job.
    Cancelled {
        key: Key,
        lease: u64,
    },
    Escalate {
        cause: Exit,
    },
    /// Look at the children.
    Tick,
    Drained,
}

/// A child that nobody has taken yet. Without a pool to take it, nobody wants it.
pub(crate) struct Fresh<W: Worker>(Option<ChildHandle<W>>);

impl<W: Worker> Fresh<W> {
    fn taken(mut self) -> Option<ChildHandle<W>> {
        self.0.take()
    }
}

impl<W: Worker> Drop for Fresh<W> {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            child.kill();
        }
    }
}

pub(crate) struct PoolActor<W>(PhantomData<fn() -> W>);

impl<W> PoolActor<W> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

pub(crate) struct PoolHold<W: Worker> {
    id: ActorId,
    shared: Arc<Shared<W>>,
    children: HashMap<ActorId, Key>,
}

/// However the actor ends, nobody is left waiting for it.
impl<W: Worker> Drop for PoolHold<W> {
    fn drop(&mut self) {
        self.shared.close(self.id);
    }
}

impl<W: Worker> Actor for PoolActor<W> {
    type Msg = PoolMessage<W>;
    type State = PoolHold<W>;
    type Arguments = Arc<Shared<W>>;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, shared: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        let id = myself.get_id();
        AlreadyRuns::unless_ends(shared.owner(), shared.name()).await?;
        spawn_named("ticks", ticks(myself.clone(), shared.spec.tick_every()));
        shared.open(myself);
        Ok(PoolHold { id, shared, children: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PoolMessage::Start { key, delay } => {
                spawn_named("child start", start(Arc::clone(&state.shared), myself, key, delay));
            }
            PoolMessage::Up { key, child } => {
                let Some(child) = child.taken() else { return Ok(()) };
                let (id, gone) = (child.actor.get_id(), child.actor.get_status() >= ActorStatus::Stopping);
                state.children.insert(id, key);
                state.shared.started(key, child);
                if gone {
                    // Its end was reported before its start and nobody knew it then.
                    state.children.remove(&id);
                    state.shared.ended(key, Exit::Killed);
                }
            }
            PoolMessage::NotUp { key, why } => state.shared.start_failed(key, why),
            PoolMessage::Cancelled { key, lease } => {
                let shared = Arc::clone(&state.shared);
                spawn_named("cancelled job", async move {
                    sleep(shared.cancel_grace().saturating_mul(2)).await;
                    shared.condemn(key, lease, Exit::Hung);
                });
            }
            PoolMessage::Escalate { cause } => {
                return Err(FailedWith(Exit::Escalated(format!("restart budget spent, last by: {cause}"))).into());
            }
            PoolMessage::Tick => state.shared.tick(),
            PoolMessage::Drained => myself.stop(None),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (child, exit) = match event {
            SupervisionEvent::ActorFailed(child, error) => (child, Exit::Panicked(error.to_string())),
            // The books know better if the pool sent it; otherwise somebody killed it.
            SupervisionEvent::ActorTerminated(child, state, _) => {
                // A killed child's worker is in there. Its end may be slow or panic, and must not hurt the pool.
                spawn_named("worker drop", async move { drop(state) });
                (child, Exit::Killed)
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        if let Some(key) = state.children.remove(&child.get_id()) {
            state.shared.ended(key, exit);
        }
        Ok(())
    }
}

/// Tells the actor to look at its children, for as long as it lives. A machine that was stopped for a while has missed
/// those looks, and is not flooded with them.
async fn ticks<W: Worker>(pool: ActorRef<PoolMessage<W>>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if pool.cast(PoolMessage::Tick).is_err() {
            return;
        }
    }
}

/// Starts one child beside the actor, so that a slow start stalls nobody, and reports back.
async fn start<W: Worker>(shared: Arc<Shared<W>>, pool: ActorRef<PoolMessage<W>>, key: Key, delay: Duration) {
    let mut report = Report { pool: pool.clone(), key, told: false };
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let progress = Progress::default();
    let (sender, interrupt) = oneshot::channel();
    let arguments = ChildArguments {
        spec: Arc::clone(&shared.worker),
        id: key.within(shared.name()),
        stop_grace: shared.spec.stop_grace,
        progress: progress.clone(),
        interrupt: sender,
    };
    let starting = async {
        if shared.wants(key) {
            shared.tell_starting(key);
            let starting = Actor::spawn_linked(None, ChildActor::<W>::new(), arguments, pool.get_cell());
            timeout(shared.spec.start_timeout, starting).await
        } else {
            std::future::pending().await
        }
    };
    let started = tokio::select! {
        biased;
        () = unwanted(&shared, key) => {
            report.told = true;
            shared.ended(key, Exit::Shutdown);
            return;
        }
        started = starting => started,
    };
    match started {
        Ok(Ok((actor, _))) => {
            // It was sent before the start was over.
            let interrupt = interrupt.await.unwrap_or_default();
            report.up(ChildHandle { actor, progress, interrupt });
        }
        Ok(Err(error)) => report.not_up(innermost(&error)),
        Err(_) => report.not_up(format!("not up within {:?}", shared.spec.start_timeout)),
    }
}

/// Waits until nobody wants the child of `key` any more.
async fn unwanted<W: Worker>(shared: &Shared<W>, key: Key) {
    let mut changes = shared.changes();
    // The sender lives in `shared`.
    while shared.wants(key) && changes.changed().await.is_ok() {}
}

/// What the pool's actor is told of a start: exactly one thing, also if the start is abandoned or panics.
struct Report<W: Worker> {
    pool: ActorRef<PoolMessage<W>>,
    key: Key,
    told: bool,
}

impl<W: Worker> Report<W> {
    fn up(&mut self, child: ChildHandle<W>) {
        self.told = true;
        // A message that is not delivered, or not read, kills what is in it.
        let _ = self.pool.cast(PoolMessage::Up { key: self.key, child: Fresh(Some(child)) });
    }

    fn not_up(&mut self, why: String) {
        self.told = true;
        // Without its actor the pool is closed, and nobody waits for this child.
        let _ = self.pool.cast(PoolMessage::NotUp { key: self.key, why });
    }
}

impl<W: Worker> Drop for Report<W> {
    fn drop(&mut self) {
        if !self.told {
            self.not_up("the start was abandoned".to_owned());
        }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

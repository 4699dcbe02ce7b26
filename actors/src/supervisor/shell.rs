//! The supervisor's actor: carries out what the core decides, and reports what happens to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::exit::{Exit, FailedWith};
use crate::service::FINISHED;
use crate::snapshot::NodeDetail;
use crate::supervisor::child_spec::{ChildSpec, Starting, Subtree};
use crate::supervisor::core::{Effect, NodeKey, Phase};
use crate::supervisor::{Shared, Supervisor};
use crate::task::spawn_named;

/// What a supervisor's actor is told. The number of these is bounded by the number of children and orders.
pub(crate) enum SupervisorMessage {
    Begin,
    /// Effects of an order from outside.
    Carry(Vec<Effect>),
    Up {
        key: NodeKey,
        cell: ActorCell,
    },
    NotUp {
        key: NodeKey,
        exit: Exit,
    },
    /// Somebody outside kills this child.
    Strike(NodeKey),
    Overdue(NodeKey),
    LeftBehind(NodeKey),
    Stop {
        grace: Duration,
    },
}

pub(crate) struct SupervisorActor;

pub(crate) struct SupervisorHold {
    id: ActorId,
    shared: Arc<Shared>,
    /// Children that have an actor.
    cells: HashMap<NodeKey, ActorCell>,
    keys: HashMap<ActorId, NodeKey>,
    /// Starts under way.
    starting: usize,
    /// Ends that were told before their starts; forgotten when no start is under way.
    early: HashMap<ActorId, Exit>,
    /// What waits for children to have stopped.
    timers: HashMap<NodeKey, Vec<AbortHandle>>,
}

impl Drop for SupervisorHold {
    fn drop(&mut self) {
        self.shared.left_by(self.id);
    }
}

impl Actor for SupervisorActor {
    type Msg = SupervisorMessage;
    type State = SupervisorHold;
    type Arguments = Arc<Shared>;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, shared: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        let id = myself.get_id();
        shared.taken_over_by(myself.clone()).await?;
        myself.cast(SupervisorMessage::Begin)?;
        Ok(SupervisorHold {
            id,
            shared,
            cells: HashMap::new(),
            keys: HashMap::new(),
            starting: 0,
            early: HashMap::new(),
            timers: HashMap::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let shared = Arc::clone(&state.shared);
        let now = shared.clock.now();
        let effects = match message {
            SupervisorMessage::Begin => shared.books().core.start(now),
            SupervisorMessage::Carry(effects) => effects,
            SupervisorMessage::Up { key, cell } => {
                let id = cell.get_id();
                // Its end may have been told before its start. If it was not, it is still to come.
                let gone = state.early.remove(&id);
                state.started_one();
                state.keys.insert(id, key);
                state.cells.insert(key, cell);
                let effects = shared.books().core.started(now, key);
                state.carry_out(effects, &myself)?;
                match gone {
                    Some(exit) => state.ended(id, exit),
                    None => Vec::new(),
                }
            }
            SupervisorMessage::NotUp { key, exit } => {
                state.started_one();
                shared.books().core.ended(now, key, exit)
            }
            SupervisorMessage::Strike(key) => {
                state.strike(key);
                Vec::new()
            }
            SupervisorMessage::Overdue(key) => shared.books().core.overdue(now, key),
            SupervisorMessage::LeftBehind(key) => shared.books().core.left_behind(now, key),
            SupervisorMessage::Stop { grace } => {
                shared.phase.send_replace(Phase::Stopping);
                shared.books().core.stop(now, grace)
            }
        };
        state.carry_out(effects, &myself)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, exit) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, FailedWith::exit_of(&*error)),
            SupervisionEvent::ActorTerminated(cell, held, reason) => {
                // What the child's actor held ends before another one takes over.
                drop(held);
                let exit = match reason.as_deref() {
                    Some(FINISHED) => Exit::Finished,
                    // Without an order from here, whatever else ended it came from outside.
                    Some(_) | None => Exit::Killed,
                };
                (cell, exit)
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let id = cell.get_id();
        if state.keys.contains_key(&id) {
            let effects = state.ended(id, exit);
            return state.carry_out(effects, &myself);
        }
        // It is still being started; whoever starts it will say which child it was, or that there is none.
        if state.starting > 0 {
            state.early.insert(id, exit);
        }
        Ok(())
    }
}

/// A time to stop that is none.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// How long a killed child may take to be gone. Only one that blocks its thread takes longer than a moment.
const KILL_WAIT: Duration = Duration::from_secs(1);

impl SupervisorHold {
    fn started_one(&mut self) {
        self.starting = self.starting.saturating_sub(1);
        if self.starting == 0 {
            self.early.clear();
        }
    }

    fn ended(&mut self, id: ActorId, exit: Exit) -> Vec<Effect> {
        let Some(key) = self.keys.remove(&id) else { return Vec::new() };
        self.cells.remove(&key);
        for timer in self.timers.remove(&key).unwrap_or_default() {
            timer.abort();
        }
        self.shared.books().core.ended(self.shared.clock.now(), key, exit)
    }

    fn carry_out(&mut self, effects: Vec<Effect>, myself: &ActorRef<SupervisorMessage>) -> Result<(), ActorProcessingErr> {
        for effect in effects {
            match effect {
                Effect::Start { key, delay } => self.start(key, delay, myself),
                Effect::Stop { key, within } => {
                    self.with(key, |child| child.subtree.stop(within));
                    self.remind(key, within, myself, SupervisorMessage::Overdue(key));
                }
                Effect::Kill { key } => self.kill(key, myself),
                Effect::Forget { child } => {
                    self.shared.books().children.remove(&child);
                }
                Effect::Tell(event) => self.shared.bus.tell(event),
                Effect::Up => {
                    self.shared.phase.send_replace(Phase::Running);
                }
                Effect::Finish(exit) => return self.finish(exit, myself),
            }
        }
        self.shared.changed.send_replace(());
        Ok(())
    }

    fn finish(&mut self, exit: Exit, myself: &ActorRef<SupervisorMessage>) -> Result<(), ActorProcessingErr> {
        self.shared.finished(exit.clone());
        let children: Vec<ChildSpec> = self.shared.books().children.values().cloned().collect();
        for child in children {
            child.subtree.abandon();
        }
        match exit {
            Exit::Escalated(_) | Exit::StartFailed(_) => Err(FailedWith(exit).into()),
            Exit::Finished => {
                myself.stop(Some(FINISHED.to_owned()));
                Ok(())
            }
            Exit::Recycled(_)
            | Exit::Shutdown
            | Exit::Panicked(_)
            | Exit::Broken(_)
            | Exit::Hung
            | Exit::OutOfMemory(_)
            | Exit::Killed => {
                myself.stop(None);
                Ok(())
            }
        }
    }

    fn with<R>(&self, key: NodeKey, act: impl FnOnce(&ChildSpec) -> R) -> Option<R> {
        let child = self.shared.books().children.get(&key.child).cloned();
        child.map(|child| act(&child))
    }

    /// Starts a child beside the actor, so that a slow start stalls nobody.
    fn start(&mut self, key: NodeKey, delay: Duration, myself: &ActorRef<SupervisorMessage>) {
        let Some(child) = self.with(key, ChildSpec::clone) else { return };
        self.starting += 1;
        child.subtree.back_in(delay);
        let (shared, myself) = (Arc::clone(&self.shared), myself.clone());
        spawn_named("node start", async move {
            let mut report = Report { parent: myself.clone(), key, told: false };
            let unwanted = async {
                let mut changes = shared.changed.subscribe();
                // The sender lives in `shared`.
                while shared.books().core.wants(key) && changes.changed().await.is_ok() {}
            };
            let starting = async {
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                child.start(myself.get_cell()).await
            };
            let exit = tokio::select! {
                biased;
                () = unwanted => Exit::Shutdown,
                started = starting => match started {
                    Ok(cell) => {
                        report.up(&cell);
                        return;
                    }
                    Err(why) => Exit::StartFailed(why),
                },
            };
            report.not_up(exit);
        });
    }

    /// Kills a child and all below it, and sees to it that nobody waits for ever.
    fn kill(&mut self, key: NodeKey, myself: &ActorRef<SupervisorMessage>) {
        self.strike(key);
        // A start that is under way finds itself unwanted; then this comes too late and means nothing.
        self.remind(key, KILL_WAIT, myself, SupervisorMessage::LeftBehind(key));
    }

    /// Has `message` sent after a while, unless the child has gone by then.
    fn remind(&mut self, key: NodeKey, after: Duration, myself: &ActorRef<SupervisorMessage>, message: SupervisorMessage) {
        if after > FOR_EVER {
            return;
        }
        let myself = myself.clone();
        let timer = spawn_named("reminder", async move {
            sleep(after).await;
            // A supervisor that is gone needs no reminder.
            let _ = myself.cast(message);
        });
        self.timers.entry(key).or_default().push(timer.abort_handle());
    }

    fn strike(&self, key: NodeKey) {
        if let Some(cell) = self.cells.get(&key) {
            let mut below = vec![cell.clone()];
            let mut place = 0;
            while let Some(cell) = below.get(place).cloned() {
                below.extend(cell.get_children());
                place += 1;
            }
            for cell in below {
                cell.kill();
            }
        }
    }
}

/// What a supervisor is told of a start: exactly one thing, also if the start is abandoned or panics.
struct Report {
    parent: ActorRef<SupervisorMessage>,
    key: NodeKey,
    told: bool,
}

impl Report {
    fn up(&mut self, cell: &ActorCell) {
        self.told = true;
        if self.parent.cast(SupervisorMessage::Up { key: self.key, cell: cell.clone() }).is_err() {
            // Without its supervisor nobody wants it.
            cell.kill();
        }
    }

    fn not_up(&mut self, exit: Exit) {
        self.told = true;
        // A supervisor that is gone waits for nothing.
        let _ = self.parent.cast(SupervisorMessage::NotUp { key: self.key, exit });
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.told {
            self.not_up(Exit::StartFailed("the start was abandoned".to_owned()));
        }
    }
}

impl Supervisor {
    /// Starts the supervisor's actor, under a parent or alone, and waits until all its children are up.
    pub(crate) async fn launch(&self, parent: Option<ActorCell>) -> Result<ActorCell, String> {
        let arguments = Arc::clone(&self.shared);
        let spawned = match parent {
            Some(parent) => Actor::spawn_linked(None, SupervisorActor, arguments, parent).await,
            None => Actor::spawn(None, SupervisorActor, arguments).await,
        };
        let (actor, _) = spawned.map_err(|error| error.to_string())?;
        let mut guard = KillUnlessUp(Some(actor.get_cell()));
        let mut phase = self.shared.phase.subscribe();
        // The sender lives in `self`.
        let reached = phase.wait_for(|phase| matches!(phase, Phase::Running | Phase::Down)).await.map(|phase| *phase);
        if let Ok(Phase::Running) = reached {
            guard.0 = None;
            return Ok(actor.get_cell());
        }
        let exit = self.last_exit().map_or_else(|| "it ended".to_owned(), |exit| exit.to_string());
        Err(exit)
    }
}

/// A start that is given up leaves no actor behind.
struct KillUnlessUp(Option<ActorCell>);

impl Drop for KillUnlessUp {
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            cell.kill();
        }
    }
}

impl Subtree for Supervisor {
    fn start(&self, parent: ActorCell) -> Starting<'_> {
        Box::pin(self.launch(Some(parent)))
    }

    fn stop(&self, grace: Duration) {
        self.shared.tell_actor(SupervisorMessage::Stop { grace });
    }

    fn back_in(&self, _delay: Duration) {}

    fn abandon(&self) {}

    fn detail(&self) -> NodeDetail {
        NodeDetail::Supervisor(Box::new(self.snapshot()))
    }
}

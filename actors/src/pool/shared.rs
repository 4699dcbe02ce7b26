//! What a pool's handles, leases and actor share: the books under a short lock, and the way to the actor.
//!
//! The lock is held for a decision only, never across an await, and never while an effect is carried out:
//! an effect may drop a lease, and that takes the lock again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::{ActorCell, ActorId, ActorRef};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::child::Run;
use crate::clock::{Clock, Moment};
use crate::error::LeaseError;
use crate::event::{Bus, Event};
use crate::exit::Exit;
use crate::id::Key;
use crate::lease::{Demand, Lease};
use crate::pool::core::{Ask, Effect, Grant, Lend, Outcome, Phase, PoolCore};
use crate::pool::spec::PoolSpec;
use crate::pool::supervisor::PoolMessage;
use crate::pressure::Pressure;
use crate::progress::{Interrupt, Progress};
use crate::snapshot::PoolSnapshot;
use crate::watchdog::Reading;
use crate::worker::Worker;

/// A child that stands, as its pool holds it.
pub(crate) struct ChildHandle<W: Worker> {
    pub(crate) actor: ActorRef<Run<W>>,
    pub(crate) progress: Progress,
    pub(crate) interrupt: Option<Arc<dyn Interrupt>>,
}

impl<W: Worker> ChildHandle<W> {
    /// Kills the actor, which drops the worker at its next await point, and what the worker runs outside of itself.
    pub(crate) fn kill(&self) {
        self.progress.cancel();
        self.progress.condemn();
        self.actor.kill();
        if let Some(interrupt) = &self.interrupt {
            interrupt.kill();
        }
    }
}

impl<W: Worker> Clone for ChildHandle<W> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), progress: self.progress.clone(), interrupt: self.interrupt.clone() }
    }
}

type Granted<W> = Result<Lease<W>, LeaseError>;
type PoolEffect<W> = Effect<ChildHandle<W>, Token<W>>;

/// The way back to a waiting caller.
pub(crate) struct Token<W: Worker> {
    sender: oneshot::Sender<Granted<W>>,
    deadline: Instant,
}

pub(crate) struct Shared<W: Worker> {
    pub(crate) spec: PoolSpec,
    pub(crate) worker: Arc<W::Spec>,
    clock: Clock,
    bus: Bus,
    core: Mutex<PoolCore<ChildHandle<W>, Token<W>>>,
    actor: Mutex<Option<ActorRef<PoolMessage<W>>>>,
    /// Changes whenever the number of serving children may have, or the pool's phase.
    changed: watch::Sender<()>,
}

/// What became of asking for a lease, as the shell sees it.
pub(crate) enum Asked<W: Worker> {
    Granted(Lease<W>),
    Queued(u64, oneshot::Receiver<Granted<W>>),
    Refused(LeaseError),
}

impl<W: Worker> Shared<W> {
    pub(crate) fn new(spec: PoolSpec, worker: W::Spec, bus: Bus) -> Self {
        Self {
            core: Mutex::new(PoolCore::new(spec.clone())),
            spec,
            worker: Arc::new(worker),
            clock: Clock::new(),
            bus,
            actor: Mutex::new(None),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    pub(crate) fn cancel_grace(&self) -> Duration {
        self.spec.cancel_grace
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn ask(self: &Arc<Self>, demand: Demand) -> Asked<W> {
        let deadline = demand.deadline;
        let ask = Ask { bytes: demand.bytes, deadline: self.clock.moment(deadline), priority: demand.priority, key: demand.key };
        let mut answer = None;
        let lend = self.lock().lend(self.clock.now(), ask, || {
            let (sender, receiver) = oneshot::channel();
            answer = Some(receiver);
            Token { sender, deadline }
        });
        match (lend, answer) {
            (Lend::Granted(grant), _) => Asked::Granted(Lease::new(Arc::clone(self), grant, deadline)),
            (Lend::Queued(id), Some(answer)) => Asked::Queued(id, answer),
            (Lend::Refused(error), _) => Asked::Refused(error),
            (Lend::Queued(_), None) => Asked::Refused(LeaseError::Closed { pool: self.spec.name.to_string() }),
        }
    }

    pub(crate) fn cancel_wait(&self, id: u64, timed_out: bool) {
        self.lock().cancel_wait(id, timed_out);
    }

    pub(crate) fn check_in(self: &Arc<Self>, grant: &Grant<ChildHandle<W>>, outcome: Outcome) {
        self.decide(|core, now| core.check_in(now, grant, outcome));
    }

    pub(crate) fn condemn(self: &Arc<Self>, key: Key, lease: u64, exit: Exit) {
        self.decide(|core, now| core.condemn(now, key, lease, exit));
    }

    /// How `key` has ended without a plan, as far as the pool knows by now.
    pub(crate) fn failure_of(&self, key: Key) -> Option<Exit> {
        self.lock().failure_of(key)
    }

    /// The governor's level.
    pub(crate) fn pressed(self: &Arc<Self>, pressure: Pressure) {
        self.decide(|core, now| core.pressed(now, pressure));
        // Starts may have become unwanted.
        self.changed.send_replace(());
    }

    /// The supervisor says when the pool is started again.
    pub(crate) fn back_in(&self, delay: Duration) {
        self.lock().back_in(self.clock.now(), delay);
    }

    /// Looks at all children once.
    pub(crate) fn tick(self: &Arc<Self>) {
        // The probe may read a file; not under the lock.
        let memory = self.spec.memory.as_ref().and_then(|probe| probe.bytes());
        self.decide(|core, now| {
            let standing = core.standing();
            let readings: Vec<(Key, Reading)> = standing.iter().map(|(key, handle)| (*key, handle.progress.reading())).collect();
            core.tick(now, &readings, memory)
        });
    }

    /// A caller has gone in the middle of a job: see to it that its child lets go of it.
    pub(crate) fn watch_cancelled(&self, key: Key, lease: u64) {
        self.tell_actor(PoolMessage::Cancelled { key, lease });
    }

    pub(crate) fn retire(self: &Arc<Self>, slot: u32) -> bool {
        let (begun, effects) = self.lock().retire(self.clock.now(), slot);
        self.carry_out(effects);
        begun
    }

    pub(crate) fn drain(self: &Arc<Self>) {
        self.decide(PoolCore::drain);
        self.changed.send_replace(());
    }

    pub(crate) fn tell_starting(&self, key: Key) {
        let child = key.within(&self.spec.name);
        self.bus.tell(Event::ChildStarting { child });
    }

    pub(crate) fn started(self: &Arc<Self>, key: Key, child: ChildHandle<W>) {
        self.decide(|core, now| core.started(now, key, child));
        self.changed.send_replace(());
    }

    pub(crate) fn start_failed(self: &Arc<Self>, key: Key, why: String) {
        self.decide(|core, now| core.start_failed(now, key, why));
        self.changed.send_replace(());
    }

    pub(crate) fn ended(self: &Arc<Self>, key: Key, exit: Exit) {
        self.decide(|core, now| core.ended(now, key, exit));
        self.changed.send_replace(());
    }

    /// A new actor takes the pool over and opens it.
    pub(crate) fn open(self: &Arc<Self>, actor: ActorRef<PoolMessage<W>>) {
        let effects = {
            let mut current = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
            *current = Some(actor);
            self.lock().open(self.clock.now())
        };
        self.carry_out(effects);
        self.changed.send_replace(());
    }

    /// Whose actor runs the pool now.
    pub(crate) fn owner(&self) -> Option<ActorCell> {
        self.actor.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ActorRef::get_cell)
    }

    /// Nobody will start the pool again.
    pub(crate) fn abandon(self: &Arc<Self>) {
        self.lock().abandon();
        self.changed.send_replace(());
    }

    /// The actor `id` is gone. Its last act may come late: if another has taken over by then, nothing happens.
    pub(crate) fn close(self: &Arc<Self>, id: ActorId) {
        let effects = {
            let mut current = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_none_or(|actor| actor.get_id() != id) {
                return;
            }
            current.take();
            self.lock().close()
        };
        self.carry_out(effects);
        self.changed.send_replace(());
    }

    pub(crate) fn wants(&self, key: Key) -> bool {
        self.lock().wants(key)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.lock().phase()
    }

    pub(crate) fn serving(&self) -> usize {
        self.lock().serving()
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        self.lock().snapshot(self.clock.now())
    }

    fn decide(self: &Arc<Self>, decision: impl FnOnce(&mut PoolCore<ChildHandle<W>, Token<W>>, Moment) -> Vec<PoolEffect<W>>) {
        let (effects, turned) = {
            let mut core = self.lock();
            let before = core.phase();
            let effects = decision(&mut core, self.clock.now());
            (effects, core.phase() != before)
        };
        self.carry_out(effects);
        if turned {
            self.changed.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolCore<ChildHandle<W>, Token<W>>> {
        // The books are plain data and every change to them is complete before anything can panic.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(self: &Arc<Self>, effects: Vec<PoolEffect<W>>) {
        for effect in effects {
            match effect {
                Effect::Start { key, delay } => self.tell_actor(PoolMessage::Start { key, delay }),
                Effect::Stop { handle } => handle.actor.stop(None),
                Effect::Kill { handle } => handle.kill(),
                Effect::Cancel { handle, job } => handle.progress.cancel_job(job),
                Effect::Interrupt { handle, job } => {
                    if let Some(interrupt) = handle.interrupt.as_ref().filter(|_| handle.progress.is_at(job)) {
                        interrupt.interrupt();
                    }
                }
                Effect::Grant { token, grant } => {
                    let lease = Lease::new(Arc::clone(self), grant, token.deadline);
                    // A caller that has gone gives the lease back by dropping it.
                    drop(token.sender.send(Ok(lease)));
                }
                Effect::Refuse { token, error } => drop(token.sender.send(Err(error))),
                Effect::Tell(event) => self.bus.tell(event),
                Effect::Escalate { cause } => self.tell_actor(PoolMessage::Escalate { cause }),
                Effect::Drained => self.tell_actor(PoolMessage::Drained),
            }
        }
    }

    fn tell_actor(&self, message: PoolMessage<W>) {
        let actor = self.actor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(actor) = actor {
            // Without an actor the pool is closed, and whoever asked has been told.
            let _ = actor.cast(message);
        }
    }
}

//! Supervisors: who is started after whom, who is restarted with whom, and when that is enough.
//!
//! ```text
//!                 Tree                     the root, and whoever waits for its end
//!                  │
//!              Supervisor ─── strategy, intensity, auto-shutdown       (`supervisor/core.rs`, without clock or IO)
//!        ┌─────────┼──────────┐
//!     Service     Pool    Supervisor       children, in start order; more can come and go while it runs
//!                  │          │
//!               workers     …
//! ```
//!
//! A [`Supervisor`] is a handle, made from a [`SupervisorSpec`] and started by a [`Tree`](crate::Tree) or by another
//! supervisor. Its actor only carries out what its core decides; starts run beside it, so one that takes long, or never
//! succeeds, stalls nobody.

pub(crate) mod child_spec;
pub(crate) mod core;
pub(crate) mod policy;
pub(crate) mod shell;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::{ActorCell, ActorId, ActorRef, ActorStatus};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::event::{Bus, Record};
use crate::exit::Exit;
use crate::restart::{BackoffSpec, RestartPolicy};
use crate::snapshot::{NodeSnapshot, TreeSnapshot};
use crate::supervisor::child_spec::ChildSpec;
use crate::supervisor::core::{ChildError, Effect, Phase, SupervisorCore, SupervisorPolicy};
use crate::supervisor::policy::{AutoShutdown, Strategy};
use crate::supervisor::shell::SupervisorMessage;

/// What a supervisor is made from. By default one_for_one, three restarts in a minute, no auto-shutdown.
#[derive(Clone, Debug)]
pub struct SupervisorSpec {
    name: Arc<str>,
    policy: SupervisorPolicy,
    children: Vec<ChildSpec>,
}

impl SupervisorSpec {
    /// A supervisor called `name`, without children.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let policy = SupervisorPolicy {
            strategy: Strategy::OneForOne,
            restarts: RestartPolicy::any(3, Duration::from_secs(60)),
            backoff: BackoffSpec {
                base: Duration::from_millis(100),
                cap: Duration::from_secs(10),
                reset_after: Duration::from_secs(300),
            },
            auto_shutdown: AutoShutdown::Never,
            max_children: 1024,
            seed: 0,
        };
        Self { name: name.into(), policy, children: Vec::new() }
    }

    /// Who is restarted when a child fails.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.policy.strategy = strategy;
        self
    }

    /// How many restarts are too many.
    #[must_use]
    pub fn restarts(mut self, restarts: impl Into<RestartPolicy>) -> Self {
        self.policy.restarts = restarts.into();
        self
    }

    /// How long to wait before a restart. The first one of a child is immediate.
    #[must_use]
    pub fn backoff(mut self, backoff: BackoffSpec) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// Whether the end of significant children ends the supervisor.
    #[must_use]
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.policy.auto_shutdown = auto_shutdown;
        self
    }

    /// How many children there may be, those added later included. Default 1,024.
    #[must_use]
    pub fn max_children(mut self, max_children: usize) -> Self {
        self.policy.max_children = max_children;
        self
    }

    /// Seed of the jitter of backoffs. Default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.policy.seed = seed;
        self
    }

    /// Adds a child, started after those before it and stopped before them.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }
}

/// What is left of a supervisor that gave up: why, and what happened before.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PostMortem {
    /// How it ended.
    pub exit: Exit,
    /// The last events before that, oldest first.
    pub events: Vec<Record>,
}

/// A handle to a supervisor; clones are handles to the same one.
#[derive(Clone)]
pub struct Supervisor {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) bus: Bus,
    pub(crate) clock: Clock,
    books: Mutex<Books>,
    actor: Mutex<Option<ActorRef<SupervisorMessage>>>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Changes whenever a start may no longer be wanted.
    pub(crate) changed: watch::Sender<()>,
    exit: Mutex<Option<Exit>>,
    post_mortem: Mutex<Option<PostMortem>>,
}

pub(crate) struct Books {
    pub(crate) core: SupervisorCore,
    pub(crate) children: BTreeMap<u32, ChildSpec>,
}

impl Supervisor {
    /// A supervisor that is down until a tree or another supervisor starts it.
    ///
    /// # Errors
    /// [`ChildError`] if the children contradict each other or the supervisor.
    pub fn new(spec: SupervisorSpec, bus: Bus) -> Result<Self, ChildError> {
        let clock = Clock::new();
        let mut core = SupervisorCore::new(&spec.name, spec.policy);
        let mut children = BTreeMap::new();
        for child in spec.children {
            let (number, _) = core.add(clock.now(), &child.name, child.policy)?;
            children.insert(number, child);
        }
        let shared = Shared {
            name: spec.name,
            bus,
            clock,
            books: Mutex::new(Books { core, children }),
            actor: Mutex::new(None),
            phase: watch::Sender::new(Phase::Down),
            changed: watch::Sender::new(()),
            exit: Mutex::new(None),
            post_mortem: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// Adds a child at the end; if the supervisor runs, it is started at once.
    ///
    /// # Errors
    /// See [`ChildError`].
    pub fn add_child(&self, child: ChildSpec) -> Result<(), ChildError> {
        let effects = {
            let mut books = self.shared.books();
            let (number, effects) = books.core.add(self.shared.clock.now(), &child.name, child.policy)?;
            books.children.insert(number, child);
            effects
        };
        self.shared.order(effects);
        Ok(())
    }

    /// Stops a child, which stays known unless it is temporary.
    ///
    /// # Errors
    /// [`ChildError::Unknown`].
    pub fn terminate_child(&self, name: &str) -> Result<(), ChildError> {
        self.change(|core, shared| core.terminate(shared.clock.now(), name))
    }

    /// Kills a child at once and without a plan, as anybody outside could: it has ended abnormally, and what follows is
    /// up to its restart policy.
    ///
    /// # Errors
    /// [`ChildError::Unknown`].
    pub fn kill_child(&self, name: &str) -> Result<(), ChildError> {
        let key = self.shared.books().core.key_of(name)?;
        self.shared.tell_actor(SupervisorMessage::Strike(key));
        Ok(())
    }

    /// Starts a child that is down.
    ///
    /// # Errors
    /// See [`ChildError`].
    pub fn restart_child(&self, name: &str) -> Result<(), ChildError> {
        self.change(|core, shared| core.restart_child(shared.clock.now(), name))
    }

    /// Forgets a child that is down.
    ///
    /// # Errors
    /// See [`ChildError`].
    pub fn delete_child(&self, name: &str) -> Result<(), ChildError> {
        self.change(|core, _| core.delete(name))
    }

    fn change(
        &self,
        change: impl FnOnce(&mut SupervisorCore, &Shared) -> Result<Vec<Effect>, ChildError>,
    ) -> Result<(), ChildError> {
        let effects = change(&mut self.shared.books().core, &self.shared)?;
        self.shared.order(effects);
        Ok(())
    }

    /// How its last life ended, once it is down.
    #[must_use]
    pub fn last_exit(&self) -> Option<Exit> {
        self.shared.exit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What happened before it gave up, if it ever has.
    #[must_use]
    pub fn post_mortem(&self) -> Option<PostMortem> {
        self.shared.post_mortem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The supervisor and all below as data, at once, whatever its children do.
    #[must_use]
    pub fn snapshot(&self) -> TreeSnapshot {
        let (views, restarts, strategy, phase, specs) = {
            let books = self.shared.books();
            let (core, children) = (&books.core, &books.children);
            (core.view(self.shared.clock.now()), core.restarts().clone(), core.strategy(), core.phase(), children.clone())
        };
        let node = |view: core::NodeView| {
            let detail = specs.get(&view.number)?.subtree.detail();
            Some(NodeSnapshot {
                name: view.name,
                generation: view.generation,
                state: view.state,
                since: view.since,
                restart: view.policy.restart.label(),
                significant: view.policy.significant,
                answers: view.answers,
                starts_in: view.starts_in,
                last_exit: view.last_exit,
                detail,
            })
        };
        TreeSnapshot {
            name: Arc::clone(&self.shared.name),
            state: phase.label(),
            strategy: strategy.label(),
            restarts,
            children: views.into_iter().filter_map(node).collect(),
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        // The books are plain data and every change to them is complete before anything can panic.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has effects carried out by the actor; without one nothing runs that they could be about.
    pub(crate) fn order(&self, effects: Vec<Effect>) {
        let actor = self.actor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(actor) = actor
            && !effects.is_empty()
        {
            // An actor that is gone has closed the books.
            let _ = actor.cast(SupervisorMessage::Carry(effects));
        }
    }

    /// A new actor takes over, once an earlier one is gone. There can be only one.
    pub(crate) async fn taken_over_by(&self, actor: ActorRef<SupervisorMessage>) -> Result<(), AlreadyRuns> {
        let earlier = self.actor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        AlreadyRuns::unless_ends(earlier.map(|earlier| earlier.get_cell()), &self.name).await?;
        let mut current = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(actor);
        *self.exit.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.phase.send_replace(Phase::Starting);
        Ok(())
    }

    /// The actor `id` is gone. Its last act may come late: if another has taken over by then, nothing happens.
    pub(crate) fn left_by(&self, id: ActorId) {
        let mut current = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|actor| actor.get_id() == id) {
            *current = None;
            let mut exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
            if exit.is_none() {
                *exit = Some(Exit::Killed);
            }
            self.phase.send_replace(Phase::Down);
        }
    }

    pub(crate) fn finished(&self, exit: Exit) {
        if let Exit::Escalated(why) = &exit {
            self.bus.dump(DUMPED, why);
            let events = self.bus.recent();
            let post_mortem = PostMortem { exit: exit.clone(), events };
            *self.post_mortem.lock().unwrap_or_else(PoisonError::into_inner) = Some(post_mortem);
        }
        *self.exit.lock().unwrap_or_else(PoisonError::into_inner) = Some(exit);
    }

    pub(crate) fn tell_actor(&self, message: SupervisorMessage) -> bool {
        let actor = self.actor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        actor.is_some_and(|actor| actor.cast(message).is_ok())
    }
}

/// A pool or supervisor is run by one owner at a time.
#[derive(Debug, thiserror::Error)]
#[error("{name} is already run by another supervisor")]
pub(crate) struct AlreadyRuns {
    name: String,
}

impl AlreadyRuns {
    /// Waits a moment for an earlier owner's actor to end: it may have been killed just now.
    pub(crate) async fn unless_ends(earlier: Option<ActorCell>, name: &str) -> Result<(), Self> {
        match earlier {
            Some(earlier) if earlier.get_status() < ActorStatus::Stopped => {
                let ended = earlier.wait(Some(LAST_MOMENT)).await.is_ok();
                if ended { Ok(()) } else { Err(Self { name: name.to_owned() }) }
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// How long an actor that has been killed may take to be gone.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Events logged when a supervisor gives up.
const DUMPED: usize = 50;

//! All decisions of a supervisor, without clock, IO or actors: OTP's rules as a pure state machine.
//!
//! ```text
//!   start ──▶ children up, one after the other ──▶ Running
//!   a child ends ──▶ not to be restarted: significant? ──▶ shut down, or go on without it
//!                └─▶ to be restarted: budget? ──no──▶ stop all, fail
//!                              yes │
//!            one_for_one:          └─▶ that child, after its backoff; the others never notice
//!            one_for_all, rest_for_one: ─▶ stop those that go with it, right to left; then start them, left to right
//!   stop ──▶ children down, right to left, each with its own time and then a kill
//! ```
//!
//! A restart that fails is one more failure of that child: it counts, and is tried again after a backoff, while its
//! siblings work on. Whoever carries the [`Effect`]s out reports back by [`SupervisorCore::started`],
//! [`SupervisorCore::ended`] and the two timers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::clock::Moment;
use crate::event::Event;
use crate::exit::Exit;
use crate::restart::{Backoff, BackoffSpec, RestartBudgets, RestartPolicy};
use crate::supervisor::policy::{AutoShutdown, ChildPolicy, Restart, Shutdown, Strategy};

/// One life of one child: its number under this supervisor, never used twice, and which life it is, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    /// The child.
    pub child: u32,
    /// Its life.
    pub generation: u64,
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start the child after `delay`.
    Start {
        /// Which life.
        key: NodeKey,
        /// How long from now.
        delay: Duration,
    },
    /// Ask the child to stop; if it is still there after `within`, report [`SupervisorCore::overdue`].
    Stop {
        /// Which life.
        key: NodeKey,
        /// How long it may take.
        within: Duration,
    },
    /// Kill the child; if it is still there after a moment, report [`SupervisorCore::left_behind`].
    Kill {
        /// Which life.
        key: NodeKey,
    },
    /// The child is no longer known.
    Forget {
        /// Its number.
        child: u32,
    },
    /// Tell the world.
    Tell(Event),
    /// All children that are started at first are up.
    Up,
    /// The supervisor is at its end, with no child left.
    Finish(Exit),
}

/// Whether a supervisor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its children are being started for the first time.
    Starting,
    /// It watches its children.
    Running,
    /// It stops them.
    Stopping,
    /// It is gone.
    Down,
}

impl Phase {
    /// The phase as one word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Down => "down",
        }
    }
}

/// Where one child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not there, and nobody is at work to change that.
    Down,
    /// To be started; `due` lies ahead while it waits out a backoff.
    Starting,
    Running,
    Stopping,
    Killing,
}

#[derive(Debug)]
struct Child {
    number: u32,
    name: Arc<str>,
    policy: ChildPolicy,
    state: State,
    generation: u64,
    since: Moment,
    due: Moment,
    up: Option<Moment>,
    backoff: Backoff,
    last_exit: Option<Exit>,
    answers: bool,
}

impl Child {
    fn key(&self) -> NodeKey {
        NodeKey { child: self.number, generation: self.generation }
    }

    fn enter(&mut self, state: State, now: Moment) {
        self.state = state;
        self.since = now;
    }
}

/// Children that are stopped and started together because one of them failed.
#[derive(Debug)]
struct Regroup {
    /// Their numbers; in the order of the supervisor's children.
    members: Vec<u32>,
    /// How long to wait before the first is started.
    delay: Duration,
    /// Whether members that stand are to go first.
    stops: bool,
}

/// What a supervisor is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct SupervisorPolicy {
    /// Who is restarted when a child fails.
    pub strategy: Strategy,
    /// How many restarts are too many.
    pub restarts: RestartPolicy,
    /// How long to wait before a restart.
    pub backoff: BackoffSpec,
    /// Whether the end of significant children ends the supervisor.
    pub auto_shutdown: AutoShutdown,
    /// Children that may be there at once.
    pub max_children: usize,
    /// Seed of the jitter.
    pub seed: u64,
}

/// Why a child could not be added, or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// The supervisor stops or is down.
    #[error("supervisor {supervisor} is not running")]
    NotRunning {
        /// The supervisor.
        supervisor: String,
    },
    /// There is a child of that name already.
    #[error("supervisor {supervisor} already has a child {child}; names are unique within a supervisor")]
    NameTaken {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
    },
    /// There is no child of that name.
    #[error("supervisor {supervisor} has no child {child}")]
    Unknown {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
    },
    /// There are as many children as there may be.
    #[error("supervisor {supervisor} has {max_children} children, and may have no more")]
    Full {
        /// The supervisor.
        supervisor: String,
        /// As many as may be.
        max_children: usize,
    },
    /// The child's settings contradict each other or the supervisor's.
    #[error("child {child} of supervisor {supervisor}: {why}")]
    Unsound {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
        /// What is wrong, and what to do.
        why: &'static str,
    },
    /// The child is not in a state in which that can be done.
    #[error("child {child} of supervisor {supervisor} is {state}")]
    WrongState {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
        /// In which state it is.
        state: &'static str,
    },
}

/// One child as the core sees it.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: Arc<str>,
    /// Its life, from 1.
    pub generation: u64,
    /// `down`, `backoff`, `starting`, `running`, `stopping` or `killing`.
    pub state: &'static str,
    /// How long it has been in that state.
    pub since: Duration,
    /// Its policy.
    pub policy: ChildPolicy,
    /// `false` if it was killed and would not go.
    pub answers: bool,
    /// How long until it is started.
    pub starts_in: Option<Duration>,
    /// How its last life ended.
    pub last_exit: Option<Exit>,
}

/// The books of one supervisor.
#[derive(Debug)]
pub struct SupervisorCore {
    name: Arc<str>,
    policy: SupervisorPolicy,
    phase: Phase,
    children: Vec<Child>,
    next: u32,
    budgets: RestartBudgets,
    rng: Rng,
    /// Children that have not been started yet, in order.
    boot: VecDeque<u32>,
    regroup: Option<Regroup>,
    /// While stopping: how long any child may take at most, and how the supervisor ends.
    stop: Option<(Duration, Exit)>,
    restarts: BTreeMap<&'static str, u64>,
}

impl SupervisorCore {
    /// A supervisor without children.
    #[must_use]
    pub fn new(name: &str, policy: SupervisorPolicy) -> Self {
        Self {
            name: name.into(),
            phase: Phase::Down,
            children: Vec::new(),
            next: 0,
            budgets: RestartBudgets::new(&policy.restarts),
            rng: Rng::with_seed(policy.seed),
            boot: VecDeque::new(),
            regroup: None,
            stop: None,
            restarts: BTreeMap::new(),
            policy,
        }
    }

    /// Adds a child at the end. It is started at once if the supervisor runs.
    ///
    /// # Errors
    /// See [`ChildError`]; then nothing has changed.
    pub fn add(&mut self, now: Moment, name: &str, policy: ChildPolicy) -> Result<(u32, Vec<Effect>), ChildError> {
        let supervisor = || self.name.to_string();
        let child = || name.to_owned();
        if self.phase == Phase::Stopping {
            return Err(ChildError::NotRunning { supervisor: supervisor() });
        }
        if self.children.iter().any(|child| &*child.name == name) {
            return Err(ChildError::NameTaken { supervisor: supervisor(), child: child() });
        }
        let max_children = self.policy.max_children;
        if self.children.len() >= max_children {
            return Err(ChildError::Full { supervisor: supervisor(), max_children });
        }
        if let Some(why) = self.policy.auto_shutdown.objection(&policy) {
            return Err(ChildError::Unsound { supervisor: supervisor(), child: child(), why });
        }
        let number = self.next;
        self.next += 1;
        self.children.push(Child {
            number,
            name: name.into(),
            policy,
            state: State::Down,
            generation: 0,
            since: now,
            due: now,
            up: None,
            backoff: Backoff::new(self.policy.backoff),
            last_exit: None,
            answers: true,
        });
        let mut effects = Vec::new();
        match self.phase {
            Phase::Starting => self.boot.push_back(number),
            Phase::Running => self.begin(now, number, Duration::ZERO, &mut effects),
            Phase::Stopping | Phase::Down => {}
        }
        Ok((number, effects))
    }

    /// Starts all children, the first one first. Whatever has been spent or counted against the budget is forgotten.
    pub fn start(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.phase = Phase::Starting;
        self.stop = None;
        self.regroup = None;
        self.budgets = RestartBudgets::new(&self.policy.restarts);
        for child in &mut self.children {
            child.enter(State::Down, now);
            child.backoff = Backoff::new(self.policy.backoff);
        }
        self.boot = self.children.iter().map(|child| child.number).collect();
        self.boot_next(now, &mut effects);
        effects
    }

    fn boot_next(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Starting {
            return;
        }
        match self.boot.front().copied() {
            Some(number) => self.begin(now, number, Duration::ZERO, effects),
            None => {
                self.phase = Phase::Running;
                effects.push(Effect::Up);
            }
        }
    }

    /// Stops all children, the last one first, none longer than `grace`.
    pub fn stop(&mut self, now: Moment, grace: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.wind_down(now, grace, Exit::Shutdown, &mut effects);
        effects
    }

    fn wind_down(&mut self, now: Moment, grace: Duration, exit: Exit, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Down) {
            return;
        }
        self.phase = Phase::Stopping;
        self.regroup = None;
        self.boot.clear();
        // A second order can only hurry the first, and a failure stays one.
        self.stop = Some(match self.stop.take() {
            Some((earlier, exit)) => (earlier.min(grace), exit),
            None => (grace, exit),
        });
        self.stop_next(now, effects);
    }

    /// Stops the last child that is still there; when there is none, the supervisor is at its end.
    fn stop_next(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some((grace, exit)) = self.stop.clone() else { return };
        let Some(last) = self.children.iter().rposition(|child| child.state != State::Down) else {
            if self.phase != Phase::Down {
                self.phase = Phase::Down;
                effects.push(Effect::Tell(Event::SupervisorDown { supervisor: self.name.clone(), exit: exit.clone() }));
                effects.push(Effect::Finish(exit));
            }
            return;
        };
        self.send_off(now, last, grace, effects);
    }

    /// Asks the child at `place` to go, if nobody has yet.
    fn send_off(&mut self, now: Moment, place: usize, grace: Duration, effects: &mut Vec<Effect>) {
        let child = &mut self.children[place];
        let key = child.key();
        match (child.state, child.policy.shutdown) {
            (State::Down | State::Stopping | State::Killing, _) => {}
            // Nothing is there yet that could be asked.
            (State::Starting, _) | (State::Running, Shutdown::Brutal) => {
                child.enter(State::Killing, now);
                effects.push(Effect::Kill { key });
            }
            (State::Running, Shutdown::Within(time)) => {
                child.enter(State::Stopping, now);
                effects.push(Effect::Stop { key, within: time.min(grace) });
            }
        }
    }

    /// Starts the next life of a child.
    fn begin(&mut self, now: Moment, number: u32, delay: Duration, effects: &mut Vec<Effect>) {
        if let Some(child) = self.children.iter_mut().find(|child| child.number == number) {
            child.generation += 1;
            child.enter(State::Starting, now);
            child.due = now + delay;
            child.up = None;
            effects.push(Effect::Start { key: child.key(), delay });
        }
    }

    /// Whether this life is still wanted: asked before a start that had to wait.
    #[must_use]
    pub fn wants(&self, key: NodeKey) -> bool {
        self.find(key).is_some_and(|place| self.children[place].state == State::Starting)
    }

    /// A child is up.
    pub fn started(&mut self, now: Moment, key: NodeKey) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(place) = self.find(key) else {
            effects.push(Effect::Kill { key });
            return effects;
        };
        let child = &mut self.children[place];
        match child.state {
            State::Starting => {
                child.enter(State::Running, now);
                child.up = Some(now);
                child.answers = true;
                effects.push(Effect::Tell(Event::NodeStarted {
                    supervisor: self.name.clone(),
                    node: child.name.clone(),
                    generation: key.generation,
                }));
            }
            // It was called off meanwhile.
            State::Stopping | State::Killing => effects.push(Effect::Kill { key }),
            State::Running | State::Down => {}
        }
        if self.boot.front() == Some(&key.child) {
            self.boot.pop_front();
            self.boot_next(now, &mut effects);
        }
        self.regroup_next(now, &mut effects);
        effects
    }

    /// A child is gone, or never came: `exit` is what was seen from outside.
    pub fn ended(&mut self, now: Moment, key: NodeKey, exit: Exit) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(place) = self.find(key) else {
            return effects;
        };
        let child = &mut self.children[place];
        let asked = matches!(child.state, State::Stopping | State::Killing);
        if child.state == State::Down {
            return effects;
        }
        // What the supervisor did itself is no failure of the child.
        let exit = if asked { Exit::Shutdown } else { exit };
        let lived = child.up.map_or(Duration::ZERO, |up| now.since(up));
        let (never_stood, name) = (child.state == State::Starting, child.name.clone());
        child.enter(State::Down, now);
        child.up = None;
        child.last_exit = Some(exit.clone());
        effects.push(Effect::Tell(Event::NodeEnded { supervisor: self.name.clone(), node: name, exit: exit.clone() }));
        match self.phase {
            Phase::Stopping => self.stop_next(now, &mut effects),
            Phase::Down => {}
            Phase::Starting if never_stood => {
                // OTP: a supervisor whose children do not come up at first has not started.
                let cause = self.told(place, &exit);
                self.wind_down(now, Duration::MAX, Exit::StartFailed(cause), &mut effects);
            }
            Phase::Starting | Phase::Running => {
                if asked {
                    self.gone_by_order(now, key.child, &mut effects);
                } else {
                    self.judge(now, place, exit, lived, &mut effects);
                }
            }
        }
        effects
    }

    /// A child that was asked to go has gone: it belongs to a regrouping, or somebody has terminated it.
    fn gone_by_order(&mut self, now: Moment, number: u32, effects: &mut Vec<Effect>) {
        let regrouped = self.regroup.as_ref().is_some_and(|regroup| regroup.members.contains(&number));
        let temporary = self.place(number).is_some_and(|place| self.children[place].policy.restart == Restart::Temporary);
        if temporary {
            self.forget(number, effects);
        }
        if regrouped {
            self.regroup_next(now, effects);
        }
    }

    /// A child has ended of its own accord, or was killed by somebody else.
    fn judge(&mut self, now: Moment, place: usize, exit: Exit, lived: Duration, effects: &mut Vec<Effect>) {
        let (number, policy) = (self.children[place].number, self.children[place].policy);
        let again = match policy.restart {
            Restart::Permanent => true,
            Restart::Transient => exit.is_abnormal(),
            Restart::Temporary => false,
        };
        if again {
            self.restart(now, place, exit, lived, effects);
            return;
        }
        if policy.restart == Restart::Temporary {
            self.forget(number, effects);
        }
        if let Some(regroup) = &mut self.regroup {
            regroup.members.retain(|member| *member != number);
        }
        let others = self.children.iter().any(|child| child.policy.significant && child.state != State::Down);
        let ends = match self.policy.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => policy.significant,
            AutoShutdown::AllSignificant => policy.significant && !others,
        };
        if ends {
            self.wind_down(now, Duration::MAX, Exit::Finished, effects);
        } else {
            self.regroup_next(now, effects);
        }
    }

    fn restart(&mut self, now: Moment, place: usize, exit: Exit, lived: Duration, effects: &mut Vec<Effect>) {
        let number = self.children[place].number;
        let Some(cause) = exit.cause() else { return };
        if !self.budgets.take(now, cause) {
            let cause = self.told(place, &exit);
            let supervisor = self.name.clone();
            effects.push(Effect::Tell(Event::SupervisorGaveUp { supervisor, cause: cause.clone() }));
            self.wind_down(now, Duration::MAX, Exit::Escalated(cause), effects);
            return;
        }
        *self.restarts.entry(cause.label()).or_default() += 1;
        let child = &mut self.children[place];
        let delay = match exit {
            Exit::StartFailed(_) => child.backoff.after_failed_start(&mut self.rng),
            Exit::Recycled(_)
            | Exit::Shutdown
            | Exit::Panicked(_)
            | Exit::Broken(_)
            | Exit::Hung
            | Exit::OutOfMemory(_)
            | Exit::Killed
            | Exit::Finished
            | Exit::Escalated(_) => child.backoff.after_crash(lived, &mut self.rng),
        };
        effects.push(Effect::Tell(Event::NodeRestarting {
            supervisor: self.name.clone(),
            node: child.name.clone(),
            cause: exit,
            delay,
        }));
        let from = match self.policy.strategy {
            Strategy::OneForOne => {
                self.begin(now, number, delay, effects);
                return;
            }
            Strategy::OneForAll => 0,
            Strategy::RestForOne => place,
        };
        // Those that nobody wants any more stay down. A start that is still ahead in the boot stays there.
        let booting = |number: u32| self.boot.contains(&number);
        let mut members: Vec<u32> = self.children[from..]
            .iter()
            .filter(|child| child.number == number || (child.state != State::Down && !booting(child.number)))
            .map(|child| child.number)
            .collect();
        // A failure in the middle of another regrouping: those that were still to come are to come now.
        if let Some(regroup) = self.regroup.take() {
            let to_come = |state| matches!(state, State::Down | State::Stopping | State::Killing);
            let waiting = |member: &u32| {
                !members.contains(member) && self.place(*member).is_some_and(|place| to_come(self.children[place].state))
            };
            let more: Vec<u32> = regroup.members.iter().copied().filter(waiting).collect();
            members.extend(more);
        }
        members.sort_by_key(|number| self.place(*number));
        self.regroup = Some(Regroup { members, delay, stops: true });
        self.regroup_next(now, effects);
    }

    /// Goes on with a regrouping: stop the next one, last first; then start the next one, first first; then be done.
    fn regroup_next(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(regroup) = &self.regroup else { return };
        if !matches!(self.phase, Phase::Starting | Phase::Running) {
            return;
        }
        let (delay, stops) = (regroup.delay, regroup.stops);
        let places: Vec<usize> = regroup.members.iter().filter_map(|member| self.place(*member)).collect();
        let standing = places.iter().rev().copied().find(|place| self.children[*place].state != State::Down);
        match standing {
            Some(last) if stops => {
                self.send_off(now, last, Duration::MAX, effects);
                return;
            }
            Some(_) | None => {}
        }
        let busy = |place: &usize| matches!(self.children[*place].state, State::Starting | State::Stopping | State::Killing);
        if places.iter().any(busy) {
            return;
        }
        let first_down = places.iter().copied().find(|place| self.children[*place].state == State::Down);
        let Some(first) = first_down else {
            self.regroup = None;
            return;
        };
        if let Some(regroup) = &mut self.regroup {
            regroup.stops = false;
            regroup.delay = Duration::ZERO;
        }
        self.begin(now, self.children[first].number, delay, effects);
    }

    /// The time that a child was given to stop is over.
    pub fn overdue(&mut self, now: Moment, key: NodeKey) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(place) = self.find(key)
            && self.children[place].state == State::Stopping
        {
            let child = &mut self.children[place];
            child.enter(State::Killing, now);
            let node = child.name.clone();
            effects.push(Effect::Tell(Event::NodeKilled { supervisor: self.name.clone(), node }));
            effects.push(Effect::Kill { key });
        }
        effects
    }

    /// A child was killed and is still there: nothing more can be done, and nobody waits longer for it.
    pub fn left_behind(&mut self, now: Moment, key: NodeKey) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(place) = self.find(key)
            && self.children[place].state == State::Killing
        {
            let child = &mut self.children[place];
            child.answers = false;
            let node = child.name.clone();
            effects.push(Effect::Tell(Event::NodeLeftBehind { supervisor: self.name.clone(), node }));
            effects.extend(self.ended(now, key, Exit::Killed));
        }
        effects
    }

    /// Stops one child and keeps it known, unless it is temporary.
    ///
    /// # Errors
    /// [`ChildError::Unknown`].
    pub fn terminate(&mut self, now: Moment, name: &str) -> Result<Vec<Effect>, ChildError> {
        let mut effects = Vec::new();
        let place = self.named(name)?;
        let number = self.children[place].number;
        if let Some(regroup) = &mut self.regroup {
            regroup.members.retain(|member| *member != number);
        }
        self.send_off(now, place, Duration::MAX, &mut effects);
        Ok(effects)
    }

    /// Starts a child that is down again.
    ///
    /// # Errors
    /// [`ChildError::Unknown`], [`ChildError::WrongState`], [`ChildError::NotRunning`].
    pub fn restart_child(&mut self, now: Moment, name: &str) -> Result<Vec<Effect>, ChildError> {
        let mut effects = Vec::new();
        let place = self.named(name)?;
        self.must_be_down(place)?;
        if self.phase != Phase::Running {
            return Err(ChildError::NotRunning { supervisor: self.name.to_string() });
        }
        self.begin(now, self.children[place].number, Duration::ZERO, &mut effects);
        Ok(effects)
    }

    /// Forgets a child that is down.
    ///
    /// # Errors
    /// [`ChildError::Unknown`], [`ChildError::WrongState`].
    pub fn delete(&mut self, name: &str) -> Result<Vec<Effect>, ChildError> {
        let mut effects = Vec::new();
        let place = self.named(name)?;
        self.must_be_down(place)?;
        self.forget(self.children[place].number, &mut effects);
        Ok(effects)
    }

    fn must_be_down(&self, place: usize) -> Result<(), ChildError> {
        let child = &self.children[place];
        let regrouped = self.regroup.as_ref().is_some_and(|regroup| regroup.members.contains(&child.number));
        if child.state == State::Down && !regrouped && !self.boot.contains(&child.number) {
            return Ok(());
        }
        Err(ChildError::WrongState {
            supervisor: self.name.to_string(),
            child: child.name.to_string(),
            state: self.label(child, Moment::default()),
        })
    }

    fn forget(&mut self, number: u32, effects: &mut Vec<Effect>) {
        self.children.retain(|child| child.number != number);
        self.boot.retain(|boot| *boot != number);
        if let Some(regroup) = &mut self.regroup {
            regroup.members.retain(|member| *member != number);
        }
        effects.push(Effect::Forget { child: number });
    }

    fn told(&self, place: usize, exit: &Exit) -> String {
        format!("{}: {exit}", self.children[place].name)
    }

    fn named(&self, name: &str) -> Result<usize, ChildError> {
        self.children
            .iter()
            .position(|child| &*child.name == name)
            .ok_or_else(|| ChildError::Unknown { supervisor: self.name.to_string(), child: name.to_owned() })
    }

    fn place(&self, number: u32) -> Option<usize> {
        self.children.iter().position(|child| child.number == number)
    }

    fn find(&self, key: NodeKey) -> Option<usize> {
        self.place(key.child).filter(|place| self.children[*place].generation == key.generation)
    }

    /// Whether it runs.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Restarts since it was made, by cause.
    #[must_use]
    pub fn restarts(&self) -> &BTreeMap<&'static str, u64> {
        &self.restarts
    }

    /// The strategy.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.policy.strategy
    }

    fn label(&self, child: &Child, now: Moment) -> &'static str {
        match child.state {
            State::Down => "down",
            State::Starting if child.due > now => "backoff",
            State::Starting => "starting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Killing => "killing",
        }
    }

    /// The children, in start order.
    #[must_use]
    pub fn view(&self, now: Moment) -> Vec<NodeView> {
        let view = |child: &Child| {
            let waits = child.state == State::Starting && child.due > now;
            NodeView {
                number: child.number,
                name: child.name.clone(),
                generation: child.generation,
                state: self.label(child, now),
                since: now.since(child.since),
                policy: child.policy,
                answers: child.answers,
                starts_in: waits.then(|| child.due.since(now)),
                last_exit: child.last_exit.clone(),
            }
        };
        self.children.iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests;

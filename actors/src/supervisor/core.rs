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

mod dynamic;
mod effect;
mod regroup;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::clock::Moment;
use crate::event::Event;
use crate::exit::Exit;
use crate::restart::{Backoff, RestartBudgets};
use crate::supervisor::policy::{AutoShutdown, ChildPolicy, Restart, Shutdown, Strategy};

pub use effect::{ChildError, Effect, NodeKey, NodeView, Phase, SupervisorPolicy};
use regroup::Regroup;

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
    /// Nobody has terminated it.
    wanted: bool,
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
            wanted: true,
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
            child.wanted = true;
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
        // Those that are on their way already may take no longer than this either.
        let stopping = self.children.iter().filter(|child| child.state == State::Stopping);
        effects.extend(stopping.map(|child| Effect::Stop { key: child.key(), within: child.policy.shutdown.within(grace) }));
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
            Phase::Stopping => {
                if self.children[place].policy.restart == Restart::Temporary {
                    self.forget(key.child, &mut effects);
                }
                self.stop_next(now, &mut effects);
            }
            Phase::Down => {}
            Phase::Starting if never_stood && !asked && self.boot.front() == Some(&key.child) => {
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
        let temporary = self.place(number).is_some_and(|place| self.children[place].policy.restart == Restart::Temporary);
        let booting = self.boot.front() == Some(&number);
        self.boot.retain(|boot| *boot != number);
        if temporary {
            self.forget(number, effects);
        }
        // Others may have waited for it to be up, or to be gone.
        if booting {
            self.boot_next(now, effects);
        }
        self.regroup_next(now, effects);
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
        // One that is still to come counts as there.
        let to_come = |number: u32| {
            self.boot.contains(&number) || self.regroup.as_ref().is_some_and(|regroup| regroup.members.contains(&number))
        };
        let others =
            self.children.iter().any(|child| child.policy.significant && (child.state != State::Down || to_come(child.number)));
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
        let delay = child.backoff.after(&exit, lived, &mut self.rng);
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
        self.regroup_from(now, from, number, delay, effects);
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

    /// The present life of the child called `name`.
    ///
    /// # Errors
    /// [`ChildError::Unknown`].
    pub fn key_of(&self, name: &str) -> Result<NodeKey, ChildError> {
        self.named(name).map(|place| self.children[place].key())
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

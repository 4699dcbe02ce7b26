//! All decisions of a pool, without clock, IO or actors.
//!
//! [`PoolCore`] is told what happens, changes its books, and returns [`Effect`]s for the shell to carry out.
//! Leasing and checking in are calls under a short lock in the caller's own task; starts, stops and deaths
//! come from the pool's actor. Generic over the handle of a child (`H`) and the token of a waiting caller
//! (`T`), so that it can be driven by tests and simulations with plain numbers.
//!
//! ```text
//!   lend ──▶ idle? ──yes──▶ Grant            check_in ──▶ fit ──▶ first waiter, or idle (last in, first out)
//!              └──no──▶ queue (bounded by                 ├─▶ due ──▶ Start replacement; serves on until
//!     (`core/reserve.rs`)  count and bytes)                │           that one stands, then retires
//!                                                         └─▶ unfit ─▶ Kill, refill within the budget
//!   tick ──▶ silent jobs, limits in the middle of a job, age, answers overdue      (`core/tick.rs`)
//!   pressure ─▶ shrink, shed, refuse                                             (`core/pressing.rs`)
//! ```
//!
//! A pool that had spent its budget is opened half: one child as a probe, and callers beyond it are told when to
//! come back. Its first good job, or a while of standing, opens the rest.

mod child;
mod effect;
mod lending;
mod line;
mod pressing;
mod recycling;
mod reserve;
#[cfg(test)]
mod tests;
mod tick;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;

use crate::clock::Moment;
use crate::error::LeaseError;
use crate::event::Event;
use crate::exit::Exit;
use crate::id::Key;
use crate::leak::Leak;
use crate::ledger::{Invariant, Ledger};
use crate::limits::MemoryLevel;
use crate::pool::books::Books;
use crate::pool::spec::PoolSpec;
use crate::pressure::Pressure;
use crate::quarantine::Quarantine;
use crate::recycle::RecycleReason;
use crate::restart::{Backoff, RestartBudgets};
use crate::snapshot::{ChildSnapshot, PoolSnapshot};
use crate::state::{Action, ChildState, Input};
use crate::watchdog::Step;
use crate::worker::Usage;

pub use effect::{Ask, Effect, Grant, Lend, Outcome, Phase};

use child::{Child, Slot};
use line::Line;
use recycling::{Recycling, Verification};

/// The books of one pool.
#[derive(Debug)]
pub struct PoolCore<H, T> {
    spec: PoolSpec,
    rng: Rng,
    phase: Phase,
    slots: Vec<Slot<H>>,
    /// Keys of idle children; the last one in is the first one out, because it is the warmest.
    idle: Vec<Key>,
    line: Line<T>,
    admitted_bytes: u64,
    budgets: RestartBudgets,
    /// The restarts done, counted once more for the promise that they stay within the intensity.
    audit: VecDeque<Moment>,
    quarantine: Quarantine,
    ledger: Ledger,
    /// Entries answered while their lease was still out: the child would not let go of it.
    answered_early: BTreeSet<u64>,
    /// Entries of leases whose child has left the books: nothing is at work for them.
    adrift: BTreeSet<u64>,
    pressure: Pressure,
    recycling: Option<Recycling>,
    /// What all children held together at the last look, in bytes.
    memory_before: Option<u64>,
    verification: Option<Verification>,
    /// When a spent pool is started again, as far as its supervisor has said.
    back_at: Option<Moment>,
    last_tick: Option<Moment>,
    last_failure: Option<Exit>,
    /// The last of them, for callers that ask how their child ended.
    failures: VecDeque<(Key, Exit)>,
    books: Books,
}

/// Failures remembered: a caller asks within a moment.
const FAILURES: usize = 64;

impl<H: Clone, T> PoolCore<H, T> {
    /// Books of a pool that is closed.
    #[must_use]
    pub fn new(mut spec: PoolSpec) -> Self {
        spec.size = spec.size.max(1);
        spec.min_size = spec.min_size.clamp(1, spec.size);
        Self {
            rng: Rng::with_seed(spec.seed),
            phase: Phase::Closed,
            slots: (0..spec.size).map(|_| Slot::new(&spec)).collect(),
            idle: Vec::new(),
            line: Line::new(),
            admitted_bytes: 0,
            budgets: RestartBudgets::new(&spec.restarts),
            audit: VecDeque::new(),
            quarantine: Quarantine::new(spec.quarantine),
            ledger: Ledger::new(),
            answered_early: BTreeSet::new(),
            adrift: BTreeSet::new(),
            pressure: Pressure::Normal,
            recycling: None,
            memory_before: None,
            verification: None,
            back_at: None,
            last_tick: None,
            last_failure: None,
            failures: VecDeque::new(),
            books: Books::default(),
            spec,
        }
    }

    /// Opens the pool with no child and a fresh budget, and starts one child for every slot; after it had spent its
    /// budget, one for the first slot alone. Children of an earlier life are dead by then; leases on them find nobody
    /// and change nothing.
    pub fn open(&mut self, now: Moment) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        self.phase = if self.phase == Phase::Spent {
            effects.push(Effect::Tell(Event::PoolProbing { pool: self.spec.name.clone() }));
            Phase::Probing
        } else {
            Phase::Open
        };
        self.clear(&mut effects);
        self.back_at = None;
        self.budgets = RestartBudgets::new(&self.spec.restarts);
        self.audit.clear();
        for slot in &mut self.slots {
            slot.backoff = Backoff::new(self.spec.backoff);
        }
        self.fill(now, &mut effects);
        effects
    }

    /// Forgets all children. Those that are still there, and what they run outside of themselves, are killed.
    fn clear(&mut self, effects: &mut Vec<Effect<H, T>>) {
        self.idle.clear();
        self.recycling = None;
        for slot in &mut self.slots {
            for child in slot.children.drain(..) {
                self.adrift.extend(child.entry);
                effects.extend(child.handle.map(|handle| Effect::Kill { handle }));
            }
        }
    }

    /// Nobody will open the pool again: callers are told so, and not to come back.
    pub fn abandon(&mut self) {
        if self.phase == Phase::Spent {
            self.phase = Phase::Closed;
        }
    }

    /// Starts a child in every slot that should have one and has none.
    fn fill(&mut self, now: Moment, effects: &mut Vec<Effect<H, T>>) {
        for slot in 0..self.target() {
            if !self.slots[slot as usize].is_taken() {
                self.start(slot, now, Duration::ZERO, effects);
            }
        }
    }

    /// How many slots should have a child now.
    fn target(&self) -> u32 {
        match self.phase {
            Phase::Probing => 1,
            Phase::Open if self.pressure >= Pressure::Shrink => self.spec.min_size,
            Phase::Open => self.spec.size,
            Phase::Closed | Phase::Draining | Phase::Spent => 0,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Probing)
    }

    /// A lease has come back.
    pub fn check_in(&mut self, now: Moment, grant: &Grant<H>, outcome: Outcome) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        let key = grant.key;
        let answer = match outcome {
            Outcome::Unused => "unused",
            Outcome::Done { .. } => "done",
            Outcome::Broken(_) => "broken",
            Outcome::Undelivered => "undelivered",
            Outcome::Lost => "lost",
        };
        let early = self.answered_early.remove(&grant.entry);
        self.adrift.remove(&grant.entry);
        if !early && !self.answer(grant.entry, answer, &mut effects) {
            return effects;
        }
        self.admitted_bytes = self.admitted_bytes.saturating_sub(grant.bytes);
        if let Outcome::Lost = outcome {
            self.books.lost();
        }
        if !early && matches!(outcome, Outcome::Lost | Outcome::Broken(_)) && self.is_to_blame(key) {
            self.strike(now, grant.input, &mut effects);
        }
        let Some(child) = self.child_mut(key) else {
            return effects;
        };
        let leased_for = now.since(child.since);
        child.entry = None;
        match outcome {
            Outcome::Unused => self.feed(now, key, Input::CheckInFit, &mut effects),
            Outcome::Done { jobs, usage } => self.done(now, key, jobs, usage, leased_for, &mut effects),
            Outcome::Broken(why) => self.feed(now, key, Input::CheckInUnfit(Exit::Broken(why)), &mut effects),
            // Its end is on the way and will say why. Until then it is not lent; the kill makes sure.
            Outcome::Lost | Outcome::Undelivered => {
                if let Some(handle) = child.handle.clone() {
                    effects.push(Effect::Kill { handle });
                }
            }
        }
        effects
    }

    /// Whether a job that `key` did not bring back may have been its end: not if the pool itself sent the child away.
    fn is_to_blame(&self, key: Key) -> bool {
        match self.child(key).map(|child| &child.state) {
            Some(ChildState::Stopping(exit) | ChildState::Retiring(exit)) => !exit.is_planned() || self.is_open(),
            Some(ChildState::Starting | ChildState::Idle | ChildState::Leased | ChildState::Ended(_)) => true,
            None => self.failures.iter().any(|(failed, _)| *failed == key),
        }
    }

    /// The jobs of a lease have ended, and their child says what it uses.
    fn done(&mut self, now: Moment, key: Key, jobs: u64, usage: Usage, leased_for: Duration, effects: &mut Vec<Effect<H, T>>) {
        self.books.done(jobs, leased_for);
        let Some(child) = self.child_mut(key) else { return };
        child.jobs += jobs;
        child.usage = usage;
        let input = child.input;
        let age = child.up.map_or(Duration::ZERO, |up| now.since(up));
        let due = child.limits.due(child.jobs, age);
        let jobs_done = child.jobs;
        let (before, level) = (child.memory.level(), child.memory.sample(usage.bytes));
        let found = child.leak.as_mut().and_then(|leak| leak.sample(age, jobs_done, usage.bytes));
        self.tell_memory(key, before, level, usage.bytes, effects);
        if let Some(leak) = found {
            self.leak_found(now, key, leak, effects);
        }
        let soft = (level == MemoryLevel::Soft).then_some(RecycleReason::Bytes);
        if !usage.healthy {
            self.feed(now, key, Input::CheckInUnfit(Exit::Recycled(RecycleReason::Unhealthy)), effects);
        } else if level == MemoryLevel::Fatal {
            self.strike(now, input, effects);
            self.feed(now, key, Input::CheckInUnfit(Exit::OutOfMemory(usage.bytes)), effects);
        } else if level == MemoryLevel::Hard {
            self.feed(now, key, Input::CheckInUnfit(Exit::Recycled(RecycleReason::Bytes)), effects);
        } else if let Some(reason) = due.or(soft).filter(|_| self.phase == Phase::Open && self.pressure >= Pressure::Shrink) {
            // There is no room for two, and somebody may wait: it goes now, and its replacement comes after.
            self.feed(now, key, Input::CheckInUnfit(Exit::Recycled(reason)), effects);
        } else {
            self.slots[key.slot as usize].sickly = false;
            self.feed(now, key, Input::CheckInFit, effects);
            if let Some(reason) = due.or(soft) {
                self.recycle(now, key, reason, effects);
            }
            self.recycle_leaking(now, effects);
        }
        if self.phase == Phase::Probing {
            self.recover(now, effects);
        }
    }

    /// The probe has shown that the pool can serve: open the rest.
    fn recover(&mut self, now: Moment, effects: &mut Vec<Effect<H, T>>) {
        let stands = self.slots.first().is_some_and(|slot| slot.children.iter().any(Child::serves));
        if stands {
            self.phase = Phase::Open;
            effects.push(Effect::Tell(Event::PoolRecovered { pool: self.spec.name.clone() }));
            self.fill(now, effects);
        }
    }

    /// A child ended under a job of `input`.
    fn strike(&mut self, now: Moment, input: Option<u64>, effects: &mut Vec<Effect<H, T>>) {
        let Some(key) = input else { return };
        if self.quarantine.strike(now, key) {
            let expires_in = self.spec.quarantine.expiry;
            effects.push(Effect::Tell(Event::Quarantined { pool: self.spec.name.clone(), key, expires_in }));
        }
    }

    /// Books a new child for `slot` and asks for its start.
    fn start(&mut self, slot: u32, now: Moment, delay: Duration, effects: &mut Vec<Effect<H, T>>) -> Key {
        let place = &mut self.slots[slot as usize];
        place.last_generation += 1;
        let key = Key { slot, generation: place.last_generation };
        place.children.push(Child::new(key.generation, now, now + delay, &self.spec, &mut self.rng));
        effects.push(Effect::Start { key, delay });
        let standing = self.children().filter(|child| child.state.occupies()).count();
        if standing > self.spec.size as usize + 1 {
            let what = format!("{standing} children in a pool of {}", self.spec.size);
            self.violated(Invariant::I3.label(), what, effects);
        }
        key
    }

    /// Whether `key` is still wanted: asked before a start that had to wait.
    #[must_use]
    pub fn wants(&self, key: Key) -> bool {
        self.is_open() && self.child(key).is_some_and(|child| child.state == ChildState::Starting)
    }

    /// A child stands.
    pub fn started(&mut self, now: Moment, key: Key, handle: H) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        let Some(child) = self.child_mut(key) else {
            // Nobody remembers it: the pool was opened anew meanwhile.
            effects.push(Effect::Kill { handle });
            return effects;
        };
        child.handle = Some(handle);
        child.up = Some(now);
        let took = now.since(child.due);
        let awaited = child.state == ChildState::Starting;
        // The one that it replaces goes first: for a moment there would be one more, and batch work would get one that is kept.
        if let Some(recycling) = self.recycling.filter(|recycling| awaited && recycling.new == key) {
            self.books.recycled(recycling.reason);
            self.feed(now, recycling.old, Input::Retire(Exit::Recycled(recycling.reason)), &mut effects);
        }
        self.feed(now, key, Input::Started, &mut effects);
        if awaited {
            effects.push(Effect::Tell(Event::ChildStarted { child: key.within(&self.spec.name), took }));
        }
        effects
    }

    /// A start has failed, and there is no child.
    pub fn start_failed(&mut self, now: Moment, key: Key, why: String) -> Vec<Effect<H, T>> {
        self.ended(now, key, Exit::StartFailed(why))
    }

    /// A child's actor is gone; `exit` is what was seen from outside.
    pub fn ended(&mut self, now: Moment, key: Key, exit: Exit) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        if self.child(key).is_none() {
            return effects;
        }
        self.idle.retain(|idle| *idle != key);
        self.expect_memory_of(now, key);
        // The pool's own books may know better why it went: it may have sent it.
        let told = match self.child(key).map(|child| &child.state) {
            Some(ChildState::Stopping(known)) => known.clone(),
            Some(_) | None => exit.clone(),
        };
        if !told.is_planned() {
            self.last_failure = Some(told.clone());
            if self.failures.len() >= FAILURES {
                self.failures.pop_front();
            }
            self.failures.push_back((key, told.clone()));
        }
        effects.push(Effect::Tell(Event::ChildEnded { child: key.within(&self.spec.name), exit: told.clone() }));
        let recycling = self.recycling;
        if recycling.is_some_and(|recycling| recycling.old == key || recycling.new == key) {
            self.recycling = None;
        }
        let replaces = recycling.filter(|recycling| recycling.new == key).map(|recycling| recycling.old);
        if let Some(old) = replaces.filter(|old| self.child(*old).is_some_and(|child| child.state.occupies())) {
            // The replacement would not come, and the one it was for serves on: no hole, no restart.
            let delay = self.slots[key.slot as usize].backoff.after_failed_start(&mut self.rng);
            self.slots[key.slot as usize].recycle_not_before = now + delay;
            self.books.recycle_failed();
            self.remove(key);
            effects.push(Effect::Tell(Event::RecycleFailed { child: old.within(&self.spec.name), exit }));
        } else {
            self.feed(now, key, Input::Ended(exit), &mut effects);
            self.remove(key);
        }
        self.settle_recycling();
        if let Exit::Recycled(_) = told {
            // Under pressure the slot was left empty until its child was gone.
            self.fill(now, &mut effects);
        }
        if self.phase == Phase::Draining && self.is_empty() {
            self.phase = Phase::Closed;
            effects.push(Effect::Drained);
        }
        effects
    }

    /// A child would not end the job of its lease number `lease`: it goes now, and its slot is filled again. If
    /// that lease has come back meanwhile, whoever has the child now is not to blame.
    pub fn condemn(&mut self, now: Moment, key: Key, lease: u64, exit: Exit) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        let Some(child) = self.child_mut(key).filter(|child| child.lease == lease && child.is_out()) else {
            return effects;
        };
        let (entry, input) = (child.entry, child.input);
        // Its caller is told now; the lease itself comes back when the child lets go of it, if ever.
        if let Some(entry) = entry.filter(|entry| !self.answered_early.contains(entry)) {
            self.answer(entry, exit.label(), &mut effects);
            self.answered_early.insert(entry);
            self.strike(now, input, &mut effects);
        }
        self.feed(now, key, Input::Condemn(exit), &mut effects);
        effects
    }

    /// How `key` has ended without a plan, or is about to, as far as the pool knows by now.
    #[must_use]
    pub fn failure_of(&self, key: Key) -> Option<Exit> {
        if let Some((_, exit)) = self.failures.iter().rev().find(|(failed, _)| *failed == key) {
            return Some(exit.clone());
        }
        match &self.child(key)?.state {
            ChildState::Stopping(exit) => Some(exit.clone()).filter(|exit| !exit.is_planned()),
            ChildState::Starting | ChildState::Idle | ChildState::Leased | ChildState::Retiring(_) | ChildState::Ended(_) => None,
        }
    }

    /// No more leases; whoever waits is refused, idle children stop, leased ones after their job.
    pub fn drain(&mut self, now: Moment) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        if self.is_open() {
            self.phase = Phase::Draining;
        }
        self.abandon();
        let pool = self.spec.name.to_string();
        self.refuse_all(&LeaseError::Closed { pool }, &mut effects);
        for key in self.keys() {
            // Nobody waits for a start that is still ahead; it finds itself unwanted.
            if self.child(key).is_some_and(|child| child.state == ChildState::Starting && child.due > now) {
                self.remove(key);
            } else {
                self.feed(now, key, Input::Retire(Exit::Shutdown), &mut effects);
            }
        }
        if self.is_empty() {
            self.phase = Phase::Closed;
            effects.push(Effect::Drained);
        }
        effects
    }

    /// The pool's actor is gone, and its children with it: nothing can be lent until it is opened again.
    pub fn close(&mut self) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        if self.phase != Phase::Spent {
            self.phase = Phase::Closed;
        }
        self.clear(&mut effects);
        let pool = self.spec.name.to_string();
        self.refuse_all(&LeaseError::Closed { pool }, &mut effects);
        effects
    }

    /// Feeds one child's machine and carries its action out in the books.
    fn feed(&mut self, now: Moment, key: Key, input: Input, effects: &mut Vec<Effect<H, T>>) {
        let Some(child) = self.child_mut(key) else {
            return;
        };
        let occupied = child.state.occupies();
        let lived = child.up.map_or(Duration::ZERO, |up| now.since(up));
        let (from, by) = (child.state.label(), input.label());
        let action = child.on(input, now);
        let handle = child.handle.clone();
        let left_with = match &child.state {
            ChildState::Stopping(exit) | ChildState::Ended(exit) if occupied => Some(exit.clone()),
            ChildState::Starting
            | ChildState::Idle
            | ChildState::Leased
            | ChildState::Retiring(_)
            | ChildState::Stopping(_)
            | ChildState::Ended(_) => None,
        };
        match action {
            Action::None | Action::Hand | Action::Forget | Action::Replace(_) => {}
            Action::Offer => {
                self.idle.push(key);
                self.serve_waiters(now, effects);
            }
            Action::Stop => {
                self.idle.retain(|idle| *idle != key);
                effects.extend(handle.map(|handle| Effect::Stop { handle }));
            }
            Action::Kill => {
                self.idle.retain(|idle| *idle != key);
                effects.extend(handle.map(|handle| Effect::Kill { handle }));
            }
            Action::Violation => {
                let what = format!("{} was {from} and got {by}", key.within(&self.spec.name));
                self.violated("machine", what, effects);
            }
        }
        if let Some(exit) = left_with {
            self.refill(now, key, exit, lived, effects);
        }
        self.settle_recycling();
    }

    /// A child has left its place with `exit`: fill it again, unless somebody already stands there.
    fn refill(&mut self, now: Moment, left: Key, exit: Exit, lived: Duration, effects: &mut Vec<Effect<H, T>>) {
        let slot = left.slot;
        if !self.is_open() {
            return;
        }
        if let Exit::Recycled(reason) = exit {
            self.refill_recycled(now, left, reason, lived, effects);
            return;
        }
        let Some(cause) = exit.cause() else { return };
        if !self.budgets.take(now, cause) {
            self.spend(now, exit, effects);
            return;
        }
        // Probes are so far apart that they stay within the budget by themselves.
        let probing = self.phase == Phase::Probing;
        self.books.restarted(cause);
        self.audit_restart(now, effects);
        let target = self.target();
        let place = &mut self.slots[slot as usize];
        if place.is_taken() || slot >= target {
            return;
        }
        let delay = place.backoff.after(&exit, lived, &mut self.rng);
        let delay = if probing { delay.max(self.spec.probe_every()) } else { delay };
        if probing {
            self.back_at = Some(now + delay);
        }
        let key = self.start(slot, now, delay, effects);
        effects.push(Effect::Tell(Event::RestartScheduled { child: key.within(&self.spec.name), cause: exit, delay }));
    }

    /// Counts a restart once more, apart from the budget that allowed it.
    fn audit_restart(&mut self, now: Moment, effects: &mut Vec<Effect<H, T>>) {
        let allowed = self.spec.restarts.any;
        while self.audit.front().is_some_and(|then| now.since(*then) >= allowed.period) {
            self.audit.pop_front();
        }
        self.audit.push_back(now);
        if self.audit.len() > allowed.intensity as usize {
            let what = format!("{} restarts within {:?}, {} allowed", self.audit.len(), allowed.period, allowed.intensity);
            self.audit.pop_front();
            self.violated(Invariant::I5.label(), what, effects);
        }
    }

    fn spend(&mut self, now: Moment, cause: Exit, effects: &mut Vec<Effect<H, T>>) {
        self.phase = Phase::Spent;
        effects.push(Effect::Tell(Event::BudgetSpent { pool: self.spec.name.clone(), cause: cause.clone() }));
        let error = self.unavailable(now);
        self.refuse_all(&error, effects);
        for key in self.keys() {
            self.feed(now, key, Input::Condemn(Exit::Shutdown), effects);
        }
        effects.push(Effect::Escalate { cause });
    }

    /// Closes the ledger's `entry`. `false` if it was not open, which is told.
    fn answer(&mut self, entry: u64, answer: &'static str, effects: &mut Vec<Effect<H, T>>) -> bool {
        match self.ledger.answer(entry, answer) {
            Ok(()) => true,
            Err(violation) => {
                self.violated(violation.invariant().label(), format!("{violation:?} with {answer}"), effects);
                false
            }
        }
    }

    fn violated(&mut self, invariant: &'static str, what: String, effects: &mut Vec<Effect<H, T>>) {
        self.books.violation(invariant);
        tracing::error!(pool = %self.spec.name, invariant, what, "invariant violated");
        effects.push(Effect::Tell(Event::InvariantViolated { pool: self.spec.name.clone(), invariant, what }));
    }

    fn child(&self, key: Key) -> Option<&Child<H>> {
        let slot = self.slots.get(key.slot as usize)?;
        slot.children.iter().find(|child| child.generation == key.generation)
    }

    fn child_mut(&mut self, key: Key) -> Option<&mut Child<H>> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        slot.children.iter_mut().find(|child| child.generation == key.generation)
    }

    fn children(&self) -> impl Iterator<Item = &Child<H>> {
        self.slots.iter().flat_map(|slot| &slot.children)
    }

    fn remove(&mut self, key: Key) {
        let entry = self.child(key).and_then(|child| child.entry);
        self.adrift.extend(entry);
        if let Some(slot) = self.slots.get_mut(key.slot as usize) {
            slot.children.retain(|child| child.generation != key.generation);
        }
    }

    fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        for (slot, place) in (0..).zip(&self.slots) {
            keys.extend(place.children.iter().map(|child| Key { slot, generation: child.generation }));
        }
        keys
    }

    fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.children.is_empty())
    }

    /// Whether the pool is open, and whether it may be again.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Children that serve.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.children().filter(|child| child.serves()).count()
    }

    /// The handles of all children that stand, to read their progress from.
    #[must_use]
    pub fn standing(&self) -> Vec<(Key, H)> {
        let mut standing = Vec::new();
        for (slot, place) in (0..).zip(&self.slots) {
            let up = place.children.iter().filter_map(|child| Some((child.generation, child.handle.clone()?)));
            standing.extend(up.map(|(generation, handle)| (Key { slot, generation }, handle)));
        }
        standing
    }

    /// The pool as data.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> PoolSnapshot {
        let mut children = Vec::new();
        for (slot, place) in (0..).zip(&self.slots) {
            children.extend(place.children.iter().map(|child| {
                let waits = child.state == ChildState::Starting && child.due > now;
                let generation = child.generation;
                ChildSnapshot {
                    id: Key { slot, generation }.within(&self.spec.name),
                    state: if waits { "backoff" } else { child.state.label() },
                    since: now.since(child.since),
                    age: child.up.map_or(Duration::ZERO, |up| now.since(up)),
                    jobs: child.jobs,
                    usage: child.usage,
                    memory: child.memory.level(),
                    answers: child.watchdog.step().is_none(),
                    hang_step: child.watchdog.step(),
                    leak: child.leaks.map(|(leak, _)| leak),
                    starts_in: waits.then(|| child.due.since(now)),
                }
            }));
        }
        let spent_for = |at: Moment| at.since(now);
        PoolSnapshot {
            name: self.spec.name.clone(),
            phase: self.phase.label(),
            size: self.spec.size,
            target: self.target(),
            reserved: reserve::kept(self.spec.reserved, self.target()),
            restarts_allowed: self.spec.restarts.any,
            pressure: self.pressure,
            waiting: self.line.len(),
            open_entries: self.ledger.open(),
            admitted_bytes: self.admitted_bytes,
            max_bytes: self.spec.max_bytes,
            held_bytes: self.memory_before,
            quarantined: self.quarantine.refused(now),
            back_in: self.back_at.filter(|at| *at > now && matches!(self.phase, Phase::Spent | Phase::Probing)).map(spent_for),
            counts: self.books.counts(&self.ledger),
            last_failure: self.last_failure.clone(),
            children,
        }
    }
}

/// A leak, as the books carry it to whoever tells it.
fn leak_event(pool: &std::sync::Arc<str>, key: Key, leak: Leak) -> Event {
    Event::LeakFound { child: key.within(pool), leak }
}

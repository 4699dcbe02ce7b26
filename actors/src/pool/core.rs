//! All decisions of a pool, without clock, IO or actors.
//!
//! [`PoolCore`] is told what happens, changes its books, and returns [`Effect`]s for the shell to carry out.
//! Leasing and checking in are calls under a short lock in the caller's own task; starts, stops and deaths
//! come from the pool's actor. Generic over the handle of a child (`H`) and the token of a waiting caller
//! (`T`), so that it can be driven by tests with plain numbers.
//!
//! ```text
//!   lend ──▶ idle? ──yes──▶ Grant            check_in ──▶ fit ──▶ first waiter, or idle (last in, first out)
//!              └──no──▶ queue (bounded by                 ├─▶ due ──▶ Start replacement; serves on until
//!                       count and bytes)                  │           that one stands, then retires
//!                                                         └─▶ unfit ─▶ Kill, refill within the budget
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use crate::clock::Moment;
use crate::error::LeaseError;
use crate::event::Event;
use crate::exit::Exit;
use crate::id::Key;
use crate::pool::books::Books;
use crate::pool::spec::PoolSpec;
use crate::recycle::{DrawnLimits, RecycleReason};
use crate::restart::{Backoff, RestartBudget};
use crate::snapshot::{ChildSnapshot, PoolSnapshot};
use crate::state::{Action, ChildState, Input};
use crate::worker::Usage;

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect<H, T> {
    /// Start a child for `key` after `delay`.
    Start { key: Key, delay: Duration },
    /// Let the child's worker stop.
    Stop { handle: H },
    /// Kill the child.
    Kill { handle: H },
    /// Give the lease to the waiting caller.
    Grant { token: T, grant: Grant<H> },
    /// Tell the waiting caller that there will be none.
    Refuse { token: T, error: LeaseError },
    /// Tell the world.
    Tell(Event),
    /// The restart budget is spent: end the pool's actor with a failure.
    Escalate { cause: Exit },
    /// The last child has gone during a shutdown.
    Drained,
}

/// One child, lent.
#[derive(Debug, PartialEq)]
pub(crate) struct Grant<H> {
    pub(crate) key: Key,
    /// Which of the child's leases this is: what is said about one must not hit the next.
    pub(crate) lease: u64,
    pub(crate) handle: H,
    pub(crate) bytes: u64,
}

/// What became of asking for a child.
#[derive(Debug, PartialEq)]
pub(crate) enum Lend<H> {
    Granted(Grant<H>),
    Queued(u64),
    Refused(LeaseError),
}

/// How a lease came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// No job was run.
    Unused,
    /// Its jobs ended; the child says what it uses after the last of them.
    Done { jobs: u64, usage: Usage },
    /// The worker blamed itself.
    Broken(String),
    /// The job never came back: the child is gone, or is about to be.
    Lost,
}

/// Whether a pool lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has not been started, or has been stopped.
    Closed,
    /// It lends.
    Open,
    /// It waits for what is lent to come back.
    Draining,
    /// It has failed too often, and waits to be started again.
    Spent,
}

impl Phase {
    fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Draining => "draining",
            Self::Spent => "spent",
        }
    }
}

#[derive(Debug)]
struct Child<H> {
    generation: u64,
    state: ChildState,
    since: Moment,
    /// When it was started, or will be while it waits out a backoff.
    due: Moment,
    up: Option<Moment>,
    handle: Option<H>,
    limits: DrawnLimits,
    lease: u64,
    jobs: u64,
    usage: Usage,
}

#[derive(Debug)]
struct Slot<H> {
    last_generation: u64,
    /// At most one that serves, one that is to replace it, and those on their way out.
    children: Vec<Child<H>>,
    backoff: Backoff,
    recycle_not_before: Moment,
}

#[derive(Debug)]
struct Waiter<T> {
    id: u64,
    bytes: u64,
    deadline: Moment,
    token: T,
}

/// The one replacement that is under way in a pool.
#[derive(Clone, Copy, Debug)]
struct Recycling {
    old: Key,
    new: Key,
    reason: RecycleReason,
}

/// The books of one pool.
#[derive(Debug)]
pub(crate) struct PoolCore<H, T> {
    spec: PoolSpec,
    rng: Rng,
    phase: Phase,
    slots: Vec<Slot<H>>,
    /// Keys of idle children; the last one in is the first one out, because it is the warmest.
    idle: Vec<Key>,
    waiters: VecDeque<Waiter<T>>,
    next_waiter: u64,
    admitted_bytes: u64,
    budget: RestartBudget,
    recycling: Option<Recycling>,
    last_failure: Option<Exit>,
    books: Books,
}

impl<H: Clone, T> PoolCore<H, T> {
    pub(crate) fn new(mut spec: PoolSpec) -> Self {
        spec.size = spec.size.max(1);
        let slots = (0..spec.size)
            .map(|_| Slot {
                last_generation: 0,
                children: Vec::new(),
                backoff: Backoff::new(spec.backoff),
                recycle_not_before: Moment::default(),
            })
            .collect();
        Self {
            rng: Rng::with_seed(spec.seed),
            phase: Phase::Closed,
            slots,
            idle: Vec::new(),
            waiters: VecDeque::new(),
            next_waiter: 0,
            admitted_bytes: 0,
            budget: RestartBudget::new(spec.restarts),
            recycling: None,
            last_failure: None,
            books: Books::default(),
            spec,
        }
    }

    /// Opens the pool with no child and a fresh budget, and starts one child for every slot. Children of an
    /// earlier life are dead by then; leases on them find nobody and change nothing.
    pub(crate) fn open(&mut self, now: Moment) -> Vec<Effect<H, T>> {
        self.phase = Phase::Open;
        self.idle.clear();
        self.recycling = None;
        self.budget = RestartBudget::new(self.spec.restarts);
        let mut effects = Vec::new();
        for index in 0..self.spec.size {
            self.slots[index as usize].children.clear();
            self.slots[index as usize].backoff = Backoff::new(self.spec.backoff);
            self.start(index, now, Duration::ZERO, &mut effects);
        }
        effects
    }

    /// Lends an idle child, or queues the caller under a token that is made only then.
    pub(crate) fn lend(&mut self, now: Moment, bytes: u64, deadline: Moment, token: impl FnOnce() -> T) -> Lend<H> {
        if let Err(error) = self.admit(now, bytes, deadline) {
            self.books.refused(&error);
            return Lend::Refused(error);
        }
        if self.waiters.is_empty()
            && let Some(grant) = self.hand(now, bytes)
        {
            self.admitted_bytes += bytes;
            return Lend::Granted(grant);
        }
        if self.waiters.len() >= self.spec.max_waiting {
            let error = LeaseError::QueueFull {
                pool: self.spec.name.to_string(),
                waiting: self.waiters.len(),
                retry_after: self.retry_after(),
            };
            self.books.refused(&error);
            return Lend::Refused(error);
        }
        self.admitted_bytes += bytes;
        let id = self.next_waiter;
        self.next_waiter += 1;
        self.waiters.push_back(Waiter { id, bytes, deadline, token: token() });
        Lend::Queued(id)
    }

    fn admit(&self, now: Moment, bytes: u64, deadline: Moment) -> Result<(), LeaseError> {
        let pool = || self.spec.name.to_string();
        match self.phase {
            Phase::Open => {}
            Phase::Closed | Phase::Draining => return Err(LeaseError::Closed { pool: pool() }),
            Phase::Spent => return Err(self.unavailable()),
        }
        // Even an idle child could not be done in time, and would look as if it hung.
        if deadline <= now {
            return Err(LeaseError::Deadline { pool: pool() });
        }
        let budget = self.spec.max_bytes;
        if bytes > budget {
            return Err(LeaseError::TooLarge { pool: pool(), asked: bytes, budget });
        }
        if bytes > budget.saturating_sub(self.admitted_bytes) {
            return Err(LeaseError::BytesFull {
                pool: pool(),
                asked: bytes,
                admitted: self.admitted_bytes,
                budget,
                retry_after: self.retry_after(),
            });
        }
        Ok(())
    }

    fn unavailable(&self) -> LeaseError {
        LeaseError::Unavailable { pool: self.spec.name.to_string(), retry_after: self.spec.backoff.cap }
    }

    /// When a place is likely to be free: the queue ahead, at the pace of late.
    fn retry_after(&self) -> Duration {
        let ahead = u32::try_from(self.waiters.len()).unwrap_or(u32::MAX).saturating_add(1);
        (self.books.mean_lease() * ahead.div_ceil(self.spec.size)).max(Duration::from_millis(10))
    }

    /// The next idle child, now leased.
    fn hand(&mut self, now: Moment, bytes: u64) -> Option<Grant<H>> {
        let key = self.idle.pop()?;
        let child = self.child_mut(key)?;
        let action = child.on(Input::Lend, now);
        child.lease += 1;
        let (handle, lease) = (child.handle.clone(), child.lease);
        match (action, handle) {
            (Action::Hand, Some(handle)) => {
                self.books.leased();
                Some(Grant { key, lease, handle, bytes })
            }
            (_, _) => {
                self.books.violation();
                None
            }
        }
    }

    /// A waiting caller has given up. `false` if it was no longer waiting.
    pub(crate) fn cancel_wait(&mut self, id: u64, timed_out: bool) -> bool {
        let Ok(place) = self.waiters.binary_search_by_key(&id, |waiter| waiter.id) else {
            return false;
        };
        if let Some(waiter) = self.waiters.remove(place) {
            self.admitted_bytes -= waiter.bytes;
        }
        if timed_out {
            self.books.timed_out();
        }
        true
    }

    /// A lease has come back.
    pub(crate) fn check_in(&mut self, now: Moment, key: Key, bytes: u64, outcome: Outcome) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        self.admitted_bytes -= bytes;
        if let Outcome::Lost = outcome {
            self.books.lost();
        }
        let Some(child) = self.child_mut(key) else {
            return effects;
        };
        let leased_for = now.since(child.since);
        match outcome {
            Outcome::Unused => self.feed(now, key, Input::CheckInFit, &mut effects),
            Outcome::Done { jobs, usage } => {
                child.jobs += jobs;
                child.usage = usage;
                let due = child.limits.due(child.jobs, &usage);
                self.books.done(jobs, leased_for);
                if due == Some(RecycleReason::Unhealthy) {
                    let exit = Exit::Recycled(RecycleReason::Unhealthy);
                    self.feed(now, key, Input::CheckInUnfit(exit), &mut effects);
                } else {
                    self.feed(now, key, Input::CheckInFit, &mut effects);
                    if let Some(reason) = due {
                        self.recycle(now, key, reason, &mut effects);
                    }
                }
            }
            Outcome::Broken(why) => {
                self.feed(now, key, Input::CheckInUnfit(Exit::Broken(why)), &mut effects);
            }
            // Its end is on the way and will say why. Until then it is not lent; the kill makes sure.
            Outcome::Lost => {
                if let Some(handle) = child.handle.clone() {
                    effects.push(Effect::Kill { handle });
                }
            }
        }
        effects
    }

    /// Replaces the child of `slot` by plan, as an operator asks for. `false` if it cannot be begun now.
    pub(crate) fn retire(&mut self, now: Moment, slot: u32) -> (bool, Vec<Effect<H, T>>) {
        let mut effects = Vec::new();
        let serving = self.slots.get(slot as usize).and_then(|slot| {
            slot.children.iter().find(|child| child.state.occupies() && child.up.is_some()).map(|child| child.generation)
        });
        let begun = serving.is_some_and(|generation| {
            let key = Key { slot, generation };
            self.recycle(now, key, RecycleReason::Operator, &mut effects)
        });
        (begun, effects)
    }

    /// Begins a replacement, unless one is under way: at most one child of a pool retires at a time.
    fn recycle(&mut self, now: Moment, key: Key, reason: RecycleReason, effects: &mut Vec<Effect<H, T>>) -> bool {
        // One that was condemned during its last job comes back as well, and has been replaced already.
        let serves = self.child(key).is_some_and(|child| child.up.is_some() && child.state.occupies());
        let slot = &self.slots[key.slot as usize];
        let standing = slot.children.iter().filter(|child| child.state.occupies()).count();
        if self.phase != Phase::Open || self.recycling.is_some() || !serves || standing != 1 || now < slot.recycle_not_before {
            return false;
        }
        effects.push(Effect::Tell(Event::RecycleStarted { child: key.within(&self.spec.name), reason }));
        let new = self.start(key.slot, now, Duration::ZERO, effects);
        self.recycling = Some(Recycling { old: key, new, reason });
        true
    }

    /// Books a new child for `slot` and asks for its start.
    fn start(&mut self, slot: u32, now: Moment, delay: Duration, effects: &mut Vec<Effect<H, T>>) -> Key {
        let limits = self.spec.recycle.draw(&mut self.rng);
        let place = &mut self.slots[slot as usize];
        place.last_generation += 1;
        let key = Key { slot, generation: place.last_generation };
        place.children.push(Child {
            generation: key.generation,
            state: ChildState::Starting,
            since: now,
            due: now + delay,
            up: None,
            handle: None,
            limits,
            lease: 0,
            jobs: 0,
            usage: Usage::NONE,
        });
        effects.push(Effect::Start { key, delay });
        key
    }

    /// Whether `key` is still wanted: asked before a start that had to wait.
    pub(crate) fn wants(&self, key: Key) -> bool {
        self.phase == Phase::Open && self.child(key).is_some_and(|child| child.state == ChildState::Starting)
    }

    /// A child stands.
    pub(crate) fn started(&mut self, now: Moment, key: Key, handle: H) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        let Some(child) = self.child_mut(key) else {
            // Nobody remembers it: the pool was opened anew meanwhile.
            effects.push(Effect::Kill { handle });
            return effects;
        };
        child.handle = Some(handle);
        child.up = Some(now);
        let took = now.since(child.due);
        self.feed(now, key, Input::Started, &mut effects);
        if self.child(key).is_none_or(|child| child.state == ChildState::Starting || !child.state.occupies()) {
            return effects;
        }
        effects.push(Effect::Tell(Event::ChildStarted { child: key.within(&self.spec.name), took }));
        if let Some(recycling) = self.recycling
            && recycling.new == key
        {
            self.books.recycled(recycling.reason);
            self.feed(now, recycling.old, Input::Retire(Exit::Recycled(recycling.reason)), &mut effects);
        }
        effects
    }

    /// A start has failed, and there is no child.
    pub(crate) fn start_failed(&mut self, now: Moment, key: Key, why: String) -> Vec<Effect<H, T>> {
        self.ended(now, key, Exit::StartFailed(why))
    }

    /// A child's actor is gone; `exit` is what was seen from outside.
    pub(crate) fn ended(&mut self, now: Moment, key: Key, exit: Exit) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        if self.child(key).is_none() {
            return effects;
        }
        self.idle.retain(|idle| *idle != key);
        // The pool's own books may know better why it went: it may have sent it.
        let told = match self.child(key).map(|child| &child.state) {
            Some(ChildState::Stopping(known)) => known.clone(),
            Some(_) | None => exit.clone(),
        };
        if !told.is_planned() {
            self.last_failure = Some(told.clone());
        }
        effects.push(Effect::Tell(Event::ChildEnded { child: key.within(&self.spec.name), exit: told }));
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
        if self.phase == Phase::Draining && self.is_empty() {
            self.phase = Phase::Closed;
            effects.push(Effect::Drained);
        }
        effects
    }

    /// A child would not end the job of its lease number `lease`: it goes now, and its slot is filled again. If
    /// that lease has come back meanwhile, whoever has the child now is not to blame.
    pub(crate) fn condemn(&mut self, now: Moment, key: Key, lease: u64, exit: Exit) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        let still_out = self
            .child(key)
            .is_some_and(|child| child.lease == lease && matches!(child.state, ChildState::Leased | ChildState::Retiring(_)));
        if still_out {
            self.feed(now, key, Input::Condemn(exit), &mut effects);
        }
        effects
    }

    /// No more leases; whoever waits is refused, idle children stop, leased ones after their job.
    pub(crate) fn drain(&mut self, now: Moment) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
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
    pub(crate) fn close(&mut self) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        if self.phase != Phase::Spent {
            self.phase = Phase::Closed;
        }
        self.idle.clear();
        for slot in &mut self.slots {
            slot.children.clear();
        }
        self.recycling = None;
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
                self.books.violation();
                let what = format!("{} was {from} and got {by}", key.within(&self.spec.name));
                effects.push(Effect::Tell(Event::InvariantViolated { pool: self.spec.name.clone(), what }));
            }
        }
        if let Some(exit) = left_with {
            self.refill(now, key, exit, lived, effects);
        }
        self.settle_recycling();
    }

    /// A replacement is over once it stands and the old child serves no more, however long that takes to go.
    fn settle_recycling(&mut self) {
        let over = self.recycling.is_some_and(|recycling| {
            let stands = self.child(recycling.new).is_some_and(|child| child.up.is_some());
            let gone = self
                .child(recycling.old)
                .is_none_or(|child| matches!(child.state, ChildState::Stopping(_) | ChildState::Ended(_)));
            stands && gone
        });
        if over {
            self.recycling = None;
        }
    }

    fn serve_waiters(&mut self, now: Moment, effects: &mut Vec<Effect<H, T>>) {
        while let Some(waiter) = self.waiters.front() {
            if waiter.deadline <= now {
                // Its own task will find out by its timer; it must not take a child with it.
                if let Some(late) = self.waiters.pop_front() {
                    self.admitted_bytes -= late.bytes;
                    self.books.timed_out();
                }
                continue;
            }
            let bytes = waiter.bytes;
            let Some(grant) = self.hand(now, bytes) else {
                return;
            };
            if let Some(waiter) = self.waiters.pop_front() {
                effects.push(Effect::Grant { token: waiter.token, grant });
            }
        }
    }

    /// A child has left its place with `exit`: fill it again, unless somebody already stands there.
    fn refill(&mut self, now: Moment, left: Key, exit: Exit, lived: Duration, effects: &mut Vec<Effect<H, T>>) {
        let slot = left.slot;
        let place = &mut self.slots[slot as usize];
        let taken = place.children.iter().any(|child| child.state.occupies());
        if self.phase != Phase::Open {
            return;
        }
        if let Exit::Recycled(reason) = exit {
            // Without a replacement at hand only the unhealthy leave; the others wait for theirs.
            if !taken {
                // One may stop politely at a time; if they come faster than they go, the earlier ones are killed.
                effects.extend(place.children.iter().filter_map(|child| {
                    let earlier = child.generation != left.generation && matches!(child.state, ChildState::Stopping(_));
                    let handle = child.handle.clone().filter(|_| earlier)?;
                    Some(Effect::Kill { handle })
                }));
                self.books.recycled(reason);
                self.start(slot, now, Duration::ZERO, effects);
            }
            return;
        }
        if !self.budget.take(now) {
            self.spend(now, exit, effects);
            return;
        }
        self.books.restarted(&exit);
        if taken {
            return;
        }
        let delay = match exit {
            Exit::StartFailed(_) => place.backoff.after_failed_start(&mut self.rng),
            Exit::Recycled(_) | Exit::Shutdown | Exit::Panicked(_) | Exit::Broken(_) | Exit::Hung | Exit::Killed => {
                place.backoff.after_crash(lived, &mut self.rng)
            }
        };
        let key = self.start(slot, now, delay, effects);
        effects.push(Effect::Tell(Event::RestartScheduled { child: key.within(&self.spec.name), cause: exit, delay }));
    }

    fn spend(&mut self, now: Moment, cause: Exit, effects: &mut Vec<Effect<H, T>>) {
        self.phase = Phase::Spent;
        effects.push(Effect::Tell(Event::BudgetSpent { pool: self.spec.name.clone(), cause: cause.clone() }));
        let error = self.unavailable();
        self.refuse_all(&error, effects);
        for key in self.keys() {
            self.feed(now, key, Input::Condemn(Exit::Shutdown), effects);
        }
        effects.push(Effect::Escalate { cause });
    }

    fn refuse_all(&mut self, error: &LeaseError, effects: &mut Vec<Effect<H, T>>) {
        while let Some(waiter) = self.waiters.pop_front() {
            self.admitted_bytes -= waiter.bytes;
            self.books.refused(error);
            effects.push(Effect::Refuse { token: waiter.token, error: error.clone() });
        }
    }

    fn child(&self, key: Key) -> Option<&Child<H>> {
        let slot = self.slots.get(key.slot as usize)?;
        slot.children.iter().find(|child| child.generation == key.generation)
    }

    fn child_mut(&mut self, key: Key) -> Option<&mut Child<H>> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        slot.children.iter_mut().find(|child| child.generation == key.generation)
    }

    fn remove(&mut self, key: Key) {
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
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Children that serve.
    pub(crate) fn serving(&self) -> usize {
        let children = self.slots.iter().flat_map(|slot| &slot.children);
        children.filter(|child| child.up.is_some() && child.state.occupies()).count()
    }

    /// The pool as data.
    pub(crate) fn snapshot(&self, now: Moment) -> PoolSnapshot {
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
                    starts_in: waits.then(|| child.due.since(now)),
                }
            }));
        }
        PoolSnapshot {
            name: self.spec.name.clone(),
            phase: self.phase.label(),
            size: self.spec.size,
            waiting: self.waiters.len(),
            admitted_bytes: self.admitted_bytes,
            max_bytes: self.spec.max_bytes,
            counts: self.books.counts(),
            last_failure: self.last_failure.clone(),
            children,
        }
    }
}

impl<H> Child<H> {
    fn on(&mut self, input: Input, now: Moment) -> Action {
        let before = self.state.label();
        let action = self.state.on(input);
        if self.state.label() != before {
            self.since = now;
        }
        action
    }
}

#[cfg(test)]
mod tests;

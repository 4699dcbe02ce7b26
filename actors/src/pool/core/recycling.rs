//! Planned replacement: one child of a pool at a time, its replacement first, and nothing lost.

use std::time::Duration;

use super::{Effect, PoolCore, leak_event};
use crate::clock::Moment;
use crate::event::Event;
use crate::exit::Exit;
use crate::id::Key;
use crate::leak::Leak;
use crate::limits::MemoryLevel;
use crate::pool::core::Phase;
use crate::pressure::Pressure;
use crate::recycle::RecycleReason;
use crate::state::{ChildState, Input};

/// The one replacement that is under way in a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recycling {
    pub(super) old: Key,
    pub(super) new: Key,
    pub(super) reason: RecycleReason,
}

/// A leaking child has gone; has its memory gone with it?
#[derive(Clone, Copy, Debug)]
pub(super) struct Verification {
    child: Key,
    /// What all children of the pool held together before, in bytes, as its memory probe saw it.
    before: u64,
    /// What the child should have given back, in bytes.
    expected: u64,
    /// Not before then: memory takes a moment to go.
    at: Moment,
}

/// How long freed memory may take to show.
const SETTLE: Duration = Duration::from_secs(2);

impl<H: Clone, T> PoolCore<H, T> {
    /// Replaces the child of `slot` by plan, as an operator asks for. `false` if it cannot be begun now.
    pub fn retire(&mut self, now: Moment, slot: u32) -> (bool, Vec<Effect<H, T>>) {
        let mut effects = Vec::new();
        let serving = self
            .slots
            .get(slot as usize)
            .and_then(|slot| slot.children.iter().find(|child| child.serves()).map(|child| child.generation));
        let begun = serving.is_some_and(|generation| {
            let key = Key { slot, generation };
            self.recycle(now, key, RecycleReason::Operator, &mut effects)
        });
        (begun, effects)
    }

    /// Begins a replacement, unless one is under way: at most one child of a pool retires at a time. While memory is
    /// short there is no room for two: then the child goes first, when it is idle, and its replacement comes after.
    pub(super) fn recycle(&mut self, now: Moment, key: Key, reason: RecycleReason, effects: &mut Vec<Effect<H, T>>) -> bool {
        // One that was condemned during its last job comes back as well, and has been replaced already.
        let Some(child) = self.child(key).filter(|child| child.serves()) else {
            return false;
        };
        let idle = child.is_idle();
        let slot = &self.slots[key.slot as usize];
        let standing = slot.children.iter().filter(|child| child.state.occupies()).count();
        if self.phase != Phase::Open || self.recycling.is_some() || standing != 1 || now < slot.recycle_not_before {
            return false;
        }
        if self.pressure >= Pressure::Shrink {
            if idle {
                effects.push(Effect::Tell(Event::RecycleStarted { child: key.within(&self.spec.name), reason }));
                self.feed(now, key, Input::Retire(Exit::Recycled(reason)), effects);
            }
            return idle;
        }
        effects.push(Effect::Tell(Event::RecycleStarted { child: key.within(&self.spec.name), reason }));
        let new = self.start(key.slot, now, Duration::ZERO, effects);
        self.recycling = Some(Recycling { old: key, new, reason });
        true
    }

    /// A child has left its place by plan.
    pub(super) fn refill_recycled(
        &mut self,
        now: Moment,
        left: Key,
        reason: RecycleReason,
        lived: Duration,
        effects: &mut Vec<Effect<H, T>>,
    ) {
        let target = self.target();
        let place = &mut self.slots[left.slot as usize];
        if place.is_taken() {
            return;
        }
        self.books.recycled(reason);
        if left.slot >= target || (self.phase == Phase::Open && self.pressure >= Pressure::Shrink) {
            return;
        }
        // One may stop politely at a time; if they come faster than they go, the earlier ones are killed.
        effects.extend(place.children.iter().filter_map(|child| {
            let earlier = child.generation != left.generation && matches!(child.state, ChildState::Stopping(_));
            let handle = child.handle.clone().filter(|_| earlier)?;
            Some(Effect::Kill { handle })
        }));
        let delay = if reason == RecycleReason::Unhealthy && place.sickly {
            place.backoff.after_crash(lived, &mut self.rng)
        } else {
            Duration::ZERO
        };
        place.sickly = reason == RecycleReason::Unhealthy;
        self.start(left.slot, now, delay, effects);
    }

    /// A replacement is over once it stands and the old child serves no more, however long that takes to go.
    pub(super) fn settle_recycling(&mut self) {
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

    pub(super) fn tell_memory(
        &self,
        key: Key,
        before: MemoryLevel,
        level: MemoryLevel,
        bytes: u64,
        effects: &mut Vec<Effect<H, T>>,
    ) {
        if level > before {
            effects.push(Effect::Tell(Event::MemoryLimit { child: key.within(&self.spec.name), level, bytes }));
        }
    }

    pub(super) fn leak_found(&mut self, now: Moment, key: Key, leak: Leak, effects: &mut Vec<Effect<H, T>>) {
        if let Some(child) = self.child_mut(key)
            && child.leaks.is_none()
        {
            child.leaks = Some((leak, now));
            effects.push(Effect::Tell(leak_event(&self.spec.name, key, leak)));
        }
    }

    /// Recycles a leaking child once nobody waits and half of the children are idle, or once patience is over.
    pub(super) fn recycle_leaking(&mut self, now: Moment, effects: &mut Vec<Effect<H, T>>) {
        let Some(patience) = self.spec.leak.map(|policy| policy.patience) else { return };
        let leaking = self.keys().into_iter().find_map(|key| {
            let child = self.child(key).filter(|child| child.serves())?;
            child.leaks.map(|(_, since)| (key, since))
        });
        let Some((key, since)) = leaking else { return };
        let trough = self.line.is_empty() && self.idle.len() * 2 >= self.spec.size as usize;
        if trough || now.since(since) >= patience {
            self.recycle(now, key, RecycleReason::Leak, effects);
        }
    }

    /// The pool's memory as its probe sees it, in bytes: judges a leak that was recycled, and remembers for the next.
    pub(super) fn verify_leak(&mut self, now: Moment, bytes: u64, effects: &mut Vec<Effect<H, T>>) {
        if let Some(verification) = self.verification
            && verification.at <= now
        {
            self.verification = None;
            let freed = verification.before.saturating_sub(bytes);
            let child = verification.child.within(&self.spec.name);
            // Half is enough: its replacement holds something, and the others work on.
            let verdict = if freed.saturating_mul(2) >= verification.expected {
                Event::LeakRecycled { child, freed_bytes: freed }
            } else {
                Event::LeakElsewhere { child, freed_bytes: freed, expected_bytes: verification.expected }
            };
            effects.push(Effect::Tell(verdict));
        }
        // While a leaking child is on its way out, the state before is the one before that.
        let going = self.children().any(|child| child.leaks.is_some() && matches!(child.state, ChildState::Stopping(_)));
        if !going {
            self.memory_before = Some(bytes);
        }
    }

    /// A child has gone. If it leaked, its memory should have gone with it.
    pub(super) fn expect_memory_of(&mut self, now: Moment, key: Key) {
        let leak = self.child(key).and_then(|child| child.leaks);
        if let Some(((leak, _), before)) = leak.zip(self.memory_before) {
            self.verification = Some(Verification { child: key, before, expected: leak.grown_bytes, at: now + SETTLE });
        }
    }
}

//! What is looked at again and again while a pool runs: silent jobs, limits in the middle of a job, age, and
//! answers that are overdue.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Effect, PoolCore, Step};
use crate::clock::Moment;
use crate::event::Event;
use crate::exit::Exit;
use crate::id::Key;
use crate::limits::MemoryLevel;
use crate::pool::core::Phase;
use crate::recycle::RecycleReason;
use crate::state::ChildState;
use crate::watchdog::{Reading, Watchdog};

/// A gap between two looks by this much more than they should be apart, or a stop that takes so much longer than it may,
/// is no accident.
const STOPPED: Duration = Duration::from_secs(1);

/// How long past an answer's deadline and the pool's graces it may take until it counts as never given. The timers in
/// between are the callers' own; a busy machine fires them late.
const OVERDUE: Duration = Duration::from_secs(5);

impl<H: Clone, T> PoolCore<H, T> {
    /// Looks at all children once. `readings` are of those that stand; `memory` is what the pool's probe saw, in bytes.
    pub fn tick(&mut self, now: Moment, readings: &[(Key, Reading)], memory: Option<u64>) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        let mut resting: BTreeSet<u64> = self.adrift.clone();
        // The machine was stopped for a while: nobody has been silent, nobody could speak.
        let stopped = self.last_tick.is_some_and(|last| now.since(last) > self.spec.tick_every() * 4 + STOPPED);
        self.last_tick = Some(now);
        if stopped {
            for child in self.slots.iter_mut().flat_map(|slot| &mut slot.children) {
                child.watchdog = Watchdog::new();
            }
        }
        for (key, reading) in readings {
            self.watch(now, *key, reading, &mut effects);
            if reading.job.is_none() {
                resting.extend(self.child(*key).and_then(|child| child.entry));
            }
        }
        self.look_at_idle(now, &mut effects);
        self.hurry_the_stopping(now, &mut effects);
        self.recycle_leaking(now, &mut effects);
        if let Some(bytes) = memory {
            self.verify_leak(now, bytes, &mut effects);
        }
        if self.phase == Phase::Probing
            && self.children().any(|child| child.up.is_some_and(|up| now.since(up) >= self.spec.backoff.cap))
        {
            self.recover(now, &mut effects);
        }
        // A lease that its caller keeps without a job at work is the caller's own affair.
        let grace = self.spec.cancel_grace.saturating_mul(2).saturating_add(OVERDUE);
        for violation in self.ledger.overdue(now, grace, &resting) {
            self.violated(violation.invariant().label(), format!("{violation:?}"), &mut effects);
        }
        effects
    }

    fn watch(&mut self, now: Moment, key: Key, reading: &Reading, effects: &mut Vec<Effect<H, T>>) {
        let hang = self.spec.hang.clone();
        let Some(child) = self.child_mut(key) else { return };
        let (lease, handle) = (child.lease, child.handle.clone());
        let (before, mut level) = (child.memory.level(), child.memory.level());
        // Between jobs the child's own word counts, which comes with every check-in.
        if reading.job.is_some() && reading.bytes > 0 {
            level = child.memory.sample(reading.bytes);
        }
        let suspected = child.watchdog.read(now, reading, &hang);
        self.tell_memory(key, before, level, reading.bytes, effects);
        if level == MemoryLevel::Fatal && reading.job.is_some() {
            effects.extend(self.condemn(now, key, lease, Exit::OutOfMemory(reading.bytes)));
            return;
        }
        let Some((phase, step)) = suspected else { return };
        effects.push(Effect::Tell(Event::HangSuspected { child: key.within(&self.spec.name), phase, step }));
        match (step, handle, reading.job) {
            (Step::Cancel, Some(handle), Some(job)) => effects.push(Effect::Cancel { handle, job }),
            (Step::Interrupt, Some(handle), Some(job)) => effects.push(Effect::Interrupt { handle, job }),
            (Step::Kill, _, _) => effects.extend(self.condemn(now, key, lease, Exit::Hung)),
            (Step::Cancel | Step::Interrupt, _, _) => {}
        }
    }

    /// Children that were told to stop and are still there well past their time: they are killed, and what was to follow
    /// them comes.
    fn hurry_the_stopping(&mut self, now: Moment, effects: &mut Vec<Effect<H, T>>) {
        let patience = self.spec.stop_grace.saturating_add(STOPPED);
        let late = self
            .children()
            .filter(|child| matches!(child.state, ChildState::Stopping(_)) && now.since(child.since) >= patience)
            .filter_map(|child| child.handle.clone());
        let late: Vec<H> = late.collect();
        if !late.is_empty() {
            effects.extend(late.into_iter().map(|handle| Effect::Kill { handle }));
            self.fill(now, effects);
        }
    }

    /// Idle children that are due: by age, by a soft limit, by a hard one.
    fn look_at_idle(&mut self, now: Moment, effects: &mut Vec<Effect<H, T>>) {
        for key in self.idle.clone() {
            let Some(child) = self.child(key) else { continue };
            let age = child.up.map_or(Duration::ZERO, |up| now.since(up));
            let due = child.limits.due(child.jobs, age);
            let full = (child.memory.level() >= MemoryLevel::Soft).then_some(RecycleReason::Bytes);
            if let Some(reason) = due.or(full) {
                self.recycle(now, key, reason, effects);
            }
        }
    }
}

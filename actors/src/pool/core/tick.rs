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
use crate::watchdog::Reading;

/// How long past an answer's deadline and the pool's graces it may take until it counts as never given. The timers in
/// between are the callers' own; a busy machine fires them late.
const OVERDUE: Duration = Duration::from_secs(5);

impl<H: Clone, T> PoolCore<H, T> {
    /// Looks at all children once. `readings` are of those that stand; `memory` is what the pool's probe saw, in bytes.
    pub fn tick(&mut self, now: Moment, readings: &[(Key, Reading)], memory: Option<u64>) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        let mut resting = BTreeSet::new();
        for (key, reading) in readings {
            self.watch(now, *key, reading, &mut effects);
            if reading.job.is_none() {
                resting.extend(self.child(*key).and_then(|child| child.entry));
            }
        }
        self.look_at_idle(now, &mut effects);
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
        let grace = self.spec.cancel_grace * 2 + OVERDUE;
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
        if reading.bytes > 0 {
            level = child.memory.sample(reading.bytes);
        }
        let age = child.up.map_or(Duration::ZERO, |up| now.since(up));
        let jobs = child.jobs;
        let found = match (reading.job, reading.bytes) {
            // Between jobs the same bytes would be seen again and again.
            (None, bytes) if bytes > 0 => child.leak.as_mut().and_then(|leak| leak.sample(age, jobs, bytes)),
            (_, _) => None,
        };
        let suspected = child.watchdog.read(now, reading, &hang);
        self.tell_memory(key, before, level, reading.bytes, effects);
        if let Some(leak) = found {
            self.leak_found(now, key, leak, effects);
        }
        if level == MemoryLevel::Fatal && before != MemoryLevel::Fatal {
            effects.extend(self.condemn(now, key, lease, Exit::OutOfMemory(reading.bytes)));
            return;
        }
        let Some((phase, step)) = suspected else { return };
        effects.push(Effect::Tell(Event::HangSuspected { child: key.within(&self.spec.name), phase, step }));
        match (step, handle) {
            (Step::Cancel, Some(handle)) => effects.push(Effect::Cancel { handle }),
            (Step::Interrupt, Some(handle)) => effects.push(Effect::Interrupt { handle }),
            (Step::Kill, _) => effects.extend(self.condemn(now, key, lease, Exit::Hung)),
            (Step::Cancel | Step::Interrupt, None) => {}
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

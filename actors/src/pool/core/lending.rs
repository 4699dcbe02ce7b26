//! Who gets a child, who waits in line, and who is sent away.

use std::time::Duration;

use super::line::Waiter;
use super::{Ask, Effect, Grant, Lend, Phase, PoolCore, reserve};
use crate::clock::Moment;
use crate::error::LeaseError;
use crate::lease::Priority;
use crate::state::{Action, ChildState, Input};

impl<H: Clone, T> PoolCore<H, T> {
    /// Lends an idle child, or queues the caller under a token that is made only then.
    pub fn lend(&mut self, now: Moment, ask: Ask, token: impl FnOnce() -> T) -> Lend<H> {
        if let Err(error) = self.admit(now, &ask) {
            return self.refused(error);
        }
        if !self.line.is_before(ask.priority)
            && let Some(grant) = self.hand(now, ask, None)
        {
            self.admitted_bytes += ask.bytes;
            return Lend::Granted(grant);
        }
        if self.phase == Phase::Probing {
            return self.refused(self.unavailable(now));
        }
        if self.line.len() >= self.spec.max_waiting {
            return self.refused(LeaseError::QueueFull {
                pool: self.spec.name.to_string(),
                waiting: self.line.len(),
                retry_after: self.retry_after(),
            });
        }
        self.admitted_bytes += ask.bytes;
        let id = self.line.next_id();
        let entry = self.ledger.accept(ask.deadline);
        let waiter = Waiter { id, bytes: ask.bytes, deadline: ask.deadline, key: ask.key, entry, token: token() };
        self.line.join(ask.priority, waiter);
        Lend::Queued(id)
    }

    fn refused(&mut self, error: LeaseError) -> Lend<H> {
        self.books.refused(&error);
        Lend::Refused(error)
    }

    fn admit(&mut self, now: Moment, ask: &Ask) -> Result<(), LeaseError> {
        let pool = self.spec.name.clone();
        let pool = || pool.to_string();
        match self.phase {
            Phase::Open | Phase::Probing => {}
            Phase::Closed | Phase::Draining => return Err(LeaseError::Closed { pool: pool() }),
            Phase::Spent => return Err(self.unavailable(now)),
        }
        // Even an idle child could not be done in time, and would look as if it hung.
        if ask.deadline <= now {
            return Err(LeaseError::Deadline { pool: pool() });
        }
        if let Some(retry_after) = ask.key.and_then(|key| self.quarantine.refused_for(now, key)) {
            return Err(LeaseError::Quarantined { pool: pool(), retry_after });
        }
        self.withstand(ask.priority)?;
        let budget = self.spec.max_bytes;
        if ask.bytes > budget {
            return Err(LeaseError::TooLarge { pool: pool(), asked: ask.bytes, budget });
        }
        if ask.bytes > budget.saturating_sub(self.admitted_bytes) {
            return Err(LeaseError::BytesFull {
                pool: pool(),
                asked: ask.bytes,
                admitted: self.admitted_bytes,
                budget,
                retry_after: self.retry_after(),
            });
        }
        Ok(())
    }

    pub(super) fn unavailable(&self, now: Moment) -> LeaseError {
        let pool = self.spec.name.to_string();
        let retry_after = match self.back_at.map(|at| at.since(now)).filter(|left| !left.is_zero()) {
            Some(left) => left,
            // The probe is at work, or nobody has said yet when it will be.
            None if self.phase == Phase::Probing => self.retry_after(),
            None => self.spec.backoff.cap,
        };
        LeaseError::Unavailable { pool, retry_after }
    }

    /// The supervisor says how long from now the pool is started again.
    pub fn back_in(&mut self, now: Moment, delay: Duration) {
        self.back_at = Some(now + delay);
    }

    /// When a place is likely to be free: the queue ahead, at the pace of late.
    fn retry_after(&self) -> Duration {
        let ahead = u32::try_from(self.line.len()).unwrap_or(u32::MAX).saturating_add(1);
        (self.books.mean_lease() * ahead.div_ceil(self.spec.size)).max(Duration::from_millis(10))
    }

    /// Whether the next idle child goes to a caller of `priority`.
    fn lends(&self, priority: Priority) -> bool {
        let others = || {
            let lent = self.children().filter(|child| child.state == ChildState::Leased);
            lent.filter(|child| child.priority == Priority::Interactive).count()
        };
        reserve::lends(priority, reserve::kept(self.spec.reserved, self.target()), self.idle.len(), others)
    }

    /// The next idle child, now leased, under the ledger's `entry` or a new one.
    fn hand(&mut self, now: Moment, ask: Ask, entry: Option<u64>) -> Option<Grant<H>> {
        if !self.lends(ask.priority) {
            return None;
        }
        let key = self.idle.pop()?;
        let child = self.child_mut(key)?;
        let action = child.on(Input::Lend, now);
        child.lease += 1;
        child.input = ask.key;
        child.priority = ask.priority;
        let (handle, lease) = (child.handle.clone(), child.lease);
        let (Action::Hand, Some(handle)) = (action, handle) else {
            self.violated("machine", format!("{} was idle and could not be lent", key.within(&self.spec.name)), &mut Vec::new());
            return None;
        };
        let entry = entry.unwrap_or_else(|| self.ledger.accept(ask.deadline));
        if let Some(child) = self.child_mut(key) {
            child.entry = Some(entry);
        }
        self.books.leased();
        Some(Grant { key, lease, entry, handle, bytes: ask.bytes, input: ask.key })
    }

    /// A waiting caller has given up. `false` if it was no longer waiting.
    pub fn cancel_wait(&mut self, id: u64, timed_out: bool) -> bool {
        let Some(waiter) = self.line.leave(id) else {
            return false;
        };
        self.admitted_bytes -= waiter.bytes;
        let answer = if timed_out { "deadline" } else { "cancelled" };
        self.answer(waiter.entry, answer, &mut Vec::new());
        if timed_out {
            self.books.timed_out();
        }
        true
    }

    pub(super) fn serve_waiters(&mut self, now: Moment, effects: &mut Vec<Effect<H, T>>) {
        while let Some((priority, waiter)) = self.line.front() {
            if waiter.deadline <= now {
                // It must not take a child with it. Its own timer has found out, or is late.
                if let Some(late) = self.line.pop() {
                    let pool = self.spec.name.to_string();
                    self.refuse(late, LeaseError::Deadline { pool }, effects);
                }
                continue;
            }
            if let Some(retry_after) = waiter.key.and_then(|key| self.quarantine.refused_for(now, key)) {
                if let Some(poison) = self.line.pop() {
                    let pool = self.spec.name.to_string();
                    self.refuse(poison, LeaseError::Quarantined { pool, retry_after }, effects);
                }
                continue;
            }
            let ask = Ask { bytes: waiter.bytes, deadline: waiter.deadline, key: waiter.key, priority };
            let entry = waiter.entry;
            let Some(grant) = self.hand(now, ask, Some(entry)) else {
                return;
            };
            if let Some(waiter) = self.line.pop() {
                effects.push(Effect::Grant { token: waiter.token, grant });
            }
        }
    }

    pub(super) fn refuse_all(&mut self, error: &LeaseError, effects: &mut Vec<Effect<H, T>>) {
        while let Some(waiter) = self.line.pop() {
            self.refuse(waiter, error.clone(), effects);
        }
    }

    pub(super) fn refuse(&mut self, waiter: Waiter<T>, error: LeaseError, effects: &mut Vec<Effect<H, T>>) {
        self.admitted_bytes -= waiter.bytes;
        self.answer(waiter.entry, "refused", effects);
        self.books.refused(&error);
        effects.push(Effect::Refuse { token: waiter.token, error });
    }
}

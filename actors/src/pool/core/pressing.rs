//! What memory pressure does to a pool: shrink, shed, refuse.

use super::{Effect, PoolCore};
use crate::clock::Moment;
use crate::error::LeaseError;
use crate::exit::Exit;
use crate::lease::Priority;
use crate::pool::core::Phase;
use crate::pressure::Pressure;
use crate::recycle::RecycleReason;
use crate::state::{ChildState, Input};

impl<H: Clone, T> PoolCore<H, T> {
    /// The governor says how short memory is.
    pub fn pressed(&mut self, now: Moment, pressure: Pressure) -> Vec<Effect<H, T>> {
        let mut effects = Vec::new();
        self.pressure = pressure;
        if self.phase != Phase::Open {
            return effects;
        }
        // Those above the target leave when they are idle, the highest slots first; a lent one after its job.
        let target = self.target();
        for key in self.keys().into_iter().rev().filter(|key| key.slot >= target) {
            // An idle one is counted when it leaves its place, and one that is lent leaves it now.
            if self.child(key).is_some_and(|child| child.state == ChildState::Leased) {
                self.books.recycled(RecycleReason::Pressure);
            }
            self.feed(now, key, Input::Retire(Exit::Recycled(RecycleReason::Pressure)), &mut effects);
        }
        if pressure >= Pressure::Shed {
            self.send_away(Priority::Batch, &mut effects);
        }
        if pressure >= Pressure::Refuse {
            self.send_away(Priority::Interactive, &mut effects);
        }
        self.fill(now, &mut effects);
        // Of a single child none is kept, so that batch work may get it now.
        self.serve_waiters(now, &mut effects);
        effects
    }

    fn send_away(&mut self, priority: Priority, effects: &mut Vec<Effect<H, T>>) {
        while let Some(waiter) = self.line.pop_of(priority) {
            let error = self.pressed_error();
            self.refuse(waiter, error, effects);
        }
    }

    /// Whether a caller of `priority` may come in while memory is as short as it is.
    pub(super) fn withstand(&self, priority: Priority) -> Result<(), LeaseError> {
        let refused = match priority {
            Priority::Interactive => self.pressure >= Pressure::Refuse,
            Priority::Batch => self.pressure >= Pressure::Shed,
        };
        if refused { Err(self.pressed_error()) } else { Ok(()) }
    }

    fn pressed_error(&self) -> LeaseError {
        LeaseError::Pressed {
            pool: self.spec.name.to_string(),
            pressure: self.pressure,
            retry_after: Pressure::RETRY_AFTER.max(self.spec.backoff.base),
        }
    }
}

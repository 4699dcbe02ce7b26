//! Which faults are on: set by the plan, asked by decorated workers. One per trial, so two trials never meet.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use fastrand::Rng;

use crate::plan::FaultKind;

/// The kinds that a decorated worker looks for.
const KINDS: [FaultKind; 9] = [
    FaultKind::Panic,
    FaultKind::Fail,
    FaultKind::Break,
    FaultKind::Hang,
    FaultKind::Grow,
    FaultKind::Leak,
    FaultKind::SlowStart,
    FaultKind::FailStart,
    FaultKind::Sicken,
];

/// Which faults are on, and how often each has hit.
#[derive(Debug)]
pub struct Board {
    on: [AtomicU32; KINDS.len()],
    hits: [AtomicU64; KINDS.len()],
    /// The share of jobs that a fault hits while it is on.
    share: f64,
    rng: Mutex<Rng>,
}

impl Board {
    /// A board with nothing on; while faults are, each job is hit with the probability `share`.
    #[must_use]
    pub fn new(seed: u64, share: f64) -> Self {
        Self {
            on: std::array::from_fn(|_| AtomicU32::new(0)),
            hits: std::array::from_fn(|_| AtomicU64::new(0)),
            share,
            rng: Mutex::new(Rng::with_seed(seed)),
        }
    }

    fn place(kind: FaultKind) -> Option<usize> {
        KINDS.iter().position(|known| *known == kind)
    }

    /// Switches a fault on, once more if it is on already. `false` if no worker looks for that kind.
    pub fn turn_on(&self, kind: FaultKind) -> bool {
        Self::place(kind).is_some_and(|place| {
            self.on[place].fetch_add(1, Ordering::Relaxed);
            true
        })
    }

    /// Switches a fault off that has been switched on.
    pub fn turn_off(&self, kind: FaultKind) {
        if let Some(place) = Self::place(kind) {
            // One that was never on stays off.
            let _ = self.on[place].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |on| on.checked_sub(1));
        }
    }

    /// Switches everything off.
    pub fn clear(&self) {
        for on in &self.on {
            on.store(0, Ordering::Relaxed);
        }
    }

    fn is_on(&self, kind: FaultKind) -> bool {
        Self::place(kind).is_some_and(|place| self.on[place].load(Ordering::Relaxed) > 0)
    }

    /// Whether `kind` hits now.
    pub fn hits(&self, kind: FaultKind) -> bool {
        if !self.is_on(kind) {
            return false;
        }
        let hit = self.rng.lock().unwrap_or_else(PoisonError::into_inner).f64() < self.share;
        if let Some(place) = Self::place(kind).filter(|_| hit) {
            self.hits[place].fetch_add(1, Ordering::Relaxed);
        }
        hit
    }

    /// How often each kind has hit.
    #[must_use]
    pub fn counts(&self) -> Vec<(FaultKind, u64)> {
        KINDS.into_iter().zip(&self.hits).map(|(kind, hits)| (kind, hits.load(Ordering::Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_hits() {
        let board = Board::new(1, 1.0);
        assert!(!board.hits(FaultKind::Panic));
        assert!(board.turn_on(FaultKind::Panic) && board.turn_on(FaultKind::Panic));
        board.turn_off(FaultKind::Panic);
        assert!(board.hits(FaultKind::Panic) && !board.hits(FaultKind::Hang));
        board.clear();
        board.turn_off(FaultKind::Panic);
        assert!(!board.hits(FaultKind::Panic));
        assert!(!board.turn_on(FaultKind::DiskFull), "no worker looks for it");
        assert_eq!(board.counts()[0], (FaultKind::Panic, 1));
    }
}

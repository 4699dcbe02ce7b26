//! What a pool has counted since it was made.

use std::time::Duration;

use crate::error::LeaseError;
use crate::exit::Cause;
use crate::ledger::Ledger;
use crate::recycle::RecycleReason;
use crate::snapshot::PoolCounts;

/// Counters and the running mean of how long a lease lasts.
#[derive(Debug, Default)]
pub(crate) struct Books {
    counts: PoolCounts,
    mean_lease: Duration,
}

impl Books {
    pub(crate) fn leased(&mut self) {
        self.counts.leases += 1;
    }

    /// `jobs` jobs came to an end of their own, on a lease that lasted `leased_for`.
    pub(crate) fn done(&mut self, jobs: u64, leased_for: Duration) {
        self.counts.jobs += jobs;
        // Exponential mean over about 16 leases: follows a change of load, forgets a single slow page.
        self.mean_lease = (self.mean_lease * 15 + leased_for) / 16;
    }

    pub(crate) fn lost(&mut self) {
        self.counts.jobs_lost += 1;
    }

    pub(crate) fn refused(&mut self, error: &LeaseError) {
        let cause = match error {
            LeaseError::QueueFull { .. } => "queue_full",
            LeaseError::BytesFull { .. } => "bytes_full",
            LeaseError::TooLarge { .. } => "too_large",
            LeaseError::Deadline { .. } => "deadline",
            LeaseError::Unavailable { .. } => "unavailable",
            LeaseError::Pressed { .. } => "pressed",
            LeaseError::Quarantined { .. } => "quarantined",
            LeaseError::Closed { .. } => "closed",
        };
        *self.counts.refused.entry(cause).or_default() += 1;
    }

    pub(crate) fn timed_out(&mut self) {
        *self.counts.refused.entry("deadline").or_default() += 1;
    }

    pub(crate) fn restarted(&mut self, cause: Cause) {
        *self.counts.restarts.entry(cause.label()).or_default() += 1;
    }

    pub(crate) fn recycled(&mut self, reason: RecycleReason) {
        *self.counts.recycles.entry(reason.label()).or_default() += 1;
    }

    pub(crate) fn recycle_failed(&mut self) {
        self.counts.recycles_failed += 1;
    }

    pub(crate) fn violation(&mut self, invariant: &'static str) {
        *self.counts.violations.entry(invariant).or_default() += 1;
    }

    pub(crate) fn mean_lease(&self) -> Duration {
        self.mean_lease
    }

    pub(crate) fn counts(&self, ledger: &Ledger) -> PoolCounts {
        PoolCounts { accepted: ledger.accepted(), answers: ledger.answers().clone(), ..self.counts.clone() }
    }
}

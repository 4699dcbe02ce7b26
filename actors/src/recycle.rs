//! When a healthy child is replaced: by jobs done or bytes held, decided at check-in. A pure policy.
//!
//! A recycle is planned and loses nothing; it is not a restart and has its own counters. Limits are jittered
//! once per child, so that children started together do not retire together.

use std::fmt;

use fastrand::Rng;
use serde::Serialize;

use crate::worker::Usage;

/// Why a child is recycled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecycleReason {
    /// It has done as many jobs as it may.
    Jobs,
    /// It holds more memory between jobs than it may.
    Bytes,
    /// It said that it is not well.
    Unhealthy,
    /// Somebody asked for it.
    Operator,
}

impl RecycleReason {
    /// The reason as a short label, for counters.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Bytes => "bytes",
            Self::Unhealthy => "unhealthy",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for RecycleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The limits past which a child is recycled; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecycleLimits {
    /// Jobs done.
    pub jobs: Option<u64>,
    /// Bytes held between jobs ([`Usage::bytes`]).
    pub bytes: Option<u64>,
    /// How far each child's limits may lie from these, as a share: 0.1 is ±10 %. Clamped to 0..=0.5.
    pub jitter: f64,
}

impl RecycleLimits {
    /// Never recycle, but for health and on request.
    pub const NEVER: Self = Self { jobs: None, bytes: None, jitter: 0.0 };

    /// The limits of one child, jittered from `rng`.
    pub fn draw(&self, rng: &mut Rng) -> DrawnLimits {
        let spread = self.jitter.clamp(0.0, 0.5);
        let mut around = |limit: u64| {
            let factor = 1.0 + spread * (2.0 * rng.f64() - 1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a jittered limit need not be exact, and the factor lies in 0.5..1.5"
            )]
            let drawn = (limit as f64 * factor).round() as u64;
            drawn.max(1)
        };
        DrawnLimits { jobs: self.jobs.map(&mut around), bytes: self.bytes.map(&mut around) }
    }
}

/// One child's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnLimits {
    jobs: Option<u64>,
    bytes: Option<u64>,
}

impl DrawnLimits {
    /// Whether a child that has done `jobs` jobs and uses `usage` is due, and why. Health comes first: it
    /// alone forbids another job.
    #[must_use]
    pub fn due(&self, jobs: u64, usage: &Usage) -> Option<RecycleReason> {
        if !usage.healthy {
            return Some(RecycleReason::Unhealthy);
        }
        if self.jobs.is_some_and(|limit| jobs >= limit) {
            return Some(RecycleReason::Jobs);
        }
        if self.bytes.is_some_and(|limit| usage.bytes > limit) {
            return Some(RecycleReason::Bytes);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(bytes: u64) -> Usage {
        Usage { bytes, ..Usage::NONE }
    }

    #[test]
    fn each_limit_has_its_own_reason() {
        let limits = RecycleLimits { jobs: Some(10), bytes: Some(1000), jitter: 0.0 }.draw(&mut Rng::with_seed(1));
        let sick = Usage { healthy: false, ..Usage::NONE };
        let table = [
            (9, used(1000), None),
            (10, used(0), Some(RecycleReason::Jobs)),
            (0, used(1001), Some(RecycleReason::Bytes)),
            (10, used(1001), Some(RecycleReason::Jobs)),
            (0, sick, Some(RecycleReason::Unhealthy)),
            (10, sick, Some(RecycleReason::Unhealthy)),
        ];
        for (jobs, usage, expected) in table {
            assert_eq!(limits.due(jobs, &usage), expected, "{jobs} jobs, {usage:?}");
        }
    }

    #[test]
    fn no_limit_is_never_due() {
        let limits = RecycleLimits::NEVER.draw(&mut Rng::with_seed(1));
        assert_eq!(limits.due(u64::MAX, &used(u64::MAX)), None);
    }

    #[test]
    fn jitter_spreads_within_its_share_and_repeats_by_seed() {
        let limits = RecycleLimits { jobs: Some(1000), bytes: None, jitter: 0.1 };
        let draw = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..64).map(|_| limits.draw(&mut rng)).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        assert_eq!(drawn, draw(7));
        let jobs: Vec<u64> = drawn.iter().filter_map(|limits| limits.jobs).collect();
        assert!(jobs.iter().all(|jobs| (900..=1100).contains(jobs)), "{jobs:?}");
        assert!(jobs.windows(2).any(|pair| pair[0] != pair[1]), "no spread: {jobs:?}");
    }
}

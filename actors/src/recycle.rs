//! When a healthy child is replaced: by jobs done, age, or bytes held. A pure policy.
//!
//! A recycle is planned and loses nothing; it is not a restart and has its own counters. Limits are jittered
//! once per child, so that children started together do not retire together.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

use crate::limits::MemoryLimits;

/// Why a child is recycled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecycleReason {
    /// It has done as many jobs as it may.
    Jobs,
    /// It holds more memory than its soft or hard limit.
    Bytes,
    /// It is as old as it may become.
    Age,
    /// Its memory grows with its work.
    Leak,
    /// Memory is short, and the pool makes itself small.
    Pressure,
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
            Self::Age => "age",
            Self::Leak => "leak",
            Self::Pressure => "pressure",
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
    /// Time since the start.
    pub age: Option<Duration>,
    /// Memory held.
    pub memory: MemoryLimits,
    /// How far each child's jobs, age and soft limit may lie from these, as a share: 0.1 is ±10 %. Clamped to 0..=0.5.
    pub jitter: f64,
}

impl RecycleLimits {
    /// Never recycle, but for health and on request.
    pub const NEVER: Self = Self { jobs: None, age: None, memory: MemoryLimits::NONE, jitter: 0.0 };

    /// The limits of one child, jittered from `rng`.
    pub fn draw(&self, rng: &mut Rng) -> DrawnLimits {
        let spread = if self.jitter.is_finite() { self.jitter.clamp(0.0, 0.5) } else { 0.0 };
        let mut factor = || 1.0 + spread * (2.0 * rng.f64() - 1.0);
        DrawnLimits {
            jobs: self.jobs.map(|jobs| scaled(jobs, factor())),
            // A limit past the end of time is none.
            age: self.age.map(|age| Duration::try_from_secs_f64(age.as_secs_f64() * factor()).unwrap_or(Duration::MAX)),
            memory: MemoryLimits { soft: self.memory.soft.map(|soft| scaled(soft, factor())), ..self.memory },
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a jittered limit need not be exact, and the factor lies in 0.5..1.5"
)]
fn scaled(limit: u64, factor: f64) -> u64 {
    ((limit as f64 * factor).round() as u64).max(1)
}

/// One child's own limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawnLimits {
    jobs: Option<u64>,
    age: Option<Duration>,
    /// Its limits on memory; see [`MemoryWatch`](crate::MemoryWatch).
    pub memory: MemoryLimits,
}

impl DrawnLimits {
    /// Whether a child that has done `jobs` jobs and is `age` old is due, and why.
    #[must_use]
    pub fn due(&self, jobs: u64, age: Duration) -> Option<RecycleReason> {
        if self.jobs.is_some_and(|limit| jobs >= limit) {
            return Some(RecycleReason::Jobs);
        }
        self.age.is_some_and(|limit| age >= limit).then_some(RecycleReason::Age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn each_limit_has_its_own_reason() {
        let limits = RecycleLimits { jobs: Some(10), age: Some(secs(60)), ..RecycleLimits::NEVER };
        let limits = limits.draw(&mut Rng::with_seed(1));
        let table = [
            (9, 59, None),
            (10, 0, Some(RecycleReason::Jobs)),
            (0, 60, Some(RecycleReason::Age)),
            (10, 60, Some(RecycleReason::Jobs)),
        ];
        for (jobs, age, expected) in table {
            assert_eq!(limits.due(jobs, secs(age)), expected, "{jobs} jobs, {age} s");
        }
    }

    #[test]
    fn no_limit_is_never_due() {
        let limits = RecycleLimits::NEVER.draw(&mut Rng::with_seed(1));
        assert_eq!(limits.due(u64::MAX, Duration::MAX), None);
        assert_eq!(limits.memory, MemoryLimits::NONE);
    }

    #[test]
    fn jitter_spreads_within_its_share_and_repeats_by_seed() {
        let memory = MemoryLimits { soft: Some(1000), hard: Some(1000), ..MemoryLimits::NONE };
        let limits = RecycleLimits { jobs: Some(1000), age: Some(secs(1000)), memory, jitter: 0.1 };
        let draw = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..64).map(|_| limits.draw(&mut rng)).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        assert_eq!(drawn, draw(7));
        let figures = |limits: &DrawnLimits| [limits.jobs, limits.memory.soft, limits.age.map(|age| age.as_secs())];
        for place in 0..3 {
            let figures: Vec<u64> = drawn.iter().filter_map(|limits| figures(limits)[place]).collect();
            assert!(figures.iter().all(|figure| (899..=1101).contains(figure)), "{figures:?}");
            assert!(figures.windows(2).any(|pair| pair[0] != pair[1]), "no spread: {figures:?}");
        }
        assert!(drawn.iter().all(|limits| limits.memory.hard == Some(1000)), "hard is a promise and is not moved");
    }
}

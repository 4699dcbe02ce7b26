//! Three limits on the memory of one child: soft, hard and fatal. A pure policy.
//!
//! ```text
//!   bytes ─▶ fine ──≥ soft──▶ retire at the next idle moment, its replacement first
//!                 ──≥ hard──▶ finish the job at work, and then no other
//!                 ──≥ fatal─▶ die now; the caller gets a typed error
//! ```
//!
//! Soft and hard are entered only after several samples in a row and left well below where they were entered, so
//! that one large job does not cost a healthy child. Fatal is entered at once: waiting is what kills the others.

use serde::Serialize;

/// How much memory a child may hold, in bytes; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryLimits {
    /// From here on it is replaced when that costs nobody anything.
    pub soft: Option<u64>,
    /// From here on it gets no further job.
    pub hard: Option<u64>,
    /// From here on it is killed, in the middle of a job too.
    pub fatal: Option<u64>,
    /// A limit is left below this share of it. Clamped to 0..=1. Default 0.85.
    pub leave: f64,
    /// Samples in a row that soft and hard need. At least 1. Default 2.
    pub samples: u32,
}

impl MemoryLimits {
    /// No limit.
    pub const NONE: Self = Self { soft: None, hard: None, fatal: None, leave: 0.85, samples: 2 };
}

/// What a child's memory asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryLevel {
    /// Nothing.
    Fine,
    /// Replace it when it is idle.
    Soft,
    /// Let it finish its job, and give it no other.
    Hard,
    /// Kill it now.
    Fatal,
}

/// One child's memory against its limits.
#[derive(Clone, Copy, Debug)]
pub struct MemoryWatch {
    limits: MemoryLimits,
    level: MemoryLevel,
    /// Samples in a row at or above soft, and at or above hard.
    above: [u32; 2],
}

impl MemoryWatch {
    /// A watch that has seen nothing.
    #[must_use]
    pub fn new(limits: MemoryLimits) -> Self {
        Self { limits, level: MemoryLevel::Fine, above: [0; 2] }
    }

    /// Where the child stands.
    #[must_use]
    pub fn level(&self) -> MemoryLevel {
        self.level
    }

    /// Takes one sample, in bytes, and says where the child stands now.
    pub fn sample(&mut self, bytes: u64) -> MemoryLevel {
        if self.limits.fatal.is_some_and(|fatal| bytes >= fatal) {
            self.level = MemoryLevel::Fatal;
            return self.level;
        }
        let needed = self.limits.samples.max(1);
        let mut level = MemoryLevel::Fine;
        let bounds = [(self.limits.soft, MemoryLevel::Soft), (self.limits.hard, MemoryLevel::Hard)];
        for ((limit, of), above) in bounds.into_iter().zip(&mut self.above) {
            let Some(limit) = limit else { continue };
            *above = if bytes >= limit { above.saturating_add(1) } else { 0 };
            let stays = self.level >= of && bytes >= share(limit, self.limits.leave);
            if *above >= needed || stays {
                level = level.max(of);
            }
        }
        // Fatal is left like everything else: by falling below the next lower limit's share.
        self.level = level;
        level
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a limit need not be exact, and is neither negative nor above it"
)]
fn share(limit: u64, of: f64) -> u64 {
    (limit as f64 * of.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;

    const LIMITS: MemoryLimits = MemoryLimits { soft: Some(100), hard: Some(200), fatal: Some(300), leave: 0.8, samples: 2 };

    #[test]
    fn limits_are_entered_late_and_left_later() {
        use MemoryLevel::{Fatal, Fine, Hard, Soft};
        let table = [
            (99, Fine),
            (100, Fine),
            (99, Fine),
            (100, Fine),
            (100, Soft),
            (80, Soft),
            (79, Fine),
            (250, Fine),
            (250, Hard),
            (160, Hard),
            (159, Soft),
            (80, Soft),
            (300, Fatal),
            (10, Fine),
        ];
        let mut watch = MemoryWatch::new(LIMITS);
        for (place, (bytes, expected)) in table.into_iter().enumerate() {
            assert_eq!(watch.sample(bytes), expected, "sample {place}: {bytes}");
        }
    }

    #[test]
    fn no_limit_is_never_reached() {
        let mut watch = MemoryWatch::new(MemoryLimits::NONE);
        assert_eq!(watch.sample(u64::MAX), MemoryLevel::Fine);
    }

    proptest! {
        #[test]
        fn a_single_sample_never_retires_and_fatal_is_never_missed(samples in prop::collection::vec(0u64..400, 1..100)) {
            let mut watch = MemoryWatch::new(LIMITS);
            let mut before = 0;
            for bytes in samples {
                let was = watch.level();
                let level = watch.sample(bytes);
                prop_assert!((bytes >= 300) == (level == MemoryLevel::Fatal));
                if level == MemoryLevel::Soft && was < MemoryLevel::Soft {
                    prop_assert!(bytes >= 100 && before >= 100);
                }
                before = bytes;
            }
        }
    }
}

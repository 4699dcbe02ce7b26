//! How short memory is, as one level that everybody shares. A pure policy.
//!
//! Several signals (use against the budget, stalls of the kernel) each ask for a level; the highest counts. A level is
//! entered after two readings in a row that ask for it, the last one at once; it is left one step at a time, after
//! several readings that lie below it by a margin. So levels do not flap, and a pool does not shrink and grow for
//! every large job.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// How short memory is, and what that means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pressure {
    /// 0: enough.
    #[default]
    Normal,
    /// 1: give back what is free: purge arenas, trim.
    Trim,
    /// 2: pools go down to their minimum, caches keep less.
    Shrink,
    /// 3: work that nobody waits for is sent away.
    Shed,
    /// 4: nothing new is taken on.
    Refuse,
}

impl Pressure {
    /// All levels, from 0 to 4.
    pub const ALL: [Self; 5] = [Self::Normal, Self::Trim, Self::Shrink, Self::Shed, Self::Refuse];

    /// When somebody who was refused for want of memory should come back.
    pub const RETRY_AFTER: Duration = Duration::from_secs(1);

    /// The level as a number, 0 to 4.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Trim => 1,
            Self::Shrink => 2,
            Self::Shed => 3,
            Self::Refuse => 4,
        }
    }

    /// The level as one word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Trim => "trim",
            Self::Shrink => "shrink",
            Self::Shed => "shed",
            Self::Refuse => "refuse",
        }
    }

    fn lower(self) -> Self {
        match self {
            Self::Normal | Self::Trim => Self::Normal,
            Self::Shrink => Self::Trim,
            Self::Shed => Self::Shrink,
            Self::Refuse => Self::Shed,
        }
    }
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What one look at memory says. Shares are of 1; stalls are percent of time over ten seconds, as the kernel tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// Use against the budget.
    pub used: f64,
    /// Use of the machine's memory, or of the control group's.
    pub available_used: Option<f64>,
    /// Some task stalled for memory.
    pub some_stalled: Option<f64>,
    /// All tasks stalled for memory.
    pub all_stalled: Option<f64>,
}

/// Where each level begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PressurePolicy {
    /// Shares of the budget at which levels 1 to 4 are entered. Default 0.70, 0.80, 0.90, 0.95.
    pub used: [f64; 4],
    /// Percent of time in which some task stalled, for levels 1 to 4. Default 10, 25, 50, 80.
    pub some_stalled: [f64; 4],
    /// Percent of time in which all tasks stalled, for levels 1 to 4. Default 5, 10, 25, 40.
    pub all_stalled: [f64; 4],
    /// A level is left below this share of where it was entered. Default 0.9.
    pub leave: f64,
    /// Readings in a row that enter a level. Default 2.
    pub enter_after: u32,
    /// Readings in a row that leave a level. Default 5.
    pub leave_after: u32,
}

impl Default for PressurePolicy {
    fn default() -> Self {
        Self {
            used: [0.70, 0.80, 0.90, 0.95],
            some_stalled: [10.0, 25.0, 50.0, 80.0],
            all_stalled: [5.0, 10.0, 25.0, 40.0],
            leave: 0.9,
            enter_after: 2,
            leave_after: 5,
        }
    }
}

/// The level, and how sure it is.
#[derive(Clone, Copy, Debug)]
pub struct PressureLadder {
    policy: PressurePolicy,
    level: Pressure,
    rising: (Pressure, u32),
    falling: u32,
}

impl PressureLadder {
    /// A ladder at level 0.
    #[must_use]
    pub fn new(policy: PressurePolicy) -> Self {
        Self { policy, level: Pressure::Normal, rising: (Pressure::Normal, 0), falling: 0 }
    }

    /// The level now.
    #[must_use]
    pub fn level(&self) -> Pressure {
        self.level
    }

    /// Takes one reading; returns the new level and the signal that asked for it if it has changed.
    pub fn read(&mut self, signals: &Signals) -> Option<(Pressure, &'static str)> {
        let (asked, signal) = self.asked(signals, 1.0);
        if asked > self.level {
            self.falling = 0;
            let (before, count) = self.rising;
            // What was asked for every time counts: the lowest of them.
            self.rising = if count == 0 { (asked, 1) } else { (before.min(asked), count + 1) };
            let (lowest, count) = self.rising;
            let level = if asked == Pressure::Refuse { asked } else { lowest };
            if asked == Pressure::Refuse || count >= self.policy.enter_after {
                self.rising = (Pressure::Normal, 0);
                self.level = level;
                return Some((level, signal));
            }
            return None;
        }
        self.rising = (Pressure::Normal, 0);
        let (held, signal) = self.asked(signals, self.policy.leave);
        if held >= self.level {
            self.falling = 0;
            return None;
        }
        self.falling += 1;
        if self.falling < self.policy.leave_after {
            return None;
        }
        self.falling = 0;
        self.level = self.level.lower();
        Some((self.level, signal))
    }

    /// The level that `signals` ask for with all thresholds scaled by `scale`, and the signal that asks for it.
    fn asked(&self, signals: &Signals, scale: f64) -> (Pressure, &'static str) {
        let candidates = [
            (Some(signals.used), &self.policy.used, "budget"),
            (signals.available_used, &self.policy.used, "machine"),
            (signals.some_stalled, &self.policy.some_stalled, "some_stalled"),
            (signals.all_stalled, &self.policy.all_stalled, "all_stalled"),
        ];
        let mut highest = (Pressure::Normal, "budget");
        for (value, thresholds, name) in candidates {
            let Some(value) = value else { continue };
            let reached = thresholds.iter().filter(|threshold| value >= **threshold * scale).count();
            let level = Pressure::ALL[reached.min(4)];
            if level > highest.0 {
                highest = (level, name);
            }
        }
        highest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;

    fn used(used: f64) -> Signals {
        Signals { used, ..Signals::default() }
    }

    /// (share used, expected change)
    #[test]
    fn levels_are_entered_after_two_readings_and_left_after_five_lower_ones() {
        use Pressure::{Normal, Refuse, Shed, Shrink, Trim};
        let table = [
            (0.5, None),
            (0.85, None),
            (0.5, None),
            (0.75, None),
            (0.85, Some(Trim)),
            (0.85, None),
            (0.85, Some(Shrink)),
            (0.99, Some(Refuse)),
            (0.88, None),
            (0.80, None),
            (0.80, None),
            (0.80, None),
            (0.80, None),
            (0.80, Some(Shed)),
            (0.5, None),
            (0.5, None),
            (0.5, None),
            (0.5, None),
            (0.5, Some(Shrink)),
            (0.73, None),
            (0.5, None),
            (0.5, None),
            (0.5, None),
            (0.5, None),
            (0.5, Some(Trim)),
            (0.5, None),
            (0.5, None),
            (0.5, None),
            (0.5, None),
            (0.5, Some(Normal)),
        ];
        let mut ladder = PressureLadder::new(PressurePolicy::default());
        for (place, (share, expected)) in table.into_iter().enumerate() {
            assert_eq!(ladder.read(&used(share)).map(|(level, _)| level), expected, "reading {place}: {share}");
        }
    }

    #[test]
    fn each_signal_is_heard_and_named() {
        let table = [
            (Signals { available_used: Some(0.96), ..used(0.1) }, "machine"),
            (Signals { some_stalled: Some(81.0), ..used(0.1) }, "some_stalled"),
            (Signals { all_stalled: Some(41.0), ..used(0.1) }, "all_stalled"),
            (used(1.5), "budget"),
        ];
        for (signals, name) in table {
            let mut ladder = PressureLadder::new(PressurePolicy::default());
            assert_eq!(ladder.read(&signals), Some((Pressure::Refuse, name)));
        }
    }

    proptest! {
        #[test]
        fn levels_fall_one_step_at_a_time_and_never_flap(shares in prop::collection::vec(0.0f64..1.2, 1..300)) {
            let mut ladder = PressureLadder::new(PressurePolicy::default());
            let (mut before, mut last_change) = (Pressure::Normal, None);
            for (place, share) in shares.into_iter().enumerate() {
                if let Some((level, _)) = ladder.read(&used(share)) {
                    prop_assert!(level != before);
                    if level < before {
                        prop_assert!(level == before.lower());
                        prop_assert!(last_change.is_none_or(|last| place - last >= 5));
                    }
                    (before, last_change) = (level, Some(place));
                }
            }
        }
    }
}

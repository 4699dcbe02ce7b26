//! What goes wrong, and when: a plan drawn from a seed, that can be kept, replayed and cut down.

use std::fmt;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A job panics in its worker.
    Panic,
    /// A job fails, and the input is to blame.
    Fail,
    /// A job fails, and the worker blames itself.
    Break,
    /// A job never ends, but can be cancelled.
    Hang,
    /// A job makes its worker hold much more, once.
    Grow,
    /// Every job makes its worker hold a little more.
    Leak,
    /// Starts take long.
    SlowStart,
    /// Starts fail.
    FailStart,
    /// A worker says that it is not well.
    Sicken,
    /// A child is killed from outside.
    Kill,
    /// A worker's process is stopped in its tracks (`SIGSTOP`).
    Freeze,
    /// Somebody else takes memory.
    MemoryHog,
    /// No file can be opened any more.
    NoFiles,
    /// Nothing can be written any more.
    DiskFull,
    /// All processors are busy, so that clocks tick late.
    StarveClock,
    /// Callers go in the middle of their jobs.
    CallersLeave,
    /// The same input kills whoever works on it.
    Poison,
    /// An operator replaces children by hand.
    Retire,
    /// A library that workers load is not there any more.
    LibraryGone,
}

impl FaultKind {
    /// The kind as one word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Fail => "fail",
            Self::Break => "break",
            Self::Hang => "hang",
            Self::Grow => "grow",
            Self::Leak => "leak",
            Self::SlowStart => "slow_start",
            Self::FailStart => "fail_start",
            Self::Sicken => "sicken",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::MemoryHog => "memory_hog",
            Self::NoFiles => "no_files",
            Self::DiskFull => "disk_full",
            Self::StarveClock => "starve_clock",
            Self::CallersLeave => "callers_leave",
            Self::Poison => "poison",
            Self::Retire => "retire",
            Self::LibraryGone => "library_gone",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When, in milliseconds from the start of the run.
    pub at_ms: u64,
    /// For how long, in milliseconds; a fault that hits once has none.
    pub for_ms: u64,
    /// What.
    pub kind: FaultKind,
    /// Whom: a number that each kind understands in its own way, such as a slot.
    pub target: u32,
}

/// All that goes wrong in a run, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultPlan {
    /// The faults.
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Draws a plan of about `count` faults of `kinds` over `length_ms`. Each run leaves some kinds out (swarm testing):
    /// what always comes together hides what only comes alone.
    #[must_use]
    pub fn draw(seed: u64, kinds: &[FaultKind], count: usize, length_ms: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5eed_fa17);
        let mut chosen: Vec<FaultKind> = kinds.iter().copied().filter(|_| rng.f64() < 0.7).collect();
        if chosen.is_empty() {
            chosen.extend(rng.choice(kinds.iter()).copied());
        }
        Self::of(&mut rng, &chosen, count, length_ms, length_ms / 8)
    }

    /// Draws a plan of about `count` faults over `length_ms` that leaves none of `kinds` out. None lasts for `longest_ms`: where
    /// those that last overlap all the time, nothing is left to be seen of the others.
    #[must_use]
    pub fn draw_all(seed: u64, kinds: &[FaultKind], count: usize, length_ms: u64, longest_ms: u64) -> Self {
        Self::of(&mut Rng::with_seed(seed ^ 0xa11_fa17), kinds, count, length_ms, longest_ms)
    }

    fn of(rng: &mut Rng, kinds: &[FaultKind], count: usize, length_ms: u64, longest_ms: u64) -> Self {
        let mut faults: Vec<Fault> = (0..count)
            .filter_map(|_| {
                let kind = rng.choice(kinds.iter()).copied()?;
                let longest = longest_ms.max(2);
                Some(Fault { at_ms: rng.u64(0..length_ms.max(1)), for_ms: rng.u64(1..longest), kind, target: rng.u32(0..64) })
            })
            .collect();
        faults.sort_by_key(|fault| fault.at_ms);
        Self { faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_all_kinds_leaves_none_out_and_none_lasts_for_long() {
        let kinds = [FaultKind::Kill, FaultKind::NoFiles, FaultKind::StarveClock, FaultKind::MemoryHog];
        for seed in 0..20 {
            let plan = FaultPlan::draw_all(seed, &kinds, 100, 100_000, 2_000);
            assert_eq!(plan, FaultPlan::draw_all(seed, &kinds, 100, 100_000, 2_000));
            assert!(plan.faults.iter().all(|fault| fault.for_ms < 2_000));
            assert!(kinds.iter().all(|kind| plan.faults.iter().any(|fault| fault.kind == *kind)), "seed {seed}");
        }
    }

    #[test]
    fn a_plan_repeats_by_its_seed_and_stays_within_its_length() {
        let kinds = [FaultKind::Panic, FaultKind::Hang, FaultKind::Kill];
        let plan = FaultPlan::draw(7, &kinds, 100, 1000);
        assert_eq!(plan, FaultPlan::draw(7, &kinds, 100, 1000));
        assert_ne!(plan, FaultPlan::draw(8, &kinds, 100, 1000));
        assert_eq!(plan.faults.len(), 100);
        assert!(plan.faults.is_sorted_by_key(|fault| fault.at_ms));
        assert!(plan.faults.iter().all(|fault| fault.at_ms < 1000 && kinds.contains(&fault.kind)));
        let text = serde_json::to_string(&plan).expect("JSON");
        assert_eq!(serde_json::from_str::<FaultPlan>(&text).expect("JSON"), plan);
    }
}

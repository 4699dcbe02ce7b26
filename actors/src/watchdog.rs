//! When a job has stopped making progress, and what is done about it step by step. A pure policy.
//!
//! A worker says in which phase it is and beats as it goes on; both are read from outside, without asking it. Silence
//! longer than the phase's budget climbs a ladder, one step per grace:
//!
//! ```text
//!   silent > budget ─▶ cancel (drop the job's future) ─▶ interrupt (the worker's own hook) ─▶ kill, and replace
//! ```
//!
//! A beat, another phase or another job ends the suspicion. Liveness has nothing to do with it: a long job that
//! beats is left alone, however long it is.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Moment;

/// A stage of a job, numbered by its worker: an index into [`HangPolicy::phases`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phase(pub u8);

/// How long a phase may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseBudget {
    /// What the phase is called in events.
    pub name: &'static str,
    /// The longest silence; `None` never ends, and only the job's deadline counts.
    pub budget: Option<Duration>,
}

/// The phases of a pool's jobs and the time between two steps of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HangPolicy {
    /// By phase number; a phase that is not here is never suspected.
    pub phases: Vec<PhaseBudget>,
    /// How long each step may take to help before the next one. Default 100 ms.
    pub grace: Duration,
}

impl HangPolicy {
    /// Deadlines alone: no phase is ever suspected.
    pub const DEADLINE_ONLY: Self = Self { phases: Vec::new(), grace: Duration::from_millis(100) };

    /// The shortest budget, if there is any.
    #[must_use]
    pub fn shortest(&self) -> Option<Duration> {
        self.phases.iter().filter_map(|phase| phase.budget).min()
    }

    fn phase(&self, phase: Phase) -> Option<(&'static str, Duration)> {
        let phase = self.phases.get(usize::from(phase.0))?;
        Some((phase.name, phase.budget?))
    }
}

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The job's future is dropped; a worker that reaches await points is rid of it.
    Cancel,
    /// The worker's own hook is called: an epoch, a signal, a closed connection.
    Interrupt,
    /// The child is killed and replaced.
    Kill,
}

/// What is seen of a child from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Number of the job at work, `None` between jobs.
    pub job: Option<u64>,
    /// The phase it says it is in.
    pub phase: Phase,
    /// Beats so far.
    pub beats: u64,
    /// Bytes that the worker says it holds, zero if it has not said.
    pub bytes: u64,
}

/// One child's progress as seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    seen: Option<(u64, Phase, u64)>,
    since: Moment,
    step: Option<Step>,
}

impl Watchdog {
    /// A watchdog that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { seen: None, since: Moment::default(), step: None }
    }

    /// The step that was taken last for the job at work: a child above none does not answer.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        self.step
    }

    /// Takes a reading; returns the name of the silent phase and the next step, once per step.
    pub fn read(&mut self, now: Moment, reading: &Reading, policy: &HangPolicy) -> Option<(&'static str, Step)> {
        let seen = reading.job.map(|job| (job, reading.phase, reading.beats));
        if seen.is_none() || seen != self.seen {
            *self = Self { seen, since: now, step: None };
            return None;
        }
        let (name, budget) = policy.phase(reading.phase)?;
        let (next, graces) = match self.step {
            None => (Step::Cancel, 0),
            Some(Step::Cancel) => (Step::Interrupt, 1),
            Some(Step::Interrupt) => (Step::Kill, 2),
            Some(Step::Kill) => return None,
        };
        if now.since(self.since) < budget.saturating_add(policy.grace.saturating_mul(graces)) {
            return None;
        }
        self.step = Some(next);
        Some((name, next))
    }
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> HangPolicy {
        HangPolicy {
            phases: vec![
                PhaseBudget { name: "load", budget: Some(Duration::from_millis(100)) },
                PhaseBudget { name: "work", budget: None },
            ],
            grace: Duration::from_millis(10),
        }
    }

    fn reading(job: u64, phase: u8, beats: u64) -> Reading {
        Reading { job: Some(job), phase: Phase(phase), beats, bytes: 0 }
    }

    /// (at ms, reading, expected step)
    #[test]
    fn silence_climbs_the_ladder_and_any_progress_resets_it() {
        let idle = Reading { job: None, ..reading(0, 0, 0) };
        let table = [
            (0, reading(1, 0, 0), None),
            (99, reading(1, 0, 0), None),
            (100, reading(1, 0, 0), Some(Step::Cancel)),
            (109, reading(1, 0, 0), None),
            (110, reading(1, 0, 0), Some(Step::Interrupt)),
            (120, reading(1, 0, 0), Some(Step::Kill)),
            (500, reading(1, 0, 0), None),
            (501, reading(2, 0, 0), None),
            (600, reading(2, 0, 1), None),
            (699, reading(2, 0, 1), None),
            (700, reading(2, 0, 1), Some(Step::Cancel)),
            (705, reading(2, 0, 2), None),
            (706, idle, None),
            (900, idle, None),
            (901, reading(3, 1, 0), None),
            (99_999, reading(3, 1, 0), None),
            (100_000, reading(3, 0, 0), None),
            (100_100, reading(3, 0, 0), Some(Step::Cancel)),
            (100_101, reading(3, 9, 0), None),
            (200_000, reading(3, 9, 0), None),
        ];
        let mut watchdog = Watchdog::new();
        for (now, reading, expected) in table {
            let step = watchdog.read(Moment::at(Duration::from_millis(now)), &reading, &policy());
            assert_eq!(step.map(|(_, step)| step), expected, "at {now} ms");
            assert!(step.is_none_or(|(name, _)| name == "load"));
        }
    }
}

//! Whether a child's memory grows for ever: found from noisy samples, with a stated rate of false alarms. A pure policy.
//!
//! A raw trend test on memory is useless: autocorrelated noise and warm-ups look like leaks to it. So:
//!
//! ```text
//!   samples ─▶ warm-up skipped ─▶ minima of blocks ─▶ pyramid: each level keeps the minima of two blocks of the one below
//!                                                        │ for each level, when it gets a block
//!                                                        ▼
//!   alarm: the slope's lower bound is above zero, AND it has grown by more than a floor and by several times the noise,
//!          AND it still grows in the last half, AND it holds more than ever before
//! ```
//!
//! The levels see windows from a quarter of an hour to days in bounded memory. The noise is that of all that is
//! remembered, not of the window: within a window, slow noise looks like a slope. The same test is made twice: by the
//! clock, and by the number of jobs, where samples right after a job are much less noisy and tell sooner. What either is
//! worth is measured by the bench `leak`.

mod series;
mod slope;

use std::time::Duration;

use serde::Serialize;

use series::Series;
pub use series::SeriesPolicy;
pub use slope::Slope;

/// What a slope is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakAxis {
    /// Bytes per hour.
    Hour,
    /// Bytes per job.
    Job,
}

/// Growth that is no accident.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Leak {
    /// What the slope is counted by.
    pub axis: LeakAxis,
    /// Bytes per hour or per job.
    pub slope: f64,
    /// Lower end of the slope's confidence interval (99 %).
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// What has been gathered over the window that was looked at, in bytes.
    pub grown_bytes: u64,
}

/// How leaks are looked for, and how long a leaking child may wait for a moment without load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakPolicy {
    /// By the clock; x is in hours.
    pub by_hour: SeriesPolicy,
    /// Time between two samples by the clock. Default 10 s.
    pub sample_every: Duration,
    /// By the number of jobs; x is in jobs.
    pub by_job: SeriesPolicy,
    /// How long a leaking child may wait to be recycled in a trough. Default 10 min.
    pub patience: Duration,
}

impl Default for LeakPolicy {
    fn default() -> Self {
        Self {
            by_hour: SeriesPolicy::BY_HOUR,
            sample_every: Duration::from_secs(10),
            by_job: SeriesPolicy::BY_JOB,
            patience: Duration::from_secs(600),
        }
    }
}

/// The memory of one child over its life.
#[derive(Clone, Debug)]
pub struct LeakDetector {
    sample_every: Duration,
    by_hour: Series,
    by_job: Series,
    next_sample: Duration,
    last_job: u64,
    found: bool,
}

impl LeakDetector {
    /// A detector that has seen nothing.
    #[must_use]
    pub fn new(policy: LeakPolicy) -> Self {
        Self {
            sample_every: policy.sample_every.max(Duration::from_millis(1)),
            by_hour: Series::new(policy.by_hour),
            by_job: Series::new(policy.by_job),
            next_sample: Duration::ZERO,
            last_job: 0,
            found: false,
        }
    }

    /// Takes what the child holds at `age`, after `jobs` jobs, in bytes. A leak is told once.
    pub fn sample(&mut self, age: Duration, jobs: u64, bytes: u64) -> Option<Leak> {
        if self.found {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "bytes and jobs, to be fitted by a line")]
        let (bytes, job) = (bytes as f64, jobs as f64);
        let mut leak = None;
        if jobs > self.last_job {
            self.last_job = jobs;
            leak = self.by_job.push(job, bytes).map(|(slope, grown)| told(LeakAxis::Job, slope, grown));
        }
        if age >= self.next_sample {
            self.next_sample = age + self.sample_every;
            let hours = age.as_secs_f64() / 3600.0;
            let by_hour = self.by_hour.push(hours, bytes).map(|(slope, grown)| told(LeakAxis::Hour, slope, grown));
            leak = leak.or(by_hour);
        }
        self.found = leak.is_some();
        leak
    }
}

fn told(axis: LeakAxis, slope: Slope, grown: f64) -> Leak {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "growth is above a floor, and bytes fit")]
    let grown_bytes = grown as u64;
    Leak { axis, slope: slope.slope, low: slope.low, high: slope.high, grown_bytes }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;

    /// Runs a child for some hours at a job each ten seconds; returns when a leak is found, in hours.
    fn found(leak_mib_per_hour: f64, noise_mib: f64, hours: u64, seed: u64) -> Option<(f64, Leak)> {
        let (mut detector, mut rng) = (LeakDetector::new(LeakPolicy::default()), Rng::with_seed(seed));
        (1..=hours * 360).find_map(|step| {
            let age = Duration::from_secs(step * 10);
            let at = age.as_secs_f64() / 3600.0;
            let held = 60.0 + leak_mib_per_hour * at + noise_mib * (2.0 * rng.f64() - 1.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some MiB")]
            let leak = detector.sample(age, step, (held * MIB) as u64);
            Some((at, leak?))
        })
    }

    #[test]
    fn a_leak_is_found_once_with_its_slope_and_noise_is_not() {
        let (at, leak) = found(30.0, 3.0, 3, 1).expect("it is there");
        assert!(at <= 1.5, "found after {at} h");
        let per_hour = match leak.axis {
            LeakAxis::Hour => leak.slope,
            LeakAxis::Job => leak.slope * 360.0,
        } / MIB;
        assert!(
            (15.0..45.0).contains(&per_hour) && leak.low > 0.0 && leak.low <= leak.slope && leak.slope <= leak.high,
            "{leak:?}"
        );
        for seed in 0..5 {
            assert_eq!(found(0.0, 3.0, 24, seed), None, "seed {seed}");
        }
    }

    #[test]
    fn a_leak_is_told_once() {
        let mut detector = LeakDetector::new(LeakPolicy::default());
        let told = (1..50_000u64).filter(|job| detector.sample(Duration::from_secs(*job), *job, job * 100_000).is_some());
        assert_eq!(told.count(), 1);
    }

    #[test]
    fn odd_samples_are_no_leak_and_no_panic() {
        let mut detector = LeakDetector::new(LeakPolicy { sample_every: Duration::ZERO, ..LeakPolicy::default() });
        for (age, jobs, bytes) in [(0, 0, u64::MAX), (0, 0, 0), (5, u64::MAX, 7), (1, 3, 0)] {
            for _ in 0..1000 {
                assert_eq!(detector.sample(Duration::from_secs(age), jobs, bytes), None);
            }
        }
    }
}

//! PLACEHOLDER
mod slope;
use serde::Serialize;
pub use slope::Slope;
use std::time::Duration;

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
    /// Lower end of the slope's confidence interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// What has been gathered over the window that was looked at, in bytes.
    pub grown_bytes: u64,
}
/// p
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakPolicy {
    /// How long to wait.
    pub patience: Duration,
}
impl Default for LeakPolicy {
    fn default() -> Self {
        Self { patience: Duration::from_secs(600) }
    }
}
/// d
#[derive(Clone, Debug)]
pub struct LeakDetector;
impl LeakDetector {
    /// n
    pub fn new(_p: LeakPolicy) -> Self {
        Self
    }
    /// s
    pub fn sample(&mut self, _age: Duration, _jobs: u64, _bytes: u64) -> Option<Leak> {
        None
    }
}

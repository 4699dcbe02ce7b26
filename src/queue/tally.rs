//! What a queue has done since it was opened. Counted in memory by whoever does it: these are figures for operators, and
//! nothing goes on by them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::EventKind;
use super::job::{Counts, Ending, UnixMillis};

/// What a queue is, and what it has done since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// How many jobs there are.
    pub counts: Counts,
    /// Since when the job waits that has waited longest, if any does.
    pub waiting_since: Option<UnixMillis>,
    /// What it has done.
    pub tally: Tally,
    /// Jobs that may be queued.
    pub max_queued: u64,
    /// Bytes, as jobs are counted, past which no job is accepted.
    pub max_bytes: u64,
    /// Bytes of its file, if it has one that can be looked at.
    pub file_bytes: Option<u64>,
}

/// What a queue has done since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that have ended, by kind, and by ending in the order of [`Ending::ALL`]. Of kinds there are only so many; the jobs
    /// of all further ones are counted as `other`.
    pub ended: BTreeMap<String, [u64; Ending::ALL.len()]>,
    /// Runs that were lost, those that an earlier process had begun too.
    pub lost: u64,
    /// Items that were answered by a result.
    pub results: u64,
    /// Items that were answered by an error.
    pub errors: u64,
    /// Orders that were carried out. Those that came together share a commit, and some need none.
    pub orders: u64,
    /// How long commits took.
    pub commits: Commits,
}

/// How long commits took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// All together.
    pub took: Duration,
    /// Those within each bound and not within the one before; the last are those beyond all bounds.
    within: [u64; BOUNDS.len() + 1],
}

/// Seconds. A commit is a sync of the disk: a millisecond where that is good, a tenth of a second where it turns.
const BOUNDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Kinds that are told apart: whoever submits makes them up.
const KINDS: usize = 32;
const OTHER: &str = "other";

impl Tally {
    pub(super) fn ended(&mut self, kind: &str, ending: Ending) {
        let known = self.ended.contains_key(kind) || self.ended.len() < KINDS;
        let kind = if known { kind } else { OTHER };
        self.ended.entry(kind.to_owned()).or_default()[ending as usize] += 1;
    }

    pub(super) fn answered(&mut self, kind: EventKind) {
        match kind {
            EventKind::Result => self.results += 1,
            EventKind::Error => self.errors += 1,
            EventKind::Progress | EventKind::End(_) => {}
        }
    }
}

impl Commits {
    pub(super) fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.within[BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len())] += 1;
        self.took += took;
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.within.iter().sum()
    }

    /// Bounds in seconds, the last of them infinite, and how many were within each and not within the one before.
    #[must_use]
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        BOUNDS.into_iter().chain([f64::INFINITY]).zip(self.within).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_in_the_first_bucket_that_it_fits_into() {
        let mut commits = Commits::default();
        for millis in [0, 1, 1, 2, 30, 5_000, 60_000] {
            commits.add(Duration::from_millis(millis));
        }
        let filled: Vec<_> = commits.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0005, 1), (0.001, 2), (0.0025, 1), (0.05, 1), (5.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((commits.count(), commits.took), (7, Duration::from_millis(65_034)));
    }

    #[test]
    fn ends_are_told_apart_by_kind_as_long_as_there_are_few_kinds() {
        let mut tally = Tally::default();
        tally.ended("batch", Ending::Done);
        tally.ended("batch", Ending::Dead);
        tally.ended("crawl", Ending::Done);
        tally.ended("crawl", Ending::Done);
        assert_eq!(tally.ended["batch"], [1, 0, 0, 1]);
        assert_eq!(tally.ended["crawl"], [2, 0, 0, 0]);
        for kind in 0..1_000 {
            tally.ended(&kind.to_string(), Ending::Failed);
        }
        assert_eq!(tally.ended.len(), KINDS + 1);
        assert_eq!(tally.ended.values().flatten().sum::<u64>(), 1_004);
        assert_eq!(tally.ended[OTHER], [0, 1_000 - (KINDS as u64 - 2), 0, 0]);
    }

    #[test]
    fn only_answers_are_answers() {
        let mut tally = Tally::default();
        for kind in [EventKind::Result, EventKind::Result, EventKind::Error, EventKind::Progress, EventKind::End(Ending::Done)] {
            tally.answered(kind);
        }
        assert_eq!((tally.results, tally.errors), (2, 1));
    }
}

//! What the writer keeps in memory about the journal: who is next, whose lease runs when, and how many there are. It is
//! made anew from the jobs when the journal is opened, so it needs no rows, and a heartbeat costs no write.

use std::collections::{BTreeMap, BTreeSet};

use super::job::{Counts, Ending, JobId, Lane, State, UnixMillis};
use super::record::Record;

pub(super) struct Index {
    /// By lane, then by age. Bounded by the limit of queued jobs.
    queued: BTreeSet<(Lane, u64)>,
    /// Of the running ones. As many as there are claims.
    leases: BTreeMap<u64, UnixMillis>,
    counts: Counts,
    last_number: u64,
    secret: [u8; 32],
}

/// What of a job is counted.
#[derive(Clone, Copy)]
pub(super) struct Weight {
    state: State,
    lane: Lane,
    bytes: u64,
}

impl From<&Record> for Weight {
    fn from(record: &Record) -> Self {
        Self { state: record.job.state, lane: record.job.lane, bytes: record.job.bytes }
    }
}

impl Index {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { queued: BTreeSet::new(), leases: BTreeMap::new(), counts: Counts::default(), last_number: 0, secret }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// A number that is higher than those of all jobs there are, and a name that nobody has.
    pub(super) fn next_name(&mut self) -> (u64, JobId) {
        self.last_number += 1;
        (self.last_number, JobId::derive(&self.secret, self.last_number))
    }

    /// A job that was found running when the journal was opened has lost its lease with its process.
    pub(super) fn found(&mut self, number: u64, record: &Record) {
        self.last_number = self.last_number.max(number);
        self.change(number, None, Some(record.into()));
        match record.job.state {
            State::Running => self.lease(number, UnixMillis(0)),
            State::Queued | State::Ended(_) => {}
        }
    }

    pub(super) fn lease(&mut self, number: u64, until: UnixMillis) {
        self.leases.insert(number, until);
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.queued.first().map(|(_, number)| *number)
    }

    pub(super) fn lapsed(&self, now: UnixMillis) -> Vec<u64> {
        self.leases.iter().filter(|(_, until)| **until <= now).map(|(number, _)| *number).collect()
    }

    /// A job comes, changes or goes.
    pub(super) fn change(&mut self, number: u64, before: Option<Weight>, after: Option<Weight>) {
        if let Some(before) = before {
            self.count(before, |count, by| *count -= by);
            self.queued.remove(&(before.lane, number));
        }
        if let Some(after) = after {
            self.count(after, |count, by| *count += by);
        }
        match after.map(|after| (after.state, after.lane)) {
            Some((State::Running, _)) => {}
            Some((State::Queued, lane)) => {
                self.leases.remove(&number);
                self.queued.insert((lane, number));
            }
            Some((State::Ended(_), _)) | None => {
                self.leases.remove(&number);
            }
        }
    }

    fn count(&mut self, weight: Weight, by: impl Fn(&mut u64, u64)) {
        let counts = &mut self.counts;
        by(&mut counts.bytes, weight.bytes);
        let count = match weight.state {
            State::Queued => match weight.lane {
                Lane::Interactive => &mut counts.queued_interactive,
                Lane::Batch => &mut counts.queued_batch,
            },
            State::Running => &mut counts.running,
            State::Ended(ending) => {
                by(&mut counts.ended_bytes, weight.bytes);
                match ending {
                    Ending::Done => &mut counts.done,
                    Ending::Failed => &mut counts.failed,
                    Ending::Cancelled => &mut counts.cancelled,
                    Ending::Dead => &mut counts.dead,
                }
            }
        };
        by(count, 1);
    }
}

//! What the writer keeps in memory about the journal: who is next, whose lease runs when, and how many there are. It is
//! made anew from the jobs when the journal is opened, so it needs no rows, and a heartbeat costs no write.

use std::collections::{BTreeMap, BTreeSet};

use super::job::{Counts, Ending, JobId, Lane, State, UnixMillis};
use super::record::Record;
use super::tally::Tally;

pub(super) struct Index {
    /// By lane, then by age. Bounded by the limit of queued jobs.
    queued: BTreeSet<(Lane, u64)>,
    /// The same by when they were queued: one that was given back is older than it has waited.
    waiting: BTreeSet<(UnixMillis, u64)>,
    /// Of the running ones. As many as there are claims.
    leases: BTreeMap<u64, UnixMillis>,
    counts: Counts,
    pub(super) tally: Tally,
    last_number: u64,
    secret: [u8; 32],
}

/// How things stand, as it is told to others.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) counts: Counts,
    /// Since when the job waits that has waited longest.
    pub(super) waiting_since: Option<UnixMillis>,
    pub(super) tally: Tally,
}

/// What of a job is counted.
#[derive(Clone, Copy)]
pub(super) struct Weight {
    state: State,
    lane: Lane,
    bytes: u64,
    /// When it changed last. A queued job changes no more until it is claimed or ended, so that it has waited since.
    since: UnixMillis,
}

impl From<&Record> for Weight {
    fn from(record: &Record) -> Self {
        let job = &record.job;
        Self { state: job.state, lane: job.lane, bytes: job.bytes, since: job.updated }
    }
}

impl Index {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self {
            queued: BTreeSet::new(),
            waiting: BTreeSet::new(),
            leases: BTreeMap::new(),
            counts: Counts::default(),
            tally: Tally::default(),
            last_number: 0,
            secret,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn standing(&self) -> Standing {
        let waiting_since = self.waiting.first().map(|(since, _)| *since);
        Standing { counts: self.counts, waiting_since, tally: self.tally.clone() }
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
            self.waiting.remove(&(before.since, number));
        }
        if let Some(after) = after {
            self.count(after, |count, by| *count += by);
        }
        match after.map(|after| (after.state, after)) {
            Some((State::Running, _)) => {}
            Some((State::Queued, after)) => {
                self.leases.remove(&number);
                self.queued.insert((after.lane, number));
                self.waiting.insert((after.since, number));
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

#[cfg(test)]
mod tests {
    use super::super::job::Job;
    use super::*;

    fn record(number: u64, lane: Lane, state: State, since: u64) -> Record {
        let job = Job {
            id: JobId::derive(&[7; 32], number),
            owner: None,
            lane,
            kind: "batch".to_owned(),
            state,
            attempts: 0,
            created: UnixMillis(1),
            updated: UnixMillis(since),
            items: None,
            done_items: 0,
            last_seq: 0,
            bytes: 10,
        };
        Record { job, generation: 0, scope: None }
    }

    #[test]
    fn who_has_waited_longest_is_known_whatever_its_lane_and_its_age() {
        let mut index = Index::new([7; 32]);
        let since = |index: &Index| index.standing().waiting_since.map(|since| since.0);
        assert_eq!(since(&index), None);
        let first = record(1, Lane::Batch, State::Queued, 10);
        let second = record(2, Lane::Interactive, State::Queued, 20);
        index.found(1, &first);
        index.found(2, &second);
        assert_eq!((since(&index), index.next()), (Some(10), Some(2)));
        // The older one runs, and is given back: it is the one that has waited less.
        let running = record(1, Lane::Batch, State::Running, 30);
        index.change(1, Some(Weight::from(&first)), Some(Weight::from(&running)));
        assert_eq!(since(&index), Some(20));
        let back = record(1, Lane::Batch, State::Queued, 40);
        index.change(1, Some(Weight::from(&running)), Some(Weight::from(&back)));
        assert_eq!(since(&index), Some(20));
        let ended = record(2, Lane::Interactive, State::Ended(Ending::Cancelled), 50);
        index.change(2, Some(Weight::from(&second)), Some(Weight::from(&ended)));
        assert_eq!(since(&index), Some(40));
        index.change(1, Some(Weight::from(&back)), None);
        index.change(2, Some(Weight::from(&ended)), None);
        assert_eq!((since(&index), index.standing().counts), (None, Counts::default()));
    }

    #[test]
    fn every_state_is_counted_as_itself() {
        for (at, (state, _)) in Counts::default().by_state().into_iter().enumerate() {
            let mut index = Index::new([7; 32]);
            index.found(1, &record(1, Lane::Batch, state, 1));
            let counted = index.counts().by_state().map(|(_, count)| count);
            let mut expected = [0; 6];
            expected[at] = 1;
            assert_eq!(counted, expected, "{state:?}");
        }
    }
}

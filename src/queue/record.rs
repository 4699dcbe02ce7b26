//! The life of one job as a pure machine: what is stored of it, and which steps it can take.

use serde::{Deserialize, Serialize};

use super::error::QueueError;
use super::event::{Event, EventKind};
use super::job::{Claim, Ending, Job, State, UnixMillis};

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) job: Job,
    /// Of the last claim; 0 before the first.
    pub(super) generation: u64,
    /// Where its idempotency key is, to be forgotten with it.
    pub(super) scope: Option<[u8; 32]>,
}

/// What an event costs beside its data.
const ROW: u64 = 64;

impl Record {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, QueueError> {
        Ok(postcard::from_bytes(bytes)?)
    }

    pub(super) fn ended(&self) -> Option<Ending> {
        match self.job.state {
            State::Queued | State::Running => None,
            State::Ended(ending) => Some(ending),
        }
    }

    /// Whether this claim is the one that counts.
    pub(super) fn held_by(&self, claim: &Claim) -> Result<(), QueueError> {
        if claim.generation != self.generation {
            return Err(QueueError::Stale);
        }
        match self.job.state {
            State::Running => Ok(()),
            State::Queued => Err(QueueError::Stale),
            State::Ended(ending) => Err(QueueError::Ended(ending)),
        }
    }

    /// A queued job is taken.
    pub(super) fn claim(&mut self, now: UnixMillis) -> Claim {
        self.generation += 1;
        self.job.state = State::Running;
        self.touch(now);
        Claim { job: self.job.id.clone(), generation: self.generation }
    }

    /// A running job is given back.
    pub(super) fn release(&mut self, now: UnixMillis) {
        self.job.state = State::Queued;
        self.touch(now);
    }

    /// A running job's run is lost. Whether it is queued again; if not, it must be ended as dead.
    pub(super) fn lose(&mut self, max_attempts: u32, now: UnixMillis) -> bool {
        self.job.attempts = self.job.attempts.saturating_add(1);
        self.release(now);
        self.job.attempts < max_attempts
    }

    /// The next event of the log. An end ends the job with the same stroke.
    pub(super) fn log(&mut self, kind: EventKind, item: Option<u32>, data: bytes::Bytes, now: UnixMillis) -> Event {
        self.job.last_seq += 1;
        self.job.bytes += data.len() as u64 + ROW;
        self.touch(now);
        match kind {
            EventKind::End(ending) => self.job.state = State::Ended(ending),
            EventKind::Result | EventKind::Error | EventKind::Progress => {}
        }
        Event { seq: self.job.last_seq, at: now, kind, item, data }
    }

    /// Clocks go back; a job's last change does not.
    fn touch(&mut self, now: UnixMillis) {
        self.job.updated = self.job.updated.max(now);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::job::{JobId, Lane};
    use super::*;

    fn record(state: State) -> Record {
        let job = Job {
            id: JobId::derive(&[7; 32], 1),
            owner: None,
            lane: Lane::Batch,
            kind: "batch".to_owned(),
            state,
            attempts: 0,
            created: UnixMillis(1),
            updated: UnixMillis(5),
            items: None,
            done_items: 0,
            last_seq: 0,
            bytes: 0,
        };
        Record { job, generation: 3, scope: None }
    }

    #[test]
    fn only_the_last_claim_on_a_running_job_counts() {
        let verdict = |state, generation| {
            let record = record(state);
            match record.held_by(&Claim { job: record.job.id.clone(), generation }) {
                Ok(()) => "ok",
                Err(QueueError::Stale) => "stale",
                Err(QueueError::Ended(ending)) => ending.label(),
                Err(error) => panic!("{error}"),
            }
        };
        let cancelled = State::Ended(Ending::Cancelled);
        let table = [
            (State::Running, 3, "ok"),
            (State::Running, 2, "stale"),
            (State::Running, 4, "stale"),
            (State::Queued, 3, "stale"),
            (cancelled, 3, "cancelled"),
            (cancelled, 2, "stale"),
        ];
        for (state, generation, expected) in table {
            assert_eq!(verdict(state, generation), expected, "{state:?} {generation}");
        }
    }

    #[test]
    fn a_job_has_as_many_runs_as_it_may_have_and_a_release_is_none() {
        let mut record = record(State::Queued);
        for (lost, again) in [(1, true), (2, true), (3, false)] {
            assert_eq!(record.claim(UnixMillis(9)).generation, 3 + u64::from(lost) * 2 - 1);
            record.release(UnixMillis(9));
            record.claim(UnixMillis(9));
            assert_eq!(record.lose(3, UnixMillis(9)), again);
            assert_eq!((record.job.attempts, record.job.state), (lost, State::Queued));
        }
    }

    #[test]
    fn an_end_is_an_event_and_a_state_and_time_does_not_go_back() {
        let mut record = record(State::Running);
        assert_eq!(record.log(EventKind::Progress, None, Bytes::new(), UnixMillis(4)).seq, 1);
        assert_eq!((record.job.state, record.job.updated), (State::Running, UnixMillis(5)));
        let end = record.log(EventKind::End(Ending::Failed), None, Bytes::from_static(b"x"), UnixMillis(6));
        assert_eq!((end.seq, record.ended(), record.job.updated), (2, Some(Ending::Failed), UnixMillis(6)));
    }
}

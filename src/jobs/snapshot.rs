//! What is told of jobs: what the journal and the files know, and what is counted here, where it happens, since nobody else
//! knows it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::kind::Kind;
use super::webhook::Delivery;
use crate::queue::{Ending, Full, QueueError, QueueSnapshot};

/// How the jobs of a daemon are.
#[derive(Debug)]
pub(crate) struct JobsSnapshot {
    pub(crate) queue: QueueSnapshot,
    /// How long the job has waited that has waited longest.
    pub(crate) waited: Duration,
    pub(crate) blob_bytes: u64,
    pub(crate) max_blob_bytes: u64,
    /// Jobs that were not accepted, by why.
    pub(crate) refused: [(&'static str, u64); Refusal::ALL.len()],
    /// Webhooks that were sent, by what came of it.
    pub(crate) sent: [(&'static str, u64); SENT.len()],
    /// Webhooks that are still to be sent, those of jobs that have not ended too.
    pub(crate) unsent: usize,
}

/// Why a job was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many wait as may.
    Queue,
    /// The journal has as many bytes as it may have.
    Journal,
    /// Answers that are too large for the journal have.
    Blobs,
    /// A part of it is too large.
    TooLarge,
    /// Its key belongs to another one.
    Conflict,
    /// The disk fails.
    Storage,
    /// The daemon is going, or the disk has failed before.
    Closed,
}

/// What comes of sending a webhook, in the order of [`Delivery`].
const SENT: [&str; 3] = ["retried", "delivered", "given_up"];

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    refused: [AtomicU64; Refusal::ALL.len()],
    sent: [AtomicU64; SENT.len()],
}

impl Refusal {
    pub(crate) const ALL: [Self; 7] =
        [Self::Queue, Self::Journal, Self::Blobs, Self::TooLarge, Self::Conflict, Self::Storage, Self::Closed];

    /// What an error of a submission is; `None` if no submission ends so.
    pub(super) fn of(error: &QueueError) -> Option<Self> {
        match error {
            QueueError::Full(Full::Jobs) => Some(Self::Queue),
            QueueError::Full(Full::Bytes) => Some(Self::Journal),
            QueueError::Full(Full::Left) => Some(Self::Blobs),
            QueueError::TooLarge { .. } => Some(Self::TooLarge),
            QueueError::Conflict { .. } => Some(Self::Conflict),
            QueueError::Storage(_) | QueueError::Corrupt { .. } => Some(Self::Storage),
            QueueError::Closed => Some(Self::Closed),
            QueueError::Full(Full::Readers)
            | QueueError::NotFound
            | QueueError::TooManyEvents { .. }
            | QueueError::AlreadyAnswered { .. }
            | QueueError::NoSuchItem { .. }
            | QueueError::Stale
            | QueueError::Ended(_)
            | QueueError::Locked { .. }
            | QueueError::Format { .. } => None,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Queue => "queue_full",
            Self::Journal => "journal_full",
            Self::Blobs => "blobs_full",
            Self::TooLarge => "too_large",
            Self::Conflict => "conflict",
            Self::Storage => "storage",
            Self::Closed => "closed",
        }
    }
}

impl Counted {
    /// A job was not accepted.
    pub(super) fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A webhook was sent, and this is how it stands now.
    pub(super) fn sent(&self, state: Delivery) {
        self.sent[state as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refusals(&self) -> [(&'static str, u64); Refusal::ALL.len()] {
        Refusal::ALL.map(|refusal| (refusal.label(), self.refused[refusal as usize].load(Ordering::Relaxed)))
    }

    pub(super) fn sendings(&self) -> [(&'static str, u64); SENT.len()] {
        let counts = self.sent.each_ref().map(|count| count.load(Ordering::Relaxed));
        [(SENT[0], counts[0]), (SENT[1], counts[1]), (SENT[2], counts[2])]
    }
}

/// Kinds of jobs that another version has accepted.
const OTHER: &str = "other";

impl JobsSnapshot {
    /// Jobs that have ended, by kind and outcome, in rows that are always the same.
    pub(crate) fn ended(&self) -> Vec<(&'static str, &'static str, u64)> {
        rows(&self.queue.tally.ended)
    }
}

fn rows(ended: &BTreeMap<String, [u64; Ending::ALL.len()]>) -> Vec<(&'static str, &'static str, u64)> {
    let kinds = Kind::ALL.map(Kind::label).into_iter().chain([OTHER]);
    let kind_of = |name: &str| Kind::of(name).map_or(OTHER, Kind::label);
    let count = |kind: &str, ending: Ending| {
        ended.iter().filter(|(name, _)| kind_of(name) == kind).map(|(_, counts)| counts[ending as usize]).sum::<u64>()
    };
    kinds.flat_map(|kind| Ending::ALL.map(|ending| (kind, ending.label(), count(kind, ending)))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_kind_and_outcome_has_a_row_and_no_job_is_lost() {
        let ended = BTreeMap::from([
            ("batch".to_owned(), [3, 0, 1, 0]),
            ("mirror".to_owned(), [0, 2, 0, 0]),
            ("other".to_owned(), [0, 1, 0, 0]),
        ]);
        let rows = rows(&ended);
        assert_eq!(rows.len(), (Kind::ALL.len() + 1) * Ending::ALL.len());
        for (kind, outcome, expected) in [
            ("batch", "done", 3),
            ("batch", "cancelled", 1),
            ("batch", "dead", 0),
            ("crawl", "done", 0),
            ("other", "failed", 3),
            ("other", "done", 0),
        ] {
            assert!(rows.contains(&(kind, outcome, expected)), "{kind} {outcome}: {rows:?}");
        }
        assert_eq!(rows.iter().map(|(_, _, count)| count).sum::<u64>(), 7);
    }

    #[test]
    fn refusals_and_webhooks_are_counted_under_their_names() {
        let counted = Counted::default();
        let storage = QueueError::Storage(Arc::new(std::io::Error::other("full")));
        let errors = [
            QueueError::Full(Full::Jobs),
            QueueError::Full(Full::Bytes),
            QueueError::Full(Full::Left),
            storage,
            QueueError::Closed,
        ];
        for error in &errors {
            counted.refused(Refusal::of(error).expect("it is a refusal"));
        }
        for error in [QueueError::Full(Full::Readers), QueueError::NotFound, QueueError::Stale] {
            assert_eq!(Refusal::of(&error), None, "{error}");
        }
        let expected = [
            ("queue_full", 1),
            ("journal_full", 1),
            ("blobs_full", 1),
            ("too_large", 0),
            ("conflict", 0),
            ("storage", 1),
            ("closed", 1),
        ];
        assert_eq!(counted.refusals(), expected);
        for state in [Delivery::Pending, Delivery::Pending, Delivery::Delivered, Delivery::GivenUp] {
            counted.sent(state);
        }
        assert_eq!(counted.sendings(), [("retried", 2), ("delivered", 1), ("given_up", 1)]);
    }
}

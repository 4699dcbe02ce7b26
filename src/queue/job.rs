//! What a job is and what can be known about it. Plain data; the rules of its life are in `record.rs`.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::QueueError;

/// Wall-clock time, as milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

/// The name of a job: 130 bits that nobody guesses, as 26 characters of Crockford's base 32.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct JobId(String);

impl JobId {
    const LENGTH: usize = 26;
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    /// As unguessable as the secret, and different for every number.
    pub(super) fn derive(secret: &[u8; 32], number: u64) -> Self {
        let digest = Sha256::new().chain_update(secret).chain_update(number.to_be_bytes()).finalize();
        let bit = |at: usize| usize::from(digest[at / 8] >> (7 - at % 8) & 1);
        let letter = |at: usize| char::from(Self::ALPHABET[(0..5).fold(0, |value, next| value << 1 | bit(at * 5 + next))]);
        Self((0..Self::LENGTH).map(letter).collect())
    }

    /// The characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = QueueError;

    fn from_str(text: &str) -> Result<Self, QueueError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for JobId {
    type Error = QueueError;

    /// What cannot be a name is the name of no job.
    fn try_from(text: String) -> Result<Self, QueueError> {
        let fits = text.len() == Self::LENGTH && text.bytes().all(|byte| Self::ALPHABET.contains(&byte));
        if fits { Ok(Self(text)) } else { Err(QueueError::NotFound) }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Somebody waits for it.
    Interactive,
    /// Nobody does.
    Batch,
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Waits to be claimed, for the first time or again.
    Queued,
    /// Is claimed.
    Running,
    /// Is over for good.
    Ended(Ending),
}

impl State {
    /// The state as a word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Ended(ending) => ending.label(),
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ending {
    /// Its work is done.
    Done,
    /// Its work was given up by whoever did it.
    Failed,
    /// Its client, or an operator, wanted no more of it.
    Cancelled,
    /// Every run that it may have was lost.
    Dead,
}

impl Ending {
    /// All endings.
    pub const ALL: [Self; 4] = [Self::Done, Self::Failed, Self::Cancelled, Self::Dead];

    /// The ending as a word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The endings that a claim's holder can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// [`Ending::Done`].
    Done,
    /// [`Ending::Failed`].
    Failed,
}

impl From<Outcome> for Ending {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Failed => Self::Failed,
        }
    }
}

/// What is known about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// The name of the key it was submitted with, if with one.
    pub owner: Option<String>,
    /// Its lane.
    pub lane: Lane,
    /// What sort of work it is.
    pub kind: String,
    /// Where it is.
    pub state: State,
    /// Runs that were lost: a lease lapsed, or the process died.
    pub attempts: u32,
    /// When it was submitted.
    pub created: UnixMillis,
    /// When its state or its log changed last.
    pub updated: UnixMillis,
    /// How many items it has, if that is known.
    pub items: Option<u32>,
    /// How many items are answered.
    pub done_items: u32,
    /// The sequence number of its last event; 0 before the first.
    pub last_seq: u64,
    /// What it takes of the journal, about.
    pub bytes: u64,
}

/// The right to work on a job, until it is lost. Every claim on a job has a higher generation than the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub job: JobId,
    /// Which claim on it this is.
    pub generation: u64,
}

/// A job to be worked on.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// What to show whenever something is done to the job.
    pub claim: Claim,
    /// The job.
    pub job: Job,
    /// What is to be done.
    pub spec: Bytes,
}

/// Which jobs to list.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Whose.
    pub whose: Whose,
    /// In which state, if not in any.
    pub state: Option<State>,
    /// Only those older than this one: the last of the page before.
    pub before: Option<JobId>,
    /// How many at most.
    pub limit: usize,
}

/// Whose jobs to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All.
    Everybody,
    /// Those of one owner, or of none.
    Of(Option<String>),
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Jobs whose lease had lapsed.
    pub lapsed: u64,
    /// Jobs that were forgotten.
    pub forgotten: u64,
    /// There is more to forget.
    pub more: bool,
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queued in the interactive lane.
    pub queued_interactive: u64,
    /// Queued in the batch lane.
    pub queued_batch: u64,
    /// Claimed.
    pub running: u64,
    /// Ended as done and not forgotten; the next three likewise.
    pub done: u64,
    /// Ended as failed.
    pub failed: u64,
    /// Ended as cancelled.
    pub cancelled: u64,
    /// Ended as dead.
    pub dead: u64,
    /// What all jobs take of the journal, about.
    pub bytes: u64,
    /// What the ended ones of them take.
    pub ended_bytes: u64,
}

impl Counts {
    /// Queued in both lanes.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queued_interactive + self.queued_batch
    }

    /// How many there are in each state.
    #[must_use]
    pub fn by_state(&self) -> [(State, u64); 6] {
        [
            (State::Queued, self.queued()),
            (State::Running, self.running),
            (State::Ended(Ending::Done), self.done),
            (State::Ended(Ending::Failed), self.failed),
            (State::Ended(Ending::Cancelled), self.cancelled),
            (State::Ended(Ending::Dead), self.dead),
        ]
    }
}

//! What is asked for when a job is submitted.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::error::{Part, QueueError};
use super::job::{Job, Lane};
use super::limits::QueueLimits;

/// A job to be accepted.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The name of the key that it comes with, if with one.
    pub owner: Option<String>,
    /// Its lane.
    pub lane: Lane,
    /// What sort of work it is.
    pub kind: String,
    /// What is to be done; the queue does not look into it.
    pub spec: Bytes,
    /// How many items it has, if that is known.
    pub items: Option<u32>,
    /// Makes it safe to submit it again.
    pub idempotency: Option<Idempotency>,
}

/// The promise that a key stands for one body. It holds for one owner and kind, as long as the job is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// SHA-256 of the body as the client sent it.
    pub body: [u8; 32],
}

impl Idempotency {
    /// For a key and the body that it came with.
    #[must_use]
    pub fn new(key: impl Into<String>, body: &[u8]) -> Self {
        Self { key: key.into(), body: Sha256::digest(body).into() }
    }
}

/// An accepted job.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The job.
    pub job: Job,
    /// The same key and body had made it before.
    pub replayed: bool,
}

/// Names of kinds are ours and short; keys of owners and clients are not, but need not be long either.
const MAX_KIND_BYTES: u64 = 64;
const MAX_NAME_BYTES: u64 = 256;

/// What a job costs beside its own bytes: its rows, their keys and their share of pages.
const ROWS: u64 = 512;

impl Submission {
    /// Refuses what is too large.
    pub(super) fn check(&self, limits: &QueueLimits) -> Result<(), QueueError> {
        let length = |text: Option<&String>| text.map_or(0, |text| text.len() as u64);
        let parts = [
            (Part::Spec, self.spec.len() as u64, limits.max_spec_bytes),
            (Part::Kind, self.kind.len() as u64, MAX_KIND_BYTES),
            (Part::Owner, length(self.owner.as_ref()), MAX_NAME_BYTES),
            (Part::Key, length(self.idempotency.as_ref().map(|idempotency| &idempotency.key)), MAX_NAME_BYTES),
            // Every item needs an event for its answer.
            (Part::Items, self.items.map_or(0, u64::from), limits.max_events),
        ];
        match parts.into_iter().find(|(_, size, max)| size > max) {
            Some((part, size, max)) => Err(QueueError::TooLarge { part, size, max }),
            None => Ok(()),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        let owner = self.owner.as_ref().map_or(0, String::len);
        (self.spec.len() + self.kind.len() + owner) as u64 + ROWS
    }

    /// Where the key is looked up. Each part is hashed with its length, so that no two scopes meet.
    pub(super) fn scope(&self) -> Option<[u8; 32]> {
        let idempotency = self.idempotency.as_ref()?;
        let owner = self.owner.as_ref().map_or((0_u8, ""), |owner| (1, owner));
        let mut hash = Sha256::new().chain_update([owner.0]);
        for part in [owner.1, &self.kind, &idempotency.key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Some(hash.finalize().into())
    }
}

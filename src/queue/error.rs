//! Why the queue said no: one closed enum. It knows no status codes; whoever speaks HTTP maps it.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::job::{Ending, JobId};

/// Why the queue said no.
#[derive(Clone, Debug, Error)]
pub enum QueueError {
    /// Never submitted, or swept.
    #[error("there is no such job; it was never submitted here, or was forgotten some time after its end")]
    NotFound,
    /// The key belongs to another request.
    #[error("the idempotency key was used for another request, which is job {first}; use a new key for a new request")]
    Conflict {
        /// The job that the key belongs to.
        first: JobId,
    },
    /// No room. Nothing but the refused call is affected.
    #[error("{0}")]
    Full(Full),
    /// Too large a part.
    #[error("the {part} is too large, {size} where {max} is the most; make it smaller")]
    TooLarge {
        /// What is too large.
        part: Part,
        /// How large it is.
        size: u64,
        /// How large it may be.
        max: u64,
    },
    /// The log is at its limit; the job can only be ended.
    #[error("the job's log has {max} events, as many as it may have; end the job")]
    TooManyEvents {
        /// The limit.
        max: u64,
    },
    /// The item has its answer.
    #[error("item {item} was answered before, in event {seq}; go on with the next item")]
    AlreadyAnswered {
        /// The item.
        item: u32,
        /// The event that answered it.
        seq: u64,
    },
    /// The job has fewer items.
    #[error("there is no item {item}, the job has {items}; items are counted from 0")]
    NoSuchItem {
        /// The item.
        item: u32,
        /// How many the job has.
        items: u32,
    },
    /// The claim was lost: its lease lapsed, or it was given back.
    #[error("the claim on the job was lost, another run may have it; stop working on it")]
    Stale,
    /// The job has ended, for example because it was cancelled.
    #[error("the job has ended as {0} and nothing can be added to it; stop working on it")]
    Ended(Ending),
    /// Somebody else has the file.
    #[error("the journal {} is in use by another process; stop that one, or give this one a journal of its own", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is broken.
    #[error("the journal {} is damaged or no journal; move it away to start with an empty one, or restore it", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The file is another version's.
    #[error("the journal {} has format {found}, this version reads {known}; use the version that wrote it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format of this version.
        known: u64,
    },
    /// The disk failed. The queue has stopped: what was not answered may or may not be there.
    #[error("the journal cannot be read or written; see that its directory is there, writable and not full, then open it again")]
    Storage(#[source] Arc<dyn StdError + Send + Sync>),
    /// Closed, or stopped by a failure before.
    #[error("the queue is closed; open it again")]
    Closed,
}

/// What there is no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Full {
    /// Queued jobs.
    #[error("as many jobs are queued as may be; come back when some are done")]
    Jobs,
    /// Bytes of the journal.
    #[error("the journal has as many bytes as it may have; come back when old jobs are forgotten")]
    Bytes,
    /// Bytes of what jobs have left beside the journal.
    #[error("what ended jobs have left takes as many bytes as it may; come back when old jobs are forgotten")]
    Left,
    /// Waiting readers.
    #[error("as many readers wait for events as may; come back later, or read without waiting")]
    Readers,
}

/// A part of a job that has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Part {
    /// What is to be done, in bytes.
    #[error("spec")]
    Spec,
    /// The data of an event, in bytes.
    #[error("event")]
    Event,
    /// The kind, in bytes.
    #[error("kind")]
    Kind,
    /// The owner, in bytes.
    #[error("owner")]
    Owner,
    /// The idempotency key, in bytes.
    #[error("idempotency key")]
    Key,
    /// The number of items.
    #[error("number of items")]
    Items,
}

impl QueueError {
    pub(super) fn storage(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Storage(Arc::from(source.into()))
    }
}

/// Lets `?` carry the storage's errors out.
macro_rules! storage_errors {
    ($($error:ty),+) => {
        $(impl From<$error> for QueueError {
            fn from(error: $error) -> Self {
                Self::storage(error)
            }
        })+
    };
}

storage_errors!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    postcard::Error
);

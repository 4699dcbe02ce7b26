//! A job's log: what is put in, what comes out, and the form in between.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::QueueError;
use super::job::{Ending, UnixMillis};

/// What the holder of a claim adds to the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What sort of thing it is.
    pub kind: EntryKind,
    /// The item that it is about, if about one.
    pub item: Option<u32>,
    /// The thing itself; the queue does not look into it.
    pub data: Bytes,
}

/// What can be added to a log. The end is no entry: it is written by whatever ends the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A result; the answer of its item.
    Result,
    /// A failure; the answer of its item too, since an item that failed for good is not tried again.
    Error,
    /// How far the work is; answers nothing.
    Progress,
}

/// An event of a job's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the log, from 1.
    pub seq: u64,
    /// When it was written.
    pub at: UnixMillis,
    /// What sort of thing it is.
    pub kind: EventKind,
    /// The item that it is about, if about one.
    pub item: Option<u32>,
    /// The thing itself. Empty at the end of a job that was cancelled or is dead: nobody was there to say more.
    pub data: Bytes,
}

/// What a log consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// See [`EntryKind::Result`].
    Result,
    /// See [`EntryKind::Error`].
    Error,
    /// See [`EntryKind::Progress`].
    Progress,
    /// Nothing comes after it.
    End(Ending),
}

impl EventKind {
    /// The kind as a word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Error => "error",
            Self::Progress => "progress",
            Self::End(_) => "end",
        }
    }

    pub(super) fn answers(self) -> bool {
        match self {
            Self::Result | Self::Error => true,
            Self::Progress | Self::End(_) => false,
        }
    }
}

impl From<EntryKind> for EventKind {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Result => Self::Result,
            EntryKind::Error => Self::Error,
            EntryKind::Progress => Self::Progress,
        }
    }
}

/// Which events to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All.
    All,
    /// Results and errors.
    Answers,
}

/// Events that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In order.
    pub events: Vec<Event>,
    /// Where the next page begins: read after this.
    pub after: u64,
    /// The job has ended and nothing follows.
    pub complete: bool,
}

/// An event as it is stored, under its job and its sequence number.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    at: UnixMillis,
    kind: EventKind,
    item: Option<u32>,
    #[serde(borrow)]
    data: &'a [u8],
}

impl Event {
    pub(super) fn encode(&self) -> Result<Vec<u8>, QueueError> {
        let stored = Stored { at: self.at, kind: self.kind, item: self.item, data: &self.data };
        Ok(postcard::to_allocvec(&stored)?)
    }

    pub(super) fn decode(seq: u64, bytes: &[u8]) -> Result<Self, QueueError> {
        let Stored { at, kind, item, data } = postcard::from_bytes(bytes)?;
        Ok(Self { seq, at, kind, item, data: Bytes::copy_from_slice(data) })
    }
}

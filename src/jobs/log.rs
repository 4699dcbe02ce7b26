//! The log of a job that is being worked on: what came before, and what is added.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::blobs::Blobs;
use super::record::Record;
use super::unix_now;
use crate::http::{HttpFailure, Problem};
use crate::queue::{Claim, Entry, EntryKind, Event, JobQueue, QueueError, Selection};

/// The log of a job that is being worked on.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) queue: Arc<dyn JobQueue>,
    pub(crate) blobs: Blobs,
    pub(crate) claim: Claim,
    /// Bytes of one event.
    pub(crate) max_event: u64,
}

/// Bytes that a record has besides its answer and what it found.
const SLACK: u64 = 16 << 10;

impl Log {
    /// Everything that the log says so far, one event after the other.
    pub(crate) async fn past(&self, mut each: impl FnMut(&Event, &Record) + Send) -> Result<(), QueueError> {
        let last = self.queue.get(&self.claim.job).await?.last_seq;
        let mut after = 0;
        while after < last {
            let page = self.queue.events(&self.claim.job, Selection::All, after, 100).await?;
            if page.after == after {
                break;
            }
            after = page.after;
            for event in &page.events {
                // What an older version wrote and this one cannot read is an answer all the same.
                let record = Record::read(&event.data).unwrap_or_default();
                each(event, &record);
            }
        }
        Ok(())
    }

    /// Adds to the log. An answer that is too large for it goes into a file first.
    pub(crate) async fn append(&self, kind: EntryKind, item: Option<u32>, mut record: Record) -> Result<Record, QueueError> {
        let mut kind = kind;
        let found: usize = record.found.iter().map(|url| url.len() + 3).sum();
        let size = record.answer.as_ref().map_or(0, |answer| answer.get().len()) + found;
        if size as u64 + SLACK > self.max_event
            && let Some(answer) = record.answer.take()
        {
            let bytes = String::from(Box::<str>::from(answer as Box<RawValue>)).into();
            match self.blobs.keep(&self.claim.job, bytes).await {
                Ok(name) => record.kept = Some(name),
                Err(error) => {
                    tracing::error!(%error, job = %self.claim.job, "an answer cannot be kept");
                    let problem = Problem::http(
                        HttpFailure::Storage,
                        "the answer is too large for the journal, and its file cannot be written",
                    );
                    record.problem = Record::failed(&problem).problem;
                    kind = EntryKind::Error;
                }
            }
        }
        let entry = Entry { kind, item, data: record.stored() };
        match self.queue.append(&self.claim, entry, unix_now()).await {
            // An earlier run has answered it.
            Ok(_) | Err(QueueError::AlreadyAnswered { .. }) => Ok(record),
            Err(error) => Err(error),
        }
    }
}

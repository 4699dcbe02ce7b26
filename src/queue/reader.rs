//! Follows a job's log to its end, from wherever a client was when it lost its connection (`Last-Event-ID`).

use std::sync::Arc;

use super::JobQueue;
use super::error::QueueError;
use super::event::{Event, Selection};
use super::job::JobId;

/// Reads a job's events in order, each once, and waits for those that are still to come.
#[derive(Debug)]
pub struct EventReader {
    queue: Arc<dyn JobQueue>,
    job: JobId,
    after: u64,
    complete: bool,
}

/// Events per page.
const PAGE: usize = 100;

impl EventReader {
    /// From the event after `after` on: 0 is the beginning, the last id that a client has seen is where it was.
    #[must_use]
    pub fn new(queue: Arc<dyn JobQueue>, job: JobId, after: u64) -> Self {
        Self { queue, job, after, complete: false }
    }

    /// Some events, as soon as there are any; `None` after the end. Dropping the future loses none.
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, QueueError> {
        while !self.complete {
            let page = self.queue.events(&self.job, Selection::All, self.after, PAGE).await?;
            self.after = page.after;
            self.complete = page.complete;
            if !page.events.is_empty() {
                return Ok(Some(page.events));
            }
            if !page.complete {
                self.queue.wait(&self.job, self.after).await?;
            }
        }
        Ok(None)
    }
}

//! What happened, as one closed enum, and the bus that tells it.
//!
//! Metrics, logs and tests are folds over events. The bus is bounded and never waits: a reader that falls
//! behind misses events, is told how many, and the bus counts them too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast;

use crate::exit::Exit;
use crate::id::ChildId;
use crate::recycle::RecycleReason;

/// Something that happened to a child, a pool or a tree. Jobs are counted, not told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A child is being started.
    ChildStarting {
        /// The child.
        child: ChildId,
    },
    /// A child serves.
    ChildStarted {
        /// The child.
        child: ChildId,
        /// How long the start took.
        took: Duration,
    },
    /// A child is no longer there.
    ChildEnded {
        /// The child.
        child: ChildId,
        /// Why it ended.
        exit: Exit,
    },
    /// A failed child's slot will be filled again.
    RestartScheduled {
        /// The child that is to come.
        child: ChildId,
        /// Why one is needed.
        cause: Exit,
        /// How long from now.
        delay: Duration,
    },
    /// A child is due, and its replacement is being started; it serves until that one stands.
    RecycleStarted {
        /// The child to be replaced.
        child: ChildId,
        /// Why.
        reason: RecycleReason,
    },
    /// A replacement would not start; the child it was for serves on.
    RecycleFailed {
        /// The child that was to be replaced.
        child: ChildId,
        /// Why its replacement did not start.
        exit: Exit,
    },
    /// A pool has used up its restart budget and is down until its supervisor restarts it.
    BudgetSpent {
        /// The pool.
        pool: Arc<str>,
        /// The failure that was one too many.
        cause: Exit,
    },
    /// A subtree was started again by its supervisor.
    SubtreeRestarted {
        /// Its name.
        name: Arc<str>,
        /// Why it had ended.
        cause: String,
    },
    /// A tree has used up its own restart budget and is down.
    TreeDown {
        /// Its name.
        name: Arc<str>,
        /// The subtree that failed once too often.
        cause: String,
    },
    /// A promise of the engine was broken: always a bug.
    InvariantViolated {
        /// The pool.
        pool: Arc<str>,
        /// What was seen.
        what: String,
    },
}

/// A bounded, never-waiting broadcast of [`Event`]s. Clones share it.
#[derive(Clone, Debug)]
pub struct Bus {
    sender: broadcast::Sender<Event>,
    missed: Arc<AtomicU64>,
}

impl Bus {
    /// A bus that keeps the last `capacity` events for readers that are behind. At least one is kept.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity.max(1)), missed: Arc::default() }
    }

    /// Tells `event` to every reader, at once, whether or not there is one.
    pub fn tell(&self, event: Event) {
        tracing::debug!(?event, "supervision event");
        // An error only says that nobody listens.
        let _ = self.sender.send(event);
    }

    /// A reader of all events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscriber {
        Subscriber { receiver: self.sender.subscribe(), missed_by_all: Arc::clone(&self.missed), missed: 0 }
    }

    /// How many events slow readers have missed, all readers together.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// One reader of a [`Bus`].
#[derive(Debug)]
pub struct Subscriber {
    receiver: broadcast::Receiver<Event>,
    missed_by_all: Arc<AtomicU64>,
    missed: u64,
}

impl Subscriber {
    /// The next event, or `None` once the bus is gone and everything is read.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    self.missed += count;
                    self.missed_by_all.fetch_add(count, Ordering::Relaxed);
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many events this reader has missed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(slot: u32) -> Event {
        let child = ChildId { pool: "test".into(), slot, generation: 1 };
        Event::ChildStarting { child }
    }

    #[tokio::test]
    async fn a_slow_reader_is_counted_and_not_waited_for() {
        let bus = Bus::new(4);
        let mut reader = bus.subscribe();
        for slot in 0..10 {
            bus.tell(event(slot));
        }
        assert_eq!(reader.recv().await, Some(event(6)));
        assert_eq!((reader.missed(), bus.missed()), (6, 6));
        drop(bus);
        for slot in 7..10 {
            assert_eq!(reader.recv().await, Some(event(slot)));
        }
        assert_eq!(reader.recv().await, None);
    }
}

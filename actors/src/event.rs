//! What happened, as one closed enum, and the bus that tells it.
//!
//! Metrics, logs and tests are folds over events. The bus is bounded and never waits: a reader that falls
//! behind misses events, is told how many, and the bus counts them too.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::exit::Exit;
use crate::id::ChildId;
use crate::leak::Leak;
use crate::limits::MemoryLevel;
use crate::pressure::Pressure;
use crate::recycle::RecycleReason;
use crate::watchdog::Step;

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
    /// A child's memory has reached a limit.
    MemoryLimit {
        /// The child.
        child: ChildId,
        /// Which.
        level: MemoryLevel,
        /// What it held, in bytes.
        bytes: u64,
    },
    /// A job is silent for longer than its phase allows.
    HangSuspected {
        /// The child.
        child: ChildId,
        /// The phase.
        phase: &'static str,
        /// What is done about it.
        step: Step,
    },
    /// A child's memory grows with its work. It is recycled when that costs nobody anything.
    LeakFound {
        /// The child.
        child: ChildId,
        /// How fast, and how sure that is.
        leak: Leak,
    },
    /// A leaking child has gone, and its memory with it.
    LeakRecycled {
        /// The child.
        child: ChildId,
        /// How much less the pool holds, in bytes.
        freed_bytes: u64,
    },
    /// A leaking child has gone, and its memory has not: the memory is not in the child.
    LeakElsewhere {
        /// The child.
        child: ChildId,
        /// How much less the pool holds, in bytes.
        freed_bytes: u64,
        /// How much the child had grown, in bytes.
        expected_bytes: u64,
    },
    /// An input has cost so many children that it is refused for a while.
    Quarantined {
        /// The pool.
        pool: Arc<str>,
        /// The input's key.
        key: u64,
        /// For how long.
        expires_in: Duration,
    },
    /// Memory is shorter or less short than it was.
    PressureChanged {
        /// How short it was.
        from: Pressure,
        /// How short it is.
        to: Pressure,
        /// What said so.
        signal: &'static str,
    },
    /// A pool that had given up tries again with one child.
    PoolProbing {
        /// The pool.
        pool: Arc<str>,
    },
    /// The one child of a pool that had given up serves: the pool is open again.
    PoolRecovered {
        /// The pool.
        pool: Arc<str>,
    },
    /// A pool has used up its restart budget and is down until its supervisor restarts it.
    BudgetSpent {
        /// The pool.
        pool: Arc<str>,
        /// The failure that was one too many.
        cause: Exit,
    },
    /// A supervisor's child serves.
    NodeStarted {
        /// The supervisor.
        supervisor: Arc<str>,
        /// The child.
        node: Arc<str>,
        /// Its life, from 1.
        generation: u64,
    },
    /// A supervisor's child is no longer there.
    NodeEnded {
        /// The supervisor.
        supervisor: Arc<str>,
        /// The child.
        node: Arc<str>,
        /// Why.
        exit: Exit,
    },
    /// A supervisor's child will be started again.
    NodeRestarting {
        /// The supervisor.
        supervisor: Arc<str>,
        /// The child.
        node: Arc<str>,
        /// Why it ended.
        cause: Exit,
        /// How long from now.
        delay: Duration,
    },
    /// A supervisor's child did not stop in time and is killed.
    NodeKilled {
        /// The supervisor.
        supervisor: Arc<str>,
        /// The child.
        node: Arc<str>,
    },
    /// A supervisor's child was killed and is still there: it blocks a thread. It is left behind.
    NodeLeftBehind {
        /// The supervisor.
        supervisor: Arc<str>,
        /// The child.
        node: Arc<str>,
    },
    /// A supervisor has used up its restart budget: it stops its children and fails.
    SupervisorGaveUp {
        /// The supervisor.
        supervisor: Arc<str>,
        /// The child that failed once too often, and why.
        cause: String,
    },
    /// A supervisor is down.
    SupervisorDown {
        /// The supervisor.
        supervisor: Arc<str>,
        /// Why.
        exit: Exit,
    },
    /// A promise of the engine was broken: always a bug.
    InvariantViolated {
        /// The pool.
        pool: Arc<str>,
        /// The id of the promise.
        invariant: &'static str,
        /// What was seen.
        what: String,
    },
}

/// An event with its place and time.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Its number on its bus, from 0.
    pub number: u64,
    /// When, since the bus was made.
    pub at: Duration,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

#[derive(Debug)]
struct Ring {
    records: VecDeque<Record>,
    next: u64,
}

#[derive(Debug)]
struct Inner {
    clock: Clock,
    capacity: usize,
    ring: Mutex<Ring>,
    missed: AtomicU64,
}

/// A bounded, never-waiting broadcast of [`Event`]s that remembers the last of them. Clones share it.
#[derive(Clone, Debug)]
pub struct Bus {
    sender: broadcast::Sender<Event>,
    inner: Arc<Inner>,
}

impl Bus {
    /// A bus that keeps the last `capacity` events, for readers that are behind and for [`Bus::recent`]. At least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let ring = Mutex::new(Ring { records: VecDeque::new(), next: 0 });
        let inner = Inner { clock: Clock::new(), capacity, ring, missed: AtomicU64::new(0) };
        Self { sender: broadcast::Sender::new(capacity), inner: Arc::new(inner) }
    }

    /// Tells `event` to every reader, at once, whether or not there is one.
    pub fn tell(&self, event: Event) {
        tracing::debug!(?event, "supervision event");
        {
            let mut ring = self.ring();
            let record = Record { number: ring.next, at: self.inner.clock.now().since_birth(), event: event.clone() };
            ring.next += 1;
            if ring.records.len() >= self.inner.capacity {
                ring.records.pop_front();
            }
            ring.records.push_back(record);
        }
        // An error only says that nobody listens.
        let _ = self.sender.send(event);
    }

    /// A reader of all events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscriber {
        Subscriber { receiver: self.sender.subscribe(), bus: Arc::clone(&self.inner), missed: 0 }
    }

    /// The last events, oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Record> {
        self.ring().records.iter().cloned().collect()
    }

    /// Logs the last `count` events, one line each, because of `why`: what led to it is gone from the ring soon.
    pub(crate) fn dump(&self, count: usize, why: &str) {
        let recent = self.recent();
        for record in recent.iter().skip(recent.len().saturating_sub(count)) {
            tracing::error!(number = record.number, at = ?record.at, event = ?record.event, why, "before the end");
        }
    }

    /// How many events slow readers have missed, all readers together.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.inner.missed.load(Ordering::Relaxed)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A ring is whole between any two of its changes.
        self.inner.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader of a [`Bus`].
#[derive(Debug)]
pub struct Subscriber {
    receiver: broadcast::Receiver<Event>,
    bus: Arc<Inner>,
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
                    self.bus.missed.fetch_add(count, Ordering::Relaxed);
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
        let recent = bus.recent();
        assert_eq!(recent.iter().map(|record| record.number).collect::<Vec<_>>(), [6, 7, 8, 9]);
        assert_eq!(recent[3].event, event(9));
        drop(bus);
        for slot in 7..10 {
            assert_eq!(reader.recv().await, Some(event(slot)));
        }
        assert_eq!(reader.recv().await, None);
    }
}

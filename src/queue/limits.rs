//! How much the queue may hold, and how long. Every limit is finite.

use std::time::Duration;

/// How much the queue may hold, and how long.
#[derive(Clone, Debug)]
pub struct QueueLimits {
    /// Queued jobs, both lanes. More are refused; a longer queue is a longer wait for everybody in it.
    pub max_queued: u64,
    /// Jobs of one owner that run at one time, also where nobody else waits: the next one that comes finds room. Those of nobody
    /// have no such limit, since there is nobody to share with.
    pub max_running_per_owner: usize,
    /// Bytes of one spec: a batch of some ten thousand URLs.
    pub max_spec_bytes: u64,
    /// Bytes of everything, about. Past it submissions are refused; jobs that were accepted go on, so that the journal can
    /// still grow by what they have to say. The file itself can be twice as large, and does not shrink.
    pub max_journal_bytes: u64,
    /// Bytes of one event. Pictures and files belong into a store of their own.
    pub max_event_bytes: u64,
    /// Events of one job, its end not counted.
    pub max_events: u64,
    /// Runs of a job that may be lost. With the last one it is dead: it has probably killed what ran it.
    pub max_attempts: u32,
    /// Ended jobs are forgotten at this age.
    pub keep_ended: Duration,
    /// Ended jobs are forgotten, the oldest first, until the rest takes no more than this.
    pub keep_ended_bytes: u64,
    /// Readers that wait for events at one time.
    pub max_readers: usize,
    /// Bytes of one page of events. One event always fits.
    pub max_page_bytes: u64,
    /// Bytes of specs and events that wait to be written.
    pub max_waiting_bytes: u64,
    /// The file's pages that are kept in memory.
    pub cache_bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            max_queued: 10_000,
            max_running_per_owner: 3,
            max_spec_bytes: 8 << 20,
            max_journal_bytes: 2 << 30,
            max_event_bytes: 4 << 20,
            max_events: 100_000,
            max_attempts: 3,
            keep_ended: Duration::from_secs(24 * 60 * 60),
            keep_ended_bytes: 1 << 30,
            max_readers: 4_096,
            max_page_bytes: 4 << 20,
            max_waiting_bytes: 64 << 20,
            cache_bytes: 32 << 20,
        }
    }
}

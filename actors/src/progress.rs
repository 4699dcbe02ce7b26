//! What a worker shows of a job at work, readable from outside without asking it.
//!
//! A few atomics shared by the worker (writes), its supervisor (reads) and whoever cancels. Nothing here is sent
//! through a mailbox: a worker that is stuck cannot answer, and that is the very thing to be seen.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::watchdog::{Phase, Reading};

#[derive(Debug, Default)]
struct Cell {
    /// Number of the job at work; 0 between jobs.
    job: AtomicU64,
    phase: AtomicU8,
    beats: AtomicU64,
    bytes: AtomicU64,
    /// Number of the job that is to end; 0 is none.
    cancelled: AtomicU64,
    cancel: Notify,
    condemned: AtomicBool,
    condemn: Notify,
}

/// A worker's progress. Clones share it, so it can go along to the thread or process that does the work.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Cell>);

impl Progress {
    /// The job is now in `phase`.
    pub fn enter(&self, phase: Phase) {
        self.0.phase.store(phase.0, Ordering::Relaxed);
        self.beat();
    }

    /// The job goes on: a page, a chunk, a message.
    pub fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// What the worker holds now, in bytes, for limits that hold in the middle of a job, too.
    pub fn holds(&self, bytes: u64) {
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether the job at work is to end, for work that cannot be dropped because it runs on a thread of its own.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let cancelled = self.0.cancelled.load(Ordering::Relaxed);
        cancelled != 0 && self.is_at(cancelled)
    }

    /// Whether job number `job` is at work.
    pub(crate) fn is_at(&self, job: u64) -> bool {
        self.0.job.load(Ordering::Relaxed) == job
    }

    /// Waits until the job at work is to end.
    pub(crate) async fn cancelled(&self) {
        loop {
            let told = self.0.cancel.notified();
            tokio::pin!(told);
            // In line before the flag is read, so that what is told in between is heard.
            told.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            told.await;
        }
    }

    /// The child is killed: whoever waits for its job waits in vain, also if it does not let go of it.
    pub(crate) fn condemn(&self) {
        self.0.condemned.store(true, Ordering::Relaxed);
        self.0.condemn.notify_waiters();
    }

    /// Waits until the child is killed.
    pub(crate) async fn condemned(&self) {
        loop {
            let told = self.0.condemn.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if self.0.condemned.load(Ordering::Relaxed) {
                return;
            }
            told.await;
        }
    }

    /// Ends the job at work, whichever it is.
    pub(crate) fn cancel(&self) {
        self.cancel_job(self.0.job.load(Ordering::Relaxed));
    }

    /// Ends job number `job`, and no other.
    pub(crate) fn cancel_job(&self, job: u64) {
        self.0.cancelled.store(job, Ordering::Relaxed);
        self.0.cancel.notify_waiters();
    }

    /// A job begins; the returned guard ends it, however that comes about.
    pub(crate) fn begin(&self, job: u64) -> AtWork<'_> {
        self.0.bytes.store(0, Ordering::Relaxed);
        self.0.phase.store(0, Ordering::Relaxed);
        self.0.job.store(job, Ordering::Relaxed);
        AtWork(self)
    }

    pub(crate) fn reading(&self) -> Reading {
        let job = self.0.job.load(Ordering::Relaxed);
        Reading {
            job: (job != 0).then_some(job),
            phase: Phase(self.0.phase.load(Ordering::Relaxed)),
            beats: self.0.beats.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed),
        }
    }
}

/// A job at work.
pub(crate) struct AtWork<'a>(&'a Progress);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.0.job.store(0, Ordering::Relaxed);
    }
}

/// A worker's own way to be stopped from outside, when dropping its future does not help.
pub trait Interrupt: Send + Sync + 'static {
    /// Makes the job at work end soon: an epoch, a signal, a closed connection. Must not block.
    fn interrupt(&self);

    /// Ends for good whatever the worker runs outside of itself, such as its process group. Must not block, and may be
    /// called more than once, also after the worker has gone.
    fn kill(&self);
}

impl fmt::Debug for dyn Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_is_seen_while_it_is_at_work_and_can_be_cancelled_once() {
        let progress = Progress::default();
        assert_eq!(progress.reading().job, None);
        let at_work = progress.begin(7);
        progress.enter(Phase(2));
        progress.holds(99);
        let expected = Reading { job: Some(7), phase: Phase(2), beats: 1, bytes: 99 };
        assert_eq!(progress.reading(), expected);
        assert!(!progress.is_cancelled());
        progress.cancel();
        progress.cancelled().await;
        drop(at_work);
        assert_eq!(progress.reading().job, None);
        let _next = progress.begin(8);
        assert!(!progress.is_cancelled(), "the next job is not cancelled");
    }
}

//! Readers that wait for a job's news. A job has an entry as long as somebody waits for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::error::{Full, QueueError};
use super::job::JobId;

/// Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Watchers {
    max: usize,
    /// `None` once the queue is closed.
    waiting: Arc<Mutex<Option<Waiting>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    readers: usize,
    jobs: HashMap<JobId, watch::Sender<()>>,
}

/// One reader's waiting for one job.
#[derive(Debug)]
pub(super) struct Watching {
    watchers: Watchers,
    job: JobId,
    news: watch::Receiver<()>,
}

impl Watchers {
    pub(super) fn new(max: usize) -> Self {
        Self { max, waiting: Arc::new(Mutex::new(Some(Waiting::default()))) }
    }

    /// Hears of everything that happens to the job from now on.
    pub(super) fn watch(&self, job: &JobId) -> Result<Watching, QueueError> {
        let mut waiting = self.lock();
        let waiting = waiting.as_mut().ok_or(QueueError::Closed)?;
        if waiting.readers >= self.max {
            return Err(QueueError::Full(Full::Readers));
        }
        waiting.readers += 1;
        let news = waiting.jobs.entry(job.clone()).or_default().subscribe();
        Ok(Watching { watchers: self.clone(), job: job.clone(), news })
    }

    pub(super) fn tell(&self, changed: &[JobId]) {
        if let Some(waiting) = self.lock().as_ref() {
            for news in changed.iter().filter_map(|job| waiting.jobs.get(job)) {
                news.send_replace(());
            }
        }
    }

    /// Nobody waits any longer.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching {
    pub(super) async fn news(&mut self) -> Result<(), QueueError> {
        self.news.changed().await.map_err(|_| QueueError::Closed)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(waiting) = self.watchers.lock().as_mut() {
            waiting.readers -= 1;
            if let Entry::Occupied(entry) = waiting.jobs.entry(self.job.clone()) {
                // This one is still counted.
                if entry.get().receiver_count() <= 1 {
                    entry.remove();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn entries_go_with_their_readers_and_readers_are_bounded() {
        let watchers = Watchers::new(2);
        let job = JobId::derive(&[1; 32], 1);
        let jobs = || watchers.lock().as_ref().map(|waiting| (waiting.readers, waiting.jobs.len()));
        let mut first = watchers.watch(&job).expect("room");
        let second = watchers.watch(&job).expect("room");
        assert!(matches!(watchers.watch(&job), Err(QueueError::Full(Full::Readers))));
        drop(second);
        assert_eq!(jobs(), Some((1, 1)));
        watchers.tell(std::slice::from_ref(&job));
        first.news().await.expect("told");
        watchers.close();
        assert!(matches!(first.news().await, Err(QueueError::Closed)));
        drop(first);
        assert!(matches!(watchers.watch(&job), Err(QueueError::Closed)));

        let watchers = Watchers::new(2);
        drop(watchers.watch(&job).expect("room"));
        assert_eq!(watchers.lock().as_ref().map(|waiting| (waiting.readers, waiting.jobs.len())), Some((0, 0)));
    }
}

//! What a page holds: as it says itself, and, while it is too busy to answer, as the kernel says of the processes that show it.
//!
//! Three limits bound it, one behind the other. The soft one is `page_memory`, of what the page says. The hard one is derived from
//! it, of what a process holds that does not answer; see [`hard`]. The last is the machine's, which ends whom it likes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chromiumoxide_cdp::cdp::js_protocol::runtime::{GetHeapUsageParams, TerminateExecutionParams};
use tokio::time::{Instant, timeout, timeout_at};

use super::Page;
use crate::cdp::{CdpError, Session};
use crate::error::RenderError;

/// What a process may hold besides what scripts hold: its own tables, documents, pictures and fonts.
const BESIDES: u64 = 128 << 20;
/// The processes of a page before this one are gone by then.
const SETTLED: Duration = Duration::from_secs(1);
/// How long a page may take to be told that its scripts end.
const TOLD: Duration = Duration::from_millis(500);

/// The most that a process may hold whose scripts may hold `soft`, while nobody can ask them: twice as much, since what is dropped
/// stays until it is collected, and what every process holds besides.
pub(crate) const fn hard(soft: u64) -> u64 {
    soft.saturating_mul(2).saturating_add(BESIDES)
}

/// How long a worker has to say what it holds.
const SOON: Duration = Duration::from_millis(500);

/// What scripts hold together: the frames of one site share a heap, so that of them the one that holds most counts; every worker has
/// a heap of its own besides.
fn together(frames: &[u64], workers: &[u64]) -> Option<u64> {
    let workers = workers.iter().copied().reduce(u64::saturating_add);
    let frames = frames.iter().copied().max();
    frames.map(|most| most.saturating_add(workers.unwrap_or(0))).or(workers)
}

/// What the largest of a page's processes holds, if that is more than it may be.
fn beyond(soft: u64, processes: &[u64]) -> Option<u64> {
    processes.iter().copied().max().filter(|held| *held > hard(soft))
}

/// Whether all processes that show pages are this page's: only if it is alone, and nothing is left of one before it.
fn is_alone(pages: usize, age: Duration) -> bool {
    pages == 1 && age > SETTLED
}

impl Page {
    /// What its scripts hold, buffers included, in frames and workers; nothing if none of them answers.
    pub(crate) async fn memory(&self) -> Option<u64> {
        let until = Instant::now() + self.limits.call;
        // A worker may wait for others for as long as it likes, and nobody waits for that.
        let soon = until.min(Instant::now() + SOON);
        let (frames, workers) = (self.shared.sessions().clone(), self.shared.workers().each());
        let (frames, workers) = tokio::join!(held(frames, until), held(workers, soon));
        let held = together(&frames, &workers)?;
        self.held.fetch_max(held, Ordering::Relaxed);
        Some(held)
    }

    /// That a process which shows it holds more than it may, if so, by the kernel's account.
    pub(crate) async fn is_beyond(&self) -> Option<RenderError> {
        let pids = self.shared.state.borrow().pids.clone();
        let alone = is_alone(self.browser.leases(), self.age());
        let browser = Arc::clone(&self.browser);
        let look = move || {
            let known = browser.held_by(&pids);
            if known.is_empty() && alone { browser.held_by_all() } else { known }
        };
        // What cannot be seen is bounded by the page's deadline.
        let seen = tokio::task::spawn_blocking(look).await.ok()?;
        let held = beyond(self.limits.page_memory, &seen)?;
        self.held.fetch_max(held, Ordering::Relaxed);
        Some(RenderError::Memory { held, limit: hard(self.limits.page_memory) })
    }

    /// Ends whatever script runs.
    pub(crate) async fn terminate(&self) -> Result<(), CdpError> {
        Self::terminate_in(&self.session).await
    }

    /// The same, for a frame that may have a process of its own.
    pub(crate) async fn terminate_in(session: &Session) -> Result<(), CdpError> {
        session.call(&TerminateExecutionParams::default(), TOLD).await.map(drop)
    }

    /// Ends whatever script runs in any part of it. Nobody waits for an answer: whoever does not hear is ended with the page.
    pub(crate) async fn terminate_all(&self) {
        let sessions = self.shared.sessions().clone().into_iter().chain(self.shared.workers().sessions());
        let mut batch = self.session.batch();
        for session in sessions {
            drop(batch.add_to(&session, &TerminateExecutionParams::default()));
        }
        // Also the way out may be blocked.
        let _ = timeout(TOLD, batch.send()).await;
    }
}

/// What each of them says that it holds; those that have gone hold nothing.
async fn held(sessions: Vec<Session>, until: Instant) -> Vec<u64> {
    let mut answers = Vec::new();
    for session in sessions {
        let mut batch = session.batch();
        let answer = batch.add(&GetHeapUsageParams::default());
        if batch.send().await.is_ok() {
            answers.push(answer);
        }
    }
    let mut held = Vec::new();
    for answer in answers {
        if let Ok(Ok(usage)) = timeout_at(until, answer.get()).await {
            held.push((usage.used_size + usage.backing_storage_size + usage.embedder_heap_used_size).max(0.0) as u64);
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn workers_hold_besides_what_frames_share() {
        let table: [(&[u64], &[u64], Option<u64>); 5] = [
            (&[], &[], None),
            (&[5, 7, 6], &[], Some(7)),
            (&[5, 7], &[1, 2], Some(10)),
            (&[], &[1, 2], Some(3)),
            (&[u64::MAX], &[1], Some(u64::MAX)),
        ];
        for (frames, workers, expected) in table {
            assert_eq!(together(frames, workers), expected, "{frames:?} {workers:?}");
        }
    }

    #[test]
    fn a_process_that_does_not_answer_has_room_but_not_without_end() {
        assert_eq!(hard(64 * MIB), 256 * MIB);
        assert_eq!(hard(512 * MIB), 1152 * MIB);
        assert_eq!(hard(u64::MAX), u64::MAX);
        assert_eq!(beyond(64 * MIB, &[]), None);
        assert_eq!(beyond(64 * MIB, &[256 * MIB, 90 * MIB]), None);
        assert_eq!(beyond(64 * MIB, &[90 * MIB, 257 * MIB]), Some(257 * MIB));
    }

    #[test]
    fn others_are_not_taken_for_the_page() {
        assert!(is_alone(1, Duration::from_secs(2)));
        assert!(!is_alone(2, Duration::from_secs(2)), "another page has processes, too");
        assert!(!is_alone(1, Duration::from_millis(900)), "those of the page before may not be gone yet");
    }
}

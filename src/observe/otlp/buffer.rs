//! Finished spans on their way out: a bounded place that requests put them in and the exporter takes them from.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tracing_subscriber::filter::Filtered;

use super::layer::{SpanFilter, SpanLayer};
use super::span::Finished;

/// The spans of requests of this process, for whoever wants them: nobody, until a daemon has a collector for them. Until then
/// none is made, and what logs has no more to do than without. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    wanted: AtomicBool,
    held: Mutex<Held>,
    /// There is a full batch.
    full: Notify,
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    spans: VecDeque<Finished>,
    /// How many there may be.
    limit: usize,
    /// How many are sent at once.
    batch: usize,
}

/// What has become of spans, and how many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) sent: u64,
    pub(super) dropped: u64,
    pub(super) failed: u64,
    pub(super) waiting: u64,
}

impl Spans {
    /// What has to hear of spans for them to be told, beside what writes the log.
    pub fn layer<S>(&self) -> Filtered<SpanLayer, SpanFilter, S>
    where
        S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    {
        Filtered::new(SpanLayer::new(self.clone()), SpanFilter::new(self.clone()))
    }

    /// Whether anybody wants them.
    pub(crate) fn are_wanted(&self) -> bool {
        self.inner.wanted.load(Ordering::Relaxed)
    }

    /// From now on they are kept, up to `limit` of them, for somebody who takes `batch` at once. `false` if somebody does already:
    /// what is one daemon's is no other's.
    pub(super) fn open(&self, limit: usize, batch: usize) -> bool {
        if self.inner.wanted.swap(true, Ordering::Relaxed) {
            return false;
        }
        let mut held = self.held();
        (held.limit, held.batch) = (limit, batch);
        drop(held);
        // Whether a span is wanted is asked once for each place that makes some.
        tracing::callsite::rebuild_interest_cache();
        true
    }

    /// No more are made. Those that are there can still be taken.
    pub(super) fn close(&self) {
        self.inner.wanted.store(false, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Keeps a span if there is room, and else counts it. The newest goes: those that are older have the beginnings of traces.
    pub(super) fn push(&self, span: Finished) {
        let mut held = self.held();
        let room = held.spans.len() < held.limit;
        if room {
            held.spans.push_back(span);
        }
        let full = held.spans.len() >= held.batch;
        drop(held);
        if !room {
            self.inner.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if full {
            self.inner.full.notify_one();
        }
    }

    /// Up to a batch, the oldest first.
    pub(super) fn take(&self) -> Vec<Finished> {
        let mut held = self.held();
        let count = held.spans.len().min(held.batch);
        held.spans.drain(..count).collect()
    }

    /// Waits until there is a full batch. It may be wrong about that.
    pub(super) async fn full(&self) {
        let is_full = {
            let held = self.held();
            held.spans.len() >= held.batch
        };
        if !is_full {
            self.inner.full.notified().await;
        }
    }

    pub(super) fn were_sent(&self, spans: u64) {
        self.inner.sent.fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn have_failed(&self, spans: u64) {
        self.inner.failed.fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn counted(&self) -> Counted {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            sent: count(&self.inner.sent),
            dropped: count(&self.inner.dropped),
            failed: count(&self.inner.failed),
            waiting: self.held().spans.len() as u64,
        }
    }

    /// Held for a look or an entry, never across an await.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.inner.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::span::Said;
    use super::*;

    fn span(id: u64) -> Finished {
        Finished { trace: 1, id, parent: None, name: "gate", began: 1, ended: 2, said: Said::default() }
    }

    fn ids(spans: &[Finished]) -> Vec<u64> {
        spans.iter().map(|span| span.id).collect()
    }

    #[test]
    fn there_is_room_for_so_many_and_the_rest_is_counted() {
        let spans = Spans::default();
        spans.push(span(1));
        assert_eq!(spans.counted(), Counted { sent: 0, dropped: 1, failed: 0, waiting: 0 }, "nobody wants them yet");
        assert!(spans.open(3, 2) && spans.are_wanted());
        assert!(!spans.clone().open(9, 9), "another one does not take them");
        (1..=5).map(span).for_each(|span| spans.push(span));
        assert_eq!(spans.counted(), Counted { sent: 0, dropped: 3, failed: 0, waiting: 3 });
        assert_eq!(ids(&spans.take()), [1, 2]);
        spans.push(span(6));
        spans.close();
        assert!(!spans.are_wanted());
        assert_eq!((ids(&spans.take()), ids(&spans.take())), (vec![3, 6], vec![]));
    }

    #[tokio::test]
    async fn a_full_batch_is_told_of_however_it_came() {
        let spans = Spans::default();
        assert!(spans.open(8, 2));
        (1..=4).map(span).for_each(|span| spans.push(span));
        spans.full().await;
        assert_eq!(spans.take().len(), 2);
        spans.full().await;
        assert_eq!(spans.take().len(), 2);
        let later = async {
            spans.push(span(5));
            spans.push(span(6));
        };
        tokio::join!(spans.full(), later);
    }
}

//! The one door: a request is accepted with a [`Permit`] or refused at once with a reason.
//!
//! Bounded by count and by bytes. Requests for which nobody waits in particular leave some room to those for which somebody
//! does. A page's bytes are admitted as they arrive, because nobody knows them before;
//! a permit gives everything back when it is dropped.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventmesh_actors::Priority;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::observe::{EngineMetrics, Rejection};

/// What has been let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) requests: usize,
    pub(crate) bytes: u64,
    /// Those that have been let in and have left, so far.
    pub(crate) ended: u64,
    closed: bool,
}

/// The door. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    max_requests: usize,
    max_bytes: u64,
    admitted: Arc<watch::Sender<Admitted>>,
    open: Arc<Mutex<Open>>,
    metrics: EngineMetrics,
}

/// By when those inside have to be done, each with a number of its own: as many as have been let in.
#[derive(Debug, Default)]
struct Open {
    deadlines: BTreeSet<(Instant, u64)>,
    next: u64,
}

/// When a refused request may try again: about what the requests inside need to make room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Admission {
    pub(crate) fn new(max_requests: usize, max_bytes: u64, metrics: EngineMetrics) -> Self {
        let admitted = Arc::new(watch::Sender::new(Admitted::default()));
        Self { max_requests, max_bytes, admitted, open: Arc::default(), metrics }
    }

    /// Lets one request in that will be done by `deadline`.
    pub(crate) fn enter(&self, priority: Priority, deadline: Instant) -> Result<Permit, Error> {
        let mut refused = None;
        let room = room(self.max_requests, priority);
        self.admitted.send_if_modified(|admitted| {
            if admitted.closed {
                self.metrics.rejected(Rejection::Closed);
                refused = Some(Error::new(ErrorKind::ShuttingDown, "the engine is shutting down"));
            } else if admitted.requests >= room {
                self.metrics.rejected(Rejection::Requests);
                let rest =
                    if room < self.max_requests { ", and the rest of the room is for those that somebody waits for" } else { "" };
                let message = format!("{} requests are being worked on, as many as may be{rest}", admitted.requests);
                refused = Some(Error::new(ErrorKind::Overloaded, message).retry_after(RETRY_AFTER));
            } else {
                admitted.requests += 1;
            }
            refused.is_none()
        });
        match refused {
            Some(error) => Err(error),
            None => {
                let mut open = self.open();
                let due = (deadline, open.next);
                open.next += 1;
                open.deadlines.insert(due);
                drop(open);
                Ok(Permit { admission: self.clone(), bytes: 0, due })
            }
        }
    }

    /// How far the one that should have been done first is past its deadline; `None` if nobody is late.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Duration> {
        let (first, _) = *self.open().deadlines.first()?;
        now.checked_duration_since(first).filter(|late| !late.is_zero())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing that can panic happens under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn admitted(&self) -> Admitted {
        *self.admitted.borrow()
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.admitted.send_modify(|admitted| admitted.closed = true);
    }

    /// Waits until everybody has left.
    pub(crate) async fn empty(&self) {
        let mut admitted = self.admitted.subscribe();
        // The sender lives in `self`.
        let _ = admitted.wait_for(|admitted| admitted.requests == 0).await;
    }
}

/// How many may be inside for one more of `priority` to come in. The last quarter is for those that somebody waits for.
fn room(most: usize, priority: Priority) -> usize {
    match priority {
        Priority::Interactive => most,
        Priority::Batch if most > 1 => most - (most / 4).max(1),
        Priority::Batch => most,
    }
}

/// One request's right to be worked on, and to hold its page.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Admission,
    bytes: u64,
    due: (Instant, u64),
}

impl Permit {
    /// Admits `more` bytes of the page.
    pub(crate) fn grow(&mut self, more: u64) -> Result<(), Error> {
        let budget = self.admission.max_bytes;
        let fits = self.admission.admitted.send_if_modified(|admitted| {
            let fits = admitted.bytes.saturating_add(more) <= budget;
            if fits {
                admitted.bytes += more;
            }
            fits
        });
        if fits {
            self.bytes += more;
            Ok(())
        } else {
            self.admission.metrics.rejected(Rejection::Bytes);
            let message = format!("the pages being worked on fill the budget of {} MiB", budget >> 20);
            Err(Error::new(ErrorKind::Overloaded, message).retry_after(RETRY_AFTER))
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open().deadlines.remove(&self.due);
        self.admission.admitted.send_modify(|admitted| {
            admitted.requests -= 1;
            admitted.ended += 1;
            admitted.bytes -= self.bytes;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test]
    async fn the_door_is_bounded_by_count_and_bytes_and_closes() {
        let admission = Admission::new(2, 100, EngineMetrics::new());
        let mut first = admission.enter(Priority::Interactive, soon()).expect("room");
        let second = admission.enter(Priority::Interactive, soon()).expect("room");
        let refused = admission.enter(Priority::Interactive, soon()).expect_err("full");
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        assert!(refused.retry_delay().is_some());
        drop(second);
        let mut second = admission.enter(Priority::Interactive, soon()).expect("room again");
        first.grow(60).expect("fits");
        assert_eq!(second.grow(41).expect_err("too much").kind(), ErrorKind::Overloaded);
        second.grow(40).expect("fits");
        drop(first);
        assert_eq!(admission.admitted().bytes, 40);
        admission.close();
        assert_eq!(admission.enter(Priority::Interactive, soon()).expect_err("closed").kind(), ErrorKind::ShuttingDown);
        drop(second);
        admission.empty().await;
        assert_eq!((admission.admitted().bytes, admission.admitted().ended), (0, 3));
    }

    #[test]
    fn the_last_quarter_is_for_those_that_somebody_waits_for() {
        for (most, expected) in [(1, 1), (2, 1), (3, 2), (4, 3), (7, 6), (8, 6), (256, 192)] {
            assert_eq!((room(most, Priority::Batch), room(most, Priority::Interactive)), (expected, most), "of {most}");
        }
        let admission = Admission::new(4, 100, EngineMetrics::new());
        let batch = || admission.enter(Priority::Batch, soon());
        let mut inside: Vec<_> = (0..3).map(|_| batch().expect("room")).collect();
        let refused = batch().expect_err("the last place is kept free");
        assert_eq!((refused.kind(), refused.retry_delay()), (ErrorKind::Overloaded, Some(RETRY_AFTER)));
        let waited_for = admission.enter(Priority::Interactive, soon()).expect("it is for this one");
        assert_eq!(admission.enter(Priority::Interactive, soon()).expect_err("full").kind(), ErrorKind::Overloaded);
        drop(waited_for);
        drop(inside.pop());
        batch().expect("room again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_past_its_deadline_is_known_until_it_has_left() {
        let admission = Admission::new(4, 100, EngineMetrics::new());
        let now = Instant::now();
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(admission.overdue(now), None);
        let long = admission.enter(Priority::Interactive, now + minute).expect("room");
        let short = admission.enter(Priority::Interactive, now + second).expect("room");
        let same = admission.enter(Priority::Batch, now + second).expect("room");
        assert_eq!((admission.overdue(now), admission.overdue(now + second)), (None, None));
        assert_eq!(admission.overdue(now + second * 3), Some(second * 2));
        drop(short);
        assert_eq!(admission.overdue(now + second * 3), Some(second * 2), "another with the same deadline is still inside");
        drop(same);
        assert_eq!(admission.overdue(now + second * 3), None);
        assert_eq!(admission.overdue(now + minute * 2), Some(minute));
        drop(long);
        assert_eq!(admission.overdue(now + minute * 2), None);
        assert!(admission.open().deadlines.is_empty());
    }
}

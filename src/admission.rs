//! The one door: a request is accepted with a [`Permit`] or refused at once with a reason.
//!
//! Bounded by count and by bytes. A page's bytes are admitted as they arrive, because nobody knows them before;
//! a permit gives everything back when it is dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

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
    metrics: EngineMetrics,
}

/// When a refused request may try again: about what the requests inside need to make room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Admission {
    pub(crate) fn new(max_requests: usize, max_bytes: u64, metrics: EngineMetrics) -> Self {
        Self { max_requests, max_bytes, admitted: Arc::new(watch::Sender::new(Admitted::default())), metrics }
    }

    /// Lets one request in.
    pub(crate) fn enter(&self) -> Result<Permit, Error> {
        let mut refused = None;
        self.admitted.send_if_modified(|admitted| {
            if admitted.closed {
                self.metrics.rejected(Rejection::Closed);
                refused = Some(Error::new(ErrorKind::ShuttingDown, "the engine is shutting down"));
            } else if admitted.requests >= self.max_requests {
                self.metrics.rejected(Rejection::Requests);
                let message = format!("{} requests are being worked on, as many as may be", admitted.requests);
                refused = Some(Error::new(ErrorKind::Overloaded, message).retry_after(RETRY_AFTER));
            } else {
                admitted.requests += 1;
            }
            refused.is_none()
        });
        match refused {
            Some(error) => Err(error),
            None => Ok(Permit { admission: self.clone(), bytes: 0 }),
        }
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

/// One request's right to be worked on, and to hold its page.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Admission,
    bytes: u64,
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

    #[tokio::test]
    async fn the_door_is_bounded_by_count_and_bytes_and_closes() {
        let admission = Admission::new(2, 100, EngineMetrics::new());
        let mut first = admission.enter().expect("room");
        let second = admission.enter().expect("room");
        let refused = admission.enter().expect_err("full");
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        assert!(refused.retry_delay().is_some());
        drop(second);
        let mut second = admission.enter().expect("room again");
        first.grow(60).expect("fits");
        assert_eq!(second.grow(41).expect_err("too much").kind(), ErrorKind::Overloaded);
        second.grow(40).expect("fits");
        drop(first);
        assert_eq!(admission.admitted().bytes, 40);
        admission.close();
        assert_eq!(admission.enter().expect_err("closed").kind(), ErrorKind::ShuttingDown);
        drop(second);
        admission.empty().await;
        assert_eq!((admission.admitted().bytes, admission.admitted().ended), (0, 3));
    }
}

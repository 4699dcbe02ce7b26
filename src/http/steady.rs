//! A body that has to keep coming: who stops in the middle is not waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// How long nothing may come of a body.
pub(super) const QUIET: Duration = Duration::from_secs(30);
/// How long all of a body may take: it holds room that others want. The largest comes in this time at 56 KB a second.
pub(super) const WHOLE: Duration = Duration::from_secs(15 * 60);

/// Nothing has come for [`QUIET`], or not all of it within [`WHOLE`].
#[derive(Debug, thiserror::Error)]
#[error("nothing has come of the body for {QUIET:?}, or not all of it within {WHOLE:?}")]
pub(super) struct Stalled;

/// A body that ends with [`Stalled`] where it stops.
#[derive(Debug)]
pub(super) struct Steady {
    body: axum::body::Body,
    clock: Pin<Box<Sleep>>,
    whole: Pin<Box<Sleep>>,
}

impl Steady {
    pub(super) fn new(body: axum::body::Body) -> Self {
        Self { body, clock: Box::pin(sleep(QUIET)), whole: Box::pin(sleep(WHOLE)) }
    }
}

impl Body for Steady {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.whole.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new(Stalled))));
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.clock.as_mut().reset(Instant::now() + QUIET);
                Poll::Ready(frame)
            }
            Poll::Pending => self.clock.as_mut().poll(context).map(|()| Some(Err(axum::Error::new(Stalled)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether `error` came of a body that has stopped.
pub(super) fn is_stalled(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<Stalled>)
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    fn body(pauses: &'static [u64], goes_on: bool) -> Steady {
        let parts = stream::iter(pauses).then(|pause| async move {
            sleep(Duration::from_secs(*pause)).await;
            Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
        });
        let never = stream::once(std::future::pending());
        let body = if goes_on { axum::body::Body::from_stream(parts.chain(never)) } else { axum::body::Body::from_stream(parts) };
        Steady::new(body)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_waited_for_and_one_that_stops_is_not() {
        let slow = body(&[20, 29, 1, 29], false).collect().await.expect("it keeps coming").to_bytes();
        assert_eq!(&slow[..], b"xxxx");
        let error = body(&[1, 1], true).collect().await.expect_err("it stops");
        assert!(is_stalled(&error), "{error}");
        // One that only trickles comes to an end, too.
        let error = body(&[29; 40], false).collect().await.expect_err("it takes too long");
        assert!(is_stalled(&error), "{error}");
    }
}

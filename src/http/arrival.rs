//! A body on its way in: it has to keep coming, and it takes room as it comes.
//!
//! Who stops in the middle is not waited for, and who finds no [`Room`](super::room::Room) left is sent away. How large a
//! single body may be is said further out.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::room::Place;

/// How long nothing may come of a body.
pub(super) const QUIET: Duration = Duration::from_secs(30);
/// How long all of a body may take: it holds room that others want. The largest comes in this time at 56 KB a second.
pub(super) const WHOLE: Duration = Duration::from_secs(15 * 60);

/// Nothing has come for [`QUIET`], or not all of it within [`WHOLE`].
#[derive(Debug, thiserror::Error)]
#[error("nothing has come of the body for {QUIET:?}, or not all of it within {WHOLE:?}")]
pub(super) struct Stalled;

/// A body that ends with [`Stalled`] where it stops, and with [`NoRoom`](super::room::NoRoom) where there is none.
#[derive(Debug)]
pub(super) struct Arrival {
    body: axum::body::Body,
    place: Place,
    /// Bytes that may still come.
    left: usize,
    /// When something came last.
    heard: Instant,
    /// When all of it has to be there.
    end: Instant,
    /// Goes off no later than the body is given up. It is set again when it has gone off, and not for every chunk: to look at
    /// the time costs less than to move a timer that everybody shares.
    clock: Pin<Box<Sleep>>,
}

impl Arrival {
    /// A body may have `limit` bytes; whoever counts around this one says so where it has more.
    pub(super) fn new(body: axum::body::Body, place: Place, limit: usize) -> Self {
        let now = Instant::now();
        Self { body, place, left: limit, heard: now, end: now + WHOLE, clock: Box::pin(sleep_until(now + QUIET)) }
    }

    /// Whether it has stopped; otherwise this is asked again when it may have.
    fn has_stopped(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.clock.as_mut().poll(context));
            let due = (self.heard + QUIET).min(self.end);
            if due <= self.clock.deadline() {
                return Poll::Ready(());
            }
            self.clock.as_mut().reset(due);
        }
    }
}

impl Body for Arrival {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            return self.has_stopped(context).map(|()| Some(Err(axum::Error::new(Stalled))));
        };
        self.heard = Instant::now();
        if self.heard >= self.end {
            return Poll::Ready(Some(Err(axum::Error::new(Stalled))));
        }
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        let Some(left) = self.left.checked_sub(bytes) else { return Poll::Ready(frame) };
        self.left = left;
        match self.place.grow(bytes) {
            Ok(()) => Poll::Ready(frame),
            Err(full) => Poll::Ready(Some(Err(axum::Error::new(full)))),
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
    use tokio::time::sleep;

    use super::super::room::{Room, is_no_room};
    use super::*;

    fn body(pauses: &'static [u64], goes_on: bool) -> Arrival {
        let parts = stream::iter(pauses).then(|pause| async move {
            sleep(Duration::from_secs(*pause)).await;
            Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
        });
        let never = stream::once(std::future::pending());
        let body = if goes_on { axum::body::Body::from_stream(parts.chain(never)) } else { axum::body::Body::from_stream(parts) };
        Arrival::new(body, Room::new(100).place(), 100)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_waited_for_and_one_that_stops_is_not() {
        let slow = body(&[20, 29, 1, 29], false).collect().await.expect("it keeps coming").to_bytes();
        assert_eq!(&slow[..], b"xxxx");
        let began = Instant::now();
        let error = body(&[1, 1], true).collect().await.expect_err("it stops");
        assert!(is_stalled(&error), "{error}");
        // From the last that came, and not from when the clock was set.
        let (took, expected) = (began.elapsed(), Duration::from_secs(2) + QUIET);
        assert!((expected..expected + Duration::from_millis(10)).contains(&took), "{took:?}");
        // One that only trickles comes to an end, too.
        let began = Instant::now();
        let error = body(&[29; 40], false).collect().await.expect_err("it takes too long");
        assert!(is_stalled(&error), "{error}");
        let took = began.elapsed();
        assert!((WHOLE..WHOLE + Duration::from_millis(10)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_read_too_late_is_given_up_though_it_has_something() {
        let parts = (0..2).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"x")));
        let mut late = Arrival::new(axum::body::Body::from_stream(stream::iter(parts)), Room::new(100).place(), 100);
        assert!(late.frame().await.expect("it goes on").is_ok());
        sleep(WHOLE).await;
        let error = late.frame().await.expect("it says so").expect_err("it is too late");
        assert!(is_stalled(&error), "{error}");
    }

    #[tokio::test]
    async fn a_body_is_cut_where_there_is_no_room_left() {
        let room = Room::new(5);
        let body = |parts: usize| {
            let parts = (0..parts).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"xx")));
            Arrival::new(axum::body::Body::from_stream(stream::iter(parts)), room.place(), 8)
        };
        assert_eq!(body(2).collect().await.expect("there is room").to_bytes().len(), 4);
        let error = body(3).collect().await.expect_err("there is none");
        assert!(is_no_room(&error) && !is_stalled(&error), "{error}");
        assert_eq!(body(2).collect().await.expect("it was given back").to_bytes().len(), 4);
        // One that is larger than any may be is not told to come back: it is left to whoever says that.
        let room = Room::new(8);
        let parts = (0..5).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"xx")));
        let large = Arrival::new(axum::body::Body::from_stream(stream::iter(parts)), room.place(), 8);
        assert_eq!(large.collect().await.expect("nobody else counts here").to_bytes().len(), 10);
    }
}

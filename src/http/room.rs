//! How much may be on its way in at once: the bytes of all bodies that have come and are not done with.
//!
//! The engine's own admission sees a request when all of it is there. Until then a body takes from here as it grows, and who
//! finds nothing left is sent away, so that many large bodies at once are not more than a few.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// There is no room for more of a body now.
#[derive(Debug, thiserror::Error)]
#[error("as many bytes of bodies are on their way in as may be")]
pub(super) struct NoRoom;

/// Room for bodies.
#[derive(Debug)]
pub(crate) struct Room {
    all: usize,
    taken: AtomicUsize,
}

/// What one body has taken. It is given back when the last clone goes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    room: Arc<Room>,
    bytes: AtomicUsize,
}

impl Room {
    /// For so many bytes.
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, taken: AtomicUsize::new(0) })
    }

    /// A place in it, for nothing yet.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        Place { held: Arc::new(Held { room: Arc::clone(self), bytes: AtomicUsize::new(0) }) }
    }
}

impl Place {
    /// Takes so many bytes more.
    pub(super) fn grow(&self, bytes: usize) -> Result<(), NoRoom> {
        let Held { room, bytes: held } = &*self.held;
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= room.all);
        room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| NoRoom)?;
        held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// A body that takes room as it comes, and ends with [`NoRoom`] where there is none.
#[derive(Debug)]
pub(super) struct Placed<B> {
    body: B,
    place: Place,
    /// Bytes that may still come.
    left: usize,
}

impl<B> Placed<B> {
    /// A body may have `limit` bytes; whoever counts around this one says so where it has more.
    pub(super) fn new(body: B, place: Place, limit: usize) -> Self {
        Self { body, place, left: limit }
    }
}

impl<B: Body<Data = Bytes, Error = axum::Error> + Unpin> Body for Placed<B> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
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

/// Whether `error` came of a body for which there was no room.
pub(super) fn is_no_room(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<NoRoom>)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn all_bodies_together_have_so_much_room_and_give_it_back() {
        let room = Room::new(100);
        let (first, second) = (room.place(), room.place());
        first.grow(60).expect("there is room");
        second.grow(40).expect("there is room");
        assert!(second.grow(1).is_err() && first.grow(usize::MAX).is_err());
        second.grow(0).expect("nothing fits always");
        let still = first.clone();
        drop(first);
        assert!(second.grow(1).is_err(), "somebody has it still");
        drop(still);
        second.grow(60).expect("it was given back");
        drop(second);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_body_is_cut_where_there_is_no_room_left() {
        let room = Room::new(5);
        let body = |parts: usize| {
            let parts = (0..parts).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"xx")));
            Placed::new(axum::body::Body::from_stream(stream::iter(parts)), room.place(), 8)
        };
        assert_eq!(body(2).collect().await.expect("there is room").to_bytes().len(), 4);
        let error = body(3).collect().await.expect_err("there is none");
        assert!(is_no_room(&error), "{error}");
        assert_eq!(body(2).collect().await.expect("it was given back").to_bytes().len(), 4);
        // One that is larger than any may be is not told to come back: it is left to whoever says that.
        let room = Room::new(8);
        let parts = (0..5).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"xx")));
        let large = Placed::new(axum::body::Body::from_stream(stream::iter(parts)), room.place(), 8);
        assert_eq!(large.collect().await.expect("nobody else counts here").to_bytes().len(), 10);
    }
}

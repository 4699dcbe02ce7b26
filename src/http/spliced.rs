//! A body of a few pieces, of which some are known to others: sent as they are, not copied into one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// A body whose pieces are there, and whose length is known.
#[derive(Debug)]
pub(super) struct Spliced {
    pieces: VecDeque<Bytes>,
}

impl Spliced {
    pub(super) fn of(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self { pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect() }
    }
}

impl Body for Spliced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_one_after_the_other_and_as_many_bytes_as_were_promised() {
        let body = Spliced::of(["{\"a\":", "", "1", "}"].map(|piece| Bytes::from_static(piece.as_bytes())));
        assert_eq!(body.size_hint().exact(), Some(7));
        assert!(!body.is_end_stream());
        let Ok(all) = body.collect().await;
        assert_eq!(all.to_bytes(), "{\"a\":1}");
        assert!(Spliced::of([]).is_end_stream());
    }
}

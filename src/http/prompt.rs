//! A connection that has to say something soon.
//!
//! Which version of HTTP is spoken shows in the first bytes, and whoever waits for those waits without a clock. So the clock is
//! here: until a client has sent as much as tells the versions apart, it runs; from then on the version's own limits hold.
//!
//! And one that has to listen: what is written for it waits for a while, and then the connection ends. A reader may be slow, but
//! one that reads nothing at all would hold its answer, and all that belongs to it, for ever. (One that stops a single stream of
//! HTTP/2 does not show here: see `taken.rs`.)

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What HTTP/2 begins with has so many bytes.
const TELLING: usize = 24;

/// How long a client may take nothing of what is written for it.
pub(super) const UNREAD: Duration = Duration::from_secs(5 * 60);

/// A stream whose first bytes have to come within a time, and whose client has to take what is written.
#[derive(Debug)]
pub(super) struct Prompt<S> {
    stream: S,
    /// The clock, and what has come so far, until that is enough.
    clock: Option<(Pin<Box<Sleep>>, usize)>,
    /// Runs while nothing can be written.
    unread: Option<Pin<Box<Sleep>>>,
}

impl<S> Prompt<S> {
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self { stream, clock: Some((Box::pin(sleep(within)), 0)), unread: None }
    }

    /// What has come of writing, unless that has waited for too long.
    fn unless_unread(&mut self, wrote: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.unread = None;
            return wrote;
        }
        let clock = self.unread.get_or_insert_with(|| Box::pin(sleep(UNREAD)));
        let ended = |()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing"));
        clock.as_mut().poll(context).map(ended)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some((clock, so_far)) = &mut this.clock else { return read };
        if read.is_pending() {
            if clock.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client says nothing")));
            }
        } else {
            *so_far += buffer.filled().len() - before;
            if *so_far >= TELLING {
                this.clock = None;
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Whoever is answered has been understood.
        self.clock = None;
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_unread(wrote, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.clock = None;
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.unless_unread(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_too_little_is_sent_away_and_who_has_spoken_may_rest() {
        const WITHIN: Duration = Duration::from_secs(30);
        for (said, stays) in [(&b""[..], false), (b"PRI * HTTP/2", false), (b"GET /a HTTP/1.1\r\nhost: a\r\n", true)] {
            let (mut client, server) = duplex(64);
            let mut server = Prompt::new(server, WITHIN);
            client.write_all(said).await.expect("there is room");
            let mut heard = vec![0; said.len()];
            server.read_exact(&mut heard).await.expect("it comes");
            assert_eq!(heard, said);
            let more = tokio::time::timeout(WITHIN * 4, server.read_u8()).await;
            match more {
                Err(_) => assert!(stays, "{said:?}"),
                Ok(ended) => {
                    assert_eq!(ended.expect_err("nothing came").kind(), io::ErrorKind::TimedOut);
                    assert!(!stays, "{said:?}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_written_for_and_one_that_reads_nothing_is_not() {
        let (mut client, server) = duplex(4);
        let mut server = Prompt::new(server, Duration::from_secs(30));
        let writing = async {
            let written = server.write_all(&[b'x'; 16]).await;
            assert!(written.is_ok(), "somebody reads: {written:?}");
            server.write_all(b"xx").await.expect_err("nobody reads")
        };
        let reading = async {
            let mut part = [0; 4];
            for _ in 0..3 {
                sleep(UNREAD * 9 / 10).await;
                client.read_exact(&mut part).await.expect("it is there");
            }
        };
        let began = tokio::time::Instant::now();
        let (ended, ()) = tokio::join!(writing, reading);
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), (UNREAD * 27 / 10 + UNREAD).as_secs());
    }
}

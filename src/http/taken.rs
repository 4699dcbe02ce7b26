//! A body that has to be taken: a stream of HTTP/2 whose client lets nothing more come is reset after a while.
//!
//! Streams have flow control of their own. A client that stops there reads all the rest of its connection, and answers pings, so
//! that nothing of the connection shows it; its stream waits, and with it the answer and all that belongs to that. While hyper
//! waits so, it does not ask the body for more, and can be told nothing by it. So the clock runs in the stream's own task, and
//! the body only says there whether a piece is out that nothing was asked for after. Dropping the task resets the stream, and
//! leaves the others of its connection alone.
//!
//! What a client has let come it may still be reading, and it says nothing of that before it has read half of what it lets come
//! at once, which may be megabytes. So it has time for that, too.
//!
//! ```text
//!   client ◀── flow control ── hyper's stream ──▶ Taken ──▶ the answer's body
//!                               └ in the task of `Streams`, with the clock that Taken winds
//! ```

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body as Answer;
use axum::response::Response;
use bytes::Bytes;
use eventmesh_actors::spawn_named;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep_until};

use super::prompt::UNREAD;

/// Bytes that are handed over at once: one frame of HTTP/2. A larger piece would be taken by slow readers without anybody
/// seeing it.
const PIECE: usize = 16 << 10;
/// Bytes that a client reads in a second, if it reads slowly: one that reads so much is never left.
const SLOWEST: u32 = 1 << 10;
/// The longest that a client may be at reading what it has let come.
const LONGEST: Duration = Duration::from_secs(60 * 60);

tokio::task_local! {
    /// Who reads the stream that this task is.
    static READER: Reader;
}

/// What a stream's body says to its task.
#[derive(Clone, Debug, Default)]
struct Reader(Arc<Pieces>);

#[derive(Debug, Default)]
struct Pieces {
    /// Bytes that have been handed over.
    handed: AtomicU64,
    /// Those of them that were followed by a question for more.
    followed: AtomicU64,
}

impl Reader {
    /// More is asked for: all that was handed over is on its way, or may be.
    fn asks(&self) {
        self.0.followed.store(self.0.handed.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn gets(&self, bytes: usize) {
        self.0.handed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that have been handed over.
    fn handed(&self) -> u64 {
        self.0.handed.load(Ordering::Relaxed)
    }

    /// Whether a piece is out that nothing was asked for after.
    fn is_waited_for(&self) -> bool {
        self.handed() != self.0.followed.load(Ordering::Relaxed)
    }
}

/// Until when a client is waited for.
#[derive(Debug)]
struct Patience {
    until: Instant,
    taken: u64,
}

impl Patience {
    fn new(now: Instant) -> Self {
        Self { until: now, taken: 0 }
    }

    /// The client has taken so many bytes by now, all together.
    fn until(&mut self, now: Instant, taken: u64) -> Instant {
        let more = taken.saturating_sub(self.taken);
        if more > 0 {
            self.taken = taken;
            let reading = Duration::from_secs(more) / SLOWEST;
            self.until = (self.until + reading.min(LONGEST)).clamp(now + UNREAD, now + LONGEST);
        }
        self.until
    }
}

/// Runs the streams of HTTP/2 connections, each until it ends or its client has taken nothing of it for too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams;

impl<S: Future<Output = ()> + Send + 'static> Executor<S> for Streams {
    fn execute(&self, stream: S) {
        spawn_named("stream", unless_left(stream));
    }
}

async fn unless_left(stream: impl Future<Output = ()>) {
    let reader = Reader::default();
    let mut stream = pin!(READER.scope(reader.clone(), stream));
    let mut patience = Patience::new(Instant::now());
    let mut clock: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let until = patience.until(Instant::now(), reader.handed());
        if !reader.is_waited_for() {
            clock = None;
            return Poll::Pending;
        }
        let clock = clock.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if clock.deadline() != until {
            clock.as_mut().reset(until);
        }
        ready!(clock.as_mut().poll(context));
        tracing::debug!("a client takes nothing of its answer, and is left");
        Poll::Ready(())
    })
    .await;
}

/// An answer that its stream's task sees to, if it is one of HTTP/2.
pub(super) fn watched(answer: Response) -> Response {
    match READER.try_with(Reader::clone) {
        Ok(reader) => answer.map(|body| Answer::new(Taken { body, rest: Bytes::new(), reader })),
        Err(_) => answer,
    }
}

/// A body in pieces that says when one is out.
#[derive(Debug)]
struct Taken {
    body: Answer,
    /// What has come of the body and is still to be handed over.
    rest: Bytes,
    reader: Reader,
}

impl Body for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.reader.asks();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        // The last byte goes alone: it is taken along only when there is room for all before it, and with it the body goes out
        // of sight. What is handed over together waits for room for its first byte.
        let left = self.rest.len();
        let whole = if self.body.is_end_stream() && left > 1 { left - 1 } else { left };
        let piece = self.rest.split_to(whole.min(PIECE));
        self.reader.gets(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::stream;
    use http_body_util::BodyExt;
    use tokio::time::sleep;

    use super::*;

    fn taken(body: impl Into<Answer>) -> Taken {
        Taken { body: body.into(), rest: Bytes::new(), reader: Reader::default() }
    }

    #[tokio::test]
    async fn a_body_comes_in_pieces_and_its_last_byte_alone() {
        let table: [(usize, &[usize]); 7] = [
            (0, &[]),
            (1, &[1]),
            (2, &[1, 1]),
            (PIECE, &[PIECE - 1, 1]),
            (PIECE + 1, &[PIECE, 1]),
            (PIECE + 2, &[PIECE, 1, 1]),
            (PIECE * 2 + 9, &[PIECE, PIECE, 8, 1]),
        ];
        for (bytes, expected) in table {
            let all: Bytes = (0..bytes).map(|at| at as u8).collect();
            let mut body = taken(all.clone());
            let (mut pieces, mut came) = (Vec::new(), Vec::new());
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(bytes as u64), bytes == 0));
            while let Some(frame) = body.frame().await {
                let piece = frame.expect("nothing fails").into_data().expect("there is nothing else");
                pieces.push(piece.len());
                came.extend_from_slice(&piece);
                assert_eq!(body.size_hint().exact(), Some((bytes - came.len()) as u64));
                assert_eq!(body.is_end_stream(), came.len() == bytes, "{bytes}: after {}", came.len());
            }
            assert_eq!((&pieces[..], Bytes::from(came)), (expected, all), "{bytes}");
        }
    }

    #[tokio::test]
    async fn what_comes_as_it_is_made_goes_out_as_it_comes() {
        let parts = ["one\n", "", "two\n"].map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part.as_bytes())));
        let mut body = taken(Answer::from_stream(stream::iter(parts)));
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(frame.expect("nothing fails").into_data().expect("there is nothing else"));
        }
        assert_eq!(pieces, ["one\n", "", "two\n"]);
        let failing = stream::iter([Ok(Bytes::from_static(b"one")), Err(std::io::Error::other("no more"))]);
        let error = taken(Answer::from_stream(failing)).collect().await.expect_err("it fails");
        assert!(error.to_string().contains("no more"), "{error}");
    }

    #[test]
    fn whoever_reads_slowly_has_time_for_what_he_has_and_nobody_for_ever() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let (unread, longest, slowest) = (UNREAD.as_secs(), LONGEST.as_secs(), u64::from(SLOWEST));
        // When, how much all together by then, until when.
        let table: [&[(u64, u64, u64)]; 6] = [
            &[(0, 1, unread), (unread - 1, 1, unread), (unread - 1, 2, 2 * unread - 1)],
            // What is taken at once is read for longer than that.
            &[(0, 2 * unread * slowest, 2 * unread), (unread, 2 * unread * slowest, 2 * unread)],
            // Half of it is read, and as much taken again.
            &[(0, 4 * unread * slowest, 4 * unread), (2 * unread, 6 * unread * slowest, 6 * unread)],
            &[(0, u64::MAX, longest), (9, u64::MAX, longest)],
            &[(0, longest * slowest, longest), (10, 2 * longest * slowest, longest + 10)],
            // Between answers nobody is waited for, and afterwards nobody is late.
            &[(0, 1, unread), (5 * unread, 2, 6 * unread)],
        ];
        for steps in table {
            let mut patience = Patience::new(began);
            for (now, taken, expected) in steps {
                let until = patience.until(at(*now), *taken).duration_since(began);
                assert_eq!(until.as_secs(), *expected, "{taken} bytes at {now} s, of {steps:?}");
            }
        }
    }

    /// What a stream does with its body, and whether it is left for it.
    async fn is_left(stream: impl Future<Output = ()>) -> bool {
        tokio::time::timeout(LONGEST * 2, unless_left(stream)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_runs_only_while_a_piece_is_out_and_nothing_is_asked_for() {
        let almost = UNREAD * 9 / 10;
        let answer = || watched(Response::new(Answer::from(vec![b'x'; PIECE * 4]))).into_body();
        // Nobody waits for a client before there is an answer, and not while it is being made.
        assert!(!is_left(pending()).await);
        let unmade = async {
            let mut body = watched(Response::new(Answer::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())));
            body.body_mut().frame().await;
        };
        assert!(!is_left(unmade).await);
        // A slow reader is served to the end, and may then rest.
        let slow = async {
            let mut body = answer();
            while body.frame().await.is_some() {
                sleep(almost).await;
            }
            pending::<()>().await;
        };
        assert!(!is_left(slow).await);
        let began = Instant::now();
        let stops = async {
            let mut body = answer();
            body.frame().await;
            sleep(almost).await;
            body.frame().await;
            pending::<()>().await;
        };
        assert!(is_left(stops).await);
        assert_eq!(began.elapsed().as_secs(), (almost + UNREAD).as_secs());
        // One that has ended is not waited for.
        let began = Instant::now();
        assert!(is_left(async { drop(answer().frame().await) }).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        // Elsewhere there is no such clock: other versions have one of their own.
        let plain = watched(Response::new(Answer::from(vec![b'x'; PIECE * 4]))).into_body().frame().await;
        assert_eq!(plain.expect("a frame").expect("nothing fails").into_data().expect("data").len(), PIECE * 4);
    }
}

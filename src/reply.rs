//! The answer: a stream of chunks that ends in exactly one `Done` or `Error`.
//!
//! The place for the last chunk is kept free from the beginning, so that it never waits for a slow reader, and a
//! sender that is dropped without having ended its reply, by a panic or a kill, ends it with an error.

mod written;

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use eventmesh_extractors::browser::Rendered;
use eventmesh_extractors::{Document, Page};
use futures_core::Stream;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::cache::CacheStatus;
use crate::error::{Error, ErrorKind};
use crate::gate::RouteTaken;

pub(crate) use self::written::write;

/// Chunks in flight: the head, the way, the body and the end of a page.
const CHUNKS: usize = 5;

/// A part of an answer.
#[derive(Debug)]
pub enum Chunk {
    /// The page has been found. Comes before everything else, if it comes.
    Head(Head),
    /// Which way it has gone, and why. Comes before the content, and before what a browser brought besides.
    Route(Box<RouteTaken>),
    /// A page of a PDF, if pages are streamed.
    Page(Box<Page>),
    /// A part of a picture, if one was asked for.
    Picture(Vec<u8>),
    /// The page, rendered, without its content, if it was.
    Rendered(Box<Rendered>),
    /// Content that an action took before the end, under the name that it gave.
    Extract(String, Box<Document>),
    /// The content.
    Body(Body),
    /// All is well and over.
    Done(Timing),
    /// It failed and is over.
    Error(Error),
}

/// The content of a page, as a document or as one that is written down already.
#[derive(Clone, Debug)]
pub struct Body {
    form: Form,
    cache: Option<CacheStatus>,
}

#[derive(Clone, Debug)]
enum Form {
    Document(Box<Document>),
    Json(Bytes),
}

impl Body {
    pub(crate) fn new(document: Box<Document>) -> Self {
        Self { form: Form::Document(document), cache: None }
    }

    pub(crate) fn kept(json: Bytes, cache: CacheStatus) -> Self {
        Self { form: Form::Json(json), cache: Some(cache) }
    }

    /// How it came, if it was looked for among what is kept.
    #[must_use]
    pub fn cache(&self) -> Option<&CacheStatus> {
        self.cache.as_ref()
    }

    /// The content.
    ///
    /// # Errors
    /// If it was written down, and cannot be read any more: a fault of ours.
    pub fn into_document(self) -> Result<Document, Error> {
        match self.form {
            Form::Document(document) => Ok(*document),
            Form::Json(json) => serde_json::from_slice(&json)
                .map_err(|error| Error::new(ErrorKind::Internal, "what is kept cannot be read").caused_by(error)),
        }
    }

    /// The content as JSON.
    ///
    /// # Errors
    /// If it cannot be written down: a fault of ours.
    pub fn json(&self) -> Result<Bytes, Error> {
        match &self.form {
            Form::Document(document) => {
                let mut json = Vec::new();
                write(document, &mut json).map_err(unwritten)?;
                Ok(json.into())
            }
            Form::Json(json) => Ok(json.clone()),
        }
    }

    /// The content as JSON between `before` and `after`. What is written down already is not copied.
    pub(crate) fn written_after(&self, mut before: Vec<u8>, after: &'static [u8]) -> Result<[Bytes; 3], Error> {
        match &self.form {
            Form::Document(document) => {
                write(document, &mut before).map_err(unwritten)?;
                before.extend_from_slice(after);
                Ok([before.into(), Bytes::new(), Bytes::new()])
            }
            Form::Json(json) => Ok([before.into(), json.clone(), Bytes::from_static(after)]),
        }
    }
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "the content cannot be written down").caused_by(error)
}

/// What is known of a page once it has been found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where it was found in the end, after redirects; `None` if it was not on the web.
    pub url: Option<String>,
    /// HTTP status, if it was on the web.
    pub status: Option<u16>,
    /// What the server says it is.
    pub content_type: Option<String>,
    /// Its size in bytes, decompressed.
    pub bytes: usize,
}

/// Where the time of a request went. In JSON each is a number of milliseconds under `<name>_ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// From acceptance to the end.
    pub total: Duration,
    /// Reading or fetching.
    pub fetch: Duration,
    /// Waiting for a worker.
    pub wait: Duration,
    /// At work on it.
    pub extract: Duration,
}

impl Serialize for Timing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        let mut timing = serializer.serialize_struct("Timing", 4)?;
        timing.serialize_field("total_ms", &millis(self.total))?;
        timing.serialize_field("fetch_ms", &millis(self.fetch))?;
        timing.serialize_field("wait_ms", &millis(self.wait))?;
        timing.serialize_field("extract_ms", &millis(self.extract))?;
        timing.end()
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// What was found.
    pub head: Head,
    /// Which way the page has gone, and why.
    pub route: Option<Box<RouteTaken>>,
    /// The content.
    pub document: Document,
    /// What the browser brought besides, if the page was rendered.
    pub rendered: Option<Box<Rendered>>,
    /// Contents that actions took before the end, under the names that they gave.
    pub extracts: Vec<(String, Document)>,
    /// Where the time went.
    pub timing: Timing,
    /// How it came, if it was looked for among what is kept.
    pub cache: Option<CacheStatus>,
}

/// A whole answer, whose content may still be as it was kept.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) head: Head,
    pub(crate) route: Option<Box<RouteTaken>>,
    pub(crate) body: Body,
    pub(crate) pages: Vec<Page>,
    pub(crate) rendered: Option<Box<Rendered>>,
    pub(crate) extracts: Vec<(String, Document)>,
    pub(crate) timing: Timing,
}

impl Parts {
    /// Bytes that have to be written down, as far as they are many.
    pub(crate) fn size(&self) -> usize {
        let body = match &self.body.form {
            Form::Document(document) => texts(document) + document.pages.iter().map(page_texts).sum::<usize>(),
            Form::Json(_) => 0,
        };
        let rendered = self.rendered.as_ref().map_or(0, |page| brought(page));
        let extracts: usize = self.extracts.iter().map(|(_, document)| texts(document)).sum();
        body + self.pages.iter().map(page_texts).sum::<usize>() + rendered + extracts
    }
}

/// Bytes of the texts of a document.
fn texts(document: &Document) -> usize {
    document.markdown.len() + document.text.len() + document.html.as_ref().map_or(0, String::len)
}

/// Bytes of the texts of a page.
fn page_texts(page: &Page) -> usize {
    page.markdown.len() + page.text.len()
}

/// Bytes that a browser brought.
fn brought(page: &Rendered) -> usize {
    let pictures: usize = page.pictures.iter().map(|picture| picture.bytes.len()).sum();
    page.html.len() + page.pdf.as_ref().map_or(0, Vec::len) + pictures
}

/// The answer to one request. Dropping it cancels the work.
#[derive(Debug)]
pub struct Reply {
    chunks: mpsc::Receiver<Chunk>,
    ended: bool,
    work: Option<AbortHandle>,
}

impl Reply {
    pub(crate) fn new() -> (ReplySender, Self) {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let last = sender.clone().try_reserve_owned().ok();
        let reply = Self { chunks, ended: false, work: None };
        (ReplySender { sender, last, since: Instant::now(), sent: Mutex::default() }, reply)
    }

    /// The work to abort when nobody wants the answer any more.
    pub(crate) fn attach(&mut self, work: AbortHandle) {
        self.work = Some(work);
    }

    /// The next chunk; `None` after the terminal one.
    pub async fn next(&mut self) -> Option<Chunk> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Waits for the end and puts the answer together.
    ///
    /// # Errors
    /// The error that ended the reply.
    pub async fn document(self) -> Result<Answer, Error> {
        let Parts { head, route, body, mut pages, rendered, extracts, timing } = self.parts().await?;
        let cache = body.cache.clone();
        let mut document = body.into_document()?;
        document.pages.append(&mut pages);
        Ok(Answer { head, route, document, rendered, extracts, timing, cache })
    }

    /// Waits for the end, and puts the answer together but for its content.
    pub(crate) async fn parts(mut self) -> Result<Parts, Error> {
        let (mut head, mut document, mut pages, mut picture) = (None, None, Vec::new(), false);
        let (mut rendered, mut extracts, mut route) = (None, Vec::new(), None);
        while let Some(chunk) = self.next().await {
            match chunk {
                Chunk::Head(found) => head = Some(found),
                Chunk::Route(taken) => route = Some(taken),
                // Whoever asked for pages one by one and now for the whole gets all of them; the whole has no text of its own.
                Chunk::Page(page) => pages.push(*page),
                Chunk::Picture(_) => picture = true,
                Chunk::Rendered(page) => rendered = Some(page),
                Chunk::Extract(name, document) => extracts.push((name, *document)),
                Chunk::Body(body) => document = Some(body),
                Chunk::Error(error) => return Err(error),
                Chunk::Done(timing) => {
                    return match (head, document) {
                        (Some(head), Some(body)) => Ok(Parts { head, route, body, pages, rendered, extracts, timing }),
                        (_, _) if picture => Err(Error::new(
                            ErrorKind::InvalidRequest,
                            "a picture was asked for, which is no document: read the reply chunk by chunk",
                        )),
                        (_, _) => Err(unfinished()),
                    };
                }
            }
        }
        Err(unfinished())
    }
}

impl Stream for Reply {
    type Item = Chunk;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Chunk>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let chunk = std::task::ready!(self.chunks.poll_recv(context));
        match &chunk {
            Some(Chunk::Done(_) | Chunk::Error(_)) | None => self.ended = true,
            Some(
                Chunk::Head(_)
                | Chunk::Route(_)
                | Chunk::Page(_)
                | Chunk::Picture(_)
                | Chunk::Rendered(_)
                | Chunk::Extract(..)
                | Chunk::Body(_),
            ) => {}
        }
        Poll::Ready(chunk)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

/// The other end of a [`Reply`].
#[derive(Debug)]
pub(crate) struct ReplySender {
    sender: mpsc::Sender<Chunk>,
    /// The place of the terminal chunk, until that is sent.
    last: Option<mpsc::OwnedPermit<Chunk>>,
    since: Instant,
    sent: Mutex<Sent>,
}

/// The way that a page went, as its answer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Passage {
    /// As HTML, to the sandbox.
    #[default]
    Html,
    /// Through a browser.
    Rendered,
    /// As a PDF.
    Pdf,
    /// Nowhere: its content was kept.
    Kept,
}

impl Passage {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 4] = [Self::Html, Self::Rendered, Self::Pdf, Self::Kept];

    /// As a word, for metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Rendered => "rendered",
            Self::Pdf => "pdf",
            Self::Kept => "kept",
        }
    }
}

/// What has been sent of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Bytes of content.
    pub(crate) bytes: u64,
    /// When its first content was there.
    pub(crate) first: Option<Duration>,
    /// What it is the answer to.
    pub(crate) way: Passage,
}

impl Sent {
    /// `chunk` is there, `after` the beginning.
    fn see(&mut self, chunk: &Chunk, after: Duration) {
        let bytes = match chunk {
            // Nothing that was asked for yet, or nothing any more.
            Chunk::Head(_) | Chunk::Route(_) | Chunk::Done(_) | Chunk::Error(_) => return,
            Chunk::Page(page) => {
                self.way = Passage::Pdf;
                page_texts(page)
            }
            Chunk::Picture(part) => {
                self.way = Passage::Pdf;
                part.len()
            }
            Chunk::Rendered(page) => {
                self.way = Passage::Rendered;
                brought(page)
            }
            Chunk::Extract(_, document) => texts(document),
            Chunk::Body(body) => {
                if body.cache.as_ref().is_some_and(|status| status.way == crate::cache::Way::Hit) {
                    self.way = Passage::Kept;
                }
                match &body.form {
                    Form::Document(document) => texts(document),
                    Form::Json(json) => json.len(),
                }
            }
        };
        self.first.get_or_insert(after);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

impl ReplySender {
    /// Sends a chunk that is not the last, waiting for room. A reader that has gone is no error here: its work
    /// is about to be aborted.
    pub(crate) async fn send(&self, chunk: Chunk) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).see(&chunk, self.since.elapsed());
        let _ = self.sender.send(chunk).await;
    }

    /// The page goes `way`, which its chunks may not show.
    pub(crate) fn went(&self, way: Passage) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).way = way;
    }

    /// What has been sent so far.
    pub(crate) fn sent(&self) -> Sent {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the reply.
    pub(crate) fn finish(mut self, result: Result<Timing, Error>) {
        if let Some(last) = self.last.take() {
            last.send(result.map_or_else(Chunk::Error, Chunk::Done));
        }
    }
}

impl Drop for ReplySender {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            last.send(Chunk::Error(unfinished()));
        }
    }
}

fn unfinished() -> Error {
    Error::new(ErrorKind::Internal, "the request ended without an answer; this is a fault of ours, please report it with the log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reply_ends_once_and_then_is_over() {
        let (sender, mut reply) = Reply::new();
        sender.finish(Ok(Timing::default()));
        assert!(matches!(reply.next().await, Some(Chunk::Done(_))));
        assert!(reply.next().await.is_none());
    }

    #[tokio::test]
    async fn a_sender_that_vanishes_leaves_an_error() {
        let (sender, mut reply) = Reply::new();
        drop(sender);
        assert!(matches!(reply.next().await, Some(Chunk::Error(error)) if error.kind() == ErrorKind::Internal));
        assert!(reply.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_is_told_by_its_content_and_not_by_its_head() {
        let (sender, mut reply) = Reply::new();
        tokio::time::sleep(Duration::from_secs(1)).await;
        sender.send(Chunk::Head(Head { url: None, status: None, content_type: None, bytes: 9 })).await;
        assert_eq!(sender.sent(), Sent::default());
        tokio::time::sleep(Duration::from_secs(1)).await;
        sender.send(Chunk::Picture(vec![0; 5])).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let body = Document { markdown: "**four**".to_owned(), text: "four".to_owned(), ..Document::default() };
        sender.send(Chunk::Body(Body::new(Box::new(body)))).await;
        assert_eq!(sender.sent(), Sent { bytes: 17, first: Some(Duration::from_secs(2)), way: Passage::Pdf });
        sender.finish(Ok(Timing::default()));
        while reply.next().await.is_some() {}
    }

    #[tokio::test]
    async fn the_end_never_waits_for_a_slow_reader() {
        let (sender, mut reply) = Reply::new();
        for _ in 0..CHUNKS - 1 {
            sender.send(Chunk::Body(Body::new(Box::default()))).await;
        }
        sender.finish(Ok(Timing::default()));
        let mut seen = 0;
        while let Some(chunk) = reply.next().await {
            seen += 1;
            assert_eq!(matches!(chunk, Chunk::Done(_)), seen == CHUNKS);
        }
        assert_eq!(seen, CHUNKS);
    }
}

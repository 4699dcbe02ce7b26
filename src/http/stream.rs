//! What goes out as it comes: lines of JSON, or server-sent events, from the chunks of a reply.
//!
//! Every event has a number, and the last one is always an `end`. A reader that is slow holds the work back and never
//! loses anything: the next chunk is asked for when there is room for it. While nothing comes, a sign of life does.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_core::Stream;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::answer::{Format, rendered};
use super::problem::Problem;
use crate::reply::{Chunk, Reply};

/// How long nothing may come before a sign of life does. Proxies give up after a minute.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// One a line.
    Lines,
    /// As server-sent events.
    Events,
}

impl Writing {
    /// That of a format which comes as it is made.
    pub(super) fn of(format: Format) -> Self {
        if format == Format::Events { Self::Events } else { Self::Lines }
    }

    /// One event, which is one line of JSON. With an `id` it is one that a reader can come back to, who then says so.
    pub(super) fn event(self, id: Option<u64>, kind: &str, line: &str) -> Bytes {
        match (self, id) {
            (Self::Lines, _) => format!("{line}\n").into(),
            (Self::Events, None) => format!("event: {kind}\ndata: {line}\n\n").into(),
            (Self::Events, Some(id)) => format!("id: {id}\nevent: {kind}\ndata: {line}\n\n").into(),
        }
    }

    /// A sign of life.
    pub(super) fn sign(self) -> Bytes {
        match self {
            Self::Lines => Bytes::from_static(b"\n"),
            Self::Events => Bytes::from_static(b": still at it\n\n"),
        }
    }
}

/// When signs of life are due.
pub(super) fn signs() -> Interval {
    let mut signs = interval_at(tokio::time::Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
    signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    signs
}

/// A response that comes as it is made, from its body.
pub(super) fn streaming(body: Body, writing: Writing) -> Response {
    let format = match writing {
        Writing::Lines => Format::Ndjson,
        Writing::Events => Format::Events,
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies in front are not to gather what is meant to arrive now.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// The chunks of a reply as events. Dropping it cancels the work.
#[derive(Debug)]
struct Events {
    reply: Reply,
    writing: Writing,
    numbered: u64,
    ended: bool,
    signs: Interval,
}

/// A response that comes as it is made.
pub(crate) fn streamed(reply: Reply, format: Format) -> Response {
    let writing = Writing::of(format);
    let events = Events { reply, writing, numbered: 0, ended: false, signs: signs() };
    streaming(Body::from_stream(events), writing)
}

/// One event, as it is written.
#[derive(Serialize)]
struct Numbered<'e> {
    seq: u64,
    #[serde(rename = "type")]
    kind: &'e str,
    #[serde(flatten)]
    rest: Value,
}

impl Events {
    fn write(&mut self, kind: &str, rest: Value) -> Bytes {
        self.numbered += 1;
        let event = Numbered { seq: self.numbered, kind, rest };
        // Text, numbers, and maps whose keys are text.
        let line = serde_json::to_string(&event).unwrap_or_default();
        // What was asked for by POST cannot be gone on with.
        self.writing.event(None, kind, &line)
    }

    fn event(&mut self, chunk: Chunk) -> Bytes {
        match chunk {
            Chunk::Head(head) => {
                let rest = json!({
                    "url": head.url, "status": head.status, "content_type": head.content_type, "bytes": head.bytes,
                });
                self.write("head", rest)
            }
            Chunk::Route(route) => self.write("route", json!({ "route": route })),
            Chunk::Page(page) => self.write("page", json!({ "page": page })),
            Chunk::Picture(part) => {
                use base64::Engine as _;
                self.write("picture", json!({ "data": base64::engine::general_purpose::STANDARD.encode(part) }))
            }
            Chunk::Rendered(page) => self.write("rendered", json!({ "rendered": rendered(&page) })),
            Chunk::Extract(name, document) => self.write("extract", json!({ "name": name, "document": document })),
            Chunk::Body(body) => {
                let cache = body.cache().map(ToString::to_string);
                // What cannot be read any more is told by the engine where that happens; here there is nothing to tell.
                self.write("result", json!({ "document": body.into_document().ok(), "cache": cache }))
            }
            Chunk::Done(timing) => {
                self.ended = true;
                self.write("end", json!({ "ok": true, "timing": timing }))
            }
            Chunk::Error(error) => {
                self.ended = true;
                let problem = Problem::from(error);
                let mut both = self.write("error", json!({ "problem": problem })).to_vec();
                both.extend_from_slice(&self.write("end", json!({ "ok": false })));
                both.into()
            }
        }
    }
}

impl Stream for Events {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.reply).poll_next(context) {
            Poll::Ready(Some(chunk)) => {
                self.signs.reset();
                let event = self.event(chunk);
                Poll::Ready(Some(Ok(event)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match self.signs.poll_tick(context) {
                Poll::Ready(_) => Poll::Ready(Some(Ok(self.writing.sign()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::reply::{Body, Timing};

    async fn text(reply: Reply, format: Format) -> String {
        let body = streamed(reply, format).into_body().collect().await.expect("it ends");
        String::from_utf8(body.to_bytes().to_vec()).expect("it is text")
    }

    #[tokio::test]
    async fn lines_are_numbered_and_end_with_an_end() {
        let (sender, reply) = Reply::new();
        sender.send(Chunk::Body(Body::new(Box::default()))).await;
        sender.finish(Ok(Timing::default()));
        let text = text(reply, Format::Ndjson).await;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("each is JSON")).collect();
        assert_eq!(lines.iter().map(|line| line["seq"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
        assert_eq!((&lines[0]["type"], &lines[1]["type"], &lines[1]["ok"]), (&json!("result"), &json!("end"), &json!(true)));
    }

    #[tokio::test]
    async fn a_failure_is_told_and_ends_too() {
        let (sender, reply) = Reply::new();
        sender.finish(Err(Error::new(ErrorKind::Overloaded, "full")));
        let text = text(reply, Format::Events).await;
        assert!(!text.contains("id:"), "nobody can come back to it: {text}");
        assert!(text.contains("event: error\n") && text.contains("\"code\":\"overloaded\""), "{text}");
        assert!(text.ends_with("\"ok\":false}\n\n"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn while_nothing_comes_a_sign_of_life_does() {
        let (sender, reply) = Reply::new();
        let late = eventmesh_actors::spawn_named("late", async move {
            tokio::time::sleep(SIGN_OF_LIFE * 5 / 2).await;
            sender.finish(Ok(Timing::default()));
        });
        let text = text(reply, Format::Events).await;
        late.await.expect("it ends");
        assert_eq!(text.matches(": still at it").count(), 2, "{text}");
    }
}

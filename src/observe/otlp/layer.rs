//! Makes spans of what requests tell of themselves, and puts them down when they have ended.
//!
//! A trace begins with a request that came in over HTTP, with the span of its caller above it if it names one. Its stages are told
//! below it. What belongs to no request, such as a page of the daemon's own or an item of a job, is told to nobody.

use std::time::Duration;

use tokio::time::Instant;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::buffer::Spans;
use super::context::{Caller, new_span, new_trace};
use super::span::{Finished, REQUEST, Said, TRACE, is_told};

/// Hears of spans.
#[derive(Debug)]
pub struct SpanLayer {
    spans: Spans,
}

/// Which of them, and whether any.
#[derive(Debug)]
pub struct SpanFilter {
    spans: Spans,
}

/// What a whole trace is dated by: the wall clock, looked at once. It jumps, and no stage may seem to begin before its request.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    /// Nanoseconds since 1970.
    unix: u64,
    at: Instant,
}

/// A span that has not ended.
#[derive(Debug)]
struct Open {
    link: Link,
    parent: Option<u64>,
    name: &'static str,
    began: Instant,
    said: Said,
}

/// What the spans below one have to know of it.
#[derive(Clone, Copy, Debug)]
struct Link {
    trace: u128,
    id: u64,
    anchor: Anchor,
}

impl Anchor {
    fn now(at: Instant) -> Self {
        Self { unix: nanos(std::time::UNIX_EPOCH.elapsed().unwrap_or_default()), at }
    }

    fn date(&self, at: Instant) -> u64 {
        self.unix.saturating_add(nanos(at.saturating_duration_since(self.at)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Open {
    fn below(above: Link, name: &'static str, said: Said) -> Self {
        let link = Link { id: new_span(), ..above };
        Self { link, parent: Some(above.id), name, began: Instant::now(), said }
    }

    /// The first of this process, unless its caller does not record the trace.
    fn first(name: &'static str, said: Said) -> Option<Self> {
        let caller = said.text(TRACE).and_then(Caller::parse);
        if caller.is_some_and(|caller| !caller.sampled) {
            return None;
        }
        let began = Instant::now();
        let trace = caller.map_or_else(new_trace, |caller| caller.trace);
        let link = Link { trace, id: new_span(), anchor: Anchor::now(began) };
        Some(Self { link, parent: caller.map(|caller| caller.span), name, began, said })
    }

    fn finish(self) -> Finished {
        let Link { trace, id, anchor } = self.link;
        let (began, ended) = (anchor.date(self.began), anchor.date(Instant::now()));
        Finished { trace, id, parent: self.parent, name: self.name, began, ended, said: self.said }
    }
}

impl SpanLayer {
    pub(super) fn new(spans: Spans) -> Self {
        Self { spans }
    }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let name = attributes.metadata().name();
        let above = span.parent().map(|above| above.extensions().get::<Open>().map(|open| open.link));
        let mut said = Said::default();
        let open = match above {
            None if name == REQUEST => {
                attributes.record(&mut said);
                Open::first(name, said)
            }
            // Of no request, or of one that is not told.
            None | Some(None) => None,
            Some(Some(link)) => {
                attributes.record(&mut said);
                Some(Open::below(link, name, said))
            }
        };
        if let Some(open) = open {
            span.extensions_mut().replace(open);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.said);
        }
    }

    /// It closes when the last of those that work for it is done, which for an answer that is sent bit by bit is its end.
    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let open = span.extensions_mut().remove::<Open>();
        if let Some(open) = open {
            self.spans.push(open.finish());
        }
    }
}

impl SpanFilter {
    pub(super) fn new(spans: Spans) -> Self {
        Self { spans }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        self.spans.are_wanted() && metadata.is_span() && metadata.target().starts_with("eventmesh") && is_told(metadata.name())
    }
}

impl<S> Filter<S> for SpanFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.spans.are_wanted() { LevelFilter::DEBUG } else { LevelFilter::OFF })
    }
}

#[cfg(test)]
mod tests {
    use tracing::field::Empty;
    use tracing::{debug_span, error_span};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry;

    use super::super::span::Value;
    use super::*;

    const TRACE_ID: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

    /// What is told of `work`, by a process that logs nothing.
    fn told(work: impl FnOnce()) -> Vec<Finished> {
        // Where there is one subscriber, whoever looks again which spans are wanted asks that of its own thread, and other tests do.
        let _second = tracing::Dispatch::new(registry());
        let spans = Spans::default();
        tracing::subscriber::with_default(registry().with(spans.layer()), || {
            drop(error_span!("request", id = "before anybody wants it"));
            assert!(spans.open(64, 64));
            work();
            spans.close();
            drop(error_span!("request", id = "when nobody wants it any more"));
        });
        spans.take()
    }

    fn request(trace: Option<&str>) -> tracing::Span {
        error_span!("request", id = %"x", trace, status = Empty, error = Empty)
    }

    #[test]
    fn stages_stand_below_their_request_and_within_its_time() {
        let spans = told(|| {
            let request = request(Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
            request.in_scope(|| {
                debug_span!("task", name = "what is no stage").in_scope(|| {
                    debug_span!("extract").in_scope(|| drop(debug_span!("queue", pool = %"wasm")));
                });
                tracing::error!("an event is no span");
            });
            request.record("status", 503_u16);
        });
        let names: Vec<_> = spans.iter().map(|span| span.name).collect();
        assert_eq!(names, ["queue", "extract", "request"], "each when it has ended");
        let [queue, extract, request] = &spans[..] else { panic!("three") };
        assert!(spans.iter().all(|span| span.trace == TRACE_ID));
        assert_eq!(request.parent, Some(0xb7ad_6b71_6920_3331));
        assert_eq!((extract.parent, queue.parent), (Some(request.id), Some(extract.id)));
        assert!(request.began <= extract.began && extract.began <= queue.began, "{spans:?}");
        assert!(queue.ended <= extract.ended && extract.ended <= request.ended, "{spans:?}");
        assert!(queue.began <= queue.ended && request.began > 1_500_000_000_000_000_000);
        assert_eq!(queue.said.text("pool"), Some("wasm"));
        assert!(request.said.iter().any(|said| said == ("status", &Value::Whole(503))));
    }

    #[test]
    fn a_trace_is_begun_where_there_is_none() {
        let spans = told(|| {
            for trace in [None, Some("no trace at all")] {
                drop(request(trace));
            }
        });
        let [first, second] = &spans[..] else { panic!("two: {spans:?}") };
        assert_eq!((first.parent, second.parent), (None, None));
        assert!(first.trace != second.trace && first.trace != 0 && first.id != second.id);
    }

    #[test]
    fn what_is_nobodys_and_what_a_caller_does_not_record_is_not_told() {
        let spans = told(|| {
            debug_span!("extract").in_scope(|| drop(debug_span!("queue")));
            let request = request(Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"));
            request.in_scope(|| drop(debug_span!("fetch")));
        });
        assert!(spans.is_empty(), "{spans:?}");
    }
}

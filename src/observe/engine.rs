//! What an engine counts of its requests while it works on them. Each engine has its own figures, and they cost a few
//! atomic additions per request whether or not anybody reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventmesh_actors::{LeaseError, Priority, RunError};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::gate::Reason;
use crate::reply::{Passage, Sent, Timing};
use crate::request::Source;

/// Where requests wait and are worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In the sandbox, which makes documents of HTML.
    Extract,
    /// In a browser.
    Render,
    /// In a process that reads PDFs.
    Pdf,
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Memory is short.
    Memory,
    /// As many requests are at work as may be.
    Requests,
    /// Their pages hold as many bytes as they may.
    Bytes,
    /// The engine is shutting down.
    Closed,
}

/// The figures. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct EngineMetrics {
    inner: Arc<Inner>,
}

/// Every family with all its rows, there from the beginning: a counter that comes into being with its first event has
/// missed it in the eyes of whoever computes rates. What is counted often is found by its place, not by its labels.
#[derive(Debug)]
struct Inner {
    outcomes: Rows<Counter, 1>,
    rejections: Rows<Counter, 1>,
    durations: Rows<Histogram, 1>,
    first: Histogram,
    waits: Rows<Histogram, 2>,
    fetches: Rows<Histogram, 1>,
    extracts: Rows<Histogram, 1>,
    renders: Histogram,
    rendered: Rows<Counter, 1>,
    fallbacks: Counter,
    fetched_bytes: Counter,
    output_bytes: Counter,
}

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// A family whose rows are known.
#[derive(Debug)]
struct Rows<M, const N: usize> {
    family: Family<Labels<N>, M, fn() -> M>,
    rows: Vec<M>,
}

impl<M: Clone, const N: usize> Rows<M, N> {
    fn new(make: fn() -> M, labels: impl IntoIterator<Item = Labels<N>>) -> Self {
        let family = Family::new_with_constructor(make);
        let rows = labels.into_iter().map(|labels| family.get_or_create_owned(&labels)).collect();
        Self { family, rows }
    }

    fn with(&self, place: usize, what: impl FnOnce(&M)) {
        if let Some(row) = self.rows.get(place) {
            what(row);
        }
    }
}

/// Seconds of whole requests and of their stages. The targets, 0.5, 1.5, 5 and 6 s, are bounds themselves: shares below
/// them are exact.
const SECONDS: [f64; 17] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 6.0, 10.0, 30.0, 60.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// How requests end besides an error: well, or because nobody waits for them any more.
const OK: &str = "ok";
const CANCELLED: &str = "cancelled";

impl EngineMetrics {
    pub(crate) fn new() -> Self {
        let outcomes = [OK, CANCELLED].into_iter().chain(ErrorKind::ALL.into_iter().map(ErrorKind::label));
        let waits = Stage::ALL.into_iter().flat_map(|stage| LANES.map(|lane| [("pool", stage.pool()), ("lane", lane)]));
        let inner = Inner {
            outcomes: Rows::new(Counter::default, outcomes.map(|outcome| [("outcome", outcome)])),
            rejections: Rows::new(Counter::default, Rejection::ALL.map(|rejection| [("reason", rejection.label())])),
            durations: Rows::new(seconds, Passage::ALL.map(|way| [("way", way.label())])),
            first: seconds(),
            waits: Rows::new(seconds, waits),
            fetches: Rows::new(seconds, SOURCES.map(|source| [("source", source)])),
            extracts: Rows::new(seconds, [Stage::Extract, Stage::Pdf].map(|stage| [("pool", stage.pool())])),
            renders: seconds(),
            rendered: Rows::new(Counter::default, Reason::ALL.map(|why| [("why", why.label())])),
            fallbacks: Counter::default(),
            fetched_bytes: Counter::default(),
            output_bytes: Counter::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A request has come in.
    pub(crate) fn asked(&self) -> Asked {
        Asked { inner: Arc::clone(&self.inner), ended: false }
    }

    /// A request, or its page, was not let in.
    pub(crate) fn rejected(&self, rejection: Rejection) {
        self.inner.rejections.with(rejection as usize, |counter| {
            counter.inc();
        });
    }

    /// Somebody waits for `stage` from now on.
    pub(crate) fn waiting(&self, stage: Stage, priority: Priority) -> Waiting<'_> {
        let lane = match priority {
            Priority::Interactive => 0,
            Priority::Batch => 1,
        };
        Waiting {
            inner: &self.inner,
            place: stage as usize * LANES.len() + lane,
            since: Instant::now(),
            over: AtomicBool::new(false),
        }
    }

    /// A page has come from `source`.
    pub(crate) fn fetched(&self, source: usize, took: Duration, bytes: usize) {
        self.inner.fetches.with(source, |histogram| histogram.observe(took.as_secs_f64()));
        self.inner.fetched_bytes.inc_by(bytes as u64);
    }

    /// `stage` has done its work on a page.
    pub(crate) fn worked(&self, stage: Stage, took: Duration) {
        let took = took.as_secs_f64();
        match stage {
            Stage::Extract => self.inner.extracts.with(0, |histogram| histogram.observe(took)),
            Stage::Pdf => self.inner.extracts.with(1, |histogram| histogram.observe(took)),
            Stage::Render => self.inner.renders.observe(took),
        }
    }

    /// A page is going to be rendered.
    pub(crate) fn renders(&self, why: Reason) {
        self.inner.rendered.with(why as usize, |counter| {
            counter.inc();
        });
    }

    /// A page could not be rendered, and is taken as it was sent.
    pub(crate) fn fell_back(&self) {
        self.inner.fallbacks.inc();
    }

    /// Hands the figures to whoever writes them down.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let Inner {
            outcomes,
            rejections,
            durations,
            first,
            waits,
            fetches,
            extracts,
            renders,
            rendered,
            fallbacks,
            fetched_bytes,
            output_bytes,
        } = &*self.inner;
        registry.register(
            "eventmesh_requests",
            "Requests that have ended, by how: ok, cancelled, or the kind of their error",
            outcomes.family.clone(),
        );
        registry.register(
            "eventmesh_admission_rejected",
            "Requests that were not let in, or whose page was not, by what was short",
            rejections.family.clone(),
        );
        registry.register_with_unit(
            "eventmesh_request_duration",
            "Requests that ended well, from acceptance to their end, by the way that the page went",
            Unit::Seconds,
            durations.family.clone(),
        );
        registry.register_with_unit(
            "eventmesh_ttfb",
            "From acceptance to the first content of the answer",
            Unit::Seconds,
            first.clone(),
        );
        registry.register_with_unit(
            "eventmesh_queue_wait",
            "Waiting for a worker, by pool and lane, of those that got one and those whose time was up",
            Unit::Seconds,
            waits.family.clone(),
        );
        registry.register_with_unit(
            "eventmesh_fetch_duration",
            "Getting a page, by where it was",
            Unit::Seconds,
            fetches.family.clone(),
        );
        registry.register_with_unit(
            "eventmesh_extract_duration",
            "A worker's time on a page or PDF, without waiting",
            Unit::Seconds,
            extracts.family.clone(),
        );
        registry.register_with_unit(
            "eventmesh_render_duration",
            "A browser's time on a page, without waiting",
            Unit::Seconds,
            renders.clone(),
        );
        registry.register("eventmesh_renders", "Pages that were given to a browser, by why", rendered.family.clone());
        registry.register(
            "eventmesh_render_fallbacks",
            "Pages that could not be rendered and were taken as they were sent",
            fallbacks.clone(),
        );
        registry.register("eventmesh_fetched_bytes", "Bytes of the pages that came, decompressed", fetched_bytes.clone());
        registry.register("eventmesh_output_bytes", "Bytes of content in answers", output_bytes.clone());
    }
}

/// Lanes, by [`Priority`].
const LANES: [&str; 2] = ["interactive", "batch"];
/// Where pages are, in the order of [`place_of`].
const SOURCES: [&str; 3] = ["web", "file", "request"];

/// The place of a request's source among the rows.
pub(crate) fn place_of(source: &Source) -> usize {
    match source {
        Source::Url(_) => 0,
        Source::Path(_) => 1,
        Source::Bytes(_) => 2,
    }
}

impl Stage {
    const ALL: [Self; 3] = [Self::Extract, Self::Render, Self::Pdf];

    /// The pool that does it.
    fn pool(self) -> &'static str {
        match self {
            Self::Extract => "wasm",
            Self::Render => "pages",
            Self::Pdf => "pdf",
        }
    }
}

impl Rejection {
    const ALL: [Self; 4] = [Self::Memory, Self::Requests, Self::Bytes, Self::Closed];

    fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Requests => "requests",
            Self::Bytes => "bytes",
            Self::Closed => "closed",
        }
    }
}

/// A request that is being worked on. It is counted once, when it ends, however it does: whoever drops it without having
/// said how was cancelled, or panicked.
#[derive(Debug)]
pub(crate) struct Asked {
    inner: Arc<Inner>,
    ended: bool,
}

impl Asked {
    /// It has ended with `result`, and `sent` was sent.
    pub(crate) fn ended(mut self, result: &Result<Timing, Error>, sent: Sent) {
        let inner = &self.inner;
        inner.output_bytes.inc_by(sent.bytes);
        if let Some(first) = sent.first {
            inner.first.observe(first.as_secs_f64());
        }
        match result {
            Ok(timing) => {
                inner.durations.with(sent.way as usize, |histogram| histogram.observe(timing.total.as_secs_f64()));
                self.count(0);
            }
            Err(error) => self.count(place_of_kind(error.kind())),
        }
    }

    fn count(&mut self, place: usize) {
        self.ended = true;
        self.inner.outcomes.with(place, |counter| {
            counter.inc();
        });
    }
}

/// `ok` and `cancelled` come first.
fn place_of_kind(kind: ErrorKind) -> usize {
    2 + kind as usize
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.ended {
            let place = if std::thread::panicking() { place_of_kind(ErrorKind::Internal) } else { 1 };
            self.count(place);
        }
    }
}

/// Somebody who waits for a worker. Counted when it is over, once; whoever is sent away has not waited.
#[derive(Debug)]
pub(crate) struct Waiting<'m> {
    inner: &'m Inner,
    place: usize,
    since: Instant,
    over: AtomicBool,
}

impl Waiting<'_> {
    /// There is a worker.
    pub(crate) fn over(&self) {
        if !self.over.swap(true, Ordering::Relaxed) {
            self.inner.waits.with(self.place, |histogram| histogram.observe(self.since.elapsed().as_secs_f64()));
        }
    }

    /// It came to nothing: because there was no worker in time, which is waiting that is over, too, or for another reason.
    pub(crate) fn failed<E: std::error::Error + 'static>(&self, error: &RunError<E>) {
        if let RunError::Lease(LeaseError::Deadline { .. }) = error {
            self.over();
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text::encode;

    use super::*;

    fn text(metrics: &EngineMetrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes everything");
        text
    }

    #[track_caller]
    fn assert_has(text: &str, line: &str) {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }

    #[test]
    fn every_row_is_there_before_anything_happens() {
        let text = text(&EngineMetrics::new());
        for kind in ErrorKind::ALL {
            assert_has(&text, &format!("eventmesh_requests_total{{outcome=\"{kind}\"}} 0"));
        }
        for why in Reason::ALL {
            assert_has(&text, &format!("eventmesh_renders_total{{why=\"{}\"}} 0", why.label()));
        }
        assert_has(&text, "eventmesh_queue_wait_seconds_count{pool=\"pages\",lane=\"batch\"} 0");
        assert_has(&text, "eventmesh_request_duration_seconds_count{way=\"pdf\"} 0");
    }

    #[test]
    fn a_request_is_counted_once_however_it_ends() {
        let metrics = EngineMetrics::new();
        let sent = Sent { bytes: 7, first: Some(Duration::from_millis(20)), way: Passage::Rendered };
        metrics.asked().ended(&Ok(Timing { total: Duration::from_millis(30), ..Timing::default() }), sent);
        for kind in ErrorKind::ALL {
            metrics.asked().ended(&Err(Error::new(kind, "no")), Sent::default());
        }
        drop(metrics.asked());
        let doomed = std::panic::catch_unwind({
            let asked = std::panic::AssertUnwindSafe(metrics.asked());
            move || {
                let _asked = asked;
                panic!("on purpose");
            }
        });
        assert!(doomed.is_err());
        let text = text(&metrics);
        for kind in ErrorKind::ALL {
            let count = if kind == ErrorKind::Internal { 2 } else { 1 };
            assert_has(&text, &format!("eventmesh_requests_total{{outcome=\"{kind}\"}} {count}"));
        }
        assert_has(&text, "eventmesh_requests_total{outcome=\"ok\"} 1");
        assert_has(&text, "eventmesh_requests_total{outcome=\"cancelled\"} 1");
        assert_has(&text, "eventmesh_output_bytes_total 7");
        assert_has(&text, "eventmesh_ttfb_seconds_count 1");
        assert_has(&text, "eventmesh_request_duration_seconds_count{way=\"rendered\"} 1");
        assert_has(&text, "eventmesh_request_duration_seconds_count{way=\"html\"} 0");
    }

    #[test]
    fn stages_waits_and_sources_are_found_by_their_place() {
        let metrics = EngineMetrics::new();
        for stage in Stage::ALL {
            metrics.worked(stage, Duration::from_millis(2));
            let waiting = metrics.waiting(stage, Priority::Batch);
            waiting.over();
            waiting.over();
            let _given_up = metrics.waiting(stage, Priority::Interactive);
        }
        metrics.fetched(place_of(&Source::Url(String::new())), Duration::from_millis(2), 10);
        for rejection in Rejection::ALL {
            metrics.rejected(rejection);
        }
        let text = text(&metrics);
        for stage in Stage::ALL {
            assert_has(&text, &format!("eventmesh_queue_wait_seconds_count{{pool=\"{}\",lane=\"batch\"}} 1", stage.pool()));
            assert_has(&text, &format!("eventmesh_queue_wait_seconds_count{{pool=\"{}\",lane=\"interactive\"}} 0", stage.pool()));
        }
        for rejection in Rejection::ALL {
            assert_has(&text, &format!("eventmesh_admission_rejected_total{{reason=\"{}\"}} 1", rejection.label()));
        }
        assert_has(&text, "eventmesh_render_duration_seconds_count 1");
        assert_has(&text, "eventmesh_extract_duration_seconds_count{pool=\"wasm\"} 1");
        assert_has(&text, "eventmesh_extract_duration_seconds_count{pool=\"pdf\"} 1");
        assert_has(&text, "eventmesh_fetch_duration_seconds_count{source=\"web\"} 1");
        assert_has(&text, "eventmesh_fetched_bytes_total 10");
    }
}

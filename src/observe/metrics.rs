//! Figures for Prometheus: those of HTTP are counted here, all others are read off the engine when they are asked for.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use hyper::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::collect::EngineCollector;
use super::exposition::Exposition;
use super::jobs::JobsCollector;
use super::otlp::{SpanFigures, Spans};
use super::process::ProcessCollector;
use crate::engine::Engine;
use crate::jobs::{Items, Jobs};

/// All figures of one daemon.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) http: HttpMetrics,
    /// Whether requests are to tell of themselves.
    pub(crate) spans: Spans,
}

/// What is counted of HTTP.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    duration: Family<Answered, Histogram>,
    active: Gauge<i64, AtomicI64>,
}

/// The labels of an answered request, by the conventions of OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    http_request_method: String,
    http_route: String,
    http_response_status_code: u16,
    error_type: Option<&'static str>,
}

/// Seconds; pages that are rendered take some.
const BUCKETS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

impl Metrics {
    /// Of an engine, of the jobs if there are any, of what works on items, and of the spans that are exported.
    pub(crate) fn new(engine: Engine, jobs: Option<Jobs>, items: Items, spans: Spans) -> Arc<Self> {
        let mut registry = Registry::default();
        let duration = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let http = HttpMetrics { duration, active: Gauge::default() };
        registry.register_with_unit(
            "http_server_request_duration",
            "Requests answered, from the first byte of the request to the headers of the answer",
            Unit::Seconds,
            http.duration.clone(),
        );
        registry.register("http_server_active_requests", "Requests that are being answered", http.active.clone());
        engine.metrics().register(&mut registry);
        registry.register_collector(Box::new(ProcessCollector::new(engine.directories())));
        registry.register_collector(Box::new(EngineCollector::new(engine)));
        registry.register_collector(Box::new(JobsCollector::new(jobs, items)));
        registry.register_collector(Box::new(SpanFigures::new(spans.clone())));
        Arc::new(Self { registry, http, spans })
    }

    /// All figures, written down. Reads a few files of the kernel's: not for a runtime thread.
    pub(crate) fn text(&self, exposition: Exposition) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        match exposition {
            Exposition::OpenMetrics => text::encode(&mut text, &self.registry)?,
            Exposition::Text => prometheus_text::encode(&mut text, &self.registry)?,
        }
        Ok(text)
    }
}

impl HttpMetrics {
    /// A request has come; it is there for as long as what is returned.
    pub(crate) fn enter(&self) -> Active {
        self.active.inc();
        Active { gauge: self.active.clone() }
    }

    /// A request has been answered, or its answer has begun.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode, error: Option<&'static str>, took: Duration) {
        // What somebody makes up is one method, not many.
        let method = if is_known(method) { method.as_str() } else { "_OTHER" };
        let labels = Answered {
            http_request_method: method.to_owned(),
            http_route: route.to_owned(),
            http_response_status_code: status.as_u16(),
            error_type: error,
        };
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

fn is_known(method: &Method) -> bool {
    [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS, Method::PATCH].contains(method)
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Active {
    gauge: Gauge<i64, AtomicI64>,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

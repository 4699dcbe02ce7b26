//! What is told of a running daemon: figures for Prometheus, and spans of requests for a collector of traces (`otlp`).
//! `docs/metrics.md` lists all figures; a test compares the two.
//!
//! ```text
//!   pipeline ─▶ EngineMetrics ─┐
//!   HTTP ─────▶ HttpMetrics ───┼─▶ Metrics::text ─▶ /metrics
//!   engine.snapshot() ─▶ collect ┤   (once per scrape)
//!   jobs.snapshot() ─▶ jobs ───┤
//!   /proc ──▶ process ─────────┘
//! ```
//! What happens is counted where it happens; what is, is read off when somebody asks. Labels are of closed sets: no URL, no
//! process id, no key of a client ever is one.

mod collect;
mod engine;
mod exposition;
mod jobs;
mod metrics;
mod otlp;
mod process;
mod sheet;

pub(crate) use engine::{Asked, EngineMetrics, Rejection, Stage, place_of};
pub(crate) use exposition::Exposition;
pub(crate) use metrics::Metrics;
pub(crate) use otlp::Exporter;
pub use otlp::{OtlpConfig, Spans};

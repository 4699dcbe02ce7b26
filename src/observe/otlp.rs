//! The stages of requests, told to a collector of traces: OTLP over HTTP, as JSON.
//!
//! ```text
//!   tracing ─▶ SpanLayer ─▶ Spans (bounded; what finds no room is dropped and counted)
//!                             └▶ Exporter ─▶ encode ─▶ Collector ─▶ POST ENDPOINT/v1/traces
//! ```
//! Requests put finished spans down and go on; whether anybody fetches them is nothing to them. The spans are those that the log
//! has, too. Nothing is asked of a collector but whether it has taken a batch.

mod buffer;
mod collector;
mod config;
mod context;
mod encode;
mod exporter;
mod figures;
mod layer;
mod span;

pub use buffer::Spans;
pub use config::OtlpConfig;
pub(crate) use exporter::Exporter;
pub(super) use figures::SpanFigures;

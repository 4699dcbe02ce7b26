//! What is told of a running daemon: figures for Prometheus.

mod metrics;

pub(crate) use metrics::Metrics;

//! What has become of spans, for whoever scrapes figures. There from the beginning, also where none is exported.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::super::sheet::Sheet;
use super::buffer::{Counted, Spans};

/// Writes down what has become of spans.
#[derive(Debug)]
pub(in crate::observe) struct SpanFigures {
    spans: Spans,
}

impl SpanFigures {
    pub(in crate::observe) fn new(spans: Spans) -> Self {
        Self { spans }
    }
}

impl Collector for SpanFigures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sheet = &mut Sheet::new(encoder);
        let Counted { sent, dropped, failed, waiting } = self.spans.counted();
        let ends = [("sent", sent), ("dropped", dropped), ("failed", failed)];
        sheet.counter(
            "eventmesh_otlp_spans",
            "Spans of requests, by what became of them: sent, dropped for want of room, failed because the collector did not take them",
            ends.map(|(outcome, count)| ([("outcome", outcome)], count)),
        )?;
        sheet.one("eventmesh_otlp_waiting_spans", "Spans that wait to be sent", waiting)
    }
}

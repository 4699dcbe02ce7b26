//! A page to write families of figures on: each with its name, its kind and what it is, and one row per set of labels.

use std::collections::HashMap;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

/// Labels: names and values, always as many.
pub(super) type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

/// An observation that a figure points to. Ours point to none.
type Pointed = Exemplar<Labels<'static, 0>, f64>;
const NO_EXEMPLAR: Option<&Pointed> = None;
const NO_EXEMPLARS: Option<&HashMap<usize, Pointed>> = None;

/// Writes families. One without rows is written all the same: whoever looks for it finds that it is there.
#[derive(Debug)]
pub(super) struct Sheet<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl<'e> Sheet<'e> {
    pub(super) fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self { encoder }
    }

    /// What only grows. `name` is without `_total`, which is added.
    pub(super) fn counter<'l, V: EncodeCounterValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        let help = format!("{help}.");
        let mut family = self.encoder.encode_descriptor(name, &help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            if N == 0 {
                family.encode_counter(&value, NO_EXEMPLAR)?;
            } else {
                family.encode_family(&labels)?.encode_counter(&value, NO_EXEMPLAR)?;
            }
        }
        Ok(())
    }

    /// What goes up and down.
    pub(super) fn gauge<'l, V: EncodeGaugeValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        let help = format!("{help}.");
        let mut family = self.encoder.encode_descriptor(name, &help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            if N == 0 {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    /// How long something takes: all together in seconds, and the bounds with how many were within each and not within the one
    /// before. There is one row, without labels, or none.
    pub(super) fn histogram(&mut self, name: &str, help: &str, row: Option<(f64, Vec<(f64, u64)>)>) -> fmt::Result {
        let help = format!("{help}.");
        let mut family = self.encoder.encode_descriptor(name, &help, None, MetricType::Histogram)?;
        if let Some((sum, buckets)) = row {
            let count = buckets.iter().map(|(_, count)| count).sum();
            family.encode_histogram(sum, count, &buckets, NO_EXEMPLARS)?;
        }
        Ok(())
    }

    /// One gauge without labels.
    pub(super) fn one<V: EncodeGaugeValue>(&mut self, name: &str, help: &str, value: V) -> fmt::Result {
        self.gauge(name, help, [([], value)])
    }

    /// One counter without labels.
    pub(super) fn total<V: EncodeCounterValue>(&mut self, name: &str, help: &str, value: V) -> fmt::Result {
        self.counter(name, help, [([], value)])
    }
}

//! The settings of what is told of requests to a collector of traces.

use super::{Setting, typed};
use crate::config::codec::{Codec, Count, Text, Time, Unless};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "observe.otlp.endpoint",
        Unless<Text>,
        daemon.otlp.endpoint,
        "The collector that spans of requests are sent to, by OTLP over HTTP: http://HOST:4318; /v1/traces is added to it. It may stand in a private network, since only the operator names it. Default none: then there are no spans."
    ),
    setting!(
        "observe.otlp.timeout",
        Time,
        daemon.otlp.timeout,
        "How long the collector may take for one batch: by default what OpenTelemetry gives it."
    ),
    setting!(
        "observe.otlp.queue",
        Count,
        daemon.otlp.queue,
        "Spans that wait; more are dropped and counted, so that a collector that is gone costs no memory. The default is some 300 requests, and about 2 MiB."
    ),
    setting!(
        "observe.otlp.batch",
        Count,
        daemon.otlp.batch,
        "Spans sent at once: by default an eighth of the queue, so that there is room while a batch is on its way."
    ),
    setting!(
        "observe.otlp.interval",
        Time,
        daemon.otlp.interval,
        "How long a span waits at most until it is sent, if there is no full batch before: by default what OpenTelemetry has."
    ),
];

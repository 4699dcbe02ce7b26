//! Settings of the export of traces, and why those numbers.

use std::time::Duration;

use hyper::Uri;
use url::Url;

/// Where spans of requests go, and how.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// The collector: `http://HOST:4318`. Default none: then there are no spans.
    pub endpoint: Option<String>,
    /// How long the collector may take for one batch. Default 10 s, as OpenTelemetry has it.
    pub timeout: Duration,
    /// Spans that wait; more are dropped. Default 2,048: some 300 requests, and about 2 MiB.
    pub queue: usize,
    /// Spans sent at once. Default 256: an eighth of the queue, so that there is room while one batch is on its way.
    pub batch: usize,
    /// How long a span waits at most until it is sent. Default 5 s, as OpenTelemetry has it.
    pub interval: Duration,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self { endpoint: None, timeout: Duration::from_secs(10), queue: 2_048, batch: 256, interval: Duration::from_secs(5) }
    }
}

impl OtlpConfig {
    /// Everything that is wrong with these settings, each as a sentence that says what to do.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, problem: &str| {
            if !fine {
                problems.push(problem.to_owned());
            }
        };
        check(
            self.endpoint.as_deref().is_none_or(|endpoint| traces(endpoint).is_some()),
            "observe.otlp.endpoint must be http://HOST:PORT or https://HOST:PORT, without a user, a query or a fragment; /v1/traces is added to it",
        );
        check(
            (Duration::from_millis(1)..=Duration::from_secs(60)).contains(&self.timeout),
            "observe.otlp.timeout must be 1 ms to 1 min",
        );
        check((1..=65_536).contains(&self.queue), "observe.otlp.queue must be 1 to 65536");
        check(
            (1..=self.queue).contains(&self.batch),
            "observe.otlp.batch must be at least 1, and no more than observe.otlp.queue",
        );
        check(
            (Duration::from_millis(10)..=Duration::from_secs(3_600)).contains(&self.interval),
            "observe.otlp.interval must be 10 ms to 1 h",
        );
        problems
    }
}

/// Where a collector at `endpoint` takes traces.
pub(super) fn traces(endpoint: &str) -> Option<Uri> {
    let mut url = Url::parse(endpoint).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !plain || !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return None;
    }
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_every_problem_is_told() {
        assert_eq!(OtlpConfig::default().problems(), Vec::<String>::new());
        let bad = OtlpConfig {
            endpoint: Some("collector:4318".to_owned()),
            timeout: Duration::ZERO,
            queue: 0,
            batch: 0,
            interval: Duration::ZERO,
        };
        let problems = bad.problems();
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert!(problems.iter().all(|problem| problem.starts_with("observe.otlp.")), "{problems:?}");
        let large = OtlpConfig { batch: 2_049, ..OtlpConfig::default() };
        assert_eq!(large.problems().len(), 1);
    }

    #[test]
    fn an_endpoint_is_where_the_collector_is_and_no_more() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces")),
            ("http://collector:4318/", Some("http://collector:4318/v1/traces")),
            ("https://traces.example/otlp/", Some("https://traces.example/otlp/v1/traces")),
            ("http://[::1]:4318", Some("http://[::1]:4318/v1/traces")),
            ("https://user:secret@traces.example", None),
            ("https://user@traces.example", None),
            ("https://traces.example/?key=secret", None),
            ("https://traces.example/#x", None),
            ("grpc://collector:4317", None),
            ("collector:4318", None),
            ("collector", None),
            ("", None),
        ] {
            assert_eq!(traces(endpoint).map(|uri| uri.to_string()).as_deref(), expected, "{endpoint:?}");
        }
    }
}

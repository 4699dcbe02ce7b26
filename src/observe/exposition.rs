//! The two ways of writing figures down, and which of them a scraper wants.

use hyper::HeaderMap;
use hyper::header::ACCEPT;

/// How figures are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposition {
    /// OpenMetrics 1.0, as Prometheus asks for it.
    OpenMetrics,
    /// The older text of Prometheus 0.0.4, which everything else reads.
    Text,
}

impl Exposition {
    /// What `headers` ask for. Whoever does not ask for OpenMetrics by its name gets the text that everybody knows.
    pub(crate) fn negotiated(headers: &HeaderMap) -> Self {
        let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        let (mut open, mut plain) = (0.0_f64, 0.0_f64);
        for range in ranges {
            let mut parameters = range.split(';').map(str::trim);
            let media_type = parameters.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut known) = (1.0_f64, true);
            for (name, value) in parameters.filter_map(|parameter| parameter.split_once('=')) {
                match name.trim() {
                    "q" | "Q" => quality = value.trim().parse().unwrap_or(0.0),
                    // Version 0.0.1 is a draft that nobody needs any more.
                    "version" => known = media_type != "application/openmetrics-text" || value.trim() == "1.0.0",
                    _ => {}
                }
            }
            match &*media_type {
                "application/openmetrics-text" if known => open = open.max(quality),
                "text/plain" | "text/*" => plain = plain.max(quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Text }
    }

    /// What it calls itself.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => prometheus_client::encoding::prometheus_text::CONTENT_TYPE,
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_scraper_gets_what_it_reads() {
        // The first is what Prometheus 2.42 sends, the second what Prometheus 3 does.
        let table = [
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            ("application/openmetrics-text", Exposition::OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Exposition::Text),
            ("application/openmetrics-text;q=0", Exposition::Text),
            ("text/plain, application/openmetrics-text;q=0.5", Exposition::Text),
            ("text/html,*/*;q=0.8", Exposition::Text),
            ("*/*", Exposition::Text),
            ("", Exposition::Text),
        ];
        for (accept, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Exposition::negotiated(&headers), expected, "{accept}");
        }
        assert_eq!(Exposition::negotiated(&HeaderMap::new()), Exposition::Text);
    }
}

//! Answers that are not a page's but its proxy's, which says so in a header (RFC 9209).

use serde::Deserialize;

/// The headers of an answer, as far as they say that.
#[derive(Default, Deserialize)]
pub(super) struct Proxied {
    #[serde(rename = "proxy-status", alias = "Proxy-Status")]
    status: Option<String>,
}

impl Proxied {
    /// What a browser would call the failure, had it not gone through the proxy.
    pub(super) fn failure(&self) -> Option<&'static str> {
        Some(match self.status.as_deref()?.strip_prefix("eventmesh; error=")? {
            "destination_ip_prohibited" => "net::ERR_BLOCKED_BY_ADMINISTRATOR",
            "dns_error" => "net::ERR_NAME_NOT_RESOLVED",
            "connection_refused" => "net::ERR_CONNECTION_REFUSED",
            "connection_timeout" | "http_response_timeout" => "net::ERR_TIMED_OUT",
            // It had nothing to connect with.
            "proxy_internal_error" => "net::ERR_INSUFFICIENT_RESOURCES",
            _ => "net::ERR_INVALID_RESPONSE",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_proxy_speaks_of_itself() {
        let of = |text: &str| serde_json::from_str::<Proxied>(text).expect("it is JSON").failure();
        assert_eq!(of(r#"{"proxy-status": "eventmesh; error=dns_error", "x": "y"}"#), Some("net::ERR_NAME_NOT_RESOLVED"));
        assert_eq!(of(r#"{"Proxy-Status": "eventmesh; error=else"}"#), Some("net::ERR_INVALID_RESPONSE"));
        assert_eq!(of(r#"{"proxy-status": "eventmesh; error=proxy_internal_error"}"#), Some("net::ERR_INSUFFICIENT_RESOURCES"));
        assert_eq!(of(r#"{"proxy-status": "cdn; error=dns_error"}"#), None);
        assert_eq!(of("{}"), None);
    }
}

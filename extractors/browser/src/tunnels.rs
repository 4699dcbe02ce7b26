//! Why a page's document did not come through the proxy, by the browser's names.

use std::fmt;
use std::sync::Arc;

use url::Url;

/// What Chromium says of every tunnel that its proxy does not make.
const NO_TUNNEL: &str = "net::ERR_TUNNEL_CONNECTION_FAILED";

type Why = dyn Fn(&str) -> Option<&'static str> + Send + Sync;

/// Tells why tunnels through the proxy were not made: a browser only knows that one was not.
#[derive(Clone)]
pub struct Tunnels(Arc<Why>);

impl Tunnels {
    /// `why` is given the host and port of a tunnel as `CONNECT` has them (`example.com:443`), and says why the last one was not
    /// made, if it knows, by its name in RFC 9209 (`dns_error`).
    #[must_use]
    pub fn new(why: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> Self {
        Self(Arc::new(why))
    }

    /// What is the matter with `url`, of which the browser says `why`.
    pub(crate) fn explain(&self, url: &str, why: String) -> String {
        if why != NO_TUNNEL {
            return why;
        }
        let known = Url::parse(url).ok().and_then(|url| {
            let (host, port) = (url.host_str()?, url.port_or_known_default()?);
            (self.0)(&format!("{host}:{port}"))
        });
        known.map_or(why, |known| failure(known).to_owned())
    }
}

impl fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnels")
    }
}

/// What a browser would call what the proxy names so, had it not gone through the proxy.
pub(crate) fn failure(name: &str) -> &'static str {
    match name {
        "destination_ip_prohibited" => "net::ERR_BLOCKED_BY_ADMINISTRATOR",
        "dns_error" => "net::ERR_NAME_NOT_RESOLVED",
        "connection_refused" => "net::ERR_CONNECTION_REFUSED",
        "connection_timeout" | "http_response_timeout" => "net::ERR_TIMED_OUT",
        // It had nothing to connect with.
        "proxy_internal_error" => "net::ERR_INSUFFICIENT_RESOURCES",
        _ => "net::ERR_INVALID_RESPONSE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_proxy_knows_is_told_instead_of_what_the_browser_does_not() {
        let tunnels = Tunnels::new(|authority| match authority {
            "a.example:443" => Some("dns_error"),
            "[::1]:8443" => Some("destination_ip_prohibited"),
            _ => None,
        });
        let explain = |url: &str, why: &str| tunnels.explain(url, why.to_owned());
        assert_eq!(explain("https://A.example/x?y", NO_TUNNEL), "net::ERR_NAME_NOT_RESOLVED");
        assert_eq!(explain("https://[::1]:8443/", NO_TUNNEL), "net::ERR_BLOCKED_BY_ADMINISTRATOR");
        // Another port, no address, and what is no matter of tunnels.
        assert_eq!(explain("https://a.example:444/", NO_TUNNEL), NO_TUNNEL);
        assert_eq!(explain("", NO_TUNNEL), NO_TUNNEL);
        assert_eq!(explain("https://a.example/", "net::ERR_CERT_DATE_INVALID"), "net::ERR_CERT_DATE_INVALID");
    }
}

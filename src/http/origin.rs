//! Who asks without a key: programs of this machine, and not a web page that a browser of this machine shows.
//!
//! A page of any site may send requests to 127.0.0.1, and by a name of its own that leads there (DNS rebinding) even read the
//! answers. A browser says on whose behalf it asks, and which name it was given; programs say neither, or what they were told.
//! The operator may name the hosts that this daemon is known as, such as that of a proxy in front of it: nobody else can make
//! such a name lead here.

use std::net::IpAddr;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::Uri;
use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};

use super::problem::{HttpFailure, Problem};

/// How a browser says where the page that asks is from, as seen from here.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A request that came by a socket file, where no browser comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct BySocketFile;

/// Refuses what a page of another site asks for, or what was asked for by a name that could be anybody's: any but `known`.
pub(super) fn check(request: &Request, known: &[String]) -> Result<(), Problem> {
    if request.extensions().get::<BySocketFile>().is_some() {
        return Ok(());
    }
    match foreign(request.uri(), request.headers(), known) {
        None => Ok(()),
        Some(why) => Err(Problem::http(HttpFailure::Foreign, why)),
    }
}

/// The same for all that comes where no names are known.
pub(super) async fn ours(request: Request, next: Next) -> Response {
    match check(&request, &[]) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Why a request is a stranger's, if it is.
fn foreign(uri: &Uri, headers: &HeaderMap, known: &[String]) -> Option<&'static str> {
    // What is no text is nobody's that is let in.
    let said = |name: HeaderName| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect::<Vec<_>>();
    let (mut hosts, origins, sites) = (said(HOST), said(ORIGIN), said(SEC_FETCH_SITE));
    hosts.extend(uri.authority().map(axum::http::uri::Authority::as_str));
    if !hosts.iter().all(|host| is_ours(host, known)) {
        return Some(
            "the request's Host is neither an IP address nor localhost, nor a name that daemon.hosts has for the API; without \
             keys, or as an operator, ask by one of these",
        );
    }
    // A page that is served here may ask here.
    let same = |origin: &str| {
        let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        from.is_some_and(|from| hosts.iter().any(|host| host.eq_ignore_ascii_case(from)))
    };
    if !origins.iter().all(|origin| same(origin)) {
        return Some("the request comes from a web page of another site, as its Origin says");
    }
    if !sites.iter().all(|site| matches!(*site, "none" | "same-origin")) {
        return Some("the request comes from a web page of another site, as its Sec-Fetch-Site says");
    }
    None
}

/// Whether nobody else can have made a name lead here: it is none, or the one that every machine has for itself, or it is known.
fn is_ours(authority: &str, known: &[String]) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        // No name stands in brackets, and nothing but a port can follow.
        let (address, port) = rest.split_once(']').unwrap_or_default();
        return address.parse::<IpAddr>().is_ok() && (port.is_empty() || port.starts_with(':'));
    }
    let host = authority.split_once(':').map_or(authority, |(host, _)| host);
    let is = |name: &str| host.eq_ignore_ascii_case(name);
    is("localhost") || host.parse::<IpAddr>().is_ok() || known.iter().any(|name| is(name))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    type Said = &'static [(&'static str, &'static str)];

    #[test]
    fn programs_of_this_machine_are_let_in_and_pages_of_other_sites_are_not() {
        const SITE: &str = "sec-fetch-site";
        let table: &[(&str, Said, bool)] = &[
            ("/", &[], true),
            ("/", &[("host", "127.0.0.1:7801")], true),
            ("/", &[("host", "[::1]:7801")], true),
            ("/", &[("host", "[::1]")], true),
            ("/", &[("host", "LocalHost:7801")], true),
            ("/", &[("host", "192.0.2.7")], true),
            ("/", &[("host", "rebound.example:7801")], false),
            ("/", &[("host", "localhost.example")], false),
            ("/", &[("host", "127.0.0.1.example:7801")], false),
            ("/", &[("host", "[::1].example")], false),
            ("/", &[("host", "")], false),
            ("/", &[("host", "127.0.0.1"), ("host", "rebound.example")], false),
            ("http://127.0.0.1:7801/", &[], true),
            ("http://rebound.example/", &[], false),
            ("http://rebound.example/", &[("host", "127.0.0.1")], false),
            ("/", &[("host", "127.0.0.1:7800"), ("origin", "http://127.0.0.1:7800")], true),
            ("/", &[("host", "localhost:7800"), ("origin", "http://localhost:7800"), (SITE, "same-origin")], true),
            ("/", &[("host", "127.0.0.1:7800"), ("origin", "http://127.0.0.1:8080")], false),
            ("/", &[("host", "127.0.0.1:7800"), ("origin", "http://localhost:7800")], false),
            ("/", &[("host", "127.0.0.1:7800"), ("origin", "https://example.com")], false),
            ("/", &[("host", "127.0.0.1:7800"), ("origin", "null")], false),
            ("/", &[("origin", "http://127.0.0.1:7800")], false),
            ("/", &[("host", "127.0.0.1:7800"), (SITE, "none")], true),
            ("/", &[("host", "127.0.0.1:7800"), (SITE, "same-site")], false),
            ("/", &[("host", "127.0.0.1:7800"), (SITE, "cross-site")], false),
            ("/", &[("host", "127.0.0.1:7800"), (SITE, "")], false),
        ];
        for (uri, said, fine) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *said {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let why = foreign(&uri.parse().expect("a URI"), &headers, &[]);
            assert_eq!(why.is_none(), *fine, "{uri} {said:?}: {why:?}");
        }
        let headers: HeaderMap = [(ORIGIN, HeaderValue::from_bytes(b"\xff").expect("a value"))].into_iter().collect();
        assert!(foreign(&Uri::from_static("/"), &headers, &[]).is_some());
    }

    #[test]
    fn who_asks_by_a_name_that_is_known_is_let_in_and_pages_of_other_sites_are_not() {
        const SITE: &str = "sec-fetch-site";
        let known = ["mesh.example.org".to_owned(), "mesh".to_owned()];
        let table: &[(&str, Said, bool)] = &[
            ("/", &[("host", "mesh.example.org")], true),
            ("/", &[("host", "Mesh.Example.org:8443")], true),
            ("/", &[("host", "mesh")], true),
            ("/", &[("host", "127.0.0.1:7800")], true),
            ("http://mesh.example.org/", &[], true),
            ("/", &[("host", "mesh.example.org"), ("origin", "https://mesh.example.org"), (SITE, "same-origin")], true),
            ("/", &[("host", "")], false),
            ("/", &[("host", "example.org")], false),
            ("/", &[("host", "a.mesh.example.org")], false),
            ("/", &[("host", "mesh.example.org.rebound.example")], false),
            ("/", &[("host", "[mesh]")], false),
            ("/", &[("host", "mesh"), ("host", "rebound.example")], false),
            ("http://rebound.example/", &[("host", "mesh")], false),
            // A name that is known is no name that pages may come from: those of the host itself, and no others.
            ("/", &[("host", "mesh"), ("origin", "https://mesh.example.org")], false),
            ("/", &[("host", "127.0.0.1:7800"), ("origin", "https://mesh.example.org")], false),
            ("/", &[("host", "mesh.example.org"), ("origin", "https://example.com")], false),
            ("/", &[("host", "mesh.example.org"), ("origin", "null")], false),
            ("/", &[("host", "mesh.example.org"), (SITE, "cross-site")], false),
        ];
        for (uri, said, fine) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *said {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let why = foreign(&uri.parse().expect("a URI"), &headers, &known);
            assert_eq!(why.is_none(), *fine, "{uri} {said:?}: {why:?}");
        }
    }
}

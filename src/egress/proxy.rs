//! The proxy that browsers go through: what a page asks for passes the same door as what the engine asks for.
//!
//! A browser resolves no name and connects to nothing but this. Requests for `http` are passed on one by one, all else
//! (TLS, WebSockets) goes through tunnels. What is refused is answered with 403 and a `Proxy-Status` (RFC 9209) that says
//! so; nothing says what a name resolves to.
//!
//! It listens on the loopback interface. Other programs of this machine can use it, too, and get from it what the policy
//! allows, which is less than they can reach by themselves.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::{ServiceContext, spawn_named};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Connector, DialError, Egress, cause};

/// Connections from browsers at once. A browser holds a few dozen per page.
const CONNECTIONS: usize = 1_024;
/// How long a browser may take to say what it wants.
const HEAD: Duration = Duration::from_secs(10);
/// How long an origin may take to begin its answer. A page's own deadline is mostly earlier.
const ANSWER: Duration = Duration::from_secs(120);
/// How long a connection that nobody uses is kept for the next request.
const IDLE: Duration = Duration::from_secs(15);
/// Such connections of one origin.
const IDLE_PER_HOST: usize = 6;

/// Tunnels that were not made which are kept in mind: as many as can have been asked for since a browser was told, and bytes of a
/// host's name and port.
const REFUSED: usize = CONNECTIONS;
const NAME: usize = 260;

type Body = BoxBody<Bytes, hyper::Error>;

/// The proxy of one engine. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    egress: Egress,
    client: Client<Connector, Incoming>,
    listener: std::net::TcpListener,
    address: SocketAddr,
    connections: Arc<Semaphore>,
    /// Tunnels that were not made, and why: those of late.
    refused: Mutex<VecDeque<(String, &'static str)>>,
}

impl Proxy {
    /// Takes a port. Nobody is served before [`Proxy::run`].
    pub(crate) fn open(egress: Egress) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_preserve_header_case(true)
            .build(Connector::new(egress.clone()));
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        Ok(Self { inner: Arc::new(Inner { egress, client, listener, address, connections, refused: Mutex::default() }) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// Why a tunnel to that host and port (`example.com:443`) was not made when one was not, by its name in RFC 9209.
    pub(crate) fn refused(&self, authority: &str) -> Option<&'static str> {
        let refused = self.inner.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(authority)).map(|(_, why)| *why)
    }

    fn remember(&self, authority: String, why: &'static str) {
        // There is no such name.
        if authority.len() > NAME {
            return;
        }
        let mut refused = self.inner.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|(known, _)| *known != authority);
        if refused.len() == REFUSED {
            refused.pop_front();
        }
        refused.push_back((authority, why));
    }

    /// Serves until it is asked to stop, as a service of the tree. A later life listens at the same port.
    pub(crate) async fn run(self, context: ServiceContext) -> io::Result<()> {
        let listener = TcpListener::from_std(self.inner.listener.try_clone()?)?;
        context.ready();
        loop {
            let accepted = tokio::select! {
                () = context.stopping() => return Ok(()),
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let proxy = self.clone();
                    spawn_named("proxy's connection", async move {
                        proxy.serve(stream).await;
                        drop(permit);
                    });
                }
                // The other side has thought better of it, or there are no descriptors left, which will pass.
                Err(error) => {
                    tracing::debug!(%error, "a browser's connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// The next connection, as soon as there is room for it.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.inner.connections).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, permit))
    }

    async fn serve(&self, stream: TcpStream) {
        let service = service_fn(|request| async { Ok::<_, Infallible>(self.answer(request).await) });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .preserve_header_case(true)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a browser's connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.method() == Method::CONNECT { self.tunnel(request).await } else { self.pass_on(request).await }
    }

    async fn tunnel(&self, request: Request<Incoming>) -> Response<Body> {
        // As it was written: whoever takes it apart might leave something out.
        let authority = request.uri().authority().map(hyper::http::uri::Authority::as_str);
        let parts = authority.and_then(|authority| authority.rsplit_once(':'));
        let Some((host, port)) = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?))) else {
            return failed(StatusCode::BAD_REQUEST, "http_request_error");
        };
        let mut origin = match self.inner.egress.dial_authority(host, port).await {
            Ok(origin) => origin,
            Err(error) => {
                self.remember(format!("{host}:{port}"), name(&error));
                return refusal(&error);
            }
        };
        spawn_named("proxy's tunnel", async move {
            match hyper::upgrade::on(request).await {
                Ok(browser) => {
                    if let Err(error) = copy_bidirectional(&mut TokioIo::new(browser), &mut origin).await {
                        tracing::trace!(%error, "a tunnel ended early");
                    }
                }
                Err(error) => tracing::debug!(%error, "a tunnel was not begun"),
            }
        });
        Response::new(empty())
    }

    async fn pass_on(&self, mut request: Request<Incoming>) -> Response<Body> {
        if request.uri().scheme_str() != Some("http") || request.uri().authority().is_none() {
            return failed(StatusCode::BAD_REQUEST, "http_request_error");
        }
        without_hops(request.headers_mut());
        // What this connection speaks is nothing to the origin.
        *request.version_mut() = hyper::Version::HTTP_11;
        match timeout(ANSWER, self.inner.client.request(request)).await {
            Ok(Ok(mut response)) => {
                without_hops(response.headers_mut());
                // Only the proxy itself may say so.
                response.headers_mut().remove(PROXY_STATUS);
                response.map(BodyExt::boxed)
            }
            Ok(Err(error)) => match cause(&error) {
                Some(error) => refusal(error),
                None => failed(StatusCode::BAD_GATEWAY, "http_protocol_error"),
            },
            Err(_) => failed(StatusCode::GATEWAY_TIMEOUT, "http_response_timeout"),
        }
    }
}

/// Says why the proxy itself answers, by RFC 9209.
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

fn refusal(error: &DialError) -> Response<Body> {
    let status = match error {
        DialError::Refused(_) => StatusCode::FORBIDDEN,
        DialError::Unresolved { .. } | DialError::Unreachable { .. } => StatusCode::BAD_GATEWAY,
        DialError::Short { .. } => StatusCode::SERVICE_UNAVAILABLE,
        DialError::Late { .. } => StatusCode::GATEWAY_TIMEOUT,
    };
    failed(status, name(error))
}

fn name(error: &DialError) -> &'static str {
    match error {
        DialError::Refused(_) => "destination_ip_prohibited",
        DialError::Unresolved { .. } => "dns_error",
        DialError::Unreachable { .. } => "connection_refused",
        DialError::Short { .. } => "proxy_internal_error",
        DialError::Late { .. } => "connection_timeout",
    }
}

fn failed(status: StatusCode, error: &'static str) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(&format!("eventmesh; error={error}")) {
        response.headers_mut().insert(PROXY_STATUS, value);
    }
    response
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// Takes out what concerns this connection alone (RFC 9110 §7.6.1).
fn without_hops(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    let proxy_connection = HeaderName::from_static("proxy-connection");
    let keep_alive = HeaderName::from_static("keep-alive");
    for name in [
        header::CONNECTION,
        proxy_connection,
        keep_alive,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("proxy-connection", "keep-alive"),
            ("x-end", "2"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        without_hops(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-end"]);
    }

    #[test]
    fn refusals_do_not_tell_what_a_name_resolves_to() {
        let response = refusal(&DialError::Refused(super::super::Refused::Malformed));
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()[PROXY_STATUS], "eventmesh; error=destination_ip_prohibited");
    }
}

//! A client of a daemon: the same request, answered elsewhere.
//!
//! ```text
//!   Request ─▶ ask ─▶ POST /v1/extract ─▶ told ─▶ Answer, or the Error that an engine here would have given
//! ```
//! It talks to the operator's own daemon and to nobody else, so the egress policy, which is about pages, does not concern it.
//! Files are read here and sent; URLs are fetched there. Dropping a call ends its connection, and with it the work.

mod address;
mod ask;
mod connector;
mod patience;
mod told;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::error::{Error, ErrorKind};
use crate::fetch;
use crate::reply::Answer;
use crate::request::{Request, Source};
pub(crate) use address::Address;
use ask::{Ask, ask};
use connector::{Connector, why};
pub(crate) use patience::Patience;
pub(crate) use told::Refusal;
use told::{Abilities, Said, abilities, answer, lost, refusal};

/// Bytes of an answer that are taken: the largest PDF that is not streamed, twice, since each text comes twice.
const LARGEST_ANSWER: usize = 512 << 20;
/// What a body needs besides the page in it.
const AROUND_A_PAGE: u64 = 1 << 20;
/// How much later than its deadline an answer may come: it has to be sent, and there are networks between.
const LATER: Duration = Duration::from_secs(15);
/// How long a question about the daemon itself may take.
const SHORT: Duration = Duration::from_secs(10);
/// How long a connection that nobody uses is kept, which is less than a daemon keeps it.
const KEPT: Duration = Duration::from_secs(15);

/// What opens a daemon. It is shown to nobody.
#[derive(Clone)]
pub(crate) struct Key(HeaderValue);

impl Key {
    /// `None` if it is nothing that could be a key.
    pub(crate) fn new(secret: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {secret}")).ok().filter(|_| !secret.is_empty())?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A client of one daemon. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connections: Connections<HttpsConnector<Connector>, Full<Bytes>>,
    address: Address,
    key: Option<Key>,
    abilities: OnceCell<Abilities>,
}

impl Client {
    pub(crate) fn new(address: Address, key: Option<Key>) -> Result<Self, Error> {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Internal, "TLS cannot be set up").caused_by(error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // One request at a time on each connection: one that is given up can then end with its connection.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Connector::new(&address));
        let connections =
            Connections::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(KEPT).build(connector);
        if key.is_some() && address.is_overheard() {
            tracing::warn!(%address, "the key goes over the network as it is; https would hide it");
        }
        Ok(Self { inner: Arc::new(Inner { connections, address, key, abilities: OnceCell::new() }) })
    }

    /// Bytes of the largest page that the daemon takes.
    pub(crate) async fn largest_page(&self) -> Result<u64, Refusal> {
        let limits = self.abilities().await?.limits;
        Ok(limits.page_bytes.min(limits.body_bytes.saturating_sub(AROUND_A_PAGE)))
    }

    /// What the daemon says that it can do. It is asked once.
    async fn abilities(&self) -> Result<Abilities, Refusal> {
        let asked = self.inner.abilities.get_or_try_init(|| async {
            let ask = Ask { path: "/v1/capabilities", body: None };
            abilities(&self.send(ask, SHORT).await?)
        });
        asked.await.copied()
    }

    /// One page, as [`Engine::extract`](crate::Engine::extract) and then [`Reply::document`](crate::Reply::document) have it.
    /// It is asked for once.
    pub(crate) async fn extract(&self, request: Request, within: Duration) -> Result<Answer, Refusal> {
        let page = match &request.source {
            Source::Url(_) => None,
            Source::Bytes(bytes) => {
                let limit = self.largest_page().await?;
                if bytes.len() as u64 > limit {
                    return Err(fetch::too_large(limit).into());
                }
                Some(bytes.clone())
            }
            Source::Path(path) => Some(fetch::read(path.clone(), self.largest_page().await?).await?.into()),
        };
        let within = request.deadline.unwrap_or(within);
        let said = self.send(ask(&request, page.as_ref(), within)?, within.saturating_add(LATER)).await?;
        // Reading a large answer takes long, and there are other answers to be waited for.
        let read = tokio::task::spawn_blocking(move || answer(&said)).await;
        read.map_err(|error| Error::new(ErrorKind::Internal, "reading the answer was interrupted").caused_by(error))?
    }

    /// Asks, and takes in all that is said. What is no success is a refusal already.
    async fn send(&self, ask: Ask, within: Duration) -> Result<Said, Refusal> {
        let inner = &self.inner;
        let address = &inner.address;
        let mut request = match ask.body {
            None => hyper::Request::get(address.uri(ask.path)).body(Full::default()),
            Some((kind, body)) => hyper::Request::post(address.uri(ask.path)).header(CONTENT_TYPE, kind).body(Full::new(body)),
        }
        .map_err(|error| Error::new(ErrorKind::Internal, "the daemon cannot be asked").caused_by(error))?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("eventmesh/", env!("CARGO_PKG_VERSION"))));
        if let Some(key) = &inner.key {
            headers.insert(AUTHORIZATION, key.0.clone());
        }
        let asked = async {
            let response = inner.connections.request(request).await.map_err(|error| {
                let how = if error.is_connect() { "cannot be reached" } else { "has broken off" };
                lost(format!("the daemon at {address} {how}: {}", why(&error)), error)
            })?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    let message = format!("the daemon's answer is larger than {} MiB", LARGEST_ANSWER >> 20);
                    return Error::new(ErrorKind::TooLarge, message).into();
                }
                lost(format!("the daemon at {address} has broken off: {}", why(&*error)), error)
            })?;
            Ok::<_, Refusal>(Said { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        let said = timeout(within, asked).await.map_err(|_| {
            let message = format!("the daemon at {address} has not answered within {within:?}");
            Error::new(ErrorKind::Deadline, message)
        })??;
        if said.status.is_success() { Ok(said) } else { Err(refusal(&said, address)) }
    }
}

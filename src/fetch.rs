//! Getting a page: from memory, from a file, or from the web by a plain GET, within limits and with manners.
//!
//! ```text
//!   get ─▶ fetch ─▶ follow ─▶ persist ─┬▶ robots ─▶ turns (hosts, breaker) ─▶ once
//!                                      └◀───────────── retry ◀────────────────┘
//! ```
//! Whom it connects to is not its business: every connection, that of each redirect too, goes through
//! [`egress`](crate::egress).

mod asking;
mod breaker;
mod hosts;
mod retry;
mod robots;
mod terms;
mod turns;

use std::error::Error as StdError;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::Priority;
use flate2::bufread::GzDecoder;
use http_body_util::Empty;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LOCATION, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use url::Url;

use crate::admission::{Admission, Permit};
use crate::cache::{Freshness, FreshnessPolicy, ResponseHead, UnixTime, Validators};
use crate::config::Config;
use crate::egress::{Connector, Egress, cause};
use crate::error::{Error, ErrorKind};
use crate::observe::EngineMetrics;
use crate::reply::Head;
use crate::request::Source;

pub(crate) use breaker::Outcome;
pub use hosts::HostLimits;
pub use retry::RetryLimits;
pub(crate) use retry::retry_after;
pub(crate) use terms::Terms;

/// A page as found.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) head: Head,
    pub(crate) bytes: Bytes,
    /// How long it may be used, if it was on the web.
    pub(crate) freshness: Option<Freshness>,
    /// The right to hold those bytes.
    permit: Permit,
}

/// What has come of a question.
#[derive(Debug)]
pub(crate) enum Got {
    Page(Page),
    /// What is known already is still so.
    NotModified(Freshness),
}

/// Gets pages.
#[derive(Debug)]
pub(crate) struct Fetcher {
    client: Client<HttpsConnector<Connector>, Empty<Bytes>>,
    egress: Egress,
    user_agent: HeaderValue,
    idle: Duration,
    redirects: usize,
    max_page_bytes: u64,
    max_wire_bytes: u64,
    policy: FreshnessPolicy,
    body: Duration,
    ratio: u64,
    turns: turns::Turns,
    retries: RetryLimits,
    retried: AtomicU64,
    robots: robots::Known,
    robots_kept: Duration,
    robots_again: Duration,
    disallowed: AtomicU64,
}

/// How sites are treated.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FetchSnapshot {
    /// Hosts that are known now.
    pub hosts: usize,
    /// Hosts now that are not asked, or by one request alone, since they have failed so often.
    pub broken: usize,
    /// Sites now whose robots.txt is known, or being asked for.
    pub robots: usize,
    /// Requests now that wait for their turn at a host.
    pub waiting: u64,
    /// Requests so far that had to wait for their turn at a host.
    pub waited: u64,
    /// Requests so far that were refused instead.
    pub refused: u64,
    /// Times that something was asked for again.
    pub retried: u64,
    /// Times that a host has asked to be left alone.
    pub paused: u64,
    /// Times that a host has failed so often that it was not asked for a while.
    pub opened: u64,
    /// Requests so far that robots.txt did not allow.
    pub disallowed: u64,
}

/// Up to this size a page may be as much larger than what was sent as it likes.
const ANY_RATIO: u64 = 1 << 20;
/// How long a connection that nobody uses is kept for the next page, and how many of one host.
const KEPT: Duration = Duration::from_secs(30);
const KEPT_PER_HOST: usize = 4;

/// TLS as all clients of this crate speak it: with the roots that browsers trust, and no certificate of our own.
pub(crate) fn tls() -> Result<rustls::ClientConfig, FetcherError> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // The provider is handed over, not installed: that would be global.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

/// Connects through the door, by TLS where that is asked for.
pub(crate) fn connector(egress: Egress) -> Result<HttpsConnector<Connector>, FetcherError> {
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls()?).https_or_http().enable_http1().enable_http2();
    Ok(connector.wrap_connector(Connector::new(egress)))
}

impl Fetcher {
    pub(crate) fn new(config: &Config, egress: Egress) -> Result<Self, FetcherError> {
        let limits = &config.fetch;
        let connector = connector(egress.clone())?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .pool_max_idle_per_host(KEPT_PER_HOST)
            .http1_max_headers(limits.headers)
            .http1_max_buf_size(limits.header_bytes)
            .http2_max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .build(connector);
        Ok(Self {
            client,
            egress,
            user_agent: HeaderValue::from_str(&limits.user_agent).map_err(|_| FetcherError::UserAgent)?,
            idle: limits.idle,
            redirects: limits.redirects,
            max_page_bytes: config.max_page_bytes,
            max_wire_bytes: limits.wire_bytes,
            policy: config.cache.freshness.clone(),
            body: limits.body,
            ratio: limits.ratio,
            turns: turns::Turns::new(limits.hosts),
            retries: limits.retries,
            retried: AtomicU64::new(0),
            robots: robots::Known::default(),
            robots_kept: limits.robots_kept,
            robots_again: limits.robots_again,
            disallowed: AtomicU64::new(0),
        })
    }

    pub(crate) fn snapshot(&self) -> FetchSnapshot {
        let counts = self.turns.counts();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        FetchSnapshot {
            hosts: self.turns.hosts(),
            broken: self.turns.broken(),
            robots: self.robots.len(),
            waiting: count(&counts.waiting),
            waited: count(&counts.waited),
            refused: count(&counts.refused),
            retried: count(&self.retried),
            paused: count(&counts.paused),
            opened: count(&counts.opened),
            disallowed: count(&self.disallowed),
        }
    }

    /// Gets a page, admitting its bytes with `permit` as they come. The page holds the permit from then on.
    pub(crate) async fn get(
        &self,
        source: Source,
        mut permit: Permit,
        known: Option<&Validators>,
        terms: &Terms,
    ) -> Result<Got, Error> {
        match source {
            Source::Bytes(bytes) => {
                if bytes.len() as u64 > self.max_page_bytes {
                    return Err(too_large(self.max_page_bytes));
                }
                permit.grow(bytes.len() as u64)?;
                Ok(Got::Page(Page::local(bytes, permit)))
            }
            Source::Path(path) => {
                let limit = self.max_page_bytes;
                blocking(move || {
                    let bytes = read_file(&path, limit, &mut permit)?;
                    Ok(Got::Page(Page::local(bytes.into(), permit)))
                })
                .await?
            }
            Source::Url(url) => self.fetch(&url, permit, known, terms).await,
        }
    }

    async fn fetch(&self, address: &str, mut permit: Permit, known: Option<&Validators>, terms: &Terms) -> Result<Got, Error> {
        let url = self.egress.parse(address).map_err(|refused| refused.error(address))?;
        let asked_at = UnixTime::now();
        // The turn is held until the body is there.
        let (response, url, _turn) = self.follow(url, known, terms).await?;
        let address = url.as_str();
        let status = response.status();
        let freshness = self.freshness(&response, asked_at);
        if status == StatusCode::NOT_MODIFIED && known.is_some() {
            return Ok(Got::NotModified(freshness));
        }
        if !status.is_success() {
            let kind = match status.as_u16() {
                404 | 410 => ErrorKind::SourceNotFound,
                _ => ErrorKind::SourceRefused,
            };
            let error = Error::new(kind, format!("{address} answers with HTTP {status}")).upstream(status.as_u16());
            let wish = asking::wish(response.headers()).filter(|_| matches!(status.as_u16(), 429 | 503));
            return Err(match wish {
                Some(wish) => error.retry_after(wish),
                None => error,
            });
        }
        let gzip = match text_of(response.headers(), &CONTENT_ENCODING).map(|coding| coding.to_ascii_lowercase()).as_deref() {
            None | Some("identity" | "") => false,
            Some("gzip" | "x-gzip") => true,
            Some(other) => {
                let message = format!("{address} is sent as {other}, which was not asked for and cannot be read");
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        };
        let limit = if gzip { self.max_wire_bytes } else { self.max_wire_bytes.min(self.max_page_bytes) };
        let (parts, mut body) = response.into_parts();
        if body.size_hint().exact().is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let mut wire = Vec::new();
        let until = Instant::now() + self.body;
        while let Some(frame) = self.part(&mut body, until, address).await? {
            let Ok(part) = frame.into_data() else { continue };
            if wire.len() as u64 + part.len() as u64 > limit {
                return Err(too_large(limit));
            }
            permit.grow(part.len() as u64)?;
            wire.extend_from_slice(&part);
        }
        let mut head = Head {
            url: Some(address.to_owned()),
            status: Some(status.as_u16()),
            content_type: text_of(&parts.headers, &CONTENT_TYPE),
            bytes: wire.len(),
        };
        if gzip {
            // What grows out of all proportion is no page.
            let proportion = (wire.len() as u64).saturating_mul(self.ratio).max(ANY_RATIO);
            let limit = self.max_page_bytes.min(proportion);
            let (ratio, page) = (self.ratio, self.max_page_bytes);
            let inflated = blocking(move || {
                let bytes = inflate(&wire[..], limit, &mut permit);
                bytes.map(|bytes| (bytes, permit))
            });
            (wire, permit) = inflated.await?.map_err(|error| match error {
                Inflate::Refused(error) if error.kind() == ErrorKind::TooLarge && limit < page => {
                    let message = format!("{address} is more than {ratio} times as large as it was sent: no page is");
                    Error::new(ErrorKind::TooLarge, message)
                }
                Inflate::Refused(error) => error,
                Inflate::Broken(error) => {
                    Error::new(ErrorKind::SourceUnreadable, format!("{address} is sent as gzip, but broken")).caused_by(error)
                }
            })?;
        }
        head.bytes = wire.len();
        Ok(Got::Page(Page { head, bytes: wire.into(), freshness: Some(freshness), permit }))
    }

    /// Asks for `url`, and for what it redirects to.
    async fn follow(
        &self,
        mut url: Url,
        known: Option<&Validators>,
        terms: &Terms,
    ) -> Result<(Response<Incoming>, Url, turns::Turn), Error> {
        for _ in 0..=self.redirects {
            let (response, turn) = self.persist(&url, known, terms).await?;
            let location =
                response.headers().get(LOCATION).filter(|_| matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308));
            let Some(location) = location else { return Ok((response, url, turn)) };
            let next = location.to_str().ok().and_then(|location| url.join(location).ok());
            let Some(mut next) = next else {
                return Err(Error::new(ErrorKind::SourceRefused, format!("{url} redirects to what is no URL")));
            };
            if next.fragment().is_none() {
                next.set_fragment(url.fragment());
            }
            url = self.egress.parse(next.as_str()).map_err(|refused| refused.error(next.as_str()))?;
        }
        Err(Error::new(
            ErrorKind::SourceRefused,
            format!("{url} is the last of {} redirects, and redirects again", self.redirects),
        ))
    }

    /// How long what `response` brings may be used.
    fn freshness(&self, response: &Response<Incoming>, asked_at: UnixTime) -> Freshness {
        let headers: Vec<_> =
            response.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let head = ResponseHead { status: response.status().as_u16(), headers: &headers, authorized: false };
        Freshness::of(&head, asked_at, &self.policy)
    }

    fn ask(&self, url: &Url, known: Option<&Validators>, terms: &Terms) -> Result<Request<Empty<Bytes>>, Error> {
        let mut address = url.clone();
        address.set_fragment(None);
        let mut request = Request::get(address.as_str());
        if let Some(etag) = known.and_then(|known| known.etag.as_deref()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(since) = known.and_then(|known| known.last_modified.as_deref()) {
            request = request.header(IF_MODIFIED_SINCE, since);
        }
        if let Some(cookies) = terms.session.as_ref().and_then(|session| session.header(url)) {
            request = request.header(COOKIE, cookies);
        }
        request
            .header(ACCEPT, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5")
            .header(ACCEPT_ENCODING, "gzip")
            .header(USER_AGENT, self.user_agent.clone())
            .body(Empty::new())
            // There are URLs that are none in HTTP.
            .map_err(|error| Error::new(ErrorKind::InvalidRequest, format!("{address} cannot be asked for: {error}")))
    }

    fn silent(&self, address: &str) -> Error {
        Error::new(ErrorKind::SourceUnreadable, format!("failed to fetch {address}: nothing came for {:?}", self.idle))
    }
}

/// Why there is nobody who could get pages.
#[derive(Debug, thiserror::Error)]
pub enum FetcherError {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// It must call itself something that can stand in a header.
    #[error("fetch.user_agent holds characters that no header may hold")]
    UserAgent,
}

impl Page {
    fn local(bytes: Bytes, permit: Permit) -> Self {
        let head = Head { url: None, status: None, content_type: None, bytes: bytes.len() };
        Self { head, bytes, freshness: None, permit }
    }

    /// The page without its head, for as long as the permit is held.
    pub(crate) fn hold(self) -> (Bytes, Permit) {
        (self.bytes, self.permit)
    }
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(|value| value.trim().to_owned())
}

/// A page is larger than `limit`.
pub(crate) fn too_large(limit: u64) -> Error {
    let message = format!("the page is larger than {} MiB, the limit for one page", limit.div_ceil(1 << 20));
    Error::new(ErrorKind::TooLarge, message)
}

fn unreachable(address: &str, error: impl StdError + Send + Sync + 'static) -> Error {
    if let Some(dial) = cause(&error) {
        return dial.told(address).caused_by(error);
    }
    let mut why: &(dyn StdError + 'static) = &error;
    while let Some(source) = why.source() {
        why = source;
    }
    let message = format!("failed to fetch {address}: {why}");
    Error::new(ErrorKind::SourceUnreadable, message).caused_by(error)
}

/// A file as an engine would read it, for whoever sends it to one.
pub(crate) async fn read(path: PathBuf, limit: u64) -> Result<Vec<u8>, Error> {
    blocking(move || {
        let mut permit = Admission::new(1, u64::MAX, EngineMetrics::new()).enter(Priority::Interactive, Instant::now())?;
        read_file(&path, limit, &mut permit)
    })
    .await?
}

/// Runs what blocks beside the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "reading the page was interrupted").caused_by(error))
}

fn read_file(path: &Path, limit: u64, permit: &mut Permit) -> Result<Vec<u8>, Error> {
    let fail = |error: std::io::Error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let kind = if missing { ErrorKind::SourceNotFound } else { ErrorKind::SourceUnreadable };
        Error::new(kind, format!("failed to read {}: {error}", path.display())).caused_by(error)
    };
    let entry = std::fs::metadata(path).map_err(fail)?;
    // A pipe or a device may never end, and a directory never begins.
    if !entry.is_file() {
        let message = format!("{} is not a file; to read from a pipe, use -", path.display());
        return Err(Error::new(ErrorKind::SourceUnreadable, message));
    }
    let file = File::open(path).map_err(fail)?;
    let compressed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    if compressed {
        return inflate(file, limit, permit).map_err(|error| match error {
            Inflate::Refused(error) => error,
            Inflate::Broken(error) => fail(error),
        });
    }
    if entry.len() > limit {
        return Err(too_large(limit));
    }
    permit.grow(entry.len())?;
    let mut bytes = Vec::with_capacity(usize::try_from(entry.len()).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

enum Inflate {
    /// It has grown past a limit.
    Refused(Error),
    /// It is no gzip, or stops in the middle.
    Broken(std::io::Error),
}

/// Decompressed bytes are admitted in pieces of this size.
const PIECE: u64 = 256 << 10;

/// Decompresses all members of `compressed`; what follows them and is none is left out, as gunzip does.
fn inflate(compressed: impl Read, limit: u64, permit: &mut Permit) -> Result<Vec<u8>, Inflate> {
    let mut compressed = BufReader::new(compressed);
    let mut bytes = Vec::new();
    while compressed.fill_buf().map_err(Inflate::Broken)?.first() == Some(&0x1f) || bytes.is_empty() {
        if compressed.fill_buf().map_err(Inflate::Broken)?.is_empty() {
            break;
        }
        let mut member = GzDecoder::new(&mut compressed);
        loop {
            let read = member.by_ref().take(PIECE).read_to_end(&mut bytes).map_err(Inflate::Broken)? as u64;
            permit.grow(read).map_err(Inflate::Refused)?;
            if bytes.len() as u64 > limit {
                return Err(Inflate::Refused(too_large(limit)));
            }
            if read < PIECE {
                break;
            }
        }
    }
    Ok(bytes)
}

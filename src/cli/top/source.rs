//! The daemon, as it is asked: at its door for operators, over TCP or a socket file.
//!
//! One connection per look, so that a daemon that has come back is found at once. An answer that is too large, comes too late or
//! is of something else than a daemon is an error that says what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use url::Url;

use super::figures::harmless;
use super::order::Order;
use super::seen::{Ready, Seen};

/// Where a daemon is asked.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    address: Address,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    /// A host, without the brackets of IPv6, and a port.
    Tcp { host: String, port: u16 },
    /// A socket file.
    Unix(PathBuf),
}

/// What a daemon said when it was asked once.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// When it was there.
    pub(crate) at: Instant,
    /// Where it was asked.
    pub(crate) told: String,
    pub(crate) seen: Seen,
    pub(crate) ready: Ready,
    /// Why it says that it does not live, if so.
    pub(crate) ill: Option<String>,
    /// The last events, oldest first.
    pub(crate) events: Vec<Value>,
}

/// Why there is no answer. It says where, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("nobody listens at {address}: start a daemon with `eventmesh serve`, or say with --ops where one lets operators in")]
    NobodyThere { address: String },
    #[error("{address} cannot be connected to: {error}")]
    NoConnection { address: String, error: io::Error },
    #[error("{address} has not answered for {} s: the daemon is stuck, or something else listens there", LONGEST.as_secs())]
    Silent { address: String },
    #[error("the connection to {address} broke: {error}")]
    Broken { address: String, error: hyper::Error },
    #[error(
        "{address} is no daemon's door for operators ({what}): --ops takes what `eventmesh serve` says after \"for operators at\""
    )]
    Strange { address: String, what: String },
    #[error("{address} answers with more than {} MiB", MOST >> 20)]
    TooMuch { address: String },
    #[error("the daemon would not: {why}")]
    Refused { why: String },
}

/// A daemon answers such questions within milliseconds.
const LONGEST: Duration = Duration::from_secs(5);

/// Bytes of one answer. A tree of a thousand children has half a MiB.
const MOST: usize = 16 << 20;

/// Events that are asked for, more than any terminal shows.
const EVENTS: &str = "/debug/events?last=100";

impl Source {
    /// Takes `http://HOST:PORT`, `HOST:PORT` or `unix:/PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err("a path has to follow unix:".to_owned());
            }
            return Ok(Self { address: Address::Unix(path.into()) });
        }
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&whole).map_err(|error| format!("neither http://HOST:PORT nor unix:/PATH: {error}"))?;
        if url.scheme() != "http" {
            return Err("operators are let in by http:// or unix: only".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.path() != "/" || url.query().is_some() {
            return Err("only a host and a port may be said, such as http://127.0.0.1:7801".to_owned());
        }
        let host = url.host_str().ok_or("a host is missing")?.trim_matches(['[', ']']).to_owned();
        Ok(Self { address: Address::Tcp { host, port: url.port_or_known_default().unwrap_or(80) } })
    }

    /// As it is told to people, and in the `Host` header.
    pub(crate) fn told(&self) -> String {
        match &self.address {
            Address::Tcp { .. } => format!("http://{}", self.authority()),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    fn authority(&self) -> String {
        match &self.address {
            Address::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }

    /// Asks all that is shown.
    pub(crate) async fn look(&self) -> Result<Look, SourceError> {
        self.in_time(async |asking: &mut Asking<'_>| {
            let seen = asking.json("/debug/tree").await?;
            let at = Instant::now();
            let events = asking.json(EVENTS).await?;
            let ready = asking.json("/readyz").await?;
            let (status, words) = asking.send(Method::GET, "/healthz").await?;
            let ill = (!status.is_success()).then(|| harmless(String::from_utf8_lossy(&words).trim()));
            Ok(Look { at, told: self.told(), seen, ready, ill, events })
        })
        .await
    }

    /// The whole tree, as the daemon tells it.
    pub(crate) async fn tree(&self) -> Result<Value, SourceError> {
        self.in_time(async |asking: &mut Asking<'_>| asking.json("/debug/tree").await).await
    }

    /// Gives an order; returns what the daemon says to it.
    pub(crate) async fn order(&self, order: &Order) -> Result<String, SourceError> {
        let path = order.path();
        self.in_time(async |asking: &mut Asking<'_>| {
            let (status, words) = asking.send(Method::POST, &path).await?;
            // A problem says in `detail` what, why and what to do.
            let problem = serde_json::from_slice::<Value>(&words).ok();
            let detail = problem.as_ref().and_then(|problem| problem.get("detail")).and_then(Value::as_str);
            let said = harmless(detail.unwrap_or(String::from_utf8_lossy(&words).trim()));
            if status.is_success() { Ok(said) } else { Err(SourceError::Refused { why: said }) }
        })
        .await
    }

    async fn in_time<T>(&self, ask: impl AsyncFnOnce(&mut Asking<'_>) -> Result<T, SourceError>) -> Result<T, SourceError> {
        let done = timeout(LONGEST, async {
            match &self.address {
                Address::Tcp { host, port } => {
                    let stream = TcpStream::connect((&**host, *port)).await.map_err(|error| self.not_connected(error))?;
                    self.over(stream, ask).await
                }
                Address::Unix(path) => {
                    let stream = UnixStream::connect(path).await.map_err(|error| self.not_connected(error))?;
                    self.over(stream, ask).await
                }
            }
        });
        done.await.unwrap_or_else(|_| Err(SourceError::Silent { address: self.told() }))
    }

    async fn over<S, T>(
        &self,
        stream: S,
        ask: impl AsyncFnOnce(&mut Asking<'_>) -> Result<T, SourceError>,
    ) -> Result<T, SourceError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        let asked = async {
            // Dropped at the end, which is what ends the connection.
            let mut asking = Asking { source: self, requests };
            ask(&mut asking).await
        };
        // What goes wrong with the connection is told to whoever waits for an answer.
        let (answer, _) = tokio::join!(asked, connection);
        answer
    }

    fn not_connected(&self, error: io::Error) -> SourceError {
        let address = self.told();
        // A daemon that has gone has removed its socket file, or left it behind.
        if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) {
            SourceError::NobodyThere { address }
        } else {
            SourceError::NoConnection { address, error }
        }
    }

    fn broken(&self, error: hyper::Error) -> SourceError {
        // What does not speak HTTP is no daemon; everything else may be one that has just gone.
        if error.is_parse() {
            return self.strange("it does not speak HTTP");
        }
        SourceError::Broken { address: self.told(), error }
    }

    fn strange(&self, what: impl Into<String>) -> SourceError {
        SourceError::Strange { address: self.told(), what: what.into() }
    }
}

/// A connection while it is asked.
#[derive(Debug)]
struct Asking<'a> {
    source: &'a Source,
    requests: SendRequest<Empty<Bytes>>,
}

impl Asking<'_> {
    async fn send(&mut self, method: Method, path: &str) -> Result<(StatusCode, Bytes), SourceError> {
        let source = self.source;
        let request = hyper::Request::builder().method(method).uri(path).header(HOST, source.authority());
        let request =
            request.body(Empty::new()).map_err(|error| source.strange(format!("{path} cannot be asked for: {error}")))?;
        let answer = self.requests.send_request(request).await.map_err(|error| source.broken(error))?;
        let (head, body) = answer.into_parts();
        let bytes = Limited::new(body, MOST).collect().await.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => source.broken(*error),
            Err(error) if error.is::<LengthLimitError>() => SourceError::TooMuch { address: source.told() },
            Err(error) => source.strange(error.to_string()),
        })?;
        Ok((head.status, bytes.to_bytes()))
    }

    async fn json<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, SourceError> {
        let (status, bytes) = self.send(Method::GET, path).await?;
        // Not ready is an answer.
        let expected = status.is_success() || (path == "/readyz" && status == StatusCode::SERVICE_UNAVAILABLE);
        if !expected {
            return Err(self.source.strange(format!("{} for {path}", status.as_u16())));
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| self.source.strange(format!("what it says of {path} makes no sense: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_read_as_serve_prints_them() {
        for (text, told) in [
            ("http://127.0.0.1:7801", "http://127.0.0.1:7801"),
            ("http://127.0.0.1:7801/", "http://127.0.0.1:7801"),
            ("127.0.0.1:7801", "http://127.0.0.1:7801"),
            ("localhost:7801", "http://localhost:7801"),
            ("http://[::1]:7801", "http://[::1]:7801"),
            ("unix:/run/ops.sock", "unix:/run/ops.sock"),
        ] {
            assert_eq!(Source::parse(text).map(|source| source.told()), Ok(told.to_owned()), "{text}");
        }
        for bad in ["", "unix:", "https://a:1", "http://", "http://a:1/metrics", "http://u:p@a:1", "http://a:99999", "ftp://a"] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
    }

    /// A server that says the same to everybody.
    async fn saying(words: &'static str) -> Source {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let source = Source::parse(&listener.local_addr().expect("bound").to_string()).expect("an address");
        drop(eventmesh_actors::spawn_named("saying", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut heard = [0; 1024];
                let _ = stream.read(&mut heard).await;
                let _ = stream.write_all(words.as_bytes()).await;
            }
        }));
        source
    }

    #[tokio::test]
    async fn what_is_no_daemon_is_told_from_one_that_is_not_there() {
        for (words, part) in [
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404 for /debug/tree"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "makes no sense"),
            ("SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        ] {
            let error = saying(words).await.look().await.expect_err("no daemon");
            assert!(matches!(error, SourceError::Strange { .. }), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        let gone = Source::parse("unix:/nowhere/at/all.sock").expect("an address").look().await.expect_err("nobody");
        assert!(matches!(gone, SourceError::NobodyThere { .. }), "{gone}");
        let cut = saying("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{").await.look().await.expect_err("cut off");
        assert!(matches!(cut, SourceError::Broken { .. }), "{cut}");
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_not_kept() {
        let endless: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(MOST + 1)).into_boxed_str());
        let error = saying(endless).await.look().await.expect_err("too much");
        assert!(matches!(error, SourceError::TooMuch { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_want_to_says_why() {
        let words = "HTTP/1.1 404 Not Found\r\ncontent-length: 35\r\n\r\n{\"detail\": \"there is no pool \\n x\"}\n";
        let error = saying(words).await.order(&Order::Drain).await.expect_err("refused");
        assert_eq!(error.to_string(), "the daemon would not: there is no pool   x");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_one_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let source = Source::parse(&listener.local_addr().expect("bound").to_string()).expect("an address");
        let error = source.look().await.expect_err("it never accepts");
        assert!(matches!(error, SourceError::Silent { .. }), "{error}");
    }
}

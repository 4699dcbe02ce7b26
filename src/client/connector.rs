//! The way to a daemon: by the network, or by a socket file.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tower_service::Service;

use super::Address;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Connects to one daemon.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    socket: Option<Arc<Path>>,
}

impl Connector {
    pub(super) fn new(address: &Address) -> Self {
        let socket = match address {
            Address::Web(_) => None,
            Address::Unix(path) => Some(Arc::from(PathBuf::as_path(path))),
        };
        Self { socket }
    }
}

impl Service<Uri> for Connector {
    type Response = Line;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Line>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let socket = self.socket.clone();
        Box::pin(async move {
            let connected = async {
                match socket {
                    Some(path) => Ok(Line::new(UnixStream::connect(path).await?)),
                    None => {
                        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
                        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
                        let stream = TcpStream::connect((host, port)).await?;
                        // Requests are written whole: there is nothing to wait for.
                        stream.set_nodelay(true)?;
                        Ok(Line::new(stream))
                    }
                }
            };
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("nobody answers within {CONNECT:?}"));
            timeout(CONNECT, connected).await.map_err(late)?
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection, however it came about.
pub(super) struct Line(TokioIo<Box<dyn Stream>>);

impl Line {
    fn new(stream: impl Stream + 'static) -> Self {
        Self(TokioIo::new(Box::new(stream)))
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Line {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// What is at the bottom of an error: what the system says.
pub(super) fn why(error: &(dyn StdError + 'static)) -> String {
    let mut bottom = error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    bottom.to_string()
}

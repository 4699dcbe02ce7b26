//! One request, as closely watched as it can be: when its first byte of content came.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The connection.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// What came.
    #[error("an answer {0}")]
    Answer(&'static str),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// From the first byte of the request to the first of the body.
    pub(super) first_byte: Duration,
    /// How it came through the cache.
    pub(super) cache: String,
    pub(super) retry_after: bool,
    pub(super) body: Vec<u8>,
}

/// Asks for one extraction, on a connection of its own.
pub(super) async fn ask(address: SocketAddr, content_type: &str, body: Vec<u8>) -> Result<Answered, Failure> {
    Connection::open(address).await?.ask(content_type, &body).await
}

/// A connection, for one request after the other.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address })
    }

    /// Asks for one extraction.
    pub(super) async fn ask(&mut self, content_type: &str, body: &[u8]) -> Result<Answered, Failure> {
        let mut request = format!(
            "POST /v1/extract HTTP/1.1\r\nhost: {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let began = Instant::now();
        self.stream.write_all(&request).await?;
        let mut read = Vec::with_capacity(128 << 10);
        let head = loop {
            if self.stream.read_buf(&mut read).await? == 0 {
                return Err(Failure::Answer("ended before its headers did"));
            }
            if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let headers = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
        let field = |name: &str| headers.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
        let whole =
            head + field("content-length:").parse::<usize>().map_err(|_| Failure::Answer("does not say how long it is"))?;
        let mut first_byte = (read.len() > head).then(|| began.elapsed());
        while read.len() < whole {
            if self.stream.read_buf(&mut read).await? == 0 {
                return Err(Failure::Answer("ended early"));
            }
            first_byte.get_or_insert_with(|| began.elapsed());
        }
        Ok(Answered {
            status: headers.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(Failure::Answer("has no status"))?,
            first_byte: first_byte.ok_or(Failure::Answer("has no content"))?,
            cache: field("cache-status:"),
            retry_after: !field("retry-after:").is_empty(),
            body: read.split_off(head),
        })
    }
}

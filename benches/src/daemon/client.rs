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
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut request = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {address}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    let began = Instant::now();
    stream.write_all(&request).await?;
    let mut read = Vec::with_capacity(64 << 10);
    let mut first_byte = None;
    let mut head = None;
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            break;
        }
        if head.is_none() {
            head = read.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        }
        if first_byte.is_none() && head.is_some_and(|head| read.len() > head) {
            first_byte = Some(began.elapsed());
        }
    }
    let head = head.ok_or(Failure::Answer("ended before its headers did"))?;
    let headers = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
    let field = |name: &str| headers.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    Ok(Answered {
        status: headers.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(Failure::Answer("has no status"))?,
        first_byte: first_byte.ok_or(Failure::Answer("has no content"))?,
        cache: field("cache-status:"),
        retry_after: !field("retry-after:").is_empty(),
        body: read.split_off(head),
    })
}

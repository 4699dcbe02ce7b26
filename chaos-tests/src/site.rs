//! A site on the loopback interface with bad manners: the path says which.

use std::io::Write;
use std::net::SocketAddr;

use eventmesh_actors::spawn_named;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A page as it should be.
pub const PAGE: &str = "<html lang=en><title>A page</title><main><h1>A page</h1><p>Some prose, long enough to be taken for content, \
    with <a href=more.html>a link</a> in it and a full stop at its end.</p></main>";

/// A site that is open until it is dropped.
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    door: AbortHandle,
}

impl Site {
    /// Opens a site on a free port.
    ///
    /// # Errors
    /// The system's.
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let door = spawn_named("site", async move {
            loop {
                // Without a descriptor to spare there is nobody to serve, and there may be one in a moment.
                let Ok((mut socket, _)) = listener.accept().await else {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    continue;
                };
                spawn_named("visitor", async move {
                    let mut request = vec![0; 4096];
                    let read = socket.read(&mut request).await.unwrap_or(0);
                    let request = String::from_utf8_lossy(&request[..read]).into_owned();
                    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
                    // A client that hangs up has seen enough.
                    let _ = misbehave(&mut socket, &path).await;
                });
            }
        });
        Ok(Self { address, door: door.abort_handle() })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn misbehave(socket: &mut TcpStream, path: &str) -> std::io::Result<()> {
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{more}\r\n");
    let html = "Content-Type: text/html\r\n";
    match path {
        "/page" => socket.write_all((head(html) + PAGE).as_bytes()).await,
        "/latin" => {
            socket.write_all(head("Content-Type: text/html; charset=iso-8859-1\r\n").as_bytes()).await?;
            socket.write_all(b"<title>Gr\xfc\xdfe</title><p>Viele Gr\xfc\xdfe").await
        }
        "/moved" => socket.write_all(b"HTTP/1.1 302 Found\r\nLocation: /dir/page\r\nConnection: close\r\n\r\n").await,
        "/dir/page" => socket.write_all((head(html) + PAGE).as_bytes()).await,
        "/loop" => socket.write_all(b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nConnection: close\r\n\r\n").await,
        "/gone" => socket.write_all(b"HTTP/1.1 410 Gone\r\nConnection: close\r\n\r\n").await,
        "/forbidden" => socket.write_all(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n").await,
        "/image" => socket.write_all(head("Content-Type: image/png\r\n").as_bytes()).await,
        "/zipped" => {
            socket.write_all(head(&format!("{html}Content-Encoding: gzip\r\n")).as_bytes()).await?;
            socket.write_all(&gzip(PAGE.as_bytes())).await
        }
        "/bomb" => {
            socket.write_all(head(&format!("{html}Content-Encoding: gzip\r\n")).as_bytes()).await?;
            socket.write_all(&gzip(&vec![b'x'; 64 << 20])).await
        }
        "/padded" => {
            socket.write_all(head(&format!("{html}Content-Encoding: GZip\r\n")).as_bytes()).await?;
            socket.write_all(&[gzip(&PAGE.as_bytes()[..100]), gzip(&PAGE.as_bytes()[100..]), vec![0; 64]].concat()).await
        }
        "/badly-zipped" => {
            socket.write_all(head(&format!("{html}Content-Encoding: gzip\r\n")).as_bytes()).await?;
            socket.write_all(b"this is no gzip").await
        }
        "/brotli" => socket.write_all((head(&format!("{html}Content-Encoding: br\r\n")) + "x").as_bytes()).await,
        "/huge" => socket.write_all(head(&format!("{html}Content-Length: 99999999999\r\n")).as_bytes()).await,
        "/liar" => socket.write_all((head(&format!("{html}Content-Length: 5000\r\n")) + "<p>short").as_bytes()).await,
        "/endless" => {
            socket.write_all(head(html).as_bytes()).await?;
            loop {
                socket.write_all(&[b'x'; 16 << 10]).await?;
            }
        }
        "/reset" => {
            // Closing with unread bytes and no lingering sends a reset.
            socket.set_zero_linger()?;
            Ok(())
        }
        "/silent" => {
            // Answers nothing until the client hangs up.
            socket.read(&mut [0; 16]).await.map(drop)
        }
        "/nonsense" => socket.write_all(b"this is not HTTP\r\n\r\n").await,
        _ => socket.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n").await,
    }
}

/// `bytes`, compressed.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing into memory cannot fail; if it did, what comes out is no gzip.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

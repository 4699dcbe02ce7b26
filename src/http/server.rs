//! Listening: connections are taken in, bounded, and seen off at the end.
//!
//! A client that sends nothing, or takes nothing, is sent away after a while, one that goes away takes its work with it. At
//! shutdown every answer that is on its way is finished, and whoever was let in and has not said anything yet may still do so
//! for a moment: what he sends may be on its way, and to hang up on it would be a refusal.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use eventmesh_actors::spawn_named;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::origin::BySocketFile;
use super::prompt::Prompt;
use super::taken::{Streams, watched};

/// Where clients come in.
#[derive(Debug)]
pub(crate) enum Door {
    /// By the network.
    Tcp(TcpListener),
    /// By a socket file, which is removed at the end if it was made here.
    Unix(UnixListener, Option<PathBuf>),
}

impl Door {
    /// Opens a door at `address`: `HOST:PORT`, or `unix:/PATH`.
    pub(crate) async fn open(address: &str) -> io::Result<Self> {
        match address.strip_prefix("unix:") {
            None => TcpListener::bind(address).await.map(Self::Tcp),
            Some(path) => {
                let path = Path::new(path);
                // A socket that nobody listens at is what an earlier life has left.
                if path.exists() && tokio::net::UnixStream::connect(path).await.is_err() {
                    std::fs::remove_file(path)?;
                }
                Ok(Self::Unix(UnixListener::bind(path)?, Some(path.to_owned())))
            }
        }
    }

    /// Whether others than this machine's own programs could come in.
    pub(crate) fn is_public(&self) -> bool {
        self.address().is_some_and(|address| !address.ip().is_loopback())
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// As it is told to people.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Tcp(_) => self.address().map_or_else(|| "http://?".to_owned(), |address| format!("http://{address}")),
            Self::Unix(listener, _) => {
                let path = listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
                path.map_or_else(|| "unix:?".to_owned(), |path| format!("unix:{}", path.display()))
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Self::Unix(_, Some(path)) = self
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(%error, path = %path.display(), "a socket file is left behind");
        }
    }
}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerLimits {
    /// Connections at once; more wait outside.
    pub(crate) connections: usize,
    /// How long a client may take to send its headers, and how long a connection may rest between two requests.
    pub(crate) head: Duration,
    /// Bytes of all headers of a request.
    pub(crate) head_bytes: usize,
}

/// Serves routes at some doors.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) doors: Vec<Door>,
    pub(crate) router: Router,
    pub(crate) limits: ServerLimits,
}

/// A connection that could not be taken in because descriptors have run out will have to wait for so long.
const BREATH: Duration = Duration::from_millis(50);
/// How long a connection that rests may go on resting at shutdown. Who uses it meanwhile is told that this was the last time.
const LINGER: Duration = Duration::from_millis(500);

impl Server {
    /// Serves until `stop` comes, then finishes what is on its way, for `grace` at most.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>, grace: Duration) {
        let ServerLimits { connections, .. } = self.limits;
        let (going, told) = watch::channel(false);
        let room = Arc::new(Semaphore::new(connections));
        let serving = Arc::new(Serving { router: self.router, limits: self.limits, going: told, room: Arc::clone(&room) });
        let doors: Vec<_> = self
            .doors
            .into_iter()
            .map(|door| {
                let serving = Arc::clone(&serving);
                spawn_named("door", async move { serving.take_in(door).await })
            })
            .collect();
        stop.await;
        for door in &doors {
            door.abort();
        }
        for door in doors {
            // It has been told to go.
            let _ = door.await;
        }
        going.send_replace(true);
        // Every connection has a permit for as long as it is there.
        let all = u32::try_from(connections).unwrap_or(u32::MAX);
        if timeout(grace, room.acquire_many(all)).await.is_err() {
            tracing::warn!("connections are cut off at shutdown");
        }
    }
}

struct Serving {
    router: Router,
    limits: ServerLimits,
    /// Whether the server is shutting down.
    going: watch::Receiver<bool>,
    room: Arc<Semaphore>,
}

impl Serving {
    async fn take_in(&self, door: Door) {
        loop {
            // Whoever finds no room waits in the system's queue, and is refused there when that is full, too.
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { return };
            let error = match &door {
                Door::Tcp(listener) => match listener.accept().await {
                    Ok((stream, _)) => {
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%error, "a connection may be slower than it could be");
                        }
                        self.serve(stream, permit, false);
                        continue;
                    }
                    Err(error) => error,
                },
                Door::Unix(listener, _) => match listener.accept().await {
                    Ok((stream, _)) => {
                        self.serve(stream, permit, true);
                        continue;
                    }
                    Err(error) => error,
                },
            };
            if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                tracing::error!(%error, "no connection can be taken in");
                sleep(BREATH).await;
            }
        }
    }

    fn serve<S>(&self, stream: S, permit: tokio::sync::OwnedSemaphorePermit, by_socket_file: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(Streams);
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.limits.head).max_buf_size(self.limits.head_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(self.limits.head_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(self.limits.head)
            .keep_alive_timeout(self.limits.head);
        let head = self.limits.head;
        let (router, mut going) = (self.router.clone(), self.going.clone());
        let asked = going.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            if by_socket_file {
                request.extensions_mut().insert(BySocketFile);
            }
            let in_streams = request.version() >= Version::HTTP_2;
            let (answer, going) = (router.clone().call(request), asked.clone());
            async move {
                let mut answer = answer.await?;
                if in_streams {
                    return Ok(watched(answer));
                }
                if *going.borrow() {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        spawn_named("connection", async move {
            let mut connection = pin!(builder.serve_connection(TokioIo::new(Prompt::new(stream, head)), service));
            let lingered = async {
                // Without its sender the server is gone.
                let _ = going.wait_for(|going| *going).await;
                sleep(LINGER).await;
            };
            let ended = tokio::select! {
                // What has come is read before anything is given up.
                biased;
                ended = connection.as_mut() => ended,
                () = lingered => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::trace!(error, "a connection ended early");
            }
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::extract::Path as Part;
    use axum::routing::get;
    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    const LIMITS: ServerLimits = ServerLimits { connections: 8, head: Duration::from_secs(30), head_bytes: 64 << 10 };

    struct Running {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        over: tokio::task::JoinHandle<Option<()>>,
    }

    /// Serves `/slow/N`, which takes N milliseconds.
    async fn running(grace: Duration) -> Running {
        let door = Door::open("127.0.0.1:0").await.expect("a port");
        let address = door.address().expect("it is bound");
        let slow = |Part(milliseconds): Part<u64>| async move {
            sleep(Duration::from_millis(milliseconds)).await;
            "done"
        };
        let server = Server { doors: vec![door], router: Router::new().route("/slow/{n}", get(slow)), limits: LIMITS };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        Running { address, stop, over: spawn_named("server", server.run(stopped, grace)) }
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).await.expect("it is open");
        // That it has been taken in shows in nothing; the others have had their turns by then.
        sleep(Duration::from_millis(50)).await;
        stream
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.expect("it is written");
    }

    async fn all(stream: &mut TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it ends in order");
        answer
    }

    #[tokio::test]
    async fn whoever_was_let_in_is_answered_and_told_that_it_was_the_last_time() {
        let Running { address, stop, over } = running(Duration::from_secs(20)).await;
        let (mut silent, mut at_work) = (connect(address).await, connect(address).await);
        let mut resting = connect(address).await;
        ask(&mut resting, "/slow/0").await;
        let mut first = [0; 4096];
        let read = resting.read(&mut first).await.expect("an answer");
        let first = String::from_utf8_lossy(&first[..read]).into_owned();
        assert!(first.ends_with("done") && !first.contains("connection: close"), "{first}");
        ask(&mut at_work, "/slow/900").await;
        sleep(Duration::from_millis(50)).await;
        stop.send(()).expect("it runs");
        sleep(Duration::from_millis(50)).await;
        assert!(TcpStream::connect(address).await.is_err(), "the door is shut");
        for stream in [&mut silent, &mut resting] {
            ask(stream, "/slow/0").await;
        }
        for stream in [&mut silent, &mut resting, &mut at_work] {
            let answer = all(stream).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
        assert_eq!(over.await.ok().flatten(), Some(()));
    }

    /// A client of HTTP/2 that lets so many bytes of each stream come, and what it is served by, without a network between.
    async fn streams(
        router: Router,
        window: u32,
    ) -> (hyper::client::conn::http2::SendRequest<Empty<Bytes>>, watch::Sender<bool>) {
        let (going, told) = watch::channel(false);
        let room = Arc::new(Semaphore::new(1));
        let serving = Serving { router, limits: LIMITS, going: told, room: Arc::clone(&room) };
        let (client, server) = tokio::io::duplex(1 << 20);
        serving.serve(server, room.acquire_owned().await.expect("it is open"), false);
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window).initial_connection_window_size(window * 8);
        let (sender, connection) = builder.handshake(TokioIo::new(client)).await.expect("it talks");
        spawn_named("client", async move { drop(connection.await) });
        (sender, going)
    }

    async fn asked(
        client: &mut hyper::client::conn::http2::SendRequest<Empty<Bytes>>,
        path: &str,
    ) -> Result<Incoming, hyper::Error> {
        let request = Request::get(format!("http://x{path}")).body(Empty::new()).expect("a request");
        client.send_request(request).await.map(hyper::Response::into_body)
    }

    /// A body, counted for as long as any of it is there.
    struct Counted(Vec<u8>, Arc<AtomicUsize>);

    impl Counted {
        fn body(bytes: usize, count: &Arc<AtomicUsize>) -> Bytes {
            count.fetch_add(1, Ordering::SeqCst);
            Bytes::from_owner(Self(vec![b'x'; bytes], Arc::clone(count)))
        }
    }

    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Of an answer of three windows, and of one whose last byte alone does not fit.
    #[tokio::test(start_paused = true)]
    async fn who_lets_nothing_of_a_stream_come_loses_that_stream_alone() {
        const WINDOW: u32 = 1 << 20;
        let window = WINDOW as usize;
        for bytes in [window * 3, window + 1] {
            let bodies = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&bodies);
            let large = move || std::future::ready(Counted::body(bytes, &count));
            let small = || std::future::ready("small");
            let router = Router::new().route("/large", get(large)).route("/small", get(small));
            let (mut client, _going) = streams(router, WINDOW).await;
            let mut left = asked(&mut client, "/large").await.expect("it begins");
            let mut slow = asked(&mut client, "/large").await.expect("it begins");
            assert_eq!(bodies.load(Ordering::SeqCst), 2);
            // For half a window, after which it is heard of again, it takes much longer than one may who reads nothing.
            let mut came = 0;
            while let Some(frame) = slow.frame().await {
                let piece = frame.expect("somebody reads").into_data().expect("data").len();
                came += piece;
                sleep(Duration::from_millis(piece as u64 * 9 / 10)).await;
            }
            assert_eq!(came, bytes);
            // The time that anybody has is over.
            sleep(Duration::from_secs(60 * 60)).await;
            assert_eq!(bodies.load(Ordering::SeqCst), 0, "nothing of them is kept");
            let small = asked(&mut client, "/small").await.expect("it begins").collect().await.expect("it comes whole");
            assert_eq!(small.to_bytes(), "small", "the connection is as it was");
            // What had come is there. How the end of it is told is its client's affair.
            let mut came = 0;
            while let Some(Ok(frame)) = left.frame().await {
                came += frame.into_data().expect("data").len();
            }
            assert_eq!(came, window);
        }
    }

    #[tokio::test]
    async fn who_says_nothing_holds_nobody_up_and_who_takes_too_long_is_left() {
        let Running { address, stop, over } = running(Duration::from_secs(600)).await;
        let mut silent = connect(address).await;
        stop.send(()).expect("it runs");
        assert_eq!(all(&mut silent).await, "");
        assert_eq!(over.await.ok().flatten(), Some(()), "long before its grace is over");

        let Running { address, stop, over } = running(Duration::from_millis(100)).await;
        let mut slow = connect(address).await;
        ask(&mut slow, "/slow/600000").await;
        stop.send(()).expect("it runs");
        assert_eq!(over.await.ok().flatten(), Some(()), "long before the answer");
    }
}

//! Listening: connections are taken in, bounded, and seen off at the end.
//!
//! A client that sends nothing is sent away after a while, one that goes away takes its work with it, and at shutdown every
//! answer that is on its way is finished.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use eventmesh_actors::spawn_named;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::timeout;

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

impl Server {
    /// Serves until `stop` comes, then finishes what is on its way, for `grace` at most.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>, grace: Duration) {
        let graceful = Arc::new(GracefulShutdown::new());
        let room = Arc::new(Semaphore::new(self.limits.connections));
        let serving = Arc::new(Serving { router: self.router, limits: self.limits, graceful: Arc::clone(&graceful), room });
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
        drop(serving);
        let Some(graceful) = Arc::into_inner(graceful) else {
            // A connection is being taken in at this very moment; it sees to itself.
            return;
        };
        if timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections are cut off at shutdown");
        }
    }
}

struct Serving {
    router: Router,
    limits: ServerLimits,
    graceful: Arc<GracefulShutdown>,
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
                        self.serve(stream, permit);
                        continue;
                    }
                    Err(error) => error,
                },
                Door::Unix(listener, _) => match listener.accept().await {
                    Ok((stream, _)) => {
                        self.serve(stream, permit);
                        continue;
                    }
                    Err(error) => error,
                },
            };
            if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                tracing::error!(%error, "no connection can be taken in");
                tokio::time::sleep(BREATH).await;
            }
        }
    }

    fn serve<S>(&self, stream: S, permit: tokio::sync::OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.limits.head).max_buf_size(self.limits.head_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(self.limits.head_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(self.limits.head)
            .keep_alive_timeout(self.limits.head);
        let service = TowerToHyperService::new(self.router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = self.graceful.watch(connection);
        spawn_named("connection", async move {
            if let Err(error) = connection.await {
                tracing::trace!(error, "a connection ended early");
            }
            drop(permit);
        });
    }
}

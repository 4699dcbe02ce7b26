//! What is said to a service manager, and what is taken over from it. Without one, nothing is said.

use std::io;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};

use crate::http::Door;

/// Doors that the service manager has opened. It keeps them open when this process goes, so that nobody is turned away meanwhile.
pub(crate) fn doors() -> io::Result<Vec<Door>> {
    let mut given = ListenFd::from_env();
    let mut doors = Vec::new();
    for index in 0..given.len() {
        // What it is has to be tried: a wrong guess leaves it there.
        if let Ok(Some(listener)) = given.take_tcp_listener(index) {
            listener.set_nonblocking(true)?;
            doors.push(Door::Tcp(TcpListener::from_std(listener)?));
        } else if let Some(listener) = given.take_unix_listener(index)? {
            listener.set_nonblocking(true)?;
            doors.push(Door::Unix(UnixListener::from_std(listener)?, None));
        }
    }
    Ok(doors)
}

/// How often the service manager wants to hear that this process is alive, if it does.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Everything serves.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// How it goes, in a line.
pub(crate) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Settings are being read again.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the clock cannot be read, and the service manager is not told of the reload"),
    }
}

/// It goes, and may take `within` for that.
pub(crate) fn stopping(within: Duration) {
    let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

/// It is alive.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

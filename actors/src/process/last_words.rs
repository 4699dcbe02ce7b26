//! What a process says on standard error, of which the last is kept: it never waits for somebody to read it, and whoever buries
//! it can say what it said.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::task::spawn_named;

/// The last that a process said on standard error.
#[derive(Clone, Debug)]
pub struct LastWords {
    said: Arc<Mutex<VecDeque<u8>>>,
    over: watch::Receiver<bool>,
}

impl LastWords {
    /// Listens to `stderr` until its other end is closed, and keeps the last `most` bytes. Without a standard error there is
    /// nothing to hear.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn of(stderr: Option<ChildStderr>, most: usize) -> Self {
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let (end, over) = watch::channel(false);
        if let Some(mut stderr) = stderr.and_then(|stderr| pipe::Receiver::from_owned_fd(OwnedFd::from(stderr)).ok()) {
            let heard = Arc::clone(&said);
            spawn_named("a process's standard error", async move {
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.extend(&buffer[..read]);
                    let surplus = heard.len().saturating_sub(most);
                    heard.drain(..surplus);
                }
                end.send_replace(true);
            });
        }
        Self { said, over }
    }

    /// Waits until all has been said, but no longer than `within`: what a process says comes a moment after its end.
    pub async fn settle(&self, within: Duration) {
        let mut over = self.over.clone();
        // Without a listener there is nothing to come.
        let _ = timeout(within, over.wait_for(|over| *over)).await;
    }

    /// What has been said, as far as it is kept.
    #[must_use]
    pub fn text(&self) -> String {
        let said: Vec<u8> = self.said.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        String::from_utf8_lossy(&said).into_owned()
    }
}

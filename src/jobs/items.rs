//! Works on items: pages that nobody waits for one by one. There is a bounded number of them at any time, of all jobs and
//! streamed batches together, so that whoever does wait finds room in the engine.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use eventmesh_actors::spawn_named;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::config::JobsConfig;
use super::retry::{Retry, Verdict};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::http::Problem;
use crate::reply::Answer;
use crate::request::Request;

/// Works on items. Clones share their room.
#[derive(Clone, Debug)]
pub(crate) struct Items {
    engine: Engine,
    room: Arc<Semaphore>,
    tries: u32,
    retried: Arc<Retried>,
}

/// How often items were tried again.
#[derive(Debug, Default)]
struct Retried {
    /// Since they had failed.
    failed: AtomicU64,
    /// Since there was no room for them.
    overloaded: AtomicU64,
}

/// What came of an item; `None` if it was not worked on to its end, since the engine is going.
pub(crate) type Outcome = Option<Result<Answer, Error>>;

impl Items {
    pub(crate) fn new(engine: Engine, config: &JobsConfig) -> Self {
        let most = (engine.config().max_requests / 4).max(1);
        let room = Arc::new(Semaphore::new(config.items.clamp(1, most)));
        Self { room, tries: config.tries, retried: Arc::default(), engine }
    }

    /// How often items were tried again so far, by why.
    pub(crate) fn retried(&self) -> [(&'static str, u64); 2] {
        let Retried { failed, overloaded } = &*self.retried;
        [("failed", failed), ("overloaded", overloaded)].map(|(why, count)| (why, count.load(Ordering::Relaxed)))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts to work on an item. Dropping what is returned ends that.
    pub(crate) fn start(&self, item: u32, request: Request) -> Running<Outcome> {
        let items = self.clone();
        Running { item, task: spawn_named("item", async move { items.extract(request).await }) }
    }

    async fn extract(&self, request: Request) -> Outcome {
        let mut retry = Retry::new(self.tries);
        loop {
            let answered = {
                // Whoever waits to try again leaves the room to others.
                let _room = self.room.acquire().await.ok()?;
                self.engine.extract(request.clone()).document().await
            };
            let error = match answered {
                Ok(answer) => return Some(Ok(answer)),
                Err(error) => error,
            };
            let retryable = Problem::from(&error).is_retryable();
            match retry.after(error.kind(), retryable, error.retry_delay(), fastrand::f64()) {
                Verdict::Again(after) => {
                    let Retried { failed, overloaded } = &*self.retried;
                    let count = if error.kind() == ErrorKind::Overloaded { overloaded } else { failed };
                    count.fetch_add(1, Ordering::Relaxed);
                    sleep(after).await;
                }
                Verdict::Answered => return Some(Err(error)),
                Verdict::Stopped => return None,
            }
        }
    }
}

/// An item that is being worked on. Its result does not wait in the way of others.
#[derive(Debug)]
pub(crate) struct Running<T> {
    item: u32,
    task: JoinHandle<Option<T>>,
}

impl<T> Future for Running<T> {
    /// `None` if it panicked.
    type Output = (u32, Option<T>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(Pin::new(&mut self.task).poll(context));
        Poll::Ready((self.item, ended.ok().flatten()))
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

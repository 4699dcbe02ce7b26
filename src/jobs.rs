//! Work that is accepted now and done later: batches, crawls, and pages that nobody waits for.
//!
//! ```text
//!   submit ─▶ journal ─▶ claim ─▶ items, a few at a time ─▶ one event each ─▶ end ─▶ webhook
//! ```
//! What was accepted is on the disk before anybody is told so, and everything that is done is written down as it is done: a
//! kill costs the items that were at work, and no more. Who may see a job is decided here, and how jobs are asked for and
//! shown in `http`. The [`queue`](crate::queue) does not know what a job means.

mod batch;
mod blobs;
mod config;
mod crawl;
mod durable;
mod items;
mod kind;
mod log;
mod record;
mod retry;
mod run;
mod runner;
mod snapshot;
mod webhook;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::http::WebhookBody;
use crate::queue::{Full, Job, JobId, JobQueue, Journal, QueueError, QueueLimits, State, Submission, Submitted, UnixMillis};
use blobs::Blobs;
pub use config::JobsConfig;
pub(crate) use crawl::{Pattern, Scope};
pub(crate) use items::{Items, Outcome, Running};
pub(crate) use kind::Kind;
pub(crate) use record::{Record, Shown, Totals, shown};
pub(crate) use runner::Runner;
pub(crate) use snapshot::JobsSnapshot;
use snapshot::{Counted, Refusal};
pub(crate) use webhook::Sender;
pub use webhook::WebhookSecret;
use webhook::{Delivery, Letter, Outbox};

/// The jobs of one daemon. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: Arc<dyn JobQueue>,
    blobs: Blobs,
    outbox: Outbox,
    config: JobsConfig,
    max_event: u64,
    counted: Counted,
    stop: watch::Sender<bool>,
    /// A webhook may be due.
    news: Notify,
    /// Somebody was sent away for want of room.
    crowded: Notify,
}

/// Why there are no jobs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobsError {
    #[error("{} cannot be used: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("there is no directory for jobs; name one (--state-dir)")]
    Nowhere,
}

/// A job as it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    /// Its name.
    #[schema(example = "7zs3kq2c0v9t4m8n1x5r6w0b2d")]
    id: String,
    /// `extract`, `render`, `batch` or `crawl`.
    kind: String,
    /// `queued`, `running`, `done`, `failed`, `cancelled`, or `dead` if it cost too many runs. `done` says that every item has
    /// its answer, not that every answer is a good one.
    state: &'static str,
    /// Items, if it is known how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<u32>,
    /// Items that are answered.
    done_items: u32,
    /// Runs that were lost.
    attempts: u32,
    /// When it was accepted, in milliseconds since 1970.
    created_at_ms: u64,
    /// When it changed last.
    updated_at_ms: u64,
    /// The number of its last event.
    last_seq: u64,
    /// Where its events are.
    events: String,
    /// Where its results are.
    results: String,
    /// What has become of its webhook: `pending`, `delivered` or `given_up`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    webhook: Option<Delivery>,
}

/// What the wall clock says.
pub(crate) fn unix_now() -> UnixMillis {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    UnixMillis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// Waits until nothing more is to be begun.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without its other end there is nobody left to work for.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Where the service manager wants jobs to be kept, if it says.
pub(crate) fn of_manager() -> Option<PathBuf> {
    let managed =
        std::env::var_os("STATE_DIRECTORY").and_then(|all| all.to_str().and_then(|all| all.split(':').next().map(PathBuf::from)));
    managed.filter(|directory| directory.is_absolute())
}

/// Where jobs are kept if nobody says: in the user's state directory.
pub(crate) fn of_user() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    Some(etcetera::choose_base_strategy().ok()?.state_dir()?.join("eventmesh"))
}

impl Jobs {
    /// Opens what is in `directory`, or begins there.
    pub(crate) async fn open(directory: &Path, limits: QueueLimits, config: JobsConfig) -> Result<Self, JobsError> {
        let path = directory.to_owned();
        let max_event = limits.max_event_bytes;
        let made = spawn_blocking({
            let path = path.clone();
            move || durable::directory(&path)
        });
        let unusable = |source| JobsError::Directory { path: path.clone(), source };
        made.await.map_err(|error| unusable(io::Error::other(error)))?.map_err(unusable)?;
        let limits = QueueLimits { max_running_per_owner: config.share(), ..limits };
        // The journal first: it is what keeps others out.
        let journal = Journal::open(path.join("jobs"), limits, unix_now()).await?;
        let opened = spawn_blocking({
            let path = path.clone();
            move || Ok((Blobs::open(path.join("blobs"))?, Outbox::open(path.join("webhooks"))?))
        });
        let (blobs, outbox) = opened.await.map_err(|error| unusable(io::Error::other(error)))?.map_err(unusable)?;
        let inner = Inner {
            queue: Arc::new(journal),
            blobs,
            outbox,
            config,
            max_event,
            counted: Counted::default(),
            stop: watch::Sender::new(false),
            news: Notify::new(),
            crowded: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Accepts a job.
    pub(crate) async fn submit(&self, submission: Submission, webhook: Option<&WebhookBody>) -> Result<Submitted, QueueError> {
        let submitted = match self.admit(submission).await {
            Ok(submitted) => submitted,
            Err(error) => {
                if let Some(refusal) = Refusal::of(&error) {
                    self.inner.counted.refused(refusal);
                }
                if matches!(error, QueueError::Full(_)) {
                    self.inner.crowded.notify_one();
                }
                return Err(error);
            }
        };
        if let Some(webhook) = webhook {
            self.put_letter(&submitted.job.id, webhook).await.map_err(|error| QueueError::Storage(Arc::new(error)))?;
        }
        Ok(submitted)
    }

    async fn admit(&self, submission: Submission) -> Result<Submitted, QueueError> {
        if self.inner.blobs.held() < self.inner.config.max_blob_bytes {
            return self.inner.queue.submit(submission, unix_now()).await;
        }
        // What was accepted before takes no room.
        match self.inner.queue.replay(&submission).await? {
            Some(job) => Ok(Submitted { job, replayed: true }),
            None => Err(QueueError::Full(Full::Left)),
        }
    }

    /// A job, if it is `owner`'s. To everybody else there is none.
    pub(crate) async fn find(&self, id: &str, owner: Option<&str>) -> Result<Job, QueueError> {
        let job = self.inner.queue.get(&id.parse()?).await?;
        if job.owner.as_deref() == owner { Ok(job) } else { Err(QueueError::NotFound) }
    }

    /// Ends a job.
    pub(crate) async fn cancel(&self, id: &JobId) -> Result<Job, QueueError> {
        let job = self.inner.queue.cancel(id, unix_now()).await?;
        self.has_ended(id).await;
        Ok(job)
    }

    /// How they are, at once. It looks at a file's size: not for a runtime thread.
    pub(crate) fn snapshot(&self) -> JobsSnapshot {
        let inner = &self.inner;
        let queue = inner.queue.snapshot();
        let waited = queue.waiting_since.map_or(0, |since| unix_now().0.saturating_sub(since.0));
        JobsSnapshot {
            queue,
            waited: Duration::from_millis(waited),
            blob_bytes: inner.blobs.held(),
            max_blob_bytes: inner.config.max_blob_bytes,
            refused: inner.counted.refusals(),
            sent: inner.counted.sendings(),
            unsent: inner.outbox.pending(),
        }
    }

    /// A job as it is shown.
    pub(crate) fn view(&self, job: &Job, webhook: Option<Delivery>) -> JobView {
        JobView {
            id: job.id.to_string(),
            kind: job.kind.clone(),
            state: job.state.label(),
            items: job.items,
            done_items: job.done_items,
            attempts: job.attempts,
            created_at_ms: job.created.0,
            updated_at_ms: job.updated.0,
            last_seq: job.last_seq,
            events: format!("/v1/jobs/{}/events", job.id),
            results: format!("/v1/jobs/{}/results", job.id),
            webhook,
        }
    }

    /// A job as it is shown, with all that is known.
    pub(crate) async fn whole_view(&self, job: &Job) -> Result<JobView, QueueError> {
        let letter = self.inner.outbox.letter(&job.id).await.map_err(|error| QueueError::Storage(Arc::new(error)))?;
        Ok(self.view(job, letter.map(|letter| letter.state)))
    }

    /// Sees to it that a job's end will be told of.
    async fn put_letter(&self, job: &JobId, webhook: &WebhookBody) -> io::Result<()> {
        let letter = Letter {
            url: webhook.url.clone(),
            secret: webhook.secret.clone(),
            state: Delivery::Pending,
            tried: 0,
            due: UnixMillis(0),
        };
        self.inner.outbox.put(job, letter).await
    }

    /// A job may have ended, so that its webhook can go.
    async fn has_ended(&self, id: &JobId) {
        match self.inner.queue.get(id).await {
            Ok(Job { state: State::Ended(_), .. }) | Err(QueueError::NotFound) => {
                self.inner.outbox.ended(id);
                self.inner.news.notify_one();
            }
            // It is looked at again.
            Ok(_) | Err(_) => {}
        }
    }

    async fn news(&self) {
        self.inner.news.notified().await;
    }

    async fn crowded(&self) {
        self.inner.crowded.notified().await;
    }

    pub(crate) fn queue(&self) -> &Arc<dyn JobQueue> {
        &self.inner.queue
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    fn outbox(&self) -> &Outbox {
        &self.inner.outbox
    }

    fn counted(&self) -> &Counted {
        &self.inner.counted
    }

    pub(crate) fn config(&self) -> &JobsConfig {
        &self.inner.config
    }

    fn max_event(&self) -> u64 {
        self.inner.max_event
    }

    /// Becomes true when nothing more is begun.
    pub(crate) fn stop(&self) -> watch::Receiver<bool> {
        self.inner.stop.subscribe()
    }

    /// Begins nothing more, and ends what only waits.
    pub(crate) fn stopping(&self) {
        self.inner.stop.send_replace(true);
    }

    /// Lets go of the files.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.inner.queue.close().await {
            tracing::error!(%error, "the journal was not closed");
        }
    }
}

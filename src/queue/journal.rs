//! The queue as one file, written by one thread (`writer.rs`) and read from snapshots.
//!
//! It belongs to one process at a time. When it is opened, jobs that were running lose that run, since whoever ran them is
//! gone. Reading the whole file then finds damage before anybody relies on it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinError, spawn_blocking};

use super::desk::Desk;
use super::error::{Part, QueueError};
use super::event::{Entry, Page, Selection};
use super::index::{Index, Standing};
use super::job::{Claim, Claimed, Counts, Filter, Job, JobId, Outcome, Swept, UnixMillis};
use super::limits::QueueLimits;
use super::look::Look;
use super::record::Record;
use super::submission::{Submission, Submitted};
use super::tables::{FORMAT, META};
use super::tally::QueueSnapshot;
use super::watchers::Watchers;
use super::writer::{Delivery, GROUP, Order, Writer};
use super::{Answer, Failed, JobQueue};

/// A job queue in one file.
///
/// Dropped without being closed, it writes what it was given and lets go of the file by itself, some time later.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    limits: Arc<QueueLimits>,
    orders: mpsc::Sender<Order>,
    /// KiB that may wait to be written.
    room: Arc<Semaphore>,
    /// One permit for each look that may be taken at a time.
    looks: Arc<Semaphore>,
    /// `None` once closed.
    database: Mutex<Option<Arc<Database>>>,
    watchers: Watchers,
    /// What has stopped the writer, if not its being closed.
    failure: watch::Receiver<Option<QueueError>>,
    /// Ends with the writer.
    standing: watch::Receiver<Standing>,
}

/// Looks block a thread each while they wait for the disk.
const LOOKS: u32 = 8;

impl Journal {
    /// Opens the journal, or begins one. The directory must be there.
    pub async fn open(path: impl Into<PathBuf>, limits: QueueLimits, now: UnixMillis) -> Result<Self, QueueError> {
        let path = path.into();
        let file = path.clone();
        spawn_blocking(move || Self::open_blocking(&file, limits, now)).await.map_err(|panic| unfinished(&path, panic))?
    }

    fn open_blocking(path: &Path, limits: QueueLimits, now: UnixMillis) -> Result<Self, QueueError> {
        let secret = begin(path).map_err(QueueError::storage)?;
        let mut builder = Database::builder();
        // Without it, a damaged file is found by a panic some time later.
        builder.set_check_integrity_on_open(true).set_cache_size(limits.cache_bytes);
        let database = builder.create(path).map_err(|error| unopened(path, error))?;
        Self::start(path, database, secret, limits, now)
    }

    fn start(
        path: &Path,
        database: Database,
        secret: [u8; 32],
        limits: QueueLimits,
        now: UnixMillis,
    ) -> Result<Self, QueueError> {
        let database = Arc::new(database);
        let mut index = Index::new(secret, limits.max_running_per_owner);
        let transaction = database.begin_write()?;
        load(path, &transaction, &mut index, &limits, now)?;
        transaction.commit()?;

        let limits = Arc::new(limits);
        let watchers = Watchers::new(limits.max_readers);
        let (orders, received) = mpsc::channel(GROUP);
        let (told, standing) = watch::channel(index.standing());
        let (failed, failure) = watch::channel(None);
        let writer = Writer {
            orders: received,
            database: database.clone(),
            index,
            limits: limits.clone(),
            watchers: watchers.clone(),
            failure: failed,
            standing: told,
        };
        std::thread::Builder::new().name("queue-writer".to_owned()).spawn(move || writer.run()).map_err(QueueError::storage)?;
        Ok(Self {
            path: path.to_owned(),
            room: Arc::new(Semaphore::new(kib(limits.max_waiting_bytes) as usize)),
            limits,
            orders,
            looks: Arc::new(Semaphore::new(LOOKS as usize)),
            database: Mutex::new(Some(database)),
            watchers,
            failure,
            standing,
        })
    }

    /// Has something done by the writer and waits until it is on the disk.
    async fn write<T, W>(&self, bytes: usize, work: W) -> Result<T, QueueError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Desk<'_>) -> Result<T, QueueError> + Send + 'static,
    {
        let room = self.room(bytes as u64).await?;
        let (answer, answered) = oneshot::channel();
        let order: Order = Box::new(move |desk| {
            let result = work(desk);
            let failure = result.as_ref().err().filter(|error| matches!(error, QueueError::Storage(_))).cloned();
            let deliver = move |failed: Option<&QueueError>| {
                drop(room);
                // Whoever asked may have gone.
                let _ = answer.send(failed.map_or(result, |error| Err(error.clone())));
            };
            Delivery { failure, deliver: Box::new(deliver) }
        });
        self.orders.send(order).await.map_err(|_| QueueError::Closed)?;
        answered.await.map_err(|_| QueueError::Closed)?
    }

    /// Waits until the bytes fit into what may wait to be written. More than fits at all gets all.
    async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit, QueueError> {
        let wanted = kib(bytes).min(kib(self.limits.max_waiting_bytes));
        self.room.clone().acquire_many_owned(wanted).await.map_err(|_| QueueError::Closed)
    }

    /// Looks at a snapshot that has everything that was answered before.
    async fn look<T, W>(&self, work: W) -> Result<T, QueueError>
    where
        T: Send + 'static,
        W: FnOnce(&Look) -> Result<T, QueueError> + Send + 'static,
    {
        let permit = self.looks.clone().acquire_owned().await.map_err(|_| QueueError::Closed)?;
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(QueueError::Closed)?;
        let looked = spawn_blocking(move || {
            let result = database.begin_read().map_err(QueueError::from).and_then(|snapshot| work(&Look(snapshot)));
            // In this order: with all permits back, nobody holds the file.
            drop(database);
            drop(permit);
            result
        });
        looked.await.map_err(|panic| unfinished(&self.path, panic))?
    }

    async fn wait_for(&self, id: JobId, after: u64) -> Result<Job, QueueError> {
        let mut watching = self.watchers.watch(&id)?;
        loop {
            let looked = id.clone();
            let job = self.look(move |look| look.job(&looked)).await?;
            if job.last_seq > after || matches!(job.state, super::State::Ended(_)) {
                return Ok(job);
            }
            watching.news().await?;
        }
    }

    async fn shut(&self) -> Result<(), QueueError> {
        let asked = self.write(0, |desk| {
            desk.close();
            Ok(())
        });
        match asked.await {
            // Closed before, or by somebody else at the same time.
            Ok(()) | Err(QueueError::Closed) => {}
            Err(error) => return Err(error),
        }
        let mut standing = self.standing.clone();
        while standing.changed().await.is_ok() {}
        // All looks are over when all permits are here, and there are no new ones.
        let _looks = self.looks.acquire_many(LOOKS).await;
        self.looks.close();
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner).take();
        match database.and_then(Arc::into_inner) {
            Some(database) => spawn_blocking(move || database.close()).await.map_err(|panic| unfinished(&self.path, panic))?,
            None => Ok(()),
        }
        .map_err(QueueError::from)
    }
}

impl JobQueue for Journal {
    fn submit(&self, submission: Submission, now: UnixMillis) -> Answer<'_, Submitted> {
        Box::pin(async move {
            submission.check(&self.limits)?;
            self.write(submission.spec.len(), move |desk| desk.submit(submission, now)).await
        })
    }

    fn replay(&self, submission: &Submission) -> Answer<'_, Option<Job>> {
        let key = submission
            .check(&self.limits)
            .map(|()| submission.scope().zip(submission.idempotency.as_ref().map(|idempotency| idempotency.body)));
        Box::pin(async move {
            match key? {
                Some((scope, body)) => self.look(move |look| look.replay(&scope, &body)).await,
                None => Ok(None),
            }
        })
    }

    fn claim(&self, lease: UnixMillis, now: UnixMillis) -> Answer<'_, Option<Claimed>> {
        Box::pin(self.write(0, move |desk| desk.claim(lease, now)))
    }

    fn available(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut standing = self.standing.clone();
            standing.wait_for(|standing| standing.claimable).await.map_err(|_| QueueError::Closed)?;
            Ok(())
        })
    }

    fn heartbeat(&self, claim: &Claim, lease: UnixMillis) -> Answer<'_, ()> {
        let claim = claim.clone();
        Box::pin(self.write(0, move |desk| desk.heartbeat(&claim, lease)))
    }

    fn release(&self, claim: &Claim, now: UnixMillis) -> Answer<'_, ()> {
        let claim = claim.clone();
        Box::pin(self.write(0, move |desk| desk.release(&claim, now)))
    }

    fn append(&self, claim: &Claim, entry: Entry, now: UnixMillis) -> Answer<'_, u64> {
        let claim = claim.clone();
        Box::pin(async move {
            check_event(&entry.data, &self.limits)?;
            self.write(entry.data.len(), move |desk| desk.append(&claim, entry, now)).await
        })
    }

    fn finish(&self, claim: &Claim, outcome: Outcome, data: Bytes, now: UnixMillis) -> Answer<'_, u64> {
        let claim = claim.clone();
        Box::pin(async move {
            check_event(&data, &self.limits)?;
            self.write(data.len(), move |desk| desk.finish(&claim, outcome.into(), data, now)).await
        })
    }

    fn cancel(&self, job: &JobId, now: UnixMillis) -> Answer<'_, Job> {
        let job = job.clone();
        Box::pin(self.write(0, move |desk| desk.cancel(&job, now)))
    }

    fn get(&self, job: &JobId) -> Answer<'_, Job> {
        let job = job.clone();
        Box::pin(self.look(move |look| look.job(&job)))
    }

    fn spec(&self, job: &JobId) -> Answer<'_, Bytes> {
        let job = job.clone();
        Box::pin(self.look(move |look| look.spec(&job)))
    }

    fn list(&self, filter: Filter) -> Answer<'_, Vec<Job>> {
        Box::pin(self.look(move |look| look.list(&filter)))
    }

    fn events(&self, job: &JobId, selection: Selection, after: u64, limit: usize) -> Answer<'_, Page> {
        let (job, max) = (job.clone(), self.limits.max_page_bytes);
        Box::pin(self.look(move |look| look.events(&job, selection, after, limit, max)))
    }

    fn done_items(&self, job: &JobId) -> Answer<'_, Vec<u32>> {
        let job = job.clone();
        Box::pin(self.look(move |look| look.done_items(&job)))
    }

    fn wait(&self, job: &JobId, after: u64) -> Answer<'_, Job> {
        Box::pin(self.wait_for(job.clone(), after))
    }

    fn sweep(&self, now: UnixMillis) -> Answer<'_, Swept> {
        Box::pin(self.write(0, move |desk| desk.sweep(now)))
    }

    fn counts(&self) -> Answer<'_, Counts> {
        let counts = self.standing.borrow().counts;
        Box::pin(async move { Ok(counts) })
    }

    fn failed(&self) -> Failed<'_> {
        let mut failure = self.failure.clone();
        Box::pin(async move {
            let failed = failure.wait_for(Option::is_some).await.ok().and_then(|failed| failed.clone());
            match failed {
                Some(failed) => failed,
                // It was closed, and will not fail any more.
                None => std::future::pending().await,
            }
        })
    }

    fn snapshot(&self) -> QueueSnapshot {
        let Standing { counts, claimable: _, waiting_since, tally } = self.standing.borrow().clone();
        QueueSnapshot {
            counts,
            waiting_since,
            tally,
            max_queued: self.limits.max_queued,
            max_bytes: self.limits.max_journal_bytes,
            file_bytes: std::fs::metadata(&self.path).ok().map(|file| file.len()),
        }
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(self.shut())
    }
}

fn check_event(data: &Bytes, limits: &QueueLimits) -> Result<(), QueueError> {
    let (size, max) = (data.len() as u64, limits.max_event_bytes);
    if size > max { Err(QueueError::TooLarge { part: Part::Event, size, max }) } else { Ok(()) }
}

/// In KiB, one at least; what does not fit into a number is as good as the largest one.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes >> 10).unwrap_or(u32::MAX >> 4).clamp(1, u32::MAX >> 4)
}

/// Sees to the file: nobody else reads what clients have asked for, and it is there after a crash too. Returns a secret.
fn begin(path: &Path) -> io::Result<[u8; 32]> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()?;
    let mut secret = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(secret)
}

/// Reads what is there; the runs that were under way are lost. What cannot be read was not written by a queue.
fn load(
    path: &Path,
    transaction: &WriteTransaction,
    index: &mut Index,
    limits: &QueueLimits,
    now: UnixMillis,
) -> Result<(), QueueError> {
    let loaded = read_jobs(path, transaction, index).and_then(|()| Desk::open(transaction, index, limits)?.lapse(now));
    match loaded {
        Err(QueueError::Storage(source)) => Err(QueueError::Corrupt { path: path.to_owned(), source }),
        loaded => loaded.map(|_| ()),
    }
}

fn read_jobs(path: &Path, transaction: &WriteTransaction, index: &mut Index) -> Result<(), QueueError> {
    let empty = transaction.list_tables()?.next().is_none();
    let mut meta = transaction.open_table(META)?;
    let found = if empty { FORMAT } else { meta.get("format")?.map_or(0, |format| format.value()) };
    if found != FORMAT {
        return Err(QueueError::Format { path: path.to_owned(), found, known: FORMAT });
    }
    meta.insert("format", FORMAT)?;
    let jobs = transaction.open_table(super::tables::JOBS)?;
    for row in jobs.iter()? {
        let (number, record) = row?;
        index.found(number.value(), &Record::decode(record.value())?);
    }
    Ok(())
}

/// The storage panics over pages that make no sense; without a panic, the runtime is going down.
fn unfinished(path: &Path, error: JoinError) -> QueueError {
    if error.is_panic() { corrupt(path, error) } else { QueueError::Closed }
}

fn corrupt(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> QueueError {
    QueueError::Corrupt { path: path.to_owned(), source: Arc::new(source) }
}

/// Why the file could not be opened, and so what is to be done.
fn unopened(path: &Path, error: DatabaseError) -> QueueError {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    if matches!(error, DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) {
        return QueueError::Locked { path: path.to_owned() };
    }
    if matches!(error, DatabaseError::Storage(StorageError::Backend(_) | StorageError::Unsupported)) {
        return error.into();
    }
    if let DatabaseError::Storage(StorageError::Io(io)) = &error
        && !matches!(io.kind(), InvalidData | UnexpectedEof)
    {
        return error.into();
    }
    corrupt(path, error)
}

#[cfg(test)]
mod tests;

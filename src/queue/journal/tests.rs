//! The journal on a disk that loses its power, or fails. A kill shows neither: the kernel writes what it was given.

use std::sync::MutexGuard;

use redb::StorageBackend;

use super::super::event::EntryKind;
use super::super::job::Lane;
use super::super::tally::Tally;
use super::*;

#[derive(Debug, Default)]
struct Platter {
    written: Vec<u8>,
    synced: Vec<u8>,
    broken: bool,
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().expect("no test panics with it")
    }

    /// What is there when the power comes back.
    fn after_power_loss(&self) -> Self {
        let synced = self.platter().synced.clone();
        Self(Arc::new(Mutex::new(Platter { written: synced.clone(), synced, broken: false })))
    }

    fn open(&self, limits: QueueLimits) -> Result<Journal, QueueError> {
        let database = Database::builder().set_check_integrity_on_open(true).create_with_backend(self.clone())?;
        Journal::start(Path::new("disk"), database, [3; 32], limits, UnixMillis(0))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        out.copy_from_slice(&self.platter().written[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.platter().written.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.platter();
        if platter.broken {
            return Err(io::Error::other("broken"));
        }
        platter.synced = platter.written.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        self.platter().written[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn job() -> Submission {
    let (kind, spec) = ("batch".to_owned(), Bytes::from_static(b"{}"));
    Submission { owner: None, lane: Lane::Batch, kind, spec, items: None, idempotency: None }
}

fn entry(item: u32) -> Entry {
    Entry { kind: EntryKind::Result, item: Some(item), data: Bytes::from_static(b"result") }
}

#[tokio::test]
async fn whatever_was_answered_is_there_when_the_power_is_lost_right_after() {
    let disk = Disk::default();
    let queue = disk.open(QueueLimits::default()).expect("opens");
    let now = UnixMillis(1);
    let id = queue.submit(job(), now).await.expect("accepted").job.id;
    let lost = disk.after_power_loss().open(QueueLimits::default()).expect("opens");
    assert_eq!(lost.get(&id).await.expect("there").last_seq, 0);

    let claim = queue.claim(UnixMillis(9), now).await.expect("answers").expect("queued").claim;
    let lost = disk.after_power_loss().open(QueueLimits::default()).expect("opens");
    assert_eq!(lost.get(&id).await.expect("there").attempts, 1, "the run is known, and lost");

    for item in 0..20 {
        queue.append(&claim, entry(item), now).await.expect("held");
        let lost = disk.after_power_loss().open(QueueLimits::default()).expect("opens");
        assert_eq!(lost.done_items(&id).await.expect("there").len(), item as usize + 1);
    }
    queue.finish(&claim, Outcome::Done, Bytes::new(), now).await.expect("held");
    let lost = disk.after_power_loss().open(QueueLimits::default()).expect("opens");
    assert!(lost.events(&id, Selection::All, 20, 9).await.expect("there").complete);
}

#[tokio::test]
async fn a_disk_that_fails_stops_the_queue_and_everybody_hears_of_it() {
    let disk = Disk::default();
    let queue = disk.open(QueueLimits::default()).expect("opens");
    let now = UnixMillis(1);
    let id = queue.submit(job(), now).await.expect("accepted").job.id;
    disk.platter().broken = true;
    let fails = async {
        let failed = queue.submit(job(), now).await;
        assert!(matches!(failed, Err(QueueError::Storage(_))), "{failed:?}");
    };
    let (waited, ()) = tokio::join!(queue.wait(&id, 0), fails);
    assert!(matches!(waited, Err(QueueError::Closed)), "{waited:?}");
    let after = queue.submit(job(), now).await;
    assert!(matches!(after, Err(QueueError::Closed)), "{after:?}");
    let failed = queue.failed().await;
    assert!(matches!(failed, QueueError::Storage(_)), "{failed:?}");
    drop(queue.close().await);
    let queue = disk.after_power_loss().open(QueueLimits::default()).expect("opens");
    assert_eq!(queue.counts().await.expect("counts").queued(), 1);
    queue.get(&id).await.expect("what was accepted is there");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_closed_has_not_failed() {
    let queue = Disk::default().open(QueueLimits::default()).expect("opens");
    queue.close().await.expect("it is closed");
    let failed = tokio::time::timeout(std::time::Duration::from_secs(60), queue.failed()).await;
    assert!(failed.is_err(), "{failed:?}");
}

/// Numbers are used again after reopening: a row that was left behind would turn up in another job.
#[tokio::test]
async fn a_job_that_is_forgotten_leaves_no_row() {
    use super::super::submission::Idempotency;
    use super::super::tables::{ENDED, EVENTS, IDS, ITEMS, JOBS, KEYS, SPECS};
    use redb::{ReadTransaction, ReadableTableMetadata, TableError};

    fn rows(snapshot: &ReadTransaction) -> Result<[u64; 7], TableError> {
        Ok([
            snapshot.open_table(IDS)?.len()?,
            snapshot.open_table(KEYS)?.len()?,
            snapshot.open_table(JOBS)?.len()?,
            snapshot.open_table(SPECS)?.len()?,
            snapshot.open_table(EVENTS)?.len()?,
            snapshot.open_table(ITEMS)?.len()?,
            snapshot.open_table(ENDED)?.len()?,
        ])
    }

    let limits = QueueLimits { keep_ended: std::time::Duration::ZERO, ..QueueLimits::default() };
    let queue = Disk::default().open(limits).expect("opens");
    let now = UnixMillis(1);
    queue.submit(Submission { idempotency: Some(Idempotency::new("k", b"a")), ..job() }, now).await.expect("accepted");
    let claim = queue.claim(UnixMillis(9), now).await.expect("answers").expect("queued").claim;
    queue.append(&claim, entry(0), now).await.expect("held");
    queue.finish(&claim, Outcome::Done, Bytes::new(), now).await.expect("held");
    let count = || queue.look(|look| Ok(rows(&look.0)?));
    assert_eq!(count().await.expect("reads"), [1, 1, 1, 1, 2, 1, 1]);
    assert_eq!(queue.sweep(now).await.expect("sweeps").forgotten, 1);
    assert_eq!(count().await.expect("reads"), [0; 7]);
}

#[tokio::test]
async fn what_was_done_is_counted_once_it_is_on_the_disk() {
    let limits = QueueLimits { max_attempts: 1, max_queued: 2, ..QueueLimits::default() };
    let queue = Disk::default().open(limits).expect("opens");
    assert_eq!(queue.snapshot(), QueueSnapshot { max_queued: 2, max_bytes: 2 << 30, ..QueueSnapshot::default() });
    for millis in [10, 20] {
        queue.submit(job(), UnixMillis(millis)).await.expect("accepted");
    }
    assert!(matches!(queue.submit(job(), UnixMillis(25)).await, Err(QueueError::Full(_))));
    let waiting = queue.snapshot();
    assert_eq!((waiting.counts.queued(), waiting.waiting_since), (2, Some(UnixMillis(10))));
    assert_eq!((waiting.tally.orders, waiting.tally.commits.count()), (3, 2), "a refusal is not written");

    let claim = queue.claim(UnixMillis(90), UnixMillis(30)).await.expect("answers").expect("queued").claim;
    assert_eq!(queue.snapshot().waiting_since, Some(UnixMillis(20)));
    queue.append(&claim, entry(0), UnixMillis(31)).await.expect("held");
    queue.append(&claim, Entry { kind: EntryKind::Error, ..entry(1) }, UnixMillis(32)).await.expect("held");
    queue.append(&claim, Entry { kind: EntryKind::Progress, ..entry(2) }, UnixMillis(33)).await.expect("held");
    queue.finish(&claim, Outcome::Done, Bytes::new(), UnixMillis(34)).await.expect("held");
    queue.claim(UnixMillis(50), UnixMillis(40)).await.expect("answers").expect("queued");
    assert_eq!(queue.sweep(UnixMillis(50)).await.expect("sweeps").lapsed, 1);
    let seen = queue.snapshot();
    assert_eq!((seen.counts.done, seen.counts.dead, seen.waiting_since), (1, 1, None));
    assert_eq!((seen.tally.results, seen.tally.errors, seen.tally.lost), (1, 1, 1));
    assert_eq!(seen.tally.ended.get("batch"), Some(&[1, 0, 0, 1]));
    // The order to close is one, and writes nothing.
    queue.close().await.expect("closes");
    assert_eq!(queue.snapshot().tally, Tally { orders: seen.tally.orders + 1, ..seen.tally });
}

//! Entries in files, one each, in a directory of the cache's own.
//!
//! ```text
//!   lock   entries/3f/3f09…c1   entries/a0/a0b7…52   …   unfinished/17
//! ```
//! A file is written beside its place and renamed into it, so a reader finds a whole entry or none. Nothing is
//! synced: what a power cut tore fails its checksum and is a miss. The index, which names are there and how much they take, is in
//! memory and is made from the directory's listing at start; it holds the directory to its bounds. A second engine is
//! kept out by a lock, so what is found and not known by name was left by a crash, and is removed.
//!
//! Blocking work runs beside the runtime, and only so much of it at once. An entry that cannot be written is not kept,
//! one that cannot be read is not found; both are counted, and neither is an error to anybody. An entry that the disk did
//! not keep up with may leave an older one in its place, which is judged by its own freshness.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::counters::Counts;
use super::entry::{Entry, Packing};
use super::key::Key;
use super::shelf::Shelf;

/// What the cache keeps on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// The cache's own directory. It is made if it is not there.
    pub directory: PathBuf,
    /// Bytes that the files may take, each counted in blocks of 4 KiB and with one for its name.
    pub capacity: u64,
    /// How entries are packed.
    pub packing: Packing,
}

/// Why a cache could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else uses its directory.
    #[error("the cache directory {} is in use by another engine; give this one its own", .0.display())]
    InUse(PathBuf),
    /// Its directory cannot be used.
    #[error("failed to use the cache directory {}: {source}; check that it can be written", .directory.display())]
    Directory {
        /// Which one.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Files that are read at once. More would only wait for the same disk.
const READS: usize = 16;

/// KiB that may be waiting to be written, of which each write takes its size and a megabyte at least: so it is also 32
/// writes at once.
const QUEUE: u32 = 32 << 10;
const LEAST_SHARE: u32 = 1 << 10;

/// The disk tier. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    packing: Packing,
    index: Mutex<Shelf<()>>,
    /// The latest write of each key that is under way. One that is not the latest any more is given up.
    writes: Mutex<HashMap<Key, u64>>,
    /// Held while a file comes into its place or goes, by the first byte of its name.
    places: [Mutex<()>; PLACES],
    reading: Arc<Semaphore>,
    writing: Arc<Semaphore>,
    skipped: AtomicU64,
    ticket: AtomicU64,
    errors: AtomicU64,
    /// Locked for as long as it is open.
    _lock: File,
}

const PLACES: usize = 32;

impl Disk {
    /// Opens a directory with what is in it.
    pub(crate) async fn open(config: DiskConfig) -> Result<Self, OpenError> {
        let directory = config.directory.clone();
        let opened = spawn_blocking(move || open(config)).await;
        opened.unwrap_or_else(|error| Err(OpenError::Directory { directory, source: io::Error::other(error) }))
    }

    /// Reads an entry. What is not there costs no file access.
    pub(crate) async fn get(&self, key: Key) -> Option<Entry> {
        lock(&self.0.index).get(&key)?;
        // The semaphore is never closed.
        let permit = Arc::clone(&self.0.reading).acquire_owned().await.ok()?;
        let shared = Arc::clone(&self.0);
        let read = move || {
            let entry = shared.read(key);
            drop(permit);
            entry
        };
        spawn_blocking(read).await.unwrap_or_default()
    }

    /// Begins to write an entry, and gives up earlier writes of it that are still under way. Nobody waits for the disk: what
    /// it does not keep up with is not written, and counted.
    pub(crate) fn put(&self, key: Key, entry: Entry) {
        let ticket = self.0.ticket.fetch_add(1, Ordering::Relaxed);
        lock(&self.0.writes).insert(key, ticket);
        let write = Write { shared: Arc::clone(&self.0), key, ticket };
        let share = u32::try_from(entry.weight() >> 10).unwrap_or(QUEUE).clamp(LEAST_SHARE, QUEUE);
        match Arc::clone(&self.0.writing).try_acquire_many_owned(share) {
            Ok(permit) => drop(spawn_blocking(move || {
                write.finish(&entry);
                drop(permit);
            })),
            Err(_) => {
                self.0.skipped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until all writes that have begun are done.
    pub(crate) async fn flush(&self) {
        drop(self.0.writing.acquire_many(QUEUE).await);
    }

    /// Forgets an entry, and any write of it that is under way.
    pub(crate) async fn remove(&self, key: Key) {
        let written = lock(&self.0.writes).remove(&key).is_some();
        if !written && !lock(&self.0.index).contains(&key) {
            return;
        }
        let shared = Arc::clone(&self.0);
        let _ = spawn_blocking(move || shared.remove(&key)).await;
    }

    pub(crate) fn describe(&self, counts: &mut Counts) {
        let index = lock(&self.0.index);
        counts.disk_entries = index.len() as u64;
        counts.disk_bytes = index.weight();
        drop(index);
        counts.disk_errors = self.0.errors.load(Ordering::Relaxed);
        counts.disk_skipped = self.0.skipped.load(Ordering::Relaxed);
    }
}

impl Shared {
    fn read(&self, key: Key) -> Option<Entry> {
        let read = || -> io::Result<Bytes> {
            let mut file = File::open(self.path(&key))?;
            let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or(0));
            file.read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        };
        match read() {
            Ok(file) => match Entry::decode(&key, &file) {
                Ok(entry) => return Some(entry),
                Err(broken) => self.report("an entry of the cache is broken, and is removed", &key, &broken),
            },
            // It has been evicted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => self.report("an entry of the cache cannot be read, and is removed", &key, &error),
        }
        self.remove(&key);
        None
    }

    fn remove(&self, key: &Key) {
        let place = self.place(key);
        lock(&self.index).remove(key);
        drop(place);
        self.discard(key);
    }

    /// Removes a file that the index does not know, any more or after all.
    fn discard(&self, key: &Key) {
        let _place = self.place(key);
        if lock(&self.index).contains(key) {
            return;
        }
        match fs::remove_file(self.path(key)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.report("a file of the cache cannot be removed", key, &error),
        }
    }

    fn report(&self, what: &'static str, key: &Key, why: &dyn std::error::Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%key, error = %why, "{what}");
    }

    fn place(&self, key: &Key) -> MutexGuard<'_, ()> {
        lock(&self.places[usize::from(key.as_bytes()[0]) % PLACES])
    }

    fn path(&self, key: &Key) -> PathBuf {
        place_of(&self.directory.join(ENTRIES), key)
    }
}

/// A write under way.
#[derive(Debug)]
struct Write {
    shared: Arc<Shared>,
    key: Key,
    ticket: u64,
}

impl Write {
    fn finish(self, entry: &Entry) {
        if let Err(error) = self.write(entry) {
            // What is there of it is older than what could not be written.
            self.shared.remove(&self.key);
            self.shared.report("an entry of the cache cannot be written", &self.key, &error);
        }
    }

    fn is_latest(&self) -> bool {
        lock(&self.shared.writes).get(&self.key) == Some(&self.ticket)
    }

    /// Writes the entry, unless a later write or a removal has begun.
    fn write(&self, entry: &Entry) -> io::Result<()> {
        if !self.is_latest() {
            return Ok(());
        }
        let shared = &self.shared;
        let file = entry.encode(&self.key, shared.packing);
        let unfinished = shared.directory.join(UNFINISHED).join(self.ticket.to_string());
        let path = shared.path(&self.key);
        if let Err(error) = fs::write(&unfinished, &file) {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }

        let place = shared.place(&self.key);
        if !self.is_latest() {
            drop(place);
            return fs::remove_file(&unfinished);
        }
        let evicted = lock(&shared.index).insert(self.key, (), weight(file.len() as u64));
        let kept = evicted.iter().all(|(key, _)| *key != self.key);
        let moved = if kept { fs::rename(&unfinished, &path) } else { fs::remove_file(&unfinished) };
        drop(place);
        for (key, _) in evicted {
            shared.discard(&key);
        }
        if moved.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        moved
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        let mut writes = lock(&self.shared.writes);
        if writes.get(&self.key) == Some(&self.ticket) {
            writes.remove(&self.key);
        }
    }
}

const ENTRIES: &str = "entries";
const UNFINISHED: &str = "unfinished";

fn open(config: DiskConfig) -> Result<Disk, OpenError> {
    let directory = config.directory;
    let failed = |source| OpenError::Directory { directory: directory.clone(), source };
    let unfinished = directory.join(UNFINISHED);
    // What is in it is for this user only.
    DirBuilder::new().recursive(true).mode(0o700).create(&unfinished).map_err(failed)?;
    let lock = File::create(directory.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(directory)),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    for left in fs::read_dir(&unfinished).map_err(failed)? {
        fs::remove_file(left.map_err(failed)?.path()).map_err(failed)?;
    }
    let mut index = Shelf::new(config.capacity);
    for (_, key, bytes) in found(&directory.join(ENTRIES)).map_err(failed)? {
        for (key, _) in index.insert(key, (), weight(bytes)) {
            fs::remove_file(place_of(&directory.join(ENTRIES), &key)).map_err(failed)?;
        }
    }
    Ok(Disk(Arc::new(Shared {
        directory,
        packing: config.packing,
        index: Mutex::new(index),
        writes: Mutex::default(),
        places: Default::default(),
        reading: Arc::new(Semaphore::new(READS)),
        writing: Arc::new(Semaphore::new(QUEUE as usize)),
        skipped: AtomicU64::new(0),
        ticket: AtomicU64::new(0),
        errors: AtomicU64::new(0),
        _lock: lock,
    })))
}

/// All entries, the oldest first; the folders for them are made. What is no entry by its name is removed.
fn found(entries: &Path) -> io::Result<Vec<(Duration, Key, u64)>> {
    let mut found = Vec::new();
    for first in 0..=u8::MAX {
        let folder = entries.join(format!("{first:02x}"));
        fs::create_dir_all(&folder)?;
        for file in fs::read_dir(&folder)? {
            let file = file?;
            let metadata = file.metadata()?;
            let key = file.file_name().to_str().and_then(Key::parse);
            match key.filter(|key| metadata.is_file() && key.as_bytes()[0] == first) {
                Some(key) => {
                    let written = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                    found.push((written, key, metadata.len()));
                }
                None if metadata.is_dir() => fs::remove_dir_all(file.path())?,
                None => fs::remove_file(file.path())?,
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn place_of(entries: &Path, key: &Key) -> PathBuf {
    let name = key.to_string();
    entries.join(&name[..2]).join(name)
}

/// What a file counts for: its blocks, and one for its name and node. By that there are never too many small ones.
fn weight(bytes: u64) -> u64 {
    const BLOCK: u64 = 4096;
    bytes.div_ceil(BLOCK) * BLOCK + BLOCK
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic happens under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

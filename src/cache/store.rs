//! Entries in memory and on disk, bounded by bytes in both.
//!
//! ```text
//!   get: memory ─▶ disk ─▶ into memory          put: memory, and disk behind it
//! ```
//! What leaves memory is on disk already, unless the disk did not keep up. Memory can be made smaller while the cache
//! runs, down to nothing; the disk goes on then.
//!
//! Neither tier is a library: moka (0.12) cannot be made smaller while it runs, and foyer's disk (0.22) forgets whole
//! blocks at once, ignores the compression that it is given, and builds two C libraries for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::counters::{Counts, Tier};
use super::disk::{Disk, DiskConfig, OpenError};
use super::entry::Entry;
use super::key::Key;
use super::shelf::Shelf;

/// How much the cache keeps, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Bytes in memory.
    pub memory: u64,
    /// Larger entries are not kept at all.
    pub max_entry: u64,
    /// What is kept on disk, if anything.
    pub disk: Option<DiskConfig>,
}

/// Entries in two tiers.
#[derive(Debug)]
pub(crate) struct Store {
    memory: Mutex<Shelf<Entry>>,
    disk: Option<Disk>,
    capacity: u64,
    max_entry: u64,
    /// How often entries were written or removed, by the first byte of their keys.
    changes: [AtomicU64; 64],
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { memory: 64 << 20, max_entry: 8 << 20, disk: None }
    }
}

impl Store {
    pub(crate) async fn open(config: StoreConfig) -> Result<Self, OpenError> {
        let disk = match config.disk {
            Some(disk) => Some(Disk::open(disk).await?),
            None => None,
        };
        Ok(Self {
            memory: Mutex::new(Shelf::new(config.memory)),
            disk,
            capacity: config.memory,
            max_entry: config.max_entry,
            changes: std::array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    pub(crate) async fn get(&self, key: Key) -> Option<(Entry, Tier)> {
        if let Some(entry) = self.shelf().get(&key) {
            return Some((entry.clone(), Tier::Memory));
        }
        let disk = self.disk.as_ref()?;
        let changes = self.changes(&key).load(Ordering::Acquire);
        let entry = disk.get(key).await?;
        let mut shelf = self.shelf();
        // What was written meanwhile is newer.
        if self.changes(&key).load(Ordering::Acquire) == changes && !shelf.contains(&key) {
            let evicted = shelf.insert(key, entry.clone(), entry.weight());
            drop(shelf);
            // Freed when nobody waits for the lock.
            drop(evicted);
        }
        Some((entry, Tier::Disk))
    }

    /// Keeps an entry in place of any other, and says whether it may be kept at all.
    pub(crate) async fn put(&self, key: Key, entry: &Entry) -> bool {
        let weight = entry.weight();
        if weight > self.max_entry {
            self.remove(key).await;
            return false;
        }
        self.changes(&key).fetch_add(1, Ordering::AcqRel);
        let evicted = self.shelf().insert(key, entry.clone(), weight);
        drop(evicted);
        if let Some(disk) = &self.disk {
            disk.put(key, entry.clone());
        }
        true
    }

    /// Waits until all that was put is on disk, as far as it will ever be.
    pub(crate) async fn flush(&self) {
        if let Some(disk) = &self.disk {
            disk.flush().await;
        }
    }

    pub(crate) async fn remove(&self, key: Key) {
        self.changes(&key).fetch_add(1, Ordering::AcqRel);
        let removed = self.shelf().remove(&key);
        drop(removed);
        if let Some(disk) = &self.disk {
            disk.remove(key).await;
        }
    }

    /// Gives memory back, or uses it again, by the engine's level of pressure.
    pub(crate) fn shrink(&self, level: u8) {
        let evicted = self.shelf().resize(room(self.capacity, level));
        drop(evicted);
    }

    pub(crate) fn describe(&self, counts: &mut Counts) {
        let shelf = self.shelf();
        counts.memory_entries = shelf.len() as u64;
        counts.memory_bytes = shelf.weight();
        drop(shelf);
        if let Some(disk) = &self.disk {
            disk.describe(counts);
        }
    }

    fn changes(&self, key: &Key) -> &AtomicU64 {
        &self.changes[usize::from(key.as_bytes()[0]) % self.changes.len()]
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<Entry>> {
        // Nothing that can panic happens under the lock.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of `capacity` may be used at a level of pressure.
fn room(capacity: u64, level: u8) -> u64 {
    match level {
        0 | 1 => capacity,
        2 => capacity / 2,
        3 => capacity / 4,
        4.. => 0,
    }
}

#[cfg(test)]
mod tests;

//! Two tiers as one.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use rustix::fs::{FileType, Mode};
use tempfile::TempDir;
use tokio::task::{JoinSet, spawn_blocking};

use super::super::entry::{Content, Packing};
use super::super::freshness::{Freshness, FreshnessPolicy, ResponseHead};
use super::super::time::UnixTime;
use super::*;

fn key(name: u8) -> Key {
    Key::from_bytes([name; 32])
}

fn entry(fill: u8, length: usize) -> Entry {
    let head = ResponseHead { status: 200, headers: &[], authorized: false };
    let freshness = Freshness::of(&head, UnixTime::from_millis(1_000_000), &FreshnessPolicy::default());
    Entry { content: Content::Document, freshness: Arc::new(freshness), body: vec![fill; length].into() }
}

fn counts(store: &Store) -> Counts {
    let mut counts = Counts::default();
    store.describe(&mut counts);
    counts
}

async fn open(memory: u64, directory: Option<&TempDir>) -> Store {
    let disk = directory.map(|directory| DiskConfig {
        directory: directory.path().to_owned(),
        capacity: 10 << 20,
        packing: Packing::Plain,
    });
    Store::open(StoreConfig { memory, max_entry: 50_000, disk }).await.expect("opens")
}

async fn tier(store: &Store, name: u8) -> Option<Tier> {
    store.get(key(name)).await.map(|(entry, tier)| {
        assert!(entry.body.iter().all(|byte| *byte == name), "another entry came");
        tier
    })
}

#[tokio::test]
async fn what_leaves_memory_is_found_on_disk_and_comes_back() {
    let directory = TempDir::new().expect("a directory");
    let store = open(25_000, Some(&directory)).await;
    for name in 0..5 {
        assert!(store.put(key(name), &entry(name, 10_000)).await);
    }
    store.flush().await;
    assert_eq!(counts(&store).memory_entries, 2);
    assert!(counts(&store).memory_bytes <= 25_000);
    assert_eq!(tier(&store, 4).await, Some(Tier::Memory));
    assert_eq!(tier(&store, 0).await, Some(Tier::Disk));
    assert_eq!(tier(&store, 0).await, Some(Tier::Memory));
    assert_eq!(tier(&store, 9).await, None);
    drop(store);
    let store = open(25_000, Some(&directory)).await;
    assert_eq!(tier(&store, 3).await, Some(Tier::Disk));
    store.remove(key(3)).await;
    assert_eq!(tier(&store, 3).await, None);
}

#[tokio::test]
async fn without_a_disk_memory_is_all_there_is() {
    let store = open(25_000, None).await;
    for name in 0..5 {
        store.put(key(name), &entry(name, 10_000)).await;
    }
    assert_eq!(tier(&store, 4).await, Some(Tier::Memory));
    assert_eq!(tier(&store, 0).await, None);
}

#[tokio::test]
async fn what_is_too_large_is_not_kept_and_leaves_nothing_old() {
    let directory = TempDir::new().expect("a directory");
    let store = open(25_000, Some(&directory)).await;
    assert!(store.put(key(1), &entry(1, 10_000)).await);
    assert!(!store.put(key(1), &entry(1, 60_000)).await);
    store.flush().await;
    assert_eq!(tier(&store, 1).await, None);
    // Too large for memory, not for the disk.
    assert!(store.put(key(2), &entry(2, 40_000)).await);
    store.flush().await;
    assert_eq!(tier(&store, 2).await, Some(Tier::Disk));
    assert_eq!(tier(&store, 2).await, Some(Tier::Disk));
}

#[tokio::test]
async fn a_slow_read_brings_nothing_back_that_was_removed_meanwhile() {
    let directory = TempDir::new().expect("a directory");
    let store = Arc::new(open(80_000, Some(&directory)).await);
    store.put(key(1), &entry(1, 100)).await;
    store.flush().await;
    store.shrink(4);
    store.shrink(0);
    // A pipe in the file's place makes the read last until it is written to.
    let name = key(1).to_string();
    let path = directory.path().join("entries").join(&name[..2]).join(name);
    let bytes = std::fs::read(&path).expect("it is there");
    std::fs::remove_file(&path).expect("removes");
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("makes a pipe");
    let mut reads = JoinSet::new();
    let reader = Arc::clone(&store);
    reads.spawn(async move { tier(&reader, 1).await });
    // Opens when the reader has opened it.
    let mut pipe = spawn_blocking(move || File::create(path)).await.expect("no panic").expect("opens");

    store.remove(key(1)).await;
    pipe.write_all(&bytes).expect("writes");
    drop(pipe);
    assert_eq!(reads.join_all().await, [Some(Tier::Disk)], "it was read before it was removed");
    assert_eq!(tier(&store, 1).await, None, "it is back");
}

#[tokio::test]
async fn memory_shrinks_with_pressure_and_grows_back() {
    let directory = TempDir::new().expect("a directory");
    let store = open(80_000, Some(&directory)).await;
    for name in 0..7 {
        store.put(key(name), &entry(name, 10_000)).await;
    }
    store.flush().await;
    for (level, most, entries) in [(0, 80_000, 7), (1, 80_000, 7), (2, 40_000, 3), (3, 20_000, 1), (4, 0, 0), (9, 0, 0)] {
        store.shrink(level);
        let counts = counts(&store);
        assert!(counts.memory_bytes <= most, "level {level}: {} bytes", counts.memory_bytes);
        assert_eq!(counts.memory_entries, entries, "level {level}");
    }
    // All is still answered, by the disk, and nothing creeps back.
    for name in 0..7 {
        assert_eq!(tier(&store, name).await, Some(Tier::Disk));
    }
    store.put(key(7), &entry(7, 10_000)).await;
    assert_eq!(counts(&store).memory_entries, 0);
    store.flush().await;
    store.shrink(0);
    for name in 0..8 {
        assert_eq!(tier(&store, name).await, Some(Tier::Disk), "{name}");
    }
    assert_eq!(counts(&store).memory_entries, 7, "it has not grown back");
}

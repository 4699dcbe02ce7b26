//! The disk tier against torn files, foreign files, full directories and a process that is killed.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::super::entry::Content;
use super::super::freshness::{Freshness, FreshnessPolicy, ResponseHead};
use super::super::time::UnixTime;
use super::*;

fn config(directory: &Path, capacity: u64) -> DiskConfig {
    DiskConfig { directory: directory.to_owned(), capacity, packing: Packing::Deflate }
}

fn key(name: u32) -> Key {
    let mut bytes = [0; 32];
    bytes[0] = name as u8;
    bytes[1..5].copy_from_slice(&name.to_le_bytes());
    Key::from_bytes(bytes)
}

fn entry(body: Vec<u8>) -> Entry {
    let head = ResponseHead { status: 200, headers: &[("ETag", "\"a\"")], authorized: false };
    let freshness = Freshness::of(&head, UnixTime::from_millis(1_000_000), &FreshnessPolicy::default());
    Entry { content: Content::Document, freshness: Arc::new(freshness), body: body.into() }
}

/// Bytes that do not pack well and tell whose they are.
fn body(name: u32, version: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(name) << 32 | u64::from(version) | 1;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    name.to_le_bytes().into_iter().chain(version.to_le_bytes()).chain(noise.take(length)).collect()
}

/// All files below, with their lengths.
fn files(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for file in fs::read_dir(directory).expect("a directory").map(|file| file.expect("a file")) {
        let metadata = file.metadata().expect("metadata");
        if metadata.is_dir() { found.extend(files(&file.path())) } else { found.push((file.path(), metadata.len())) }
    }
    found
}

/// Entries that are on disk, and what they take of it.
fn on_disk(directory: &Path) -> (u64, u64) {
    let files = files(&directory.join(ENTRIES));
    (files.len() as u64, files.iter().map(|(_, bytes)| weight(*bytes)).sum())
}

fn counts(disk: &Disk) -> Counts {
    let mut counts = Counts::default();
    disk.describe(&mut counts);
    counts
}

async fn put(disk: &Disk, name: u32, bytes: Vec<u8>) {
    disk.put(key(name), entry(bytes));
    disk.flush().await;
}

#[tokio::test]
async fn what_was_written_is_found_after_a_restart() {
    let directory = TempDir::new().expect("a directory");
    let disk = Disk::open(config(directory.path(), 1 << 20)).await.expect("opens");
    for name in 0..20 {
        put(&disk, name, body(name, 0, 500)).await;
    }
    disk.remove(key(3)).await;
    let before = counts(&disk);
    drop(disk);

    let disk = Disk::open(config(directory.path(), 1 << 20)).await.expect("opens again");
    assert_eq!(counts(&disk), before);
    for name in 0..20 {
        let found = disk.get(key(name)).await.map(|entry| entry.body);
        assert_eq!(found, (name != 3).then(|| body(name, 0, 500).into()), "{name}");
    }
    assert!(disk.get(key(99)).await.is_none());
}

#[tokio::test]
async fn a_directory_belongs_to_one_engine() {
    let directory = TempDir::new().expect("a directory");
    let disk = Disk::open(config(directory.path(), 1 << 20)).await.expect("opens");
    let second = Disk::open(config(directory.path(), 1 << 20)).await;
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
    drop(disk);
    Disk::open(config(directory.path(), 1 << 20)).await.expect("opens when the first has gone");

    let file = directory.path().join("file");
    fs::write(&file, "").expect("writes");
    let error = Disk::open(config(&file, 1 << 20)).await.expect_err("a file is no directory");
    assert!(error.to_string().starts_with("failed to use the cache directory"), "{error}");
}

#[tokio::test]
async fn the_directory_stays_within_its_bounds_and_gets_smaller_with_them() {
    let directory = TempDir::new().expect("a directory");
    let capacity = 200 << 10;
    let disk = Disk::open(config(directory.path(), capacity)).await.expect("opens");
    for name in 0..100 {
        put(&disk, name, body(name, 0, 10_000)).await;
        let (entries, bytes) = on_disk(directory.path());
        assert!(bytes <= capacity, "{bytes} bytes on disk");
        assert_eq!((entries, bytes), (counts(&disk).disk_entries, counts(&disk).disk_bytes), "the index is wrong");
    }
    assert!(counts(&disk).disk_entries >= 10);
    assert!(disk.get(key(99)).await.is_some());
    assert!(disk.get(key(0)).await.is_none());
    // What can never fit does not stay under its old name either.
    put(&disk, 99, body(99, 1, 300 << 10)).await;
    assert!(disk.get(key(99)).await.is_none());
    assert_eq!(on_disk(directory.path()).0, counts(&disk).disk_entries);
    drop(disk);

    let disk = Disk::open(config(directory.path(), capacity / 4)).await.expect("opens again");
    assert!(on_disk(directory.path()).1 <= capacity / 4);
    assert_eq!(on_disk(directory.path()).0, counts(&disk).disk_entries);
    assert_eq!(files(&directory.path().join(UNFINISHED)), []);
}

#[tokio::test]
async fn a_torn_file_is_a_miss_and_goes() {
    let directory = TempDir::new().expect("a directory");
    let disk = Disk::open(config(directory.path(), 1 << 20)).await.expect("opens");
    let tears: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes.push(0),
        |bytes| bytes[200] ^= 1,
        |bytes| bytes[100..].fill(0),
    ];
    for (name, tear) in (0..).zip(tears) {
        put(&disk, name, body(name, 0, 500)).await;
        let path = disk.0.path(&key(name));
        let mut bytes = fs::read(&path).expect("it is there");
        tear(&mut bytes);
        fs::write(&path, bytes).expect("writes");
        assert!(disk.get(key(name)).await.is_none(), "tear {name}");
        assert!(!path.exists(), "tear {name}");
        assert_eq!(counts(&disk).disk_errors, u64::from(name) + 1);
        put(&disk, name, body(name, 1, 500)).await;
        assert!(disk.get(key(name)).await.is_some(), "tear {name}");
    }
    // A whole file under another's name.
    fs::copy(disk.0.path(&key(1)), disk.0.path(&key(2))).expect("copies");
    assert!(disk.get(key(2)).await.is_none());
    // One that somebody has removed is no error.
    fs::remove_file(disk.0.path(&key(1))).expect("removes");
    assert!(disk.get(key(1)).await.is_none());
    assert_eq!(counts(&disk).disk_errors, 6);
}

#[tokio::test]
async fn what_is_no_entry_is_removed_at_start() {
    let directory = TempDir::new().expect("a directory");
    let disk = Disk::open(config(directory.path(), 1 << 20)).await.expect("opens");
    put(&disk, 1, body(1, 0, 500)).await;
    let place = disk.0.path(&key(1));
    drop(disk);
    let folder = place.parent().expect("a folder");
    fs::write(folder.join("notes"), "x").expect("writes");
    fs::create_dir(folder.join("folder")).expect("makes");
    fs::copy(&place, directory.path().join(ENTRIES).join("ff").join(key(1).to_string())).expect("copies");
    fs::write(directory.path().join(UNFINISHED).join("7"), "half").expect("writes");

    let disk = Disk::open(config(directory.path(), 1 << 20)).await.expect("opens again");
    assert_eq!(on_disk(directory.path()).0, 1);
    assert_eq!(files(&directory.path().join(UNFINISHED)), []);
    assert!(disk.get(key(1)).await.is_some());
}

#[tokio::test]
async fn a_removal_and_a_later_write_overtake_a_write_under_way() {
    let directory = TempDir::new().expect("a directory");
    let disk = Disk::open(config(directory.path(), 1 << 20)).await.expect("opens");
    for round in 0..50 {
        disk.put(key(1), entry(body(1, round, 20_000)));
        disk.remove(key(1)).await;
        disk.flush().await;
        assert!(disk.get(key(1)).await.is_none(), "round {round}: it came back");
        assert_eq!(on_disk(directory.path()).0, 0, "round {round}: a file is left");

        for version in 0..4 {
            disk.put(key(1), entry(body(1, version, 20_000)));
        }
        disk.flush().await;
        let found = disk.get(key(1)).await.map(|entry| entry.body);
        assert_eq!(found, Some(body(1, 3, 20_000).into()), "round {round}: an older write came last");
    }
    assert!(lock(&disk.0.writes).is_empty());
    assert_eq!(files(&directory.path().join(UNFINISHED)), []);
    assert_eq!(counts(&disk).disk_errors, 0);
}

#[tokio::test]
async fn an_eviction_that_comes_late_leaves_what_has_come_back() {
    let directory = TempDir::new().expect("a directory");
    let disk = Disk::open(config(directory.path(), 1 << 20)).await.expect("opens");
    put(&disk, 1, body(1, 0, 500)).await;
    // As after another write that had evicted it before this one.
    disk.0.discard(&key(1));
    assert!(disk.get(key(1)).await.is_some());
    assert_eq!(counts(&disk).disk_errors, 0);
}

#[tokio::test]
async fn what_cannot_be_written_is_counted_and_no_more() {
    let directory = TempDir::new().expect("a directory");
    let disk = Disk::open(config(directory.path(), 1 << 20)).await.expect("opens");
    put(&disk, 1, body(1, 0, 500)).await;
    fs::remove_dir(directory.path().join(UNFINISHED)).expect("removes");
    put(&disk, 1, body(1, 1, 500)).await;
    assert_eq!(counts(&disk).disk_errors, 1);
    assert!(disk.get(key(1)).await.is_none(), "an old entry is left where a new one could not be written");
    assert_eq!((counts(&disk).disk_entries, on_disk(directory.path()).0), (0, 0));
}

#[tokio::test]
async fn a_slow_disk_makes_nobody_wait() {
    let directory = TempDir::new().expect("a directory");
    let disk = Disk::open(config(directory.path(), 64 << 20)).await.expect("opens");
    // The only place for this key is taken, as if its disk hung.
    let place = disk.0.place(&key(1));
    for version in 0..100 {
        disk.put(key(1), entry(body(1, version, 5_000)));
    }
    let counted = counts(&disk);
    // Writes that are overtaken give up at once, so at least the queue's length has got in.
    assert!(counted.disk_skipped <= 100 - 32, "{} skipped", counted.disk_skipped);
    drop(place);
    disk.flush().await;
    let found = disk.get(key(1)).await;
    assert!(found.is_none() || found.is_some_and(|entry| entry.body == body(1, 99, 5_000)));
}

const DIRECTORY: &str = "EVENTMESH_TEST_CACHE_DIRECTORY";
const CHILD_CAPACITY: u64 = 4 << 20;

/// Writes until it is killed, and says so now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is started and killed by another test"]
async fn child_that_writes() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let disk = Disk::open(config(Path::new(&directory), CHILD_CAPACITY)).await.expect("opens");
    for version in 0.. {
        for name in 0..200 {
            disk.put(key(name), entry(body(name, version, 100 * name as usize)));
            if name % 20 == 0 {
                // Not all of it: some writes are to be under way when the end comes.
                drop(disk.0.writing.acquire_many(QUEUE / 2).await);
                writeln!(io::stdout(), "written").expect("somebody listens");
            }
        }
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the child is killed and waited for right here")]
async fn a_killed_writer_leaves_whole_entries_and_no_error() {
    let directory = TempDir::new().expect("a directory");
    for lines in [3, 8, 20, 45] {
        let mut child = Command::new(std::env::current_exe().expect("a program"))
            .args(["--exact", "cache::disk::tests::child_that_writes", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let written = said.lines().map_while(Result::ok).filter(|line| line.ends_with("written")).take(lines).count();
        child.kill().expect("it runs");
        let status = child.wait().expect("it ends");
        assert_eq!(written, lines, "the child ended by itself: {status}");

        let disk = Disk::open(config(directory.path(), CHILD_CAPACITY)).await.expect("opens after a kill");
        let (entries, bytes) = on_disk(directory.path());
        assert!(entries > 0 && bytes <= CHILD_CAPACITY, "{entries} entries, {bytes} bytes");
        assert_eq!(entries, counts(&disk).disk_entries);
        let mut found = 0;
        for name in 0..200 {
            let Some(entry) = disk.get(key(name)).await else { continue };
            let version = u32::from_le_bytes(entry.body[4..8].try_into().expect("four bytes"));
            assert_eq!(entry.body, body(name, version, 100 * name as usize), "{name} is not what was written");
            found += 1;
        }
        assert_eq!(found, entries, "a listed entry was not found");
        assert_eq!(counts(&disk).disk_errors, 0);
    }
}

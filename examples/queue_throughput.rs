//! How many jobs are accepted and items answered a second, by how many ask at a time, and how long it takes to open what came of it.
//!
//! `cargo run --release --example queue_throughput [directory]`, on the disk that the journal will be on.
#![expect(clippy::expect_used, clippy::print_stdout, clippy::disallowed_types, reason = "a measurement, printed")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventmesh::queue::{Entry, EntryKind, JobQueue, Journal, Lane, QueueLimits, Submission, UnixMillis};
use tokio::task::JoinSet;

const NOW: UnixMillis = UnixMillis(1);
const FAR: UnixMillis = UnixMillis(u64::MAX);
const MEASURED: Duration = Duration::from_secs(2);

fn main() {
    let parent = std::env::args_os().nth(1).unwrap_or_else(|| std::env::temp_dir().into_os_string());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    println!("{:>8} {:>12} {:>12} {:>12} {:>12}", "askers", "submits/s", "appends/s", "file MiB", "reopened ms");
    for askers in [1, 4, 16, 64, 256] {
        let directory = tempfile::tempdir_in(&parent).expect("a directory");
        let limits = QueueLimits { max_queued: u64::MAX, max_events: u64::MAX, ..QueueLimits::default() };
        let path = directory.path().join("jobs");
        let (submits, appends, reopened) = runtime.block_on(async {
            let queue = Journal::open(&path, limits.clone(), NOW).await.expect("opens");
            let queue = Arc::new(queue);
            let submits = count(askers, queue.clone(), submit).await;
            let appends = count(askers, queue.clone(), append).await;
            queue.close().await.expect("closes");
            let began = Instant::now();
            Journal::open(&path, limits, NOW).await.expect("opens").close().await.expect("closes");
            (submits, appends, began.elapsed().as_millis())
        });
        let file = path.metadata().expect("is there").len() >> 20;
        println!("{askers:>8} {submits:>12.0} {appends:>12.0} {file:>12} {reopened:>12}");
    }
}

async fn count<F>(askers: usize, queue: Arc<Journal>, ask: impl Fn(Arc<Journal>, Instant) -> F) -> f64
where
    F: Future<Output = u64> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..askers {
        tasks.spawn(ask(queue.clone(), began));
    }
    let all: u64 = tasks.join_all().await.into_iter().sum();
    all as f64 / began.elapsed().as_secs_f64()
}

async fn submit(queue: Arc<Journal>, began: Instant) -> u64 {
    let spec = Bytes::from(vec![b'x'; 500]);
    let mut done = 0;
    while began.elapsed() < MEASURED {
        let (spec, kind) = (spec.clone(), "extract".to_owned());
        let job = Submission { owner: None, lane: Lane::Batch, kind, spec, items: None, idempotency: None };
        queue.submit(job, NOW).await.expect("accepted");
        done += 1;
    }
    done
}

/// Every asker has a job of its own.
async fn append(queue: Arc<Journal>, began: Instant) -> u64 {
    let claim = queue.claim(FAR, NOW).await.expect("answers").expect("queued").claim;
    let data = Bytes::from(vec![b'x'; 2_000]);
    let mut done = 0;
    while began.elapsed() < MEASURED {
        let entry = Entry { kind: EntryKind::Result, item: Some(done), data: data.clone() };
        queue.append(&claim, entry, NOW).await.expect("held");
        done += 1;
    }
    u64::from(done)
}

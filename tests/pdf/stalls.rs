//! Processes that stop in the middle of a document: what its reader is told, and who reads the next one.

use std::time::Duration;

use eventmesh::actors::NodeDetail;
use eventmesh::{Chunk, Error, ErrorKind, Request};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

use super::{Host, make};

/// No document here has to be done before this is over.
const DEADLINE: Duration = Duration::from_secs(120);

/// Reads a long document, and sends `signal` to its process at every twentieth page. Returns how it ended, and the processes.
async fn signalled(host: &Host, signal: Signal) -> (Option<Error>, Vec<i32>) {
    let mut reply = host.engine.extract(Request::bytes(make::numbered(3000)).stream_pages().deadline(DEADLINE));
    let (mut error, mut pids) = (None, Vec::new());
    while let Some(chunk) = reply.next().await {
        match chunk {
            Chunk::Page(page) if page.number % 20 == 0 => {
                for pid in host.pids() {
                    // It may have gone by itself.
                    let _ = kill_process(Pid::from_raw(pid).expect("a number"), signal);
                    pids.push(pid);
                }
            }
            Chunk::Error(failure) => error = Some(failure),
            Chunk::Head(_)
            | Chunk::Route(_)
            | Chunk::Page(_)
            | Chunk::Picture(_)
            | Chunk::Rendered(_)
            | Chunk::Extract(..)
            | Chunk::Body(_)
            | Chunk::Done(_) => {}
        }
    }
    pids.sort_unstable();
    pids.dedup();
    (error, pids)
}

/// Workers that have been replaced by plan, as those are that say that they are not well.
fn recycles(host: &Host) -> u64 {
    let tree = host.engine.snapshot().tree;
    let pools = tree.children.iter().filter_map(|node| match &node.detail {
        NodeDetail::Pool(pool) if &*node.name == "pdf" => Some(pool.counts.recycles.values().sum::<u64>()),
        NodeDetail::Pool(_) | NodeDetail::Supervisor(_) | NodeDetail::Service => None,
    });
    pools.sum()
}

#[tokio::test]
async fn a_page_without_progress_is_given_up_long_before_its_deadline() {
    let host = Host::start(|config| config.pdf.workers = 1).await;
    host.assert_well().await;
    let began = Instant::now();
    let (error, frozen) = signalled(&host, Signal::STOP).await;
    let error = error.expect("nobody reads it to its end");
    assert_eq!(error.kind(), ErrorKind::ExtractionFailed, "{error}");
    assert!(error.to_string().contains("stopped making progress"), "{error}");
    assert!(began.elapsed() < DEADLINE / 3, "{:?}", began.elapsed());
    // Another process reads the next one, and the one that was frozen is gone.
    host.assert_well().await;
    let now = host.pids();
    assert!(!frozen.is_empty() && !now.is_empty() && now.iter().all(|pid| !frozen.contains(pid)), "{frozen:?} {now:?}");
    let replaced = async {
        while recycles(&host) == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), replaced).await.expect("its worker is replaced");
    host.assert_unharmed();
    host.stop().await;
}

/// The kernel ends a process that has used up its processor time by a signal of its own.
#[tokio::test]
async fn a_process_that_has_used_up_its_processor_time_is_told_apart() {
    let host = Host::start(|config| config.pdf.workers = 1).await;
    let (error, ended) = signalled(&host, Signal::XCPU).await;
    let error = error.expect("its process has ended");
    assert_eq!(error.kind(), ErrorKind::ResourceLimit, "{error}");
    assert!(error.to_string().contains("processor time"), "{error}");
    assert_eq!(ended.len(), 1, "and it is not tried again");
    host.assert_well().await;
    host.assert_unharmed();
    host.stop().await;
}

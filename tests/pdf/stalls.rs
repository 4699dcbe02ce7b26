//! Processes that stop in the middle of a document: what its reader is told, and who reads the next one.

use std::sync::Arc;
use std::time::Duration;

use eventmesh::actors::process::ProcessHost;
use eventmesh::actors::{
    Bus, ChildSpec, Demand, NodeDetail, Pool, PoolSpec, ProcessList, RunError, Shutdown, SupervisorSpec, Tree,
};
use eventmesh::{Chunk, Error, ErrorKind, PdfLimits, Request};
use eventmesh_extractors::pdf::{PdfError, PdfJob, PdfLibrary, PdfOutput, PdfProgram, PdfSpec, PdfTask, PdfWorker};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::{Host, SAYS_HELLO, make};

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

/// The text of a document's pages, read by a worker of `pool`.
async fn read(pool: &Pool<PdfWorker>) -> Result<String, RunError<PdfError>> {
    let document: bytes::Bytes = make::pdf(&[SAYS_HELLO]).into();
    let deadline = Instant::now() + DEADLINE;
    // There is room for all of it.
    let (out, mut found) = mpsc::channel(8);
    let sent = Arc::default();
    let job = || PdfJob {
        document: document.clone(),
        task: PdfTask::Extract { images: false },
        password: None,
        deadline,
        out: out.clone(),
        sent: Arc::clone(&sent),
    };
    pool.run(Demand::new(document.len() as u64, deadline), job).await?;
    let mut text = String::new();
    while let Ok(output) = found.try_recv() {
        match output {
            PdfOutput::Page(page) => text.push_str(&page.text),
            PdfOutput::Opened(_) | PdfOutput::Picture(_) => {}
        }
    }
    Ok(text)
}

/// A process that takes a document and then says nothing, not even that it is open.
#[tokio::test]
async fn a_document_that_is_never_opened_is_given_up_and_the_next_one_is_read() {
    let patience = Duration::from_secs(2);
    let scratch = tempfile::tempdir().expect("a directory");
    let host = ProcessHost::open(scratch.path()).expect("a host");
    let library = PdfLibrary::find(None).expect("`./x setup` installs libpdfium").path;
    let program = PdfProgram::At(env!("CARGO_BIN_EXE_eventmesh").into());
    let spec = PdfSpec::new(program, library, host.clone(), PdfLimits::default());
    // As it is everywhere, but sooner.
    let mut hang = PdfSpec::hang_policy();
    let opening = hang.phases.iter_mut().find(|phase| phase.name == "open").expect("opening is a phase of its own");
    let usual = opening.budget.replace(patience).expect("opening does not have all the time there is");
    assert!(usual < Duration::from_secs(30), "a reader waits for {usual:?}");
    let bus = Bus::new(1024);
    let pool = Pool::new(PoolSpec { hang, ..PoolSpec::new("pdf", 1) }, spec, bus.clone());
    let root = SupervisorSpec::new("root").child(ChildSpec::pool(&pool).shutdown(Shutdown::Within(Duration::from_secs(5))));
    let tree = Tree::start(root, bus).await.expect("it starts");
    assert_eq!(read(&pool).await.expect("it is read"), "Hello");

    let frozen = host.pids();
    assert_eq!(frozen.len(), 1, "it waits for the next document");
    for pid in &frozen {
        let pid = Pid::from_raw(i32::try_from(*pid).expect("a number")).expect("a process");
        kill_process(pid, Signal::STOP).expect("it is there");
    }
    let began = Instant::now();
    let result = read(&pool).await;
    assert!(matches!(result, Err(RunError::Stalled { .. })), "{result:?}");
    let took = began.elapsed();
    assert!(patience <= took && took < DEADLINE / 3, "{took:?}");

    assert_eq!(read(&pool).await.expect("another process reads it"), "Hello");
    let ended = async {
        while host.pids().contains(&frozen[0]) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), ended).await.expect("the one that was frozen is ended");
    tree.shutdown(Duration::from_secs(5)).await;
    timeout(Duration::from_secs(10), host.close()).await.expect("no process is left");
}

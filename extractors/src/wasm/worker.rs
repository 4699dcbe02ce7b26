//! The worker that a pool lends out: one dedicated thread on a shared sandbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use eventmesh_actors::{ChildId, Failure, Progress, Usage, Worker};
use tokio::sync::oneshot;

use super::error::PageError;
use super::sandbox::{Extracted, Job, Sandbox};
use super::thread::{self, Task};

/// One dedicated thread that runs pages in the shared sandbox.
#[derive(Debug)]
pub struct WasmWorker {
    thread: SyncSender<Task>,
    sandbox: Arc<Sandbox>,
    last_page_bytes: usize,
    /// The answer of the page at work; still here afterwards only if that page was given up.
    answer: Option<oneshot::Receiver<Result<Extracted, PageError>>>,
}

impl Worker for WasmWorker {
    type Spec = Arc<Sandbox>;
    type Job = Job;
    type Output = Extracted;
    type Error = PageError;

    async fn start(sandbox: &Arc<Sandbox>, child: &ChildId) -> Result<Self, PageError> {
        let thread = thread::start(child.to_string(), Arc::clone(sandbox)).map_err(PageError::Thread)?;
        Ok(Self { thread, sandbox: Arc::clone(sandbox), last_page_bytes: 0, answer: None })
    }

    async fn run(&mut self, job: Job, _progress: &Progress) -> Result<Extracted, Failure<PageError>> {
        // A page that was given up may still be on its way out, for one tick. The thread takes one at a time.
        if let Some(given_up) = &mut self.answer {
            let _ = given_up.await;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let (reply, answer) = oneshot::channel();
        let task = Task { job, cancelled: Arc::clone(&cancelled), reply };
        if self.thread.try_send(task).is_err() {
            return Err(Failure::Worker(PageError::ThreadGone));
        }
        let cancel = CancelOnDrop(cancelled);
        let result = self.answer.insert(answer).await.unwrap_or(Err(PageError::ThreadGone));
        self.answer = None;
        drop(cancel);
        match result {
            Ok(extracted) => {
                self.last_page_bytes = extracted.memory;
                Ok(extracted)
            }
            Err(error) if error.blames_page() => Err(Failure::Job(error)),
            Err(error) => Err(Failure::Worker(error)),
        }
    }

    /// Linear memory goes with its page. What stays is what the sandbox keeps resident for all workers, counted
    /// with each of them.
    fn usage(&self) -> Usage {
        Usage { bytes: self.sandbox.usage().resident_unused as u64, last_job_bytes: self.last_page_bytes as u64, healthy: true }
    }

    /// Dropping the worker ends its thread, after the page it is at.
    async fn stop(self) {}
}

/// Tells the guest to stop at its next look at the clock, when nobody waits for the page any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

//! The dedicated thread of one worker: takes a page from a queue of one, runs it, answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, sync_channel};

use eventmesh_actors::panic_text;
use tokio::sync::oneshot;

use super::error::PageError;
use super::sandbox::{Extracted, Job, Sandbox};

/// Native stack of a worker's thread: the guest's own, and the host's around it with room to spare. Untouched
/// pages cost nothing.
const HOST_STACK: usize = 2 << 20;

/// One page on its way to the thread.
pub(crate) struct Task {
    pub(crate) job: Job,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) reply: oneshot::Sender<Result<Extracted, PageError>>,
}

/// Starts a worker's thread. It ends when the sender is dropped, after the page it is at.
pub(crate) fn start(name: String, sandbox: Arc<Sandbox>) -> std::io::Result<SyncSender<Task>> {
    // One place: the child runs one job at a time, and a cancelled one may still be on its way out.
    let (sender, tasks) = sync_channel::<Task>(1);
    std::thread::Builder::new().name(name).stack_size(sandbox.stack() + HOST_STACK).spawn(move || {
        sandbox.on_thread().run();
        for task in tasks {
            // The sandbox is shared, but a page changes nothing in it but counters.
            let run = AssertUnwindSafe(|| sandbox.run(&task.job, &task.cancelled));
            match catch_unwind(run) {
                // A caller that has gone does not read its answer.
                Ok(result) => drop(task.reply.send(result)),
                Err(payload) => {
                    tracing::error!(panic = panic_text(&*payload), "sandbox thread panicked; its worker is replaced");
                    drop(task.reply.send(Err(PageError::ThreadGone)));
                    return;
                }
            }
        }
    })?;
    Ok(sender)
}

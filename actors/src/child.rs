//! The actor that owns exactly one worker.
//!
//! It is lent to one caller at a time, so its mailbox holds at most the job that runs next. The lease's
//! [`Ticket`] travels with the job and comes back with the answer; whoever holds it when it is dropped has
//! checked the child in. So a child is checked in exactly once, whether its caller waits, has gone, or never
//! looked, and whether the child lives or not.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use crate::id::ChildId;
use crate::lease::Ticket;
use crate::pool::core::Outcome;
use crate::progress::{Interrupt, Progress};
use crate::worker::{Failure, Worker};

/// One job, its ticket, and the way back.
pub(crate) struct Run<W: Worker> {
    pub(crate) job: W::Job,
    pub(crate) ticket: Ticket<W>,
    pub(crate) cancel_at: Instant,
    pub(crate) reply: oneshot::Sender<Answer<W>>,
}

/// What came of a job.
pub(crate) struct Answer<W: Worker> {
    pub(crate) ticket: Ticket<W>,
    pub(crate) result: Result<W::Output, JobEnd<W::Error>>,
}

/// How a job ended without an output.
pub(crate) enum JobEnd<E> {
    Failed(Failure<E>),
    Deadline,
    /// It was silent for too long.
    Stalled,
}

/// The actor; all it has is its worker.
pub(crate) struct ChildActor<W>(PhantomData<fn() -> W>);

impl<W> ChildActor<W> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// What a child is started from.
pub(crate) struct ChildArguments<W: Worker> {
    pub(crate) spec: Arc<W::Spec>,
    pub(crate) id: ChildId,
    pub(crate) stop_grace: Duration,
    pub(crate) progress: Progress,
    /// Takes the worker's own way to be stopped, once it stands.
    pub(crate) interrupt: oneshot::Sender<Option<Arc<dyn Interrupt>>>,
}

pub(crate) struct ChildHold<W> {
    /// Taken only by the end of the child.
    worker: Option<W>,
    id: ChildId,
    stop_grace: Duration,
    progress: Progress,
    jobs: u64,
}

impl<W: Worker> Actor for ChildActor<W> {
    type Msg = Run<W>;
    type State = ChildHold<W>;
    type Arguments = ChildArguments<W>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let ChildArguments { spec, id, stop_grace, progress, interrupt } = arguments;
        let worker = W::start(&spec, &id).await?;
        // Nobody takes it if the start was given up meanwhile; then the worker is dropped in a moment.
        let _ = interrupt.send(worker.interrupt());
        Ok(ChildHold { worker: Some(worker), id, stop_grace, progress, jobs: 0 })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let Some(worker) = &mut state.worker else {
            return Ok(());
        };
        let Run { job, mut ticket, cancel_at, mut reply } = message;
        ticket.outcome = Outcome::Lost;
        // Whom this poll has woken so far may sit in this thread's own slot, where no other thread can take it. Should
        // the worker block the thread after all, that must not be the pool, which is to replace it.
        yield_now().await;
        state.jobs += 1;
        let at_work = state.progress.begin(state.jobs);
        let result = tokio::select! {
            biased;
            result = worker.run(job, &state.progress) => Some(result.map_err(JobEnd::Failed)),
            () = sleep_until(cancel_at) => Some(Err(JobEnd::Deadline)),
            () = state.progress.cancelled() => Some(Err(JobEnd::Stalled)),
            // The caller has gone, and with it the only reason to go on.
            () = reply.closed() => None,
        };
        if !matches!(result, Some(Ok(_) | Err(JobEnd::Failed(_)))) {
            // What the worker does elsewhere is told by this alone that nobody wants it.
            state.progress.cancel();
        }
        drop(at_work);
        ticket.outcome = match &result {
            Some(Err(JobEnd::Failed(Failure::Worker(error)))) => Outcome::Broken(error.to_string()),
            Some(Ok(_) | Err(JobEnd::Failed(Failure::Job(_)) | JobEnd::Deadline | JobEnd::Stalled)) | None => {
                ticket.jobs += 1;
                Outcome::Done { jobs: ticket.jobs, usage: worker.usage() }
            }
        };
        if let Some(result) = result {
            // A caller that went in the last moment sends the answer back; dropping it checks in.
            drop(reply.send(Answer { ticket, result }));
        }
        Ok(())
    }

    async fn post_stop(&self, _myself: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if let Some(worker) = state.worker.take()
            && timeout(state.stop_grace, worker.stop()).await.is_err()
        {
            tracing::warn!(slot = %state.id, grace = ?state.stop_grace, "worker did not stop in time and was dropped");
        }
        Ok(())
    }
}

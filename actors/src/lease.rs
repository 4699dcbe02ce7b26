//! The right to use one child, for as long as it is held.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::child::{JobEnd, Run};
use crate::error::RunError;
use crate::exit::Exit;
use crate::id::{ChildId, Key};
use crate::pool::core::{Grant, Outcome};
use crate::pool::shared::{ChildHandle, Shared};
use crate::worker::{Failure, Worker};

/// Who is served first, and sent away last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Nobody does: it waits behind all others, and is shed first when memory is short.
    Batch,
}

/// What a caller asks a pool for.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Bytes that the job will hold, for the pool's budget.
    pub bytes: u64,
    /// Until when the caller waits for a child, and by when its jobs have to be done.
    pub deadline: Instant,
    /// Who is served first.
    pub priority: Priority,
    /// What the input is known by, such as a hash of it: keys that kill children are quarantined. `None` never is.
    pub key: Option<u64>,
}

impl Demand {
    /// An interactive demand without a key.
    #[must_use]
    pub fn new(bytes: u64, deadline: Instant) -> Self {
        Self { bytes, deadline, priority: Priority::Interactive, key: None }
    }

    /// The same with another priority.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// The same with a key for quarantine.
    #[must_use]
    pub fn key(self, key: u64) -> Self {
        Self { key: Some(key), ..self }
    }
}

/// Proof that a child is lent; checks it in when dropped, wherever that happens.
pub(crate) struct Ticket<W: Worker> {
    pub(crate) shared: Arc<Shared<W>>,
    pub(crate) grant: Grant<ChildHandle<W>>,
    /// Jobs that have ended on this lease.
    pub(crate) jobs: u64,
    pub(crate) outcome: Outcome,
}

impl<W: Worker> Drop for Ticket<W> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Lost);
        self.shared.check_in(&self.grant, outcome);
    }
}

/// One child, lent to one caller. Dropping it checks the child in; dropping it during a job cancels the job.
pub struct Lease<W: Worker> {
    ticket: Option<Ticket<W>>,
    child: ChildId,
    deadline: Instant,
}

impl<W: Worker> Lease<W> {
    pub(crate) fn new(shared: Arc<Shared<W>>, grant: Grant<ChildHandle<W>>, deadline: Instant) -> Self {
        let child = grant.key.within(shared.name());
        let ticket = Ticket { shared, grant, jobs: 0, outcome: Outcome::Unused };
        Self { ticket: Some(ticket), child, deadline }
    }

    /// The child that is lent.
    #[must_use]
    pub fn child(&self) -> &ChildId {
        &self.child
    }

    /// Shortens the lease's deadline to `time` from now, if it was later, for what is run from here on.
    pub fn within(&mut self, time: Duration) -> &mut Self {
        self.deadline = self.deadline.min(after(Instant::now(), time));
        self
    }

    /// Runs `job` on the child, by the lease's deadline.
    ///
    /// The worker is expected to end by the deadline itself. Past it and the pool's grace the job is
    /// cancelled; if that does not help either, the child is killed and replaced.
    ///
    /// # Errors
    /// See [`RunError`]. After [`RunError::Worker`] and [`RunError::ChildEnded`] this lease is spent, and
    /// every further job on it fails in the same way.
    pub async fn run(&mut self, job: W::Job) -> Result<W::Output, RunError<W::Error>> {
        if Instant::now() >= self.deadline {
            return Err(RunError::Deadline { child: self.child.clone() });
        }
        let ended = |child: &ChildId, exit| RunError::ChildEnded { child: child.clone(), exit };
        let Some(mut ticket) = self.ticket.take() else {
            return Err(ended(&self.child, None));
        };
        ticket.outcome = Outcome::Undelivered;
        let shared = Arc::clone(&ticket.shared);
        let (key, lease) = (ticket.grant.key, ticket.grant.lease);
        let (actor, progress) = (ticket.grant.handle.actor.clone(), ticket.grant.handle.progress.clone());
        let grace = shared.cancel_grace();
        let (reply, answer) = oneshot::channel();
        let run = Run { job, ticket, cancel_at: after(self.deadline, grace), reply };
        // A message that cannot be delivered is dropped here, ticket and all.
        if actor.cast(run).is_err() {
            return Err(ended(&self.child, None));
        }
        let mut going = Going { shared: &shared, key, lease, left: true };
        let answer = async {
            tokio::select! {
                biased;
                answer = answer => answer.ok(),
                // It may be stuck and never let go of the job; its caller is told all the same.
                () = progress.condemned() => None,
            }
        };
        let answer = timeout_at(after(self.deadline, grace.saturating_mul(2)), answer).await;
        going.left = false;
        match answer {
            Ok(Some(answer)) => {
                match answer.ticket.outcome {
                    Outcome::Done { .. } | Outcome::Unused => self.ticket = Some(answer.ticket),
                    Outcome::Broken(_) | Outcome::Lost | Outcome::Undelivered => drop(answer.ticket),
                }
                answer.result.map_err(|end| match end {
                    JobEnd::Failed(Failure::Job(error)) => RunError::Job(error),
                    JobEnd::Failed(Failure::Worker(error)) => RunError::Worker(error),
                    JobEnd::Deadline => RunError::Deadline { child: self.child.clone() },
                    JobEnd::Stalled => RunError::Stalled { child: self.child.clone() },
                })
            }
            // The child ended with the job in its hands. The pool may know why already, or not yet.
            Ok(None) => Err(ended(&self.child, shared.failure_of(key))),
            Err(_) => {
                shared.condemn(key, lease, Exit::Hung);
                Err(ended(&self.child, Some(Exit::Hung)))
            }
        }
    }
}

/// A caller that goes in the middle of a job leaves somebody who sees to it that the child lets go of it.
struct Going<'a, W: Worker> {
    shared: &'a Shared<W>,
    key: Key,
    lease: u64,
    left: bool,
}

impl<W: Worker> Drop for Going<'_, W> {
    fn drop(&mut self) {
        if self.left {
            self.shared.watch_cancelled(self.key, self.lease);
        }
    }
}

/// `span` after `instant`, or `instant` if that is past the end of time.
fn after(instant: Instant, span: Duration) -> Instant {
    instant.checked_add(span).unwrap_or(instant)
}

impl<W: Worker> fmt::Debug for Lease<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("child", &self.child).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

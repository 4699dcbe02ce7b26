//! A pool: the children of one kind of worker, and the right to borrow them.
//!
//! ```text
//!   caller ── lease ──▶ [books: idle children · waiting callers · restart budget]     functions, one short lock
//!     │                                  ▲ starts, ends
//!     │ one message, one reply           │
//!     └──────────▶ child ◀── spawned, watched ── pool actor ◀── watched ── tree       actors
//! ```
//!
//! Nothing waits in a child's mailbox: a child is lent to one caller at a time, everyone else waits in the
//! pool's own queue, bounded by count and bytes, each with a deadline.

pub(crate) mod books;
pub(crate) mod core;
pub(crate) mod shared;
pub(crate) mod spec;
pub(crate) mod supervisor;

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::error::{LeaseError, RunError};
use crate::event::Bus;
use crate::lease::{Demand, Lease};
use crate::pool::core::Phase;
use crate::pool::shared::{Asked, Shared};
use crate::pressure::Pressure;
use crate::snapshot::PoolSnapshot;
use crate::task::spawn_named;
use crate::worker::Worker;

pub use spec::PoolSpec;

/// A handle to a pool; clones are handles to the same one. It serves while a [`Tree`](crate::Tree) runs it.
pub struct Pool<W: Worker> {
    pub(crate) shared: Arc<Shared<W>>,
}

impl<W: Worker> Pool<W> {
    /// A pool that is closed until a tree runs it.
    #[must_use]
    pub fn new(spec: PoolSpec, worker: W::Spec, bus: Bus) -> Self {
        Self { shared: Arc::new(Shared::new(spec, worker, bus)) }
    }

    /// Borrows a child, waiting in line until the demand's deadline. Dropping the future leaves the line.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub async fn lease(&self, demand: Demand) -> Result<Lease<W>, LeaseError> {
        let (id, answer) = match self.shared.ask(demand) {
            Asked::Granted(lease) => return Ok(lease),
            Asked::Refused(error) => return Err(error),
            Asked::Queued(id, answer) => (id, answer),
        };
        let mut place = PlaceInLine { shared: &self.shared, id, timed_out: false };
        let pool = || self.shared.name().to_string();
        match timeout_at(demand.deadline, answer).await {
            Ok(Ok(granted)) => granted,
            Ok(Err(_)) => Err(LeaseError::Deadline { pool: pool() }),
            Err(_) => {
                place.timed_out = true;
                Err(LeaseError::Deadline { pool: pool() })
            }
        }
    }

    /// Borrows a child, runs one job on it, and tries once more on another child if this one ended under it.
    ///
    /// # Errors
    /// See [`RunError`]; after a second try, that of the second.
    pub async fn run(&self, demand: Demand, mut job: impl FnMut() -> W::Job) -> Result<W::Output, RunError<W::Error>> {
        let queue = || tracing::debug_span!("queue", pool = %self.shared.name());
        match self.lease(demand).instrument(queue()).await?.run(job()).await {
            Err(error) if error.is_worth_a_retry() && Instant::now() < demand.deadline => {
                tracing::warn!(%error, "job is tried once more on another child");
                self.lease(demand).instrument(queue()).await?.run(job()).await
            }
            result => result,
        }
    }

    /// Waits until at least one child serves.
    ///
    /// # Errors
    /// [`LeaseError::Closed`] if no tree runs the pool, [`LeaseError::Unavailable`] once it has given up,
    /// [`LeaseError::Deadline`] at `deadline`.
    pub async fn ready(&self, deadline: Instant) -> Result<(), LeaseError> {
        let mut changes = self.shared.changes();
        let pool = || self.shared.name().to_string();
        let served = async {
            loop {
                if self.shared.serving() > 0 {
                    return Ok(());
                }
                match self.shared.phase() {
                    Phase::Open | Phase::Probing => {}
                    Phase::Closed | Phase::Draining => return Err(LeaseError::Closed { pool: pool() }),
                    Phase::Spent => {
                        let retry_after = self.shared.spec.backoff.cap;
                        return Err(LeaseError::Unavailable { pool: pool(), retry_after });
                    }
                }
                if changes.changed().await.is_err() {
                    return Err(LeaseError::Closed { pool: pool() });
                }
            }
        };
        timeout_at(deadline, served).await.unwrap_or_else(|_| Err(LeaseError::Deadline { pool: pool() }))
    }

    /// Replaces the child in `slot` by plan. `false` if there is none, or a replacement is already under way.
    pub fn retire(&self, slot: u32) -> bool {
        self.shared.retire(slot)
    }

    /// Tells the pool how short memory is; see [`Pressure`]. [`Pool::follow`] does it for as long as there is a governor.
    pub fn pressed(&self, pressure: Pressure) {
        self.shared.pressed(pressure);
    }

    /// Follows a governor's levels until either is gone. The handle does not keep the pool.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn follow(&self, mut levels: watch::Receiver<Pressure>) {
        let pool = Arc::downgrade(&self.shared);
        spawn_named("pressure", async move {
            loop {
                let level = *levels.borrow_and_update();
                let Some(shared) = pool.upgrade() else { return };
                shared.pressed(level);
                drop(shared);
                if levels.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// The pool as data, at once, whatever its children do.
    #[must_use]
    pub fn snapshot(&self) -> PoolSnapshot {
        self.shared.snapshot()
    }
}

impl<W: Worker> Clone for Pool<W> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<W: Worker> fmt::Debug for Pool<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("spec", &self.shared.spec).finish_non_exhaustive()
    }
}

/// A caller's place in line; leaves it when the caller does.
struct PlaceInLine<'a, W: Worker> {
    shared: &'a Shared<W>,
    id: u64,
    timed_out: bool,
}

impl<W: Worker> Drop for PlaceInLine<'_, W> {
    fn drop(&mut self) {
        self.shared.cancel_wait(self.id, self.timed_out);
    }
}

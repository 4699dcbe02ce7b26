//! Supervised worker pools that lose nothing.
//!
//! - Workers go bad: they panic, hang, leak, die. A [`Pool`] owns them, lends them out one job at a time, and
//!   replaces them within a restart budget.
//! - A planned replacement (a *recycle*) is not a crash: the new child stands before the old one goes, it costs
//!   no request and no budget.
//! - Nothing is unbounded: callers wait in the pool's queue, bounded by count and by bytes, each with a deadline,
//!   and are refused with a typed error that says when to come back.
//! - Everything that happens is an [`Event`], and the live tree is data at any time ([`Tree::snapshot`]).
//!
//! Read in this order: [`Worker`] (what you write), [`state`] (the life of a child), [`Pool`] and [`Lease`]
//! (what callers see), [`Tree`] (who restarts whom). Policies ([`RestartBudget`], [`Backoff`],
//! [`RecycleLimits`], [`ChildState`]) are plain structs without a clock, to be tested and replayed.
//!
//! Nothing here is global: two trees in one process never meet.

mod child;
mod clock;
mod error;
mod event;
mod exit;
mod id;
mod lease;
mod pool;
mod recycle;
mod restart;
mod snapshot;
pub mod state;
mod task;
mod tree;
mod worker;

pub use clock::Moment;
pub use error::{LeaseError, RunError};
pub use event::{Bus, Event, Subscriber};
pub use exit::Exit;
pub use id::ChildId;
pub use lease::{Demand, Lease};
pub use pool::{Pool, PoolSpec};
pub use recycle::{DrawnLimits, RecycleLimits, RecycleReason};
pub use restart::{Backoff, BackoffSpec, RestartBudget, RestartIntensity};
pub use snapshot::{ChildSnapshot, PoolCounts, PoolSnapshot, TreeSnapshot};
pub use state::ChildState;
pub use task::{panic_text, spawn_named};
pub use tree::{Tree, TreeBuilder, TreeError, TreeState};
pub use worker::{Failure, Usage, Worker};

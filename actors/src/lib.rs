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
//! (what callers see), [`Supervisor`] and [`Tree`] (who restarts whom). Policies ([`RestartBudgets`], [`Backoff`],
//! [`RecycleLimits`], [`MemoryWatch`], [`LeakDetector`], [`Watchdog`], [`Quarantine`], [`PressureLadder`], [`Ledger`]) and
//! the two cores in [`sans_io`] are plain structs without a clock, to be tested, simulated and replayed.
//!
//! Nothing here is global: two trees in one process never meet.

mod cgroup;
mod child;
mod clock;
mod error;
mod event;
mod exit;
mod governor;
mod id;
mod leak;
mod lease;
mod ledger;
mod limits;
mod memory;
mod pool;
mod pressure;
pub mod process;
mod progress;
mod quarantine;
mod recycle;
mod restart;
mod service;
mod shortage;
mod snapshot;
pub mod state;
mod supervisor;
mod task;
mod tree;
mod watchdog;
mod worker;

/// The books of pools and supervisors without clock, IO or actors: feed them what happened, and they say what is to be
/// done. The engine runs on them; simulations and replays of incidents can, too.
pub mod sans_io {
    pub use crate::id::Key;
    pub use crate::pool::core::{Ask, Effect as PoolEffect, Grant, Lend, Outcome, Phase as PoolPhase, PoolCore};
    pub use crate::supervisor::core::{
        Effect as SupervisorEffect, NodeKey, NodeView, Phase as SupervisorPhase, SupervisorCore, SupervisorPolicy,
    };
    pub use crate::supervisor::policy::ChildPolicy;
}

pub use cgroup::{ControlGroups, ControlGroupsSnapshot, NotDelegated};
pub use clock::Moment;
pub use error::{LeaseError, RunError};
pub use event::{Bus, Event, Record, Subscriber};
pub use exit::{Cause, Exit};
pub use governor::{Governor, GovernorSnapshot, GovernorSpec, ProcessList};
pub use id::ChildId;
pub use leak::{Leak, LeakAxis, LeakDetector, LeakPolicy, SeriesPolicy, Slope};
pub use lease::{Demand, Lease, Priority};
pub use ledger::{Invariant, Ledger, Violation};
pub use limits::{MemoryLevel, MemoryLimits, MemoryWatch};
pub use memory::{
    KernelMemory, Limits, MemoryProbe, MemoryReading, MemorySource, PoolMemory, ResidentCode, Stalls, UnknownMemory,
};
pub use pool::{Pool, PoolSpec};
pub use pressure::{Pressure, PressureLadder, PressurePolicy, Signals};
pub use progress::{Interrupt, Progress};
pub use quarantine::{Quarantine, QuarantinePolicy};
pub use recycle::{DrawnLimits, RecycleLimits, RecycleReason};
pub use restart::{Backoff, BackoffSpec, RestartBudget, RestartBudgets, RestartIntensity, RestartPolicy};
pub use service::ServiceContext;
pub use shortage::is_shortage;
pub use snapshot::{ChildSnapshot, NodeDetail, NodeSnapshot, PoolCounts, PoolSnapshot, TreeSnapshot};
pub use state::ChildState;
pub use supervisor::child_spec::ChildSpec;
pub use supervisor::core::ChildError;
pub use supervisor::policy::{AutoShutdown, Restart, Shutdown, Strategy};
pub use supervisor::{PostMortem, Supervisor, SupervisorSpec};
pub use task::{panic_text, spawn_named};
pub use tree::{Tree, TreeError, TreeState};
pub use watchdog::{HangPolicy, Phase, PhaseBudget, Reading, Step, Watchdog};
pub use worker::{Failure, Usage, Worker};

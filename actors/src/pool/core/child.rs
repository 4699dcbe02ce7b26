//! What the books know of one child and of one slot.

use fastrand::Rng;

use crate::clock::Moment;
use crate::leak::{Leak, LeakDetector};
use crate::lease::Priority;
use crate::limits::MemoryWatch;
use crate::pool::spec::PoolSpec;
use crate::recycle::DrawnLimits;
use crate::restart::Backoff;
use crate::state::{Action, ChildState, Input};
use crate::watchdog::Watchdog;
use crate::worker::Usage;

#[derive(Debug)]
pub(super) struct Child<H> {
    pub(super) generation: u64,
    pub(super) state: ChildState,
    pub(super) since: Moment,
    /// When it was started, or will be while it waits out a backoff.
    pub(super) due: Moment,
    pub(super) up: Option<Moment>,
    pub(super) handle: Option<H>,
    pub(super) limits: DrawnLimits,
    pub(super) memory: MemoryWatch,
    pub(super) watchdog: Watchdog,
    pub(super) leak: Option<LeakDetector>,
    /// The leak that was found, and when.
    pub(super) leaks: Option<(Leak, Moment)>,
    pub(super) lease: u64,
    /// For whom it is lent, or was last.
    pub(super) priority: Priority,
    /// The ledger's entry and the input of the lease that is out.
    pub(super) entry: Option<u64>,
    pub(super) input: Option<u64>,
    pub(super) jobs: u64,
    pub(super) usage: Usage,
}

impl<H> Child<H> {
    pub(super) fn new(generation: u64, now: Moment, due: Moment, spec: &PoolSpec, rng: &mut Rng) -> Self {
        let limits = spec.recycle.draw(rng);
        Self {
            generation,
            state: ChildState::Starting,
            since: now,
            due,
            up: None,
            handle: None,
            limits,
            memory: MemoryWatch::new(limits.memory),
            watchdog: Watchdog::new(),
            leak: spec.leak.map(LeakDetector::new),
            leaks: None,
            lease: 0,
            priority: Priority::Interactive,
            entry: None,
            input: None,
            jobs: 0,
            usage: Usage::NONE,
        }
    }

    pub(super) fn on(&mut self, input: Input, now: Moment) -> Action {
        let before = self.state.label();
        let action = self.state.on(input);
        if self.state.label() != before {
            self.since = now;
        }
        action
    }

    /// Whether it serves now.
    pub(super) fn serves(&self) -> bool {
        self.up.is_some() && self.state.occupies()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state == ChildState::Idle
    }

    pub(super) fn is_out(&self) -> bool {
        matches!(self.state, ChildState::Leased | ChildState::Retiring(_))
    }
}

#[derive(Debug)]
pub(super) struct Slot<H> {
    pub(super) last_generation: u64,
    /// At most one that serves, one that is to replace it, and those on their way out.
    pub(super) children: Vec<Child<H>>,
    pub(super) backoff: Backoff,
    pub(super) recycle_not_before: Moment,
    /// The child before was unhealthy after its very first job: if the next one is, too, it is no accident.
    pub(super) sickly: bool,
}

impl<H> Slot<H> {
    pub(super) fn new(spec: &PoolSpec) -> Self {
        Self {
            last_generation: 0,
            children: Vec::new(),
            backoff: Backoff::new(spec.backoff),
            recycle_not_before: Moment::default(),
            sickly: false,
        }
    }

    pub(super) fn is_taken(&self) -> bool {
        self.children.iter().any(|child| child.state.occupies())
    }
}

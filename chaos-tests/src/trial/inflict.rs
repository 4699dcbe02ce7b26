//! Follows a plan: switches faults on and off at their times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::board::Board;
use crate::os::{BusyProcessors, MemoryHog, NoFiles};
use crate::plan::{Fault, FaultKind, FaultPlan};
use crate::target::Target;

/// What is on now.
pub(super) struct Inflicter {
    target: Arc<dyn Target>,
    board: Option<Arc<Board>>,
    hog: usize,
    active: Vec<(Instant, Fault)>,
    hogs: Vec<MemoryHog>,
    files: Option<NoFiles>,
    busy: Option<BusyProcessors>,
    counts: BTreeMap<FaultKind, u64>,
}

impl Inflicter {
    pub(super) fn new(target: Arc<dyn Target>, board: Option<Arc<Board>>, hog: usize) -> Self {
        Self { target, board, hog, active: Vec::new(), hogs: Vec::new(), files: None, busy: None, counts: BTreeMap::new() }
    }

    /// Carries `plan` out from `began` until `over`.
    pub(super) async fn follow(&mut self, plan: &FaultPlan, began: Instant, over: Instant) {
        let mut coming = plan.faults.iter().peekable();
        loop {
            let next_start = coming.peek().map(|fault| began + Duration::from_millis(fault.at_ms));
            let next_end = self.active.iter().map(|(until, _)| *until).min();
            let next = [next_start, next_end].into_iter().flatten().min().unwrap_or(over).min(over);
            sleep_until(next).await;
            if next >= over {
                return;
            }
            self.end_due(next);
            if next_start == Some(next)
                && let Some(fault) = coming.next()
            {
                self.begin(*fault, next);
            }
        }
    }

    fn begin(&mut self, fault: Fault, now: Instant) {
        let inflicted = match fault.kind {
            FaultKind::MemoryHog => {
                if self.hogs.is_empty() {
                    self.hogs.push(MemoryHog::take(self.hog));
                }
                true
            }
            FaultKind::NoFiles => {
                if self.files.is_none() {
                    self.files = NoFiles::exhaust().ok();
                }
                self.files.is_some()
            }
            FaultKind::StarveClock => {
                self.busy.get_or_insert_with(BusyProcessors::start);
                true
            }
            FaultKind::Panic
            | FaultKind::Fail
            | FaultKind::Break
            | FaultKind::Hang
            | FaultKind::Grow
            | FaultKind::Leak
            | FaultKind::SlowStart
            | FaultKind::FailStart
            | FaultKind::Sicken
            | FaultKind::Kill
            | FaultKind::Freeze
            | FaultKind::DiskFull
            | FaultKind::CallersLeave
            | FaultKind::Poison
            | FaultKind::Retire
            | FaultKind::LibraryGone => {
                self.board.as_ref().is_some_and(|board| board.turn_on(fault.kind)) || self.target.inflict(&fault)
            }
        };
        if inflicted {
            *self.counts.entry(fault.kind).or_default() += 1;
            self.active.push((now + Duration::from_millis(fault.for_ms), fault));
        }
    }

    fn end_due(&mut self, now: Instant) {
        let (due, active) = self.active.drain(..).partition(|(until, _)| *until <= now);
        self.active = active;
        let due: Vec<(Instant, Fault)> = due;
        for (_, fault) in due {
            self.end(&fault);
        }
    }

    fn end(&mut self, fault: &Fault) {
        let same = self.active.iter().any(|(_, active)| active.kind == fault.kind);
        match fault.kind {
            FaultKind::MemoryHog if !same => self.hogs.clear(),
            FaultKind::NoFiles if !same => self.files = None,
            FaultKind::StarveClock if !same => self.busy = None,
            FaultKind::MemoryHog | FaultKind::NoFiles | FaultKind::StarveClock => {}
            FaultKind::Panic
            | FaultKind::Fail
            | FaultKind::Break
            | FaultKind::Hang
            | FaultKind::Grow
            | FaultKind::Leak
            | FaultKind::SlowStart
            | FaultKind::FailStart
            | FaultKind::Sicken => {
                if let Some(board) = &self.board {
                    board.turn_off(fault.kind);
                }
            }
            FaultKind::Kill
            | FaultKind::Freeze
            | FaultKind::DiskFull
            | FaultKind::CallersLeave
            | FaultKind::Poison
            | FaultKind::Retire
            | FaultKind::LibraryGone => self.target.relieve(fault),
        }
    }

    /// Ends everything, and says what was inflicted.
    pub(super) fn relieve_all(&mut self) -> BTreeMap<FaultKind, u64> {
        for (_, fault) in std::mem::take(&mut self.active) {
            self.end(&fault);
        }
        if let Some(board) = &self.board {
            board.clear();
        }
        std::mem::take(&mut self.counts)
    }
}

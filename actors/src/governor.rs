//! The governor: looks at all memory there is, and says how short it is.
//!
//! ```text
//!   allocator ─┐
//!   guests ────┤                                          ┌─▶ pools: shrink, shed, refuse
//!   /proc ─────┼─▶ reading ─▶ PressureLadder ─▶ one level ┼─▶ caches: keep less
//!   processes ─┤    (pure, with hysteresis)     (watch)   └─▶ level ≥ 1: give back what is free
//!   cgroup, PSI┘
//! ```
//!
//! One for all pools, so that they do not fight each other for memory. At rest it looks twice a minute for what is dear
//! (PSS of processes) and every other second for the rest; under pressure five times as often.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::event::{Bus, Event};
use crate::memory::{KernelMemory, Limits, MemoryReading, MemorySource, Stalls};
use crate::pressure::{Pressure, PressureLadder, PressurePolicy, Signals};
use crate::service::ServiceContext;
use crate::supervisor::child_spec::ChildSpec;

/// What a governor is made from.
#[derive(Clone, Debug)]
pub struct GovernorSpec {
    /// Bytes that this process and its children may hold together. `None` is four fifths of what the control group, or
    /// else the machine, has.
    pub budget: Option<u64>,
    /// Time between two looks at rest. Under pressure it is a fifth of it. Default 2 s.
    pub interval: Duration,
    /// Looks between two at the PSS of processes. Default 15.
    pub processes_every: u32,
    /// Where each level begins.
    pub policy: PressurePolicy,
    /// The kernel's files.
    pub kernel: KernelMemory,
}

impl Default for GovernorSpec {
    fn default() -> Self {
        Self {
            budget: None,
            interval: Duration::from_secs(2),
            processes_every: 15,
            policy: PressurePolicy::default(),
            kernel: KernelMemory::of_this_machine(),
        }
    }
}

/// Who knows the processes that were started.
pub trait ProcessList: std::fmt::Debug + Send + Sync + 'static {
    /// Their ids.
    fn pids(&self) -> Vec<u32>;
}

/// What the governor saw last, as data.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct GovernorSnapshot {
    /// How short memory is.
    pub pressure: Pressure,
    /// What is held.
    pub memory: MemoryReading,
    /// What may be held, in bytes.
    pub budget: u64,
    /// The machine.
    pub machine: Option<Limits>,
    /// The control group, where there is one with a limit.
    pub cgroup: Option<Limits>,
    /// Stalls for want of memory.
    pub stalls: Option<Stalls>,
    /// Looks taken.
    pub looks: u64,
    /// Times that free memory was given back.
    pub given_back: u64,
}

#[derive(Debug)]
struct Inner {
    spec: GovernorSpec,
    source: Arc<dyn MemorySource>,
    processes: Option<Arc<dyn ProcessList>>,
    bus: Bus,
    levels: watch::Sender<Pressure>,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    ladder: PressureLadder,
    last: GovernorSnapshot,
}

/// A handle to a governor; clones are handles to the same one. It looks while a tree runs [`Governor::child`].
#[derive(Clone, Debug)]
pub struct Governor {
    inner: Arc<Inner>,
}

impl Governor {
    /// A governor that has not looked yet.
    #[must_use]
    pub fn new(spec: GovernorSpec, source: Arc<dyn MemorySource>, processes: Option<Arc<dyn ProcessList>>, bus: Bus) -> Self {
        let books = Books { ladder: PressureLadder::new(spec.policy), last: GovernorSnapshot::default() };
        let levels = watch::Sender::new(Pressure::Normal);
        Self { inner: Arc::new(Inner { spec, source, processes, bus, levels, books: Mutex::new(books) }) }
    }

    /// The level, and every change of it.
    #[must_use]
    pub fn levels(&self) -> watch::Receiver<Pressure> {
        self.inner.levels.subscribe()
    }

    /// What was seen last.
    #[must_use]
    pub fn snapshot(&self) -> GovernorSnapshot {
        self.inner.books.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// Looks once, and tells the level if it has changed. Reads a few files; not for a hot path.
    pub fn look(&self) -> Pressure {
        let inner = &self.inner;
        let kernel = &inner.spec.kernel;
        let last = self.snapshot();
        let (machine, cgroup, stalls) = (kernel.machine(), kernel.cgroup(), kernel.stalls());
        let with_processes = last.looks.is_multiple_of(u64::from(inner.spec.processes_every.max(1)));
        let processes = match &inner.processes {
            Some(list) if with_processes => list.pids().into_iter().filter_map(|pid| kernel.proportional(pid)).sum(),
            Some(_) => last.memory.processes,
            None => 0,
        };
        let memory = MemoryReading {
            heap: inner.source.heap(),
            resident: kernel.resident().unwrap_or(0),
            processes,
            guests: inner.source.guests(),
        };
        let all = cgroup.or(machine).map_or(u64::MAX, |limits| limits.total);
        let budget = inner.spec.budget.unwrap_or(all / 5 * 4).max(1);
        let signals = Signals {
            used: share(memory.total(), budget),
            available_used: cgroup.or(machine).map(|limits| share(limits.used, limits.total)),
            some_stalled: stalls.map(|stalls| stalls.some),
            all_stalled: stalls.map(|stalls| stalls.all),
        };
        let (changed, pressure) = {
            let mut books = inner.books.lock().unwrap_or_else(PoisonError::into_inner);
            let before = books.ladder.level();
            let changed = books.ladder.read(&signals).map(|(level, signal)| (before, level, signal));
            let pressure = books.ladder.level();
            books.last = GovernorSnapshot {
                pressure,
                memory,
                budget,
                machine,
                cgroup,
                stalls,
                looks: last.looks + 1,
                given_back: last.given_back + u64::from(pressure >= Pressure::Trim),
            };
            (changed, pressure)
        };
        if let Some((from, to, signal)) = changed {
            tracing::warn!(from = from.label(), to = to.label(), signal, "memory pressure changed");
            inner.bus.tell(Event::PressureChanged { from, to, signal });
            inner.levels.send_replace(to);
        }
        if pressure >= Pressure::Trim {
            inner.source.give_back();
        }
        pressure
    }

    /// The governor as a child of a supervisor. Goes first, before the pools that follow it.
    #[must_use]
    pub fn child(&self) -> ChildSpec {
        let governor = self.clone();
        ChildSpec::service("governor", move |context: ServiceContext| {
            let governor = governor.clone();
            async move {
                governor.look();
                context.ready();
                loop {
                    let interval = governor.inner.spec.interval;
                    let under_pressure = governor.snapshot().pressure > Pressure::Normal;
                    let wait = if under_pressure { interval / 5 } else { interval };
                    tokio::select! {
                        () = context.stopping() => return Ok::<(), std::convert::Infallible>(()),
                        () = sleep(wait.max(SHORTEST)) => {}
                    }
                    governor.look();
                }
            }
        })
    }
}

/// The allocator's figures are refreshed with every look, which costs it a walk over its arenas: ten a second at most.
const SHORTEST: Duration = Duration::from_millis(100);

#[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
fn share(part: u64, of: u64) -> f64 {
    part as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicU64);

    impl MemorySource for Counting {
        fn give_back(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_budget_that_is_used_up_is_told_once_and_free_memory_given_back() {
        let source = Arc::new(Counting::default());
        let bus = Bus::new(16);
        let spec = GovernorSpec { budget: Some(1), ..GovernorSpec::default() };
        let governor = Governor::new(spec, source.clone(), None, bus.clone());
        let levels = governor.levels();
        assert_eq!(governor.look(), Pressure::Refuse, "any process is larger than a byte");
        assert_eq!(governor.look(), Pressure::Refuse);
        assert_eq!(*levels.borrow(), Pressure::Refuse);
        assert_eq!(source.0.load(Ordering::Relaxed), 2);
        assert_eq!(bus.recent().len(), 1, "{:?}", bus.recent());
        let snapshot = governor.snapshot();
        assert_eq!((snapshot.looks, snapshot.given_back), (2, 2));
        assert!(snapshot.memory.resident > 0);
    }

    #[test]
    fn a_machine_without_any_files_is_taken_for_calm() {
        let kernel = KernelMemory::below(std::path::Path::new("/nonexistent"));
        let spec = GovernorSpec { kernel, ..GovernorSpec::default() };
        let governor = Governor::new(spec, Arc::new(crate::memory::UnknownMemory), None, Bus::new(1));
        assert_eq!(governor.look(), Pressure::Normal);
    }
}

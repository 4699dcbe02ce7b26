//! The simulated world: what the books' orders do, and what happens by itself.

mod faults;
mod jobs;
mod orders;

use std::cmp::Reverse;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use eventmesh_actors::sans_io::{
    ChildPolicy, Grant, Key, NodeKey, Outcome, PoolCore, PoolEffect, PoolPhase, SupervisorCore, SupervisorEffect,
    SupervisorPhase, SupervisorPolicy,
};
use eventmesh_actors::{AutoShutdown, BackoffSpec, Exit, Invariant, Moment, Phase, Pressure, Priority, Reading};
use fastrand::Rng;

use super::{Broken, CHAOS_MS, Setting, SimOutcome, SimRun};
use crate::invariant::Checker;
use crate::plan::FaultKind;

/// The quiet phase: long enough for every quarantine, backoff and budget window of a setting to be over.
const QUIET_MS: u64 = 12_000;
/// When the tree is stopped.
const STOP_MS: u64 = CHAOS_MS + QUIET_MS;
/// How late any answer may be past its deadline and the pool's two graces: the next tick of whoever gives it.
const SLACK_MS: u64 = 60;
/// Later than that, and the ledger must have seen it: its own patience and a second.
const FORGOTTEN_MS: u64 = 6_000;
/// Time between two looks of a pool at its children.
const TICK_MS: u64 = 25;
/// How long each child of the root may take to stop.
const SHUTDOWN_MS: u64 = 1_000;
/// The longest that a worker whose thread is blocked stays so.
const STUCK_MS: u64 = 1_500;

/// What happens by itself, at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrive(u32),
    Patience(u32),
    JobEnd {
        pool: usize,
        key: Key,
        lease: u64,
    },
    /// The child cancels the job of its lease.
    CancelDue {
        pool: usize,
        key: Key,
        lease: u64,
    },
    /// The caller gives the child up.
    CondemnDue {
        pool: usize,
        key: Key,
        lease: u64,
    },
    StartEnd {
        pool: usize,
        life: u64,
        key: Key,
        fails: bool,
    },
    Gone {
        pool: usize,
        life: u64,
        key: Key,
        exit: u8,
    },
    Tick,
    Fault(usize),
    FaultOver(usize),
    NodeUp(u32, u64),
    NodeOverdue(u32, u64),
    Quiet,
    Converged,
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Fine,
    Fail,
    Break,
    Panic,
    /// Never ends; can be cancelled.
    Hang,
    /// Never ends and cannot be cancelled.
    Stuck,
    Sicken,
    Grow,
}

#[derive(Debug)]
struct Child {
    job: Option<(Job, Grant<Key>, Option<u32>)>,
    /// It was told to stop.
    stopping: bool,
    /// It was killed, and its thread is not free yet.
    dying: bool,
    /// It makes no progress until then.
    frozen_until: u64,
    jobs: u64,
    bytes: u64,
}

struct Pool {
    core: PoolCore<Key, u32>,
    /// Which life of its node it is in; what belongs to an earlier one is dead.
    life: u64,
    open: bool,
    children: BTreeMap<Key, Child>,
    starting: u32,
    restarts: VecDeque<u64>,
    name: String,
    size: u32,
    max_bytes: u64,
    graces_ms: u64,
    allowed: (usize, u64),
}

#[derive(Debug)]
struct Caller {
    pool: usize,
    bytes: u64,
    deadline: u64,
    priority: Priority,
    key: Option<u64>,
    accepted: bool,
    answered: Option<&'static str>,
    waiting: Option<u64>,
}

pub(super) struct World {
    run: SimRun,
    setting: Setting,
    rng: Rng,
    checker: Checker,
    now: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    order: u64,
    events: u64,
    digest: DefaultHasher,
    root: SupervisorCore,
    root_orders: VecDeque<SupervisorEffect>,
    root_restarts: VecDeque<u64>,
    gave_up: bool,
    down_at: Option<u64>,
    stop_at: Option<u64>,
    pools: Vec<Pool>,
    orders: VecDeque<(usize, PoolEffect<Key, u32>)>,
    callers: Vec<Caller>,
    active: Vec<FaultKind>,
    poison: u64,
    answers: BTreeMap<String, u64>,
    noticed: u64,
    forgotten: u64,
}

impl World {
    pub(super) fn new(run: &SimRun, setting: Setting, rng: Rng, checker: Checker) -> Self {
        let policy = SupervisorPolicy {
            strategy: setting.strategy,
            restarts: setting.root_restarts.clone(),
            backoff: BackoffSpec {
                base: Duration::from_millis(10),
                cap: Duration::from_millis(200),
                reset_after: Duration::from_secs(2),
            },
            auto_shutdown: AutoShutdown::Never,
            max_children: 8,
            seed: run.seed,
        };
        let mut root = SupervisorCore::new("root", policy);
        let pools = setting
            .pools
            .iter()
            .map(|spec| {
                let shutdown = eventmesh_actors::Shutdown::Within(Duration::from_millis(SHUTDOWN_MS));
                // Names differ and nobody is significant: it cannot be refused.
                let _ = root.add(Moment::default(), &spec.name, ChildPolicy { shutdown, ..ChildPolicy::default() });
                let mut own = spec.clone();
                if run.broken == Some(Broken::Escalation) {
                    own.restarts.any.intensity = u32::MAX;
                }
                Pool {
                    core: PoolCore::new(own),
                    life: 0,
                    open: false,
                    children: BTreeMap::new(),
                    starting: 0,
                    restarts: VecDeque::new(),
                    name: spec.name.to_string(),
                    size: spec.size,
                    max_bytes: spec.max_bytes,
                    graces_ms: millis(spec.cancel_grace) * 2,
                    allowed: (spec.restarts.any.intensity as usize, millis(spec.restarts.any.period)),
                }
            })
            .collect();
        Self {
            run: run.clone(),
            rng,
            checker,
            now: 0,
            agenda: BinaryHeap::new(),
            order: 0,
            events: 0,
            digest: DefaultHasher::new(),
            root,
            root_orders: VecDeque::new(),
            root_restarts: VecDeque::new(),
            gave_up: false,
            down_at: None,
            stop_at: None,
            pools,
            orders: VecDeque::new(),
            callers: Vec::new(),
            active: Vec::new(),
            poison: 3,
            answers: BTreeMap::new(),
            noticed: 0,
            forgotten: 0,
            setting,
        }
    }

    pub(super) fn run(mut self) -> SimOutcome {
        for number in 0..self.setting.callers {
            let at = self.rng.u64(0..CHAOS_MS + QUIET_MS / 2);
            let caller = Caller {
                pool: self.rng.usize(0..self.pools.len()),
                bytes: self.rng.u64(0..60),
                deadline: at + self.rng.u64(1..=self.setting.patience_ms),
                priority: if self.rng.f64() < 0.3 { Priority::Batch } else { Priority::Interactive },
                key: (self.rng.f64() < 0.5).then(|| self.rng.u64(0..10)),
                accepted: false,
                answered: None,
                waiting: None,
            };
            self.callers.push(caller);
            self.at(at, Happening::Arrive(number));
        }
        for number in 0..self.run.plan.faults.len() {
            self.at(self.run.plan.faults[number].at_ms, Happening::Fault(number));
        }
        self.at(0, Happening::Tick);
        self.at(CHAOS_MS, Happening::Quiet);
        self.at(STOP_MS - 1, Happening::Converged);
        self.at(STOP_MS, Happening::Stop);
        let effects = self.root.start(self.moment());
        self.root_orders.extend(effects);
        self.carry_out();
        while let Some(Reverse((at, _, happening))) = self.agenda.pop() {
            // Nothing stays forever: past that, something goes round in circles.
            if at > STOP_MS + 60_000 {
                break;
            }
            self.now = at;
            self.events += 1;
            (at, &happening).hash_into(&mut self.digest);
            if happening != Happening::Tick {
                self.checker.happened(|| format!("{at} ms: {happening:?}"));
            }
            self.happen(happening);
            self.carry_out();
            self.look();
            if self.down_at.is_some() && self.nobody_is_left() {
                break;
            }
        }
        self.finish()
    }

    fn nobody_is_left(&self) -> bool {
        self.pools.iter().all(|pool| pool.children.is_empty()) && self.callers.iter().all(|caller| caller.answered.is_some())
    }

    fn moment(&self) -> Moment {
        Moment::at(Duration::from_millis(self.now))
    }

    fn at(&mut self, at: u64, happening: Happening) {
        self.order += 1;
        self.agenda.push(Reverse((at, self.order, happening)));
    }

    fn after(&mut self, millis: u64, happening: Happening) {
        self.at(self.now + millis, happening);
    }

    /// Whether the timers that end what takes too long are lost in this run.
    fn loses_timers(&self) -> bool {
        self.run.broken.is_some_and(|broken| broken != Broken::Escalation)
    }

    fn is_on(&self, kind: FaultKind) -> bool {
        self.active.contains(&kind)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive(caller) => self.arrive(caller),
            Happening::Patience(caller) => self.lose_patience(caller),
            Happening::JobEnd { pool, key, lease } => self.job_ends(pool, key, lease),
            Happening::CancelDue { pool, key, lease } => self.cancel(pool, key, Some(lease), "deadline"),
            Happening::CondemnDue { pool, key, lease } => self.give_up(pool, key, lease),
            Happening::StartEnd { pool, life, key, fails } => self.start_ends(pool, life, key, fails),
            Happening::Gone { pool, life, key, exit } => self.child_goes(pool, life, key, exit),
            Happening::Tick => self.tick(),
            Happening::Fault(number) => self.fault(number),
            Happening::FaultOver(number) => {
                let kind = self.run.plan.faults[number].kind;
                if let Some(place) = self.active.iter().position(|active| *active == kind) {
                    self.active.remove(place);
                }
                if kind == FaultKind::MemoryHog && !self.is_on(kind) {
                    self.press(Pressure::Normal);
                }
            }
            Happening::NodeUp(child, life) => {
                let key = NodeKey { child, generation: life };
                if self.root.wants(key) {
                    let (now, pool) = (self.moment(), child as usize);
                    self.pools[pool].life = life;
                    self.pools[pool].open = true;
                    self.pools[pool].restarts.clear();
                    let effects = self.pools[pool].core.open(now);
                    self.order_all(pool, effects);
                    let effects = self.root.started(now, key);
                    self.root_orders.extend(effects);
                } else {
                    let effects = self.root.ended(self.moment(), key, Exit::Shutdown);
                    self.root_orders.extend(effects);
                }
            }
            Happening::NodeOverdue(child, life) => {
                let effects = self.root.overdue(self.moment(), NodeKey { child, generation: life });
                self.root_orders.extend(effects);
            }
            Happening::Quiet => {
                self.active.clear();
                self.press(Pressure::Normal);
            }
            Happening::Converged => self.converged(),
            Happening::Stop => {
                self.stop_at = Some(self.now);
                let effects = self.root.stop(self.moment(), Duration::from_secs(10));
                self.root_orders.extend(effects);
            }
        }
    }

    fn start_ends(&mut self, pool: usize, life: u64, key: Key, fails: bool) {
        if self.pools[pool].life != life || !self.pools[pool].open {
            return;
        }
        self.pools[pool].starting = self.pools[pool].starting.saturating_sub(1);
        let now = self.moment();
        if !self.pools[pool].core.wants(key) {
            let effects = self.pools[pool].core.ended(now, key, Exit::Shutdown);
            self.order_all(pool, effects);
            return;
        }
        let fails = fails || (self.is_on(FaultKind::FailStart) && self.rng.f64() < 0.7);
        let effects = if fails {
            self.pools[pool].core.start_failed(now, key, "no".to_owned())
        } else {
            let child = Child { job: None, stopping: false, dying: false, frozen_until: 0, jobs: 0, bytes: 0 };
            self.pools[pool].children.insert(key, child);
            self.pools[pool].core.started(now, key, key)
        };
        self.order_all(pool, effects);
    }

    fn child_goes(&mut self, pool: usize, life: u64, key: Key, exit: u8) {
        let Some(child) = self.pools[pool].children.remove(&key) else { return };
        let now = self.moment();
        // Its end and the lease that comes back are told by different ways: either may be first.
        let end_first = self.rng.bool();
        let alive = self.pools[pool].life == life && self.pools[pool].open;
        if alive && end_first {
            let effects = self.pools[pool].core.ended(now, key, exit_of(exit));
            self.order_all(pool, effects);
        }
        if let Some((_, grant, caller)) = child.job {
            if let Some(caller) = caller {
                self.answer(caller, "child_ended");
            }
            let effects = self.pools[pool].core.check_in(now, &grant, Outcome::Lost);
            self.order_all(pool, effects);
        }
        if alive && !end_first {
            let effects = self.pools[pool].core.ended(now, key, exit_of(exit));
            self.order_all(pool, effects);
        }
    }

    fn tick(&mut self) {
        if self.down_at.is_none() {
            self.after(TICK_MS, Happening::Tick);
        }
        if self.run.broken == Some(Broken::Ledger) {
            return;
        }
        let now = self.moment();
        for pool in 0..self.pools.len() {
            let readings: Vec<(Key, Reading)> = self.pools[pool]
                .children
                .iter()
                .map(|(key, child)| {
                    let job = child.job.as_ref().map(|(_, grant, _)| grant.lease);
                    let beats = match child.job {
                        Some((Job::Hang | Job::Stuck, ..)) => 0,
                        Some(_) if child.frozen_until > self.now => 0,
                        Some(_) | None => self.now,
                    };
                    (*key, Reading { job, phase: Phase(0), beats, bytes: 0 })
                })
                .collect();
            let effects = self.pools[pool].core.tick(now, &readings, None);
            self.order_all(pool, effects);
        }
    }

    /// What must hold at any time.
    fn look(&mut self) {
        for pool in &self.pools {
            let lent: u64 = pool.children.values().filter_map(|child| child.job.as_ref()).map(|(_, grant, _)| grant.bytes).sum();
            self.checker.check(Invariant::I4, lent <= pool.max_bytes, || format!("{}: {lent} bytes at work", pool.name));
            // Those that are on their way out are nobody's capacity; one more may stand during a recycle.
            let snapshot = pool.core.snapshot(self.moment());
            let there = pool.children.values().filter(|child| !child.stopping && !child.dying).count();
            self.checker.check(Invariant::I3, !pool.open || there <= pool.size as usize + 1, || {
                format!("{}: {there} workers stand where {} may", pool.name, pool.size)
            });
            let own = &snapshot.counts.violations;
            self.checker.check(Invariant::I2, own.is_empty() || self.run.broken.is_some(), || format!("{}: {own:?}", pool.name));
            let waits = |caller: &&Caller| caller.waiting.is_some() && self.pools[caller.pool].name == pool.name;
            let waiting: u64 = self.callers.iter().filter(waits).map(|caller| caller.bytes).sum();
            let balanced = lent + waiting == snapshot.admitted_bytes;
            self.checker.check(Invariant::I4, balanced || self.run.broken.is_some(), || {
                format!("{}: {lent} bytes lent and {waiting} waiting, {} admitted", pool.name, snapshot.admitted_bytes)
            });
            let standing = snapshot.children.iter().filter(|child| OCCUPIES.contains(&child.state)).count();
            self.checker.check(Invariant::I3, standing <= pool.size as usize + 1, || {
                format!("{}: {standing} children where {} may be", pool.name, pool.size)
            });
        }
    }

    /// The quiet phase is over: all must be well again, unless the root has rightly given up.
    fn converged(&mut self) {
        if self.down_at.is_some() {
            return;
        }
        for pool in &self.pools {
            let snapshot = pool.core.snapshot(self.moment());
            let well = pool.core.phase() == PoolPhase::Open && pool.core.serving() == pool.size as usize && snapshot.waiting == 0;
            self.checker.check(Invariant::I6, well, || {
                format!(
                    "{} is {} with {} of {} children: {snapshot:?}",
                    pool.name,
                    snapshot.phase,
                    pool.core.serving(),
                    pool.size
                )
            });
        }
    }

    fn finish(mut self) -> SimOutcome {
        let running = self.root.phase() != SupervisorPhase::Down;
        self.checker.check(Invariant::I12, !running, || "the root never came to its end".to_owned());
        if let (Some(stop), Some(down)) = (self.stop_at, self.down_at) {
            let allowed = self.pools.len() as u64 * (SHUTDOWN_MS + 1);
            let took = down.saturating_sub(stop);
            self.checker.check(Invariant::I12, took <= allowed, || format!("shutdown took {took} ms, {allowed} allowed"));
        }
        for (number, caller) in self.callers.iter().enumerate() {
            let answered = caller.answered.is_some();
            self.forgotten += u64::from(!answered);
            self.checker.check(Invariant::I1, answered, || format!("caller {number} was never answered: {caller:?}"));
        }
        for pool in &self.pools {
            let left = pool.children.len();
            self.checker.check(Invariant::I7, left == 0, || format!("{}: {left} children are left", pool.name));
            let snapshot = pool.core.snapshot(self.moment());
            let empty = snapshot.admitted_bytes == 0 && snapshot.open_entries == 0;
            self.checker.check(Invariant::I4, empty, || format!("{}: the books do not balance: {snapshot:?}", pool.name));
            let counts = &snapshot.counts;
            let recorded: u64 = counts.answers.values().sum();
            self.checker.check(Invariant::I1, recorded == counts.accepted, || {
                format!("{}: {} accepted, {recorded} answered", pool.name, counts.accepted)
            });
        }
        SimOutcome {
            verdicts: self.checker.verdicts(),
            took_ms: self.now,
            events: self.events,
            callers: self.callers.len() as u64,
            answers: self.answers,
            noticed: self.noticed,
            forgotten: self.forgotten,
            gave_up: self.gave_up,
            digest: self.digest.finish(),
        }
    }
}

const OCCUPIES: [&str; 4] = ["backoff", "starting", "idle", "leased"];
const KILLED: u8 = 0;
const PANICKED: u8 = 1;

fn exit_of(code: u8) -> Exit {
    if code == PANICKED { Exit::Panicked("on purpose".to_owned()) } else { Exit::Killed }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What happened goes into the run's digest.
trait HashInto {
    fn hash_into(&self, digest: &mut DefaultHasher);
}

impl HashInto for (u64, &Happening) {
    fn hash_into(&self, digest: &mut DefaultHasher) {
        self.0.hash(digest);
        format!("{:?}", self.1).hash(digest);
    }
}

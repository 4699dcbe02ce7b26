//! The sim level: the engine's own books under virtual time, with workers, callers and faults that are numbers.
//!
//! No thread, no clock and no randomness but the seed's: a seed is a whole run, and replays exactly. What is simulated
//! are the shells around the books; what is tried are the very books that the engine runs on
//! ([`eventmesh_actors::sans_io`]). Two phases: chaos, then quiet with a time by which all must be well again.

mod world;

use std::time::Duration;

use eventmesh_actors::{
    BackoffSpec, HangPolicy, MemoryLimits, PhaseBudget, PoolSpec, QuarantinePolicy, RecycleLimits, RestartPolicy, Strategy,
};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::invariant::{Checker, Verdict};
use crate::plan::{FaultKind, FaultPlan};

/// A mechanism that is switched off in the simulation's own copy, to see whether its absence is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// A spent restart budget is never noticed.
    Escalation,
    /// The timers that end what takes too long are lost: callers wait and hang for ever.
    Timers,
    /// The same, and the ledger that would see it is not asked.
    Ledger,
}

/// One simulated run: everything that it depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimRun {
    /// Draws sizes, times and callers.
    pub seed: u64,
    /// What goes wrong.
    pub plan: FaultPlan,
    /// What is switched off.
    pub broken: Option<Broken>,
}

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct SimOutcome {
    /// One verdict for each promise.
    pub verdicts: Vec<Verdict>,
    /// Virtual time that it took, in milliseconds.
    pub took_ms: u64,
    /// Things that happened.
    pub events: u64,
    /// Callers.
    pub callers: u64,
    /// Answers by kind.
    pub answers: std::collections::BTreeMap<String, u64>,
    /// Callers that were answered many seconds too late, or never.
    pub forgotten: u64,
    /// Callers that the engine's own ledger saw unanswered.
    pub noticed: u64,
    /// Whether the root gave up, as it should when too much went wrong.
    pub gave_up: bool,
    /// A digest of all that happened, in order: two runs are the same if it is.
    pub digest: u64,
}

impl SimOutcome {
    /// Whether every promise held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.violations == 0)
    }
}

/// Length of the chaos phase, in milliseconds of virtual time.
pub(crate) const CHAOS_MS: u64 = 4_000;

/// What can go wrong in a simulation.
pub const KINDS: [FaultKind; 15] = [
    FaultKind::Panic,
    FaultKind::Fail,
    FaultKind::Break,
    FaultKind::Hang,
    FaultKind::Grow,
    FaultKind::Leak,
    FaultKind::SlowStart,
    FaultKind::FailStart,
    FaultKind::Sicken,
    FaultKind::Kill,
    FaultKind::Freeze,
    FaultKind::MemoryHog,
    FaultKind::CallersLeave,
    FaultKind::Poison,
    FaultKind::Retire,
];

impl SimRun {
    /// The run of `seed`, with the plan that the seed draws.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let count = Rng::with_seed(seed).usize(0..40);
        Self { seed, plan: FaultPlan::draw(seed, &KINDS, count, CHAOS_MS), broken: None }
    }

    /// The same with a mechanism switched off.
    #[must_use]
    pub fn without(self, broken: Broken) -> Self {
        Self { broken: Some(broken), ..self }
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self) -> SimOutcome {
        let mut rng = Rng::with_seed(self.seed);
        let setting = Setting::draw(&mut rng);
        world::World::new(self, setting, rng, Checker::new()).run()
    }
}

/// What a simulated tree is like.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) strategy: Strategy,
    pub(crate) root_restarts: RestartPolicy,
    pub(crate) pools: Vec<PoolSpec>,
    pub(crate) callers: u32,
    pub(crate) start_ms: u64,
    pub(crate) job_ms: u64,
    pub(crate) patience_ms: u64,
}

impl Setting {
    fn draw(rng: &mut Rng) -> Self {
        let strategies = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
        let pools = (0..rng.u32(1..=2)).map(|number| Self::pool(number, rng)).collect();
        let root = if rng.bool() { rng.u32(0..4) } else { 1000 };
        Self {
            strategy: strategies[rng.usize(0..3)],
            root_restarts: RestartPolicy::any(root, Duration::from_secs(5)),
            pools,
            callers: rng.u32(20..200),
            start_ms: rng.u64(0..100),
            job_ms: rng.u64(1..80),
            patience_ms: rng.u64(20..600),
        }
    }

    fn pool(number: u32, rng: &mut Rng) -> PoolSpec {
        let size = rng.u32(1..5);
        let maybe = |rng: &mut Rng, value: u64| rng.bool().then_some(value);
        let memory = MemoryLimits {
            soft: maybe(rng, 200),
            hard: maybe(rng, 400),
            fatal: maybe(rng, 800),
            samples: rng.u32(1..3),
            ..MemoryLimits::NONE
        };
        let (jobs, age) = (rng.u64(2..50), rng.u64(200..3000));
        let recycle =
            RecycleLimits { jobs: maybe(rng, jobs), age: maybe(rng, age).map(Duration::from_millis), memory, jitter: 0.2 };
        let budget = rng.u64(30..200);
        let phases = match maybe(rng, budget) {
            Some(budget) => vec![PhaseBudget { name: "work", budget: Some(Duration::from_millis(budget)) }],
            None => Vec::new(),
        };
        PoolSpec {
            min_size: rng.u32(1..=size),
            max_waiting: rng.usize(1..40),
            max_bytes: rng.u64(50..2000),
            recycle,
            restarts: RestartPolicy::any(rng.u32(1..40), Duration::from_millis(rng.u64(500..5000))),
            backoff: BackoffSpec {
                base: Duration::from_millis(rng.u64(1..20)),
                cap: Duration::from_millis(rng.u64(20..500)),
                reset_after: Duration::from_millis(rng.u64(100..5000)),
            },
            cancel_grace: Duration::from_millis(rng.u64(1..50)),
            hang: HangPolicy { phases, grace: Duration::from_millis(20) },
            quarantine: QuarantinePolicy {
                strikes: rng.u32(1..4),
                expiry: Duration::from_millis(rng.u64(100..3000)),
                ..QuarantinePolicy::default()
            },
            seed: rng.u64(..),
            ..PoolSpec::new(&format!("pool-{number}"), size)
        }
    }
}

#[cfg(test)]
mod tests {
    use eventmesh_actors::Invariant;

    use super::*;

    fn violated(run: &SimRun, invariant: Invariant) -> bool {
        let verdicts = run.run().verdicts;
        verdicts.iter().any(|verdict| verdict.id == invariant.label() && verdict.violations > 0)
    }

    #[test]
    fn a_seed_replays_exactly() {
        for seed in 0..50 {
            let run = SimRun::of_seed(seed);
            let (first, second) = (run.run(), run.run());
            assert_eq!((first.digest, first.events), (second.digest, second.events), "seed {seed}");
        }
        assert_ne!(SimRun::of_seed(1).run().digest, SimRun::of_seed(2).run().digest);
    }

    #[test]
    fn a_supervisor_that_never_gives_up_is_noticed() {
        let noticed = (0..200).filter(|seed| violated(&SimRun::of_seed(*seed).without(Broken::Escalation), Invariant::I5));
        assert!(noticed.count() > 0, "no seed noticed that the escalation was switched off");
    }

    #[test]
    fn a_caller_that_is_never_answered_is_noticed_by_the_engine_itself() {
        let noticed = |broken| (0..100).filter(move |seed| SimRun::of_seed(*seed).without(broken).run().noticed > 0).count();
        assert!(noticed(Broken::Timers) > 0, "no seed noticed that timers were lost");
        assert_eq!(noticed(Broken::Ledger), 0, "who noticed, if not the ledger?");
        assert_eq!((0..100).filter(|seed| SimRun::of_seed(*seed).run().noticed > 0).count(), 0, "nothing is lost in health");
        let unanswered = (0..100).filter(|seed| violated(&SimRun::of_seed(*seed).without(Broken::Ledger), Invariant::I1));
        assert!(unanswered.count() > 0, "nobody was unanswered, so nothing was tried");
    }
}

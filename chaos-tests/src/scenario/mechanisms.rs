//! Scenarios that try one mechanism under virtual time, and fail when it is switched off in their own copy.

use eventmesh_actors::Invariant;

use super::Order;
use crate::invariant::Checker;
use crate::plan::{Fault, FaultKind, FaultPlan};
use crate::report::Report;
use crate::sim::{Broken, SimRun};

/// Seeds of the scenarios that need more than one.
const SEEDS: u64 = 100;

pub(super) fn sim(order: &Order, plan: FaultPlan) -> Report {
    let run = SimRun { seed: order.seed, plan: plan.clone(), broken: None };
    let outcome = run.run();
    Report {
        scenario: "sim".to_owned(),
        seed: order.seed,
        plan,
        calls: outcome.callers,
        answers: outcome.answers.clone(),
        verdicts: outcome.verdicts,
        notes: vec![format!(
            "{} things happened in {} ms of virtual time; digest {:016x}{}.",
            outcome.events,
            outcome.took_ms,
            outcome.digest,
            if outcome.gave_up { "; the root gave up, as it should" } else { "" }
        )],
        ..Report::default()
    }
}

/// Starts fail from the beginning to the end of the chaos phase.
pub(super) fn escalation(order: &Order) -> Report {
    let plan = FaultPlan {
        faults: vec![
            Fault { at_ms: 200, for_ms: 3_500, kind: FaultKind::FailStart, target: 0 },
            Fault { at_ms: 200, for_ms: 3_500, kind: FaultKind::Panic, target: 0 },
        ],
    };
    let (mut checker, mut gave_up) = (Checker::new(), 0);
    for seed in order.seed..order.seed + SEEDS {
        let run = SimRun { seed, plan: plan.clone(), broken: order.broken.then_some(Broken::Escalation) };
        let outcome = run.run();
        gave_up += u64::from(outcome.gave_up);
        for verdict in outcome.verdicts.iter().filter(|verdict| verdict.id == Invariant::I5.label()) {
            let first = verdict.first.clone().unwrap_or_default();
            checker.check(Invariant::I5, verdict.violations == 0, || format!("seed {seed}: {first}"));
        }
    }
    let notes = vec![format!("{SEEDS} seeds; in {gave_up} of them the root gave up, too.")];
    Report { scenario: "escalation".to_owned(), seed: order.seed, plan, verdicts: checker.verdicts(), notes, ..Report::default() }
}

/// Jobs hang, and nobody ends them: wherever a caller is left unanswered, the ledger must have seen it.
pub(super) fn ledger(order: &Order) -> Report {
    let plan = FaultPlan { faults: vec![Fault { at_ms: 100, for_ms: 3_800, kind: FaultKind::Hang, target: 0 }] };
    let broken = if order.broken { Broken::Ledger } else { Broken::Timers };
    let (mut checker, mut unseen, mut left) = (Checker::new(), 0, 0);
    for seed in order.seed..order.seed + SEEDS {
        let outcome = SimRun { seed, plan: plan.clone(), broken: Some(broken) }.run();
        if outcome.forgotten == 0 {
            continue;
        }
        left += outcome.forgotten;
        let seen = outcome.noticed >= outcome.forgotten;
        unseen += u64::from(!seen);
        checker.check(Invariant::I1, seen, || {
            format!(
                "seed {seed}: {} callers were answered far too late or never, the ledger saw {} of them",
                outcome.forgotten, outcome.noticed
            )
        });
    }
    let notes = vec![format!("{SEEDS} seeds without timers: {left} callers forgotten, {unseen} seeds in which nobody noticed.")];
    Report { scenario: "ledger".to_owned(), seed: order.seed, plan, verdicts: checker.verdicts(), notes, ..Report::default() }
}

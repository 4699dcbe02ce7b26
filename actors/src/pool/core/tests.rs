//! The pool's decisions under made-up time: the shell is a few lines that apply the effects.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::leak::{LeakAxis, LeakPolicy};
use crate::limits::MemoryLimits;
use crate::quarantine::QuarantinePolicy;
use crate::recycle::RecycleLimits;
use crate::restart::RestartPolicy;
use crate::watchdog::{HangPolicy, PhaseBudget, Reading};

type Core = PoolCore<Key, u64>;
type Effects = Vec<Effect<Key, u64>>;

fn at(millis: u64) -> Moment {
    Moment::at(Duration::from_millis(millis))
}

fn spec(size: u32) -> PoolSpec {
    PoolSpec { max_waiting: 4, max_bytes: 100, ..PoolSpec::new("test", size) }
}

fn ask(bytes: u64, deadline: u64) -> Ask {
    Ask { bytes, deadline: at(deadline), priority: Priority::Interactive, key: None }
}

fn fit() -> Outcome {
    Outcome::Done { jobs: 1, usage: Usage::NONE }
}

fn starts(effects: &Effects) -> Vec<Key> {
    let start = |effect: &Effect<Key, u64>| match effect {
        Effect::Start { key, .. } => Some(*key),
        Effect::Stop { .. }
        | Effect::Kill { .. }
        | Effect::Cancel { .. }
        | Effect::Interrupt { .. }
        | Effect::Grant { .. }
        | Effect::Refuse { .. }
        | Effect::Tell(_)
        | Effect::Escalate { .. }
        | Effect::Drained => None,
    };
    effects.iter().filter_map(start).collect()
}

/// A pool whose children all stand.
fn open(spec: PoolSpec) -> Core {
    let mut core = Core::new(spec);
    for key in starts(&core.open(at(0))) {
        core.started(at(0), key, key);
    }
    core
}

fn lend(core: &mut Core, now: u64, bytes: u64) -> Lend<Key> {
    core.lend(at(now), ask(bytes, now + 1000), || now)
}

fn granted(core: &mut Core, now: u64) -> Grant<Key> {
    match lend(core, now, 1) {
        Lend::Granted(grant) => grant,
        other @ (Lend::Queued(_) | Lend::Refused(_)) => panic!("not granted: {other:?}"),
    }
}

/// The only effect is a grant to the caller `token`.
fn granted_to(token: u64, effects: Effects) -> Grant<Key> {
    let mut grants = effects.into_iter().filter_map(|effect| match effect {
        Effect::Grant { token: caller, grant } if caller == token => Some(grant),
        Effect::Grant { .. }
        | Effect::Start { .. }
        | Effect::Stop { .. }
        | Effect::Kill { .. }
        | Effect::Cancel { .. }
        | Effect::Interrupt { .. }
        | Effect::Refuse { .. }
        | Effect::Tell(_)
        | Effect::Escalate { .. }
        | Effect::Drained => None,
    });
    grants.next().expect("a grant")
}

fn told(effects: &Effects) -> Vec<&Event> {
    effects.iter().filter_map(|effect| if let Effect::Tell(event) = effect { Some(event) } else { None }).collect()
}

fn reading(job: Option<u64>, bytes: u64) -> Reading {
    Reading { job, phase: Default::default(), beats: 0, bytes }
}

fn key(slot: u32, generation: u64) -> Key {
    Key { slot, generation }
}

#[test]
fn the_queue_is_bounded_by_count() {
    let mut core = open(spec(1));
    granted(&mut core, 0);
    for _ in 0..4 {
        assert!(matches!(lend(&mut core, 0, 1), Lend::Queued(_)));
    }
    assert!(matches!(lend(&mut core, 0, 1), Lend::Refused(LeaseError::QueueFull { waiting: 4, .. })));
}

#[test]
fn admission_is_bounded_by_bytes() {
    let mut core = open(spec(2));
    assert!(matches!(lend(&mut core, 0, 101), Lend::Refused(LeaseError::TooLarge { .. })));
    assert!(matches!(lend(&mut core, 0, 60), Lend::Granted(_)));
    assert!(matches!(lend(&mut core, 0, 41), Lend::Refused(LeaseError::BytesFull { admitted: 60, .. })));
    assert!(matches!(lend(&mut core, 0, 40), Lend::Granted(_)));
}

#[test]
fn the_warmest_child_serves_first_and_callers_in_order() {
    let mut core = open(spec(2));
    let first = granted(&mut core, 0);
    let second = granted(&mut core, 0);
    assert!(matches!(lend(&mut core, 1, 1), Lend::Queued(_)));
    assert!(matches!(lend(&mut core, 2, 1), Lend::Queued(_)));
    let effects = core.check_in(at(3), &second, fit());
    let third = granted_to(1, effects);
    assert_eq!(third.key, second.key);
    let effects = core.check_in(at(3), &first, fit());
    let fourth = granted_to(2, effects);
    core.check_in(at(4), &fourth, fit());
    core.check_in(at(4), &third, fit());
    assert_eq!(granted(&mut core, 5).key, second.key);
}

#[test]
fn a_caller_past_its_deadline_takes_no_child() {
    let mut core = open(spec(1));
    let grant = granted(&mut core, 0);
    assert!(matches!(core.lend(at(0), ask(1, 10), || 7), Lend::Queued(_)));
    assert_eq!(core.check_in(at(10), &grant, fit()), vec![]);
    let snapshot = core.snapshot(at(10));
    assert_eq!((snapshot.waiting, snapshot.admitted_bytes), (0, 0));
    assert_eq!(snapshot.counts.refused.get("deadline"), Some(&1));
}

#[test]
fn a_due_child_serves_until_its_replacement_stands() {
    let mut core = open(PoolSpec { recycle: RecycleLimits { jobs: Some(1), ..RecycleLimits::NEVER }, ..spec(1) });
    let old = granted(&mut core, 0);
    let effects = core.check_in(at(1), &old, fit());
    assert_eq!(starts(&effects), vec![key(0, 2)]);
    let again = granted(&mut core, 2);
    assert_eq!(again.key, old.key, "the due child serves on");
    let effects = core.started(at(3), key(0, 2), key(0, 2));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Stop { .. } | Effect::Kill { .. })));
    assert_eq!(granted(&mut core, 4).key, key(0, 2));
    let effects = core.check_in(at(5), &again, fit());
    assert!(effects.contains(&Effect::Stop { handle: old.key }), "{effects:?}");
    core.ended(at(6), old.key, Exit::Killed);
    let counts = core.snapshot(at(6)).counts;
    assert_eq!(counts.recycles.get("jobs"), Some(&1));
    assert_eq!(counts.restarts, BTreeMap::new());
}

#[test]
fn a_replacement_that_will_not_start_costs_nothing() {
    let mut core = open(PoolSpec { restarts: RestartPolicy::any(0, Duration::from_secs(1)), ..spec(1) });
    assert!(core.retire(at(0), 0).0);
    assert!(!core.retire(at(0), 0).0, "one at a time");
    let effects = core.start_failed(at(1), key(0, 2), "no".into());
    assert_eq!(starts(&effects), vec![]);
    assert_eq!(granted(&mut core, 2).key, key(0, 1));
    assert!(!core.retire(at(1), 0).0, "not again at once");
    assert!(core.retire(at(5000), 0).0, "but later");
}

#[test]
fn an_unhealthy_child_does_no_further_job() {
    let mut core = open(spec(1));
    let grant = granted(&mut core, 0);
    let sick = Outcome::Done { jobs: 1, usage: Usage { healthy: false, ..Usage::NONE } };
    let effects = core.check_in(at(1), &grant, sick);
    assert!(effects.contains(&Effect::Stop { handle: grant.key }), "{effects:?}");
    assert_eq!(starts(&effects), vec![key(0, 2)]);
    assert!(matches!(lend(&mut core, 2, 1), Lend::Queued(_)));
}

#[test]
fn a_spent_budget_refuses_everybody_and_escalates_once() {
    let mut core = open(PoolSpec { restarts: RestartPolicy::any(1, Duration::from_secs(10)), ..spec(2) });
    granted(&mut core, 0);
    granted(&mut core, 0);
    assert!(matches!(lend(&mut core, 0, 1), Lend::Queued(_)));
    core.ended(at(1), key(0, 1), Exit::Killed);
    let effects = core.ended(at(2), key(1, 1), Exit::Panicked("twice".into()));
    let refused = effects.iter().filter(|effect| matches!(effect, Effect::Refuse { error: LeaseError::Unavailable { .. }, .. }));
    assert_eq!(refused.count(), 1);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Escalate { .. })).count(), 1);
    assert!(matches!(lend(&mut core, 3, 1), Lend::Refused(LeaseError::Unavailable { .. })));
    let reopened = core.open(at(4));
    assert_eq!(starts(&reopened), vec![key(0, 3)], "one probe, and generations are never used twice");
}

#[test]
fn draining_lets_running_jobs_end() {
    let mut core = open(spec(2));
    let grant = granted(&mut core, 0);
    let effects = core.drain(at(1));
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Stop { .. })).count(), 1);
    assert!(matches!(lend(&mut core, 1, 1), Lend::Refused(LeaseError::Closed { .. })));
    let idle = if grant.key == key(0, 1) { key(1, 1) } else { key(0, 1) };
    assert!(!core.ended(at(2), idle, Exit::Killed).contains(&Effect::Drained));
    assert_eq!(core.check_in(at(3), &grant, fit()), vec![Effect::Stop { handle: grant.key }]);
    assert!(core.ended(at(4), grant.key, Exit::Killed).contains(&Effect::Drained));
}

#[test]
fn a_caller_past_its_deadline_is_lent_nothing() {
    let mut core = open(spec(1));
    assert!(matches!(core.lend(at(10), ask(1, 10), || 0), Lend::Refused(LeaseError::Deadline { .. })));
}

#[test]
fn a_verdict_on_one_lease_does_not_hit_the_next() {
    let mut core = open(spec(1));
    let first = granted(&mut core, 0);
    core.check_in(at(1), &first, fit());
    let second = granted(&mut core, 2);
    assert_eq!(second.key, first.key);
    assert_eq!(core.condemn(at(3), first.key, first.lease, Exit::Hung), vec![]);
    assert!(core.condemn(at(3), second.key, second.lease, Exit::Hung).contains(&Effect::Kill { handle: second.key }));
}

#[test]
fn an_old_child_that_will_not_go_blocks_no_later_recycle() {
    let mut core = open(spec(1));
    let stuck = granted(&mut core, 0);
    assert!(core.retire(at(1), 0).0);
    core.started(at(2), key(0, 2), key(0, 2));
    assert!(!core.retire(at(3), 0).0, "the old one is still at work");
    core.condemn(at(4), stuck.key, stuck.lease, Exit::Hung);
    assert!(core.retire(at(5), 0).0, "it never ends, and that is its own affair");
}

#[test]
fn what_ended_by_plan_is_no_failure() {
    let mut core = open(spec(1));
    core.retire(at(0), 0);
    core.started(at(1), key(0, 2), key(0, 2));
    core.ended(at(2), key(0, 1), Exit::Killed);
    assert_eq!(core.snapshot(at(2)).last_failure, None);
}

#[test]
fn unhealthy_children_do_not_pile_up() {
    let mut core = open(spec(1));
    for generation in 1..10 {
        let grant = granted(&mut core, generation);
        let sick = Outcome::Done { jobs: 1, usage: Usage { healthy: false, ..Usage::NONE } };
        let effects = core.check_in(at(generation), &grant, sick);
        let killed = effects.iter().filter(|effect| matches!(effect, Effect::Kill { .. })).count();
        assert_eq!(killed as u64, generation - 1, "those that are still stopping are killed");
        let next = key(0, generation + 1);
        core.started(at(generation), next, next);
    }
}

#[test]
fn odd_settings_do_not_panic() {
    let mut core = Core::new(PoolSpec { size: 0, max_bytes: u64::MAX, max_waiting: 0, ..PoolSpec::new("test", 1) });
    core.open(at(0));
    assert!(matches!(core.lend(at(0), ask(u64::MAX, 1), || 0), Lend::Refused(LeaseError::QueueFull { .. })));
}

fn spent(size: u32) -> Core {
    let mut core = open(PoolSpec { restarts: RestartPolicy::any(0, Duration::from_secs(10)), ..spec(size) });
    core.ended(at(1), key(0, 1), Exit::Killed);
    assert_eq!(core.phase(), Phase::Spent);
    core.close();
    core
}

#[test]
fn a_spent_pool_opens_half_and_its_probes_first_good_job_opens_the_rest() {
    let mut core = spent(3);
    core.back_in(at(2), Duration::from_millis(500));
    let Lend::Refused(LeaseError::Unavailable { retry_after, .. }) = lend(&mut core, 102, 1) else { panic!("spent") };
    assert_eq!(retry_after, Duration::from_millis(400), "it says when the probe is due");
    assert_eq!(starts(&core.open(at(502))), vec![key(0, 2)]);
    assert!(matches!(lend(&mut core, 502, 1), Lend::Refused(LeaseError::Unavailable { .. })), "nobody waits for a probe");
    core.started(at(503), key(0, 2), key(0, 2));
    let probe = granted(&mut core, 504);
    assert!(matches!(lend(&mut core, 504, 1), Lend::Refused(LeaseError::Unavailable { .. })));
    let effects = core.check_in(at(505), &probe, fit());
    assert!(told(&effects).contains(&&Event::PoolRecovered { pool: "test".into() }));
    assert_eq!(starts(&effects), vec![key(1, 2), key(2, 2)]);
    assert_eq!(core.phase(), Phase::Open);
}

#[test]
fn a_probe_that_fails_costs_one_child_and_escalates_again() {
    let mut core = spent(3);
    core.open(at(10));
    let effects = core.start_failed(at(11), key(0, 2), "still bad".into());
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Escalate { .. })));
    assert_eq!(starts(&effects), vec![]);
}

#[test]
fn a_probe_that_stands_long_enough_opens_the_rest() {
    let mut core = spent(2);
    core.open(at(10));
    core.started(at(10), key(0, 2), key(0, 2));
    assert_eq!(starts(&core.tick(at(1009), &[], None)), vec![]);
    assert_eq!(starts(&core.tick(at(1010), &[], None)), vec![key(1, 2)]);
}

#[test]
fn the_interactive_go_before_the_batch() {
    let mut core = open(spec(1));
    let grant = granted(&mut core, 0);
    let batch = Ask { priority: Priority::Batch, ..ask(1, 1000) };
    assert!(matches!(core.lend(at(1), batch, || 1), Lend::Queued(_)));
    assert!(matches!(core.lend(at(2), ask(1, 1000), || 2), Lend::Queued(_)));
    let second = granted_to(2, core.check_in(at(3), &grant, fit()));
    granted_to(1, core.check_in(at(4), &second, fit()));
}

#[test]
fn an_input_that_kills_is_quarantined_and_others_are_served() {
    let quarantine = QuarantinePolicy { strikes: 2, expiry: Duration::from_millis(50), ..QuarantinePolicy::default() };
    let mut core = open(PoolSpec { quarantine, restarts: RestartPolicy::any(9, Duration::from_secs(1)), ..spec(1) });
    let poison = Ask { key: Some(7), ..ask(1, 10_000) };
    for round in 0..2u64 {
        let Lend::Granted(grant) = core.lend(at(round), poison, || 0) else { panic!("not yet refused") };
        let effects = core.ended(at(round), grant.key, Exit::Panicked("poison".into()));
        let next = key(0, round + 2);
        assert_eq!(starts(&effects), vec![next]);
        let effects = core.check_in(at(round), &grant, Outcome::Lost);
        let refused = told(&effects).iter().any(|event| matches!(event, Event::Quarantined { key: 7, .. }));
        assert_eq!(refused, round == 1);
        core.started(at(round), next, next);
    }
    let lend = core.lend(at(11), poison, || 0);
    assert!(
        matches!(&lend, Lend::Refused(LeaseError::Quarantined { retry_after, .. }) if retry_after.as_millis() == 40),
        "{lend:?}"
    );
    let other = granted(&mut core, 12);
    core.check_in(at(12), &other, fit());
    assert!(matches!(core.lend(at(51), poison, || 0), Lend::Granted(_)), "it expires");
}

#[test]
fn a_child_over_its_soft_limit_is_replaced_over_its_hard_one_at_once() {
    let memory = MemoryLimits { soft: Some(100), hard: Some(200), fatal: Some(300), samples: 1, ..MemoryLimits::NONE };
    let limits = RecycleLimits { memory, ..RecycleLimits::NEVER };
    let uses = |bytes| Outcome::Done { jobs: 1, usage: Usage { bytes, ..Usage::NONE } };
    // (bytes, is lent again before its replacement stands, is killed, restarts)
    for (bytes, again, killed, restarts) in
        [(99, true, false, 0), (100, true, false, 0), (200, false, false, 0), (300, false, true, 1)]
    {
        let mut core = open(PoolSpec { recycle: limits, ..spec(1) });
        let grant = granted(&mut core, 0);
        let effects = core.check_in(at(1), &grant, uses(bytes));
        assert_eq!(starts(&effects).len(), usize::from(bytes >= 100), "{bytes}: a replacement is started");
        assert_eq!(matches!(lend(&mut core, 2, 1), Lend::Granted(_)), again, "{bytes}");
        assert_eq!(effects.contains(&Effect::Kill { handle: grant.key }), killed, "{bytes}");
        let counts = core.snapshot(at(3)).counts;
        assert_eq!(counts.restarts.values().sum::<u64>(), restarts, "{bytes}");
    }
}

#[test]
fn a_child_over_its_fatal_limit_dies_in_the_middle_of_its_job() {
    let memory = MemoryLimits { fatal: Some(300), ..MemoryLimits::NONE };
    let mut core = open(PoolSpec { recycle: RecycleLimits { memory, ..RecycleLimits::NEVER }, ..spec(1) });
    let grant = granted(&mut core, 0);
    assert_eq!(core.tick(at(1), &[(grant.key, reading(Some(1), 299))], None), vec![]);
    let effects = core.tick(at(2), &[(grant.key, reading(Some(1), 300))], None);
    assert!(effects.contains(&Effect::Kill { handle: grant.key }), "{effects:?}");
    assert_eq!(core.condemned(grant.key), Some(Exit::OutOfMemory(300)), "its caller is told");
    assert_eq!(core.check_in(at(3), &grant, Outcome::Lost).len(), 1, "the kill is made sure of, and nothing else happens");
    let counts = core.snapshot(at(3)).counts;
    assert_eq!((counts.restarts["out_of_memory"], counts.answers["out_of_memory"]), (1, 1));
    assert!(counts.violations.is_empty());
}

#[test]
fn a_silent_job_is_cancelled_interrupted_and_killed_in_turn() {
    let phases = vec![PhaseBudget { name: "only", budget: Some(Duration::from_millis(100)) }];
    let hang = HangPolicy { phases, grace: Duration::from_millis(50) };
    let mut core = open(PoolSpec { hang, ..spec(1) });
    let grant = granted(&mut core, 0);
    let mut steps = Vec::new();
    for now in (0..400).step_by(25) {
        steps.extend(core.tick(at(now), &[(grant.key, reading(Some(1), 0))], None).into_iter().filter(|effect| {
            matches!(effect, Effect::Cancel { .. } | Effect::Interrupt { .. } | Effect::Kill { .. } | Effect::Start { .. })
        }));
    }
    let handle = grant.key;
    let start = Effect::Start { key: key(0, 2), delay: Duration::ZERO };
    assert_eq!(steps, vec![Effect::Cancel { handle }, Effect::Interrupt { handle }, Effect::Kill { handle }, start]);
    assert!(!core.snapshot(at(400)).children[0].answers, "it is shown as one that does not answer");
}

#[test]
fn an_old_child_is_replaced_while_idle() {
    let recycle = RecycleLimits { age: Some(Duration::from_secs(1)), ..RecycleLimits::NEVER };
    let mut core = open(PoolSpec { recycle, ..spec(1) });
    assert_eq!(starts(&core.tick(at(999), &[], None)), vec![]);
    assert_eq!(starts(&core.tick(at(1000), &[], None)), vec![key(0, 2)]);
    core.started(at(1001), key(0, 2), key(0, 2));
    assert_eq!(core.snapshot(at(1001)).counts.recycles["age"], 1);
}

#[test]
fn pressure_shrinks_sheds_and_refuses_and_goes_away_again() {
    let mut core = open(spec(3));
    let busy: Vec<_> = (0..3).map(|_| granted(&mut core, 0)).collect();
    let batch = Ask { priority: Priority::Batch, ..ask(1, 1000) };
    assert!(matches!(core.lend(at(1), batch, || 1), Lend::Queued(_)));
    assert!(matches!(core.lend(at(1), ask(1, 1000), || 2), Lend::Queued(_)));
    core.pressed(at(2), Pressure::Shed);
    let snapshot = core.snapshot(at(2));
    assert_eq!((snapshot.waiting, snapshot.target, snapshot.counts.refused["pressed"]), (1, 1, 1));
    let Lend::Refused(error) = core.lend(at(3), batch, || 3) else { panic!("batch is shed") };
    assert!(error.retry_after().is_some(), "{error}");
    assert!(matches!(core.lend(at(3), ask(1, 1000), || 4), Lend::Queued(_)), "somebody waits for it");
    core.pressed(at(4), Pressure::Refuse);
    assert_eq!(core.snapshot(at(4)).waiting, 0);
    assert!(matches!(core.lend(at(4), ask(1, 1000), || 5), Lend::Refused(LeaseError::Pressed { .. })));
    for grant in &busy {
        let effects = core.check_in(at(5), grant, fit());
        let stays = grant.key.slot == 0;
        assert_eq!(effects.contains(&Effect::Stop { handle: grant.key }), !stays, "{effects:?}");
        assert_eq!(starts(&effects), vec![]);
        if !stays {
            core.ended(at(6), grant.key, Exit::Killed);
        }
    }
    assert_eq!(core.snapshot(at(7)).counts.recycles["pressure"], 2);
    assert_eq!(starts(&core.pressed(at(8), Pressure::Trim)), vec![key(1, 2), key(2, 2)], "it grows again");
    assert!(core.snapshot(at(8)).counts.restarts.is_empty());
}

#[test]
fn while_memory_is_short_the_old_child_goes_before_the_new_one_comes() {
    let mut core = open(spec(1));
    core.pressed(at(0), Pressure::Shrink);
    let (begun, effects) = core.retire(at(1), 0);
    assert!(begun && effects.contains(&Effect::Stop { handle: key(0, 1) }));
    assert_eq!(starts(&effects), vec![]);
    assert!(matches!(lend(&mut core, 2, 1), Lend::Queued(_)), "callers wait and are not lost");
    assert_eq!(starts(&core.ended(at(3), key(0, 1), Exit::Killed)), vec![key(0, 2)]);
    let grant = granted_to(2, core.started(at(4), key(0, 2), key(0, 2)));
    assert_eq!(grant.key, key(0, 2));
    let counts = core.snapshot(at(4)).counts;
    assert_eq!((counts.recycles["operator"], counts.jobs_lost), (1, 0));
}

#[test]
fn children_that_are_sick_from_the_start_wait_out_a_backoff() {
    let mut core = open(spec(1));
    let mut delays = Vec::new();
    for generation in 1..6 {
        let grant = granted(&mut core, generation);
        let sick = Outcome::Done { jobs: 1, usage: Usage { healthy: false, ..Usage::NONE } };
        for effect in core.check_in(at(generation), &grant, sick) {
            if let Effect::Start { delay, .. } = effect {
                delays.push(delay);
            }
        }
        core.ended(at(generation), grant.key, Exit::Killed);
        core.started(at(generation), key(0, generation + 1), key(0, generation + 1));
    }
    assert_eq!(delays[..2], [Duration::ZERO; 2], "the first may be chance");
    assert!(delays[2..].iter().all(|delay| *delay >= Duration::from_millis(10)), "{delays:?}");
    assert!(core.snapshot(at(9)).counts.restarts.is_empty(), "it is no restart");
}

#[test]
fn a_leaking_child_is_recycled_in_a_trough_and_its_memory_looked_for_afterwards() {
    for (after, found) in [(40, true), (95, false)] {
        let mut core = open(PoolSpec { leak: Some(LeakPolicy::default()), ..spec(2) });
        let (leak, quiet) = (granted(&mut core, 0), granted(&mut core, 0));
        assert!(matches!(lend(&mut core, 1, 1), Lend::Queued(_)));
        let mut effects = Vec::new();
        let slope = Leak { axis: LeakAxis::Hour, slope: 1.0, low: 0.5, high: 2.0, grown_bytes: 60 };
        core.leak_found(at(1), leak.key, slope, &mut effects);
        assert_eq!(told(&effects), [&Event::LeakFound { child: leak.key.within(&"test".into()), leak: slope }]);
        let next = granted_to(1, core.check_in(at(2), &quiet, fit()));
        assert_eq!(starts(&core.tick(at(3), &[], Some(100))), vec![], "both are at work: no trough");
        core.tick(at(4), &[], Some(100));
        let effects = core.check_in(at(5), &next, fit());
        assert_eq!(starts(&effects), vec![key(leak.key.slot, 2)]);
        core.started(at(6), key(leak.key.slot, 2), key(leak.key.slot, 2));
        core.check_in(at(7), &leak, fit());
        core.ended(at(8), leak.key, Exit::Killed);
        assert_eq!(core.tick(at(9), &[], Some(after)), vec![], "memory takes a moment to go");
        let effects = core.tick(at(5000), &[], Some(after));
        let verdict = told(&effects);
        assert_eq!(verdict.len(), 1, "{effects:?}");
        assert_eq!(matches!(verdict[0], Event::LeakRecycled { freed_bytes: 60, .. }), found);
        assert_eq!(matches!(verdict[0], Event::LeakElsewhere { freed_bytes: 5, expected_bytes: 60, .. }), !found);
        assert_eq!(core.snapshot(at(5000)).counts.recycles["leak"], 1);
    }
}

#[test]
fn an_answer_that_is_overdue_is_seen_and_one_that_nobody_works_on_is_not() {
    let mut core = open(spec(2));
    let (working, resting) = (granted(&mut core, 0), granted(&mut core, 0));
    let readings = [(working.key, reading(Some(1), 0)), (resting.key, reading(None, 0))];
    assert_eq!(core.tick(at(6000), &readings, None), vec![]);
    let effects = core.tick(at(7000), &readings, None);
    assert!(matches!(told(&effects)[..], [Event::InvariantViolated { invariant: "I1", .. }]), "{effects:?}");
    assert_eq!(core.snapshot(at(7000)).counts.violations["I1"], 1);
}

#[test]
fn a_lease_that_comes_back_twice_is_seen_and_changes_nothing() {
    let mut core = open(spec(1));
    let grant = granted(&mut core, 0);
    core.check_in(at(1), &grant, fit());
    let before = core.snapshot(at(1)).counts.jobs;
    let effects = core.check_in(at(1), &grant, fit());
    assert!(matches!(told(&effects)[..], [Event::InvariantViolated { invariant: "I2", .. }]), "{effects:?}");
    assert_eq!(core.snapshot(at(1)).counts.jobs, before);
}

/// What a random run does next; numbers pick among what is there.
#[derive(Clone, Debug)]
enum Step {
    Lend { bytes: u64, patience: u64 },
    CheckIn { pick: usize, outcome: u8 },
    Up { pick: usize, fails: bool },
    Die { pick: usize },
    Leave { pick: usize },
    Condemn { pick: usize },
    Retire { slot: u32 },
    Wait { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..40, 0u64..500).prop_map(|(bytes, patience)| Step::Lend { bytes, patience }),
        4 => (any::<usize>(), 0u8..8).prop_map(|(pick, outcome)| Step::CheckIn { pick, outcome }),
        4 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(pick, fails)| Step::Up { pick, fails }),
        2 => any::<usize>().prop_map(|pick| Step::Die { pick }),
        1 => any::<usize>().prop_map(|pick| Step::Leave { pick }),
        1 => any::<usize>().prop_map(|pick| Step::Condemn { pick }),
        1 => (0u32..3).prop_map(|slot| Step::Retire { slot }),
        2 => (0u64..300).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// The world around the books: what is starting, alive, lent and waiting.
#[derive(Default)]
struct World {
    now: u64,
    starting: Vec<Key>,
    alive: Vec<Key>,
    lent: Vec<Grant<Key>>,
    waiting: BTreeMap<u64, u64>,
    answered: u64,
    asked: u64,
    escalated: bool,
}

impl World {
    fn apply(&mut self, effects: Effects) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Start { key, .. } => self.starting.push(key),
                // Stops and kills take effect when the world says so, in `Die`.
                Effect::Stop { .. }
                | Effect::Kill { .. }
                | Effect::Cancel { .. }
                | Effect::Interrupt { .. }
                | Effect::Drained => {}
                Effect::Grant { token, grant } => {
                    prop_assert!(self.waiting.remove(&token).is_some(), "granted twice, or to nobody");
                    self.answered += 1;
                    self.lent.push(grant);
                }
                Effect::Refuse { token, .. } => {
                    prop_assert!(self.waiting.remove(&token).is_some(), "refused twice, or nobody");
                    self.answered += 1;
                }
                Effect::Tell(Event::InvariantViolated { what, .. }) => {
                    return Err(TestCaseError::fail(what));
                }
                Effect::Tell(_) => {}
                Effect::Escalate { .. } => {
                    prop_assert!(!self.escalated, "escalated twice");
                    self.escalated = true;
                }
            }
        }
        let mut children: Vec<Key> = self.lent.iter().map(|grant| grant.key).collect();
        children.sort();
        children.dedup();
        prop_assert_eq!(children.len(), self.lent.len(), "a child was lent twice");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: no child is lent twice, no caller is answered twice or forgotten,
    /// the books balance, and the pool never holds more children than it may.
    #[test]
    fn the_books_balance_whatever_happens(
        steps in prop::collection::vec(step(), 1..150), seed: u64, size in 1u32..4, jobs in prop::option::of(1u64..4),
    ) {
        let mut core = Core::new(PoolSpec {
            seed,
            recycle: RecycleLimits { jobs, jitter: 0.3, ..RecycleLimits::NEVER },
            restarts: RestartPolicy::any(8, Duration::from_millis(500)),
            ..spec(size)
        });
        let mut world = World::default();
        world.apply(core.open(at(0)))?;
        for step in steps {
            let now = at(world.now);
            match step {
                Step::Lend { bytes, patience } => {
                    let token = world.asked;
                    world.asked += 1;
                    match core.lend(now, ask(bytes, world.now + patience), || token) {
                        Lend::Granted(grant) => {
                            world.answered += 1;
                            world.lent.push(grant);
                            world.apply(vec![])?;
                        }
                        Lend::Queued(id) => { world.waiting.insert(token, id); }
                        Lend::Refused(_) => world.answered += 1,
                    }
                }
                Step::CheckIn { pick, outcome } if !world.lent.is_empty() => {
                    let grant = world.lent.remove(pick % world.lent.len());
                    let key = grant.key;
                    let outcome = match outcome {
                        0 => Outcome::Unused,
                        1 => Outcome::Broken("broken".into()),
                        2 => Outcome::Lost,
                        3 => Outcome::Done { jobs: 1, usage: Usage { healthy: false, ..Usage::NONE } },
                        _ => fit(),
                    };
                    let lost = outcome == Outcome::Lost;
                    world.apply(core.check_in(now, &grant, outcome))?;
                    if lost {
                        world.alive.retain(|alive| *alive != key);
                        world.apply(core.ended(now, key, Exit::Panicked("lost".into())))?;
                    }
                }
                Step::Up { pick, fails } if !world.starting.is_empty() => {
                    let key = world.starting.remove(pick % world.starting.len());
                    if fails {
                        world.apply(core.start_failed(now, key, "no".into()))?;
                    } else {
                        world.alive.push(key);
                        world.apply(core.started(now, key, key))?;
                    }
                }
                Step::Die { pick } if !world.alive.is_empty() => {
                    let key = world.alive.remove(pick % world.alive.len());
                    world.apply(core.ended(now, key, Exit::Killed))?;
                }
                Step::Leave { pick } if !world.waiting.is_empty() => {
                    let token = *world.waiting.keys().nth(pick % world.waiting.len()).expect("in range");
                    let id = world.waiting.remove(&token).expect("it waits");
                    core.cancel_wait(id, true);
                    world.answered += 1;
                }
                Step::Condemn { pick } if !world.lent.is_empty() => {
                    let grant = &world.lent[pick % world.lent.len()];
                    let (key, lease) = (grant.key, grant.lease);
                    world.apply(core.condemn(now, key, lease, Exit::Hung))?;
                }
                Step::Retire { slot } => {
                    let (_, effects) = core.retire(now, slot);
                    world.apply(effects)?;
                }
                Step::Wait { millis } => world.now += millis,
                Step::CheckIn { .. } | Step::Up { .. } | Step::Die { .. } | Step::Leave { .. } | Step::Condemn { .. } => {}
            }
            let snapshot = core.snapshot(at(world.now));
            prop_assert!(snapshot.counts.violations.is_empty(), "{:?}", snapshot.counts.violations);
            prop_assert!(snapshot.admitted_bytes <= snapshot.max_bytes);
            prop_assert!(snapshot.waiting <= 4);
            let places = snapshot.children.iter()
                .filter(|child| matches!(child.state, "starting" | "backoff" | "idle" | "leased")).count();
            prop_assert!(places <= size as usize + 1, "{} places: {:?}", places, snapshot.children);
            if world.escalated {
                prop_assert_eq!(snapshot.phase, "spent");
                break;
            }
        }
        // Everybody who asked was answered, or still waits (those past their deadline only in their own eyes).
        prop_assert_eq!(world.asked, world.answered + world.waiting.len() as u64);
        // Whatever is lent comes back, and the books are empty.
        while let Some(grant) = world.lent.pop() {
            world.apply(core.check_in(at(world.now), &grant, fit()))?;
        }
        core.close();
        prop_assert_eq!(core.snapshot(at(world.now)).admitted_bytes, 0);
    }
}

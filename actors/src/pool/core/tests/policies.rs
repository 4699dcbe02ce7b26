//! The policies around a pool's books: half-open, priorities, quarantine, limits, hangs, age, pressure, leaks.

use super::*;
use crate::leak::{LeakAxis, LeakPolicy};
use crate::limits::MemoryLimits;
use crate::quarantine::QuarantinePolicy;
use crate::watchdog::{HangPolicy, PhaseBudget, Reading};

fn told(effects: &Effects) -> Vec<&Event> {
    effects.iter().filter_map(|effect| if let Effect::Tell(event) = effect { Some(event) } else { None }).collect()
}

fn reading(job: Option<u64>, bytes: u64) -> Reading {
    Reading { job, phase: Default::default(), beats: 0, bytes }
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
fn a_probe_that_fails_is_followed_by_another_and_never_takes_the_tree_down() {
    let mut core = open(PoolSpec { restarts: RestartPolicy::any(1, Duration::from_secs(10)), ..spec(3) });
    core.ended(at(1), key(0, 1), Exit::Killed);
    core.ended(at(2), key(1, 1), Exit::Killed);
    core.close();
    core.open(at(10));
    for round in 0..20u64 {
        let now = 10 + round * 10_000;
        let effects = core.start_failed(at(now), key(0, 3 + round), "still bad".into());
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Escalate { .. })), "{effects:?}");
        assert!(
            effects.iter().any(|effect| matches!(effect, Effect::Start { delay, .. } if delay.as_secs() == 10)),
            "{effects:?}"
        );
        let Lend::Refused(LeaseError::Unavailable { retry_after, .. }) = lend(&mut core, now + 1000, 1) else { panic!("down") };
        assert_eq!(retry_after, Duration::from_secs(9), "it says when the next probe is due");
    }
    assert!(core.snapshot(at(200_010)).counts.violations.is_empty());
    core.close();
    core.abandon();
    assert!(matches!(lend(&mut core, 300_000, 1), Lend::Refused(LeaseError::Closed { .. })) || core.phase() == Phase::Closed);
}

#[test]
fn poison_that_waits_in_line_kills_no_more() {
    let quarantine = QuarantinePolicy { strikes: 1, ..QuarantinePolicy::default() };
    let mut core = open(PoolSpec { quarantine, restarts: RestartPolicy::any(9, Duration::from_secs(1)), ..spec(1) });
    let poison = |token| (Ask { key: Some(7), ..ask(1, 10_000) }, move || token);
    let (first, token) = poison(0);
    let Lend::Granted(grant) = core.lend(at(0), first, token) else { panic!("idle") };
    for token in 1..4 {
        let (ask, token) = poison(token);
        assert!(matches!(core.lend(at(0), ask, token), Lend::Queued(_)));
    }
    core.ended(at(1), grant.key, Exit::Panicked("poison".into()));
    core.check_in(at(1), &grant, Outcome::Lost);
    let effects = core.started(at(2), key(0, 2), key(0, 2));
    let refused = effects.iter().filter(|effect| matches!(effect, Effect::Refuse { error: LeaseError::Quarantined { .. }, .. }));
    assert_eq!(refused.count(), 3, "{effects:?}");
    granted(&mut core, 3);
}

#[test]
fn a_pool_that_is_closed_kills_what_it_forgets_and_blames_nobody() {
    let quarantine = QuarantinePolicy { strikes: 1, ..QuarantinePolicy::default() };
    let mut core = open(PoolSpec { quarantine, ..spec(2) });
    let Lend::Granted(grant) = core.lend(at(0), Ask { key: Some(7), ..ask(1, 1000) }, || 0) else { panic!("idle") };
    let kills = core.close().into_iter().filter(|effect| matches!(effect, Effect::Kill { .. })).count();
    assert_eq!(kills, 2);
    core.check_in(at(1), &grant, Outcome::Lost);
    assert_eq!(core.snapshot(at(1)).quarantined, 0);
    core.open(at(2));
    assert_eq!(told(&core.tick(at(60_000), &[], None)), Vec::<&Event>::new(), "it has been answered");
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

fn batch(deadline: u64) -> Ask {
    Ask { priority: Priority::Batch, ..ask(1, deadline) }
}

#[test]
fn batch_work_leaves_the_last_child_to_those_that_somebody_waits_for() {
    let mut core = open(spec(2));
    let Lend::Granted(first) = core.lend(at(0), batch(1000), || 0) else { panic!("one of two is for batch work") };
    assert!(matches!(core.lend(at(1), batch(1000), || 1), Lend::Queued(_)), "the other one is kept");
    let interactive = granted(&mut core, 2);
    assert!(matches!(lend(&mut core, 3, 1), Lend::Queued(_)), "both are at work");
    let next = granted_to(3, core.check_in(at(4), &interactive, fit()));
    assert!(core.check_in(at(5), &next, fit()).is_empty(), "batch work does not get it by having waited");
    assert_eq!((core.snapshot(at(5)).reserved, core.snapshot(at(5)).waiting), (1, 1));
    granted_to(1, core.check_in(at(6), &first, fit()));
}

#[test]
fn batch_work_gets_on_beside_those_that_somebody_waits_for() {
    let mut core = open(spec(3));
    let interactive = granted(&mut core, 0);
    let lend_batch = |core: &mut Core, token| core.lend(at(0), batch(1000), || token);
    assert!(matches!(lend_batch(&mut core, 1), Lend::Granted(_)));
    let second = lend_batch(&mut core, 2);
    assert!(matches!(second, Lend::Granted(_)), "the one that is lent will be free for the next one: {second:?}");
    assert!(matches!(lend_batch(&mut core, 3), Lend::Queued(_)));
    assert!(core.check_in(at(1), &interactive, fit()).is_empty(), "it is the last one");
    granted(&mut core, 2);
}

#[test]
fn a_reserve_takes_every_child_but_one_and_none_if_it_is_not_wanted() {
    for (reserved, expected) in [(0, 3), (1, 2), (2, 1), (3, 1), (u32::MAX, 1)] {
        let mut core = open(PoolSpec { reserved, ..spec(3) });
        let lent = (0..3).filter(|_| matches!(core.lend(at(0), batch(1000), || 0), Lend::Granted(_))).count();
        assert_eq!(lent, expected, "{reserved} reserved");
    }
}

/// For a moment the old child and its replacement both stand.
#[test]
fn a_replacement_that_comes_up_is_no_child_more() {
    let mut core = open(spec(2));
    let Lend::Granted(held) = core.lend(at(0), batch(1000), || 0) else { panic!("idle") };
    assert!(matches!(core.lend(at(1), batch(1000), || 1), Lend::Queued(_)));
    let idle = 1 - held.key.slot;
    assert!(core.retire(at(2), idle).0);
    let effects = core.started(at(3), key(idle, 2), key(idle, 2));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Grant { .. })), "{effects:?}");
    assert_eq!(granted(&mut core, 4).key, key(idle, 2));
}

#[test]
fn a_pool_that_shrinks_to_one_child_lends_it_to_batch_work() {
    let mut core = open(spec(2));
    // The one that is to go is lent, the other one idle.
    let Lend::Granted(held) = core.lend(at(0), batch(1000), || 0) else { panic!("idle") };
    assert_eq!(held.key.slot, 1, "the last one in is the first one out");
    assert!(matches!(core.lend(at(1), batch(1000), || 1), Lend::Queued(_)));
    assert_eq!(granted_to(1, core.pressed(at(2), Pressure::Shrink)).key, key(0, 1));
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
    assert_eq!(core.failure_of(grant.key), Some(Exit::OutOfMemory(300)), "its caller is told");
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
    assert_eq!(
        steps,
        vec![Effect::Cancel { handle, job: 1 }, Effect::Interrupt { handle, job: 1 }, Effect::Kill { handle }, start]
    );
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

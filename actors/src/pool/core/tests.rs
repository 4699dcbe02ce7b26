//! The pool's decisions under made-up time: the shell is a few lines that apply the effects.

mod policies;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::lease::Priority;
use crate::recycle::RecycleLimits;
use crate::restart::RestartPolicy;

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
    let error = LeaseError::Deadline { pool: "test".into() };
    assert_eq!(core.check_in(at(10), &grant, fit()), vec![Effect::Refuse { token: 7, error }]);
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

/// What a random run does next; numbers pick among what is there.
#[derive(Clone, Debug)]
enum Step {
    Lend { bytes: u64, patience: u64, batch: bool },
    CheckIn { pick: usize, outcome: u8 },
    Up { pick: usize, fails: bool },
    Die { pick: usize },
    Leave { pick: usize },
    Condemn { pick: usize },
    Retire { slot: u32 },
    Press { level: usize },
    Wait { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..40, 0u64..500, any::<bool>()).prop_map(|(bytes, patience, batch)| Step::Lend { bytes, patience, batch }),
        4 => (any::<usize>(), 0u8..8).prop_map(|(pick, outcome)| Step::CheckIn { pick, outcome }),
        4 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(pick, fails)| Step::Up { pick, fails }),
        2 => any::<usize>().prop_map(|pick| Step::Die { pick }),
        1 => any::<usize>().prop_map(|pick| Step::Leave { pick }),
        1 => any::<usize>().prop_map(|pick| Step::Condemn { pick }),
        1 => (0u32..3).prop_map(|slot| Step::Retire { slot }),
        1 => (0usize..5).prop_map(|level| Step::Press { level }),
        2 => (0u64..300).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// How many children are lent to callers of `priority`, and will serve again.
fn lent(core: &Core, priority: Priority) -> usize {
    core.children().filter(|child| child.state == ChildState::Leased && child.priority == priority).count()
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
    /// the books balance, the pool never holds more children than it may, batch work gets none of those that are kept, and
    /// nobody waits beside an idle child that is not kept.
    #[test]
    fn the_books_balance_whatever_happens(
        steps in prop::collection::vec(step(), 1..150), seed: u64, size in 1u32..4, reserved in 0u32..3,
        jobs in prop::option::of(1u64..4),
    ) {
        let mut core = Core::new(PoolSpec {
            seed,
            reserved,
            recycle: RecycleLimits { jobs, jitter: 0.3, ..RecycleLimits::NEVER },
            restarts: RestartPolicy::any(8, Duration::from_millis(500)),
            ..spec(size)
        });
        let mut world = World::default();
        world.apply(core.open(at(0)))?;
        for step in steps {
            let now = at(world.now);
            let before = lent(&core, Priority::Batch);
            match step {
                Step::Lend { bytes, patience, batch } => {
                    let token = world.asked;
                    world.asked += 1;
                    let priority = if batch { Priority::Batch } else { Priority::Interactive };
                    match core.lend(now, Ask { priority, ..ask(bytes, world.now + patience) }, || token) {
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
                Step::Press { level } => world.apply(core.pressed(now, Pressure::ALL[level]))?,
                Step::Wait { millis } => world.now += millis,
                Step::CheckIn { .. } | Step::Up { .. } | Step::Die { .. } | Step::Leave { .. } | Step::Condemn { .. } => {}
            }
            let (kept, left) = (reserve::kept(reserved, core.target()), core.idle.len() + lent(&core, Priority::Interactive));
            if lent(&core, Priority::Batch) > before {
                prop_assert!(left >= kept, "batch work got one of {kept} children that are kept, {left} are left");
            }
            if let Some((priority, _)) = core.line.front().filter(|(_, waiter)| waiter.deadline > now) {
                let waits = core.idle.is_empty() || (priority == Priority::Batch && left <= kept);
                prop_assert!(waits, "{priority:?} waits, {} idle, {kept} kept, {left} left", core.idle.len());
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

//! The books of a pool as a state machine, driven at random and shrunk to the shortest sequence that breaks a promise.
//!
//! The model is the little that a caller can know: which demands are open, which leases are out, which children stand.
//! After each step the promises are checked on both sides: I1 and I2 (answers), I3 (places), I4 (bytes), I5 (restarts),
//! I10 (recycles), I11 (refusals).

#![expect(clippy::expect_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::time::Duration;

use eventmesh_actors::sans_io::{Ask, Grant, Key, Lend, Outcome, PoolCore, PoolEffect, PoolPhase};
use eventmesh_actors::{Event, Exit, Moment, PoolSpec, Pressure, Priority, RecycleLimits, RestartPolicy, Usage};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

const SIZE: u32 = 3;
const MAX_BYTES: u64 = 100;
const INTENSITY: u32 = 4;
const PERIOD_MS: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Lend { bytes: u64, patience: u64, batch: bool },
    Leave { pick: usize },
    CheckIn { pick: usize, how: u8 },
    Up { pick: usize, fails: bool },
    Die { pick: usize },
    Retire { slot: u32 },
    Press { level: usize },
    Wait { millis: u64 },
    Reopen,
}

/// Only the time is the model's own: everything else follows from what the books answered.
#[derive(Clone, Debug, Default)]
struct Time {
    now: u64,
}

impl ReferenceStateMachine for Time {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_state: &Self) -> BoxedStrategy<Step> {
        prop_oneof![
            6 => (0u64..60, 1u64..400, any::<bool>()).prop_map(|(bytes, patience, batch)| Step::Lend { bytes, patience, batch }),
            1 => any::<usize>().prop_map(|pick| Step::Leave { pick }),
            6 => (any::<usize>(), 0u8..8).prop_map(|(pick, how)| Step::CheckIn { pick, how }),
            6 => (any::<usize>(), proptest::bool::weighted(0.2)).prop_map(|(pick, fails)| Step::Up { pick, fails }),
            2 => any::<usize>().prop_map(|pick| Step::Die { pick }),
            1 => (0u32..SIZE).prop_map(|slot| Step::Retire { slot }),
            1 => (0usize..5).prop_map(|level| Step::Press { level }),
            3 => (0u64..300).prop_map(|millis| Step::Wait { millis }),
            1 => Just(Step::Reopen),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        if let Step::Wait { millis } = step {
            state.now += millis;
        }
        state
    }
}

struct Books {
    core: PoolCore<Key, u64>,
    asked: u64,
    /// Who waits, by token: the place in line.
    waiting: BTreeMap<u64, u64>,
    answered: u64,
    lent: Vec<Grant<Key>>,
    /// Not before its time, in milliseconds.
    starting: Vec<(u64, Key)>,
    alive: Vec<Key>,
    restarts: Vec<u64>,
    spent: bool,
}

fn at(millis: u64) -> Moment {
    Moment::at(Duration::from_millis(millis))
}

impl Books {
    fn carry_out(&mut self, now: u64, effects: Vec<PoolEffect<Key, u64>>) {
        for effect in effects {
            match effect {
                PoolEffect::Start { key, delay } => {
                    self.starting.push((now + u64::try_from(delay.as_millis()).expect("short"), key));
                }
                PoolEffect::Grant { token, grant } => {
                    self.waiting.remove(&token).expect("I2: nobody is answered twice");
                    self.answered += 1;
                    self.lent.push(grant);
                }
                PoolEffect::Refuse { token, error } => {
                    self.waiting.remove(&token).expect("I2: nobody is answered twice");
                    self.answered += 1;
                    refusal_says_when(&error);
                }
                PoolEffect::Stop { handle } => {
                    let busy = self.lent.iter().any(|grant| grant.key == handle);
                    assert!(!busy, "I10: {handle:?} is told to stop in the middle of its lease");
                }
                PoolEffect::Tell(Event::InvariantViolated { invariant, what, .. }) => panic!("{invariant}: {what}"),
                PoolEffect::Tell(Event::RestartScheduled { .. }) => {
                    self.restarts.push(now);
                    let window = self.restarts.iter().filter(|then| now - **then < PERIOD_MS).count();
                    assert!(window <= INTENSITY as usize, "I5: {window} restarts within the period");
                }
                PoolEffect::Escalate { .. } => self.spent = true,
                PoolEffect::Kill { .. }
                | PoolEffect::Cancel { .. }
                | PoolEffect::Interrupt { .. }
                | PoolEffect::Tell(_)
                | PoolEffect::Drained => {}
            }
        }
    }

    fn step(&mut self, now: u64, step: Step) {
        match step {
            Step::Lend { bytes, patience, batch } => {
                let token = self.asked;
                self.asked += 1;
                let priority = if batch { Priority::Batch } else { Priority::Interactive };
                let ask = Ask { bytes, deadline: at(now + patience), priority, key: None };
                match self.core.lend(at(now), ask, || token) {
                    Lend::Granted(grant) => {
                        self.answered += 1;
                        self.lent.push(grant);
                    }
                    Lend::Queued(place) => {
                        self.waiting.insert(token, place);
                    }
                    Lend::Refused(error) => {
                        self.answered += 1;
                        refusal_says_when(&error);
                    }
                }
            }
            Step::Leave { pick } if !self.waiting.is_empty() => {
                let token = *self.waiting.keys().nth(pick % self.waiting.len()).expect("in range");
                let place = self.waiting.remove(&token).expect("it waits");
                assert!(self.core.cancel_wait(place, true), "who waits can leave");
                self.answered += 1;
            }
            Step::CheckIn { pick, how } if !self.lent.is_empty() => {
                let grant = self.lent.remove(pick % self.lent.len());
                let outcome = match how {
                    0 => Outcome::Unused,
                    1 => Outcome::Broken("broken".to_owned()),
                    2 => Outcome::Done { jobs: 1, usage: Usage { healthy: false, ..Usage::NONE } },
                    3 => Outcome::Undelivered,
                    _ => Outcome::Done { jobs: 1, usage: Usage::NONE },
                };
                let lost = outcome == Outcome::Undelivered;
                let effects = self.core.check_in(at(now), &grant, outcome);
                self.carry_out(now, effects);
                if lost {
                    self.die(now, grant.key);
                }
            }
            Step::Up { pick, fails } if self.starting.iter().any(|(due, _)| *due <= now) => {
                let due: Vec<usize> = (0..self.starting.len()).filter(|place| self.starting[*place].0 <= now).collect();
                let (_, key) = self.starting.remove(due[pick % due.len()]);
                let effects = if fails {
                    self.core.start_failed(at(now), key, "no".to_owned())
                } else {
                    self.alive.push(key);
                    self.core.started(at(now), key, key)
                };
                self.carry_out(now, effects);
            }
            Step::Die { pick } if !self.alive.is_empty() => {
                let key = self.alive[pick % self.alive.len()];
                self.die(now, key);
            }
            Step::Retire { slot } => {
                let (_, effects) = self.core.retire(at(now), slot);
                self.carry_out(now, effects);
            }
            Step::Press { level } => {
                let effects = self.core.pressed(at(now), Pressure::ALL[level]);
                self.carry_out(now, effects);
            }
            Step::Reopen if self.spent => {
                self.spent = false;
                let effects = self.core.close();
                self.carry_out(now, effects);
                // Everything of the old life is dead; its leases come back in their own time.
                self.alive.clear();
                self.starting.clear();
                self.restarts.clear();
                let effects = self.core.open(at(now));
                self.carry_out(now, effects);
            }
            Step::Wait { .. } => {
                let effects = self.core.tick(at(now), &[], None);
                self.carry_out(now, effects);
            }
            Step::Leave { .. } | Step::CheckIn { .. } | Step::Up { .. } | Step::Die { .. } | Step::Reopen => {}
        }
    }

    fn die(&mut self, now: u64, key: Key) {
        self.alive.retain(|alive| *alive != key);
        let effects = self.core.ended(at(now), key, Exit::Killed);
        self.carry_out(now, effects);
    }
}

/// I11.
fn refusal_says_when(error: &eventmesh_actors::LeaseError) {
    use eventmesh_actors::LeaseError as E;
    match error {
        E::TooLarge { .. } | E::Deadline { .. } | E::Closed { .. } => {}
        E::QueueFull { .. } | E::BytesFull { .. } | E::Unavailable { .. } | E::Pressed { .. } | E::Quarantined { .. } => {
            assert!(error.retry_after().is_some_and(|delay| !delay.is_zero()), "I11: {error}");
        }
    }
}

struct PoolModel;

impl StateMachineTest for PoolModel {
    type SystemUnderTest = Books;
    type Reference = Time;

    fn init_test(_reference: &Time) -> Books {
        let spec = PoolSpec {
            max_waiting: 4,
            max_bytes: MAX_BYTES,
            recycle: RecycleLimits { jobs: Some(3), jitter: 0.3, ..RecycleLimits::NEVER },
            restarts: RestartPolicy::any(INTENSITY, Duration::from_millis(PERIOD_MS)),
            ..PoolSpec::new("model", SIZE)
        };
        let mut books = Books {
            core: PoolCore::new(spec),
            asked: 0,
            waiting: BTreeMap::new(),
            answered: 0,
            lent: Vec::new(),
            starting: Vec::new(),
            alive: Vec::new(),
            restarts: Vec::new(),
            spent: false,
        };
        let effects = books.core.open(at(0));
        books.carry_out(0, effects);
        books
    }

    fn apply(mut books: Books, reference: &Time, step: Step) -> Books {
        books.step(reference.now, step);
        books
    }

    fn check_invariants(books: &Books, reference: &Time) {
        let snapshot = books.core.snapshot(at(reference.now));
        assert_eq!(books.asked, books.answered + books.waiting.len() as u64, "I1: everybody is answered, or waits");
        let mut children: Vec<Key> = books.lent.iter().map(|grant| grant.key).collect();
        children.sort_unstable();
        children.dedup();
        assert_eq!(children.len(), books.lent.len(), "I3: a child is lent twice");
        let occupied = |state: &str| matches!(state, "backoff" | "starting" | "idle" | "leased");
        let places = snapshot.children.iter().filter(|child| occupied(child.state)).count();
        assert!(places <= SIZE as usize + 1, "I3: {places} places: {snapshot:?}");
        assert!(snapshot.admitted_bytes <= MAX_BYTES, "I4: {snapshot:?}");
        assert!(snapshot.waiting <= 4, "I4: {snapshot:?}");
        assert!(snapshot.counts.violations.is_empty(), "{:?}", snapshot.counts.violations);
        if books.spent {
            assert_eq!(books.core.phase(), PoolPhase::Spent);
        }
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 600, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_books_of_a_pool_keep_every_promise(sequential 1..120 => PoolModel);
}

//! When a child that failed may start again: how often ([`RestartBudget`]) and how soon ([`Backoff`]).
//!
//! Both are pure policies. The budget is OTP's intensity and period over a sliding window; past it the
//! supervisor gives up and its own supervisor decides. The backoff is decorrelated jitter, so that children
//! that died together do not come back together.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

use crate::clock::Moment;
use crate::exit::{Cause, Exit};

/// At most `intensity` restarts in any `period`: OTP's restart intensity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RestartIntensity {
    /// Restarts allowed within the period; 0 allows none.
    pub intensity: u32,
    /// Length of the sliding window.
    pub period: Duration,
}

/// The restarts of one supervisor within its window.
#[derive(Clone, Debug)]
pub struct RestartBudget {
    allowed: RestartIntensity,
    recent: VecDeque<Moment>,
}

impl RestartBudget {
    /// An unspent budget.
    #[must_use]
    pub fn new(allowed: RestartIntensity) -> Self {
        Self { allowed, recent: VecDeque::new() }
    }

    /// Takes one restart from the budget at `now`. `false` means it is spent: do not restart, escalate.
    ///
    /// Holds at most `intensity` moments, whatever happens.
    pub fn take(&mut self, now: Moment) -> bool {
        let allowed = self.allows(now);
        if allowed {
            self.recent.push_back(now);
        }
        allowed
    }

    /// Whether one more restart would be within the budget.
    fn allows(&mut self, now: Moment) -> bool {
        while self.recent.front().is_some_and(|then| now.since(*then) >= self.allowed.period) {
            self.recent.pop_front();
        }
        self.recent.len() < self.allowed.intensity as usize
    }
}

/// How many restarts a supervisor may do: of all causes together, and of some causes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// All causes together.
    pub any: RestartIntensity,
    /// Tighter bounds for single causes; one that is not here has only the common one.
    pub by_cause: BTreeMap<Cause, RestartIntensity>,
}

impl RestartPolicy {
    /// One bound for all causes together.
    #[must_use]
    pub fn any(intensity: u32, period: Duration) -> Self {
        Self { any: RestartIntensity { intensity, period }, by_cause: BTreeMap::new() }
    }

    /// The same with a bound of its own for `cause`.
    #[must_use]
    pub fn cause(mut self, cause: Cause, intensity: u32, period: Duration) -> Self {
        self.by_cause.insert(cause, RestartIntensity { intensity, period });
        self
    }
}

impl From<RestartIntensity> for RestartPolicy {
    fn from(any: RestartIntensity) -> Self {
        Self { any, by_cause: BTreeMap::new() }
    }
}

/// The restarts of one supervisor, counted for all causes together and for those that have a bound of their own.
#[derive(Clone, Debug)]
pub struct RestartBudgets {
    any: RestartBudget,
    by_cause: BTreeMap<Cause, RestartBudget>,
}

impl RestartBudgets {
    /// Unspent budgets.
    #[must_use]
    pub fn new(policy: &RestartPolicy) -> Self {
        let by_cause = policy.by_cause.iter().map(|(cause, allowed)| (*cause, RestartBudget::new(*allowed))).collect();
        Self { any: RestartBudget::new(policy.any), by_cause }
    }

    /// Takes one restart because of `cause` at `now`, from every budget it counts against or from none. `false` means
    /// that one is spent: do not restart, escalate.
    pub fn take(&mut self, now: Moment, cause: Cause) -> bool {
        let own = self.by_cause.get_mut(&cause);
        let allowed = own.is_none_or(|own| own.allows(now)) && self.any.take(now);
        if allowed && let Some(own) = self.by_cause.get_mut(&cause) {
            own.recent.push_back(now);
        }
        allowed
    }
}

/// How the delay before a restart grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffSpec {
    /// The shortest delay but for the very first restart, which is immediate.
    pub base: Duration,
    /// The longest delay.
    pub cap: Duration,
    /// A child that has lived this long has proved itself: its next failure starts from the beginning.
    pub reset_after: Duration,
}

/// Decorrelated jitter: each delay lies between `base` and three times the one before, under `cap`.
#[derive(Clone, Debug)]
pub struct Backoff {
    spec: BackoffSpec,
    last: Option<Duration>,
}

impl Backoff {
    /// A backoff that has seen no failure.
    #[must_use]
    pub fn new(spec: BackoffSpec) -> Self {
        Self { spec, last: None }
    }

    /// The delay before restarting a child that lived for `lived`.
    ///
    /// The first restart is immediate, because most crashes do not repeat and capacity is missing meanwhile.
    pub fn after_crash(&mut self, lived: Duration, rng: &mut Rng) -> Duration {
        if lived >= self.spec.reset_after {
            self.last = None;
        }
        if self.last.is_none() {
            self.last = Some(Duration::ZERO);
            return Duration::ZERO;
        }
        self.next(rng)
    }

    /// The delay before trying a start again that has just failed; never immediate.
    pub fn after_failed_start(&mut self, rng: &mut Rng) -> Duration {
        self.next(rng)
    }

    /// The delay before what has ended with `exit`, having lived for `lived`, is started again.
    pub fn after(&mut self, exit: &Exit, lived: Duration, rng: &mut Rng) -> Duration {
        if exit.cause() == Some(Cause::StartFailed) { self.after_failed_start(rng) } else { self.after_crash(lived, rng) }
    }

    fn next(&mut self, rng: &mut Rng) -> Duration {
        let base = self.spec.base;
        let ceiling = self.last.unwrap_or_default().saturating_mul(3).max(base);
        let spread = ceiling.saturating_sub(base);
        let delay = (base + spread.mul_f64(rng.f64())).min(self.spec.cap);
        self.last = Some(delay);
        delay
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    fn budget(intensity: u32, period_ms: u64) -> RestartBudget {
        RestartBudget::new(RestartIntensity { intensity, period: Duration::from_millis(period_ms) })
    }

    #[test]
    fn one_cause_can_have_less_than_all() {
        let second = Duration::from_secs(1);
        let mut budgets = RestartBudgets::new(&RestartPolicy::any(3, second).cause(Cause::Hung, 1, second));
        let table = [
            (0, Cause::Hung, true),
            (1, Cause::Hung, false),
            (2, Cause::Panicked, true),
            (3, Cause::Panicked, true),
            (4, Cause::Panicked, false),
            (999, Cause::Hung, false),
            (1000, Cause::Hung, true),
        ];
        for (now, cause, expected) in table {
            assert_eq!(budgets.take(at(now), cause), expected, "{cause:?} at {now} ms");
        }
    }

    #[test]
    fn the_window_slides() {
        let mut budget = budget(2, 100);
        let table = [(0, true), (10, true), (20, false), (99, false), (100, true), (105, false), (110, true)];
        for (now, expected) in table {
            assert_eq!(budget.take(at(now)), expected, "at {now} ms");
        }
    }

    #[test]
    fn no_intensity_allows_no_restart() {
        assert!(!budget(0, 100).take(at(0)));
    }

    const SPEC: BackoffSpec =
        BackoffSpec { base: Duration::from_millis(10), cap: Duration::from_secs(1), reset_after: Duration::from_secs(60) };

    #[test]
    fn the_first_restart_is_immediate_and_a_long_life_forgives() {
        let mut rng = Rng::with_seed(3);
        let mut backoff = Backoff::new(SPEC);
        assert_eq!(backoff.after_crash(Duration::ZERO, &mut rng), Duration::ZERO);
        assert!(backoff.after_crash(Duration::ZERO, &mut rng) >= SPEC.base);
        assert_eq!(backoff.after_crash(SPEC.reset_after, &mut rng), Duration::ZERO);
    }

    #[test]
    fn a_failed_start_is_never_retried_at_once() {
        let mut rng = Rng::with_seed(3);
        assert!(Backoff::new(SPEC).after_failed_start(&mut rng) >= SPEC.base);
    }

    proptest! {
        #[test]
        fn restarts_in_any_window_stay_within_the_intensity(
            steps in prop::collection::vec(0u64..80, 1..200), intensity in 0u32..6, period in 1u64..200,
        ) {
            let mut budget = budget(intensity, period);
            let mut now = 0;
            let mut taken: Vec<u64> = Vec::new();
            for step in steps {
                now += step;
                if budget.take(at(now)) { taken.push(now) }
                let in_window = taken.iter().filter(|then| now - **then < period).count();
                prop_assert!(in_window <= intensity as usize);
                prop_assert!(budget.recent.len() <= intensity as usize);
            }
        }

        #[test]
        fn delays_stay_between_base_and_cap_and_repeat_by_seed(seed: u64, crashes in 2usize..50) {
            let delays = |seed| {
                let (mut rng, mut backoff) = (Rng::with_seed(seed), Backoff::new(SPEC));
                (0..crashes).map(|_| backoff.after_crash(Duration::ZERO, &mut rng)).collect::<Vec<_>>()
            };
            let first = delays(seed);
            prop_assert_eq!(&first, &delays(seed));
            for pair in first[1..].windows(2) {
                prop_assert!(pair[1] >= SPEC.base && pair[1] <= SPEC.cap && pair[1] <= pair[0] * 3);
            }
        }
    }
}

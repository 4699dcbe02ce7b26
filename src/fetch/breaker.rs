//! Whether a host is asked at all: a circuit breaker. Pure.
//!
//! ```text
//!   closed ── so many failures in a row, within a window ──▶ open ── its time is up ──▶ probing ── well ──▶ closed
//!                                                              ▲                           │
//!                                                              └──── badly: twice as long ─┘
//! ```
//! It does not know what a failure is: that is said by whoever asked.

use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerLimits {
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Within this time, from the first of them.
    pub(crate) window: Duration,
    /// How long it stays open the first time.
    pub(crate) open: Duration,
    /// How long it stays open at most, however often the probe has failed.
    pub(crate) longest: Duration,
}

/// How asking has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The host is well, whatever it said.
    Well,
    /// It was not reached, broke off, or says itself that it is broken.
    Badly,
    /// Nobody waited to see.
    #[default]
    Unknown,
}

/// What a breaker says to whoever wants to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Ask.
    Closed,
    /// Ask, alone: what comes of it decides.
    Probe,
    /// Somebody is trying; wait for what comes of it.
    Probing,
    /// Not before this time.
    Open(Duration),
}

/// The breaker of one host. Times are since the same beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    state: State,
    /// Times in a row that it has opened.
    opened: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32, since: Duration },
    Open { until: Duration },
    Probing,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0, since: Duration::ZERO }
    }
}

impl Breaker {
    /// Whether the host may be asked.
    pub(crate) fn gate(&self, now: Duration) -> Gate {
        match self.state {
            State::Closed { .. } => Gate::Closed,
            State::Open { until } if until > now => Gate::Open(until),
            State::Open { .. } => Gate::Probe,
            State::Probing => Gate::Probing,
        }
    }

    /// Somebody begins to ask, having been let through.
    pub(crate) fn begin(&mut self, now: Duration) {
        if self.gate(now) == Gate::Probe {
            self.state = State::Probing;
        }
    }

    /// Somebody has asked. Returns whether it has opened for that.
    pub(crate) fn end(&mut self, outcome: Outcome, limits: &BreakerLimits, now: Duration) -> bool {
        match (outcome, self.state) {
            (Outcome::Well, _) => {
                *self = Self::default();
                false
            }
            (Outcome::Badly, State::Closed { failures, since }) => {
                let in_window = failures > 0 && now.saturating_sub(since) <= limits.window;
                let (failures, since) = if in_window { (failures.saturating_add(1), since) } else { (1, now) };
                self.state = State::Closed { failures, since };
                if failures >= limits.failures { self.open(limits, now) } else { false }
            }
            (Outcome::Badly, State::Probing) => self.open(limits, now),
            // Whoever left may have been the one that was trying: the next one tries.
            (Outcome::Unknown, State::Probing) => {
                self.state = State::Open { until: now };
                false
            }
            // Those that had begun before it opened say nothing new.
            (Outcome::Badly | Outcome::Unknown, State::Open { .. }) | (Outcome::Unknown, State::Closed { .. }) => false,
        }
    }

    /// Whether nothing is held against the host.
    pub(crate) fn is_clear(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    fn open(&mut self, limits: &BreakerLimits, now: Duration) -> bool {
        let doublings = self.opened.min(16);
        let within = limits.open.saturating_mul(1 << doublings).min(limits.longest.max(limits.open));
        self.opened = self.opened.saturating_add(1);
        self.state = State::Open { until: now + within };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits {
        failures: 3,
        window: Duration::from_secs(10),
        open: Duration::from_secs(5),
        longest: Duration::from_secs(12),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(100 + seconds)
    }

    fn after(outcomes: &[(u64, Outcome)]) -> Breaker {
        let mut breaker = Breaker::default();
        for (when, outcome) in outcomes {
            breaker.end(*outcome, &LIMITS, at(*when));
        }
        breaker
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row() {
        use Outcome::{Badly, Unknown, Well};
        let open = Gate::Open(at(2 + 5));
        for (outcomes, expected) in [
            (&[(0, Badly), (1, Badly)][..], Gate::Closed),
            (&[(0, Badly), (1, Badly), (2, Badly)], open),
            (&[(0, Badly), (1, Badly), (1, Well), (2, Badly)], Gate::Closed),
            (&[(0, Badly), (1, Badly), (1, Unknown), (2, Badly)], open),
            // The first of them is too long ago: it begins again.
            (&[(0, Badly), (1, Badly), (11, Badly)], Gate::Closed),
            (&[(0, Badly), (1, Badly), (2, Badly), (3, Badly), (3, Unknown)], open),
            (&[(0, Badly), (1, Badly), (2, Badly), (3, Well)], Gate::Closed),
        ] {
            assert_eq!(after(outcomes).gate(at(3)), expected, "{outcomes:?}");
        }
    }

    #[test]
    fn one_tries_when_the_time_is_up_and_the_others_wait_for_it() {
        let mut breaker = after(&[(0, Outcome::Badly); 3]);
        assert_eq!(breaker.gate(at(4)), Gate::Open(at(5)));
        assert_eq!(breaker.gate(at(5)), Gate::Probe);
        breaker.begin(at(5));
        assert_eq!(breaker.gate(at(5)), Gate::Probing);
        // It goes away without having seen anything.
        breaker.end(Outcome::Unknown, &LIMITS, at(6));
        assert_eq!(breaker.gate(at(6)), Gate::Probe);
        breaker.begin(at(6));
        assert!(breaker.end(Outcome::Badly, &LIMITS, at(6)));
        assert_eq!(breaker.gate(at(6)), Gate::Open(at(6 + 10)), "twice as long");
        breaker.begin(at(16));
        breaker.end(Outcome::Badly, &LIMITS, at(16));
        assert_eq!(breaker.gate(at(16)), Gate::Open(at(16 + 12)), "no longer than the longest");
        breaker.begin(at(28));
        assert!(!breaker.end(Outcome::Well, &LIMITS, at(28)));
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn whatever_happens_it_never_closes_for_ever() {
        let mut breaker = Breaker::default();
        let outcomes = [Outcome::Badly, Outcome::Unknown, Outcome::Badly, Outcome::Badly, Outcome::Well];
        for turn in 0..1_000u64 {
            let now = at(turn);
            let gate = breaker.gate(now);
            if let Gate::Open(until) = gate {
                assert!(until <= now + LIMITS.longest);
            } else {
                breaker.begin(now);
                breaker.end(outcomes[usize::try_from(turn * 7 % 5).expect("small")], &LIMITS, now);
            }
            assert_ne!(breaker.gate(now), Gate::Probing, "nobody tries who has left");
        }
    }
}

//! Whether the daemon still gets anything done. Pure.
//!
//! That a listener answers says nothing: what counts is that requests end when they have to, that whoever watches memory looks, and that a page
//! of our own comes through when nobody else's does.

use std::fmt;
use std::time::Duration;

/// What is seen at one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Requests that have ended so far, whatever the end.
    pub(crate) ended: u64,
    /// How far the request that should have ended first is past its own deadline; `None` if none is.
    pub(crate) overdue: Option<Duration>,
    /// Looks that the governor has taken so far.
    pub(crate) looks: u64,
    /// Whether a page of our own came through since the last look; `None` if none was tried.
    pub(crate) canary: Option<bool>,
}

/// Why the daemon is not alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// A request is at work long after it should have been ended.
    Requests {
        /// How far it is past its deadline.
        overdue: Duration,
    },
    /// Nobody looks at memory any more.
    Governor {
        /// How long.
        since: Duration,
    },
    /// Pages of our own do not come through.
    Canary {
        /// How many in a row.
        strikes: u32,
    },
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests { overdue } => write!(f, "a request is at work that should have ended {} s ago", overdue.as_secs()),
            Self::Governor { since } => write!(f, "memory has not been looked at for {} s", since.as_secs()),
            Self::Canary { strikes } => write!(f, "{strikes} pages of our own in a row did not come through"),
        }
    }
}

/// How patient one is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How far a request may be past its deadline: every one ends by it, or is ended.
    pub(crate) requests: Duration,
    /// The longest that the governor may be silent.
    pub(crate) governor: Duration,
    /// Pages of our own in a row that may be lost.
    pub(crate) strikes: u32,
}

/// What has been seen so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    patience: Patience,
    last: Sight,
    looked_at: Duration,
    strikes: u32,
}

impl Liveness {
    pub(crate) fn new(patience: Patience, now: Duration) -> Self {
        Self { patience, last: Sight::default(), looked_at: now, strikes: 0 }
    }

    /// Takes in what is seen at `now`, and says whether anything is stuck.
    pub(crate) fn look(&mut self, now: Duration, sight: Sight) -> Result<(), Stuck> {
        if sight.looks != self.last.looks {
            self.looked_at = now;
        }
        match sight.canary {
            Some(true) => self.strikes = 0,
            Some(false) => self.strikes += 1,
            // Others' pages came through.
            None if sight.ended != self.last.ended => self.strikes = 0,
            None => {}
        }
        self.last = sight;
        if let Some(overdue) = sight.overdue.filter(|overdue| *overdue > self.patience.requests) {
            return Err(Stuck::Requests { overdue });
        }
        let unseen = now.saturating_sub(self.looked_at);
        if unseen > self.patience.governor {
            return Err(Stuck::Governor { since: unseen });
        }
        if self.strikes >= self.patience.strikes {
            return Err(Stuck::Canary { strikes: self.strikes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { requests: Duration::from_secs(60), governor: Duration::from_secs(20), strikes: 2 };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn alive(seen: &[(u64, Sight)]) -> Vec<bool> {
        let mut liveness = Liveness::new(PATIENCE, seconds(0));
        seen.iter().map(|(at, sight)| liveness.look(seconds(*at), *sight).is_ok()).collect()
    }

    fn sight(ended: u64, overdue: Option<u64>, looks: u64) -> Sight {
        Sight { ended, overdue: overdue.map(seconds), looks, canary: None }
    }

    #[test]
    fn work_that_does_not_end_is_seen_and_idleness_is_no_fault() {
        let unseen = [(10, sight(0, None, 1)), (30, sight(0, None, 1)), (31, sight(0, None, 1)), (32, sight(0, None, 2))];
        assert_eq!(alive(&unseen), [true, true, false, true]);
        let idle: Vec<_> = (1..100).map(|turn| (turn * 10, sight(0, None, turn))).collect();
        assert!(alive(&idle).iter().all(|alive| *alive));
        let stuck: Vec<_> = (1..10).map(|turn| (turn * 10, sight(5, Some(turn * 10 - 9), turn))).collect();
        assert_eq!(alive(&stuck), [true, true, true, true, true, true, false, false, false]);
        let busy: Vec<_> = (1..100).map(|turn| (turn * 10, sight(turn, Some(1), turn))).collect();
        assert!(alive(&busy).iter().all(|alive| *alive));
        // One that is stuck is seen while others come through, and it is well again when it has ended.
        let beside = [(10, sight(1, Some(60), 1)), (11, sight(2, Some(61), 2)), (12, sight(3, None, 3))];
        assert_eq!(alive(&beside), [true, false, true]);
    }

    #[test]
    fn a_request_that_has_a_day_may_take_it_though_nothing_else_ends() {
        let canary = |turn: u64, overdue| (turn * 30, Sight { canary: Some(true), ..sight(0, overdue, turn) });
        let day: Vec<_> = (1..=24 * 120).map(|turn| canary(turn, None)).collect();
        let mut liveness = Liveness::new(Patience { governor: seconds(60), ..PATIENCE }, seconds(0));
        assert!(day.iter().all(|(at, sight)| liveness.look(seconds(*at), *sight).is_ok()));
        let (at, after) = canary(24 * 120 + 3, Some(61));
        assert_eq!(liveness.look(seconds(at), after), Err(Stuck::Requests { overdue: seconds(61) }));
    }

    #[test]
    fn two_lost_pages_in_a_row_are_a_sign_and_one_that_comes_through_heals() {
        let canary = |turn: u64, canary| (turn, Sight { canary: Some(canary), ..sight(0, None, turn) });
        assert_eq!(
            alive(&[canary(1, false), canary(2, true), canary(3, false), canary(4, false), canary(5, true)]),
            [true, true, true, false, true]
        );
        let others = (2, Sight { canary: None, ..sight(1, None, 2) });
        assert_eq!(alive(&[canary(1, false), others, canary(3, false)]), [true, true, true]);
    }
}

//! Whether the daemon still gets anything done. Pure.
//!
//! That a listener answers says nothing: what counts is that requests end, that whoever watches memory looks, and that a page
//! of our own comes through when nobody else's does.

use std::fmt;
use std::time::Duration;

/// What is seen at one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Requests that have ended so far, whatever the end.
    pub(crate) ended: u64,
    /// Requests that are being worked on.
    pub(crate) at_work: usize,
    /// Looks that the governor has taken so far.
    pub(crate) looks: u64,
    /// Whether a page of our own came through since the last look; `None` if none was tried.
    pub(crate) canary: Option<bool>,
}

/// Why the daemon is not alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// Requests are at work, and none has ended for longer than any may take.
    Requests {
        /// How long.
        since: Duration,
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
            Self::Requests { since } => write!(f, "requests are at work, and none has ended for {} s", since.as_secs()),
            Self::Governor { since } => write!(f, "memory has not been looked at for {} s", since.as_secs()),
            Self::Canary { strikes } => write!(f, "{strikes} pages of our own in a row did not come through"),
        }
    }
}

/// How patient one is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The longest that a request may take, and then some.
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
    ended_at: Duration,
    looked_at: Duration,
    strikes: u32,
}

impl Liveness {
    pub(crate) fn new(patience: Patience, now: Duration) -> Self {
        Self { patience, last: Sight::default(), ended_at: now, looked_at: now, strikes: 0 }
    }

    /// Takes in what is seen at `now`, and says whether anything is stuck.
    pub(crate) fn look(&mut self, now: Duration, sight: Sight) -> Result<(), Stuck> {
        if sight.ended != self.last.ended || sight.at_work == 0 {
            self.ended_at = now;
        }
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
        let (silent, unseen) = (now.saturating_sub(self.ended_at), now.saturating_sub(self.looked_at));
        if silent > self.patience.requests {
            return Err(Stuck::Requests { since: silent });
        }
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

    fn sight(ended: u64, at_work: usize, looks: u64) -> Sight {
        Sight { ended, at_work, looks, canary: None }
    }

    #[test]
    fn work_that_does_not_end_is_seen_and_idleness_is_no_fault() {
        let unseen = [(10, sight(0, 0, 1)), (30, sight(0, 0, 1)), (31, sight(0, 0, 1)), (32, sight(0, 0, 2))];
        assert_eq!(alive(&unseen), [true, true, false, true]);
        let idle: Vec<_> = (1..100).map(|turn| (turn * 10, sight(0, 0, turn))).collect();
        assert!(alive(&idle).iter().all(|alive| *alive));
        let stuck: Vec<_> = (1..10).map(|turn| (turn * 10, sight(5, 3, turn))).collect();
        assert_eq!(alive(&stuck), [true, true, true, true, true, true, true, false, false]);
        let busy: Vec<_> = (1..100).map(|turn| (turn * 10, sight(turn, 3, turn))).collect();
        assert!(alive(&busy).iter().all(|alive| *alive));
    }

    #[test]
    fn two_lost_pages_in_a_row_are_a_sign_and_one_that_comes_through_heals() {
        let canary = |turn: u64, canary| (turn, Sight { canary: Some(canary), ..sight(0, 0, turn) });
        assert_eq!(
            alive(&[canary(1, false), canary(2, true), canary(3, false), canary(4, false), canary(5, true)]),
            [true, true, true, false, true]
        );
        let others = (2, Sight { canary: None, ..sight(1, 0, 2) });
        assert_eq!(alive(&[canary(1, false), others, canary(3, false)]), [true, true, true]);
    }
}

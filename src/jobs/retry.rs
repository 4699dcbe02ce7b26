//! Whether an item that failed is tried again, and when. Pure: time and chance come in as arguments.
//!
//! Being sent away for want of room is no failure of the item's: it comes back when it was told to, as often as it takes.
//! What failed for a reason that may go away is tried again a few times, at delays that grow and differ (decorrelated
//! jitter), so that many items that fail together do not come back together.

use std::time::Duration;

use crate::error::ErrorKind;

/// The tries of one item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    left: u32,
    last: Duration,
}

/// What becomes of an item that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is tried again after this time.
    Again(Duration),
    /// The failure is its answer.
    Answered,
    /// Nobody is there to try it any more. It is not answered.
    Stopped,
}

/// The shortest delay after a failure, and the longest.
const BASE: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(30);
/// When to come back if nobody says.
const BREATH: Duration = Duration::from_secs(1);

impl Retry {
    /// An item that may be tried so often in all.
    pub(crate) fn new(tries: u32) -> Self {
        Self { left: tries.saturating_sub(1), last: BASE }
    }

    /// After a failure. `chance` is from 0 up to 1.
    pub(crate) fn after(&mut self, kind: ErrorKind, retryable: bool, told: Option<Duration>, chance: f64) -> Verdict {
        if kind == ErrorKind::ShuttingDown {
            return Verdict::Stopped;
        }
        if kind == ErrorKind::Overloaded {
            // Up to a half later than told, so that not all come at once.
            return Verdict::Again(told.unwrap_or(BREATH).min(CAP).mul_f64(1.0 + chance / 2.0));
        }
        // A page in quarantine stays there longer than an item waits.
        if !retryable || kind == ErrorKind::Quarantined || self.left == 0 {
            return Verdict::Answered;
        }
        self.left -= 1;
        self.last = between(BASE, self.last * 3, chance).min(CAP);
        Verdict::Again(told.map_or(self.last, |told| told.min(CAP).max(self.last)))
    }
}

/// A delay between two.
pub(crate) fn between(least: Duration, most: Duration, chance: f64) -> Duration {
    least + most.saturating_sub(least).mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_failures() {
        let second = Some(Duration::from_secs(1));
        let table = [
            (ErrorKind::ShuttingDown, true, None, Verdict::Stopped),
            (ErrorKind::Overloaded, true, second, Verdict::Again(Duration::from_millis(1_250))),
            (ErrorKind::Overloaded, true, None, Verdict::Again(Duration::from_millis(1_250))),
            (ErrorKind::SourceNotFound, false, None, Verdict::Answered),
            (ErrorKind::Quarantined, true, second, Verdict::Answered),
            (ErrorKind::SourceUnreadable, true, None, Verdict::Again(Duration::from_secs(1))),
            (ErrorKind::Unavailable, true, Some(Duration::from_secs(5)), Verdict::Again(Duration::from_secs(5))),
        ];
        for (kind, retryable, told, expected) in table {
            assert_eq!(Retry::new(3).after(kind, retryable, told, 0.5), expected, "{kind}");
        }
    }

    #[test]
    fn only_failures_use_tries_up_and_delays_stay_bounded() {
        let mut retry = Retry::new(3);
        for _ in 0..100 {
            assert!(matches!(retry.after(ErrorKind::Overloaded, true, None, 0.0), Verdict::Again(_)));
        }
        assert!(matches!(retry.after(ErrorKind::Internal, true, None, 1.0), Verdict::Again(_)));
        assert!(matches!(retry.after(ErrorKind::Internal, true, None, 1.0), Verdict::Again(_)));
        assert_eq!(retry.after(ErrorKind::Internal, true, None, 1.0), Verdict::Answered);
        let mut long = Retry::new(100);
        for step in 0..99 {
            let Verdict::Again(delay) = long.after(ErrorKind::Internal, true, None, f64::from(step % 11) / 10.0) else {
                panic!("there are tries left");
            };
            assert!((BASE..=CAP).contains(&delay), "{delay:?}");
        }
    }
}

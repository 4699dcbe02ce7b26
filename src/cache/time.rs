//! Wall-clock time, as headers and the disk need it.
//!
//! What is on disk outlives the process, so the monotonic clock cannot date it. Wall-clock time jumps: everything
//! here saturates, and [`decide`](super::decide) distrusts entries from the future. The cache itself never reads
//! a clock; its caller says what time it is.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The time that many milliseconds after the start of 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// What the clock of this machine says; 1970 if it says less.
    #[must_use]
    pub fn now() -> Self {
        Self::default() + std::time::UNIX_EPOCH.elapsed().unwrap_or_default()
    }

    /// The time in an HTTP date, in any of its three forms.
    #[must_use]
    pub fn from_http(date: &str) -> Option<Self> {
        let date = httpdate::parse_http_date(date.trim()).ok()?;
        Some(Self::default() + date.duration_since(std::time::UNIX_EPOCH).ok()?)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was, nothing if it was not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds until `later`, negative if it has been.
    #[must_use]
    pub fn seconds_until(self, later: Self) -> i64 {
        let millis = i128::from(later.0) - i128::from(self.0);
        i64::try_from(millis.div_euclid(1000)).unwrap_or(if millis < 0 { i64::MIN } else { i64::MAX })
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for UnixTime {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read_in_their_three_forms() {
        let expected = Some(UnixTime::from_millis(784_111_777_000));
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(UnixTime::from_http(date), expected, "{date}");
        }
        for date in ["", "0", "-1", "yesterday", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(UnixTime::from_http(date), None, "{date}");
        }
    }

    #[test]
    fn time_saturates_and_counts_both_ways() {
        let (early, late) = (UnixTime::from_millis(1_000), UnixTime::from_millis(3_500));
        assert_eq!(late.since(early), Duration::from_millis(2_500));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.seconds_until(late), 2);
        assert_eq!(late.seconds_until(early), -3);
        assert_eq!(early - Duration::MAX, UnixTime::default());
        assert_eq!(early + Duration::MAX, UnixTime::from_millis(u64::MAX));
    }
}

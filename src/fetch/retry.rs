//! What is asked for again when it has failed, how often and when. Pure.
//!
//! Only what can be expected to pass: connections that fail, those that break off before an answer, and answers that say so
//! themselves. A page's body is never asked for twice. The delays grow and are spread at random (decorrelated jitter), so that
//! those that failed together do not come back together.

use std::time::Duration;

use crate::cache::UnixTime;

/// How often and how soon something is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLimits {
    /// Times. Default 2.
    pub times: u32,
    /// The shortest delay. Default 200 ms.
    pub base: Duration,
    /// The longest delay of our own. Default 5 s. A server's wish may be longer.
    pub cap: Duration,
}

impl Default for RetryLimits {
    fn default() -> Self {
        Self { times: 2, base: Duration::from_millis(200), cap: Duration::from_secs(5) }
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection.
    Connect,
    /// The connection broke off before the answer began.
    Reset,
    /// The answer is no success.
    Status {
        /// The status.
        code: u16,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Anything else: it will be so again.
    Final,
}

/// The attempts of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retries {
    limits: RetryLimits,
    done: u32,
    last: Duration,
}

impl Retries {
    pub(crate) fn new(limits: RetryLimits) -> Self {
        Self { limits, done: 0, last: limits.base }
    }

    /// How long to wait before it is asked for again; `None` if it is not. There is `left` until the deadline, and `roll`
    /// is at random from 0 to 1.
    pub(crate) fn next(&mut self, trouble: Trouble, left: Duration, roll: f64) -> Option<Duration> {
        let wish = match trouble {
            Trouble::Connect | Trouble::Reset => Duration::ZERO,
            Trouble::Status { code: 502..=504, retry_after } => retry_after.unwrap_or_default(),
            // Whoever says that it is too much, and not until when, is not asked for more.
            Trouble::Status { code: 429, retry_after } => retry_after?,
            Trouble::Status { .. } | Trouble::Final => return None,
        };
        if self.done >= self.limits.times {
            return None;
        }
        let Self { limits: RetryLimits { base, cap, .. }, last, .. } = *self;
        let upper = (last * 3).max(base);
        let own = (base + (upper - base).mul_f64(roll.clamp(0.0, 1.0))).min(cap);
        // Added, not the larger of both: all that were told the same time would come back at it.
        let delay = if wish.is_zero() { own } else { wish + own.min(base) };
        if delay >= left {
            return None;
        }
        self.done += 1;
        self.last = own;
        Some(delay)
    }
}

/// When a server wants to be asked again, by its `Retry-After`: seconds or a date.
pub(crate) fn retry_after(value: &str, now: UnixTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is long.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    // A date that has passed is no wish any more.
    UnixTime::from_http(value).map(|date| date.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RetryLimits = RetryLimits { times: 2, base: Duration::from_millis(100), cap: Duration::from_millis(1_000) };
    const MINUTE: Duration = Duration::from_secs(60);

    fn status(code: u16, seconds: Option<u64>) -> Trouble {
        Trouble::Status { code, retry_after: seconds.map(Duration::from_secs) }
    }

    #[test]
    fn only_what_may_pass_is_asked_for_again() {
        let millis = |millis| Some(Duration::from_millis(millis));
        for (trouble, left, expected) in [
            (Trouble::Connect, MINUTE, millis(100)),
            (Trouble::Reset, MINUTE, millis(100)),
            (Trouble::Final, MINUTE, None),
            (status(502, None), MINUTE, millis(100)),
            (status(503, None), MINUTE, millis(100)),
            (status(504, None), MINUTE, millis(100)),
            (status(503, Some(2)), MINUTE, millis(2_100)),
            (status(429, Some(2)), MINUTE, millis(2_100)),
            (status(429, Some(60)), MINUTE, None),
            (status(429, None), MINUTE, None),
            (status(500, None), MINUTE, None),
            (status(500, Some(1)), MINUTE, None),
            (status(404, None), MINUTE, None),
            (status(200, None), MINUTE, None),
            (Trouble::Connect, Duration::from_millis(100), None),
            (Trouble::Connect, Duration::ZERO, None),
        ] {
            assert_eq!(Retries::new(LIMITS).next(trouble, left, 0.0), expected, "{trouble:?} with {left:?} left");
        }
    }

    #[test]
    fn it_ends_after_so_many_times() {
        let mut retries = Retries::new(LIMITS);
        assert!(retries.next(Trouble::Connect, MINUTE, 0.5).is_some());
        assert!(retries.next(Trouble::Reset, MINUTE, 0.5).is_some());
        assert_eq!(retries.next(Trouble::Connect, MINUTE, 0.5), None);
        assert_eq!(Retries::new(RetryLimits { times: 0, ..LIMITS }).next(Trouble::Connect, MINUTE, 0.5), None);
    }

    #[test]
    fn delays_grow_with_chance_and_stay_within_their_limits() {
        let limits = RetryLimits { times: 100, ..LIMITS };
        let delays = |roll: f64| {
            let mut retries = Retries::new(limits);
            [(); 5].map(|()| retries.next(Trouble::Connect, MINUTE, roll).expect("it may").as_millis())
        };
        assert_eq!(delays(0.0), [100; 5]);
        assert_eq!(delays(1.0), [300, 900, 1_000, 1_000, 1_000]);
        assert_eq!(delays(0.5), [200, 350, 575, 912, 1_000]);
        assert_eq!(delays(7.0), delays(1.0), "chance is no more than one");
    }

    #[test]
    fn servers_say_seconds_or_a_date() {
        let now = UnixTime::from_millis(784_111_777_000);
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::from(u32::MAX))),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value:?}");
        }
    }
}

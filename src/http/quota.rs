//! How much a key may ask for: so many requests a second, so many in a burst, so many at once. Pure.

use std::time::Duration;

/// What a key may ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quota {
    /// Requests a second, in the long run.
    pub(crate) per_second: f64,
    /// Requests at once after a pause.
    pub(crate) burst: u32,
    /// Requests being worked on at the same time.
    pub(crate) concurrent: u32,
}

/// What a key has asked for lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// When the burst will be whole again, since the beginning of time.
    whole_at: Duration,
    running: u32,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// Too many in too short a time.
    Rate {
        /// When one more will be let in.
        retry_after: Duration,
    },
    /// Too many at the same time.
    Concurrency,
}

impl Spent {
    /// Lets one request in at `now`, or says why not. Whoever is let in leaves by [`Spent::leave`].
    pub(crate) fn enter(&mut self, quota: &Quota, now: Duration) -> Result<(), Exhausted> {
        if self.running >= quota.concurrent {
            return Err(Exhausted::Concurrency);
        }
        let each = Duration::from_secs_f64(1.0 / quota.per_second);
        // What is not used is not saved up beyond the burst.
        let whole_at = self.whole_at.max(now) + each;
        let earliest = whole_at.saturating_sub(each * quota.burst);
        if earliest > now {
            return Err(Exhausted::Rate { retry_after: earliest - now });
        }
        self.whole_at = whole_at;
        self.running += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.running = self.running.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { per_second: 10.0, burst: 3, concurrent: 100 };

    fn at(millis: u64) -> Duration {
        Duration::from_millis(1_000_000 + millis)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut spent = Spent::default();
        for _ in 0..3 {
            assert_eq!(spent.enter(&QUOTA, at(0)), Ok(()));
        }
        assert_eq!(spent.enter(&QUOTA, at(0)), Err(Exhausted::Rate { retry_after: Duration::from_millis(100) }));
        assert_eq!(spent.enter(&QUOTA, at(99)), Err(Exhausted::Rate { retry_after: Duration::from_millis(1) }));
        assert_eq!(spent.enter(&QUOTA, at(100)), Ok(()));
        assert!(spent.enter(&QUOTA, at(100)).is_err());
        // After a pause there is one burst, and no more.
        for _ in 0..3 {
            assert_eq!(spent.enter(&QUOTA, at(60_000)), Ok(()));
        }
        assert!(spent.enter(&QUOTA, at(60_000)).is_err());
    }

    #[test]
    fn only_so_many_at_the_same_time() {
        let quota = Quota { concurrent: 2, burst: 100, per_second: 100.0 };
        let mut spent = Spent::default();
        assert_eq!(spent.enter(&quota, at(0)), Ok(()));
        assert_eq!(spent.enter(&quota, at(0)), Ok(()));
        assert_eq!(spent.enter(&quota, at(0)), Err(Exhausted::Concurrency));
        spent.leave();
        assert_eq!(spent.enter(&quota, at(0)), Ok(()));
    }

    #[test]
    fn over_any_second_no_more_come_in_than_burst_and_rate() {
        let mut spent = Spent::default();
        let mut admitted = Vec::new();
        for millis in 0..5_000 {
            while spent.enter(&QUOTA, at(millis)).is_ok() {
                admitted.push(millis);
                spent.leave();
            }
        }
        for start in 0..4_000 {
            let within = admitted.iter().filter(|millis| (start..start + 1_000).contains(*millis)).count();
            assert!(within <= 13, "{within} from {start}");
        }
        assert!(admitted.len() >= 50, "{}", admitted.len());
    }
}

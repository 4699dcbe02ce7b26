//! Time as policies see it: a [`Moment`] since their owner's birth, handed in, never asked for.
//!
//! Policies have no clock, so a run can be replayed and a test can stand at any time it likes. The shell
//! around them owns the one [`Clock`], which follows tokio's time and with it the paused time of tests.

use std::ops::Add;
use std::time::Duration;

use tokio::time::Instant;

/// A point in time, as the duration since its clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment `since_birth` after the clock was made.
    #[must_use]
    pub const fn at(since_birth: Duration) -> Self {
        Self(since_birth)
    }

    /// The time that has passed from `earlier` until now, zero if `earlier` lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Moment {
    /// The time from the clock's birth to this moment.
    #[must_use]
    pub const fn since_birth(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// The shell's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    birth: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { birth: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        self.moment(Instant::now())
    }

    pub(crate) fn moment(&self, instant: Instant) -> Moment {
        Moment(instant.saturating_duration_since(self.birth))
    }
}

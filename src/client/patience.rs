//! How long whoever is sent away comes back. Pure.

use std::time::Duration;

/// The time that may be spent waiting, of which each wait takes its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    left: Duration,
}

/// Whoever is told to come back at once does not, or there would be no end of coming back.
const SHORTEST: Duration = Duration::from_millis(20);

impl Patience {
    pub(crate) fn new(all: Duration) -> Self {
        Self { left: all }
    }

    /// How long to wait after being told to come back in `asked`, or `None` if that is too long. `spread`, from 0 to 1, adds up
    /// to a quarter: those who were sent away together are not to come back together.
    pub(crate) fn wait(&mut self, asked: Duration, spread: f64) -> Option<Duration> {
        let asked = asked.max(SHORTEST);
        let wait = asked.saturating_add(Duration::from_secs_f64((asked.as_secs_f64() * spread.clamp(0.0, 1.0) / 4.0).min(1e9)));
        self.left = self.left.checked_sub(wait)?;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_told_and_never_for_ever() {
        let mut patience = Patience::new(Duration::from_secs(3));
        assert_eq!(patience.wait(Duration::from_secs(1), 0.0), Some(Duration::from_secs(1)));
        assert_eq!(patience.wait(Duration::from_secs(1), 1.0), Some(Duration::from_millis(1_250)));
        assert_eq!(patience.wait(Duration::from_secs(1), 0.0), None);
        // What is left is still there for a shorter wait.
        assert_eq!(patience.wait(Duration::from_millis(700), 0.0), Some(Duration::from_millis(700)));
        let mut times = 0;
        while patience.wait(Duration::ZERO, 0.0).is_some() {
            times += 1;
        }
        assert_eq!(times, 2);
        assert_eq!(Patience::new(Duration::from_secs(1)).wait(Duration::MAX, f64::NAN), None);
    }
}

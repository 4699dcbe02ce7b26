//! What hosts are like: whether their pages have lately had their content as they were sent, or only once rendered. Pure and bounded.
//!
//! It moves the threshold of the [`Verdict`](super::Verdict) by a little and never further: what a page shows plainly by itself is
//! not overruled by what other pages of its host were like. A host that nobody has asked yet moves nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// By how much a host moves the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lean(f32);

impl Lean {
    /// A host that is not known.
    pub const NEUTRAL: Self = Self(0.0);

    /// The threshold on that host.
    pub(super) fn threshold(self, neutral: f32) -> f32 {
        neutral - self.0
    }

    /// More than nothing if its pages want to be rendered.
    #[must_use]
    pub fn amount(self) -> f32 {
        self.0
    }
}

/// What has come of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had its content as it was sent.
    SentSufficed,
    /// It was rendered, and that has brought content.
    RenderingWon,
    /// It was rendered in vain.
    RenderingLost,
}

/// The furthest that the threshold moves: less than any evidence that may decide.
const FURTHEST: f32 = 0.25;
/// So many pages of one kind more than of the other, and it has moved halfway.
const HALFWAY: f64 = 3.0;
/// What was seen so long ago counts half: sites are rebuilt, and a page of them is not like all.
const HALF_LIFE: Duration = Duration::from_secs(6 * 60 * 60);
/// Hosts that are remembered, unless another number is asked for: a megabyte or two.
pub(crate) const HOSTS: usize = 10_000;
/// Bytes of the longest name that DNS has.
const NAME: usize = 253;

/// What the hosts that were asked last are like.
#[derive(Debug)]
pub struct Hosts {
    most: usize,
    hosts: HashMap<Box<str>, Known>,
    /// Hosts by when they were asked last; the first one goes first.
    order: BTreeMap<u64, Box<str>>,
    turn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    sufficed: f64,
    won: f64,
    at: Duration,
    turn: u64,
}

impl Known {
    fn decay(&mut self, now: Duration) {
        let halves = now.saturating_sub(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let left = 0.5_f64.powf(halves);
        self.sufficed *= left;
        self.won *= left;
        self.at = self.at.max(now);
    }
}

impl Hosts {
    /// Remembers up to `most` hosts.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), hosts: HashMap::new(), order: BTreeMap::new(), turn: 0 }
    }

    /// How a host leans at `now`, counted from any beginning.
    #[must_use]
    pub fn lean(&self, host: &str, now: Duration) -> Lean {
        let Some(mut known) = self.hosts.get(host).copied() else { return Lean::NEUTRAL };
        known.decay(now);
        let ahead = known.won - known.sufficed;
        #[expect(clippy::cast_possible_truncation, reason = "between -1 and 1")]
        let share = (ahead / (ahead.abs() + HALFWAY)) as f32;
        Lean(share * FURTHEST)
    }

    /// Remembers what has come of a page of a host.
    pub fn record(&mut self, host: &str, outcome: Outcome, now: Duration) {
        if host.is_empty() || host.len() > NAME {
            return;
        }
        self.turn += 1;
        let turn = self.turn;
        let known = self.hosts.entry(host.into()).or_insert(Known { sufficed: 0.0, won: 0.0, at: now, turn });
        self.order.remove(&known.turn);
        known.decay(now);
        match outcome {
            Outcome::SentSufficed | Outcome::RenderingLost => known.sufficed += 1.0,
            Outcome::RenderingWon => known.won += 1.0,
        }
        known.turn = turn;
        self.order.insert(turn, host.into());
        while self.hosts.len() > self.most {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.hosts.remove(&oldest);
        }
    }

    /// Hosts that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new(HOSTS)
    }
}

/// The host of an address, if it is on the web.
pub(crate) fn host_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.host_str().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 60 * 60)
    }

    #[test]
    fn a_host_leans_to_what_worked_and_never_far() {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.lean("a", hours(0)), Lean::NEUTRAL);
        let mut last = 0.0;
        for _ in 0..1000 {
            hosts.record("a", Outcome::RenderingWon, hours(0));
            let lean = hosts.lean("a", hours(0)).amount();
            assert!(lean > last && lean < FURTHEST, "{lean}");
            last = lean;
        }
        for outcome in [Outcome::SentSufficed, Outcome::RenderingLost] {
            hosts.record("b", outcome, hours(0));
        }
        assert!((-FURTHEST..0.0).contains(&hosts.lean("b", hours(0)).amount()));
        assert_eq!(hosts.lean("c", hours(0)), Lean::NEUTRAL);
    }

    #[test]
    fn what_was_seen_long_ago_fades() {
        let mut hosts = Hosts::default();
        for _ in 0..20 {
            hosts.record("a", Outcome::RenderingWon, hours(0));
        }
        let leans: Vec<f32> = [0, 6, 24, 240].map(|later| hosts.lean("a", hours(later)).amount()).into();
        assert!(leans.windows(2).all(|pair| pair[1] < pair[0]), "{leans:?}");
        assert!(leans[3] < 0.001, "{leans:?}");
        // What is new outweighs what is old.
        for _ in 0..3 {
            hosts.record("a", Outcome::SentSufficed, hours(24));
        }
        assert!(hosts.lean("a", hours(24)).amount() < 0.0);
        // A clock that stands still or goes back does no harm.
        assert!(hosts.lean("a", hours(1)).amount().is_finite());
    }

    #[test]
    fn those_asked_longest_ago_are_forgotten_first() {
        let mut hosts = Hosts::new(3);
        for host in ["a", "b", "c", "a", "d", "e"] {
            hosts.record(host, Outcome::RenderingWon, hours(0));
            assert!(hosts.len() <= 3 && hosts.order.len() == hosts.len());
        }
        let known = ["a", "b", "c", "d", "e"].map(|host| hosts.lean(host, hours(0)) != Lean::NEUTRAL);
        assert_eq!(known, [true, false, false, true, true]);
        hosts.record(&"x".repeat(300), Outcome::RenderingWon, hours(0));
        assert_eq!(hosts.len(), 3);
    }

    #[test]
    fn only_the_web_has_hosts() {
        let table = [
            ("https://Example.com:8080/a", Some("example.com")),
            ("file:///a", None),
            ("no", None),
            ("http://[::1]/", Some("[::1]")),
        ];
        for (url, expected) in table {
            assert_eq!(host_of(url).as_deref(), expected, "{url}");
        }
    }
}

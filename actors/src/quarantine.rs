//! Inputs that kill: the same key that has cost several children is refused for a while. A pure policy.
//!
//! A bounded table from key to strikes. A strike is a child that ended under a job of that key. Enough of them within
//! the window put the key into quarantine until it expires; after that the strikes are forgotten, too, and the key has
//! its full number of tries again. When the table is full, the key whose last strike is oldest makes room.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;

/// When an input is taken for poison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantinePolicy {
    /// Children that a key may cost; at this many it is quarantined. 0 switches quarantine off. Default 3.
    pub strikes: u32,
    /// Strikes further apart than this do not add up. Default 10 min.
    pub window: Duration,
    /// How long a key is refused. Default 10 min.
    pub expiry: Duration,
    /// Keys remembered. Default 1,024.
    pub capacity: usize,
}

impl Default for QuarantinePolicy {
    fn default() -> Self {
        Self { strikes: 3, window: Duration::from_secs(600), expiry: Duration::from_secs(600), capacity: 1024 }
    }
}

#[derive(Clone, Copy, Debug)]
struct Record {
    strikes: u32,
    last: Moment,
    until: Option<Moment>,
}

/// The keys that have cost children lately.
#[derive(Clone, Debug)]
pub struct Quarantine {
    policy: QuarantinePolicy,
    records: BTreeMap<u64, Record>,
}

impl Quarantine {
    /// An empty table.
    #[must_use]
    pub fn new(policy: QuarantinePolicy) -> Self {
        Self { policy, records: BTreeMap::new() }
    }

    /// How long `key` is still refused, if it is.
    pub fn refused_for(&mut self, now: Moment, key: u64) -> Option<Duration> {
        let until = self.records.get(&key)?.until?;
        if until <= now {
            self.records.remove(&key);
            return None;
        }
        Some(until.since(now))
    }

    /// A child has ended under a job of `key`. `true` if that was one too many and the key is refused from now on.
    pub fn strike(&mut self, now: Moment, key: u64) -> bool {
        if self.policy.strikes == 0 || self.policy.capacity == 0 {
            return false;
        }
        if !self.records.contains_key(&key) && self.records.len() >= self.policy.capacity {
            let oldest = self.records.iter().min_by_key(|(_, record)| record.last).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.records.remove(&oldest);
            }
        }
        let record = self.records.entry(key).or_insert(Record { strikes: 0, last: now, until: None });
        if record.until.is_some_and(|until| until <= now) || now.since(record.last) > self.policy.window {
            *record = Record { strikes: 0, last: now, until: None };
        }
        record.strikes = record.strikes.saturating_add(1);
        record.last = now;
        let refused = record.strikes >= self.policy.strikes && record.until.is_none();
        if refused {
            record.until = Some(now + self.policy.expiry);
        }
        refused
    }

    /// How many keys are refused now.
    #[must_use]
    pub fn refused(&self, now: Moment) -> usize {
        self.records.values().filter(|record| record.until.is_some_and(|until| until > now)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: QuarantinePolicy =
        QuarantinePolicy { strikes: 2, window: Duration::from_secs(10), expiry: Duration::from_secs(60), capacity: 3 };

    fn at(secs: u64) -> Moment {
        Moment::at(Duration::from_secs(secs))
    }

    #[test]
    fn a_key_is_refused_after_its_strikes_and_until_it_expires() {
        let mut quarantine = Quarantine::new(POLICY);
        assert!(!quarantine.strike(at(0), 7));
        assert_eq!(quarantine.refused_for(at(0), 7), None);
        assert!(quarantine.strike(at(5), 7));
        assert!(!quarantine.strike(at(6), 7), "it is told once");
        assert_eq!(quarantine.refused_for(at(25), 7), Some(Duration::from_secs(40)));
        assert_eq!(quarantine.refused_for(at(25), 8), None, "others are not refused");
        assert_eq!((quarantine.refused(at(64)), quarantine.refused(at(65))), (1, 0));
        assert_eq!(quarantine.refused_for(at(65), 7), None);
        assert!(!quarantine.strike(at(66), 7), "all its tries again");
    }

    #[test]
    fn strikes_far_apart_do_not_add_up() {
        let mut quarantine = Quarantine::new(POLICY);
        for round in 0..10 {
            assert!(!quarantine.strike(at(round * 11), 7));
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let mut quarantine = Quarantine::new(POLICY);
        for key in 0..1000 {
            assert!(!quarantine.strike(at(key / 500), key));
            assert!(quarantine.records.len() <= 3);
        }
        assert!(quarantine.strike(at(3), 999), "the latest are still known");
        let mut off = Quarantine::new(QuarantinePolicy { strikes: 0, ..POLICY });
        assert!((0..100).all(|_| !off.strike(at(0), 1)));
    }
}

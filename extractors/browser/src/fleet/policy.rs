//! When another browser is to take over. Pure: it is told what was seen of a browser, and says whether that is enough.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::spec::BrowserLimits;

/// Why another browser takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retirement {
    /// It has had its number of pages.
    Pages,
    /// Its processes hold more than they should.
    Memory,
    /// Its pages come slower than they did when it was new.
    Slow,
    /// It was asked for a page of nothing, twice, and brought none.
    Canary,
    /// It ended.
    Gone,
    /// Somebody asked for it.
    Asked,
}

impl fmt::Display for Retirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pages => "pages",
            Self::Memory => "memory",
            Self::Slow => "slow",
            Self::Canary => "canary",
            Self::Gone => "gone",
            Self::Asked => "asked",
        })
    }
}

/// What a look at a browser has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Pages it was asked for so far.
    pub(crate) pages: u64,
    /// Bytes (PSS) of all its processes, if it was looked at.
    pub(crate) memory: Option<u64>,
    /// Whether a page of nothing came, and how long it took, if it was asked for one.
    pub(crate) canary: Option<Option<Duration>>,
}

/// Canaries that a new browser is known by, and those that it is compared by later.
const FIRST: usize = 5;
const LAST: usize = 5;
/// Canaries that may fail one after the other, less one.
const STRIKES: u32 = 2;
/// What is faster than this is never called slow.
const SWIFT: Duration = Duration::from_millis(50);

/// What is remembered of one browser.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    limits: BrowserLimits,
    /// What it held when it was new: the least that was ever seen.
    baseline: Option<u64>,
    first: Vec<Duration>,
    last: VecDeque<Duration>,
    strikes: u32,
    over: u32,
}

impl Record {
    pub(crate) fn new(limits: BrowserLimits) -> Self {
        Self { limits, baseline: None, first: Vec::new(), last: VecDeque::new(), strikes: 0, over: 0 }
    }

    /// Whether another browser is to take over after what was seen, and why.
    pub(crate) fn see(&mut self, seen: Seen) -> Option<Retirement> {
        match seen.canary {
            Some(None) => self.strikes += 1,
            Some(Some(took)) => {
                self.strikes = 0;
                if self.first.len() < FIRST {
                    self.first.push(took);
                } else {
                    self.last.push_back(took);
                    if self.last.len() > LAST {
                        self.last.pop_front();
                    }
                }
            }
            None => {}
        }
        if let Some(memory) = seen.memory {
            let baseline = *self.baseline.insert(self.baseline.map_or(memory, |baseline| baseline.min(memory)));
            // Pages at work hold memory, too, and give it back: twice in a row is no page.
            self.over = if memory > baseline.saturating_add(self.limits.browser_memory) { self.over + 1 } else { 0 };
        }
        if self.strikes >= STRIKES {
            Some(Retirement::Canary)
        } else if self.over >= 2 {
            Some(Retirement::Memory)
        } else if seen.pages >= self.limits.pages {
            Some(Retirement::Pages)
        } else if self.is_slow() {
            Some(Retirement::Slow)
        } else {
            None
        }
    }

    fn is_slow(&self) -> bool {
        if self.first.len() < FIRST || self.last.len() < LAST {
            return false;
        }
        let last: Vec<Duration> = self.last.iter().copied().collect();
        let (before, now) = (median(&self.first), median(&last));
        now > SWIFT && now.as_secs_f64() > before.as_secs_f64() * self.limits.slowdown
    }
}

fn median(durations: &[Duration]) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Option<Option<Duration>> {
        Some(Some(Duration::from_millis(millis)))
    }

    #[test]
    fn pages_and_memory_run_out() {
        let limits = BrowserLimits { pages: 10, browser_memory: 100, ..BrowserLimits::default() };
        let mut record = Record::new(limits);
        let table = [
            (9, Some(50), None),
            (9, Some(151), None),
            (9, Some(150), None),
            (9, Some(151), None),
            (9, None, None),
            (9, Some(300), Some(Retirement::Memory)),
        ];
        for (pages, memory, expected) in table {
            assert_eq!(record.see(Seen { pages, memory, canary: None }), expected, "{memory:?}");
        }
        assert_eq!(Record::new(limits).see(Seen { pages: 10, ..Seen::default() }), Some(Retirement::Pages));
    }

    #[test]
    fn two_dead_canaries_in_a_row_are_enough() {
        let mut record = Record::new(BrowserLimits::default());
        let canaries =
            [(Some(None), None), (ms(5), None), (Some(None), None), (None, None), (Some(None), Some(Retirement::Canary))];
        for (canary, expected) in canaries {
            assert_eq!(record.see(Seen { canary, ..Seen::default() }), expected);
        }
    }

    #[test]
    fn slowing_down_is_seen_against_its_own_beginning() {
        let mut record = Record::new(BrowserLimits { slowdown: 2.0, ..BrowserLimits::default() });
        let mut see = |millis| record.see(Seen { canary: ms(millis), ..Seen::default() });
        for _ in 0..FIRST {
            assert_eq!(see(40), None);
        }
        // One slow page is none, and neither are fast ones, however much slower than before.
        for millis in [500, 45, 45, 45, 45, 79, 79, 79] {
            assert_eq!(see(millis), None, "{millis}");
        }
        assert_eq!([see(90), see(90), see(90)], [None, None, Some(Retirement::Slow)]);
    }
}

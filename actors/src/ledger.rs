//! The ledger of accepted work: every entry gets exactly one answer, and one that gets none is seen.
//!
//! Kept in production, not only in tests. An entry is opened when work is accepted and closed with its one answer;
//! answering what is not open is [`Violation::AnsweredTwice`], and an entry still open past its deadline and grace is
//! [`Violation::Unanswered`], each told once. Pure: no clock, no IO; as large as what is at work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::clock::Moment;

/// A promise of the engine, by the id that tests, counters and reports share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Invariant {
    /// One terminal answer per accepted request, by its deadline and grace.
    I1,
    /// Nothing after that answer.
    I2,
    /// Children lent, idle and starting are no more than the pool may have.
    I3,
    /// Admitted bytes are within the budget.
    I4,
    /// Restarts in any window are within the intensity; otherwise the supervisor gives up.
    I5,
    /// Full capacity again within a stated time after faults end.
    I6,
    /// No process, zombie, scratch directory or descriptor without an owner.
    I7,
    /// Memory is back to its baseline after a drain.
    I8,
    /// No failed job is remembered as a success.
    I9,
    /// A planned recycle loses nothing.
    I10,
    /// Refusals are typed and say when to come back.
    I11,
    /// Shutdown ends within the sum of the declared timeouts.
    I12,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I11,
        Self::I12,
    ];

    /// The id as it is written everywhere.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I3 => "I3",
            Self::I4 => "I4",
            Self::I5 => "I5",
            Self::I6 => "I6",
            Self::I7 => "I7",
            Self::I8 => "I8",
            Self::I9 => "I9",
            Self::I10 => "I10",
            Self::I11 => "I11",
            Self::I12 => "I12",
        }
    }

    /// The promise in one sentence.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Self::I1 => "one terminal answer per accepted request, by its deadline and grace",
            Self::I2 => "nothing after the terminal answer",
            Self::I3 => "children lent, idle and starting are no more than the pool may have",
            Self::I4 => "admitted bytes are within the budget",
            Self::I5 => "restarts in any window are within the intensity, or the supervisor gives up",
            Self::I6 => "full capacity again within a stated time after faults end",
            Self::I7 => "no process, zombie, scratch directory or descriptor without an owner",
            Self::I8 => "memory is back to its baseline after a drain",
            Self::I9 => "no failed job is remembered as a success",
            Self::I10 => "a planned recycle loses nothing",
            Self::I11 => "refusals are typed and say when to come back",
            Self::I12 => "shutdown ends within the sum of the declared timeouts",
        }
    }
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It was answered although it was not open: twice, or never accepted.
    AnsweredTwice(u64),
    /// It is open past its deadline and grace.
    Unanswered(u64),
}

impl Violation {
    /// Which promise that breaks.
    #[must_use]
    pub fn invariant(self) -> Invariant {
        match self {
            Self::AnsweredTwice(_) => Invariant::I2,
            Self::Unanswered(_) => Invariant::I1,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: Moment,
    told: bool,
}

/// Accepted work and its answers.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    open: BTreeMap<u64, Entry>,
    next: u64,
    answers: BTreeMap<&'static str, u64>,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens an entry that must be answered by `deadline`.
    pub fn accept(&mut self, deadline: Moment) -> u64 {
        let id = self.next;
        self.next += 1;
        self.open.insert(id, Entry { due: deadline, told: false });
        id
    }

    /// Closes `id` with its answer, a short label for counters.
    ///
    /// # Errors
    /// [`Violation::AnsweredTwice`] if it is not open.
    pub fn answer(&mut self, id: u64, answer: &'static str) -> Result<(), Violation> {
        if self.open.remove(&id).is_none() {
            return Err(Violation::AnsweredTwice(id));
        }
        *self.answers.entry(answer).or_default() += 1;
        Ok(())
    }

    /// Entries that should have been answered `grace` ago, each told once, but for those that are `resting`: nothing
    /// is at work for them.
    pub fn overdue(&mut self, now: Moment, grace: Duration, resting: &BTreeSet<u64>) -> Vec<Violation> {
        let late = self.open.iter_mut().filter(|(id, entry)| !entry.told && entry.due + grace <= now && !resting.contains(id));
        late.map(|(id, entry)| {
            entry.told = true;
            Violation::Unanswered(*id)
        })
        .collect()
    }

    /// Entries accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.next
    }

    /// Entries that wait for their answer.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Answers given, by label.
    #[must_use]
    pub fn answers(&self) -> &BTreeMap<&'static str, u64> {
        &self.answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    #[test]
    fn one_answer_is_right_and_none_or_two_are_seen() {
        let mut ledger = Ledger::new();
        let (first, second) = (ledger.accept(at(100)), ledger.accept(at(200)));
        assert_eq!(ledger.answer(first, "done"), Ok(()));
        assert_eq!(ledger.answer(first, "done"), Err(Violation::AnsweredTwice(first)));
        assert_eq!(ledger.answer(99, "done"), Err(Violation::AnsweredTwice(99)));
        let grace = Duration::from_millis(50);
        let nobody = BTreeSet::new();
        assert_eq!(ledger.overdue(at(249), grace, &nobody), []);
        assert_eq!(ledger.overdue(at(250), grace, &[second].into()), [], "nothing is at work for it");
        assert_eq!(ledger.overdue(at(250), grace, &nobody), [Violation::Unanswered(second)]);
        assert_eq!(ledger.overdue(at(999), grace, &nobody), [], "told once");
        assert_eq!(ledger.answer(second, "late"), Ok(()));
        assert_eq!((ledger.accepted(), ledger.open(), ledger.answers()["done"]), (2, 0, 1));
    }
}

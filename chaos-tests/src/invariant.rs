//! The promises, and whether they were kept: one verdict each, with the first event that broke it and what came before.

use std::collections::{BTreeMap, VecDeque};

use eventmesh_actors::Invariant;
use serde::{Deserialize, Serialize};

/// How a promise fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was looked at and held.
    Held,
    /// It was broken.
    Violated,
    /// Nothing in this run could have broken it.
    NotApplicable,
}

/// The verdict on one promise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Its id.
    pub id: String,
    /// The promise.
    pub promise: String,
    /// How it fared.
    pub outcome: Outcome,
    /// How often it was looked at.
    pub checks: u64,
    /// How often it was broken.
    pub violations: u64,
    /// The first time: what was seen.
    pub first: Option<String>,
    /// What happened before that, oldest first.
    pub context: Vec<String>,
}

/// Events kept for the context of a violation.
pub(crate) const CONTEXT: usize = 50;

#[derive(Debug, Default)]
struct Entry {
    checks: u64,
    violations: u64,
    first: Option<String>,
    context: Vec<String>,
}

/// Collects what happened and what was seen of each promise.
#[derive(Debug, Default)]
pub struct Checker {
    recent: VecDeque<String>,
    entries: BTreeMap<Invariant, Entry>,
}

impl Checker {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Something happened; kept as the context of what may be seen next.
    pub fn happened(&mut self, what: impl FnOnce() -> String) {
        if self.recent.len() >= CONTEXT {
            self.recent.pop_front();
        }
        self.recent.push_back(what());
    }

    /// A promise was looked at.
    pub fn check(&mut self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) {
        let entry = self.entries.entry(invariant).or_default();
        entry.checks += 1;
        if holds {
            return;
        }
        entry.violations += 1;
        if entry.first.is_none() {
            entry.first = Some(what());
            entry.context = self.recent.iter().cloned().collect();
        }
    }

    /// A promise was looked at after the fact: `context` is what happened before.
    pub fn check_in_context(
        &mut self,
        invariant: Invariant,
        holds: bool,
        what: impl FnOnce() -> String,
        context: impl FnOnce() -> Vec<String>,
    ) {
        if !holds && self.entries.get(&invariant).is_none_or(|entry| entry.first.is_none()) {
            self.recent = context().into();
        }
        self.check(invariant, holds, what);
    }

    /// Adds what another one has seen.
    pub fn take_over(&mut self, other: &Self) {
        for (invariant, seen) in &other.entries {
            let entry = self.entries.entry(*invariant).or_default();
            entry.checks += seen.checks;
            entry.violations += seen.violations;
            if entry.first.is_none() {
                entry.first.clone_from(&seen.first);
                entry.context.clone_from(&seen.context);
            }
        }
    }

    /// Whether every promise that was looked at held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.entries.values().all(|entry| entry.violations == 0)
    }

    /// One verdict for each promise, in order.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let verdict = |invariant: Invariant| {
            let none = Entry::default();
            let entry = self.entries.get(&invariant).unwrap_or(&none);
            Verdict {
                id: invariant.label().to_owned(),
                promise: invariant.promise().to_owned(),
                outcome: match (entry.checks, entry.violations) {
                    (0, _) => Outcome::NotApplicable,
                    (_, 0) => Outcome::Held,
                    (_, _) => Outcome::Violated,
                },
                checks: entry.checks,
                violations: entry.violations,
                first: entry.first.clone(),
                context: entry.context.clone(),
            }
        };
        Invariant::ALL.into_iter().map(verdict).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_has_the_first_violation_and_what_came_before() {
        let mut checker = Checker::new();
        for number in 0..60 {
            checker.happened(|| number.to_string());
            checker.check(Invariant::I2, number != 58 && number != 59, || format!("saw {number}"));
        }
        checker.check(Invariant::I1, true, String::new);
        assert!(!checker.holds());
        let verdicts = checker.verdicts();
        let outcomes: Vec<Outcome> = verdicts.iter().take(3).map(|verdict| verdict.outcome).collect();
        assert_eq!(outcomes, [Outcome::Held, Outcome::Violated, Outcome::NotApplicable]);
        let broken = &verdicts[1];
        assert_eq!((broken.checks, broken.violations, broken.first.as_deref()), (60, 2, Some("saw 58")));
        assert_eq!((broken.context.len(), broken.context.last().map(String::as_str)), (50, Some("58")));
    }
}

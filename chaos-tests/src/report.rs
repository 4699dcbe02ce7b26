//! What came of a run: `run.json` to replay, Markdown to read, and a page with pictures.

mod html;
mod markdown;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::invariant::{Outcome, Verdict};
use crate::load::Called;
use crate::plan::FaultPlan;
use crate::target::AnswerKind;

/// Latencies of calls that were answered well, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// All calls of the phase, however they ended.
    pub calls: u64,
    /// Those that were answered well.
    pub good: u64,
    /// The median.
    pub p50_ms: f64,
    /// 95 of 100 are faster.
    pub p95_ms: f64,
    /// 99 of 100 are faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latencies {
    /// Of some calls.
    pub fn of<'a>(calls: impl Iterator<Item = &'a Called>) -> Self {
        let mut tally = Tally::default();
        for call in calls {
            tally.add(call);
        }
        tally.latencies()
    }
}

/// Calls counted as they end, in the same memory however many there are.
#[derive(Debug)]
pub(crate) struct Tally {
    calls: u64,
    /// Microseconds up to an hour, to three digits. `None` only if those bounds were wrong.
    good: Option<Histogram<u64>>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { calls: 0, good: Histogram::new_with_bounds(1, 3_600_000_000, 3).ok() }
    }
}

impl Tally {
    pub(crate) fn add(&mut self, call: &Called) {
        self.calls += 1;
        if let Some(good) = &mut self.good
            && call.answer.as_ref().is_some_and(|answer| answer.kind == AnswerKind::Good)
        {
            good.saturating_record(u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX).max(1));
        }
    }

    pub(crate) fn latencies(&self) -> Latencies {
        let Some(good) = &self.good else { return Latencies::default() };
        #[expect(clippy::cast_precision_loss, reason = "an hour of microseconds is exact in a float")]
        let at = |quantile: f64| good.value_at_quantile(quantile) as f64 / 1e3;
        Latencies { calls: self.calls, good: good.len(), p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

/// How long it took to fill the holes that one kind of failure made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// How the children ended.
    pub cause: String,
    /// How many did.
    pub count: usize,
    /// The median, in milliseconds from the end seen to the next child serving, backoffs included.
    pub p50_ms: f64,
    /// 95 of 100 are faster.
    pub p95_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Recovery {
    pub(crate) fn table(recoveries: &BTreeMap<String, Vec<f64>>) -> Vec<Self> {
        let row = |(cause, times): (&String, &Vec<f64>)| {
            let mut times = times.clone();
            times.sort_by(f64::total_cmp);
            let at = |share: f64| times.get(rank(times.len(), share)).copied().unwrap_or(0.0);
            Self { cause: cause.clone(), count: times.len(), p50_ms: at(0.5), p95_ms: at(0.95), max_ms: at(1.0) }
        };
        recoveries.iter().map(row).collect()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank lies within the length it is a share of"
)]
fn rank(length: usize, share: f64) -> usize {
    ((length as f64 * share).ceil() as usize).clamp(1, length.max(1)) - 1
}

/// What came of a run. What it takes to replay it is in it, too.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What went wrong, on purpose.
    pub plan: FaultPlan,
    /// Length of the chaos phase, in milliseconds.
    pub length_ms: u64,
    /// Calls made.
    pub calls: u64,
    /// Calls that the harness left out, because too many were at work.
    pub left_out: u64,
    /// Calls by answer.
    pub answers: BTreeMap<String, u64>,
    /// Faults inflicted, by kind.
    pub inflicted: BTreeMap<String, u64>,
    /// Latencies before the first fault.
    pub without_faults: Latencies,
    /// Latencies in the chaos phase.
    pub with_faults: Latencies,
    /// Latencies from then on.
    pub afterwards: Latencies,
    /// Milliseconds from the last fault until the tree was whole again.
    pub whole_again_ms: Option<f64>,
    /// How long holes stood open, by cause.
    pub recoveries: Vec<Recovery>,
    /// Milliseconds since the start, and bytes resident.
    pub memory: Vec<(u64, u64)>,
    /// Beginning and end of the chaos phase, in milliseconds since the start.
    pub chaos_ms: [u64; 2],
    /// Restarts by cause.
    pub restarts: BTreeMap<String, u64>,
    /// Recycles by reason.
    pub recycles: BTreeMap<String, u64>,
    /// Events that the harness missed because it was too slow.
    pub events_missed: u64,
    /// One verdict for each promise.
    pub verdicts: Vec<Verdict>,
    /// Whether the mechanism that the scenario is about was switched off.
    pub without: bool,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// What a report is kept with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The version of the harness.
    pub version: String,
    /// The revision that was built, where it is known.
    pub revision: String,
    /// A digest of scenario, seed, plan and length: two runs of the same are the same trial.
    pub config_hash: String,
    /// What to type to run it again.
    pub replay: String,
    /// What came of it.
    #[serde(flatten)]
    pub report: Report,
}

impl Report {
    /// Whether every promise that was looked at held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.outcome != Outcome::Violated)
    }

    /// Whether anything was looked at at all.
    #[must_use]
    pub fn tried_something(&self) -> bool {
        self.verdicts.iter().any(|verdict| verdict.outcome != Outcome::NotApplicable)
    }

    /// The promises that were broken.
    #[must_use]
    pub fn broken(&self) -> Vec<&Verdict> {
        self.verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Violated).collect()
    }

    fn config_hash(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.scenario, self.seed, self.length_ms, self.without).hash(&mut hasher);
        serde_json::to_string(&self.plan).unwrap_or_default().hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Writes `run.json`, `report.md` and `report.html` into `directory`.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(&self, directory: &Path) -> io::Result<Kept> {
        std::fs::create_dir_all(directory)?;
        let json = directory.join("run.json");
        let kept = Kept {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: env!("EVENTMESH_REVISION").to_owned(),
            config_hash: self.config_hash(),
            replay: format!("eventmesh-chaos run --replay {}", json.display()),
            report: self.clone(),
        };
        std::fs::write(&json, serde_json::to_string_pretty(&kept)? + "\n")?;
        std::fs::write(directory.join("report.md"), markdown::written(&kept))?;
        std::fs::write(directory.join("report.html"), html::drawn(&kept))?;
        Ok(kept)
    }

    /// The report as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::body(self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::target::Answer;

    #[test]
    fn latencies_are_of_good_answers_only() {
        let call = |micros, kind| Called {
            at: Duration::ZERO,
            took: Duration::from_micros(micros),
            answer: Some(Answer::new(kind, "x")),
        };
        let mut calls: Vec<Called> = (1..=100).map(|number| call(number * 1000, AnswerKind::Good)).collect();
        calls.push(call(9_000_000, AnswerKind::Refused));
        let latencies = Latencies::of(calls.iter());
        assert_eq!((latencies.calls, latencies.good), (101, 100));
        assert!((latencies.p50_ms - 50.0).abs() < 0.1 && (latencies.max_ms - 100.0).abs() < 0.2, "{latencies:?}");
    }

    #[test]
    fn recoveries_are_ranked() {
        let table = Recovery::table(&BTreeMap::from([("panicked".to_owned(), (1..=20).map(f64::from).collect())]));
        assert_eq!((table[0].count, table[0].p50_ms, table[0].p95_ms, table[0].max_ms), (20, 10.0, 19.0, 20.0));
        assert!(Recovery::table(&BTreeMap::from([("hung".to_owned(), vec![])]))[0].max_ms.abs() < f64::EPSILON);
    }

    #[test]
    fn a_report_is_kept_and_read_back_and_its_page_is_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let report = Report {
            scenario: "test <b>".to_owned(),
            seed: 7,
            memory: vec![(0, 1 << 20), (1000, 3 << 20)],
            chaos_ms: [200, 800],
            recoveries: Recovery::table(&BTreeMap::from([("panicked".to_owned(), vec![1.5])])),
            ..Report::default()
        };
        report.keep(directory.path()).expect("own directory");
        let text = std::fs::read_to_string(directory.path().join("run.json")).expect("it is there");
        let kept: Kept = serde_json::from_str(&text).expect("JSON");
        assert_eq!((kept.report.seed, kept.report.plan), (7, FaultPlan::default()));
        let page = std::fs::read_to_string(directory.path().join("report.html")).expect("it is there");
        assert!(page.contains("<svg") && page.contains("test &lt;b&gt;") && page.ends_with("</html>\n"));
        let text = std::fs::read_to_string(directory.path().join("report.md")).expect("it is there");
        assert!(text.contains("--replay") && text.contains("| panicked |"));
    }
}

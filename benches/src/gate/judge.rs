//! What the gate says of the labelled set, counted.

use std::time::Duration;

use eventmesh::gate::{Features, Lean, Verdict};
use eventmesh_guest::{Hints, extract};

use super::case::{Case, Kind};

/// A page, and what the gate says of it.
#[derive(Debug)]
pub(crate) struct Judged<'c> {
    pub(crate) case: &'c Case,

    pub(crate) features: Features,
    pub(crate) verdict: Verdict,
    /// What finding the features took.
    pub(crate) took: Duration,
}

impl<'c> Judged<'c> {
    /// Judges a page, on a host that is not known.
    pub(crate) fn of(case: &'c Case, clock: &dyn Fn() -> Duration) -> Self {
        let hints = Hints { base_url: Some("https://example.com/".to_owned()), charset: Some("utf-8".to_owned()), html: false };
        let document = extract(&case.page, &hints);
        let began = clock();
        let features = Features::of(&case.page, &document);
        let took = clock().saturating_sub(began);
        let verdict = Verdict::of(&features, Lean::NEUTRAL);
        Self { case, features, verdict, took }
    }

    pub(crate) fn is_wrong(&self) -> bool {
        self.verdict.render != self.case.needs_rendering
    }
}

/// Counts of what was said, right and wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Rendered, and that was needed.
    pub(crate) hits: u32,
    /// Rendered in vain.
    pub(crate) false_alarms: u32,
    /// Not rendered, though that was needed.
    pub(crate) misses: u32,
    /// Rightly taken as they were sent.
    pub(crate) passes: u32,
}

impl Counts {
    pub(crate) fn of<'j>(judged: impl Iterator<Item = &'j Judged<'j>>) -> Self {
        let mut counts = Self::default();
        for judged in judged {
            let count = match (judged.case.needs_rendering, judged.verdict.render) {
                (true, true) => &mut counts.hits,
                (false, true) => &mut counts.false_alarms,
                (true, false) => &mut counts.misses,
                (false, false) => &mut counts.passes,
            };
            *count += 1;
        }
        counts
    }

    pub(crate) fn all(self) -> u32 {
        self.hits + self.false_alarms + self.misses + self.passes
    }

    /// Of those rendered, those that needed it.
    pub(crate) fn precision(self) -> f64 {
        share(self.hits, self.hits + self.false_alarms)
    }

    /// Of those that needed it, those rendered.
    pub(crate) fn recall(self) -> f64 {
        share(self.hits, self.hits + self.misses)
    }

    /// Of those that did not need it, those rendered.
    pub(crate) fn alarm_rate(self) -> f64 {
        share(self.false_alarms, self.false_alarms + self.passes)
    }
}

/// A part of a whole; a whole of nothing is whole.
pub(crate) fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 { 1.0 } else { f64::from(part) / f64::from(whole) }
}

/// What a mix of so many static pages in a hundred, the rest of them shells, would come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) precision: f64,
    pub(crate) rendered: f64,
}

impl Mix {
    pub(crate) fn of(static_share: f64, statics: Counts, shells: Counts) -> Self {
        let (alarms, hits) = (static_share * statics.alarm_rate(), (1.0 - static_share) * shells.recall());
        Self { precision: if hits + alarms > 0.0 { hits / (hits + alarms) } else { 1.0 }, rendered: hits + alarms }
    }
}

/// Whether pages of a kind count as those of the real world that need no rendering.
pub(crate) fn is_static(kind: Kind) -> bool {
    match kind {
        Kind::Static | Kind::Hard => true,
        Kind::Shell | Kind::Turned | Kind::Late | Kind::Half | Kind::Built => false,
    }
}

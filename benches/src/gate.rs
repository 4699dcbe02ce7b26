//! `gate`: how well the gate tells pages that need a browser from those that do not, on a labelled set, and what the way they then
//! go costs them in content.
//!
//! The set is split by names. One half was looked at while the weights were chosen; figures are those of the other half.

mod case;
mod corpus;
mod judge;
mod rendering;
mod shells;
mod site;
mod still;

use eventmesh_chaos::pages::{BUILT, Pages, SETTLING};
use serde_json::json;

use self::case::{Case, Kind};
use self::judge::{Counts, Judged, Mix, is_static, share};
use self::rendering::Came;
use self::site::Site;
use crate::Error;
use crate::machine::thread_cpu;
use crate::report::Report;

/// Every so many static pages, one is turned into scripts, too.
const TURNED: usize = 5;
/// Static pages in the mix that stands for the web.
const STATIC: f64 = 0.9;
/// A page has lost content if less than this is there.
const KEPT: f64 = 0.8;

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let mut report = Report::default();
    let late = Pages::with_files(packages()).await?;
    let mut cases = shells::cases();
    cases.extend(still::cases());
    cases.extend(late_cases(late.address().port()));
    match corpus::pages(&corpus::home()) {
        Ok(pages) => {
            report.row([
                ("static_pages", json!(pages.cases.len())),
                ("left_out_since_content_was_not_sent", json!(pages.without_content)),
                ("left_out_without_truth", json!(pages.without_truth)),
            ]);
            let turned = pages.cases.iter().step_by(TURNED).enumerate();
            cases.extend(turned.filter_map(|(number, case)| corpus::turned(case, number)));
            cases.extend(pages.cases);
        }
        Err(error) => eprintln!("SKIPPED: static and turned pages of the corpora: {error}"),
    }
    let judged: Vec<Judged<'_>> = cases.iter().map(|case| Judged::of(case, &thread_cpu)).collect();
    figures(&mut report, &judged);

    // What it costs those of the half that was not looked at, through the whole engine.
    let site = Site::open(&cases).await?;
    let through: Vec<&Case> = judged
        .iter()
        .filter(|judged| judged.case.is_held_out() && (judged.case.needs_rendering || judged.case.kind == Kind::Hard))
        .map(|judged| judged.case)
        .collect();
    match rendering::through(&through, &site, &late).await {
        Ok(came) => content(&mut report, &came),
        Err(error) => eprintln!("SKIPPED: content after rendering: {error}"),
    }
    Ok(report)
}

/// Packages that ship applications, where the bench of browsers has put them.
fn packages() -> Option<std::path::PathBuf> {
    let packages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/node/node_modules");
    packages.is_dir().then_some(packages)
}

fn late_cases(port: u16) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |kind, path: String| {
        if let Some(page) = eventmesh_chaos::pages::source(&path, port) {
            cases.push(Case::new(kind, path, page));
        }
    };
    for (name, _) in SETTLING.iter().filter(|(name, _)| !name.starts_with("static")) {
        add(Kind::Late, format!("/bare/{name}"));
        add(Kind::Half, format!("/page/{name}"));
    }
    if packages().is_some() {
        for (name, ..) in BUILT {
            add(Kind::Built, format!("/page/{name}"));
        }
    } else {
        eprintln!("SKIPPED: built applications, whose packages the bench 'browser' installs");
    }
    cases
}

fn figures(report: &mut Report, judged: &[Judged<'_>]) {
    for held_out in [false, true] {
        let half = if held_out { "held out" } else { "looked at" };
        for kind in Kind::ALL {
            let counts =
                Counts::of(judged.iter().filter(|judged| judged.case.kind == kind && judged.case.is_held_out() == held_out));
            report.row([
                ("half", json!(half)),
                ("kind", json!(kind.label())),
                ("pages", json!(counts.all())),
                ("rendered", json!(counts.hits + counts.false_alarms)),
                ("wrong", json!(counts.misses + counts.false_alarms)),
            ]);
        }
    }
    for judged in judged.iter().filter(|judged| judged.is_wrong()) {
        report.row([
            ("wrong_on", json!(judged.case.name)),
            ("kind", json!(judged.case.kind.label())),
            ("rendered", json!(judged.verdict.render)),
            ("reason", json!(judged.verdict.reason.label())),
            ("score", json!(judged.verdict.score)),
            ("words", json!(judged.features.words)),
            ("visible_words", json!(judged.features.visible_words)),
        ]);
    }
    // Pages that hold two paragraphs and bring more are neither one nor the other; they have rows of their own.
    let counted = |judged: &&Judged<'_>| judged.case.is_held_out() && judged.case.kind != Kind::Half;
    let all = Counts::of(judged.iter().filter(counted));
    let statics = Counts::of(judged.iter().filter(counted).filter(|judged| is_static(judged.case.kind)));
    let scripted = Counts::of(judged.iter().filter(counted).filter(|judged| !is_static(judged.case.kind)));
    let mix = Mix::of(STATIC, statics, scripted);
    report.at_least("precision, held out", all.precision(), 0.95);
    report.at_least("recall, held out", all.recall(), 0.95);
    report.at_least("precision in a mix of 90 static pages and 10 others, held out", mix.precision, 0.95);
    report.at_most("share of that mix that is rendered, held out", mix.rendered, 0.15);
    let mut micros: Vec<f64> = judged
        .iter()
        .filter(|judged| judged.case.page.len() > 50 << 10)
        .map(|judged| judged.took.as_secs_f64() * 1e6 / (judged.case.page.len().min(512 << 10) as f64 / f64::from(100 << 10)))
        .collect();
    micros.sort_by(f64::total_cmp);
    if let (Some(median), Some(slow)) = (micros.get(micros.len() / 2), micros.get(micros.len() * 99 / 100)) {
        report.row([("features_us_per_100_kib_median", json!(median)), ("p99", json!(slow))]);
    }
}

fn content(report: &mut Report, came: &[Came<'_>]) {
    for kind in Kind::ALL {
        let of_kind: Vec<&Came<'_>> = came.iter().filter(|came| came.case.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let mut millis: Vec<f64> = of_kind.iter().map(|came| came.millis).collect();
        millis.sort_by(f64::total_cmp);
        report.row([
            ("kind", json!(kind.label())),
            ("pages", json!(of_kind.len())),
            ("rendered", json!(of_kind.iter().filter(|came| came.rendered).count())),
            ("with_their_content", json!(of_kind.iter().filter(|came| came.there >= KEPT).count())),
            ("median_ms", json!(millis[millis.len() / 2])),
        ]);
    }
    for came in came.iter().filter(|came| came.there < KEPT) {
        report.row([
            ("lost_on", json!(came.case.name)),
            ("kind", json!(came.case.kind.label())),
            ("rendered", json!(came.rendered)),
            ("there", json!(came.there)),
            ("problem", json!(came.problem)),
        ]);
    }
    let count = |such: &dyn Fn(&&Came<'_>) -> bool| {
        u32::try_from(came.iter().filter(|came| came.case.needs_rendering && came.case.kind != Kind::Half).filter(such).count())
            .unwrap_or(0)
    };
    let kept = share(count(&|came| came.there >= KEPT), count(&|_| true));
    report.at_least("pages that need a browser and have their content in the end, held out", kept, 0.95);
}

//! `eval-pdf`: how good what comes out is, against ground truth, beside the peers.

use std::time::Duration;

use serde_json::json;

use super::corpus::Corpus;
use super::peers::Peer;
use super::{engine, request, score, tables};
use crate::Error;
use crate::report::Report;

/// Scores of one set, summed over its documents.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    first: f64,
    second: f64,
}

impl Sum {
    fn add(&mut self, (first, second): (f64, f64)) {
        self.first += first;
        self.second += second;
    }
}

pub(crate) fn run() -> Result<Report, Error> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<Report, Error> {
    let corpus = Corpus::open()?;
    let peers = [Peer::pdftotext()?, Peer::mutool()?];
    let engine = engine(2, |_| {}).await?;
    let mut report = Report::default();
    for (set, first, second) in
        [("gen", "word F1", "order"), ("pdfbox", "word F1", "order"), ("icdar", "word recall", "whole cells")]
    {
        let (mut count, mut ours, mut theirs) = (0, Sum::default(), [Sum::default(); 2]);
        let (mut expected, mut found, mut shared) = (0, 0, 0);
        let (mut by_letters, mut by_anybody) = (0.0, 0.0);
        for entry in corpus.entries.iter().filter(|entry| entry.truth_kind.as_deref() == Some(set)) {
            let path = corpus.path(entry);
            let Some(truth) = corpus.truth(entry, if set == "icdar" { ".str.xml" } else { ".truth.txt" }) else { continue };
            let truth = std::fs::read(truth)?;
            let truth = String::from_utf8_lossy(&truth);
            let document = engine.extract(request(&path)).document().await?.document;
            // Headers and footers are part of what a page says, and of the truth.
            let parts = document.pages.iter().flat_map(|page| {
                [page.header.as_deref(), Some(page.text.as_str()), page.footer.as_deref()].into_iter().flatten()
            });
            let text = parts.collect::<Vec<_>>().join("\n");
            let cells = if set == "icdar" { Some(tables::contents(&truth)?) } else { None };
            let judge = |text: &str| match &cells {
                Some(cells) => score::cells(cells, text),
                None => score::text(&truth, text),
            };
            count += 1;
            by_letters += cells.as_ref().map_or(0.0, |cells| score::cells_by_letters(cells, &text));
            let mine = judge(&text);
            ours.add(mine);
            let mut best = (0.0f64, 0.0f64);
            let mut texts = vec![text];
            for (sum, peer) in theirs.iter_mut().zip(&peers) {
                let text = peer.text(&path)?;
                let score = judge(&text);
                texts.push(text);
                sum.add(score);
                best = (best.0.max(score.0), best.1.max(score.1));
            }
            by_anybody += cells.as_ref().map_or(0.0, |cells| score::cells_by_anybody(cells, &texts));
            if mine.0 < best.0 - 0.02 || mine.1 < best.1 - 0.02 {
                report.row([
                    ("set", json!(set)),
                    ("behind_on", json!(Corpus::name(entry))),
                    (first, json!(mine.0)),
                    (second, json!(mine.1)),
                    ("best_peer", json!([best.0, best.1])),
                ]);
            }
            if set == "icdar" {
                let (truth, ours) = (tables::expected(&truth)?, tables::found(&document.tables));
                expected += truth.len();
                found += ours.len();
                shared += tables::shared(&truth, &ours);
            }
        }
        let mean = |sum: Sum| (sum.first / score::number(count), sum.second / score::number(count));
        let (ours, theirs) = (mean(ours), theirs.map(mean));
        for (name, (a, b)) in [("eventmesh", ours), ("pdftotext", theirs[0]), ("mutool", theirs[1])] {
            report.row([
                ("set", json!(set)),
                ("documents", json!(count)),
                ("what", json!(name)),
                (first, json!(a)),
                (second, json!(b)),
            ]);
        }
        match set {
            "gen" => {
                report.at_least("gen: word F1", ours.0, 0.98);
                report.at_least("gen: order", ours.1, 0.95);
            }
            "pdfbox" => report.at_least("pdfbox: word F1", ours.0, 0.94),
            _ => {
                report.at_least("icdar: whole cells", ours.1, 0.98);
                report.row([
                    ("set", json!(set)),
                    ("what", json!("whole cells, spaces and case aside")),
                    ("share", json!(by_letters / score::number(count))),
                ]);
                report.row([
                    ("set", json!(set)),
                    ("what", json!("whole cells that at least one of the three finds")),
                    ("share", json!(by_anybody / score::number(count))),
                ]);
                let share = |part: usize, whole: usize| score::number(part) / score::number(whole.max(1));
                let (precision, recall) = (share(shared, found), share(shared, expected));
                report.row([
                    ("set", json!(set)),
                    ("what", json!("neighbouring cells")),
                    ("precision", json!(precision)),
                    ("recall", json!(recall)),
                    ("f1", json!(2.0 * precision * recall / (precision + recall).max(1e-9))),
                ]);
            }
        }
        for (at, name) in [(0, first), (1, second)] {
            let of = |(a, b): (f64, f64)| if at == 0 { a } else { b };
            report.at_least(&format!("{set}: {name}, less the better peer's"), of(ours) - of(theirs[0]).max(of(theirs[1])), 0.0);
        }
    }
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(report)
}

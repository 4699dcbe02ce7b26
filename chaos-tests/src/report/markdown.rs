//! The report as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Kept, Latencies, Report};
use crate::invariant::Outcome;

pub(super) fn written(kept: &Kept) -> String {
    let mut text = body(&kept.report);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\n## Replay\n\n```sh\n{}\n```\n\nVersion {}, revision {}, configuration {}. The seed replays the plan and the load, not the \
         interleaving of threads.\n",
        kept.replay, kept.version, kept.revision, kept.config_hash
    );
    text
}

pub(super) fn body(report: &Report) -> String {
    let mut text = String::new();
    let verdict = if report.holds() { "every promise held" } else { "BROKEN" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# {}, seed {}: {verdict}\n", report.scenario, report.seed);
    let _ = writeln!(
        text,
        "{} calls, {} faults over {:.1} s, {} calls left out by the harness, {} events missed by it.\n",
        report.calls,
        report.plan.faults.len(),
        seconds(report.length_ms),
        report.left_out,
        report.events_missed,
    );
    for note in &report.notes {
        let _ = writeln!(text, "{note}\n");
    }
    let _ = writeln!(text, "## Promises\n\n| id | promise | verdict | checks | violations |\n|---|---|---|---|---|");
    for verdict in &report.verdicts {
        let outcome = outcome(verdict.outcome);
        let _ =
            writeln!(text, "| {} | {} | {outcome} | {} | {} |", verdict.id, verdict.promise, verdict.checks, verdict.violations);
    }
    for verdict in report.broken() {
        let _ = writeln!(text, "\n### {}: the first violation\n\n{}\n", verdict.id, verdict.first.as_deref().unwrap_or(""));
        let _ = writeln!(text, "What came before:\n\n```text\n{}\n```", verdict.context.join("\n"));
    }
    if report.calls > 0 {
        let _ = writeln!(
            text,
            "\n## Latency\n\n| phase | calls | good | p50 ms | p95 ms | p99 ms | max ms |\n|---|---|---|---|---|---|---|"
        );
        let phases = [
            ("without faults", &report.without_faults),
            ("with faults", &report.with_faults),
            ("afterwards", &report.afterwards),
        ];
        for (name, latencies) in phases {
            let Latencies { calls, good, p50_ms, p95_ms, p99_ms, max_ms } = latencies;
            let _ = writeln!(text, "| {name} | {calls} | {good} | {p50_ms:.2} | {p95_ms:.2} | {p99_ms:.2} | {max_ms:.2} |");
        }
    }
    if let Some(whole) = report.whole_again_ms {
        let _ = writeln!(text, "\nWhole again {whole:.1} ms after the last fault.");
    }
    if !report.recoveries.is_empty() {
        let _ = writeln!(text, "\n## Recovery\n\nFrom a child's end to the next one serving in its place, backoffs included.\n");
        let _ = writeln!(text, "| cause | count | p50 ms | p95 ms | max ms |\n|---|---|---|---|---|");
        for row in &report.recoveries {
            let _ =
                writeln!(text, "| {} | {} | {:.2} | {:.2} | {:.2} |", row.cause, row.count, row.p50_ms, row.p95_ms, row.max_ms);
        }
    }
    for (title, counts) in [
        ("Answers", &report.answers),
        ("Faults inflicted", &report.inflicted),
        ("Restarts by cause", &report.restarts),
        ("Recycles by reason", &report.recycles),
    ] {
        table(&mut text, title, counts);
    }
    text
}

fn table(text: &mut String, title: &str, counts: &BTreeMap<String, u64>) {
    if counts.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n## {title}\n\n| what | count |\n|---|---|");
    for (what, count) in counts {
        let _ = writeln!(text, "| {what} | {count} |");
    }
}

pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Held => "held",
        Outcome::Violated => "VIOLATED",
        Outcome::NotApplicable => "not applicable",
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}

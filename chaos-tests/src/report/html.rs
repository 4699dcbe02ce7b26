//! The report as one page that needs nothing else: verdicts, the memory curve, latencies, recoveries.

use std::fmt::Write;

use super::{Kept, Report};
use crate::invariant::Outcome;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 28.0;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}\
table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #d8dee4;padding:.3rem .8rem;text-align:left}\
td.n{text-align:right;font-variant-numeric:tabular-nums}.held{color:#1a7f37}.violated{color:#cf222e;font-weight:700}.na{color:#6e7781}\
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#57606a}pre{background:#f6f8fa;padding:1rem;overflow-x:auto}";

pub(super) fn drawn(kept: &Kept) -> String {
    let report = &kept.report;
    let verdict = if report.holds() { "every promise held" } else { "a promise was broken" };
    let class = if report.holds() { "held" } else { "violated" };
    let title = format!("{}, seed {}", escaped(&report.scenario), report.seed);
    let mut page = format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>\n<h1>{title}: <span \
         class={class}>{verdict}</span></h1>\n<p>{} calls, {} faults. Revision {}, configuration {}. Run it again:</p><pre>{}</pre>\n",
        report.calls,
        report.plan.faults.len(),
        escaped(&kept.revision),
        kept.config_hash,
        escaped(&kept.replay),
    );
    promises(&mut page, report);
    if report.memory.len() > 1 {
        page.push_str("<h2>Memory</h2>\n<p>Resident MiB over time; the chaos phase is shaded, each fault is a tick.</p>\n");
        page.push_str(&memory(report));
    }
    if report.calls > 0 {
        page.push_str("<h2>Latency</h2>\n<p>Milliseconds of calls that were answered well, on a logarithmic scale.</p>\n");
        page.push_str(&latency(report));
    }
    if !report.recoveries.is_empty() {
        page.push_str("<h2>Recovery</h2>\n<p>Milliseconds from a child's end to the next one serving in its place.</p>\n");
        page.push_str(&recovery(report));
    }
    page.push_str("</html>\n");
    page
}

fn promises(page: &mut String, report: &Report) {
    page.push_str("<h2>Promises</h2>\n<table><tr><th>id<th>promise<th>verdict<th>checks<th>violations\n");
    for verdict in &report.verdicts {
        let (class, outcome) = match verdict.outcome {
            Outcome::Held => ("held", "held"),
            Outcome::Violated => ("violated", "violated"),
            Outcome::NotApplicable => ("na", "not applicable"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{}<td class={class}>{outcome}<td class=n>{}<td class=n>{}",
            verdict.id,
            escaped(&verdict.promise),
            verdict.checks,
            verdict.violations
        );
    }
    page.push_str("</table>\n");
    for verdict in report.broken() {
        let first = verdict.first.as_deref().unwrap_or_default();
        let _ = writeln!(
            page,
            "<h3>{}: the first violation</h3><p>{}</p><pre>{}</pre>",
            verdict.id,
            escaped(first),
            escaped(&verdict.context.join("\n"))
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn memory(report: &Report) -> String {
    let last = report.memory.last().map_or(1, |(at, _)| *at).max(1) as f64;
    let most = report.memory.iter().map(|(_, bytes)| *bytes).max().unwrap_or(1).max(1) as f64 * 1.1;
    let x = |at: u64| LEFT + (WIDTH - LEFT) * at as f64 / last;
    let y = |bytes: f64| (HEIGHT - BOTTOM) * (1.0 - bytes / most);
    let mut svg = opened();
    let [from, until] = report.chaos_ms;
    let _ = write!(
        svg,
        "<rect x='{:.1}' y='0' width='{:.1}' height='{:.1}' fill='#fff1e5'/>",
        x(from),
        x(until) - x(from),
        HEIGHT - BOTTOM
    );
    for fault in &report.plan.faults {
        let at = x(from + fault.at_ms);
        let _ = write!(
            svg,
            "<line x1='{at:.1}' x2='{at:.1}' y1='{:.1}' y2='{:.1}' stroke='#bc4c00'><title>{} at {} ms</title></line>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 6.0,
            fault.kind,
            fault.at_ms
        );
    }
    for step in 0..=4 {
        let bytes = most * f64::from(step) / 4.0;
        let _ = write!(
            svg,
            "<line x1='{LEFT}' x2='{WIDTH}' y1='{0:.1}' y2='{0:.1}' stroke='#eaeef2'/><text x='4' y='{1:.1}'>{2:.0} MiB</text>",
            y(bytes),
            y(bytes) + 10.0,
            bytes / f64::from(1 << 20)
        );
    }
    let points: Vec<String> = report.memory.iter().map(|(at, bytes)| format!("{:.1},{:.1}", x(*at), y(*bytes as f64))).collect();
    let _ = write!(svg, "<polyline fill='none' stroke='#0969da' stroke-width='1.5' points='{}'/>", points.join(" "));
    let _ = writeln!(
        svg,
        "<text x='{LEFT}' y='{0}'>0 s</text><text x='{1}' y='{0}'>{2:.0} s</text></svg>",
        HEIGHT - 6.0,
        WIDTH - 40.0,
        last / 1e3
    );
    svg
}

/// Bars of p50, p95, p99 and the slowest for each phase, on a logarithmic scale from 0.01 ms.
fn latency(report: &Report) -> String {
    let phases =
        [("without faults", report.without_faults), ("with faults", report.with_faults), ("afterwards", report.afterwards)];
    let rows: Vec<(String, Vec<(&str, f64)>)> = phases
        .into_iter()
        .map(|(name, latencies)| {
            let bars =
                vec![("p50", latencies.p50_ms), ("p95", latencies.p95_ms), ("p99", latencies.p99_ms), ("max", latencies.max_ms)];
            (format!("{name} ({} good of {})", latencies.good, latencies.calls), bars)
        })
        .collect();
    bars(&rows)
}

fn recovery(report: &Report) -> String {
    let row = |recovery: &super::Recovery| {
        let bars = vec![("p50", recovery.p50_ms), ("p95", recovery.p95_ms), ("max", recovery.max_ms)];
        (format!("{} ({} times)", recovery.cause, recovery.count), bars)
    };
    bars(&report.recoveries.iter().map(row).collect::<Vec<_>>())
}

fn bars(rows: &[(String, Vec<(&str, f64)>)]) -> String {
    let most = rows.iter().flat_map(|(_, bars)| bars).map(|(_, value)| *value).fold(1.0, f64::max);
    let (label, scale) = (60.0, (most / 0.01).log10());
    let width = |value: f64| ((value.max(0.01) / 0.01).log10() / scale * (WIDTH - label - 80.0)).max(1.0);
    let mut parts = String::new();
    let mut y = 0.0;
    for (name, bars) in rows {
        let _ = write!(parts, "<text x='0' y='{:.0}' style='font-weight:600'>{}</text>", y + 14.0, escaped(name));
        y += 20.0;
        for (what, value) in bars {
            let _ = write!(
                parts,
                "<text x='24' y='{0:.0}'>{what}</text><rect x='{label}' y='{1:.0}' width='{2:.1}' height='12' fill='#54aeff'/><text \
                 x='{3:.1}' y='{0:.0}'>{value:.2}</text>",
                y + 11.0,
                y + 1.0,
                width(*value),
                label + width(*value) + 6.0
            );
            y += 16.0;
        }
        y += 8.0;
    }
    format!("<svg viewBox='0 0 {WIDTH} {y:.0}' role=img>{parts}</svg>\n")
}

fn opened() -> String {
    format!("<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

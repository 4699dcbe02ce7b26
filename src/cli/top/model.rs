//! What is shown of a daemon, worked out from its last two answers: lines, rates, meters. Pure; who draws it is not known here.

use std::time::Duration;

use serde_json::Value;

use super::figures::{bytes, count, harmless, rate, time};
use super::row::{Row, ending, per_second};
use super::seen::{Limits, Ready, Seen, total};
use super::source::Look;

/// All that is shown of a daemon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Board {
    /// Where it is.
    pub(crate) address: String,
    /// Whether it serves, or why not.
    pub(crate) condition: Result<String, String>,
    /// How short memory is, in its own word.
    pub(crate) pressure: String,
    /// What is at work and how fast it goes, the most important first.
    pub(crate) work: Vec<String>,
    /// What has happened so far.
    pub(crate) totals: Vec<String>,
    /// What there is beside the tree: sandbox, PDFs, browser.
    pub(crate) parts: Vec<String>,
    /// Memory.
    pub(crate) meters: Vec<Meter>,
    /// The tree.
    pub(crate) rows: Vec<Row>,
    /// The last events, oldest first.
    pub(crate) events: Vec<String>,
}

/// Something that there is a certain amount of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Meter {
    pub(crate) name: &'static str,
    /// From 0 to 1.
    pub(crate) share: f64,
    pub(crate) words: String,
}

/// The words of pressure, from none to the most.
pub(crate) const PRESSURES: [&str; 5] = ["normal", "trim", "shrink", "shed", "refuse"];

impl Board {
    /// What there is to show of `now`; with rates, if there is a look of before.
    pub(crate) fn of(now: &Look, before: Option<&Look>) -> Self {
        let before = before.map(|before| (&before.seen, now.at.saturating_duration_since(before.at)));
        Self {
            address: now.told.clone(),
            condition: condition(&now.ready, now.ill.as_deref()),
            pressure: harmless(&now.seen.memory.pressure),
            work: work(&now.seen, before),
            totals: totals(&now.seen, before),
            parts: parts(&now.seen),
            meters: meters(&now.seen),
            rows: Row::all(&now.seen.tree, before.map(|(seen, between)| (&seen.tree, between))),
            events: now.events.iter().map(event).collect(),
        }
    }
}

impl Meter {
    #[expect(clippy::cast_precision_loss, reason = "for people to look at")]
    fn new(name: &'static str, used: u64, of: u64, more: &str) -> Self {
        let share = if of == 0 { 0.0 } else { (used as f64 / of as f64).clamp(0.0, 1.0) };
        Self { name, share, words: format!("{} of {} ({:.0} %){more}", bytes(used), bytes(of), share * 100.0) }
    }
}

fn condition(ready: &Ready, ill: Option<&str>) -> Result<String, String> {
    if let Some(why) = ill {
        return Err(format!("not alive: {why}"));
    }
    if ready.ready {
        return Ok("ready".to_owned());
    }
    if !ready.open {
        return Err("not ready: it lets nobody in".to_owned());
    }
    let missing: Vec<_> = ready.engine.iter().filter(|(_, there)| !**there).map(|(what, _)| harmless(what)).collect();
    Err(if missing.is_empty() { "not ready".to_owned() } else { format!("not ready: no {}", missing.join(", no ")) })
}

type Before<'a> = Option<(&'a Seen, Duration)>;

fn work(now: &Seen, before: Before<'_>) -> Vec<String> {
    let mut work = vec![format!("{} at work", count(now.requests))];
    let requests = before.and_then(|(seen, between)| per_second(now.requests_ended?, seen.requests_ended?, between));
    let jobs = before.and_then(|(seen, between)| per_second(jobs(now), jobs(seen), between));
    for (per_second, what) in [(requests, "requests/s"), (jobs, "jobs/s")] {
        if let Some(per_second) = per_second {
            work.push(format!("{} {what}", rate(per_second)));
        }
    }
    let waiting: u64 = now.tree.pools().iter().map(|pool| pool.waiting).sum();
    work.push(format!("{} waiting", count(waiting)));
    work.push(format!("{} admitted", bytes(now.admitted_bytes)));
    work
}

fn jobs(seen: &Seen) -> u64 {
    seen.tree.pools().iter().map(|pool| pool.counts.jobs).sum()
}

fn restarts(seen: &Seen) -> u64 {
    seen.tree.restarted() + seen.tree.pools().iter().map(|pool| total(&pool.counts.restarts)).sum::<u64>()
}

fn recycles(seen: &Seen) -> u64 {
    seen.tree.pools().iter().map(|pool| total(&pool.counts.recycles)).sum()
}

fn totals(now: &Seen, before: Before<'_>) -> Vec<String> {
    let pools = now.tree.pools();
    let mut totals = Vec::new();
    if let Some(ended) = now.requests_ended {
        totals.push(format!("{} requests", count(ended)));
    }
    totals.push(format!("{} jobs", count(jobs(now))));
    totals.push(format!("{} lost", count(pools.iter().map(|pool| pool.counts.jobs_lost).sum())));
    for (of, what) in [(restarts as fn(&Seen) -> u64, "restarts"), (recycles, "recycles")] {
        // Rare enough that a rate is only worth its place while there is one.
        let lately = before.and_then(|(seen, between)| per_second(of(now), of(seen), between)).filter(|rate| *rate > 0.0);
        let lately = lately.map_or_else(String::new, |per_second| format!(" ({}/s)", rate(per_second)));
        totals.push(format!("{} {what}{lately}", count(of(now))));
    }
    let refused: u64 = pools.iter().map(|pool| total(&pool.counts.refused)).sum();
    totals.push(format!("{} refused", count(refused)));
    totals
}

fn parts(now: &Seen) -> Vec<String> {
    let sandbox = &now.sandbox;
    let mut parts = vec![format!(
        "sandbox: {} pages, {} warm, {} live",
        count(sandbox.pages),
        count(sandbox.warm_pages),
        sandbox.live_memories
    )];
    parts.push(match &now.pdf.missing {
        None => format!("pdf: {} processes", now.pdf.processes),
        Some(why) => format!("no pdf: {}", harmless(why)),
    });
    parts.push(match (&now.browser.missing, &now.browser.fleet) {
        (Some(why), _) => format!("no browser: {}", harmless(why)),
        (None, Some(fleet)) if fleet.failure.is_some() => {
            let failure = fleet.failure.as_ref().map(ending).unwrap_or_default();
            format!("browser: {}", harmless(&failure))
        }
        (None, Some(fleet)) => {
            format!("browser: {} pages, {}, {} started", fleet.pages, bytes(fleet.memory), fleet.started)
        }
        (None, None) => "browser: not needed so far".to_owned(),
    });
    if now.egress.refused > 0 {
        parts.push(format!("egress: {} refused", count(now.egress.refused)));
    }
    parts
}

fn meters(now: &Seen) -> Vec<Meter> {
    let memory = &now.memory;
    let held = memory.memory.resident.saturating_add(memory.memory.processes);
    let processes = memory.memory.processes;
    let more = if processes > 0 { format!(", {} of it in processes", bytes(processes)) } else { String::new() };
    let mut meters = vec![Meter::new("memory", held, memory.budget, &more)];
    for (name, limits) in [("cgroup", memory.cgroup), ("machine", memory.machine)] {
        if let Some(Limits { total, used }) = limits {
            meters.push(Meter::new(name, used, total, ""));
        }
    }
    meters
}

/// An event in a line: when, what, to whom, and whatever else it says.
fn event(record: &Value) -> String {
    let Some(fields) = record.as_object() else { return harmless(&record.to_string()) };
    let at = fields.get("at").and_then(duration).map_or_else(String::new, time);
    let what = fields.get("event").and_then(Value::as_str).unwrap_or("event").replace('_', " ");
    let whom = ["child", "pool", "supervisor", "node"].iter().filter_map(|field| fields.get(*field)?.as_str());
    let whom = whom.collect::<Vec<_>>().join("/");
    let mut line = format!("{at:>6}  {what}  {whom}");
    for (name, value) in fields {
        if matches!(&**name, "at" | "event" | "number" | "child" | "pool" | "supervisor" | "node") {
            continue;
        }
        let said = match (duration(value), value.as_u64()) {
            (Some(length), _) => time(length),
            (None, Some(number)) if name.ends_with("bytes") => bytes(number),
            (None, _) => ending(value),
        };
        line.push_str(&format!("  {} {said}", name.replace('_', " ")));
    }
    harmless(line.trim_end())
}

fn duration(value: &Value) -> Option<Duration> {
    serde_json::from_value(value.get("secs").and(Some(value))?.clone()).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;
    use tokio::time::Instant;

    use super::super::order::Order;
    use super::super::row::Tone;
    use super::*;

    fn seconds(secs: u64) -> Value {
        json!({ "secs": secs, "nanos": 0 })
    }

    fn kid(slot: u32, generation: u64, state: &str, jobs: u64) -> Value {
        json!({
            "id": format!("wasm/{slot}#{generation}"), "state": state, "since": seconds(2), "age": seconds(3700), "jobs": jobs,
            "usage": { "bytes": 3 << 20, "last_job_bytes": 5 << 20, "healthy": true }, "memory": "fine", "answers": true,
            "hang_step": null, "leak": null, "starts_in": null, "of_a_newer_daemon": [1, 2],
        })
    }

    /// A daemon as it might be, with as many jobs done.
    pub(crate) fn daemon(jobs: u64, children: &[Value]) -> Value {
        let node = |name: &str, detail: Value| {
            json!({ "name": name, "generation": 1, "state": "running", "since": seconds(65), "restart": "permanent",
                    "significant": false, "answers": true, "starts_in": null, "last_exit": null, "detail": detail })
        };
        let pool = json!({
            "kind": "pool", "name": "wasm", "phase": "open", "size": 2, "target": 2, "waiting": 4, "held_bytes": 7 << 20,
            "quarantined": 1, "back_in": null, "last_failure": { "exit": "panicked", "detail": "at\nthe disco" },
            "counts": { "jobs": jobs, "jobs_lost": 1, "restarts": { "panicked": 2 }, "recycles": { "jobs": 3, "age": 4 },
                        "refused": { "full": 5 }, "invariant_violations_total": {} },
            "children": children,
        });
        let pages = json!({ "kind": "pool", "name": "pages", "phase": "open", "size": 1, "target": 1, "children": [] });
        let browser = json!({ "kind": "supervisor", "name": "browser", "state": "running", "strategy": "rest_for_one",
                              "restarts": { "killed": 1 }, "children": [node("proxy", json!({ "kind": "service" })), node("pages", pages)] });
        json!({
            "requests": 3, "requests_ended": jobs * 2, "admitted_bytes": 1 << 21,
            "sandbox": { "pages": 1234, "warm_pages": 1200, "live_memories": 2, "resident_unused_bytes": 0 },
            "pdf": { "library": null, "missing": "libpdfium.so is not there", "confinement": null, "processes": 0 },
            "browser": { "missing": null, "fleet": { "started": 1, "pages": 2, "memory": 100 << 20, "failure": null } },
            "egress": { "refused": 6 },
            "memory": { "pressure": "shrink", "memory": { "heap": 1, "resident": 1u64 << 30, "processes": 1u64 << 29, "guests": 0 },
                        "budget": 2u64 << 30, "machine": { "total": 8u64 << 30, "used": 4u64 << 30 }, "cgroup": null,
                        "stalls": null, "looks": 4, "given_back": 0 },
            "tree": { "name": "eventmesh", "state": "running", "strategy": "one_for_one", "restarts": {}, "children": [
                node("governor", json!({ "kind": "service" })), node("wasm", pool), node("browser", browser),
                node("later", json!({ "kind": "something_new", "x": 1 })),
            ] },
        })
    }

    pub(crate) fn two_children() -> [Value; 2] {
        [kid(0, 1, "leased", 10), kid(1, 4, "idle", 20)]
    }

    pub(crate) fn look(tree: Value) -> Look {
        Look {
            at: Instant::now(),
            told: "http://127.0.0.1:7801".to_owned(),
            seen: serde_json::from_value(tree).expect("a daemon"),
            ready: Ready { ready: true, open: true, ..Ready::default() },
            ill: None,
            events: vec![json!({ "number": 7, "at": seconds(65), "event": "child_ended", "child": "wasm/0#1",
                                 "exit": { "exit": "out_of_memory", "detail": 3 << 20 } })],
        }
    }

    fn row<'a>(board: &'a Board, name: &str) -> &'a Row {
        board.rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}: {:?}", board.rows))
    }

    #[test]
    fn one_look_gives_the_tree_in_order_without_rates() {
        let board = Board::of(&look(daemon(30, &two_children())), None);
        let names: Vec<_> = board.rows.iter().map(|row| (row.depth, &*row.name)).collect();
        assert_eq!(
            names,
            [
                (0, "eventmesh"),
                (1, "governor"),
                (1, "wasm"),
                (2, "wasm/0"),
                (2, "wasm/1"),
                (1, "browser"),
                (2, "proxy"),
                (2, "pages"),
                (1, "later")
            ]
        );
        assert!(board.rows.iter().all(|row| row.rate.is_none()));
        let child = row(&board, "wasm/1");
        assert_eq!((child.generation, child.jobs, child.bytes), (Some(4), Some(20), Some(3 << 20)));
        assert_eq!(child.recycle, Some(Order::Recycle { pool: "wasm".to_owned(), slot: 1 }));
        assert_eq!((child.tone, row(&board, "wasm/0").tone), (Tone::Well, Tone::Busy));
        assert_eq!(row(&board, "wasm/0").note, "for 2.0 s, last job 5.0 MiB");
        assert_eq!(row(&board, "wasm").recycle, None);
        assert_eq!(
            row(&board, "wasm").note,
            "4 waiting, 1 lost job, 2 restarts, 7 recycles, 1 in quarantine, last: panicked: at the disco"
        );
        assert_eq!(board.work, ["3 at work", "4 waiting", "2.0 MiB admitted"]);
        assert_eq!(board.totals, ["60 requests", "30 jobs", "1 lost", "3 restarts", "7 recycles", "5 refused"]);
        assert_eq!(board.pressure, "shrink");
        assert_eq!(board.meters[0].words, "1.5 GiB of 2.0 GiB (75 %), 512.0 MiB of it in processes");
        assert!((board.meters[0].share - 0.75).abs() < 1e-9 && board.meters.len() == 2);
        assert_eq!(board.parts[1], "no pdf: libpdfium.so is not there");
        assert_eq!(board.events, [" 1m05s  child ended  wasm/0#1  exit out of memory: 3.0 MiB"]);
        assert_eq!(board.condition, Ok("ready".to_owned()));
    }

    fn timed(before: Value, after: Value, between: Duration) -> Board {
        let before = look(before);
        let after = Look { at: before.at + between, ..look(after) };
        Board::of(&after, Some(&before))
    }

    #[test]
    fn two_looks_give_rates() {
        let after = [kid(0, 1, "idle", 15), kid(1, 5, "idle", 1)];
        let board = timed(daemon(30, &two_children()), daemon(50, &after), Duration::from_secs(2));
        assert_eq!(row(&board, "wasm").rate, Some(10.0));
        assert_eq!(row(&board, "wasm/0").rate, Some(2.5));
        assert_eq!(row(&board, "wasm/1").rate, None, "in its new life it counts anew");
        assert_eq!(board.work[1..3], ["20.0 requests/s", "10.0 jobs/s"]);
    }

    #[test]
    fn restarts_have_a_rate_while_there_are_any() {
        let mut after = daemon(30, &two_children());
        after["tree"]["children"][1]["detail"]["counts"]["restarts"]["killed"] = json!(4);
        after["tree"]["children"][2]["detail"]["restarts"]["killed"] = json!(3);
        let board = timed(daemon(30, &two_children()), after, Duration::from_secs(4));
        assert_eq!(board.totals[3..5], ["9 restarts (1.5/s)", "7 recycles"]);
    }

    #[test]
    fn a_daemon_that_was_started_anew_has_no_rates_and_no_harm_comes_of_it() {
        for between in [Duration::ZERO, Duration::from_secs(1)] {
            let board = timed(daemon(50, &two_children()), daemon(0, &[]), between);
            assert_eq!(board.work.len(), 3, "{:?}", board.work);
        }
    }

    #[test]
    fn an_older_daemon_is_shown_without_what_it_does_not_say() {
        let old = json!({ "memory": { "pressure": "normal" }, "tree": { "name": "old", "children": [
            { "name": "p", "detail": { "kind": "pool", "children": [{ "id": "odd" }] } }] } });
        let board = Board::of(&look(old), None);
        assert_eq!(board.rows.len(), 3);
        assert_eq!(board.rows[2].recycle, None, "nobody knows which slot that is");
        assert_eq!(board.totals[0], "0 jobs");
        assert!(serde_json::from_value::<Seen>(json!({ "hello": 1 })).is_err(), "that is no daemon");
    }

    #[test]
    fn two_children_in_a_slot_are_two_lines_and_the_newer_one_has_its_name() {
        let during = [kid(0, 1, "retiring", 10), kid(0, 2, "starting", 0)];
        let board = Board::of(&look(daemon(1, &during)), None);
        let keys: Vec<_> = board.rows.iter().filter(|row| row.depth == 2 && row.jobs.is_some()).map(|row| &*row.key).collect();
        assert_eq!(keys[..2], ["eventmesh/wasm/0#1", "eventmesh/wasm/0"]);
    }

    #[test]
    fn the_condition_says_what_is_missing() {
        let ready = |open, engine: &[(&str, bool)]| Ready {
            ready: false,
            open,
            engine: engine.iter().map(|(what, there)| ((*what).to_owned(), *there)).collect(),
        };
        for (ready, ill, words) in [
            (ready(false, &[("workers", true)]), None, "not ready: it lets nobody in"),
            (ready(true, &[("workers", true), ("memory", false), ("room", false)]), None, "not ready: no memory, no room"),
            (ready(true, &[]), None, "not ready"),
            (ready(true, &[]), Some("stuck"), "not alive: stuck"),
        ] {
            assert_eq!(condition(&ready, ill), Err(words.to_owned()));
        }
    }

    #[test]
    fn events_of_any_kind_become_a_line() {
        for (record, line) in [
            (
                json!({ "at": seconds(1), "event": "child_started", "child": "pdf/0#1", "took": { "secs": 0, "nanos": 2_000_000 } }),
                " 1.0 s  child started  pdf/0#1  took 2 ms",
            ),
            (
                json!({ "at": seconds(1), "event": "node_killed", "supervisor": "browser", "node": "proxy" }),
                " 1.0 s  node killed  browser/proxy",
            ),
            (
                json!({ "event": "x", "freed_bytes": 2048, "cause": "a\u{1b}[31mb" }),
                "        x    cause a [31mb  freed bytes 2.0 KiB",
            ),
            (json!(["?"]), "[\"?\"]"),
        ] {
            let mut written = event(&record);
            // In which order a daemon's fields come is not for this test.
            if written.contains("freed bytes 2.0 KiB  cause") {
                line.clone_into(&mut written);
            }
            assert_eq!(written, line);
        }
    }
}

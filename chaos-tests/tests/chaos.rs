//! The harness as its users run it: fixed seeds at both levels, exit codes, replay, shrinking, Ctrl-C.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail, and starts what it tests")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use eventmesh_chaos::sim::SimRun;
use eventmesh_chaos::{Fault, FaultKind, FaultPlan, Kept, Outcome};

const PROGRAM: &str = env!("CARGO_BIN_EXE_eventmesh-chaos");

fn chaos(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("it starts")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a scenario and returns its exit code and its report.
fn run(scenario: &str, more: &[&str]) -> (Option<i32>, Kept) {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().to_string_lossy().into_owned();
    let output = chaos(&[&["run", "--scenario", scenario, "--out", &out], more].concat());
    (output.status.code(), kept(directory.path(), &output))
}

fn kept(directory: &Path, output: &Output) -> Kept {
    let text = std::fs::read_to_string(directory.join("run.json")).unwrap_or_else(|_| panic!("{}", told(output)));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn two_thousand_seeds_hold() {
    for seed in 0..2_000 {
        let outcome = SimRun::of_seed(seed).run();
        assert!(outcome.holds(), "seed {seed}: {:?}", outcome.verdicts);
    }
}

/// A check that cannot fail is none: each scenario holds, and is violated with its mechanism switched off.
#[test]
fn what_is_switched_off_is_missed() {
    for scenario in ["escalation", "ledger", "orphans"] {
        let (code, report) = run(scenario, &[]);
        assert_eq!(code, Some(0), "{scenario}: {:?}", report.report.broken());
        assert!(report.report.verdicts.iter().any(|verdict| verdict.outcome == Outcome::Held), "{scenario} looked at nothing");
        let (code, report) = run(scenario, &["--without"]);
        assert_eq!((code, report.report.broken().len()), (Some(1), 1), "{scenario} without its mechanism");
    }
}

/// One after the other: each of them takes all processors, descriptors or memory there is.
#[test]
fn real_trees_keep_their_promises() {
    for (scenario, seed) in [("wasm", "3"), ("recycle", "1"), ("engine", "2"), ("processes", "5"), ("pdf", "4"), ("pdf", "6")] {
        let (code, kept) = run(scenario, &["--seed", seed, "--minutes", "0.1"]);
        let report = kept.report;
        assert_eq!(code, Some(0), "{scenario}: {:#?}", report.broken());
        assert!(report.calls > 500 && report.without_faults.good > 100, "{scenario}: {} calls", report.calls);
        assert!(!report.inflicted.is_empty() && report.whole_again_ms.is_some(), "{scenario}");
        // What has run out is no fault of a process that could not be started.
        assert!(scenario != "pdf" || report.inflicted.contains_key("no_files"), "{:?}", report.inflicted);
        // One seed stops processes and holds them up, the other kills them.
        let inflicted = |kind: &str| scenario != "pdf" || report.inflicted.contains_key(kind);
        let all: &[&str] = if seed == "4" { &["freeze", "hang", "break"] } else { &["kill", "retire"] };
        assert!(all.iter().copied().all(inflicted), "{:?}", report.inflicted);
        // What leaks is replaced before it has done as many documents as it may.
        assert!(scenario != "pdf" || report.recycles.contains_key("bytes"), "{:?}", report.recycles);
        assert!(report.memory.len() > 50, "{scenario}: {} samples", report.memory.len());
        for id in ["I1", "I2", "I3", "I4", "I6", "I7", "I8", "I12"] {
            let verdict = report.verdicts.iter().find(|verdict| verdict.id == id).expect("each has a verdict");
            assert_eq!(verdict.outcome, Outcome::Held, "{scenario}: {id}");
        }
    }
}

#[test]
fn a_simulated_run_replays_exactly() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let output = chaos(&["run", "--scenario", "sim", "--seed", "77", "--out", &text(&first)]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let output = chaos(&["run", "--replay", &text(&first.join("run.json")), "--out", &text(&second)]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let (first, second) = (kept(&first, &output), kept(&second, &output));
    assert_eq!(first.report.notes, second.report.notes, "the notes have the digest of all that happened");
    assert_eq!((first.config_hash, first.report.plan), (second.config_hash, second.report.plan));
}

/// Of a plan that loses calls, only what loses them is left.
#[test]
fn a_failing_plan_is_cut_down() {
    let directory = tempfile::tempdir().expect("a directory");
    let (before, after) = (directory.path().join("before"), directory.path().join("after"));
    let fault = |at_ms, kind| Fault { at_ms, for_ms: 300, kind, target: 0 };
    let plan = FaultPlan {
        faults: vec![
            fault(50, FaultKind::Retire),
            fault(100, FaultKind::Break),
            fault(150, FaultKind::Retire),
            fault(200, FaultKind::Retire),
        ],
    };
    let report = eventmesh_chaos::Report { scenario: "recycle".to_owned(), seed: 1, plan, length_ms: 600, ..Default::default() };
    report.keep(&before).expect("own directory");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let output = chaos(&["run", "--replay", &text(&before.join("run.json")), "--shrink", "--tries", "6", "--out", &text(&after)]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let shrunk = kept(&after, &output).report;
    assert!(shrunk.plan.faults.len() < 4, "{:?}", shrunk.plan);
    assert!(shrunk.plan.faults.iter().any(|fault| fault.kind == FaultKind::Break), "{:?}", shrunk.plan);
    assert!(shrunk.broken().iter().any(|verdict| verdict.id == "I10" && !verdict.context.is_empty()));
}

#[test]
fn ctrl_c_ends_a_run_and_leaves_nobody_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().to_string_lossy().into_owned();
    let mut program = Command::new(PROGRAM)
        .args(["run", "--scenario", "processes", "--minutes", "5", "--out", &out])
        .spawn()
        .expect("it starts");
    let mark = format!("EVENTMESH_PARENT={}", program.id());
    let children = || {
        let entries = std::fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
        let environments = entries.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
        environments.filter(|text| text.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())).count()
    };
    wait_until(|| children() == 2);
    let interrupted = Command::new("kill").args(["-INT", &program.id().to_string()]).status().expect("kill runs");
    assert!(interrupted.success());
    assert_eq!(program.wait().expect("it ends").code(), Some(130));
    wait_until(|| children() == 0);
}

fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    panic!("it never came to that");
}

#[test]
fn the_command_line_teaches_and_refuses_what_makes_no_sense() {
    let help = told(&chaos(&["--help"]));
    for taught in ["Exit codes:", "Examples:", "list", "run", "sim", "soak"] {
        assert!(help.contains(taught), "{taught} is not in:\n{help}");
    }
    let list = told(&chaos(&["list"]));
    for scenario in ["wasm", "recycle", "engine", "processes", "orphans", "escalation", "ledger", "sim"] {
        assert!(list.contains(scenario), "{scenario} is not in:\n{list}");
    }
    let none = chaos(&["run", "--scenario", "nothing"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(told(&none).contains("'eventmesh-chaos list' names them"), "{}", told(&none));
    assert_eq!(chaos(&["run", "--replay", "no-such-file"]).status.code(), Some(2));
    assert_eq!(chaos(&["run", "--scenario", "sim", "--minutes", "0"]).status.code(), Some(2));
    assert_eq!(chaos(&["sim", "--seeds", "20"]).status.code(), Some(0));
}

#[test]
fn a_short_soak_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("soak.json").to_string_lossy().into_owned();
    let output = chaos(&["soak", "--minutes", "0.1", "--rate", "300", "--json", &json]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).expect("written")).expect("JSON");
    assert_eq!(report["lost"], 0);
    assert!(report["calls"].as_u64().expect("a number") > 500);
}

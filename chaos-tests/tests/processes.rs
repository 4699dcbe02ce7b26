//! Processes as children: started, talked to, stopped step by step, killed, swept; nothing is left of them.

#![expect(clippy::expect_used, reason = "a test may fail")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::Duration;

use eventmesh_actors::process::{Farewell, Process, ProcessError, ProcessHost, ProcessSpec};
use eventmesh_actors::{KernelMemory, ProcessList};

const VICTIM: &str = env!("CARGO_BIN_EXE_eventmesh-chaos");

fn spec() -> ProcessSpec {
    ProcessSpec {
        ask_grace: Duration::from_secs(2),
        term_grace: Duration::from_secs(2),
        ..ProcessSpec::new(VICTIM).argument("victim")
    }
}

fn shell(script: &str) -> ProcessSpec {
    ProcessSpec {
        ask_grace: Duration::from_millis(200),
        term_grace: Duration::from_millis(200),
        ..ProcessSpec::new("/bin/sh").argument("-c").argument(script)
    }
}

async fn started(host: &ProcessHost, spec: &ProcessSpec) -> Process {
    host.spawn(spec, "test/0#1").await.expect("it starts")
}

/// Asks the test program, and keeps its input open.
fn ask(process: &mut Process, line: &str) -> (String, std::process::ChildStdin) {
    let (mut input, output) = (process.take_stdin().expect("piped"), process.take_stdout().expect("piped"));
    writeln!(input, "{line}").expect("it reads");
    let mut answer = String::new();
    BufReader::new(output).read_line(&mut answer).expect("it answers");
    (answer.trim_end().to_owned(), input)
}

fn entries(path: &Path) -> usize {
    std::fs::read_dir(path).map_or(0, |entries| entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir()).count())
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_process_has_its_own_group_directory_and_limits_and_ends_when_asked() {
    let root = tempfile::tempdir().expect("a directory");
    let host = ProcessHost::open(root.path()).expect("a host");
    let mut process = started(&host, &spec()).await;
    let (pid, scratch) = (process.pid(), process.scratch().to_owned());
    let (answer, input) = ask(&mut process, "echo 42");
    assert_eq!(answer, "42");
    assert!(scratch.is_dir() && host.pids() == [pid]);
    let proc = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it is there");
    let group = proc("stat").rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2).map(str::to_owned));
    assert_eq!(group, Some(pid.to_string()), "it leads a group of its own");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).expect("it is there"), scratch);
    let limits = proc("limits");
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).map(|line| line[26..].trim().to_owned());
    assert!(limit("Max core file size").is_some_and(|limit| limit.starts_with('0')), "{limits}");
    assert!(limit("Max open files").is_some_and(|limit| limit.starts_with("64")), "{limits}");
    assert!(!proc("environ").contains("CARGO"), "nothing is inherited");
    assert!(KernelMemory::of_this_machine().proportional(pid).is_some_and(|bytes| bytes > 0));
    drop(input);
    let (farewell, status) = process.stop().await;
    assert_eq!((farewell, status.code()), (Farewell::Asked, Some(0)));
    assert!(!scratch.exists() && !exists(pid) && host.pids().is_empty());
    // Whoever minded the process may still be on its way out, and holds the host as long; that is what closing waits for.
    let directory = host.directory().to_owned();
    host.close().await;
    assert!(!directory.exists(), "the host takes its directory with it");
    let idle = ProcessHost::open(root.path()).expect("a host");
    let directory = idle.directory().to_owned();
    assert!(directory.exists());
    drop(idle);
    assert!(!directory.exists(), "also without being closed, if nobody else holds it");
}

#[tokio::test]
async fn one_that_does_not_listen_is_told_ever_more_clearly() {
    let root = tempfile::tempdir().expect("a directory");
    let host = ProcessHost::open(root.path()).expect("a host");
    for (script, expected) in
        [("exec sleep 100", Farewell::Terminated), ("trap '' TERM; while :; do sleep 1; done", Farewell::Killed)]
    {
        let process = started(&host, &shell(script)).await;
        let pid = process.pid();
        // It has to have read its script.
        while std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| !status.contains("(sleeping)")) {
            tokio::task::yield_now().await;
        }
        let (farewell, _) = process.stop().await;
        assert_eq!(farewell, expected, "{script}");
        assert!(!exists(pid));
    }
    assert_eq!(entries(host.directory()), 0);
}

/// Whatever a process has started goes with it, and so does what it has written.
#[tokio::test]
async fn a_dropped_process_takes_its_whole_group_with_it() {
    let root = tempfile::tempdir().expect("a directory");
    let host = ProcessHost::open(root.path()).expect("a host");
    let mut process = started(&host, &shell("sleep 1000 & sleep 1000 & echo $! > born; mkdir -p a/b/c; echo there; wait")).await;
    let scratch = process.scratch().to_owned();
    let mut line = String::new();
    BufReader::new(process.take_stdout().expect("piped")).read_line(&mut line).expect("it says so");
    let grandchild: u32 = std::fs::read_to_string(scratch.join("born")).expect("written").trim().parse().expect("a number");
    assert!(exists(grandchild));
    drop(process);
    host.empty().await;
    assert!(!scratch.exists());
    let gone = async {
        while std::fs::read_to_string(format!("/proc/{grandchild}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the grandchild is killed");
}

#[tokio::test]
async fn a_start_that_fails_or_is_given_up_leaves_nothing() {
    let root = tempfile::tempdir().expect("a directory");
    let host = ProcessHost::open(root.path()).expect("a host");
    let missing = host.spawn(&ProcessSpec::new("/no/such/program"), "test/0#1").await;
    assert!(matches!(missing, Err(ProcessError::Start { .. })), "{missing:?}");
    let sleeper = shell("exec sleep 1000");
    for _ in 0..20 {
        // Given up at once: whether it has been started by then or not, nobody wants it.
        let starting = host.spawn(&sleeper, "test/0#1");
        let _ = tokio::time::timeout(Duration::ZERO, starting).await;
    }
    tokio::time::timeout(Duration::from_secs(20), host.empty()).await.expect("they are all killed");
    assert_eq!(entries(host.directory()), 0, "and leave no directory");
    let odd = ProcessHost::open(Path::new("/dev/null/nowhere"));
    assert!(matches!(odd, Err(ProcessError::Scratch { .. })), "{odd:?}");
}

/// The first process of a container is the parent of all orphans, and nobody but it takes note of their end.
#[tokio::test]
async fn orphans_leave_no_zombies_in_a_container() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("any process may");
    let root = tempfile::tempdir().expect("a directory");
    let host = ProcessHost::open(root.path()).expect("a host");
    let mut process = started(&host, &shell("sleep 1000 & sleep 1000 & echo; wait")).await;
    let mut line = String::new();
    BufReader::new(process.take_stdout().expect("piped")).read_line(&mut line).expect("it has started them");
    let family = process.family();
    assert_eq!(family.len(), 3, "{family:?}");
    drop(process);
    host.empty().await;
    let left: Vec<u32> = family.into_iter().filter(|pid| exists(*pid)).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A start that was given up is still under way somewhere; closing waits for it, wherever it is.
#[tokio::test]
async fn closing_waits_for_starts_that_were_given_up() {
    for _ in 0..50 {
        let root = tempfile::tempdir().expect("a directory");
        let host = ProcessHost::open(root.path()).expect("a host");
        let spec = spec();
        tokio::select! {
            biased;
            process = host.spawn(&spec, "test/0#1") => drop(process),
            // It has been asked for, and a thread of its own starts it.
            () = std::future::ready(()) => {}
        }
        host.close().await;
        assert!(host.pids().is_empty());
        assert!(!host.directory().exists());
    }
}

#[tokio::test]
async fn hosts_side_by_side_sweep_nothing_of_each_other() {
    let root = tempfile::tempdir().expect("a directory");
    let first = ProcessHost::open(root.path()).expect("a host");
    let mut process = started(&first, &spec()).await;
    let second = ProcessHost::open(root.path()).expect("a host");
    assert_eq!((second.swept().directories, second.swept().processes), (0, 0));
    assert_eq!(ask(&mut process, "echo 7").0, "7");
    // What a dead engine has left: a directory whose lock nobody holds.
    let stale = root.path().join("engine-1-0000000000000000");
    std::fs::create_dir_all(stale.join("3")).expect("own directory");
    let third = ProcessHost::open(root.path()).expect("a host");
    assert_eq!((third.swept().directories, stale.exists()), (1, false));
}

/// A program that has not been started by a host ends at once, and says why.
#[tokio::test]
async fn a_stray_program_says_what_it_is() {
    let root = tempfile::tempdir().expect("a directory");
    let host = ProcessHost::open(root.path()).expect("a host");
    let mut process = started(&host, &shell(&format!("unset EVENTMESH_PARENT; exec {VICTIM} victim 2>&1"))).await;
    let mut said = String::new();
    BufReader::new(process.take_stdout().expect("piped")).read_line(&mut said).expect("it says so");
    assert!(said.contains("not started by an engine"), "{said}");
    assert_eq!(process.wait().await.code(), Some(70));
}

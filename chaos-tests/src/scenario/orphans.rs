//! An engine is killed in the middle of its work; who is left, and for how long?

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use eventmesh_actors::Invariant;
use eventmesh_actors::process::{Process, ProcessHost, ProcessSpec};
use tokio::time::{sleep, timeout};

use super::{Order, ScenarioError};
use crate::invariant::Checker;
use crate::report::Report;

/// Processes of each kind.
const EACH: usize = 3;
/// How long a process may take to be gone.
const GONE: Duration = Duration::from_secs(5);

pub(super) async fn run(order: &Order, directory: &Path) -> Result<Report, ScenarioError> {
    let mut checker = Checker::new();
    let root = directory.join("scratch");
    let (mut engine, good, stray) = engine(&order.program, &root)?;
    let _leftovers = Leftovers(stray.clone());
    checker.happened(|| format!("an engine with processes {good:?}, and strays {stray:?}"));
    engine.kill()?;
    engine.wait()?;
    let good_gone = timeout(GONE, gone(&good)).await.is_ok();
    checker.check(Invariant::I7, good_gone, || format!("of {good:?}, which tie their lives to their engine's, some are left"));
    // Without the strays there would be nothing to sweep, and nothing tried.
    let there = stray.iter().filter(|pid| is_alive(**pid)).count();
    checker.happened(|| format!("{there} strays outlive their engine"));

    // The next engine looks where the first one worked, unless that is switched off.
    let next = if order.broken { directory.join("elsewhere") } else { root.clone() };
    let host = ProcessHost::open(&next).map_err(crate::real::StartError::from)?;
    let swept = host.swept().clone();
    let stray_gone = timeout(GONE, gone(&stray)).await.is_ok();
    checker.check(Invariant::I7, stray_gone && there == EACH, || {
        format!("{there} of {EACH} strays outlived their engine; after the sweep: {:?}", alive(&stray))
    });
    let left: Vec<String> =
        engines(&root).filter(|path| path != host.directory()).map(|path| path.display().to_string()).collect();
    checker.check(Invariant::I7, left.is_empty(), || format!("directories of a dead engine are left: {left:?}"));
    Ok(Report {
        scenario: "orphans".to_owned(),
        seed: order.seed,
        verdicts: checker.verdicts(),
        notes: vec![format!("swept: {swept:?}")],
        ..Report::default()
    })
}

/// The scenario leaves nothing behind itself, whatever it tried and however it ends.
struct Leftovers(Vec<u32>);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for pid in alive(&self.0) {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            // One that is gone by now needs no signal.
            let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
    }
}

/// Starts this program as an engine with processes, in a process that can be killed.
#[expect(clippy::disallowed_methods, reason = "it is to be killed like an engine that nobody supervises")]
fn engine(program: &Path, root: &Path) -> std::io::Result<(Child, Vec<u32>, Vec<u32>)> {
    let mut engine = Command::new(program).arg("doomed").arg(root).stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(engine.stdout.take().ok_or_else(|| std::io::Error::other("no output"))?).lines();
    let mut pids = || -> std::io::Result<Vec<u32>> {
        let line = lines.next().ok_or_else(|| std::io::Error::other("the engine said nothing"))??;
        Ok(line.split(' ').filter_map(|pid| pid.parse().ok()).collect())
    };
    let (good, stray) = (pids()?, pids()?);
    Ok((engine, good, stray))
}

/// The engine that is to be killed: processes with good manners and without, their numbers, and then nothing more.
pub async fn doomed(program: &Path, root: &Path) -> ExitCode {
    let Ok(host) = ProcessHost::open(root) else { return ExitCode::FAILURE };
    let mut held: Vec<Process> = Vec::new();
    for stray in [false, true] {
        let mut spec = ProcessSpec::new(program).argument("victim");
        if stray {
            spec = spec.argument("--stray");
        }
        let mut numbers = Vec::new();
        for number in 0..EACH {
            let Ok(mut process) = host.spawn(&spec, &format!("doomed/{number}")).await else { return ExitCode::FAILURE };
            // One that answers has done what it does first.
            if !answers(&mut process).await {
                return ExitCode::FAILURE;
            }
            numbers.push(process.pid().to_string());
            held.push(process);
        }
        let mut out = std::io::stdout().lock();
        let told = std::io::Write::write_all(&mut out, (numbers.join(" ") + "\n").as_bytes());
        if told.and_then(|()| std::io::Write::flush(&mut out)).is_err() {
            return ExitCode::FAILURE;
        }
    }
    std::future::pending().await
}

async fn answers(process: &mut Process) -> bool {
    let (Some(mut input), Some(output)) = (process.take_stdin(), process.take_stdout()) else { return false };
    let asked = move || {
        std::io::Write::write_all(&mut input, b"echo 1\n")?;
        let mut answer = String::new();
        BufReader::new(output).read_line(&mut answer)?;
        // The input stays open for as long as this process lives.
        std::mem::forget(input);
        Ok::<String, std::io::Error>(answer)
    };
    matches!(tokio::task::spawn_blocking(asked).await, Ok(Ok(answer)) if answer == "1\n")
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

fn alive(pids: &[u32]) -> Vec<u32> {
    pids.iter().copied().filter(|pid| is_alive(*pid)).collect()
}

async fn gone(pids: &[u32]) {
    while pids.iter().any(|pid| is_alive(*pid)) {
        sleep(Duration::from_millis(10)).await;
    }
}

fn engines(root: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

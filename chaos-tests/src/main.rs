//! The `eventmesh-chaos` binary: tries what EventMesh promises, and says by its exit code what came of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use eventmesh_actors::spawn_named;
use eventmesh_chaos::scenario::{Order, SCENARIOS, Scenario};
use eventmesh_chaos::sim::SimRun;
use eventmesh_chaos::victim::{self, Manners};
use eventmesh_chaos::{Checker, Kept, Report, Soak, shrink};
use tracing_subscriber::EnvFilter;

/// The allocator that the daemon ships with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const AFTER_HELP: &str = "\
Exit codes:
  0    every promise held
  1    a promise was broken; the report says which, and what came before
  2    the command line makes no sense
  3    the trial could not be run
  130  interrupted

Examples:
  eventmesh-chaos list
  eventmesh-chaos run --scenario wasm --seed 7 --minutes 1
  eventmesh-chaos run --replay chaos-report/run.json --shrink
  eventmesh-chaos sim --seeds 10000
  eventmesh-chaos soak --minutes 60";

/// Tries to break what EventMesh promises.
#[derive(Debug, Parser)]
#[command(version, about, after_help = AFTER_HELP, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Names the scenarios, and what can go wrong in each
    List,
    /// Runs one scenario and keeps its report
    Run(RunArgs),
    /// Runs many seeds of the sim level
    Sim(SimArgs),
    /// Drives steady load with recycling on, and looks for growth, losses and drift
    Soak(SoakArgs),
    /// The test program behind process workers
    #[command(hide = true)]
    Victim {
        /// Without good manners
        #[arg(long)]
        stray: bool,
    },
    /// An engine that is to be killed
    #[command(hide = true)]
    Doomed {
        /// Where its scratch directories are
        root: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Which one; `list` names them
    #[arg(long, value_name = "NAME", required_unless_present = "replay")]
    scenario: Option<String>,
    /// Draws faults, load and jitter
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of the chaos phase of a real scenario; fractions are fine
    #[arg(long, value_name = "MINUTES", default_value = "0.5", value_parser = minutes)]
    minutes: Duration,
    /// Runs again what a report was kept of: its scenario, seed, plan and length
    #[arg(long, value_name = "RUN_JSON", conflicts_with_all = ["scenario", "seed", "minutes"])]
    replay: Option<PathBuf>,
    /// If a promise is broken, looks for fewer faults that still break it
    #[arg(long)]
    shrink: bool,
    /// Runs at most this often to shrink a plan
    #[arg(long, value_name = "N", default_value_t = 40)]
    tries: usize,
    /// Where the report is kept [default: chaos-report, of a replay chaos-report/replay]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Switches the mechanism off that the scenario is about, in the scenario's own copy: it should then be violated
    #[arg(long)]
    without: bool,
}

#[derive(Debug, clap::Args)]
struct SimArgs {
    /// How many
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Where the report of the first broken seed is kept
    #[arg(long, value_name = "DIR", default_value = "chaos-report")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct SoakArgs {
    /// How long; fractions are fine
    #[arg(long, value_name = "MINUTES", default_value = "10", value_parser = minutes)]
    minutes: Duration,
    /// Calls in a second
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Draws the load
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes everything that was measured, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number of minutes".to_owned())?;
    Duration::try_from_secs_f64(minutes * 60.0)
        .ok()
        .filter(|length| !length.is_zero() && *length < Duration::from_secs(60 * 60 * 24 * 30))
        .ok_or_else(|| "must be more than 0 minutes, and no more than a month".to_owned())
}

fn main() -> ExitCode {
    // Started to read PDFs, it is nothing else.
    eventmesh::worker_main();
    let cli = Cli::parse();
    if let Command::Victim { stray } = cli.command {
        // Before everything else: it is single-threaded, and ties its life to its parent's first thing.
        return victim::main(if stray { Manners::Stray } else { Manners::Good });
    }
    // What is broken on purpose is not worth a line each; what nobody planned is.
    let filter = EnvFilter::try_from_env("EVENTMESH_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    quiet_panics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return unable(&error),
    };
    let code = runtime.block_on(async {
        // In a task of its own: some of it blocks, and an interrupt must be heard all the same.
        let work = spawn_named("command", run(cli.command));
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => ExitCode::from(130),
            code = work => code.ok().flatten().unwrap_or(ExitCode::from(3)),
        }
    });
    // What is still at work is killed with this process; its children tie their lives to it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::List => list(),
        Command::Run(arguments) => scenario(arguments).await,
        Command::Sim(arguments) => sim(&arguments),
        Command::Soak(arguments) => soak(arguments).await,
        Command::Doomed { root } => match std::env::current_exe() {
            Ok(program) => eventmesh_chaos::scenario::doomed(&program, &root).await,
            Err(error) => unable(&error),
        },
        Command::Victim { .. } => ExitCode::SUCCESS,
    }
}

fn list() -> ExitCode {
    let mut text = String::new();
    for scenario in SCENARIOS {
        text += &format!("{:<11} {}\n", scenario.name, scenario.what);
        if !scenario.kinds.is_empty() {
            let kinds: Vec<&str> = scenario.kinds.iter().map(|kind| kind.label()).collect();
            text += &format!("            goes wrong: {}\n", kinds.join(", "));
        }
    }
    say(&text)
}

async fn scenario(arguments: RunArgs) -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return unable(&error),
    };
    let mut order = Order { seed: arguments.seed, chaos: arguments.minutes, plan: None, broken: arguments.without, program };
    let mut name = arguments.scenario.unwrap_or_default();
    if let Some(path) = &arguments.replay {
        let report = match kept(path) {
            Ok(report) => report,
            Err(why) => return usage(&why),
        };
        order.seed = report.seed;
        if report.length_ms > 0 {
            order.chaos = Duration::from_millis(report.length_ms);
        }
        name.clone_from(&report.scenario);
        order.broken |= report.without;
        order.plan = Some(report.plan);
    }
    let Some(scenario) = Scenario::named(&name) else {
        return usage(&format!("there is no scenario '{name}'; 'eventmesh-chaos list' names them"));
    };
    if order.broken && !scenario.has_a_mechanism() {
        return usage(&format!("'{name}' is not about one mechanism; --without is for escalation, ledger and orphans"));
    }
    let out = arguments.out.unwrap_or_else(|| {
        let kept = PathBuf::from("chaos-report");
        if arguments.replay.is_some() { kept.join("replay") } else { kept }
    });
    let report = match scenario.run(&order, |line| tell(&format!("{name}: {line}"))).await {
        Ok(report) => report,
        Err(error) => return unable(&error),
    };
    let shrinks = arguments.shrink && !report.holds() && !report.plan.faults.is_empty() && !scenario.has_a_mechanism();
    let report = if shrinks { shrunk(scenario, &order, report, arguments.tries).await } else { report };
    let code = said(&report.markdown(), report.holds());
    match report.keep(&out) {
        Ok(kept) => tell(&format!("kept in {}; again: {}", out.display(), kept.replay)),
        Err(error) => return unable(&error),
    }
    if report.tried_something() { code } else { unable(&std::io::Error::other("nothing could have been broken in this run")) }
}

/// Looks for fewer faults that still break the same promise; its report is the one that is kept.
async fn shrunk(scenario: Scenario, order: &Order, report: Report, tries: usize) -> Report {
    let broken: Vec<String> = report.broken().iter().map(|verdict| verdict.id.clone()).collect();
    let (mut smallest, before) = (report.clone(), report.plan.faults.len());
    let plan = tokio::task::block_in_place(|| {
        shrink(&report.plan, tries, |plan| {
            let order = Order { plan: Some(plan.clone()), ..order.clone() };
            let run = tokio::runtime::Handle::current().block_on(scenario.run(&order, |_| {}));
            let Ok(report) = run else { return false };
            let fails = report.broken().iter().any(|verdict| broken.contains(&verdict.id));
            tell(&format!("shrink: {} faults: {}", plan.faults.len(), if fails { "still broken" } else { "held" }));
            if fails {
                smallest = report;
            }
            fails
        })
    });
    smallest.notes.push(format!("Shrunk from {before} faults to {}.", plan.faults.len()));
    smallest
}

fn kept(path: &Path) -> Result<Report, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("failed to read {}: {error}", path.display()))?;
    let kept: Kept = serde_json::from_str(&text).map_err(|error| format!("{} is no report: {error}", path.display()))?;
    Ok(kept.report)
}

fn sim(arguments: &SimArgs) -> ExitCode {
    let (mut events, mut callers, mut gave_up, mut broken) = (0, 0, 0, Vec::new());
    let mut checker = Checker::new();
    for seed in arguments.from..arguments.from.saturating_add(arguments.seeds) {
        let outcome = SimRun::of_seed(seed).run();
        events += outcome.events;
        callers += outcome.callers;
        gave_up += u64::from(outcome.gave_up);
        for (invariant, verdict) in eventmesh_actors::Invariant::ALL.into_iter().zip(&outcome.verdicts) {
            if verdict.checks > 0 {
                checker.check(invariant, verdict.violations == 0, || {
                    format!("seed {seed}: {}", verdict.first.clone().unwrap_or_default())
                });
            }
        }
        if !outcome.holds() {
            broken.push(seed);
        }
        let done = seed - arguments.from + 1;
        if done.is_multiple_of(1000) {
            tell(&format!("sim: {done} of {} seeds, {} broken", arguments.seeds, broken.len()));
        }
    }
    let notes = vec![format!(
        "{} seeds: {events} things happened to {callers} callers; in {gave_up} the root gave up, as it should. Broken: {:?}",
        arguments.seeds,
        broken.iter().take(20).collect::<Vec<_>>()
    )];
    let report =
        Report { scenario: "sim".to_owned(), seed: arguments.from, verdicts: checker.verdicts(), notes, ..Report::default() };
    if arguments.seeds == 0 {
        return usage("no seeds, nothing tried");
    }
    if let Some(seed) = broken.first() {
        let outcome = SimRun::of_seed(*seed).run();
        let plan = SimRun::of_seed(*seed).plan;
        let first = Report { scenario: "sim".to_owned(), seed: *seed, plan, verdicts: outcome.verdicts, ..Report::default() };
        if let Err(error) = first.keep(&arguments.out) {
            return unable(&error);
        }
        tell(&format!("again: eventmesh-chaos run --scenario sim --seed {seed} --shrink --out {}", arguments.out.display()));
    }
    said(&report.markdown(), report.holds())
}

async fn soak(arguments: SoakArgs) -> ExitCode {
    let soak = Soak { length: arguments.minutes, rate: arguments.rate, seed: arguments.seed };
    let report = match soak.run(|line| tell(&format!("soak: {line}"))).await {
        Ok(report) => report,
        Err(error) => return unable(&error),
    };
    if let Some(path) = &arguments.json {
        let written = serde_json::to_string_pretty(&report).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|json| std::fs::write(path, json + "\n")) {
            return unable(&error);
        }
    }
    let mut text = report.text();
    for verdict in report.verdicts.iter().filter(|verdict| verdict.violations > 0) {
        text += &format!("BROKEN     {}: {}\n", verdict.id, verdict.first.as_deref().unwrap_or_default());
    }
    said(&text, report.holds())
}

fn said(text: &str, holds: bool) -> ExitCode {
    let told = say(text);
    if holds { told } else { ExitCode::from(1) }
}

fn say(text: &str) -> ExitCode {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough is told nothing.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => unable(&error),
    }
}

/// A line of progress, on standard error.
fn tell(line: &str) {
    use std::io::Write;
    // Where even that cannot be written, the exit code has to say it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn usage(why: &str) -> ExitCode {
    tell(&format!("eventmesh-chaos: {why}"));
    ExitCode::from(2)
}

fn unable(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text += &format!(": {inner}");
        source = inner.source();
    }
    tell(&format!("eventmesh-chaos: {text}"));
    ExitCode::from(3)
}

/// Panics on purpose are told by the events; a backtrace of each would bury everything else.
fn quiet_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = eventmesh_actors::panic_text(panic.payload());
        if !text.contains("on purpose") {
            before(panic);
        }
    }));
}

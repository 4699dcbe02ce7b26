//! A trial: load on a target, faults by a plan, then quiet, then the end; and what was seen of each promise.
//!
//! ```text
//!   baseline ──▶ chaos ──▶ quiet, with a time by which all must be well ──▶ drained ──▶ stopped
//!   no faults    the plan   no faults; the load goes on                     no load
//! ```
//!
//! The seed replays the plan and the load, not the interleaving of threads: that is what the sim level is for.

mod inflict;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eventmesh_actors::{Invariant, KernelMemory, spawn_named};
use tokio::sync::watch as channel;
use tokio::time::{Instant, sleep, timeout};

use crate::board::Board;
use crate::invariant::Checker;
use crate::load::{Called, Calls, Load};
use crate::os;
use crate::plan::FaultPlan;
use crate::report::{Latencies, Recovery, Report};
use crate::target::{AnswerKind, Target};
use inflict::Inflicter;
use watch::{Seen, Watcher};

/// What is tried, and how.
pub struct Trial {
    /// The scenario's name.
    pub scenario: String,
    /// The seed of plan and load.
    pub seed: u64,
    /// What is tried.
    pub target: Arc<dyn Target>,
    /// The faults that decorated workers look for, if there are decorated workers.
    pub board: Option<Arc<Board>>,
    /// What goes wrong.
    pub plan: FaultPlan,
    /// The calls.
    pub load: Load,
    /// Time before the first fault.
    pub baseline: Duration,
    /// Time of the plan.
    pub chaos: Duration,
    /// Time after the last fault by which the tree must be whole again.
    pub converge: Duration,
    /// Bytes that a memory hog takes.
    pub hog: usize,
    /// Bytes that may be held more after the drain than before the load.
    pub memory_slack: u64,
    /// Whether every call must be answered well: when nothing goes wrong but what is planned.
    pub lossless: bool,
    /// Whether children must have been recycled, so that something was tried at all.
    pub recycled: bool,
}

impl Trial {
    /// Runs it and says what came of it. `progress` is told what is going on, a line at a time.
    pub async fn run(self, mut progress: impl FnMut(&str)) -> Report {
        let kernel = KernelMemory::of_this_machine();
        let mut checker = Checker::new();
        let descriptors = os::open_descriptors();
        let began = Instant::now();
        let (watch_stop, watching) = channel::channel(false);
        let watcher = spawn_named("watcher", Watcher::new(Arc::clone(&self.target), kernel.clone(), began).run(watching));
        let (stop, stopped) = channel::channel(false);
        let load = spawn_named("load", self.load.run(Arc::clone(&self.target), stopped));

        progress(&format!("baseline, {:?}", self.baseline));
        sleep(self.baseline).await;
        let resident_before = kernel.resident().unwrap_or(0);

        progress(&format!("chaos, {:?}, {} faults", self.chaos, self.plan.faults.len()));
        let chaos_from = began.elapsed();
        let mut inflicter = Inflicter::new(Arc::clone(&self.target), self.board.clone(), self.hog);
        let chaos_began = Instant::now();
        inflicter.follow(&self.plan, chaos_began, chaos_began + self.chaos).await;
        let inflicted = inflicter.relieve_all();
        let chaos_until = began.elapsed();

        progress(&format!("quiet, whole again within {:?}", self.converge));
        let quiet = Instant::now();
        let whole = timeout(self.converge, whole(&*self.target)).await.is_ok();
        let took = quiet.elapsed();
        checker.check(Invariant::I6, whole, || {
            format!("not whole {:?} after the last fault: {}", self.converge, brief(&*self.target))
        });
        let whole_at = began.elapsed();
        // Calls on the recovered tree: they must be answered as if nothing had been.
        sleep(QUIET).await;
        let drained_at = began.elapsed();

        progress("drained");
        stop.send_replace(true);
        let calls = load.await.ok().flatten().unwrap_or_default();
        checker.check(Invariant::I1, !calls.made.is_empty(), || "no call was made".to_owned());
        // What the harness itself has gathered is not the tree's.
        let own = (calls.made.capacity() * size_of::<Called>()) as u64;
        let allowed = resident_before + self.memory_slack + own;
        let resident_after = settled(&kernel, allowed).await;
        checker.check(Invariant::I8, resident_after <= allowed, || {
            format!(
                "{resident_after} bytes resident after the drain, {resident_before} before, {} more allowed",
                self.memory_slack + own
            )
        });
        let tree = self.target.tree();

        progress("stopped");
        let stopping = Instant::now();
        // A stop that hangs is a verdict, not the end of the harness.
        let allowed = timeout(NEVER, self.target.stop()).await.unwrap_or(Duration::ZERO);
        let stopped_in = stopping.elapsed();
        checker.check(Invariant::I12, stopped_in <= allowed, || format!("the stop took {stopped_in:?}, {allowed:?} allowed"));
        watch_stop.send_replace(true);
        let seen = watcher.await.ok().flatten();
        checker.check(Invariant::I2, seen.is_some(), || "the watcher died, and nobody has looked".to_owned());
        let seen = seen.unwrap_or_default();
        seen.judge(&mut checker);
        self.look_at_calls(&calls, &seen, &mut checker);
        let healthy = |call: &Called| {
            let done = call.at + call.took;
            done < chaos_from || (whole && call.at > whole_at && done < drained_at)
        };
        for call in calls.made.iter().filter(|call| healthy(call)) {
            let well = call.answer.as_ref().is_some_and(|answer| matches!(answer.kind, AnswerKind::Good | AnswerKind::Rejected));
            let what = || format!("without any fault, the call at {:?} ended with {:?}", call.at, call.answer);
            checker.check_in_context(Invariant::I6, well, what, || seen.before(call.at + call.took));
        }
        if self.recycled {
            let recycles: u64 = total(&tree, |counts| &counts.recycles).values().sum();
            checker.check(Invariant::I10, recycles > 0, || "nothing was recycled, so nothing was tried".to_owned());
        }
        self.look_for_leftovers(descriptors, &mut checker).await;

        let phase =
            |from: Duration, until: Duration| Latencies::of(calls.made.iter().filter(|call| call.at >= from && call.at < until));
        let mut answers: BTreeMap<String, u64> = BTreeMap::new();
        for call in &calls.made {
            let label = call.answer.as_ref().map_or("none", |answer| answer.label);
            *answers.entry(label.to_owned()).or_default() += 1;
        }
        Report {
            scenario: self.scenario,
            seed: self.seed,
            plan: self.plan,
            length_ms: millis(self.chaos),
            calls: calls.made.len() as u64,
            left_out: calls.left_out,
            answers,
            inflicted: inflicted.into_iter().map(|(kind, count)| (kind.label().to_owned(), count)).collect(),
            without_faults: phase(Duration::ZERO, chaos_from),
            with_faults: phase(chaos_from, chaos_until),
            afterwards: phase(chaos_until, Duration::MAX),
            whole_again_ms: whole.then_some(took.as_secs_f64() * 1e3),
            recoveries: Recovery::table(&seen.recoveries),
            memory: seen.memory,
            chaos_ms: [millis(chaos_from), millis(chaos_until)],
            restarts: total(&tree, |counts| &counts.restarts),
            recycles: total(&tree, |counts| &counts.recycles),
            events_missed: seen.missed,
            verdicts: checker.verdicts(),
            without: false,
            notes: Vec::new(),
        }
    }

    fn look_at_calls(&self, calls: &Calls, seen: &Seen, checker: &mut Checker) {
        let longest = self.load.within + self.target.grace() + TIMERS;
        for call in &calls.made {
            let context = || seen.before(call.at + call.took);
            let what = || format!("the call at {:?} took {:?} and ended with {:?}", call.at, call.took, call.answer);
            checker.check_in_context(Invariant::I1, call.answer.is_some() && call.took <= longest, what, context);
            let Some(answer) = &call.answer else { continue };
            checker.check_in_context(Invariant::I9, answer.kind != AnswerKind::Wrong, what, context);
            if answer.kind == AnswerKind::Refused {
                checker.check_in_context(Invariant::I11, answer.comes_back, what, context);
            }
            if self.lossless {
                let fine = matches!(answer.kind, AnswerKind::Good | AnswerKind::Rejected);
                checker.check_in_context(Invariant::I10, fine, what, context);
            }
        }
    }

    async fn look_for_leftovers(&self, before: usize, checker: &mut Checker) {
        // Sockets of a runtime close when its tasks have been dropped, which may be a moment later.
        let gone = async {
            while os::zombies() > 0 || os::open_descriptors() > before || !self.target.left_behind().is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let clean = timeout(LEFTOVERS, gone).await.is_ok();
        checker.check(Invariant::I7, clean, || {
            let (zombies, now) = (os::zombies(), os::open_descriptors());
            format!("{zombies} zombies, {now} descriptors ({before} before), {:?}", self.target.left_behind())
        });
    }
}

/// How late the timers of a busy machine may fire.
const TIMERS: Duration = Duration::from_secs(2);
/// Load goes on at least this long after the last fault.
const QUIET: Duration = Duration::from_secs(2);
/// A stop that takes longer never ends.
const NEVER: Duration = Duration::from_secs(60);
/// How long leftovers may take to go: a scratch directory that could not be removed is tried again for a while.
const LEFTOVERS: Duration = Duration::from_secs(25);

/// Waits until every pool below is whole: open, with all children, and nobody in line for long.
async fn whole(target: &dyn Target) {
    loop {
        let tree = target.tree();
        let pools = tree.pools();
        let well = tree.state == "running"
            && pools.iter().all(|pool| {
                let serving = pool.children.iter().filter(|child| matches!(child.state, "idle" | "leased")).count();
                pool.phase == "open" && serving >= pool.size as usize && pool.target == pool.size
            });
        if well && target.is_whole() {
            return;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

fn brief(target: &dyn Target) -> String {
    serde_json::to_string(&target.tree()).unwrap_or_default()
}

/// What is resident once it has fallen to `good`, or after a while.
async fn settled(kernel: &KernelMemory, good: u64) -> u64 {
    for _ in 0..50 {
        let resident = kernel.resident().unwrap_or(0);
        if resident <= good {
            return resident;
        }
        sleep(Duration::from_millis(100)).await;
    }
    kernel.resident().unwrap_or(0)
}

fn total(
    tree: &eventmesh_actors::TreeSnapshot,
    of: impl Fn(&eventmesh_actors::PoolCounts) -> &BTreeMap<&'static str, u64>,
) -> BTreeMap<String, u64> {
    let mut total = BTreeMap::new();
    for pool in tree.pools() {
        for (cause, count) in of(&pool.counts) {
            *total.entry((*cause).to_owned()).or_default() += count;
        }
    }
    total
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("scenario", &self.scenario).field("seed", &self.seed).finish_non_exhaustive()
    }
}

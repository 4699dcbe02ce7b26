//! What can be tried: the scenarios, by name.

mod mechanisms;
mod orphans;

pub use orphans::doomed;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eventmesh_actors::{MemoryLimits, RecycleLimits};

use crate::board::Board;
use crate::load::Load;
use crate::plan::{FaultKind, FaultPlan};
use crate::real::StartError;
use crate::real::browsers::{BrowserTarget, Role, Trouble};
use crate::real::engine::EngineTarget;
use crate::real::mixed::MixedTarget;
use crate::real::pdfs::PdfTarget;
use crate::real::processes::ProcessTarget;
use crate::real::wasm::WasmTarget;
use crate::report::Report;
use crate::sim::{KINDS, SimRun};
use crate::target::Target;
use crate::trial::Trial;

/// How a scenario is to be run.
#[derive(Clone, Debug)]
pub struct Order {
    /// Draws plan, load and jitter.
    pub seed: u64,
    /// Length of the chaos phase of a real scenario.
    pub chaos: Duration,
    /// A plan to follow instead of the one that the seed draws.
    pub plan: Option<FaultPlan>,
    /// Switches the mechanism off that the scenario is about, in the scenario's own copy.
    pub broken: bool,
    /// This program, to be started as a test program.
    pub program: PathBuf,
}

/// Something that can be tried.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub what: &'static str,
    /// What can go wrong in it; nothing is drawn for those that have a plan of their own.
    pub kinds: &'static [FaultKind],
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Sim,
    Wasm,
    Recycle,
    Engine,
    Processes,
    Pdf,
    Browser(Trouble),
    Mixed,
    Orphans,
    Escalation,
    Ledger,
}

/// All of them.
pub const SCENARIOS: [Scenario; 22] = [
    Scenario {
        name: "sim",
        what: "the engine's own books under virtual time, one seed; `eventmesh-chaos sim` runs thousands",
        kinds: &KINDS,
        kind: Kind::Sim,
    },
    Scenario {
        name: "wasm",
        what: "real sandboxed workers that panic, fail, break, hang, grow, leak and start badly, on a busy machine",
        kinds: &[
            FaultKind::Panic,
            FaultKind::Fail,
            FaultKind::Break,
            FaultKind::Hang,
            FaultKind::Grow,
            FaultKind::Leak,
            FaultKind::SlowStart,
            FaultKind::FailStart,
            FaultKind::Sicken,
            FaultKind::StarveClock,
            FaultKind::Retire,
        ],
        kind: Kind::Wasm,
    },
    Scenario {
        name: "recycle",
        what: "real sandboxed workers recycled all the time, by plan and by hand: not one call may be lost",
        kinds: &[FaultKind::Retire, FaultKind::SlowStart],
        kind: Kind::Recycle,
    },
    Scenario {
        name: "engine",
        what: "the whole engine against a site with bad manners, without memory, files, processor time, and with callers that leave",
        kinds: &[FaultKind::MemoryHog, FaultKind::NoFiles, FaultKind::StarveClock, FaultKind::CallersLeave],
        kind: Kind::Engine,
    },
    Scenario {
        name: "processes",
        what: "workers that are processes, killed, frozen, out of disk, hanging: none may be left behind",
        kinds: &[
            FaultKind::Kill,
            FaultKind::Freeze,
            FaultKind::DiskFull,
            FaultKind::Panic,
            FaultKind::Hang,
            FaultKind::FailStart,
            FaultKind::Retire,
            FaultKind::NoFiles,
        ],
        kind: Kind::Processes,
    },
    Scenario {
        name: "pdf",
        what: "the processes that read PDFs, fed bombs, killed, frozen, leaking, without their library or a descriptor",
        kinds: &[
            FaultKind::Kill,
            FaultKind::Freeze,
            FaultKind::Leak,
            FaultKind::Panic,
            FaultKind::Break,
            FaultKind::Hang,
            FaultKind::LibraryGone,
            FaultKind::Retire,
            FaultKind::StarveClock,
            FaultKind::NoFiles,
        ],
        kind: Kind::Pdf,
    },
    Scenario {
        name: "browser",
        what: "pages rendered while renderers, browsers, zygotes and all others of their processes are killed and frozen",
        kinds: &[FaultKind::Kill, FaultKind::Freeze, FaultKind::StarveClock],
        kind: Kind::Browser(Trouble::Mixed),
    },
    process("browser-renderer", "pages rendered while the processes that show them are killed and frozen", Role::Renderer),
    process("browser-main", "pages rendered while whole browsers are killed and frozen", Role::Main),
    process("browser-gpu", "pages rendered while the processes that draw are killed and frozen", Role::Gpu),
    process("browser-network", "pages rendered while the processes that load are killed and frozen", Role::Network),
    process("browser-zygote", "pages rendered while the processes that renderers come from are killed and frozen", Role::Zygote),
    page("browser-hang", "pages whose scripts never end, among others that must not notice", "hang", 40),
    page("browser-heap", "pages that fill their heap, among others that must not notice", "heap-hog", 60),
    page("browser-buffers", "pages that hold ever more buffers, among others that must not notice", "buffer-hog", 20),
    page("browser-dialogs", "pages that ask and alert, among others that must not notice", "dialogs", 2),
    page("browser-popups", "pages that open windows, among others that must not notice", "popups", 2),
    page("browser-downloads", "pages that want to save files, among others that must not notice", "download", 2),
    Scenario {
        name: "mixed",
        what: "the whole engine with HTML, PDFs and rendering at once, and everything that can go wrong around it",
        kinds: &[
            FaultKind::Kill,
            FaultKind::Freeze,
            FaultKind::Retire,
            FaultKind::MemoryHog,
            FaultKind::NoFiles,
            FaultKind::StarveClock,
            FaultKind::CallersLeave,
        ],
        kind: Kind::Mixed,
    },
    Scenario {
        name: "orphans",
        what: "an engine is killed with its processes running: they die with it, or are swept by the next",
        kinds: &[],
        kind: Kind::Orphans,
    },
    Scenario {
        name: "escalation",
        what: "pools whose workers never come up: their supervisors give up within the intensity",
        kinds: &[],
        kind: Kind::Escalation,
    },
    Scenario {
        name: "ledger",
        what: "the timers that end what takes too long are lost: the engine's own ledger sees who is not answered",
        kinds: &[],
        kind: Kind::Ledger,
    },
];

/// Browsers with one kind of their processes in trouble.
const fn process(name: &'static str, what: &'static str, role: Role) -> Scenario {
    Scenario { name, what, kinds: &[FaultKind::Kill, FaultKind::Freeze], kind: Kind::Browser(Trouble::Process(role)) }
}

/// Browsers with one kind of bad page, one in `every`: nothing goes wrong but what the page does.
const fn page(name: &'static str, what: &'static str, page: &'static str, every: u64) -> Scenario {
    Scenario { name, what, kinds: &[], kind: Kind::Browser(Trouble::Page { page, every }) }
}

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// What it tries did not start.
    #[error("failed to start what is to be tried")]
    Start(#[from] StartError),
    /// Something that it needs failed.
    #[error("failed to set the scenario up")]
    SetUp(#[from] std::io::Error),
}

impl Scenario {
    /// The scenario called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        SCENARIOS.into_iter().find(|scenario| scenario.name == name)
    }

    /// The plan that `order` has, or that its seed draws.
    #[must_use]
    pub fn plan(&self, order: &Order) -> FaultPlan {
        if let Some(plan) = &order.plan {
            return plan.clone();
        }
        match self.kind {
            Kind::Sim => SimRun::of_seed(order.seed).plan,
            Kind::Orphans | Kind::Escalation | Kind::Ledger | Kind::Browser(Trouble::Page { .. }) => FaultPlan::default(),
            Kind::Wasm
            | Kind::Recycle
            | Kind::Engine
            | Kind::Processes
            | Kind::Pdf
            | Kind::Browser(Trouble::Mixed | Trouble::Process(_)) => {
                let length = u64::try_from(order.chaos.as_millis()).unwrap_or(u64::MAX);
                // Five faults in a second, one where they cost more: enough to overlap, few enough to be told apart.
                let apart = if matches!(self.kind, Kind::Browser(_)) { 1_000 } else { 200 };
                let count = usize::try_from(length / apart).unwrap_or(usize::MAX).clamp(4, 5000);
                FaultPlan::draw(order.seed, self.kinds, count, length)
            }
            Kind::Mixed => {
                let length = u64::try_from(order.chaos.as_millis()).unwrap_or(u64::MAX);
                let count = usize::try_from(length / 1_000).unwrap_or(usize::MAX).clamp(16, 5000);
                FaultPlan::draw_all(order.seed, self.kinds, count, length, 3_000)
            }
        }
    }

    /// Whether it is about one mechanism that can be switched off.
    #[must_use]
    pub fn has_a_mechanism(&self) -> bool {
        matches!(self.kind, Kind::Orphans | Kind::Escalation | Kind::Ledger)
    }

    /// Runs it. `progress` is told what is going on, a line at a time.
    ///
    /// # Errors
    /// See [`ScenarioError`]. A broken promise is no error: it is in the report.
    pub async fn run(&self, order: &Order, progress: impl FnMut(&str)) -> Result<Report, ScenarioError> {
        let report = self.tried(order, progress).await?;
        Ok(Report { without: order.broken, ..report })
    }

    async fn tried(&self, order: &Order, progress: impl FnMut(&str)) -> Result<Report, ScenarioError> {
        let board = Arc::new(Board::new(order.seed, 0.2));
        let directory = tempfile::tempdir()?;
        let (target, board): (Arc<dyn Target>, _) = match self.kind {
            Kind::Sim => return Ok(mechanisms::sim(order, self.plan(order))),
            Kind::Escalation => return Ok(mechanisms::escalation(order)),
            Kind::Ledger => return Ok(mechanisms::ledger(order)),
            Kind::Orphans => return orphans::run(order, directory.path()).await,
            Kind::Wasm => {
                let memory =
                    MemoryLimits { soft: Some(48 << 20), hard: Some(96 << 20), fatal: Some(256 << 20), ..MemoryLimits::NONE };
                let recycle = RecycleLimits { jobs: Some(400), age: Some(Duration::from_secs(5)), memory, jitter: 0.2 };
                (Arc::new(WasmTarget::start(2, recycle, Arc::clone(&board), order.seed).await?), Some(board))
            }
            Kind::Recycle => {
                let recycle = RecycleLimits { jobs: Some(5), ..RecycleLimits::NEVER };
                (Arc::new(WasmTarget::start(2, recycle, Arc::clone(&board), order.seed).await?), Some(board))
            }
            Kind::Engine => (Arc::new(EngineTarget::start(256 << 20).await?), None),
            Kind::Processes => {
                let target = ProcessTarget::start(2, &order.program, directory.path(), Arc::clone(&board), order.seed).await?;
                (Arc::new(target), Some(board))
            }
            Kind::Browser(trouble) => (Arc::new(BrowserTarget::start(directory.path(), trouble).await?), None),
            Kind::Mixed => (Arc::new(MixedTarget::start(directory.path()).await?), None),
            Kind::Pdf => {
                let target = PdfTarget::start(2, directory.path(), Arc::clone(&board), order.seed).await?;
                (Arc::new(target), Some(board))
            }
        };
        // A page takes tens of milliseconds of a core, and a browser that was killed most of a second.
        let (rate, within) = match self.kind {
            Kind::Browser(_) => (6.0, Duration::from_secs(8)),
            // A tenth of it is rendered: half of what two cores can do.
            Kind::Mixed => (100.0, Duration::from_secs(8)),
            Kind::Sim
            | Kind::Wasm
            | Kind::Recycle
            | Kind::Engine
            | Kind::Processes
            | Kind::Pdf
            | Kind::Orphans
            | Kind::Escalation
            | Kind::Ledger => (150.0, Duration::from_secs(2)),
        };
        let trial = Trial {
            scenario: self.name.to_owned(),
            seed: order.seed,
            target,
            board,
            plan: self.plan(order),
            load: Load { seed: order.seed, rate, within, at_once: 500 },
            baseline: order.chaos.min(Duration::from_secs(2)),
            chaos: order.chaos,
            converge: Duration::from_secs(if matches!(self.kind, Kind::Browser(_) | Kind::Mixed) { 20 } else { 10 }),
            hog: 384 << 20,
            memory_slack: 48 << 20,
            lossless: matches!(self.kind, Kind::Recycle | Kind::Browser(Trouble::Page { .. })),
            recycled: matches!(self.kind, Kind::Recycle),
        };
        Ok(trial.run(progress).await)
    }
}

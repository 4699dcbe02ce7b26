//! The whole engine rendering pages, good and bad ones, while the processes of its browsers are killed and frozen.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use eventmesh::render::{RenderOptions, Screenshot, SettleReason};
use eventmesh::{Config, Engine, ErrorKind, RenderMode, Request};
use eventmesh_actors::{Subscriber, TreeSnapshot};
use rustix::process::Signal;

use super::family::Family;
use super::{StartError, cache, said};
use crate::pages::Pages;
use crate::plan::{Fault, FaultKind};
use crate::target::{Answer, AnswerKind, Call, Target};

/// What a process is in its browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It shows pages.
    Renderer,
    /// It is the browser itself.
    Main,
    /// It draws.
    Gpu,
    /// It loads.
    Network,
    /// Renderers come from it.
    Zygote,
}

impl Role {
    const ALL: [Self; 5] = [Self::Renderer, Self::Main, Self::Gpu, Self::Network, Self::Zygote];

    /// Whether a process with that command line has this role.
    fn fits(self, command: &str) -> bool {
        match self {
            Self::Renderer => command.contains("--type=renderer"),
            Self::Main => command.contains("--remote-debugging-pipe") && !command.contains("--type="),
            Self::Gpu => command.contains("--type=gpu-process"),
            Self::Network => command.contains("--utility-sub-type=network"),
            Self::Zygote => command.contains("--type=zygote"),
        }
    }
}

/// What a browser has to put up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// All kinds of processes hit, and all kinds of bad pages.
    Mixed,
    /// One kind of processes hit, and good pages alone.
    Process(Role),
    /// No process hit, and one page of so many bad in one way.
    Page {
        /// Which.
        page: &'static str,
        /// One of how many.
        every: u64,
    },
}

/// An engine that renders, and a site.
#[derive(Debug)]
pub struct BrowserTarget {
    engine: Engine,
    trouble: Trouble,
    site: Pages,
    family: Family,
}

/// Pages that mean no harm.
const GOOD: [&str; 4] = ["static", "fetch", "inline-script", "web-component"];

/// What is asked for, and which errors are the right answer. What a page does to itself is no fault of ours, whatever it is called.
const PAGES: [(&str, &[ErrorKind]); 12] = [
    ("static", &[]),
    ("fetch", &[]),
    ("inline-script", &[]),
    ("web-component", &[]),
    ("hang", &[]),
    ("static", &[]),
    ("dialogs", &[]),
    ("popups", &[]),
    ("heap-hog", &[ErrorKind::ResourceLimit, ErrorKind::ExtractionFailed, ErrorKind::Deadline]),
    ("download", &[]),
    ("inline-script", &[]),
    ("buffer-hog", &[ErrorKind::ResourceLimit, ErrorKind::ExtractionFailed, ErrorKind::Deadline]),
];

const SHUTDOWN: Duration = Duration::from_secs(5);

impl BrowserTarget {
    /// Starts an engine with places for two pages, whose browsers have their scratch directories below `root`.
    ///
    /// # Errors
    /// What keeps it from serving.
    pub async fn start(root: &Path, trouble: Trouble) -> Result<Self, StartError> {
        // Browsers of root run as somebody else, who has to come through.
        std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        let scratch = root.join("processes");
        let mut config = Config { workers: 2, artifact_cache: cache(), scratch: Some(scratch.clone()), ..Config::default() };
        // Its pages are on this machine.
        config.egress.policy = config.egress.policy.allowing_loopback();
        // They are there to fail, and nobody is to hold back for their sake.
        config.fetch.hosts.failures = u32::MAX;
        config.browser.pages = 2;
        config.browser.limits.page_memory = 128 << 20;
        config.browser.limits.look = Duration::from_millis(500);
        config.browser.limits.pages = 100;
        let engine = Engine::builder().config(config).start().await?;
        if let Some(missing) = engine.snapshot().browser.missing {
            return Err(StartError::System(std::io::Error::other(missing)));
        }
        Ok(Self { engine, trouble, site: Pages::open().await?, family: Family::of(&scratch) })
    }

    /// Signals one of the processes of a role; each role is as likely as the others, however many processes have it.
    fn signal(&self, target: u32, signal: Signal) -> bool {
        let roles = u32::try_from(Role::ALL.len()).unwrap_or(1);
        let (role, which) = match self.trouble {
            Trouble::Process(role) => (role, target),
            Trouble::Mixed | Trouble::Page { .. } => (Role::ALL[(target % roles) as usize], target / roles),
        };
        self.family.signal(which, signal, |command| role.fits(command))
    }

    /// The page that a call asks for, and which errors are the right answer.
    fn page(&self, number: u64) -> (&'static str, &'static [ErrorKind]) {
        let place = |count: usize| usize::try_from(number).unwrap_or(0) % count;
        match self.trouble {
            Trouble::Mixed => PAGES[place(PAGES.len())],
            Trouble::Page { page, every } if number % every == 1 => {
                PAGES.into_iter().find(|(known, _)| *known == page).unwrap_or((page, &[]))
            }
            Trouble::Process(_) | Trouble::Page { .. } => (GOOD[place(GOOD.len())], &[]),
        }
    }
}

impl Target for BrowserTarget {
    fn call(&self, number: u64, within: Duration) -> Call {
        let (page, expected) = self.page(number);
        // Drawing is tried where that is what is in trouble.
        let drawn = self.trouble == Trouble::Process(Role::Gpu);
        let screenshot = drawn.then(Screenshot::default);
        let options = RenderOptions { settle_cap: Duration::from_secs(2), raw: true, screenshot, ..RenderOptions::default() };
        let request = Request::url(self.site.url(page)).rendered(RenderMode::Always, options).deadline(within);
        let reply = self.engine.extract(request);
        Box::pin(async move {
            match reply.document().await {
                Ok(answer) => {
                    let Some(rendered) = answer.rendered else { return Answer::new(AnswerKind::Wrong, "wrong") };
                    // A page that was taken at its cap, or while its requests did not end, is as it was then, and says so.
                    let capped = matches!(rendered.settled.reason, SettleReason::Cap | SettleReason::Patience);
                    let right = capped || !expected.is_empty() || page == "hang" || rendered.html.contains("id=\"done\"");
                    if right { Answer::new(AnswerKind::Good, "good") } else { Answer::new(AnswerKind::Wrong, "wrong") }
                }
                Err(error) => said(&error, expected),
            }
        })
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn tree(&self) -> TreeSnapshot {
        self.engine.snapshot().tree
    }

    /// A browser that did not start is tried again after a while, and the places of its pages do not know.
    fn is_whole(&self) -> bool {
        self.engine.snapshot().browser.fleet.is_some_and(|fleet| fleet.failure.is_none())
    }

    fn events(&self) -> Subscriber {
        self.engine.events()
    }

    fn inflict(&self, fault: &Fault) -> bool {
        match fault.kind {
            FaultKind::Kill => self.signal(fault.target, Signal::KILL),
            FaultKind::Freeze => self.signal(fault.target, Signal::STOP),
            FaultKind::Panic
            | FaultKind::Fail
            | FaultKind::Break
            | FaultKind::Hang
            | FaultKind::Grow
            | FaultKind::Leak
            | FaultKind::SlowStart
            | FaultKind::FailStart
            | FaultKind::Sicken
            | FaultKind::Retire
            | FaultKind::MemoryHog
            | FaultKind::NoFiles
            | FaultKind::DiskFull
            | FaultKind::StarveClock
            | FaultKind::CallersLeave
            | FaultKind::LibraryGone
            | FaultKind::Poison => false,
        }
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = Duration> + Send + '_>> {
        Box::pin(async {
            self.engine.shutdown(SHUTDOWN).await;
            SHUTDOWN * 2 + Duration::from_secs(12)
        })
    }

    fn left_behind(&self) -> Vec<String> {
        self.family.left_behind()
    }
}

//! The whole engine doing everything at once: pages in memory and from a site with bad manners, PDFs, pages that are rendered; while
//! its processes are killed and frozen, its workers replaced, and the machine runs out of memory, files and time.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use eventmesh::memory::Jemalloc;
use eventmesh::render::{RenderOptions, SettleReason};
use eventmesh::{Config, EgressConfig, EgressPolicy, Engine, ErrorKind, RenderMode, Request};
use eventmesh_actors::{GovernorSpec, KernelMemory, Subscriber, TreeSnapshot};
use rustix::process::Signal;

use super::family::Family;
use super::pdfs::make;
use super::{StartError, cache, page, said};
use crate::pages::Pages;
use crate::plan::{Fault, FaultKind};
use crate::target::{Answer, AnswerKind, Call, Target};

/// An engine, and a site.
#[derive(Debug)]
pub struct MixedTarget {
    engine: Engine,
    site: Pages,
    family: Family,
    bomb: Bytes,
    callers_leave: AtomicU32,
}

/// What is asked of it by turns, of twenty requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A page in memory.
    Html,
    /// A page of the site, as it is sent.
    Fetch,
    /// A small PDF.
    Pdf,
    /// A PDF that is none, or a bomb.
    BadPdf,
    /// A page of the site, rendered.
    Render,
}

const SHUTDOWN: Duration = Duration::from_secs(5);
/// Memory that the engine may take beyond what this process holds.
const ROOM: u64 = 1 << 30;
/// Pages that are rendered.
const RENDERED: [&str; 4] = ["static", "fetch", "inline-script", "web-component"];
/// One document in so many is a bomb.
const BOMB: u64 = 400;

impl MixedTarget {
    /// Starts an engine with two workers of each kind, whose processes have their scratch directories below `root`.
    ///
    /// # Errors
    /// What keeps it from serving.
    pub async fn start(root: &Path) -> Result<Self, StartError> {
        // Browsers of root run as somebody else, who has to come through.
        std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        let scratch = root.join("processes");
        let held = KernelMemory::of_this_machine().resident().unwrap_or(0);
        let mut config = Config {
            workers: 2,
            artifact_cache: cache(),
            scratch: Some(scratch.clone()),
            governor: GovernorSpec { budget: Some(held + ROOM), interval: Duration::from_millis(500), ..GovernorSpec::default() },
            // Its pages are on this machine.
            egress: EgressConfig { policy: EgressPolicy::default().allowing_loopback(), ..EgressConfig::default() },
            ..Config::default()
        };
        config.pdf.workers = 2;
        config.pdf.limits.address_space = 160 << 20;
        config.pdf.limits.large_address_space = 192 << 20;
        config.browser.pages = 2;
        config.browser.limits.look = Duration::from_millis(500);
        config.browser.limits.pages = 200;
        let mut builder = Engine::builder().config(config);
        if let Some(jemalloc) = Jemalloc::of_this_process() {
            builder = builder.memory(Arc::new(jemalloc));
        }
        let engine = builder.start().await?;
        let snapshot = engine.snapshot();
        if let Some(missing) = snapshot.browser.missing.or(snapshot.pdf.missing) {
            return Err(StartError::System(std::io::Error::other(missing)));
        }
        let bomb = make::inflating(64 << 20)?.into();
        Ok(Self { engine, site: Pages::open().await?, family: Family::of(&scratch), bomb, callers_leave: AtomicU32::new(0) })
    }

    fn kind(number: u64) -> Kind {
        match number % 20 {
            3 | 13 => Kind::Render,
            5 | 15 => Kind::Fetch,
            7 => Kind::BadPdf,
            1 | 9 | 11 | 17 | 19 => Kind::Pdf,
            _ => Kind::Html,
        }
    }

    /// What is asked for, what must be in the answer, and which errors are right.
    fn request(&self, number: u64) -> (Request, String, &'static [ErrorKind]) {
        match Self::kind(number) {
            Kind::Html => (Request::bytes(page(number)), format!("This is page {number}."), &[]),
            Kind::Fetch => {
                let name = RENDERED[usize::try_from(number / 20).unwrap_or(0) % RENDERED.len()];
                (Request::url(self.site.url(name)), String::new(), &[])
            }
            Kind::Pdf => {
                let text = format!("This is page 1 of story {number}.");
                let content = format!("BT /F1 12 Tf 40 200 Td ({text}) Tj ET");
                (Request::bytes(make::pdf(&[content.as_bytes()])), text, &[])
            }
            Kind::BadPdf if (number / 20) % (BOMB / 20) == 3 => (
                Request::bytes(self.bomb.clone()),
                "nothing".to_owned(),
                &[ErrorKind::ResourceLimit, ErrorKind::Deadline, ErrorKind::Quarantined],
            ),
            Kind::BadPdf => (Request::bytes("%PDF-1.7\nand nothing else"), "nothing".to_owned(), &[ErrorKind::Malformed]),
            Kind::Render => {
                let name = RENDERED[usize::try_from(number / 20).unwrap_or(0) % RENDERED.len()];
                let options = RenderOptions { settle_cap: Duration::from_secs(2), raw: true, ..RenderOptions::default() };
                (Request::url(self.site.url(name)).rendered(RenderMode::Always, options), String::new(), &[])
            }
        }
    }
}

impl Target for MixedTarget {
    fn call(&self, number: u64, within: Duration) -> Call {
        let (request, text, expected) = self.request(number);
        let rendered = Self::kind(number) == Kind::Render;
        let leaves = number % 8 == 1 && self.callers_leave.load(Ordering::Relaxed) > 0;
        let mut reply = self.engine.extract(request.deadline(within));
        Box::pin(async move {
            if leaves {
                // Whoever goes after the head wants nothing more.
                let _ = reply.next().await;
                return Answer::new(AnswerKind::Good, "left");
            }
            match reply.document().await {
                Ok(answer) => {
                    let page = answer.rendered.as_ref();
                    let capped =
                        page.is_some_and(|page| matches!(page.settled.reason, SettleReason::Cap | SettleReason::Patience));
                    let whole = !rendered || capped || page.is_some_and(|page| page.html.contains("id=\"done\""));
                    if !whole {
                        Answer::new(AnswerKind::Wrong, "incomplete_page")
                    } else if !expected.is_empty() {
                        Answer::new(AnswerKind::Wrong, "bad_document_read")
                    } else if !answer.document.text.contains(&text) {
                        Answer::new(AnswerKind::Wrong, "wrong_text")
                    } else {
                        Answer::new(AnswerKind::Good, "good")
                    }
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
            FaultKind::Kill => self.family.signal(fault.target, Signal::KILL, |_| true),
            FaultKind::Freeze => self.family.signal(fault.target, Signal::STOP, |_| true),
            FaultKind::Retire => {
                let pool = ["wasm", "pdf", "pages"][(fault.target % 3) as usize];
                self.engine.recycle(pool, fault.target / 3 % 2) == Some(true)
            }
            FaultKind::CallersLeave => {
                self.callers_leave.fetch_add(1, Ordering::Relaxed);
                true
            }
            FaultKind::Panic
            | FaultKind::Fail
            | FaultKind::Break
            | FaultKind::Hang
            | FaultKind::Grow
            | FaultKind::Leak
            | FaultKind::SlowStart
            | FaultKind::FailStart
            | FaultKind::Sicken
            | FaultKind::MemoryHog
            | FaultKind::NoFiles
            | FaultKind::DiskFull
            | FaultKind::StarveClock
            | FaultKind::LibraryGone
            | FaultKind::Poison => false,
        }
    }

    /// A frozen process is never thawed: whoever supervises it has to find out.
    fn relieve(&self, fault: &Fault) {
        if fault.kind == FaultKind::CallersLeave {
            self.callers_leave.fetch_sub(1, Ordering::Relaxed);
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

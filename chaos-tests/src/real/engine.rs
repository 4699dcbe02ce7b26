//! The whole engine, against a site with bad manners.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use eventmesh::memory::Jemalloc;
use eventmesh::{Config, EgressConfig, EgressPolicy, Engine, ErrorKind, FetchLimits, HostLimits, Request};
use eventmesh_actors::{GovernorSpec, KernelMemory, Subscriber, TreeSnapshot};

use super::{StartError, cache, page, said};
use crate::plan::{Fault, FaultKind};
use crate::site::Site;
use crate::target::{Answer, AnswerKind, Call, Target};

/// An engine and a site.
#[derive(Debug)]
pub struct EngineTarget {
    engine: Engine,
    site: Site,
    callers_leave: std::sync::atomic::AtomicU32,
}

/// What is asked of the site, and which errors are the right answer: none is a page.
const PATHS: [(&str, &[ErrorKind]); 11] = [
    ("/page", &[]),
    ("/dir/page", &[]),
    ("/moved", &[]),
    ("/zipped", &[]),
    ("/gone", &[ErrorKind::SourceNotFound]),
    ("/loop", &[ErrorKind::SourceRefused]),
    ("/huge", &[ErrorKind::TooLarge]),
    ("/liar", &[ErrorKind::SourceUnreadable]),
    ("/reset", &[ErrorKind::SourceUnreadable]),
    ("/bomb", &[ErrorKind::TooLarge]),
    ("/silent", &[ErrorKind::Deadline]),
];

const SHUTDOWN: Duration = Duration::from_secs(5);

impl EngineTarget {
    /// Starts an engine of two workers whose memory is short once it holds `room` bytes more than now.
    ///
    /// # Errors
    /// What keeps it from serving.
    pub async fn start(room: u64) -> Result<Self, StartError> {
        let held = KernelMemory::of_this_machine().resident().unwrap_or(0);
        let governor =
            GovernorSpec { budget: Some(held + room), interval: Duration::from_millis(500), ..GovernorSpec::default() };
        // Its pages are on this machine.
        let egress = EgressConfig { policy: EgressPolicy::default().allowing_loopback(), ..EgressConfig::default() };
        let config = Config {
            egress,
            workers: 2,
            artifact_cache: cache(),
            governor,
            // Bombs are stopped early, so that they do not hide everything else.
            max_page_bytes: 4 << 20,
            // This site is there to be hurt, and to fail: nobody is to hold back for its sake.
            fetch: FetchLimits {
                hosts: HostLimits { per_own_host: 1024, waiting: 1024, failures: u32::MAX, ..HostLimits::default() },
                ..FetchLimits::default()
            },
            ..Config::default()
        };
        let mut builder = Engine::builder().config(config);
        if let Some(jemalloc) = Jemalloc::of_this_process() {
            builder = builder.memory(Arc::new(jemalloc));
        }
        let engine = builder.start().await?;
        Ok(Self { engine, site: Site::open().await?, callers_leave: std::sync::atomic::AtomicU32::new(0) })
    }
}

impl Target for EngineTarget {
    fn call(&self, number: u64, within: Duration) -> Call {
        let local = number % 4 != 3;
        let place = usize::try_from(number / 4).unwrap_or(0) % PATHS.len();
        let (path, expected) = PATHS[place];
        let request =
            if local { Request::bytes(page(number)) } else { Request::url(format!("http://{}{path}", self.site.address())) };
        let leaves = number % 8 == 1 && self.callers_leave.load(std::sync::atomic::Ordering::Relaxed) > 0;
        let mut reply = self.engine.extract(request.deadline(within));
        Box::pin(async move {
            if leaves {
                // Whoever goes after the head wants nothing more.
                let _ = reply.next().await;
                return Answer::new(AnswerKind::Good, "left");
            }
            match reply.document().await {
                Ok(answer) if local => {
                    let right = answer.document.title == Some(format!("Page {number}"));
                    if right { Answer::new(AnswerKind::Good, "good") } else { Answer::new(AnswerKind::Wrong, "wrong") }
                }
                Ok(_) if expected.is_empty() => Answer::new(AnswerKind::Good, "good"),
                Ok(_) => Answer::new(AnswerKind::Wrong, "wrong"),
                Err(error) => said(&error, expected),
            }
        })
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn tree(&self) -> TreeSnapshot {
        self.engine.snapshot().tree
    }

    fn events(&self) -> Subscriber {
        self.engine.events()
    }

    fn inflict(&self, fault: &Fault) -> bool {
        let leave = fault.kind == FaultKind::CallersLeave;
        if leave {
            self.callers_leave.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        leave
    }

    fn relieve(&self, fault: &Fault) {
        if fault.kind == FaultKind::CallersLeave {
            self.callers_leave.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = Duration> + Send + '_>> {
        Box::pin(async {
            self.engine.shutdown(SHUTDOWN).await;
            SHUTDOWN * 2 + Duration::from_secs(3)
        })
    }
}

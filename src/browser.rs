//! Pages that are rendered: the browsers, the pool that lends their pages out, and what their failures mean.

use std::path::Path;
use std::time::Duration;

use eventmesh_actors::process::ProcessHost;
use eventmesh_actors::{Bus, ChildSpec, Pool, PoolSpec, QuarantinePolicy, Shutdown, Strategy, Supervisor, SupervisorSpec};
use eventmesh_extractors::browser::{
    BrowserSpec, BrowserWorker, Chromium, ChromiumMissing, Fleet, FleetSnapshot, LauncherProgram, RenderError, Tunnels,
};
use serde::Serialize;

use crate::config::Config;
use crate::egress::{Egress, Proxy};
use crate::error::{Error, ErrorKind};
use crate::pipeline::{Doing, Late};
use crate::worker;

/// The name of the pool.
const POOL: &str = "pages";
/// The name of what they all go through.
const PROXY: &str = "proxy";
/// The name of what keeps browsers there.
const FLEET: &str = "browsers";
/// How long the browsers may take to go.
const STOP: Duration = Duration::from_secs(8);

/// The pool that renders pages, or why there is none.
#[derive(Debug)]
pub(crate) struct Browsers {
    state: Result<Ready, Missing>,
}

#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) pool: Pool<BrowserWorker>,
    pub(crate) fleet: Fleet,
    proxy: Proxy,
}

/// Why pages cannot be rendered.
#[derive(Debug)]
enum Missing {
    Chromium(ChromiumMissing),
    Program,
    Scratch(String),
    Proxy(String),
}

impl Missing {
    fn error(&self) -> Error {
        let message = match self {
            Self::Chromium(missing) => missing.to_string(),
            Self::Program => {
                "there is no program to start browsers with: the host application calls eventmesh::worker_main() first \
                 thing in main, or names a program that does in browser.program"
                    .to_owned()
            }
            Self::Scratch(why) => format!("pages cannot be rendered without a scratch directory: {why}"),
            Self::Proxy(why) => format!("pages cannot be rendered without a port for the browsers' proxy: {why}"),
        };
        Error::new(ErrorKind::NotInstalled, message)
    }
}

impl Browsers {
    /// Finds what is needed. Nothing is started yet.
    pub(crate) fn new(config: &Config, host: &Result<ProcessHost, String>, egress: &Egress, bus: &Bus) -> Self {
        Self { state: Self::ready(config, host, egress, bus) }
    }

    fn ready(config: &Config, host: &Result<ProcessHost, String>, egress: &Egress, bus: &Bus) -> Result<Ready, Missing> {
        let browser = &config.browser;
        let chromium = Chromium::find(browser.chromium.as_deref()).map_err(Missing::Chromium)?;
        let program = match browser.program.as_deref().or(config.pdf.program.as_deref()) {
            // It is started elsewhere.
            Some(path) => LauncherProgram::At(std::path::absolute(path).unwrap_or_else(|_| Path::to_owned(path))),
            None if worker::can_be() => LauncherProgram::ThisOne,
            None => return Err(Missing::Program),
        };
        let host = host.clone().map_err(Missing::Scratch)?;
        let proxy = Proxy::open(egress.clone()).map_err(|error| Missing::Proxy(error.to_string()))?;
        let mut spec = BrowserSpec::new(program, chromium);
        spec.proxy = Some(proxy.address());
        let tunnels = proxy.clone();
        spec.tunnels = Some(Tunnels::new(move |authority| tunnels.refused(authority)));
        spec.sandbox = browser.sandbox;
        spec.limits = browser.limits;
        spec.arguments.clone_from(&browser.arguments);
        if browser.user.is_some() {
            spec.user = browser.user;
        }
        let fleet = Fleet::new(spec, host);
        let pool = PoolSpec {
            reserved: config.reserved,
            max_waiting: config.max_requests,
            max_bytes: browser.max_bytes,
            // What a page does to its renderer is no fault of the place that it had; poison is what costs workers.
            quarantine: QuarantinePolicy::default(),
            // A page ends by its own deadline, and closes afterwards.
            cancel_grace: Duration::from_secs(1),
            seed: u64::from(std::process::id()),
            ..PoolSpec::new(POOL, browser.pages)
        };
        let pool = Pool::new(pool, fleet.clone(), bus.clone());
        Ok(Ready { pool, fleet, proxy })
    }

    pub(crate) fn get(&self) -> Option<&Ready> {
        self.state.as_ref().ok()
    }

    /// The pool, or the error that a request for a rendered page gets.
    pub(crate) fn require(&self) -> Result<&Ready, Error> {
        self.state.as_ref().map_err(Missing::error)
    }

    /// What of it is supervised: the browsers, and above them the places for their pages, which go with them.
    pub(crate) fn child(&self, bus: &Bus) -> Option<ChildSpec> {
        let ready = self.get()?;
        let (fleet, proxy) = (ready.fleet.clone(), ready.proxy.clone());
        let spec = SupervisorSpec::new("browser")
            .strategy(Strategy::RestForOne)
            .child(ChildSpec::service(PROXY, move |context| proxy.clone().run(context)))
            .child(ChildSpec::service(FLEET, move |context| fleet.clone().run(context)).shutdown(Shutdown::Within(STOP)))
            .child(ChildSpec::pool(&ready.pool).shutdown(Shutdown::Within(STOP)));
        match Supervisor::new(spec, bus.clone()) {
            Ok(supervisor) => Some(ChildSpec::supervisor(&supervisor)),
            Err(error) => {
                tracing::error!(%error, "the browsers cannot be supervised, and are not there");
                None
            }
        }
    }

    pub(crate) fn snapshot(&self) -> BrowserSnapshot {
        BrowserSnapshot {
            fleet: self.get().map(|ready| ready.fleet.snapshot()),
            missing: self.require().err().map(|error| error.to_string()),
        }
    }
}

/// What renders pages, or why nothing does.
#[derive(Clone, Debug, Serialize)]
pub struct BrowserSnapshot {
    /// The browsers.
    pub fleet: Option<FleetSnapshot>,
    /// Why pages cannot be rendered, if so.
    pub missing: Option<String>,
}

/// What a page to be rendered is expected to take in the pool's books, in bytes.
pub(crate) fn expected_bytes(brought: u64) -> u64 {
    (1 << 20) + brought
}

/// Why a page was not rendered, as the caller is told it.
pub(crate) fn failure(error: RenderError, late: &Late<'_>) -> Error {
    let kind = match &error {
        RenderError::Deadline { doing } => return late(Doing::Rendering(*doing)),
        RenderError::Missing(_) | RenderError::Sandbox { .. } => ErrorKind::NotInstalled,
        RenderError::Process(_) | RenderError::Start { .. } | RenderError::BrowserGone | RenderError::NetworkGone => {
            ErrorKind::Unavailable
        }
        RenderError::Unavailable { retry_after, why } => {
            let message = format!("no browser is up: {why}");
            return Error::new(ErrorKind::Unavailable, message).retry_after(*retry_after);
        }
        RenderError::Load { why } | RenderError::Led { why } => match why.as_str() {
            // This machine had nothing to connect with.
            why if why.contains("INSUFFICIENT_RESOURCES") => ErrorKind::Unavailable,
            why if why.contains("BLOCKED_BY_ADMINISTRATOR") => ErrorKind::Blocked,
            why if why.contains("ABORTED") || why.contains("BLOCKED") => ErrorKind::SourceRefused,
            _ => ErrorKind::SourceUnreadable,
        },
        RenderError::Request(_) => ErrorKind::InvalidRequest,
        RenderError::Download => ErrorKind::Unsupported,
        RenderError::Memory { .. } | RenderError::TooMuch { .. } => ErrorKind::ResourceLimit,
        RenderError::Crashed | RenderError::Action { .. } | RenderError::Protocol(_) => ErrorKind::ExtractionFailed,
    };
    let message = error.to_string();
    let failure = Error::new(kind, message).caused_by(error);
    // There is another one by then, or it is known why not.
    if kind == ErrorKind::Unavailable { failure.retry_after(Error::SOON) } else { failure }
}

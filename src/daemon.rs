//! The life of the daemon: doors, engine, ready, orders, and an orderly end.
//!
//! ```text
//!   keys ─▶ doors ─▶ engine ─▶ READY ─▶ orders, signals, looks … ─▶ doors shut ─▶ answers finished ─▶ engine down
//! ```
//! Whoever connects while it starts or goes waits at the door; nobody is turned away who has been let in.

mod liveness;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use eventmesh_actors::{MemorySource, ResidentCode, spawn_named};
use futures_util::future::OptionFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::config::{Changes, Settings, Unsound};
use crate::engine::{Engine, StartError};
use crate::error::ErrorKind;
use crate::fetch::FetcherError;
use crate::http::{Api, BodyLimits, Door, Keys, KeysError, Later, Ops, Order, Server, ServerLimits};
use crate::jobs::{self, Items, Jobs, JobsConfig, JobsError, Runner, Sender, WebhookSecret};
use crate::observe::{Exporter, Metrics, OtlpConfig, Spans};
use crate::queue::{QueueError, QueueLimits};
use crate::request::Request;
use crate::systemd;
use liveness::{Liveness, Patience, Sight};

/// Settings of the daemon, besides those of its engine.
#[derive(Clone, Debug)]
pub struct DaemonConfig {
    /// Where requests come in: `HOST:PORT` or `unix:/PATH`. Default `127.0.0.1:7800`. Not used if a service manager has opened
    /// doors.
    pub listen: Vec<String>,
    /// Where operators come in. Default `127.0.0.1:7801`.
    pub ops_listen: String,
    /// The file of keys. Without one everybody may ask for everything, and only this machine is listened to.
    pub keys: Option<PathBuf>,
    /// The names that it is known as, such as that of a proxy in front of it. Without keys whoever asks by another one than
    /// these, an IP address or `localhost` is refused: it may be a web page's. Default none.
    pub hosts: Vec<String>,
    /// Bytes of a request's body. Default 48 MiB: the largest page, in Base64.
    pub max_body: usize,
    /// Bytes of all bodies that are on their way in or being answered at one time; more are sent away. Default 256 MiB: five of
    /// the largest, or thousands of usual ones.
    pub bodies: usize,
    /// Connections at once; more wait outside. Default 4,096: two requests each are more than are ever admitted.
    pub connections: usize,
    /// How long a client may take to send its headers, and a connection may rest. Default 30 s.
    pub head: Duration,
    /// Bytes of all headers of a request. Default 64 KiB.
    pub head_bytes: usize,
    /// How long answers that are on their way at shutdown may take. Default 30 s: the time of a request.
    pub drain: Duration,
    /// Where jobs are kept. Default: where the service manager says, else the user's state directory; if that cannot be used,
    /// there are no jobs. One that is named, here or by the service manager, must be usable.
    pub state: Option<PathBuf>,
    /// How much the journal of jobs may hold. Default: the queue's own, and ten lost runs of a job: a kill takes all jobs with it
    /// that are at work, whatever it was for.
    pub queue: QueueLimits,
    /// How jobs are worked on.
    pub jobs: JobsConfig,
    /// The file of the secret that webhooks are signed with that bring none of their own. Default none: then they are not signed.
    pub webhook_secret: Option<PathBuf>,
    /// Where spans of requests go. Default nowhere.
    pub otlp: OtlpConfig,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:7800".to_owned()],
            ops_listen: "127.0.0.1:7801".to_owned(),
            keys: None,
            hosts: Vec::new(),
            max_body: 48 << 20,
            bodies: 256 << 20,
            connections: 4_096,
            head: Duration::from_secs(30),
            head_bytes: 64 << 10,
            drain: Duration::from_secs(30),
            state: None,
            queue: QueueLimits { max_attempts: 10, ..QueueLimits::default() },
            jobs: JobsConfig::default(),
            webhook_secret: None,
            otlp: OtlpConfig::default(),
        }
    }
}

impl DaemonConfig {
    /// Everything that is wrong with these settings, each as a sentence that says what to do. Empty if all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, problem: &str| {
            if !fine {
                problems.push(problem.to_owned());
            }
        };
        check(!self.listen.is_empty(), "daemon.listen must name at least one address, or nobody could ask for anything");
        let is_name = |name: &String| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        };
        check(
            self.hosts.iter().all(is_name),
            "daemon.hosts must be names such as mesh.example.org: ASCII, without scheme, port or path",
        );
        check(self.max_body >= 1 << 10, "daemon.max_body must be at least 1 KiB");
        check(
            self.bodies >= self.max_body,
            "daemon.bodies must be at least daemon.max_body, or the largest body would never be taken",
        );
        check((1..=65_536).contains(&self.connections), "daemon.connections must be 1 to 65536");
        check(self.head_bytes >= 8 << 10, "daemon.head_bytes must be at least 8 KiB");
        check(!self.head.is_zero(), "daemon.head must be longer than nothing");
        problems.extend(self.jobs.problems(&self.queue));
        problems.extend(self.otlp.problems());
        problems
    }
}

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    #[error("the settings are not sound: {}", problems.join("; "))]
    Config { problems: Vec<String> },
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("{address} cannot be listened at: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("the service manager's sockets cannot be taken over: {0}")]
    Given(std::io::Error),
    #[error(
        "{address} can be reached from other machines, and there are no keys: everybody could ask for everything. Name a file of keys (--keys; `eventmesh keys new NAME` writes one), or listen at 127.0.0.1"
    )]
    Open { address: String },
    #[error("{why}")]
    Secret { why: String },
    #[error("signals cannot be waited for: {0}")]
    Signals(std::io::Error),
    #[error("the jobs cannot be kept: {0}")]
    Jobs(#[from] JobsError),
    #[error("webhooks cannot be sent: {0}")]
    Webhooks(FetcherError),
    #[error("spans cannot be sent: {0}")]
    Spans(FetcherError),
    #[error(transparent)]
    Engine(#[from] StartError),
    #[error("the workers have failed too often and were given up: {why}")]
    Down { why: String },
    #[error("nothing works on jobs any more: {why}; the next start opens the journal again, with all that was accepted")]
    JobsEnded { why: String },
}

/// Orders that wait.
const ORDERS: usize = 8;
/// How often the daemon looks whether it gets anything done, where no service manager says how often.
const LOOK: Duration = Duration::from_secs(10);
/// How far past its deadline a request may be at work: it is ended there, which takes a moment if much is to be done.
const OVERDUE: Duration = Duration::from_secs(60);
/// How long a page of our own may take.
const CANARY: Duration = Duration::from_secs(5);
/// What jobs may take beyond the drain until they are given back.
const GIVE_BACK: Duration = Duration::from_secs(12);
/// What the engine's own end may take beyond the drain.
const END: Duration = Duration::from_secs(15);
/// What the last spans may take: they go while the operators' door shuts, which takes as long.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Reads all settings again, from the places that they came from.
pub(crate) type Reread = Arc<dyn Fn() -> Result<Settings, Unsound> + Send + Sync>;

/// Serves until it is told to stop.
pub(crate) async fn run(
    settings: Settings,
    reread: &Reread,
    memory: Arc<dyn MemorySource>,
    spans: Spans,
    told: impl FnOnce(&[String], &str) + Send,
) -> Result<(), DaemonError> {
    let problems = settings.problems();
    if !problems.is_empty() {
        return Err(DaemonError::Config { problems });
    }
    let mut running = settings.clone();
    let Settings { engine: config, mut daemon } = settings;
    if let Some(path) = &daemon.webhook_secret {
        daemon.jobs.webhook_secret = Some(secret(path).map_err(|why| DaemonError::Secret { why })?);
    }
    let keys = daemon.keys.as_deref().map_or_else(|| Ok(Keys::none()), Keys::read)?;
    let doors = doors(&daemon, &keys).await?;
    let ops_door = open(&daemon.ops_listen).await?;
    if ops_door.is_public() {
        // Whoever gets in there may stop everything.
        return Err(DaemonError::Open { address: ops_door.told() });
    }
    let mut signals = Signals::new().map_err(DaemonError::Signals)?;
    let jobs = jobs(&daemon).await?;
    let user_agent = config.fetch.user_agent.clone();
    let engine = Engine::builder().config(config).memory(Arc::clone(&memory)).start().await?;
    let sender = Sender::new(engine.egress().clone(), &user_agent).map_err(DaemonError::Webhooks)?;
    let (items, sender) = (Items::new(engine.clone(), &daemon.jobs), Arc::new(sender));
    let runner = jobs.as_ref().ok().map(|jobs| Runner { jobs: jobs.clone(), items: items.clone(), sender: Arc::clone(&sender) });
    let exporting = Exporter::new(&daemon.otlp, &spans).map_err(DaemonError::Spans)?.map(Exporter::start);
    let metrics = Metrics::new(engine.clone(), jobs.as_ref().ok().cloned(), items.clone(), spans);
    let later = Later { jobs: jobs.clone(), items, sender, limits: daemon.jobs.clone() };

    let (addresses, ops_address) = (doors.iter().map(Door::told).collect::<Vec<_>>(), ops_door.told());
    let limits = ServerLimits { connections: daemon.connections, head: daemon.head, head_bytes: daemon.head_bytes };
    let bodies = BodyLimits { each: daemon.max_body, all: daemon.bodies };
    let api = Api::new(engine.clone(), keys, daemon.hosts.clone(), Arc::clone(&metrics), bodies, later);
    let server = Server { doors, router: api.router(), limits };
    let (open, is_open) = watch::channel(true);
    let (orders, mut ordered) = mpsc::channel(ORDERS);
    let alive = watch::Sender::new(Ok(()));
    let ops = Ops::new(engine.clone(), metrics, is_open.clone(), alive.subscribe(), orders);
    let ops_server = Server { doors: vec![ops_door], router: ops.router(), limits: ServerLimits { connections: 64, ..limits } };
    let (ops_stop, ops_stopped) = watch::channel(false);
    let ops_serving = spawn_named("ops", ops_server.run(until(ops_stopped, true), Duration::from_secs(1)));
    let mut serving = spawn_named("api", server.run(until(is_open, false), daemon.drain));
    let mut jobs_running = runner.map(|runner| spawn_named("jobs", runner.run()));

    systemd::ready(&format!("serving at {}", addresses.join(", ")));
    told(&addresses, &ops_address);
    let mut look = Look::new(&engine, memory);
    let why = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Asked::Stop => break None,
                Asked::Reload => reload(&api, &mut running, reread).await,
            },
            Some(order) = ordered.recv() => match order {
                Order::Drain => break None,
                Order::Reload => reload(&api, &mut running, reread).await,
            },
            exit = engine.down() => break Some(DaemonError::Down { why: exit.to_string() }),
            Some(ended) = OptionFuture::from(jobs_running.as_mut()) => {
                jobs_running = None;
                let why = why_ended(ended);
                tracing::error!(why, "nothing works on jobs any more: the daemon ends, to be started again");
                break Some(DaemonError::JobsEnded { why });
            }
            stuck = look.next(&engine) => {
                // What was known before does not matter any more.
                drop(alive.send_replace(stuck));
            }
        }
    };
    let within = daemon.drain + GIVE_BACK + END;
    systemd::stopping(within);
    tracing::info!(within_s = within.as_secs(), "going: what is at work is finished, nothing new is let in");
    open.send_replace(false);
    if let Ok(jobs) = &jobs {
        jobs.stopping();
    }
    let finished = tokio::select! {
        _ = &mut serving => true,
        // Whoever asks twice means it.
        Asked::Stop = signals.next() => false,
    };
    if let Ok(jobs) = &jobs {
        // They are given back by now, or soon: whoever asked twice does not wait for that.
        let patience = if finished { GIVE_BACK } else { Duration::ZERO };
        if timeout(patience, OptionFuture::from(jobs_running)).await.is_err() {
            tracing::warn!("jobs at work were not given back; each has lost a run");
        }
        jobs.close().await;
    }
    engine.shutdown(if finished { daemon.drain } else { Duration::ZERO }).await;
    serving.abort();
    let last_spans = exporting.map(|exporting| exporting.end(if finished { LAST_SPANS } else { Duration::ZERO }));
    ops_stop.send_replace(true);
    let _ = tokio::join!(timeout(Duration::from_secs(2), ops_serving), OptionFuture::from(last_spans));
    why.map_or(Ok(()), Err)
}

/// Why nobody works on jobs any more, although nobody has said that it should end.
fn why_ended(ended: Result<Option<Result<(), QueueError>>, JoinError>) -> String {
    match ended {
        Ok(Some(Err(failed))) => match std::error::Error::source(&failed) {
            Some(source) => format!("{failed} ({source})"),
            None => failed.to_string(),
        },
        Ok(Some(Ok(()))) => "it has ended by itself".to_owned(),
        Ok(None) => "it has crashed, as the log says".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The secret of webhooks in a file.
pub(crate) fn secret(path: &Path) -> Result<WebhookSecret, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let parsed = text.and_then(|text| text.trim().parse());
    parsed.map_err(|why| format!("the secret of webhooks cannot be read from {}: {why}", path.display()))
}

/// The jobs, or why there are none. A directory that was named must be usable; one that was not named may not be.
async fn jobs(daemon: &DaemonConfig) -> Result<Result<Jobs, Arc<str>>, DaemonError> {
    // Without the jobs of the directory that was named, whoever had some accepted would be told that there are none.
    let named = daemon.state.clone().or_else(jobs::of_manager);
    let must_be_usable = named.is_some();
    let directory = named.or_else(jobs::of_user).ok_or(JobsError::Nowhere);
    let opened = match directory {
        Ok(directory) => Jobs::open(&directory, daemon.queue.clone(), daemon.jobs.clone()).await,
        Err(nowhere) => Err(nowhere),
    };
    match opened {
        Ok(jobs) => Ok(Ok(jobs)),
        Err(error) if must_be_usable => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "there are no jobs");
            Ok(Err(error.to_string().into()))
        }
    }
}

async fn doors(daemon: &DaemonConfig, keys: &Keys) -> Result<Vec<Door>, DaemonError> {
    let mut doors = systemd::doors().map_err(DaemonError::Given)?;
    if doors.is_empty() {
        for address in &daemon.listen {
            doors.push(open(address).await?);
        }
    }
    match doors.iter().find(|door| door.is_public() && !keys.are_needed()) {
        Some(door) => Err(DaemonError::Open { address: door.told() }),
        None => Ok(doors),
    }
}

async fn open(address: &str) -> Result<Door, DaemonError> {
    Door::open(address).await.map_err(|source| DaemonError::Listen { address: address.to_owned(), source })
}

async fn until(mut signal: watch::Receiver<bool>, value: bool) {
    // Without its sender there is nobody left to serve for.
    let _ = signal.wait_for(|now| *now == value).await;
}

/// Reads the settings and the keys again. If anything about them is wrong, all stays as it was.
async fn reload(api: &Api, running: &mut Settings, reread: &Reread) {
    systemd::reloading();
    let (api, before, reread) = (api.clone(), running.clone(), Arc::clone(reread));
    // Files are read, which may lie far away.
    let read = tokio::task::spawn_blocking(move || {
        let after = reread().map_err(|unsound| unsound.to_string())?;
        let changes = Changes::between(&before, &after);
        let keys = after.daemon.keys.as_deref().or(before.daemon.keys.as_deref());
        api.reload(keys).map_err(|error| error.to_string())?;
        Ok::<_, String>((after, changes))
    });
    match read.await.unwrap_or_else(|error| Err(error.to_string())) {
        Ok((after, changes)) => {
            changes.apply(running, &after);
            tracing::info!(changed = ?changes.applied, "the settings and the keys have been read again");
            if !changes.need_restart.is_empty() {
                tracing::warn!(keys = ?changes.need_restart, "some settings have changed and need a restart");
            }
        }
        Err(error) => tracing::error!(error, "nothing has been read again, all stays as it was"),
    }
    systemd::ready("serving");
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

/// Looks whether anything gets done, and tells the service manager as long as it does.
struct Look {
    ticks: tokio::time::Interval,
    began: Instant,
    liveness: Liveness,
    watched: bool,
    /// Requests that had ended at the last look, but for pages of our own; and those.
    ended: u64,
    canaries: u64,
    memory: Arc<dyn MemorySource>,
    /// Nobody has asked for anything since free memory was given back.
    rested: bool,
}

impl Look {
    fn new(engine: &Engine, memory: Arc<dyn MemorySource>) -> Self {
        let watchdog = systemd::watchdog();
        let every = watchdog.map_or(LOOK, |within| (within / 3).min(LOOK));
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let patience = Patience { requests: OVERDUE, governor: engine.config().governor.interval * 20 + LOOK * 2, strikes: 3 };
        Self {
            ticks,
            began: Instant::now(),
            liveness: Liveness::new(patience, Duration::ZERO),
            watched: watchdog.is_some(),
            ended: 0,
            canaries: 0,
            memory,
            rested: false,
        }
    }

    /// Gives back what is free of the memory of busier times, and the pages of code that starting and they have touched, once
    /// for each time that there is nothing to do: it may be long until somebody needs them again.
    async fn rest(&mut self, nothing_to_do: bool) {
        if nothing_to_do && !self.rested {
            let memory = Arc::clone(&self.memory);
            // It takes milliseconds.
            let given = tokio::task::spawn_blocking(move || {
                memory.give_back();
                ResidentCode::learn().map(|code| code.give_back())
            });
            match given.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "pages of code stay resident"),
                Err(error) => tracing::warn!(%error, "free memory was not given back"),
            }
        }
        self.rested = nothing_to_do;
    }

    async fn next(&mut self, engine: &Engine) -> Result<(), String> {
        self.ticks.tick().await;
        let progress = engine.progress();
        let idle = progress.ended - self.canaries == self.ended;
        self.rest(idle && progress.at_work == 0).await;
        let canary = if idle { canary(engine).await } else { None };
        self.canaries += u64::from(canary.is_some());
        let progress = engine.progress();
        self.ended = progress.ended.saturating_sub(self.canaries);
        let sight = Sight { ended: self.ended, overdue: progress.overdue, looks: progress.looks, canary };
        let alive = self.liveness.look(self.began.elapsed(), sight).map_err(|stuck| stuck.to_string());
        match &alive {
            Ok(()) if self.watched => {
                systemd::alive();
                systemd::status(&format!("{} requests at work, {} ended", progress.at_work, progress.ended));
            }
            Ok(()) => {}
            Err(why) => {
                tracing::error!(why, "nothing gets done any more; the service manager is no longer told that all is well")
            }
        }
        alive
    }
}

/// A page of our own, through all that pages go through. `None` if there is no telling.
async fn canary(engine: &Engine) -> Option<bool> {
    let request = Request::bytes("<title>canary</title><p>All is well.").deadline(CANARY);
    match engine.extract(request).document().await {
        Ok(answer) => Some(answer.document.text.contains("All is well")),
        Err(error) => match error.kind() {
            // There is so much to do that there is no room for it, which is for the requests to show.
            ErrorKind::Overloaded | ErrorKind::ShuttingDown => None,
            ErrorKind::InvalidRequest
            | ErrorKind::SourceNotFound
            | ErrorKind::SourceUnreadable
            | ErrorKind::SourceRefused
            | ErrorKind::Blocked
            | ErrorKind::Disallowed
            | ErrorKind::Unsupported
            | ErrorKind::Malformed
            | ErrorKind::PasswordRequired
            | ErrorKind::EncryptionUnsupported
            | ErrorKind::NotInstalled
            | ErrorKind::TooLarge
            | ErrorKind::Deadline
            | ErrorKind::ResourceLimit
            | ErrorKind::ExtractionFailed
            | ErrorKind::Quarantined
            | ErrorKind::Unavailable
            | ErrorKind::Internal => Some(false),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_of_a_host_is_a_problem() {
        let of =
            |host: &str| DaemonConfig { hosts: vec!["mesh".to_owned(), host.to_owned()], ..DaemonConfig::default() }.problems();
        for fine in ["mesh.example.org", "MESH", "xn--bcher-kva.example", "127.0.0.1", "my_mesh"] {
            assert_eq!(of(fine), Vec::<String>::new(), "{fine}");
        }
        for wrong in ["", "*", "*.example.org", "mesh:8443", "https://mesh.example.org", "mesh/", "b\u{fc}cher.example"] {
            assert!(matches!(&*of(wrong), [problem] if problem.starts_with("daemon.hosts must be ")), "{wrong}");
        }
    }
}

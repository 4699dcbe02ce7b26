//! The engine: everything that one [`Engine`] owns, its start and its end.

mod snapshot;

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eventmesh_actors::process::ProcessHost;
use eventmesh_actors::{
    Bus, ChildSpec, ControlGroups, ControlGroupsSnapshot, Exit, Governor, LeaseError, MemorySource, NotDelegated, Pool,
    PoolMemory, PoolSpec, PostMortem, Pressure, Priority, ProcessList, Record, ServiceContext, Shutdown, Subscriber,
    SupervisorSpec, Tree, TreeError, UnknownMemory, spawn_named,
};
use eventmesh_extractors::wasm::{ArtifactCache, Guest, Sandbox, SandboxError, SandboxSpec, ThreadHook, WasmWorker};
use rapidhash::quality::RandomState;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use crate::admission::{Admission, Permit};
use crate::browser::Browsers;
use crate::cache::{Cache, OpenError};
use crate::config::Config;
use crate::egress::Egress;
use crate::error::{Error, ErrorKind};
use crate::fetch::{Fetcher, FetcherError, Got, Page, Terms};
use crate::gate::{Hosts, Lean, Outcome};
use crate::memory::{EngineMemory, WasmMemory};
use crate::observe::{EngineMetrics, Rejection};
use crate::pdf::Pdf;
use crate::pipeline;
use crate::reply::Reply;
use crate::request::{Request, Source};
use crate::scratch;
pub(crate) use snapshot::Progress;
pub use snapshot::{EgressSnapshot, EngineSnapshot, PdfSnapshot, Readiness, SandboxSnapshot};

/// Events kept for readers that are behind.
const EVENTS: usize = 1024;
/// How long the first worker may take. It starts a thread and nothing else.
const FIRST_WORKER: Duration = Duration::from_secs(30);
/// How long the pool may take to stop once no request is left: its workers have nothing to do by then.
const POOL_SHUTDOWN: Duration = Duration::from_secs(5);

/// Extracts pages. Clones are handles to the same engine; nothing of it is global.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) fetcher: Fetcher,
    pub(crate) egress: Egress,
    /// What is kept of pages on the web, if anything is.
    pub(crate) cache: Option<Cache<Error>>,
    /// Of all that content is made by: another one makes other content.
    pub(crate) version: String,
    /// What pages are known by.
    pub(crate) keys: RandomState,
    pub(crate) pool: Pool<WasmWorker>,
    pub(crate) pdf: Pdf,
    pub(crate) browsers: Browsers,
    /// What hosts are like. Held for a look or an entry, never across an await.
    hosts: Mutex<Hosts>,
    /// When the engine started, the beginning of what hosts are remembered by.
    started: Instant,
    host: Option<ProcessHost>,
    /// `None` if they were not wanted.
    groups: Option<Result<ControlGroups, NotDelegated>>,
    pub(crate) metrics: EngineMetrics,
    admission: Admission,
    sandbox: Arc<Sandbox>,
    governor: Governor,
    tree: Tree,
    bus: Bus,
    abort: watch::Sender<bool>,
}

impl Inner {
    /// Lets in what is done on the engine's own account.
    pub(crate) fn enter(&self, deadline: Instant) -> Result<Permit, Error> {
        // Nobody waits for that.
        self.admission.enter(Priority::Batch, deadline)
    }

    /// Waits until requests are to be given up.
    pub(crate) async fn aborted(&self) {
        let mut abort = self.abort.subscribe();
        // The sender lives in `self`.
        let _ = abort.wait_for(|abort| *abort).await;
    }

    /// How a host leans, as far as this engine has seen.
    pub(crate) fn lean(&self, host: &str) -> Lean {
        let now = self.started.elapsed();
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).lean(host, now)
    }

    /// Remembers what has come of a page of a host.
    pub(crate) fn remember(&self, host: &str, outcome: Outcome) {
        let now = self.started.elapsed();
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).record(host, outcome, now);
    }
}

/// Settings on their way to an engine.
#[derive(Clone, Debug)]
pub struct EngineBuilder {
    config: Config,
    memory: Arc<dyn MemorySource>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self { config: Config::default(), memory: Arc::new(UnknownMemory) }
    }
}

impl EngineBuilder {
    /// All settings at once.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// WASM workers, one thread each.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.config.workers = workers;
        self
    }

    /// Time for one request.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline;
        self
    }

    /// Where compiled code is kept.
    #[must_use]
    pub fn artifact_cache(mut self, cache: ArtifactCache) -> Self {
        self.config.artifact_cache = cache;
        self
    }

    /// Who knows what the allocator holds. Default nobody; then the kernel's accounts have to do.
    #[must_use]
    pub fn memory(mut self, memory: Arc<dyn MemorySource>) -> Self {
        self.memory = memory;
        self
    }

    /// Starts the engine and waits until it serves. Takes about a second the first time, when the guest is
    /// compiled, and a few milliseconds from then on.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running.
    pub async fn start(self) -> Result<Engine, StartError> {
        let config = self.config;
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(StartError::Config { problems });
        }
        let cache = match config.cache.cache() {
            Some(cache) => Some(Cache::open(cache).await?),
            None => None,
        };
        let outside = &config.egress;
        let egress = Egress::new(outside.policy.clone(), Arc::clone(&outside.resolver), config.fetch.connect);
        let fetcher = Fetcher::new(&config, egress.clone())?;
        let account = self.memory.pool(WASM);
        let spec = SandboxSpec {
            cache: config.artifact_cache.clone(),
            memory: config.page_memory,
            keep_resident: config.keep_resident,
            on_thread: account.clone().map_or_else(ThreadHook::default, |account| ThreadHook::new(move || account.bind_thread())),
            // One more page than workers may be at work for a moment: a cancelled one on its way out.
            ..SandboxSpec::new(config.workers.saturating_add(1))
        };
        let sandbox = tokio::task::spawn_blocking(move || Sandbox::new(&spec))
            .await
            .map_err(|error| StartError::Interrupted { why: error.to_string() })??;
        let sandbox = Arc::new(sandbox);
        let bus = Bus::new(EVENTS);
        let pool = Pool::new(pool_spec(&config, account, &sandbox), Arc::clone(&sandbox), bus.clone());
        let memory = EngineMemory { allocator: self.memory, sandbox: Arc::clone(&sandbox) };
        let groups = config.control_groups.then(ControlGroups::adopt);
        if let Some(Err(missing)) = &groups {
            tracing::info!(%missing, "processes have no control groups of their own");
        }
        let host = scratch::open(config.scratch.as_deref(), groups.as_ref().and_then(|groups| groups.as_ref().ok().cloned()));
        let pdf = Pdf::new(&config, &host, &bus);
        let browsers = Browsers::new(&config, &host, &egress, &bus);
        let processes = host.as_ref().ok().map(|host| Arc::new(host.clone()) as Arc<dyn ProcessList>);
        let governor = Governor::new(config.governor.clone(), Arc::new(memory), processes, bus.clone());
        pool.follow(governor.levels());
        // The governor goes first: whoever comes after it can rely on its levels. Its failure is nobody else's.
        let mut root = SupervisorSpec::new("eventmesh")
            .child(governor.child())
            .child(ChildSpec::pool(&pool).shutdown(Shutdown::Within(POOL_SHUTDOWN)));
        if let Some(ready) = pdf.get() {
            ready.pool.follow(governor.levels());
            root = root.child(ChildSpec::pool(&ready.pool).shutdown(Shutdown::Within(POOL_SHUTDOWN)));
        }
        if let Some(cache) = &cache {
            root = root.child(keeper(cache.clone(), &governor));
        }
        if let Some(child) = browsers.child(&bus) {
            root = root.child(child);
        }
        if let Some(ready) = browsers.get() {
            ready.pool.follow(governor.levels());
        }
        let tree = Tree::start(root, bus.clone()).await?;
        pool.ready(Instant::now() + FIRST_WORKER).await.map_err(|error| StartError::NotReady {
            last: pool.snapshot().last_failure.map(|exit| exit.to_string()),
            source: error,
        })?;
        let metrics = EngineMetrics::new();
        let inner = Inner {
            admission: Admission::new(config.max_requests, config.max_admitted_bytes, metrics.clone()),
            metrics,
            fetcher,
            egress,
            cache,
            version: version(),
            keys: RandomState::new(),
            pool,
            pdf,
            browsers,
            hosts: Mutex::default(),
            started: Instant::now(),
            host: host.ok(),
            groups,
            sandbox,
            governor,
            tree,
            bus,
            abort: watch::Sender::new(false),
            config,
        };
        Ok(Engine { inner: Arc::new(inner) })
    }
}

/// Makes what is kept in memory fit what there is of it, and sees to it at the end that the disk has everything.
fn keeper(cache: Cache<Error>, governor: &Governor) -> ChildSpec {
    let levels = governor.levels();
    let service = move |context: ServiceContext| {
        let (cache, mut levels) = (cache.clone(), levels.clone());
        async move {
            context.ready();
            loop {
                cache.shrink(*levels.borrow_and_update() as u8);
                tokio::select! {
                    () = context.stopping() => break,
                    changed = levels.changed() => if changed.is_err() { break },
                }
            }
            cache.flush().await;
            Ok::<_, Infallible>(())
        }
    };
    ChildSpec::service("cache", service).shutdown(Shutdown::Within(FLUSH))
}

/// How long the disk may take to have everything.
const FLUSH: Duration = Duration::from_secs(5);

/// Of all that content is made by.
fn version() -> String {
    let mut hasher = DefaultHasher::new();
    Guest::BuiltIn.bytes().hash(&mut hasher);
    format!("{} {:016x}", env!("CARGO_PKG_VERSION"), hasher.finish())
}

/// The pool's own bounds are those of the whole engine: whoever was admitted may wait.
fn pool_spec(config: &Config, account: Option<Arc<dyn PoolMemory>>, sandbox: &Arc<Sandbox>) -> PoolSpec {
    let memory = account.map(|account| Arc::new(WasmMemory { account, sandbox: Arc::clone(sandbox) }) as _);
    PoolSpec {
        reserved: config.reserved,
        max_waiting: config.max_requests,
        max_bytes: config.max_admitted_bytes,
        recycle: config.recycle,
        restarts: config.restarts.clone(),
        backoff: config.backoff,
        memory,
        seed: u64::from(std::process::id()),
        ..PoolSpec::new(WASM, config.workers)
    }
}

/// The name of the pool of sandboxes.
const WASM: &str = "wasm";

impl Engine {
    /// An engine with the default settings, to be changed and started.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Extracts one page. Returns at once; the reply is the work in progress, and dropping it cancels the work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn extract(&self, request: Request) -> Reply {
        let (sender, mut reply) = Reply::new();
        let asked = self.inner.metrics.asked();
        let (priority, deadline) = (request.priority, Instant::now() + pipeline::within(&request, &self.inner.config));
        match self.withstand(priority).and_then(|()| self.inner.admission.enter(priority, deadline)) {
            Err(error) => {
                let result = Err(error);
                asked.ended(&result, sender.sent());
                sender.finish(result);
            }
            Ok(permit) => {
                let inner = Arc::clone(&self.inner);
                let work = async move { Box::pin(pipeline::work(&inner, request, permit, asked, sender)).await };
                // What is logged on its way is told under its name.
                let work = spawn_named("request", work.instrument(tracing::Span::current()));
                reply.attach(work.abort_handle());
            }
        }
        reply
    }

    /// Gets what is at `url` as it is, within the limits of pages and requests.
    pub(crate) async fn fetch(&self, url: String, priority: Priority) -> Result<Page, Error> {
        self.withstand(priority)?;
        let within = self.inner.config.deadline;
        let deadline = Instant::now() + within;
        let permit = self.inner.admission.enter(priority, deadline)?;
        let late = |_| Error::new(ErrorKind::Deadline, format!("the request was not done within {within:?}"));
        let terms = Terms { deadline, robots: self.inner.config.fetch.robots, session: None };
        match timeout(within, self.inner.fetcher.get(Source::Url(url), permit, None, &terms)).await.map_err(late)?? {
            Got::Page(page) => Ok(page),
            Got::NotModified(_) => Err(Error::new(ErrorKind::SourceUnreadable, "nothing was known, and nothing has changed")),
        }
    }

    /// The only way out.
    pub(crate) fn egress(&self) -> &Egress {
        &self.inner.egress
    }

    /// Whether a request of `priority` may come in while memory is as short as it is. Asked at the door: what the pool
    /// would send away must not be fetched first.
    fn withstand(&self, priority: Priority) -> Result<(), Error> {
        let pressure = self.inner.governor.snapshot().pressure;
        let refused = match priority {
            Priority::Interactive => pressure >= Pressure::Refuse,
            Priority::Batch => pressure >= Pressure::Shed,
        };
        if refused {
            self.inner.metrics.rejected(Rejection::Memory);
            let error = Error::new(ErrorKind::Overloaded, format!("memory is short ({pressure})"));
            return Err(error.retry_after(Pressure::RETRY_AFTER));
        }
        Ok(())
    }

    /// What the engine is doing, at once.
    #[must_use]
    pub fn snapshot(&self) -> EngineSnapshot {
        let admitted = self.inner.admission.admitted();
        let sandbox = self.inner.sandbox.usage();
        let refused = self.inner.egress.refused();
        EngineSnapshot {
            requests: admitted.requests,
            requests_ended: admitted.ended,
            admitted_bytes: admitted.bytes,
            sandbox: sandbox.into(),
            pdf: self.pdf(),
            browser: self.inner.browsers.snapshot(),
            egress: EgressSnapshot { refused: refused.values().sum(), why: refused },
            events_missed: self.inner.bus.missed(),
            control_groups: self.control_groups(),
            fetch: self.inner.fetcher.snapshot(),
            cache: self.inner.cache.as_ref().map(Cache::counts),
            memory: self.inner.governor.snapshot(),
            tree: self.inner.tree.snapshot(),
        }
    }

    fn control_groups(&self) -> ControlGroupsSnapshot {
        let missing = match &self.inner.groups {
            Some(Ok(groups)) => return groups.snapshot(),
            Some(Err(missing)) => missing.to_string(),
            None => "they are not wanted: control_groups is off".to_owned(),
        };
        ControlGroupsSnapshot { missing: Some(missing), ..ControlGroupsSnapshot::default() }
    }

    fn pdf(&self) -> PdfSnapshot {
        let pdf = &self.inner.pdf;
        PdfSnapshot {
            library: pdf.get().map(|ready| ready.library.path.display().to_string()),
            missing: pdf.require().err().map(|error| error.to_string()),
            confinement: pdf.confinement().map(|confinement| confinement.to_string()),
            processes: self.inner.host.as_ref().map_or(0, |host| host.pids().len()),
        }
    }

    /// What is counted of its requests.
    pub(crate) fn metrics(&self) -> &EngineMetrics {
        &self.inner.metrics
    }

    /// Directories that it writes to, and what they are called in figures.
    pub(crate) fn directories(&self) -> Vec<(&'static str, PathBuf)> {
        let artifacts = match &self.inner.config.artifact_cache {
            ArtifactCache::Directory(directory) => Some(("artifacts", directory.clone())),
            ArtifactCache::None => None,
        };
        let pages = self.inner.config.cache.directory.clone().filter(|_| self.inner.cache.is_some());
        let pages = pages.map(|directory| ("pages", directory));
        let scratch = self.inner.host.as_ref().map(|host| ("scratch", host.directory().to_owned()));
        artifacts.into_iter().chain(pages).chain(scratch).collect()
    }

    /// The settings that it was started with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Whether a request that came now would be worked on.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let admitted = self.inner.admission.admitted();
        let pool = self.inner.pool.snapshot();
        Readiness {
            workers: pool.children.iter().any(|child| matches!(child.state, "idle" | "leased")),
            room: admitted.requests < self.inner.config.max_requests,
            memory: self.inner.governor.snapshot().pressure < Pressure::Refuse,
        }
    }

    /// Whether anything gets done: numbers that only ever grow while it does, and how late the latest request is.
    pub(crate) fn progress(&self) -> Progress {
        let admitted = self.inner.admission.admitted();
        Progress {
            ended: admitted.ended,
            at_work: admitted.requests,
            overdue: self.inner.admission.overdue(Instant::now()),
            looks: self.inner.governor.snapshot().looks,
        }
    }

    /// Replaces the child in `slot` of the pool called `pool`, losing nothing. `None` if there is no such pool, `false` if
    /// there is nothing in that slot that could be replaced now.
    #[must_use]
    pub fn recycle(&self, pool: &str, slot: u32) -> Option<bool> {
        let inner = &self.inner;
        let pages = inner.browsers.get().map(|ready| &ready.pool);
        let pdf = inner.pdf.get().map(|ready| &ready.pool);
        if &*inner.pool.snapshot().name == pool {
            return Some(inner.pool.retire(slot));
        }
        if let Some(pages) = pages.filter(|pages| &*pages.snapshot().name == pool) {
            return Some(pages.retire(slot));
        }
        pdf.filter(|pdf| &*pdf.snapshot().name == pool).map(|pdf| pdf.retire(slot))
    }

    /// All that happens in the tree from now on.
    #[must_use]
    pub fn events(&self) -> Subscriber {
        self.inner.bus.subscribe()
    }

    /// The last events, oldest first.
    #[must_use]
    pub fn recent_events(&self) -> Vec<Record> {
        self.inner.bus.recent()
    }

    /// What happened before the engine gave up, if it has.
    #[must_use]
    pub fn post_mortem(&self) -> Option<PostMortem> {
        self.inner.tree.post_mortem()
    }

    /// Waits until the engine is down: shut down, or its workers have failed too often to go on; says why.
    pub async fn down(&self) -> Exit {
        self.inner.tree.down().await
    }

    /// Stops: no new requests, those at work may end within `grace`, the rest is told that it will not, and the
    /// workers are stopped. Takes at most `grace` and eleven seconds more.
    pub async fn shutdown(&self, grace: Duration) {
        self.inner.admission.close();
        if timeout(grace, self.inner.admission.empty()).await.is_err() {
            tracing::warn!(requests = self.inner.admission.admitted().requests, "requests are given up at shutdown");
            self.inner.abort.send_replace(true);
        }
        self.inner.tree.shutdown(POOL_SHUTDOWN).await;
        if let Some(host) = &self.inner.host {
            // They have been told or killed; whoever shuts down may rely on it that none is left.
            let _ = timeout(POOL_SHUTDOWN, host.close()).await;
        }
    }
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that make no sense, all of them.
    #[error("the settings are not sound: {}", problems.join("; "))]
    Config {
        /// One sentence each.
        problems: Vec<String>,
    },
    /// The cache could not be opened.
    #[error("failed to open the cache")]
    Cache(#[from] OpenError),
    /// The HTTP client could not be set up.
    #[error("failed to set up the HTTP client")]
    Fetcher(#[from] FetcherError),
    /// The sandbox could not be set up.
    #[error("failed to set up the sandbox")]
    Sandbox(#[from] SandboxError),
    /// The tree could not be started.
    #[error("failed to start the workers")]
    Tree(#[from] TreeError),
    /// No worker came up.
    #[error("no worker came up{}", last.as_ref().map(|last| format!(", the last one because: {last}")).unwrap_or_default())]
    NotReady {
        /// Why the last one did not.
        last: Option<String>,
        /// What the pool says.
        #[source]
        source: LeaseError,
    },
    /// The start itself was interrupted.
    #[error("the start was interrupted: {why}")]
    Interrupted {
        /// By what.
        why: String,
    },
}

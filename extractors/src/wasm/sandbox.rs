//! The engine, the compiled guest and the rules; runs one page in one fresh instance.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use eventmesh_guest::{ABI_VERSION, Document, Hints, decode_output, encode_hints};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Memory, PoolingAllocationConfig,
    PoolingAllocatorMetrics, ResourceLimiter, Store, StoreLimits, StoreLimitsBuilder, Trap, TypedFunc, UpdateDeadline,
};

use super::artifact::ArtifactCache;
use super::error::{PageError, SandboxError};
use super::ticker::Ticker;

#[expect(clippy::disallowed_types, reason = "a guest's deadline is wall-clock time on a thread of its own")]
type Instant = std::time::Instant;

/// How long a guest may take to say its version: it has nothing to do for it.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Which guest runs.
#[derive(Clone, Debug, Default)]
pub enum Guest {
    /// The one that was built with this crate.
    #[default]
    BuiltIn,
    /// Another module with the same interface.
    Module(Arc<[u8]>),
}

impl Guest {
    /// The module itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::BuiltIn => include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm")),
            Self::Module(bytes) => bytes,
        }
    }
}

/// What a sandbox is made from.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// The guest.
    pub guest: Guest,
    /// Where its compiled form is kept.
    pub cache: ArtifactCache,
    /// Pages at work at once, at most.
    pub slots: u32,
    /// Linear memory of one page, in bytes. Default 256 MiB: about fifty times what a page of 500 KB needs.
    pub memory: usize,
    /// Memory of a slot that stays mapped between pages, in bytes. Default 4 MiB: what a page of 500 KB
    /// touches, so that most pages fault nothing in; the price is this much per slot.
    pub keep_resident: usize,
    /// Native stack of a guest, in bytes. Default 1 MiB.
    pub stack: usize,
    /// Run first on each worker's thread, such as to bind it to an account of the allocator. Default nothing.
    pub on_thread: ThreadHook,
}

/// What is run first on each worker's thread.
#[derive(Clone, Default)]
pub struct ThreadHook(Option<Arc<dyn Fn() + Send + Sync>>);

impl ThreadHook {
    /// A hook that calls `hook`.
    pub fn new(hook: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(crate) fn run(&self) {
        if let Some(hook) = &self.0 {
            hook();
        }
    }
}

impl fmt::Debug for ThreadHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ThreadHook" } else { "no ThreadHook" })
    }
}

impl SandboxSpec {
    /// The built-in guest, `slots` pages at once, and the defaults above.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self {
            guest: Guest::BuiltIn,
            cache: ArtifactCache::of_user(),
            slots: slots.max(1),
            memory: 256 << 20,
            keep_resident: 4 << 20,
            stack: 1 << 20,
            on_thread: ThreadHook::default(),
        }
    }
}

/// One page to extract.
#[derive(Clone, Debug)]
pub struct Job {
    /// The page's bytes.
    pub page: Bytes,
    /// What is known about it.
    pub hints: Hints,
    /// By when it has to be done.
    pub deadline: tokio::time::Instant,
}

/// What a page brought, and what it cost.
#[derive(Debug)]
pub struct Extracted {
    /// The document.
    pub document: Document,
    /// Time in the sandbox.
    pub ran: Duration,
    /// Linear memory at its largest, in bytes.
    pub memory: usize,
}

/// What a sandbox holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SandboxUsage {
    /// Pages run.
    pub pages: u64,
    /// Pages that were given a slot which was warm from an earlier page.
    pub warm_pages: u64,
    /// Linear memories in use.
    pub live: usize,
    /// Bytes that unused slots keep resident.
    pub resident_unused: usize,
}

/// Runs pages. Shared by all workers of a pool; two sandboxes in one process share nothing.
pub struct Sandbox {
    engine: Engine,
    guest: InstancePre<Limits>,
    metrics: Option<PoolingAllocatorMetrics>,
    ticker: Ticker,
    memory: usize,
    stack: usize,
    on_thread: ThreadHook,
    pages: AtomicU64,
    warm_pages: AtomicU64,
}

impl Sandbox {
    /// Makes a sandbox. Takes about a second where nothing is in the cache, so not on a runtime thread.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub fn new(spec: &SandboxSpec) -> Result<Self, SandboxError> {
        let engine = Engine::new(&config(spec)).map_err(SandboxError::Engine)?;
        let module = spec.cache.load(&engine, spec.guest.bytes()).map_err(SandboxError::Guest)?;
        // An empty linker: a guest with any import at all does not link.
        let guest = Linker::new(&engine).instantiate_pre(&module).map_err(SandboxError::Guest)?;
        let ticker = Ticker::start(engine.clone()).map_err(SandboxError::Thread)?;
        let sandbox = Self {
            metrics: engine.pooling_allocator_metrics(),
            engine,
            guest,
            ticker,
            memory: spec.memory,
            stack: spec.stack,
            on_thread: spec.on_thread.clone(),
            pages: AtomicU64::new(0),
            warm_pages: AtomicU64::new(0),
        };
        sandbox.check_version()?;
        Ok(sandbox)
    }

    fn check_version(&self) -> Result<(), SandboxError> {
        let _watch = self.ticker.watch();
        let latest = Instant::now() + FIRST_ANSWER;
        let mut store = self.store(move || if Instant::now() < latest { Verdict::GoOn } else { Verdict::Stop(Stop::Deadline) });
        let found = (|| {
            let instance = self.guest.instantiate(&mut store)?;
            instance.get_typed_func::<(), u32>(&mut store, "abi_version")?.call(&mut store, ())
        })();
        match found.map_err(SandboxError::Guest)? {
            ABI_VERSION => Ok(()),
            found => Err(SandboxError::Version { found, expected: ABI_VERSION }),
        }
    }

    fn store(&self, look: impl Fn() -> Verdict + Send + Sync + 'static) -> Store<Limits> {
        let mut store = Store::new(&self.engine, Limits::new(self.memory));
        store.limiter(|limits| limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| match look() {
            Verdict::GoOn => Ok(UpdateDeadline::Continue(1)),
            Verdict::Stop(stop) => Err(wasmtime::Error::new(stop)),
        });
        store
    }

    /// Native stack that a guest may use, in bytes; the thread that runs it needs more.
    pub(crate) fn stack(&self) -> usize {
        self.stack
    }

    /// What each worker's thread runs first.
    pub(crate) fn on_thread(&self) -> &ThreadHook {
        &self.on_thread
    }

    /// Makes an instance and drops it again: what every page pays before its first byte.
    ///
    /// # Errors
    /// [`PageError::Instance`].
    pub fn instantiate(&self) -> Result<(), PageError> {
        let mut store = self.store(|| Verdict::GoOn);
        self.guest.instantiate(&mut store).map(drop).map_err(|error| PageError::Instance { reason: error.to_string() })
    }

    /// Runs one page in a fresh instance, on the calling thread, until its deadline or until `cancelled`.
    ///
    /// # Errors
    /// See [`PageError`]. Whatever happened, the instance is gone and nothing of it is left.
    pub fn run(&self, job: &Job, cancelled: &Arc<AtomicBool>) -> Result<Extracted, PageError> {
        let began = Instant::now();
        let deadline = job.deadline.into_std();
        if began >= deadline {
            return Err(PageError::Deadline { ran: Duration::ZERO });
        }
        let watch = self.ticker.watch();
        let warm = self.metrics.as_ref().is_some_and(|metrics| metrics.unused_warm_memories() > 0);
        let mut store = self.store({
            let cancelled = Arc::clone(cancelled);
            move || {
                if cancelled.load(Ordering::Relaxed) {
                    Verdict::Stop(Stop::Cancelled)
                } else if Instant::now() >= deadline {
                    Verdict::Stop(Stop::Deadline)
                } else {
                    Verdict::GoOn
                }
            }
        });
        let instance = self.guest.instantiate(&mut store).map_err(|error| PageError::Instance { reason: error.to_string() })?;
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.warm_pages.fetch_add(u64::from(warm), Ordering::Relaxed);
        let document = Call::new(&mut store, &instance).map_err(|error| self.failure(&error, &store, began)).and_then(|call| {
            let output = call.run(&mut store, job).map_err(|error| self.failure(&error, &store, began))?;
            call.read(&store, output)
        });
        drop(watch);
        document.map(|document| Extracted { document, ran: began.elapsed(), memory: store.data().peak })
    }

    fn failure(&self, error: &wasmtime::Error, store: &Store<Limits>, began: Instant) -> PageError {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return match stop {
                Stop::Deadline => PageError::Deadline { ran: began.elapsed() },
                Stop::Cancelled => PageError::Cancelled,
            };
        }
        if store.data().refused {
            return PageError::Memory { limit: self.memory };
        }
        let reason = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        PageError::Crash { reason }
    }

    /// What the sandbox holds and has done.
    #[must_use]
    pub fn usage(&self) -> SandboxUsage {
        let metrics = self.metrics.as_ref();
        SandboxUsage {
            pages: self.pages.load(Ordering::Relaxed),
            warm_pages: self.warm_pages.load(Ordering::Relaxed),
            live: metrics.map_or(0, PoolingAllocatorMetrics::memories),
            resident_unused: metrics.map_or(0, PoolingAllocatorMetrics::unused_memory_bytes_resident),
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

/// Each setting was measured; see `docs/decisions/0004-fresh-instance-per-page.md`.
fn config(spec: &SandboxSpec) -> Config {
    // One slot more than pages at once: a replacement is made before the old instance is gone.
    let slots = spec.slots.saturating_add(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(slots)
        .total_memories(slots)
        .total_tables(slots)
        .max_tables_per_module(1)
        .max_memories_per_module(1)
        .max_memory_size(spec.memory)
        .max_unused_warm_slots(slots)
        .linear_memory_keep_resident(spec.keep_resident)
        .table_keep_resident(64 << 10)
        // Resets what a page has dirtied, not what it may have; Auto falls back on kernels without it.
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .memory_init_cow(true)
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(spec.stack)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// What the guest learns when it looks at the clock.
enum Verdict {
    GoOn,
    Stop(Stop),
}

/// Why a guest was stopped.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Stop {
    #[error("deadline")]
    Deadline,
    #[error("cancelled")]
    Cancelled,
}

/// Memory that one page may have, and has had.
struct Limits {
    limits: StoreLimits,
    peak: usize,
    refused: bool,
}

impl Limits {
    fn new(memory: usize) -> Self {
        Self {
            limits: StoreLimitsBuilder::new()
                .memory_size(memory)
                .instances(1)
                .memories(1)
                .tables(1)
                .table_elements(20_000)
                // A guest that is refused memory stops there and then: it could only abort.
                .trap_on_grow_failure(true)
                .build(),
            peak: 0,
            refused: false,
        }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = self.limits.memory_growing(current, desired, maximum);
        match allowed {
            Ok(true) => self.peak = self.peak.max(desired),
            Ok(false) | Err(_) => self.refused = true,
        }
        allowed
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}

/// One instance's end of the interface; see the guest's `abi.rs`.
struct Call {
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    extract: TypedFunc<(u32, u32), u64>,
}

impl Call {
    fn new(store: &mut Store<Limits>, instance: &wasmtime::Instance) -> wasmtime::Result<Self> {
        Ok(Self {
            memory: instance
                .get_memory(&mut *store, "memory")
                .ok_or_else(|| wasmtime::Error::msg("the guest exports no memory"))?,
            alloc: instance.get_typed_func(&mut *store, "alloc")?,
            extract: instance.get_typed_func(&mut *store, "extract")?,
        })
    }

    fn run(&self, store: &mut Store<Limits>, job: &Job) -> wasmtime::Result<u64> {
        let hints = encode_hints(&job.hints);
        let length = u32::try_from(hints.len() + job.page.len()).map_err(|_| wasmtime::Error::msg("the page exceeds 4 GiB"))?;
        let address = self.alloc.call(&mut *store, length)?;
        if address == 0 && length > 0 {
            store.data_mut().refused = true;
            return Err(wasmtime::Error::msg("the guest has no memory for the page"));
        }
        self.memory.write(&mut *store, address as usize, &hints)?;
        self.memory.write(&mut *store, address as usize + hints.len(), &job.page)?;
        self.extract.call(&mut *store, (address, length))
    }

    /// The instance goes with its page, so nothing is freed in it.
    fn read(&self, store: &Store<Limits>, output: u64) -> Result<Document, PageError> {
        let garbage = |reason| PageError::Garbage { reason };
        let address = usize::try_from(output >> 32).map_err(|_| garbage("address out of range"))?;
        let length = usize::try_from(output & u64::from(u32::MAX)).map_err(|_| garbage("length out of range"))?;
        let output = address
            .checked_add(length)
            .and_then(|end| self.memory.data(store).get(address..end))
            .ok_or_else(|| garbage("outside of its memory"))?;
        decode_output(output).ok_or_else(|| garbage("not in the wire format"))
    }
}

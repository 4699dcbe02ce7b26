//! Every setting of an engine, its default, and why that number.
//!
//! Below this file is the table of settings, and how they come from files, the environment and flags.

mod changes;
mod codec;
mod layer;
mod load;
mod origin;
mod settings;
mod units;
mod written;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eventmesh_actors::{BackoffSpec, GovernorSpec, RecycleLimits, RestartPolicy};
use eventmesh_extractors::browser::{BrowserLimits, SandboxPolicy};
use eventmesh_extractors::pdf::PdfLimits;
use eventmesh_extractors::wasm::ArtifactCache;

pub(crate) use changes::Changes;
pub(crate) use load::{Flag, Sources, Unsound};
pub(crate) use settings::Settings;
pub(crate) use units::write_time;
pub(crate) use written::{example, shown};

use crate::cache::{CacheConfig, DiskConfig, FreshnessPolicy, Packing, StoreConfig};
use crate::egress::{EgressPolicy, Resolver, SystemResolver};
use crate::fetch::{HostLimits, RetryLimits};

/// Settings of an engine. [`Config::default`] is what is used where nothing is said.
#[derive(Clone, Debug)]
pub struct Config {
    /// WASM workers, one thread each. Default: one per core, since extraction is nothing but CPU.
    pub workers: u32,
    /// Workers of each kind (for HTML, for PDFs, pages in browsers) that requests of priority batch leave to those that
    /// somebody waits for; one is left to them in any case. Default 1.
    pub reserved: u32,
    /// Requests accepted at once; more are refused. Default 1,024: with two cores that is seconds of work, and
    /// nobody gains from waiting longer than that.
    pub max_requests: usize,
    /// Bytes of all pages held at once. Default 512 MiB.
    pub max_admitted_bytes: u64,
    /// Bytes of one page, decompressed. Default 32 MiB: a hundred times the median page, and what a guest of
    /// 256 MiB can still parse.
    pub max_page_bytes: u64,
    /// Time for one request from acceptance to its answer. Default 30 s.
    pub deadline: Duration,
    /// Linear memory of one page, in bytes. Default 256 MiB.
    pub page_memory: usize,
    /// Memory that each slot keeps mapped between pages, in bytes. Default 4 MiB.
    pub keep_resident: usize,
    /// Where compiled code is kept. Default: the user's cache directory.
    pub artifact_cache: ArtifactCache,
    /// When healthy workers are replaced. Default every 100,000 pages ±10 %: instances are fresh for every page,
    /// so this only bounds what the thread around them could gather.
    pub recycle: RecycleLimits,
    /// Restarts of workers before their pool gives up. Default 5 in 10 s.
    pub restarts: RestartPolicy,
    /// Delays between restarts. Default 10 ms up to 1 s, forgiven after 5 min.
    pub backoff: BackoffSpec,
    /// When memory is short, and what is looked at for that. Default: a budget of four fifths of what the control group,
    /// or else the machine, has.
    pub governor: GovernorSpec,
    /// Limits on fetching a page by its URL.
    pub fetch: FetchLimits,
    /// What is kept of pages on the web. Default nothing: the daemon keeps them.
    pub cache: CacheSettings,
    /// Whom this engine, and the pages that it renders, may connect to.
    pub egress: EgressConfig,
    /// How PDFs are read.
    pub pdf: PdfConfig,
    /// How pages are rendered.
    pub browser: BrowserConfig,
    /// Directory for the scratch directories of processes. Default: `eventmesh` in the user's runtime directory, or the
    /// temporary one.
    pub scratch: Option<PathBuf>,
    /// Whether processes get control groups of their own where a service manager has handed its group over (`Delegate=`). This
    /// process itself is moved into a group below that one, so it is for programs that are a service. Default not.
    pub control_groups: bool,
}

/// What is kept of pages on the web that were extracted, for whoever asks again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Bytes that are kept in memory; 0: nothing is kept, on disk neither. Default 0: the daemon keeps 64 MiB.
    pub memory: u64,
    /// Larger contents are not kept. Default 8 MiB.
    pub max_entry: u64,
    /// Where pages are kept on disk, too. Default nowhere.
    pub directory: Option<PathBuf>,
    /// Bytes that they may take there. Default 1 GiB.
    pub disk: u64,
    /// Pages that are renewed at the same time while what is stale is served. Default 4.
    pub refreshes: usize,
    /// How long pages are fresh whose servers do not say, and how far servers are believed that do.
    pub freshness: FreshnessPolicy,
}

/// Whom an engine may connect to, for pages, their redirects, and all that rendered pages ask for.
#[derive(Clone, Debug)]
pub struct EgressConfig {
    /// What is allowed. Default: the public internet, on the ports of the web.
    pub policy: EgressPolicy,
    /// Who looks names up. Default: the system.
    pub resolver: Arc<dyn Resolver>,
}

/// How PDFs are read.
#[derive(Clone, Debug)]
pub struct PdfConfig {
    /// libpdfium, by its path. Default: what `EVENTMESH_PDFIUM` names, else beside the program, in the user's data directory,
    /// in the system's library directories; never where the loader would look.
    pub library: Option<PathBuf>,
    /// The program that is started to read PDFs, which must have been built with this one. Default: this one, if it called
    /// [`worker_main`](crate::worker_main) first.
    pub program: Option<PathBuf>,
    /// Processes. Default: one per core, since reading is nothing but CPU. None is there before the first PDF.
    pub workers: u32,
    /// What a process may use.
    pub limits: PdfLimits,
    /// Directories of fonts for documents that lack their own; only pictures of pages show them. Default none: then every
    /// machine draws the same.
    pub fonts: Vec<String>,
    /// Bytes of memory that all PDFs waiting and being read are expected to take: 1 MiB and four times the file, the latter
    /// at most 512 MiB. Default 2 GiB.
    pub max_bytes: u64,
    /// Bytes of content of one PDF that is not streamed. Default 256 MiB.
    pub max_content: u64,
    /// When healthy processes are replaced. Default every 200 documents ±10 %, and past what `limits` allows to be kept.
    pub recycle_after: u64,
    /// Restarts of workers before their pool gives up. Default 50 in 10 s: a new process is there within milliseconds, and
    /// what a document does to its process is no restart.
    pub restarts: RestartPolicy,
}

/// How pages are rendered.
#[derive(Clone, Debug)]
pub struct BrowserConfig {
    /// Chromium, by its path: the program itself, not the script that starts it. Default: what `EVENTMESH_CHROMIUM` names, else
    /// where distributions put it.
    pub chromium: Option<PathBuf>,
    /// The program that is started and becomes Chromium, which must have been built with this one. Default: this one, if it
    /// called [`worker_main`](crate::worker_main) first.
    pub program: Option<PathBuf>,
    /// Pages rendered at once. Default: one per core, since more only wait for each other inside the browser. None is there, nor
    /// is a browser, before the first page.
    pub pages: u32,
    /// What browsers and their pages may use, and when another browser takes over.
    pub limits: BrowserLimits,
    /// Whether Chromium confines its own processes. Default: it does, unless it says that it cannot.
    pub sandbox: SandboxPolicy,
    /// The user that Chromium runs as, if this process is root. Default: a number that belongs to nobody.
    pub user: Option<u32>,
    /// Arguments for Chromium besides our own. Default none.
    pub arguments: Vec<String>,
    /// Bytes of all pages waiting and being rendered, each counted as 1 MiB and what it brings along. Default 256 MiB.
    pub max_bytes: u64,
}

/// Limits on fetching a page by its URL. The request's deadline holds besides.
#[derive(Clone, Debug)]
pub struct FetchLimits {
    /// Time to connect. Default 10 s.
    pub connect: Duration,
    /// Time without a byte. Default 15 s.
    pub idle: Duration,
    /// Redirects followed. Default 10, as browsers do with 20 and half the patience.
    pub redirects: usize,
    /// Bytes on the wire, before decompression. Default 32 MiB: as many as a page may have.
    pub wire_bytes: u64,
    /// What the fetcher calls itself.
    pub user_agent: String,
    /// Time for all of a body, from its first byte. Default 2 min: whoever sends it drop by drop is not waited for.
    pub body: Duration,
    /// How many times as large a page may be as it was sent, past 1 MiB. Default 200: pages come to 20, and a bomb to 1,000.
    pub ratio: u64,
    /// Headers of an answer. Default 128.
    pub headers: usize,
    /// Bytes of an answer's headers. Default 64 KiB.
    pub header_bytes: usize,
    /// What is asked for again when it fails.
    pub retries: RetryLimits,
    /// What one host is asked for at most.
    pub hosts: HostLimits,
    /// Whether what a site's robots.txt does not allow is not asked for, by a browser neither. Default not: it is meant for
    /// programs that go from page to page by themselves; the daemon, which may be used by one, honours it.
    pub robots: bool,
    /// Whether a request may ignore it where it is honoured. Default not.
    pub robots_optional: bool,
    /// How long a robots.txt is good. Default 24 h, which is the longest by its RFC.
    pub robots_kept: Duration,
    /// How long nothing is asked of a site that fails to answer for it. Default 30 s.
    pub robots_again: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: cores(),
            reserved: 1,
            max_requests: 1024,
            max_admitted_bytes: 512 << 20,
            max_page_bytes: 32 << 20,
            deadline: Duration::from_secs(30),
            page_memory: 256 << 20,
            keep_resident: 4 << 20,
            artifact_cache: ArtifactCache::of_user(),
            recycle: RecycleLimits { jobs: Some(100_000), jitter: 0.1, ..RecycleLimits::NEVER },
            restarts: RestartPolicy::any(5, Duration::from_secs(10)),
            backoff: BackoffSpec {
                base: Duration::from_millis(10),
                cap: Duration::from_secs(1),
                reset_after: Duration::from_secs(300),
            },
            governor: GovernorSpec::default(),
            fetch: FetchLimits::default(),
            cache: CacheSettings::default(),
            egress: EgressConfig::default(),
            pdf: PdfConfig::default(),
            browser: BrowserConfig::default(),
            scratch: None,
            control_groups: false,
        }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            memory: 0,
            max_entry: 8 << 20,
            directory: None,
            disk: 1 << 30,
            refreshes: 4,
            freshness: FreshnessPolicy::default(),
        }
    }
}

impl CacheSettings {
    /// As a cache takes it, if anything is to be kept.
    pub(crate) fn cache(&self) -> Option<CacheConfig> {
        let disk =
            self.directory.clone().map(|directory| DiskConfig { directory, capacity: self.disk, packing: Packing::default() });
        let store = StoreConfig { memory: self.memory, max_entry: self.max_entry, disk };
        (self.memory > 0).then_some(CacheConfig { store, refreshes: self.refreshes })
    }
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self { policy: EgressPolicy::default(), resolver: Arc::new(SystemResolver) }
    }
}

impl Default for PdfConfig {
    fn default() -> Self {
        Self {
            library: None,
            program: None,
            workers: cores(),
            limits: PdfLimits::default(),
            fonts: Vec::new(),
            max_bytes: 2 << 30,
            max_content: 256 << 20,
            recycle_after: 200,
            restarts: RestartPolicy::any(50, Duration::from_secs(10)),
        }
    }
}

impl Default for BrowserConfig {
    fn default() -> Self {
        Self {
            chromium: None,
            program: None,
            pages: cores(),
            limits: BrowserLimits::default(),
            sandbox: SandboxPolicy::Auto,
            user: None,
            arguments: Vec::new(),
            max_bytes: 256 << 20,
        }
    }
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(15),
            redirects: 10,
            wire_bytes: 32 << 20,
            user_agent: concat!("eventmesh/", env!("CARGO_PKG_VERSION")).to_owned(),
            body: Duration::from_secs(120),
            ratio: 200,
            headers: 128,
            header_bytes: 64 << 10,
            retries: RetryLimits::default(),
            hosts: HostLimits::default(),
            robots: false,
            robots_optional: false,
            robots_kept: Duration::from_secs(24 * 60 * 60),
            robots_again: Duration::from_secs(30),
        }
    }
}

/// One for each core.
fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
}

impl Config {
    /// Everything that is wrong with these settings, each as a sentence that says what to do. Empty if all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, problem: &str| {
            if !fine {
                problems.push(problem.to_owned());
            }
        };
        check((1..=1024).contains(&self.workers), "workers must be 1 to 1024");
        check(self.max_requests >= 1, "max_requests must be at least 1");
        check(self.max_page_bytes >= 1, "max_page_bytes must be at least 1");
        check(
            self.max_admitted_bytes >= self.max_page_bytes,
            "max_admitted_bytes must be at least max_page_bytes, or the largest page would never be accepted",
        );
        check(
            (16 << 20..=4usize << 30).contains(&self.page_memory),
            "page_memory must be 16 MiB to 4 GiB: less does not hold the guest, more a 32-bit guest cannot address",
        );
        check(self.keep_resident <= self.page_memory, "keep_resident must not exceed page_memory");
        let pdf = &self.pdf;
        check((1..=1024).contains(&pdf.workers), "pdf.workers must be 1 to 1024");
        check(
            (64 << 20..=16 << 30).contains(&pdf.limits.address_space),
            "pdf.limits.address_space must be 64 MiB to 16 GiB: less does not hold the program itself",
        );
        check(
            pdf.limits.large_address_space >= pdf.limits.address_space,
            "pdf.limits.large_address_space must be at least pdf.limits.address_space",
        );
        check(pdf.limits.open_files >= 16, "pdf.limits.open_files must be at least 16");
        check(pdf.limits.pages >= 1, "pdf.limits.pages must be at least 1");
        check(pdf.limits.pixels >= 1, "pdf.limits.pixels must be at least 1");
        check(pdf.max_bytes >= 1 << 20, "pdf.max_bytes must be at least 1 MiB");
        let browser = &self.browser;
        check((1..=256).contains(&browser.pages), "browser.pages must be 1 to 256");
        check(browser.max_bytes >= 1 << 20, "browser.max_bytes must be at least 1 MiB");
        check(browser.limits.slowdown > 1.0, "browser.limits.slowdown must be more than 1");
        check(browser.limits.pages >= 1, "browser.limits.pages must be at least 1");
        check(browser.limits.page_memory >= 16 << 20, "browser.limits.page_memory must be at least 16 MiB");
        check(browser.limits.browser_memory >= 16 << 20, "browser.limits.browser_memory must be at least 16 MiB");
        check(!browser.limits.look.is_zero(), "browser.limits.look must be longer than nothing");
        check(!self.deadline.is_zero(), "deadline must be longer than nothing");
        problems.extend(self.problems_of_supervision());
        problems
    }

    /// What is wrong with when things are replaced, tried again and looked at, and with limits of time.
    fn problems_of_supervision(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, problem: &str| {
            if !fine {
                problems.push(problem.to_owned());
            }
        };
        check(self.recycle.jobs != Some(0), "recycle.jobs must be at least 1, or none");
        check(self.recycle.age.is_none_or(|age| !age.is_zero()), "recycle.age must be longer than nothing, or none");
        check((0.0..=0.5).contains(&self.recycle.jitter), "recycle.jitter must be 0 to 0.5");
        check((0.0..=1.0).contains(&self.recycle.memory.leave), "recycle.memory.leave must be 0 to 1");
        check(self.recycle.memory.samples >= 1, "recycle.memory.samples must be at least 1");
        check(!self.restarts.any.period.is_zero(), "restarts.period must be longer than nothing");
        check(!self.pdf.restarts.any.period.is_zero(), "pdf.restarts.period must be longer than nothing");
        check(self.pdf.recycle_after >= 1, "pdf.recycle_after must be at least 1");
        check(self.backoff.base <= self.backoff.cap, "backoff.base must not exceed backoff.cap");
        let governor = &self.governor;
        check(governor.budget.is_none_or(|budget| budget >= 16 << 20), "governor.budget must be at least 16 MiB, or auto");
        check(
            governor.interval >= Duration::from_millis(10),
            "governor.interval must be at least 10 ms: looking has its price, and under pressure it is a fifth of it",
        );
        check(governor.processes_every >= 1, "governor.processes_every must be at least 1");
        let rises = |levels: &[f64; 4]| levels.is_sorted() && levels.iter().all(|level| level.is_finite() && *level > 0.0);
        check(rises(&governor.policy.used), "governor.policy.used must rise from more than 0");
        check(rises(&governor.policy.some_stalled), "governor.policy.some_stalled must rise from more than 0");
        check(rises(&governor.policy.all_stalled), "governor.policy.all_stalled must rise from more than 0");
        check((0.0..=1.0).contains(&governor.policy.leave), "governor.policy.leave must be 0 to 1");
        check(governor.policy.enter_after >= 1, "governor.policy.enter_after must be at least 1");
        check(governor.policy.leave_after >= 1, "governor.policy.leave_after must be at least 1");
        check(!self.fetch.connect.is_zero(), "fetch.connect must be longer than nothing");
        check(!self.fetch.idle.is_zero(), "fetch.idle must be longer than nothing");
        check(self.fetch.wire_bytes >= 1, "fetch.wire_bytes must be at least 1");
        check(
            self.fetch.user_agent.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "fetch.user_agent must be of ASCII's visible characters, or servers could not read it",
        );
        let limits = &self.browser.limits;
        check(!limits.start.is_zero(), "browser.limits.start must be longer than nothing");
        check(!limits.call.is_zero(), "browser.limits.call must be longer than nothing");
        check(self.egress.policy.ports.iter().all(|ports| *ports.start() > 0), "egress.ports must be 1 to 65535");
        let fetch = &self.fetch;
        check(fetch.ratio >= 1, "fetch.ratio must be at least 1");
        check((16..=10_000).contains(&fetch.headers), "fetch.headers must be 16 to 10000");
        check((8 << 10..=16 << 20).contains(&fetch.header_bytes), "fetch.header_bytes must be 8 KiB to 16 MiB");
        for problem in fetch.hosts.problems() {
            check(false, problem);
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_every_problem_is_told() {
        assert_eq!(Config::default().problems(), Vec::<String>::new());
        let bad = Config {
            workers: 0,
            max_requests: 0,
            max_page_bytes: 0,
            page_memory: 1,
            deadline: Duration::ZERO,
            ..Config::default()
        };
        assert_eq!(bad.problems().len(), 6, "{:?}", bad.problems());
    }

    #[test]
    fn what_would_stop_supervision_is_a_problem() {
        let mut bad = Config::default();
        bad.recycle.jobs = Some(0);
        bad.recycle.jitter = f64::NAN;
        bad.backoff.base = Duration::from_secs(10);
        bad.governor.interval = Duration::ZERO;
        bad.governor.policy.used = [0.9, 0.8, 0.95, 0.97];
        bad.fetch.connect = Duration::ZERO;
        bad.fetch.user_agent = "a\nb".to_owned();
        bad.egress.policy.ports = vec![0..=80];
        let problems = bad.problems();
        assert_eq!(problems.len(), 8, "{problems:?}");
        let known = |problem: &str| problem.split(' ').next().is_some_and(|key| settings::find(key).is_some());
        assert!(problems.iter().all(|problem| known(problem)), "each begins with a key: {problems:?}");
    }
}

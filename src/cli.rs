//! The command line: what was typed, what it means, and the exit code that tells how it went.
//!
//! Results go to standard output, everything else to standard error.

mod batch;
mod config;
mod doctor;
mod exit;
mod extract;
mod interrupt;
mod keys;
mod log;
mod pdf;
mod place;
mod render;
mod serve;
mod top;
mod tree;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use eventmesh_actors::{MemorySource, UnknownMemory};

use figment::value::Value;
use ipnet::IpNet;

use crate::config::{Config, Flag, Sources, write_time};
use crate::engine::{Engine, StartError};
pub use crate::observe::Spans;
use exit::Exit;
pub use log::{LogFormat, LogSink};

/// Turns web pages and PDFs into clean structured content, each where it can do no harm.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Says more on standard error; -vv says everything. EVENTMESH_LOG takes a filter instead.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// The form of the log on standard error
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    all is well
  1    a fault of eventmesh
  2    the command line, or a setting, makes no sense
  3    batch: some inputs failed, the others are done
  4    the source cannot be read
  5    the source is nothing that can be extracted, or is too large
  6    the extraction ran into a limit, or crashed
  7    the engine is overloaded, down or shutting down
  8    the output cannot be written
  9    something that this needs is not installed, or does not work
  10   the egress policy does not allow to connect to the source; see --allow-net
  130  interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Extracts one page or PDF from a file, a URL or standard input
    Extract(Box<extract::ExtractArgs>),
    /// Renders one page with a browser: its HTML, content, a picture, a PDF
    Render(Box<render::RenderArgs>),
    /// Extracts many pages and PDFs, one JSON object a line in and out
    Batch(batch::BatchArgs),
    /// What only PDFs have
    #[command(subcommand)]
    Pdf(pdf::PdfCommand),
    /// Serves the engine over HTTP, as a daemon
    Serve(Box<serve::ServeArgs>),
    /// The settings of a daemon: what counts, what is wrong, what there is
    #[command(subcommand)]
    Config(Box<config::ConfigCommand>),
    /// The keys that open a daemon
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Looks at everything that the engine needs, and tries it
    Doctor(doctor::DoctorArgs),
    /// Watches a running daemon: its tree, pools, memory and events
    Top(top::TopArgs),
    /// Prints the live tree of workers in the middle of a short run
    Tree(tree::TreeArgs),
    /// Prints the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What every command that runs an engine takes.
#[derive(Debug, Args)]
struct EngineArgs {
    /// A file of settings; flags and EVENTMESH__ variables win over it; see `eventmesh config` [default: the file that
    /// EVENTMESH_CONFIG names]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Workers for HTML, one thread each, and for PDF, one process each [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// Seconds for one page, from acceptance to its answer [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// MiB of one page, decompressed [default: 32]
    #[arg(long, value_name = "MIB")]
    max_page: Option<u32>,
    /// MiB of memory that one web page may need [default: 256]
    #[arg(long, value_name = "MIB")]
    page_memory: Option<u32>,
    /// libpdfium.so, which reads PDFs [default: EVENTMESH_PDFIUM, beside the program, where ./x setup puts it]
    #[arg(long, value_name = "FILE")]
    pdfium: Option<PathBuf>,
    /// Chromium, which renders pages [default: EVENTMESH_CHROMIUM, where distributions put it]
    #[arg(long, value_name = "FILE")]
    chromium: Option<PathBuf>,
    /// Runs Chromium without its own sandbox: only where nothing that is rendered can do harm
    #[arg(long)]
    no_browser_sandbox: bool,
    /// A network that may be connected to although it is private, such as 127.0.0.0/8, in place of those in the settings; may be
    /// given more than once
    #[arg(long, value_name = "CIDR", value_parser = network)]
    allow_net: Vec<IpNet>,
    /// Asks a site for nothing that its robots.txt does not allow; serve and batch do so anyway
    #[arg(long)]
    robots: bool,
    /// Directory for compiled code, readable and writable by nobody else [default: the user's cache directory]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

/// What a command is to the sites that it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visitor {
    /// It asks for what somebody wants to see.
    Person,
    /// It asks for many pages.
    Robot,
}

impl EngineArgs {
    /// The settings of an engine: those of a file that was named, of the environment, and of these flags.
    fn config(&self) -> Result<Config, Exit> {
        self.config_of(Visitor::Person)
    }

    fn config_of(&self, visitor: Visitor) -> Result<Config, Exit> {
        let loaded = self.sources()?.load().map_err(Exit::usage)?;
        let said = loaded.is_set("fetch.robots");
        let mut config = loaded.settings.engine;
        match visitor {
            // Whoever asks for one page is no robot, unless they say so.
            Visitor::Person => config.fetch.robots &= said,
            Visitor::Robot => {}
        }
        // What ends with its answer has nobody to keep anything for.
        config.cache.memory = 0;
        config.control_groups = false;
        Ok(config)
    }

    fn sources(&self) -> Result<Sources, Exit> {
        // Not by way of the flag: one that is typed beside --server is refused, and a variable may be there for other commands.
        let variable = || std::env::var_os("EVENTMESH_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        let file = self.config.clone().or_else(variable);
        Ok(Sources { file, flags: self.flags()?, ..Sources::of_this_process() })
    }

    /// What was typed, as settings.
    fn flags(&self) -> Result<Vec<Flag>, Exit> {
        let mut flags = Vec::new();
        let mut say = |name, key, value: Value| flags.push(Flag { name, key, value });
        if let Some(workers) = self.workers {
            for key in ["workers", "pdf.workers", "browser.pages"] {
                say("--workers", key, workers.into());
            }
        }
        if let Some(timeout) = self.timeout {
            say("--timeout", "deadline", write_time(timeout).into());
        }
        if let Some(max_page) = self.max_page {
            say("--max-page", "max_page_bytes", (u64::from(max_page) << 20).into());
        }
        if let Some(page_memory) = self.page_memory {
            say("--page-memory", "page_memory", (u64::from(page_memory) << 20).into());
        }
        if let Some(pdfium) = &self.pdfium {
            say("--pdfium", "pdf.library", path_value(pdfium)?);
        }
        if let Some(chromium) = &self.chromium {
            say("--chromium", "browser.chromium", path_value(chromium)?);
        }
        if self.no_browser_sandbox {
            say("--no-browser-sandbox", "browser.sandbox", "off".into());
        }
        if !self.allow_net.is_empty() {
            let networks: Vec<_> = self.allow_net.iter().map(ToString::to_string).collect();
            say("--allow-net", "egress.allow", networks.into());
        }
        if self.robots {
            say("--robots", "fetch.robots", true.into());
        }
        if let Some(directory) = &self.cache_dir {
            say("--cache-dir", "artifact_cache", path_value(directory)?);
        }
        Ok(flags)
    }
}

/// A path as a setting. One that settings have a word for is still a path here.
fn path_value(path: &Path) -> Result<Value, Exit> {
    let text =
        path.to_str().ok_or_else(|| Exit::usage(format!("{} is not UTF-8, as paths of settings have to be", path.display())))?;
    Ok(if matches!(text, "auto" | "none") { format!("./{text}").into() } else { text.into() })
}

async fn start(config: Config) -> Result<Engine, Exit> {
    Engine::builder().config(config).memory(allocator()).start().await.map_err(|error| match &error {
        StartError::Config { .. } => Exit::usage(error),
        StartError::Cache(_) => Exit::unavailable(error),
        StartError::Fetcher(_)
        | StartError::Sandbox(_)
        | StartError::Tree(_)
        | StartError::NotReady { .. }
        | StartError::Interrupted { .. } => Exit::fault("failed to start the engine", error),
    })
}

/// The binary's allocator, if it says what it holds.
fn allocator() -> Arc<dyn MemorySource> {
    #[cfg(feature = "jemalloc")]
    if let Some(jemalloc) = crate::memory::Jemalloc::of_this_process() {
        return Arc::new(jemalloc);
    }
    Arc::new(UnknownMemory)
}

/// A network, or one address of it.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "neither a network, such as 10.0.0.0/8, nor an address".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "must be more than 0 seconds".to_owned())
}

impl Cli {
    /// The log level that was asked for.
    #[must_use]
    pub fn log_level(&self) -> &'static str {
        match self.verbose {
            0 => "warn",
            1 => "eventmesh=debug,eventmesh_actors=info,eventmesh_extractors=debug,warn",
            _ => "trace",
        }
    }

    /// Where the log goes.
    #[must_use]
    pub fn log_sink(&self) -> LogSink {
        let serves = matches!(self.command, Command::Serve(_));
        self.log_format.sink(serves, log::Reader::of_this_process())
    }

    /// Does what was asked for. A daemon tells of its requests by `spans`, if the log's subscriber has their layer.
    pub async fn run(self, spans: Spans) -> ExitCode {
        let done = match self.command {
            Command::Extract(arguments) => extract::run(*arguments).await,
            Command::Render(arguments) => render::run(*arguments).await,
            Command::Batch(arguments) => batch::run(arguments).await,
            Command::Pdf(command) => pdf::run(command).await,
            Command::Serve(arguments) => Box::pin(serve::run(*arguments, spans)).await,
            Command::Config(command) => config::run(*command),
            Command::Keys(command) => keys::run(command),
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Top(arguments) => top::run(arguments).await,
            Command::Tree(arguments) => tree::run(arguments).await,
            Command::Completions { shell } => completions(shell),
        };
        exit::tell(done)
    }
}

fn completions(shell: Shell) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "eventmesh", &mut script);
    exit::write_out(&script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn parsed(arguments: &[&str]) -> EngineArgs {
        let Command::Tree(parsed) = Cli::parse_from([&["eventmesh", "tree"], arguments].concat()).command else {
            panic!("it parses as what it is");
        };
        parsed.engine
    }

    fn settings(arguments: &[&str]) -> Config {
        let flags = parsed(arguments).flags().expect("paths in UTF-8");
        Sources { flags, ..Sources::default() }.load().expect("they are sound").settings.engine
    }

    /// The numbers that `--help` shows are those of an engine that is told nothing.
    #[test]
    fn the_defaults_are_those_of_the_library() {
        let (shown, meant) = (settings(&[]), Config::default());
        assert_eq!(shown.deadline, meant.deadline);
        assert_eq!(shown.max_page_bytes, meant.max_page_bytes);
        assert_eq!(shown.max_admitted_bytes, meant.max_admitted_bytes);
        assert_eq!(shown.fetch.wire_bytes, meant.fetch.wire_bytes);
        assert_eq!(shown.page_memory, meant.page_memory);
        assert_eq!(shown.workers, meant.workers);
        assert_eq!(shown.pdf.workers, meant.pdf.workers);
        assert_eq!(shown.artifact_cache, meant.artifact_cache);
        let help = |flag: &str| {
            let command = Cli::command();
            let tree = command.find_subcommand("tree").expect("it is one");
            let argument = tree.get_arguments().find(|argument| argument.get_long() == Some(flag)).expect("it is one");
            argument.get_help().expect("it has some").to_string()
        };
        for (flag, default) in [
            ("timeout", meant.deadline.as_secs()),
            ("max-page", meant.max_page_bytes >> 20),
            ("page-memory", meant.page_memory as u64 >> 20),
        ] {
            let help = help(flag);
            assert!(help.ends_with(&format!("[default: {default}]")), "--{flag}: {help}");
        }
    }

    #[test]
    fn flags_mean_settings() {
        let typed = "--workers 3 --timeout 1.5 --max-page 64 --page-memory 16 --pdfium /p --chromium auto --no-browser-sandbox \
                     --allow-net 10.0.0.1 --allow-net fd00::/8 --cache-dir none";
        let config = settings(&typed.split_whitespace().collect::<Vec<_>>());
        assert_eq!((config.workers, config.pdf.workers, config.browser.pages), (3, 3, 3));
        assert_eq!(config.deadline, Duration::from_millis(1500));
        assert_eq!((config.max_page_bytes, config.fetch.wire_bytes, config.page_memory), (64 << 20, 64 << 20, 16 << 20));
        assert_eq!((config.pdf.library, config.browser.chromium), (Some("/p".into()), Some("./auto".into())));
        assert_eq!(config.browser.sandbox, crate::render::SandboxPolicy::Off);
        assert_eq!(config.egress.policy.allow.len(), 2);
        assert_eq!(config.artifact_cache, crate::ArtifactCache::Directory("./none".into()));
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "x", "nan", "inf", "1e300"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}

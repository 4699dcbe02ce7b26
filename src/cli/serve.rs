//! `eventmesh serve`: the daemon.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::EngineArgs;
use super::exit::Exit;
use crate::cache::{DiskConfig, Packing, StoreConfig};
use crate::daemon::{self, DaemonConfig, DaemonError};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventmesh serve
  eventmesh serve --listen 0.0.0.0:7800 --keys /etc/eventmesh/keys.toml
  eventmesh serve --listen unix:/run/eventmesh/api.sock --allow-net 10.1.0.0/16
  curl -s http://127.0.0.1:7800/v1/extract -H 'content-type: application/json' -d '{\"url\": \"https://example.com/\"}'

SIGTERM and Ctrl-C finish what is at work and end; a second one ends at once. SIGHUP reads the keys again. Under systemd it
says when it is ready, takes over sockets, and answers the watchdog for as long as things get done.")]
pub(crate) struct ServeArgs {
    /// Where requests come in: HOST:PORT or unix:/PATH; may be repeated [default: 127.0.0.1:7800]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Where operators come in: health, figures, the tree, orders
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7801")]
    ops_listen: String,
    /// The file of keys; without one only this machine is listened to
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Requests that are worked on or wait at the same time; more are refused, and told when to come back
    #[arg(long, value_name = "N", default_value_t = 1024)]
    max_requests: usize,
    /// MiB of pages that are kept in memory for whoever asks again; 0 keeps none, on disk neither
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    page_cache_memory: u32,
    /// Directory where pages are kept, too, and survive a restart [default under systemd: its cache directory, else none]
    #[arg(long, value_name = "DIR")]
    page_cache: Option<PathBuf>,
    /// MiB of pages that are kept there
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    page_cache_disk: u32,
    /// Seconds that answers on their way may take when it ends
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = super::seconds)]
    drain: Duration,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(crate) async fn run(arguments: ServeArgs) -> Result<(), Exit> {
    let defaults = DaemonConfig::default();
    let config = DaemonConfig {
        listen: if arguments.listen.is_empty() { defaults.listen } else { arguments.listen },
        ops_listen: arguments.ops_listen,
        keys: arguments.keys,
        drain: arguments.drain,
        ..defaults
    };
    let told = |addresses: &[String], ops: &str| {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
        super::exit::say(&format!("serving at {}; for operators at {ops}", addresses.join(", ")));
    };
    let mut engine = arguments.engine.config();
    engine.max_requests = arguments.max_requests;
    // A service manager names one directory, or several.
    let given = std::env::var_os("CACHE_DIRECTORY").and_then(|given| std::env::split_paths(&given).next());
    let directory = arguments.page_cache.or_else(|| given.map(|given| given.join("pages")));
    engine.cache.store = (arguments.page_cache_memory > 0).then(|| StoreConfig {
        memory: u64::from(arguments.page_cache_memory) << 20,
        disk: directory.map(|directory| DiskConfig {
            directory,
            capacity: u64::from(arguments.page_cache_disk) << 20,
            packing: Packing::default(),
        }),
        ..StoreConfig::default()
    });
    daemon::run(engine, config, super::allocator(), told).await.map_err(|error| match &error {
        DaemonError::Config { .. } | DaemonError::Keys(_) | DaemonError::Open { .. } => Exit::usage(error),
        DaemonError::Listen { .. } => Exit::unavailable(error),
        DaemonError::Given(_) | DaemonError::Signals(_) | DaemonError::Engine(_) | DaemonError::Down { .. } => {
            Exit::fault("the daemon has failed", error)
        }
    })
}

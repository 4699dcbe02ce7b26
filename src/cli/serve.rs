//! `eventmesh serve`: the daemon.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::{EngineArgs, path_value};
use crate::config::{Sources, write_time};
use crate::daemon::{self, DaemonError};
use crate::observe::Spans;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventmesh serve
  eventmesh serve --config eventmesh.toml
  eventmesh serve --listen 0.0.0.0:7800 --keys /etc/eventmesh/keys.toml
  eventmesh serve --listen unix:/run/eventmesh/api.sock --allow-net 10.1.0.0/16
  curl -s http://127.0.0.1:7800/v1/extract -H 'content-type: application/json' -d '{\"url\": \"https://example.com/\"}'

Without --config it reads /etc/eventmesh/eventmesh.toml, if that is there; `eventmesh config` shows and checks all settings.
SIGTERM and Ctrl-C finish what is at work and end; a second one ends at once. SIGHUP reads the settings and the keys again, and
says what needs a restart. Under systemd it says when it is ready, takes over sockets, and answers the watchdog for as long as
things get done.")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// What sets a daemon's settings.
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// Where requests come in: HOST:PORT or unix:/PATH; may be repeated [default: 127.0.0.1:7800]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Where operators come in: health, figures, the tree, orders [default: 127.0.0.1:7801]
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<String>,
    /// The file of keys; without one only this machine is listened to
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Directory for jobs, readable and writable by nobody else [default: what systemd says, the user's state directory]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Requests that are worked on or wait at the same time; more are refused, and told when to come back [default: 1024]
    #[arg(long, value_name = "N")]
    max_requests: Option<u32>,
    /// Directory where pages are kept for whoever asks again, besides memory, across restarts [default: that of the service
    /// manager, if it names one]
    #[arg(long, value_name = "DIR")]
    page_cache: Option<PathBuf>,
    /// Asks sites for what their robots.txt does not allow, too
    #[arg(long, conflicts_with = "robots")]
    ignore_robots: bool,
    /// Lets requests ignore robots.txt
    #[arg(long)]
    robots_optional: bool,
    /// Seconds that answers on their way may take when it ends [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds)]
    drain: Option<Duration>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Where the daemon's settings are, if nobody says.
const USUAL: &str = "/etc/eventmesh/eventmesh.toml";

impl DaemonArgs {
    /// Where a daemon's settings come from.
    pub(crate) fn sources(&self) -> Result<Sources, Exit> {
        let mut sources = self.engine.sources()?;
        sources.usual = Some(USUAL);
        let mut say = |name, key, value| sources.flags.push(crate::config::Flag { name, key, value });
        if !self.listen.is_empty() {
            say("--listen", "daemon.listen", self.listen.clone().into());
        }
        if let Some(address) = &self.ops_listen {
            say("--ops-listen", "daemon.ops_listen", address.clone().into());
        }
        if let Some(keys) = &self.keys {
            say("--keys", "daemon.keys", path_value(keys)?);
        }
        if let Some(directory) = &self.state_dir {
            say("--state-dir", "daemon.state", path_value(directory)?);
        }
        if self.ignore_robots {
            say("--ignore-robots", "fetch.robots", false.into());
        }
        if self.robots_optional {
            say("--robots-optional", "fetch.robots_optional", true.into());
        }
        if let Some(requests) = self.max_requests {
            say("--max-requests", "max_requests", requests.into());
        }
        if let Some(directory) = &self.page_cache {
            say("--page-cache", "cache.directory", path_value(directory)?);
        }
        if let Some(drain) = self.drain {
            say("--drain", "daemon.drain", write_time(drain).into());
        }
        Ok(sources)
    }
}

pub(crate) async fn run(arguments: ServeArgs, spans: Spans) -> Result<(), Exit> {
    let sources = arguments.daemon.sources()?;
    let loaded = sources.load_to_serve().map_err(Exit::usage)?;
    let told = |addresses: &[String], ops: &str| {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
        super::exit::say(&format!("serving at {}; for operators at {ops}", addresses.join(", ")));
    };
    // The flags and the environment of a process do not change; the file may, and may come or go.
    let reread: daemon::Reread = Arc::new(move || sources.load_to_serve().map(|loaded| loaded.settings));
    daemon::run(loaded.settings, &reread, super::allocator(), spans, told).await.map_err(|error| match &error {
        DaemonError::Config { .. } | DaemonError::Keys(_) | DaemonError::Secret { .. } | DaemonError::Open { .. } => {
            Exit::usage(error)
        }
        DaemonError::Listen { .. } => Exit::unavailable(error),
        DaemonError::Jobs(_)
        | DaemonError::Webhooks(_)
        | DaemonError::Spans(_)
        | DaemonError::Given(_)
        | DaemonError::Signals(_)
        | DaemonError::Engine(_)
        | DaemonError::Down { .. }
        | DaemonError::JobsEnded { .. } => Exit::fault("the daemon has failed", error),
    })
}

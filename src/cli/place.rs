//! Where the work is done: by an engine of this process, or by a daemon that `--server` names.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use crate::client::{Address, Client, Key, Patience, Refusal};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::reply::Answer;
use crate::request::{Request, Robots};

/// What only an engine of this process can be told.
const EMBEDDED: [&str; 9] =
    ["config", "workers", "max_page", "page_memory", "pdfium", "chromium", "no_browser_sandbox", "allow_net", "cache_dir"];

/// A daemon, if one is to do the work.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Lets a daemon do the work, within its own limits: http://HOST:PORT, https://HOST or unix:/PATH
    #[arg(long, value_name = "URL", env = "EVENTMESH_SERVER", conflicts_with_all = EMBEDDED)]
    server: Option<Address>,
    /// The file that holds the key for it [default: the key that EVENTMESH_KEY holds]
    #[arg(long, value_name = "FILE", requires = "server")]
    key_file: Option<PathBuf>,
}

/// A daemon that is named where none does the work. One that the environment names is for the commands that can use it.
#[derive(Debug, Args)]
pub(crate) struct NoServerArgs {
    /// No daemon does this
    #[arg(long, value_name = "URL", hide = true)]
    server: Option<Address>,
}

impl NoServerArgs {
    /// Refuses a daemon for what none does.
    pub(crate) fn none_for(&self, what_none_does: &str) -> Result<(), Exit> {
        match &self.server {
            None => Ok(()),
            Some(address) => {
                Err(Exit::usage(format!("the daemon at {address} {what_none_does}: leave out --server, and it is done here")))
            }
        }
    }
}

/// How long a page of a list is asked for again and again by a daemon that is full, or not there.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Where the work is done. Clones are the same place.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In this process.
    Here(Engine),
    /// In a daemon.
    There {
        /// Who asks it.
        client: Client,
        /// How long each request may take.
        within: Duration,
        /// Whether robots.txt is honoured, whatever the daemon does by itself.
        robots: bool,
    },
}

impl ServerArgs {
    /// The daemon, if one is to do the work.
    pub(crate) fn client(&self) -> Result<Option<Client>, Exit> {
        let Some(address) = &self.server else { return Ok(None) };
        Ok(Some(Client::new(address.clone(), self.key()?)?))
    }

    fn key(&self) -> Result<Option<Key>, Exit> {
        let (secret, whence) = match &self.key_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| Exit::unreadable(path.display(), &error))?;
                (text, path.display().to_string())
            }
            None => match std::env::var_os("EVENTMESH_KEY") {
                Some(value) => (value.to_string_lossy().into_owned(), "EVENTMESH_KEY".to_owned()),
                None => return Ok(None),
            },
        };
        let key = Key::new(secret.trim());
        key.map(Some).ok_or_else(|| Exit::usage(format!("{whence} holds no key; `eventmesh keys new NAME` makes one")))
    }
}

/// Bytes of the largest page that is taken, and what an answer to a larger one says besides.
pub(crate) async fn largest_page(client: Option<&Client>, config: &Config) -> Result<(u64, &'static str), Exit> {
    match client {
        None => Ok((config.max_page_bytes, "; --max-page sets it")),
        Some(client) => client.largest_page().await.map(|bytes| (bytes, "")).map_err(|refusal| refusal.error.into()),
    }
}

impl Place {
    /// With `client`, or else with an engine that is started for it.
    pub(crate) async fn start(client: Option<Client>, config: Config) -> Result<Self, Exit> {
        match client {
            Some(client) => Ok(Self::There { client, within: config.deadline, robots: config.fetch.robots }),
            None => super::start(config).await.map(Self::Here),
        }
    }

    /// One answer. Whoever drops this has given it up.
    pub(crate) async fn answer(&self, request: Request) -> Result<Answer, Error> {
        match self {
            Self::Here(engine) => engine.extract(request).document().await,
            Self::There { client, within, robots } => {
                client.extract(mannerly(request, *robots), *within).await.map_err(|refusal| refusal.error)
            }
        }
    }

    /// One answer of many, for which nobody waits in particular: a daemon that has no room now is asked again when it says.
    pub(crate) async fn answer_in_time(&self, request: Request) -> Result<Answer, Error> {
        let Self::There { client, within, robots } = self else { return self.answer(request).await };
        let request = mannerly(request, *robots).priority(crate::Priority::Batch);
        let mut patience = Patience::new(PATIENCE);
        loop {
            let Refusal { error, again } = match client.extract(request.clone(), *within).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            let Some(wait) = again.and_then(|again| patience.wait(again, fastrand::f64())) else { return Err(error) };
            tracing::debug!(%error, wait_ms = wait.as_secs_f64() * 1e3, "the daemon is asked again later");
            tokio::time::sleep(wait).await;
        }
    }

    /// Lets go of it: what is at work here ends.
    pub(crate) async fn leave(self) {
        match self {
            Self::Here(engine) => engine.shutdown(Duration::ZERO).await,
            Self::There { .. } => {}
        }
    }
}

/// A request that is a robot's, if it is one.
fn mannerly(request: Request, robots: bool) -> Request {
    if robots { request.robots(Robots::Honour) } else { request }
}

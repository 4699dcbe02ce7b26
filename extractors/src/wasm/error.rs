//! What can go wrong with a sandbox, and with one page in it.

use std::path::PathBuf;
use std::time::Duration;

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine refuses its configuration: the machine lacks something.
    #[error("failed to set up the WASM engine")]
    Engine(#[source] wasmtime::Error),
    /// The guest does not compile or link.
    #[error("failed to load the guest")]
    Guest(#[source] wasmtime::Error),
    /// The guest speaks another version of the interface.
    #[error("the guest speaks interface version {found}, this host version {expected}; rebuild both together")]
    Version {
        /// What the guest says.
        found: u32,
        /// What the host needs.
        expected: u32,
    },
    /// A thread could not be started.
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
}

/// Why a page brought no document.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// It was still being worked on at its deadline.
    #[error("the page was not done by its deadline, after {ran:?}")]
    Deadline {
        /// How long it had run.
        ran: Duration,
    },
    /// Nobody wanted the answer any more.
    #[error("the page was given up by its caller")]
    Cancelled,
    /// It needed more memory than a page may have.
    #[error("the page needs more than {limit} bytes of memory")]
    Memory {
        /// What a page may have, in bytes.
        limit: usize,
    },
    /// The guest crashed on it.
    #[error("the extraction crashed: {reason}")]
    Crash {
        /// The trap, in words.
        reason: String,
    },
    /// The guest returned something that is no document.
    #[error("the extraction returned no document: {reason}")]
    Garbage {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No instance could be made.
    #[error("failed to make an instance: {reason}")]
    Instance {
        /// The engine's words.
        reason: String,
    },
    /// The worker's thread is gone.
    #[error("the worker's thread is gone")]
    ThreadGone,
    /// A thread could not be started.
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
}

impl PageError {
    /// Whether the page is at fault, so that another worker would do no better.
    #[must_use]
    pub fn blames_page(&self) -> bool {
        match self {
            Self::Deadline { .. } | Self::Cancelled | Self::Memory { .. } | Self::Crash { .. } | Self::Garbage { .. } => true,
            Self::Instance { .. } | Self::ThreadGone | Self::Thread(_) => false,
        }
    }
}

/// Why compiled code was not taken from, or not put into, the cache. Never fatal: it is compiled instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    #[error("{path} {problem}")]
    Untrusted { path: PathBuf, problem: &'static str },
    #[error("{path} is damaged: its digest differs")]
    Damaged { path: PathBuf },
    #[error("failed to {action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

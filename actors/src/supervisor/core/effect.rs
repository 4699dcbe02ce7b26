//! What goes in and out of a supervisor's books.

use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;
use crate::exit::Exit;
use crate::restart::{BackoffSpec, RestartPolicy};
use crate::supervisor::policy::{AutoShutdown, ChildPolicy, Strategy};

/// One life of one child: its number under this supervisor, never used twice, and which life it is, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    /// The child.
    pub child: u32,
    /// Its life.
    pub generation: u64,
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start the child after `delay`.
    Start {
        /// Which life.
        key: NodeKey,
        /// How long from now.
        delay: Duration,
    },
    /// Ask the child to stop; if it is still there after `within`, report [`SupervisorCore::overdue`](super::SupervisorCore::overdue).
    Stop {
        /// Which life.
        key: NodeKey,
        /// How long it may take.
        within: Duration,
    },
    /// Kill the child; if it is still there after a moment, report [`SupervisorCore::left_behind`](super::SupervisorCore::left_behind).
    Kill {
        /// Which life.
        key: NodeKey,
    },
    /// The child is no longer known.
    Forget {
        /// Its number.
        child: u32,
    },
    /// Tell the world.
    Tell(Event),
    /// All children that are started at first are up.
    Up,
    /// The supervisor is at its end, with no child left.
    Finish(Exit),
}

/// Whether a supervisor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its children are being started for the first time.
    Starting,
    /// It watches its children.
    Running,
    /// It stops them.
    Stopping,
    /// It is gone.
    Down,
}

impl Phase {
    /// The phase as one word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Down => "down",
        }
    }
}

/// What a supervisor is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct SupervisorPolicy {
    /// Who is restarted when a child fails.
    pub strategy: Strategy,
    /// How many restarts are too many.
    pub restarts: RestartPolicy,
    /// How long to wait before a restart.
    pub backoff: BackoffSpec,
    /// Whether the end of significant children ends the supervisor.
    pub auto_shutdown: AutoShutdown,
    /// Children that may be there at once.
    pub max_children: usize,
    /// Seed of the jitter.
    pub seed: u64,
}

/// Why a child could not be added, or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// The supervisor stops or is down.
    #[error("supervisor {supervisor} is not running")]
    NotRunning {
        /// The supervisor.
        supervisor: String,
    },
    /// There is a child of that name already.
    #[error("supervisor {supervisor} already has a child {child}; names are unique within a supervisor")]
    NameTaken {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
    },
    /// There is no child of that name.
    #[error("supervisor {supervisor} has no child {child}")]
    Unknown {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
    },
    /// There are as many children as there may be.
    #[error("supervisor {supervisor} has {max_children} children, and may have no more")]
    Full {
        /// The supervisor.
        supervisor: String,
        /// As many as may be.
        max_children: usize,
    },
    /// The child's settings contradict each other or the supervisor's.
    #[error("child {child} of supervisor {supervisor}: {why}")]
    Unsound {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
        /// What is wrong, and what to do.
        why: &'static str,
    },
    /// The child is not in a state in which that can be done.
    #[error("child {child} of supervisor {supervisor} is {state}")]
    WrongState {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
        /// In which state it is.
        state: &'static str,
    },
}

/// One child as the core sees it.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: Arc<str>,
    /// Its life, from 1.
    pub generation: u64,
    /// `down`, `backoff`, `starting`, `running`, `stopping` or `killing`.
    pub state: &'static str,
    /// How long it has been in that state.
    pub since: Duration,
    /// Its policy.
    pub policy: ChildPolicy,
    /// `false` if it was killed and would not go.
    pub answers: bool,
    /// How long until it is started.
    pub starts_in: Option<Duration>,
    /// How its last life ended.
    pub last_exit: Option<Exit>,
}

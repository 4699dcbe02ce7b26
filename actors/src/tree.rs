//! The root: a supervisor that nobody supervises, and whoever waits for its end.
//!
//! Children start from first to last and stop from last to first, each with its shutdown time and then a kill. When
//! the root's restart budget is spent, it stops everything and is down; whoever runs it decides what then.

use std::fmt;
use std::time::Duration;

use ractor::ActorCell;

use crate::event::Bus;
use crate::exit::Exit;
use crate::snapshot::TreeSnapshot;
use crate::supervisor::core::{ChildError, Phase};
use crate::supervisor::shell::SupervisorMessage;
use crate::supervisor::{PostMortem, Supervisor, SupervisorSpec};

/// Whether a tree runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeState {
    /// Its children are served and watched.
    Running,
    /// It was told to stop.
    Stopping,
    /// It is gone: stopped, or its restart budget was spent.
    Down,
}

/// Why a tree could not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The children contradict each other or the root.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A child did not start; those before it have been stopped again.
    #[error("failed to start tree {name}: {why}")]
    Start {
        /// The tree.
        name: String,
        /// The reason.
        why: String,
    },
}

/// A running tree. Dropping it kills everything under it at once; [`shutdown`](Tree::shutdown) is the polite way.
pub struct Tree {
    actor: ActorCell,
    root: Supervisor,
}

impl Tree {
    /// Starts a tree that tells `bus` what happens, and waits until all its children are up. The workers of pools
    /// come up meanwhile; see [`Pool::ready`](crate::Pool::ready).
    ///
    /// # Errors
    /// See [`TreeError`]; then nothing is left running.
    pub async fn start(root: SupervisorSpec, bus: Bus) -> Result<Self, TreeError> {
        let root = Supervisor::new(root, bus)?;
        match root.launch(None).await {
            Ok(actor) => Ok(Self { actor, root }),
            Err(why) => Err(TreeError::Start { name: root.name().to_string(), why }),
        }
    }

    /// The root, to add and stop children while the tree runs.
    #[must_use]
    pub fn root(&self) -> &Supervisor {
        &self.root
    }

    /// Stops the children from last to first: pools take no new leases, running jobs may end, then what is left is
    /// killed. Takes at most the sum of the children's shutdown times, each cut to `grace`, and a second for each that
    /// has to be killed.
    pub async fn shutdown(&self, grace: Duration) {
        self.root.shared.tell_actor(SupervisorMessage::Stop { grace });
        // However it ended before, it is down then.
        let _ = self.actor.wait(None).await;
    }

    /// Waits until the tree is down, by shutdown or because its restart budget is spent; says why.
    pub async fn down(&self) -> Exit {
        let mut phase = self.root.shared.phase.subscribe();
        // The sender lives in `self`, so this ends by the phase alone.
        let _ = phase.wait_for(|phase| *phase == Phase::Down).await;
        self.root.last_exit().unwrap_or(Exit::Killed)
    }

    /// Whether the tree runs.
    #[must_use]
    pub fn state(&self) -> TreeState {
        match *self.root.shared.phase.borrow() {
            Phase::Starting | Phase::Running => TreeState::Running,
            Phase::Stopping => TreeState::Stopping,
            Phase::Down => TreeState::Down,
        }
    }

    /// What happened before the root gave up, if it has.
    #[must_use]
    pub fn post_mortem(&self) -> Option<PostMortem> {
        self.root.post_mortem()
    }

    /// The tree as data, at once, whatever its children do.
    #[must_use]
    pub fn snapshot(&self) -> TreeSnapshot {
        self.root.snapshot()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let mut below = vec![self.actor.clone()];
        while let Some(cell) = below.pop() {
            below.extend(cell.get_children());
            cell.kill();
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("root", &self.root).finish_non_exhaustive()
    }
}

//! What goes in and out of a pool's books.

use std::time::Duration;

use crate::clock::Moment;
use crate::error::LeaseError;
use crate::event::Event;
use crate::exit::Exit;
use crate::id::Key;
use crate::lease::Priority;
use crate::worker::Usage;

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub enum Effect<H, T> {
    /// Start a child for `key` after `delay`.
    Start {
        /// Its slot and generation.
        key: Key,
        /// How long from now.
        delay: Duration,
    },
    /// Let the child's worker stop.
    Stop {
        /// The child.
        handle: H,
    },
    /// Kill the child, and whatever it runs outside of itself.
    Kill {
        /// The child.
        handle: H,
    },
    /// Drop the future of the child's job.
    Cancel {
        /// The child.
        handle: H,
        /// The number of the job: the next one is not to blame.
        job: u64,
    },
    /// Call the worker's own hook to end its job.
    Interrupt {
        /// The child.
        handle: H,
        /// The number of the job.
        job: u64,
    },
    /// Give the lease to the waiting caller.
    Grant {
        /// The caller.
        token: T,
        /// What it gets.
        grant: Grant<H>,
    },
    /// Tell the waiting caller that there will be none.
    Refuse {
        /// The caller.
        token: T,
        /// Why.
        error: LeaseError,
    },
    /// Tell the world.
    Tell(Event),
    /// The restart budget is spent: end the pool's actor with a failure.
    Escalate {
        /// The failure that was one too many.
        cause: Exit,
    },
    /// The last child has gone during a shutdown.
    Drained,
}

/// One child, lent.
#[derive(Debug, PartialEq)]
pub struct Grant<H> {
    /// Its slot and generation.
    pub key: Key,
    /// Which of the child's leases this is: what is said about one must not hit the next.
    pub lease: u64,
    /// The ledger's entry that is answered when it comes back.
    pub entry: u64,
    /// The child.
    pub handle: H,
    /// Bytes that it was admitted with.
    pub bytes: u64,
    /// What the input is known by.
    pub input: Option<u64>,
}

/// What a caller asks for, in the books' own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Bytes that the job will hold.
    pub bytes: u64,
    /// By when the caller wants its answer.
    pub deadline: Moment,
    /// Who is served first, and sent away last.
    pub priority: Priority,
    /// What the input is known by, for quarantine.
    pub key: Option<u64>,
}

/// What became of asking for a child.
#[derive(Debug, PartialEq)]
pub enum Lend<H> {
    /// Here it is.
    Granted(Grant<H>),
    /// A place in line, by its number.
    Queued(u64),
    /// No.
    Refused(LeaseError),
}

/// How a lease came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// No job was run.
    Unused,
    /// Its jobs ended; the child says what it uses after the last of them.
    Done {
        /// How many.
        jobs: u64,
        /// What the child says.
        usage: Usage,
    },
    /// The worker blamed itself.
    Broken(String),
    /// The child was gone before the job could be handed over: the job is not to blame.
    Undelivered,
    /// The job never came back: the child is gone, or is about to be.
    Lost,
}

/// Whether a pool lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has not been started, or has been stopped.
    Closed,
    /// It lends its one probe, to find out whether it can open again.
    Probing,
    /// It lends.
    Open,
    /// It waits for what is lent to come back.
    Draining,
    /// It has failed too often, and waits to be started again.
    Spent,
}

impl Phase {
    /// The phase as one word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Probing => "probing",
            Self::Open => "open",
            Self::Draining => "draining",
            Self::Spent => "spent",
        }
    }
}

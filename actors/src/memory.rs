//! Where figures about memory come from: traits for those that only the host knows, and the kernel's files.
//!
//! The engine sets no allocator and assumes none. A host that has one with statistics hands them in as a
//! [`MemorySource`]; without, the kernel's own accounts are used.

pub(crate) mod code;
pub(crate) mod files;

use std::fmt;

use serde::Serialize;

pub use code::ResidentCode;
pub use files::{KernelMemory, Limits, Stalls};

/// What a process holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryReading {
    /// Live bytes of the allocator, where it says.
    pub heap: Option<u64>,
    /// Resident pages of this process.
    pub resident: u64,
    /// Resident pages of the processes it has started, shared ones by their share (PSS).
    pub processes: u64,
    /// Of the resident pages, those that sandboxed guests hold, warm ones included.
    pub guests: u64,
}

impl MemoryReading {
    /// What counts against the budget.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.resident.saturating_add(self.processes)
    }
}

/// What the host's allocator and guests hold. Called by the governor, a few times a second at most.
pub trait MemorySource: fmt::Debug + Send + Sync + 'static {
    /// Live bytes of the allocator.
    fn heap(&self) -> Option<u64> {
        None
    }

    /// Bytes that sandboxed guests hold.
    fn guests(&self) -> u64 {
        0
    }

    /// Gives back what is free: purges arenas, trims.
    fn give_back(&self) {}

    /// An account of its own for a pool of dedicated threads, where the allocator can keep one.
    fn pool(&self, _name: &str) -> Option<std::sync::Arc<dyn PoolMemory>> {
        None
    }
}

/// A host that knows nothing of its allocator.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnknownMemory;

impl MemorySource for UnknownMemory {}

/// What a pool holds, in bytes, as somebody outside of its workers sees it.
pub trait MemoryProbe: fmt::Debug + Send + Sync + 'static {
    /// Now; `None` if it cannot be told.
    fn bytes(&self) -> Option<u64>;
}

/// A probe that also keeps the account: threads that are bound to it allocate on it.
pub trait PoolMemory: MemoryProbe {
    /// Whatever the calling thread allocates from now on is on this account.
    fn bind_thread(&self);
}

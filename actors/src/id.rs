//! The name of one child: pool, slot and generation, written `wasm/3#17` everywhere.
//!
//! A slot is a place in a pool; a generation is one life in that place. Every message and event carries
//! both, so that nothing meant for a dead child can reach the one that took its place.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Pool, slot and generation of one child; displays as `pool/slot#generation`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChildId {
    /// Name of the pool that owns the child.
    pub pool: Arc<str>,
    /// Place in the pool, from 0.
    pub slot: u32,
    /// Life in that place, from 1; never used twice within one pool.
    pub generation: u64,
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.pool, self.slot, self.generation)
    }
}

impl Serialize for ChildId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Slot and generation alone: the key of a child inside its own pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Place in the pool, from 0.
    pub slot: u32,
    /// Life in that place, from 1.
    pub generation: u64,
}

impl Key {
    /// The same with the pool's name.
    #[must_use]
    pub fn within(self, pool: &Arc<str>) -> ChildId {
        ChildId { pool: Arc::clone(pool), slot: self.slot, generation: self.generation }
    }
}

//! How many requests the cache has answered, from where and how. A metric is a fold over a snapshot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// From memory.
    Memory,
    /// From disk.
    Disk,
    /// From the source.
    Source,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// By what is stored and fresh enough.
    Hit,
    /// By what is stored and stale: while it is renewed, or because its source failed.
    Stale,
    /// By what is stored, after its source had confirmed it.
    Revalidated,
    /// By the source, or its failure.
    Miss,
    /// By what another request was fetching already.
    Coalesced,
    /// By the source, past the cache.
    Bypassed,
}

impl Tier {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Disk, Self::Source];

    /// The word in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Source => "source",
        }
    }
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Hit, Self::Stale, Self::Revalidated, Self::Miss, Self::Coalesced, Self::Bypassed];

    /// The word in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypassed => "bypassed",
        }
    }
}

/// What has been counted up to some moment, and what is kept at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    requests: [[u64; Outcome::ALL.len()]; Tier::ALL.len()],
    /// Entries in memory.
    pub memory_entries: u64,
    /// Bytes that they take.
    pub memory_bytes: u64,
    /// Entries on disk.
    pub disk_entries: u64,
    /// Bytes that they take, in whole blocks.
    pub disk_bytes: u64,
    /// Entries that could not be written, read or removed.
    pub disk_errors: u64,
    /// Entries that were not written because the disk did not keep up.
    pub disk_skipped: u64,
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut counts = serializer.serialize_map(None)?;
        for tier in Tier::ALL {
            let of_tier = |outcome: Outcome| (outcome.label(), self.requests(tier, outcome));
            let answered: BTreeMap<_, _> = Outcome::ALL.into_iter().map(of_tier).filter(|(_, count)| *count > 0).collect();
            counts.serialize_entry(tier.label(), &answered)?;
        }
        counts.serialize_entry("memory_entries", &self.memory_entries)?;
        counts.serialize_entry("memory_bytes", &self.memory_bytes)?;
        counts.serialize_entry("disk_entries", &self.disk_entries)?;
        counts.serialize_entry("disk_bytes", &self.disk_bytes)?;
        counts.serialize_entry("disk_errors", &self.disk_errors)?;
        counts.serialize_entry("disk_skipped", &self.disk_skipped)?;
        counts.end()
    }
}

impl Counts {
    /// Requests answered from there in that way.
    #[must_use]
    pub fn requests(&self, tier: Tier, outcome: Outcome) -> u64 {
        self.requests[tier as usize][outcome as usize]
    }

    /// Requests answered in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.iter().flatten().sum()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters([[AtomicU64; Outcome::ALL.len()]; Tier::ALL.len()]);

impl Counters {
    pub(crate) fn count(&self, tier: Tier, outcome: Outcome) {
        self.0[tier as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Counts {
        let requests = self.0.each_ref().map(|tier| tier.each_ref().map(|count| count.load(Ordering::Relaxed)));
        Counts { requests, ..Counts::default() }
    }
}

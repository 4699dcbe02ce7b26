//! What only the host knows of memory: jemalloc's statistics, and what the sandbox's guests hold.
//!
//! The library sets no allocator. [`Jemalloc`] is for hosts whose global allocator is jemalloc, as that of the
//! `eventmesh` binary is; for others the kernel's accounts have to do.

use std::sync::Arc;

use eventmesh_actors::{MemoryProbe, MemorySource, PoolMemory};
use eventmesh_extractors::wasm::Sandbox;

#[cfg(feature = "jemalloc")]
pub use jemalloc::{Jemalloc, keep_pages};

/// Makes this program's allocator give back what is free, if it can be told to.
pub(crate) fn purge() {
    #[cfg(feature = "jemalloc")]
    jemalloc::purge_all();
}

/// The allocator's figures and the guests' together, as the governor wants them.
#[derive(Debug)]
pub(crate) struct EngineMemory {
    pub(crate) allocator: Arc<dyn MemorySource>,
    pub(crate) sandbox: Arc<Sandbox>,
}

impl MemorySource for EngineMemory {
    fn heap(&self) -> Option<u64> {
        self.allocator.heap()
    }

    fn guests(&self) -> u64 {
        guests(&self.sandbox)
    }

    fn give_back(&self) {
        self.allocator.give_back();
    }

    fn pool(&self, name: &str) -> Option<Arc<dyn PoolMemory>> {
        self.allocator.pool(name)
    }
}

fn guests(sandbox: &Sandbox) -> u64 {
    u64::try_from(sandbox.usage().resident_unused).unwrap_or(u64::MAX)
}

/// What the pool of sandbox threads holds: its account with the allocator, if there is one, and its guests.
#[derive(Debug)]
pub(crate) struct WasmMemory {
    pub(crate) account: Arc<dyn PoolMemory>,
    pub(crate) sandbox: Arc<Sandbox>,
}

impl MemoryProbe for WasmMemory {
    fn bytes(&self) -> Option<u64> {
        Some(self.account.bytes()?.saturating_add(guests(&self.sandbox)))
    }
}

#[cfg(feature = "jemalloc")]
mod jemalloc {
    #![expect(unsafe_code, reason = "jemalloc's control interface is untyped")]

    use std::fmt;
    use std::sync::Arc;

    use eventmesh_actors::{MemoryProbe, MemorySource, PoolMemory};
    use tikv_jemalloc_ctl::raw;
    use tikv_jemalloc_ctl::{epoch, epoch_mib, stats};

    /// The statistics of jemalloc, for a host whose global allocator it is.
    #[derive(Clone, Copy)]
    pub struct Jemalloc {
        epoch: epoch_mib,
        allocated: stats::allocated_mib,
    }

    impl Jemalloc {
        /// `None` if jemalloc has no statistics, or is not what this process allocates with.
        #[must_use]
        pub fn of_this_process() -> Option<Self> {
            let jemalloc = Self { epoch: epoch::mib().ok()?, allocated: stats::allocated::mib().ok()? };
            // A process that allocates elsewhere has next to nothing there.
            let probe = vec![0u8; 64 << 10];
            let seen = jemalloc.heap().is_some_and(|bytes| bytes >= probe.len() as u64);
            drop(std::hint::black_box(probe));
            seen.then_some(jemalloc)
        }
    }

    /// Bytes of the largest piece of memory that a thread keeps for its next use, rather than to give it back and take it anew
    /// from an arena each time. It keeps some tens of each size at most, and less of what it has not used lately.
    const KEPT: usize = 128 << 10;

    /// Prepares the calling thread for work whose pieces of memory are as large as a page: bodies and answers. For the threads of
    /// a host's runtime, if its allocator is jemalloc.
    pub fn keep_pages() {
        // SAFETY: `thread.tcache.max` takes a `size_t`.
        if let Err(error) = unsafe { raw::write(b"thread.tcache.max\0", KEPT) } {
            tracing::debug!(%error, "a thread takes memory for pages from its arena");
        }
    }

    impl fmt::Debug for Jemalloc {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Jemalloc")
        }
    }

    /// jemalloc's number for all arenas at once.
    const ALL_ARENAS: usize = 4096;

    impl MemorySource for Jemalloc {
        fn heap(&self) -> Option<u64> {
            self.epoch.advance().ok()?;
            Some(self.allocated.read().ok()? as u64)
        }

        fn give_back(&self) {
            purge(ALL_ARENAS);
        }

        fn pool(&self, name: &str) -> Option<Arc<dyn PoolMemory>> {
            match Arena::new() {
                Ok(arena) => Some(Arc::new(arena)),
                Err(error) => {
                    tracing::warn!(pool = name, %error, "no arena for the pool; its memory is not accounted by itself");
                    None
                }
            }
        }
    }

    /// The path of a name, its numbers to be filled in.
    fn path<const N: usize>(name: &[u8]) -> Result<[usize; N], tikv_jemalloc_ctl::Error> {
        let mut path = [0; N];
        raw::name_to_mib(name, &mut path)?;
        Ok(path)
    }

    /// Gives back all that is free.
    pub(crate) fn purge_all() {
        purge(ALL_ARENAS);
    }

    fn purge(arena: usize) {
        let Ok(mut path) = path::<3>(b"arena.0.purge\0") else { return };
        path[1] = arena;
        let nothing = std::ptr::null_mut();
        // SAFETY: `arena.<i>.purge` takes no value and gives none; that is what the null pointers say.
        let code =
            unsafe { tikv_jemalloc_sys::mallctlbymib(path.as_ptr(), path.len(), nothing, std::ptr::null_mut(), nothing, 0) };
        if code != 0 {
            tracing::debug!(code, "free memory could not be given back");
        }
    }

    /// An arena of its own for one pool of dedicated threads, never given back: there is one per pool and engine.
    struct Arena {
        index: u32,
        epoch: epoch_mib,
        small: [usize; 5],
        large: [usize; 5],
    }

    impl Arena {
        fn new() -> Result<Self, tikv_jemalloc_ctl::Error> {
            // SAFETY: `arenas.create` gives an `unsigned`, and nothing is written.
            let index: u32 = unsafe { raw::read(b"arenas.create\0") }?;
            let mut small = path(b"stats.arenas.0.small.allocated\0")?;
            let mut large = path(b"stats.arenas.0.large.allocated\0")?;
            (small[2], large[2]) = (index as usize, index as usize);
            Ok(Self { index, epoch: epoch::mib()?, small, large })
        }
    }

    impl fmt::Debug for Arena {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Arena").field("index", &self.index).finish_non_exhaustive()
        }
    }

    impl MemoryProbe for Arena {
        fn bytes(&self) -> Option<u64> {
            self.epoch.advance().ok()?;
            // SAFETY: both paths name a `size_t`.
            let read = |path: &[usize; 5]| unsafe { raw::read_mib::<usize>(path) }.ok();
            Some((read(&self.small)? + read(&self.large)?) as u64)
        }
    }

    impl PoolMemory for Arena {
        fn bind_thread(&self) {
            // SAFETY: `thread.arena` takes an `unsigned`, the index of an arena that exists for ever.
            if let Err(error) = unsafe { raw::write(b"thread.arena\0", self.index) } {
                tracing::warn!(%error, "a thread could not be bound to its pool's arena");
            }
        }
    }
}

#[cfg(all(test, feature = "jemalloc"))]
mod tests {
    use super::*;

    /// The test sets no allocator: it is jemalloc's only where jemalloc is also C's.
    #[test]
    fn a_process_that_allocates_elsewhere_is_not_taken_for_one_with_jemalloc() {
        assert_eq!(Jemalloc::of_this_process().is_some(), cfg!(feature = "program"));
    }
}

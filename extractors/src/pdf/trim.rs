//! Giving back what a document has left behind.

#![expect(unsafe_code, reason = "malloc_trim is C")]

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A process that holds more than this after a document, besides what it shares with files, gives back what it can. A fresh
/// one holds a third of it.
const LARGE: u64 = 7 << 20;

/// Bytes that the allocator keeps, asks for at once, and maps by themselves from on.
#[cfg(target_env = "gnu")]
const KEPT: i32 = 64 << 20;
#[cfg(target_env = "gnu")]
const STEP: i32 = 1 << 20;
#[cfg(target_env = "gnu")]
const OWN_MAPPING: i32 = 8 << 20;

/// Watches what this process holds, and gives memory back.
#[derive(Debug)]
pub(crate) struct Trim {
    /// Opened before nothing can be opened any more.
    statm: Option<File>,
    page: u64,
    /// Makes the Rust side's allocator give back what it keeps, if it is not the C library's.
    purge: fn(),
}

impl Trim {
    /// Also tells the C library's allocator to keep what is given back until it is told otherwise: by itself it returns
    /// memory after every page of a document, and asks for it again for the next one.
    pub(crate) fn new(purge: fn()) -> Self {
        #[cfg(target_env = "gnu")]
        // SAFETY: it sets numbers in the allocator.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
            libc::mallopt(libc::M_TOP_PAD, STEP);
            libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
        }
        Self { statm: File::open("/proc/self/statm").ok(), page: rustix::param::page_size() as u64, purge }
    }

    /// Bytes resident now, and those of them that are nobody else's; zero if that cannot be known.
    fn resident(&self) -> (u64, u64) {
        let mut text = [0; 128];
        let Some(read) = self.statm.as_ref().and_then(|statm| statm.read_at(&mut text, 0).ok()) else { return (0, 0) };
        let text = str::from_utf8(&text[..read]).unwrap_or_default();
        let mut pages = text.split_ascii_whitespace().skip(1).map(|pages| pages.parse::<u64>().unwrap_or(0));
        let (all, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        (all * self.page, all.saturating_sub(shared) * self.page)
    }

    /// Gives back what is not needed, if there is much. Returns the bytes resident before and after.
    pub(crate) fn after_document(&self) -> (u64, u64) {
        let (before, own) = self.resident();
        if own < LARGE {
            return (before, before);
        }
        (self.purge)();
        #[cfg(target_env = "gnu")]
        // SAFETY: it only looks at free memory.
        unsafe {
            libc::malloc_trim(0);
        }
        (before, self.resident().0)
    }
}

//! Giving back what a document has left behind.

#![expect(unsafe_code, reason = "malloc_trim is C")]

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A process that holds more than this after a document gives back what it can. A fresh one holds about half of it.
const LARGE: u64 = 13 << 20;

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
    pub(crate) fn new(purge: fn()) -> Self {
        Self { statm: File::open("/proc/self/statm").ok(), page: rustix::param::page_size() as u64, purge }
    }

    /// Bytes resident now; zero if that cannot be known.
    pub(crate) fn resident(&self) -> u64 {
        let mut text = [0; 128];
        let Some(read) = self.statm.as_ref().and_then(|statm| statm.read_at(&mut text, 0).ok()) else { return 0 };
        let text = str::from_utf8(&text[..read]).unwrap_or_default();
        text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * self.page
    }

    /// Gives back what is not needed, if there is much. Returns the bytes resident before and after.
    pub(crate) fn after_document(&self) -> (u64, u64) {
        let before = self.resident();
        if before < LARGE {
            return (before, before);
        }
        (self.purge)();
        #[cfg(target_env = "gnu")]
        // SAFETY: it only looks at free memory.
        unsafe {
            libc::malloc_trim(0);
        }
        (before, self.resident())
    }
}

//! Giving back what a document has left behind.

#![expect(unsafe_code, reason = "malloc_trim is C")]

use std::fs::File;
use std::os::unix::fs::FileExt;

use eventmesh_actors::ResidentCode;

/// A process that holds more than this after a document, besides what it shares with files, gives back what it can at once,
/// also when the next document waits already. What is less waits until nothing else does.
const LARGE: u64 = 24 << 20;

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
    code: ResidentCode,
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
        Self {
            statm: File::open("/proc/self/statm").ok(),
            page: rustix::param::page_size() as u64,
            purge,
            code: ResidentCode::default(),
        }
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
        self.give_back();
        (before, self.resident().0)
    }

    fn give_back(&self) {
        (self.purge)();
        #[cfg(target_env = "gnu")]
        // SAFETY: it only looks at free memory.
        unsafe {
            libc::malloc_trim(0);
        }
    }

    /// Looks where the code of this process lies. To be called when all of it has been loaded.
    pub(crate) fn learn(&mut self) {
        // What cannot be known is not dropped.
        self.code = ResidentCode::of_a_new_process().unwrap_or_default();
    }

    /// There is nothing to do: gives back all that can be had again, the pages of code included, which lie in files.
    pub(crate) fn at_rest(&self) {
        self.give_back();
        self.code.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_runs_on_after_its_pages_were_dropped() {
        let mut trim = Trim::new(|| {});
        trim.learn();
        // Others run in this process, and may take more meanwhile than is given back.
        let gave_back = (0..100).any(|_| {
            let (before, _) = trim.resident();
            trim.at_rest();
            trim.resident().0 < before
        });
        assert!(gave_back, "something was given back");
        let words: Vec<String> = "it still works".split(' ').map(str::to_uppercase).collect();
        assert_eq!(words.join(" "), "IT STILL WORKS");
    }
}

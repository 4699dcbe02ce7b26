//! Giving back what a document has left behind.

#![expect(unsafe_code, reason = "malloc_trim is C")]

use std::fs::File;
use std::os::unix::fs::FileExt;

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
    /// Where code lies: from, to.
    code: Vec<(usize, usize)>,
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
        Self { statm: File::open("/proc/self/statm").ok(), page: rustix::param::page_size() as u64, purge, code: Vec::new() }
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
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        self.code = maps.lines().filter_map(code).collect();
    }

    /// There is nothing to do: gives back all that can be had again, the pages of code included, which lie in files.
    pub(crate) fn at_rest(&self) {
        self.give_back();
        for (from, to) in &self.code {
            // SAFETY: these are read-only, private mappings of files that stay as they are; what is dropped is read again.
            unsafe {
                libc::madvise(*from as *mut libc::c_void, to - from, libc::MADV_DONTNEED);
            }
        }
    }
}

/// The range of a line of `/proc/self/maps` that is code in a file: never written to, and so the same when it is read again.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, permissions) = (fields.next()?, fields.next()?);
    let in_file = fields.nth(2).is_some_and(|inode| inode != "0");
    let (from, to) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    if permissions == "r-xp" && in_file { Some((number(from)?, number(to)?)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_data() {
        let lines = [
            ("55d0-55e0 r-xp 00001000 08:01 1234 /usr/bin/thing", Some((0x55d0, 0x55e0))),
            ("55d0-55e0 r--p 00001000 08:01 1234 /usr/bin/thing", None),
            ("55d0-55e0 rw-p 00001000 08:01 1234 /usr/bin/thing", None),
            ("7ffd-7ffe r-xp 00000000 00:00 0 [vdso]", None),
            ("nonsense", None),
        ];
        for (line, range) in lines {
            assert_eq!(code(line), range, "{line}");
        }
    }

    #[test]
    fn code_runs_on_after_its_pages_were_dropped() {
        let mut trim = Trim::new(|| {});
        trim.learn();
        assert!(!trim.code.is_empty());
        let (before, _) = trim.resident();
        trim.at_rest();
        assert!(trim.resident().0 < before, "something was given back");
        let words: Vec<String> = "it still works".split(' ').map(str::to_uppercase).collect();
        assert_eq!(words.join(" "), "IT STILL WORKS");
    }
}

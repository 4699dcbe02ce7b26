//! The code of this process, which lies in files and need not be resident while nothing runs.

#![expect(unsafe_code, reason = "the kernel is told what to do with memory by its address")]

use std::io;

use rustix::mm::{Advice, madvise};

/// Where the code of this process lies, as far as it is still what its files hold.
///
/// Starting a program touches much of its code, and the kernel maps the pages around each that is touched. They stay
/// resident for months, though most of them are never needed again. What is dropped comes back by itself when it is: from
/// the page cache, without a read, as long as the machine has room for it.
#[derive(Clone, Debug, Default)]
pub struct ResidentCode {
    /// From, to.
    ranges: Vec<(usize, usize)>,
}

impl ResidentCode {
    /// Looks where it lies now.
    ///
    /// # Errors
    /// The kernel's, if `/proc/self/smaps` cannot be read.
    pub fn learn() -> io::Result<Self> {
        Ok(Self { ranges: ranges(&std::fs::read_to_string("/proc/self/smaps")?) })
    }

    /// Looks where it lies now, but not whether all of it is still what its files hold, which takes the kernel milliseconds: for
    /// a process that has only just been started.
    ///
    /// # Errors
    /// The kernel's, if `/proc/self/maps` cannot be read.
    pub fn of_a_new_process() -> io::Result<Self> {
        Ok(Self { ranges: std::fs::read_to_string("/proc/self/maps")?.lines().filter_map(code).collect() })
    }

    /// Drops its pages. They are read again when they are needed, which costs whoever runs next a fault for some sixteen of
    /// them.
    pub fn give_back(&self) {
        for (from, to) in &self.ranges {
            // SAFETY: these are private mappings of files without write permission, of which this process had no copy of its
            // own: what is dropped is read again, and is the same.
            if let Err(error) = unsafe { madvise(*from as *mut _, to - from, Advice::LinuxDontNeed) } {
                tracing::debug!(%error, "pages of code stay resident");
            }
        }
    }
}

/// The ranges of `/proc/self/smaps` that are code in a file and hold nothing but what is in that file.
fn ranges(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut range = None;
    for line in smaps.lines() {
        match line.split_once(':') {
            // Code that was changed after it was mapped, as a linker or a debugger does, would be lost.
            Some(("Anonymous" | "Swap", bytes)) if bytes.split_ascii_whitespace().next() != Some("0") => range = None,
            // The last line of a mapping.
            Some(("VmFlags", _)) => found.extend(range.take()),
            Some((name, _)) if !name.contains(' ') => {}
            Some(_) | None => range = code(line),
        }
    }
    found
}

/// The range of a mapping that is code in a file, by its line.
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
    fn code_is_told_from_data_and_from_code_of_ones_own() {
        let mapping = |line: &str, own: &str| {
            let (anonymous, swapped) = own.split_once('+').unwrap_or((own, "0"));
            format!("{line}\nRss:   8 kB\nAnonymous:   {anonymous} kB\nSwap:   {swapped} kB\nVmFlags: rd ex mr mw me sd \n")
        };
        let lines = [
            ("55d0-55e0 r-xp 00001000 08:01 1234 /usr/bin/thing", "0", true),
            ("55d0-55e0 r-xp 00001000 08:01 1234 /a: place/thing", "0", true),
            ("55d0-55e0 r-xp 00001000 08:01 1234 /usr/bin/thing", "4", false),
            ("55d0-55e0 r-xp 00001000 08:01 1234 /usr/bin/thing", "0+4", false),
            ("55d0-55e0 r--p 00001000 08:01 1234 /usr/bin/thing", "0", false),
            ("55d0-55e0 rw-p 00001000 08:01 1234 /usr/bin/thing", "0", false),
            ("55d0-55e0 r-xs 00001000 08:01 1234 /usr/bin/thing", "0", false),
            ("7ffd-7ffe r-xp 00000000 00:00 0 [vdso]", "0", false),
            ("nonsense", "0", false),
        ];
        for (line, own, is_code) in lines {
            let expected = if is_code { vec![(0x55d0, 0x55e0)] } else { Vec::new() };
            assert_eq!(ranges(&mapping(line, own)), expected, "{line}");
        }
        let all: String = lines.iter().map(|(line, own, _)| mapping(line, own)).collect();
        assert_eq!(ranges(&all).len(), 2, "one after the other");
    }

    #[test]
    fn code_runs_on_after_its_pages_were_dropped() {
        let resident = || crate::memory::files::KernelMemory::of_this_machine().resident().unwrap_or(0);
        let code = ResidentCode::learn().expect("the kernel tells");
        assert!(!code.ranges.is_empty());
        // Others run in this process, and may take more meanwhile than is given back.
        let gave_back = (0..100).any(|_| {
            let before = resident();
            code.give_back();
            resident() < before
        });
        assert!(gave_back, "something was given back");
        let words: Vec<String> = "it still works".split(' ').map(str::to_uppercase).collect();
        assert_eq!(words.join(" "), "IT STILL WORKS");
    }
}

//! What the processes hold that show a browser's pages, as the kernel says: it answers also while they do not.

use std::sync::PoisonError;

use rustix::process::{Pid, getpgid};

use super::Browser;

/// In the command line of a process that shows pages.
const RENDERER: &[u8] = b"--type=renderer";

impl Browser {
    /// Bytes that each of these processes holds. What is none that shows pages of this browser, or has ended, is left out.
    pub(crate) fn held_by(&self, pids: &[u32]) -> Vec<u64> {
        pids.iter().copied().filter(|pid| self.is_renderer(*pid)).filter_map(held_by).collect()
    }

    /// The same of all that show its pages. It has a look at every process of the machine.
    pub(crate) fn held_by_all(&self) -> Vec<u64> {
        let family = self.process.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|process| process.family());
        self.held_by(&family.unwrap_or_default())
    }

    fn is_renderer(&self, pid: u32) -> bool {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let group =
            number.and_then(|pid| getpgid(Some(pid)).ok()).and_then(|group| u32::try_from(group.as_raw_nonzero().get()).ok());
        group == Some(self.pid)
            && std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(RENDERER.len()).any(|window| window == RENDERER))
    }
}

fn held_by(pid: u32) -> Option<u64> {
    held(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// Bytes that are resident and a process's own: files that it has mapped, its program first of all, are others' as well. Unlike the
/// share (PSS) it costs no walk over all pages.
fn held(status: &str) -> Option<u64> {
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(kibibytes("RssAnon:")?.saturating_add(kibibytes("RssShmem:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_from_files_does_not_count() {
        let status = "Name:\tchrome\nVmRSS:\t  900 kB\nRssAnon:\t     500 kB\nRssFile:\t     380 kB\nRssShmem:\t      20 kB\n";
        assert_eq!(held(status), Some(520 * 1024));
        for nothing in ["", "RssAnon: 5 kB", "RssAnon: x kB\nRssShmem: 1 kB", "RssAnon: 1 MB\nRssShmem: 1 kB"] {
            assert_eq!(held(nothing), None, "{nothing:?}");
        }
        assert!(held_by(std::process::id()).is_some_and(|held| held > 100_000));
    }
}

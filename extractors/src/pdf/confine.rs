//! Takes from this process whatever it does not need to read PDFs: files, network, and all but a few system calls.
//!
//! What a kernel does not have is reported and not insisted on: the limits and the process boundary hold in any case.

#![expect(unsafe_code, reason = "close_range has no safe wrapper")]

use std::collections::BTreeMap;
use std::fmt;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter,
};
use serde::{Deserialize, Serialize};

/// How far a worker's process is confined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Files and network.
    pub landlock: LandlockState,
    /// Why there is no filter of system calls, if there is none.
    pub seccomp_missing: Option<String>,
}

/// How much of landlock is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LandlockState {
    /// All that was asked for.
    Full,
    /// What this kernel has of it.
    Partial,
    /// Nothing, and why.
    Missing(String),
}

impl Confinement {
    /// Whether all of it is in force.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.landlock == LandlockState::Full && self.seccomp_missing.is_none()
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.landlock {
            LandlockState::Full => f.write_str("landlock in full")?,
            LandlockState::Partial => f.write_str("landlock in part (the kernel is older)")?,
            LandlockState::Missing(why) => write!(f, "no landlock ({why})")?,
        }
        match &self.seccomp_missing {
            None => f.write_str(", seccomp"),
            Some(why) => write!(f, ", no seccomp ({why})"),
        }
    }
}

/// Closes whatever the starting process has left open by mistake.
pub(crate) fn close_inherited() {
    // SAFETY: nothing in this process owns a descriptor past the standard ones yet.
    unsafe {
        libc::close_range(3, u32::MAX, 0);
    }
}

/// Gives up everything but reading below `fonts`.
pub(crate) fn confine(fonts: &[&str]) -> Confinement {
    let landlock = match restrict(fonts) {
        Ok(RulesetStatus::FullyEnforced) => LandlockState::Full,
        Ok(RulesetStatus::PartiallyEnforced) => LandlockState::Partial,
        Ok(RulesetStatus::NotEnforced) => LandlockState::Missing("the kernel has none, or it is switched off".to_owned()),
        Err(error) => LandlockState::Missing(error.to_string()),
    };
    // Files may only be looked at where landlock says which.
    let looks = !fonts.is_empty() && matches!(landlock, LandlockState::Full | LandlockState::Partial);
    let seccomp_missing = filter(looks).err();
    Confinement { landlock, seccomp_missing }
}

fn restrict(fonts: &[&str]) -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V6;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    for directory in fonts {
        // One that is not there needs no rule.
        if let Ok(directory) = PathFd::new(directory) {
            ruleset = ruleset.add_rule(PathBeneath::new(directory, AccessFs::from_read(abi)))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// What reading a document takes: memory, the socket, the clock, and an end.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ppoll,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
];

/// What is asked for in passing, and told no instead of being the end: the library looks for fonts and settings.
const DENIED: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_ioctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
];

#[cfg(target_arch = "x86_64")]
const OLD: &[libc::c_long] = &[libc::SYS_poll, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[libc::c_long] = &[];

/// Calls that are harmless as long as they are about this process alone: its own limits, its own end, its own descriptors.
fn of_this_process() -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let only = |argument, value: u64| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
        condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(|error| error.to_string())
    };
    let own = u64::from(std::process::id());
    let commands = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC];
    let commands = commands.into_iter().map(|command| only(1, u64::from(command.unsigned_abs())));
    Ok(BTreeMap::from([
        (libc::SYS_prlimit64, vec![only(0, 0)?, only(0, own)?]),
        (libc::SYS_tgkill, vec![only(0, own)?]),
        (libc::SYS_fcntl, commands.collect::<Result<_, _>>()?),
    ]))
}

/// `fonts`: whether files may be looked at, as far as landlock allows.
fn filter(fonts: bool) -> Result<(), String> {
    let target: TargetArch = std::env::consts::ARCH.try_into().map_err(|error| format!("{error}"))?;
    let rules = |calls: &[&[libc::c_long]]| -> BTreeMap<i64, Vec<SeccompRule>> {
        calls.iter().copied().flatten().map(|call| (*call, Vec::new())).collect()
    };
    let make = |rules, otherwise, matching| -> Result<BpfProgram, String> {
        let filter = SeccompFilter::new(rules, otherwise, matching, target).map_err(|error| error.to_string())?;
        filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())
    };
    let refused = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let denied = make(rules(&[DENIED]), SeccompAction::Allow, refused)?;
    let mut harmless = rules(&[ALLOWED, OLD, DENIED]);
    harmless.extend(of_this_process()?);
    let allowed = make(harmless, SeccompAction::KillProcess, SeccompAction::Allow)?;
    // Of two filters the stricter one counts.
    if !fonts {
        apply_filter(&denied).map_err(|error| error.to_string())?;
    }
    apply_filter(&allowed).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;

    /// Reads `files` on a thread that has been confined, as a worker's process is: both ways bind a thread and not its process.
    fn read_confined(fonts: &[&str], files: &[PathBuf]) -> (Confinement, Vec<Result<Vec<u8>, io::ErrorKind>>) {
        let confined = || {
            let confinement = confine(fonts);
            (confinement, files.iter().map(|file| std::fs::read(file).map_err(|error| error.kind())).collect())
        };
        std::thread::scope(|scope| scope.spawn(confined).join().expect("it goes on with what it may do"))
    }

    #[test]
    fn files_are_refused_but_for_fonts() {
        let (fonts, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let files = [fonts.path().join("font"), other.path().join("secret")];
        for file in &files {
            std::fs::write(file, "x").expect("it is written");
        }
        let refused = Err(io::ErrorKind::PermissionDenied);
        let (confinement, read) = read_confined(&[], &files);
        let landlock = |confinement: &Confinement| matches!(confinement.landlock, LandlockState::Full | LandlockState::Partial);
        // A kernel that has neither says so, and has nothing that could refuse.
        if confinement.seccomp_missing.is_none() || landlock(&confinement) {
            assert_eq!(read, [refused.clone(), refused.clone()], "{confinement}");
        }
        let directory = fonts.path().to_str().expect("a name");
        let (confinement, read) = read_confined(&[directory], &files);
        if landlock(&confinement) {
            assert_eq!(read, [Ok(b"x".to_vec()), refused], "{confinement}");
        } else if confinement.seccomp_missing.is_none() {
            assert_eq!(read, [refused.clone(), refused], "without landlock no file may be looked at");
        }
        assert!(files.iter().all(|file| std::fs::read(file).is_ok()), "nobody else is confined");
    }
}

//! The units of `packaging/systemd`: systemd understands them, they give away no more than they must, and what they forbid takes
//! nothing from the program, least of all Chromium's own sandbox.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may fail, runs programs, and says what it skips"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter,
};
use serde_json::Value;

const SERVICE: &str = include_str!("../packaging/systemd/eventmesh.service");
const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/systemd");
const PROGRAM: &str = env!("CARGO_BIN_EXE_eventmesh");

/// What `systemd-analyze security` may find exposed at most, in tenths; 100 is a service without any walls.
const EXPOSURE: &str = "25";

fn setting(name: &str) -> &'static str {
    let mut lines = SERVICE.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    lines.next().expect("the unit sets it")
}

/// `None`, loudly, where there is no systemd-analyze.
fn analyze(test: &str, arguments: &[&str], directory: &Path) -> Option<Output> {
    let output = Command::new("systemd-analyze").args(arguments).current_dir(directory).env("SYSTEMD_PAGER", "").output();
    if output.is_err() {
        eprintln!("SKIPPED {test}: there is no systemd-analyze; on Debian: apt-get install systemd");
    }
    output.ok()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[test]
fn systemd_understands_the_units() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let service = SERVICE.replace("/usr/bin/eventmesh", PROGRAM);
    assert_ne!(service, SERVICE, "the program is not where the unit says");
    std::fs::write(directory.path().join("eventmesh.service"), service).expect("it is written");
    std::fs::copy(Path::new(UNITS).join("eventmesh.socket"), directory.path().join("eventmesh.socket")).expect("it is copied");
    let verify = ["verify", "--man=no", "./eventmesh.service", "./eventmesh.socket"];
    let Some(output) = analyze("systemd_understands_the_units", &verify, directory.path()) else { return };
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

#[test]
fn the_service_is_exposed_no_more_than_it_must_be() {
    let service = PathBuf::from(UNITS).join("eventmesh.service");
    let (threshold, service) = (format!("--threshold={EXPOSURE}"), service.to_string_lossy());
    let security = ["security", "--offline=yes", "--no-pager", &threshold, &service];
    let Some(output) = analyze("the_service_is_exposed_no_more_than_it_must_be", &security, Path::new(UNITS)) else { return };
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("Overall exposure level"), "{}", said(&output));
}

#[test]
fn the_program_understands_how_the_service_starts_it() {
    let mut words = setting("ExecStart").split_whitespace();
    assert_eq!(words.next(), Some("/usr/bin/eventmesh"));
    // What is not known is told before any help is.
    let output = Command::new(PROGRAM).args(words).arg("--help").output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
}

/// System calls as the unit allows them, by number.
fn allowed(names: &str) -> Option<BTreeSet<i64>> {
    let test = "what_the_service_forbids_takes_nothing_from_the_program";
    let header = std::fs::read_to_string("/usr/include/x86_64-linux-gnu/asm/unistd_64.h");
    let Ok(header) = header.or_else(|_| std::fs::read_to_string("/usr/include/asm/unistd_64.h")) else {
        eprintln!("SKIPPED {test}: system calls have no numbers here; on Debian: apt-get install linux-libc-dev");
        return None;
    };
    let numbers: BTreeMap<&str, i64> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '))
        .filter_map(|(name, number)| Some((name, number.trim().parse().ok()?)))
        .collect();
    let mut waiting: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let mut allowed = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if name.starts_with('@') {
            let output = analyze(test, &["syscall-filter", "--no-pager", &name], Path::new("/"))?;
            assert!(output.status.success(), "{}", said(&output));
            let text = said(&output);
            waiting.extend(text.lines().filter(|line| line.starts_with("    ")).map(|line| line.trim().to_owned()));
        } else {
            // Those of other machines have no number on this one.
            allowed.extend(numbers.get(name.as_str()));
        }
    }
    Some(allowed)
}

const CLONE: i64 = 56;
const SOCKET: i64 = 41;
const UNSHARE: i64 = 272;
const CLONE3: i64 = 435;
const CHROOT: i64 = 161;
const SECCOMP: i64 = 317;
const LANDLOCK: &[i64] = &[444, 445, 446];

/// The bits of namespaces, by the names that systemd has for them.
const NAMESPACES: &[(&str, u64)] = &[
    ("mnt", 0x0002_0000),
    ("cgroup", 0x0200_0000),
    ("uts", 0x0400_0000),
    ("ipc", 0x0800_0000),
    ("user", 0x1000_0000),
    ("pid", 0x2000_0000),
    ("net", 0x4000_0000),
];

const FAMILIES: &[(&str, u64)] = &[("AF_UNIX", 1), ("AF_INET", 2), ("AF_INET6", 10), ("AF_NETLINK", 16)];

/// The filters that systemd makes of a unit's settings.
fn filters(calls: BTreeSet<i64>, namespaces: &str, families: &str) -> Vec<BpfProgram> {
    let rule = |operator, value| {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, operator, value).expect("it makes sense");
        SeccompRule::new(vec![condition]).expect("it makes sense")
    };
    let named: BTreeSet<&str> = namespaces.split_whitespace().collect();
    let forbidden = NAMESPACES.iter().filter(|(name, _)| !named.contains(name)).fold(0, |bits, (_, bit)| bits | bit);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.into_iter().map(|call| (call, Vec::new())).collect();
    for call in [CLONE, UNSHARE] {
        rules.insert(call, vec![rule(SeccompCmpOp::MaskedEq(forbidden), 0)]);
    }
    let families = families.split_whitespace().map(|family| {
        let known = FAMILIES.iter().find(|(name, _)| *name == family);
        rule(SeccompCmpOp::Eq, known.expect("a known family").1)
    });
    rules.insert(SOCKET, families.collect());
    let errno = |errno: Errno| SeccompAction::Errno(errno.raw_os_error().unsigned_abs());
    let filter = |rules, otherwise, matching| -> BpfProgram {
        let filter = SeccompFilter::new(rules, otherwise, matching, TargetArch::x86_64).expect("it makes sense");
        filter.try_into().expect("it makes sense")
    };
    // What its flags are cannot be seen from outside, so it is not there.
    let hidden = filter([(CLONE3, Vec::new())].into(), SeccompAction::Allow, errno(Errno::NOSYS));
    vec![hidden, filter(rules, errno(Errno::PERM), SeccompAction::Allow)]
}

/// What the doctor finds, under these filters.
fn doctor(filters: Vec<BpfProgram>) -> BTreeMap<String, (String, String)> {
    // Filters are a thread's, and of what it starts.
    let examined = std::thread::spawn(move || {
        for filter in filters {
            apply_filter(&filter).expect("the kernel takes it");
        }
        let cache = env!("CARGO_TARGET_TMPDIR");
        Command::new(PROGRAM).args(["doctor", "--json"]).env_remove("EVENTMESH_LOG").env("XDG_CACHE_HOME", cache).output()
    });
    let output = examined.join().expect("no panic").expect("it starts");
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    findings.iter().map(|finding| (text(finding, "what"), (text(finding, "verdict"), text(finding, "says")))).collect()
}

#[test]
fn what_the_service_forbids_takes_nothing_from_the_program() {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("SKIPPED what_the_service_forbids_takes_nothing_from_the_program: only the numbers of x86_64 are known");
        return;
    }
    let Some(calls) = allowed(setting("SystemCallFilter")) else { return };
    let (namespaces, families) = (setting("RestrictNamespaces"), setting("RestrictAddressFamilies"));
    let free = doctor(Vec::new());
    let confined = doctor(filters(calls.clone(), namespaces, families));
    for (what, (verdict, says)) in &free {
        let (now, why) = &confined[what];
        assert_eq!(now, verdict, "{what}: {says}, and under the service's filters: {why}");
    }
    // Each of these is needed: without it something that was good is not. So the filters are there, too.
    let without = |calls: &BTreeSet<i64>, name: &[i64]| calls.iter().copied().filter(|call| !name.contains(call)).collect();
    let fewer = [
        ("sandbox", "user", filters(calls.clone(), "pid net", families)),
        ("sandbox", "pid", filters(calls.clone(), "user net", families)),
        ("sandbox", "chroot", filters(without(&calls, &[CHROOT]), namespaces, families)),
        ("confinement", "seccomp", filters(without(&calls, &[SECCOMP]), namespaces, families)),
        ("confinement", "landlock", filters(without(&calls, LANDLOCK), namespaces, families)),
    ];
    for (finding, missing, filters) in fewer {
        if free.get(finding).is_none_or(|(verdict, _)| verdict != "good") {
            eprintln!("SKIPPED in part: {finding} is not good here even without filters");
            continue;
        }
        let found = doctor(filters);
        let verdict = found.get(finding).map(|(verdict, _)| verdict.as_str());
        assert_ne!(verdict, Some("good"), "without {missing} it is as before: {found:?}");
    }
}

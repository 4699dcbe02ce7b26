//! What a process does to itself before it becomes Chromium: it ties its life to its parent's, gives up the rights of root,
//! and lays its one socket where Chromium looks for its pipes.

#![expect(unsafe_code, reason = "descriptors and users are numbers here")]

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use eventmesh_actors::process::{SelfLimits, enter};

/// The first argument of a program that is to become Chromium.
pub const LAUNCHER_ARGUMENT: &str = "browser-launcher";

/// Where Chromium reads its orders, and where it writes its answers.
const ORDERS: i32 = 3;
const ANSWERS: i32 = 4;

/// Becomes Chromium; `arguments` are those after [`LAUNCHER_ARGUMENT`]: the user to be, or `-`, the program, and what it is
/// told. Returns only if that fails, with the process's exit code.
#[must_use]
pub fn launch(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let (Some(user), Some(program)) = (arguments.next(), arguments.next()) else {
        complain("this is started by an engine, and is of no use by itself");
        return 2;
    };
    match become_chromium(&user, Path::new(&program), arguments) {
        Ok(never) => match never {},
        Err(why) => {
            complain(&why);
            127
        }
    }
}

fn complain(what: &str) {
    // There is nobody else to tell.
    let _ = writeln!(io::stderr(), "{LAUNCHER_ARGUMENT}: {what}");
}

enum Never {}

fn become_chromium(user: &OsString, program: &Path, arguments: impl Iterator<Item = OsString>) -> Result<Never, String> {
    // SAFETY: nothing in this process owns a descriptor past the standard ones yet.
    unsafe { libc::close_range(3, u32::MAX, 0) };
    if user != "-" {
        let user: u32 = user.to_str().and_then(|user| user.parse().ok()).ok_or("the user to be is no number")?;
        descend(user).map_err(|error| format!("failed to become user {user}: {error}"))?;
    }
    // After that: a change of the user undoes it.
    let scratch = enter(&SelfLimits::default()).map_err(|error| error.to_string())?;
    let nothing = File::options().read(true).write(true).open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    // SAFETY: all of these are descriptors that are open, or numbers that nobody else in this process uses. The one of nothing
    // goes out of the way first: it is likely to be one of the pipes' own.
    let laid = unsafe {
        let aside = libc::fcntl(nothing.as_raw_fd(), libc::F_DUPFD_CLOEXEC, ANSWERS + 1);
        drop(nothing);
        aside > ANSWERS
            && libc::dup2(0, ORDERS) == ORDERS
            && libc::dup2(0, ANSWERS) == ANSWERS
            && libc::dup2(aside, 0) == 0
            && libc::dup2(aside, 1) == 1
    };
    if !laid {
        return Err(format!("failed to lay the pipes: {}", io::Error::last_os_error()));
    }
    let mut profile = OsString::from("--user-data-dir=");
    profile.push(scratch.join("profile"));
    #[expect(clippy::disallowed_methods, reason = "no process is born here: this one becomes another program")]
    let mut command = std::process::Command::new(program);
    let error = command.arg(profile).args(arguments).env("HOME", &scratch).env("XDG_CONFIG_HOME", &scratch).exec();
    Err(format!("failed to start {}: {error}", program.display()))
}

/// Gives the scratch directory, which is the working directory, to `user`, and becomes that user.
fn descend(user: u32) -> io::Result<()> {
    chown(".", Some(user), Some(user))?;
    std::fs::set_permissions(".", PermissionsExt::from_mode(0o700))?;
    // SAFETY: no pointers but one that is allowed to be null with a count of zero.
    let done = unsafe { libc::setgroups(0, std::ptr::null()) == 0 && libc::setgid(user) == 0 && libc::setuid(user) == 0 };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

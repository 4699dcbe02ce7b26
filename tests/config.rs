//! Settings as an operator meets them: files, the environment, flags, what is told of them, and a reload.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail, and runs the program itself")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A place for jobs that is no other daemon's.
fn state_home() -> String {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{}/state-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

fn eventmesh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventmesh"));
    command.env_remove("EVENTMESH_LOG").env_remove("EVENTMESH_CONFIG").env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.env("XDG_STATE_HOME", state_home()).stdin(Stdio::null());
    command
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

#[test]
fn show_tells_what_counts_and_who_said_so() {
    let file = scratch("config-show").join("eventmesh.toml");
    std::fs::write(&file, "max_requests = 7\n[fetch]\nidle = \"7s\"\nconnect = \"7s\"\n[daemon]\nlisten = [\"127.0.0.1:1\"]\n")
        .expect("writable");
    let shown = eventmesh()
        .args(["config", "show", "--origin", "--listen", "127.0.0.1:2", "--max-page", "64"])
        .env("EVENTMESH_CONFIG", &file)
        .env("EVENTMESH__FETCH__IDLE", "8s")
        .output()
        .expect("it starts");
    assert!(shown.status.success(), "{}", err(&shown));
    let text = out(&shown);
    for line in [
        format!("max_requests = 7  # {}", file.display()),
        "idle = \"8s\"  # environment variable EVENTMESH__FETCH__IDLE".to_owned(),
        format!("connect = \"7s\"  # {}", file.display()),
        "redirects = 10  # default".to_owned(),
        "listen = [\"127.0.0.1:2\"]  # flag --listen".to_owned(),
        "max_page_bytes = \"64MiB\"  # flag --max-page".to_owned(),
        "wire_bytes = \"64MiB\"  # default, following max_page_bytes".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn check_tells_all_that_is_wrong_at_once() {
    let directory = scratch("config-check");
    let (good, bad) = (directory.join("good.toml"), directory.join("bad.toml"));
    std::fs::write(&good, "workers = 2\n").expect("writable");
    std::fs::write(&bad, "worker = 2\nmax_requests = 0\ndeadline = 3\n").expect("writable");
    let checked = eventmesh().args(["config", "check", "--config"]).arg(&good).output().expect("it starts");
    assert!(checked.status.success() && out(&checked).contains("1 settings set"), "{}{}", out(&checked), err(&checked));
    for command in [&["config", "check"][..], &["serve"], &["tree"]] {
        let checked = eventmesh()
            .args(command)
            .arg("--config")
            .arg(&bad)
            .env("EVENTMESH__BROWSER__LIMTS__PAGES", "3")
            .output()
            .expect("it starts");
        assert_eq!(checked.status.code(), Some(2), "{command:?}");
        let told = err(&checked);
        for part in
            ["workers is near", "max_requests must be", "deadline is a whole number", "EVENTMESH__BROWSER__LIMITS__PAGES is near"]
        {
            assert!(told.contains(part), "{command:?}: {part} is not in\n{told}");
        }
    }
    // The files that are named are read, too; what only a service manager hands over is not there to be read.
    let secret = directory.join("secret");
    std::fs::write(&secret, "no secret").expect("writable");
    let check = |keys: &str, secret: &Path| {
        let mut command = eventmesh();
        command.args(["config", "check"]).env("EVENTMESH__DAEMON__KEYS", keys).env("EVENTMESH__DAEMON__WEBHOOK_SECRET", secret);
        command.output().expect("it starts")
    };
    let unreadable = check("/nonexistent/keys.toml", &secret);
    assert_eq!(unreadable.status.code(), Some(2), "{}", err(&unreadable));
    for part in ["daemon.keys: ", "/nonexistent/keys.toml", "daemon.webhook_secret: ", "EVENTMESH__DAEMON__WEBHOOK_SECRET"] {
        assert!(err(&unreadable).contains(part), "{part} is not in\n{}", err(&unreadable));
    }
    let handed_over = check("credential:keys", Path::new("credential:secret"));
    assert!(handed_over.status.success(), "{}", err(&handed_over));
    let missing = eventmesh().args(["config", "check", "--config", "/nonexistent.toml"]).output().expect("it starts");
    assert!(missing.status.code() == Some(2) && err(&missing).contains("/nonexistent.toml"));
}

#[test]
fn the_example_is_a_configuration() {
    let example = eventmesh().args(["config", "example"]).output().expect("it starts");
    let file = scratch("config-example").join("eventmesh.toml");
    std::fs::write(&file, &example.stdout).expect("writable");
    let checked = eventmesh().args(["config", "check", "--config"]).arg(&file).output().expect("it starts");
    assert!(checked.status.success() && out(&checked).contains("0 settings set"), "{}{}", out(&checked), err(&checked));
}

/// An operator's policy holds for every command.
#[test]
fn single_commands_follow_the_environment_and_a_file_that_is_named() {
    // Nobody listens there: whoever may connect finds that out.
    let extract = |name: &str, value: &str| {
        let output = eventmesh().args(["extract", "http://127.0.0.1:1/"]).env(name, value).output().expect("it starts");
        output.status.code()
    };
    assert_eq!(extract("NOTHING", "x"), Some(10));
    assert_eq!(extract("EVENTMESH__EGRESS__ALLOW", "127.0.0.0/8"), Some(4));
    let file = scratch("config-egress").join("eventmesh.toml");
    std::fs::write(&file, "[egress]\nallow = [\"127.0.0.0/8\"]\n").expect("writable");
    assert_eq!(extract("EVENTMESH_CONFIG", file.to_str().expect("UTF-8")), Some(4));
}

/// A daemon that is killed whatever becomes of its test.
struct Daemon {
    child: Child,
    told: BufReader<ChildStderr>,
}

impl Daemon {
    /// What it says until a line has `part` in it.
    fn until(&mut self, part: &str) -> String {
        let mut told = String::new();
        while !told.lines().last().is_some_and(|line| line.contains(part)) {
            assert_ne!(self.told.read_line(&mut told).expect("readable"), 0, "it ended without {part}:\n{told}");
        }
        told
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it lives");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status of a request that is let in by its key, or not.
fn status(address: &str, key: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "POST /v1/extract HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}")
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.split(' ').nth(1).expect("a status").to_owned()
}

#[test]
fn a_reload_applies_keys_and_says_what_needs_a_restart() {
    let directory = scratch("config-reload");
    let file = directory.join("eventmesh.toml");
    let keys = |name: &str| {
        let made = eventmesh().args(["keys", "new", name]).output().expect("it starts");
        std::fs::write(directory.join(name), &made.stdout).expect("writable");
        err(&made).split_whitespace().last().expect("the key").to_owned()
    };
    let (first, second) = (keys("first"), keys("second"));
    let configure = |name: &str, more: &str| {
        let text = format!(
            "{more}\n[daemon]\nlisten = [\"127.0.0.1:0\"]\nops_listen = \"127.0.0.1:0\"\nkeys = {:?}\n",
            directory.join(name)
        );
        std::fs::write(&file, text).expect("writable");
    };
    configure("first", "workers = 1");
    let mut child = eventmesh()
        .args(["serve", "--config"])
        .arg(&file)
        .env("EVENTMESH_LOG", "eventmesh=info")
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let told = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut daemon = Daemon { child, told };
    let ready = daemon.until("serving at http://");
    let address =
        ready.split("serving at http://").nth(1).and_then(|rest| rest.split(';').next()).expect("an address").to_owned();
    assert_ne!(status(&address, &first), "401");
    assert_eq!(status(&address, &second), "401");

    configure("second", "workers = 1\nmax_requests = 7");
    daemon.signal(Signal::HUP);
    let told = daemon.until("need a restart");
    assert!(told.contains("daemon.keys") && told.contains("max_requests") && !told.contains("\"workers\""), "{told}");
    assert_eq!(status(&address, &first), "401");
    assert_ne!(status(&address, &second), "401");

    // What makes no sense changes nothing, keys included.
    configure("first", "workers = 0");
    daemon.signal(Signal::HUP);
    let told = daemon.until("nothing has been read again");
    assert!(told.contains("workers must be 1 to 1024"), "{told}");
    assert_ne!(status(&address, &second), "401");

    daemon.signal(Signal::TERM);
    assert!(daemon.child.wait().expect("it ends").success());
}

//! `eventmesh top` against a daemon that runs: what scripts get of it, and what it does with a terminal.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail, and runs the program itself")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

/// A place for jobs that is no other daemon's.
fn state_home() -> String {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{}/state-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

/// Nothing that is waited for here takes as long.
const LONG: Duration = Duration::from_secs(30);

fn eventmesh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eventmesh"));
    command.env_remove("EVENTMESH_LOG").env_remove("NO_COLOR").env("TERM", "xterm-256color").stdin(Stdio::null());
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).env("XDG_STATE_HOME", state_home());
    command
}

/// A daemon, killed at the end of its test.
struct Daemon {
    process: Child,
    /// Where it lets operators in.
    ops: String,
}

impl Daemon {
    fn start(ops_listen: &str) -> Self {
        let mut command = eventmesh();
        command.args(["serve", "--workers", "1", "--listen", "127.0.0.1:0", "--ops-listen", ops_listen]);
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        let mut said = BufReader::new(process.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let line = said.find(|line| line.contains("for operators at ")).expect("it serves");
        let ops = line.rsplit_once("for operators at ").expect("just found").1.to_owned();
        Self { process, ops }
    }

    fn top(&self, arguments: &[&str]) -> Output {
        eventmesh().args(["top", "--ops", &self.ops]).args(arguments).output().expect("it runs")
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        self.process.wait().expect("it ends");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn scripts_get_one_table_and_the_snapshot() {
    let daemon = Daemon::start("127.0.0.1:0");
    for arguments in [&["--once"][..], &[]] {
        let output = daemon.top(arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let table = text(&output.stdout);
        assert!(table.starts_with(&format!("{}  ready\npressure ", daemon.ops)), "{table}");
        let line = |name: &str| {
            let found = table.lines().find(|line| line.split_whitespace().next() == Some(name));
            found.unwrap_or_else(|| panic!("no {name} in\n{table}")).split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!(line("NAME"), ["NAME", "STATE", "LIFE", "JOBS", "AGE", "MEMORY", "NOTE"]);
        assert_eq!(line("wasm")[..3], ["wasm", "open", "1"]);
        // It may be lent to a page of the daemon's own.
        assert!(
            [["wasm/0", "idle", "1"], ["wasm/0", "leased", "1"]].contains(&line("wasm/0")[..3].try_into().expect("three")),
            "{table}"
        );
        assert_eq!(line("memory")[2], "MiB");
        assert!(!table.contains('\u{1b}'), "{table:?}");
    }
    let output = daemon.top(&["--json"]);
    assert!(output.status.success(), "{output:?}");
    let tree: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(tree["tree"]["name"], "eventmesh");
    assert!(tree["requests_ended"].is_u64(), "what the requests per second are made of: {tree}");
}

#[test]
fn a_socket_file_is_as_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ops.sock");
    let daemon = Daemon::start(&format!("unix:{}", path.display()));
    let output = daemon.top(&["--once"]);
    assert!(output.status.success() && text(&output.stdout).contains("wasm/0"), "{output:?}");
}

#[test]
fn nobody_there_is_said_with_what_to_do() {
    let output = eventmesh().args(["top", "--ops", "unix:/nowhere/ops.sock"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(7));
    let said = text(&output.stderr);
    assert!(said.contains("nobody listens at unix:/nowhere/ops.sock") && said.contains("eventmesh serve"), "{said}");
    assert!(output.stdout.is_empty());
    let output = eventmesh().args(["top", "--ops", "https://127.0.0.1:1"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_other_door_is_told_from_the_right_one() {
    let mut command = eventmesh();
    command.args(["serve", "--workers", "1", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut daemon = Daemon { process, ops: String::new() };
    let said = BufReader::new(daemon.process.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let line = { said }.find(|line| line.contains("serving at ")).expect("it serves");
    let (before, _) = line.split_once(';').expect("two addresses");
    before.rsplit_once("serving at ").expect("just found").1.clone_into(&mut daemon.ops);
    let output = daemon.top(&["--once"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(text(&output.stderr).contains("is no daemon's door for operators"), "{output:?}");
}

const ROWS: usize = 24;
const COLUMNS: usize = 100;

/// A terminal with `eventmesh top` on it.
struct Terminal {
    keyboard: File,
    /// The side that the program has, kept to see how it leaves it.
    tty: OwnedFd,
    shown: Receiver<Vec<u8>>,
    /// All that it has been sent so far.
    all: Vec<u8>,
    top: Child,
}

impl Terminal {
    fn open(daemon: &Daemon, environment: &[(&str, &str)]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("ours");
        let name = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("UTF-8");
        let tty = File::options().read(true).write(true).open(Path::new(&name)).expect("its other side");
        tcsetwinsize(&tty, Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
        let side = || Stdio::from(tty.try_clone().expect("a descriptor"));
        let mut command = eventmesh();
        command.args(["top", "--interval", "0.1", "--ops", &daemon.ops]).envs(environment.iter().copied());
        let top = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("it starts");
        let keyboard = File::from(ours);
        let mut screen = keyboard.try_clone().expect("a descriptor");
        let (sender, shown) = sync_channel(64);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { keyboard, tty: tty.into(), shown, all: Vec::new(), top }
    }

    /// Waits until `text` is on the screen.
    fn wait_for(&mut self, text: &str) {
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return;
            }
            match self.shown.recv_timeout(LONG) {
                Ok(bytes) => self.all.extend(bytes),
                Err(error) => panic!("{text:?} never came ({error}):\n{screen}"),
            }
        }
    }

    /// What somebody in front of it sees. Only what has changed is sent, so it matters where the cursor is.
    fn screen(&self) -> String {
        let mut cells = vec![vec![' '; COLUMNS]; ROWS];
        let (mut row, mut column) = (0, 0);
        let all = String::from_utf8_lossy(&self.all);
        let mut letters = all.chars();
        while let Some(letter) = letters.next() {
            if letter == '\u{1b}' {
                let mut sequence = String::new();
                for letter in letters.by_ref() {
                    sequence.push(letter);
                    if letter.is_ascii_alphabetic() {
                        break;
                    }
                }
                let sequence = sequence.trim_start_matches('[');
                if let Some(place) = sequence.strip_suffix('H') {
                    let (y, x) = place.split_once(';').unwrap_or(("1", "1"));
                    let place = |text: &str| text.parse::<usize>().unwrap_or(1) - 1;
                    (row, column) = (place(y), place(x));
                } else if sequence == "2J" {
                    cells = vec![vec![' '; COLUMNS]; ROWS];
                }
            } else {
                if let Some(cell) = cells.get_mut(row).and_then(|line| line.get_mut(column)) {
                    *cell = letter;
                }
                column += 1;
            }
        }
        cells.iter().map(|line| line.iter().collect::<String>() + "\n").collect()
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.tty).expect("a terminal").local_modes.contains(LocalModes::ICANON)
    }

    /// Waits until the program has ended and looks at how it has left the terminal.
    fn ended(mut self) -> (ExitStatus, Vec<u8>) {
        // It must not be held up by a terminal that nobody reads, so what it says last is read first.
        while !contains(&self.all, b"\x1b[?1049l") {
            self.all.extend(self.shown.recv_timeout(LONG).expect("it leaves the terminal"));
        }
        let status = self.top.wait().expect("it ends");
        assert!(!self.is_raw(), "the terminal is left raw");
        self.all.extend(self.shown.try_iter().flatten());
        assert!(contains(&self.all, b"\x1b[?1049h") && contains(&self.all, b"\x1b[?25h"), "taken, and its cursor given back");
        (status, std::mem::take(&mut self.all))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.top.kill();
        let _ = self.top.wait();
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn it_draws_takes_orders_and_gives_the_terminal_back() {
    let daemon = Daemon::start("127.0.0.1:0");
    let mut terminal = Terminal::open(&daemon, &[]);
    terminal.wait_for("wasm/0");
    assert!(terminal.is_raw());
    terminal.press("?");
    terminal.wait_for("replace the selected child");
    // Closes the help, then goes to the first child and has it replaced.
    terminal.press("x\x1b[B\x1b[B\x1b[Br");
    terminal.wait_for("replace wasm/0, losing nothing?");
    terminal.press("y");
    terminal.wait_for("its replacement is on the way");
    terminal.wait_for("exit recycled");
    terminal.press("q");
    let (status, all) = terminal.ended();
    assert_eq!(status.code(), Some(0));
    assert!(contains(&all, b"\x1b[38;5;") || contains(&all, b"\x1b[32m"), "there is colour");
    let table = daemon.top(&["--once"]);
    let life = text(&table.stdout).lines().find(|line| line.trim_start().starts_with("wasm/0")).expect("the child").to_owned();
    assert_eq!(life.split_whitespace().nth(2), Some("2"), "{life}");
}

#[test]
fn a_daemon_that_goes_is_waited_for_and_a_signal_ends_the_wait() {
    let mut daemon = Daemon::start("127.0.0.1:0");
    let mut terminal = Terminal::open(&daemon, &[("NO_COLOR", "1")]);
    terminal.wait_for("wasm/0");
    daemon.end();
    terminal.wait_for("no answer");
    terminal.wait_for("trying again every 0.1 s");
    let pid = Pid::from_child(&terminal.top);
    kill_process(pid, Signal::TERM).expect("told to end");
    let (status, all) = terminal.ended();
    assert_eq!(status.code(), Some(130));
    assert!(!contains(&all, b"\x1b[38;") && !contains(&all, b"\x1b[32m"), "there is no colour");
}

#[test]
fn ctrl_c_and_a_hangup_end_it_in_order() {
    let daemon = Daemon::start("127.0.0.1:0");
    let mut terminal = Terminal::open(&daemon, &[]);
    terminal.wait_for("wasm/0");
    terminal.press("\x03");
    assert_eq!(terminal.ended().0.code(), Some(0));
    let mut terminal = Terminal::open(&daemon, &[]);
    terminal.wait_for("wasm/0");
    kill_process(Pid::from_child(&terminal.top), Signal::HUP).expect("told to end");
    assert_eq!(terminal.ended().0.code(), Some(130));
}

#[test]
fn a_drain_is_asked_for_twice_and_then_done() {
    let mut daemon = Daemon::start("127.0.0.1:0");
    let mut terminal = Terminal::open(&daemon, &[]);
    terminal.wait_for("wasm/0");
    terminal.press("dn");
    terminal.wait_for("drain: not done");
    assert!(daemon.process.try_wait().expect("its state").is_none());
    terminal.press("dy");
    assert!(daemon.process.wait().expect("it ends").success());
    terminal.wait_for("trying again");
    terminal.press("q");
    assert_eq!(terminal.ended().0.code(), Some(0));
}

//! What a service manager does for a daemon, as far as tests need it: it listens to what the daemon says, hands it a socket, and
//! sends signals.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Says what a service manager says, and then becomes the daemon, so that the number of the process is right. A socket that is
/// handed over comes as standard input and is laid where the daemon looks for it.
const BECOME: &str = r#"
export WATCHDOG_PID=${WATCHDOG_PID:-$$}
if [ -n "$LISTEN_FDS" ]; then export LISTEN_PID=$$; exec "$@" 3<&0 0</dev/null; fi
exec "$@""#;

/// How a daemon is started.
pub(crate) struct Setup<'s> {
    pub(crate) arguments: &'s [&'s str],
    pub(crate) variables: &'s [(&'s str, &'s str)],
    /// Handed over as systemd does.
    pub(crate) socket: Option<&'s TcpListener>,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { arguments: &["--listen", "127.0.0.1:0"], variables: &[], socket: None }
    }
}

/// A place of its own for daemons: what they leave there, the next one finds.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        // A browser of root runs as somebody else, and has to come through.
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o711)).expect("it is ours");
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where daemons that were started here have their scratch directories: one for each.
    pub(crate) fn scratch(&self) -> Vec<PathBuf> {
        let places = [self.path().to_owned(), self.path().join("runtime")];
        let roots = places.iter().flat_map(|place| entries(place)).filter(|path| name(path).starts_with("eventmesh"));
        roots.flat_map(|root| entries(&root)).filter(|path| name(path).starts_with("engine-")).collect()
    }

    pub(crate) fn start(&self, setup: &Setup<'_>) -> Daemon {
        let path = self.path().join(format!("notify-{}", entries(self.path()).len()));
        let notify = UnixDatagram::bind(&path).expect("a socket");
        let runtime = self.path().join("runtime");
        std::fs::create_dir_all(&runtime).expect("it is ours");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", BECOME, "sh", env!("CARGO_BIN_EXE_eventmesh"), "serve", "--ops-listen", "127.0.0.1:0"])
            .args(setup.arguments)
            .env_remove("EVENTMESH_LOG")
            // Its sites answer one question.
            .env("EVENTMESH__FETCH__ROBOTS", "false")
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env("XDG_STATE_HOME", self.path())
            .env("XDG_RUNTIME_DIR", &runtime)
            .env("TMPDIR", self.path())
            .env("NOTIFY_SOCKET", &path)
            .envs(setup.variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(socket) = setup.socket {
            command.stdin(OwnedFd::from(socket.try_clone().expect("a descriptor"))).env("LISTEN_FDS", "1");
        }
        let mut child = command.spawn().expect("it starts");
        let said = Said::of(child.stderr.take().expect("a pipe"));
        Daemon { child, notify, heard: VecDeque::new(), said }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a daemon says on standard error: it never waits for somebody to read it.
struct Said(Receiver<String>);

impl Said {
    fn of(stderr: ChildStderr) -> Self {
        let (sender, receiver) = sync_channel(10_000);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.try_send(line);
            }
        });
        Self(receiver)
    }
}

/// A daemon, and what it says. Dropped, it is killed.
pub(crate) struct Daemon {
    child: Child,
    notify: UnixDatagram,
    /// Lines that have come and have not been looked at.
    heard: VecDeque<String>,
    said: Said,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a daemon can be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) api: SocketAddr,
    pub(crate) ops: SocketAddr,
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it tells its manager; `None` if none comes.
    pub(crate) fn next(&mut self, within: Duration) -> Option<String> {
        if self.heard.is_empty() {
            self.notify.set_read_timeout(Some(within)).expect("a time");
            let mut message = [0; 4096];
            let read = match self.notify.recv(&mut message) {
                Ok(read) => read,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return None,
                Err(error) => panic!("{error}"),
            };
            let message = String::from_utf8(message[..read].to_vec()).expect("UTF-8");
            self.heard.extend(message.lines().map(str::to_owned));
        }
        self.heard.pop_front()
    }

    /// Waits for a line that begins with `start`, and returns all up to it.
    pub(crate) fn until(&mut self, start: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.starts_with(start)) {
            match self.next(LONG) {
                Some(line) => lines.push(line),
                None => panic!("no {start} came after {lines:?}; it said {:?}", self.said.0.try_iter().collect::<Vec<_>>()),
            }
        }
        lines
    }

    /// What has come so far and was not looked at.
    pub(crate) fn forget(&mut self) {
        while self.next(Duration::from_millis(1)).is_some() {}
    }

    /// Waits until it is ready.
    pub(crate) fn ready(&mut self) -> Addresses {
        self.until("READY=1");
        // Warnings may come first.
        let mut lines = std::iter::from_fn(|| self.said.0.recv_timeout(LONG).ok());
        let line = lines.find(|line| line.contains("serving at ")).expect("it says where it serves");
        let after = |mark: &str| -> Option<SocketAddr> {
            let rest = line.split(mark).nth(1)?.strip_prefix("http://")?;
            rest.split([',', ';']).next()?.parse().ok()
        };
        match (after("serving at "), after("for operators at ")) {
            (Some(api), Some(ops)) => Addresses { api, ops },
            (None, _) | (_, None) => panic!("it said {line}"),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// Waits for its end, and returns what it has said on standard error since it was ready.
    pub(crate) fn end(&mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().expect("it was started here");
        (status, self.said.0.try_iter().collect())
    }
}

/// Asks, on a connection of its own.
pub(crate) fn ask(at: SocketAddr, method: &str, path: &str, kind: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(LONG))?;
    send(&mut stream, method, path, kind, body, "close")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other(format!("no answer: {answer:?}")))?;
    Ok((status(head)?, body.to_owned()))
}

pub(crate) fn get(at: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    ask(at, "GET", path, "text/plain", "")
}

/// Has a page extracted, and says whether it came back whole.
pub(crate) fn extract(at: SocketAddr, words: &str) -> io::Result<()> {
    let (status, body) = ask(at, "POST", "/v1/extract", "text/html", &format!("<p>{words}"))?;
    if status == 200 && body.contains(words) { Ok(()) } else { Err(io::Error::other(format!("{status}: {body}"))) }
}

/// Sends a request, whose answer is to be plain text.
pub(crate) fn send(stream: &mut TcpStream, method: &str, path: &str, kind: &str, body: &str, then: &str) -> io::Result<()> {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: {then}\r\naccept: text/plain, application/json;q=0.5\r\n\
         content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())
}

pub(crate) fn status(head: &str) -> io::Result<u16> {
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.ok_or_else(|| io::Error::other(format!("no status: {head:?}")))
}

/// Waits until `what` holds; `false` if it never does.
pub(crate) fn eventually(mut what: impl FnMut() -> bool) -> bool {
    (0..3000).any(|_| {
        let done = what();
        if !done {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        done
    })
}

//! Processes as children: born here, minded as long as they live, and buried here.
//!
//! ```text
//!   ProcessHost ── one scratch directory per engine, locked; sweeps what dead engines have left
//!      │ spawn
//!      ▼
//!   minder thread ── makes a scratch directory, starts the process in a group of its own, waits for its end,
//!      │             kills what is left of the group, reaps it, removes the directory, tells
//!      ▼
//!   Process ── signals go to the whole group; dropped, it is killed at once
//! ```
//!
//! - Starting does not copy this process, however large it is: no step runs between fork and exec, so the standard
//!   library takes its `posix_spawn` way. What a child has to do to itself, it does itself: [`enter`].
//! - The minder is the thread that the kernel ties the child's life to (`PR_SET_PDEATHSIG` looks at threads), and lives
//!   exactly as long as the child. If this process dies in any way, so do its children.
//! - A child's end is seen before it is reaped, so its group can still be named and nothing else can have its number.

mod entry;
mod group;
mod last_words;
mod sweep;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::cgroup::{ControlGroups, TreeGroup};
use crate::governor::ProcessList;
use crate::progress::Interrupt;

use group::{Group, groups, kill_group, members, running, signal};

pub use entry::{EntryError, SelfLimits, enter};
pub use last_words::LastWords;
pub use sweep::Swept;

/// In the environment of every process: which engine it belongs to.
const INSTANCE: &str = "EVENTMESH_INSTANCE";
/// In the environment of every process: who started it.
const PARENT: &str = "EVENTMESH_PARENT";
/// In the environment of every process: its scratch directory, which is also its working directory and `TMPDIR`.
const SCRATCH: &str = "EVENTMESH_SCRATCH";

/// Why a process could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The scratch directory cannot be used.
    #[error("failed to use the scratch directory {}", path.display())]
    Scratch {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The program did not start.
    #[error("failed to start {}", program.display())]
    Start {
        /// Which.
        program: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// There is no thread to mind it.
    #[error("failed to start a thread to mind a process")]
    Minder(#[source] io::Error),
}

/// What the standard streams of a process are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Nothing, but for standard error, which is this process's own.
    Closed,
    /// Pipes to this process.
    Piped,
    /// One socket, as standard input, for both directions; standard error is a pipe, standard output nothing.
    Socket,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// The program, by its path: nothing is searched for.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment, besides the engine's own marks. Nothing is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// What its standard streams are.
    pub streams: Streams,
    /// Whether it starts others, which are then counted as it is. Default not.
    pub family: bool,
    /// Bytes that it and all that it starts may have together, where they have a control group; elsewhere this says nothing.
    pub memory: Option<u64>,
    /// How long it may take to end when it is asked. Default 3 s.
    pub ask_grace: Duration,
    /// How long it may take to end after `SIGTERM`, before `SIGKILL`. Default 2 s.
    pub term_grace: Duration,
}

impl ProcessSpec {
    /// `program` without arguments, with piped streams.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            streams: Streams::Piped,
            family: false,
            memory: None,
            ask_grace: Duration::from_secs(3),
            term_grace: Duration::from_secs(2),
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The same with one more variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

#[derive(Debug)]
struct Host {
    directory: PathBuf,
    instance: String,
    groups: Option<ControlGroups>,
    /// Locked for as long as this engine lives.
    _lock: File,
    next: AtomicU64,
    living: Mutex<BTreeMap<u32, Living>>,
    /// Processes that are there or being started, and directories that are not yet removed.
    count: watch::Sender<usize>,
    swept: Swept,
}

/// A process that is there.
#[derive(Clone, Copy, Debug)]
struct Living {
    pid: Pid,
    family: bool,
}

impl Host {
    fn living(&self) -> MutexGuard<'_, BTreeMap<u32, Living>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that counts for as long as it lives: also a start that is under way, which has a directory already.
struct Counted(Arc<Host>);

impl Counted {
    fn new(host: &Arc<Host>) -> Self {
        host.count.send_modify(|count| *count += 1);
        Self(Arc::clone(host))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Whatever cannot be removed is swept by the next engine.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Where one engine's processes live. Clones are handles to the same one; two in one process share nothing.
#[derive(Clone, Debug)]
pub struct ProcessHost {
    host: Arc<Host>,
}

impl ProcessHost {
    /// Opens a host whose scratch directories lie below `root`, after sweeping what dead engines have left there:
    /// processes that outlived them, and directories.
    ///
    /// # Errors
    /// [`ProcessError::Scratch`].
    pub fn open(root: &Path) -> Result<Self, ProcessError> {
        Self::open_in(root, None)
    }

    /// The same, with a control group of its own for each process and what it starts.
    ///
    /// # Errors
    /// [`ProcessError::Scratch`].
    pub fn open_in(root: &Path, groups: Option<ControlGroups>) -> Result<Self, ProcessError> {
        let scratch = |source| ProcessError::Scratch { path: root.to_owned(), source };
        let root = std::path::absolute(root).map_err(scratch)?;
        let (directory, lock, swept) = sweep::claim(&root).map_err(scratch)?;
        let instance = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let host = Host {
            directory,
            instance,
            groups,
            _lock: lock,
            next: AtomicU64::new(0),
            living: Mutex::new(BTreeMap::new()),
            count: watch::Sender::new(0),
            swept,
        };
        Ok(Self { host: Arc::new(host) })
    }

    /// What was left by dead engines and has been swept.
    #[must_use]
    pub fn swept(&self) -> &Swept {
        &self.host.swept
    }

    /// The directory that holds the scratch directories of this engine.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.host.directory
    }

    /// Starts a process for `name`, which is only a name: `pool/slot#generation`.
    ///
    /// # Errors
    /// See [`ProcessError`]. Then nothing is left of it.
    pub async fn spawn(&self, spec: &ProcessSpec, name: &str) -> Result<Process, ProcessError> {
        let (told, born) = oneshot::channel();
        let (counted, spec) = (Counted::new(&self.host), spec.clone());
        let ended = watch::Sender::new(None);
        let end = ended.subscribe();
        let (ask_grace, term_grace) = (spec.ask_grace, spec.term_grace);
        std::thread::Builder::new()
            .name(format!("mind {name}"))
            .stack_size(MINDER_STACK)
            .spawn({
                let name = name.to_owned();
                move || mind(&counted, &spec, &name, told, &ended)
            })
            .map_err(ProcessError::Minder)?;
        let mut born =
            born.await.unwrap_or_else(|_| Err(ProcessError::Minder(io::Error::other("the minder ended before the start"))))?;
        born.taken = true;
        let group = Group { pid: born.pid, buried: Arc::clone(&born.buried), end };
        Ok(Process {
            group,
            scratch: std::mem::take(&mut born.scratch),
            stdin: born.stdin.take(),
            stdout: born.stdout.take(),
            stderr: born.stderr.take(),
            socket: born.socket.take(),
            ask_grace,
            term_grace,
        })
    }

    /// Waits until no process is left.
    pub async fn empty(&self) {
        let mut count = self.host.count.subscribe();
        // The sender lives in `self`.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

impl ProcessHost {
    /// Waits until no process is left, and removes this engine's directory: to be called last. An engine that ends without
    /// that leaves it to whoever drops the last handle, or to the next engine.
    pub async fn close(&self) {
        self.empty().await;
        if let Err(error) = std::fs::remove_dir_all(&self.host.directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.host.directory.display(), "a directory is left for the next sweep");
        }
    }
}

impl ProcessList for ProcessHost {
    fn pids(&self) -> Vec<u32> {
        let living: Vec<(u32, Living)> = self.host.living().iter().map(|(id, living)| (*id, *living)).collect();
        let families: Vec<Pid> = living.iter().filter(|(_, living)| living.family).map(|(_, living)| living.pid).collect();
        let mut pids: Vec<u32> = living.into_iter().map(|(id, _)| id).collect();
        if !families.is_empty() {
            pids.extend(groups().filter(|(_, group)| families.contains(group)).map(|(pid, _)| pid));
            pids.sort_unstable();
            pids.dedup();
        }
        pids
    }
}

/// A minder calls a handful of functions and waits. But what it removes in the end may be nested as deeply as its child
/// liked, and is removed recursively; what is not touched costs nothing.
const MINDER_STACK: usize = 16 << 20;

/// What the minder tells of a start.
struct Born {
    pid: Pid,
    scratch: PathBuf,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    socket: Option<UnixStream>,
    buried: Arc<Mutex<bool>>,
    taken: bool,
}

/// A start whose caller went in the last moment leaves nobody behind.
impl Drop for Born {
    fn drop(&mut self) {
        if !self.taken {
            signal(self.pid, &self.buried, Signal::KILL);
        }
    }
}

type Told = oneshot::Sender<Result<Born, ProcessError>>;

/// The whole life of one process, on a thread of its own.
fn mind(Counted(host): &Counted, spec: &ProcessSpec, name: &str, told: Told, ended: &watch::Sender<Option<ExitStatus>>) {
    let number = host.next.fetch_add(1, Ordering::Relaxed);
    let scratch = host.directory.join(number.to_string());
    if let Err(source) = std::fs::create_dir(&scratch) {
        // Whoever wanted it may have gone.
        let _ = told.send(Err(ProcessError::Scratch { path: scratch, source }));
        return;
    }
    let started = command(host, spec, &scratch).and_then(|(mut command, socket)| Ok((command.spawn()?, socket)));
    let (mut child, socket) = match started {
        Ok(started) => started,
        Err(source) => {
            // It is empty, and this takes no descriptor: there may be none left.
            let _ = std::fs::remove_dir(&scratch);
            let _ = told.send(Err(ProcessError::Start { program: spec.program.clone(), source }));
            return;
        }
    };
    let (pid, buried) = (Pid::from_child(&child), Arc::new(Mutex::new(false)));
    let own_group = host.groups.as_ref().and_then(|groups| grouped(groups, spec, name, pid, child.id()));
    host.living().insert(child.id(), Living { pid, family: spec.family });
    let born = Born {
        pid,
        scratch: scratch.clone(),
        stdin: child.stdin.take(),
        stdout: child.stdout.take(),
        stderr: child.stderr.take(),
        socket,
        buried: Arc::clone(&buried),
        taken: false,
    };
    // If nobody wants it any more, it is killed as it is dropped.
    drop(told.send(Ok(born)));
    // Its end, but not yet its burial: as long as it is not reaped, its number names its group and nothing else.
    let seen = loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            seen => break seen,
        }
    };
    if let Err(error) = seen {
        tracing::error!(%error, pid = pid.as_raw_nonzero().get(), "failed to wait for a process");
    }
    // The others of its group may take a moment to go, and may write as long as they are there.
    for _ in 0..GROUP_WAITS {
        kill_group(pid, Signal::KILL);
        own_group.as_ref().inspect(|group| group.kill());
        if running(pid) == 0 && own_group.as_ref().is_none_or(TreeGroup::is_empty) {
            break;
        }
        std::thread::park_timeout(GROUP_WAIT);
    }
    host.living().remove(&child.id());
    let status = {
        let mut buried = buried.lock().unwrap_or_else(PoisonError::into_inner);
        *buried = true;
        child.wait()
    };
    let remove = || {
        // What is in the way of one is not in the way of the other.
        let group = own_group.as_ref().map_or(Ok(()), TreeGroup::remove);
        match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => group,
        }
    };
    let mut removed = remove();
    // One that could not be waited for has no status, and is gone all the same.
    ended.send_replace(Some(status.unwrap_or_default()));
    // What is in the way may pass: no descriptors left, somebody who still writes.
    for _ in 0..REMOVALS {
        if removed.is_ok() {
            break;
        }
        std::thread::park_timeout(REMOVAL);
        removed = remove();
    }
    if let Err(error) = removed {
        tracing::warn!(%error, path = %scratch.display(), "a scratch directory, or a control group, is left for the next sweep");
    }
}

/// A control group with the process in it, and with whatever it has started since it was born.
fn grouped(groups: &ControlGroups, spec: &ProcessSpec, name: &str, pid: Pid, first: u32) -> Option<TreeGroup> {
    let group = groups.open(name, spec.memory)?;
    // One that starts no others has none to look for.
    let others = || if spec.family { members(pid) } else { Vec::new() };
    if let Err(error) = group.take_in_all(first, others) {
        groups.failed(name, &error);
    }
    Some(group)
}

#[expect(clippy::disallowed_methods, reason = "this is where processes are born")]
fn command(host: &Host, spec: &ProcessSpec, scratch: &Path) -> io::Result<(Command, Option<UnixStream>)> {
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.arguments)
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .env(INSTANCE, &host.instance)
        .env(PARENT, std::process::id().to_string())
        .env(SCRATCH, scratch)
        .env("TMPDIR", scratch)
        .current_dir(scratch)
        .process_group(0);
    let mut socket = None;
    match spec.streams {
        Streams::Closed => command.stdin(Stdio::null()).stdout(Stdio::null()),
        Streams::Piped => command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()),
        Streams::Socket => {
            let (ours, theirs) = UnixStream::pair()?;
            socket = Some(ours);
            command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped())
        }
    };
    Ok((command, socket))
}

/// How often, and how long each time, the rest of a group is waited for.
const GROUP_WAITS: u32 = 500;
const GROUP_WAIT: Duration = Duration::from_millis(2);

/// How often, and how far apart, a scratch directory that cannot be removed is tried again.
const REMOVALS: u32 = 200;
const REMOVAL: Duration = Duration::from_millis(100);

/// What it took to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It ended when it was asked, or before.
    Asked,
    /// It took `SIGTERM`.
    Terminated,
    /// It took `SIGKILL`.
    Killed,
}

/// A process and its group. Dropped, the whole group is killed at once; [`Process::stop`] is the polite way.
pub struct Process {
    group: Group,
    scratch: PathBuf,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    socket: Option<UnixStream>,
    ask_grace: Duration,
    term_grace: Duration,
}

impl Process {
    /// Its number, which is also that of its group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.group.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its scratch directory; removed with it.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Its standard input, if it is piped and has not been taken.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Its standard output, if it is piped and has not been taken.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Its standard error, if it is piped and has not been taken.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.stderr.take()
    }

    /// The socket to it, if it has one and that has not been taken.
    pub fn take_socket(&mut self) -> Option<UnixStream> {
        self.socket.take()
    }

    /// It and all those that it has started, as far as they are of its group.
    #[must_use]
    pub fn family(&self) -> Vec<u32> {
        groups().filter(|(_, group)| *group == self.group.pid).map(|(pid, _)| pid).collect()
    }

    /// A way to end it from outside, for [`Worker::interrupt`](crate::Worker::interrupt).
    #[must_use]
    pub fn interrupter(&self) -> Arc<dyn Interrupt> {
        Arc::new(self.group.clone())
    }

    /// Whether it is over: its group killed, itself reaped, its directory removed if it could be.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        *self.group.end.borrow()
    }

    /// Waits until it is over.
    pub async fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = *self.group.end.borrow_and_update() {
                return status;
            }
            if self.group.end.changed().await.is_err() {
                // The minder tells before it ends; one that panicked leaves nothing to know.
                return self.group.end.borrow().unwrap_or_default();
            }
        }
    }

    /// Ends it step by step: its standard input, or the socket to it, is closed, which asks it; then `SIGTERM`, then `SIGKILL`, to the whole
    /// group. Takes at most both graces and the time of a kill.
    pub async fn stop(mut self) -> (Farewell, ExitStatus) {
        self.stdin = None;
        self.socket = None;
        let (ask, term) = (self.ask_grace, self.term_grace);
        if let Ok(status) = timeout(ask, self.wait()).await {
            return (Farewell::Asked, status);
        }
        self.group.signal(Signal::TERM);
        // One that was stopped hears it only when it goes on.
        self.group.signal(Signal::CONT);
        if let Ok(status) = timeout(term, self.wait()).await {
            return (Farewell::Terminated, status);
        }
        self.group.signal(Signal::KILL);
        (Farewell::Killed, self.wait().await)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.kill();
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("pid", &self.pid()).field("scratch", &self.scratch).finish_non_exhaustive()
    }
}

//! Freezes threads of another process, as a fault of the kernel or of a lock would: they are there, and never go on. Signals
//! cannot do that, they stop all threads or none; a debugger can.

#![expect(unsafe_code, reason = "ptrace has no safe wrapper here")]

use std::collections::BTreeSet;
use std::io;
use std::ptr::null_mut;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Threads that are frozen until this is dropped, and those that are started meanwhile.
pub(crate) struct Frozen {
    thaw: Option<SyncSender<()>>,
    tracer: Option<JoinHandle<usize>>,
}

impl Frozen {
    /// Freezes all threads of `pid` whose names begin with `name`. `None` if that is not allowed here.
    pub(crate) fn threads(pid: u32, name: &'static str) -> Option<Self> {
        let ((thaw, thawed), (tell, told)) = (sync_channel(1), sync_channel(1));
        // Threads belong to the thread that traces them, and go on when that one ends.
        let tracer = std::thread::spawn(move || {
            let mut frozen = BTreeSet::new();
            loop {
                for thread in named(pid, name) {
                    if frozen.contains(&thread) {
                        continue;
                    }
                    match trace(libc::PTRACE_SEIZE, thread).and_then(|()| trace(libc::PTRACE_INTERRUPT, thread)) {
                        Ok(()) => drop(frozen.insert(thread)),
                        // It has ended meanwhile.
                        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                        Err(error) => {
                            let _ = tell.try_send(Err(error));
                            return frozen.len();
                        }
                    }
                }
                let _ = tell.try_send(Ok(()));
                match thawed.recv_timeout(Duration::from_millis(2)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return frozen.len(),
                }
            }
        });
        let allowed = matches!(told.recv(), Ok(Ok(())));
        let frozen = Self { thaw: Some(thaw), tracer: Some(tracer) };
        allowed.then_some(frozen)
    }

    /// Lets them go on. Returns how many there were.
    pub(crate) fn thaw(mut self) -> usize {
        self.end()
    }

    fn end(&mut self) -> usize {
        self.thaw = None;
        self.tracer.take().map_or(0, |tracer| tracer.join().expect("no panic"))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.end();
    }
}

fn trace(request: libc::c_uint, thread: libc::pid_t) -> io::Result<()> {
    let nothing = null_mut::<libc::c_void>();
    // SAFETY: both requests take no address, and of data no options; nothing is written to this process.
    match unsafe { libc::ptrace(request, thread, nothing, nothing) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn named(pid: u32, start: &str) -> Vec<libc::pid_t> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    let named =
        threads.filter(|thread| std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.starts_with(start)));
    named.filter_map(|thread| thread.file_name().to_str()?.parse().ok()).collect()
}

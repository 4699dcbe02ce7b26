//! This program as a worker of its own: the same binary, started again with a hidden argument.

use std::sync::atomic::{AtomicBool, Ordering};

use eventmesh_extractors::browser::{LAUNCHER_ARGUMENT, launch};
use eventmesh_extractors::pdf::{WORKER_ARGUMENT, serve};

/// Whether this program has said that it can be started as a worker.
static CAN_BE_WORKER: AtomicBool = AtomicBool::new(false);

/// Whether this program has said that it can be started as a worker.
pub(crate) fn can_be() -> bool {
    CAN_BE_WORKER.load(Ordering::Relaxed)
}

/// Turns this process into a worker if it was started as one, and never returns then. To be called first thing in `main`, before
/// any thread, by every host application that reads PDFs or renders pages; one that cannot names a program that does, such as
/// `eventmesh`, in [`PdfConfig::program`](crate::PdfConfig::program) and [`BrowserConfig::program`](crate::BrowserConfig::program).
pub fn worker_main() {
    let mut arguments = std::env::args_os().skip(1);
    if let Some(argument) = arguments.next() {
        if argument == WORKER_ARGUMENT {
            std::process::exit(i32::from(serve(arguments, crate::memory::purge)));
        }
        if argument == LAUNCHER_ARGUMENT {
            std::process::exit(i32::from(launch(arguments)));
        }
    }
    CAN_BE_WORKER.store(true, Ordering::Relaxed);
}

//! The `eventmesh` binary: allocator, logs, runtime, and then what the command line asks for.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use eventmesh::cli::Cli;
use tracing_subscriber::EnvFilter;

/// Only here: a library leaves the choice of the allocator to its host.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Started by an engine to read PDFs, it is nothing else.
    eventmesh::worker_main();
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("EVENTMESH_LOG").unwrap_or_else(|_| EnvFilter::new(cli.log_level()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // A log that cannot be written must not end the work that it tells of.
        .log_internal_errors(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "failed to start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli.run());
    // A read of a file or of standard input cannot be interrupted and must not hold the process back.
    runtime.shutdown_background();
    code
}

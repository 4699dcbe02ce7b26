//! The `eventmesh` binary: allocator, logs, runtime, and then what the command line asks for.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use eventmesh::cli::{Cli, LogSink, Spans};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// Only here: a library leaves the choice of the allocator to its host.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Started by an engine to read PDFs, it is nothing else.
    eventmesh::worker_main();
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("EVENTMESH_LOG").unwrap_or_else(|_| EnvFilter::new(cli.log_level()));
    let spans = Spans::default();
    log(filter, cli.log_sink(), &spans);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(io_threads()).enable_all();
    #[cfg(feature = "jemalloc")]
    runtime.on_thread_start(eventmesh::memory::keep_pages);
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "failed to start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli.run(spans));
    // A read of a file or of standard input cannot be interrupted and must not hold the process back.
    runtime.shutdown_background();
    code
}

/// Half as many threads as there are cores: what they do is to wait and to pass on. What computes has threads and processes of its
/// own, one for each core, and each thread that is woken besides to look for work takes time from those.
fn io_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// A log that cannot be written must not end the work that it tells of.
///
/// The filter is the log's alone: a daemon that sends spans to a collector makes some that are not logged. Until one does, their
/// layer wants nothing, and what is filtered out costs what it did.
fn log(filter: EnvFilter, sink: LogSink, spans: &Spans) {
    let journal = match sink {
        // A journal that is not there after all is told what it can read.
        LogSink::Journal => tracing_journald::layer().ok().map(|journal| journal.with_field_prefix(Some("EVENTMESH".to_owned()))),
        LogSink::Text | LogSink::Json => None,
    };
    let in_lines = sink == LogSink::Json || (sink == LogSink::Journal && journal.is_none());
    let lines = in_lines.then(|| {
        let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(true);
        lines.with_writer(std::io::stderr).log_internal_errors(false)
    });
    let text = (sink == LogSink::Text).then(|| {
        let text = fmt::layer().with_ansi(std::io::stderr().is_terminal());
        text.with_writer(std::io::stderr).log_internal_errors(false)
    });
    // An option has an `and_then` of its own.
    let written = Layer::<Registry>::and_then(journal, lines).and_then(text).with_filter(filter);
    tracing_subscriber::registry().with(written).with(spans.layer()).init();
}

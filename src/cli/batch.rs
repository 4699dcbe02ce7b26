//! `eventmesh batch`: a list of pages in, a line for each out, as they are done.
//!
//! Reading, extracting and writing run side by side; what lies between them is bounded by the concurrency. Every
//! line is written whole as soon as it is done, so whatever happens later, what is done stays done.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::exit::Exit;
use super::extract::{checked_base, request_for};
use super::interrupt::interrupted;
use super::place::{Place, ServerArgs, largest_page};
use super::{EngineArgs, Visitor};
use crate::error::{Error, ErrorKind};
use crate::gate::RouteTaken;
use crate::reply::Timing;
use eventmesh_extractors::Document;
use eventmesh_extractors::pdf::Password;

#[derive(Debug, Args)]
#[command(after_help = "\
Each line of the list is an object:
  {\"id\": \"a1\", \"source\": \"pages/a1.html.gz\", \"base_url\": \"https://example.com/a1\"}
The source is a file or an http or https URL; id is any text or number and comes back; base_url, and the password of a
PDF, may be left out.

Each line of the output is an object, in the order in which pages are done:
  {\"id\": \"a1\", \"status\": \"ok\", \"route\": {...}, \"document\": {...}, \"timing\": {\"total_ms\": 3.1, ...}}
  {\"id\": \"a2\", \"status\": \"error\", \"error\": {\"kind\": \"source_not_found\", \"message\": \"...\"}}

Examples:
  eventmesh batch pages.ndjson -o results.ndjson
  eventmesh batch --server https://mesh.example --key-file key pages.ndjson -o results.ndjson
  jq -c '{id: .name, source: .url}' sites.json | eventmesh batch - | jq .document.title")]
pub(crate) struct BatchArgs {
    /// The list, one JSON object a line, or - for standard input
    list: String,
    /// Where results go [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Pages at work at once [default: two per worker]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: Option<u32>,
    /// Asks sites for what their robots.txt does not allow, too; with --server, if the daemon does so
    #[arg(long, conflicts_with = "robots")]
    ignore_robots: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// A line of the list longer than this is not a line of a list.
const LONGEST_LINE: u64 = 1 << 20;

/// How long the last lines may take to go out after an interrupt.
const LAST_LINES: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: serde_json::Value,
    source: String,
    base_url: Option<String>,
    password: Option<Password>,
}

#[derive(Debug, Serialize)]
struct Line {
    id: serde_json::Value,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Box<RouteTaken>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timing: Option<Timing>,
}

impl Line {
    fn failed(id: serde_json::Value, error: Error) -> Self {
        Self { id, status: "error", route: None, document: None, error: Some(error), timing: None }
    }
}

/// What the list says next.
enum Listed {
    Item(Item),
    /// A line that is no item, with its number for an id.
    Broken {
        number: u64,
        why: String,
    },
    /// The list itself cannot be read any further.
    Unreadable(std::io::Error),
}

pub(crate) async fn run(arguments: BatchArgs) -> Result<(), Exit> {
    let (list, list_entry): (Box<dyn Read + Send>, _) = if arguments.list == "-" {
        (Box::new(std::io::stdin()), standard_input())
    } else {
        let file = File::open(&arguments.list).map_err(|error| Exit::unreadable(&arguments.list, &error))?;
        let entry = file.metadata().ok();
        (Box::new(file), entry)
    };
    // Before any work is done: an output that cannot be written makes all of it pointless.
    let (output, output_name): (Box<dyn Write + Send>, _) = match &arguments.output {
        None => (Box::new(std::io::stdout()), "to standard output".to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let file = create(path, list_entry.as_ref()).map_err(|error| Exit::unwritable(&name, &error))?;
            let file = file.ok_or_else(|| Exit::usage(format!("{name} is the list itself; results need another file")))?;
            (Box::new(file), name)
        }
    };
    let mut config = arguments.engine.config_of(Visitor::Robot)?;
    config.fetch.robots &= !arguments.ignore_robots;
    let concurrency = arguments.concurrency.unwrap_or(config.workers.saturating_mul(2)).max(1);
    // What is at work is bounded by the concurrency; the engine must not refuse its own batch.
    config.max_requests = config.max_requests.max(concurrency as usize);
    // A compressed page is held twice for a moment.
    let largest = config.max_page_bytes + config.fetch.wire_bytes;
    config.max_admitted_bytes = config.max_admitted_bytes.max(u64::from(concurrency) * largest);
    config.pdf.max_bytes = config.pdf.max_bytes.max(u64::from(concurrency) * crate::pdf::expected_bytes(config.max_page_bytes));
    let concurrency = concurrency as usize;
    let client = arguments.server.client()?;
    // A daemon that is not there, or does not let us in, is told of before anything of the list has failed for that.
    largest_page(client.as_ref(), &config).await?;
    let place = Place::start(client, config).await?;

    let (items, mut listed) = mpsc::channel(concurrency);
    let (results, done) = mpsc::channel(concurrency);
    let reader = std::thread::Builder::new().name("batch-reader".to_owned()).spawn(move || read(list, &items));
    let writer = std::thread::Builder::new().name("batch-writer".to_owned()).spawn(move || write(output, done));
    let (_reader, writer) = match (reader, writer) {
        (Ok(reader), Ok(writer)) => (reader, writer),
        (Err(error), _) | (_, Err(error)) => return Err(Exit::fault("failed to start a thread", error)),
    };

    let progress = Progress::new();
    let mut work = Work::default();
    let mut at_work = JoinSet::new();
    let mut interrupt = pin!(interrupted());
    let mut list_is_open = true;
    let ended = loop {
        if !list_is_open && at_work.is_empty() {
            break Ended::Done;
        }
        let line = tokio::select! {
            biased;
            () = &mut interrupt => break Ended::Interrupted,
            Some(finished) = at_work.join_next() => match finished {
                Ok(line) => line,
                // The engine contains panics; this would be one of the few lines of `one`.
                Err(error) => break Ended::Lost(error),
            },
            next = listed.recv(), if list_is_open && at_work.len() < concurrency => match next {
                Some(Listed::Item(item)) => {
                    at_work.spawn(one(place.clone(), item));
                    continue;
                }
                Some(Listed::Broken { number, why }) => {
                    let message = format!("line {number} of the list is not an item: {why}");
                    Line::failed(number.into(), Error::new(ErrorKind::InvalidRequest, message))
                }
                Some(Listed::Unreadable(error)) => {
                    work.list_error = Some(error);
                    continue;
                }
                None => {
                    list_is_open = false;
                    continue;
                }
            },
        };
        work.count(&line);
        progress.show(&work);
        let sent = tokio::select! {
            biased;
            () = &mut interrupt => break Ended::Interrupted,
            sent = results.send(line) => sent,
        };
        // The writer goes away only by an error of its own, which it will tell.
        if sent.is_err() {
            break Ended::Done;
        }
    };
    at_work.abort_all();
    drop((results, at_work));
    place.leave().await;
    let writing = tokio::task::spawn_blocking(move || writer.join());
    let written = if matches!(ended, Ended::Interrupted) {
        // Nobody may be reading what is written; what does not go out soon never will.
        match timeout(LAST_LINES, writing).await {
            Ok(written) => written,
            Err(_) => return Err(Exit::interrupted()),
        }
    } else {
        writing.await
    };
    progress.end(&work);
    match written {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => return Err(Exit::unwritable(output_name, &error)),
        Ok(Err(panic)) => return Err(Exit::crashed("the writer of results", &eventmesh_actors::panic_text(&*panic))),
        Err(error) => return Err(Exit::fault("failed to end the writer of results", error)),
    }
    match (ended, work.list_error) {
        (Ended::Interrupted, _) => Err(Exit::interrupted()),
        (Ended::Lost(error), _) => Err(Exit::fault("failed to work on a page", error)),
        (Ended::Done, Some(error)) => Err(Exit::unreadable(arguments.list, &error)),
        (Ended::Done, None) if work.failed > 0 => Err(Exit::some_failed()),
        (Ended::Done, None) => Ok(()),
    }
}

/// What standard input is, if it is open.
fn standard_input() -> Option<Metadata> {
    let input = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    File::from(input).metadata().ok()
}

/// Opens the output empty. `None` if it is the list, which that would destroy.
fn create(path: &Path, list: Option<&Metadata>) -> std::io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    let entry = file.metadata()?;
    if list.is_some_and(|list| list.is_file() && (list.dev(), list.ino()) == (entry.dev(), entry.ino())) {
        return Ok(None);
    }
    if entry.is_file() {
        file.set_len(0)?;
    }
    Ok(Some(file))
}

/// Why the work stopped.
enum Ended {
    Done,
    Interrupted,
    Lost(tokio::task::JoinError),
}

#[derive(Debug, Default)]
struct Work {
    done: u64,
    failed: u64,
    list_error: Option<std::io::Error>,
}

impl Work {
    fn count(&mut self, line: &Line) {
        match &line.error {
            None => self.done += 1,
            Some(error) => {
                self.failed += 1;
                tracing::warn!(id = %line.id, kind = %error.kind(), %error, "page failed");
            }
        }
    }
}

/// Extracts one item. Every reply ends, wherever it comes from, so there is a line for every item.
async fn one(place: Place, item: Item) -> Line {
    let mut request = request_for(&item.source);
    if let Some(base_url) = &item.base_url {
        match checked_base(base_url) {
            Ok(base_url) => request = request.base_url(base_url),
            // The page is worth more than its links: those stay relative.
            Err(why) => tracing::warn!(id = %item.id, why, "base URL is left out"),
        }
    }
    if let Some(password) = item.password {
        request = request.password(password);
    }
    match place.answer_in_time(request).await {
        Ok(answer) => Line {
            id: item.id,
            status: "ok",
            route: answer.route,
            document: Some(answer.document),
            error: None,
            timing: Some(answer.timing),
        },
        Err(error) => Line::failed(item.id, error),
    }
}

/// Reads the list on a thread of its own: a pipe may keep it waiting for ever.
fn read(list: Box<dyn Read + Send>, items: &mpsc::Sender<Listed>) {
    let mut list = BufReader::new(list);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let listed = match list.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) if line.len() as u64 > LONGEST_LINE => {
                let skipped = skip_line(&mut list);
                let why = format!("it is longer than {} MiB", LONGEST_LINE >> 20);
                skipped.map_or_else(Listed::Unreadable, |()| Listed::Broken { number, why })
            }
            Ok(_) if line.trim_ascii().is_empty() => continue,
            Ok(_) => match serde_json::from_slice(&line) {
                Ok(item) => Listed::Item(item),
                Err(error) => Listed::Broken { number, why: error.to_string() },
            },
            Err(error) => Listed::Unreadable(error),
        };
        let last = matches!(listed, Listed::Unreadable(_));
        if items.blocking_send(listed).is_err() || last {
            return;
        }
    }
}

fn skip_line(list: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = list.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        list.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Writes lines on a thread of its own, whole and at once.
fn write(output: Box<dyn Write + Send>, mut done: mpsc::Receiver<Line>) -> std::io::Result<()> {
    let mut output = BufWriter::with_capacity(256 << 10, output);
    while let Some(line) = done.blocking_recv() {
        serde_json::to_writer(&mut output, &line)?;
        output.write_all(b"\n")?;
        // While more is ready it is written together; as soon as nothing is, what is done is out.
        if done.is_empty() {
            output.flush()?;
        }
    }
    output.flush()
}

/// Progress on standard error, if somebody looks at it.
struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar }
    }

    fn show(&self, work: &Work) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} done, {} failed", work.done, work.failed));
        }
    }

    fn end(&self, work: &Work) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        tracing::info!(done = work.done, failed = work.failed, "batch is over");
    }
}

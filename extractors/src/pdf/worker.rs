//! The worker that a pool lends out: a process that is there when it is needed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::process::{ProcessHost, ProcessSpec, Streams};
use eventmesh_actors::{
    ChildId, Failure, HangPolicy, Interrupt, Phase, PhaseBudget, Progress, Usage, Worker, is_shortage, spawn_named,
};
use eventmesh_guest::{Attachment, Field, Page, PdfFacts};
use eventmesh_pdf::Info;
use rustix::process::Signal;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout_at};

use super::client::Client;
use super::confine::Confinement;
use super::error::PdfError;
use super::limits::PdfLimits;
use super::password::Password;
use super::protocol::{Ask, End, Frame, Refusal, Task, Told};
use super::serve::{Settings, WORKER_ARGUMENT};

/// The program of a worker's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PdfProgram {
    /// This one: it has said that it can be started as a worker.
    ThisOne,
    /// Another one that can be: such as `eventmesh` itself.
    At(PathBuf),
}

/// What PDF workers are started from.
#[derive(Clone, Debug)]
pub struct PdfSpec {
    /// The program of the process.
    pub program: PdfProgram,
    /// libpdfium, by its path.
    pub library: PathBuf,
    /// Directories of fonts that may be read, for documents that lack their own. Default none.
    pub fonts: Vec<String>,
    /// What a process may use.
    pub limits: PdfLimits,
    host: ProcessHost,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// One document at a time may have the larger limit.
    large: Semaphore,
    /// When there was work last: only then a new worker starts its process at once.
    worked: Mutex<Option<Instant>>,
    /// How the last process that came up is confined.
    confinement: Mutex<Option<Confinement>>,
}

impl PdfSpec {
    /// Workers of `program` with `library`, whose processes `host` minds.
    #[must_use]
    pub fn new(program: PdfProgram, library: PathBuf, host: ProcessHost, limits: PdfLimits) -> Self {
        let shared = Shared { large: Semaphore::new(1), worked: Mutex::new(None), confinement: Mutex::new(None) };
        Self { program, library, fonts: Vec::new(), limits, host, shared: Arc::new(shared) }
    }

    /// How the last process that came up is confined; none as long as none has.
    #[must_use]
    pub fn confinement(&self) -> Option<Confinement> {
        self.shared.confinement.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a process, as for a worker, and lets it go again. Returns how long it took to be ready, and how it is confined.
    ///
    /// # Errors
    /// See [`PdfError`].
    pub async fn try_out(&self) -> Result<(Duration, Confinement), PdfError> {
        let began = Instant::now();
        let child = ChildId { pool: "trial".into(), slot: 0, generation: 1 };
        let client = self.start(&child, self.limits.address_space).await?;
        let (ready, confinement) = (began.elapsed(), client.confinement.clone());
        client.stop().await;
        Ok((ready, confinement))
    }

    /// When a job is taken for hanging: opening takes longer than a page.
    #[must_use]
    pub fn hang_policy() -> HangPolicy {
        let phase = |name, seconds| PhaseBudget { name, budget: Some(Duration::from_secs(seconds)) };
        // Nothing is heard of a picture before it is drawn; its deadline counts.
        let [waiting, draw] = ["start", "draw"].map(|name| PhaseBudget { name, budget: None });
        HangPolicy { phases: vec![waiting, phase("open", 15), phase("page", 5), draw], ..HangPolicy::DEADLINE_ONLY }
    }

    fn process(&self, address_space: u64) -> ProcessSpec {
        let program = match &self.program {
            // Also if the file has been replaced or removed since.
            PdfProgram::ThisOne => PathBuf::from("/proc/self/exe"),
            PdfProgram::At(path) => path.clone(),
        };
        let settings = Settings {
            address_space,
            open_files: self.limits.open_files,
            library: self.library.clone(),
            fonts: self.fonts.clone(),
        };
        let mut spec = ProcessSpec::new(program).argument(WORKER_ARGUMENT);
        spec.arguments.extend(settings.arguments());
        spec.streams = Streams::Socket;
        // One arena, since there is one thread; nothing is kept that is not asked to be.
        const JEMALLOC: &str = "narenas:1,background_thread:false";
        // jemalloc has one name where it is only Rust's allocator, and another where it is also C's.
        spec = spec.variable("MALLOC_ARENA_MAX", "1").variable("_RJEM_MALLOC_CONF", JEMALLOC).variable("MALLOC_CONF", JEMALLOC);
        spec
    }

    async fn start(&self, child: &ChildId, address_space: u64) -> Result<Client, PdfError> {
        let client = Client::start(&self.host, &self.process(address_space), &child.to_string()).await?;
        let mut known = self.shared.confinement.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != Some(&client.confinement) {
            if !client.confinement.is_full() {
                tracing::warn!(confinement = %client.confinement, "PDF workers are less confined than they could be");
            }
            *known = Some(client.confinement.clone());
        }
        Ok(client)
    }
}

const OPEN: Phase = Phase(1);
const PAGE: Phase = Phase(2);
const DRAW: Phase = Phase(3);

/// What to do with a document.
#[derive(Clone, Debug, PartialEq)]
pub enum PdfTask {
    /// Its content, page by page.
    Extract {
        /// With its images as files.
        images: bool,
    },
    /// One page as a PNG.
    Render {
        /// From 1.
        page: u32,
        /// Dots per inch.
        dpi: f32,
    },
}

/// One document.
#[derive(Debug)]
pub struct PdfJob {
    /// The file.
    pub document: Bytes,
    /// What to do.
    pub task: PdfTask,
    /// Its password.
    pub password: Option<Password>,
    /// By when it has to be done.
    pub deadline: Instant,
    /// Where what is found goes; bounded, and waited for.
    pub out: mpsc::Sender<PdfOutput>,
    /// Pages, or bytes of a picture, that have gone out, over all tries of this document.
    pub sent: Arc<AtomicU64>,
}

/// What is found, as it is found.
#[derive(Debug)]
pub enum PdfOutput {
    /// The document is open.
    Opened(Box<Opened>),
    /// A page.
    Page(Box<Page>),
    /// A part of a picture.
    Picture(Vec<u8>),
}

/// What a document says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opened {
    /// In its own words.
    pub info: Info,
    /// What only a PDF has; form fields, and files attached to pages, come at the end.
    pub facts: PdfFacts,
}

/// The end of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PdfDone {
    /// Its form fields.
    pub fields: Vec<Field>,
    /// Files that are attached to places on its pages.
    pub attachments: Vec<Attachment>,
    /// Why it is not all there, if it is not.
    pub incomplete: Option<String>,
    /// Width and height of the picture, if one was asked for.
    pub picture: Option<(u32, u32)>,
    /// How long it took, without waiting for a worker.
    pub ran: Duration,
}

/// A worker that reads PDFs in a process of its own.
#[derive(Debug)]
pub struct PdfWorker {
    spec: PdfSpec,
    child: ChildId,
    seat: Arc<Mutex<Seat>>,
    interrupt: Arc<Killer>,
    resident: u64,
    peak: u64,
    healthy: bool,
}

/// Where the process waits between two documents.
#[derive(Debug, Default)]
struct Seat {
    client: Option<Client>,
    /// When it sat down.
    since: Option<Instant>,
    /// Whether somebody sees to it that it does not sit there for ever.
    minded: bool,
}

/// Kills the process at work, from outside.
#[derive(Debug, Default)]
struct Killer(Mutex<Option<Arc<dyn Interrupt>>>);

impl Interrupt for Killer {
    fn interrupt(&self) {
        // Nothing in the process could be interrupted; whoever waits for it sees its end at once.
        self.kill();
    }

    fn kill(&self) {
        if let Some(process) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            process.kill();
        }
    }
}

impl Worker for PdfWorker {
    type Spec = PdfSpec;
    type Job = PdfJob;
    type Output = PdfDone;
    type Error = PdfError;

    /// The process comes with the first document, unless there is work already.
    async fn start(spec: &PdfSpec, child: &ChildId) -> Result<Self, PdfError> {
        let worker = Self {
            spec: spec.clone(),
            child: child.clone(),
            seat: Arc::default(),
            interrupt: Arc::default(),
            resident: 0,
            peak: 0,
            healthy: true,
        };
        let worked = *spec.shared.worked.lock().unwrap_or_else(PoisonError::into_inner);
        if worked.is_some_and(|worked| worked.elapsed() < spec.limits.idle) {
            // If that fails, the next document will tell; the pool must not count it twice.
            match spec.start(child, spec.limits.address_space).await {
                Ok(client) => worker.seat(client),
                Err(error) => tracing::warn!(%error, %child, "a PDF worker's process did not start"),
            }
        }
        Ok(worker)
    }

    async fn run(&mut self, job: PdfJob, progress: &Progress) -> Result<PdfDone, Failure<PdfError>> {
        *self.spec.shared.worked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        // Whatever ends this early leaves no process that is still at it: it is dropped, and killed by that.
        self.healthy = false;
        let began = Instant::now();
        let limits = self.spec.limits;
        let mut result = self.attempt(&job, progress, limits.address_space).await;
        if starved(&result) {
            tracing::info!(child = %self.child, "a PDF needs more memory, and is tried again alone with more");
            result = self.again(&job, progress).await;
        } else if let Err(error @ (PdfError::Ended { .. } | PdfError::Protocol { .. })) = &result {
            // Killed by others, or by a fault that may not come again. Not the pool's to try: however many documents end their
            // processes, no worker is to blame.
            tracing::warn!(child = %self.child, %error, "a PDF is tried again");
            result = self.attempt(&job, progress, limits.address_space).await;
        }
        match result {
            Ok((heard, client)) => {
                self.healthy = true;
                (self.resident, self.peak) = (heard.resident, heard.peak);
                if let Some(client) = client {
                    self.seat(client);
                }
                heard.done.map(|done| PdfDone { ran: began.elapsed(), ..done }).map_err(Failure::Job)
            }
            // The machine has none left to give: another worker would not get one either, and this one is well.
            Err(error @ PdfError::Process(_)) if is_shortage(&error) => {
                self.healthy = true;
                Err(Failure::Job(error))
            }
            // There is no process to be had: perhaps there is one for another worker.
            Err(error @ (PdfError::Process(_) | PdfError::NotReady { .. })) => Err(Failure::Worker(error)),
            Err(error) => Err(Failure::Job(error)),
        }
    }

    fn usage(&self) -> Usage {
        Usage { bytes: self.resident, last_job_bytes: self.peak, healthy: self.healthy }
    }

    fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        Some(Arc::clone(&self.interrupt) as Arc<dyn Interrupt>)
    }

    async fn stop(self) {
        let client = self.seat.lock().unwrap_or_else(PoisonError::into_inner).client.take();
        if let Some(client) = client {
            client.stop().await;
        }
    }
}

/// The signal that a process ended by.
fn signal(error: &PdfError) -> Option<Signal> {
    use std::os::unix::process::ExitStatusExt;
    let PdfError::Ended { status, .. } = error else { return None };
    Signal::from_named_raw(status.signal()?)
}

/// Whether a document wants for memory: its process says so, or ended as allocators and libpdfium end it then.
fn starved(attempt: &Attempt) -> bool {
    match attempt {
        Ok((heard, _)) => matches!(heard.done, Err(PdfError::Memory { .. })),
        Err(error) => ended_starved(error),
    }
}

fn ended_starved(error: &PdfError) -> bool {
    let PdfError::Ended { said, .. } = error else { return false };
    let signal = signal(error);
    // A stack that overflows ends the same way, and more memory does not help it.
    let other = said.contains("stack overflow") || said.contains("panicked");
    !other && signal.is_some_and(|signal| [Signal::ABORT, Signal::TRAP, Signal::ILL].contains(&signal))
}

/// What came of a document in a process that is still there.
struct Heard {
    done: Result<PdfDone, PdfError>,
    resident: u64,
    peak: u64,
}

/// The error is the process's, which is gone then.
type Attempt = Result<(Heard, Option<Client>), PdfError>;

impl PdfWorker {
    /// The second try of a document that needs more memory: with more, and alone.
    async fn again(&self, job: &PdfJob, progress: &Progress) -> Attempt {
        progress.enter(Phase(0));
        let permit = timeout_at(job.deadline, self.spec.shared.large.acquire()).await.map_err(|_| PdfError::Deadline)?;
        let limit = self.spec.limits.large_address_space;
        let result = self.attempt(job, progress, limit).await;
        drop(permit);
        match result {
            Err(error) if ended_starved(&error) => Err(PdfError::Memory { limit }),
            // The process is not kept: the next document is to have the smaller limit.
            Ok((heard, _)) => Ok((Heard { resident: 0, ..heard }, None)),
            Err(error) => Err(error),
        }
    }

    /// The document in a process with that limit.
    async fn attempt(&self, job: &PdfJob, progress: &Progress, address_space: u64) -> Attempt {
        let left = job.deadline.saturating_duration_since(Instant::now());
        let waiting = self.seat.lock().unwrap_or_else(PoisonError::into_inner).client.take();
        let waiting = waiting.filter(|client| address_space == self.spec.limits.address_space && client.is_sound());
        let mut client = match waiting {
            Some(client) => client,
            None => self.spec.start(&self.child, address_space).await?,
        };
        self.watch(Some(client.process.interrupter()));
        let task = match job.task {
            PdfTask::Extract { images } => Task::Extract {
                images,
                most_pages: self.spec.limits.pages,
                skip: u32::try_from(job.sent.load(Ordering::Relaxed)).unwrap_or(u32::MAX),
            },
            PdfTask::Render { page, dpi } => Task::Render { page, dpi, most_pixels: self.spec.limits.pixels },
        };
        let processor = u32::try_from(left.as_secs().saturating_add(1)).unwrap_or(u32::MAX / 2).min(u32::MAX / 2);
        let ask = Ask { task, password: job.password.clone(), bytes: job.document.len() as u64, processor };
        let conversation = async {
            progress.enter(if matches!(job.task, PdfTask::Render { .. }) { DRAW } else { OPEN });
            client.ask(&ask, &job.document, || progress.beat()).await?;
            self.listen(&mut client, job, progress, address_space).await
        };
        let result = timeout_at(job.deadline, conversation).await;
        self.watch(None);
        match result {
            Ok(Ok(heard)) => Ok((heard, Some(client))),
            Ok(Err(error)) => Err(processor_or(error)),
            Err(_) => Err(PdfError::Deadline),
        }
    }

    async fn listen(&self, client: &mut Client, job: &PdfJob, progress: &Progress, limit: u64) -> Result<Heard, PdfError> {
        let (mut picture, mut passed) = (None, 0);
        let protocol = |why: &str| PdfError::Protocol { why: why.to_owned() };
        loop {
            let told = match client.next().await? {
                None => return Err(client.ended().await),
                Some(Frame::Bytes(mut part)) => {
                    progress.beat();
                    // What an earlier try has sent already: the same page is drawn the same way.
                    let known = usize::try_from(job.sent.load(Ordering::Relaxed).saturating_sub(passed)).unwrap_or(usize::MAX);
                    passed += part.len() as u64;
                    part.drain(..known.min(part.len()));
                    if !part.is_empty() {
                        deliver(job, PdfOutput::Picture(part), progress).await?;
                        job.sent.store(passed, Ordering::Relaxed);
                    }
                    continue;
                }
                Some(Frame::Message(told)) => told,
            };
            progress.beat();
            match told {
                Told::Opened { info, facts } => {
                    progress.enter(PAGE);
                    if job.sent.load(Ordering::Relaxed) == 0 {
                        let opened = Opened { info: *info, facts: *facts };
                        deliver(job, PdfOutput::Opened(Box::new(opened)), progress).await?;
                    }
                }
                Told::Read => {}
                Told::Page(page) => {
                    let number = page.number;
                    deliver(job, PdfOutput::Page(page), progress).await?;
                    job.sent.store(u64::from(number), Ordering::Relaxed);
                }
                Told::Picture { width, height } => picture = Some((width, height)),
                Told::Done(End { fields, attachments, incomplete, resident, peak }) => {
                    let done = Ok(PdfDone { fields, attachments, incomplete, picture, ran: Duration::ZERO });
                    return Ok(Heard { done, resident, peak });
                }
                Told::Refused { why, end } => {
                    let done = Err(refused(why, job, limit));
                    return Ok(Heard { done, resident: end.resident, peak: end.peak });
                }
                Told::Ready { .. } | Told::Unfit { .. } => return Err(protocol("it said again that it is ready, or not")),
            }
        }
    }

    fn watch(&self, process: Option<Arc<dyn Interrupt>>) {
        *self.interrupt.0.lock().unwrap_or_else(PoisonError::into_inner) = process;
    }

    /// Keeps the process for the next document, for a while.
    fn seat(&self, client: Client) {
        {
            let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
            seat.client = Some(client);
            seat.since = Some(Instant::now());
            if std::mem::replace(&mut seat.minded, true) {
                return;
            }
        }
        let (seat, idle, child) = (Arc::downgrade(&self.seat), self.spec.limits.idle, self.child.clone());
        spawn_named("pdf worker idle", async move {
            let mut wait = idle;
            let client = loop {
                sleep(wait).await;
                let Some(seat) = seat.upgrade() else { return };
                let mut seat = seat.lock().unwrap_or_else(PoisonError::into_inner);
                let sat = seat.since.map_or(Duration::ZERO, |since| since.elapsed());
                // One that is at work is looked at again when it may have sat for long enough.
                wait = if seat.client.is_some() { idle.saturating_sub(sat) } else { idle };
                if wait.is_zero() {
                    seat.minded = false;
                    break seat.client.take();
                }
            };
            if let Some(client) = client {
                tracing::debug!(%child, "a PDF worker's process leaves, there is nothing to do");
                client.stop().await;
            }
        });
    }
}

/// Hands on what was found. A reader that is slow is not the worker's fault: it goes on as far as the watchdog is concerned.
async fn deliver(job: &PdfJob, output: PdfOutput, progress: &Progress) -> Result<(), PdfError> {
    let send = job.out.send(output);
    tokio::pin!(send);
    loop {
        tokio::select! {
            sent = &mut send => return sent.map_err(|_| PdfError::Unwanted),
            () = sleep(Duration::from_millis(500)) => progress.beat(),
        }
    }
}

/// A process that has used up its time says so by its end.
fn processor_or(error: PdfError) -> PdfError {
    if signal(&error) == Some(Signal::XCPU) { PdfError::Processor } else { error }
}

fn refused(why: Refusal, job: &PdfJob, limit: u64) -> PdfError {
    match why {
        Refusal::Format => PdfError::Format,
        Refusal::Password => PdfError::Password { given: job.password.is_some() },
        Refusal::Security => PdfError::Security,
        Refusal::Empty => PdfError::Empty,
        Refusal::NoPage { page } => PdfError::NoPage { page },
        Refusal::Pixels { page, width, height, most } => PdfError::Pixels { page, width, height, most },
        Refusal::Memory => PdfError::Memory { limit },
        Refusal::Picture { page, why } => PdfError::Picture { page, why },
    }
}

//! PDFs: the pool that reads them, and how their pages become a [`Document`].

use std::time::Duration;

use eventmesh_actors::process::ProcessHost;
use eventmesh_actors::{BackoffSpec, Bus, MemoryLimits, Pool, PoolSpec, RecycleLimits};
use eventmesh_extractors::pdf::{
    Confinement, LibraryMissing, Opened, PdfDone, PdfError, PdfLibrary, PdfProgram, PdfSpec, PdfWorker, continue_text,
};
use eventmesh_extractors::{Document, Page, PdfFacts, word_count};

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::pipeline::{Doing, Late};
use crate::worker;

/// The name of the pool.
pub(crate) const POOL: &str = "pdf";

/// The pool that reads PDFs, or why there is none.
#[derive(Debug)]
pub(crate) struct Pdf {
    state: Result<Ready, Missing>,
}

#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) pool: Pool<PdfWorker>,
    pub(crate) spec: PdfSpec,
    pub(crate) library: PdfLibrary,
}

/// Why PDFs cannot be read.
#[derive(Debug)]
pub(crate) enum Missing {
    Library(LibraryMissing),
    Program,
    Scratch(String),
}

impl Missing {
    fn error(&self) -> Error {
        match self {
            Self::Library(missing) => Error::new(ErrorKind::NotInstalled, missing.to_string()),
            Self::Program => Error::new(
                ErrorKind::NotInstalled,
                "there is no program to read PDFs: the host application calls eventmesh::worker_main() first thing in main, \
                 or names a program that does in pdf.program",
            ),
            Self::Scratch(why) => {
                Error::new(ErrorKind::NotInstalled, format!("PDFs cannot be read without a scratch directory: {why}"))
            }
        }
    }
}

impl Pdf {
    /// Finds what is needed. Nothing is started yet.
    pub(crate) fn new(config: &Config, host: &Result<ProcessHost, String>, bus: &Bus) -> Self {
        Self { state: Self::ready(config, host, bus) }
    }

    fn ready(config: &Config, host: &Result<ProcessHost, String>, bus: &Bus) -> Result<Ready, Missing> {
        let pdf = &config.pdf;
        let library = PdfLibrary::find(pdf.library.as_deref()).map_err(Missing::Library)?;
        let program = match &pdf.program {
            // It is started elsewhere.
            Some(path) => PdfProgram::At(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            None if worker::can_be() => PdfProgram::ThisOne,
            None => return Err(Missing::Program),
        };
        let host = host.clone().map_err(Missing::Scratch)?;
        let mut spec = PdfSpec::new(program, library.path.clone(), host.clone(), pdf.limits);
        spec.fonts = pdf.fonts.iter().map(absolute).collect();
        let limits = MemoryLimits { soft: Some(pdf.limits.resident), ..MemoryLimits::NONE };
        let pool = PoolSpec {
            reserved: config.reserved,
            max_waiting: config.max_requests,
            max_bytes: pdf.max_bytes,
            recycle: RecycleLimits { jobs: Some(pdf.recycle_after), memory: limits, jitter: 0.1, ..RecycleLimits::NEVER },
            restarts: pdf.restarts.clone(),
            // A process is there in milliseconds; waiting longer than that for another try helps nobody.
            backoff: BackoffSpec {
                base: Duration::from_millis(1),
                cap: Duration::from_millis(250),
                reset_after: Duration::from_secs(60),
            },
            hang: PdfSpec::hang_policy(),
            seed: u64::from(std::process::id()),
            ..PoolSpec::new(POOL, pdf.workers)
        };
        let pool = Pool::new(pool, spec.clone(), bus.clone());
        Ok(Ready { pool, spec, library })
    }

    pub(crate) fn get(&self) -> Option<&Ready> {
        self.state.as_ref().ok()
    }

    /// The pool, or the error that a request for a PDF gets.
    pub(crate) fn require(&self) -> Result<&Ready, Error> {
        self.state.as_ref().map_err(Missing::error)
    }

    /// How its processes are confined, once one has come up.
    pub(crate) fn confinement(&self) -> Option<Confinement> {
        self.get()?.spec.confinement()
    }
}

fn absolute(directory: &String) -> String {
    let absolute = std::path::absolute(directory).ok().and_then(|path| path.into_os_string().into_string().ok());
    absolute.unwrap_or_else(|| directory.clone())
}

/// What a PDF is expected to take, in bytes. A rule to begin with; the limits of its process are the guard.
pub(crate) fn expected_bytes(file: u64) -> u64 {
    (1 << 20) + file.saturating_mul(4).min(512 << 20)
}

/// Puts pages together to a document.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    document: Document,
    facts: PdfFacts,
    pages: u32,
    with_text: u32,
    troubled: u32,
    bytes: u64,
}

impl Assembly {
    /// The document is open.
    pub(crate) fn open(&mut self, opened: Opened) {
        let info = opened.info;
        let document = &mut self.document;
        document.title = info.title;
        document.authors = info.author.into_iter().collect();
        document.description = info.subject;
        document.published = info.created;
        document.modified = info.modified;
        document.language = info.language;
        document.metadata.meta = info.other.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        self.facts = opened.facts;
    }

    /// A page has been read; `keep` tells whether its content goes into the whole. Returns the bytes of content so far.
    pub(crate) fn see(&mut self, page: &Page, keep: bool) -> u64 {
        self.pages += 1;
        self.with_text += u32::from(!page.text.is_empty());
        self.troubled += u32::from(page.needs_ocr || page.problem.is_some());
        self.document.word_count = self.document.word_count.saturating_add(word_count(&page.text));
        if !keep {
            return 0;
        }
        let document = &mut self.document;
        for (whole, part, between) in [(&mut document.markdown, &page.markdown, "\n\n"), (&mut document.text, &page.text, "\n")] {
            if page.continues && !whole.is_empty() {
                continue_text(whole, part);
            } else {
                if !whole.is_empty() && !part.is_empty() {
                    whole.push_str(between);
                }
                whole.push_str(part);
            }
        }
        for link in &page.links {
            if !document.links.iter().rev().take(500).any(|known| known.href == link.href) {
                document.links.push(link.clone());
            }
        }
        document.tables.extend(page.tables.iter().cloned());
        self.bytes += held(page);
        self.bytes
    }

    /// Makes a page part of the document.
    pub(crate) fn keep(&mut self, page: Page) {
        self.document.pages.push(page);
    }

    /// All pages are there.
    pub(crate) fn finish(mut self, done: PdfDone, url: Option<String>) -> Document {
        self.facts.fields = done.fields;
        // Some are attached to a page and listed by the document, too.
        for attachment in done.attachments {
            if !self.facts.attachments.contains(&attachment) {
                self.facts.attachments.push(attachment);
            }
        }
        self.facts.incomplete = done.incomplete;
        let share = |part: u32| if self.pages == 0 { 0.0 } else { part as f32 / self.pages as f32 };
        // Pages that are blank are no fault of anybody's; pages that should say something and do not, are.
        self.document.quality = (1.0 - share(self.troubled)) * if self.with_text == 0 { 0.0 } else { 1.0 };
        if self.document.title.is_none() {
            self.document.title = first_heading(&self.document.markdown);
        }
        self.document.url = url;
        self.document.pdf = Some(self.facts);
        self.document
    }
}

/// Bytes that a page takes, roughly: its content is held by itself and in the whole.
fn held(page: &Page) -> u64 {
    let cells = page.tables.iter().flat_map(|table| table.rows.iter().chain([&table.header])).flatten();
    let cells: usize = cells.map(|cell| cell.len() + 24).sum();
    let links: usize = page.links.iter().map(|link| link.href.len() + link.text.len() + 72).sum();
    let twice = page.markdown.len() + page.text.len() + cells + links;
    let notes: usize = page.notes.iter().map(|note| note.text.len() + note.kind.len() + 72).sum();
    let images: usize = page.images.iter().map(|image| image.data.len() + 64).sum();
    (2 * twice + notes + images + size_of::<Page>()) as u64
}

/// The first heading of Markdown, without its markup.
fn first_heading(markdown: &str) -> Option<String> {
    let line = markdown.lines().take(40).find(|line| line.starts_with('#'))?;
    let title = line.trim_start_matches('#').trim().replace('\\', "");
    (!title.is_empty()).then_some(title)
}

/// Why a PDF was not read, as the caller is told it.
pub(crate) fn failure(error: PdfError, late: &Late<'_>) -> Error {
    let kind = match &error {
        PdfError::Deadline => return late(Doing::Reading),
        PdfError::Format | PdfError::Empty => ErrorKind::Malformed,
        PdfError::Password { .. } => ErrorKind::PasswordRequired,
        PdfError::Security => ErrorKind::EncryptionUnsupported,
        PdfError::NoPage { .. } => ErrorKind::InvalidRequest,
        PdfError::Pixels { .. } | PdfError::Memory { .. } | PdfError::Processor => ErrorKind::ResourceLimit,
        PdfError::Picture { .. } | PdfError::Ended { .. } | PdfError::Protocol { .. } => ErrorKind::ExtractionFailed,
        PdfError::Unfit { .. } => ErrorKind::NotInstalled,
        PdfError::NotReady { .. } | PdfError::Process(_) => ErrorKind::Unavailable,
        PdfError::Unwanted => ErrorKind::Internal,
    };
    let message = match &error {
        PdfError::Format | PdfError::Empty | PdfError::Security => format!("the PDF cannot be read: {error}"),
        PdfError::Password { given: false } => {
            "the PDF is encrypted and needs a password; --password or Request::password".to_owned()
        }
        PdfError::Password { given: true } => "the PDF is encrypted, and the password is not the right one".to_owned(),
        PdfError::Memory { limit } => {
            format!("the PDF needs more than {} MiB of memory to be read, the limit for one PDF", limit >> 20)
        }
        PdfError::Ended { .. } => format!("{error}; the PDF is at fault or we are: please report it with the PDF"),
        PdfError::NoPage { .. }
        | PdfError::Pixels { .. }
        | PdfError::Picture { .. }
        | PdfError::Processor
        | PdfError::Deadline
        | PdfError::Unwanted
        | PdfError::Protocol { .. }
        | PdfError::Unfit { .. }
        | PdfError::NotReady { .. }
        | PdfError::Process(_) => error.to_string(),
    };
    let failure = Error::new(kind, message).caused_by(error);
    // There is another one by then, or it is known why not.
    if kind == ErrorKind::Unavailable { failure.retry_after(Error::SOON) } else { failure }
}

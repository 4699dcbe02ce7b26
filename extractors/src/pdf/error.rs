//! Why a PDF was not read.

use std::process::ExitStatus;
use std::time::Duration;

use eventmesh_actors::process::ProcessError;

/// Why a PDF was not read.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// It is no PDF, or broken beyond repair.
    #[error("it is no PDF, or broken beyond repair")]
    Format,
    /// It needs a password, or another one.
    #[error("it is encrypted, and {}", if *given { "the password is not the right one" } else { "no password was given" })]
    Password {
        /// Whether one was given.
        given: bool,
    },
    /// It is encrypted in a way that is not supported.
    #[error("it is encrypted in a way that is not supported")]
    Security,
    /// It has no pages.
    #[error("it has no pages")]
    Empty,
    /// There is no such page.
    #[error("there is no page {page}, or it cannot be read")]
    NoPage {
        /// From 1.
        page: u32,
    },
    /// The picture would be too large.
    #[error("page {page} would be {width} by {height} pixels, and {most} are allowed in all; ask for fewer dots per inch")]
    Pixels {
        /// From 1.
        page: u32,
        /// Pixels across.
        width: u64,
        /// Pixels down.
        height: u64,
        /// Those allowed.
        most: u64,
    },
    /// The picture could not be made.
    #[error("the picture of page {page} could not be made: {why}")]
    Picture {
        /// From 1.
        page: u32,
        /// Why not.
        why: String,
    },
    /// It needs more memory than it may have.
    #[error("it needs more than {} MiB of memory", limit >> 20)]
    Memory {
        /// Bytes of address space that were not enough.
        limit: u64,
    },
    /// It needs more processor time than it may have.
    #[error("it needs more processor time than it may have")]
    Processor,
    /// It was not done by its deadline.
    #[error("it was not done by its deadline")]
    Deadline,
    /// Its reader has gone.
    #[error("nobody waits for it any more")]
    Unwanted,
    /// The process that read it ended.
    #[error("the process ended in the middle of it: {status}{}", if said.is_empty() { String::new() } else { format!(" ({said})") })]
    Ended {
        /// How.
        status: ExitStatus,
        /// The last that it said.
        said: String,
    },
    /// The process did not do its part of the conversation.
    #[error("the process is not to be understood: {why}")]
    Protocol {
        /// What was wrong.
        why: String,
    },
    /// The process cannot work.
    #[error("the process cannot read PDFs: {why}")]
    Unfit {
        /// Why not.
        why: String,
    },
    /// The process was not ready in time.
    #[error("the process was not ready within {within:?}")]
    NotReady {
        /// How long that is.
        within: Duration,
    },
    /// There is no process.
    #[error("there is no process to read it")]
    Process(#[from] ProcessError),
}

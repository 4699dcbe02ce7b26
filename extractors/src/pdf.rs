//! PDFs, read by processes that may be lost.
//!
//! ```text
//!   PdfWorker ── one child of a pool; starts its process when there is work, and lets it go when there is none
//!      │ socket: length-prefixed frames, the document inward, page by page outward
//!      ▼
//!   serve ── the same binary's hidden command: limits, libpdfium, landlock, seccomp; then one document at a time
//!      └─▶ eventmesh-pdf: libpdfium's characters ─▶ our own layout ─▶ pages
//! ```
//!
//! libpdfium is C++ that reads what strangers send. It runs in a process that can be killed at any moment, may allocate only
//! so much, sees no file and no network, and holds nothing that belongs to another request.

mod client;
mod confine;
mod error;
mod library;
mod limits;
mod password;
mod protocol;
mod serve;
#[cfg(test)]
mod tests;
mod trim;
mod worker;

pub use confine::{Confinement, LandlockState};
pub use error::PdfError;
pub use eventmesh_pdf::{Info, RenderSize, continue_text};
pub use library::{LibraryMissing, PINNED, PdfLibrary};
pub use limits::PdfLimits;
pub use password::Password;
pub use serve::{WORKER_ARGUMENT, serve};
pub use worker::{Opened, PdfDone, PdfJob, PdfOutput, PdfProgram, PdfSpec, PdfTask, PdfWorker};

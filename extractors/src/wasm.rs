//! The WASM sandbox: HTML in, [`Document`](crate::Document) out, whatever the page is.
//!
//! ```text
//!   pool ── lends ──▶ child ── WasmWorker ──▶ bounded queue of one ──▶ dedicated thread
//!                                                                        │ for every page
//!                               Sandbox (shared): engine · InstancePre   ▼
//!                               ticker · counters ───────────▶ fresh instance, run, discard
//! ```
//!
//! - A page gets an instance of its own and nothing of it is left behind: instances are made from one
//!   copy-on-write image in about the time of a system call, so there is nothing to gain from reuse.
//! - CPU-bound work runs on dedicated threads, one per worker, never on the runtime's.
//! - A page is held to a deadline (epochs) and to a memory limit; past either it gets a typed error.
//! - Compiled code is kept in a directory that only its owner can write, and is never loaded from elsewhere.

mod artifact;
mod error;
mod sandbox;
mod thread;
mod ticker;
mod worker;

pub use artifact::ArtifactCache;
pub use error::{PageError, SandboxError};
pub use sandbox::{Extracted, Guest, Job, Sandbox, SandboxSpec, SandboxUsage, ThreadHook};
pub use worker::WasmWorker;

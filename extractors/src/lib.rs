//! The workers of EventMesh.
//!
//! - [`wasm`] runs the guest, which turns HTML into a [`Document`], inside a sandbox with a fresh instance for every page.
//! - [`pdf`] reads PDFs in processes of their own, page by page.
//! - [`browser`] renders pages with real Chromium.
//!
//! Each worker implements [`eventmesh_actors::Worker`] and can be supervised by any pool; nothing here fetches, caches or knows
//! a request.

pub use eventmesh_browser as browser;

pub mod pdf;
pub mod wasm;

pub use eventmesh_guest::{
    ABI_VERSION, Attachment, Document, Field, Hints, Image, Json, Link, Metadata, Note, OutlineItem, Page, PageImage, PageType,
    PdfFacts, Table, word_count,
};

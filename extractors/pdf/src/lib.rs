//! PDF to [`Page`](eventmesh_guest::Page)s over libpdfium.
//!
//! ```text
//!   bytes ─▶ Document ─▶ read: marks of one page ─▶ layout: words · rows · tables · columns · paragraphs
//!                                                      └─▶ Pages: headers, headings ─▶ Page, one after the other
//! ```
//!
//! Only characters, their places and what is drawn are taken from libpdfium; words, lines, columns and tables are our own.
//! libpdfium is C++ that reads hostile input: it belongs into a process of its own, with limits. This crate does not know of
//! processes; it is single-threaded, and needs nothing but the bytes.

mod document;
mod form;
mod geometry;
mod layout;
mod library;
mod pages;
mod picture;
mod raw;
mod read;
mod render;
mod text;

pub use document::{Document, Info, OpenError};
pub use layout::block::append as continue_text;
pub use library::{Library, LibraryError};
pub use pages::{Pages, Step};
pub use read::Wanted;
pub use render::{RenderError, RenderSize};

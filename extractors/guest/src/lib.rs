//! HTML to [`Document`]: pure Rust, without IO, without a clock, without a way to fail but to say so.
//!
//! ```text
//!   bytes ─▶ charset ─▶ parse (once) ─▶ facts (what the page says of itself)
//!                            │
//!                            └─▶ select: boilerplate · measure · candidates · choose ─▶ render ─▶ Document
//! ```
//!
//! Natively this is a plain library: to be tested, fuzzed and profiled. Compiled for `wasm32-unknown-unknown`
//! it has no imports at all and is what the sandbox runs (see `abi`). It does not fetch, does not run scripts,
//! and keeps no state between two pages.

mod abi;
mod base64;
mod charset;
mod document;
mod dom;
mod input;
mod json;
mod links;
mod metadata;
mod page_type;
mod parse;
mod quality;
mod render;
mod select;
mod text;

pub use abi::{ABI_VERSION, decode_output, encode_hints};
pub use document::{
    Attachment, Document, Field, Image, Link, Metadata, Note, OutlineItem, Page, PageImage, PageType, PdfFacts, Table,
};
pub use input::Hints;
pub use json::Json;
pub use parse::MAX_DEPTH;
pub use render::escape::{escape as escape_markdown, longest_run, target as markdown_target};
pub use text::word_count;

use crate::dom::NodeId;
use crate::links::Base;
use crate::metadata::Facts;

/// Extracts one page. Any bytes yield a document; what holds no content yields an empty one of quality 0.
#[must_use]
pub fn extract(page: &[u8], hints: &Hints) -> Document {
    let (html, encoding) = charset::decode(page, hints.charset.as_deref());
    let dom = parse::parse(html.as_ref().into());
    let base = Base::of(&dom, hints.base_url.as_deref());
    let facts = Facts::of(&dom);
    let page_type = page_type::page_type(&dom, &facts);
    let selection = select::select(&dom, page_type);
    let rendered = render::markdown::render(&dom, &selection, &base);
    let text = render::plain::render(&dom, &selection);
    let html = hints.html.then(|| render::html::render(&dom, &selection, &base));
    let mut document = Document {
        page_type,
        word_count: word_count(&text),
        markdown: rendered.markdown,
        text,
        html,
        links: links::links(&dom, NodeId::DOCUMENT, &base),
        images: rendered.images,
        tables: rendered.tables,
        charset: encoding.name().to_owned(),
        ..Document::default()
    };
    facts.fill(&mut document, &base, hints.base_url.as_deref());
    document.quality = quality::quality(&document, selection.confidence);
    document
}

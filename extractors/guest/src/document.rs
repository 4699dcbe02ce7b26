//! What comes out: one page as structured content.
//!
//! The same types leave the sandbox, the library, the command line and later HTTP. Field order is the order
//! in JSON. Adding a field changes the layout across the sandbox and needs a new [`crate::ABI_VERSION`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::Json;

/// One page as structured content. Strings are trimmed; what is not known is `None` or empty, never invented.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The page's own canonical address, else the one it was asked for under.
    pub url: Option<String>,
    /// Title of the content, without the site's name where that can be told apart.
    pub title: Option<String>,
    /// Authors' names, in the order found.
    pub authors: Vec<String>,
    /// When it was published, as the page writes it (mostly ISO 8601).
    pub published: Option<String>,
    /// When it was last changed, as the page writes it.
    pub modified: Option<String>,
    /// BCP 47 tag, as declared.
    pub language: Option<String>,
    /// Name of the site.
    pub site_name: Option<String>,
    /// The page's own summary.
    pub description: Option<String>,
    /// What kind of page it is.
    pub page_type: PageType,
    /// The content as GitHub-flavoured Markdown, links absolute.
    pub markdown: String,
    /// The content as plain text: blocks on lines of their own, no markup.
    pub text: String,
    /// The content as clean HTML, if it was asked for.
    pub html: Option<String>,
    /// Links of the whole page in document order, each address once.
    pub links: Vec<Link>,
    /// Images of the content.
    pub images: Vec<Image>,
    /// Data tables of the content; tables that only lay out are not among them.
    pub tables: Vec<Table>,
    /// What the page says about itself.
    pub metadata: Metadata,
    /// Words of `text`; each CJK character counts as one.
    pub word_count: u32,
    /// How far the content can be trusted to be the page's content, 0 (empty) to 1.
    pub quality: f32,
    /// The charset that the bytes were decoded with, by its WHATWG name; empty for what is no text, as a PDF.
    pub charset: String,
    /// The pages of a document that has pages, as a PDF; empty for a web page.
    pub pages: Vec<Page>,
    /// What only a PDF has.
    pub pdf: Option<PdfFacts>,
}

/// One page of a document that has pages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Its place in the document, from 1.
    pub number: u32,
    /// What the document calls it, as "iv" or "A-3", if it does.
    pub label: Option<String>,
    /// Width as shown, in points.
    pub width: f32,
    /// Height as shown, in points.
    pub height: f32,
    /// By how many degrees it is turned clockwise when it is shown: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Its content as GitHub-flavoured Markdown.
    pub markdown: String,
    /// Its content as plain text: blocks on lines of their own, no markup.
    pub text: String,
    /// What is repeated at the top of pages; not part of the content.
    pub header: Option<String>,
    /// What is repeated at the bottom of pages, page numbers included; not part of the content.
    pub footer: Option<String>,
    /// Whether its first paragraph goes on with the last one of the page before.
    pub continues: bool,
    /// Whether there is something to be seen but no text to be read: a scan.
    pub needs_ocr: bool,
    /// Why there is less of it than there should be, if there is.
    pub problem: Option<String>,
    /// Its tables.
    pub tables: Vec<Table>,
    /// Its links.
    pub links: Vec<Link>,
    /// What somebody has noted on it.
    pub notes: Vec<Note>,
    /// Its images, if they were asked for.
    pub images: Vec<PageImage>,
}

/// A note on a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What kind of note, as the format calls it: `text`, `highlight`, `free_text`, …
    pub kind: String,
    /// What it says.
    pub text: String,
    /// Who says it.
    pub author: Option<String>,
}

/// An image on a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageImage {
    /// Where it begins, in points from the page's left.
    pub x: f32,
    /// Where it begins, in points from the page's top.
    pub y: f32,
    /// Width on the page, in points.
    pub width: f32,
    /// Height on the page, in points.
    pub height: f32,
    /// Width of the image itself, in pixels.
    pub pixel_width: u32,
    /// Height of the image itself, in pixels.
    pub pixel_height: u32,
    /// Media type of `data`; none if it could not be read, or is larger than may be.
    pub media_type: Option<String>,
    /// The image as a file, in JSON as Base64.
    #[serde(with = "crate::base64")]
    pub data: Vec<u8>,
}

/// What only a PDF has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PdfFacts {
    /// Version of the format, as "1.7".
    pub version: Option<String>,
    /// Pages that the document says it has.
    pub page_count: u32,
    /// Whether it says what its parts are: headings, paragraphs, tables.
    pub tagged: bool,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Its table of contents, in order.
    pub outline: Vec<OutlineItem>,
    /// Files inside it: those that it lists, and then those attached to places on its pages.
    pub attachments: Vec<Attachment>,
    /// Its form fields.
    pub fields: Vec<Field>,
    /// Why it is not all there, if it is not.
    pub incomplete: Option<String>,
}

/// One entry of a table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlineItem {
    /// What it says.
    pub title: String,
    /// How deep it is, from 1.
    pub level: u8,
    /// The page it leads to, from 1.
    pub page: Option<u32>,
}

/// A file inside a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name, as written; not to be trusted as a path.
    pub name: String,
    /// Its media type, as written.
    pub media_type: Option<String>,
}

/// One field of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its full name.
    pub name: String,
    /// What kind of field: `text`, `checkbox`, `radio`, `choice`, `button` or `signature`.
    pub kind: String,
    /// What is filled in; for a box, `on` or `off`.
    pub value: String,
    /// The page it is on, from 1.
    pub page: u32,
}

/// What kind of page it is, as far as can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageType {
    /// One text with an author's voice: news, blog, encyclopaedia.
    Article,
    /// Reference and manuals.
    Documentation,
    /// A discussion.
    Forum,
    /// One thing for sale.
    Product,
    /// Many like things, each with a link of its own.
    Listing,
    /// None of these, or not to be told.
    #[default]
    Other,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Absolute address; relative only if there was no base to resolve it against.
    pub href: String,
    /// What it says.
    pub text: String,
    /// Its `rel`, as written.
    pub rel: Option<String>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Absolute address; relative only if there was no base to resolve it against.
    pub src: String,
    /// Its alternative text, empty if it has none.
    pub alt: String,
}

/// One data table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its header cells, empty if it has no header row.
    pub header: Vec<String>,
    /// Its rows; shorter ones are as short as they are in the page.
    pub rows: Vec<Vec<String>>,
}

/// What the page says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// `og:*`, `article:*` and the like, by their full name; the first one wins.
    pub open_graph: BTreeMap<String, String>,
    /// The JSON-LD blocks that parse.
    pub json_ld: Vec<Json>,
    /// All other `<meta name>` values; the first one wins.
    pub meta: BTreeMap<String, String>,
}

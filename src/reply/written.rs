//! A document as JSON. Nearly all of it are two or three long strings, and what takes the time is looking for signs in them that
//! must be escaped: that is done many bytes at a time, and all else as it is derived.

use json_escape_simd::escape_into;
use serde::Serialize;

use crate::{Document, Image, Link, Metadata, Page, PageType, PdfFacts, Table};

/// What comes before the strings, in the order of a document's fields.
#[derive(Serialize)]
struct Before<'d> {
    url: &'d Option<String>,
    title: &'d Option<String>,
    authors: &'d [String],
    published: &'d Option<String>,
    modified: &'d Option<String>,
    language: &'d Option<String>,
    site_name: &'d Option<String>,
    description: &'d Option<String>,
    page_type: PageType,
}

/// What comes after them.
#[derive(Serialize)]
struct After<'d> {
    links: &'d [Link],
    images: &'d [Image],
    tables: &'d [Table],
    metadata: &'d Metadata,
    word_count: u32,
    quality: f32,
    charset: &'d str,
    pages: &'d [Page],
    pdf: &'d Option<PdfFacts>,
}

/// Bytes that a document's metadata, links and headings mostly take, as JSON.
const REST: usize = 4 << 10;

/// Writes `document` to the end of `out`, exactly as it would be by itself.
pub(crate) fn write(document: &Document, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    // Whole, so that no field can be forgotten.
    let Document {
        url,
        title,
        authors,
        published,
        modified,
        language,
        site_name,
        description,
        page_type,
        markdown,
        text,
        html,
        links,
        images,
        tables,
        metadata,
        word_count,
        quality,
        charset,
        pages,
        pdf,
    } = document;
    // Mostly enough, so that it does not move while it grows.
    let long = text.len() + markdown.len() + html.as_ref().map_or(0, String::len);
    out.reserve(long + long / 8 + REST);
    let before = Before { url, title, authors, published, modified, language, site_name, description, page_type: *page_type };
    serde_json::to_writer(&mut *out, &before)?;
    // Its closing brace.
    out.pop();
    let mut room = Vec::with_capacity(PIECE * WORST + ROOM);
    out.extend_from_slice(b",\"markdown\":");
    escape(markdown, out, &mut room);
    out.extend_from_slice(b",\"text\":");
    escape(text, out, &mut room);
    out.extend_from_slice(b",\"html\":");
    match html {
        Some(html) => escape(html, out, &mut room),
        None => out.extend_from_slice(b"null"),
    }
    let after = After { links, images, tables, metadata, word_count: *word_count, quality: *quality, charset, pages, pdf };
    let opening = out.len();
    serde_json::to_writer(&mut *out, &after)?;
    out[opening] = b',';
    Ok(())
}

/// Bytes that are escaped at a time. Room is made for the worst that can become of them, which for a whole text would be six times
/// what it mostly takes.
const PIECE: usize = 8 << 10;
const WORST: usize = 6;
/// Quotes, and what is written beyond the end on the way.
const ROOM: usize = 64;

/// Writes `text` to the end of `out` as a string; `room` is used on the way.
fn escape(text: &str, out: &mut Vec<u8>, room: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        rest = after;
        room.clear();
        escape_into(piece, room);
        // Each piece comes in quotes of its own.
        out.extend_from_slice(&room[1..room.len() - 1]);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(document: &Document) {
        let mut written = b"before".to_vec();
        write(document, &mut written).expect("it can be written");
        let derived = serde_json::to_string(document).expect("it can be written");
        assert_eq!(String::from_utf8(written).expect("it is text"), format!("before{derived}"));
    }

    #[test]
    fn it_is_what_is_derived() {
        same(&Document::default());
        let strings = Document { markdown: "# a \"b\"\n".to_owned(), html: Some("<p>\\</p>".to_owned()), ..Document::default() };
        same(&strings);
    }

    #[test]
    fn every_sign_is_escaped_alike_wherever_it_stands() {
        let signs = (0..0x180).chain([0x2028, 0x2029, 0xD7FF, 0xE000, 0xFFFE, 0xFFFF, 0x1F600, 0x10_FFFF]);
        for sign in signs.filter_map(char::from_u32) {
            // Before, at and after the places at which pieces begin.
            for place in [0, 1, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65] {
                let text = format!("{}{sign}{}", "a".repeat(place), "b".repeat(70 - place));
                same(&Document { text, ..Document::default() });
            }
            same(&Document { text: String::from(sign).repeat(67), ..Document::default() });
        }
    }

    #[test]
    fn texts_of_any_length_are_written_alike() {
        let mut rng = fastrand::Rng::with_seed(11);
        // The last are longer than a piece, and have a sign of several bytes where it ends.
        for length in (0..400).chain(PIECE - 8..PIECE + 4) {
            let sign = |rng: &mut fastrand::Rng| match rng.u8(..8) {
                0 => '"',
                1 => '\\',
                2 => rng.char('\0'..' '),
                3 => rng.char(..),
                _ => rng.alphanumeric(),
            };
            let text: String = (0..length).map(|_| sign(&mut rng)).collect();
            same(&Document { markdown: text.clone(), html: Some(text), ..Document::default() });
        }
    }
}

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
    images: &'d [Image],
    tables: &'d [Table],
    metadata: &'d Metadata,
    word_count: u32,
    quality: f32,
    charset: &'d str,
    pages: &'d [Page],
    pdf: &'d Option<PdfFacts>,
}

/// Bytes that a document's metadata, tables and headings mostly take, as JSON.
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
    let of_links: usize = links.iter().map(room_for).sum();
    let of_images: usize = images.iter().map(|image| image.src.len() + image.alt.len() + AROUND).sum();
    out.reserve(long + long / 16 + of_links + of_images + REST + WORST);
    let before = Before { url, title, authors, published, modified, language, site_name, description, page_type: *page_type };
    serde_json::to_writer(&mut *out, &before)?;
    // Its closing brace.
    out.pop();
    out.extend_from_slice(b",\"markdown\":");
    escape(markdown, out);
    out.extend_from_slice(b",\"text\":");
    escape(text, out);
    out.extend_from_slice(b",\"html\":");
    optional(html.as_deref(), out);
    out.extend_from_slice(b",\"links\":[");
    for (number, Link { href, text, rel }) in links.iter().enumerate() {
        out.extend_from_slice(if number == 0 { b"{\"href\":" } else { b",{\"href\":" });
        escape(href, out);
        out.extend_from_slice(b",\"text\":");
        escape(text, out);
        out.extend_from_slice(b",\"rel\":");
        optional(rel.as_deref(), out);
        out.push(b'}');
    }
    out.push(b']');
    let after = After { images, tables, metadata, word_count: *word_count, quality: *quality, charset, pages, pdf };
    let opening = out.len();
    serde_json::to_writer(&mut *out, &after)?;
    out[opening] = b',';
    Ok(())
}

/// Bytes that the names of an entry's fields take.
const AROUND: usize = 32;

fn room_for(link: &Link) -> usize {
    link.href.len() + link.text.len() + link.rel.as_ref().map_or(0, String::len) + AROUND
}

/// Bytes that are escaped at a time. Room is made for the worst that can become of them, which for a whole text would be six times
/// what it mostly takes.
const PIECE: usize = 1 << 10;
const WORST: usize = PIECE * 6 + 64;
/// Bytes of a text that is mostly written sooner as it is than it is looked through many bytes at a time.
const SHORT: usize = 128;

/// Writes `text` to the end of `out` as a string.
fn escape(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
    if text.len() <= SHORT && text.bytes().fold(true, |all, byte| all & plain(byte)) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    let (piece, mut rest) = text.split_at(text.floor_char_boundary(PIECE));
    escape_into(piece, out);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        rest = after;
        // Each piece comes in quotes of its own: the closing one goes, and the next opening one comes where the byte before it is
        // put back.
        let last = [out.pop(), out.pop()][1];
        let at = out.len();
        escape_into(piece, out);
        if let (Some(byte), Some(last)) = (out.get_mut(at), last) {
            *byte = last;
        }
    }
}

fn optional(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => escape(text, out),
        None => out.extend_from_slice(b"null"),
    }
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
        let link = |rel: Option<&str>| Link { href: "/a\"b".to_owned(), text: "c\nd".to_owned(), rel: rel.map(str::to_owned) };
        for links in [vec![link(None)], vec![link(Some("next")), link(None), link(Some("\\"))]] {
            same(&Document { links, ..Document::default() });
        }
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

//! The pages of a document, one after the other, with what can only be told by looking at several.

mod furniture;
mod heading;
mod writer;

use std::collections::VecDeque;
use std::fmt;

use eventmesh_guest::{Attachment, Field, OutlineItem, Page, PageImage, Table};

use crate::document::Document;
use crate::geometry::{Rect, Turn};
use crate::layout::block::Block;
use crate::layout::{Laid, layout, paragraph};
use crate::raw::{Anchor, Picture, RawPage};
use crate::read::{self, Wanted};
use furniture::Furniture;
use heading::Headings;

/// Pages that are read ahead, to see what is repeated on them and which size is usual.
const AHEAD: usize = 6;
/// Characters of the pages held at once, beyond which no more are read ahead.
const HELD: usize = 150_000;
/// Pages in a row that cannot be read, after which the rest is given up: the number of pages is only what the document says.
const UNREADABLE: u32 = 50;

/// One step on the way through a document.
#[derive(Debug)]
pub enum Step {
    /// Another page has been read, and is held until those after it are.
    Read,
    /// The next page.
    Page(Box<Page>),
}

/// A page that waits for the next ones.
struct Held {
    number: u32,
    raw: RawPage,
    laid: Laid,
    glyphs: usize,
    readable: bool,
}

/// The pages of a document in order.
pub struct Pages<'d> {
    document: &'d Document<'d>,
    wanted: Wanted,
    next: u32,
    end: u32,
    held: VecDeque<Held>,
    furniture: Furniture,
    headings: Headings,
    fields: Vec<Field>,
    field_bytes: usize,
    attachments: Vec<Attachment>,
    attachment_bytes: usize,
    unreadable: u32,
    incomplete: Option<String>,
    last: Option<paragraph::End>,
}

/// Fields of a form that are listed, and their bytes.
const FIELDS: usize = 20_000;
const FIELD_BYTES: usize = 8 << 20;
/// Files attached to pages that are listed, and bytes of their names.
const ATTACHMENTS: usize = 1_000;
const ATTACHMENT_BYTES: usize = 2 << 20;
/// Bytes of images of the pages held at once, beyond which no more are read ahead.
const HELD_IMAGES: usize = 8 << 20;

impl<'d> Document<'d> {
    /// Its pages, at most `most`; `outline` is what it lists as its contents.
    #[must_use]
    pub fn pages(&'d self, wanted: Wanted, outline: &[OutlineItem], most: u32) -> Pages<'d> {
        let count = self.page_count();
        Pages {
            document: self,
            wanted,
            next: 0,
            end: count.min(most),
            held: VecDeque::new(),
            furniture: Furniture::new(count),
            headings: Headings::new(outline),
            fields: Vec::new(),
            field_bytes: 0,
            attachments: Vec::new(),
            attachment_bytes: 0,
            unreadable: 0,
            incomplete: (count > most).then(|| format!("only the first {most} of {count} pages are read, the limit")),
            last: None,
        }
    }
}

impl Pages<'_> {
    /// The next step; `None` at the end.
    pub fn step(&mut self) -> Option<Step> {
        let glyphs: usize = self.held.iter().map(|held| held.glyphs).sum();
        let pictures = self.held.iter().flat_map(|held| &held.raw.pictures);
        let images: usize = pictures.filter_map(|picture| picture.file.as_ref()).map(|(_, file)| file.len()).sum();
        let full = self.held.len() > AHEAD || glyphs > HELD || images > HELD_IMAGES;
        if self.next < self.end && !full {
            self.read();
            return Some(Step::Read);
        }
        let held = self.held.pop_front()?;
        Some(Step::Page(Box::new(self.finish(held))))
    }

    /// The form fields found so far.
    #[must_use]
    pub fn take_fields(&mut self) -> Vec<Field> {
        std::mem::take(&mut self.fields)
    }

    /// The files found so far that are attached to places on pages.
    #[must_use]
    pub fn take_attachments(&mut self) -> Vec<Attachment> {
        std::mem::take(&mut self.attachments)
    }

    /// Why there is less than there should be, if there is.
    #[must_use]
    pub fn incomplete(&self) -> Option<&str> {
        self.incomplete.as_deref()
    }

    fn read(&mut self) {
        let index = self.next;
        self.next += 1;
        let read = read::read(self.document, index, self.wanted);
        let readable = read.is_some();
        let mut raw = read.unwrap_or_default();
        if readable {
            self.unreadable = 0;
        } else {
            self.unreadable += 1;
            if self.unreadable == UNREADABLE && self.next < self.end {
                let from = self.next + 1 - UNREADABLE;
                self.incomplete = Some(format!("pages {from} to {} cannot be read", self.end));
                self.end = self.next;
            } else if self.incomplete.is_none() {
                self.incomplete = Some(format!("page {} cannot be read", index + 1));
            }
        }
        for field in raw.fields.drain(..) {
            self.field_bytes += field.name.len() + field.value.len();
            if self.fields.len() < FIELDS && self.field_bytes <= FIELD_BYTES {
                self.fields.push(field);
            } else if self.incomplete.is_none() {
                self.incomplete = Some(format!("only the first {} form fields are listed", self.fields.len()));
            }
        }
        for attachment in raw.attachments.drain(..) {
            self.attachment_bytes += attachment.name.len() + attachment.media_type.as_ref().map_or(0, String::len);
            if self.attachments.len() < ATTACHMENTS && self.attachment_bytes <= ATTACHMENT_BYTES {
                self.attachments.push(attachment);
            } else if self.incomplete.is_none() {
                self.incomplete = Some(format!("only the first {} files attached to pages are listed", self.attachments.len()));
            }
        }
        let laid = layout(&raw);
        raw.cut_short |= laid.cut_short;
        let glyphs = raw.glyphs.len();
        raw.glyphs = Vec::new();
        raw.runs = Vec::new();
        raw.rules = Vec::new();
        self.furniture.see(index + 1, &laid);
        self.headings.see(&laid);
        self.held.push_back(Held { number: index + 1, raw, laid, glyphs, readable });
    }

    fn finish(&mut self, held: Held) -> Page {
        let Held { number, raw, mut laid, glyphs, readable } = held;
        let (header, footer) = self.furniture.take(number, &mut laid);
        let continues = match (&self.last, laid.blocks.first()) {
            (Some(end), Some(Block::Paragraph(first))) => {
                end.continues(first) && self.headings.level(first, &laid.blocks[1..]).is_none()
            }
            _ => false,
        };
        // An item that began on the page before is none that begins here.
        if let (true, Some(Block::Paragraph(first))) = (continues, laid.blocks.first_mut()) {
            first.marker = None;
        }
        self.last = match laid.blocks.last() {
            Some(Block::Paragraph(last)) if laid.aside.is_empty() => paragraph::End::of(last),
            _ => None,
        };
        let mut tables = Vec::new();
        let mut out = writer::Writer::new(&raw.anchors);
        for (index, block) in laid.blocks.iter().enumerate() {
            match block {
                Block::Paragraph(paragraph) => {
                    out.paragraph(paragraph, self.headings.level(paragraph, &laid.blocks[index + 1..]))
                }
                Block::Table(table) => tables.push(out.table(table)),
            }
        }
        for block in &laid.aside {
            match block {
                Block::Paragraph(paragraph) => out.paragraph(paragraph, None),
                Block::Table(table) => tables.push(out.table(table)),
            }
        }
        let (markdown, text) = out.finish();
        let letters = text.chars().filter(|character| character.is_alphanumeric()).count();
        Page {
            number,
            needs_ocr: needs_ocr(&raw, letters),
            problem: problem(&raw, glyphs, readable),
            label: raw.label,
            width: raw.width,
            height: raw.height,
            rotation: raw.rotation,
            markdown,
            text,
            header,
            footer,
            continues,
            tables,
            links: laid.links,
            notes: raw.notes,
            images: if self.wanted.images { images(raw.pictures, &raw.bounds, raw.rotation) } else { Vec::new() },
        }
    }
}

/// Whether there is something to be seen, and no text to be read.
fn needs_ocr(raw: &RawPage, letters: usize) -> bool {
    let area = raw.bounds.area().max(1.0);
    let pictured = raw.pictures.iter().map(|picture| picture.rect.intersection(&raw.bounds).area()).fold(0.0, f32::max);
    match letters {
        0 => raw.marked,
        1..25 => pictured > 0.6 * area,
        _ => false,
    }
}

fn problem(raw: &RawPage, glyphs: usize, readable: bool) -> Option<String> {
    let all = glyphs + raw.unmapped;
    if !readable {
        Some("the page cannot be read".to_owned())
    } else if raw.cut_short {
        Some("the page holds more than is read of one page".to_owned())
    } else if raw.unmapped * 5 > all && raw.unmapped > 5 {
        Some(format!("{} of {all} signs stand for no known character", raw.unmapped))
    } else {
        None
    }
}

/// Where they are seen: a page that is turned when it is shown turns its images with it.
fn images(pictures: Vec<Picture>, bounds: &Rect, rotation: u16) -> Vec<PageImage> {
    let turn = Turn::back(rotation.into());
    let page = turn.rect(bounds);
    let image = |picture: Picture| {
        let rect = turn.rect(&picture.rect);
        let (media_type, data) = match picture.file {
            Some((media_type, data)) => (Some(media_type.to_owned()), data),
            None => (None, Vec::new()),
        };
        PageImage {
            x: rect.left - page.left,
            y: page.top - rect.top,
            width: rect.width(),
            height: rect.height(),
            pixel_width: picture.pixels.0,
            pixel_height: picture.pixels.1,
            media_type,
            data,
        }
    };
    pictures.into_iter().map(image).collect()
}

/// A table as data: its first row is its header if it looks like one.
fn data(rows: &[Vec<String>]) -> Table {
    let digits = |cell: &String| cell.bytes().filter(u8::is_ascii_digit).count() * 2 > cell.len();
    let headed = rows.len() >= 2
        && rows[0].iter().filter(|cell| !cell.is_empty()).count() * 2 > rows[0].len()
        && !rows[0].iter().any(digits);
    let (header, rows) = if headed { (rows[0].clone(), &rows[1..]) } else { (Vec::new(), rows) };
    Table { header, rows: rows.to_vec() }
}

fn anchor(anchors: &[Anchor], number: u16) -> Option<&str> {
    anchors.get(usize::from(number)).map(|anchor| anchor.href.as_str())
}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("next", &self.next).field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lower left corner of a page of 400 by 800, in each of the four ways that the page can be shown.
    #[test]
    fn images_are_where_they_are_seen() {
        let bounds = Rect { left: 10.0, bottom: 20.0, right: 410.0, top: 820.0 };
        let rect = Rect { left: 20.0, bottom: 30.0, right: 120.0, top: 80.0 };
        let cases = [
            (0, (10.0, 740.0, 100.0, 50.0)),
            (90, (10.0, 10.0, 50.0, 100.0)),
            (180, (290.0, 10.0, 100.0, 50.0)),
            (270, (740.0, 290.0, 50.0, 100.0)),
        ];
        for (rotation, expected) in cases {
            let placed = images(vec![Picture { rect, pixels: (1, 1), file: None }], &bounds, rotation);
            let [image] = placed.as_slice() else { panic!("one image") };
            assert_eq!((image.x, image.y, image.width, image.height), expected, "turned by {rotation}");
        }
    }
}

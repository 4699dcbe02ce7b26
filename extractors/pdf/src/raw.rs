//! A page as libpdfium tells it: marks on paper, without any order but that in which they were drawn.

use crate::geometry::Rect;

/// One character as drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glyph {
    pub(crate) character: char,
    /// Where its baseline begins.
    pub(crate) origin: (f32, f32),
    /// From the baseline's begin to its end, from the font's descent to its ascent.
    pub(crate) cell: Rect,
    /// Index of its [`Run`].
    pub(crate) run: u32,
}

/// What consecutive characters have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
    /// Height of an em on the page, in points.
    pub(crate) size: f32,
    /// Direction of its baseline, in whole degrees counterclockwise, 0 to 359.
    pub(crate) degrees: i32,
    pub(crate) bold: bool,
    pub(crate) italic: bool,
    pub(crate) monospaced: bool,
    /// Number of its font on this page.
    pub(crate) font: u16,
    /// Its number in the tagged structure.
    pub(crate) content: Option<i32>,
    /// Marked as no part of the text, but of the page: running heads, page numbers, watermarks.
    pub(crate) artifact: bool,
}

/// One drawn line, or side of a box, that runs level or upright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) rect: Rect,
    pub(crate) upright: bool,
}

/// One image as placed.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) rect: Rect,
    pub(crate) pixels: (u32, u32),
    pub(crate) file: Option<(&'static str, Vec<u8>)>,
}

/// One area that leads elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Anchor {
    pub(crate) rect: Rect,
    pub(crate) href: String,
}

/// What the tagged structure says of some content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A heading of this level.
    Heading(u8),
    /// An item of a list, by its number on the page.
    Item(u32),
    /// No part of the text, but of the page.
    Furniture,
    Body,
}

/// Everything on one page.
#[derive(Debug, Default)]
pub(crate) struct RawPage {
    /// As shown, in points.
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// By how much it is turned clockwise when it is shown.
    pub(crate) rotation: u16,
    /// The page itself, in the space that everything on it is placed in.
    pub(crate) bounds: Rect,
    pub(crate) glyphs: Vec<Glyph>,
    pub(crate) runs: Vec<Run>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) pictures: Vec<Picture>,
    pub(crate) anchors: Vec<Anchor>,
    /// By the number of content.
    pub(crate) roles: std::collections::BTreeMap<i32, Role>,
    /// Characters that stand for no known character.
    pub(crate) unmapped: usize,
    /// Whether anything at all is drawn.
    pub(crate) marked: bool,
    pub(crate) label: Option<String>,
    pub(crate) notes: Vec<eventmesh_guest::Note>,
    pub(crate) fields: Vec<eventmesh_guest::Field>,
    /// Files that are attached to a place on it.
    pub(crate) attachments: Vec<eventmesh_guest::Attachment>,
    /// Values of form fields, to be read in their places.
    pub(crate) filled: Vec<(Rect, String)>,
    /// More was there than is read of a page.
    pub(crate) cut_short: bool,
    /// Bytes of strings besides its text: notes, fields, addresses.
    pub(crate) said: usize,
}

/// Bytes of strings that are taken of one page, besides its text.
const SAID: usize = 1 << 20;

impl RawPage {
    /// What the tagged structure says of what is drawn with `run`.
    pub(crate) fn role(&self, run: &Run) -> Option<Role> {
        if run.artifact { Some(Role::Furniture) } else { run.content.and_then(|content| self.roles.get(&content)).copied() }
    }

    /// Whether there is room for another string of so many bytes.
    pub(crate) fn affords(&mut self, bytes: usize) -> bool {
        self.said += bytes;
        self.cut_short |= self.said > SAID;
        self.said <= SAID
    }
}

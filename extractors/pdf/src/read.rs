//! Reads one page out of libpdfium: every mark on it, in the order in which they were drawn.
//!
//! libpdfium's own text, with its words, lines and hyphens, is not used: it takes columns of digits for vertical writing,
//! breaks letter-spaced words and turns Arabic around. Only the characters and their places are taken from it.

#![expect(unsafe_code, reason = "libpdfium's functions are C")]

mod annotations;
mod objects;
mod structure;

use pdfium_render::prelude::{FPDF_FONT, FPDF_PAGE, FPDF_PAGEOBJECT, FPDF_TEXTPAGE, FS_MATRIX, FS_RECTF};

use crate::document::Document;
use crate::geometry::Rect;
use crate::raw::{Glyph, RawPage, Run};
use crate::text::{narrow, wide};

/// What of a page is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Its images, as files.
    pub images: bool,
}

/// Characters that are read of one page: more than can be told apart on paper of any size.
const CHARACTERS: i32 = 1_000_000;

/// One page, open.
pub(crate) struct OpenPage<'d> {
    document: &'d Document<'d>,
    pub(crate) handle: FPDF_PAGE,
}

impl<'d> OpenPage<'d> {
    /// `None` if there is no such page, or none that can be read.
    pub(crate) fn open(document: &'d Document<'d>, index: u32) -> Option<Self> {
        let index = i32::try_from(index).ok()?;
        // SAFETY: the document is open; null is looked for.
        let handle = unsafe { document.pdfium.FPDF_LoadPage(document.handle, index) };
        (!handle.is_null()).then_some(Self { document, handle })
    }

    /// Size as shown, in points.
    pub(crate) fn size(&self) -> (f32, f32) {
        let pdfium = self.document.pdfium;
        // SAFETY: the page is open.
        let (width, height) = unsafe { (pdfium.FPDF_GetPageWidthF(self.handle), pdfium.FPDF_GetPageHeightF(self.handle)) };
        let sound = |side: f32| if side.is_finite() { side.clamp(0.0, 1e6) } else { 0.0 };
        (sound(width), sound(height))
    }

    fn rotation(&self) -> u16 {
        // SAFETY: the page is open.
        let quarters = unsafe { self.document.pdfium.FPDFPage_GetRotation(self.handle) };
        u16::try_from(quarters.rem_euclid(4) * 90).unwrap_or(0)
    }

    /// The page's own rectangle.
    pub(crate) fn bounds(&self) -> Option<Rect> {
        let mut rect = FS_RECTF { left: 0.0, top: 0.0, right: 0.0, bottom: 0.0 };
        // SAFETY: the page is open, and the rectangle ours.
        let known = unsafe { self.document.pdfium.FPDF_GetPageBoundingBox(self.handle, &raw mut rect) } != 0;
        Rect::of(rect.left, rect.bottom, rect.right, rect.top).filter(|_| known)
    }

    fn read_text(&self, page: &mut RawPage) {
        let pdfium = self.document.pdfium;
        // SAFETY: the page is open; null is looked for.
        let text = unsafe { pdfium.FPDFText_LoadPage(self.handle) };
        if text.is_null() {
            return;
        }
        // SAFETY: the text is open.
        let count = unsafe { pdfium.FPDFText_CountChars(text) };
        page.cut_short |= count > CHARACTERS;
        let count = count.clamp(0, CHARACTERS);
        page.glyphs.reserve(usize::try_from(count).unwrap_or(0));
        let mut fonts = Fonts { document: self.document, known: Vec::new() };
        let mut last: FPDF_PAGEOBJECT = std::ptr::null_mut();
        for index in 0..count {
            // SAFETY: the text is open and has that many characters; what is written to is ours.
            unsafe {
                let object = pdfium.FPDFText_GetTextObject(text, index);
                // Line ends that libpdfium has made up belong to no object.
                if object.is_null() {
                    continue;
                }
                if object != last {
                    last = object;
                    let run = fonts.run(text, index, object);
                    if page.runs.last() != Some(&run) {
                        page.runs.push(run);
                    }
                }
                let Some(character) = character(pdfium.FPDFText_GetUnicode(text, index)) else {
                    page.unmapped += 1;
                    continue;
                };
                // Some of those that it has made up belong to the object before.
                if character == ' ' && pdfium.FPDFText_IsGenerated(text, index) == 1 {
                    continue;
                }
                let (mut x, mut y) = (0.0, 0.0);
                let mut cell = FS_RECTF { left: 0.0, top: 0.0, right: 0.0, bottom: 0.0 };
                let placed = pdfium.FPDFText_GetCharOrigin(text, index, &raw mut x, &raw mut y) != 0
                    && pdfium.FPDFText_GetLooseCharBox(text, index, &raw mut cell) != 0;
                let cell = Rect::of(cell.left, cell.bottom, cell.right, cell.top);
                if let (true, Some(cell)) = (placed && x.is_finite() && y.is_finite(), cell) {
                    let run = u32::try_from(page.runs.len()).unwrap_or(1) - 1;
                    page.glyphs.push(Glyph { character, origin: (x as f32, y as f32), cell, run });
                }
            }
        }
        // SAFETY: it was opened here and is used no more.
        unsafe { pdfium.FPDFText_ClosePage(text) };
    }
}

impl Drop for OpenPage<'_> {
    fn drop(&mut self) {
        // SAFETY: it was opened by us, and nothing of it is used any more.
        unsafe { self.document.pdfium.FPDF_ClosePage(self.handle) };
    }
}

/// Reads a page. `None` if it cannot be read.
pub(crate) fn read(document: &Document<'_>, index: u32, wanted: Wanted) -> Option<RawPage> {
    let open = OpenPage::open(document, index)?;
    let (width, height) = open.size();
    let bounds = open.bounds().unwrap_or(Rect { left: 0.0, bottom: 0.0, right: width, top: height });
    let mut page =
        RawPage { width, height, bounds, rotation: open.rotation(), label: document.label(index), ..RawPage::default() };
    open.read_text(&mut page);
    objects::read(&open, wanted, &mut page);
    annotations::read(&open, index, &mut page);
    structure::read(&open, &mut page);
    Some(page)
}

/// A hyphen at the end of a line, as libpdfium marks it.
const MARKED_HYPHEN: u32 = 2;

/// The character of a number, if it is one that can be seen.
fn character(number: u32) -> Option<char> {
    match char::from_u32(number)? {
        _ if number == MARKED_HYPHEN => Some('\u{ad}'),
        '\u{fffe}' => Some('\u{ad}'),
        '\u{a0}' | '\t' | '\u{3000}' => Some(' '),
        // Private use: symbols of a font that says nothing of them.
        '\u{e000}'..='\u{f8ff}' => symbol(number),
        character if character.is_control() || character == '\u{feff}' || character == '\u{fffd}' => None,
        character => Some(character),
    }
}

/// Bullets of the usual symbol fonts.
fn symbol(number: u32) -> Option<char> {
    match number {
        0xf0b7 | 0xf0a7 | 0xf06c | 0xf076 | 0xf0d8 | 0xf0fc => Some('•'),
        0xf020..=0xf07e => char::from_u32(number - 0xf000),
        _ => None,
    }
}

/// What is known of the fonts of a page.
struct Fonts<'d> {
    document: &'d Document<'d>,
    known: Vec<(FPDF_FONT, Style)>,
}

#[derive(Clone, Copy)]
struct Style {
    bold: bool,
    italic: bool,
    monospaced: bool,
}

/// Marks of one piece of text that are looked at.
const MARKS: i32 = 16;
/// Fonts that are told apart on one page.
const FONTS: usize = 512;

impl Fonts<'_> {
    /// # Safety
    /// `text` is open, `index` one of its characters and `object` the one it belongs to.
    unsafe fn run(&mut self, text: FPDF_TEXTPAGE, index: i32, object: FPDF_PAGEOBJECT) -> Run {
        let pdfium = self.document.pdfium;
        let mut matrix = FS_MATRIX { a: 1.0, b: 0.0, c: 0.0, d: 1.0, e: 0.0, f: 0.0 };
        let mut size = 0.0;
        // SAFETY: by the contract above; what is written to is ours.
        let (font, content) = unsafe {
            pdfium.FPDFText_GetMatrix(text, index, &raw mut matrix);
            pdfium.FPDFTextObj_GetFontSize(object, &raw mut size);
            (pdfium.FPDFTextObj_GetFont(object), pdfium.FPDFPageObj_GetMarkedContentID(object))
        };
        // SAFETY: by the contract above.
        let artifact = self.document.tagged && content < 0 && unsafe { self.is_artifact(object) };
        let scale = (matrix.c.hypot(matrix.d) * size).abs();
        let degrees = matrix.b.atan2(matrix.a).to_degrees();
        // Scans that are not quite straight are read as if they were.
        let degrees = if degrees.is_finite() { degrees.round() as i32 } else { 0 };
        let degrees = match degrees.rem_euclid(90) {
            0..=3 => degrees - degrees.rem_euclid(90),
            rest @ 87..=89 => degrees + 90 - rest,
            _ => degrees,
        };
        let (font, style) = self.style(font);
        Run {
            size: if scale.is_finite() { scale.clamp(0.1, 1000.0) } else { 10.0 },
            degrees: degrees.rem_euclid(360),
            bold: style.bold,
            italic: style.italic,
            monospaced: style.monospaced,
            font,
            content: (content >= 0).then_some(content),
            artifact,
        }
    }

    /// Whether the text is marked as an artifact.
    ///
    /// # Safety
    /// `object` is one of the open page.
    unsafe fn is_artifact(&self, object: FPDF_PAGEOBJECT) -> bool {
        let pdfium = self.document.pdfium;
        // SAFETY: by the contract above.
        let marks = unsafe { pdfium.FPDFPageObj_CountMarks(object) }.clamp(0, MARKS).unsigned_abs();
        (0..marks).any(|index| {
            // SAFETY: as above; null is looked for.
            let mark = unsafe { pdfium.FPDFPageObj_GetMark(object, index.into()) };
            let name = |buffer: *mut u16, bytes: usize| {
                let mut length = 0;
                // SAFETY: the mark is the object's own, the buffer as large as is said, and the length ours.
                let known = unsafe { pdfium.FPDFPageObjMark_GetName(mark, buffer, bytes as _, &raw mut length) };
                if known == 0 { 0 } else { length as usize }
            };
            !mark.is_null() && wide(name) == "Artifact"
        })
    }

    fn style(&mut self, font: FPDF_FONT) -> (u16, Style) {
        let plain = Style { bold: false, italic: false, monospaced: false };
        if font.is_null() {
            return (u16::MAX, plain);
        }
        if let Some(place) = self.known.iter().position(|(known, _)| *known == font) {
            return (u16::try_from(place).unwrap_or(u16::MAX), self.known[place].1);
        }
        let pdfium = self.document.pdfium;
        // SAFETY: the font is alive as long as its page is open, and the buffer as large as is said.
        let (name, flags, weight) = unsafe {
            (
                narrow(|buffer, bytes| pdfium.FPDFFont_GetBaseFontName(font, buffer.cast(), bytes as _)),
                pdfium.FPDFFont_GetFlags(font),
                pdfium.FPDFFont_GetWeight(font),
            )
        };
        let name = name.to_ascii_lowercase();
        let named = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let style = Style {
            bold: named(&["bold", "black", "heavy", "-bd"]) || flags & FORCE_BOLD != 0 || (weight >= 700 && name.is_empty()),
            italic: named(&["italic", "oblique"]) || flags & ITALIC != 0,
            monospaced: named(&["mono", "courier", "consol"]) || flags & FIXED_PITCH != 0,
        };
        if self.known.len() < FONTS {
            self.known.push((font, style));
        }
        (u16::try_from(self.known.len() - 1).unwrap_or(u16::MAX), style)
    }
}

/// Flags of a font descriptor.
const FIXED_PITCH: i32 = 1;
const ITALIC: i32 = 1 << 6;
const FORCE_BOLD: i32 = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_can_be_seen() {
        assert_eq!(character(u32::from('é')), Some('é'));
        assert_eq!(character(2), Some('\u{ad}'));
        assert_eq!(character(0xa0), Some(' '));
        assert_eq!(character(0xf0b7), Some('•'));
        for none in [0, 7, 0xfffd, 0xd800, 0x11_0000, 0xe123] {
            assert_eq!(character(none), None, "{none:x}");
        }
    }
}

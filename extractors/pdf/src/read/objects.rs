//! What is drawn besides text: lines that may be rules of a table, and images.

use pdfium_render::prelude::{FPDF_BITMAP, FPDF_PAGEOBJECT, FS_MATRIX};

use super::{OpenPage, Wanted};
use crate::geometry::Rect;
use crate::picture;
use crate::raw::{Picture, RawPage, Rule};
use crate::text::narrow;

/// Objects that are looked at on one page, those inside of others included.
const OBJECTS: usize = 200_000;
/// Points of paths that are looked at on one page.
const POINTS: i32 = 400_000;
/// Points of one path, beyond which it is a drawing and no rule.
const POINTS_OF_A_PATH: i32 = 4_000;
const RULES: usize = 20_000;
const PICTURES: usize = 1_000;
/// How deep objects inside objects are looked at.
const DEPTH: usize = 4;
/// The largest image that is taken out, in bytes of its file, and in pixels.
const IMAGE_BYTES: usize = 8 << 20;
const IMAGE_PIXELS: u64 = 16_000_000;
/// Bytes of images taken out of one page.
const PAGE_IMAGE_BYTES: usize = 24 << 20;

/// A rule is at most this thick, in points.
const THICKEST: f32 = 3.0;
/// And at least this long.
const SHORTEST: f32 = 4.0;

const TEXT: i32 = 1;
const PATH: i32 = 2;
const IMAGE: i32 = 3;
const FORM: i32 = 5;

struct Walk<'p, 'd> {
    open: &'p OpenPage<'d>,
    wanted: Wanted,
    objects: usize,
    points: i32,
    image_bytes: usize,
    bounds: Rect,
}

/// Reads them.
pub(super) fn read(open: &OpenPage<'_>, wanted: Wanted, page: &mut RawPage) {
    let (width, height) = open.size();
    let bounds = open.bounds().unwrap_or(Rect { left: 0.0, bottom: 0.0, right: width, top: height });
    let mut walk = Walk { open, wanted, objects: 0, points: 0, image_bytes: 0, bounds };
    let pdfium = open.document.pdfium;
    // SAFETY: the page is open.
    let count = unsafe { pdfium.FPDFPage_CountObjects(open.handle) };
    for index in 0..count {
        if walk.objects >= OBJECTS {
            page.cut_short = true;
            break;
        }
        // SAFETY: the page is open and has that many objects.
        let object = unsafe { pdfium.FPDFPage_GetObject(open.handle, index) };
        walk.object(object, &[], page);
    }
}

fn apply(matrix: &FS_MATRIX, (x, y): (f32, f32)) -> (f32, f32) {
    (matrix.a * x + matrix.c * y + matrix.e, matrix.b * x + matrix.d * y + matrix.f)
}

impl Walk<'_, '_> {
    /// `outer` are the matrices of the objects around this one, the outermost first.
    fn object(&mut self, object: FPDF_PAGEOBJECT, outer: &[FS_MATRIX], page: &mut RawPage) {
        self.objects += 1;
        if object.is_null() || self.objects > OBJECTS {
            return;
        }
        let pdfium = self.open.document.pdfium;
        // SAFETY: the object is the open page's own.
        match unsafe { pdfium.FPDFPageObj_GetType(object) } {
            TEXT => page.marked = true,
            PATH => {
                page.marked = true;
                self.path(object, outer, page);
            }
            IMAGE => {
                page.marked = true;
                self.image(object, outer, page);
            }
            FORM if outer.len() < DEPTH => {
                let Some(matrix) = self.matrix(object) else { return };
                let inner: Vec<FS_MATRIX> = outer.iter().copied().chain([matrix]).collect();
                // SAFETY: as above.
                let count = unsafe { pdfium.FPDFFormObj_CountObjects(object) };
                for index in 0..u32::try_from(count).unwrap_or(0) {
                    if self.objects > OBJECTS {
                        page.cut_short = true;
                        break;
                    }
                    // SAFETY: as above, and there are that many.
                    let inside = unsafe { pdfium.FPDFFormObj_GetObject(object, index.into()) };
                    self.object(inside, &inner, page);
                }
            }
            _ => page.marked = true,
        }
    }

    fn matrix(&self, object: FPDF_PAGEOBJECT) -> Option<FS_MATRIX> {
        let mut matrix = FS_MATRIX { a: 1.0, b: 0.0, c: 0.0, d: 1.0, e: 0.0, f: 0.0 };
        // SAFETY: the object is the open page's own, and the matrix ours.
        (unsafe { self.open.document.pdfium.FPDFPageObj_GetMatrix(object, &raw mut matrix) } != 0).then_some(matrix)
    }

    /// Where an object lies on the page.
    fn place(&self, object: FPDF_PAGEOBJECT, outer: &[FS_MATRIX]) -> Option<Rect> {
        let (mut left, mut bottom, mut right, mut top) = (0.0, 0.0, 0.0, 0.0);
        // SAFETY: the object is the open page's own, and what is written to is ours.
        let known = unsafe {
            self.open.document.pdfium.FPDFPageObj_GetBounds(object, &raw mut left, &raw mut bottom, &raw mut right, &raw mut top)
        };
        if known == 0 {
            return None;
        }
        let corners = [(left, bottom), (right, top), (left, top), (right, bottom)];
        let corners = corners.map(|corner| outer.iter().rev().fold(corner, |point, matrix| apply(matrix, point)));
        let [a, b, c, d] = corners;
        let [first, second] = [Rect::of(a.0, a.1, b.0, b.1)?, Rect::of(c.0, c.1, d.0, d.1)?];
        Some(first.union(&second))
    }

    fn path(&mut self, object: FPDF_PAGEOBJECT, outer: &[FS_MATRIX], page: &mut RawPage) {
        if page.rules.len() >= RULES {
            return;
        }
        let Some(rect) = self.place(object, outer) else { return };
        if let Some(rule) = rule(rect) {
            page.rules.push(rule);
            return;
        }
        if rect.width() < SHORTEST || rect.height() < SHORTEST {
            return;
        }
        let pdfium = self.open.document.pdfium;
        let (mut fill, mut stroke) = (0, 0);
        // SAFETY: the object is a path of the open page, and what is written to is ours.
        let points = unsafe {
            pdfium.FPDFPath_GetDrawMode(object, &raw mut fill, &raw mut stroke);
            pdfium.FPDFPath_CountSegments(object)
        };
        // A background behind everything is not a frame around anything.
        let background = stroke == 0 && rect.area() > 0.8 * self.bounds.area();
        if (fill == 0 && stroke == 0) || background || points > POINTS_OF_A_PATH || self.points > POINTS {
            return;
        }
        self.points += points;
        let Some(matrix) = self.matrix(object) else { return };
        let mut began = None;
        let mut last: Option<(f32, f32)> = None;
        for index in 0..points {
            // SAFETY: as above, and there are that many.
            let (kind, point, closes) = unsafe {
                let segment = pdfium.FPDFPath_GetPathSegment(object, index);
                let (mut x, mut y) = (0.0, 0.0);
                if segment.is_null() || pdfium.FPDFPathSegment_GetPoint(segment, &raw mut x, &raw mut y) == 0 {
                    return;
                }
                (pdfium.FPDFPathSegment_GetType(segment), (x, y), pdfium.FPDFPathSegment_GetClose(segment) != 0)
            };
            let point = outer.iter().rev().fold(apply(&matrix, point), |point, matrix| apply(matrix, point));
            if kind == MOVE {
                began = Some(point);
            } else if kind == LINE
                && let Some(from) = last
            {
                side(from, point, page);
            }
            last = Some(point);
            if closes && let Some(began) = began {
                side(point, began, page);
            }
        }
    }

    fn image(&mut self, object: FPDF_PAGEOBJECT, outer: &[FS_MATRIX], page: &mut RawPage) {
        if page.pictures.len() >= PICTURES {
            page.cut_short |= self.wanted.images;
            return;
        }
        let Some(rect) = self.place(object, outer) else { return };
        let pdfium = self.open.document.pdfium;
        let (mut width, mut height) = (0, 0);
        // SAFETY: the object is an image of the open page, and what is written to is ours.
        unsafe { pdfium.FPDFImageObj_GetImagePixelSize(object, &raw mut width, &raw mut height) };
        let pixels = u64::from(width) * u64::from(height);
        let room = self.image_bytes < PAGE_IMAGE_BYTES && pixels <= IMAGE_PIXELS;
        let file = if self.wanted.images && room { self.file(object) } else { None };
        self.image_bytes += file.as_ref().map_or(0, |(_, bytes)| bytes.len());
        page.pictures.push(Picture { rect, pixels: (width, height), file });
    }

    /// The image as a file: as it lies in the document where that is one, else made into a PNG.
    fn file(&self, object: FPDF_PAGEOBJECT) -> Option<(&'static str, Vec<u8>)> {
        let pdfium = self.open.document.pdfium;
        // SAFETY: the object is an image of the open page, and the buffers are as large as is said.
        unsafe {
            if pdfium.FPDFImageObj_GetImageFilterCount(object) == 1 {
                let filter =
                    narrow(|buffer, bytes| pdfium.FPDFImageObj_GetImageFilter(object, 0, buffer.cast(), bytes as _) as usize);
                let media = match filter.as_str() {
                    "DCTDecode" => Some("image/jpeg"),
                    "JPXDecode" => Some("image/jp2"),
                    _ => None,
                };
                if let Some(media) = media {
                    let bytes = pdfium.FPDFImageObj_GetImageDataRaw(object, std::ptr::null_mut(), 0) as usize;
                    if bytes == 0 || bytes > IMAGE_BYTES {
                        return None;
                    }
                    let mut file = vec![0u8; bytes];
                    let written = pdfium.FPDFImageObj_GetImageDataRaw(object, file.as_mut_ptr().cast(), bytes as _) as usize;
                    file.truncate(written);
                    return Some((media, file));
                }
            }
            let bitmap: FPDF_BITMAP = pdfium.FPDFImageObj_GetBitmap(object);
            if bitmap.is_null() {
                return None;
            }
            let mut file = Vec::new();
            let made = picture::write(pdfium, bitmap, &mut file);
            pdfium.FPDFBitmap_Destroy(bitmap);
            (made.is_ok() && file.len() <= IMAGE_BYTES).then_some(("image/png", file))
        }
    }
}

const LINE: i32 = 0;
const MOVE: i32 = 2;

/// A rectangle that is thin enough to be a line.
fn rule(rect: Rect) -> Option<Rule> {
    if rect.height() <= THICKEST && rect.width() >= SHORTEST && rect.width() > 2.0 * rect.height() {
        return Some(Rule { rect, upright: false });
    }
    if rect.width() <= THICKEST && rect.height() >= SHORTEST && rect.height() > 2.0 * rect.width() {
        return Some(Rule { rect, upright: true });
    }
    None
}

/// One side of a path.
fn side(from: (f32, f32), to: (f32, f32), page: &mut RawPage) {
    let slanted = (from.0 - to.0).abs() > 0.5 && (from.1 - to.1).abs() > 0.5;
    if slanted || page.rules.len() >= RULES {
        return;
    }
    page.rules.extend(Rect::of(from.0, from.1, to.0, to.1).and_then(rule));
}

//! What is laid over a page: links, notes, and the fields of a form.

use eventmesh_guest::{Field, Note};
use pdfium_render::prelude::{FPDF_ANNOTATION, FPDF_LINK, FS_RECTF};

use super::OpenPage;
use crate::geometry::Rect;
use crate::raw::{Anchor, RawPage};
use crate::text::{narrow, wide};

const LINKS: usize = 5_000;
const ANNOTATIONS: i32 = 5_000;
/// Values that are read in their places.
const FILLED: usize = 1_000;

const URI: u64 = 3;

/// Reads them.
pub(super) fn read(open: &OpenPage<'_>, index: u32, page: &mut RawPage) {
    let pdfium = open.document.pdfium;
    // SAFETY: the page is open.
    let count = unsafe { pdfium.FPDFPage_GetAnnotCount(open.handle) }.clamp(0, ANNOTATIONS);
    if count == 0 {
        return;
    }
    links(open, page);
    for place in 0..count {
        // SAFETY: the page is open and has that many; null is looked for, and each is closed again.
        unsafe {
            let annotation = pdfium.FPDFPage_GetAnnot(open.handle, place);
            if !annotation.is_null() {
                one(open, annotation, index, page);
                pdfium.FPDFPage_CloseAnnot(annotation);
            }
        }
    }
}

fn rect_of(rect: &FS_RECTF) -> Option<Rect> {
    Rect::of(rect.left, rect.bottom, rect.right, rect.top)
}

const NOWHERE: FS_RECTF = FS_RECTF { left: 0.0, top: 0.0, right: 0.0, bottom: 0.0 };

fn links(open: &OpenPage<'_>, page: &mut RawPage) {
    let (pdfium, document) = (open.document.pdfium, open.document.handle);
    let mut position = 0;
    let mut link: FPDF_LINK = std::ptr::null_mut();
    // SAFETY: page and document are open; every handle is checked, and the buffers are as large as is said.
    unsafe {
        while page.anchors.len() < LINKS && pdfium.FPDFLink_Enumerate(open.handle, &raw mut position, &raw mut link) != 0 {
            let mut rect = NOWHERE;
            if link.is_null() || pdfium.FPDFLink_GetAnnotRect(link, &raw mut rect) == 0 {
                continue;
            }
            let action = pdfium.FPDFLink_GetAction(link);
            let href = if !action.is_null() && pdfium.FPDFAction_GetType(action) == URI {
                narrow(|buffer, bytes| pdfium.FPDFAction_GetURIPath(document, action, buffer.cast(), bytes as _) as usize)
            } else {
                let mut place = pdfium.FPDFLink_GetDest(document, link);
                if place.is_null() && !action.is_null() {
                    place = pdfium.FPDFAction_GetDest(document, action);
                }
                let target = if place.is_null() { -1 } else { pdfium.FPDFDest_GetDestPageIndex(document, place) };
                let last = open.document.page_count();
                let target = u32::try_from(target).ok().filter(|target| *target < last);
                target.map_or_else(String::new, |target| format!("#page={}", target + 1))
            };
            if let (false, Some(rect)) = (href.is_empty() || !page.affords(href.len()), rect_of(&rect)) {
                page.anchors.push(Anchor { rect, href });
            }
        }
    }
}

/// Kinds of annotations that say something, by their number.
fn kind(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "text",
        3 => "free_text",
        4 => "line",
        5 => "square",
        6 => "circle",
        7 => "polygon",
        8 => "polyline",
        9 => "highlight",
        10 => "underline",
        11 => "squiggly",
        12 => "strikeout",
        13 => "stamp",
        14 => "caret",
        15 => "ink",
        FILE => "file_attachment",
        _ => return None,
    })
}

const FILE: i32 = 17;
const WIDGET: i32 = 20;
/// Files attached to one page that are listed.
const FILES: usize = 1_000;

/// # Safety
/// The annotation is open, and one of the open page.
unsafe fn one(open: &OpenPage<'_>, annotation: FPDF_ANNOTATION, index: u32, page: &mut RawPage) {
    let pdfium = open.document.pdfium;
    // SAFETY: by the contract above, and the buffer is as large as is said.
    let text = |key: &str| {
        // SAFETY: as above.
        wide(|buffer, bytes| unsafe { pdfium.FPDFAnnot_GetStringValue(annotation, key, buffer, bytes as _) as usize })
    };
    // SAFETY: by the contract above.
    let number = unsafe { pdfium.FPDFAnnot_GetSubtype(annotation) };
    if number == WIDGET {
        // SAFETY: by the contract above.
        unsafe { field(open, annotation, index, page) };
        return;
    }
    if number == FILE && page.attachments.len() < FILES {
        // SAFETY: by the contract above; null is looked for, and a file that is there is the document's own.
        let attachment = unsafe {
            let attachment = pdfium.FPDFAnnot_GetFileAttachment(annotation);
            if attachment.is_null() { None } else { Some(open.document.attachment(attachment)) }
        };
        if let Some(mut attachment) = attachment {
            // One without a name goes by that of its annotation.
            if attachment.name.is_empty() {
                attachment.name = text("NM");
            }
            if page.affords(attachment.name.len() + attachment.media_type.as_ref().map_or(0, String::len)) {
                page.attachments.push(attachment);
            }
        }
    }
    if let Some(kind) = kind(number) {
        let says = text("Contents");
        if !says.is_empty() && page.affords(says.len()) {
            let author = Some(text("T")).filter(|author| !author.is_empty());
            page.notes.push(Note { kind: kind.to_owned(), text: says, author });
        }
    }
}

const BUTTON: i32 = 1;
const CHECKBOX: i32 = 2;
const RADIO: i32 = 3;
const COMBO: i32 = 4;
const LIST: i32 = 5;
const TEXT: i32 = 6;
const SIGNATURE: i32 = 7;

/// # Safety
/// As of [`one`].
unsafe fn field(open: &OpenPage<'_>, annotation: FPDF_ANNOTATION, index: u32, page: &mut RawPage) {
    let pdfium = open.document.pdfium;
    let Some(form) = &open.document.form else { return };
    let form = form.handle;
    let mut rect = NOWHERE;
    // SAFETY: by the contract above; the form is open as long as its document is.
    let (number, name, value, checked) = unsafe {
        pdfium.FPDFAnnot_GetRect(annotation, &raw mut rect);
        (
            pdfium.FPDFAnnot_GetFormFieldType(form, annotation),
            wide(|buffer, bytes| pdfium.FPDFAnnot_GetFormFieldName(form, annotation, buffer, bytes as _) as usize),
            wide(|buffer, bytes| pdfium.FPDFAnnot_GetFormFieldValue(form, annotation, buffer, bytes as _) as usize),
            pdfium.FPDFAnnot_IsChecked(form, annotation) != 0,
        )
    };
    let kind = match number {
        BUTTON => "button",
        CHECKBOX => "checkbox",
        RADIO => "radio",
        COMBO | LIST => "choice",
        TEXT => "text",
        SIGNATURE => "signature",
        _ => return,
    };
    let boxed = number == CHECKBOX || number == RADIO;
    if !boxed
        && number != BUTTON
        && !value.is_empty()
        && page.filled.len() < FILLED
        && let Some(rect) = rect_of(&rect)
    {
        page.filled.push((rect, value.clone()));
    }
    let value = if boxed { (if checked { "on" } else { "off" }).to_owned() } else { value };
    if !page.affords(name.len() + value.len()) {
        return;
    }
    page.fields.push(Field { name, kind: kind.to_owned(), value, page: index + 1 });
}

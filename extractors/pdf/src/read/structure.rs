//! The tagged structure: which content is a heading, by what the document itself says.

use pdfium_render::prelude::FPDF_STRUCTELEMENT;

use super::OpenPage;
use crate::raw::{RawPage, Role};
use crate::text::wide;

/// Elements that are looked at on one page.
const ELEMENTS: usize = 20_000;
const DEPTH: usize = 64;

/// Reads the roles of the page's content, if the document is tagged.
pub(super) fn read(open: &OpenPage<'_>, page: &mut RawPage) {
    if !page.runs.iter().any(|run| run.content.is_some()) {
        return;
    }
    let pdfium = open.document.pdfium;
    // SAFETY: document and page are open; null is looked for, and the tree is closed again.
    unsafe {
        let tree = pdfium.FPDF_StructTree_GetForPage(open.handle);
        if tree.is_null() {
            return;
        }
        let mut left: Vec<(FPDF_STRUCTELEMENT, Role, usize)> = Vec::new();
        for index in (0..pdfium.FPDF_StructTree_CountChildren(tree)).rev() {
            left.push((pdfium.FPDF_StructTree_GetChildAtIndex(tree, index), Role::Body, 0));
        }
        let mut elements = 0;
        while let Some((element, outer, depth)) = left.pop() {
            elements += 1;
            if element.is_null() || elements > ELEMENTS {
                continue;
            }
            let kind = wide(|buffer, bytes| pdfium.FPDF_StructElement_GetType(element, buffer.cast(), bytes as _) as usize);
            let role = role(&kind).unwrap_or(outer);
            for index in 0..pdfium.FPDF_StructElement_GetMarkedContentIdCount(element) {
                let content = pdfium.FPDF_StructElement_GetMarkedContentIdAtIndex(element, index);
                if content >= 0 {
                    page.roles.insert(content, role);
                }
            }
            let children = pdfium.FPDF_StructElement_CountChildren(element);
            if depth < DEPTH && left.len() < ELEMENTS {
                for index in (0..children).rev() {
                    left.push((pdfium.FPDF_StructElement_GetChildAtIndex(element, index), role, depth + 1));
                }
            }
        }
        pdfium.FPDF_StructTree_Close(tree);
    }
}

/// What an element's type says, if it says anything of that kind.
fn role(kind: &str) -> Option<Role> {
    match kind.as_bytes() {
        [b'H', level @ b'1'..=b'6'] => Some(Role::Heading(level - b'0')),
        b"Title" => Some(Role::Heading(1)),
        b"H" => Some(Role::Heading(2)),
        b"P" | b"TD" | b"TH" | b"LI" | b"LBody" | b"Caption" | b"Note" | b"TOCI" => Some(Role::Body),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_by_type() {
        assert_eq!(role("H3"), Some(Role::Heading(3)));
        assert_eq!(role("H7"), None);
        assert_eq!(role("P"), Some(Role::Body));
        assert_eq!(role("Span"), None);
    }
}

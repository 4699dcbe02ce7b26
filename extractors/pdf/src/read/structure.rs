//! The tagged structure: which content is a heading, an item of a list, or no text, by what the document itself says.

use pdfium_render::prelude::FPDF_STRUCTELEMENT;

use super::OpenPage;
use crate::raw::{RawPage, Role};
use crate::text::wide;

/// Elements that are looked at on one page.
const ELEMENTS: usize = 20_000;
const DEPTH: usize = 64;

/// Reads the roles of the page's content, if the document is tagged.
pub(super) fn read(open: &OpenPage<'_>, page: &mut RawPage) {
    roles(open, page);
    if !(open.document.tagged && tells_of_all(page)) {
        distrust(page);
    }
}

/// Whether the structure says of every letter of the page what it is, and nothing absurd: that most of it is headings, or that
/// more than a third of it is no text.
fn tells_of_all(page: &RawPage) -> bool {
    let roles: Vec<Option<Role>> = page.runs.iter().map(|run| page.role(run)).collect();
    let (mut letters, mut headings, mut furniture) = (0_usize, 0_usize, 0_usize);
    for glyph in page.glyphs.iter().filter(|glyph| glyph.character != ' ') {
        letters += 1;
        match roles.get(glyph.run as usize).copied().flatten() {
            Some(Role::Heading(_)) => headings += 1,
            Some(Role::Furniture) => furniture += 1,
            Some(Role::Item(_) | Role::Body) => {}
            None => return false,
        }
    }
    furniture * 3 <= letters && headings * 5 < (letters - furniture) * 2
}

/// Without a sound structure only headings are taken from it, which are looked at again when more of the document is known.
fn distrust(page: &mut RawPage) {
    page.runs.iter_mut().for_each(|run| run.artifact = false);
    for role in page.roles.values_mut() {
        if let Role::Item(_) | Role::Furniture = role {
            *role = Role::Body;
        }
    }
}

fn roles(open: &OpenPage<'_>, page: &mut RawPage) {
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
        let (mut elements, mut items) = (0, 0);
        while let Some((element, outer, depth)) = left.pop() {
            elements += 1;
            if element.is_null() || elements > ELEMENTS {
                continue;
            }
            let kind = wide(|buffer, bytes| pdfium.FPDF_StructElement_GetType(element, buffer.cast(), bytes as _) as usize);
            let role = role(&kind, outer, &mut items);
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

/// What an element of this type inside of one with the role `outer` is; `items` counts those of lists.
fn role(kind: &str, outer: Role, items: &mut u32) -> Role {
    match kind.as_bytes() {
        [b'H', level @ b'1'..=b'6'] => Role::Heading(level - b'0'),
        b"Title" => Role::Heading(1),
        b"H" => Role::Heading(2),
        b"LI" => {
            *items += 1;
            Role::Item(*items)
        }
        // An item's paragraphs are its own.
        b"P" | b"LBody" if matches!(outer, Role::Item(_)) => outer,
        b"P" | b"TD" | b"TH" | b"LBody" | b"Caption" | b"Note" | b"TOCI" => Role::Body,
        _ => outer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use crate::raw::{Glyph, Run};

    #[test]
    fn roles_by_type() {
        let mut items = 0;
        let mut role = |kind, outer| role(kind, outer, &mut items);
        assert_eq!(role("H3", Role::Body), Role::Heading(3));
        assert_eq!(role("H7", Role::Body), Role::Body);
        assert_eq!(role("P", Role::Heading(1)), Role::Body);
        assert_eq!(role("Span", Role::Heading(1)), Role::Heading(1));
        assert_eq!(role("LI", Role::Body), Role::Item(1));
        assert_eq!(role("LI", Role::Item(1)), Role::Item(2), "one inside of another is one of its own");
        for part in ["LBody", "P", "Lbl", "Span"] {
            assert_eq!(role(part, Role::Item(2)), Role::Item(2));
        }
        assert_eq!(role("TD", Role::Item(2)), Role::Body);
    }

    /// A page with so many letters of each piece of content, and so many of an artifact; content 0 is a heading, 1 an item.
    fn page(contents: &[(Option<i32>, usize)], artifact: usize) -> RawPage {
        let run = Run {
            size: 10.0,
            degrees: 0,
            bold: false,
            italic: false,
            monospaced: false,
            font: 0,
            content: None,
            artifact: false,
        };
        let mut page = RawPage::default();
        page.roles.extend([(0, Role::Heading(1)), (1, Role::Item(1)), (2, Role::Body)]);
        let glyph = |run| Glyph { character: 'a', origin: (0.0, 0.0), cell: Rect::default(), run };
        for (number, (content, letters)) in (0..).zip(contents) {
            page.runs.push(Run { content: *content, ..run });
            page.glyphs.extend(vec![glyph(number); *letters]);
        }
        let last = u32::try_from(page.runs.len()).expect("a few");
        page.runs.push(Run { artifact: true, ..run });
        page.glyphs.extend(vec![glyph(last); artifact]);
        page
    }

    #[test]
    fn a_structure_is_sound_if_it_tells_of_all_text_and_nothing_absurd() {
        let (heading, item, body) = (Some(0), Some(1), Some(2));
        assert!(tells_of_all(&page(&[(heading, 10), (item, 40), (body, 40)], 10)));
        assert!(!tells_of_all(&page(&[(item, 40), (body, 40), (None, 1)], 10)), "a letter that is told nothing of");
        assert!(!tells_of_all(&page(&[(item, 40), (Some(7), 1)], 0)), "content that is not in the tree");
        assert!(!tells_of_all(&page(&[(item, 40)], 60)), "most of it is no text");
        assert!(!tells_of_all(&page(&[(heading, 40), (body, 40)], 0)), "half of it is headings");
        assert!(!tells_of_all(&page(&[], 0)), "nothing at all");
        let mut page = page(&[(heading, 10), (item, 40), (None, 1)], 10);
        distrust(&mut page);
        assert!(page.runs.iter().all(|run| !run.artifact));
        assert_eq!(page.roles.values().copied().collect::<Vec<_>>(), [Role::Heading(1), Role::Body, Role::Body]);
    }
}

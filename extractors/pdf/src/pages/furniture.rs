//! What stands on page after page in the same place: running headers and footers, and page numbers.

use std::collections::VecDeque;

use crate::layout::Laid;
use crate::layout::block::{Block, Line, without_soft_hyphens};
use crate::raw::Role;

/// Running heads stand within this part of the page's height, from its edge.
const MARGIN: f32 = 0.14;
/// Lines that are looked at, from each edge.
const LINES: usize = 4;
/// Pages on either side that are compared with.
const NEAR: usize = 6;
/// They stand within this of the same height, in points.
const SAME: f32 = 4.0;
/// The body begins at least this far from them, in ems.
const GAP: f32 = 0.45;

/// A line at the edge of a page.
#[derive(Clone, Debug)]
struct Edge {
    /// From the page's edge, in points.
    distance: f32,
    /// Its text, with every number as `#`.
    pattern: String,
    /// Its last number, or what of it is one.
    number: Option<i64>,
}

#[derive(Debug)]
struct Seen {
    page: u32,
    top: Vec<Edge>,
    bottom: Vec<Edge>,
}

/// The edges of the pages around the one in question.
#[derive(Debug)]
pub(super) struct Furniture {
    seen: VecDeque<Seen>,
    pages: u32,
}

impl Furniture {
    pub(super) fn new(pages: u32) -> Self {
        Self { seen: VecDeque::new(), pages }
    }

    /// Looks at a page that has been read.
    pub(super) fn see(&mut self, page: u32, laid: &Laid) {
        let edges = |top: bool| candidates(laid, top).into_iter().map(|line| edge(line, laid, top)).collect();
        self.seen.push_back(Seen { page, top: edges(true), bottom: edges(false) });
        if self.seen.len() > 2 * NEAR + 3 {
            self.seen.pop_front();
        }
    }

    /// Takes header and footer out of a page.
    pub(super) fn take(&self, page: u32, laid: &mut Laid) -> (Option<String>, Option<String>) {
        let header = self.side(page, laid, true);
        let mut footer = self.side(page, laid, false);
        // What runs another way has no side: watermarks.
        let aside = take(&mut laid.aside, is_marked);
        if !aside.is_empty() {
            let aside = joined(&aside);
            footer = Some(footer.map_or_else(|| aside.clone(), |footer| format!("{footer}\n{aside}")));
        }
        (header, footer)
    }

    fn side(&self, page: u32, laid: &mut Laid, top: bool) -> Option<String> {
        let lines: Vec<Line> = candidates(laid, top).into_iter().cloned().collect();
        let repeated: Vec<bool> =
            lines.iter().map(|line| is_marked(line) || self.is_repeated(page, &edge(line, laid, top), top)).collect();
        // From the edge inwards, as long as they are; a line beside another one counts as one with it.
        let mut count = repeated.iter().take_while(|repeated| **repeated).count();
        while count > 0 && count < lines.len() {
            let (last, next) = (&lines[count - 1], &lines[count]);
            let gap = if top { last.rect.bottom - next.rect.top } else { next.rect.bottom - last.rect.top };
            if is_marked(last) || gap >= GAP * last.size.min(next.size) {
                break;
            }
            count -= 1;
        }
        let taken = &lines[..count];
        let is_taken = |line: &Line| taken.iter().any(|taken| taken.rect == line.rect && taken.text == line.text);
        let middle = laid.frame.middle().1;
        let here = |line: &Line| (line.rect.middle().1 >= middle) == top;
        let gone = take(&mut laid.blocks, |line| is_taken(line) || (is_marked(line) && here(line)));
        let mut all = taken.to_vec();
        all.extend(gone.into_iter().filter(|line| !is_taken(line)));
        if all.is_empty() {
            return None;
        }
        all.sort_by(|a, b| b.baseline.total_cmp(&a.baseline));
        Some(joined(&all))
    }

    fn is_repeated(&self, page: u32, edge: &Edge, top: bool) -> bool {
        let others = self.seen.iter().filter(|seen| seen.page != page && seen.page.abs_diff(page) as usize <= NEAR);
        let mut found = 0;
        for seen in others {
            let edges = if top { &seen.top } else { &seen.bottom };
            let same = |other: &Edge| {
                let counted = match (edge.number, other.number) {
                    (Some(a), Some(b)) => b.checked_sub(a) == Some(i64::from(seen.page) - i64::from(page)),
                    (_, _) => false,
                };
                let bare = edge.pattern.trim_matches(['-', '–', '—', ' ', '[', ']', '(', ')', '|', '/']) == "#";
                (edge.distance - other.distance).abs() <= SAME && edge.pattern == other.pattern && (counted || !bare)
            };
            found += usize::from(edges.iter().any(same));
        }
        // Left and right pages may differ: a third of those nearby is enough.
        found >= if self.pages <= 3 { 1 } else { 2 }
    }
}

/// Whether the document itself says that a line is no part of its text.
fn is_marked(line: &Line) -> bool {
    line.role == Some(Role::Furniture)
}

/// Takes the lines out of paragraphs that are to go, and the paragraphs that have no other.
fn take(blocks: &mut Vec<Block>, goes: impl Fn(&Line) -> bool) -> Vec<Line> {
    let mut taken = Vec::new();
    blocks.retain_mut(|block| match block {
        Block::Paragraph(paragraph) => {
            taken.extend(paragraph.lines.extract_if(.., |line| goes(line)));
            !paragraph.lines.is_empty()
        }
        Block::Table(_) => true,
    });
    taken
}

fn joined(lines: &[Line]) -> String {
    let text: Vec<_> = lines.iter().map(|line| without_soft_hyphens(&line.text)).collect();
    text.join("\n")
}

/// The lines nearest to an edge, from it inwards.
fn candidates(laid: &Laid, top: bool) -> Vec<&Line> {
    let frame = &laid.frame;
    let reach = MARGIN * frame.height();
    let near = |line: &&Line| if top { frame.top - line.rect.top <= reach } else { line.rect.bottom - frame.bottom <= reach };
    let paragraphs = laid.blocks.iter().filter_map(|block| match block {
        Block::Paragraph(paragraph) => Some(paragraph),
        Block::Table(_) => None,
    });
    let mut lines: Vec<&Line> = paragraphs.flat_map(|paragraph| &paragraph.lines).filter(near).collect();
    lines.sort_by(|a, b| if top { b.rect.top.total_cmp(&a.rect.top) } else { a.rect.bottom.total_cmp(&b.rect.bottom) });
    lines.truncate(LINES);
    lines
}

fn edge(line: &Line, laid: &Laid, top: bool) -> Edge {
    let distance = if top { laid.frame.top - line.rect.top } else { line.rect.bottom - laid.frame.bottom };
    let mut pattern = String::new();
    let mut number = None;
    let mut digits = String::new();
    for character in line.text.chars().chain([' ']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        if !digits.is_empty() {
            pattern.push('#');
            number = number.or_else(|| digits.parse().ok());
            digits.clear();
        }
        pattern.extend(character.to_lowercase());
    }
    let pattern = pattern.trim().to_owned();
    match roman(&pattern) {
        Some(value) => Edge { distance, pattern: "#".to_owned(), number: Some(value) },
        None => Edge { distance, pattern, number },
    }
}

/// The value of a lower-case Roman numeral.
fn roman(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 8 {
        return None;
    }
    let value = |byte: u8| {
        Some(match byte {
            b'i' => 1,
            b'v' => 5,
            b'x' => 10,
            b'l' => 50,
            b'c' => 100,
            _ => return None,
        })
    };
    let mut total = 0;
    let mut last = 0;
    for byte in text.bytes().rev() {
        let value: i64 = value(byte)?;
        total += if value < last { -value } else { value };
        last = last.max(value);
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roman_numerals() {
        for (text, value) in [("iv", 4), ("xii", 12), ("xc", 90), ("i", 1)] {
            assert_eq!(roman(text), Some(value));
        }
        assert_eq!(roman("mix"), None);
        assert_eq!(roman(""), None);
    }
}

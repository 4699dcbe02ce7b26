//! The marks of one page to blocks in reading order.
//!
//! ```text
//!   marks ─▶ words ─▶ ruled tables ─▶ rows ─▶ aligned tables ─▶ columns ─▶ paragraphs
//! ```
//! Each direction of writing is laid out by itself, in a frame in which it runs from left to right; the one with most
//! characters first.

mod aligned;
pub(crate) mod block;
mod cut;
pub(crate) mod list;
pub(crate) mod paragraph;
mod row;
mod ruled;
mod word;

use eventmesh_guest::Link;

use crate::geometry::{Rect, Turn};
use crate::raw::{RawPage, Rule};
use block::{Block, Table};
use word::{Atom, Direction, Word};

/// A page in reading order.
#[derive(Debug, Default)]
pub(crate) struct Laid {
    /// What runs in the main direction.
    pub(crate) blocks: Vec<Block>,
    /// What runs in any other.
    pub(crate) aside: Vec<Block>,
    /// Where the page itself lies in the frame of the main direction.
    pub(crate) frame: Rect,
    pub(crate) links: Vec<Link>,
}

/// Directions of writing that are told apart on a page; a drawing may have text at every angle.
const DIRECTIONS: usize = 8;

/// Lays out a page.
pub(crate) fn layout(page: &RawPage) -> Laid {
    let mut laid = Laid::default();
    for (index, degrees) in directions(page).into_iter().enumerate() {
        let turn = Turn::back(degrees);
        let frame = turn.rect(&page.bounds);
        let mut atoms = word::atoms(page, degrees);
        if index == 0 {
            laid.frame = frame;
            for (rect, value) in &page.filled {
                let rect = turn.rect(rect);
                // It belongs to what stands before it in its row, or else above it.
                let before = atoms.iter().filter(|atom| atom.rect.left < rect.right && atom.rect.bottom < rect.top + 1.0);
                let far =
                    |atom: &Atom| (rect.middle().1 - atom.rect.middle().1).abs() * 4.0 + (rect.left - atom.rect.right).abs();
                let order = before.min_by(|a, b| far(a).total_cmp(&far(b))).map_or(0, |atom| atom.order);
                atoms.extend(filled(&rect, value, order));
            }
        }
        mark_links(page, &turn, &mut atoms, &mut laid.links);
        let tables = if index == 0 { ruled_tables(page, &turn, &mut atoms) } else { Vec::new() };
        let segments = row::segments(atoms);
        let (mut pieces, tables) = aligned::tables(segments, tables);
        pieces.extend(tables);
        let regions = cut::regions(pieces);
        let blocks = paragraph::blocks(regions);
        if index == 0 { laid.blocks = blocks } else { laid.aside.extend(blocks) }
    }
    laid
}

/// The directions in which there is text, the one with most of it first.
fn directions(page: &RawPage) -> Vec<i32> {
    let mut counts: Vec<(i32, usize)> = Vec::new();
    for glyph in &page.glyphs {
        let degrees = page.runs[glyph.run as usize].degrees;
        match counts.iter().position(|(known, _)| *known == degrees) {
            Some(place) => counts[place].1 += 1,
            None => counts.push((degrees, 1)),
        }
    }
    if counts.is_empty() && !page.filled.is_empty() {
        counts.push((0, 1));
    }
    counts.sort_by_key(|(degrees, count)| (std::cmp::Reverse(*count), *degrees));
    counts.truncate(DIRECTIONS);
    counts.into_iter().map(|(degrees, _)| degrees).collect()
}

/// The value of a form field as lines in its place.
fn filled(rect: &Rect, value: &str, order: usize) -> Vec<Atom> {
    let lines = value.lines().filter(|line| !line.trim().is_empty()).count().max(1) as f32;
    let size = (0.7 * rect.height() / lines).clamp(4.0, 12.0);
    let step = if lines > 1.0 { (rect.height() / lines).min(1.3 * size) } else { rect.height() };
    let mut top = rect.top;
    let mut atoms = Vec::new();
    for line in value.lines().filter(|line| !line.trim().is_empty()) {
        let baseline = top - step / 2.0 - 0.35 * size;
        let place = Rect { bottom: baseline - 0.2 * size, top: baseline + 0.8 * size, ..*rect };
        top -= step;
        // The words share the field evenly: where each one stands is not known, and does not matter.
        let words: Vec<&str> = line.split_whitespace().collect();
        let each = (place.width() / words.len() as f32).min(2.0 * size);
        let words = words.iter().enumerate().map(|(index, text)| {
            let left = place.left + each * index as f32;
            Word {
                text: (*text).to_owned(),
                rect: Rect { left, right: left + 0.9 * each, ..place },
                size,
                bold: false,
                monospaced: false,
                direction: if text.chars().any(word::is_right_to_left) { Direction::RightToLeft } else { Direction::LeftToRight },
                role: None,
                link: None,
            }
        });
        let words: Vec<Word> = words.collect();
        let right = words.last().map_or(place.right, |word| word.rect.right);
        atoms.push(Atom { words, rect: Rect { right, ..place }, baseline, size, space_before: true, space_after: true, order });
    }
    atoms
}

/// Tells the words that lead elsewhere, and lists where to.
fn mark_links(page: &RawPage, turn: &Turn, atoms: &mut [Atom], links: &mut Vec<Link>) {
    for (index, anchor) in page.anchors.iter().enumerate() {
        let rect = turn.rect(&anchor.rect);
        let mut text = String::new();
        for atom in atoms.iter_mut().filter(|atom| atom.rect.shared_width(&rect) > 0.0 && atom.rect.shared_height(&rect) > 0.0) {
            for word in atom.words.iter_mut().filter(|word| rect.contains(word.rect.middle())) {
                word.link = u16::try_from(index).ok();
                block::append(&mut text, &word.text);
            }
        }
        if !links.iter().any(|link| link.href == anchor.href && link.text == text) {
            links.push(Link { href: anchor.href.clone(), text, rel: None });
        }
    }
}

/// Finds the tables with rules and takes their words out of `atoms`.
fn ruled_tables(page: &RawPage, turn: &Turn, atoms: &mut Vec<Atom>) -> Vec<(Table, usize)> {
    if page.rules.len() < 4 {
        return Vec::new();
    }
    let quarter = turn.is_upright();
    let rules: Vec<Rule> =
        page.rules.iter().map(|rule| Rule { rect: turn.rect(&rule.rect), upright: rule.upright == quarter }).collect();
    let mut words: Vec<(usize, Word)> =
        atoms.iter().flat_map(|atom| atom.words.iter().map(|word| (atom.order, word.clone()))).collect();
    let tables = ruled::tables(&rules, &mut words);
    if tables.is_empty() {
        return Vec::new();
    }
    for atom in atoms.iter_mut() {
        atom.words.retain(|word| !tables.iter().any(|(table, _)| table.rect.contains(ruled::place(word))));
        if let (Some(first), Some(last)) = (atom.words.first(), atom.words.last()) {
            atom.rect =
                Rect { left: first.rect.left.min(last.rect.left), right: last.rect.right.max(first.rect.right), ..atom.rect };
        }
    }
    atoms.retain(|atom| !atom.words.is_empty());
    tables
}

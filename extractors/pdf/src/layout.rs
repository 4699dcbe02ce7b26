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
    /// More was there than is read of a page.
    pub(crate) cut_short: bool,
}

/// Directions of writing that are told apart on a page of very many characters; any other may have text at every angle.
const DIRECTIONS: usize = 8;

/// Characters of a page whose columns and tables are looked for.
const CHARACTERS: usize = 200_000;

/// Lays out a page.
pub(crate) fn layout(page: &RawPage) -> Laid {
    let mut laid = Laid::default();
    let mut texts = vec![String::new(); page.anchors.len()];
    let mut directions = directions(page);
    // Each is a walk over all characters.
    if page.glyphs.len() > CHARACTERS && directions.len() > DIRECTIONS {
        directions.truncate(DIRECTIONS);
        laid.cut_short = true;
    }
    for (index, degrees) in directions.into_iter().enumerate() {
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
        mark_links(page, &turn, &mut atoms, &mut texts);
        // A page of so many characters is no page that anybody reads: what is drawn is read as it was drawn.
        let plain = page.glyphs.len() > CHARACTERS;
        let tables = if index == 0 && !plain { ruled_tables(page, &turn, &mut atoms) } else { Vec::new() };
        let segments = row::segments(atoms);
        let regions = if plain {
            vec![segments.into_iter().map(cut::Piece::Segment).collect()]
        } else {
            let (mut pieces, tables) = aligned::tables(segments, tables);
            pieces.extend(tables);
            cut::regions(pieces)
        };
        let blocks = paragraph::blocks(regions);
        if index == 0 { laid.blocks = blocks } else { laid.aside.extend(blocks) }
    }
    laid.links = links(page, texts);
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

/// Pieces of lines that are compared with areas that lead elsewhere, in all.
const LINK_STEPS: usize = 20_000_000;
/// Bytes of what a link says.
const LINK_TEXT: usize = 500;

/// Tells the words that lead elsewhere, and gathers what each area says.
fn mark_links(page: &RawPage, turn: &Turn, atoms: &mut [Atom], texts: &mut [String]) {
    for (index, (anchor, text)) in page.anchors.iter().zip(texts).enumerate() {
        let rect = turn.rect(&anchor.rect);
        if index * atoms.len() > LINK_STEPS {
            break;
        }
        for atom in atoms.iter_mut().filter(|atom| atom.rect.shared_width(&rect) > 0.0 && atom.rect.shared_height(&rect) > 0.0) {
            for word in atom.words.iter_mut().filter(|word| rect.contains(word.rect.middle())) {
                word.link = u16::try_from(index).ok();
                if text.len() < LINK_TEXT {
                    block::append(text, &word.text);
                }
            }
        }
    }
}

/// Where all areas lead, those that say nothing included; each once.
fn links(page: &RawPage, texts: Vec<String>) -> Vec<Link> {
    let mut seen = std::collections::BTreeSet::new();
    let all = page.anchors.iter().zip(texts);
    let new = all.filter(|(anchor, text)| seen.insert((anchor.href.as_str(), text.clone())));
    new.map(|(anchor, text)| Link { href: anchor.href.clone(), text, rel: None }).collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raw::{Glyph, Run};

    /// A page of 600 by 800 points with these lines, each character 5 points wide and 10 high.
    fn page(lines: &[(f32, f32, &str)]) -> RawPage {
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
        let bounds = Rect { left: 0.0, bottom: 0.0, right: 600.0, top: 800.0 };
        let mut page = RawPage { width: 600.0, height: 800.0, bounds, runs: vec![run], ..RawPage::default() };
        for (x, y, text) in lines {
            for (index, character) in text.chars().enumerate() {
                let left = x + 5.0 * index as f32;
                let cell = Rect { left, bottom: y - 2.0, right: left + 5.0, top: y + 8.0 };
                page.glyphs.push(Glyph { character, origin: (left, *y), cell, run: 0 });
            }
        }
        page
    }

    /// Paragraphs as lines, tables as rows in brackets.
    fn read(page: &RawPage) -> Vec<String> {
        let laid = layout(page);
        let of = |block: &Block| match block {
            Block::Paragraph(paragraph) => vec![paragraph.text().0],
            Block::Table(table) => table.rows.iter().map(|row| format!("[{}]", row.join("|"))).collect(),
        };
        laid.blocks.iter().chain(&laid.aside).flat_map(of).collect()
    }

    const LEFT: [&str; 4] = [
        "The first column has four lines of",
        "running text that nearly fill it up",
        "to its end and are read before all",
        "that stands beside them on the page.",
    ];
    const RIGHT: [&str; 4] = [
        "The second column is as long as the",
        "first, its lines stand level with it",
        "and it is read when the first one",
        "is over, whatever else may be here.",
    ];

    fn column(x: f32, lines: &[&'static str]) -> Vec<(f32, f32, &'static str)> {
        lines.iter().enumerate().map(|(index, line)| (x, 700.0 - 12.0 * index as f32, *line)).collect()
    }

    #[test]
    fn columns_are_read_one_after_the_other_however_they_were_drawn() {
        let (left, right) = (column(40.0, &LEFT), column(320.0, &RIGHT));
        let expected = [LEFT.join(" "), RIGHT.join(" ")];
        let drawn_by_columns = [left.clone(), right.clone()].concat();
        assert_eq!(read(&page(&drawn_by_columns)), expected);
        let drawn_backwards = [right.clone(), left.clone()].concat();
        assert_eq!(read(&page(&drawn_backwards)), expected);
        let shuffled: Vec<_> = [3, 0, 2, 1].into_iter().flat_map(|row| [right[row], left[(row + 2) % 4]]).collect();
        assert_eq!(read(&page(&shuffled)), expected);
    }

    #[test]
    fn what_lies_across_columns_parts_them() {
        let mut lines = column(40.0, &LEFT);
        lines.extend(column(320.0, &RIGHT));
        lines.insert(
            0,
            (40.0, 740.0, "A line over both of the columns that goes on to the very end of the second one, as headings do"),
        );
        let below: Vec<_> =
            column(40.0, &LEFT).into_iter().chain(column(320.0, &RIGHT)).map(|(x, y, text)| (x, y - 200.0, text)).collect();
        lines.push((
            40.0,
            600.0,
            "A line between them that goes on to the very end of the second one as well, as pictures' titles do",
        ));
        lines.extend(below);
        let read = read(&page(&lines));
        let places: Vec<usize> = ["A line over", "The first", "The second", "A line between"]
            .iter()
            .map(|begin| read.iter().position(|block| block.starts_with(begin)).expect("it is there"))
            .collect();
        assert!(places.is_sorted(), "{read:#?}");
        assert_eq!(read.iter().filter(|block| block.starts_with("The second")).count(), 2, "{read:#?}");
    }

    #[test]
    fn numbers_below_each_other_are_a_table() {
        let rows = [("Name", "Size", "Count"), ("alpha", "12", "7"), ("beta", "130", "44"), ("gamma", "9", "1")];
        let lines: Vec<(f32, f32, &str)> = rows
            .iter()
            .enumerate()
            .flat_map(|(index, (a, b, c))| {
                let y = 700.0 - 14.0 * index as f32;
                [(40.0, y, *a), (140.0, y, *b), (240.0, y, *c)]
            })
            .collect();
        assert_eq!(read(&page(&lines)), ["[Name|Size|Count]", "[alpha|12|7]", "[beta|130|44]", "[gamma|9|1]"]);
    }

    #[test]
    fn rules_make_cells() {
        let mut page = page(&[
            (45.0, 700.0, "long entry"),
            (45.0, 688.0, "of two lines"),
            (145.0, 700.0, "x"),
            (45.0, 660.0, "y"),
            (145.0, 660.0, "z"),
        ]);
        let rule = |left, bottom, right, top, upright| Rule { rect: Rect { left, bottom, right, top }, upright };
        for y in [720.0, 675.0, 650.0] {
            page.rules.push(rule(40.0, y, 240.0, y, false));
        }
        for x in [40.0, 140.0, 240.0] {
            page.rules.push(rule(x, 650.0, x, 720.0, true));
        }
        assert_eq!(read(&page), ["[long entry of two lines|x]", "[y|z]"]);
    }

    #[test]
    fn letters_that_are_spaced_are_words_and_right_to_left_is_turned() {
        let spaced: String = "W I D E".to_owned();
        assert_eq!(read(&page(&[(40.0, 700.0, "plain words")])), ["plain words"]);
        assert_eq!(read(&page(&[(40.0, 700.0, &spaced)])), ["W I D E"], "spaces that are drawn are spaces");
        let mut wide = page(&[(40.0, 700.0, "WIDEWORDS")]);
        // Every letter two points further, and four more after the fourth.
        for (index, glyph) in wide.glyphs.iter_mut().enumerate() {
            let shift = 2.0 * index as f32 + if index > 3 { 4.0 } else { 0.0 };
            (glyph.cell.left, glyph.cell.right, glyph.origin.0) =
                (glyph.cell.left + shift, glyph.cell.right + shift, glyph.origin.0 + shift);
        }
        assert_eq!(read(&wide), ["WIDE WORDS"]);
        // As it stands on the page, from left to right.
        assert_eq!(read(&page(&[(40.0, 700.0, "םולש 42")])), ["42 שלום"]);
    }

    #[test]
    fn areas_that_lead_elsewhere_are_listed_once_whatever_runs_where() {
        let anchor = |left: f32, href: &str| crate::raw::Anchor {
            rect: Rect { left, bottom: 695.0, right: left + 60.0, top: 712.0 },
            href: href.to_owned(),
        };
        let make = || RawPage { anchors: vec![anchor(40.0, "a"), anchor(300.0, "b")], ..page(&[(40.0, 700.0, "level text")]) };
        // The same page with a word that runs upwards, and one without any.
        let (mut turned, mut empty) = (make(), make());
        turned.runs.push(Run { degrees: 90, ..turned.runs[0] });
        turned.glyphs.iter_mut().skip(6).for_each(|glyph| glyph.run = 1);
        empty.glyphs.clear();
        for page in [make(), turned, empty] {
            let hrefs: Vec<String> = layout(&page).links.into_iter().map(|link| link.href).collect();
            assert_eq!(hrefs, ["a", "b"]);
        }
    }

    #[test]
    fn text_at_every_angle_is_read() {
        let mut page = page(&[(40.0, 700.0, "abcdefghijklmnopqrstuvwxyz")]);
        page.runs = (0..26).map(|index| Run { degrees: 13 * index, ..page.runs[0] }).collect();
        (0..).zip(&mut page.glyphs).for_each(|(index, glyph)| glyph.run = index);
        assert_eq!(read(&page).concat().len(), 26);
    }

    proptest! {
        /// Whatever stands wherever: it comes out, every letter of it, and nothing panics.
        #[test]
        fn nothing_is_lost(
            words in prop::collection::vec((0.0f32..600.0, 0.0f32..800.0, "[a-zא-ת0-9]{1,8}"), 0..120),
            rules in prop::collection::vec((0.0f32..600.0, 0.0f32..800.0, 0.0f32..300.0, any::<bool>()), 0..40),
            degrees in prop::sample::select(vec![0, 90, 180, 270, 33]),
        ) {
            let lines: Vec<(f32, f32, &str)> = words.iter().map(|(x, y, text)| (*x, *y, text.as_str())).collect();
            let mut page = page(&lines);
            page.runs[0].degrees = degrees;
            for (x, y, length, upright) in rules {
                let rect = if upright {
                    Rect { left: x, bottom: y, right: x, top: y + length }
                } else {
                    Rect { left: x, bottom: y, right: x + length, top: y }
                };
                page.rules.push(Rule { rect, upright });
            }
            let sorted = |text: String| {
                let mut letters: Vec<char> = text.chars().filter(|character| character.is_alphanumeric()).collect();
                letters.sort_unstable();
                letters
            };
            let all = words.iter().map(|(_, _, text)| text.as_str()).collect::<String>();
            prop_assert_eq!(sorted(read(&page).concat()), sorted(all));
        }
    }
}

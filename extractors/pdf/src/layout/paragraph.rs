//! Lines to paragraphs: by the step between them, by what the first line looks like, and by where the last one ended.

use std::collections::BTreeSet;

use super::block::{Block, Line, Paragraph, line_text};
use super::cut::Piece;
use super::list::{Marker, marker};
use super::row::Segment;
use super::word::Word;
use crate::raw::Role;

/// Sizes this far apart are two, as a ratio.
const SIZES: f32 = 1.12;
/// A step this much wider than the usual one parts paragraphs.
const STEP: f32 = 1.3;
/// And this one does so whatever is usual, in ems.
const LARGEST_STEP: f32 = 2.3;
/// A first line is set in by this much, in ems.
const INDENT: f32 = 0.8;

/// A line with what decides where it belongs.
#[derive(Debug)]
struct Row {
    line: Line,
    marker: Option<Marker>,
    first_word: f32,
    right_to_left: bool,
}

/// Blocks in reading order.
pub(crate) fn blocks(regions: Vec<Vec<Piece>>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut items = BTreeSet::new();
    for region in regions {
        let begin = blocks.len();
        let mut rows: Vec<Row> = Vec::new();
        let mut line: Vec<Segment> = Vec::new();
        for piece in region {
            match piece {
                Piece::Segment(segment) => {
                    if line.last().is_some_and(|last| last.row != segment.row) {
                        rows.push(row(std::mem::take(&mut line)));
                    }
                    line.push(segment);
                }
                Piece::Table { table, .. } => {
                    rows.extend((!line.is_empty()).then(|| row(std::mem::take(&mut line))));
                    paragraphs(&std::mem::take(&mut rows), &mut items, &mut blocks);
                    blocks.push(Block::Table(table));
                }
            }
        }
        rows.extend((!line.is_empty()).then(|| row(line)));
        paragraphs(&rows, &mut items, &mut blocks);
        join_over_columns(&mut blocks, begin);
    }
    blocks
}

fn row(segments: Vec<Segment>) -> Row {
    let rect = segments.iter().map(|segment| segment.rect).reduce(|a, b| a.union(&b)).unwrap_or_default();
    let largest = segments.iter().max_by(|a, b| a.size.total_cmp(&b.size));
    let (size, baseline) = largest.map_or((10.0, rect.bottom), |segment| (segment.size, segment.baseline));
    let mut words: Vec<Word> = segments.into_iter().flat_map(|segment| segment.words).collect();
    let letters =
        |test: &dyn Fn(&Word) -> bool| words.iter().filter(|word| test(word)).map(|word| word.text.len()).sum::<usize>();
    let all = letters(&|_| true);
    let back = letters(&|word| word.direction == super::word::Direction::RightToLeft);
    let bold = letters(&|word| word.bold) * 10 >= all * 9;
    let monospaced = letters(&|word| word.monospaced) * 10 >= all * 9;
    let role = words.first().and_then(|word| word.role).filter(|role| words.iter().all(|word| word.role == Some(*role)));
    let (text, links) = line_text(&mut words);
    let first_word = words.first().map_or(0.0, |word| word.rect.width());
    let marker = (words.len() > 1).then(|| words.first().and_then(|word| marker(&word.text))).flatten();
    let line = Line { text, rect, baseline, size, bold, monospaced, role, words: words.len(), links };
    Row { line, marker, first_word, right_to_left: back * 2 > all }
}

/// Gathers the lines of one column. `items` are those of the tagged structure that have begun.
fn paragraphs(rows: &[Row], items: &mut BTreeSet<u32>, blocks: &mut Vec<Block>) {
    let mut steps: Vec<f32> =
        rows.windows(2).map(|pair| pair[0].line.baseline - pair[1].line.baseline).filter(|step| *step > 0.5).collect();
    steps.sort_by(f32::total_cmp);
    // The usual step within a paragraph: rather one of the smaller ones.
    let usual = steps.get(steps.len() * 2 / 5).copied().unwrap_or(f32::INFINITY);
    let mut open: Option<(Paragraph, State)> = None;
    let mut known_edges = (0.0, (0.0, 0.0));
    for (index, row) in rows.iter().enumerate() {
        if known_edges.0 != row.line.size {
            known_edges = (row.line.size, edges(rows, row.line.size));
        }
        let edges = known_edges.1;
        let goes_on = open.as_ref().is_some_and(|(paragraph, state)| {
            let before = index.checked_sub(1).map(|before| &rows[before]);
            before.is_some_and(|before| state.goes_on(paragraph, before, row, usual, edges))
        });
        match &mut open {
            Some((paragraph, state)) if goes_on => {
                if paragraph.lines.len() == 1 {
                    state.left = row.line.rect.left;
                }
                state.step = Some(paragraph.lines.last().map_or(0.0, |last| last.baseline) - row.line.baseline);
                paragraph.rect = paragraph.rect.union(&row.line.rect);
                paragraph.lines.push(row.line.clone());
            }
            _ => {
                blocks.extend(open.take().map(|(paragraph, _)| Block::Paragraph(paragraph)));
                // Only what an item begins with is marked; its other paragraphs go on with it.
                let begins = matches!(row.line.role, Some(Role::Item(item)) if items.insert(item));
                let marker = row.marker.clone().or_else(|| begins.then_some(Marker::Tagged));
                let paragraph = Paragraph { lines: vec![row.line.clone()], rect: row.line.rect, marker };
                open = Some((paragraph, State { left: row.line.rect.left, step: None }));
            }
        }
    }
    blocks.extend(open.map(|(paragraph, _)| Block::Paragraph(paragraph)));
}

/// Where the lines of about this size begin and end.
fn edges(rows: &[Row], size: f32) -> (f32, f32) {
    let same = rows.iter().filter(|row| alike(row.line.size, size));
    same.fold((f32::INFINITY, f32::NEG_INFINITY), |(left, right), row| {
        (left.min(row.line.rect.left), right.max(row.line.rect.right))
    })
}

fn alike(a: f32, b: f32) -> bool {
    a < SIZES * b && b < SIZES * a
}

struct State {
    /// Where its lines begin, but for the first.
    left: f32,
    step: Option<f32>,
}

impl State {
    fn goes_on(&self, paragraph: &Paragraph, before: &Row, row: &Row, usual: f32, (left, right): (f32, f32)) -> bool {
        let (last, line) = (&before.line, &row.line);
        let em = line.size;
        let step = last.baseline - line.baseline;
        let code = last.monospaced && line.monospaced;
        let known = self.step.unwrap_or(usual.min(1.6 * em));
        if !alike(last.size, line.size) || step <= 0.1 * em || step > LARGEST_STEP * em || step > STEP * known + 0.1 {
            return false;
        }
        if last.role != line.role && last.role.is_some() && line.role.is_some() {
            return false;
        }
        if code {
            return true;
        }
        if last.bold != line.bold || last.monospaced != line.monospaced || line.rect.shared_width(&last.rect) <= 0.0 {
            return false;
        }
        let ended = last.text.ends_with(['.', '!', '?', ':', ';', '"', '”', '»', ')', '。', '؟']);
        let (begin, room) = if row.right_to_left {
            (right - line.rect.right, last.rect.left - left)
        } else {
            (line.rect.left - left, right - last.rect.right)
        };
        let centred = (last.rect.middle().0 - line.rect.middle().0).abs() < 0.5 * em && begin > em;
        // The next word would have fitted.
        let short = room > row.first_word + 0.5 * em && !centred;
        match (&row.marker, &paragraph.marker) {
            (Some(Marker::Bullet), _) => return false,
            (Some(Marker::Number(_)), Some(_)) if line.rect.left < self.left + 0.5 * em => return false,
            (Some(Marker::Number(_)), None) if ended || short => return false,
            // Rows are marked by what can be read of them only.
            (Some(Marker::Number(_) | Marker::Tagged), _) | (None, _) => {}
        }
        if short && (ended || room > row.first_word + 3.0 * em) {
            return false;
        }
        // Set in, where the lines before were not: except the lines of an item, which hang.
        let hangs = paragraph.marker.is_some() && paragraph.lines.len() == 1;
        let set_in = !row.right_to_left && line.rect.left - self.left > INDENT * em;
        let first_only = paragraph.lines.len() == 1 && !ended;
        !(set_in && !hangs && !centred && !first_only)
    }
}

/// A paragraph that goes on at the top of the next column is one.
fn join_over_columns(blocks: &mut Vec<Block>, begin: usize) {
    if begin == 0 || begin >= blocks.len() {
        return;
    }
    let (before, after) = blocks.split_at_mut(begin);
    let (Some(Block::Paragraph(before)), Some(Block::Paragraph(after))) = (before.last_mut(), after.first_mut()) else { return };
    if continues(before, after) {
        before.lines.append(&mut after.lines);
        // Its place is that of its beginning: the columns between belong to others.
        blocks.remove(begin);
    }
}

/// Whether a paragraph goes on with another one, which stands in the next column.
fn continues(before: &Paragraph, after: &Paragraph) -> bool {
    End::of(before).is_some_and(|end| end.continues(after))
}

/// How a paragraph ends, to be compared with what comes next.
#[derive(Clone, Debug)]
pub(crate) struct End {
    text: String,
    size: f32,
    bold: bool,
    words: usize,
}

impl End {
    /// None if nothing can go on with it.
    pub(crate) fn of(paragraph: &Paragraph) -> Option<Self> {
        let last = paragraph.lines.last().filter(|last| !last.monospaced)?;
        Some(Self { text: last.text.clone(), size: last.size, bold: last.bold, words: last.words })
    }

    /// Whether `after` goes on with it.
    pub(crate) fn continues(&self, after: &Paragraph) -> bool {
        let Some(first) = after.lines.first() else { return false };
        let begins = first.text.chars().next();
        let lower = begins.is_some_and(char::is_lowercase);
        let divided =
            self.text.ends_with(['-', '\u{ad}', '\u{2010}']) && (lower || begins.is_some_and(|begins| begins.is_ascii_digit()));
        let open = !self.text.ends_with(['.', '!', '?', ':', ';', '"', '”', '»', '。', '؟']);
        let full = open && self.words >= 4 && first.words >= 2 && lower;
        let same = alike(self.size, first.size) && self.bold == first.bold && !first.monospaced;
        // An item that goes on with the page before begins on this one as far as the structure of one page tells.
        let unmarked = matches!(after.marker, None | Some(Marker::Tagged));
        same && unmarked && (divided || full)
    }
}

//! Pieces of lines to rows across the page, and rows to segments: what stands together without a gap.

use super::word::{Atom, Word};
use crate::geometry::Rect;

/// Words that stand together in one row.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) words: Vec<Word>,
    pub(crate) rect: Rect,
    pub(crate) baseline: f32,
    pub(crate) size: f32,
    /// Number of its row, from the top.
    pub(crate) row: usize,
    /// Its place in the order of drawing.
    pub(crate) order: usize,
}

/// Baselines this far apart are one row, in ems.
const SAME: f32 = 0.28;
/// What is smaller than its neighbour by this is raised or lowered beside it, within this, in ems of the larger.
const SMALLER: f32 = 0.85;
const RAISED: f32 = 0.6;
const BESIDE: f32 = 0.35;
/// Raised signs in one row.
const SIGNS: usize = 60;
/// A gap between two pieces is one between words up to here, in ems; if they were drawn one after the other, and if not.
const NEXT: f32 = 1.0;
const OTHER: f32 = 0.55;
/// Two pieces without a space are one word up to here.
const GLUED: f32 = 0.17;
/// The sign of a list item stands this near to its text, in ems.
const MARKER: f32 = 4.0;

#[derive(Debug)]
struct Row {
    baseline: f32,
    size: f32,
    atoms: Vec<Atom>,
}

/// All segments, by rows from the top, each row from the left.
pub(crate) fn segments(mut atoms: Vec<Atom>) -> Vec<Segment> {
    // The larger first, so that what is raised finds what it is raised beside.
    atoms.sort_by(|a, b| b.baseline.total_cmp(&a.baseline).then(a.order.cmp(&b.order)));
    let mut rows: Vec<Row> = Vec::new();
    let mut raised = Vec::new();
    for atom in atoms {
        // Rows are sorted; only the last few can be near.
        let near = rows.iter_mut().rev().take(4).find(|row| {
            (row.baseline - atom.baseline).abs() <= SAME * row.size.min(atom.size)
                && row.size < 2.5 * atom.size
                && atom.size < 2.5 * row.size
        });
        match near {
            Some(row) => {
                row.size = row.size.max(atom.size);
                row.atoms.push(atom);
            }
            None => rows.push(Row { baseline: atom.baseline, size: atom.size, atoms: vec![atom] }),
        }
    }
    settle_raised(&mut rows, &mut raised);
    let mut segments = Vec::new();
    for (number, row) in rows.into_iter().enumerate() {
        join(row, number, &mut segments);
    }
    segments
}

/// Puts rows that hold nothing but raised or lowered signs into the rows that those belong to.
fn settle_raised(rows: &mut Vec<Row>, raised: &mut Vec<(usize, usize)>) {
    for (index, row) in rows.iter().enumerate() {
        let beside = |other: &Row| {
            row.size <= SMALLER * other.size
                && (row.baseline - other.baseline).abs() <= RAISED * other.size
                && row.atoms.iter().all(|small| {
                    other.atoms.iter().any(|large| {
                        let gap = (small.rect.left - large.rect.right).max(large.rect.left - small.rect.right);
                        gap <= BESIDE * large.size && gap > -2.0 * large.size
                    })
                })
        };
        // So many signs are no exponents.
        if row.atoms.len() > SIGNS {
            continue;
        }
        let neighbours = [index.checked_sub(1), index.checked_add(1), index.checked_sub(2), index.checked_add(2)];
        let found = neighbours.into_iter().flatten().find(|other| rows.get(*other).is_some_and(beside));
        raised.extend(found.map(|other| (index, other)));
    }
    for (from, to) in raised.iter().copied() {
        let atoms = std::mem::take(&mut rows[from].atoms);
        rows[to].atoms.extend(atoms);
    }
    rows.retain(|row| !row.atoms.is_empty());
}

fn join(row: Row, number: usize, segments: &mut Vec<Segment>) {
    let mut atoms = row.atoms;
    atoms.sort_by(|a, b| a.rect.left.total_cmp(&b.rect.left));
    let begin = segments.len();
    let mut last: Option<(usize, bool)> = None;
    for atom in atoms {
        let open = segments[begin..].last_mut();
        if let (Some(segment), Some((order, space))) = (open, last) {
            let em = segment.size.max(atom.size);
            let gap = atom.rect.left - segment.rect.right;
            let next = atom.order.abs_diff(order) == 1;
            let marker = segment.words.len() == 1 && super::list::marker(&segment.words[0].text).is_some() && gap <= MARKER * em;
            if gap <= em * if next { NEXT } else { OTHER } || marker {
                let glued = gap <= GLUED * em && !space && !atom.space_before;
                let mut words = atom.words.into_iter();
                // A raised sign is glued to its word, but is no part of it.
                if glued && let Some(first) = words.next() {
                    match segment.words.last_mut() {
                        Some(word)
                            if word.direction == first.direction || word.direction != super::word::Direction::RightToLeft =>
                        {
                            word.text.push_str(&first.text);
                            word.rect = word.rect.union(&first.rect);
                        }
                        _ => segment.words.push(first),
                    }
                }
                segment.words.extend(words);
                segment.rect = segment.rect.union(&atom.rect);
                if atom.size > segment.size {
                    segment.size = atom.size;
                    segment.baseline = atom.baseline;
                }
                last = Some((atom.order, atom.space_after));
                continue;
            }
        }
        last = Some((atom.order, atom.space_after));
        segments.push(Segment {
            words: atom.words,
            rect: atom.rect,
            baseline: atom.baseline,
            size: atom.size,
            row: number,
            order: atom.order,
        });
    }
}

//! Columns: where to read down before reading across.
//!
//! A gutter is an upright strip with text on both sides and little across it. What lies across it, headings over all columns
//! or another set of columns, parts the page into bands, each of which is looked at again. Whether a band is read column by
//! column is decided by the order in which it was drawn where that says anything, and else by what it looks like.

use std::collections::BTreeSet;

use super::aligned::switches;
use super::block::Table;
use super::row::Segment;
use super::word::runs_back;
use crate::geometry::Rect;

/// What is put in order.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Segment(Segment),
    Table {
        table: Table,
        /// Its place in the order of drawing.
        order: usize,
    },
}

impl Piece {
    pub(crate) fn table(table: Table, order: usize) -> Self {
        Self::Table { table, order }
    }

    pub(crate) fn rect(&self) -> Rect {
        match self {
            Self::Segment(segment) => segment.rect,
            Self::Table { table, .. } => table.rect,
        }
    }

    fn order(&self) -> usize {
        match self {
            Self::Segment(segment) => segment.order,
            Self::Table { order, .. } => *order,
        }
    }

    fn size(&self) -> f32 {
        match self {
            Self::Segment(segment) => segment.size,
            Self::Table { .. } => 10.0,
        }
    }

    fn words(&self) -> usize {
        match self {
            Self::Segment(segment) => segment.words.len(),
            Self::Table { .. } => 0,
        }
    }
}

/// Strips that are looked for, across the width.
const BINS: usize = 512;
/// A gutter is this wide at least, in ems.
const GUTTER: f32 = 0.75;
const DEPTH: usize = 24;
/// Pieces of a page that are put in order; what has more is no page of text, and is read as it was drawn.
const PIECES: usize = 20_000;
/// Gutters that are examined more closely, at each step.
const CANDIDATES: usize = 12;

/// Parts `pieces` into regions, in reading order; the pieces of each region stand in reading order.
pub(crate) fn regions(pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    if pieces.len() > PIECES {
        return vec![pieces];
    }
    let mut all: Vec<usize> = (0..pieces.len()).collect();
    let heights = heights(&pieces);
    let beside = |index: usize| match &pieces[index] {
        Piece::Segment(segment) => segment.rect.left,
        Piece::Table { table, .. } => -table.rect.top,
    };
    all.sort_by(|a, b| heights[*a].cmp(&heights[*b]).then(beside(*a).total_cmp(&beside(*b))));
    let mut cut = Cut { places: Vec::new(), pieces: &pieces };
    cut.region(all, 0);
    let places = cut.places;
    let mut slots: Vec<Option<Piece>> = pieces.into_iter().map(Some).collect();
    places.into_iter().map(|region| region.into_iter().filter_map(|index| slots[index].take()).collect()).collect()
}

/// How far down each piece stands, in half rows: a table before the first row that is below its top.
fn heights(pieces: &[Piece]) -> Vec<usize> {
    let mut rows: Vec<(f32, usize)> = Vec::new();
    for piece in pieces {
        if let Piece::Segment(segment) = piece {
            rows.push((segment.baseline, segment.row));
        }
    }
    let of = |piece: &Piece| match piece {
        Piece::Segment(segment) => 2 * segment.row + 1,
        Piece::Table { table, .. } => {
            let top = table.rect.top - 6.0;
            rows.iter().filter(|(baseline, _)| *baseline > top).map(|(_, row)| 2 * row + 2).max().unwrap_or(0)
        }
    };
    pieces.iter().map(of).collect()
}

struct Cut<'p> {
    pieces: &'p [Piece],
    places: Vec<Vec<usize>>,
}

/// A part of a region from top to bottom.
enum Band {
    Columns(Vec<usize>, Vec<usize>),
    Other(Vec<usize>),
}

impl Cut<'_> {
    fn rect(&self, index: usize) -> Rect {
        self.pieces[index].rect()
    }

    /// `places` stand by rows.
    fn region(&mut self, places: Vec<usize>, depth: usize) {
        if depth >= DEPTH || !self.side_by_side(&places) {
            self.places.extend((!places.is_empty()).then_some(places));
            return;
        }
        if let Some((above, below)) = self.level(&places, true) {
            self.region(above, depth + 1);
            self.region(below, depth + 1);
            return;
        }
        if let Some(bands) = self.gutter(&places) {
            for band in bands {
                match band {
                    Band::Columns(left, right) => {
                        self.region(left, depth + 1);
                        self.region(right, depth + 1);
                    }
                    Band::Other(places) => self.region(places, depth + 1),
                }
            }
            return;
        }
        match self.level(&places, false) {
            Some((above, below)) => {
                self.region(above, depth + 1);
                self.region(below, depth + 1);
            }
            None => self.places.push(places),
        }
    }

    /// Whether any two pieces stand beside each other: else there is but one order.
    fn side_by_side(&self, places: &[usize]) -> bool {
        // Tops descend, nearly; a piece is beside one of the few before it or beside none.
        let mut lowest: Option<Rect> = None;
        for index in places {
            let rect = self.rect(*index);
            if let Some(before) = lowest {
                let least = rect.height().min(before.height());
                if rect.shared_height(&before) > 0.4 * least {
                    return true;
                }
            }
            lowest = Some(match lowest {
                Some(before) if before.bottom < rect.bottom => before,
                _ => rect,
            });
        }
        false
    }

    /// The best gutter's bands.
    fn gutter(&self, places: &[usize]) -> Option<Vec<Band>> {
        let all = places.iter().map(|index| self.rect(*index)).reduce(|a, b| a.union(&b))?;
        let mut sizes: Vec<f32> = places.iter().map(|index| self.pieces[*index].size()).collect();
        sizes.sort_by(f32::total_cmp);
        let size = sizes[sizes.len() / 2];
        let bin = (all.width() / BINS as f32).max(0.5);
        let bins = (all.width() / bin).ceil() as usize + 1;
        let mut change = vec![0.0f32; bins + 1];
        for index in places {
            let rect = self.rect(*index);
            // What only touches a strip is not across it.
            let from = ((rect.left - all.left) / bin).ceil().max(0.0) as usize;
            let to = ((rect.right - all.left) / bin).floor().max(0.0) as usize;
            if from < to.min(bins) {
                change[from] += rect.height();
                change[to.min(bins)] -= rect.height();
            }
        }
        let mut across = 0.0;
        let cover: Vec<f32> = change[..bins]
            .iter()
            .map(|change| {
                across += change;
                across
            })
            .collect();
        let most = cover.iter().copied().fold(0.0, f32::max);
        let least = GUTTER * size;
        let mut candidates: Vec<(f32, f32)> = Vec::new();
        for level in [0.005, 0.08, 0.2, 0.35, 0.5, 0.7] {
            let mut from = None;
            for (index, cover) in cover.iter().chain([&f32::INFINITY]).enumerate() {
                match (from, *cover <= level * most) {
                    (None, true) => from = Some(index),
                    (Some(begin), false) => {
                        from = None;
                        let (left, right) = (all.left + begin as f32 * bin, all.left + index as f32 * bin);
                        let inside = begin > 0 && index < bins;
                        let middle = (left + right) / 2.0;
                        let known = candidates.iter().any(|(known, _)| (known - middle).abs() < least / 2.0);
                        if inside && right - left >= least && !known && candidates.len() < CANDIDATES {
                            candidates.push((middle, right - left));
                        }
                    }
                    _ => {}
                }
            }
        }
        let mut best: Option<(f32, Vec<Band>)> = None;
        for (x, width) in candidates {
            if let Some((parallel, bands)) = self.bands(places, x) {
                let score = parallel * (1.0 + (width / (20.0 * size)).min(0.5));
                if best.as_ref().is_none_or(|(known, _)| score > 1.05 * known) {
                    best = Some((score, bands));
                }
            }
        }
        best.map(|(_, bands)| bands)
    }

    /// The bands that a gutter at `x` makes, and the height that is read in columns; none if that is nothing.
    fn bands(&self, places: &[usize], x: f32) -> Option<(f32, Vec<Band>)> {
        let across = |index: usize| {
            let rect = self.rect(index);
            rect.left < x - 0.5 && rect.right > x + 0.5
        };
        let mut walls: Vec<Rect> = places.iter().filter(|index| across(**index)).map(|index| self.rect(*index)).collect();
        walls.sort_by(|a, b| b.top.total_cmp(&a.top));
        let mut merged: Vec<Rect> = Vec::new();
        for wall in walls {
            match merged.last_mut() {
                Some(last) if wall.top >= last.bottom => *last = last.union(&wall),
                _ => merged.push(wall),
            }
        }
        // Where each piece is: beside a wall, or between two of them.
        let band = |index: usize| {
            let rect = self.rect(index);
            let middle = (rect.bottom + rect.top) / 2.0;
            let passed = merged.partition_point(|wall| wall.bottom > middle);
            match merged.get(passed) {
                Some(wall) if middle <= wall.top => 2 * passed + 1,
                _ => 2 * passed,
            }
        };
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut sorted: Vec<(usize, usize)> = places.iter().map(|index| (band(*index), *index)).collect();
        sorted.sort_by_key(|(band, _)| *band);
        for (band, index) in sorted {
            match groups.last_mut() {
                Some((last, group)) if *last == band => group.push(index),
                _ => groups.push((band, vec![index])),
            }
        }
        let (mut parallel, mut bands) = (0.0, Vec::new());
        for (band, group) in groups {
            let columns = if band % 2 == 0 { self.columns(&group, x) } else { None };
            match (columns, bands.last_mut()) {
                (Some((height, left, right)), _) => {
                    parallel += height;
                    bands.push(Band::Columns(left, right));
                }
                (None, Some(Band::Other(last))) => last.extend(group),
                (None, _) => bands.push(Band::Other(group)),
            }
        }
        (parallel > 0.0).then_some((parallel, bands))
    }

    /// Both sides of `x`, if they are to be read one after the other.
    fn columns(&self, group: &[usize], x: f32) -> Option<(f32, Vec<usize>, Vec<usize>)> {
        let (left, right): (Vec<usize>, Vec<usize>) = group.iter().partition(|index| self.rect(**index).middle().0 < x);
        let extent = |side: &[usize]| side.iter().map(|index| self.rect(*index)).reduce(|a, b| a.union(&b));
        let (a, b) = (extent(&left)?, extent(&right)?);
        let parallel = a.shared_height(&b);
        if parallel <= 0.0 {
            return None;
        }
        let switches = switches(group.iter().map(|index| (self.pieces[*index].order(), self.rect(*index).middle().0 < x)));
        let prose = self.prose(&left, &a) && self.prose(&right, &b);
        // One side after the other, or both line by line: the order of drawing says it, or says nothing.
        let least = left.len().min(right.len());
        let down = if switches <= 1.max(least / 2) {
            least >= 2 || prose || (switches <= 1 && self.lines(&left).max(self.lines(&right)) >= 2)
        } else if self.by_rows(group, x) {
            // Text that was drawn line by line through all columns is rare, and plain to see.
            (prose && least >= 6) || self.blocks(&left, &right)
        } else {
            prose || self.blocks(&left, &right)
        };
        // Drawn right to left, where text runs so.
        let (first, second) = if self.runs_back(group) { (right, left) } else { (left, right) };
        down.then_some((parallel, first, second))
    }

    /// Whether it was drawn row by row: of nearly all rows with pieces on both sides, the two came one after the other.
    fn by_rows(&self, group: &[usize], x: f32) -> bool {
        let mut drawn: Vec<(usize, usize, bool)> = group
            .iter()
            .filter_map(|index| match &self.pieces[*index] {
                Piece::Segment(segment) => Some((segment.order, segment.row, segment.rect.middle().0 < x)),
                Piece::Table { .. } => None,
            })
            .collect();
        drawn.sort_unstable();
        let follow = drawn.windows(2).filter(|pair| pair[0].1 == pair[1].1 && pair[0].2 && !pair[1].2).count();
        let rows =
            |left: bool| drawn.iter().filter(|(_, _, side)| *side == left).map(|(_, row, _)| *row).collect::<BTreeSet<_>>();
        let both = rows(true).intersection(&rows(false)).count();
        both > 0 && follow * 10 >= both * 8
    }

    fn runs_back(&self, group: &[usize]) -> bool {
        let words = group.iter().filter_map(|index| match &self.pieces[*index] {
            Piece::Segment(segment) => Some(&segment.words),
            Piece::Table { .. } => None,
        });
        runs_back(words.flatten())
    }

    fn lines(&self, side: &[usize]) -> usize {
        let mut bottoms: Vec<f32> = side.iter().map(|index| self.rect(*index).bottom).collect();
        bottoms.sort_by(f32::total_cmp);
        bottoms.dedup_by(|a, b| (*a - *b).abs() < 2.0);
        bottoms.len()
    }

    /// Whether a column is filled with running text.
    fn prose(&self, side: &[usize], extent: &Rect) -> bool {
        if side.iter().any(|index| matches!(self.pieces[*index], Piece::Table { .. })) {
            return true;
        }
        let words: usize = side.iter().map(|index| self.pieces[*index].words()).sum();
        let width: f32 = side.iter().map(|index| self.rect(*index).width()).sum();
        let lines = side.len() as f32;
        side.len() >= 2 && words as f32 / lines >= 3.0 && width / lines >= 0.55 * extent.width()
    }

    /// Whether the sides are blocks of their own: their lines stand on different heights.
    fn blocks(&self, left: &[usize], right: &[usize]) -> bool {
        let bottom = |index: &usize| self.rect(*index).bottom;
        let level = |index: &&usize| right.iter().any(|other| (bottom(other) - bottom(index)).abs() < 1.0);
        left.len() >= 2 && right.len() >= 2 && left.iter().filter(level).count() * 3 < left.len().min(right.len())
    }

    /// Parts a region at its widest level gap; `drawn` asks for one above which all was drawn before all below.
    fn level(&self, places: &[usize], drawn: bool) -> Option<(Vec<usize>, Vec<usize>)> {
        let mut sorted: Vec<usize> = places.to_vec();
        sorted.sort_by(|a, b| self.rect(*b).top.total_cmp(&self.rect(*a).top));
        // The first of what is drawn below each.
        let mut first = vec![usize::MAX; sorted.len() + 1];
        for (at, index) in sorted.iter().enumerate().rev() {
            first[at] = first[at + 1].min(self.pieces[*index].order());
        }
        let (mut bottom, mut last) = (f32::INFINITY, 0);
        let mut widest: Option<(f32, usize)> = None;
        for (at, index) in sorted.iter().enumerate() {
            let rect = self.rect(*index);
            let gap = bottom - rect.top;
            let least = if drawn { 0.2 } else { 0.6 } * self.pieces[*index].size();
            let orderly = !drawn || last < first[at];
            if gap.is_finite() && gap > least && orderly && widest.is_none_or(|(known, _)| gap > known) {
                widest = Some((gap, at));
            }
            bottom = bottom.min(rect.bottom);
            last = last.max(self.pieces[*index].order());
        }
        let (_, at) = widest?;
        let mut above = vec![false; self.pieces.len()];
        sorted[..at].iter().for_each(|index| above[*index] = true);
        Some(places.iter().partition(|index| above[**index]))
    }
}

//! Tables without rules: rows whose entries stand below each other, with the same gaps between them.

use super::block::{Table, cell_text};
use super::cut::Piece;
use super::row::Segment;
use super::word::runs_back;
use crate::geometry::Rect;

/// A row this far below the one before it begins something else, in ems.
const APART: f32 = 3.2;
/// And one this near to it stands beside it: another column of text, with lines at heights of their own.
const NEXT: f32 = 0.8;
/// Fewer rows, or columns, are no table.
const ROWS: usize = 3;
const COLUMNS: usize = 2;
/// Words in an entry, on average, from which on it is prose in columns.
const PROSE: f32 = 4.0;
/// Columns of a table.
const MOST_COLUMNS: usize = 64;
/// Rows of a table; what goes on after them is the next one.
const LONGEST: usize = 300;
/// Parts of an entry stand this near to each other at least, in ems, where they share a column.
const NEAR: f32 = 1.2;

/// A run of rows under examination.
struct Run {
    /// From the left: from, to.
    columns: Vec<(f32, f32)>,
    /// Numbers of segments, row by row.
    rows: Vec<Vec<usize>>,
    size: f32,
}

/// Takes tables out of `segments`; `ruled` are those that were found before.
pub(crate) fn tables(segments: Vec<Segment>, ruled: Vec<(Table, usize)>) -> (Vec<Piece>, Vec<Piece>) {
    let mut tables: Vec<Piece> = ruled.into_iter().map(|(table, order)| Piece::table(table, order)).collect();
    let rows = rows(&segments);
    let mut taken = vec![false; segments.len()];
    let mut at = 0;
    while at < rows.len() {
        if rows[at].len() < COLUMNS {
            at += 1;
            continue;
        }
        let run = grow(&segments, &rows[at..], &tables);
        let length = run.rows.len();
        match run.table(&segments) {
            Some((table, order)) => {
                run.rows.iter().flatten().for_each(|index| taken[*index] = true);
                tables.push(Piece::table(table, order));
                at += length;
            }
            None => at += 1,
        }
    }
    let rest = segments.into_iter().enumerate().filter(|(index, _)| !taken[*index]).map(|(_, segment)| Piece::Segment(segment));
    (rest.collect(), tables)
}

fn rows(segments: &[Segment]) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut last = usize::MAX;
    for (index, segment) in segments.iter().enumerate() {
        match rows.last_mut() {
            Some(row) if segment.row == last => row.push(index),
            _ => rows.push(vec![index]),
        }
        last = segment.row;
    }
    rows
}

fn grow(segments: &[Segment], rows: &[Vec<usize>], others: &[Piece]) -> Run {
    let of = |index: &usize| (segments[*index].rect.left, segments[*index].rect.right);
    let size = segments[rows[0][0]].size;
    let mut run = Run { columns: rows[0].iter().map(of).collect(), rows: vec![rows[0].clone()], size };
    // Rows that hold one entry only count if a full one follows.
    let mut kept = 1;
    let mut before = segments[rows[0][0]].baseline;
    let mut columns = run.columns.clone();
    let mut widest = APART * size;
    for row in rows[1..].iter().take(LONGEST) {
        let baseline = segments[row[0]].baseline;
        let between = Rect { left: run.columns[0].0, right: run.columns[run.columns.len() - 1].1, bottom: baseline, top: before };
        let crossed = others.iter().any(|other| {
            let rect = other.rect();
            rect.shared_height(&between) > 0.0 && rect.shared_width(&between) > 0.0
        });
        let sizes = row.iter().all(|index| segments[*index].size < 1.4 * size && size < 1.4 * segments[*index].size);
        if before - baseline > APART * size
            || before - baseline < NEXT * size
            || crossed
            || !sizes
            || !row.iter().all(|index| admit(&mut columns, of(index), size))
        {
            break;
        }
        // Rows are about as far apart as those before them.
        widest = widest.min(2.2 * (before - baseline).max(size));
        before = baseline;
        run.rows.push(row.clone());
        if row.len() >= COLUMNS {
            kept = run.rows.len();
            run.columns.clone_from(&columns);
        } else if run.rows.len() - kept > 3 {
            break;
        }
    }
    // What continues the last entries belongs to them as well.
    let pitch = pitch(segments, &run.rows[..kept]);
    while let Some(row) = run.rows.get(kept) {
        let (above, below) = (segments[run.rows[kept - 1][0]].baseline, segments[row[0]].baseline);
        if above - below < 0.85 * pitch && segments[row[0]].rect.left > run.columns[0].1 {
            kept += 1;
        } else {
            break;
        }
    }
    run.rows.truncate(kept);
    run
}

/// Finds the column of an entry, or makes one for it; false if it lies across several.
fn admit(columns: &mut Vec<(f32, f32)>, (left, right): (f32, f32), size: f32) -> bool {
    let gap = 0.4 * size;
    let touching: Vec<usize> =
        (0..columns.len()).filter(|index| columns[*index].0 < right + gap && left - gap < columns[*index].1).collect();
    match touching.as_slice() {
        [] if columns.len() < MOST_COLUMNS => {
            let place = columns.partition_point(|column| column.0 < left);
            columns.insert(place, (left, right));
            true
        }
        [one] => {
            let column = &mut columns[*one];
            *column = (column.0.min(left), column.1.max(right));
            true
        }
        _ => false,
    }
}

/// The usual step from one full row to the next.
fn pitch(segments: &[Segment], rows: &[Vec<usize>]) -> f32 {
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    let full: Vec<f32> = rows.iter().filter(|row| row.len() * 2 >= most).map(|row| segments[row[0]].baseline).collect();
    let mut steps: Vec<f32> = full.windows(2).map(|pair| pair[0] - pair[1]).collect();
    steps.sort_by(f32::total_cmp);
    steps.get(steps.len() / 2).copied().unwrap_or(f32::INFINITY)
}

impl Run {
    fn table(&self, segments: &[Segment]) -> Option<(Table, usize)> {
        let full: Vec<&Vec<usize>> = self.rows.iter().filter(|row| row.len() >= COLUMNS).collect();
        let columns = self.columns.len();
        let all: Vec<usize> = self.rows.iter().flatten().copied().collect();
        let words: usize = all.iter().map(|index| segments[*index].words.len()).sum();
        let mut entries: Vec<(usize, usize)> =
            all.iter().map(|index| (segments[*index].row, self.column(&segments[*index]))).collect();
        entries.sort_unstable();
        entries.dedup();
        let per_entry = words as f32 / entries.len() as f32;
        if all.iter().any(|index| leads(&segments[*index])) || self.is_list(segments) {
            return None;
        }
        let numbers = all.iter().filter(|index| is_number(&segments[**index])).count();
        let numeric = numbers * 3 >= all.len();
        if full.len() < ROWS - usize::from(columns >= 3 && numeric) || columns < COLUMNS {
            return None;
        }
        // Most rows fill most columns, unless it is plainly one.
        let filled = full.iter().map(|row| row.len()).sum::<usize>() as f32 / (full.len() * columns) as f32;
        if filled < if numeric { 0.35 } else { 0.5 } || per_entry > if numeric { PROSE + 3.0 } else { PROSE } {
            return None;
        }
        // Drawn column by column, it is columns of text, unless it is numbers.
        let drawn = switches(all.iter().map(|index| (segments[*index].order, self.column(&segments[*index]))));
        if drawn * 2 < entries.len() && (!numeric || per_entry > 2.5) {
            return None;
        }
        let stretched = full.iter().filter(|row| is_stretched(segments, row)).count();
        if stretched * 2 > full.len() && !numeric {
            return None;
        }
        // Lines that fill their columns are running text.
        let filling = all.iter().filter(|index| {
            let segment = &segments[**index];
            let (left, right) = self.columns[self.column(segment)];
            segment.words.len() >= 3 && segment.rect.width() > 0.85 * (right - left)
        });
        if filling.count() * 2 > all.len() {
            return None;
        }
        if columns == 2 && !numeric && per_entry > 3.0 {
            return None;
        }
        let rect = all.iter().map(|index| segments[*index].rect).reduce(|a, b| a.union(&b))?;
        let order = all.iter().map(|index| segments[*index].order).min().unwrap_or(0);
        Some((Table { rows: self.cells(segments), rect }, order))
    }

    /// Items with their signs, and nothing else.
    fn is_list(&self, segments: &[Segment]) -> bool {
        let marked = |row: &&Vec<usize>| {
            let first = &segments[row[0]];
            first.words.len() == 1 && super::list::marker(&first.words[0].text).is_some()
        };
        self.columns.len() == 2 && self.rows.iter().filter(marked).count() * 2 > self.rows.len()
    }

    fn column(&self, segment: &Segment) -> usize {
        let middle = segment.rect.middle().0;
        let distance = |column: &(f32, f32)| (column.0 - middle).max(middle - column.1).max(0.0);
        let nearest = (0..self.columns.len()).min_by(|a, b| distance(&self.columns[*a]).total_cmp(&distance(&self.columns[*b])));
        nearest.unwrap_or(0)
    }

    fn cells(&self, segments: &[Segment]) -> Vec<Vec<String>> {
        let pitch = pitch(segments, &self.rows);
        let mut rows: Vec<(f32, Vec<Vec<usize>>)> = Vec::new();
        for row in &self.rows {
            let baseline = segments[row[0]].baseline;
            let mut entries: Vec<Vec<usize>> = vec![Vec::new(); self.columns.len()];
            row.iter().for_each(|index| entries[self.column(&segments[*index])].push(*index));
            // The second line of what did not fit into one.
            let continued = match rows.last() {
                Some((above, before)) => {
                    let within = entries.iter().zip(before).all(|(now, before)| now.is_empty() || !before.is_empty());
                    let step = above - baseline;
                    entries[0].is_empty() && within && (step < 0.85 * pitch || (row.len() == 1 && step <= NEAR * self.size))
                }
                None => false,
            };
            match rows.last_mut() {
                Some((above, before)) if continued => {
                    *above = baseline;
                    before.iter_mut().zip(entries).for_each(|(before, more)| before.extend(more));
                }
                _ => rows.push((baseline, entries)),
            }
        }
        self.join_header(segments, &mut rows);
        let right_to_left =
            runs_back(rows.iter().flat_map(|(_, entries)| entries).flatten().flat_map(|index| &segments[*index].words));
        if right_to_left {
            rows.iter_mut().for_each(|(_, entries)| entries.reverse());
        }
        let text = |entry: &Vec<usize>| {
            let words: Vec<_> = entry.iter().flat_map(|index| segments[*index].words.iter().cloned()).collect();
            cell_text(&words)
        };
        rows.iter().map(|(_, entries)| entries.iter().map(text).collect()).collect()
    }
}

/// Lines of a header, at most.
const HEADER: usize = 6;

impl Run {
    /// Makes one row of the lines above the first row of numbers, if they are the lines of a header: close together, and not
    /// all of them filled.
    fn join_header(&self, segments: &[Segment], rows: &mut Vec<(f32, Vec<Vec<usize>>)>) {
        let numeric = |row: &[Vec<usize>]| row.iter().flatten().any(|index| is_number(&segments[*index]));
        let first = rows.iter().position(|(_, row)| numeric(row)).unwrap_or(0);
        if !(2..=HEADER).contains(&first) {
            return;
        }
        let close = rows[..first].windows(2).all(|pair| pair[0].0 - pair[1].0 <= 1.5 * self.size);
        let partly = rows[..first - 1].iter().all(|(_, row)| row.iter().any(Vec::is_empty));
        if !close || !partly {
            return;
        }
        let rest = rows.split_off(first);
        let baseline = rows.last().map_or(0.0, |(baseline, _)| *baseline);
        let header = (0..self.columns.len()).map(|column| rows.iter().flat_map(|(_, row)| row[column].clone()).collect());
        let header = (baseline, header.collect());
        *rows = rest;
        rows.insert(0, header);
    }
}

/// How often the drawing goes over to another side; each piece comes with its place in the order of drawing.
pub(super) fn switches<S: PartialEq>(pieces: impl Iterator<Item = (usize, S)>) -> usize {
    let mut pieces: Vec<(usize, S)> = pieces.collect();
    pieces.sort_by_key(|(order, _)| *order);
    pieces.windows(2).filter(|pair| pair[0].1 != pair[1].1).count()
}

/// A line that is stretched to the width of its column: all its gaps are alike.
fn is_stretched(segments: &[Segment], row: &[usize]) -> bool {
    let gaps = row.windows(2).map(|pair| segments[pair[1]].rect.left - segments[pair[0]].rect.right);
    let (least, most) = gaps.fold((f32::INFINITY, 0.0f32), |(least, most), gap| (least.min(gap), most.max(gap)));
    row.len() >= 3 && most - least < 0.12 * segments[row[0]].size
}

/// Dots that lead from a title to its page.
fn leads(segment: &Segment) -> bool {
    let dots = |text: &str| text.len() >= 4 && text.bytes().filter(|byte| *byte == b'.').count() * 10 >= text.len() * 9;
    segment.words.iter().any(|word| dots(&word.text) || word.text.ends_with("...."))
        || segment.words.len() >= 4 && segment.words.iter().filter(|word| word.text == ".").count() >= 4
}

/// A number, perhaps with its unit.
fn is_number(segment: &Segment) -> bool {
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count() * 2 >= text.chars().count();
    match segment.words.as_slice() {
        [word] => digits(&word.text),
        [a, b] => (digits(&a.text) && b.text.chars().count() <= 3) || (digits(&b.text) && a.text.chars().count() <= 2),
        _ => false,
    }
}

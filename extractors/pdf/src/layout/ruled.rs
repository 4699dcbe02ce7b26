//! Tables with rules: the rules that cross each other are a grid, and what stands in a field of it is a cell.

use super::block::{Table, cell_text};
use super::word::{Word, runs_back};
use crate::geometry::Rect;
use crate::raw::Rule;

/// Rules this near to each other are one, in points.
const SAME: f32 = 2.0;
/// Pieces of one rule may be this far apart, in points: dashes, and sides of neighbouring cells.
const BROKEN: f32 = 4.0;
/// A rule ends within this of the one that it meets, in points.
const MEETS: f32 = 3.5;
/// Rules that are looked at on a page; more are a drawing.
const RULES: usize = 4_000;
/// Grids of a page that are looked at.
const TABLES: usize = 200;
/// Lines of a grid in each direction.
const LINES: usize = 400;

/// A rule on its line: `at` is where the line is, `from` and `to` where the rule begins and ends on it.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: f32,
    from: f32,
    to: f32,
}

/// Rules that meet each other, directly or by others.
#[derive(Debug, Default)]
struct Component {
    level: Vec<Line>,
    upright: Vec<Line>,
}

/// Finds the tables among `rules` and takes their words out of `words`, which come with their places in the order of
/// drawing; so do the tables.
pub(crate) fn tables(rules: &[Rule], words: &mut Vec<(usize, Word)>) -> Vec<(Table, usize)> {
    if rules.len() < 4 {
        return Vec::new();
    }
    let level = merged(rules.iter().filter(|rule| !rule.upright).map(|rule| {
        let rect = &rule.rect;
        Line { at: (rect.bottom + rect.top) / 2.0, from: rect.left, to: rect.right }
    }));
    let upright = merged(rules.iter().filter(|rule| rule.upright).map(|rule| {
        let rect = &rule.rect;
        Line { at: (rect.left + rect.right) / 2.0, from: rect.bottom, to: rect.top }
    }));
    if level.len() + upright.len() > RULES {
        return Vec::new();
    }
    let mut tables = Vec::new();
    for component in components(&level, &upright).into_iter().take(TABLES) {
        if let Some(grid) = Grid::of(&component) {
            tables.extend(grid.fill(words));
        }
    }
    tables
}

/// Makes one of what lies on one line and touches.
fn merged(lines: impl Iterator<Item = Line>) -> Vec<Line> {
    let mut lines: Vec<Line> = lines.collect();
    lines.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut out: Vec<Line> = Vec::new();
    let mut from = 0;
    while from < lines.len() {
        let mut to = from + 1;
        while to < lines.len() && lines[to].at - lines[to - 1].at <= SAME && lines[to].at - lines[from].at <= 2.0 * SAME {
            to += 1;
        }
        let group = &mut lines[from..to];
        let at = group.iter().map(|line| line.at).sum::<f32>() / group.len() as f32;
        group.sort_by(|a, b| a.from.total_cmp(&b.from));
        let begin = out.len();
        for line in group.iter() {
            match out[begin..].last_mut() {
                Some(last) if line.from - last.to <= BROKEN => last.to = last.to.max(line.to),
                _ => out.push(Line { at, ..*line }),
            }
        }
        from = to;
    }
    out
}

fn components(level: &[Line], upright: &[Line]) -> Vec<Component> {
    let mut parents: Vec<usize> = (0..level.len() + upright.len()).collect();
    fn root(parents: &mut [usize], mut index: usize) -> usize {
        while parents[index] != index {
            parents[index] = parents[parents[index]];
            index = parents[index];
        }
        index
    }
    for (i, across) in level.iter().enumerate() {
        for (j, up) in upright.iter().enumerate() {
            let meets = across.from - MEETS <= up.at
                && up.at <= across.to + MEETS
                && up.from - MEETS <= across.at
                && across.at <= up.to + MEETS;
            if meets {
                let (a, b) = (root(&mut parents, i), root(&mut parents, level.len() + j));
                parents[a] = b;
            }
        }
    }
    let mut found: std::collections::BTreeMap<usize, Component> = std::collections::BTreeMap::new();
    for index in 0..parents.len() {
        let component = found.entry(root(&mut parents, index)).or_default();
        match index.checked_sub(level.len()) {
            None => component.level.push(level[index]),
            Some(index) => component.upright.push(upright[index]),
        }
    }
    found
        .into_values()
        .filter(|component| component.level.len() >= 2 && component.upright.len() >= 2 || open(component))
        .collect()
}

/// A table without sides: rules across, and at least one upright between columns.
fn open(component: &Component) -> bool {
    component.level.len() >= 3 && !component.upright.is_empty()
}

struct Grid {
    /// From the left.
    columns: Vec<f32>,
    /// From the top.
    rows: Vec<f32>,
    /// The field that each field belongs to, row by row.
    fields: Vec<usize>,
    rect: Rect,
}

fn distinct(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    let mut out: Vec<f32> = Vec::new();
    for value in values {
        if out.last().is_none_or(|last| value - last > MEETS) {
            out.push(value);
        }
    }
    out
}

impl Grid {
    fn of(component: &Component) -> Option<Self> {
        let mut columns = distinct(component.upright.iter().map(|line| line.at));
        let mut rows = distinct(component.level.iter().map(|line| line.at));
        // Sides that are not drawn are where the rules of the other direction end.
        let ends = |lines: &[Line]| {
            let from = lines.iter().map(|line| line.from).fold(f32::INFINITY, f32::min);
            (from, lines.iter().map(|line| line.to).fold(f32::NEG_INFINITY, f32::max))
        };
        let close = |lines: &mut Vec<f32>, (from, to): (f32, f32)| {
            if lines.first().is_some_and(|first| first - from > 2.0 * MEETS) {
                lines.insert(0, from);
            }
            if lines.last().is_some_and(|last| to - last > 2.0 * MEETS) {
                lines.push(to);
            }
        };
        close(&mut columns, ends(&component.level));
        close(&mut rows, ends(&component.upright));
        rows.reverse();
        let (width, height) = (columns.len().checked_sub(1)?, rows.len().checked_sub(1)?);
        if width == 0 || height == 0 || width * height < 2 || width > LINES || height > LINES {
            return None;
        }
        let mut fields: Vec<usize> = (0..width * height).collect();
        let covers = |lines: &[Line], at: f32, middle: f32| {
            lines.iter().any(|line| (line.at - at).abs() <= MEETS && line.from - 1.0 <= middle && middle <= line.to + 1.0)
        };
        for row in 0..height {
            for column in 0..width {
                let here = row * width + column;
                let (x, y) = ((columns[column] + columns[column + 1]) / 2.0, (rows[row] + rows[row + 1]) / 2.0);
                if column + 1 < width && !covers(&component.upright, columns[column + 1], y) {
                    unite(&mut fields, here, here + 1);
                }
                if row + 1 < height && !covers(&component.level, rows[row + 1], x) {
                    unite(&mut fields, here, here + width);
                }
            }
        }
        let rect = Rect { left: columns[0], right: columns[width], top: rows[0], bottom: rows[height] };
        Some(Self { columns, rows, fields, rect })
    }

    fn width(&self) -> usize {
        self.columns.len() - 1
    }

    /// The first field of the cell that a point is in.
    fn field(&self, (x, y): (f32, f32)) -> Option<usize> {
        let column = self.columns.partition_point(|line| *line <= x).checked_sub(1).filter(|column| *column < self.width())?;
        let row = self.rows.partition_point(|line| *line >= y).checked_sub(1).filter(|row| *row + 1 < self.rows.len())?;
        let mut field = row * self.width() + column;
        while self.fields[field] != field {
            field = self.fields[field];
        }
        Some(field)
    }

    /// Takes its words, if with them it makes a table.
    fn fill(&self, words: &mut Vec<(usize, Word)>) -> Option<(Table, usize)> {
        let (width, height) = (self.width(), self.rows.len() - 1);
        let mut cells: Vec<Vec<usize>> = vec![Vec::new(); width * height];
        for (index, (_, word)) in words.iter().enumerate() {
            let place = place(word);
            if self.rect.contains(place)
                && let Some(field) = self.field(place)
            {
                cells[field].push(index);
            }
        }
        let all: usize = cells.iter().map(Vec::len).sum();
        let full = cells.iter().filter(|cell| !cell.is_empty()).count();
        let largest = cells.iter().map(Vec::len).max().unwrap_or(0);
        let columns = (0..width).filter(|column| (0..height).any(|row| !cells[row * width + column].is_empty())).count();
        let rows = (0..height).filter(|row| (0..width).any(|column| !cells[row * width + column].is_empty())).count();
        // A frame around the page, or boxes around columns of text, is no table.
        if full < 3 || columns < 2 || (rows < 2 && columns < 3) || (largest > 150 && largest * 2 > all) {
            return None;
        }
        let mut table: Vec<Vec<String>> = Vec::new();
        for row in 0..height {
            let of_row = &cells[row * width..(row + 1) * width];
            if of_row.iter().all(Vec::is_empty) {
                continue;
            }
            let lines: Vec<Vec<Word>> =
                of_row.iter().map(|cell| cell.iter().map(|index| words[*index].1.clone()).collect()).collect();
            table.extend(split(&lines));
        }
        // Columns that nothing stands in are spacing.
        let kept: Vec<usize> = (0..width).filter(|column| table.iter().any(|row| !row[*column].is_empty())).collect();
        let back = runs_back(cells.iter().flatten().map(|index| &words[*index].1));
        let kept: Vec<usize> = if back { kept.into_iter().rev().collect() } else { kept };
        let table = table.into_iter().map(|row| kept.iter().map(|column| row[*column].clone()).collect()).collect();
        let mut taken: Vec<usize> = cells.into_iter().flatten().collect();
        taken.sort_unstable();
        let order = taken.iter().map(|index| words[*index].0).min().unwrap_or(0);
        let mut index = 0;
        words.retain(|_| {
            index += 1;
            taken.binary_search(&(index - 1)).is_err()
        });
        Some((Table { rows: table, rect: self.rect }, order))
    }
}

/// Where a word stands as far as rules are concerned: the middle of its small letters; accents may reach over.
pub(crate) fn place(word: &Word) -> (f32, f32) {
    (word.rect.middle().0, word.rect.bottom + 0.45 * word.rect.height())
}

fn unite(fields: &mut [usize], a: usize, b: usize) {
    let root = |fields: &[usize], mut index: usize| {
        while fields[index] != index {
            index = fields[index];
        }
        index
    };
    let (a, b) = (root(fields, a), root(fields, b));
    // The upper left one is the cell.
    let (first, second) = (a.min(b), a.max(b));
    fields[second] = first;
}

/// The rows of one row of a grid: more than one if only the columns are ruled, and entries stand below each other.
fn split(cells: &[Vec<Word>]) -> Vec<Vec<String>> {
    let lines: Vec<Vec<f32>> = cells.iter().map(|words| baselines(words)).collect();
    let full: Vec<&Vec<f32>> = lines.iter().filter(|lines| !lines.is_empty()).collect();
    let most = full.iter().map(|lines| lines.len()).max().unwrap_or(0);
    let longest = full.iter().find(|lines| lines.len() == most);
    let (Some(longest), true) = (longest, most >= 2 && full.len() >= 2) else {
        return vec![cells.iter().map(|words| cell_text(words)).collect()];
    };
    // Every entry has a line of its own in nearly all columns, and the lines stand level.
    let same =
        full.iter().filter(|lines| lines.len() == most && lines.iter().zip(*longest).all(|(a, b)| (a - b).abs() < 2.0)).count();
    let short = cells.iter().map(Vec::len).sum::<usize>() <= 4 * most * full.len();
    // Entries are numbers, mostly; words below each other are one entry of several lines.
    let words = || cells.iter().flatten();
    let numbers = words().filter(|word| word.text.bytes().any(|byte| byte.is_ascii_digit())).count() * 3 >= words().count();
    if most < 3 || same * 10 < full.len() * 8 || !short || !numbers {
        return vec![cells.iter().map(|words| cell_text(words)).collect()];
    }
    longest
        .iter()
        .map(|baseline| {
            let line = |words: &Vec<Word>| {
                let of_line: Vec<Word> =
                    words.iter().filter(|word| nearest(longest, word.rect.bottom) == *baseline).cloned().collect();
                cell_text(&of_line)
            };
            cells.iter().map(line).collect()
        })
        .collect()
}

fn nearest(lines: &[f32], y: f32) -> f32 {
    lines.iter().copied().min_by(|a, b| (a - y).abs().total_cmp(&(b - y).abs())).unwrap_or(y)
}

/// Where the lines of a cell stand, from the top.
fn baselines(words: &[Word]) -> Vec<f32> {
    let mut lines: Vec<f32> = words.iter().map(|word| word.rect.bottom).collect();
    lines.sort_by(|a, b| b.total_cmp(a));
    lines.dedup_by(|a, b| (*a - *b).abs() < 3.0);
    lines
}

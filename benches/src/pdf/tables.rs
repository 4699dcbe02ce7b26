//! How near the structure of tables is to the truth: by which cells are neighbours of which.

use std::collections::HashMap;

use eventmesh::Table;

use super::score::words;
use crate::Error;

/// A cell with its place: rows and columns from, to.
#[derive(Clone, Debug)]
struct Cell {
    text: String,
    rows: (usize, usize),
    columns: (usize, usize),
}

/// The contents of all cells of a ground truth.
pub(super) fn contents(xml: &str) -> Result<Vec<String>, Error> {
    let document = roxmltree::Document::parse(xml)?;
    let contents = document.descendants().filter(|node| node.has_tag_name("content"));
    Ok(contents.map(|node| node.text().unwrap_or_default().to_owned()).collect())
}

/// Pairs of neighbours in the ground truth.
pub(super) fn expected(xml: &str) -> Result<Vec<Relation>, Error> {
    let document = roxmltree::Document::parse(xml)?;
    let mut relations = Vec::new();
    for table in document.descendants().filter(|node| node.has_tag_name("table")) {
        let mut cells = Vec::new();
        for region in table.descendants().filter(|node| node.has_tag_name("region")) {
            let offset = |name: &str| region.attribute(name).and_then(|value| value.parse().ok()).unwrap_or(0usize);
            let (down, right) = (offset("row-increment"), offset("col-increment"));
            for cell in region.descendants().filter(|node| node.has_tag_name("cell")) {
                let number = |name: &str| cell.attribute(name).and_then(|value| value.parse::<usize>().ok());
                let (Some(row), Some(column)) = (number("start-row"), number("start-col")) else { continue };
                let text = cell.descendants().find(|node| node.has_tag_name("content")).and_then(|node| node.text());
                cells.push(Cell {
                    text: key(text.unwrap_or_default()),
                    rows: (row + down, number("end-row").unwrap_or(row) + down),
                    columns: (column + right, number("end-col").unwrap_or(column) + right),
                });
            }
        }
        neighbours(&cells, &mut relations);
    }
    Ok(relations)
}

/// Pairs of neighbours in what was found.
pub(super) fn found(tables: &[Table]) -> Vec<Relation> {
    let mut relations = Vec::new();
    for table in tables {
        let header = (!table.header.is_empty()).then_some(&table.header);
        let cells: Vec<Cell> = header
            .into_iter()
            .chain(&table.rows)
            .enumerate()
            .flat_map(|(row, cells)| {
                cells.iter().enumerate().map(move |(column, text)| Cell {
                    text: key(text),
                    rows: (row, row),
                    columns: (column, column),
                })
            })
            .collect();
        neighbours(&cells, &mut relations);
    }
    relations
}

/// Two cells, and whether the second is to the right of the first or below it.
pub(super) type Relation = (String, String, bool);

/// A cell as it is compared.
fn key(text: &str) -> String {
    words(text).concat().to_lowercase()
}

/// Each cell that says something, with the next one that does, to the right and below.
fn neighbours(cells: &[Cell], relations: &mut Vec<Relation>) {
    let cells: Vec<&Cell> = cells.iter().filter(|cell| !cell.text.is_empty()).collect();
    let overlap = |a: (usize, usize), b: (usize, usize)| a.0 <= b.1 && b.0 <= a.1;
    for cell in &cells {
        let right = cells.iter().filter(|other| overlap(cell.rows, other.rows) && other.columns.0 > cell.columns.1);
        if let Some(next) = right.min_by_key(|other| (other.columns.0, other.rows.0)) {
            relations.push((cell.text.clone(), next.text.clone(), true));
        }
        let below = cells.iter().filter(|other| overlap(cell.columns, other.columns) && other.rows.0 > cell.rows.1);
        if let Some(next) = below.min_by_key(|other| (other.rows.0, other.columns.0)) {
            relations.push((cell.text.clone(), next.text.clone(), false));
        }
    }
}

/// How many relations both have.
pub(super) fn shared(expected: &[Relation], found: &[Relation]) -> usize {
    let mut bag: HashMap<&Relation, usize> = HashMap::new();
    expected.iter().for_each(|relation| *bag.entry(relation).or_default() += 1);
    let mut shared = 0;
    for relation in found {
        if let Some(left) = bag.get_mut(relation).filter(|left| **left > 0) {
            *left -= 1;
            shared += 1;
        }
    }
    shared
}

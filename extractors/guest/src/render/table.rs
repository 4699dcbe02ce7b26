//! Data tables: told apart from tables that only lay out, and read into rows of cells.

use html5ever::local_name;

use crate::document::Table;
use crate::dom::{Dom, NodeData, NodeId};
use crate::select::Selection;
use crate::text::push_collapsed;

/// A cell's text longer than this, in bytes, is a page laid out in a table.
const LONGEST_CELL: usize = 2_000;
/// Cells of padding that any table may have.
const PADDING: usize = 1_000;
/// A `colspan` past this is a mistake or an attack.
const MOST_SPANNED: usize = 64;

/// The table at `id`, if it holds data: no table within it, two columns or more, cells that are cells.
pub(crate) fn read(dom: &Dom, id: NodeId, selection: &Selection) -> Option<Table> {
    if matches!(dom.attribute(id, &local_name!("role")), Some("presentation" | "none")) {
        return None;
    }
    let mut table = Table { header: Vec::new(), rows: Vec::new() };
    for row in rows(dom, id)? {
        let mut cells = Vec::new();
        let mut all_header = true;
        for cell in dom.children(row) {
            let header = match dom.html_name(cell) {
                Some(&local_name!("th")) => true,
                Some(&local_name!("td")) => false,
                Some(_) | None => continue,
            };
            all_header &= header;
            let text = cell_text(dom, cell, selection);
            if text.len() > LONGEST_CELL {
                return None;
            }
            let span = dom.attribute(cell, &local_name!("colspan")).and_then(|span| span.trim().parse().ok()).unwrap_or(1usize);
            cells.push(text);
            cells.extend((1..span.min(MOST_SPANNED)).map(|_| String::new()));
        }
        if cells.iter().all(String::is_empty) {
            continue;
        }
        let in_head = dom.parent(row).is_some_and(|parent| dom.html_name(parent) == Some(&local_name!("thead")));
        if table.header.is_empty() && table.rows.is_empty() && (in_head || all_header) {
            table.header = cells;
        } else {
            table.rows.push(cells);
        }
    }
    let columns = table.rows.iter().map(Vec::len).chain([table.header.len()]).max().unwrap_or(0);
    let rows = table.rows.len() + usize::from(!table.header.is_empty());
    // Every row is as wide as the widest: where that is nearly all padding, it is no table.
    let cells = table.header.len() + table.rows.iter().map(Vec::len).sum::<usize>();
    if columns.saturating_mul(rows) > 4 * cells + PADDING {
        return None;
    }
    (columns >= 2 && rows >= 2).then_some(table)
}

/// The rows of a table in order; `None` if another table stands within it.
fn rows(dom: &Dom, table: NodeId) -> Option<Vec<NodeId>> {
    let mut rows = Vec::new();
    for id in dom.walk(table, |_| true) {
        match dom.html_name(id) {
            Some(&local_name!("table")) if id != table => return None,
            Some(&local_name!("tr")) => rows.push(id),
            Some(_) | None => {}
        }
    }
    Some(rows)
}

fn cell_text(dom: &Dom, cell: NodeId, selection: &Selection) -> String {
    let mut text = String::new();
    for id in dom.walk(cell, |id| selection.keeps(id)) {
        if !selection.keeps(id) {
            continue;
        }
        match dom.data(id) {
            NodeData::Text(part) => push_collapsed(&mut text, part),
            NodeData::Element(element) => {
                let breaks =
                    element.html_name().is_some_and(|name| *name == local_name!("br") || super::flow(name) == super::Flow::Block);
                if breaks && !text.is_empty() && !text.ends_with(' ') {
                    text.push(' ');
                }
            }
            NodeData::Fragment | NodeData::Nothing => {}
        }
    }
    text.truncate(text.trim_end().len());
    text
}

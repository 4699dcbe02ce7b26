//! The same as plain text, printed once: for scripts, and for whoever has no terminal.

use std::fmt::Write;

use super::figures::{bytes, count, harmless, time};
use super::model::Board;
use super::row::Row;

/// Everything on the board, in lines as long as they need to be.
pub(crate) fn written(board: &Board) -> String {
    let mut text = String::new();
    let condition = match &board.condition {
        Ok(condition) | Err(condition) => condition,
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}  {condition}", harmless(&board.address));
    let _ = writeln!(text, "pressure {}", board.pressure);
    for meter in &board.meters {
        let _ = writeln!(text, "{}  {}", meter.name, meter.words);
    }
    for line in [&board.work, &board.totals, &board.parts] {
        let _ = writeln!(text, "{}", line.join("  "));
    }
    text.push('\n');
    let widest = board.rows.iter().map(|row| row.depth * 2 + row.name.chars().count()).max().unwrap_or(0).max(4);
    let _ =
        writeln!(text, "{:<widest$}  {:<9} {:>4} {:>10} {:>7} {:>10}  NOTE", "NAME", "STATE", "LIFE", "JOBS", "AGE", "MEMORY");
    for row in &board.rows {
        let line = written_row(row, widest);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn written_row(row: &Row, widest: usize) -> String {
    let name = format!("{:indent$}{}", "", row.name, indent = row.depth * 2);
    // A script that splits at blanks finds as many columns everywhere.
    let or_dash = |text: Option<String>| text.map_or_else(|| "-".to_owned(), |text| text.replace(' ', ""));
    format!(
        "{name:<widest$}  {:<9} {:>4} {:>10} {:>7} {:>10}  {}",
        if row.state.is_empty() { "-" } else { &row.state },
        or_dash(row.generation.map(|life| life.to_string())),
        or_dash(row.jobs.map(count)),
        or_dash(row.age.map(time)),
        or_dash(row.bytes.map(bytes)),
        row.note,
    )
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{daemon, look, two_children};
    use super::*;

    #[test]
    fn every_line_of_the_tree_has_the_same_columns() {
        let text = written(&Board::of(&look(daemon(30, &two_children())), None));
        let (facts, tree) = text.split_once("\n\n").expect("facts, then the tree");
        assert!(facts.starts_with("http://127.0.0.1:7801  ready\npressure shrink\nmemory  1.5 GiB of 2.0 GiB"), "{facts}");
        let columns: Vec<Vec<_>> = tree.lines().map(|line| line.split_whitespace().take(6).collect()).collect();
        assert_eq!(columns[0], ["NAME", "STATE", "LIFE", "JOBS", "AGE", "MEMORY"]);
        assert_eq!(columns[1], ["eventmesh", "running", "-", "-", "-", "-"]);
        assert_eq!(columns[5], ["wasm/1", "idle", "4", "20", "1h01m", "3.0MiB"]);
        assert!(columns.iter().all(|line| line.len() == 6), "{tree}");
        assert!(!text.contains('\u{1b}'));
    }
}

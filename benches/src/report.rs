//! What a bench brings: rows to read, goals to judge by, and the raw numbers to keep.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Error;
use crate::machine::Machine;

/// The figures of one bench.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    rows: Vec<Map<String, Value>>,
    goals: Vec<Goal>,
}

/// A figure that was promised.
#[derive(Debug, Serialize)]
struct Goal {
    what: String,
    measured: f64,
    bound: f64,
    reached: bool,
}

impl Report {
    /// Adds a row: names and figures, units in the names.
    pub(crate) fn row<const N: usize>(&mut self, cells: [(&str, Value); N]) {
        let row: Map<String, Value> = cells.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let shown: Vec<String> = cells_of(&row);
        println!("{}", shown.join("  "));
        self.rows.push(row);
    }

    /// Judges a figure that must not exceed `bound`.
    pub(crate) fn at_most(&mut self, what: &str, measured: f64, bound: f64) {
        self.judge(what, "≤", measured, bound, measured <= bound);
    }

    /// Judges a figure that must reach `bound`.
    pub(crate) fn at_least(&mut self, what: &str, measured: f64, bound: f64) {
        self.judge(what, "≥", measured, bound, measured >= bound);
    }

    fn judge(&mut self, what: &str, relation: &str, measured: f64, bound: f64, reached: bool) {
        let verdict = if reached { "reached" } else { "MISSED" };
        println!("{verdict}: {what} is {measured:.3}, goal {relation} {bound}");
        self.goals.push(Goal { what: what.to_owned(), measured, bound, reached });
    }

    /// Writes the results; says whether a goal was missed.
    pub(crate) fn keep(&self, id: &str, label: &str) -> Result<bool, Error> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        std::fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{label}-{id}.json"));
        let results = json!({ "id": id, "label": label, "machine": Machine::read(), "rows": self.rows, "goals": self.goals });
        std::fs::write(&path, serde_json::to_string_pretty(&results)? + "\n")?;
        println!("kept in benches/results/{label}-{id}.json");
        Ok(self.goals.iter().any(|goal| !goal.reached))
    }
}

fn cells_of(row: &Map<String, Value>) -> Vec<String> {
    row.iter()
        .map(|(name, value)| match value.as_f64().filter(|_| !value.is_u64()) {
            Some(number) => format!("{name} {number:.2}"),
            None => format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        })
        .collect()
}

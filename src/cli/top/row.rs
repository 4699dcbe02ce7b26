//! One line of the live tree: a supervisor, a service, a pool or one of its children.

use std::time::Duration;

use serde_json::Value;

use super::figures::{bytes, harmless, time};
use super::order::Order;
use super::seen::{Child, Detail, Node, Pool, Tree, total};

/// A line of the tree. Of what it has no figure for, it says nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What it is, whatever else has changed since the last look.
    pub(crate) key: String,
    /// How deep in the tree, from 0.
    pub(crate) depth: usize,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) tone: Tone,
    pub(crate) generation: Option<u64>,
    pub(crate) jobs: Option<u64>,
    /// Jobs per second.
    pub(crate) rate: Option<f64>,
    pub(crate) age: Option<Duration>,
    /// Memory.
    pub(crate) bytes: Option<u64>,
    /// What else there is to say, the most urgent first.
    pub(crate) note: String,
    /// How it is replaced, if it is a child of a pool.
    pub(crate) recycle: Option<Order>,
}

/// How a state is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Well,
    /// At work.
    Busy,
    /// On its way to something else.
    Passing,
    /// Not as it should be.
    Ill,
}

impl Row {
    /// All lines of a tree, from the root down, with the rates since an earlier look.
    pub(crate) fn all(tree: &Tree, before: Option<(&Tree, Duration)>) -> Vec<Self> {
        let mut rows = Vec::new();
        let earlier = before.map(|(tree, between)| (tree.pools(), between));
        let earlier = earlier.as_ref().map(|(pools, between)| (&**pools, *between));
        rows.push(supervisor(tree, tree.name.clone(), 0, &Bare::default()));
        below(tree, &tree.name, 1, earlier, &mut rows);
        for row in &mut rows {
            for text in [&mut row.name, &mut row.state, &mut row.note] {
                *text = harmless(text);
            }
        }
        rows
    }
}

type Earlier<'a> = Option<(&'a [&'a Pool], Duration)>;

/// What a supervisor knows of its child, whatever that is.
#[derive(Default)]
struct Bare {
    generation: Option<u64>,
    age: Option<Duration>,
    notes: Vec<String>,
}

fn below(tree: &Tree, path: &str, depth: usize, earlier: Earlier<'_>, rows: &mut Vec<Row>) {
    for node in &tree.children {
        let path = format!("{path}/{}", node.name);
        let bare = bare(node);
        match &node.detail {
            Detail::Supervisor(tree) => {
                rows.push(Row { name: node.name.clone(), ..supervisor(tree, path.clone(), depth, &bare) });
                below(tree, &path, depth + 1, earlier, rows);
            }
            Detail::Pool(now) => {
                let before =
                    earlier.and_then(|(pools, between)| Some((*pools.iter().find(|pool| pool.name == now.name)?, between)));
                rows.push(pool(node, now, path.clone(), depth, bare, before));
                rows.extend(now.children.iter().map(|kid| child(now, kid, &path, depth + 1, before)));
            }
            Detail::Service => rows.push(Row {
                key: path,
                depth,
                name: node.name.clone(),
                state: node.state.clone(),
                tone: tone(&node.state),
                generation: bare.generation,
                jobs: None,
                rate: None,
                age: bare.age,
                bytes: None,
                note: bare.notes.join(", "),
                recycle: None,
            }),
        }
    }
}

fn bare(node: &Node) -> Bare {
    let mut notes = Vec::new();
    if !node.answers {
        notes.push("does not go".to_owned());
    }
    if let Some(starts_in) = node.starts_in {
        notes.push(format!("starts in {}", time(starts_in)));
    }
    if let Some(exit) = &node.last_exit {
        notes.push(format!("before: {}", ending(exit)));
    }
    Bare { generation: Some(node.generation), age: Some(node.since), notes }
}

fn supervisor(tree: &Tree, key: String, depth: usize, bare: &Bare) -> Row {
    let mut notes = bare.notes.clone();
    let restarts = total(&tree.restarts);
    if restarts > 0 {
        notes.insert(0, counted(restarts, "restart"));
    }
    if !tree.strategy.is_empty() {
        notes.push(tree.strategy.replace('_', " "));
    }
    Row {
        key,
        depth,
        name: tree.name.clone(),
        state: tree.state.clone(),
        tone: tone(&tree.state),
        generation: bare.generation,
        jobs: None,
        rate: None,
        age: bare.age,
        bytes: None,
        note: notes.join(", "),
        recycle: None,
    }
}

fn pool(node: &Node, now: &Pool, key: String, depth: usize, bare: Bare, before: Option<(&Pool, Duration)>) -> Row {
    let counts = &now.counts;
    let mut notes = Vec::new();
    let violations = total(&counts.violations);
    if violations > 0 {
        notes.push(format!("{}: a bug", counted(violations, "broken promise")));
    }
    if let Some(back_in) = now.back_in {
        notes.push(format!("back in {}", time(back_in)));
    }
    if now.waiting > 0 {
        notes.push(format!("{} waiting", now.waiting));
    }
    if now.target != now.size {
        notes.push(format!("{} of {} wanted", now.target, now.size));
    }
    for (number, what) in
        [(counts.jobs_lost, "lost job"), (total(&counts.restarts), "restart"), (total(&counts.recycles), "recycle")]
    {
        if number > 0 {
            notes.push(counted(number, what));
        }
    }
    if now.quarantined > 0 {
        notes.push(format!("{} in quarantine", now.quarantined));
    }
    if let Some(failure) = &now.last_failure {
        notes.push(format!("last: {}", ending(failure)));
    }
    notes.extend(bare.notes);
    // A pool that is down has no phase to speak of.
    let state = if node.state == "running" && !now.phase.is_empty() { &now.phase } else { &node.state };
    Row {
        key,
        depth,
        name: node.name.clone(),
        state: state.clone(),
        tone: tone(state),
        generation: bare.generation,
        jobs: Some(counts.jobs),
        rate: before.and_then(|(earlier, between)| per_second(counts.jobs, earlier.counts.jobs, between)),
        age: bare.age,
        bytes: now.held_bytes,
        note: notes.join(", "),
        recycle: None,
    }
}

fn child(pool: &Pool, now: &Child, path: &str, depth: usize, before: Option<(&Pool, Duration)>) -> Row {
    let mut notes = Vec::new();
    match (&now.hang_step, now.answers) {
        (Some(step), false) => notes.push(format!("silent: {step}")),
        (None, false) => notes.push("silent".to_owned()),
        (_, true) => {}
    }
    if !matches!(&*now.memory, "" | "fine") {
        notes.push(format!("memory: {}", now.memory));
    }
    if now.leak.is_some() {
        notes.push("leaks".to_owned());
    }
    match now.starts_in {
        Some(starts_in) => notes.push(format!("starts in {}", time(starts_in))),
        None if now.state != "idle" => notes.push(format!("for {}", time(now.since))),
        None => {}
    }
    if now.usage.last_job_bytes > 0 {
        notes.push(format!("last job {}", bytes(now.usage.last_job_bytes)));
    }
    let place = now.place();
    // In another life it has counted anew.
    let earlier = before.and_then(|(pool, between)| Some((pool.children.iter().find(|child| child.id == now.id)?.jobs, between)));
    let tone = if now.answers { tone(&now.state) } else { Tone::Ill };
    Row {
        key: place.map_or_else(|| format!("{path}/{}", now.id), |(slot, generation)| key_of(path, slot, generation, pool)),
        depth,
        name: now.id.split('#').next().unwrap_or_default().to_owned(),
        state: now.state.clone(),
        tone,
        generation: place.map(|(_, generation)| generation),
        jobs: Some(now.jobs),
        rate: earlier.and_then(|(jobs, between)| per_second(now.jobs, jobs, between)),
        age: Some(now.age),
        bytes: Some(now.usage.bytes),
        note: notes.join(", "),
        recycle: place.map(|(slot, _)| Order::Recycle { pool: pool.name.clone(), slot }),
    }
}

/// The slot, so that a selection stays where it is when a child is replaced; and the generation while two share the slot.
fn key_of(path: &str, slot: u32, generation: u64, pool: &Pool) -> String {
    let newest = pool.children.iter().filter_map(Child::place).filter(|place| place.0 == slot).map(|place| place.1).max();
    if newest == Some(generation) { format!("{path}/{slot}") } else { format!("{path}/{slot}#{generation}") }
}

/// What has been added per second. Nothing if it is less than it was: then it has been counted anew.
pub(crate) fn per_second(now: u64, before: u64, between: Duration) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let more = now.checked_sub(before)? as f64;
    (!between.is_zero()).then(|| more / between.as_secs_f64())
}

/// How a life ended, in words.
pub(crate) fn ending(exit: &Value) -> String {
    let word = |value: &Value| match value {
        Value::String(text) => text.replace('_', " "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let Some(kind) = exit.get("exit") else { return word(exit) };
    match exit.get("detail") {
        None | Some(Value::Null) => word(kind),
        // Prose, which stays as it is.
        Some(Value::String(text)) => format!("{}: {text}", word(kind)),
        Some(Value::Number(number)) if kind == "out_of_memory" => {
            format!("{}: {}", word(kind), bytes(number.as_u64().unwrap_or_default()))
        }
        Some(detail) => format!("{}: {}", word(kind), word(detail)),
    }
}

fn counted(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn tone(state: &str) -> Tone {
    match state {
        "running" | "open" | "idle" => Tone::Well,
        "leased" => Tone::Busy,
        "starting" | "stopping" | "retiring" | "draining" | "probing" => Tone::Passing,
        // `down`, `backoff`, `killing`, `spent`, `closed`, and what a newer daemon may say.
        _ => Tone::Ill,
    }
}

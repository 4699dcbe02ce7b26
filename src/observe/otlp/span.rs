//! A span that has ended, and what was said of it.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};

/// A span as it is exported.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finished {
    pub(super) trace: u128,
    pub(super) id: u64,
    pub(super) parent: Option<u64>,
    pub(super) name: &'static str,
    /// Nanoseconds since 1970.
    pub(super) began: u64,
    /// Never before it began.
    pub(super) ended: u64,
    pub(super) said: Said,
}

/// What is known of a span: by name, in the order in which it was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    fields: Vec<(&'static str, Value)>,
}

/// What an attribute is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Switch(bool),
}

/// The longest text, in bytes: a method or an id comes from a caller, who may write what it likes.
const LONGEST: usize = 256;

/// The name of the span of a whole request.
pub(super) const REQUEST: &str = "request";
/// The caller's span, of which the ids are made and nothing else.
pub(super) const TRACE: &str = "trace";
/// What went wrong, where something did.
pub(super) const ERROR: &str = "error";

/// Which spans are told: the request and its stages. What else there is in this process has to do with tasks, not with requests.
pub(super) fn is_told(name: &str) -> bool {
    matches!(name, REQUEST | "fetch" | "gate" | "queue" | "extract" | "render")
}

impl Said {
    /// What is said of `name`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|(known, value)| match value {
            Value::Text(text) if *known == name => Some(&**text),
            Value::Text(_) | Value::Whole(_) | Value::Switch(_) => None,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.fields.iter().map(|(name, value)| (*name, value))
    }

    /// The later word counts.
    fn say(&mut self, field: &Field, value: Value) {
        match self.fields.iter_mut().find(|(name, _)| *name == field.name()) {
            Some((_, old)) => *old = value,
            None => self.fields.push((field.name(), value)),
        }
    }
}

impl Visit for Said {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.say(field, Value::Whole(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.say(field, Value::Whole(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.say(field, Value::Switch(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Short::default();
        // It is full, which is what it is for.
        let _ = text.write_str(value);
        self.say(field, Value::Text(text.0));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Short::default();
        let _ = write!(text, "{value:?}");
        self.say(field, Value::Text(text.0));
    }
}

/// A text that grows no longer than it may, however long what is written to it is.
#[derive(Debug, Default)]
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = text.floor_char_boundary(LONGEST - self.0.len());
        self.0.push_str(&text[..room]);
        if room < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
impl Said {
    /// What was said so.
    pub(super) fn of(fields: Vec<(&'static str, Value)>) -> Self {
        Self { fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_they_are_too_long() {
        let mut short = Short::default();
        assert!(write!(short, "{}é", "x".repeat(LONGEST - 1)).is_err(), "a letter is not cut in two");
        assert_eq!(short.0, "x".repeat(LONGEST - 1));
        assert!(short.write_str("y").is_ok() && short.write_str("").is_ok() && short.write_str("z").is_err());
        assert_eq!(short.0.len(), LONGEST);
    }

    #[test]
    fn a_text_is_found_by_its_name() {
        let said = Said::of(vec![("status", Value::Whole(200)), ("method", Value::Text("GET".to_owned()))]);
        assert_eq!((said.text("method"), said.text("status"), said.text("route")), (Some("GET"), None, None));
        assert_eq!(said.iter().count(), 2);
    }

    #[test]
    fn only_stages_are_told() {
        assert!(["request", "fetch", "gate", "queue", "extract", "render"].into_iter().all(is_told));
        assert!(!["task", "", "requests"].into_iter().any(is_told));
    }
}

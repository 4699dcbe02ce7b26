//! Which actions may be done together: those that are done by pointer, keys or within the page, one after the other, in the same
//! frame. Pure. Whether they really can is seen in the page, step by step; see `js/hands.js`.

use serde::Serialize;

use super::keys::{Chord, Key};
use super::{Action, Edge, State, What};

/// Steps that are handed to the page at once.
const TOGETHER: usize = 32;
/// Keys that are pressed in one go; a longer text is put in at once.
const KEYS: usize = 2_000;

/// What the page is told of an action.
#[derive(Debug, Serialize, PartialEq)]
pub(crate) struct Op {
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) selector: Option<String>,
    /// Times that the pointer goes down.
    pub(crate) presses: u32,
    /// Keys that come up again.
    pub(crate) keys: u32,
    /// A text is put in at once.
    pub(crate) inserts: bool,
    /// It is done within the page.
    pub(crate) page: bool,
    pub(crate) edits: bool,
    pub(crate) focused: bool,
    /// It enters something, and so may lead elsewhere.
    pub(crate) enters: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) values: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dy: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<&'static str>,
}

/// What the browser is told once it is known where.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// Nothing: the page does it.
    None,
    /// The pointer goes there, and clicks so many times with that button.
    Click { times: i64, button: super::Button },
    /// The pointer goes there.
    Move,
    /// After a click, these keys.
    Keys(Vec<(Key, i64)>),
    /// After a click, this text at once; nothing in its place if it is empty.
    Text(String),
    /// Only this key.
    Press(Chord),
    /// After a click, this key.
    PressAt(Chord),
}

impl Op {
    fn new(kind: &'static str, selector: &str) -> Self {
        Self {
            kind,
            selector: Some(selector.to_owned()),
            presses: 0,
            keys: 0,
            inserts: false,
            page: false,
            edits: false,
            focused: false,
            enters: false,
            state: None,
            text: None,
            values: Vec::new(),
            dy: None,
            to: None,
        }
    }

    fn click(kind: &'static str, selector: &str) -> Self {
        Self { presses: 1, ..Self::new(kind, selector) }
    }

    /// What an action is, if it can be part of a batch.
    pub(crate) fn of(what: &What) -> Option<(Self, Input)> {
        let once = Input::Click { times: 1, button: super::Button::Left };
        Some(match what {
            What::Click { selector, fast: true, .. } => (Self { page: true, ..Self::new("fast_click", selector) }, Input::None),
            What::Click { selector, button, fast: false } => {
                (Self::click("click", selector), Input::Click { times: 1, button: *button })
            }
            What::DoubleClick { selector } => (
                Self { presses: 2, ..Self::new("double_click", selector) },
                Input::Click { times: 2, button: super::Button::Left },
            ),
            What::Hover { selector } => (Self::new("hover", selector), Input::Move),
            What::Type { selector, text } => {
                let keys: Vec<(Key, i64)> = text.chars().map(|character| (Key::of(character), 0)).collect();
                if keys.len() > KEYS {
                    let op = Self { inserts: true, edits: true, ..Self::click("type", selector) };
                    return Some((op, Input::Text(text.clone())));
                }
                if keys.is_empty() {
                    return Some((Self { edits: true, ..Self::click("type", selector) }, once));
                }
                let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                let enters = text.contains(['\n', '\r']);
                (Self { keys: count, edits: true, enters, ..Self::click("type", selector) }, Input::Keys(keys))
            }
            What::Fill { selector, text, fast: true } => {
                (Self { page: true, edits: true, text: Some(text.clone()), ..Self::new("fast_fill", selector) }, Input::None)
            }
            What::Fill { selector, text, fast: false } => {
                // Also what the page does by itself, where a field has a picker.
                let inserts = !text.is_empty();
                let keys = u32::from(!inserts);
                let op = Self { keys, inserts, edits: true, text: Some(text.clone()), ..Self::click("fill", selector) };
                (op, Input::Text(text.clone()))
            }
            What::Press { key, selector } => {
                let chord = Chord::parse(key).ok()?;
                let enters = chord.key.key == "Enter";
                match selector {
                    Some(selector) => (Self { keys: 1, enters, ..Self::click("press", selector) }, Input::PressAt(chord)),
                    None => {
                        (Self { keys: 1, enters, focused: true, selector: None, ..Self::new("press", "") }, Input::Press(chord))
                    }
                }
            }
            What::Select { selector, values } => {
                (Self { page: true, values: values.clone(), ..Self::new("select", selector) }, Input::None)
            }
            What::Check { selector } => (Self { state: Some(true.into()), ..Self::click("check", selector) }, once),
            What::Uncheck { selector } => (Self { state: Some(false.into()), ..Self::click("check", selector) }, once),
            What::Scroll { by, to, selector, until_no_more: None } => {
                let edge = to.map(|edge| if edge == Edge::Top { "top" } else { "bottom" });
                let op = Self { page: true, selector: selector.clone(), dy: *by, to: edge, ..Self::new("scroll", "") };
                (op, Input::None)
            }
            What::Wait { selector: Some(selector), state, text, .. } => {
                (Self::wait(selector, *state, text.as_deref()), Input::None)
            }
            What::Scroll { .. }
            | What::Drag { .. }
            | What::Upload { .. }
            | What::Wait { .. }
            | What::Navigate { .. }
            | What::Back {}
            | What::Evaluate { .. }
            | What::Screenshot { .. }
            | What::Extract { .. }
            | What::Dialog { .. } => return None,
        })
    }

    /// Waiting for an element.
    fn wait(selector: &str, state: Option<State>, text: Option<&str>) -> Self {
        let state = match (text, state.unwrap_or(State::Visible)) {
            (Some(_), _) => "text",
            (None, State::Visible) => "visible",
            (None, State::Hidden) => "hidden",
            (None, State::Attached) => "attached",
            (None, State::Detached) => "detached",
        };
        Self { page: true, state: Some(state.into()), text: text.map(str::to_owned), ..Self::new("wait", selector) }
    }
}

/// How many actions, from the first on, may be done together: 0 if the first one cannot be part of a batch.
pub(crate) fn together(actions: &[Action]) -> usize {
    let Some(first) = actions.first() else { return 0 };
    let same = |action: &&Action| action.frame == first.frame && Op::of(&action.what).is_some();
    actions.iter().take(TOGETHER).take_while(same).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(selector: &str) -> Action {
        What::Click { selector: selector.to_owned(), button: super::super::Button::Left, fast: false }.into()
    }

    #[test]
    fn what_can_be_done_together() {
        let evaluate = || Action::from(What::Evaluate { script: "1".to_owned() });
        let framed = Action { frame: vec!["iframe".to_owned()], ..click("c") };
        assert_eq!(together(&[]), 0);
        assert_eq!(together(&[evaluate(), click("a")]), 0);
        assert_eq!(together(&[click("a"), click("b"), evaluate(), click("c")]), 2);
        assert_eq!(together(&[click("a"), framed.clone()]), 1);
        assert_eq!(together(&[framed.clone(), framed]), 2);
        let many: Vec<Action> = (0..100).map(|number| click(&number.to_string())).collect();
        assert_eq!(together(&many), TOGETHER);
        let right = What::Click { selector: "a".to_owned(), button: super::super::Button::Right, fast: false };
        assert_eq!(together(&[right.into(), click("b")]), 2);
    }

    #[test]
    fn a_text_too_long_for_keys_is_put_in_at_once_and_heard_of() {
        let long = What::Type { selector: "t".to_owned(), text: "x".repeat(KEYS + 1) };
        let (op, input) = Op::of(&long).expect("it can be part of a batch");
        assert_eq!((op.presses, op.keys, op.inserts, op.edits), (1, 0, true, true));
        assert_eq!(input, Input::Text("x".repeat(KEYS + 1)));
        let nothing = What::Type { selector: "t".to_owned(), text: String::new() };
        let (op, input) = Op::of(&nothing).expect("it can be part of a batch");
        assert_eq!((op.presses, op.inserts, op.edits), (1, false, true));
        assert_eq!(input, Input::Click { times: 1, button: super::super::Button::Left });
    }

    #[test]
    fn what_a_page_does_itself_needs_no_input() {
        let ops = [
            What::Select { selector: "s".to_owned(), values: vec!["v".to_owned()] },
            What::Scroll { by: Some(5), to: None, selector: None, until_no_more: None },
            What::Wait { selector: Some("w".to_owned()), state: None, text: None, time_ms: None, function: None, settled: false },
            What::Fill { selector: "f".to_owned(), text: "t".to_owned(), fast: true },
        ];
        for what in ops {
            let (op, input) = Op::of(&what).expect("it can be part of a batch");
            assert!(op.page && input == Input::None, "{what:?}");
        }
    }
}

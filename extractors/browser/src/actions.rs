//! What can be done with a page before its content is taken: steps of a person, each with its own outcome.

mod hands;
mod keys;
mod plan;
mod schema;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use hands::Performer;
pub use schema::schema;

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>", into = "serde_json::Value")]
pub struct Action {
    /// What is done.
    pub what: What,
    /// Whether a failure ends the whole request.
    pub on_error: OnError,
    /// How long it may take, waiting included. Default 5 s.
    pub timeout: Duration,
    /// The frames to go down into, from the page on, each by a selector of its `<iframe>`. Default none: the page itself.
    pub frame: Vec<String>,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The request fails, and says which action failed and why.
    #[default]
    Stop,
    /// The outcome says so, and the next action follows.
    Continue,
}

/// How long an action may take if it does not say.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// Actions of one request.
pub(crate) const MOST: usize = 500;

/// What is done. A selector is CSS, which also looks into open shadow roots; `text=Sign in` is the innermost element with
/// that text, `text="Sign in"` with exactly that; `role=button[name="Save"]`; `xpath=//a[1]`. Of several elements, the first
/// that can be seen is meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Clicks an element, once it can be seen, is enabled and nothing covers it.
    Click {
        /// Which.
        selector: String,
        /// Another button than the left one.
        #[serde(default, skip_serializing_if = "Button::is_left")]
        button: Button,
        /// Fast and not like a person's: the event is made by a script, and pages can tell.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fast: bool,
    },
    /// Clicks an element twice.
    DoubleClick {
        /// Which.
        selector: String,
    },
    /// Moves the pointer over an element.
    Hover {
        /// Which.
        selector: String,
    },
    /// Clicks into a field, and presses a key for each character.
    Type {
        /// The field.
        selector: String,
        /// What is typed after what is there.
        text: String,
    },
    /// Puts a text in the place of what is in a field.
    Fill {
        /// The field.
        selector: String,
        /// The new text.
        text: String,
        /// Fast and not like a person's: no key or pointer is involved.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fast: bool,
    },
    /// Presses a key, with modifiers if need be: `Enter`, `ArrowDown`, `Control+a`.
    Press {
        /// The key.
        key: String,
        /// The field that is to have the focus. Default: what has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        selector: Option<String>,
    },
    /// Chooses options of a `<select>`, by value or label.
    Select {
        /// The `<select>`.
        selector: String,
        /// The options; more than one if it allows several.
        values: Vec<String>,
    },
    /// Makes sure that a checkbox or radio button is checked.
    Check {
        /// Which.
        selector: String,
    },
    /// Makes sure that a checkbox is not checked.
    Uncheck {
        /// Which.
        selector: String,
    },
    /// Scrolls by pixels, to `top` or `bottom`, to an element, or until nothing more comes.
    Scroll {
        /// Pixels down; up if negative.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<i32>,
        /// Where to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Edge>,
        /// Until this can be seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        selector: Option<String>,
        /// To the bottom, again and again while more comes, but so many times at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_no_more: Option<u16>,
    },
    /// Drags an element onto another.
    Drag {
        /// What is dragged.
        selector: String,
        /// Where it is dropped.
        onto: String,
    },
    /// Gives files to a file field.
    Upload {
        /// The field.
        selector: String,
        /// The files.
        files: Vec<File>,
    },
    /// Waits: for an element in some state, for a time, for a script to say so, or until the page has settled.
    Wait {
        /// For this element.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        selector: Option<String>,
        /// Until it is like that. Default visible.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<State>,
        /// Until it has this text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// For so many milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time_ms: Option<u32>,
        /// Until this expression of JavaScript is true.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        function: Option<String>,
        /// Until the page has settled.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        settled: bool,
    },
    /// Goes to another address.
    Navigate {
        /// An http or https URL.
        url: String,
    },
    /// Goes back in the page's history.
    Back {},
    /// Evaluates an expression of JavaScript in the page, waits for it if it is a promise, and puts its value into the outcome.
    Evaluate {
        /// The expression.
        script: String,
    },
    /// Takes a picture, which becomes part of the result.
    Screenshot {
        /// The whole page, not only what the window shows.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        full_page: bool,
        /// Only this element.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        selector: Option<String>,
    },
    /// Takes the content as it is now, as a document of its own.
    Extract {
        /// What it is called in the result.
        name: String,
    },
    /// Says what the next dialogs are answered with. Without it they are dismissed.
    Dialog {
        /// Whether they are accepted.
        accept: bool,
        /// What is entered into a prompt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
}

/// A button of the mouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Button {
    /// The left one.
    #[default]
    Left,
    /// The middle one.
    Middle,
    /// The right one.
    Right,
}

impl Button {
    fn is_left(&self) -> bool {
        *self == Self::Left
    }
}

/// An end of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// Its beginning.
    Top,
    /// Its end.
    Bottom,
}

/// How an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has a size and is not hidden.
    Visible,
    /// It cannot be seen, or is not there.
    Hidden,
    /// It is there.
    Attached,
    /// It is not there.
    Detached,
}

/// A file to be given to a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name, without a path.
    pub name: String,
    /// Its bytes, in base64.
    pub base64: String,
}

impl What {
    /// What all of them are called.
    const NAMES: [&'static str; 19] = [
        "click",
        "double_click",
        "hover",
        "type",
        "fill",
        "press",
        "select",
        "check",
        "uncheck",
        "scroll",
        "drag",
        "upload",
        "wait",
        "navigate",
        "back",
        "evaluate",
        "screenshot",
        "extract",
        "dialog",
    ];

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Click { .. } => "click",
            Self::DoubleClick { .. } => "double_click",
            Self::Hover { .. } => "hover",
            Self::Type { .. } => "type",
            Self::Fill { .. } => "fill",
            Self::Press { .. } => "press",
            Self::Select { .. } => "select",
            Self::Check { .. } => "check",
            Self::Uncheck { .. } => "uncheck",
            Self::Scroll { .. } => "scroll",
            Self::Drag { .. } => "drag",
            Self::Upload { .. } => "upload",
            Self::Wait { .. } => "wait",
            Self::Navigate { .. } => "navigate",
            Self::Back {} => "back",
            Self::Evaluate { .. } => "evaluate",
            Self::Screenshot { .. } => "screenshot",
            Self::Extract { .. } => "extract",
            Self::Dialog { .. } => "dialog",
        }
    }

    /// What makes no sense about it, if anything.
    fn problem(&self) -> Option<String> {
        let one = |what: &str, given: &[bool]| {
            let count = given.iter().filter(|given| **given).count();
            (count != 1).then(|| format!("{} takes exactly one of {what}", self.name()))
        };
        match self {
            Self::Scroll { by, to, selector, until_no_more } => one(
                "by, to, selector and until_no_more",
                &[by.is_some(), to.is_some(), selector.is_some(), until_no_more.is_some()],
            ),
            Self::Wait { selector, state, text, time_ms, function, settled } => {
                if (state.is_some() || text.is_some()) && selector.is_none() {
                    return Some("wait with state or text needs a selector".to_owned());
                }
                one(
                    "selector, time_ms, function and settled",
                    &[selector.is_some(), time_ms.is_some(), function.is_some(), *settled],
                )
            }
            Self::Press { key, .. } => keys::Chord::parse(key).err(),
            Self::Navigate { url } => crate::request::address(url).err(),
            Self::Select { values, .. } => values.is_empty().then(|| "select needs at least one value".to_owned()),
            Self::Upload { files, .. } => {
                let bad = files
                    .iter()
                    .find(|file| file.name.is_empty() || file.name.contains(['/', '\0']) || file.name.starts_with('.'));
                bad.map(|file| format!("{:?} is no name of a file", file.name))
            }
            Self::Click { .. }
            | Self::DoubleClick { .. }
            | Self::Hover { .. }
            | Self::Type { .. }
            | Self::Fill { .. }
            | Self::Check { .. }
            | Self::Uncheck { .. }
            | Self::Drag { .. }
            | Self::Back {}
            | Self::Evaluate { .. }
            | Self::Screenshot { .. }
            | Self::Extract { .. }
            | Self::Dialog { .. } => None,
        }
    }
}

impl From<What> for Action {
    fn from(what: What) -> Self {
        Self { what, on_error: OnError::default(), timeout: TIMEOUT, frame: Vec::new() }
    }
}

/// What all actions have in common.
#[derive(Default, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(default)]
pub(crate) struct Common {
    /// What a failure means: the end of the request, or only of this action.
    on_error: OnError,
    /// Milliseconds that it may take, waiting included. Default 5000.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u32>,
    /// The frames to go down into, from the page on, each by a selector of its iframe.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frame: Vec<String>,
}

/// The names of the fields that all actions have in common.
const COMMON: [&str; 3] = ["on_error", "timeout_ms", "frame"];

impl TryFrom<serde_json::Map<String, serde_json::Value>> for Action {
    type Error = String;

    fn try_from(mut fields: serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let common: serde_json::Map<_, _> = COMMON.iter().filter_map(|name| fields.remove_entry(*name)).collect();
        let common: Common = serde_json::from_value(common.into()).map_err(|error| error.to_string())?;
        let what: What = serde_json::from_value(fields.into()).map_err(|error| error.to_string())?;
        if let Some(problem) = what.problem() {
            return Err(problem);
        }
        let timeout = common.timeout_ms.map_or(TIMEOUT, |millis| Duration::from_millis(millis.into()));
        Ok(Self { what, on_error: common.on_error, timeout, frame: common.frame })
    }
}

impl From<Action> for serde_json::Value {
    fn from(action: Action) -> Self {
        let timeout_ms = (action.timeout != TIMEOUT).then(|| u32::try_from(action.timeout.as_millis()).unwrap_or(u32::MAX));
        let common = Common { on_error: action.on_error, timeout_ms, frame: action.frame };
        let mut fields = serde_json::to_value(action.what).unwrap_or_default();
        if let (Some(fields), Ok(Self::Object(common))) = (fields.as_object_mut(), serde_json::to_value(common)) {
            fields.extend(common);
        }
        fields
    }
}

/// A reference that is written out is taken for one into what is read.
type Name = &'static str;

/// What has come of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it is called.
    #[serde(deserialize_with = "known")]
    pub action: Name,
    /// How it ended.
    pub status: Status,
    /// What stood in the way, or what else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What a script has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// How long it took by itself, waiting included.
    #[serde(rename = "ms", serialize_with = "millis", deserialize_with = "from_millis")]
    pub took: Duration,
    /// The batch it was part of, from 1, if it was done together with others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
}

fn millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 10_000.0).round() / 10.0)
}

fn from_millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let millis = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(millis / 1e3).map_err(serde::de::Error::custom)
}

fn known<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = What::NAMES.into_iter().find(|known| **known == *name);
    known.ok_or_else(|| serde::de::Error::custom(format!("{name} is no action")))
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was done.
    Ok,
    /// No element is what the selector says.
    NotFound,
    /// The element cannot be seen.
    NotVisible,
    /// The element, or what it is part of, is disabled.
    Disabled,
    /// The field cannot be written to.
    NotEditable,
    /// Another element lies above it.
    CoveredBy,
    /// The element cannot be brought into the window.
    OutOfView,
    /// What was waited for has not come in time.
    TimedOut,
    /// The selector, or the script, is not understood or failed.
    Failed,
    /// An action before it failed, so it was not tried.
    Skipped,
}

impl Outcome {
    pub(crate) fn is_ok(&self) -> bool {
        self.status == Status::Ok
    }

    pub(crate) fn skipped(what: &What) -> Self {
        Self { action: what.name(), status: Status::Skipped, detail: None, value: None, took: Duration::ZERO, batch: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Action, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn outcomes_are_read_as_they_are_written() {
        for action in What::NAMES {
            let took = Duration::from_micros(1_500);
            let outcome = Outcome { action, status: Status::Ok, detail: None, value: None, took, batch: Some(1) };
            let written = serde_json::to_string(&outcome).expect("it can be written");
            assert_eq!(serde_json::from_str::<Outcome>(&written).expect("it can be read"), outcome);
        }
        // Each name is one that an action has, and the schema knows all of those.
        let schema = schema().to_string();
        for name in What::NAMES {
            assert!(schema.contains(&format!("\"{name}\"")), "{name}");
        }
        assert_eq!(schema.matches("\"action\":{\"const\":").count(), What::NAMES.len(), "{schema}");
    }

    #[test]
    fn actions_are_read_and_written_alike() {
        let texts = [
            r##"{"action":"click","selector":"#a"}"##,
            r#"{"action":"scroll","until_no_more":20,"on_error":"continue","timeout_ms":30000}"#,
            r#"{"action":"fill","selector":"role=textbox[name=\"Name\"]","text":"x","frame":["iframe"]}"#,
            r#"{"action":"press","key":"Control+a"}"#,
            r#"{"action":"back"}"#,
        ];
        for text in texts {
            let action = parse(text).expect(text);
            let written = serde_json::to_string(&action).expect("it can be written");
            assert_eq!(parse(&written), Ok(action), "{written}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let table = [
            (r#"{"action":"clik","selector":"a"}"#, "clik"),
            (r#"{"action":"click","selektor":"a"}"#, "selektor"),
            (r#"{"action":"click"}"#, "selector"),
            (r#"{"action":"scroll"}"#, "exactly one"),
            (r#"{"action":"wait","selector":"a","time_ms":5}"#, "exactly one"),
            (r#"{"action":"wait","state":"hidden","time_ms":5}"#, "needs a selector"),
            (r#"{"action":"press","key":"Hyper+q"}"#, "Hyper"),
            (r#"{"action":"navigate","url":"file:///etc/passwd"}"#, "http"),
            (r#"{"action":"click","selector":"a","on_error":"panic"}"#, "panic"),
            (r#"{"action":"upload","selector":"a","files":[{"name":"../x","base64":""}]}"#, "name of a file"),
        ];
        for (text, named) in table {
            let error = parse(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}

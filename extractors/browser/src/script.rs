//! Evaluating JavaScript in a page.

use std::time::Duration;

use chromiumoxide_cdp::cdp::js_protocol::runtime::{EvaluateParams, ExecutionContextId};
use serde_json::Value;

use crate::cdp::{CdpError, Pending, Session};
use crate::error::RenderError;

/// Watches what a page is still doing; see there.
pub(crate) const WATCH: &str = include_str!("../js/watch.js");
/// Finds elements and minds what is done with them; see there.
pub(crate) const HANDS: &str = include_str!("../js/hands.js");
/// Writes a page down as HTML, shadow roots and frames included; see there.
pub(crate) const WRITE: &str = include_str!("../js/write.js");

/// Why an expression has no value.
#[derive(Debug)]
pub(crate) enum ScriptError {
    /// It threw this.
    Thrown(String),
    /// The world that it was to be evaluated in is gone: the page went elsewhere.
    WorldGone,
    Cdp(CdpError),
}

impl From<CdpError> for ScriptError {
    fn from(error: CdpError) -> Self {
        // As the browser puts it, in several ways.
        const WORDS: [&str; 3] = ["context", "Inspected target navigated", "Object reference chain"];
        let gone = matches!(&error, CdpError::Refused { message, .. } if WORDS.iter().any(|words| message.contains(words)));
        if gone { Self::WorldGone } else { Self::Cdp(error) }
    }
}

/// The call that evaluates `expression`, and waits if it is a promise.
pub(crate) fn call(expression: String, world: Option<i64>) -> EvaluateParams {
    let mut call = EvaluateParams::new(expression);
    call.context_id = world.map(ExecutionContextId::new);
    call.return_by_value = Some(true);
    call.await_promise = Some(true);
    call.user_gesture = Some(true);
    call
}

/// Evaluates, in the page's own world unless another is named.
pub(crate) async fn evaluate(
    session: &Session,
    expression: String,
    world: Option<i64>,
    within: Duration,
) -> Result<Value, ScriptError> {
    let mut batch = session.batch();
    let pending = batch.add(&call(expression, world));
    batch.send().await?;
    value(pending, within).await
}

/// The value of a call that is on its way.
pub(crate) async fn value(pending: Pending<EvaluateParams>, within: Duration) -> Result<Value, ScriptError> {
    let answer = pending.within(within).await?;
    if let Some(details) = answer.exception_details {
        let said = details
            .exception
            .and_then(|exception| exception.description.or_else(|| exception.value.map(|value| value.to_string())));
        return Err(ScriptError::Thrown(said.unwrap_or(details.text)));
    }
    Ok(answer.result.value.unwrap_or_default())
}

/// A text as a literal of JavaScript.
pub(crate) fn literal(text: &str) -> String {
    // Both are the same but for two separators, which JSON may leave as they are.
    Value::from(text).to_string().replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

impl From<ScriptError> for RenderError {
    fn from(error: ScriptError) -> Self {
        match error {
            ScriptError::Thrown(why) => Self::Request(format!("a script failed: {why}")),
            ScriptError::WorldGone => Self::Protocol(CdpError::Detached),
            ScriptError::Cdp(error) => error.into(),
        }
    }
}

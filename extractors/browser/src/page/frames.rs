//! The frames of a page: where they lie in it, and where their scripts run.

use chromiumoxide_cdp::cdp::browser_protocol::dom::DescribeNodeParams;
use serde::Deserialize;
use tokio::time::Instant;

use super::Page;
use crate::cdp::Session;
use crate::error::{Doing, RenderError};
use crate::script::{self, ScriptError};

/// Where the inside of a frame lies in the one around it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// The part of it that can be seen, in its own terms: left, top, right, bottom.
    pub(crate) view: [f64; 4],
    /// It had to be brought into view.
    #[serde(default)]
    pub(crate) moved: bool,
}

impl Page {
    /// What went wrong in a frame: one that has gone with the process of its own takes its world along, and not the page.
    pub(crate) fn in_frame(&self, session: &Session, error: ScriptError) -> ScriptError {
        match error {
            ScriptError::Cdp(error) if error.is_final() && !session.is(&self.session) && self.is_sound() => {
                ScriptError::WorldGone
            }
            error @ (ScriptError::Cdp(_) | ScriptError::Thrown(_) | ScriptError::WorldGone) => error,
        }
    }

    /// The frame in an element of another frame, of which `view` can be seen, and where it lies in that; nothing if it does not
    /// come in time.
    pub(crate) async fn inner_frame(
        &self,
        frame: &str,
        view: Option<[f64; 4]>,
        selector: &str,
        deadline: Instant,
    ) -> Result<Option<(String, Place)>, RenderError> {
        let (session, world) = self.world(frame).await?;
        let selector = script::literal(selector);
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = format!("hands.wait({{selector: {selector}, state: 'attached'}}, {})", left.as_millis());
        let found = script::evaluate(&session, wait, Some(world), left + self.limits.call).await.map_err(RenderError::from)?;
        if found["ok"] != true {
            return Ok(None);
        }
        let mut find = script::call(format!("hands.first({selector})"), Some(world));
        find.return_by_value = Some(false);
        let object = session.call(&find, self.limits.call).await?.result.object_id;
        let describe = DescribeNodeParams { object_id: object, ..DescribeNodeParams::default() };
        let Some(inner) = session.call(&describe, self.limits.call).await?.node.frame_id else { return Ok(None) };
        let place = format!("hands.frame({selector}, {})", literal(view));
        let place = script::evaluate(&session, place, Some(world), self.limits.call).await.map_err(RenderError::from)?;
        let place: Place = serde_json::from_value(place)
            .map_err(|error| RenderError::Request(format!("the page does not say where its frame is: {error}")))?;
        let inner = inner.inner().clone();
        let there = self
            .until(deadline, Doing::AwaitingFrame, |state| state.worlds.iter().any(|world| world.frame == inner).then_some(()));
        match there.await {
            Ok(()) => Ok(Some((inner.clone(), place))),
            Err(RenderError::Deadline { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The world of a frame's own scripts.
    pub(crate) fn scripts(&self, frame: &str) -> Option<(Session, i64)> {
        let (session, id) = {
            let state = self.shared.state.borrow();
            state.worlds.iter().rev().find(|world| world.frame == frame).map(|world| (world.session, world.id))?
        };
        Some((self.session_at(session)?, id))
    }
}

/// What can be seen of a frame, as a literal of JavaScript.
pub(crate) fn literal(view: Option<[f64; 4]>) -> String {
    view.map_or_else(|| "null".to_owned(), |[left, top, right, bottom]| format!("[{left}, {top}, {right}, {bottom}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_seen_in_words_of_the_page() {
        assert_eq!(literal(None), "null");
        assert_eq!(literal(Some([0.0, -1.5, 300.0, 20.25])), "[0, -1.5, 300, 20.25]");
    }
}

//! Actions that are never part of a batch.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chromiumoxide_cdp::cdp::browser_protocol::dom::SetFileInputFilesParams;
use chromiumoxide_cdp::cdp::browser_protocol::input::{
    DispatchDragEventParams, DispatchDragEventType, DispatchMouseEventType, DragData, MouseButton, SetInterceptDragsParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::page::{
    GetLayoutMetricsParams, GetNavigationHistoryParams, NavigateToHistoryEntryParams, StopLoadingParams,
};
use serde_json::Value;
use tokio::time::Instant;

use super::input::Hand;
use super::{Come, Performer, Stage, TRIES, text, within};
use crate::actions::{Action, File, Outcome, Status, What};
use crate::cdp::CdpError;
use crate::error::{Doing, RenderError};
use crate::job::{self, Area};
use crate::page::frames::literal;
use crate::page::settle::{function_true, settle};
use crate::page::state::{ABORTED, PageState};
use crate::page::{Answer, Page};
use crate::request::{Extract, Picture, PictureFormat, Screenshot, SettleReason, Wait};
use crate::script::{self, ScriptError};

/// What came of it: a status, and what there is to say.
type Said = (Status, Option<String>);

const OK: Said = (Status::Ok, None);

/// Why the page says that it cannot be, if it does.
fn refusal(found: &Value) -> Option<Said> {
    let why = text(found, "why")?;
    let come = Come { why: Some(why), by: text(found, "by"), ..Come::default() };
    Some((come.status(), come.detail()))
}

impl Stage {
    /// A place in the frame, in terms of the window.
    fn point(&self, place: &Value) -> Option<(f64, f64)> {
        Some((place[0].as_f64()? + self.offset.0, place[1].as_f64()? + self.offset.1))
    }
}

impl Performer<'_> {
    /// Performs one action by itself.
    pub(super) async fn alone(&mut self, index: usize, action: &Action) -> Result<Outcome, RenderError> {
        let began = Instant::now();
        let deadline = self.until(action);
        let mut value = None;
        let (status, detail) = match &action.what {
            What::Drag { selector, onto } => self.drag(action, selector, onto).await?,
            What::Upload { selector, files } => self.upload(action, selector, files).await?,
            What::Wait { time_ms: Some(millis), .. } => {
                let end = (Instant::now() + Duration::from_millis((*millis).into())).min(self.deadline);
                match self.page.until(end, Doing::Idling, |_| None::<()>).await {
                    Ok(()) | Err(RenderError::Deadline { .. }) => OK,
                    Err(error) => return Err(error),
                }
            }
            What::Wait { function: Some(expression), .. } => self.truth(action, expression, deadline).await?,
            What::Wait { settled: true, .. } => match settle(self.page, &Wait::Settled, true, deadline).await? {
                SettleReason::Cap => (Status::TimedOut, None),
                SettleReason::Settled | SettleReason::Patience | SettleReason::Came => OK,
            },
            What::Navigate { url } => match job::go(self.page, url, deadline).await {
                Ok(()) => self.there(deadline).await?,
                // What is there stays.
                Err(RenderError::Load { why }) if why == ABORTED => {
                    self.page.is_shown().await?;
                    (Status::Failed, Some(why))
                }
                Err(RenderError::Load { why } | RenderError::Led { why }) => self.nothing(why, deadline).await?,
                Err(RenderError::Download) => (Status::Failed, Some("it is a download".to_owned())),
                Err(RenderError::Deadline { .. }) => self.too_late().await?,
                Err(error) => return Err(error),
            },
            What::Back {} => self.back(deadline).await?,
            What::Evaluate { script } => {
                let (said, found) = self.evaluate(action, script, deadline).await?;
                value = found;
                said
            }
            What::Screenshot { full_page, selector } => {
                self.picture(index, action, *full_page, selector.as_deref(), deadline).await?
            }
            What::Extract { name } => {
                let html = job::content(self.page, self.deadline).await?;
                self.done.yields.add(html.len())?;
                let url = self.page.shared.state.borrow().url.clone();
                self.done.extracts.push(Extract { name: name.clone(), html, url });
                OK
            }
            What::Dialog { accept, text } => {
                self.page.answer(Answer { accept: *accept, text: text.clone() });
                OK
            }
            What::Scroll { until_no_more: Some(limit), .. } => {
                let expression = format!("hands.scrollUntilNoMore({limit}, {})", action.timeout.as_millis());
                let found = self.ask(action, expression).await?;
                let times = found["times"].as_u64().unwrap_or(0);
                let more = if found["more"] == true { ", and there may be more" } else { "" };
                (Status::Ok, Some(format!("{times} times{more}")))
            }
            What::Click { .. }
            | What::DoubleClick { .. }
            | What::Type { .. }
            | What::Hover { .. }
            | What::Fill { .. }
            | What::Press { .. }
            | What::Select { .. }
            | What::Check { .. }
            | What::Uncheck { .. }
            | What::Scroll { .. }
            | What::Wait { .. } => (Status::Failed, Some("it cannot be done by itself".to_owned())),
        };
        Ok(Outcome { value, ..Self::outcome(&action.what, status, detail, began.elapsed()) })
    }

    /// Asks our own tools in the action's frame.
    async fn ask(&self, action: &Action, expression: String) -> Result<Value, RenderError> {
        match self.stage(action).await? {
            Ok(stage) => {
                let within = action.timeout.min(self.left()) + Duration::from_secs(1);
                script::evaluate(&stage.session, expression, Some(stage.world), within).await.map_err(RenderError::from)
            }
            Err(outcome) => Ok(serde_json::json!({ "why": "not_found", "by": outcome.detail })),
        }
    }

    /// Asks our own tools where something is, in the action's frame, and again for as long as that is moved for it; or why it
    /// cannot be told.
    async fn look(&self, action: &Action, deadline: Instant, call: &str) -> Result<Result<(Value, Stage), Said>, RenderError> {
        let mut turn = 0;
        loop {
            let stage = match self.stage(action).await? {
                Ok(stage) => stage,
                Err(outcome) => return Ok(Err((outcome.status, outcome.detail))),
            };
            let within = deadline.saturating_duration_since(Instant::now());
            let expression = format!("hands.{call}, {}, {}, {turn})", within.as_millis(), literal(stage.view));
            // The page says that it has not come, not the clock.
            let patient = within + self.page.limits.call;
            let found = script::evaluate(&stage.session, expression, Some(stage.world), patient).await;
            let found = match found.map_err(|error| self.page.in_frame(&stage.session, error)) {
                Ok(found) => found,
                Err(ScriptError::WorldGone) if !within.is_zero() => {
                    self.page.forget_worlds();
                    continue;
                }
                Err(ScriptError::Cdp(CdpError::Deadline { .. }) | ScriptError::WorldGone) => {
                    return Ok(Err((Status::TimedOut, Some("the page does not answer".to_owned()))));
                }
                Err(error) => return Err(error.into()),
            };
            if found["moved"] == true {
                turn += 1;
                continue;
            }
            return Ok(match refusal(&found) {
                Some(said) => Err(said),
                None => Ok((found, stage)),
            });
        }
    }

    /// Evaluates in the world of the scripts of the action's frame.
    async fn evaluate(
        &mut self,
        action: &Action,
        expression: &str,
        deadline: Instant,
    ) -> Result<(Said, Option<Value>), RenderError> {
        let (session, world) = if action.frame.is_empty() {
            (self.page.session.clone(), self.page.shared.state.borrow().world().map(|world| world.id))
        } else {
            let stage = match self.stage(action).await? {
                Ok(stage) => stage,
                Err(outcome) => return Ok(((outcome.status, outcome.detail), None)),
            };
            match self.page.scripts(&stage.frame) {
                Some((session, world)) => (session, Some(world)),
                None => return Ok(((Status::NotFound, Some("the frame has gone".to_owned())), None)),
            }
        };
        let within = deadline.saturating_duration_since(Instant::now());
        let found = script::evaluate(&session, expression.to_owned(), world, within).await;
        let said = match found.map_err(|error| self.page.in_frame(&session, error)) {
            Ok(found) => {
                self.done.yields.add(found.to_string().len())?;
                return Ok((OK, Some(found)));
            }
            Err(ScriptError::Thrown(why)) => (Status::Failed, Some(why)),
            Err(ScriptError::WorldGone) => {
                self.arrive().await?;
                (Status::Ok, Some("the page went elsewhere".to_owned()))
            }
            Err(ScriptError::Cdp(error)) if error.is_final() => return Err(self.page.trouble()),
            Err(ScriptError::Cdp(_)) => {
                // A script that does not end would hold up all that follows.
                let stopped = Page::terminate_in(&session).await.is_ok();
                let detail = if stopped { "the script was ended" } else { "the script does not end" };
                (Status::TimedOut, Some(detail.to_owned()))
            }
        };
        Ok((said, None))
    }

    /// Waits until an expression is true for the scripts of the action's frame.
    async fn truth(&self, action: &Action, expression: &str, deadline: Instant) -> Result<Said, RenderError> {
        let frame = if action.frame.is_empty() {
            self.page.frame.clone()
        } else {
            match self.stage(action).await? {
                Ok(stage) => stage.frame,
                Err(outcome) => return Ok((outcome.status, outcome.detail)),
            }
        };
        Ok(match function_true(self.page, &frame, expression, deadline).await {
            Ok(SettleReason::Came) => OK,
            Ok(_) | Err(RenderError::Deadline { .. }) => (Status::TimedOut, None),
            Err(RenderError::Request(why)) => (Status::Failed, Some(why)),
            Err(error) => return Err(error),
        })
    }

    /// Takes a picture of the page, or of an element in the action's frame.
    async fn picture(
        &mut self,
        index: usize,
        action: &Action,
        full_page: bool,
        selector: Option<&str>,
        deadline: Instant,
    ) -> Result<Said, RenderError> {
        let area = match selector {
            Some(selector) => match self.area(action, selector, deadline).await? {
                Ok(area) => Some(area),
                Err(said) => return Ok(said),
            },
            None => None,
        };
        let wanted = Screenshot { full_page, selector: None, format: PictureFormat::Png };
        Ok(match job::picture(self.page, &wanted, area, self.request.options.viewport, deadline).await {
            Ok(bytes) => {
                self.done.yields.add(bytes.len())?;
                self.done.pictures.push(Picture { action: Some(index), format: PictureFormat::Png, bytes });
                OK
            }
            Err(RenderError::Request(why) | RenderError::TooMuch { what: why }) => (Status::Failed, Some(why)),
            Err(RenderError::Deadline { .. }) => (Status::TimedOut, None),
            Err(error) => return Err(error),
        })
    }

    /// Where an element is in the page, as far as its frame shows it.
    async fn area(&self, action: &Action, selector: &str, deadline: Instant) -> Result<Result<Area, Said>, RenderError> {
        let call = format!("box({}", script::literal(selector));
        let (found, stage) = match self.look(action, deadline, &call).await? {
            Ok(found) => found,
            Err(said) => return Ok(Err(said)),
        };
        let number = |name: &str| found[name].as_f64().unwrap_or(0.0);
        let (x, y) = (number("x") + stage.offset.0, number("y") + stage.offset.1);
        let own = [x, y, x + number("width"), y + number("height")];
        let [left, top, right, bottom] = stage.room.map_or(own, |room| within(room, own));
        // The window shows the page from there on.
        let scrolled = if action.frame.is_empty() {
            (number("left"), number("top"))
        } else {
            let metrics = self.page.session.call(&GetLayoutMetricsParams::default(), self.page.limits.call).await?;
            (metrics.css_visual_viewport.page_x, metrics.css_visual_viewport.page_y)
        };
        if right <= left || bottom <= top {
            return Ok(Err((Status::OutOfView, None)));
        }
        Ok(Ok((left + scrolled.0, top + scrolled.1, right - left, bottom - top)))
    }

    /// The pointer goes there and does that, one after the other.
    async fn mouse(&self, moves: &[(DispatchMouseEventType, (f64, f64), MouseButton)]) -> Result<(), RenderError> {
        let (mut batch, mut acknowledged) = (self.page.session.batch(), Vec::new());
        let mut hand = Hand { batch: &mut batch, acknowledged: &mut acknowledged };
        for (kind, place, button) in moves {
            let count = i64::from(*kind != DispatchMouseEventType::MouseMoved);
            hand.mouse(kind.clone(), *place, button.clone(), count);
        }
        batch.send().await?;
        for acknowledgement in acknowledged {
            acknowledgement.await?;
        }
        Ok(())
    }

    async fn drag(&mut self, action: &Action, selector: &str, onto: &str) -> Result<Said, RenderError> {
        let deadline = self.until(action);
        let call = format!("aim({}, {}", script::literal(selector), script::literal(onto));
        let mut tries = 0;
        loop {
            let (found, stage) = match self.look(action, deadline, &call).await? {
                Ok(found) => found,
                Err(said) => return Ok(said),
            };
            let Some(from) = stage.point(&found["from"]) else {
                return Ok((Status::Failed, Some("the page does not say where it is".to_owned())));
            };
            let missed = match self.drag_from(action, from, stage.point(&found["to"]), onto, deadline).await? {
                Ok(said) => return Ok(said),
                Err(missed) => missed,
            };
            // It has moved, or something has come above it: nobody has heard of the press.
            tries += 1;
            if tries > TRIES || deadline <= Instant::now() {
                return Ok(missed);
            }
        }
    }

    /// Drags from one place to another, which is looked for on the way if it could not be seen before. An error is what was
    /// pressed in its place.
    async fn drag_from(
        &mut self,
        action: &Action,
        from: (f64, f64),
        to: Option<(f64, f64)>,
        onto: &str,
        deadline: Instant,
    ) -> Result<Result<Said, Said>, RenderError> {
        let within = self.page.limits.call;
        self.page.session.call(&SetInterceptDragsParams::new(true), within).await?;
        self.page.shared.state.send_modify(|state| state.drag = None);
        let dragged = self.dragged(action, from, to, onto, deadline).await;
        self.page.session.call(&SetInterceptDragsParams::new(false), within).await?;
        let (said, to, data) = dragged?;
        let Some(data) = data else {
            self.mouse(&[(DispatchMouseEventType::MouseReleased, to, MouseButton::Left)]).await?;
            return Ok(said);
        };
        let Ok(data) = serde_json::from_value::<DragData>(data) else {
            return Ok(Ok((Status::Failed, Some("what is dragged is not understood".to_owned()))));
        };
        if said != Ok(OK) {
            self.page
                .session
                .call(&DispatchDragEventParams::new(DispatchDragEventType::DragCancel, to.0, to.1, data), within)
                .await?;
            self.mouse(&[(DispatchMouseEventType::MouseReleased, to, MouseButton::Left)]).await?;
            return Ok(said);
        }
        // With the drop, the button is up, too.
        for kind in [DispatchDragEventType::DragEnter, DispatchDragEventType::DragOver, DispatchDragEventType::Drop] {
            self.page.session.call(&DispatchDragEventParams::new(kind, to.0, to.1, data.clone()), within).await?;
        }
        Ok(Ok(OK))
    }

    /// Presses and moves. What came of it, where the pointer is, and what the page has begun to drag, if it has.
    async fn dragged(
        &mut self,
        action: &Action,
        from: (f64, f64),
        to: Option<(f64, f64)>,
        onto: &str,
        deadline: Instant,
    ) -> Result<(Result<Said, Said>, (f64, f64), Option<Value>), RenderError> {
        let (moved, pressed) = (DispatchMouseEventType::MouseMoved, DispatchMouseEventType::MousePressed);
        // It begins with the first few pixels, and is noticed with the next.
        let between = |to: (f64, f64), part: f64| (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
        let first = to.unwrap_or((from.0 + 8.0, from.1 + 8.0));
        let mut moves = vec![(moved.clone(), from, MouseButton::None), (pressed, from, MouseButton::Left)];
        moves.extend([0.05, 0.5, 1.0].map(|part| (moved.clone(), between(first, part), MouseButton::Left)));
        self.mouse(&moves).await?;
        let answer = self.ask(action, "hands.dragged()".to_owned()).await?;
        if let Some(missed) = refusal(&answer) {
            return Ok((Err(missed), from, None));
        }
        // What the page has begun to drag is the browser's to tell of, and it may take a moment: without it, the page would be left
        // in the middle of it.
        let data = if answer["begun"] == true {
            match self.page.until(deadline, Doing::Dragging, |state| state.drag.clone()).await {
                Ok(data) => Some(data),
                // Released all the same, so that the page is not left with it.
                Err(RenderError::Deadline { .. }) => None,
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        if let Some(to) = to {
            return Ok((Ok(OK), to, data));
        }
        let call = format!("reach({}", script::literal(onto));
        let (found, stage) = match self.look(action, deadline, &call).await? {
            Ok(found) => found,
            Err(said) => return Ok((Ok(said), first, data)),
        };
        let to = stage.point(&found["to"]).unwrap_or(first);
        if data.is_none() {
            self.mouse(&[0.5, 1.0].map(|part| (moved.clone(), between(to, part), MouseButton::Left))).await?;
        }
        Ok((Ok(OK), to, data))
    }

    async fn upload(&mut self, action: &Action, selector: &str, files: &[File]) -> Result<Said, RenderError> {
        let waited =
            format!("hands.wait({{selector: {}, state: 'attached'}}, {})", script::literal(selector), action.timeout.as_millis());
        if self.ask(action, waited).await?["ok"] != true {
            return Ok((Status::NotFound, None));
        }
        let mut decoded = Vec::new();
        for file in files {
            match BASE64.decode(&file.base64) {
                Ok(bytes) => decoded.push((file.name.clone(), bytes)),
                Err(error) => return Ok((Status::Failed, Some(format!("{} is not base64: {error}", file.name)))),
            }
        }
        let Some(directory) = self.page.uploads() else { return Err(RenderError::BrowserGone) };
        let placed = tokio::task::spawn_blocking(move || place(&directory, &decoded)).await;
        let paths = match placed {
            Ok(Ok(paths)) => paths,
            Ok(Err(error)) => return Ok((Status::Failed, Some(format!("the files could not be placed: {error}")))),
            Err(error) => return Ok((Status::Failed, Some(error.to_string()))),
        };
        let stage = match self.stage(action).await? {
            Ok(stage) => stage,
            Err(outcome) => return Ok((outcome.status, outcome.detail)),
        };
        let mut find = script::call(format!("hands.first({})", script::literal(selector)), Some(stage.world));
        find.return_by_value = Some(false);
        let found = stage.session.call(&find, self.page.limits.call).await?;
        let mut set = SetFileInputFilesParams::new(paths);
        set.object_id = found.result.object_id;
        match stage.session.call(&set, self.page.limits.call).await {
            Ok(_) => Ok(OK),
            Err(error) if error.is_final() => Err(error.into()),
            Err(error) => Ok((Status::Failed, Some(error.to_string()))),
        }
    }

    async fn back(&mut self, deadline: Instant) -> Result<Said, RenderError> {
        let history = match self.page.session.call(&GetNavigationHistoryParams::default(), self.page.limits.call).await {
            Ok(history) => history,
            Err(error) if error.is_final() => return Err(error.into()),
            // It is just about to go elsewhere by itself.
            Err(error) => return Ok((Status::Failed, Some(error.to_string()))),
        };
        let before = usize::try_from(history.current_index - 1).ok().and_then(|index| history.entries.get(index));
        let Some(entry) = before.filter(|entry| entry.url != "about:blank") else {
            return Ok((Status::Failed, Some("there is nothing to go back to".to_owned())));
        };
        self.page.shared.state.send_modify(|state| state.leave(Some(entry.url.clone())));
        self.page.forget_worlds();
        self.page.session.call(&NavigateToHistoryEntryParams::new(entry.id), self.page.limits.call).await?;
        self.there(deadline).await
    }

    /// The document that was asked for does not come. Waits for what is there instead, and goes on with that.
    async fn nothing(&mut self, why: String, deadline: Instant) -> Result<Said, RenderError> {
        self.page.shared.state.send_modify(|state| state.pass_over());
        match self.page.until(deadline, Doing::Leaving, is_there).await {
            Ok(()) | Err(RenderError::Deadline { .. }) => Ok((Status::Failed, Some(why))),
            Err(error) => Err(error),
        }
    }

    /// Waits until the document is there that was asked for.
    async fn there(&mut self, deadline: Instant) -> Result<Said, RenderError> {
        match self.page.until(deadline, Doing::Leaving, is_there).await {
            Ok(()) => Ok(OK),
            Err(RenderError::Load { why } | RenderError::Led { why }) => self.nothing(why, deadline).await,
            Err(RenderError::Deadline { .. }) if deadline < self.deadline => self.too_late().await,
            Err(error) => Err(error),
        }
    }

    /// The document that was asked for has not come in time, and is to come no more: the one before stays, or what there is of it.
    async fn too_late(&mut self) -> Result<Said, RenderError> {
        match self.page.session.call(&StopLoadingParams::default(), self.page.limits.call).await {
            Ok(_) => self.page.shared.state.send_modify(PageState::stop),
            Err(error) if error.is_final() => return Err(error.into()),
            // It is about to take over, and what comes next finds it there.
            Err(error) => tracing::debug!(%error, "a page comes late, and cannot be stopped"),
        }
        Ok((Status::TimedOut, None))
    }
}

fn is_there(state: &PageState) -> Option<()> {
    (state.parsed && state.has_come() && state.world().is_some()).then_some(())
}

/// Puts files where the browser can read them, and nobody else can put anything.
fn place(directory: &std::path::Path, files: &[(String, Vec<u8>)]) -> std::io::Result<Vec<String>> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir(directory)?;
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755))?;
    let mut paths = Vec::new();
    for (name, bytes) in files {
        let path = directory.join(name);
        std::fs::write(&path, bytes)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644))?;
        paths.push(path.to_string_lossy().into_owned());
    }
    Ok(paths)
}

//! Actions that are never part of a batch.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chromiumoxide_cdp::cdp::browser_protocol::dom::SetFileInputFilesParams;
use chromiumoxide_cdp::cdp::browser_protocol::input::{
    DispatchDragEventParams, DispatchDragEventType, DispatchMouseEventType, DragData, MouseButton, SetInterceptDragsParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::page::{GetNavigationHistoryParams, NavigateToHistoryEntryParams};
use tokio::time::Instant;

use super::input::Hand;
use super::{Performer, text};
use crate::actions::{Action, Button, File, Outcome, Status, What};
use crate::error::RenderError;
use crate::job;
use crate::page::Answer;
use crate::page::settle::{function_true, settle};
use crate::request::{Extract, Picture, PictureFormat, Screenshot, SettleReason, Wait};
use crate::script::{self, ScriptError};

/// What came of it: a status, and what there is to say.
type Said = (Status, Option<String>);

const OK: Said = (Status::Ok, None);

impl Performer<'_> {
    /// Performs one action by itself.
    pub(super) async fn alone(&mut self, index: usize, action: &Action) -> Result<Outcome, RenderError> {
        let began = Instant::now();
        let deadline = self.until(action);
        let mut value = None;
        let (status, detail) = match &action.what {
            What::Click { selector, button, .. } => self.point(action, selector, *button, None).await?,
            What::Type { selector, text, .. } => self.point(action, selector, Button::Left, Some(text)).await?,
            What::Drag { selector, onto } => self.drag(action, selector, onto).await?,
            What::Upload { selector, files } => self.upload(action, selector, files).await?,
            What::Wait { time_ms: Some(millis), .. } => {
                let end = (Instant::now() + Duration::from_millis((*millis).into())).min(self.deadline);
                match self.page.until(end, "waiting", |_| None::<()>).await {
                    Ok(()) | Err(RenderError::Deadline { .. }) => OK,
                    Err(error) => return Err(error),
                }
            }
            What::Wait { function: Some(expression), .. } => match function_true(self.page, expression, deadline).await {
                Ok(SettleReason::Came) => OK,
                Ok(_) | Err(RenderError::Deadline { .. }) => (Status::TimedOut, None),
                Err(RenderError::Request(why)) => (Status::Failed, Some(why)),
                Err(error) => return Err(error),
            },
            What::Wait { settled: true, .. } => match settle(self.page, &Wait::Settled, true, deadline).await? {
                SettleReason::Cap => (Status::TimedOut, None),
                SettleReason::Settled | SettleReason::Patience | SettleReason::Came => OK,
            },
            What::Navigate { url } => match job::go(self.page, url, deadline).await {
                Ok(()) => self.there(deadline).await?,
                Err(RenderError::Load { why }) => (Status::Failed, Some(why)),
                Err(RenderError::Download) => (Status::Failed, Some("it is a download".to_owned())),
                Err(RenderError::Deadline { .. }) => (Status::TimedOut, None),
                Err(error) => return Err(error),
            },
            What::Back {} => self.back(deadline).await?,
            What::Evaluate { script } => {
                let world = self.page.shared.state.borrow().world().map(|world| world.id);
                let within = deadline.saturating_duration_since(Instant::now());
                match script::evaluate(&self.page.session, script.clone(), world, within).await {
                    Ok(found) => {
                        self.done.yields.add(found.to_string().len())?;
                        value = Some(found);
                        OK
                    }
                    Err(ScriptError::Thrown(why)) => (Status::Failed, Some(why)),
                    Err(ScriptError::WorldGone) => {
                        self.arrive().await?;
                        (Status::Ok, Some("the page went elsewhere".to_owned()))
                    }
                    Err(ScriptError::Cdp(error)) if error.is_final() => return Err(self.page.trouble()),
                    Err(ScriptError::Cdp(_)) => {
                        // A script that does not end would hold up all that follows.
                        let stopped = self.page.terminate().await.is_ok();
                        (
                            Status::TimedOut,
                            Some(if stopped { "the script was ended" } else { "the script does not end" }.to_owned()),
                        )
                    }
                }
            }
            What::Screenshot { full_page, selector } => {
                let wanted = Screenshot { full_page: *full_page, selector: selector.clone(), format: PictureFormat::Png };
                match job::picture(self.page, &wanted, self.request.options.viewport, deadline).await {
                    Ok(bytes) => {
                        self.done.yields.add(bytes.len())?;
                        self.done.pictures.push(Picture { action: Some(index), format: PictureFormat::Png, bytes });
                        OK
                    }
                    Err(RenderError::Request(why) | RenderError::TooMuch { what: why }) => (Status::Failed, Some(why)),
                    Err(RenderError::Deadline { .. }) => (Status::TimedOut, None),
                    Err(error) => return Err(error),
                }
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
            What::DoubleClick { .. }
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
    async fn ask(&self, action: &Action, expression: String) -> Result<serde_json::Value, RenderError> {
        match self.stage(action).await? {
            Ok(stage) => {
                let within = action.timeout.min(self.left()) + Duration::from_secs(1);
                script::evaluate(&stage.session, expression, Some(stage.world), within).await.map_err(RenderError::from)
            }
            Err(outcome) => Ok(serde_json::json!({ "why": "not_found", "by": outcome.detail })),
        }
    }

    /// Where an element is, once it can be seen; or why not.
    async fn area(&self, action: &Action, selector: &str) -> Result<Result<(f64, f64), Said>, RenderError> {
        let expression = format!("hands.box({}, {})", script::literal(selector), action.timeout.as_millis());
        let offset = match self.stage(action).await? {
            Ok(stage) => stage.offset,
            Err(outcome) => return Ok(Err((outcome.status, outcome.detail))),
        };
        let found = self.ask(action, expression).await?;
        if let Some(why) = text(&found, "why") {
            let come = super::Come { ok: false, why: Some(why), by: text(&found, "by") };
            return Ok(Err((come.status(), come.detail())));
        }
        let number = |name: &str| found[name].as_f64().unwrap_or(0.0);
        Ok(Ok((number("x") + number("width") / 2.0 + offset.0, number("y") + number("height") / 2.0 + offset.1)))
    }

    /// Clicks with some button, and types at once what is too long to be typed key by key.
    async fn point(&mut self, action: &Action, selector: &str, button: Button, typed: Option<&str>) -> Result<Said, RenderError> {
        let place = match self.area(action, selector).await? {
            Ok(place) => place,
            Err(said) => return Ok(said),
        };
        let (mut batch, mut acknowledged) = (self.page.session.batch(), Vec::new());
        let mut hand = Hand { batch: &mut batch, acknowledged: &mut acknowledged };
        hand.click(place, 1, button);
        if let Some(typed) = typed.filter(|typed| !typed.is_empty()) {
            hand.text(typed);
        }
        batch.send().await?;
        for acknowledgement in acknowledged {
            acknowledgement.await?;
        }
        Ok(OK)
    }

    async fn drag(&mut self, action: &Action, selector: &str, onto: &str) -> Result<Said, RenderError> {
        let from = match self.area(action, selector).await? {
            Ok(place) => place,
            Err(said) => return Ok(said),
        };
        let to = match self.area(action, onto).await? {
            Ok(place) => place,
            Err(said) => return Ok(said),
        };
        let within = self.page.limits.call;
        self.page.session.call(&SetInterceptDragsParams::new(true), within).await?;
        self.page.shared.state.send_modify(|state| state.drag = None);
        let (mut batch, mut acknowledged) = (self.page.session.batch(), Vec::new());
        let mut hand = Hand { batch: &mut batch, acknowledged: &mut acknowledged };
        hand.mouse(DispatchMouseEventType::MouseMoved, from, MouseButton::None, 0);
        hand.mouse(DispatchMouseEventType::MousePressed, from, MouseButton::Left, 1);
        // It begins with the first few pixels, and is noticed with the next.
        for part in [0.05, 0.5, 1.0] {
            let between = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
            hand.mouse(DispatchMouseEventType::MouseMoved, between, MouseButton::Left, 0);
        }
        batch.send().await?;
        for acknowledgement in acknowledged {
            acknowledgement.await?;
        }
        // What the page has begun to drag is the browser's to tell of, and it may take a moment: without it, the page would be left
        // in the middle of it.
        let dragged = if self.ask(action, "hands.dragged()".to_owned()).await? == true {
            match self.page.until(self.until(action), "dragging", |state| state.drag.clone()).await {
                Ok(data) => Some(data),
                // Released below, so that the page is not left with it.
                Err(RenderError::Deadline { .. }) => None,
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        self.page.session.call(&SetInterceptDragsParams::new(false), within).await?;
        if let Some(data) = dragged {
            let Ok(data) = serde_json::from_value::<DragData>(data) else {
                return Ok((Status::Failed, Some("what is dragged is not understood".to_owned())));
            };
            // With the drop, the button is up, too.
            for kind in [DispatchDragEventType::DragEnter, DispatchDragEventType::DragOver, DispatchDragEventType::Drop] {
                self.page.session.call(&DispatchDragEventParams::new(kind, to.0, to.1, data.clone()), within).await?;
            }
            return Ok(OK);
        }
        let (mut batch, mut acknowledged) = (self.page.session.batch(), Vec::new());
        Hand { batch: &mut batch, acknowledged: &mut acknowledged }.mouse(
            DispatchMouseEventType::MouseReleased,
            to,
            MouseButton::Left,
            1,
        );
        batch.send().await?;
        for acknowledgement in acknowledged {
            acknowledgement.await?;
        }
        Ok(OK)
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
        let history = self.page.session.call(&GetNavigationHistoryParams::default(), self.page.limits.call).await?;
        let before = usize::try_from(history.current_index - 1).ok().and_then(|index| history.entries.get(index));
        let Some(entry) = before.filter(|entry| entry.url != "about:blank") else {
            return Ok((Status::Failed, Some("there is nothing to go back to".to_owned())));
        };
        self.page.shared.state.send_modify(|state| state.leave());
        self.page.forget_worlds();
        self.page.session.call(&NavigateToHistoryEntryParams::new(entry.id), self.page.limits.call).await?;
        self.there(deadline).await
    }

    /// Waits until the document is there that was asked for.
    async fn there(&mut self, deadline: Instant) -> Result<Said, RenderError> {
        let parsed = |state: &crate::page::state::PageState| (state.parsed && state.world().is_some()).then_some(());
        match self.page.until(deadline, "going elsewhere", parsed).await {
            Ok(()) => Ok(OK),
            Err(RenderError::Deadline { .. }) if deadline < self.deadline => Ok((Status::TimedOut, None)),
            Err(error) => Err(error),
        }
    }
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

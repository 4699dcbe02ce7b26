//! Performs actions: several at once where they can be, one after the other where they cannot.
//!
//! A batch is one write: the inputs of the steps whose places the page has told, and the question for those that come next,
//! which the page answers when it has heard the last of the inputs. What did not hit what it was meant for has been stopped
//! by the page, with all that followed, and is tried again from there, alone.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::plan::{self, Input, Op};
use super::{Action, OnError, Outcome, Status, What};
use crate::cdp::Session;
use crate::error::{Doing, RenderError};
use crate::page::Page;
use crate::page::frames::literal;
use crate::request::{Extract, Picture, RenderRequest};
use crate::script::{self, ScriptError};
use crate::yields::Yields;

#[path = "input.rs"]
mod input;
#[path = "single.rs"]
mod single;

/// How often an action that did not hit is tried again, within its time.
const TRIES: u32 = 20;

/// How often it is looked again where the frames are around one that had to be moved.
const FRAMES: u32 = 3;

/// What has come of all actions.
#[derive(Debug)]
pub(crate) struct Performed {
    /// The bytes of all that follows.
    pub(crate) yields: Yields,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) pictures: Vec<Picture>,
    pub(crate) extracts: Vec<Extract>,
}

impl Performed {
    fn new(most: u64) -> Self {
        Self { yields: Yields::new(most), outcomes: Vec::new(), pictures: Vec::new(), extracts: Vec::new() }
    }
}

/// Performs actions on a page.
#[derive(Debug)]
pub(crate) struct Performer<'p> {
    page: &'p Page,
    request: &'p RenderRequest,
    deadline: Instant,
    done: Performed,
    batches: u32,
}

/// Where actions are performed.
#[derive(Clone, Debug)]
struct Stage {
    session: Session,
    world: i64,
    frame: String,
    /// Where the frame lies in what the window shows of the page.
    offset: (f64, f64),
    /// What can be seen of it, in its own terms; nothing is said of the page itself.
    view: Option<[f64; 4]>,
    /// The room that it has in what the window shows of the page: left, top, right, bottom.
    room: Option<[f64; 4]>,
}

/// What has come of an action so far that is to be tried again.
#[derive(Debug)]
struct Attempt {
    index: usize,
    tries: u32,
    /// How often its frame was moved for it.
    rounds: u32,
    began: Instant,
    /// What it has cost.
    spent: Duration,
}

impl Attempt {
    fn new(index: usize, began: Instant) -> Self {
        Self { index, tries: 0, rounds: 0, began, spent: Duration::ZERO }
    }
}

/// Steps whose inputs go out with the next write.
#[derive(Debug)]
struct Taken {
    start: usize,
    inputs: Vec<(Input, Option<(f64, f64)>)>,
    began: Instant,
    /// The last one leads elsewhere, as it seems.
    leads: bool,
    /// The last one moves the frame that it is in.
    moves: bool,
}

/// What the page says of a batch.
#[derive(Debug, Default, Deserialize)]
struct Told {
    #[serde(default)]
    before: Option<Vec<Come>>,
    #[serde(default)]
    first: Option<Come>,
    #[serde(default)]
    places: Option<Vec<Option<(f64, f64)>>>,
    #[serde(default)]
    leads: bool,
    /// The frame was scrolled, and what is around it perhaps, too.
    #[serde(default)]
    moved: bool,
}

/// What has come of one step.
#[derive(Debug, Default, Deserialize)]
struct Come {
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    why: Option<String>,
    #[serde(default)]
    by: Option<String>,
    /// How long it took, in milliseconds: it alone.
    #[serde(default)]
    ms: f64,
}

impl Come {
    fn took(&self) -> Duration {
        Duration::try_from_secs_f64(self.ms / 1e3).unwrap_or_default()
    }

    fn status(&self) -> Status {
        match self.why.as_deref() {
            None => Status::Ok,
            Some("not_found") => Status::NotFound,
            Some("not_visible" | "detached") => Status::NotVisible,
            Some("disabled") => Status::Disabled,
            Some("not_editable" | "not_focused") => Status::NotEditable,
            Some("covered") => Status::CoveredBy,
            Some("out_of_view") => Status::OutOfView,
            Some("pending" | "timed_out" | "not_heard" | "not_changed") => Status::TimedOut,
            Some(_) => Status::Failed,
        }
    }

    fn detail(&self) -> Option<String> {
        let own = match self.status() {
            Status::Failed | Status::TimedOut => self.why.as_deref().map(|why| why.replace('_', " ")),
            Status::Ok
            | Status::NotFound
            | Status::NotVisible
            | Status::Disabled
            | Status::NotEditable
            | Status::CoveredBy
            | Status::OutOfView
            | Status::Skipped => None,
        };
        match (own, &self.by) {
            (Some(own), Some(by)) => Some(format!("{own}: {by}")),
            (own, by) => own.or_else(|| by.clone()),
        }
    }
}

impl<'p> Performer<'p> {
    pub(crate) fn new(page: &'p Page, request: &'p RenderRequest, deadline: Instant) -> Self {
        Self { page, request, deadline, done: Performed::new(page.limits.yields), batches: 0 }
    }

    /// Performs them all, or up to the first that fails and must not.
    pub(crate) async fn perform(mut self, actions: &[Action]) -> Result<Performed, RenderError> {
        let mut next = 0;
        let mut taken: Option<Taken> = None;
        // Up to here, one at a time; and what has been tried of the one at hand.
        let (mut alone, mut attempt) = (0, Attempt::new(usize::MAX, Instant::now()));
        let mut stage: Option<(Vec<String>, Stage)> = None;
        loop {
            let rest = &actions[next.min(actions.len())..];
            let mut together = plan::together(rest);
            if next < alone {
                together = together.min(1);
            }
            if taken.is_none() && together == 0 {
                let Some(action) = rest.first() else { break };
                let outcome = self.alone(next, action).await?;
                self.come(next, action, outcome)?;
                next += 1;
                continue;
            }
            // What is under way is ended before the frame is changed.
            let here = |path: &[String]| rest.first().is_none_or(|action| action.frame == path);
            if taken.as_ref().is_some_and(|taken| taken.leads || taken.moves)
                || stage.as_ref().is_some_and(|(path, _)| taken.is_some() && !here(path))
            {
                together = 0;
            }
            if taken.is_none() && !stage.as_ref().is_some_and(|(path, _)| here(path)) {
                let action = &rest[0];
                match self.stage(action).await? {
                    Ok(found) => stage = Some((action.frame.clone(), found)),
                    Err(outcome) => {
                        self.come(next, action, outcome)?;
                        next += 1;
                        continue;
                    }
                }
            }
            let Some((_, at)) = &stage else { continue };
            let ops: Vec<(Op, Input)> = rest[..together].iter().filter_map(|action| Op::of(&action.what)).collect();
            let tried = Some(&attempt).filter(|attempt| attempt.index == next);
            let (spent, turn) = tried.map_or((Duration::ZERO, 0), |attempt| (attempt.spent, attempt.rounds));
            let within = rest.first().map_or(Duration::ZERO, |action| action.timeout.saturating_sub(spent)).min(self.left());
            let asked = Instant::now();
            let before = taken.take();
            // What is on its way may take as long as it was given, too.
            let before_within: Duration = before
                .iter()
                .flat_map(|taken| &actions[taken.start..taken.start + taken.inputs.len()])
                .map(|action| action.timeout)
                .sum();
            let told = self.round(at, before.as_ref(), &ops, (within, turn), before_within).await;
            let told = match told.map_err(|error| self.page.in_frame(&at.session, error)) {
                Ok(told) => told,
                Err(ScriptError::WorldGone) => {
                    // Whatever was on its way has led elsewhere: it was done, and the rest happens there.
                    if let Some(before) = before {
                        next = self.went(&before, actions);
                    }
                    stage = None;
                    self.arrive().await?;
                    continue;
                }
                Err(ScriptError::Thrown(why)) if before.is_some() || rest.is_empty() => return Err(RenderError::Request(why)),
                Err(ScriptError::Thrown(why)) => {
                    let outcome = Self::outcome(&rest[0].what, Status::Failed, Some(why), spent + asked.elapsed());
                    self.come(next, &rest[0], outcome)?;
                    next += 1;
                    continue;
                }
                Err(ScriptError::Cdp(error)) if error.is_final() => return Err(self.page.trouble()),
                Err(ScriptError::Cdp(_)) => return Err(RenderError::Deadline { doing: Doing::Acting }),
            };
            if let (Some(before), Some(come)) = (&before, &told.before) {
                let batch = (before.inputs.len() > 1).then(|| {
                    self.batches += 1;
                    self.batches
                });
                let missed = self.book(before, come, actions, &attempt, batch);
                if let Some(missed) = missed {
                    // From there on it is done again, one at a time as far as the batch went.
                    if attempt.index != missed {
                        let cost = come.last().filter(|come| !come.ok).map_or(Duration::ZERO, Come::took);
                        attempt = Attempt::new(missed, Instant::now().checked_sub(cost).unwrap_or_else(Instant::now));
                    }
                    attempt.tries += 1;
                    attempt.rounds = 0;
                    attempt.spent = attempt.began.elapsed();
                    // A frame may not be any more where it was.
                    if !actions[missed].frame.is_empty() {
                        stage = None;
                    }
                    let action = &actions[missed];
                    let last = come.last().map(|come| (come.status(), come.detail()));
                    next = missed;
                    alone = alone.max(before.start + before.inputs.len());
                    if attempt.tries > TRIES || attempt.spent > action.timeout {
                        let (status, detail) = last.unwrap_or((Status::TimedOut, None));
                        self.come(missed, action, Self::outcome(&action.what, status, detail, attempt.spent))?;
                        (next, attempt.index) = (missed + 1, usize::MAX);
                    }
                    continue;
                }
                if attempt.index < next {
                    attempt.index = usize::MAX;
                }
                if before.moves {
                    stage = None;
                    continue;
                }
                if before.leads {
                    self.maybe_arrive(at).await?;
                    if self.page.shared.state.borrow().world().is_none() || self.moved(at).await {
                        stage = None;
                    }
                    continue;
                }
            }
            if told.moved {
                if attempt.index != next {
                    attempt = Attempt::new(next, if before.is_some() { Instant::now() } else { asked });
                }
                attempt.rounds += 1;
                attempt.spent = attempt.began.elapsed();
                stage = None;
                continue;
            }
            if let Some(first) = &told.first {
                let action = &rest[0];
                self.come(next, action, Self::outcome(&action.what, first.status(), first.detail(), spent + first.took()))?;
                next += 1;
                continue;
            }
            if let Some(places) = told.places {
                let inputs: Vec<_> = ops.into_iter().map(|(_, input)| input).zip(places).collect();
                if inputs.is_empty() {
                    return Err(RenderError::Request("the page does not say where its elements are".to_owned()));
                }
                let start = next;
                next += inputs.len();
                let last = &actions[next - 1];
                let moves = !last.frame.is_empty() && matches!(last.what, What::Scroll { .. });
                taken = Some(Taken { start, inputs, began: Instant::now(), leads: told.leads, moves });
            }
        }
        Ok(self.done)
    }

    /// One write: the inputs of what was taken, and the question for what comes next.
    async fn round(
        &self,
        at: &Stage,
        before: Option<&Taken>,
        ops: &[(Op, Input)],
        (within, turn): (Duration, u32),
        before_within: Duration,
    ) -> Result<Told, ScriptError> {
        let ops: Vec<&Op> = ops.iter().map(|(op, _)| op).collect();
        let ops = serde_json::to_string(&ops).unwrap_or_else(|_| "[]".to_owned());
        let question = format!("hands.step({ops}, {}, {}, {turn})", within.as_millis(), literal(at.view));
        let mut batch = self.page.session.batch();
        let mut acknowledged = Vec::new();
        // The question goes first: it is put while the page is at the inputs, and answered as soon as it has heard the last of them.
        let answer = batch.add_to(&at.session, &script::call(question, Some(at.world)));
        for (input, place) in before.iter().flat_map(|taken| &taken.inputs) {
            let place = place.map(|(x, y)| (x + at.offset.0, y + at.offset.1));
            input::write(&mut batch, &mut acknowledged, input, place);
        }
        batch.send().await?;
        let answer = script::value(answer, (before_within + within + Duration::from_secs(5)).min(self.left()));
        tokio::pin!(answer);
        let any = !acknowledged.is_empty();
        let done = async {
            // The last one comes last, mostly, and this is awoken but once.
            for acknowledgement in acknowledged.into_iter().rev() {
                // One that is not taken has not hit anything, and the page says so.
                let _ = acknowledgement.await;
            }
        };
        let value = tokio::select! {
            biased;
            value = &mut answer => value?,
            () = done, if any => {
                // All of it has happened; if the page still waits to hear of some, it waits in vain.
                let over = script::evaluate(&at.session, "hands.over()".to_owned(), Some(at.world), self.page.limits.call);
                let (value, _) = tokio::join!(answer, over);
                value?
            }
        };
        serde_json::from_value(value)
            .map_err(|error| ScriptError::Thrown(format!("the page's answer is not understood: {error}")))
    }

    /// Books what has come of a batch. Returns the first action that missed, if one did.
    fn book(&mut self, taken: &Taken, come: &[Come], actions: &[Action], tried: &Attempt, batch: Option<u32>) -> Option<usize> {
        for (offset, come) in come.iter().enumerate() {
            let index = taken.start + offset;
            if !come.ok {
                return Some(index);
            }
            let before = if tried.index == index { tried.spent } else { Duration::ZERO };
            let outcome = Self::outcome(&actions[index].what, Status::Ok, None, before + come.took());
            self.done.outcomes.push(Outcome { batch, ..outcome });
        }
        // Those that nothing was said of were not done.
        (come.len() < taken.inputs.len()).then_some(taken.start + come.len())
    }

    /// A batch has led to another page. What the browser was told has been done; what the page itself was to do after that has
    /// not, and is to be done there. Returns the first of those.
    fn went(&mut self, taken: &Taken, actions: &[Action]) -> usize {
        let done = taken
            .inputs
            .iter()
            .rposition(|(input, place)| *input != Input::None && (place.is_some() || matches!(input, Input::Press(_))));
        let done = taken.start + done.map_or(0, |last| last + 1);
        for action in &actions[taken.start..done] {
            let detail = Some("the page went elsewhere".to_owned());
            self.done.outcomes.push(Self::outcome(&action.what, Status::Ok, detail, taken.began.elapsed()));
        }
        done
    }

    /// Books an outcome; an error if it must not be.
    fn come(&mut self, index: usize, action: &Action, outcome: Outcome) -> Result<(), RenderError> {
        let failed = (!outcome.is_ok() && action.on_error == OnError::Stop).then(|| {
            let status = serde_json::to_value(outcome.status)
                .ok()
                .and_then(|status| status.as_str().map(|status| status.replace('_', " ")));
            let detail = outcome.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            let why = format!("{}{detail}", status.unwrap_or_default());
            RenderError::Action { index, name: action.what.name(), why }
        });
        self.done.outcomes.push(outcome);
        failed.map_or(Ok(()), Err)
    }

    fn outcome(what: &What, status: Status, detail: Option<String>, took: Duration) -> Outcome {
        Outcome { status, detail, took, ..Outcome::skipped(what) }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// By when an action has to be done.
    fn until(&self, action: &Action) -> Instant {
        self.deadline.min(Instant::now() + action.timeout)
    }

    /// Waits for the document that the page has gone to.
    async fn arrive(&mut self) -> Result<(), RenderError> {
        self.page.forget_worlds();
        let parsed = |state: &crate::page::state::PageState| (state.parsed && state.world().is_some()).then_some(());
        self.page.until(self.deadline, Doing::Leaving, parsed).await
    }

    /// After something that may lead elsewhere: if it does, waits until it is there.
    async fn maybe_arrive(&mut self, at: &Stage) -> Result<(), RenderError> {
        // What it has led to is told before this is answered.
        let answered = script::evaluate(&at.session, "1".to_owned(), Some(at.world), self.page.limits.call).await;
        let away = {
            let state = self.page.shared.state.borrow();
            state.waits_since().is_some() || !state.parsed
        };
        if away || matches!(answered, Err(ScriptError::WorldGone)) {
            let arrived = |state: &crate::page::state::PageState| {
                (state.parsed && state.world().is_some() && state.waits_since().is_none()).then_some(())
            };
            self.page.until(self.deadline, Doing::Leaving, arrived).await?;
        }
        Ok(())
    }

    /// Whether the world of a stage is gone.
    async fn moved(&self, at: &Stage) -> bool {
        let answered = script::evaluate(&at.session, "1".to_owned(), Some(at.world), self.page.limits.call).await;
        let moved = answered.is_err();
        if moved {
            self.page.forget_worlds();
        }
        moved
    }

    /// The frame that an action is in, or why there is none.
    async fn stage(&self, action: &Action) -> Result<Result<Stage, Outcome>, RenderError> {
        let deadline = self.until(action);
        let began = Instant::now();
        self.page.until(self.deadline, Doing::Acting, |state| state.world().is_some().then_some(())).await?;
        let mut turn = 0;
        let (frame, offset, view, room) = 'path: loop {
            let mut frame = self.page.frame.clone();
            let mut offset = (0.0, 0.0);
            let (mut view, mut room): (Option<[f64; 4]>, Option<[f64; 4]>) = (None, None);
            for (depth, selector) in action.frame.iter().enumerate() {
                let missing = |detail: String| Self::outcome(&action.what, Status::NotFound, Some(detail), began.elapsed());
                let Some((inner, place)) = self.page.inner_frame(&frame, view, selector, deadline).await? else {
                    return Ok(Err(missing(format!("the frame {selector}"))));
                };
                // What was brought into view in a frame may have moved those around it.
                if place.moved && depth > 0 && turn < FRAMES {
                    turn += 1;
                    continue 'path;
                }
                frame = inner;
                offset = (offset.0 + place.x, offset.1 + place.y);
                view = Some(place.view);
                let own = [offset.0, offset.1, offset.0 + place.width, offset.1 + place.height];
                room = Some(room.map_or(own, |room| within(room, own)));
            }
            break (frame, offset, view, room);
        };
        let (session, world) = self.page.world(&frame).await?;
        Ok(Ok(Stage { session, world, frame, offset, view, room }))
    }
}

/// What two areas have in common.
fn within(one: [f64; 4], other: [f64; 4]) -> [f64; 4] {
    [one[0].max(other[0]), one[1].max(other[1]), one[2].min(other[2]), one[3].min(other[3])]
}

/// The value that a script's answer has under a name, as text.
fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

//! When a page has settled: its document is parsed, the scripts that it names have come, and its frames say, each for itself,
//! that no fetch is on its way, no short timer is pending, and nothing that matters has changed for 50 ms.
//!
//! The frames watch themselves; see `js/watch.js`. Here is what they cannot see: documents and scripts on their way, and that the
//! page went elsewhere meanwhile. Nothing is polled: both sides wait for what happens.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Page;
use super::state::{PageState, World};
use crate::error::{Doing, RenderError};
use crate::request::{SettleReason, Wait};
use crate::script::{self, ScriptError};

/// A document or script that takes longer than this beside a parsed page is waited for no longer.
const SLOW: Duration = Duration::from_secs(3);
/// A frame says that it is at rest within this, or is passed over; the page itself has until the end.
const FRAME: Duration = Duration::from_secs(3);

/// Waits for what was asked for, until `cap`.
pub(crate) async fn settle(page: &Page, wait: &Wait, scripts: bool, cap: Instant) -> Result<SettleReason, RenderError> {
    let waited = match wait {
        Wait::Settled if scripts => at_rest(page, cap).await,
        // Without scripts there is nothing to come but what the document names.
        Wait::Settled | Wait::Load => page.until(cap, WAITING, |state| state.loaded.then_some(SettleReason::Came)).await,
        Wait::DomContentLoaded => page.until(cap, WAITING, |state| state.parsed.then_some(SettleReason::Came)).await,
        Wait::NetworkAlmostIdle => page.until(cap, WAITING, |state| state.almost_idle.then_some(SettleReason::Came)).await,
        Wait::NetworkIdle => page.until(cap, WAITING, |state| state.idle.then_some(SettleReason::Came)).await,
        Wait::Response(_) => {
            let came =
                |state: &PageState| state.awaited.as_ref().is_some_and(|awaited| awaited.came).then_some(SettleReason::Came);
            page.until(cap, WAITING, came).await
        }
        Wait::Time(time) => time_passed(page, *time, cap).await,
        Wait::Selector(selector) => selector_seen(page, selector, cap).await,
        Wait::Function(expression) => function_true(page, &page.frame, expression, cap).await,
    };
    match waited {
        Err(RenderError::Deadline { .. }) => Ok(SettleReason::Cap),
        waited => waited,
    }
}

const WAITING: Doing = Doing::AwaitingPage;

fn left(cap: Instant) -> Duration {
    cap.saturating_duration_since(Instant::now())
}

/// Waits for so long after the document was parsed.
async fn time_passed(page: &Page, time: Duration, cap: Instant) -> Result<SettleReason, RenderError> {
    page.until(cap, WAITING, |state| state.parsed.then_some(())).await?;
    match page.until((Instant::now() + time).min(cap), WAITING, |_| None::<()>).await {
        Err(RenderError::Deadline { .. }) | Ok(()) => Ok(SettleReason::Came),
        // A page that goes meanwhile is not waited for.
        Err(error) => Err(error),
    }
}

async fn at_rest(page: &Page, cap: Instant) -> Result<SettleReason, RenderError> {
    loop {
        page.until(cap, WAITING, |state| state.parsed.then_some(())).await?;
        documents_and_scripts(page, cap).await?;
        let (version, worlds) = {
            let state = page.shared.state.borrow();
            (state.version, state.worlds.clone())
        };
        let open = match probes(page, &worlds, cap).await? {
            Some(open) => open,
            // It went elsewhere.
            None => continue,
        };
        let same = {
            let state = page.shared.state.borrow();
            state.version == version && state.parsed
        };
        if same {
            return Ok(if open { SettleReason::Patience } else { SettleReason::Settled });
        }
    }
}

/// Waits until no document or script is on its way, but for slow ones.
async fn documents_and_scripts(page: &Page, cap: Instant) -> Result<(), RenderError> {
    loop {
        let Some(since) = page.shared.state.borrow().waits_since() else { return Ok(()) };
        let slow = since + SLOW;
        if slow <= Instant::now() {
            return Ok(());
        }
        match page.until(cap.min(slow), WAITING, |state| state.waits_since().is_none().then_some(())).await {
            // Another may be on its way by now.
            Ok(()) => return Ok(()),
            Err(RenderError::Deadline { .. }) if cap > slow => {}
            Err(error) => return Err(error),
        }
    }
}

/// Asks all frames at once. Whether any of them still waits for something; nothing if the page is gone.
async fn probes(page: &Page, worlds: &[World], cap: Instant) -> Result<Option<bool>, RenderError> {
    let expression = format!("window[{}]?.probe().then((found) => found.open)", script::literal(&page.key));
    let mut pending = Vec::new();
    for world in worlds {
        let Some(session) = page.session_at(world.session) else { continue };
        let mut batch = session.batch();
        let call = batch.add(&script::call(expression.clone(), Some(world.id)));
        batch.send().await?;
        pending.push((world.frame == page.frame, call));
    }
    if !pending.iter().any(|(main, _)| *main) {
        // Its world is not there yet, or not any more.
        let version = page.shared.state.borrow().version;
        let there = page.until(cap, WAITING, |state| (state.world().is_some() || state.version != version).then_some(())).await;
        return there.map(|()| None);
    }
    let mut open = false;
    for (main, call) in pending {
        let within = if main { left(cap) } else { left(cap).min(FRAME) };
        match script::value(call, within).await {
            Ok(found) => open |= found.as_u64().is_some_and(|open| open > 0),
            Err(ScriptError::WorldGone) if main => return Ok(None),
            Err(ScriptError::Cdp(crate::cdp::CdpError::Deadline { .. })) if main => {
                return Err(RenderError::Deadline { doing: WAITING });
            }
            Err(ScriptError::Cdp(error)) if main => return Err(error.into()),
            // A frame that is gone, or that never rests, is none of the page's.
            Err(_) => {}
        }
    }
    Ok(Some(open))
}

async fn selector_seen(page: &Page, selector: &str, cap: Instant) -> Result<SettleReason, RenderError> {
    loop {
        page.until(cap, WAITING, |state| state.world().is_some().then_some(())).await?;
        let (session, world) = page.world(&page.frame).await?;
        let op = format!("{{selector: {}, state: 'visible'}}", script::literal(selector));
        let expression = format!("hands.wait({op}, {})", left(cap).as_millis());
        match timeout_at(cap, script::evaluate(&session, expression, Some(world), left(cap) + Duration::from_secs(1))).await {
            Err(_) => return Ok(SettleReason::Cap),
            Ok(Ok(found)) if found["ok"] == true => return Ok(SettleReason::Came),
            Ok(Ok(found)) if found["why"] == "bad_selector" => {
                return Err(RenderError::Request(format!(
                    "the selector {selector} is not understood: {}",
                    found["by"].as_str().unwrap_or_default()
                )));
            }
            Ok(Ok(_)) => return Ok(SettleReason::Cap),
            // It went elsewhere, and may have it there.
            Ok(Err(ScriptError::WorldGone)) => page.forget_worlds(),
            Ok(Err(error)) => return Err(error.into()),
        }
    }
}

/// Waits, with every frame that is drawn, until an expression is true for the scripts of one of the page's frames.
pub(crate) async fn function_true(page: &Page, frame: &str, expression: &str, cap: Instant) -> Result<SettleReason, RenderError> {
    let looking = format!(
        "new Promise((done, failed) => {{ const look = () => {{ try {{ if ({expression}) return done(true); }} catch (error) {{ return failed(error); }} requestAnimationFrame(look); }}; look(); }})"
    );
    loop {
        let of = |world: &World| (world.frame == frame).then_some((world.session, world.id));
        let (session, world) = page.until(cap, WAITING, |state| state.worlds.iter().rev().find_map(of)).await?;
        let session = page.session_at(session).ok_or(RenderError::Crashed)?;
        let within = left(cap) + Duration::from_secs(1);
        match timeout_at(cap, script::evaluate(&session, looking.clone(), Some(world), within)).await {
            Err(_) => return Ok(SettleReason::Cap),
            Ok(Ok(_)) => return Ok(SettleReason::Came),
            Ok(Err(ScriptError::WorldGone)) => {}
            Ok(Err(error)) => return Err(error.into()),
        }
    }
}

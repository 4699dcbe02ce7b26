//! A page of nothing, by which is seen whether a browser still does what pages need of it.

use std::sync::Arc;
use std::time::Duration;

use chromiumoxide_cdp::cdp::browser_protocol::browser::BrowserContextId;
use chromiumoxide_cdp::cdp::browser_protocol::page::{
    CaptureScreenshotParams, EnableParams as EnablePage, NavigateParams, Viewport,
};
use chromiumoxide_cdp::cdp::browser_protocol::storage::GetCookiesParams;
use chromiumoxide_cdp::cdp::browser_protocol::target::{AttachToTargetParams, TargetId};
use tokio::time::{Instant, timeout};

use crate::instance::Browser;
use crate::script;

/// A page of nothing.
const SONG: &str = "data:text/html,<p>canary";

/// What the page has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Song {
    /// It comes up, which takes a new renderer and whatever these come from, runs a script, and is told its cookies by the
    /// process that loads.
    Page,
    /// It is drawn, too.
    Picture,
}

/// Opens a page of nothing and lets it sing; how long that took, or nothing if it did not within that time.
pub(super) async fn try_out(browser: &Arc<Browser>, within: Duration, song: Song) -> Option<Duration> {
    let began = Instant::now();
    let opened = timeout(within, browser.context(within)).await;
    // The context ends with this function, whatever comes of it.
    let (context, target) = opened.ok()?.ok()?;
    // The process that loads has nothing to do with such a page, but keeps the cookies. It says nothing when it hangs.
    let cookies = async {
        let ask = GetCookiesParams { browser_context_id: Some(BrowserContextId::from(context.id().to_owned())) };
        browser.session().call(&ask, within).await.ok()
    };
    let sung = async {
        tokio::try_join!(async { sing(browser, &target, within, song).await.ok_or(()) }, async { cookies.await.ok_or(()) })
    };
    timeout(within, sung).await.ok()?.ok().map(|_| began.elapsed())
}

async fn sing(browser: &Arc<Browser>, target: &str, within: Duration, song: Song) -> Option<()> {
    let attach = AttachToTargetParams { target_id: TargetId::new(target), flatten: Some(true) };
    let attached = browser.session().call(&attach, within).await.ok()?;
    let (session, mut events) = browser.connection().session(attached.session_id.inner());
    let sung = async {
        session.call(&EnablePage::default(), within).await.ok()?;
        session.call(&NavigateParams::new(SONG), within).await.ok()?;
        while let Some(event) = events.next().await {
            let there = event.method == "Page.loadEventFired";
            if there
                && script::evaluate(&session, "document.body.innerText".to_owned(), None, within).await.ok()?.as_str()
                    == Some("canary")
            {
                if song == Song::Picture {
                    let clip = Viewport { x: 0.0, y: 0.0, width: 16.0, height: 16.0, scale: 1.0 };
                    let draw = CaptureScreenshotParams { clip: Some(clip), ..CaptureScreenshotParams::default() };
                    session.call(&draw, within).await.ok()?;
                }
                return Some(());
            }
        }
        None
    };
    // Within this, so that the session is let go of in any case.
    let sung = timeout(within.mul_f64(0.9), sung).await.ok().flatten();
    browser.connection().forget(&session);
    sung
}

//! A page that is made where it has to go, and held there until all is in place. What shows it comes up while its document is on
//! its way, instead of before that: the first page of a browser is there a tenth sooner.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chromiumoxide_cdp::cdp::js_protocol::runtime::RunIfWaitingForDebuggerParams;
use tokio::time::Instant;

use super::state::{ABORTED, PageState};
use super::{Page, Wait};
use crate::error::{Doing, RenderError};
use crate::instance::{BrowserLease, Held};
use crate::spec::BrowserLimits;

/// How long what a page has told before an answer may take to be heard after it.
const HEARD: Duration = Duration::from_millis(500);

impl Page {
    /// A page that goes to `url` as soon as it is let go, if that can be had; else an empty one.
    pub(crate) async fn open_at(
        lease: BrowserLease,
        limits: BrowserLimits,
        url: &str,
        deadline: Instant,
    ) -> Result<Self, RenderError> {
        let browser = Arc::clone(&lease.browser);
        let Some(Held { context, target, session }) = browser.hold(url, limits.call).await? else {
            return Self::open(lease, limits).await;
        };
        let page = Self::new(lease, limits, context, &target, &session);
        // Nothing is answered before the document has begun to come, which may be as late as anything may.
        let (mut batch, waits) = page.set_up(deadline.saturating_duration_since(Instant::now()));
        drop(page.ask(&mut batch));
        batch.send().await?;
        page.set_up.put(waits);
        Ok(page)
    }

    /// Whether it waits to be let go.
    pub(crate) fn is_held(&self) -> bool {
        self.set_up.is_there()
    }

    /// Lets it go. What has come of its way, as soon as its document has begun to come; nothing if it did not set out at all.
    pub(crate) async fn let_go(&self, deadline: Instant) -> Result<Option<Result<(), RenderError>>, RenderError> {
        let waits = self.set_up.take().unwrap_or_default();
        let mut batch = self.session.batch();
        drop(batch.add(&RunIfWaitingForDebuggerParams::default()));
        batch.send().await?;
        let (arrival, set_up) = (self.until(deadline, Doing::Loading, |state| state.arrival.clone()), self.is_set_up(waits));
        tokio::pin!(arrival, set_up);
        let arrival = tokio::select! {
            biased;
            arrival = &mut arrival => {
                let arrival = arrival?;
                if arrival.is_ok() {
                    set_up.await?;
                }
                arrival
            }
            done = &mut set_up => {
                done?;
                // It has asked for its document before it could answer, if it ever will; that may not have been heard yet.
                let heard = deadline.min(Instant::now() + HEARD);
                let set_out = |state: &PageState| (state.main.is_some() || state.arrival.is_some()).then_some(());
                match self.until(heard, Doing::Loading, set_out).await {
                    Ok(()) => arrival.await?,
                    Err(RenderError::Deadline { .. }) if Instant::now() < deadline => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
        };
        let Err(why) = arrival else { return Ok(Some(Ok(()))) };
        let status = self.shared.state.borrow().answered_with();
        // Chromium gives up what it does not show. What came nevertheless is to be saved, unless it says itself that there is nothing to show, or was only the way there.
        let saved = why == ABORTED && status.is_some_and(|status| !matches!(status, 204 | 205 | 300..=399));
        Ok(Some(Err(if saved { RenderError::Download } else { RenderError::Load { why } })))
    }

    /// Waits until it is set up, as an empty page is before anybody has it.
    async fn is_set_up(&self, waits: Vec<Wait>) -> Result<(), RenderError> {
        for wait in waits {
            wait.await.inspect_err(|_| self.unfit.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    }
}

//! The worker that a pool lends out: a place with a page in it that is ready before it is asked for.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use eventmesh_actors::{ChildId, Failure, Interrupt, Progress, Usage, Worker, spawn_named};
use tokio::time::{Instant, timeout_at};

use crate::error::{Doing, RenderError};
use crate::fleet::{Fleet, Spare};
use crate::job;
use crate::page::Page;
use crate::request::{RenderRequest, Rendered};

/// One rendering.
#[derive(Debug)]
pub struct RenderJob {
    /// What is asked for.
    pub request: Arc<RenderRequest>,
    /// By when it has to be done.
    pub deadline: Instant,
}

/// A worker that renders pages, each in a context of its own.
#[derive(Debug)]
pub struct BrowserWorker {
    fleet: Fleet,
    /// A page that is ready, once there has been work.
    spare: Arc<Spare>,
    last: u64,
}

/// A spare that waits longer than this is made anew: what is old has seen more than a fresh one should.
const STALE: Duration = Duration::from_secs(300);

impl Worker for BrowserWorker {
    type Spec = Fleet;
    type Job = RenderJob;
    type Output = Rendered;
    type Error = RenderError;

    /// The browser comes with the first page.
    async fn start(fleet: &Fleet, _child: &ChildId) -> Result<Self, RenderError> {
        let worker = Self { fleet: fleet.clone(), spare: Arc::default(), last: 0 };
        fleet.enroll(&worker.spare);
        Ok(worker)
    }

    async fn run(&mut self, job: RenderJob, progress: &Progress) -> Result<Rendered, Failure<RenderError>> {
        if let Err(problem) = job.request.check() {
            return Err(Failure::Job(RenderError::Request(problem)));
        }
        // Whatever ends this early leaves a page behind that is thrown away with it.
        let began = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
            let spare = spare.filter(|page| page.is_sound() && self.fleet.is_current(page.browser()) && page.age() < STALE);
            // Processes often do not end alone, and Chromium tells of them one after the other.
            let spare = match spare {
                Some(page) if page.browser().has_crashed_lately() => {
                    let shown = timeout_at(job.deadline, page.is_shown()).await;
                    shown.is_ok_and(|shown| shown.is_ok()).then_some(page)
                }
                spare => spare,
            };
            let page = match spare {
                Some(page) => page,
                None => match timeout_at(job.deadline, self.fleet.page_for(&job.request, job.deadline)).await {
                    Ok(Ok(page)) => page,
                    // A browser that went in this very moment; its successor has the page.
                    Ok(Err(error)) if tries < 2 && (is_browsers_fault(&error) || matches!(error, RenderError::Protocol(_))) => {
                        self.fleet.trusted(job.deadline).await.map_err(Failure::Job)?;
                        continue;
                    }
                    Ok(Err(error)) => return Err(Failure::Job(error)),
                    Err(_) => return Err(Failure::Job(RenderError::Deadline { doing: Doing::Opening })),
                },
            };
            let opened = began.elapsed();
            let rendered = match timeout_at(job.deadline, job::render(&page, &job.request, job.deadline, progress)).await {
                Ok(rendered) => rendered,
                Err(_) => Err(RenderError::Deadline { doing: Doing::Rendering }),
            };
            self.last = page.memory_seen();
            if matches!(rendered, Err(RenderError::Crashed)) {
                page.browser().note_crash();
            }
            let (sound, unfit) = (page.is_sound(), page.is_unfit());
            self.follow(page, &rendered);
            return match rendered {
                Ok(mut rendered) => {
                    rendered.timing.page = opened;
                    rendered.timing.total = began.elapsed();
                    Ok(rendered)
                }
                // Killed by others, or by a fault that may not come again: once more, in another browser if this one is gone.
                Err(error)
                    if tries < 2
                        && (unfit || (!sound || matches!(error, RenderError::NetworkGone)) && is_browsers_fault(&error)) =>
                {
                    tracing::info!(%error, "a page is rendered again");
                    self.fleet.trusted(job.deadline).await.map_err(Failure::Job)?;
                    continue;
                }
                Err(error) => Err(Failure::Job(error)),
            };
        }
    }

    fn usage(&self) -> Usage {
        Usage { bytes: 0, last_job_bytes: self.last, healthy: true }
    }

    fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        None
    }

    async fn stop(self) {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(page) = spare {
            page.close().await;
        }
    }
}

/// Whether the page is not to blame, as far as can be known.
fn is_browsers_fault(error: &RenderError) -> bool {
    match error {
        RenderError::BrowserGone | RenderError::Crashed | RenderError::NetworkGone => true,
        RenderError::Missing(_)
        | RenderError::Process(_)
        | RenderError::Start { .. }
        | RenderError::Sandbox { .. }
        | RenderError::Unavailable { .. }
        | RenderError::Load { .. }
        | RenderError::Led { .. }
        | RenderError::Request(_)
        | RenderError::Download
        | RenderError::Memory { .. }
        | RenderError::TooMuch { .. }
        | RenderError::Deadline { .. }
        | RenderError::Action { .. }
        | RenderError::Protocol(_) => false,
    }
}

impl BrowserWorker {
    /// Ends a page and opens the next one, while nobody waits for either.
    fn follow(&self, page: Page, rendered: &Result<Rendered, RenderError>) {
        if let Err(RenderError::Deadline { .. } | RenderError::Protocol(_) | RenderError::BrowserGone) = rendered {
            self.fleet.suspect();
        }
        let (fleet, spare) = (self.fleet.clone(), Arc::downgrade(&self.spare));
        spawn_named("next page", async move {
            let within = page.limits.call;
            if !page.close().await {
                fleet.suspect();
            }
            // Nobody is told of a failure: the next job opens its own page, and is told then.
            if let Ok(page) = fleet.spare(Instant::now() + within).await {
                match spare.upgrade() {
                    Some(spare) => {
                        let before = spare.lock().unwrap_or_else(PoisonError::into_inner).replace(page);
                        drop(before);
                    }
                    None => drop(page),
                }
            }
        });
    }
}

//! Claims jobs and sees each to its end, sweeps, and sends webhooks, until it is told to stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventmesh_actors::spawn_named;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::items::Items;
use super::kind::Kind;
use super::log::Log;
use super::record::Record;
use super::run::{Over, Run};
use super::webhook::{Delivery, Letter, Sender, Sent, again, written};
use super::{Jobs, stopped, unix_now};
use crate::error::{Error, ErrorKind};
use crate::queue::{Claim, Claimed, Job, JobId, Outcome, QueueError, State, UnixMillis};

/// How long a claim holds without a word, and how often one is given.
const LEASE: Duration = Duration::from_secs(60);
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often is swept.
const SWEEP: Duration = Duration::from_secs(30);
/// How long after a sweep the next one may be asked for: many are sent away at once.
const APART: Duration = Duration::from_secs(1);
/// How long to wait after something that should not have gone wrong.
const BREATH: Duration = Duration::from_secs(1);
/// Webhooks sent at once.
const LETTERS: usize = 8;

/// Sees to jobs.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) jobs: Jobs,
    pub(crate) items: Items,
    pub(crate) sender: Arc<Sender>,
}

impl Runner {
    /// Works until the jobs are told to stop, and then until those at work have been given back; or until the journal fails,
    /// after which nothing can be written down any more.
    pub(crate) async fn run(self) -> Result<(), QueueError> {
        let works = async { tokio::join!(self.claims(), self.sweeps(), self.letters()) };
        tokio::select! {
            failed = self.jobs.queue().failed() => Err(failed),
            _ = works => Ok(()),
        }
    }

    async fn stopped(&self) {
        stopped(&mut self.jobs.stop()).await;
    }

    async fn claims(&self) {
        let at_once = u32::try_from(self.jobs.config().at_once).unwrap_or(u32::MAX);
        let slots = Arc::new(Semaphore::new(at_once as usize));
        loop {
            let slot = tokio::select! {
                biased;
                () = self.stopped() => break,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { break };
            let there = tokio::select! {
                biased;
                () = self.stopped() => break,
                there = self.jobs.queue().available() => there,
            };
            // Not interrupted: a claim that nobody hears of would hold its job until its lease is over.
            let claimed = match there {
                Ok(()) => self.jobs.queue().claim(lease(), unix_now()).await,
                Err(error) => Err(error),
            };
            match claimed {
                Ok(Some(claimed)) => {
                    let runner = self.clone();
                    spawn_named("job", async move {
                        runner.see_to(claimed).await;
                        drop(slot);
                    });
                }
                // Somebody was faster: a lapsed job that came back, or one that was cancelled.
                Ok(None) => sleep(BREATH / 20).await,
                Err(QueueError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "no job can be claimed");
                    sleep(BREATH).await;
                }
            }
        }
        // All of them are back when all jobs are.
        let _ = slots.acquire_many(at_once).await;
    }

    /// One job, until it has ended, is given back, or is somebody else's.
    async fn see_to(&self, claimed: Claimed) {
        let Claimed { claim, job, spec } = claimed;
        let outcome = tokio::select! {
            worked = self.work(&claim, &job, &spec) => match worked {
                Ok(Over::Ended(outcome, record)) => {
                    self.jobs.queue().finish(&claim, outcome, record.stored(), unix_now()).await.map(drop)
                }
                Ok(Over::Stopped) => self.jobs.queue().release(&claim, unix_now()).await,
                // Another run would come no further.
                Err(error @ (QueueError::TooManyEvents { .. } | QueueError::TooLarge { .. })) => {
                    let record = Record::failed(&error.into());
                    self.jobs.queue().finish(&claim, Outcome::Failed, record.stored(), unix_now()).await.map(drop)
                }
                Err(error) => Err(error),
            },
            lost = self.hold(&claim) => Err(lost),
            lost = self.ended(&claim) => Err(lost),
        };
        match outcome {
            Ok(()) | Err(QueueError::Ended(_) | QueueError::Closed) => {}
            Err(QueueError::Stale) => tracing::warn!(job = %claim.job, "a claim on a job was lost"),
            Err(error) => tracing::error!(%error, job = %claim.job, "a job cannot go on for now"),
        }
        self.jobs.has_ended(&claim.job).await;
    }

    async fn work(&self, claim: &Claim, job: &Job, spec: &Bytes) -> Result<Over, QueueError> {
        let config = self.jobs.config();
        let task = match Kind::of(&job.kind).map(|kind| kind.task(spec)) {
            Some(Ok(task)) => task,
            // It was looked at when it was accepted, but by another version.
            Some(Err(problem)) => return Ok(Over::Ended(Outcome::Failed, Record::failed(&problem))),
            None => {
                let unknown = Error::new(ErrorKind::Internal, format!("this version knows no {} jobs", job.kind));
                return Ok(Over::Ended(Outcome::Failed, Record::failed(&unknown.into())));
            }
        };
        if let Some(webhook) = task.webhook()
            && let Err(error) = self.jobs.put_letter(&claim.job, webhook).await
        {
            tracing::error!(%error, job = %claim.job, "a webhook may be lost");
        }
        let log = Log {
            queue: self.jobs.queue().clone(),
            blobs: self.jobs.blobs().clone(),
            claim: claim.clone(),
            max_event: self.jobs.max_event(),
        };
        let within = task.within_ms().map_or(config.deadline, |within| Duration::from_millis(within).min(config.deadline));
        let run = Run { items: &self.items, log: &log, at_once: config.items_per_job, within, stop: self.jobs.stop() };
        Box::pin(run.work(task)).await
    }

    /// Says again and again that the claim holds, until it does not.
    async fn hold(&self, claim: &Claim) -> QueueError {
        loop {
            sleep(HEARTBEAT).await;
            match self.jobs.queue().heartbeat(claim, lease()).await {
                Ok(()) => {}
                Err(error) => return error,
            }
        }
    }

    /// Waits until somebody else ends the job.
    async fn ended(&self, claim: &Claim) -> QueueError {
        match self.jobs.queue().wait(&claim.job, u64::MAX).await {
            Ok(Job { state: State::Ended(ending), .. }) => QueueError::Ended(ending),
            // With too many readers, the next heartbeat finds out.
            Ok(_) | Err(_) => std::future::pending().await,
        }
    }

    async fn sweeps(&self) {
        let mut ticks = interval(SWEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut first = true;
        let mut soonest = Instant::now();
        loop {
            let crowded = async {
                self.jobs.crowded().await;
                sleep_until(soonest).await;
            };
            tokio::select! {
                () = self.stopped() => return,
                _ = ticks.tick() => {}
                // Whoever was sent away comes back in a moment: what can be forgotten is forgotten until then.
                () = crowded => {}
            }
            let mut forgotten = 0;
            loop {
                match self.jobs.queue().sweep(unix_now()).await {
                    Ok(swept) => {
                        forgotten += swept.forgotten;
                        if !swept.more {
                            break;
                        }
                    }
                    Err(QueueError::Closed) => return,
                    Err(error) => {
                        tracing::error!(%error, "old jobs cannot be swept");
                        break;
                    }
                }
            }
            soonest = Instant::now() + APART;
            // At the start, what was forgotten just before a crash has left its files.
            if forgotten > 0 || first {
                first = false;
                self.tidy().await;
            }
        }
    }

    /// Forgets the files of jobs that are forgotten.
    async fn tidy(&self) {
        let mut jobs = BTreeSet::new();
        for found in [self.jobs.blobs().jobs().await, self.jobs.outbox().jobs().await] {
            match found {
                Ok(found) => jobs.extend(found),
                Err(error) => tracing::error!(%error, "files of old jobs cannot be listed"),
            }
        }
        for job in jobs {
            if !matches!(self.jobs.queue().get(&job).await, Err(QueueError::NotFound)) {
                continue;
            }
            let both = [self.jobs.blobs().forget(&job).await, self.jobs.outbox().forget(&job).await];
            for error in both.into_iter().filter_map(Result::err).filter(|error| error.kind() != std::io::ErrorKind::NotFound) {
                tracing::error!(%error, %job, "files of an old job are left behind");
            }
        }
    }

    /// Sends webhooks as they are due.
    async fn letters(&self) {
        let mut check = interval(SWEEP);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = unix_now();
            let (due, next) = self.jobs.outbox().due(now);
            let wait = next.map_or(SWEEP, |next| Duration::from_millis(next.0.saturating_sub(now.0)));
            if due.is_empty() {
                tokio::select! {
                    () = self.stopped() => return,
                    () = self.jobs.news() => {}
                    () = sleep(wait) => {}
                    // Jobs that nobody works on can end, too: dead ones.
                    _ = check.tick() => self.find_ended().await,
                }
                continue;
            }
            let mut sending: FuturesUnordered<_> = due.iter().take(LETTERS).map(|job| self.deliver(job)).collect();
            loop {
                tokio::select! {
                    // Whatever is on its way is sent again after the next start.
                    () = self.stopped() => return,
                    sent = sending.next() => if sent.is_none() { break },
                }
            }
        }
    }

    async fn find_ended(&self) {
        for job in self.jobs.outbox().open_ends() {
            self.jobs.has_ended(&job).await;
        }
    }

    async fn deliver(&self, id: &JobId) {
        if let Err(error) = self.delivered(id).await {
            tracing::error!(%error, job = %id, "a webhook cannot be seen to for now");
            sleep(BREATH).await;
        }
    }

    async fn delivered(&self, id: &JobId) -> std::io::Result<()> {
        let (outbox, queue) = (self.jobs.outbox(), self.jobs.queue());
        let Some(letter) = outbox.letter(id).await? else { return outbox.forget(id).await };
        let job = match queue.get(id).await {
            Ok(job) => job,
            Err(QueueError::NotFound) => return outbox.forget(id).await,
            Err(error) => return Err(std::io::Error::other(error)),
        };
        let secret = letter.secret.as_ref().or(self.jobs.config().webhook_secret.as_ref());
        let now = unix_now();
        let body = json!({
            "type": format!("job.{}", job.state.label()),
            "timestamp": written(job.updated.0),
            "data": self.jobs.view(&job, None),
        });
        let sent = self.sender.send(&letter.url, secret, &format!("msg_{id}"), now.0 / 1000, body.to_string().into()).await;
        let tried = letter.tried + 1;
        let (state, due) = match sent {
            Sent::Taken => (Delivery::Delivered, now),
            Sent::Unwanted => (Delivery::GivenUp, now),
            Sent::Missed if tried >= self.jobs.config().webhook_tries => (Delivery::GivenUp, now),
            Sent::Missed => {
                let delay = again(tried, fastrand::f64());
                (Delivery::Pending, UnixMillis(unix_now().0 + u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
            }
        };
        self.jobs.counted().sent(state);
        if state == Delivery::GivenUp {
            tracing::warn!(job = %id, tried, "a webhook is given up");
        }
        outbox.update(id, Letter { state, tried, due, ..letter }).await
    }
}

fn lease() -> UnixMillis {
    UnixMillis(unix_now().0 + u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX))
}

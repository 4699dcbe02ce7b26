//! One job, from its claim to its end, or to where it is given back.
//!
//! Its items are worked on a few at a time, and written down one by one, in the order in which they are done. What was
//! written down before is not done again.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::batch::Batch;
use super::crawl::Crawl;
use super::items::{Items, Outcome as Done, Running};
use super::kind::Task;
use super::log::Log;
use super::record::{Record, Step, Totals};
use super::{stopped, unix_now};
use crate::error::{Error, ErrorKind};
use crate::http::Problem;
use crate::queue::{EntryKind, Outcome, QueueError, UnixMillis};
use crate::request::Request;

/// What runs a job.
#[derive(Debug)]
pub(crate) struct Run<'r> {
    pub(crate) items: &'r Items,
    pub(crate) log: &'r Log,
    /// Items worked on at once.
    pub(crate) at_once: usize,
    /// How long it may take in all.
    pub(crate) within: Duration,
    pub(crate) stop: watch::Receiver<bool>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Over {
    /// With this, which is not written down yet.
    Ended(Outcome, Record),
    /// In the middle, since the daemon is going.
    Stopped,
}

/// What items at work may take once the daemon is going: less than it waits for answers that somebody waits for.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum Plan {
    Batch(Box<Batch>),
    Crawl(Box<Crawl>),
}

impl Run<'_> {
    /// Works on a job until nothing of it is left.
    pub(crate) async fn work(mut self, task: Task) -> Result<Over, QueueError> {
        let mut plan = match task {
            Task::One(body) => Plan::Batch(Box::new(Batch::of_one(*body))),
            Task::Batch(body) => Plan::Batch(Box::new(Batch::new(*body))),
            Task::Crawl(body) => match Crawl::new(&body) {
                Ok(crawl) => Plan::Crawl(Box::new(crawl)),
                // It was looked at when it was accepted, but by another version.
                Err(problem) => return Ok(Over::Ended(Outcome::Failed, Record::failed(&problem))),
            },
        };
        let mut totals = Totals::default();
        let mut began = None;
        self.log
            .past(|event, record| {
                began = began.or(Some(event.at));
                plan.replay(event.item, record);
                if event.item.is_some() {
                    totals.count(record);
                }
            })
            .await?;
        if began.is_none() {
            let record = Record { step: Some(Step::Begun), ..Record::default() };
            self.log.append(EntryKind::Progress, None, record).await?;
        }
        let deadline = self.deadline(began);
        self.work_off(&mut plan, totals, deadline).await
    }

    /// Wall-clock time is what outlives the process; a clock that went back costs no job its time.
    fn deadline(&self, began: Option<UnixMillis>) -> Instant {
        let used = began.map_or(0, |began| unix_now().0.saturating_sub(began.0));
        Instant::now() + self.within.saturating_sub(Duration::from_millis(used))
    }

    async fn work_off(&mut self, plan: &mut Plan, mut totals: Totals, deadline: Instant) -> Result<Over, QueueError> {
        let mut at_work: FuturesUnordered<Running<Done>> = FuturesUnordered::new();
        let (mut stopping, mut until) = (*self.stop.borrow(), deadline);
        loop {
            // The first page has said where the site is, and what it has led to has time until the site has said what it has.
            if !stopping
                && at_work.is_empty()
                && let Some(crawl) = plan.unprepared()
            {
                let mut stop = self.stop.clone();
                tokio::select! {
                    prepared = crawl.prepare(self.items, self.log) => prepared?,
                    () = stopped(&mut stop) => return Ok(Over::Stopped),
                    () = sleep_until(deadline) => {}
                }
            }
            while !stopping
                && at_work.len() < self.at_once
                && let Some((item, request)) = plan.next()
            {
                match request {
                    Ok(request) => at_work.push(self.items.start(item, request)),
                    Err(problem) => self.answer(plan, &mut totals, item, Err(problem)).await?,
                }
            }
            if at_work.is_empty() {
                let ended = || Over::Ended(Outcome::Done, Record { totals: Some(totals), ..Record::default() });
                return Ok(if stopping && (plan.left() > 0 || plan.unprepared().is_some()) { Over::Stopped } else { ended() });
            }
            tokio::select! {
                Some((item, done)) = at_work.next() => {
                    let fault = || Error::new(ErrorKind::Internal, "the work on this item has crashed; please report it with the log");
                    match done {
                        Some(Some(done)) => self.answer(plan, &mut totals, item, done.map_err(Problem::from)).await?,
                        None => self.answer(plan, &mut totals, item, Err(fault().into())).await?,
                        // The engine is going; so will this job be, with this item left to do.
                        Some(None) => return Ok(Over::Stopped),
                    }
                }
                () = sleep_until(until) => {
                    if stopping {
                        return Ok(Over::Stopped);
                    }
                    totals.left = plan.left().saturating_add(u32::try_from(at_work.len()).unwrap_or(u32::MAX));
                    return Ok(plan.late(totals, self.within));
                }
                () = stopped(&mut self.stop), if !stopping => {
                    stopping = true;
                    until = deadline.min(Instant::now() + GRACE);
                }
            }
        }
    }

    async fn answer(
        &self,
        plan: &mut Plan,
        totals: &mut Totals,
        item: u32,
        answer: Result<crate::reply::Answer, Problem>,
    ) -> Result<(), QueueError> {
        let record = plan.record(item, answer);
        let kind = if record.problem.is_some() { EntryKind::Error } else { EntryKind::Result };
        let written = self.log.append(kind, Some(item), record).await?;
        totals.count(&written);
        Ok(())
    }
}

impl Plan {
    fn replay(&mut self, item: Option<u32>, record: &Record) {
        match self {
            Self::Batch(batch) => item.into_iter().for_each(|item| batch.answered(item)),
            Self::Crawl(crawl) => crawl.replay(item, record),
        }
    }

    /// The crawl, if it has something to find out before it goes on.
    fn unprepared(&mut self) -> Option<&mut Crawl> {
        match self {
            Self::Batch(_) => None,
            Self::Crawl(crawl) => Some(&mut **crawl).filter(|crawl| crawl.is_to_prepare()),
        }
    }

    fn next(&mut self) -> Option<(u32, Result<Request, Problem>)> {
        match self {
            Self::Batch(batch) => batch.next(),
            Self::Crawl(crawl) => crawl.next(),
        }
    }

    fn left(&self) -> u32 {
        match self {
            Self::Batch(batch) => batch.left(),
            Self::Crawl(crawl) => crawl.left(),
        }
    }

    fn record(&mut self, item: u32, answer: Result<crate::reply::Answer, Problem>) -> Record {
        match self {
            Self::Batch(batch) => {
                let record = answer.map_or_else(|problem| Record::failed(&problem), Record::answered);
                Record { url: batch.url(item), ..record }
            }
            Self::Crawl(crawl) => crawl.record(item, answer),
        }
    }

    /// The end of a job whose time is over: a crawl was told how much it has and is done, a batch has failed.
    fn late(&self, totals: Totals, within: Duration) -> Over {
        let record = match self {
            Self::Crawl(_) => Record::default(),
            Self::Batch(_) => {
                let message = format!("the job was not done within {within:?}, {} items are left", totals.left);
                Record::failed(&Error::new(ErrorKind::Deadline, message).into())
            }
        };
        let outcome = if record.problem.is_some() { Outcome::Failed } else { Outcome::Done };
        Over::Ended(outcome, Record { totals: Some(totals), ..record })
    }
}

//! How jobs are, read off their snapshot once per scrape and written down.
//!
//! Where there can be no jobs there are families, and no rows; items are worked on for streamed batches, too.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::sheet::{Labels, Sheet};
use crate::jobs::{Items, Jobs, JobsSnapshot};

/// Writes down how jobs are.
#[derive(Debug)]
pub(super) struct JobsCollector {
    jobs: Option<Jobs>,
    items: Items,
}

impl JobsCollector {
    pub(super) fn new(jobs: Option<Jobs>, items: Items) -> Self {
        Self { jobs, items }
    }
}

impl Collector for JobsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seen = self.jobs.as_ref().map(Jobs::snapshot);
        let sheet = &mut Sheet::new(encoder);
        jobs(sheet, seen.as_ref())?;
        let retried = self.items.retried().map(|(why, count)| ([("why", why)], count));
        sheet.counter("eventmesh_item_retries", "Items of jobs and streamed batches that were tried again, by why", retried)?;
        journal(sheet, seen.as_ref())?;
        webhooks(sheet, seen.as_ref())
    }
}

/// One row without labels, if there are jobs.
fn one<V>(seen: Option<&JobsSnapshot>, value: impl FnOnce(&JobsSnapshot) -> V) -> Option<(Labels<'static, 0>, V)> {
    seen.map(|seen| ([], value(seen)))
}

fn jobs(sheet: &mut Sheet<'_>, seen: Option<&JobsSnapshot>) -> fmt::Result {
    let states = seen.map_or_else(Vec::new, |seen| {
        seen.queue.counts.by_state().map(|(state, count)| ([("state", state.label())], count)).to_vec()
    });
    sheet.gauge("eventmesh_jobs", "Jobs that are remembered, by state; those that have ended are forgotten later", states)?;
    sheet.gauge(
        "eventmesh_jobs_queued_limit",
        "Jobs that may wait at once; more are not accepted",
        one(seen, |seen| seen.queue.max_queued),
    )?;
    sheet.gauge(
        "eventmesh_jobs_oldest_wait_seconds",
        "For how long the job has waited that has waited longest; 0 if none waits",
        one(seen, |seen| seen.waited.as_secs_f64()),
    )?;
    let refused = seen.map_or_else(Vec::new, |seen| seen.refused.map(|(why, count)| ([("reason", why)], count)).to_vec());
    sheet.counter("eventmesh_jobs_refused", "Jobs that were not accepted, by why", refused)?;
    let ended = seen.map_or_else(Vec::new, JobsSnapshot::ended);
    sheet.counter(
        "eventmesh_jobs_ended",
        "Jobs that have ended, by kind and how; dead are those whose runs were all lost",
        ended.into_iter().map(|(kind, outcome, count)| ([("kind", kind), ("outcome", outcome)], count)),
    )?;
    sheet.counter(
        "eventmesh_job_runs_lost",
        "Runs of jobs that were lost: their process has ended, or their lease was over",
        one(seen, |seen| seen.queue.tally.lost),
    )?;
    let items = seen.map_or_else(Vec::new, |seen| {
        [("ok", seen.queue.tally.results), ("failed", seen.queue.tally.errors)]
            .map(|(outcome, count)| ([("outcome", outcome)], count))
            .to_vec()
    });
    sheet.counter("eventmesh_job_items", "Items of jobs that were answered, by how", items)
}

fn journal(sheet: &mut Sheet<'_>, seen: Option<&JobsSnapshot>) -> fmt::Result {
    sheet.gauge(
        "eventmesh_journal_bytes",
        "Bytes of all jobs in the journal, about",
        one(seen, |seen| seen.queue.counts.bytes),
    )?;
    sheet.gauge(
        "eventmesh_journal_limit_bytes",
        "Bytes past which no job is accepted",
        one(seen, |seen| seen.queue.max_bytes),
    )?;
    sheet.gauge(
        "eventmesh_journal_file_bytes",
        "Size of the journal's file, which does not shrink",
        seen.and_then(|seen| seen.queue.file_bytes).map(|bytes| ([], bytes)),
    )?;
    sheet.gauge(
        "eventmesh_blob_bytes",
        "Bytes of answers that are too large for the journal, about",
        one(seen, |seen| seen.blob_bytes),
    )?;
    sheet.gauge(
        "eventmesh_blob_limit_bytes",
        "Bytes of these past which no job is accepted",
        one(seen, |seen| seen.max_blob_bytes),
    )?;
    sheet.counter(
        "eventmesh_journal_orders",
        "What the journal was told to do; orders that come together share a commit, and some need none",
        one(seen, |seen| seen.queue.tally.orders),
    )?;
    let commits = seen.map(|seen| &seen.queue.tally.commits);
    sheet.histogram(
        "eventmesh_journal_commit_duration_seconds",
        "Bringing what was done to the journal's disk",
        commits.map(|commits| (commits.took.as_secs_f64(), commits.buckets())),
    )
}

fn webhooks(sheet: &mut Sheet<'_>, seen: Option<&JobsSnapshot>) -> fmt::Result {
    let sent = seen.map_or_else(Vec::new, |seen| seen.sent.map(|(outcome, count)| ([("outcome", outcome)], count)).to_vec());
    sheet.counter(
        "eventmesh_webhooks",
        "Webhooks that were sent, by what came of it; those that were retried are sent again",
        sent,
    )?;
    sheet.gauge(
        "eventmesh_webhooks_pending",
        "Webhooks that are still to be sent, those of jobs that have not ended too",
        one(seen, |seen| seen.unsent),
    )
}

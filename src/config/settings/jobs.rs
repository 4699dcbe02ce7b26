//! The settings of jobs: what is kept of them, and how they are worked on.

use super::{Setting, typed};
use crate::config::codec::{Bytes, Codec, Count, Time};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "queue.max_queued",
        Count,
        daemon.queue.max_queued,
        "Jobs that wait; more are refused, since a longer queue is a longer wait for everybody in it."
    ),
    setting!(
        "queue.max_spec_bytes",
        Bytes,
        daemon.queue.max_spec_bytes,
        "Bytes of one job as it is asked for: by default a batch of some ten thousand addresses."
    ),
    setting!(
        "queue.max_journal_bytes",
        Bytes,
        daemon.queue.max_journal_bytes,
        "Bytes of everything that is kept of jobs, about; past it new ones are refused. The file can be twice as large."
    ),
    setting!(
        "queue.max_event_bytes",
        Bytes,
        daemon.queue.max_event_bytes,
        "Bytes of one event in the journal; larger answers go into files of their own beside it."
    ),
    setting!(
        "queue.max_events",
        Count,
        daemon.queue.max_events,
        "Events of one job: by default ten times the items of the largest batch."
    ),
    setting!(
        "queue.max_attempts",
        Count,
        daemon.queue.max_attempts,
        "Runs of a job that may be lost before it is given up: by default ten, since a kill of the daemon takes all jobs with it, innocent ones, too."
    ),
    setting!(
        "queue.keep_ended",
        Time,
        daemon.queue.keep_ended,
        "How long jobs are kept that have ended: by default a day, for whoever comes back for their results tomorrow."
    ),
    setting!(
        "queue.keep_ended_bytes",
        Bytes,
        daemon.queue.keep_ended_bytes,
        "Bytes that ended jobs may take; past it the oldest are forgotten. The default is half of the journal; it is lowered with max_journal_bytes if this is not set."
    ),
    setting!(
        "queue.max_readers",
        Count,
        daemon.queue.max_readers,
        "Readers that wait for events at one time: by default as many as there are connections."
    ),
    setting!("queue.max_page_bytes", Bytes, daemon.queue.max_page_bytes, "Bytes of one page of events; one event always fits."),
    setting!(
        "queue.max_waiting_bytes",
        Bytes,
        daemon.queue.max_waiting_bytes,
        "Bytes that wait to be written: by default what a disk writes in a second."
    ),
    setting!("queue.cache_bytes", Bytes, daemon.queue.cache_bytes, "Bytes of the journal that are kept in memory."),
    setting!(
        "jobs.at_once",
        Count,
        daemon.jobs.at_once,
        "Jobs worked on at once: by default few, so that each gets on, and enough that a long crawl does not hold up the others."
    ),
    setting!(
        "jobs.at_once_per_key",
        Count,
        daemon.jobs.at_once_per_key,
        "Jobs of one key worked on at once, also where no other key has any: by default one place is left to whoever comes next. It is never all of at_once, unless that is one; without keys it does not count."
    ),
    setting!(
        "jobs.items",
        Count,
        daemon.jobs.items,
        "Items worked on at once, of all jobs and streamed batches; never more than a quarter of max_requests, so that whoever waits for an answer finds room."
    ),
    setting!(
        "jobs.items_per_job",
        Count,
        daemon.jobs.items_per_job,
        "Items of one job worked on at once: by default a quarter of all."
    ),
    setting!(
        "jobs.tries",
        Count,
        daemon.jobs.tries,
        "How often an item is tried before its failure is its answer: by default three times, with growing delays."
    ),
    setting!("jobs.max_items", Count, daemon.jobs.max_items, "Items of one batch: by default what a spec holds."),
    setting!("jobs.max_pages", Count, daemon.jobs.max_pages, "Pages of one crawl: by default as many as items of a batch."),
    setting!(
        "jobs.deadline",
        Time,
        daemon.jobs.deadline,
        "How long a job may be worked on, if it does not say less: by default what ten thousand slow pages take."
    ),
    setting!(
        "jobs.webhook_tries",
        Count,
        daemon.jobs.webhook_tries,
        "How often a webhook is sent before it is given up: by default what spans two hours at delays that double from a second to half an hour, so that its receiver may be away for a while."
    ),
    setting!(
        "jobs.max_blob_bytes",
        Bytes,
        daemon.jobs.max_blob_bytes,
        "Bytes of answers that are too large for the journal; past it new jobs are refused. The default is twice the journal."
    ),
];

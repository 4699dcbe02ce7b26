//! Settings of jobs, and why those numbers.

use std::time::Duration;

use super::webhook::WebhookSecret;
use crate::queue::QueueLimits;

/// Settings of jobs.
#[derive(Clone, Debug)]
pub struct JobsConfig {
    /// Jobs worked on at once. Default 4: a long crawl does not hold up three others.
    pub at_once: usize,
    /// Jobs of one key that are worked on at once. Default 3. It is never all of `at_once`, unless that is one, so that one key
    /// does not keep the others waiting for hours; where there are no keys there is nobody to share with, and no such limit.
    pub at_once_per_key: usize,
    /// Items worked on at once, of all jobs and streamed batches. Default 32. It is never more than a quarter of the requests
    /// that the engine admits, so that whoever waits for an answer finds room.
    pub items: usize,
    /// Items of one job worked on at once. Default 8.
    pub items_per_job: usize,
    /// How often an item is tried before its failure is its answer. Default 3.
    pub tries: u32,
    /// Items of one batch. Default 10,000.
    pub max_items: usize,
    /// Pages of one crawl. Default 10,000.
    pub max_pages: usize,
    /// How long a job may be worked on, if it does not say less. Default 6 h.
    pub deadline: Duration,
    /// Bytes of answers that are too large for the journal. Past it new jobs are refused. Default 4 GiB.
    pub max_blob_bytes: u64,
    /// How often a webhook is sent before it is given up. Default 15: two hours, at delays that double from a second to half an
    /// hour.
    pub webhook_tries: u32,
    /// What webhooks are signed with that bring no secret of their own. Default nothing: then they are not signed.
    pub webhook_secret: Option<WebhookSecret>,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            at_once: 4,
            at_once_per_key: 3,
            items: 32,
            items_per_job: 8,
            tries: 3,
            max_items: 10_000,
            max_pages: 10_000,
            deadline: Duration::from_secs(6 * 60 * 60),
            max_blob_bytes: 4 << 30,
            webhook_tries: 15,
            webhook_secret: None,
        }
    }
}

impl JobsConfig {
    /// Events of a job that are no answers.
    const SLACK: u64 = 1_000;

    /// Jobs of one key that are worked on at once, as it is: one place at least is left to the others, if there are two.
    pub(crate) fn share(&self) -> usize {
        self.at_once_per_key.min(self.at_once.saturating_sub(1)).max(1)
    }

    /// Everything that is wrong with these settings, each as a sentence that says what to do.
    #[must_use]
    pub fn problems(&self, queue: &QueueLimits) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, problem: &str| {
            if !fine {
                problems.push(problem.to_owned());
            }
        };
        check((1..=1024).contains(&self.at_once), "jobs.at_once must be 1 to 1024");
        check((1..=1024).contains(&self.at_once_per_key), "jobs.at_once_per_key must be 1 to 1024");
        check((1..=65_536).contains(&self.items), "jobs.items must be 1 to 65536");
        check((1..=65_536).contains(&self.items_per_job), "jobs.items_per_job must be 1 to 65536");
        check((1..=100).contains(&self.tries), "jobs.tries must be 1 to 100");
        check((1..=100).contains(&self.webhook_tries), "jobs.webhook_tries must be 1 to 100");
        let most = usize::try_from(queue.max_events.saturating_sub(Self::SLACK)).unwrap_or(usize::MAX);
        check((1..=most).contains(&self.max_items), "jobs.max_items must be at least 1 and 1000 less than queue.max_events");
        check((1..=most).contains(&self.max_pages), "jobs.max_pages must be at least 1 and 1000 less than queue.max_events");
        check(!self.deadline.is_zero(), "jobs.deadline must be longer than nothing");
        check(queue.max_event_bytes >= 2 << 20, "queue.max_event_bytes must be at least 2 MiB");
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_every_problem_is_told() {
        let queue = QueueLimits::default();
        assert_eq!(JobsConfig::default().problems(&queue), Vec::<String>::new());
        let bad = JobsConfig { at_once: 0, tries: 0, max_items: 1_000_000, deadline: Duration::ZERO, ..JobsConfig::default() };
        assert_eq!(bad.problems(&queue).len(), 4);
        let none = JobsConfig { at_once_per_key: 0, ..JobsConfig::default() };
        assert_eq!(none.problems(&queue), ["jobs.at_once_per_key must be 1 to 1024"]);
    }

    #[test]
    fn a_key_has_one_place_and_never_all_of_several() {
        for at_once in 1..=8 {
            for at_once_per_key in 1..=9 {
                let share = JobsConfig { at_once, at_once_per_key, ..JobsConfig::default() }.share();
                assert!((1..=at_once_per_key).contains(&share), "{share} of {at_once}, {at_once_per_key} wanted");
                assert!(share < at_once || at_once == 1, "{share} of {at_once}, {at_once_per_key} wanted");
                assert!(share == at_once_per_key || share + 1 >= at_once, "{share} of {at_once}, {at_once_per_key} wanted");
            }
        }
    }
}

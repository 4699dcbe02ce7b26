//! What sorts of jobs there are. A job's spec is the body that it was asked for with.

use crate::http::{BatchBody, CrawlBody, ExtractBody, Problem, RenderWhen, WebhookBody, json};

/// What sorts of jobs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One page.
    Extract,
    /// One page, by a browser.
    Render,
    /// Many pages that are named.
    Batch,
    /// A site.
    Crawl,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    One(Box<ExtractBody>),
    Batch(Box<BatchBody>),
    Crawl(Box<CrawlBody>),
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] = [Self::Extract, Self::Render, Self::Batch, Self::Crawl];

    /// The kind as a word, in the journal and in answers.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Render => "render",
            Self::Batch => "batch",
            Self::Crawl => "crawl",
        }
    }

    /// The kind that a word stands for.
    pub(crate) fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// Reads a job's spec.
    pub(crate) fn task(self, spec: &[u8]) -> Result<Task, Problem> {
        match self {
            Self::Extract => json(spec).map(|body| Task::One(Box::new(body))),
            Self::Render => json(spec).map(|body| {
                let body = ExtractBody { render: RenderWhen::Always, ..body };
                Task::One(Box::new(body))
            }),
            Self::Batch => json(spec).map(|body| Task::Batch(Box::new(body))),
            Self::Crawl => json(spec).map(|body| Task::Crawl(Box::new(body))),
        }
    }
}

impl Task {
    /// Who is to be told of the end.
    pub(crate) fn webhook(&self) -> Option<&WebhookBody> {
        match self {
            Self::One(_) => None,
            Self::Batch(body) => body.webhook.as_ref(),
            Self::Crawl(body) => body.webhook.as_ref(),
        }
    }

    /// Milliseconds that it may take, if it says so.
    pub(crate) fn within_ms(&self) -> Option<u64> {
        match self {
            // The deadline of one page is kept by the engine.
            Self::One(_) => None,
            Self::Batch(body) => body.deadline_ms,
            Self::Crawl(body) => body.max_time_ms,
        }
    }
}

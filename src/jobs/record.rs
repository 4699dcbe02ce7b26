//! What a job's log says of an item, as it is stored and as it is shown.

use std::io;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::task::spawn_blocking;

use super::blobs::Blobs;
use crate::error::{Error, ErrorKind};
use crate::http::{AnswerBody, Problem};
use crate::queue::{Event, EventKind, JobId};
use crate::reply::Answer;

/// The data of an event.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The address that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The address that it was found at, if that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found_at: Option<String>,
    /// Links between it and the beginning of a crawl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) depth: Option<u32>,
    /// Why the content is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<Skipped>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Box<RawValue>>,
    /// The answer, as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<String>,
    /// The failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Box<RawValue>>,
    /// Pages that were found by it and not before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) found: Vec<String>,
    /// How far the work is, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<Step>,
    /// What came of a job, at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) totals: Option<Totals>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// It was begun.
    Begun,
    /// Pages of a sitemap, and there are more to come.
    Sitemap,
    /// Nothing more comes of sitemaps.
    SitemapsRead,
}

/// Why a page's content is left out of a crawl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Skipped {
    /// It is the page of another address, which is asked for by itself.
    Duplicate,
    /// It is another site's.
    Outside,
}

/// What came of a job's items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Totals {
    /// Those that have a result.
    pub(crate) ok: u32,
    /// Those that failed.
    pub(crate) failed: u32,
    /// Those whose content is left out, of a crawl.
    pub(crate) skipped: u32,
    /// Those that were not worked on, since there was no more time.
    pub(crate) left: u32,
}

impl Totals {
    /// Counts an answer.
    pub(crate) fn count(&mut self, record: &Record) {
        match (&record.problem, record.skipped) {
            (Some(_), _) => self.failed += 1,
            (None, Some(_)) => self.skipped += 1,
            (None, None) => self.ok += 1,
        }
    }
}

impl Record {
    /// Of an item that has its answer.
    pub(crate) fn answered(answer: Answer) -> Self {
        match AnswerBody::try_from(answer).and_then(|answer| to_raw_value(&answer)) {
            Ok(answer) => Self { answer: Some(answer), ..Self::default() },
            Err(error) => {
                let error = Error::new(ErrorKind::Internal, "the answer cannot be written down").caused_by(error);
                Self::failed(&error.into())
            }
        }
    }

    /// Of an item that failed.
    pub(crate) fn failed(problem: &Problem) -> Self {
        // A problem is text and numbers.
        Self { problem: to_raw_value(problem).ok(), ..Self::default() }
    }

    /// As it is stored.
    pub(crate) fn stored(&self) -> Bytes {
        serde_json::to_vec(self).map_or_else(|_| Bytes::new(), Bytes::from)
    }

    /// As it was stored; what nobody was there to say is nothing.
    pub(crate) fn read(data: &[u8]) -> Result<Self, serde_json::Error> {
        if data.is_empty() { Ok(Self::default()) } else { serde_json::from_slice(data) }
    }
}

/// An event as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'e> {
    pub(crate) seq: u64,
    #[serde(rename = "type")]
    pub(crate) kind: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) found_at: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) depth: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<Skipped>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<Step>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) found: &'e [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) totals: Option<Totals>,
}

impl<'e> Shown<'e> {
    /// Of a record.
    pub(crate) fn new(seq: u64, kind: &'e str, record: &'e Record) -> Self {
        Self {
            seq,
            kind,
            at_ms: None,
            item: None,
            state: None,
            url: record.url.as_deref(),
            found_at: record.found_at.as_deref(),
            depth: record.depth,
            skipped: record.skipped,
            step: record.step,
            found: &record.found,
            answer: record.answer.as_deref(),
            problem: record.problem.as_deref(),
            totals: record.totals,
        }
    }

    /// As one line of JSON, without its end.
    pub(crate) fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// An event of a job's log as one line of JSON, with its answer, wherever that is kept.
pub(crate) async fn shown(event: &Event, job: &JobId, blobs: &Blobs) -> io::Result<String> {
    let mut record = Record::read(&event.data)?;
    if let Some(kept) = record.kept.take() {
        let bytes = blobs.read(job, &kept).await?;
        let parse = move || {
            let text = String::from_utf8(bytes.into()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            Ok::<_, io::Error>(RawValue::from_string(text)?)
        };
        record.answer = Some(spawn_blocking(parse).await.map_err(io::Error::other)??);
    }
    let state = match event.kind {
        EventKind::End(ending) => Some(ending.label()),
        EventKind::Result | EventKind::Error | EventKind::Progress => None,
    };
    let shown = Shown { at_ms: Some(event.at.0), item: event.item, state, ..Shown::new(event.seq, event.kind.label(), &record) };
    Ok(shown.line())
}

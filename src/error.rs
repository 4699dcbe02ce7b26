//! Why a request failed: one closed enum, with a total match for each way of telling it.
//!
//! `docs/errors.md` has a section for every kind; a test compares the two.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::cache::CacheStatus;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The request itself makes no sense.
    InvalidRequest,
    /// There is no such file or page.
    SourceNotFound,
    /// The file or page is there, or may be, but cannot be read.
    SourceUnreadable,
    /// The server answered, and said no.
    SourceRefused,
    /// The egress policy does not allow to connect to it.
    Blocked,
    /// The site's robots.txt does not allow to ask for it.
    Disallowed,
    /// It is nothing that can be extracted.
    Unsupported,
    /// It is broken beyond repair.
    Malformed,
    /// It is encrypted and needs a password, or another one.
    PasswordRequired,
    /// It is encrypted in a way that is not supported.
    EncryptionUnsupported,
    /// Something that this needs is not installed.
    NotInstalled,
    /// It is larger than a page may be.
    TooLarge,
    /// It was not done in time.
    Deadline,
    /// It needed more memory than a page may have.
    ResourceLimit,
    /// The extraction crashed on it.
    ExtractionFailed,
    /// The same page has cost several workers and is not tried for a while.
    Quarantined,
    /// As much is being done as may be; come back later.
    Overloaded,
    /// The workers are down; come back later.
    Unavailable,
    /// The engine is shutting down.
    ShuttingDown,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    /// All kinds, in order.
    pub const ALL: [Self; 20] = [
        Self::InvalidRequest,
        Self::SourceNotFound,
        Self::SourceUnreadable,
        Self::SourceRefused,
        Self::Blocked,
        Self::Disallowed,
        Self::Unsupported,
        Self::Malformed,
        Self::PasswordRequired,
        Self::EncryptionUnsupported,
        Self::NotInstalled,
        Self::TooLarge,
        Self::Deadline,
        Self::ResourceLimit,
        Self::ExtractionFailed,
        Self::Quarantined,
        Self::Overloaded,
        Self::Unavailable,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// The kind as a word, in JSON, metrics and documentation.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::SourceNotFound => "source_not_found",
            Self::SourceUnreadable => "source_unreadable",
            Self::SourceRefused => "source_refused",
            Self::Blocked => "blocked",
            Self::Disallowed => "disallowed",
            Self::Unsupported => "unsupported",
            Self::Malformed => "malformed",
            Self::PasswordRequired => "password_required",
            Self::EncryptionUnsupported => "encryption_unsupported",
            Self::NotInstalled => "not_installed",
            Self::TooLarge => "too_large",
            Self::Deadline => "deadline",
            Self::ResourceLimit => "resource_limit",
            Self::ExtractionFailed => "extraction_failed",
            Self::Quarantined => "quarantined",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }

    /// The kind that is called so.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// The exit code of a command that failed on one request for this reason.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::InvalidRequest => 2,
            Self::SourceNotFound | Self::SourceUnreadable | Self::SourceRefused => 4,
            Self::Unsupported | Self::Malformed | Self::PasswordRequired | Self::EncryptionUnsupported | Self::TooLarge => 5,
            Self::Deadline | Self::ResourceLimit | Self::ExtractionFailed | Self::Quarantined => 6,
            Self::Overloaded | Self::Unavailable | Self::ShuttingDown => 7,
            Self::NotInstalled => 9,
            Self::Blocked | Self::Disallowed => 10,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A part of the work on a request that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum During {
    /// Getting the page.
    Fetch,
    /// Waiting for whoever works on it.
    Pool,
    /// Working on it.
    Extract,
}

/// A failed request. Displays as what, why and what to do; what else is known stays in the source chain.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    upstream: Option<u16>,
    during: Option<During>,
    cache: Option<CacheStatus>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, upstream: None, during: None, cache: None, source: None }
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// What has just gone may be back in this time.
    pub(crate) const SOON: Duration = Duration::from_secs(1);

    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The source's server has answered with this status.
    pub(crate) fn upstream(mut self, status: u16) -> Self {
        self.upstream = Some(status);
        self
    }

    /// It happened during this part of the work.
    pub(crate) fn during(mut self, part: During) -> Self {
        self.during = Some(part);
        self
    }

    /// The cache had a part in it.
    pub(crate) fn cached(mut self, status: CacheStatus) -> Self {
        self.cache = Some(status.answered(self.upstream));
        self
    }

    /// How it came, if it was looked for among what is kept.
    #[must_use]
    pub fn cache(&self) -> Option<&CacheStatus> {
        self.cache.as_ref()
    }

    /// The part of the work that it happened during, if that is known and not always the same.
    pub(crate) fn part(&self) -> Option<During> {
        self.during
    }

    /// The status that the source's server has answered with, if that is what went wrong.
    #[must_use]
    pub fn upstream_status(&self) -> Option<u16> {
        self.upstream
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// When the same request may fare better, if it may.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(delay) = self.retry_after {
            write!(f, "; try again in {delay:?}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut error = serializer.serialize_struct("Error", 3)?;
        error.serialize_field("kind", self.kind.label())?;
        error.serialize_field("message", &self.message)?;
        match self.retry_after {
            Some(delay) => error.serialize_field("retry_after_ms", &(delay.as_secs_f64() * 1000.0))?,
            None => error.skip_field("retry_after_ms")?,
        }
        error.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_documented_under_its_label() {
        let documented: BTreeSet<&str> = include_str!("../docs/errors.md")
            .lines()
            .filter_map(|line| line.strip_prefix("## `"))
            .filter_map(|rest| rest.strip_suffix('`'))
            .collect();
        let known: BTreeSet<&str> = ErrorKind::ALL.into_iter().map(ErrorKind::label).collect();
        assert_eq!(known.len(), ErrorKind::ALL.len(), "two kinds share a label");
        assert_eq!(documented, known);
    }
}

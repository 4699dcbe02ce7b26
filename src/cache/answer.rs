//! What goes into the cache, what comes out of it, and what all callers in one flight share.

use std::sync::Arc;

use bytes::Bytes;

use super::entry::{Content, Entry};
use super::failure::Failure;
use super::freshness::Freshness;
use super::refresh::Refresh;
use super::status::{CacheStatus, Detail, Way};
use super::time::UnixTime;

/// What a fetch has brought.
#[derive(Debug)]
pub enum Fetched<E> {
    /// A document.
    Document {
        /// Serialised.
        body: Bytes,
        /// How long it may be used.
        freshness: Freshness,
    },
    /// A document that is better than nothing, such as a page as it was sent because it could not be rendered: it goes to
    /// its asker alone, and what is stored stays as it is.
    Makeshift {
        /// Serialised.
        body: Bytes,
        /// When it was made.
        at: UnixTime,
    },
    /// What is stored is still right: the source has answered 304, as [`Freshness::of`] reads it.
    NotModified(Freshness),
    /// Nothing.
    Failed {
        /// Why, as far as the cache needs to know.
        failure: Failure,
        /// Why, for the caller.
        error: E,
        /// The error, serialised, and [`Freshness::of_failure`]: what is answered until then. Counts only for
        /// failures that are [kept](Failure::is_kept).
        keep: Option<(Bytes, Freshness)>,
    },
}

/// What a request got.
#[derive(Debug)]
pub struct Answer<E> {
    /// What the bytes are. A remembered failure is an answer of the cache, but no success.
    pub content: Content,
    /// As they were given.
    pub body: Bytes,
    /// How long they may be used.
    pub freshness: Arc<Freshness>,
    /// What the cache did.
    pub status: CacheStatus,
    /// The renewal that this stale answer asks for; to be [run](Refresh::run) in a task of the caller's.
    pub refresh: Option<Refresh<E>>,
}

/// Why a request got nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered<E> {
    /// Only what is stored was wanted, and nothing that is does.
    #[error("nothing is stored that answers the request, and only that was wanted; ask again without only-if-cached")]
    NotCached,
    /// The fetch failed, this caller's or the one that it waited for.
    #[error("{error}")]
    Failed {
        /// Why.
        error: Arc<E>,
        /// What the cache did.
        status: CacheStatus,
    },
    /// The source claims that what was never stored has not changed.
    #[error("the source answered 304 to a request without conditions; ask again, or ask another source")]
    NothingToConfirm {
        /// What the cache did.
        status: CacheStatus,
    },
}

impl<E> Unanswered<E> {
    /// What the cache did.
    #[must_use]
    pub fn status(&self) -> CacheStatus {
        match self {
            Self::NotCached => CacheStatus::NOT_CACHED,
            Self::Failed { status, .. } | Self::NothingToConfirm { status } => status.clone(),
        }
    }
}

/// How a flight ended, for all in it.
#[derive(Debug)]
pub(crate) enum Landed<E> {
    /// With what answers all.
    Entry { entry: Entry, confirmed: bool, stored: bool },
    /// With what only its leader may have.
    Private {
        /// What is stored stays so.
        stays: bool,
    },
    /// With nothing.
    Failed {
        failure: Failure,
        error: Arc<E>,
        /// It is remembered.
        stored: bool,
    },
    /// With a 304 that confirms nothing.
    NothingToConfirm,
}

impl<E> Answer<E> {
    pub(crate) fn of(entry: &Entry, way: Way, detail: Option<Detail>, now: UnixTime) -> Self {
        let ttl = Some(now.seconds_until(entry.freshness.fresh_until));
        Self {
            content: entry.content,
            body: entry.body.clone(),
            freshness: Arc::clone(&entry.freshness),
            status: CacheStatus { way, ttl, detail },
            refresh: None,
        }
    }
}

impl<E> Clone for Landed<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Entry { entry, confirmed, stored } => {
                Self::Entry { entry: entry.clone(), confirmed: *confirmed, stored: *stored }
            }
            Self::Private { stays } => Self::Private { stays: *stays },
            Self::Failed { failure, error, stored } => {
                Self::Failed { failure: *failure, error: Arc::clone(error), stored: *stored }
            }
            Self::NothingToConfirm => Self::NothingToConfirm,
        }
    }
}

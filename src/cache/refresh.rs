//! Renews a stale document behind the back of the caller that got it.
//!
//! The cache has no tasks. It hands the duty out together with the stale answer, for one document to one caller at
//! once and only so many in all; the caller runs it under its own supervision, or drops it, and then the next one
//! that meets the stale document gets it.

use std::fmt;
use std::sync::PoisonError;

use super::Cache;
use super::answer::{Fetched, Landed};
use super::entry::Entry;
use super::freshness::Validators;
use super::key::Key;

/// The duty to renew a stale document. While it is held nobody else gets it.
#[must_use = "a stale document stays stale until its refresh is run"]
pub struct Refresh<E> {
    cache: Cache<E>,
    key: Key,
    stale: Entry,
}

/// What has become of a stale document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// Its source has confirmed it.
    Confirmed,
    /// There is a new one.
    Replaced,
    /// It stays as it is, its source fails.
    Kept,
    /// It is gone.
    Dropped,
}

impl<E> Refresh<E> {
    /// The duty to renew, unless somebody has it or too many are at it.
    pub(crate) fn begin(cache: &Cache<E>, key: Key, stale: &Entry) -> Option<Self> {
        if cache.0.flights.is_open(&key) {
            return None;
        }
        let mut refreshing = cache.0.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        if refreshing.len() >= cache.0.refreshes || !refreshing.insert(key) {
            return None;
        }
        Some(Self { cache: cache.clone(), key, stale: stale.clone() })
    }

    /// Renews the document by `fetch`, or leaves it to whoever is at it already.
    pub async fn run<F>(self, fetch: impl FnOnce(Option<Validators>) -> F) -> Refreshed
    where
        F: Future<Output = Fetched<E>>,
    {
        let cache = &self.cache;
        let lead = async { cache.settle(self.key, Some(&self.stale), fetch(self.stale.conditions()).await).await.0 };
        match cache.0.flights.join(self.key).fly(lead).await.0 {
            Landed::Entry { confirmed: true, .. } => Refreshed::Confirmed,
            Landed::Entry { confirmed: false, .. } => Refreshed::Replaced,
            Landed::Private { stays: false } => Refreshed::Dropped,
            Landed::Failed { failure, .. } if failure.is_kept() => Refreshed::Dropped,
            Landed::Private { stays: true } | Landed::Failed { .. } | Landed::NothingToConfirm => Refreshed::Kept,
        }
    }
}

impl<E> Drop for Refresh<E> {
    fn drop(&mut self) {
        self.cache.0.refreshing.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl<E> fmt::Debug for Refresh<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").field("key", &self.key).finish_non_exhaustive()
    }
}

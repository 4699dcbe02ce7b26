//! Documents that were fetched and extracted once, for all who ask again.
//!
//! ```text
//!   get_or_fetch ─▶ store ─▶ decide ─┬─ Hit ──────────────────▶ Answer
//!                 (memory, disk)     ├─ StaleWhileRevalidate ─▶ Answer + Refresh, which the caller spawns
//!                                    └─ Revalidate, Miss ─▶ flight ─▶ fetch ─▶ store ─▶ Answer
//!                                                        (one at once)   └ failed ─▶ stale Answer, or the failure
//! ```
//! Values are opaque bytes with a header; the caller serialises and decodes. The cache has no clock: every call says
//! what time it is. It spawns nothing but blocking file work: a fetch lives in the call that began it, a renewal in
//! the task that the caller gives it. It does not know HTTP clients, documents or the errors of fetching.

mod answer;
mod control;
mod counters;
mod disk;
mod entry;
mod failure;
mod flight;
mod freshness;
mod key;
mod refresh;
mod shelf;
mod status;
mod store;
mod time;
mod verdict;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

pub use self::answer::{Answer, Fetched, Unanswered};
pub use self::counters::{Counts, Outcome, Tier};
pub use self::disk::{DiskConfig, OpenError};
pub use self::entry::{Content, Packing};
pub use self::failure::Failure;
pub use self::freshness::{Freshness, FreshnessPolicy, ResponseHead, Validators};
pub use self::key::Key;
pub use self::refresh::{Refresh, Refreshed};
pub use self::status::{CacheStatus, Detail, Forward, Way};
pub use self::store::StoreConfig;
pub use self::time::UnixTime;
pub use self::verdict::{Directives, Verdict, decide, on_error};

use self::answer::Landed;
use self::counters::Counters;
use self::entry::Entry;
use self::flight::{Flights, Role};
use self::store::Store;

/// How the cache is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// How much it keeps, and where.
    pub store: StoreConfig,
    /// Renewals of stale documents at once. More are served stale all the same, and renewed another time.
    pub refreshes: usize,
}

/// The cache, for fetches that fail with an `E`. Clones are the same one.
pub struct Cache<E>(Arc<Shared<E>>);

struct Shared<E> {
    store: Store,
    flights: Flights<Landed<E>>,
    counters: Counters,
    refreshes: usize,
    refreshing: Mutex<HashSet<Key>>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { store: StoreConfig::default(), refreshes: 4 }
    }
}

impl<E> Cache<E> {
    /// Opens the cache, with what it finds on disk.
    ///
    /// # Errors
    ///
    /// If its directory is in use or cannot be used.
    pub async fn open(config: CacheConfig) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Shared {
            store: Store::open(config.store).await?,
            flights: Flights::default(),
            counters: Counters::default(),
            refreshes: config.refreshes,
            refreshing: Mutex::default(),
        })))
    }

    /// Answers from what is stored, or by `fetch`, which is called once at most and with what to ask the source
    /// with, if something is stored that it may confirm.
    ///
    /// Dropped, it takes its fetch along; others that wait for the same one go on with their own.
    ///
    /// # Errors
    ///
    /// If nothing that is stored answers the request and the fetch fails or is not wanted.
    pub async fn get_or_fetch<F>(
        &self,
        key: Key,
        directives: &Directives,
        now: UnixTime,
        fetch: impl FnOnce(Option<Validators>) -> F,
    ) -> Result<Answer<E>, Unanswered<E>>
    where
        F: Future<Output = Fetched<E>>,
    {
        if directives.no_store {
            return if directives.only_if_cached { Err(Unanswered::NotCached) } else { self.bypass(now, fetch).await };
        }
        let found = self.0.store.get(key).await;
        match (verdict(found.as_ref(), directives, now), found) {
            (Verdict::Hit, Some((entry, tier))) => Ok(self.hit(&entry, tier, now)),
            (Verdict::StaleWhileRevalidate, Some((entry, tier))) => Ok(self.serve_stale(key, &entry, tier, now)),
            (Verdict::Hit | Verdict::StaleWhileRevalidate | Verdict::Revalidate | Verdict::Miss, found) => {
                if directives.only_if_cached {
                    return Err(Unanswered::NotCached);
                }
                self.forward(key, found, directives, now, fetch).await
            }
        }
    }

    /// Gives memory back at the engine's levels of pressure: half at 2, three quarters at 3, all at 4. At a lower level it
    /// is used again.
    pub fn shrink(&self, level: u8) {
        self.0.store.shrink(level);
    }

    /// Forgets what is stored under a key.
    pub async fn forget(&self, key: Key) {
        self.0.store.remove(key).await;
    }

    /// Waits until everything that was stored is on disk. For the end; the disk works without it.
    pub async fn flush(&self) {
        self.0.store.flush().await;
    }

    /// What has been counted up to now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.0.counters.snapshot();
        self.0.store.describe(&mut counts);
        counts
    }

    fn hit(&self, entry: &Entry, tier: Tier, now: UnixTime) -> Answer<E> {
        // A caller that takes stale content has got some.
        let outcome = if entry.freshness.is_fresh(now) { Outcome::Hit } else { Outcome::Stale };
        self.0.counters.count(tier, outcome);
        let detail = match tier {
            Tier::Memory => Some(Detail::Memory),
            Tier::Disk => Some(Detail::Disk),
            Tier::Source => None,
        };
        Answer::of(entry, Way::Hit, detail, now)
    }

    fn serve_stale(&self, key: Key, entry: &Entry, tier: Tier, now: UnixTime) -> Answer<E> {
        self.0.counters.count(tier, Outcome::Stale);
        let refresh = Refresh::begin(self, key, entry);
        Answer { refresh, ..Answer::of(entry, Way::Hit, Some(Detail::StaleWhileRevalidate), now) }
    }

    async fn bypass<F>(&self, now: UnixTime, fetch: impl FnOnce(Option<Validators>) -> F) -> Result<Answer<E>, Unanswered<E>>
    where
        F: Future<Output = Fetched<E>>,
    {
        self.0.counters.count(Tier::Source, Outcome::Bypassed);
        self.alone(Forward::Bypass, now, fetch(None).await)
    }

    /// A fetch for one caller, whatever is stored.
    fn alone(&self, why: Forward, now: UnixTime, fetched: Fetched<E>) -> Result<Answer<E>, Unanswered<E>> {
        let way = Way::Forward { why, status: None, stored: false, collapsed: false };
        match fetched {
            Fetched::Document { body, freshness } => {
                let entry = Entry { content: Content::Document, freshness: Arc::new(freshness), body };
                Ok(Answer::of(&entry, way, None, now))
            }
            Fetched::Makeshift { body, at } => Ok(Answer::of(&makeshift(body, at), way, None, now)),
            Fetched::NotModified(_) => Err(Unanswered::NothingToConfirm { status: CacheStatus::empty(way) }),
            Fetched::Failed { error, .. } => Err(Unanswered::Failed { error: Arc::new(error), status: CacheStatus::empty(way) }),
        }
    }

    async fn forward<F>(
        &self,
        key: Key,
        found: Option<(Entry, Tier)>,
        directives: &Directives,
        now: UnixTime,
        fetch: impl FnOnce(Option<Validators>) -> F,
    ) -> Result<Answer<E>, Unanswered<E>>
    where
        F: Future<Output = Fetched<E>>,
    {
        let why = match &found {
            None => Forward::Miss,
            Some((entry, _)) if entry.freshness.is_fresh(now) => Forward::Request,
            Some(_) => Forward::Stale,
        };
        let mut fetch = Some(fetch);
        let mut private = None;
        let mut overtaken = false;
        let (landed, role) = loop {
            let lead = async {
                // Another flight may have landed since.
                let latest = self.0.store.get(key).await;
                if let (Verdict::Hit, Some((entry, _))) = (verdict(latest.as_ref(), directives, now), &latest) {
                    overtaken = true;
                    return Landed::Entry { entry: entry.clone(), confirmed: false, stored: true };
                }
                let stale = latest.map(|(entry, _)| entry);
                match fetch.take() {
                    Some(fetch) => {
                        let fetched = fetch(stale.as_ref().and_then(Entry::conditions)).await;
                        let (landed, own) = self.settle(key, stale.as_ref(), fetched).await;
                        private = own;
                        landed
                    }
                    // Whoever leads has not done so before, so there is one.
                    None => Landed::Private { stays: true },
                }
            };
            let (landed, role) = self.0.flights.join(key).fly(lead).await;
            match &landed {
                // Another's deadline, or the door that was closed to it, is not this one's: those that waited fly once more, and
                // one of them leads. Each round takes the fetch of one caller, so that there are no more than callers.
                Landed::Failed { failure, .. } if failure.is_own() && role == Role::Follower => {}
                Landed::Entry { .. } | Landed::Private { .. } | Landed::Failed { .. } | Landed::NothingToConfirm => {
                    break (landed, role);
                }
            }
        };
        let collapsed = role == Role::Follower || overtaken;
        let tier = found.as_ref().map_or(Tier::Source, |(_, tier)| *tier);
        let forwarded = |status, stored| Way::Forward { why, status, stored, collapsed };
        match landed {
            Landed::Entry { entry, confirmed, stored } => {
                let (tier, outcome) = match (collapsed, confirmed) {
                    (true, _) => (Tier::Source, Outcome::Coalesced),
                    (false, true) => (tier, Outcome::Revalidated),
                    (false, false) => (Tier::Source, Outcome::Miss),
                };
                self.0.counters.count(tier, outcome);
                Ok(Answer::of(&entry, forwarded(confirmed.then_some(304), stored), None, now))
            }
            Landed::Private { .. } => {
                self.0.counters.count(Tier::Source, Outcome::Miss);
                match (private, fetch.take()) {
                    (Some(entry), _) => Ok(Answer::of(&entry, forwarded(None, false), None, now)),
                    // What another caller got is not for this one. All that waited go on at once.
                    (None, Some(fetch)) => self.alone(why, now, fetch(None).await),
                    (None, None) => Err(Unanswered::NothingToConfirm { status: CacheStatus::empty(forwarded(None, false)) }),
                }
            }
            Landed::Failed { failure, error, stored } => {
                let stale = found.as_ref().map(|(entry, _)| entry).filter(|entry| entry.content == Content::Document);
                match stale.filter(|stale| on_error(Some(&stale.freshness), directives, now, failure)) {
                    Some(stale) => {
                        self.0.counters.count(tier, Outcome::Stale);
                        Ok(Answer::of(stale, forwarded(None, false), Some(Detail::StaleIfError), now))
                    }
                    None => {
                        let outcome = if collapsed { Outcome::Coalesced } else { Outcome::Miss };
                        self.0.counters.count(Tier::Source, outcome);
                        Err(Unanswered::Failed { error, status: CacheStatus::empty(forwarded(None, stored)) })
                    }
                }
            }
            Landed::NothingToConfirm => {
                self.0.counters.count(Tier::Source, Outcome::Miss);
                Err(Unanswered::NothingToConfirm { status: CacheStatus::empty(forwarded(Some(304), false)) })
            }
        }
    }

    /// Stores what a fetch has brought, and says what it is worth to all and what to its leader alone.
    async fn settle(&self, key: Key, stale: Option<&Entry>, fetched: Fetched<E>) -> (Landed<E>, Option<Entry>) {
        let store = &self.0.store;
        let (entry, confirmed) = match fetched {
            Fetched::Document { body, freshness } => {
                (Entry { content: Content::Document, freshness: Arc::new(freshness), body }, false)
            }
            Fetched::Makeshift { body, at } => return (Landed::Private { stays: true }, Some(makeshift(body, at))),
            Fetched::NotModified(confirmed) => match stale.filter(|stale| stale.conditions().is_some()) {
                Some(stale) => {
                    let freshness = stale.freshness.renewed_by(&confirmed);
                    (Entry { freshness: Arc::new(freshness), ..stale.clone() }, true)
                }
                None => return (Landed::NothingToConfirm, None),
            },
            Fetched::Failed { failure, error, keep } => {
                let mut stored = false;
                if failure.is_kept() {
                    match keep.filter(|(_, freshness)| freshness.storable) {
                        Some((body, freshness)) => {
                            let entry = Entry { content: Content::Failure, freshness: Arc::new(freshness), body };
                            stored = store.put(key, &entry).await;
                        }
                        // What is stored is no longer so.
                        None => store.remove(key).await,
                    }
                }
                return (Landed::Failed { failure, error: Arc::new(error), stored }, None);
            }
        };
        if !entry.freshness.storable {
            store.remove(key).await;
            return (Landed::Private { stays: false }, Some(entry));
        }
        let stored = store.put(key, &entry).await;
        (Landed::Entry { entry, confirmed, stored }, None)
    }
}

impl<E> Clone for Cache<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> fmt::Debug for Cache<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("counts", &self.counts()).field("flights", &self.0.flights).finish()
    }
}

/// What one caller gets once.
fn makeshift(body: Bytes, at: UnixTime) -> Entry {
    Entry { content: Content::Document, freshness: Arc::new(Freshness::over(at)), body }
}

fn verdict(found: Option<&(Entry, Tier)>, directives: &Directives, now: UnixTime) -> Verdict {
    decide(found.map(|(entry, _)| &*entry.freshness), directives, now)
}

#[cfg(test)]
mod tests;

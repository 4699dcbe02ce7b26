//! How long a response may be used, from its headers: RFC 9111 and RFC 5861, as a shared cache.
//!
//! Shared, because one entry answers all callers: `private` is not stored, `s-maxage` counts, and a response to a
//! request with credentials is stored only where the source says so. Every header that a request may set is a part
//! of the [`Key`](super::Key), so two requests with one key send the same ones, and any `Vary` but `*` matches.
//!
//! One thing is read more kindly than it is written: `s-maxage` forbids to serve stale, yet sources send it along
//! with `stale-while-revalidate`; what is said in so many words wins, and only then.
//!
//! Pure: no clock, no IO. Whether an entry answers a request is decided in `verdict.rs`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::{CacheControl, seconds};
use super::time::UnixTime;

/// Until when a response may be used, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// When the request for it was sent.
    pub fetched_at: UnixTime,
    /// How old it was then, having lain in other caches.
    pub initial_age: Duration,
    /// It is fresh before this time.
    pub fresh_until: UnixTime,
    /// Before this time it may be served while it is asked for anew.
    pub stale_while_revalidate_until: UnixTime,
    /// Before this time it may stand in if its source fails.
    pub stale_if_error_until: UnixTime,
    /// A caller's wish for stale content does not count: the source has forbidden it.
    pub must_revalidate: bool,
    /// It may be stored at all.
    pub storable: bool,
    /// The source itself has said how long, nothing was guessed.
    pub explicit: bool,
    /// What the source can be asked with whether it has changed.
    pub validators: Validators,
}

/// What a conditional request is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// For `If-None-Match`, as it came.
    pub etag: Option<String>,
    /// For `If-Modified-Since`, as it came.
    pub last_modified: Option<String>,
}

/// What is known of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'r> {
    /// The status code.
    pub status: u16,
    /// Names in any case and values, in order.
    pub headers: &'r [(&'r str, &'r str)],
    /// The request carried `Authorization`, be it from a name in its URL.
    pub authorized: bool,
}

/// What is assumed where a source says nothing, and how far it is believed where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshnessPolicy {
    /// How long a page is fresh that says nothing at all.
    pub default_ttl: Duration,
    /// The most that is concluded from `Last-Modified`.
    pub heuristic_max: Duration,
    /// How long at most a failure is remembered.
    pub negative_ttl: Duration,
    /// The longest that a source is believed.
    pub max_ttl: Duration,
    /// How long a stale page is served while it is renewed, where its source does not say.
    pub stale_while_revalidate: Duration,
    /// How long a stale page stands in for a failing source, where it does not say.
    pub stale_if_error: Duration,
    /// The longest that a stale page is served for either reason.
    pub max_stale: Duration,
}

impl Default for FreshnessPolicy {
    fn default() -> Self {
        Self {
            // Enough for a crawl not to ask twice, short enough for news.
            default_ttl: Duration::from_secs(5 * 60),
            heuristic_max: DAY,
            negative_ttl: Duration::from_secs(60),
            max_ttl: 7 * DAY,
            // RFC 9111 wants a source's or a caller's leave for this.
            stale_while_revalidate: Duration::ZERO,
            // And none for this: a cache that is cut off may serve what it has.
            stale_if_error: Duration::from_secs(60 * 60),
            max_stale: DAY,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A page that has not changed for ten days is taken to stay for one more.
const HEURISTIC_DIVISOR: u32 = 10;

impl Freshness {
    /// Of what is not to be used again.
    pub(crate) fn over(now: UnixTime) -> Self {
        Self {
            fetched_at: now,
            initial_age: Duration::ZERO,
            fresh_until: now,
            stale_while_revalidate_until: now,
            stale_if_error_until: now,
            must_revalidate: true,
            storable: false,
            explicit: false,
            validators: Validators::default(),
        }
    }

    /// Of a response with content, or of the `304` that renews one.
    #[must_use]
    pub fn of(response: &ResponseHead<'_>, fetched_at: UnixTime, policy: &FreshnessPolicy) -> Self {
        let control = CacheControl::read(response.all("cache-control"));
        let date = response.first("date").and_then(UnixTime::from_http).unwrap_or(fetched_at);
        let said_age = response.first("age").and_then(|age| seconds(age.trim())).unwrap_or_default();
        let initial_age = said_age.max(fetched_at.since(date));

        let said = lifetime_said(response, &control, date);
        let guessed = || match response.first("last-modified").and_then(UnixTime::from_http) {
            Some(modified) => (date.since(modified) / HEURISTIC_DIVISOR).min(policy.heuristic_max),
            None => policy.default_ttl,
        };
        let lifetime = said.unwrap_or_else(guessed).min(policy.max_ttl);
        // What arrives stale has been fresh until some time before.
        let fresh_until = fetched_at - initial_age + lifetime;

        let forbidden = control.no_cache || control.must_revalidate || control.proxy_revalidate;
        let implied = control.shared_max_age.is_some();
        let window = |said: Option<Duration>, default: Duration| {
            let allowed = match (forbidden, said) {
                (true, _) => Duration::ZERO,
                (false, Some(said)) => said,
                (false, None) if implied => Duration::ZERO,
                (false, None) => default,
            };
            fresh_until + allowed.min(policy.max_stale)
        };
        Self {
            fetched_at,
            initial_age,
            fresh_until,
            stale_while_revalidate_until: window(control.stale_while_revalidate, policy.stale_while_revalidate),
            stale_if_error_until: window(control.stale_if_error, policy.stale_if_error),
            must_revalidate: forbidden || implied,
            storable: storable(response, &control),
            explicit: said.is_some(),
            validators: Validators {
                etag: response.first("etag").map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned),
                last_modified: response
                    .first("last-modified")
                    .filter(|date| UnixTime::from_http(date).is_some())
                    .map(str::to_owned),
            },
        }
    }

    /// Of a response that is a failure, or whose content cannot be used: kept for a short time, never served stale.
    #[must_use]
    pub fn of_failure(response: &ResponseHead<'_>, fetched_at: UnixTime, policy: &FreshnessPolicy) -> Self {
        let freshness = Self::of(response, fetched_at, policy);
        let shortest = fetched_at + policy.negative_ttl;
        let fresh_until = if freshness.explicit { freshness.fresh_until.min(shortest) } else { shortest };
        Self {
            fresh_until,
            stale_while_revalidate_until: fresh_until,
            stale_if_error_until: fresh_until,
            must_revalidate: true,
            // Asking whether a failure has changed saves nothing.
            validators: Validators::default(),
            ..freshness
        }
    }

    /// This one's content, confirmed by a `304`.
    #[must_use]
    pub fn renewed_by(&self, confirmed: &Self) -> Self {
        let validators = Validators {
            etag: confirmed.validators.etag.clone().or_else(|| self.validators.etag.clone()),
            last_modified: confirmed.validators.last_modified.clone().or_else(|| self.validators.last_modified.clone()),
        };
        if confirmed.explicit || confirmed.must_revalidate {
            return Self { validators, ..confirmed.clone() };
        }
        // It says nothing new, so what was said stands, counted from now.
        let lifetime = self.fresh_until.since(self.born());
        let fresh_until = confirmed.born() + lifetime;
        Self {
            fetched_at: confirmed.fetched_at,
            initial_age: confirmed.initial_age,
            fresh_until,
            stale_while_revalidate_until: fresh_until + self.stale_while_revalidate_until.since(self.fresh_until),
            stale_if_error_until: fresh_until + self.stale_if_error_until.since(self.fresh_until),
            must_revalidate: self.must_revalidate,
            storable: confirmed.storable,
            explicit: self.explicit,
            validators,
        }
    }

    /// When its source made it.
    #[must_use]
    pub fn born(&self) -> UnixTime {
        self.fetched_at - self.initial_age
    }

    /// Whether it is fresh by its source's word.
    #[must_use]
    pub fn is_fresh(&self, now: UnixTime) -> bool {
        now < self.fresh_until
    }
}

impl Validators {
    /// Whether there is nothing to ask with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

impl<'r> ResponseHead<'r> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'r str> + use<'r> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    fn first(&self, name: &'static str) -> Option<&'r str> {
        self.all(name).next()
    }
}

/// How long the source says that the response is fresh from `date` on.
fn lifetime_said(response: &ResponseHead<'_>, control: &CacheControl, date: UnixTime) -> Option<Duration> {
    if control.no_cache {
        return Some(Duration::ZERO);
    }
    // A date that cannot be read has been; of several the first to come counts.
    let expires = || response.all("expires").map(|expires| UnixTime::from_http(expires).unwrap_or_default().since(date)).min();
    control.shared_max_age.or(control.max_age).or_else(expires)
}

fn storable(response: &ResponseHead<'_>, control: &CacheControl) -> bool {
    // 304 is here for the entry that it renews. What a failure's status is worth, `Failure` says.
    let whole = matches!(response.status, 200 | 203 | 304 | 404 | 410);
    let shared = !response.authorized || control.public || control.must_revalidate || control.shared_max_age.is_some();
    let varies = response.all("vary").flat_map(|vary| vary.split(',')).any(|name| name.trim() == "*");
    whole && shared && !varies && !control.no_store && !control.private
}

#[cfg(test)]
mod tests;

//! What a caller wants of the cache, and what becomes of its request.
//!
//! ```text
//!                    nothing stored ──────────────────────────────────────▶ Miss
//!   born      fresh_until          …while_revalidate_until
//!    ├── Hit ─────┼── StaleWhileRevalidate ──┼── Revalidate ──▶
//!        max_age ◀┘└▶ max_stale     (neither is served to a caller that limits the age)
//! ```
//! Pure: no clock, no IO.

use std::time::Duration;

use super::failure::Failure;
use super::freshness::Freshness;
use super::time::UnixTime;

/// What a caller wants of the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Nothing older than this; zero asks the source in any case.
    pub max_age: Option<Duration>,
    /// Stale content is welcome that has been stale for less than this.
    pub max_stale: Option<Duration>,
    /// Neither what is stored, nor may this be.
    pub no_store: bool,
    /// Only what is stored; the source is not asked.
    pub only_if_cached: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// What is stored answers it.
    Hit,
    /// What is stored answers it, and is to be renewed meanwhile.
    StaleWhileRevalidate,
    /// The source must confirm or replace what is stored.
    Revalidate,
    /// Nothing that is stored is of use.
    Miss,
}

/// A clock that was set back by more than this is not trusted with what was stored before.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Decides about a request for what is `stored`.
#[must_use]
pub fn decide(stored: Option<&Freshness>, directives: &Directives, now: UnixTime) -> Verdict {
    let Some(stored) = stored.filter(|stored| stored.storable && !directives.no_store) else {
        return Verdict::Miss;
    };
    if now + CLOCK_SKEW < stored.fetched_at {
        return Verdict::Revalidate;
    }
    if now < usable_until(stored, directives) {
        return Verdict::Hit;
    }
    // Who limits the age has not asked for stale content.
    if directives.max_age.is_none() && now < stored.stale_while_revalidate_until {
        return Verdict::StaleWhileRevalidate;
    }
    Verdict::Revalidate
}

/// Whether what is `stored` may stand in for a source that failed.
#[must_use]
pub fn on_error(stored: Option<&Freshness>, directives: &Directives, now: UnixTime, failure: Failure) -> bool {
    let Some(stored) = stored.filter(|stored| stored.storable && !directives.no_store) else {
        return false;
    };
    if !failure.is_excused() || now + CLOCK_SKEW < stored.fetched_at {
        return false;
    }
    let until = match directives.max_age {
        // A limit of the caller's holds here, too.
        Some(_) => usable_until(stored, directives).min(stored.stale_if_error_until),
        None => stored.stale_if_error_until,
    };
    now < until
}

/// Until when this caller takes it without a question.
fn usable_until(stored: &Freshness, directives: &Directives) -> UnixTime {
    let fresh_until = match directives.max_age {
        Some(max_age) => stored.fresh_until.min(stored.born() + max_age),
        None => stored.fresh_until,
    };
    match directives.max_stale {
        Some(max_stale) if !stored.must_revalidate => fresh_until + max_stale,
        Some(_) | None => fresh_until,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::freshness::Validators;
    use super::*;

    const fn at(seconds: u64) -> UnixTime {
        UnixTime::from_millis(seconds * 1000)
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Born at 900, fetched at 1000, fresh until 1100, served stale until 1150, standing in until 1200.
    fn stored() -> Freshness {
        Freshness {
            fetched_at: at(1000),
            initial_age: secs(100),
            fresh_until: at(1100),
            stale_while_revalidate_until: at(1150),
            stale_if_error_until: at(1200),
            must_revalidate: false,
            storable: true,
            explicit: true,
            validators: Validators::default(),
        }
    }

    fn wants(max_age: Option<u64>, max_stale: Option<u64>) -> Directives {
        Directives { max_age: max_age.map(secs), max_stale: max_stale.map(secs), ..Directives::default() }
    }

    #[test]
    fn every_clause_of_the_verdict() {
        use Verdict::{Hit, Miss, Revalidate, StaleWhileRevalidate};
        let plain = wants(None, None);
        let table = [
            (at(1000), plain.clone(), Hit, "fresh"),
            (at(1099), plain.clone(), Hit, "still fresh"),
            (at(1100), plain.clone(), StaleWhileRevalidate, "not fresh any more"),
            (at(1149), plain.clone(), StaleWhileRevalidate, "in the window"),
            (at(1150), plain.clone(), Revalidate, "past the window"),
            (at(1050), wants(Some(151), None), Hit, "150 s old, 151 allowed"),
            (at(1050), wants(Some(150), None), Revalidate, "150 s old, less than 150 allowed"),
            (at(1000), wants(Some(0), None), Revalidate, "asked for anew"),
            (at(1120), wants(Some(9999), None), Revalidate, "a limit rules the window out"),
            (at(1120), wants(None, Some(21)), Hit, "stale for 20 s, less than 21 allowed"),
            (at(1120), wants(None, Some(20)), StaleWhileRevalidate, "stale for 20 s, less than 20 allowed"),
            (at(1160), wants(None, Some(60)), Revalidate, "stale for 60 s"),
            (at(1050), wants(Some(100), Some(51)), Hit, "50 s over its limit, 51 allowed"),
            (at(1050), wants(Some(100), Some(50)), Revalidate, "50 s over its limit, less than 50 allowed"),
            (at(940), plain.clone(), Hit, "a clock set back by a minute"),
            (at(939), plain.clone(), Revalidate, "a clock set back by more"),
            (at(1000), Directives { no_store: true, ..plain.clone() }, Miss, "nothing stored is wanted"),
            (at(1000), Directives { only_if_cached: true, ..plain }, Hit, "only what is stored"),
        ];
        for (now, directives, expected, why) in table {
            assert_eq!(decide(Some(&stored()), &directives, now), expected, "{why}");
            assert_eq!(decide(None, &directives, now), Miss, "nothing stored: {why}");
        }
        let strict = Freshness { must_revalidate: true, ..stored() };
        assert_eq!(decide(Some(&strict), &wants(None, Some(9999)), at(1120)), StaleWhileRevalidate);
        assert_eq!(decide(Some(&Freshness { storable: false, ..stored() }), &wants(None, None), at(1000)), Miss);
    }

    #[test]
    fn every_clause_of_standing_in() {
        let plain = wants(None, None);
        let table = [
            (at(1199), plain.clone(), Failure::Broken, true, "in the window"),
            (at(1200), plain.clone(), Failure::Broken, false, "past the window"),
            (at(1199), plain.clone(), Failure::Late, true, "no answer"),
            (at(1199), plain.clone(), Failure::Unreachable, true, "no way"),
            (at(1199), plain.clone(), Failure::Missing, false, "the source says that it is gone"),
            (at(1199), plain.clone(), Failure::Unusable, false, "the source has something else now"),
            (at(1199), plain.clone(), Failure::Refused, false, "the source does not want to"),
            (at(1199), plain.clone(), Failure::Ours, false, "this engine does not want to"),
            (at(1050), wants(Some(150), None), Failure::Broken, false, "too old for this caller"),
            (at(1050), wants(Some(151), None), Failure::Broken, true, "not too old for this caller"),
            (at(1110), wants(Some(9999), None), Failure::Broken, false, "staler than its limit"),
            (at(1110), wants(Some(9999), Some(11)), Failure::Broken, true, "as stale as it allows"),
            (at(939), plain.clone(), Failure::Broken, false, "a clock set back"),
            (at(1000), Directives { no_store: true, ..plain }, Failure::Broken, false, "nothing stored is wanted"),
        ];
        for (now, directives, failure, expected, why) in table {
            assert_eq!(on_error(Some(&stored()), &directives, now, failure), expected, "{why}");
            assert!(!on_error(None, &directives, now, failure), "nothing stored: {why}");
        }
    }

    prop_compose! {
        fn any_freshness()(
            fetched in 0_u64..5_000,
            age in 0_u64..2_000,
            lifetime in 0_u64..2_000,
            revalidate in 0_u64..500,
            error in 0_u64..500,
            must_revalidate: bool,
            storable: bool,
        ) -> Freshness {
            let fresh_until = at(fetched) - secs(age) + secs(lifetime);
            Freshness {
                fetched_at: at(fetched),
                initial_age: secs(age),
                fresh_until,
                stale_while_revalidate_until: fresh_until + secs(revalidate),
                stale_if_error_until: fresh_until + secs(error),
                must_revalidate,
                storable,
                explicit: true,
                validators: Validators::default(),
            }
        }
    }

    prop_compose! {
        fn any_directives()(
            max_age in proptest::option::of(0_u64..2_000),
            max_stale in proptest::option::of(0_u64..500),
            no_store: bool,
            only_if_cached: bool,
        ) -> Directives {
            Directives { no_store, only_if_cached, ..wants(max_age, max_stale) }
        }
    }

    proptest! {
        #[test]
        fn a_hit_is_fresh_unless_stale_is_welcome(stored in any_freshness(), wanted in any_directives(), now in 0_u64..8_000) {
            let now = at(now);
            if decide(Some(&stored), &wanted, now) == Verdict::Hit {
                prop_assert!(stored.storable && !wanted.no_store);
                let stale_for = now.since(stored.fresh_until);
                let allowed = if stored.must_revalidate { Duration::ZERO } else { wanted.max_stale.unwrap_or_default() };
                prop_assert!(now < stored.fresh_until || stale_for < allowed);
                if let Some(max_age) = wanted.max_age {
                    let age = now.since(stored.born());
                    prop_assert!(age < max_age + allowed || age.is_zero(), "{age:?} old, {max_age:?} + {allowed:?} wanted");
                }
            }
        }

        #[test]
        fn no_store_uses_nothing(stored in any_freshness(), wanted in any_directives(), now in 0_u64..8_000) {
            let wanted = Directives { no_store: true, ..wanted };
            prop_assert_eq!(decide(Some(&stored), &wanted, at(now)), Verdict::Miss);
            for failure in Failure::ALL {
                prop_assert!(!on_error(Some(&stored), &wanted, at(now), failure));
            }
        }

        #[test]
        fn stale_is_served_only_in_its_windows(stored in any_freshness(), wanted in any_directives(), now in 0_u64..8_000) {
            let now = at(now);
            if decide(Some(&stored), &wanted, now) == Verdict::StaleWhileRevalidate {
                prop_assert!(now >= stored.fresh_until && now < stored.stale_while_revalidate_until && wanted.max_age.is_none());
            }
            for failure in Failure::ALL {
                if on_error(Some(&stored), &wanted, now, failure) {
                    prop_assert!(now < stored.stale_if_error_until && failure.is_excused());
                }
            }
        }

        #[test]
        fn time_only_takes_away(stored in any_freshness(), wanted in any_directives(), now in 0_u64..8_000, later in 0_u64..8_000) {
            // From the fetch on, time only ever takes away.
            let now = at(now).max(stored.fetched_at);
            if decide(Some(&stored), &wanted, now) == Verdict::Revalidate {
                prop_assert_eq!(decide(Some(&stored), &wanted, now + secs(later)), Verdict::Revalidate);
            }
        }
    }
}

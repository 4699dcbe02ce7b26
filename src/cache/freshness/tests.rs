//! Every clause of freshness, by table, and what no header can break.

use proptest::prelude::*;

use super::*;

type Headers<'h> = &'h [(&'h str, &'h str)];

/// Sun, 06 Nov 1994 08:49:37 GMT
const FETCHED: UnixTime = UnixTime::from_millis(784_111_777_000);
const DATE: (&str, &str) = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");

fn policy() -> FreshnessPolicy {
    FreshnessPolicy {
        default_ttl: secs(30),
        heuristic_max: secs(5_000),
        negative_ttl: secs(20),
        max_ttl: secs(100_000),
        stale_while_revalidate: secs(3),
        stale_if_error: secs(4),
        max_stale: secs(500),
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn head<'r>(status: u16, headers: &'r [(&'r str, &'r str)]) -> ResponseHead<'r> {
    ResponseHead { status, headers, authorized: false }
}

fn of(headers: &[(&str, &str)]) -> Freshness {
    Freshness::of(&head(200, headers), FETCHED, &policy())
}

/// Lifetime from birth, and the two windows after it, in seconds.
fn spans(freshness: &Freshness) -> (u64, u64, u64) {
    let after = |until: UnixTime| until.since(freshness.fresh_until).as_secs();
    let lifetime = freshness.fresh_until.since(freshness.born()).as_secs();
    (lifetime, after(freshness.stale_while_revalidate_until), after(freshness.stale_if_error_until))
}

#[test]
fn lifetimes_are_taken_in_the_order_of_the_rfc() {
    let later = ("Expires", "Sun, 06 Nov 1994 08:50:37 GMT");
    let old = ("Last-Modified", "Sun, 06 Nov 1994 08:32:57 GMT");
    let ancient = ("Last-Modified", "Sun, 06 Nov 1904 08:32:57 GMT");
    let table: &[(Headers<'_>, u64, &str)] = &[
        (&[DATE, ("Cache-Control", "max-age=10, s-maxage=20"), later], 20, "s-maxage first"),
        (&[DATE, ("cache-control", "max-age=10"), later], 10, "then max-age"),
        (&[DATE, later, old], 60, "then Expires minus Date"),
        (&[later], 60, "Expires without Date counts from the fetch"),
        (&[DATE, later, ("Expires", "Sun, 06 Nov 1994 08:49:47 GMT")], 10, "the first of several Expires to come"),
        (&[DATE, ("Expires", "0"), old], 0, "a broken Expires has been"),
        (&[DATE, ("Expires", "Sun, 06 Nov 1994 08:49:36 GMT")], 0, "an Expires before its Date"),
        (&[DATE, old], 100, "a tenth of 1000 s since it was changed"),
        (&[DATE, ("Last-Modified", "Sun Nov  6 00:00:00 1960")], 30, "a date before 1970 is none"),
        (&[DATE, ancient], 30, "so is this"),
        (&[DATE, ("Last-Modified", "Mon, 06 Nov 1984 08:32:57 GMT")], 30, "and one on the wrong day of the week"),
        (&[DATE, ("Last-Modified", "Tue, 06 Nov 1984 08:32:57 GMT")], 5_000, "at most what the policy allows"),
        (&[DATE, ("Last-Modified", "Mon, 06 Nov 1995 08:32:57 GMT")], 0, "changed in the future"),
        (&[DATE], 30, "nothing said"),
        (&[], 30, "nothing at all"),
        (&[("Cache-Control", "public")], 30, "nothing said of time"),
        (&[("Pragma", "no-cache")], 30, "a request's header means nothing here"),
        (&[("Cache-Control", "max-age=99999999")], 100_000, "at most what the policy believes"),
        (&[("Cache-Control", "max-age=soon")], 0, "a broken max-age allows nothing"),
        (&[("Cache-Control", "max-age=60, no-cache")], 0, "no-cache before all"),
    ];
    for (headers, expected, why) in table {
        let freshness = of(headers);
        assert_eq!(spans(&freshness).0, *expected, "{why}");
        assert!(freshness.storable, "{why}");
    }
}

#[test]
fn age_is_what_is_said_or_what_the_date_tells_whichever_is_more() {
    let table: &[(Headers<'_>, u64)] = &[
        (&[], 0),
        (&[DATE], 0),
        (&[DATE, ("Age", "7")], 7),
        (&[("Date", "Sun, 06 Nov 1994 08:49:27 GMT"), ("Age", "7")], 10),
        (&[("Date", "Sun, 06 Nov 1994 08:49:27 GMT"), ("Age", "70")], 70),
        (&[("Date", "Sun, 06 Nov 1994 08:59:27 GMT")], 0),
        (&[("Date", "noon"), ("Age", "soon")], 0),
        (&[("Age", "-7")], 0),
    ];
    for (headers, expected) in table {
        assert_eq!(of(headers).initial_age, secs(*expected), "{headers:?}");
    }
    let freshness = of(&[DATE, ("Age", "7"), ("Cache-Control", "max-age=10")]);
    assert_eq!(freshness.fresh_until, FETCHED + secs(3));
    let late = of(&[DATE, ("Age", "70"), ("Cache-Control", "max-age=10, stale-while-revalidate=100")]);
    assert!(!late.is_fresh(FETCHED));
    assert_eq!(late.stale_while_revalidate_until, FETCHED + secs(40), "the window began before it came");
}

#[test]
fn windows_are_given_by_the_source_or_the_policy_and_taken_by_must_revalidate() {
    let table = [
        ("max-age=10", (10, 3, 4), false),
        ("max-age=10, stale-while-revalidate=50, stale-if-error=60", (10, 50, 60), false),
        ("max-age=10, stale-while-revalidate=0, stale-if-error=0", (10, 0, 0), false),
        ("max-age=10, stale-while-revalidate=9999, stale-if-error=9999", (10, 500, 500), false),
        ("max-age=10, stale-while-revalidate=x", (10, 0, 4), false),
        ("max-age=10, must-revalidate, stale-while-revalidate=50", (10, 0, 0), true),
        ("max-age=10, proxy-revalidate, stale-if-error=50", (10, 0, 0), true),
        ("no-cache, stale-while-revalidate=50, stale-if-error=60", (0, 0, 0), true),
        ("s-maxage=10", (10, 0, 0), true),
        ("s-maxage=10, stale-while-revalidate=50", (10, 50, 0), true),
    ];
    for (control, expected, must_revalidate) in table {
        let freshness = of(&[("Cache-Control", control)]);
        assert_eq!(spans(&freshness), expected, "{control}");
        assert_eq!(freshness.must_revalidate, must_revalidate, "{control}");
    }
}

#[test]
fn only_what_may_be_shared_is_stored() {
    let table: &[(u16, Headers<'_>, bool, bool)] = &[
        (200, &[], false, true),
        (203, &[], false, true),
        (404, &[], false, true),
        (410, &[], false, true),
        (206, &[("Cache-Control", "max-age=60")], false, false),
        (302, &[("Cache-Control", "max-age=60")], false, false),
        (403, &[("Cache-Control", "max-age=60")], false, false),
        (500, &[("Cache-Control", "max-age=60")], false, false),
        (503, &[], false, false),
        (200, &[("Cache-Control", "no-store")], false, false),
        (200, &[("Cache-Control", "max-age=60"), ("Cache-Control", "No-Store")], false, false),
        (200, &[("Cache-Control", "private, max-age=60")], false, false),
        (200, &[("Cache-Control", "no-cache")], false, true),
        (200, &[("Vary", "*")], false, false),
        (200, &[("Vary", "Accept"), ("Vary", "Cookie, *")], false, false),
        (200, &[("Vary", "Accept, Cookie")], false, true),
        (404, &[("Cache-Control", "no-store")], false, false),
        (200, &[("Cache-Control", "max-age=60")], true, false),
        (200, &[("Cache-Control", "public")], true, true),
        (200, &[("Cache-Control", "must-revalidate, max-age=60")], true, true),
        (200, &[("Cache-Control", "s-maxage=60")], true, true),
        (200, &[("Cache-Control", "public, private")], true, false),
    ];
    for &(status, headers, authorized, expected) in table {
        let response = ResponseHead { status, headers, authorized };
        assert_eq!(Freshness::of(&response, FETCHED, &policy()).storable, expected, "{status} {headers:?} {authorized}");
    }
}

#[test]
fn validators_are_kept_as_they_came() {
    let freshness = of(&[("ETag", " W/\"a\" "), ("Last-Modified", "Sun, 06 Nov 1994 08:32:57 GMT")]);
    assert_eq!(freshness.validators.etag.as_deref(), Some("W/\"a\""));
    assert_eq!(freshness.validators.last_modified.as_deref(), Some("Sun, 06 Nov 1994 08:32:57 GMT"));
    assert!(of(&[("ETag", ""), ("Last-Modified", "lately")]).validators.is_empty());
}

#[test]
fn a_failure_is_kept_for_a_short_time_and_never_served_stale() {
    let of = |status, headers: &[(&str, &str)]| Freshness::of_failure(&head(status, headers), FETCHED, &policy());
    let table: &[(Headers<'_>, u64)] = &[
        (&[], 20),
        (&[("Cache-Control", "max-age=5")], 5),
        (&[("Cache-Control", "max-age=5000")], 20),
        (&[("Cache-Control", "no-cache")], 0),
        (&[DATE, ("Last-Modified", "Tue, 06 Nov 1984 08:32:57 GMT"), ("ETag", "\"a\"")], 20),
        (&[("Cache-Control", "max-age=5, stale-if-error=60, stale-while-revalidate=60")], 5),
    ];
    for (headers, expected) in table {
        let freshness = of(404, headers);
        assert_eq!(spans(&freshness), (*expected, 0, 0), "{headers:?}");
        assert!(freshness.must_revalidate && freshness.storable && freshness.validators.is_empty(), "{headers:?}");
    }
    assert!(!of(404, &[("Cache-Control", "no-store")]).storable);
    assert!(!of(503, &[("Cache-Control", "max-age=60")]).storable);
}

#[test]
fn a_304_renews_what_it_speaks_of_and_leaves_the_rest() {
    let old =
        of(&[("ETag", "\"a\""), ("Age", "90"), ("Cache-Control", "max-age=60, stale-while-revalidate=7, stale-if-error=8")]);
    let later = FETCHED + secs(1_000);
    let confirm = |headers: &[(&str, &str)]| old.renewed_by(&Freshness::of(&head(304, headers), later, &policy()));

    let silent = confirm(&[]);
    assert_eq!(spans(&silent), (60, 7, 8), "what was said before stands");
    assert_eq!(silent.fresh_until, later + secs(60));
    assert_eq!(silent.validators.etag.as_deref(), Some("\"a\""));

    let aged = confirm(&[("Age", "20")]);
    assert_eq!(aged.fresh_until, later + secs(40));

    let spoken = confirm(&[("ETag", "\"b\""), ("Cache-Control", "max-age=5, must-revalidate")]);
    assert_eq!(spans(&spoken), (5, 0, 0));
    assert!(spoken.must_revalidate && spoken.storable);
    assert_eq!(spoken.validators.etag.as_deref(), Some("\"b\""));

    assert!(!confirm(&[("Cache-Control", "no-store")]).storable, "it may not be kept any longer");
}

proptest! {
    #[test]
    fn no_header_breaks_the_order_of_time(
        status in prop_oneof![Just(200_u16), Just(304), Just(404), 100_u16..600],
        headers in proptest::collection::vec((
            prop_oneof![Just("cache-control"), Just("expires"), Just("age"), Just("date"), Just("last-modified"), Just("vary")],
            prop_oneof![
                "[ -~]{0,40}",
                "(max-age|s-maxage|stale-if-error|stale-while-revalidate|no-cache|must-revalidate)=?[0-9]{0,25}",
                Just("Sun, 06 Nov 1994 08:50:37 GMT".to_owned()),
                Just("Fri, 31 Dec 9999 23:59:59 GMT".to_owned()),
            ],
        ), 0..6),
        authorized: bool,
    ) {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = ResponseHead { status, headers: &headers, authorized };
        let policy = policy();
        for freshness in [Freshness::of(&response, FETCHED, &policy), Freshness::of_failure(&response, FETCHED, &policy)] {
            prop_assert!(freshness.fresh_until <= FETCHED + policy.max_ttl);
            prop_assert!(freshness.stale_while_revalidate_until >= freshness.fresh_until);
            prop_assert!(freshness.stale_if_error_until >= freshness.fresh_until);
            prop_assert!(freshness.stale_while_revalidate_until <= freshness.fresh_until + policy.max_stale);
            prop_assert!(freshness.stale_if_error_until <= freshness.fresh_until + policy.max_stale);
        }
        let failure = Freshness::of_failure(&response, FETCHED, &policy);
        prop_assert!(failure.fresh_until <= FETCHED + policy.negative_ttl);
    }

    #[test]
    fn no_store_is_never_stored(before in "[a-z=0-9, -]{0,20}", status in 100_u16..600, authorized: bool) {
        let control = format!("{before},no-store");
        let headers = [("Cache-Control", control.as_str())];
        let response = ResponseHead { status, headers: &headers, authorized };
        prop_assert!(!Freshness::of(&response, FETCHED, &policy()).storable);
    }
}

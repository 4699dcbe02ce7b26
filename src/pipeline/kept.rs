//! What of a rendered page may be kept: a browser brings pages of errors, too, and they are no documents. Pure but for the time.

use crate::cache::{Freshness, FreshnessPolicy, ResponseHead, UnixTime};

/// How long a page may be used that a browser has asked for itself, from the headers that came with it, and whether it is a
/// makeshift: what is no answer to the question, such as a server's excuse, takes nobody's place. That something is gone is an
/// answer, which is not kept, but what was kept of it is not, either.
pub(super) fn of_rendered(
    headers: &[(String, String)],
    status: Option<u16>,
    policy: &FreshnessPolicy,
) -> (Option<Freshness>, bool) {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let head = ResponseHead { status: status.unwrap_or(0), headers: &headers, authorized: false };
    let mut freshness = Freshness::of(&head, UnixTime::now(), policy);
    let (found, gone) = (matches!(status, Some(200..=299)), matches!(status, Some(404 | 410)));
    freshness.storable &= found;
    (Some(freshness), !found && !gone)
}

/// Whether a page is a server's excuse.
pub(super) fn is_error(status: Option<u16>) -> bool {
    status.is_some_and(|status| status >= 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_found_is_kept_and_only_as_long_as_its_server_says() {
        let policy = FreshnessPolicy::default();
        let kept = |headers: &[(&str, &str)], status| {
            let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let (freshness, makeshift) = of_rendered(&headers, status, &policy);
            (freshness.is_some_and(|freshness| freshness.storable), makeshift)
        };
        for (status, expected) in [
            (Some(200), (true, false)),
            (Some(203), (true, false)),
            (Some(304), (false, true)),
            (Some(403), (false, true)),
            (Some(404), (false, false)),
            (Some(410), (false, false)),
            (Some(429), (false, true)),
            (Some(500), (false, true)),
            (Some(503), (false, true)),
            (None, (false, true)),
        ] {
            assert_eq!(kept(&[], status), expected, "{status:?}");
            assert_eq!(kept(&[("cache-control", "max-age=60")], status), expected, "{status:?}");
        }
        assert_eq!(kept(&[("cache-control", "no-store")], Some(200)), (false, false));
        let (freshness, _) = of_rendered(&[("cache-control".to_owned(), "max-age=7".to_owned())], Some(200), &policy);
        let freshness = freshness.expect("there is one");
        assert_eq!(freshness.fresh_until.since(freshness.fetched_at).as_secs(), 7);
    }

    #[test]
    fn an_error_is_one_by_its_status() {
        for (status, expected) in [(None, false), (Some(200), false), (Some(304), false), (Some(400), true), (Some(503), true)] {
            assert_eq!(is_error(status), expected, "{status:?}");
        }
    }
}

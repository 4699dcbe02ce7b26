//! Reads `Cache-Control` fields of responses.
//!
//! Sources send what they like here. What cannot be read allows nothing: a lifetime that is no number is zero, a
//! repeated one is the smallest, a directive with a list of fields counts for the whole response. Unknown
//! directives, and those that are about browsers only, are passed over.

use std::time::Duration;

/// What a response's `Cache-Control` fields say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheControl {
    pub(crate) no_store: bool,
    pub(crate) no_cache: bool,
    pub(crate) private: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) max_age: Option<Duration>,
    pub(crate) shared_max_age: Option<Duration>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
}

impl CacheControl {
    /// Reads all fields of a response, in order.
    pub(crate) fn read<'f>(fields: impl Iterator<Item = &'f str>) -> Self {
        let mut control = Self::default();
        for field in fields {
            for directive in directives(field) {
                control.take(directive);
            }
        }
        control
    }

    fn take(&mut self, directive: &str) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (directive, None),
        };
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "private" => self.private = true,
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "max-age" => least(&mut self.max_age, value),
            "s-maxage" => least(&mut self.shared_max_age, value),
            "stale-while-revalidate" => least(&mut self.stale_while_revalidate, value),
            "stale-if-error" => least(&mut self.stale_if_error, value),
            _ => {}
        }
    }
}

/// Seconds past this count as this, as RFC 9111 has it.
const MOST_SECONDS: u64 = 1 << 31;

/// Reads a number of seconds; `None` if it is none.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Digits only, so what does not fit is too large.
    Some(Duration::from_secs(text.parse().unwrap_or(MOST_SECONDS).min(MOST_SECONDS)))
}

fn least(known: &mut Option<Duration>, value: Option<&str>) {
    let value = value.map(|value| value.trim_matches('"')).and_then(seconds).unwrap_or_default();
    *known = Some(known.map_or(value, |known| known.min(value)));
}

/// Splits at commas that are in no quoted string.
fn directives(field: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    field
        .split(move |character| {
            if escaped {
                escaped = false;
                return false;
            }
            match character {
                '"' => quoted = !quoted,
                '\\' if quoted => escaped = true,
                ',' => return !quoted,
                _ => {}
            }
            false
        })
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> CacheControl {
        CacheControl::read(fields.iter().copied())
    }

    fn max_age(fields: &[&str]) -> Option<u64> {
        read(fields).max_age.map(|age| age.as_secs())
    }

    #[test]
    fn directives_are_read_in_any_case_and_from_all_fields() {
        let control =
            read(&["Public, MAX-AGE=60 ,, s-maxage=30", "stale-while-revalidate=5,stale-if-error=\"7\", immutable, x=y"]);
        let expected = CacheControl {
            public: true,
            max_age: Some(Duration::from_secs(60)),
            shared_max_age: Some(Duration::from_secs(30)),
            stale_while_revalidate: Some(Duration::from_secs(5)),
            stale_if_error: Some(Duration::from_secs(7)),
            ..CacheControl::default()
        };
        assert_eq!(control, expected);
        let control = read(&["no-store", "no-cache, private", "must-revalidate", "proxy-revalidate"]);
        assert!(control.no_store && control.no_cache && control.private && control.must_revalidate && control.proxy_revalidate);
    }

    #[test]
    fn a_comma_in_quotes_ends_nothing() {
        let control = read(&[r#"no-cache="set-cookie, max-age=9, \", no-store", max-age=3"#]);
        assert!(control.no_cache);
        assert!(!control.no_store);
        assert_eq!(control.max_age, Some(Duration::from_secs(3)));
        // A quote that never ends swallows what follows, and allows nothing by that.
        assert_eq!(max_age(&[r#"private="x, max-age=60"#]), None);
    }

    #[test]
    fn what_cannot_be_read_allows_nothing() {
        for field in ["max-age", "max-age=", "max-age=-1", "max-age=+5", "max-age=1.5", "max-age=soon", "max-age=60;public"] {
            assert_eq!(max_age(&[field]), Some(0), "{field}");
        }
        assert_eq!(max_age(&["max-age=60, max-age=5", "max-age=20"]), Some(5));
        assert_eq!(max_age(&["max-age=99999999999999999999999999"]), Some(MOST_SECONDS));
        assert_eq!(max_age(&["x-max-age=60"]), None);
    }
}

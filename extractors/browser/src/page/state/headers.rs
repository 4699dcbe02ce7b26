//! The headers of an answer, as far as they matter here: that it is not the page's but its proxy's, which says so in one of them
//! (RFC 9209), and how long it may be kept.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::tunnels::failure;

/// Those that say how long an answer may be kept, in order of their names.
const KEPT: [&str; 8] = ["age", "cache-control", "date", "etag", "expires", "last-modified", "pragma", "vary"];
/// Lines that are kept, and bytes of all of them.
const LINES: usize = 32;
const BYTES: usize = 8 << 10;

/// The headers of an answer, as far as they matter here.
#[derive(Debug, Default)]
pub(super) struct Headers {
    status: Option<String>,
    kept: Vec<(String, String)>,
}

impl Headers {
    /// What a browser would call the failure, had it not gone through the proxy.
    pub(super) fn failure(&self) -> Option<&'static str> {
        self.status.as_deref()?.strip_prefix("eventmesh; error=").map(failure)
    }

    /// What is said of how long it may be kept: names in lower case, in order, and one entry for each line. An answer that says
    /// more than is kept is not to be kept at all, since what is left out could forbid it.
    pub(super) fn kept(mut self) -> Vec<(String, String)> {
        let bytes: usize = self.kept.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.kept.len() > LINES || bytes > BYTES {
            return vec![("cache-control".to_owned(), "no-store".to_owned())];
        }
        self.kept.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.kept
    }

    fn add(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("proxy-status") {
            self.status = Some(value.to_owned());
        } else if let Some(name) = KEPT.iter().find(|kept| kept.eq_ignore_ascii_case(name)) {
            // Lines of one name come as one text; one more than is kept tells that there are too many.
            let room = (LINES + 1).saturating_sub(self.kept.len());
            self.kept.extend(value.lines().take(room).map(|line| ((*name).to_owned(), line.trim().to_owned())));
        }
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Headers::default();
                while let Some(name) = map.next_key::<String>()? {
                    // The others of them are not even read.
                    if name.eq_ignore_ascii_case("proxy-status") || KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(&name)) {
                        headers.add(&name, &map.next_value::<String>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(headers)
            }
        }

        deserializer.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Headers {
        serde_json::from_str(text).expect("it is JSON")
    }

    #[test]
    fn only_the_proxy_speaks_of_itself() {
        let of = |text: &str| of(text).failure();
        assert_eq!(of(r#"{"proxy-status": "eventmesh; error=dns_error", "x": "y"}"#), Some("net::ERR_NAME_NOT_RESOLVED"));
        assert_eq!(of(r#"{"Proxy-Status": "eventmesh; error=else"}"#), Some("net::ERR_INVALID_RESPONSE"));
        assert_eq!(of(r#"{"proxy-status": "eventmesh; error=proxy_internal_error"}"#), Some("net::ERR_INSUFFICIENT_RESOURCES"));
        assert_eq!(of(r#"{"proxy-status": "cdn; error=dns_error"}"#), None);
        assert_eq!(of("{}"), None);
    }

    #[test]
    fn what_says_how_long_is_kept_and_nothing_else() {
        let kept =
            of(r#"{"Vary": "accept", "CACHE-CONTROL": "max-age=1\n private ", "Set-Cookie": "secret", "age": "3"}"#).kept();
        let expected = [("age", "3"), ("cache-control", "max-age=1"), ("cache-control", "private"), ("vary", "accept")];
        assert_eq!(kept, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(serde_json::from_str::<Headers>("[]").is_err());
    }

    #[test]
    fn an_answer_that_says_too_much_is_not_kept() {
        let never = [("cache-control".to_owned(), "no-store".to_owned())];
        let many = serde_json::json!({"vary": vec!["x"; LINES + 1].join("\n")}).to_string();
        let long = serde_json::json!({"etag": "x".repeat(BYTES)}).to_string();
        for text in [many, long] {
            assert_eq!(of(&text).kept(), never);
        }
        let most = serde_json::json!({"vary": vec!["x"; LINES].join("\n")}).to_string();
        assert_eq!(of(&most).kept().len(), LINES);
    }
}

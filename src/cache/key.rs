//! What an entry is found by: where the document comes from, how it was asked for and who made it.
//!
//! The URL is brought into one form, but only as far as no server can tell the forms apart. Parameters keep their
//! order, and trackers' parameters stay: a server is free to answer `?utm_source=x` differently, even with a
//! redirect that only this one gets, and content under a wrong key is worse than content fetched twice.
//!
//! What a browser would send along, such as headers and cookies of the request, belongs into the options.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

/// The name of an entry, the same in every run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of what an engine of that version makes of `url` under `options`, which are serialised in a way that
    /// is the same for the same options.
    #[must_use]
    pub fn new(url: &Url, options: &[u8], version: &str) -> Self {
        let url = canonical(url);
        let mut hash = Sha256::new();
        // Lengths first, so that no part can pass for the end of another.
        for part in [url.as_str().as_bytes(), options, version.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    #[cfg(test)]
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads what a key displays as, and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != 64 || !lower {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// The URL without what is never sent. Parsing has done the rest: lower case, no default port, `/` for no path.
fn canonical(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(url: &str) -> Key {
        Key::new(&Url::parse(url).expect("a URL"), b"options", "1")
    }

    #[test]
    fn forms_that_no_server_can_tell_apart_share_a_key() {
        let same = [
            ("http://Example.COM", "http://example.com/"),
            ("HTTP://example.com:80/", "http://example.com/"),
            ("https://example.com:443/a", "https://example.com/a"),
            ("https://example.com/a#part", "https://example.com/a"),
            ("https://example.com/a?b=1#", "https://example.com/a?b=1"),
            ("https://example.com/x/../a", "https://example.com/a"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ];
        for (one, other) in same {
            assert_eq!(key(one), key(other), "{one} and {other}");
        }
    }

    #[test]
    fn forms_that_a_server_can_tell_apart_do_not() {
        let different = [
            ("https://example.com/?a=1&b=2", "https://example.com/?b=2&a=1"),
            ("https://example.com/?utm_source=x", "https://example.com/"),
            ("https://example.com/?", "https://example.com/"),
            ("https://example.com/a", "https://example.com/a/"),
            ("https://example.com/a", "https://example.com/A"),
            ("https://example.com/%61", "https://example.com/a"),
            ("http://example.com/", "https://example.com/"),
            ("http://example.com:443/", "http://example.com/"),
            ("https://one@example.com/", "https://two@example.com/"),
            ("https://example.com./", "https://example.com/"),
        ];
        for (one, other) in different {
            assert_ne!(key(one), key(other), "{one} and {other}");
        }
    }

    #[test]
    fn options_and_version_are_a_part_of_the_key() {
        let url = Url::parse("https://example.com/").expect("a URL");
        let keys = [Key::new(&url, b"", "1"), Key::new(&url, b"1", ""), Key::new(&url, b"", "2"), Key::new(&url, b"a", "1")];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
        // What is on disk is found again by this.
        assert_eq!(keys[0].to_string(), "4a4330384b19aa853a8d80fc54c37cb5ebd3ad44b7bbd5c5a47d18f607022564");
    }

    #[test]
    fn a_key_is_read_as_it_is_shown() {
        let shown = key("https://example.com/").to_string();
        assert_eq!(Key::parse(&shown), Some(key("https://example.com/")));
        for other in ["", "00", &shown[1..], &shown.to_uppercase(), &format!("{shown}0"), &shown.replace(&shown[..2], "+1")] {
            assert_eq!(Key::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn the_form_is_final(path in "[a-zA-Z0-9/._%?&=-]{0,30}", fragment in "[a-z]{0,5}") {
            let url = Url::parse(&format!("http://Example.com/{path}#{fragment}")).expect("a URL");
            let once = canonical(&url);
            let again = Url::parse(once.as_str()).expect("a URL");
            prop_assert_eq!(Key::new(&url, b"", ""), Key::new(&again, b"", ""));
        }
    }
}

//! Patterns of paths: `*` is anything up to the next slash, `**` is anything, and everything else is itself.
//!
//! A pattern is a small machine whose states are the bits of one number, so that matching takes a step per byte however
//! the pattern is made: whoever asks for a crawl cannot make it slow.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// Any bytes but slashes.
    Segment,
    /// Any bytes.
    Any,
}

/// Parts of a pattern, so that its states fit.
const LONGEST: usize = 127;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        for byte in text.bytes() {
            match (byte, parts.last_mut()) {
                // Two stars are one that goes further; more say nothing more.
                (b'*', Some(last @ (Part::Segment | Part::Any))) => *last = Part::Any,
                (b'*', _) => parts.push(Part::Segment),
                (byte, _) => parts.push(Part::Byte(byte)),
            }
        }
        match parts.len() {
            0 => Err("is empty".to_owned()),
            length if length > LONGEST => Err(format!("is longer than {LONGEST} characters")),
            _ => Ok(Self { parts }),
        }
    }

    /// Whether all of `text` is of this pattern.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut states = self.skipped(1);
        for byte in text.bytes() {
            let mut next = 0;
            for (at, part) in self.parts.iter().enumerate() {
                if states >> at & 1 == 0 {
                    continue;
                }
                match part {
                    Part::Byte(wanted) if *wanted == byte => next |= 2 << at,
                    Part::Segment if byte != b'/' => next |= 1 << at,
                    Part::Any => next |= 1 << at,
                    Part::Byte(_) | Part::Segment => {}
                }
            }
            states = self.skipped(next);
            if states == 0 {
                return false;
            }
        }
        states >> self.parts.len() & 1 == 1
    }

    /// The states, and those behind a star that stands for nothing. Two stars never stand together.
    fn skipped(&self, mut states: u128) -> u128 {
        for (at, part) in self.parts.iter().enumerate() {
            if !matches!(part, Part::Byte(_)) && states >> at & 1 == 1 {
                states |= 2 << at;
            }
        }
        states
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_slashes_and_double_stars_do_not() {
        let table = [
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/*", "/a", true),
            ("/*", "/", true),
            ("/*", "/a/b", false),
            ("/**", "/a/b", true),
            ("**", "", true),
            ("/docs/**", "/docs/", true),
            ("/docs/**", "/docs", false),
            ("**.html", "/a/b.html", true),
            ("**.html", "/a/b.htm", false),
            ("/*/x/*", "/a/x/b", true),
            ("/*/x/*", "/a/b/x/c", false),
            ("/**/x", "/a/b/x", true),
            ("**?page=*", "/list?page=3", true),
            ("/a***b", "/a/x/b", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(Pattern::parse(pattern).expect(pattern).matches(text), expected, "{pattern} {text}");
        }
        assert!(Pattern::parse("").is_err() && Pattern::parse(&"x".repeat(128)).is_err());
        let longest = "x".repeat(127);
        assert!(Pattern::parse(&longest).expect("it fits").matches(&longest));
    }

    #[test]
    fn many_stars_are_no_slower() {
        let pattern = Pattern::parse(&"**a".repeat(40)).expect("it fits");
        assert!(!pattern.matches(&"a".repeat(39).repeat(100).replace("aaa", "aab").replace('a', "b")));
        assert!(pattern.matches(&"ba".repeat(1_000)));
    }
}

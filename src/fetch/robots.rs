//! What a site allows its visitors that are programs: robots.txt, as RFC 9309 has it. Pure but for [`Known`].
//!
//! The group of our name counts, or else that of everybody; of its rules the longest that fits, and of two as long the one that
//! allows. `*` stands for anything, `$` at the end for the end. What is larger than 500 KiB is read up to there. Every rule is
//! tried in a time that grows with its length, whatever it looks like.
//!
//! It is written here, not taken from a crate: the one that is known for it brings an older copy of three others of this tree
//! and a parser generator, has stood still for years, and what is needed is this page.

mod known;

use std::time::Duration;

pub(crate) use known::{Known, Standing};

/// What is read of a file at most, as the RFC asks for.
pub(crate) const LONGEST: usize = 500 << 10;
/// Rules that are kept. Files of people have a few dozen, of shops a few hundred.
const RULES: usize = 5_000;
/// What is looked at of an address: rules are about its beginning.
const LOOKED_AT: usize = 4 << 10;

/// What a site allows one visitor.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    delay: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// In the one form of [`normal`], with `*` and a `$` at the end as they are meant.
    pattern: String,
    allow: bool,
}

/// A line that means something.
enum Line<'l> {
    Agent(&'l str),
    Rule { path: &'l str, allow: bool },
    Delay(&'l str),
}

impl Rules {
    /// What `text` allows whoever is called `product`, which is compared without regard to case.
    pub(crate) fn parse(text: &[u8], product: &str) -> Self {
        let text = String::from_utf8_lossy(&text[..text.len().min(LONGEST)]);
        let text = text.trim_start_matches('\u{feff}');
        let (mut ours, mut everybodys) = (None::<Self>, None::<Self>);
        // Who the group is for that is being read, and whether its names are over.
        let (mut for_us, mut for_all, mut named) = (false, false, false);
        for line in text.split(['\n', '\r']).filter_map(line) {
            match line {
                Line::Agent(agent) => {
                    if named {
                        (for_us, for_all, named) = (false, false, false);
                    }
                    for_us |= token(agent).eq_ignore_ascii_case(product);
                    for_all |= agent.trim_end().starts_with('*');
                    // A group without rules is one, too.
                    if for_us {
                        ours.get_or_insert_default();
                    }
                    if for_all {
                        everybodys.get_or_insert_default();
                    }
                }
                Line::Rule { path, allow } => {
                    named = true;
                    for group in [ours.as_mut().filter(|_| for_us), everybodys.as_mut().filter(|_| for_all)].into_iter().flatten()
                    {
                        group.add(path, allow);
                    }
                }
                Line::Delay(delay) => {
                    named = true;
                    let delay = delay.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    for group in [ours.as_mut().filter(|_| for_us), everybodys.as_mut().filter(|_| for_all)].into_iter().flatten()
                    {
                        group.delay = group.delay.max(delay);
                    }
                }
            }
        }
        ours.or(everybodys).unwrap_or_default()
    }

    /// Whether what is at `path`, with its query, may be asked for.
    pub(crate) fn allow(&self, path: &str) -> bool {
        let path = normal(path, true);
        let path = &path[..path.len().min(LOOKED_AT)];
        if path == "/robots.txt" {
            return true;
        }
        let fitting = self.rules.iter().filter(|rule| fits(&rule.pattern, path));
        fitting.max_by_key(|rule| (rule.pattern.len(), rule.allow)).is_none_or(|rule| rule.allow)
    }

    /// How long it wants between two requests.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// About how many bytes it takes to remember.
    fn weight(&self) -> usize {
        self.rules.iter().map(|rule| rule.pattern.len() + size_of::<Rule>()).sum::<usize>() + size_of::<Self>()
    }

    fn add(&mut self, path: &str, allow: bool) {
        // A rule about nothing forbids nothing.
        if !path.is_empty() && self.rules.len() < RULES {
            self.rules.push(Rule { pattern: normal(path, false), allow });
        }
    }
}

fn line(line: &str) -> Option<Line<'_>> {
    let line = line.split('#').next().unwrap_or_default();
    let (name, value) = line.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("user-agent") {
        Some(Line::Agent(value))
    } else if is("allow") || is("disallow") {
        Some(Line::Rule { path: value, allow: is("allow") })
    } else if is("crawl-delay") {
        Some(Line::Delay(value))
    } else {
        None
    }
}

/// The name that a visitor goes by: what it calls itself, without its version and what follows.
pub(crate) fn token(agent: &str) -> &str {
    let end = agent.bytes().position(|byte| !(byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_')));
    &agent[..end.unwrap_or(agent.len())]
}

/// One form for all ways of writing the same path: what need not be encoded is not, all else is, in capitals. In a path that is
/// asked for, `*` and `$` are what they are and no wildcards; a rule writes them encoded.
fn normal(path: &str, asked: bool) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut bytes = path.bytes().enumerate();
    let digit = |at: usize| path.as_bytes().get(at).and_then(|digit| char::from(*digit).to_digit(16));
    let encode = |normal: &mut String, byte: u8| {
        normal.push('%');
        for half in [byte >> 4, byte & 15] {
            normal.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
        }
    };
    while let Some((at, byte)) = bytes.next() {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.nth(1);
                let byte = u8::try_from(high * 16 + low).unwrap_or(b'%');
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    normal.push(char::from(byte));
                } else {
                    encode(&mut normal, byte);
                }
            }
            (b'*' | b'$', ..) if asked => encode(&mut normal, byte),
            (b'!'..=b'~', ..) => normal.push(char::from(byte)),
            _ => encode(&mut normal, byte),
        }
    }
    normal
}

/// Whether `pattern` fits the beginning of `path`, or all of it if it ends in `$`. What stands between two `*` is looked for
/// once, at its first place: a later one would help nobody.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, whole) = pattern.strip_suffix('$').map_or((pattern, false), |pattern| (pattern, true));
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return !whole || rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if whole && parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(text: &str, path: &str) -> bool {
        Rules::parse(text.as_bytes(), "eventmesh").allow(path)
    }

    #[test]
    fn paths_and_wildcards() {
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/fish", "/fish.html", true),
            ("/fish", "/Fish.asp", false),
            ("/fish", "/catfish", false),
            ("/fish*", "/fishheads/yummy.html", true),
            ("/fish/", "/fish", false),
            ("/*.php", "/folder/filename.php?parameters", true),
            ("/*.php", "/windows.PHP", false),
            ("/*.php$", "/filename.php", true),
            ("/*.php$", "/filename.php?parameters", false),
            ("/*.php$", "/a.php.php", true),
            ("/fish*.php", "/fishheads/catfish.php?parameters", true),
            ("/fish*.php", "/Fish.PHP", false),
            ("/$", "/", true),
            ("/$", "/a", false),
            ("/a*$", "/abc", true),
            ("*", "/anything", true),
            ("*a", "/xa", true),
            ("/a*b*c", "/a1b2c3", true),
            ("/a*b*c", "/a1c2b3", false),
            ("/a**b", "/ab", true),
            ("/a$b", "/a$b", false),
            ("/a%24b", "/a$b", true),
            ("/a%2Ab", "/a*b", true),
            ("/a%2ab", "/axb", false),
            ("/foo/bar/ツ", "/foo/bar/%E3%83%84", true),
            ("/foo/bar/%e3%83%84", "/foo/bar/%E3%83%84", true),
            ("/foo/bar/%62%61%7A", "/foo/bar/baz", true),
            ("/a%2Fb", "/a/b", false),
            ("/a%", "/a%25", true),
            ("/?q=", "/?q=1", true),
        ] {
            assert_eq!(fits(&normal(pattern, false), &normal(path, true)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn the_longest_rule_counts_and_of_two_the_one_that_allows() {
        let text = "User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c\nAllow: /same\nDisallow: /same\n";
        for (path, expected) in
            [("/", true), ("/a", false), ("/a/x", false), ("/a/b", true), ("/a/b/c/d", false), ("/same", true)]
        {
            assert_eq!(allows(text, path), expected, "{path}");
        }
        assert!(allows("User-agent: *\nDisallow: /\n", "/robots.txt"), "it itself may always be read");
    }

    #[test]
    fn our_own_group_counts_and_else_that_of_everybody() {
        for (text, expected) in [
            ("", true),
            ("<html>no such thing</html>", true),
            ("Disallow: /", true),
            ("User-agent: *\nDisallow: /", false),
            ("User-agent: other\nDisallow: /", true),
            ("User-agent: EventMesh\nDisallow: /", false),
            ("User-agent: eventmesh/2.0 (x)\nDisallow: /", false),
            ("User-agent: eventmeshbot\nDisallow: /", true),
            ("User-agent: *\nDisallow: /\nUser-agent: eventmesh\nDisallow:", true),
            ("User-agent: eventmesh\nUser-agent: *\nDisallow: /", false),
            ("User-agent: *\nDisallow: /\n\nUser-agent: eventmesh\nAllow: /x", true),
            // Two groups of one name are one.
            ("User-agent: eventmesh\nAllow: /x\nUser-agent: other\nAllow: /\nUser-agent: eventmesh\nDisallow: /", false),
            ("User-agent: eventmesh\nSitemap: /x\nUser-agent: other\nDisallow: /", false),
            ("\u{feff}user-agent:*\r\ndisallow:/ # all of it\r\n", false),
            ("User-agent: *\rDisallow: /", false),
            ("User-agent : *\n Disallow : / \n", false),
        ] {
            assert_eq!(allows(text, "/p"), expected, "{text:?}");
        }
    }

    #[test]
    fn a_delay_of_its_own() {
        for (text, expected) in [
            ("User-agent: *\nCrawl-delay: 2.5\n", Some(2_500)),
            ("User-agent: *\nCrawl-delay: 1\nCrawl-delay: 3\n", Some(3_000)),
            ("User-agent: other\nCrawl-delay: 2\n", None),
            ("User-agent: *\nCrawl-delay: 2\nUser-agent: eventmesh\nDisallow: /x\n", None),
            ("User-agent: *\nCrawl-delay: -1\n", None),
            ("User-agent: *\nCrawl-delay: NaN\n", None),
            ("User-agent: *\nCrawl-delay: soon\n", None),
        ] {
            assert_eq!(Rules::parse(text.as_bytes(), "eventmesh").delay(), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_limits() {
        let mut text = "User-agent: *\nDisallow: /first\n".to_owned();
        text.push_str(&"# nothing\n".repeat(LONGEST / 10 + 1));
        text.push_str("Disallow: /last\n");
        assert!(!allows(&text, "/first") && allows(&text, "/last"));
        let many = format!("User-agent: *\n{}Disallow: /last\n", "Disallow: /x\n".repeat(RULES));
        assert!(allows(&many, "/last"));
        assert_eq!(Rules::parse(many.as_bytes(), "eventmesh").rules.len(), RULES);
        // No byte of it is left out by chance: a cut in the middle of a letter is one.
        let cut = format!("User-agent: *\nDisallow: /{}", "é".repeat(LONGEST));
        assert!(allows(&cut, "/other"));
    }

    #[test]
    fn rules_that_are_made_to_take_long_do_not() {
        let pattern = format!("/{}b", "a*".repeat(10_000));
        let text = format!("User-agent: *\n{}", format!("Disallow: {pattern}\n").repeat(20));
        assert!(allows(&text, &format!("/{}", "a".repeat(100_000))));
    }

    #[test]
    fn names() {
        for (agent, expected) in [("eventmesh/0.1.0", "eventmesh"), ("Some-Bot_x (+http://x)", "Some-Bot_x"), ("", ""), ("*", "")]
        {
            assert_eq!(token(agent), expected);
        }
    }
}

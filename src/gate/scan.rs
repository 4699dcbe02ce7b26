//! A page as it was sent, piece by piece: tags, text, and what stands between the tags of scripts and the like.
//!
//! One pass without going back: each byte is looked at a small number of times, however the page is made. It knows of HTML what
//! counting needs and builds no tree; what it cannot make sense of it takes as browsers mostly do.

use memchr::{memchr, memchr3, memmem};

/// A piece of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'p> {
    /// Text between tags.
    Text(&'p [u8]),
    /// A start tag.
    Open(Tag<'p>),
    /// An end tag, by its name.
    Close(&'p [u8]),
    /// An element whose inside is not the page's text, whole.
    Raw(Tag<'p>, &'p [u8]),
}

/// A start tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'p> {
    /// As written.
    pub(super) name: &'p [u8],
    inside: &'p [u8],
}

/// Elements whose inside a reader does not see as text.
const RAW: &[&[u8]] = &[b"script", b"style", b"noscript", b"template", b"title", b"textarea", b"svg", b"iframe", b"math"];

/// Bytes of the shortest of their names.
const SHORTEST_RAW: usize = 3;

/// Bytes of one tag in which attributes are looked for; pictures that are written into them come after those that matter.
const TAG: usize = 2048;

impl<'p> Tag<'p> {
    /// Its attributes: names as written, values without quotes.
    pub(super) fn attributes(&self) -> Attributes<'p> {
        Attributes { rest: &self.inside[..self.inside.len().min(TAG)] }
    }

    /// The value of an attribute, empty if it has none.
    pub(super) fn get(&self, name: &str) -> Option<&'p [u8]> {
        self.attributes().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Whether that is its name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The attributes of a tag.
#[derive(Clone, Debug)]
pub(super) struct Attributes<'p> {
    rest: &'p [u8],
}

impl<'p> Iterator for Attributes<'p> {
    type Item = (&'p [u8], &'p [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.rest.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b'/')?;
        let rest = &self.rest[start..];
        // A sign of equality at the beginning belongs to the name.
        let named = 1 + rest[1..]
            .iter()
            .position(|byte| matches!(byte, b'=' | b'/') || byte.is_ascii_whitespace())
            .unwrap_or(rest.len() - 1);
        let (name, rest) = rest.split_at(named);
        let after = rest.trim_ascii_start();
        let Some(value) = after.strip_prefix(b"=").map(<[u8]>::trim_ascii_start) else {
            self.rest = rest;
            return Some((name, b""));
        };
        let (value, rest) = match value.first() {
            Some(quote @ (b'"' | b'\'')) => {
                let inside = &value[1..];
                match memchr(*quote, inside) {
                    Some(end) => (&inside[..end], &inside[end + 1..]),
                    None => (inside, &[][..]),
                }
            }
            Some(_) | None => value.split_at(value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len())),
        };
        self.rest = rest;
        Some((name, value))
    }
}

/// The pieces of a page.
#[derive(Debug)]
pub(super) struct Pieces<'p> {
    rest: &'p [u8],
}

impl<'p> Pieces<'p> {
    pub(super) fn of(page: &'p [u8]) -> Self {
        Self { rest: page }
    }

    /// Whether the next piece is the end of an element of that name.
    pub(super) fn closes(&self, name: &[u8]) -> bool {
        match self.rest {
            [b'<', b'/', inside @ ..] => {
                let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>');
                inside.get(..name.len()).is_some_and(|known| known.eq_ignore_ascii_case(name))
                    && inside.get(name.len()).is_none_or(is_end)
            }
            // A comment may stand before it.
            [b'<', b'!' | b'?', ..] => {
                matches!(Self::of(self.rest).next(), Some(Piece::Close(found)) if found.eq_ignore_ascii_case(name))
            }
            _ => false,
        }
    }

    /// Takes the first `count` bytes.
    fn take(&mut self, count: usize) -> &'p [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}

impl<'p> Iterator for Pieces<'p> {
    type Item = Piece<'p>;

    fn next(&mut self) -> Option<Piece<'p>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            match find(b'<', self.rest) {
                None => return Some(Piece::Text(self.take(self.rest.len()))),
                Some(0) => {}
                Some(text) => return Some(Piece::Text(self.take(text))),
            }
            match self.rest.get(1) {
                Some(b'!') if self.rest.starts_with(b"<!--") => {
                    let end = memmem::find(&self.rest[4..], b"-->").map_or(self.rest.len(), |end| end + 7);
                    self.take(end);
                }
                Some(b'!' | b'?') => {
                    let end = memchr(b'>', self.rest).map_or(self.rest.len(), |end| end + 1);
                    self.take(end);
                }
                Some(b'/') => {
                    let end = find(b'>', self.rest).map_or(self.rest.len(), |end| end + 1);
                    return Some(Piece::Close(name_of(&self.take(end)[2..])));
                }
                Some(letter) if letter.is_ascii_alphabetic() => {
                    let end = end_of_tag(self.rest);
                    let whole = self.take(end);
                    let whole = whole.strip_suffix(b">").unwrap_or(whole);
                    let name = name_of(&whole[1..]);
                    let tag = Tag { name, inside: &whole[1 + name.len()..] };
                    let raw = name.len() >= SHORTEST_RAW && RAW.iter().any(|raw| name.eq_ignore_ascii_case(raw));
                    if !raw || whole.ends_with(b"/") && tag.is("svg") {
                        return Some(Piece::Open(tag));
                    }
                    let body = end_of_raw(self.rest, name);
                    let body = self.take(body);
                    // The end tag comes as one that closes nothing.
                    return Some(Piece::Raw(tag, body));
                }
                // A sign that means less.
                Some(_) | None => return Some(Piece::Text(self.take(1))),
            }
        }
    }
}

/// Bytes that are looked at one by one before a search is set up, which costs more than they do: most tags are short.
const NEAR: usize = 8;

fn find(sign: u8, bytes: &[u8]) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(NEAR));
    let near = near.iter().position(|byte| *byte == sign);
    near.or_else(|| memchr(sign, far).map(|place| NEAR + place))
}

/// The next sign that ends a tag, or may.
fn end_or_quote(bytes: &[u8]) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(NEAR));
    let near = near.iter().position(|byte| matches!(byte, b'>' | b'"' | b'\''));
    near.or_else(|| memchr3(b'>', b'"', b'\'', far).map(|place| NEAR + place))
}

fn name_of(inside: &[u8]) -> &[u8] {
    let end = inside.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>')).unwrap_or(inside.len());
    &inside[..end]
}

/// Where a tag is over: at the first `>` that stands in no quoted value.
fn end_of_tag(page: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = end_or_quote(&page[at..]) {
        let place = at + found;
        let sign = page[place];
        at = place + 1;
        if sign == b'>' {
            return at;
        }
        // A quote quotes after an equals sign only; elsewhere it is a slip of the pen.
        if page[..place].trim_ascii_end().last() == Some(&b'=') {
            match memchr(sign, &page[at..]) {
                Some(end) => at += end + 1,
                None => return page.len(),
            }
        }
    }
    page.len()
}

/// Where the inside of an element of that name is over.
fn end_of_raw(page: &[u8], name: &[u8]) -> usize {
    memmem::find_iter(page, b"</")
        .find(|place| page[place + 2..].get(..name.len()).is_some_and(|known| known.eq_ignore_ascii_case(name)))
        .unwrap_or(page.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(page: &str) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let piece = |piece| match piece {
            Piece::Text(inside) => format!("text {}", text(inside)),
            Piece::Open(tag) => format!("open {}", text(tag.name)),
            Piece::Close(name) => format!("close {}", text(name)),
            Piece::Raw(tag, body) => format!("raw {} {}", text(tag.name), text(body)),
        };
        Pieces::of(page.as_bytes()).map(piece).collect()
    }

    #[test]
    fn pages_come_in_pieces() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a", &["text a"]),
            ("<p>a</p>", &["open p", "text a", "close p"]),
            ("<!doctype html><!-- <p> --><b>", &["open b"]),
            ("<script>if (a</b/.test(x)) y</script>z", &["raw script if (a</b/.test(x)) y", "close script", "text z"]),
            ("<SCRIPT>x</Script >", &["raw SCRIPT x", "close Script"]),
            ("<a title='>' b=\">\">x", &["open a", "text x"]),
            ("<a it's>x", &["open a", "text x"]),
            ("1 < 2", &["text 1 ", "text <", "text  2"]),
            ("<svg/><p>", &["open svg", "open p"]),
            ("<script>never closed <p>", &["raw script never closed <p>"]),
            ("<p", &["open p"]),
            ("<!-- never closed", &[]),
        ];
        for (page, expected) in table {
            assert_eq!(shown(page), *expected, "{page}");
        }
    }

    #[test]
    fn attributes_are_found_however_they_are_written() {
        let page = b"<div ID=root class='a b' data-x = \"1>2\" hidden/>";
        let Some(Piece::Open(tag)) = Pieces::of(page).next() else { panic!("a tag") };
        let expected: [(&str, Option<&[u8]>); 5] =
            [("id", Some(b"root")), ("class", Some(b"a b")), ("data-x", Some(b"1>2")), ("hidden", Some(b"")), ("src", None)];
        for (name, value) in expected {
            assert_eq!(tag.get(name), value, "{name}");
        }
    }

    #[test]
    fn nothing_is_looked_at_over_and_over() {
        // Each would take hours if it were.
        for part in ["<", "<p ", "<p a=\"", "</", "<!--", "<svg>", "<script>", "<div x='", "<!", "'<a "] {
            let page = part.repeat(4 << 20 >> 3);
            assert!(Pieces::of(page.as_bytes()).count() > 0 || part == "<!--" || part == "<!", "{part}");
        }
    }
}

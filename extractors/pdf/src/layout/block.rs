//! What a page consists of once it has been read: paragraphs and tables, in reading order.

use super::list::Marker;
use super::word::{Word, reading_order};
use crate::geometry::Rect;
use crate::raw::Role;

/// One part of a page.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    Paragraph(Paragraph),
    Table(Table),
}

/// Lines that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Paragraph {
    pub(crate) lines: Vec<Line>,
    pub(crate) rect: Rect,
    /// The sign of the list item that it is.
    pub(crate) marker: Option<Marker>,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) rect: Rect,
    pub(crate) baseline: f32,
    pub(crate) size: f32,
    pub(crate) bold: bool,
    pub(crate) monospaced: bool,
    pub(crate) role: Option<Role>,
    pub(crate) words: usize,
    /// Which bytes of the text lead elsewhere: from, to, number of the anchor.
    pub(crate) links: Vec<(usize, usize, u16)>,
}

/// Cells in rows. All rows are equally long.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) rect: Rect,
}

/// The text of words that stand on one line from left to right, and which bytes of it lead elsewhere.
pub(crate) fn line_text(words: &mut [Word]) -> (String, Vec<(usize, usize, u16)>) {
    reading_order(words);
    let mut text = String::with_capacity(words.iter().map(|word| word.text.len() + 1).sum());
    let mut links: Vec<(usize, usize, u16)> = Vec::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        let from = text.len();
        text.push_str(&word.text);
        if let Some(link) = word.link {
            match links.last_mut() {
                Some((_, to, last)) if *last == link && *to + 1 == from => *to = text.len(),
                _ => links.push((from, text.len(), link)),
            }
        }
    }
    (text, links)
}

/// The text of all words of a cell, whose lines are found first.
pub(crate) fn cell_text(words: &[Word]) -> String {
    let mut words = words.to_vec();
    words.sort_by(|a, b| b.rect.bottom.total_cmp(&a.rect.bottom));
    let mut text = String::new();
    let mut from = 0;
    while from < words.len() {
        let mut to = from + 1;
        let reach = 0.5 * words[from].size;
        while to < words.len() && words[from].rect.bottom - words[to].rect.bottom <= reach {
            to += 1;
        }
        let line = &mut words[from..to];
        line.sort_by(|a, b| a.rect.left.total_cmp(&b.rect.left));
        append(&mut text, &line_text(line).0);
        from = to;
    }
    without_soft_hyphens(&text).into_owned()
}

impl Paragraph {
    /// Its lines as one, and which bytes of that lead elsewhere.
    pub(crate) fn text(&self) -> (String, Vec<(usize, usize, u16)>) {
        let mut text = String::new();
        let mut links: Vec<(usize, usize, u16)> = Vec::new();
        for line in &self.lines {
            append(&mut text, &line.text);
            let begin = text.len() - line.text.len();
            // A hyphen that went may have been the end of a link.
            for (from, to, _) in &mut links {
                (*from, *to) = ((*from).min(begin), (*to).min(begin));
            }
            for (from, to, link) in &line.links {
                match links.last_mut() {
                    // A link over two lines is one, whatever stands between them.
                    Some((_, end, last)) if *last == *link && *from == 0 && *end + 2 >= begin => *end = begin + to,
                    _ => links.push((begin + from, begin + to, *link)),
                }
            }
        }
        (text, links)
    }
}

/// Hyphens that are there only if a line ends: gone within the text, and a hyphen at its end.
pub(crate) fn without_soft_hyphens(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('\u{ad}') {
        return text.into();
    }
    let kept: String = text.chars().filter(|character| *character != '\u{ad}').collect();
    if text.ends_with('\u{ad}') { format!("{kept}-").into() } else { kept.into() }
}

/// Goes on with `text` on a new line, or page: a hyphen at the end of a line is none, unless what follows says that it is.
pub fn append(text: &mut String, line: &str) {
    if text.is_empty() {
        text.push_str(line);
        return;
    }
    let soft = text.ends_with('\u{ad}');
    let hyphen = text.ends_with(['-', '\u{2010}']);
    if soft || hyphen {
        let before = text[..text.len() - text.chars().next_back().map_or(0, char::len_utf8)].chars().next_back();
        let joins = before.is_some_and(char::is_alphabetic) && line.starts_with(char::is_lowercase);
        // No word goes on with a capital: such a hyphen stands between two, however it is marked.
        let between = soft && before.is_some_and(char::is_lowercase) && line.starts_with(char::is_uppercase);
        if soft || joins {
            text.pop();
            text.push_str(if between { "-" } else { "" });
            text.push_str(line);
            return;
        }
        if before.is_some_and(char::is_alphanumeric) {
            text.push_str(line);
            return;
        }
    }
    // Scripts that do not divide words do not divide lines either.
    let wide = |character: Option<char>| {
        character.is_some_and(|character| {
            ('\u{2e80}'..='\u{9fff}').contains(&character)
                || ('\u{f900}'..='\u{faff}').contains(&character)
                || ('\u{ff00}'..='\u{ffef}').contains(&character)
        })
    };
    if !(wide(text.chars().next_back()) && wide(line.chars().next())) {
        text.push(' ');
    }
    text.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_at_the_ends_of_lines() {
        let cases = [
            ("exam-", "ple", "example"),
            ("exam\u{ad}", "ple", "example"),
            ("Anglo-", "Saxon", "Anglo-Saxon"),
            ("Non\u{ad}", "Negligent", "Non-Negligent"),
            ("INTER\u{ad}", "NATIONAL", "INTERNATIONAL"),
            ("1990-", "1995", "1990-1995"),
            ("see -", "there", "see - there"),
            ("漢字", "漢字", "漢字漢字"),
            ("", "one", "one"),
            ("one", "two", "one two"),
        ];
        for (before, after, joined) in cases {
            let mut text = before.to_owned();
            append(&mut text, after);
            assert_eq!(text, joined);
        }
    }

    #[test]
    fn a_cell_that_ends_within_a_word_ends_with_a_hyphen_that_is_seen() {
        let word = |text: &str, bottom: f32| Word {
            text: text.to_owned(),
            rect: Rect { left: 0.0, bottom, right: 30.0, top: bottom + 10.0 },
            size: 10.0,
            bold: false,
            monospaced: false,
            direction: super::super::word::Direction::LeftToRight,
            role: None,
            link: None,
        };
        assert_eq!(cell_text(&[word("Non\u{ad}", 20.0)]), "Non-");
        assert_eq!(cell_text(&[word("Non\u{ad}", 20.0), word("Negligent", 8.0)]), "Non-Negligent");
        assert_eq!(cell_text(&[word("manslaugh\u{ad}", 20.0), word("ter", 8.0)]), "manslaughter");
    }

    /// Links stay within their letters, whatever happens to the hyphens between them.
    #[test]
    fn links_over_hyphens() {
        let line = |text: &str, links: &[(usize, usize, u16)]| Line {
            text: text.to_owned(),
            rect: Rect::default(),
            baseline: 0.0,
            size: 10.0,
            bold: false,
            monospaced: false,
            role: None,
            words: 1,
            links: links.to_vec(),
        };
        let cases = [("Ge\u{ad}", "fährdung"), ("со\u{2010}", "юз"), ("漢\u{ad}", "字")];
        for (first, second) in cases {
            for links in [vec![], vec![(0, second.len(), 1)], vec![(0, second.len(), 0)]] {
                let lines = vec![line(first, &[(0, first.len(), 0)]), line(second, &links)];
                let paragraph = Paragraph { lines, rect: Rect::default(), marker: None };
                let (text, links) = paragraph.text();
                for (from, to, _) in links {
                    assert!(text.get(from..to).is_some_and(|part| !part.is_empty()), "{text} {from} {to}");
                }
            }
        }
    }
}

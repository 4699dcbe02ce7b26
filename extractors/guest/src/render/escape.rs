//! Text that must not be read as markup.

/// An address as a Markdown link's target: in one line, and without what would end it.
#[must_use]
pub fn target(href: &str) -> String {
    let mut target = String::with_capacity(href.len());
    for character in href.chars() {
        match character {
            '\t' | '\r' | '\n' => {}
            ' ' | '(' | ')' | '<' | '>' => {
                let encoded = match character {
                    ' ' => "%20",
                    '(' => "%28",
                    ')' => "%29",
                    '<' => "%3C",
                    _ => "%3E",
                };
                target.push_str(encoded);
            }
            _ if character.is_control() => {}
            _ => target.push(character),
        }
    }
    target
}

/// Appends `text` to `out` and escapes what would be read as Markdown, and no more: it is read by people and models, too.
pub fn escape(text: &str, at_line_start: bool, out: &mut String) {
    let mut rest = text;
    if at_line_start {
        // A line of these alone is a rule, or makes a heading of the line before.
        let ruler = |mark: char| text.contains(mark) && text.chars().all(|character| character == mark || character == ' ');
        if ['-', '=', '*', '_'].into_iter().any(ruler) {
            out.push('\\');
            out.push_str(text);
            return;
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = text.split_at(digits);
        let item = after.starts_with(['.', ')']) && (after.len() == 1 || after[1..].starts_with(' '));
        if (1..10).contains(&digits) && item {
            out.push_str(number);
            out.push('\\');
            out.push_str(&after[..1]);
            rest = &after[1..];
        }
    }
    let mut start = at_line_start && rest.len() == text.len();
    // Most text has nothing in it that could be markup, but at its beginning.
    let mark = |byte: u8| matches!(byte, b'\\' | b'`' | b'[' | b']' | b'*' | b'_' | b'<' | b'~' | b'&');
    let begins = start && rest.starts_with(['#', '>', '+', '-']);
    if !begins && !rest.bytes().any(mark) {
        out.push_str(rest);
        return;
    }
    let mut previous = ' ';
    for (at, character) in rest.char_indices() {
        let after = &rest[at + character.len_utf8()..];
        let next = after.chars().next();
        let blank_next = next.is_none_or(char::is_whitespace);
        let inside_word = previous.is_alphanumeric() && next.is_some_and(char::is_alphanumeric);
        let apart = previous.is_whitespace() && blank_next;
        let special = match character {
            // At the end it would escape whatever comes next.
            '\\' => next.is_none_or(|next| next.is_ascii_punctuation()),
            '`' | '[' | ']' => true,
            '*' => start || !apart,
            '_' => !inside_word && !apart,
            '<' => next.is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?')),
            '#' => start && (blank_next || next == Some('#')),
            '>' => start,
            '+' | '-' => start && blank_next,
            '~' => next == Some('~'),
            '&' => names_a_character(after),
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(character);
        previous = character;
        start = false;
    }
}

/// Whether `&` before this would be read as a character reference.
fn names_a_character(after: &str) -> bool {
    let name = after.bytes().take(32).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'#').count();
    name > 0 && after.as_bytes().get(name) == Some(&b';')
}

/// The longest run of `wanted` in `text`, in characters: what a fence around it must exceed.
#[must_use]
pub fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str, at_line_start: bool) -> String {
        let mut out = String::new();
        escape(text, at_line_start, &mut out);
        out
    }

    #[test]
    fn lines_that_look_like_blocks_do_not_become_blocks() {
        let table = [
            ("* item", "\\* item"),
            ("- item", "\\- item"),
            ("+", "\\+"),
            ("---", "\\---"),
            ("* * *", "\\* * *"),
            ("===", "\\==="),
            ("1. x", "1\\. x"),
            ("12) x", "12\\) x"),
            ("1.5 x", "1.5 x"),
            ("# x", "\\# x"),
            ("> x", "\\> x"),
            ("-x", "-x"),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text, true), expected, "{text}");
            if !text.starts_with('*') {
                assert!(!escaped(text, false).starts_with('\\'), "{text} within a line");
            }
        }
    }

    #[test]
    fn text_that_looks_like_markup_stays_text() {
        let table = [
            ("&lt; &copy; & &x AT&T; a&#38;", "\\&lt; \\&copy; & &x AT\\&T; a\\&#38;"),
            ("C:\\", "C:\\\\"),
            ("a\\b \\*", "a\\b \\\\\\*"),
            ("2 * 3 *x* snake_case _x_", "2 * 3 \\*x\\* snake_case \\_x\\_"),
            ("a < b <b>", "a < b \\<b>"),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text, false), expected, "{text}");
        }
    }

    #[test]
    fn a_target_stays_in_its_line() {
        assert_eq!(target("a b\n\n# c(d)<e>\u{1}"), "a%20b#%20c%28d%29%3Ce%3E");
    }
}

//! Text that must not be read as markup.

/// An address as a link's target.
pub(crate) fn target(href: &str) -> String {
    href.replace(' ', "%20").replace('(', "%28").replace(')', "%29")
}

/// Escapes what would be read as markup, and no more: Markdown is read by people and models, too.
pub(crate) fn escape(text: &str, at_line_start: bool, out: &mut String) {
    let mut start = at_line_start;
    let mut previous = ' ';
    let mut rest = text.chars().peekable();
    if at_line_start {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && digits < 10 && text[digits..].starts_with(". ") {
            out.push_str(&text[..digits]);
            out.push('\\');
            rest = text[digits..].chars().peekable();
            start = false;
        }
    }
    while let Some(character) = rest.next() {
        let next = rest.peek().copied().unwrap_or(' ');
        let special = match character {
            '\\' => next.is_ascii_punctuation(),
            '`' => true,
            '*' => !(previous.is_whitespace() && next.is_whitespace()),
            '_' => !(previous.is_alphanumeric() && next.is_alphanumeric() || previous.is_whitespace() && next.is_whitespace()),
            '[' | ']' => true,
            '<' => next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?'),
            '#' | '>' | '+' | '-' => start && (next.is_whitespace() || character == '>' || character == '#' && next == '#'),
            '~' => next == '~',
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

pub(crate) fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

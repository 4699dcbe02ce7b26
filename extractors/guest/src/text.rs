//! Small things about text that several passes need.

/// Appends `text` to `out` with every run of white space as one space, and none at the start of `out`.
pub(crate) fn push_collapsed(out: &mut String, text: &str) {
    let mut pending = text.starts_with(char::is_whitespace);
    for word in text.split_whitespace() {
        if pending && !out.is_empty() && !out.ends_with(char::is_whitespace) {
            out.push(' ');
        }
        out.push_str(word);
        pending = true;
    }
    if text.ends_with(char::is_whitespace) && !out.is_empty() && !out.ends_with(char::is_whitespace) {
        out.push(' ');
    }
}

/// `text` with every run of white space as one space, and none at the ends.
pub(crate) fn collapsed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_collapsed(&mut out, text);
    out.truncate(out.trim_end().len());
    out
}

/// `text` collapsed, or `None` if nothing is left.
pub(crate) fn meaningful(text: &str) -> Option<String> {
    Some(collapsed(text)).filter(|text| !text.is_empty())
}

/// Whether a character is a word of its own: the scripts that put no spaces between words.
pub(crate) fn is_cjk(character: char) -> bool {
    matches!(character,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{2fa1f}')
}

/// Words, each CJK character counting as one.
#[must_use]
pub fn word_count(text: &str) -> u32 {
    let mut count = 0u32;
    for word in text.split_whitespace() {
        let cjk = word.chars().filter(|character| is_cjk(*character)).count();
        let rest = usize::from(word.chars().any(|character| character.is_alphanumeric() && !is_cjk(character)));
        count = count.saturating_add(u32::try_from(cjk + rest).unwrap_or(u32::MAX));
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_collapses() {
        assert_eq!(collapsed("  a \n b\u{a0}c\t"), "a b c");
        let mut out = String::from("a");
        push_collapsed(&mut out, "b ");
        push_collapsed(&mut out, " c");
        assert_eq!(out, "ab c");
        assert_eq!(meaningful(" \n"), None);
    }

    #[test]
    fn words_are_counted_in_any_script() {
        assert_eq!(word_count("one two, - three"), 3);
        assert_eq!(word_count("日本語 text"), 4);
    }
}

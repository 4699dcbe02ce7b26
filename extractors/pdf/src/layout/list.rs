//! The signs that list items begin with.

/// How an item is marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// By a sign.
    Bullet,
    /// By a number or letter, as written.
    Number(String),
    /// Not at all that could be read: the tagged structure says that it is one.
    Tagged,
}

/// Signs of items; a lone letter, as some fonts have it, is too often a word.
const SIGNS: &str = "•◦▪▫‣–—·●○■□❑➢✓∙-*";

/// The marker that a word is, if it is one.
pub(crate) fn marker(word: &str) -> Option<Marker> {
    let mut characters = word.chars();
    let (first, second) = (characters.next()?, characters.next());
    if second.is_none() && SIGNS.contains(first) {
        return Some(Marker::Bullet);
    }
    let inner = word.strip_prefix('(').unwrap_or(word);
    let inner = inner.strip_suffix(['.', ')']).filter(|_| word.ends_with(['.', ')']))?;
    let number = !inner.is_empty() && inner.len() <= 3 && inner.bytes().all(|byte| byte.is_ascii_digit());
    let letter = inner.len() == 1 && inner.bytes().all(|byte| byte.is_ascii_alphabetic()) && word.ends_with(')');
    let roman =
        inner.len() <= 4 && word.ends_with(')') && inner.bytes().all(|byte| b"ivxIVX".contains(&byte)) && !inner.is_empty();
    (number || letter || roman).then(|| Marker::Number(inner.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers() {
        for bullet in ["•", "-", "–"] {
            assert_eq!(marker(bullet), Some(Marker::Bullet));
        }
        for (word, number) in [("1.", "1"), ("(a)", "a"), ("iv)", "iv"), ("12)", "12")] {
            assert_eq!(marker(word), Some(Marker::Number(number.to_owned())));
        }
        for none in ["A", "a.", "2024.", "1.5", "", "()", "Dr.", "o", "3"] {
            assert_eq!(marker(none), None, "{none}");
        }
    }
}

//! How near a text is to the truth: as a bag of words, and in its order.

use std::collections::HashMap;

use rapidfuzz::distance::levenshtein;
use unicode_normalization::UnicodeNormalization;

/// Words of a text beyond which only the beginning is compared in order.
const LONGEST: usize = 40_000;
const BEGINNING: usize = 20_000;

/// F1 of the bags of words, and similarity of the orders of words, each 0 to 1.
pub(super) fn text(truth: &str, text: &str) -> (f64, f64) {
    let (truth, text) = (words(&joined(truth)), words(&joined(text)));
    let mut bag: HashMap<&str, i64> = HashMap::new();
    truth.iter().for_each(|word| *bag.entry(word).or_default() += 1);
    let mut shared = 0;
    for word in &text {
        if let Some(left) = bag.get_mut(word.as_str()).filter(|left| **left > 0) {
            *left -= 1;
            shared += 1;
        }
    }
    let f1 = if truth.is_empty() && text.is_empty() { 1.0 } else { 2.0 * f64::from(shared) / number(truth.len() + text.len()) };
    let cut = |words: &[String]| words[..words.len().min(if truth.len() < LONGEST { usize::MAX } else { BEGINNING })].to_vec();
    let (a, b) = (cut(&truth), cut(&text));
    // Words as numbers, which can be compared faster.
    let mut numbers: HashMap<&String, u32> = HashMap::new();
    for word in a.iter().chain(&b) {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        numbers.entry(word).or_insert(next);
    }
    let distance = levenshtein::distance(a.iter().map(|word| numbers[word]), b.iter().map(|word| numbers[word]));
    (f1, 1.0 - number(distance) / number(a.len().max(b.len()).max(1)))
}

/// Recall of the words of all cells, and the share of cells that are found whole.
pub(super) fn cells(cells: &[String], text: &str) -> (f64, f64) {
    let text_words = words(text);
    let mut bag: HashMap<&str, i64> = HashMap::new();
    text_words.iter().for_each(|word| *bag.entry(word).or_default() += 1);
    let whole = text_words.join(" ");
    let (mut all, mut found, mut counted, mut hit) = (0, 0, 0, 0);
    for cell in cells {
        let words = words(cell);
        if words.is_empty() {
            continue;
        }
        counted += 1;
        hit += usize::from(whole.contains(&words.join(" ")));
        for word in words {
            all += 1;
            if let Some(left) = bag.get_mut(word.as_str()).filter(|left| **left > 0) {
                *left -= 1;
                found += 1;
            }
        }
    }
    let share = |part: usize, whole: usize| if whole == 0 { 1.0 } else { number(part) / number(whole) };
    (share(found, all), share(hit, counted))
}

/// The share of cells that at least one of `texts` has whole. What nobody finds is not what the page shows: the truth has
/// "CzechRepublic", and "froms chool".
pub(super) fn cells_by_anybody(cells: &[String], texts: &[String]) -> f64 {
    let wholes: Vec<String> = texts.iter().map(|text| words(text).join(" ")).collect();
    let cells: Vec<String> = cells.iter().map(|cell| words(cell).join(" ")).filter(|cell| !cell.is_empty()).collect();
    let hit = cells.iter().filter(|cell| wholes.iter().any(|whole| whole.contains(cell.as_str()))).count();
    if cells.is_empty() { 1.0 } else { number(hit) / number(cells.len()) }
}

/// The share of cells that are found whole, spaces and case aside: the truth lacks many a space between words.
pub(super) fn cells_by_letters(cells: &[String], text: &str) -> f64 {
    let letters = |text: &str| words(text).concat().to_lowercase();
    let whole = letters(text);
    let cells: Vec<String> = cells.iter().map(|cell| letters(cell)).filter(|cell| !cell.is_empty()).collect();
    let hit = cells.iter().filter(|cell| whole.contains(cell.as_str())).count();
    if cells.is_empty() { 1.0 } else { number(hit) / number(cells.len()) }
}

/// Words as letters and digits; compatibility forms are what they stand for.
pub(super) fn words(text: &str) -> Vec<String> {
    let seen = |character: &char| !matches!(character, '\u{ad}' | '\u{fffe}' | '\u{2}');
    let text: String = text.nfkc().filter(seen).collect();
    let letter = |character: char| character.is_alphanumeric() || character == '_';
    text.split(|character: char| !letter(character)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Without the hyphens at the ends of lines.
fn joined(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let hyphen = matches!(characters[at], '-' | '\u{2010}') && at > 0 && characters[at - 1].is_alphanumeric();
        if hyphen {
            let mut next = at + 1;
            let mut line_end = false;
            while next < characters.len() && characters[next].is_whitespace() {
                line_end |= matches!(characters[next], '\n' | '\r' | '\u{c}');
                next += 1;
            }
            if line_end && characters.get(next).is_some_and(|character| character.is_alphanumeric()) {
                at = next;
                continue;
            }
        }
        out.push(characters[at]);
        at += 1;
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "a count of words")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

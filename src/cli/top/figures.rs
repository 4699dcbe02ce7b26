//! How figures are written where there is little room.

use std::time::Duration;

/// Bytes, in the largest unit that leaves a figure before the point.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut figure = bytes as f64 / 1024.0;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    // 1023.96 would be written as 1024.0.
    while figure >= 1023.95
        && let Some(larger) = units.next()
    {
        figure /= 1024.0;
        unit = larger;
    }
    format!("{figure:.1} {unit}")
}

/// A time, in at most six characters as long as it is less than a thousand days.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    if time < Duration::from_millis(1) {
        format!("{} us", time.as_micros())
    } else if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else if seconds < 10 {
        // Cut off, so that it never says 10.0.
        format!("{seconds}.{} s", time.subsec_millis() / 100)
    } else if seconds < 60 {
        format!("{seconds} s")
    } else if seconds < 3600 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else if seconds < 86_400 {
        format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60)
    } else {
        format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24)
    }
}

/// Something per second.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second < 999.5 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

/// A number, its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A line of text from elsewhere, without anything that would move a cursor, break the line, or turn its direction.
pub(crate) fn harmless(text: &str) -> String {
    let moves = |letter: char| {
        letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|letter| if moves(letter) { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_right() {
        for (value, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (156_400, "152.7 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (1 << 20, "1.0 MiB"),
            (20_221_211_440, "18.8 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
        for (millis, text) in [
            (0, "0 us"),
            (1, "1 ms"),
            (999, "999 ms"),
            (9_999, "9.9 s"),
            (59_999, "59 s"),
            (65_000, "1m05s"),
            (3_600_000, "1h00m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!((rate(0.0), rate(12.34), rate(1234.5)), ("0.0".to_owned(), "12.3".to_owned(), "1234".to_owned()));
    }

    #[test]
    fn nothing_from_elsewhere_moves_the_cursor() {
        assert_eq!(harmless("a\x1b[2Jb\nc\u{9b}d\u{202e}e"), "a [2Jb c d e");
        assert_eq!(harmless("größer"), "größer");
    }
}

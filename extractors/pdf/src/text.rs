//! Strings as libpdfium gives them: UTF-16 in a buffer whose size is asked for first.

/// The longest string that is taken, in bytes of UTF-16: names, titles, notes.
const LONGEST: usize = 32 << 10;

/// Asks `get` for a size with no buffer, and then for the string. Cut at 64 KiB; control characters go.
pub(crate) fn wide(mut get: impl FnMut(*mut u16, usize) -> usize) -> String {
    let bytes = get(std::ptr::null_mut(), 0);
    if !(4..=LONGEST * 16).contains(&bytes) {
        return String::new();
    }
    let mut units = vec![0u16; bytes.div_ceil(2)];
    let written = get(units.as_mut_ptr(), units.len() * 2).min(units.len() * 2);
    units.truncate((written / 2).min(LONGEST / 2));
    let units = units.split(|unit| *unit == 0).next().unwrap_or_default();
    clean(&String::from_utf16_lossy(units))
}

/// The same for strings of single bytes.
pub(crate) fn narrow(mut get: impl FnMut(*mut u8, usize) -> usize) -> String {
    let bytes = get(std::ptr::null_mut(), 0);
    if !(2..=LONGEST).contains(&bytes) {
        return String::new();
    }
    let mut text = vec![0u8; bytes];
    let written = get(text.as_mut_ptr(), text.len()).min(text.len());
    text.truncate(written);
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    clean(&String::from_utf8_lossy(text))
}

/// Trimmed, and without what cannot be seen.
pub(crate) fn clean(text: &str) -> String {
    let seen = |character: char| character == '\n' || character == '\t' || !character.is_control();
    let text: String = text.replace("\r\n", "\n").replace('\r', "\n").chars().filter(|character| seen(*character)).collect();
    text.trim().to_owned()
}

/// A date as PDF writes it, `D:20260131120000+01'00'`, as ISO 8601. What is none comes back as it is.
pub(crate) fn date(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let digits = text.strip_prefix("D:").unwrap_or(text);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (number, zone) = digits.split_at(length);
    let part = |from: usize, to: usize| number.get(from..to);
    let Some(year) = part(0, 4) else { return Some(text.to_owned()) };
    let mut iso = year.to_owned();
    for (from, separator) in [(4, '-'), (6, '-')] {
        let Some(part) = part(from, from + 2) else { return Some(iso) };
        iso.push(separator);
        iso.push_str(part);
    }
    let (Some(hour), Some(minute)) = (part(8, 10), part(10, 12)) else { return Some(iso) };
    iso.push_str(&format!("T{hour}:{minute}:{}", part(12, 14).unwrap_or("00")));
    let zone: String = zone.chars().filter(|character| *character != '\'').collect();
    match zone.as_bytes() {
        [b'Z', ..] => iso.push('Z'),
        [sign @ (b'+' | b'-'), a, b, rest @ ..] => {
            let minutes = if rest.len() >= 2 { String::from_utf8_lossy(&rest[..2]).into_owned() } else { "00".to_owned() };
            iso.push_str(&format!("{}{}{}:{minutes}", *sign as char, *a as char, *b as char));
        }
        _ => {}
    }
    Some(iso)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let cases = [
            ("D:20260131120005+01'00'", "2026-01-31T12:00:05+01:00"),
            ("D:20260131120005Z", "2026-01-31T12:00:05Z"),
            ("D:202601311200", "2026-01-31T12:00:00"),
            ("D:2026", "2026"),
            ("20260131", "2026-01-31"),
            ("yesterday", "yesterday"),
            ("D:20260131120005-0330", "2026-01-31T12:00:05-03:30"),
        ];
        for (pdf, iso) in cases {
            assert_eq!(date(pdf).as_deref(), Some(iso));
        }
        assert_eq!(date("  "), None);
    }

    #[test]
    fn strings_end_at_their_zero_and_lose_what_cannot_be_seen() {
        let units: Vec<u16> = "a\u{7}b\r\nc\0junk".encode_utf16().collect();
        let get = |buffer: *mut u16, bytes: usize| {
            if !buffer.is_null() {
                #[expect(unsafe_code, reason = "stands in for the library")]
                // SAFETY: the caller says how much room there is, and it is enough.
                unsafe {
                    std::ptr::copy_nonoverlapping(units.as_ptr(), buffer, (bytes / 2).min(units.len()));
                }
            }
            units.len() * 2
        };
        assert_eq!(wide(get), "ab\nc");
        assert_eq!(wide(|_, _| 0), "");
    }
}

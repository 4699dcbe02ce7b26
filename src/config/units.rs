//! Bytes and lengths of time as people write them: `512MiB`, `1h30m`. What is written is read back as the same value.
//!
//! Decimal units of bytes are refused: whoever writes `512MB` may mean either. A length of time always has its unit.

use std::time::Duration;

const BYTES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Nanoseconds of each unit, the longest first.
const TIMES: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Nothing that is waited for here takes longer; a clock that is told more would run over.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Reads a number of bytes.
pub(super) fn read_bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let number: u64 = number.parse().map_err(|_| "no number of bytes; 512MiB is one".to_owned())?;
    let factor = match BYTES.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return Err(format!("no number of bytes, since {unit:?} is no unit of them; B, KiB, MiB, GiB and TiB are")),
    };
    number.checked_mul(factor).ok_or_else(|| "more bytes than can be counted".to_owned())
}

/// Writes a number of bytes with the largest unit that is exact.
pub(super) fn write_bytes(bytes: u64) -> String {
    let exact = BYTES.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    exact.map_or_else(|| "0B".to_owned(), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// Reads a length of time: one or more numbers, each with its unit, the first of them perhaps with a fraction.
pub(super) fn read_time(text: &str) -> Result<Duration, String> {
    const WRONG: &str = "no length of time; 30s, 250ms, 1.5s, 2h and 1h30m are";
    let mut rest = text;
    let mut sum: u128 = 0;
    while !rest.is_empty() || text.is_empty() {
        let number = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let letters = rest.bytes().skip(number).take_while(u8::is_ascii_alphabetic).count();
        let (number, after) = rest.split_at(number);
        let (unit, after) = after.split_at(letters);
        let factor = TIMES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or(WRONG)?;
        let nanoseconds = times(number, factor).ok_or(WRONG)?;
        sum = sum.saturating_add(nanoseconds);
        rest = after;
    }
    if sum > LONGEST.as_nanos() {
        return Err("longer than 365d, the longest there is".to_owned());
    }
    // It fits, being under the longest.
    Ok(Duration::from_nanos(u64::try_from(sum).unwrap_or(u64::MAX)))
}

/// A decimal number times a unit, in nanoseconds; none of a nanosecond is lost.
fn times(number: &str, factor: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut sum = u128::from(whole.parse::<u64>().ok()?) * u128::from(factor);
    if let Some(fraction) = fraction {
        if fraction.len() > 9 {
            return None;
        }
        let parts = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor);
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        if !parts.is_multiple_of(scale) {
            return None;
        }
        sum += parts / scale;
    }
    Some(sum)
}

/// Writes a length of time with the longest unit that is exact.
pub(crate) fn write_time(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    let exact = TIMES.iter().find(|(_, factor)| {
        let factor = u128::from(*factor);
        nanoseconds >= factor && nanoseconds.is_multiple_of(factor)
    });
    exact.map_or_else(|| "0s".to_owned(), |(name, factor)| format!("{}{name}", nanoseconds / u128::from(*factor)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn bytes_are_read_and_written() {
        let table = [
            ("0B", 0),
            ("1B", 1),
            ("1023B", 1023),
            ("48KiB", 48 << 10),
            ("512MiB", 512 << 20),
            ("3GiB", 3 << 30),
            ("1TiB", 1 << 40),
        ];
        for (text, bytes) in table {
            assert_eq!(read_bytes(text), Ok(bytes), "{text}");
            assert_eq!(write_bytes(bytes), text);
        }
        assert_eq!(read_bytes("4096"), Ok(4096));
        assert_eq!(read_bytes("4 MiB"), Ok(4 << 20));
        for bad in ["", "MiB", "-1B", "1.5MiB", "512MB", "512mib", "1KiB1B", "99999999999TiB", "99999999999999999999"] {
            assert!(read_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_and_written() {
        let table = [
            ("0s", Duration::ZERO),
            ("1ns", Duration::from_nanos(1)),
            ("250ms", Duration::from_millis(250)),
            ("1500ms", Duration::from_millis(1500)),
            ("30s", Duration::from_secs(30)),
            ("5m", Duration::from_secs(300)),
            ("90m", Duration::from_secs(5400)),
            ("2h", Duration::from_secs(7200)),
            ("365d", LONGEST),
        ];
        for (text, time) in table {
            assert_eq!(read_time(text), Ok(time), "{text}");
            assert_eq!(write_time(time), text);
        }
        assert_eq!(read_time("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(read_time("0.5s"), Ok(Duration::from_millis(500)));
        for bad in [
            "",
            "30",
            "s",
            "30 s",
            "-1s",
            "1.s",
            ".5s",
            "1..5s",
            "1.5ns",
            "30sec",
            "366d",
            "1h30",
            "99999999999999999999s",
            "²s",
            "1é",
        ] {
            assert!(read_time(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: u64, nanoseconds in 0..u64::try_from(LONGEST.as_nanos()).expect("it fits")) {
            prop_assert_eq!(read_bytes(&write_bytes(bytes)), Ok(bytes));
            let time = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(read_time(&write_time(time)), Ok(time));
        }

        #[test]
        fn nothing_that_is_read_can_panic(text in "\\PC{0,12}") {
            drop((read_bytes(&text), read_time(&text)));
        }
    }
}

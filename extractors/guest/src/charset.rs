//! The charset, found as browsers find it: byte order mark, declaration from outside, `<meta>` in the first
//! kilobyte, then heuristics. What is left undeclared and valid as UTF-8 is UTF-8.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

/// How much of a page is searched for a declaration; what browsers do.
const PRESCAN: usize = 1024;

/// How much of a page the heuristics look at: enough to tell, without a second pass over a huge page.
const DETECT: usize = 64 << 10;

/// The text of `bytes` and the charset that it was decoded with. Malformed sequences become U+FFFD.
pub(crate) fn decode<'a>(bytes: &'a [u8], declared: Option<&str>) -> (Cow<'a, str>, &'static Encoding) {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        let (text, _) = encoding.decode_without_bom_handling(&bytes[mark..]);
        return (text, encoding);
    }
    let encoding = declared
        .and_then(|label| Encoding::for_label(label.trim().as_bytes()))
        .or_else(|| from_meta(&bytes[..bytes.len().min(PRESCAN)]))
        .unwrap_or_else(|| detect(bytes));
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    (text, encoding)
}

fn detect(bytes: &[u8]) -> &'static Encoding {
    let head = &bytes[..bytes.len().min(DETECT)];
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        // Cut in the middle of a character, or truncated there by whoever sent it.
        Err(error) => error.error_len().is_none(),
    };
    if valid {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(head, head.len() == bytes.len());
    detector.guess(None, Utf8Detection::Allow)
}

/// The declaration in a page's head: `<meta charset>` or `<meta http-equiv=content-type content>`.
fn from_meta(head: &[u8]) -> Option<&'static Encoding> {
    let mut rest = head;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        rest = &rest[at..];
        if rest.starts_with(b"<!--") {
            let end = find(rest, b"-->")?;
            rest = &rest[end + 3..];
        } else if starts_with_ignore_case(rest, b"<meta") && rest.get(5).is_some_and(|byte| is_space(*byte) || *byte == b'/') {
            let end = rest.iter().position(|byte| *byte == b'>').unwrap_or(rest.len());
            if let Some(encoding) = from_meta_tag(&rest[5..end]) {
                return Some(encoding);
            }
            rest = &rest[end..];
        } else {
            rest = &rest[1..];
        }
    }
    None
}

fn from_meta_tag(tag: &[u8]) -> Option<&'static Encoding> {
    let at = find_ignore_case(tag, b"charset")?;
    let mut value = trim_start(&tag[at + b"charset".len()..]);
    value = trim_start(value.strip_prefix(b"=")?);
    let quote = value.first().copied().filter(|byte| matches!(byte, b'"' | b'\''));
    let label = match quote {
        Some(quote) => value[1..].split(|byte| *byte == quote).next()?,
        None => value.split(|byte| is_space(*byte) || matches!(byte, b';' | b'"' | b'\'' | b'/' | b'>')).next()?,
    };
    let encoding = Encoding::for_label(label)?;
    // A page that can be read as ASCII is not UTF-16, whatever it says; the standard names both exceptions.
    Some(if encoding == UTF_16LE || encoding == UTF_16BE {
        UTF_8
    } else if encoding == X_USER_DEFINED {
        WINDOWS_1252
    } else {
        encoding
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn find_ignore_case(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle))
}

fn starts_with_ignore_case(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use encoding_rs::{BIG5, SHIFT_JIS, WINDOWS_1251};

    use super::*;

    fn charset(bytes: &[u8], declared: Option<&str>) -> &'static str {
        decode(bytes, declared).1.name()
    }

    #[test]
    fn the_order_is_that_of_browsers() {
        let meta = b"<html><meta charset=koi8-r><p>x";
        assert_eq!(charset(meta, None), "KOI8-R");
        assert_eq!(charset(meta, Some("big5")), "Big5", "a header goes before a meta");
        assert_eq!(charset(b"\xef\xbb\xbf<meta charset=koi8-r>", Some("big5")), "UTF-8", "a mark goes before both");
        assert_eq!(charset(b"\xff\xfe<\0p\0>\0", None), "UTF-16LE");
        assert_eq!(charset(meta, Some("no-such-charset")), "KOI8-R");
    }

    #[test]
    fn declarations_come_in_many_shapes() {
        let table: &[(&[u8], &str)] = &[
            (b"<meta charset='shift_jis'>", "Shift_JIS"),
            (b"<META CHARSET = \"Shift_JIS\" />", "Shift_JIS"),
            (b"<meta http-equiv=Content-Type content='text/html; charset=shift_jis'>", "Shift_JIS"),
            (b"<meta name=viewport content=x><meta charset=shift_jis>", "Shift_JIS"),
            (b"<!-- <meta charset=big5> --><meta charset=shift_jis>", "Shift_JIS"),
            (b"<meta charset=utf-16le>", "UTF-8"),
            (b"<meta charset=x-user-defined>", "windows-1252"),
            (b"<metacharset=big5>", "UTF-8"),
            (b"<!-- <meta charset=big5>", "UTF-8"),
            (b"<meta charset", "UTF-8"),
        ];
        for (page, expected) in table {
            assert_eq!(charset(page, None), *expected, "{}", String::from_utf8_lossy(page));
        }
    }

    #[test]
    fn what_is_undeclared_is_detected() {
        assert_eq!(charset("<p>grüße".as_bytes(), None), "UTF-8");
        assert_eq!(charset(&"<p>grüße".as_bytes()[..7], None), "UTF-8", "truncated within a character");
        let russian = "<p>Съешь же ещё этих мягких французских булок, да выпей чаю";
        assert_eq!(charset(&WINDOWS_1251.encode(russian).0, None), "windows-1251");
        let japanese = "<p>これは日本語の文章です。文字コードを判定します。";
        assert_eq!(charset(&SHIFT_JIS.encode(japanese).0, None), "Shift_JIS");
        let chinese = BIG5.encode("<p>中文").0;
        assert_eq!(decode(&chinese, Some("big5")).0, "<p>中文");
    }

    #[test]
    fn anything_decodes() {
        for bytes in [&b""[..], &[0; 64], &[0xff; 64], b"<", b"<meta", b"<meta charset=", b"\xef\xbb"] {
            decode(bytes, None);
            decode(bytes, Some("utf-8"));
        }
    }
}

//! What goes over the pipe, as text: one JSON object, and a zero byte. Pure.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The longest message that is taken in, in bytes: a picture of a very long page, in base64.
pub(crate) const LONGEST: usize = 128 << 20;

#[derive(Serialize)]
struct Call<'a, P> {
    id: u64,
    method: &'a str,
    params: &'a P,
    #[serde(rename = "sessionId", skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

/// Appends a call to what is to be written.
pub(crate) fn write<P: Serialize>(
    out: &mut Vec<u8>,
    id: u64,
    method: &str,
    params: &P,
    session: Option<&str>,
) -> Result<(), serde_json::Error> {
    let whole = out.len();
    let written = serde_json::to_writer(&mut *out, &Call { id, method, params, session });
    match written {
        Ok(()) => out.push(0),
        // Half a call must not precede the next one.
        Err(_) => out.truncate(whole),
    }
    written
}

/// What the browser says. Fields that are not known are passed over, and so are whole messages that are no such thing.
#[derive(Debug, Deserialize)]
pub(crate) struct Message<'m> {
    pub(crate) id: Option<u64>,
    #[serde(borrow)]
    pub(crate) result: Option<&'m RawValue>,
    pub(crate) error: Option<Refusal>,
    pub(crate) method: Option<&'m str>,
    #[serde(borrow)]
    pub(crate) params: Option<&'m RawValue>,
    #[serde(rename = "sessionId")]
    pub(crate) session: Option<&'m str>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) data: Option<serde_json::Value>,
}

impl Refusal {
    pub(crate) fn told(self) -> String {
        match self.data {
            Some(serde_json::Value::String(data)) => format!("{} ({data})", self.message),
            Some(_) | None => self.message,
        }
    }
}

pub(crate) fn read(bytes: &[u8]) -> Option<Message<'_>> {
    serde_json::from_slice(bytes).ok()
}

/// JSON in which halves of letters stand for themselves, as a browser writes it, with the sign for what cannot be read in their
/// place. `None` if there are none.
pub(crate) fn mended(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let unit = |at: usize| {
        let escape = bytes.get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut out, mut from, mut at, mut any) = (String::with_capacity(json.len()), 0, 0, false);
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                out.push_str(&json[from..at]);
                out.push_str("\\ufffd");
                at += 6;
                (from, any) = (at, true);
            }
            Some(_) => at += 6,
            // Whatever is escaped is no backslash that begins something.
            None => at = (at + 2).min(bytes.len()),
        }
    }
    out.push_str(&json[from..]);
    any.then_some(out)
}

/// Takes messages out of bytes as they come.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    bytes: Vec<u8>,
    /// Up to here there is no end of a message.
    seen: usize,
    /// The message at hand is too long, and is passed over.
    skipping: bool,
}

/// A message is longer than any may be, and is passed over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Splitter {
    /// Where bytes are to be put that come next.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Hands over each whole message.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), TooLong> {
        let mut from = 0;
        while let Some(length) = memchr::memchr(0, &self.bytes[self.seen..]) {
            let to = self.seen + length;
            // The end of one that was too long.
            if self.skipping {
                self.skipping = false;
            } else {
                each(&self.bytes[from..to]);
            }
            from = to + 1;
            self.seen = from;
        }
        if from > 0 {
            self.bytes.drain(..from);
            // One long message must not be paid for ever.
            if self.bytes.capacity() > KEPT && self.bytes.len() < KEPT {
                self.bytes.shrink_to(KEPT);
            }
        }
        self.seen = self.bytes.len();
        if self.bytes.len() > LONGEST {
            // Its end is waited for, and the rest of it is nobody's.
            self.skipping = true;
            self.bytes = Vec::new();
            self.seen = 0;
            return Err(TooLong);
        }
        if self.skipping {
            self.bytes.clear();
            self.seen = 0;
        }
        Ok(())
    }
}

/// Room that is kept between messages, in bytes.
const KEPT: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn calls_end_with_a_zero_byte() {
        let mut out = Vec::new();
        write(&mut out, 7, "A.b", &serde_json::json!({"x": "\u{0}"}), Some("s")).expect("it can be written");
        write(&mut out, 8, "A.c", &serde_json::json!({}), None).expect("it can be written");
        let texts: Vec<&str> = out.split_inclusive(|byte| *byte == 0).map(|part| str::from_utf8(part).expect("UTF-8")).collect();
        let first = "{\"id\":7,\"method\":\"A.b\",\"params\":{\"x\":\"\\u0000\"},\"sessionId\":\"s\"}\0";
        assert_eq!(texts, [first, "{\"id\":8,\"method\":\"A.c\",\"params\":{}}\0"]);
    }

    #[test]
    fn answers_refusals_and_events_are_told_apart() {
        let answer = read(br#"{"id":1,"result":{"a":1},"sessionId":"s","new":[]}"#).expect("it is one");
        assert_eq!((answer.id, answer.result.map(RawValue::get), answer.session), (Some(1), Some("{\"a\":1}"), Some("s")));
        let refusal = read(br#"{"id":2,"error":{"code":-32000,"message":"no","data":"never"}}"#).expect("it is one");
        assert_eq!(refusal.error.map(Refusal::told).as_deref(), Some("no (never)"));
        let event = read(br#"{"method":"A.b","params":{"y":2}}"#).expect("it is one");
        assert_eq!((event.method, event.params.map(RawValue::get)), (Some("A.b"), Some("{\"y\":2}")));
        for garbage in [&b"nonsense"[..], b"", b"[]", b"{\"id\":\"x\"}"] {
            assert!(read(garbage).is_none(), "{garbage:?}");
        }
    }

    #[test]
    fn halves_of_letters_are_mended_and_nothing_else_is() {
        let table = [
            (r#"{"a":"x\ud83d"}"#, Some(r#"{"a":"x\ufffd"}"#)),
            (r#"{"a":"\ude00y"}"#, Some(r#"{"a":"\ufffdy"}"#)),
            (r#"{"a":"\ud83d\ude00"}"#, None),
            (r#"{"a":"\\ud83d \n \u00fc"}"#, None),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, Some(r#"{"a":"\ufffd\ud83d\ude00"}"#)),
            (r#"\"#, None),
        ];
        for (json, expected) in table {
            assert_eq!(mended(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_costs_itself_alone() {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        splitter.room().extend_from_slice(b"first\0");
        splitter.room().resize(LONGEST + 10, b'x');
        assert_eq!(splitter.drain(|message| found.push(message.to_vec())), Err(TooLong));
        splitter.room().extend_from_slice(b"more of it");
        splitter.drain(|message| found.push(message.to_vec())).expect("it is passed over");
        splitter.room().extend_from_slice(b" and its end\0second\0");
        splitter.drain(|message| found.push(message.to_vec())).expect("it is short");
        assert_eq!(found, [&b"first"[..], b"second"]);
    }

    proptest! {
        /// However bytes come in, the same messages come out.
        #[test]
        fn messages_are_whole(messages in proptest::collection::vec("[a-z]{0,40}", 0..20), cuts in proptest::collection::vec(1usize..50, 1..50)) {
            let all: Vec<u8> = messages.iter().flat_map(|text| text.bytes().chain([0])).collect();
            let (mut splitter, mut found, mut rest) = (Splitter::default(), Vec::new(), &all[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, after) = rest.split_at((*cut).min(rest.len()));
                rest = after;
                splitter.room().extend_from_slice(part);
                splitter.drain(|message| found.push(String::from_utf8_lossy(message).into_owned())).expect("short");
            }
            prop_assert_eq!(found, messages);
        }
    }
}

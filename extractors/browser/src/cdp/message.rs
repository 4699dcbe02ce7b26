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

/// Takes messages out of bytes as they come.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    bytes: Vec<u8>,
    /// Up to here there is no end of a message.
    seen: usize,
}

/// A message is longer than any may be.
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
            each(&self.bytes[from..to]);
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
        if self.bytes.len() > LONGEST { Err(TooLong) } else { Ok(()) }
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

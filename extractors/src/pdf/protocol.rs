//! What host and worker say to each other: frames over one socket, each with its length before it.
//!
//! ```text
//!   worker: Ready
//!   host:   Ask, bytes…            worker: Opened, (Read | Page)…, Done | Refused
//!   host:   Ask, bytes…            …
//! ```
//! A frame is its length as four bytes, least first, then one byte that says what it is, then a message in postcard, or bytes.
//! Neither side trusts the other: a length past the limit, a message that is none, or one out of turn ends the conversation.

use std::io::{self, Read, Write};

use eventmesh_guest::{Attachment, Field, Page, PdfFacts};
use eventmesh_pdf::Info;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::confine::Confinement;
use super::password::Password;

/// Changes with every change of the messages. Both sides are normally of one build; a host may name another binary.
pub(crate) const VERSION: u16 = 2;
/// Bytes of a document, or of a picture, in one frame.
pub(crate) const CHUNK: usize = 256 << 10;
/// The longest frame: a page with all the images that are taken out of one; and one without images.
pub(crate) const LONGEST: usize = 64 << 20;
pub(crate) const LONGEST_TEXT: usize = 16 << 20;

const MESSAGE: u8 = 0;
const BYTES: u8 = 1;

/// From the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) task: Task,
    pub(crate) password: Option<Password>,
    /// Bytes of the document, which follow.
    pub(crate) bytes: u64,
    /// Seconds of processor time that it may take.
    pub(crate) processor: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Task {
    Extract {
        images: bool,
        /// Pages that are read at most.
        most_pages: u32,
        /// Pages that are known already.
        skip: u32,
    },
    Render {
        page: u32,
        dpi: f32,
        most_pixels: u64,
    },
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Told {
    Ready {
        version: u16,
        confinement: Confinement,
    },
    /// It cannot work at all.
    Unfit {
        why: String,
    },
    Opened {
        info: Box<Info>,
        facts: Box<PdfFacts>,
    },
    /// It goes on.
    Read,
    Page(Box<Page>),
    /// The picture is all sent.
    Picture {
        width: u32,
        height: u32,
    },
    Done(End),
    Refused {
        why: Refusal,
        end: End,
    },
}

/// How a worker is after a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) fields: Vec<Field>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) incomplete: Option<String>,
    /// Bytes resident, after what is not needed has been given back.
    pub(crate) resident: u64,
    /// Bytes resident before that.
    pub(crate) peak: u64,
}

/// Why a document was not read; its own fault, all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    Format,
    Password,
    Security,
    Empty,
    NoPage { page: u32 },
    Pixels { page: u32, width: u64, height: u64, most: u64 },
    Memory,
    Picture { page: u32, why: String },
}

/// What a frame holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame<T> {
    Message(T),
    Bytes(Vec<u8>),
}

/// Why what was said could not be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("the other side said nothing that could be understood: {0}")]
    Garbage(String),
    #[error("a frame of {0} bytes is longer than may be")]
    TooLong(usize),
    #[error("the other side spoke out of turn: {0}")]
    OutOfTurn(&'static str),
    #[error("the conversation broke off")]
    Io(#[from] io::Error),
}

/// The body of a frame, without its length.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, ProtocolError> {
    postcard::to_extend(message, vec![MESSAGE]).map_err(|error| ProtocolError::Garbage(error.to_string()))
}

/// The body of a frame of bytes, without its length.
pub(crate) fn encode_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes.len() + 1);
    body.push(BYTES);
    body.extend_from_slice(bytes);
    body
}

/// Reads the body of a frame.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<Frame<T>, ProtocolError> {
    match body {
        [MESSAGE, message @ ..] => {
            let garbage = |why: String| ProtocolError::Garbage(why);
            let (message, rest) = postcard::take_from_bytes(message).map_err(|error| garbage(error.to_string()))?;
            if rest.is_empty() { Ok(Frame::Message(message)) } else { Err(garbage(format!("{} bytes too many", rest.len()))) }
        }
        [BYTES, bytes @ ..] => Ok(Frame::Bytes(bytes.to_vec())),
        [other, ..] => Err(ProtocolError::Garbage(format!("a frame of kind {other}"))),
        [] => Err(ProtocolError::Garbage("an empty frame".to_owned())),
    }
}

/// Sends one frame.
pub(crate) fn send(stream: &mut impl Write, body: &[u8]) -> Result<(), ProtocolError> {
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= LONGEST).ok_or(ProtocolError::TooLong(body.len()))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(body)?;
    Ok(())
}

/// Receives the body of one frame; `None` if the other side has gone between two.
pub(crate) fn receive(stream: &mut impl Read) -> Result<Option<Vec<u8>>, ProtocolError> {
    let mut length = [0; 4];
    let mut got = 0;
    while got < length.len() {
        match stream.read(&mut length[got..]) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(ProtocolError::TooLong(length));
    }
    // Grows as the bytes come: a length alone must not cost anything.
    let mut body = Vec::with_capacity(length.min(CHUNK + 1));
    let got = stream.by_ref().take(length as u64).read_to_end(&mut body)?;
    if got < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asks() -> impl Strategy<Value = Ask> {
        let task = prop_oneof![
            (any::<bool>(), any::<u32>(), any::<u32>()).prop_map(|(images, most_pages, skip)| Task::Extract {
                images,
                most_pages,
                skip
            }),
            (any::<u32>(), any::<u64>()).prop_map(|(page, most_pixels)| Task::Render { page, dpi: 72.0, most_pixels }),
        ];
        (task, any::<Option<String>>().prop_map(|password| password.map(Password::from)), any::<u64>(), any::<u32>())
            .prop_map(|(task, password, bytes, processor)| Ask { task, password, bytes, processor })
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_is_received(ask in asks(), bytes in any::<Vec<u8>>()) {
            let mut wire = Vec::new();
            send(&mut wire, &encode(&ask).expect("it encodes")).expect("it is sent");
            send(&mut wire, &encode_bytes(&bytes)).expect("it is sent");
            let mut wire = wire.as_slice();
            let first = receive(&mut wire).expect("it comes").expect("it is there");
            prop_assert_eq!(decode::<Ask>(&first).expect("it decodes"), Frame::Message(ask));
            let second = receive(&mut wire).expect("it comes").expect("it is there");
            prop_assert_eq!(decode::<Ask>(&second).expect("it decodes"), Frame::Bytes(bytes));
            prop_assert!(receive(&mut wire).expect("the end").is_none());
        }

        /// Whatever comes, it is taken for what it is or refused: no panic, no memory for what was only announced.
        #[test]
        fn garbage_is_refused(wire in any::<Vec<u8>>()) {
            let mut rest = wire.as_slice();
            while let Ok(Some(body)) = receive(&mut rest) {
                prop_assert!(body.len() <= wire.len());
                let _: Result<Frame<Ask>, _> = decode(&body);
                let _: Result<Frame<Told>, _> = decode(&body);
            }
            let _: Result<Frame<Ask>, _> = decode(&wire);
            let _: Result<Frame<Told>, _> = decode(&wire);
        }

        /// A message with some bytes changed is refused or is another message, and nothing worse.
        #[test]
        fn changed_messages_do_no_harm(ask in asks(), at in any::<prop::sample::Index>(), by in 1u8..) {
            let mut body = encode(&Told::Refused { why: Refusal::Picture { page: 1, why: format!("{ask:?}") }, end: End::default() })
                .expect("it encodes");
            let at = at.index(body.len());
            body[at] = body[at].wrapping_add(by);
            let _: Result<Frame<Told>, _> = decode(&body);
        }
    }

    #[test]
    fn a_frame_that_is_announced_too_long_is_not_waited_for() {
        let mut wire: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0];
        assert!(matches!(receive(&mut wire), Err(ProtocolError::TooLong(_))));
        let mut cut: &[u8] = &[5, 0, 0, 0, 1];
        assert!(matches!(receive(&mut cut), Err(ProtocolError::Io(_))));
    }
}

//! What is stored: opaque bytes, what they are, and how long they may be used; and its form in a file.
//!
//! ```text
//!   "EMCACHE1" │ SHA-256 of all that follows │ key │ length of the header │ header (postcard) │ body, packed
//! ```
//! A file is an entry if every byte is as it was written, and it is the one that was looked for. Anything else, torn,
//! mixed up or of another version, is [`Broken`]. Another form needs another mark at the start.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::freshness::{Freshness, Validators};
use super::key::Key;

/// What an entry's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Content {
    /// A document, as the caller serialised it.
    Document,
    /// Why there is none, as the caller serialised it. Never an answer by itself.
    Failure,
}

/// How bodies lie on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packing {
    /// As they are: quick to read.
    Plain,
    /// Deflated where that makes them smaller: several times as many fit.
    #[default]
    Deflate,
}

/// What is stored. Clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) body: Bytes,
}

/// Why a file is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("it is shorter than an entry can be, or begins with something else")]
    Form,
    #[error("its checksum does not fit its bytes")]
    Checksum,
    #[error("it holds another entry than its name says")]
    Key,
    #[error("its bytes are as they were written, but cannot be read")]
    Content,
}

#[derive(Serialize, Deserialize)]
struct Header<F> {
    content: Content,
    freshness: F,
    packing: Packing,
    /// Of the body, unpacked.
    length: u64,
}

const MARK: &[u8; 8] = b"EMCACHE1";
const CHECKSUM: usize = 32;
const KEY: usize = 32;
const LENGTH: usize = 4;

/// What an entry takes of memory besides its bytes: itself, its key and its places in the index, about.
const OVERHEAD: usize = 512;

impl Entry {
    /// What it takes of memory, about.
    pub(crate) fn weight(&self) -> u64 {
        let validators = &self.freshness.validators;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        (OVERHEAD + self.body.len() + text(&validators.etag) + text(&validators.last_modified)) as u64
    }

    /// What to ask a source with whether it is still right. A failure is never asked about.
    pub(crate) fn conditions(&self) -> Option<Validators> {
        let validators = &self.freshness.validators;
        (self.content == Content::Document && !validators.is_empty()).then(|| validators.clone())
    }

    /// The file's bytes.
    pub(crate) fn encode(&self, key: &Key, packing: Packing) -> Vec<u8> {
        let packed = match packing {
            Packing::Plain => None,
            Packing::Deflate => deflate(&self.body).filter(|packed| packed.len() < self.body.len()),
        };
        let (packing, body) = packed.as_ref().map_or((Packing::Plain, &self.body[..]), |packed| (Packing::Deflate, packed));
        let header = Header { content: self.content, freshness: &*self.freshness, packing, length: self.body.len() as u64 };
        // Into memory, and of types that all have a form: this cannot fail. If it did, the file would be broken.
        let header = postcard::to_allocvec(&header).unwrap_or_default();

        let mut file = Vec::with_capacity(MARK.len() + CHECKSUM + KEY + LENGTH + header.len() + body.len());
        file.extend_from_slice(MARK);
        file.extend_from_slice(&[0; CHECKSUM]);
        file.extend_from_slice(key.as_bytes());
        file.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes());
        file.extend_from_slice(&header);
        file.extend_from_slice(body);
        let checksum = Sha256::digest(&file[MARK.len() + CHECKSUM..]);
        file[MARK.len()..MARK.len() + CHECKSUM].copy_from_slice(&checksum);
        file
    }

    /// The entry in a file's bytes.
    pub(crate) fn decode(key: &Key, file: &Bytes) -> Result<Self, Broken> {
        let rest = file.strip_prefix(MARK).ok_or(Broken::Form)?;
        let (checksum, rest) = rest.split_at_checked(CHECKSUM).ok_or(Broken::Form)?;
        if Sha256::digest(rest)[..] != *checksum {
            return Err(Broken::Checksum);
        }
        let (name, rest) = rest.split_at_checked(KEY).ok_or(Broken::Form)?;
        if name != key.as_bytes() {
            return Err(Broken::Key);
        }
        let (length, rest) = rest.split_first_chunk::<LENGTH>().ok_or(Broken::Form)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Broken::Form)?;
        let (header, body) = rest.split_at_checked(length).ok_or(Broken::Form)?;
        let header: Header<Freshness> = postcard::from_bytes(header).map_err(|_| Broken::Content)?;
        let body = match header.packing {
            Packing::Plain => file.slice_ref(body),
            Packing::Deflate => inflate(body, header.length)?,
        };
        if body.len() as u64 != header.length {
            return Err(Broken::Content);
        }
        Ok(Self { content: header.content, freshness: Arc::new(header.freshness), body })
    }
}

fn deflate(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

fn inflate(packed: &[u8], length: u64) -> Result<Bytes, Broken> {
    // Reserved at once only as far as nobody minds if the length is wrong.
    let mut body = Vec::with_capacity(usize::try_from(length.min(1 << 20)).unwrap_or(0));
    // One more than there should be, to see that there is no more.
    DeflateDecoder::new(packed).take(length.saturating_add(1)).read_to_end(&mut body).map_err(|_| Broken::Content)?;
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::freshness::{FreshnessPolicy, ResponseHead};
    use super::super::time::UnixTime;
    use super::*;

    const NAME: Key = Key::from_bytes([7; 32]);

    fn entry(body: Vec<u8>) -> Entry {
        let headers = [("ETag", "\"a\""), ("Cache-Control", "max-age=60")];
        let head = ResponseHead { status: 200, headers: &headers, authorized: false };
        let freshness = Freshness::of(&head, UnixTime::from_millis(1_000_000), &FreshnessPolicy::default());
        Entry { content: Content::Failure, freshness: Arc::new(freshness), body: body.into() }
    }

    #[test]
    fn text_is_packed_and_noise_is_not() {
        let text = entry(b"the same again and again ".repeat(400));
        let noise = entry((0_u32..2500).flat_map(|i| Sha256::digest(i.to_le_bytes())[..4].to_vec()).collect());
        let size = |entry: &Entry, packing| entry.encode(&NAME, packing).len();
        assert!(size(&text, Packing::Deflate) * 10 < size(&text, Packing::Plain));
        assert_eq!(size(&noise, Packing::Deflate), size(&noise, Packing::Plain));
    }

    #[test]
    fn a_file_under_another_name_is_broken() {
        let file = entry(vec![1; 100]).encode(&NAME, Packing::Deflate).into();
        assert_eq!(Entry::decode(&Key::from_bytes([8; 32]), &file).err(), Some(Broken::Key));
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_was(body in proptest::collection::vec(0_u8..9, 0..2000), deflate: bool) {
            let packing = if deflate { Packing::Deflate } else { Packing::Plain };
            let entry = entry(body);
            let back = Entry::decode(&NAME, &entry.encode(&NAME, packing).into()).expect("decodes");
            prop_assert_eq!(back.body, entry.body);
            prop_assert_eq!(back.content, entry.content);
            prop_assert_eq!(back.freshness, entry.freshness);
        }

        #[test]
        fn a_file_with_one_byte_changed_or_its_end_cut_is_broken(
            body in proptest::collection::vec(0_u8..9, 0..300),
            place in any::<prop::sample::Index>(),
            change in 1_u8..,
        ) {
            let mut file = entry(body).encode(&NAME, Packing::Deflate);
            let place = place.index(file.len());
            prop_assert!(Entry::decode(&NAME, &Bytes::copy_from_slice(&file[..place])).is_err());
            file[place] ^= change;
            prop_assert!(Entry::decode(&NAME, &file.into()).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut file = MARK.to_vec();
            file.extend_from_slice(&Sha256::digest([&NAME.as_bytes()[..], &bytes].concat()));
            file.extend_from_slice(NAME.as_bytes());
            file.extend_from_slice(&bytes);
            let _ = Entry::decode(&NAME, &file.into());
        }
    }
}

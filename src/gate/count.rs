//! Words and letters of a text, sixty-four bytes at a time: a page is mostly text, and a decision for each byte of it costs more
//! than all else that is seen of it.

/// Bytes at a time: as many as a mask has bits.
const BLOCK: usize = 64;

/// What a text has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Each CJK character is one.
    pub(super) words: u32,
    /// All that is no space.
    pub(super) letters: usize,
    /// Whether there is a `{`.
    pub(super) braces: bool,
}

/// Counts a text, whose charset need not be known.
pub(super) fn count(text: &[u8]) -> Counted {
    let (mut words, mut spaces, mut inside, mut braces) = (0_usize, 0_usize, false, false);
    if text.len() < FEW {
        return one_by_one(text);
    }
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for block in blocks {
        let masks = Masks::of(block);
        braces |= masks.braces;
        masks.add(&mut words, &mut spaces, &mut inside);
    }
    // Zeros are neither spaces nor words.
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let masks = Masks::of(&last);
    braces |= masks.braces;
    masks.add(&mut words, &mut spaces, &mut inside);
    Counted { words: u32::try_from(words).unwrap_or(u32::MAX), letters: text.len() - spaces, braces }
}

/// Bytes that are counted sooner than a block is filled: much of a page is line ends between tags, and single words.
const FEW: usize = 12;

/// The same, one byte after the other.
fn one_by_one(text: &[u8]) -> Counted {
    let mut counted = Counted::default();
    let mut inside = false;
    for byte in text {
        if byte.is_ascii_whitespace() {
            inside = false;
            continue;
        }
        counted.letters += 1;
        counted.braces |= *byte == b'{';
        let starts = byte.is_ascii_alphanumeric() || *byte >= 0xC0;
        if (starts && !inside) || (0xE3..=0xE9).contains(byte) {
            counted.words += 1;
            inside = true;
        }
    }
    counted
}

/// What the bytes of a block are, a bit for each.
struct Masks {
    /// White space, which ends words.
    space: u64,
    /// Begins a word where none has begun: a letter, a digit, or the first byte of something that is neither in ASCII.
    start: u64,
    /// A word by itself: the first byte of a CJK character.
    word: u64,
    /// Whether one of them is a `{`.
    braces: bool,
}

impl Masks {
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut masks = Self { space: 0, start: 0, word: 0, braces: false };
        for (sixteen, at) in block.as_chunks::<16>().0.iter().zip([0, 16, 32, 48]) {
            let kinds = Kinds::of(sixteen);
            masks.space |= u64::from(kinds.space) << at;
            masks.start |= u64::from(kinds.start) << at;
            masks.word |= u64::from(kinds.word) << at;
            masks.braces |= kinds.braces;
        }
        masks
    }

    /// Goes on with this block; `inside` says whether a word has begun since the last space.
    fn add(&self, words: &mut usize, spaces: &mut usize, inside: &mut bool) {
        let no_space = !self.space;
        *spaces += self.space.count_ones() as usize;
        let first = u64::from(*inside) & no_space & 1;
        if self.word == 0 {
            // From its first beginning on, a carry runs through what is no space and comes out in the space behind it, however
            // many beginnings there are: one for each word.
            let (sum, out) = no_space.overflowing_add(self.start);
            let (sum, out_too) = sum.overflowing_add(first);
            *inside = out | out_too;
            // The word that goes on from before has been counted.
            *words += (sum & self.space).count_ones() as usize + usize::from(*inside) - first as usize;
            return;
        }
        // Each beginning, carried on to the next space: by one place, by two, by four ...
        let mut flood = self.start | self.word | first;
        let mut open = no_space;
        for places in [1, 2, 4, 8, 16, 32] {
            flood |= (flood << places) & open;
            open &= open << places;
        }
        let before = (flood << 1) & no_space | first;
        *words += (self.word.count_ones() + (self.start & !before).count_ones()) as usize;
        *inside = flood >> 63 == 1;
    }
}

/// What sixteen bytes are, a bit for each, as in [`Masks`].
struct Kinds {
    space: u16,
    start: u16,
    word: u16,
    braces: bool,
}

#[cfg(target_arch = "x86_64")]
impl Kinds {
    #[expect(unsafe_code, reason = "the compiler does not take what is a part of every such processor for one")]
    fn of(bytes: &[u8; 16]) -> Self {
        // SAFETY: SSE2 belongs to x86-64.
        unsafe { Self::at_once(bytes) }
    }

    #[target_feature(enable = "sse2")]
    fn at_once(bytes: &[u8; 16]) -> Self {
        use std::arch::x86_64::{
            __m128i, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
            _mm_set1_epi8, _mm_sub_epi8,
        };
        let all = |byte: u8| _mm_set1_epi8(byte.cast_signed());
        let bits = |found: __m128i| (_mm_movemask_epi8(found) & 0xFFFF) as u16;
        let whole = u128::from_le_bytes(*bytes);
        let bytes = _mm_set_epi64x(((whole >> 64) as u64).cast_signed(), (whole as u64).cast_signed());
        let is = |byte: u8| _mm_cmpeq_epi8(bytes, all(byte));
        // Those from `first` on that are at most so many further.
        let within = |bytes: __m128i, first: u8, most: u8| {
            let places = _mm_sub_epi8(bytes, all(first));
            _mm_cmpeq_epi8(_mm_min_epu8(places, all(most)), places)
        };
        let space =
            _mm_or_si128(_mm_or_si128(is(b' '), _mm_or_si128(is(b'\t'), is(b'\n'))), _mm_or_si128(is(b'\r'), is(b'\x0c')));
        let letter = within(_mm_or_si128(bytes, all(0x20)), b'a', 25);
        let letter = _mm_or_si128(letter, within(bytes, b'0', 9));
        let braces = bits(is(b'{')) != 0;
        if _mm_movemask_epi8(bytes) == 0 {
            return Self { space: bits(space), start: bits(letter), word: 0, braces };
        }
        let word = within(bytes, 0xE3, 6);
        let start = _mm_or_si128(letter, within(bytes, 0xC0, 0x3F));
        Self { space: bits(space), start: bits(_mm_andnot_si128(word, start)), word: bits(word), braces }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Kinds {
    fn of(bytes: &[u8; 16]) -> Self {
        let mut kinds = Self { space: 0, start: 0, word: 0, braces: bytes.contains(&b'{') };
        for (at, byte) in bytes.iter().enumerate() {
            let word = (0xE3..=0xE9).contains(byte);
            kinds.space |= u16::from(byte.is_ascii_whitespace()) << at;
            kinds.start |= u16::from(!word && (byte.is_ascii_alphanumeric() || *byte >= 0xC0)) << at;
            kinds.word |= u16::from(word) << at;
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_in_any_script() {
        let table = [("one two", 2), ("it's 5 – really", 4), ("日本語", 3), ("для всех", 2), (" \n ", 0), ("- | ·", 1), ("", 0)];
        for (text, expected) in table {
            assert_eq!(count(text.as_bytes()).words, expected, "{text}");
        }
    }

    #[test]
    fn blocks_are_counted_as_bytes_are() {
        let mut rng = fastrand::Rng::with_seed(3);
        for round in 0..3_000 {
            let length = rng.usize(0..300);
            // Long words, short ones, and bytes of any kind.
            let spaces = [0.01, 0.2, 0.5][round % 3];
            let text: Vec<u8> = (0..length)
                .map(|_| match rng.f64() {
                    roll if roll < spaces => *rng.choice(b" \t\n\r\x0c").expect("there are some"),
                    roll if roll < 0.8 => *rng.choice(b"az09AZ-.'@`{/:[\x0b").expect("there are some"),
                    _ => rng.u8(..),
                })
                .collect();
            assert_eq!(count(&text), one_by_one(&text), "{text:?}");
        }
        for byte in 0..=255 {
            assert_eq!(count(&[byte; 70]), one_by_one(&[byte; 70]), "{byte}");
        }
    }
}

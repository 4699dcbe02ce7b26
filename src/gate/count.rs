//! Words and letters of a text, sixty-four bytes at a time: a page is mostly text, and a decision for each byte of it costs more
//! than all else that is seen of it.

/// Bytes at a time: as many as a mask has bits.
const BLOCK: usize = 64;

/// Words and letters of a text: what is no space, each CJK character a word. Its charset need not be known.
pub(super) fn count(text: &[u8]) -> (u32, usize) {
    let (mut words, mut spaces, mut inside) = (0_usize, 0_usize, false);
    if text.len() < FEW {
        return one_by_one(text);
    }
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for block in blocks {
        Masks::of(block).add(&mut words, &mut spaces, &mut inside);
    }
    // Zeros are neither spaces nor words.
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    Masks::of(&last).add(&mut words, &mut spaces, &mut inside);
    (u32::try_from(words).unwrap_or(u32::MAX), text.len() - spaces)
}

/// Bytes that are counted sooner than a block is filled: much of a page is line ends between tags, and single words.
const FEW: usize = 12;

/// The same, one byte after the other.
fn one_by_one(text: &[u8]) -> (u32, usize) {
    let (mut words, mut letters, mut inside) = (0, 0, false);
    for byte in text {
        if byte.is_ascii_whitespace() {
            inside = false;
            continue;
        }
        letters += 1;
        let starts = byte.is_ascii_alphanumeric() || *byte >= 0xC0;
        if (starts && !inside) || (0xE3..=0xE9).contains(byte) {
            words += 1;
            inside = true;
        }
    }
    (words, letters)
}

/// What the bytes of a block are, a bit for each.
struct Masks {
    /// White space, which ends words.
    space: u64,
    /// Begins a word where none has begun: a letter, a digit, or the first byte of something that is neither in ASCII.
    start: u64,
    /// A word by itself: the first byte of a CJK character.
    word: u64,
}

const SPACE: u8 = 1;
const START: u8 = 2;
const WORD: u8 = 4;

impl Masks {
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut masks = Self { space: 0, start: 0, word: 0 };
        // Without a branch for each byte and without a table, so that it is done for many at once.
        if block.is_ascii() {
            let kinds = block.map(|byte| (space(byte) * SPACE) | (letter(byte) * START));
            for (at, eight) in eights(&kinds) {
                masks.space |= bits(eight) << at;
                masks.start |= bits(eight >> 1) << at;
            }
            return masks;
        }
        let kinds = block.map(|byte| {
            let word = u8::from(byte.wrapping_sub(0xE3) < 7);
            let start = (letter(byte) | u8::from(byte >= 0xC0)) & (word ^ 1);
            (space(byte) * SPACE) | (start * START) | (word * WORD)
        });
        for (at, eight) in eights(&kinds) {
            masks.space |= bits(eight) << at;
            masks.start |= bits(eight >> 1) << at;
            masks.word |= bits(eight >> 2) << at;
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

/// 1 for white space, 0 for all else.
fn space(byte: u8) -> u8 {
    let space = u8::from(byte == b' ') | u8::from(byte == b'\t') | u8::from(byte == b'\n');
    space | u8::from(byte == b'\r') | u8::from(byte == b'\x0c')
}

/// 1 for letters and digits of ASCII, 0 for all else.
fn letter(byte: u8) -> u8 {
    u8::from((byte | 0x20).wrapping_sub(b'a') < 26) | u8::from(byte.wrapping_sub(b'0') < 10)
}

/// Eight bytes at a time, each with the place of its first.
fn eights(kinds: &[u8; BLOCK]) -> impl Iterator<Item = (usize, u64)> {
    kinds.as_chunks::<8>().0.iter().enumerate().map(|(at, eight)| (at * 8, u64::from_le_bytes(*eight)))
}

/// The lowest bit of each of eight bytes, as eight bits.
fn bits(eight: u64) -> u64 {
    (eight & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_in_any_script() {
        let table = [("one two", 2), ("it's 5 – really", 4), ("日本語", 3), ("для всех", 2), (" \n ", 0), ("- | ·", 1), ("", 0)];
        for (text, expected) in table {
            assert_eq!(count(text.as_bytes()).0, expected, "{text}");
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

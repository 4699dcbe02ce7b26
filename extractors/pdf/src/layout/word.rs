//! Characters to words: by the gaps between them, measured against the gaps that the same line has between letters.

use unicode_bidi::BidiClass;
use unicode_normalization::UnicodeNormalization;

use crate::geometry::{Rect, Turn};
use crate::raw::{Glyph, RawPage, Role, Run};

/// A word, its letters in reading order.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) rect: Rect,
    pub(crate) size: f32,
    pub(crate) bold: bool,
    pub(crate) monospaced: bool,
    pub(crate) direction: Direction,
    pub(crate) role: Option<Role>,
    /// Number of the anchor that it is part of.
    pub(crate) link: Option<u16>,
}

/// Which way a word runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    LeftToRight,
    RightToLeft,
    /// Numbers and signs, which go the way of their neighbours.
    Neutral,
}

/// Characters that follow each other on one baseline without a wide gap: a line, or a piece of one.
#[derive(Debug)]
pub(crate) struct Atom {
    pub(crate) words: Vec<Word>,
    pub(crate) rect: Rect,
    pub(crate) baseline: f32,
    pub(crate) size: f32,
    /// Whether a space goes before, or follows: then it is no part of the word beside it.
    pub(crate) space_before: bool,
    pub(crate) space_after: bool,
    /// Its place in the order of drawing.
    pub(crate) order: usize,
}

/// A gap this wide ends an atom, in ems.
const WIDE: f32 = 1.0;
/// Characters may overlap by this much and still follow each other, in ems: kerning, italics, accents.
const OVERLAP: f32 = 0.45;
/// More spaces than this in a row are meant as a gap.
const SPACES: usize = 2;
/// Baselines this far apart are two, in ems.
const STEP: f32 = 0.2;
/// A gap is one between words from here on, in ems above the usual gap between letters: where spaces are drawn, and
/// where there are none and gaps stand for them.
const GAP_BESIDE_SPACES: f32 = 0.3;
const GAP_INSTEAD_OF_SPACES: f32 = 0.17;

/// Cuts the characters of one direction into atoms.
pub(crate) fn atoms(page: &RawPage, degrees: i32) -> Vec<Atom> {
    let mut builder = Builder {
        page,
        turn: Turn::back(degrees),
        atoms: Vec::new(),
        letters: Vec::new(),
        open: None,
        gaps: Vec::new(),
        places: Vec::new(),
    };
    for glyph in &page.glyphs {
        let run = &page.runs[glyph.run as usize];
        if run.degrees == degrees {
            builder.take(glyph, run);
        }
    }
    builder.close(false);
    builder.atoms
}

/// A character in the frame of its own direction.
#[derive(Clone, Copy, Debug)]
struct Letter {
    character: char,
    left: f32,
    right: f32,
    run: u32,
    /// Whether it comes out of the same drawn sign as the one before: a ligature.
    joined: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    baseline: f32,
    size: f32,
    rect: Rect,
    last: (f32, Rect),
    spaces: usize,
    space_before: bool,
    right_to_left: bool,
}

struct Builder<'p> {
    page: &'p RawPage,
    turn: Turn,
    atoms: Vec<Atom>,
    letters: Vec<Letter>,
    open: Option<Open>,
    gaps: Vec<f32>,
    places: Vec<Place>,
}

impl Builder<'_> {
    fn take(&mut self, glyph: &Glyph, run: &Run) {
        let (x, baseline) = self.turn.point(glyph.origin);
        let mut cell = self.turn.rect(&glyph.cell);
        if run.degrees % 90 != 0 {
            // A slanted cell's own rectangle says little; half an em is the usual width.
            cell = Rect { left: x, bottom: baseline - 0.2 * run.size, right: x + 0.5 * run.size, top: baseline + 0.8 * run.size };
        }
        if cell.height() < 0.3 * run.size || cell.height() > 3.0 * run.size {
            cell = Rect { bottom: baseline - 0.2 * run.size, top: baseline + 0.8 * run.size, ..cell };
        }
        let letter = Letter { character: glyph.character, left: cell.left, right: cell.right, run: glyph.run, joined: false };
        if glyph.character == ' ' {
            // It has nothing to show, and so its cell may be anything; it begins at its origin.
            let letter = Letter { left: x, right: cell.right.max(x), ..letter };
            self.space(letter, baseline, run.size);
            return;
        }
        let rtl = is_right_to_left(glyph.character);
        if let Some(open) = &mut self.open {
            let em = open.size.max(run.size);
            let same_line = (baseline - open.baseline).abs() <= STEP * open.size.min(run.size);
            let same_size = run.size < 1.3 * open.size && open.size < 1.3 * run.size;
            let ligature = same_line
                && !self.letters.is_empty()
                && (x - open.last.0).abs() < 0.01
                && (cell.right - open.last.1.right).abs() < 0.01;
            let after = cell.left - open.rect.right;
            let before = open.rect.left - cell.right;
            let mark = is_combining_mark(glyph.character) && before < 0.0 && after < 0.0;
            let follows = (-OVERLAP * em..=WIDE * em).contains(&after);
            let backwards = rtl || open.right_to_left;
            let precedes = backwards && (-OVERLAP * em..=WIDE * em).contains(&before);
            // The letters of a word may be drawn from left to right, though the words are drawn from right to left.
            let beside = backwards && (-OVERLAP * em..=0.5 * em).contains(&(cell.left - open.last.1.right));
            // A sign that goes back over what has been drawn goes on with it only if it is an accent on it.
            if same_line && same_size && open.spaces <= SPACES && (follows || precedes || beside || mark || ligature) {
                open.rect = open.rect.union(&cell);
                open.last = (x, cell);
                open.spaces = 0;
                open.right_to_left |= rtl;
                self.letters.push(Letter { joined: ligature, ..letter });
                return;
            }
            let after_space = open.spaces > 0;
            self.close(after_space);
            self.begin(letter, x, baseline, run.size, cell, after_space && same_line, rtl);
            return;
        }
        self.begin(letter, x, baseline, run.size, cell, false, rtl);
    }

    #[expect(clippy::too_many_arguments, reason = "all of one sign")]
    fn begin(&mut self, letter: Letter, x: f32, baseline: f32, size: f32, rect: Rect, space_before: bool, rtl: bool) {
        self.open = Some(Open { baseline, size, rect, last: (x, rect), spaces: 0, space_before, right_to_left: rtl });
        self.letters.push(letter);
    }

    /// A space widens what it stands beside, and says that a word ends here.
    fn space(&mut self, letter: Letter, baseline: f32, size: f32) {
        let Some(open) = &mut self.open else { return };
        let em = open.size.max(size);
        let near = letter.left - open.rect.right <= WIDE * em && open.rect.left - letter.right <= WIDE * em;
        if (baseline - open.baseline).abs() > STEP * em || !near {
            self.close(false);
            return;
        }
        open.spaces += 1;
        if open.spaces == 1 {
            self.letters.push(letter);
        }
        open.rect.left = open.rect.left.min(letter.left);
        open.rect.right = open.rect.right.max(letter.right);
        open.last = (letter.left, Rect { left: letter.left, right: letter.right, ..open.rect });
    }

    fn close(&mut self, space_after: bool) {
        let Some(open) = self.open.take() else { return };
        let marks = self.letters.iter().any(|letter| is_combining_mark(letter.character));
        let sorted = self.letters.is_sorted_by(|a, b| a.left <= b.left);
        let ended = self.letters.last().is_some_and(|letter| letter.character == ' ');
        let mut clusters = Clusters::of(std::mem::take(&mut self.letters), std::mem::take(&mut self.places));
        if open.right_to_left || marks || !sorted {
            clusters.sort();
        }
        let words = self.words(&clusters, open);
        // Their room is used again.
        self.letters = clusters.letters;
        self.letters.clear();
        self.places = clusters.places;
        let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
        let rect = Rect { left: first.rect.left, right: last.rect.right, ..open.rect };
        let order = self.atoms.len();
        self.atoms.push(Atom {
            words,
            rect,
            baseline: open.baseline,
            size: open.size,
            space_before: open.space_before,
            space_after: space_after || ended,
            order,
        });
    }

    fn words(&mut self, clusters: &Clusters, open: Open) -> Vec<Word> {
        let em = open.size;
        let (mut spaced, mut widest, mut right) = (false, f32::NEG_INFINITY, f32::INFINITY);
        for place in &clusters.places {
            spaced |= clusters.is_space(place);
            widest = widest.max(place.left - right);
            right = place.right;
        }
        // Where every gap is too small to divide words, only spaces do.
        let gaps = widest > em * GAP_INSTEAD_OF_SPACES;
        if !gaps && !spaced {
            return self.word(clusters, 0, clusters.places.len(), open).into_iter().collect();
        }
        self.gaps.clear();
        for pair in clusters.places.windows(2).take(if gaps { usize::MAX } else { 0 }) {
            if !clusters.is_space(&pair[0]) && !clusters.is_space(&pair[1]) {
                self.gaps.push((pair[1].left - pair[0].right).clamp(-0.1 * em, 0.6 * em));
            }
        }
        let usual = if self.gaps.len() >= 3 {
            let middle = self.gaps.len() / 2;
            *self.gaps.select_nth_unstable_by(middle, f32::total_cmp).1
        } else {
            0.0
        };
        let threshold = usual.max(0.0) + em * if spaced { GAP_BESIDE_SPACES } else { GAP_INSTEAD_OF_SPACES };
        let mut words = Vec::new();
        let mut from = 0;
        let mut last_right = f32::NEG_INFINITY;
        for (index, place) in clusters.places.iter().enumerate() {
            let space = clusters.is_space(place);
            if space || (index > from && place.left - last_right > threshold) {
                words.extend(self.word(clusters, from, index, open));
                from = if space { index + 1 } else { index };
            }
            last_right = place.right;
        }
        words.extend(self.word(clusters, from, clusters.places.len(), open));
        words
    }

    fn word(&self, clusters: &Clusters, from: usize, to: usize, open: Open) -> Option<Word> {
        let places = clusters.places.get(from..to).filter(|places| !places.is_empty())?;
        let letters = |place: &Place| &clusters.letters[place.from..place.to];
        let run = &self.page.runs[letters(&places[0]).first()?.run as usize];
        let strong = |rtl: bool| {
            let all = places.iter().flat_map(letters);
            all.filter(|letter| strength(letter.character) == Some(rtl)).count()
        };
        let (backward, forward) = if open.right_to_left { (strong(true), strong(false)) } else { (0, 1) };
        let direction = match (backward, forward) {
            (0, 0) => Direction::Neutral,
            (0, _) if open.right_to_left => Direction::LeftToRight,
            (0, _) if places.iter().flat_map(letters).any(|letter| strength(letter.character) == Some(false)) => {
                Direction::LeftToRight
            }
            (0, _) => Direction::Neutral,
            _ => Direction::RightToLeft,
        };
        let mut text = String::with_capacity(places.len() + 4);
        if direction == Direction::RightToLeft {
            // What runs the other way inside, as numbers, keeps its own order.
            let mut index = places.len();
            while index > 0 {
                let end = index;
                index -= 1;
                let forward = |place: &Place| letters(place).first().is_some_and(|letter| runs_forward(letter.character));
                if forward(&places[index]) {
                    while index > 0 && forward(&places[index - 1]) {
                        index -= 1;
                    }
                }
                for place in &places[index..end] {
                    letters(place).iter().for_each(|letter| push(&mut text, letter.character));
                }
            }
        } else {
            places.iter().flat_map(letters).for_each(|letter| push(&mut text, letter.character));
        }
        if text.is_empty() {
            return None;
        }
        let rect = Rect { left: places.first()?.left, right: places.last()?.right, ..open.rect };
        Some(Word {
            text,
            rect: Rect { right: rect.right.max(rect.left), ..rect },
            size: open.size,
            bold: run.bold,
            monospaced: run.monospaced,
            direction,
            role: self.page.role(run),
            link: None,
        })
    }
}

/// Letters that stand in one place: a sign with its accents, or all the letters of a ligature.
#[derive(Clone, Copy, Debug)]
struct Place {
    from: usize,
    to: usize,
    left: f32,
    right: f32,
}

struct Clusters {
    letters: Vec<Letter>,
    places: Vec<Place>,
}

impl Clusters {
    fn of(letters: Vec<Letter>, mut places: Vec<Place>) -> Self {
        places.clear();
        for (index, letter) in letters.iter().enumerate() {
            let accent = is_combining_mark(letter.character);
            match places.last_mut() {
                Some(place) if letter.joined || (accent && letter.left < place.right && place.left < letter.right) => {
                    place.to = index + 1
                }
                _ => places.push(Place { from: index, to: index + 1, left: letter.left, right: letter.right }),
            }
        }
        Self { letters, places }
    }

    fn sort(&mut self) {
        self.places.sort_by(|a, b| (a.left + a.right).total_cmp(&(b.left + b.right)));
    }

    fn is_space(&self, place: &Place) -> bool {
        self.letters[place.from].character == ' '
    }
}

fn push(text: &mut String, character: char) {
    match character {
        // Ligatures and shapes of Arabic letters stand for the letters themselves.
        '\u{fb00}'..='\u{fb4f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' => {
            text.extend(std::iter::once(character).nfkc());
        }
        character => text.push(character),
    }
}

pub(crate) fn is_right_to_left(character: char) -> bool {
    character >= '\u{590}' && strength(character) == Some(true)
}

/// An accent, or another sign that stands on the one before. None of them is in the first pages of Unicode.
fn is_combining_mark(character: char) -> bool {
    character >= '\u{300}' && unicode_normalization::char::is_combining_mark(character)
}

/// Whether a character runs from right to left; none if it has no direction of its own.
fn strength(character: char) -> Option<bool> {
    if character.is_ascii() {
        return character.is_ascii_alphabetic().then_some(false);
    }
    let class = unicode_bidi::bidi_class(character);
    if class == BidiClass::L { Some(false) } else { matches!(class, BidiClass::R | BidiClass::AL).then_some(true) }
}

/// Letters that run from left to right, and numbers.
fn runs_forward(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric();
    }
    matches!(unicode_bidi::bidi_class(character), BidiClass::L | BidiClass::EN | BidiClass::AN)
}

/// Whether most of the words that have a direction run from right to left.
pub(crate) fn runs_back<'w>(words: impl Iterator<Item = &'w Word>) -> bool {
    let (mut back, mut forth) = (0, 0);
    for word in words {
        match word.direction {
            Direction::RightToLeft => back += 1,
            Direction::LeftToRight => forth += 1,
            Direction::Neutral => {}
        }
    }
    back > forth
}

/// Puts words that stand from left to right into the order in which they are read.
pub(crate) fn reading_order(words: &mut [Word]) {
    let count =
        |direction: Direction| words.iter().filter(|word| word.direction == direction).map(|word| word.text.len()).sum::<usize>();
    let backward = count(Direction::RightToLeft);
    if backward == 0 {
        return;
    }
    // The smaller part is turned inside the larger one.
    let base = if backward >= count(Direction::LeftToRight) { Direction::RightToLeft } else { Direction::LeftToRight };
    if base == Direction::RightToLeft {
        words.reverse();
        reverse_runs(words, Direction::LeftToRight);
    } else {
        reverse_runs(words, Direction::RightToLeft);
    }
}

fn reverse_runs(words: &mut [Word], direction: Direction) {
    let mut from = 0;
    while from < words.len() {
        if words[from].direction != direction {
            from += 1;
            continue;
        }
        let mut to = from + 1;
        for (index, word) in words.iter().enumerate().skip(from + 1) {
            if word.direction == direction {
                to = index + 1;
            } else if word.direction != Direction::Neutral {
                break;
            }
        }
        words[from..to].reverse();
        from = to;
    }
}

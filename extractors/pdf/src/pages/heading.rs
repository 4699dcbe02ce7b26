//! Which paragraphs are headings, and of which level: by what the document says of itself, else by their type.

use std::collections::{BTreeMap, HashMap};

use eventmesh_guest::OutlineItem;

use crate::layout::Laid;
use crate::layout::block::{Block, Paragraph};
use crate::raw::Role;

/// A heading's letters are this much larger than those of the text, by its level.
const LARGER: [(f32, u8); 3] = [(1.7, 1), (1.35, 2), (1.13, 3)];
/// A bold line that is no larger.
const BOLD: u8 = 4;
const LONGEST: usize = 220;
const LONGEST_BOLD: usize = 110;

/// What has been seen of a document's type.
#[derive(Debug, Default)]
pub(super) struct Headings {
    /// Letters by size, in quarters of a point.
    sizes: BTreeMap<u32, usize>,
    letters: usize,
    bold: usize,
    tagged: usize,
    outline: HashMap<String, u8>,
}

impl Headings {
    pub(super) fn new(outline: &[OutlineItem]) -> Self {
        let outline = outline.iter().map(|item| (plain(&item.title), item.level.min(6)));
        Self { outline: outline.filter(|(title, _)| !title.is_empty()).collect(), ..Self::default() }
    }

    /// Looks at a page that has been read.
    pub(super) fn see(&mut self, laid: &Laid) {
        for block in &laid.blocks {
            let Block::Paragraph(paragraph) = block else { continue };
            for line in &paragraph.lines {
                let letters = line.text.len();
                *self.sizes.entry((line.size * 4.0).round() as u32).or_default() += letters;
                self.letters += letters;
                self.bold += if line.bold { letters } else { 0 };
                self.tagged += if matches!(line.role, Some(Role::Heading(_))) { letters } else { 0 };
            }
        }
    }

    /// The usual size, in points.
    fn body(&self) -> f32 {
        self.sizes.iter().max_by_key(|(_, letters)| **letters).map_or(10.0, |(size, _)| *size as f32 / 4.0)
    }

    /// The level of a paragraph that is a heading; `after` is what follows it on its page.
    pub(super) fn level(&self, paragraph: &Paragraph, after: &[Block]) -> Option<u8> {
        let lines = &paragraph.lines;
        let first = lines.first()?;
        let letters: usize = lines.iter().map(|line| line.text.len()).sum();
        let spelled = lines.iter().any(|line| line.text.chars().any(char::is_alphabetic));
        if letters > LONGEST || lines.len() > 4 || !spelled || lines.iter().all(|line| line.monospaced) {
            return None;
        }
        if first.role == Some(Role::Furniture) {
            return None;
        }
        // Tags that call most of the text a heading are wrong.
        let sound = self.tagged * 5 < self.letters * 2;
        if let (Some(Role::Heading(level)), true) = (first.role, sound) {
            return Some(level);
        }
        let size = lines.iter().map(|line| line.size).fold(0.0, f32::max);
        let body = self.body();
        let larger = LARGER.iter().find(|(ratio, _)| size >= ratio * body).map(|(_, level)| *level);
        let bold = lines.iter().all(|line| line.bold);
        if larger.is_some() || bold {
            let text = plain(&paragraph.text().0);
            if let Some(level) = self.outline.get(&text) {
                return Some(*level);
            }
        }
        if sound && self.tagged > 0 && matches!(first.role, Some(Role::Body | Role::Item(_))) {
            return None;
        }
        if larger.is_some() {
            return larger;
        }
        let last = lines.last()?;
        let ended = last.text.ends_with(['.', ',', ';', ':', '!', '?']);
        let unusual = self.bold * 3 < self.letters;
        let followed = match after.first() {
            Some(Block::Paragraph(next)) => next.lines.iter().any(|line| !line.bold),
            Some(Block::Table(_)) => true,
            None => false,
        };
        let short = letters <= LONGEST_BOLD && lines.len() <= 2 && letters >= 2;
        (bold && unusual && followed && short && !ended && size >= 0.95 * body).then_some(BOLD)
    }
}

/// A title without what may differ between the text and the outline.
fn plain(title: &str) -> String {
    title.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

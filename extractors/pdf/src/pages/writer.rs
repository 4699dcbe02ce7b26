//! Blocks to Markdown and plain text.

use eventmesh_guest::{Table as Data, escape_markdown, longest_run, markdown_target};

use super::{anchor, data};
use crate::layout::block::{Paragraph, Table, without_soft_hyphens};
use crate::layout::list::Marker;
use crate::raw::Anchor;

/// Writes a page.
#[derive(Debug)]
pub(super) struct Writer<'p> {
    anchors: &'p [Anchor],
    markdown: String,
    text: String,
    /// Where the items of the list that is being written stand, the outermost first.
    items: Vec<f32>,
}

/// Items this far to the right of others are inside of them, in points.
const DEEPER: f32 = 6.0;
/// How deep lists go.
const DEPTH: usize = 6;

impl<'p> Writer<'p> {
    pub(super) fn new(anchors: &'p [Anchor]) -> Self {
        Self { anchors, markdown: String::new(), text: String::new(), items: Vec::new() }
    }

    pub(super) fn finish(mut self) -> (String, String) {
        self.markdown.truncate(self.markdown.trim_end().len());
        self.text.truncate(self.text.trim_end().len());
        (self.markdown, self.text)
    }

    fn begin_block(&mut self) {
        if !self.markdown.is_empty() {
            self.markdown.push_str("\n\n");
        }
    }

    pub(super) fn paragraph(&mut self, paragraph: &Paragraph, heading: Option<u8>) {
        if heading.is_none() && paragraph.lines.iter().all(|line| line.monospaced) && paragraph.lines.len() >= 2 {
            self.code(paragraph);
            return;
        }
        let (text, links) = paragraph.text();
        let plain = without_soft_hyphens(&text);
        self.text.push_str(&plain);
        self.text.push('\n');
        if let Some(level) = heading {
            self.items.clear();
            self.begin_block();
            self.markdown.extend(std::iter::repeat_n('#', usize::from(level.clamp(1, 6))));
            self.markdown.push(' ');
            self.inline(&text, &links, 0, false);
            return;
        }
        match &paragraph.marker {
            Some(marker) => self.item(paragraph, marker, &text, &links),
            None => {
                self.items.clear();
                self.begin_block();
                self.inline(&text, &links, 0, true);
            }
        }
    }

    fn item(&mut self, paragraph: &Paragraph, marker: &Marker, text: &str, links: &[(usize, usize, u16)]) {
        let left = paragraph.lines[0].rect.left;
        let goes_on = !self.items.is_empty();
        while self.items.last().is_some_and(|last| left < *last - DEEPER) {
            self.items.pop();
        }
        if self.items.last().is_none_or(|last| left > *last + DEEPER) && self.items.len() < DEPTH {
            self.items.push(left);
        }
        if goes_on {
            self.markdown.push('\n');
        } else {
            self.begin_block();
        }
        self.markdown.extend(std::iter::repeat_n("  ", self.items.len().saturating_sub(1)));
        // Without its sign, which Markdown has its own for.
        let sign = text.find(' ').map_or(0, |space| space + 1);
        match marker {
            Marker::Bullet => {
                self.markdown.push_str("- ");
                self.inline(text, links, sign, true);
            }
            Marker::Number(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.markdown.push_str(number);
                self.markdown.push_str(". ");
                self.inline(text, links, sign, true);
            }
            Marker::Number(_) | Marker::Tagged => {
                self.markdown.push_str("- ");
                self.inline(text, links, 0, true);
            }
        }
    }

    /// `text` from the byte `from` on, with its links.
    fn inline(&mut self, text: &str, links: &[(usize, usize, u16)], from: usize, at_line_start: bool) {
        let mut at = from;
        let mut start = at_line_start;
        for (begin, end, number) in links {
            let Some(href) = anchor(self.anchors, *number).filter(|_| *begin >= at && end > begin) else { continue };
            self.escaped(&text[at..*begin], start);
            start &= *begin == at;
            self.markdown.push('[');
            self.escaped(&text[*begin..*end], false);
            self.markdown.push_str("](");
            self.markdown.push_str(&markdown_target(href));
            self.markdown.push(')');
            at = *end;
        }
        let end_soft = text.ends_with('\u{ad}');
        self.escaped(&text[at..], start);
        if end_soft {
            self.markdown.push('-');
        }
    }

    fn escaped(&mut self, text: &str, at_line_start: bool) {
        if text.contains('\u{ad}') {
            let text: String = text.chars().filter(|character| *character != '\u{ad}').collect();
            escape_markdown(&text, at_line_start, &mut self.markdown);
        } else {
            escape_markdown(text, at_line_start, &mut self.markdown);
        }
    }

    fn code(&mut self, paragraph: &Paragraph) {
        self.items.clear();
        self.begin_block();
        let left = paragraph.lines.iter().map(|line| line.rect.left).fold(f32::INFINITY, f32::min);
        let mut code = String::new();
        for line in &paragraph.lines {
            let indent = ((line.rect.left - left) / (0.6 * line.size)).round().clamp(0.0, 80.0) as usize;
            code.extend(std::iter::repeat_n(' ', indent));
            code.push_str(&line.text.replace('\u{ad}', "-"));
            code.push('\n');
        }
        let fence = "`".repeat(longest_run(&code, '`').max(2) + 1);
        self.markdown.push_str(&format!("{fence}\n{code}{fence}"));
        self.text.push_str(&code);
    }

    pub(super) fn table(&mut self, table: &Table) -> Data {
        self.items.clear();
        self.begin_block();
        let data = data(&table.rows);
        let columns = table.rows.iter().map(Vec::len).max().unwrap_or(0);
        self.row(&data.header, columns);
        self.markdown.push('\n');
        self.markdown.push_str(&"| --- ".repeat(columns));
        self.markdown.push('|');
        for row in &data.rows {
            self.markdown.push('\n');
            self.row(row, columns);
        }
        for row in &table.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
            self.text.push_str(&cells.join("\t"));
            self.text.push('\n');
        }
        data
    }

    fn row(&mut self, cells: &[String], columns: usize) {
        for column in 0..columns {
            let mut cell = String::new();
            escape_markdown(cells.get(column).map(String::as_str).unwrap_or_default(), false, &mut cell);
            self.markdown.push_str("| ");
            self.markdown.push_str(&cell.replace('|', "\\|"));
            self.markdown.push(' ');
        }
        self.markdown.push('|');
    }
}

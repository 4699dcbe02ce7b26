//! Lines of Markdown under a prefix: quotes and list items put something before every line of theirs.

/// Prefixes nest no deeper than this; what is deeper is set at the same depth. Keeps the output linear in the
/// input, whatever the nesting.
const DEEPEST: usize = 12;

/// Writes blocks of lines, each under the prefix of what it stands in.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: String,
    /// What every line starts with.
    prefix: String,
    /// Lengths of `prefix` before each nesting.
    nesting: Vec<usize>,
    /// Bullets and numbers that the next line starts with, in place of the blanks at the end of the prefix.
    marker: Option<String>,
    line_open: bool,
    /// A blank line comes before the next one, under this much of the prefix.
    gap: Option<usize>,
}

impl Writer {
    /// Writes within the current line, and opens one if there is none.
    pub(crate) fn push(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.line_open {
            self.open_line();
        }
        self.out.push_str(text);
    }

    fn open_line(&mut self) {
        if let Some(length) = self.gap.take()
            && !self.out.is_empty()
        {
            let blank = self.prefix.get(..length).unwrap_or(&self.prefix).trim_end();
            self.out.push_str(blank);
            self.out.push('\n');
        }
        match self.marker.take() {
            Some(marker) => {
                let kept = self.prefix.len().saturating_sub(marker.len());
                self.out.push_str(self.prefix.get(..kept).unwrap_or(&self.prefix));
                self.out.push_str(&marker);
            }
            None => self.out.push_str(&self.prefix),
        }
        self.line_open = true;
    }

    /// Ends the line, if one is open.
    pub(crate) fn end_line(&mut self) {
        if self.line_open {
            self.out.truncate(self.out.trim_end_matches(' ').len());
            self.out.push('\n');
            self.line_open = false;
        }
    }

    /// An empty line that belongs to the block: in code.
    pub(crate) fn empty_line(&mut self) {
        self.end_line();
        self.out.push_str(self.prefix.trim_end());
        self.out.push('\n');
    }

    /// Breaks the line hard.
    pub(crate) fn break_line(&mut self) {
        if self.line_open {
            self.out.truncate(self.out.trim_end_matches(' ').len());
            self.out.push_str("  \n");
            self.line_open = false;
        }
    }

    /// Ends the block: a blank line comes before the next one.
    pub(crate) fn end_block(&mut self) {
        self.end_line();
        // Before the text of an item there is none: it starts beside its marker.
        if self.marker.is_none() {
            let length = self.prefix.len();
            self.gap = Some(self.gap.map_or(length, |gap| gap.min(length)));
        }
    }

    /// No blank line before what comes next: for items of a tight list.
    pub(crate) fn close_up(&mut self) {
        self.end_line();
        self.gap = None;
    }

    /// Lines from now on start with `prefix` as well.
    pub(crate) fn nest(&mut self, prefix: &str) {
        self.end_line();
        self.nesting.push(self.prefix.len());
        if self.nesting.len() <= DEEPEST {
            self.prefix.push_str(prefix);
        }
    }

    /// The next line starts with `marker`, and lines after it are set under its text.
    pub(crate) fn nest_item(&mut self, marker: &str) {
        self.end_line();
        self.nesting.push(self.prefix.len());
        if self.nesting.len() <= DEEPEST {
            self.prefix.extend(marker.chars().map(|_| ' '));
            // Two items that open on the same line, `- - x`, keep both markers.
            self.marker = Some(self.marker.take().unwrap_or_default() + marker);
        } else if self.marker.is_none() {
            self.marker = Some(marker.to_owned());
        }
    }

    /// Ends the innermost nesting.
    pub(crate) fn unnest(&mut self) {
        self.end_line();
        // An item without content.
        self.marker = None;
        if let Some(length) = self.nesting.pop() {
            self.prefix.truncate(length);
            self.gap = self.gap.map(|gap| gap.min(length));
        }
    }

    /// Whether a line is open.
    pub(crate) fn in_line(&self) -> bool {
        self.line_open
    }

    /// Whether the last thing written is white space, or nothing is in this line yet.
    pub(crate) fn after_space(&self) -> bool {
        !self.line_open || self.out.ends_with(char::is_whitespace)
    }

    /// The text, without white space at its end.
    pub(crate) fn finish(mut self) -> String {
        self.out.truncate(self.out.trim_end().len());
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_start_with_what_they_stand_in() {
        let mut writer = Writer::default();
        writer.push("a");
        writer.end_block();
        writer.nest("> ");
        writer.push("b");
        writer.end_block();
        writer.nest_item("- ");
        writer.push("c");
        writer.end_line();
        writer.push("d");
        writer.unnest();
        writer.nest_item("10. ");
        writer.nest_item("- ");
        writer.push("e");
        writer.unnest();
        writer.unnest();
        writer.unnest();
        assert_eq!(writer.finish(), "a\n\n> b\n>\n> - c\n>   d\n> 10. - e\n");
    }

    #[test]
    fn deep_nesting_does_not_multiply_the_output() {
        let mut writer = Writer::default();
        for _ in 0..500 {
            writer.nest("> ");
            writer.push("x");
        }
        assert!(writer.finish().len() < 500 * 40);
    }
}

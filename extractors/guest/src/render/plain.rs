//! The content as plain text: blocks on lines of their own, cells of a row apart by a tab, no markup.

use html5ever::local_name;

use crate::dom::{Dom, NodeData, NodeId};
use crate::render::code::code_text;
use crate::render::{Flow, flow};
use crate::select::Selection;
use crate::text::push_collapsed;

pub(crate) fn render(dom: &Dom, selection: &Selection) -> String {
    let mut text = Plain { dom, selection, out: String::new(), line: String::new() };
    for root in &selection.roots {
        text.block(*root);
        text.end_line();
    }
    text.out.truncate(text.out.trim_end().len());
    text.out
}

struct Plain<'a> {
    dom: &'a Dom,
    selection: &'a Selection,
    out: String,
    line: String,
}

impl Plain<'_> {
    fn block(&mut self, id: NodeId) {
        if !self.selection.keeps(id) {
            return;
        }
        match self.dom.data(id) {
            NodeData::Text(text) => push_collapsed(&mut self.line, text),
            NodeData::Fragment => self.children(id),
            NodeData::Nothing => {}
            NodeData::Element(element) => match element.html_name() {
                Some(&local_name!("br")) => self.end_line(),
                Some(&local_name!("pre")) => {
                    self.end_line();
                    self.out.push_str(code_text(self.dom, id, self.selection).trim_matches('\n').trim_end());
                    self.out.push('\n');
                }
                Some(&local_name!("td") | &local_name!("th")) => {
                    // A cell may hold blocks; they are one line with the row all the same.
                    if !self.line.is_empty() {
                        self.line.truncate(self.line.trim_end().len());
                        self.line.push('\t');
                    }
                    self.children(id);
                }
                Some(name) if flow(name) == Flow::Block => {
                    let in_row = self.in_row(id);
                    if !in_row {
                        self.end_line();
                    } else if !self.line.is_empty() && !self.line.ends_with(char::is_whitespace) {
                        self.line.push(' ');
                    }
                    self.children(id);
                    if !in_row {
                        self.end_line();
                    }
                }
                Some(_) | None => self.children(id),
            },
        }
    }

    fn children(&mut self, id: NodeId) {
        let dom = self.dom;
        for child in dom.children(id) {
            self.block(child);
        }
    }

    /// Whether a block stands directly in a cell of plain text.
    fn in_row(&self, id: NodeId) -> bool {
        let parent = self.dom.parent(id).and_then(|parent| self.dom.html_name(parent));
        matches!(parent, Some(&local_name!("td") | &local_name!("th")))
            && matches!(self.dom.html_name(id), Some(&local_name!("p") | &local_name!("div")))
    }

    fn end_line(&mut self) {
        let line = self.line.trim();
        if !line.is_empty() {
            self.out.push_str(line);
            self.out.push('\n');
        }
        self.line.clear();
    }
}

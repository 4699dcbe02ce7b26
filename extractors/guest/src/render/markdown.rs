//! The content as GitHub-flavoured Markdown, links and images absolute.
//!
//! Collects the content's images and data tables on the way, since it decides on both.

use html5ever::{LocalName, local_name};

use crate::document::{Image, Table};
use crate::dom::{Dom, Element, NodeData, NodeId};
use crate::links::{Base, image};
use crate::render::below::Below;
use crate::render::code::{code_text, language};
use crate::render::escape::{escape, longest_run, target};
use crate::render::writer::Writer;
use crate::render::{Flow, flow, table};
use crate::select::Selection;
use crate::text::{collapsed, push_collapsed};

/// What one walk over the content brings.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) markdown: String,
    pub(crate) images: Vec<Image>,
    pub(crate) tables: Vec<Table>,
}

pub(crate) fn render(dom: &Dom, selection: &Selection, base: &Base) -> Rendered {
    let mut markdown = Markdown {
        dom,
        selection,
        base,
        out: Writer::default(),
        images: Vec::new(),
        tables: Vec::new(),
        below: Below::of(dom, selection),
        marks: 0,
        in_link: false,
        in_heading: false,
        scratch: String::new(),
    };
    for root in &selection.roots {
        markdown.node(*root);
        markdown.out.end_block();
    }
    Rendered { markdown: markdown.out.finish(), images: markdown.images, tables: markdown.tables }
}

/// Emphasis is nested no deeper than this.
const DEEPEST_MARKS: u8 = 3;

struct Markdown<'a> {
    dom: &'a Dom,
    selection: &'a Selection,
    base: &'a Base,
    out: Writer,
    images: Vec<Image>,
    tables: Vec<Table>,
    below: Below,
    /// Emphasis that is open.
    marks: u8,
    in_link: bool,
    in_heading: bool,
    scratch: String,
}

impl Markdown<'_> {
    fn node(&mut self, id: NodeId) {
        if !self.selection.keeps(id) {
            return;
        }
        let dom = self.dom;
        match dom.data(id) {
            NodeData::Text(text) => self.text(text),
            NodeData::Fragment => self.children(id),
            NodeData::Nothing => {}
            NodeData::Element(element) => match element.html_name() {
                Some(name) => self.element(id, name, element),
                None => self.children(id),
            },
        }
    }

    fn children(&mut self, id: NodeId) {
        let dom = self.dom;
        for child in dom.children(id) {
            self.node(child);
        }
    }

    fn element(&mut self, id: NodeId, name: &LocalName, element: &Element) {
        match *name {
            local_name!("h1") => self.heading(id, "# "),
            local_name!("h2") => self.heading(id, "## "),
            local_name!("h3") => self.heading(id, "### "),
            local_name!("h4") => self.heading(id, "#### "),
            local_name!("h5") => self.heading(id, "##### "),
            local_name!("h6") => self.heading(id, "###### "),
            local_name!("br") => {
                if self.in_heading {
                    self.out.push(" ");
                } else {
                    self.out.break_line();
                }
            }
            local_name!("hr") => {
                self.out.end_block();
                self.out.push("---");
                self.out.end_block();
            }
            local_name!("ul") | local_name!("menu") | local_name!("dir") => self.list(id, None),
            local_name!("ol") => {
                let start = element.attribute(&local_name!("start")).and_then(|start| start.trim().parse().ok()).unwrap_or(1u32);
                self.list(id, Some(start));
            }
            local_name!("blockquote") => {
                self.out.end_block();
                self.out.nest("> ");
                self.children(id);
                self.out.unnest();
                self.out.end_block();
            }
            local_name!("pre") => self.code_block(id),
            local_name!("code") | local_name!("kbd") | local_name!("samp") | local_name!("tt") => self.code(id),
            local_name!("strong") | local_name!("b") => self.wrapped(id, "**"),
            local_name!("em") | local_name!("i") => self.wrapped(id, "*"),
            local_name!("del") | local_name!("s") | local_name!("strike") => self.wrapped(id, "~~"),
            local_name!("a") => self.link(id, element),
            local_name!("img") => self.image(id),
            local_name!("table") => self.table(id),
            local_name!("dt") => {
                self.out.end_block();
                self.wrapped(id, "**");
                self.out.end_line();
            }
            local_name!("dd") => {
                self.out.end_line();
                self.out.nest_item(": ");
                self.children(id);
                self.out.unnest();
            }
            local_name!("wbr") => {}
            _ if flow(name) == Flow::Block => {
                self.out.end_block();
                self.children(id);
                self.out.end_block();
            }
            _ => self.children(id),
        }
    }

    fn heading(&mut self, id: NodeId, marker: &str) {
        self.out.end_block();
        if self.below.text(id) {
            let outer = std::mem::replace(&mut self.in_heading, true);
            self.out.push(marker);
            let dom = self.dom;
            for child in dom.children(id) {
                self.inline(child);
            }
            self.in_heading = outer;
        }
        self.out.end_block();
    }

    /// A node whose blocks have to stay in one line: in headings and link texts.
    fn inline(&mut self, id: NodeId) {
        if !self.selection.keeps(id) {
            return;
        }
        let dom = self.dom;
        match dom.data(id) {
            NodeData::Element(element) => match element.html_name() {
                Some(&local_name!("br")) => self.space(),
                Some(name) if flow(name) == Flow::Block => {
                    self.space();
                    for child in dom.children(id) {
                        self.inline(child);
                    }
                    self.space();
                }
                Some(name) => self.element(id, name, element),
                None => self.children(id),
            },
            NodeData::Text(_) | NodeData::Fragment | NodeData::Nothing => self.node(id),
        }
    }

    fn space(&mut self) {
        if !self.out.after_space() {
            self.out.push(" ");
        }
    }

    fn list(&mut self, id: NodeId, start: Option<u32>) {
        let dom = self.dom;
        let is = |id: NodeId, names: &[LocalName]| dom.html_name(id).is_some_and(|name| names.contains(name));
        let nested = dom.ancestors(id).take(3).any(|ancestor| is(ancestor, &[local_name!("li")]))
            || dom.parent(id).is_some_and(|parent| is(parent, &[local_name!("ul"), local_name!("ol")]));
        if nested {
            self.out.close_up();
        } else {
            self.out.end_block();
        }
        let mut number = start;
        let mut first = true;
        let mut width = 2;
        for child in dom.children(id) {
            if !self.selection.keeps(child) || dom.element(child).is_none() {
                continue;
            }
            if !self.below.text(child) && !self.below.image(child) {
                continue;
            }
            // A list right within a list belongs to the item before it.
            if matches!(dom.html_name(child), Some(&local_name!("ul") | &local_name!("ol"))) {
                self.out.nest(&" ".repeat(width));
                self.node(child);
                self.out.unnest();
                continue;
            }
            let marker = match &mut number {
                Some(number) => {
                    let marker = format!("{number}. ");
                    *number = number.saturating_add(1);
                    marker
                }
                None => "- ".to_owned(),
            };
            if !first {
                self.out.close_up();
            }
            first = false;
            width = marker.len();
            self.out.nest_item(&marker);
            if dom.html_name(child) == Some(&local_name!("li")) {
                self.children(child);
            } else {
                self.node(child);
            }
            self.out.unnest();
        }
        if nested {
            self.out.close_up();
        } else {
            self.out.end_block();
        }
    }

    fn code_block(&mut self, id: NodeId) {
        let code = code_text(self.dom, id, self.selection);
        let code = code.trim_matches('\n').trim_end();
        if code.is_empty() {
            return;
        }
        let fence = "`".repeat(longest_run(code, '`').max(2) + 1);
        self.out.end_block();
        self.out.push(&fence);
        self.out.push(&language(self.dom, id).unwrap_or_default());
        self.out.end_line();
        for line in code.lines() {
            if line.is_empty() {
                self.out.empty_line();
            } else {
                self.out.push(line);
                self.out.end_line();
            }
        }
        self.out.push(&fence);
        self.out.end_block();
    }

    fn code(&mut self, id: NodeId) {
        let code = collapsed(&self.dom.raw_text(id));
        if code.is_empty() {
            return;
        }
        let fence = "`".repeat(longest_run(&code, '`') + 1);
        let pad = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
        self.out.push(&format!("{fence}{pad}{code}{pad}{fence}"));
    }

    /// Emphasis, with the spaces outside the marks and no marks around nothing.
    fn wrapped(&mut self, id: NodeId, mark: &str) {
        let pointless = self.below.block(id) || !self.below.text(id) || self.in_heading && mark == "**";
        // Emphasis within emphasis within emphasis is a styling accident, and copies its text every time.
        if pointless || self.marks >= DEEPEST_MARKS {
            self.children(id);
            return;
        }
        if self.below.space_first(id) {
            self.space_between_words();
        }
        self.out.push(mark);
        self.marks += 1;
        let inner = self.captured(|markdown| markdown.children(id));
        self.marks -= 1;
        self.out.push(inner.trim());
        self.out.push(mark);
        if self.below.space_last(id) {
            self.out.push(" ");
        }
    }

    fn space_between_words(&mut self) {
        if self.out.in_line() {
            self.space();
        }
    }

    fn link(&mut self, id: NodeId, element: &Element) {
        let href = element.attribute(&local_name!("href")).and_then(|href| self.base.resolve(href));
        let Some(href) = href.filter(|_| !self.in_link) else {
            self.children(id);
            return;
        };
        if !self.below.text(id) && !self.below.image(id) {
            return;
        }
        if self.below.space_first(id) {
            self.space_between_words();
        }
        self.in_link = true;
        let dom = self.dom;
        let text = self.captured(|markdown| {
            for child in dom.children(id) {
                markdown.inline(child);
            }
        });
        self.in_link = false;
        self.out.push("[");
        self.out.push(text.trim());
        self.out.push("](");
        self.out.push(&target(&href));
        self.out.push(")");
        if self.below.space_last(id) {
            self.out.push(" ");
        }
    }

    /// What `write` writes in a line of its own, as one line.
    fn captured(&mut self, write: impl FnOnce(&mut Self)) -> String {
        let outer = std::mem::take(&mut self.out);
        // An open line, so that what starts with a space keeps it apart from nothing.
        write(self);
        let inner = std::mem::replace(&mut self.out, outer);
        collapsed(&inner.finish())
    }

    fn image(&mut self, id: NodeId) {
        if let Some(image) = image(self.dom, id, self.base) {
            let mut alt = String::new();
            escape(&image.alt, false, &mut alt);
            self.out.push(&format!("![{alt}]({})", target(&image.src)));
            self.images.push(image);
        }
    }

    fn table(&mut self, id: NodeId) {
        let Some(table) = table::read(self.dom, id, self.selection) else {
            self.out.end_block();
            self.children(id);
            self.out.end_block();
            return;
        };
        let dom = self.dom;
        if let Some(caption) = dom.children(id).find(|child| dom.html_name(*child) == Some(&local_name!("caption"))) {
            self.out.end_block();
            self.children(caption);
        }
        self.out.end_block();
        let columns = table.rows.iter().map(Vec::len).chain([table.header.len()]).max().unwrap_or(0);
        self.row(&table.header, columns);
        self.out.push(&"| --- ".repeat(columns));
        self.out.push("|");
        self.out.end_line();
        for row in &table.rows {
            self.row(row, columns);
        }
        self.out.end_block();
        for inner in dom.walk(id, |inner| self.selection.keeps(inner)) {
            if dom.html_name(inner) == Some(&local_name!("img"))
                && let Some(image) = image(dom, inner, self.base)
            {
                self.images.push(image);
            }
        }
        self.tables.push(table);
    }

    fn row(&mut self, cells: &[String], columns: usize) {
        for column in 0..columns {
            let mut cell = String::new();
            escape(cells.get(column).map(String::as_str).unwrap_or_default(), false, &mut cell);
            self.out.push("| ");
            self.out.push(&cell.replace('|', "\\|"));
            self.out.push(" ");
        }
        self.out.push("|");
        self.out.end_line();
    }

    fn text(&mut self, text: &str) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        if self.out.after_space() {
            push_collapsed(&mut scratch, text);
        } else {
            // One space before the first word, if there is one in the text.
            if text.starts_with(char::is_whitespace) {
                scratch.push(' ');
            }
            push_collapsed(&mut scratch, text.trim_start());
        }
        if !scratch.is_empty() {
            let mut escaped = String::with_capacity(scratch.len());
            escape(&scratch, !self.out.in_line(), &mut escaped);
            // At the end of a heading it would close it.
            if self.in_heading && escaped.ends_with('#') {
                escaped.insert(escaped.len() - 1, '\\');
            }
            self.out.push(&escaped);
        }
        self.scratch = scratch;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Markdown of a page whose whole body is content.
    fn markdown(page: &str) -> String {
        let dom = crate::parse::parse(page.into());
        let body = dom.find(NodeId::DOCUMENT, &local_name!("body")).expect("every page has a body");
        let mut dropped = vec![false; dom.len()];
        for id in dom.walk(body, |_| true) {
            dropped[id.index()] = dom.html_name(id) == Some(&local_name!("button"));
        }
        let selection = Selection { roots: vec![body], dropped, confidence: 1.0 };
        render(&dom, &selection, &Base::of(&dom, Some("https://example.com/dir/"))).markdown
    }

    #[test]
    fn blocks_and_lines() {
        let table = [
            ("<h1> A <b>b</b></h1><p>one\n two<br>three</p><hr><p>four", "# A b\n\none two  \nthree\n\n---\n\nfour\n"),
            ("<ul><li>a<li>b<ul><li>c</ul><li><p>d</p><p>e</p></ul>", "- a\n- b\n  - c\n- d\n\n  e\n"),
            ("<ol start=9><li>a<li>b<ol><li>c</ol></ol>", "9. a\n10. b\n    1. c\n"),
            ("<blockquote><p>a</p><ul><li>b</ul></blockquote>", "> a\n>\n> - b\n"),
            ("<p>a</p><blockquote><p>b</p></blockquote><p>c", "a\n\n> b\n\nc\n"),
            ("<blockquote><pre>a\n\nb</pre></blockquote>", "> ```\n> a\n>\n> b\n> ```\n"),
            ("<ol><li>a</li><ol><li>b</li></ol><li>c</li></ol>", "1. a\n   1. b\n2. c\n"),
            ("<b><font><p>a</p><ul><li>b</ul></font></b>", "a\n\n- b\n"),
            ("<h2>Learning C #</h2>", "## Learning C \\#\n"),
            ("<p>a<br>===", "a  \n\\===\n"),
            ("<dl><dt>t<dd>d</dl>", "**t**\n: d\n"),
            ("<p></p><div> </div><p>x", "x\n"),
            ("", ""),
        ];
        for (page, expected) in table {
            assert_eq!(markdown(page), expected, "{page}");
        }
    }

    #[test]
    fn lines_keep_their_spaces() {
        let table = [
            ("<p>a <b>b</b>, <i> c </i>d", "a **b**, *c* d\n"),
            ("<p>a<b> b</b>c", "a **b**c\n"),
            ("<p><a href=/x> link </a>after", "[link](https://example.com/x) after\n"),
            ("<p><a href='/a (b)'>x</a>", "[x](https://example.com/a%20%28b%29)\n"),
            ("<p>x<a href=/y></a>z <b></b>", "xz\n"),
            ("<p><img src=i.png alt='a [b]'>", "![a \\[b\\]](https://example.com/dir/i.png)\n"),
            ("<a href=/x><h2>Head</h2><p>text</p></a>", "[Head text](https://example.com/x)\n"),
        ];
        for (page, expected) in table {
            assert_eq!(markdown(page), expected, "{page}");
        }
    }

    #[test]
    fn text_is_not_markup() {
        let table = [
            ("<p>1. not a list", "1\\. not a list\n"),
            ("<p># no, - no, *no*, a_b_c _no_", "\\# no, - no, \\*no\\*, a_b_c \\_no\\_\n"),
            ("<p>&lt;b&gt; 1 < 2 [x](y)", "\\<b> 1 < 2 \\[x\\](y)\n"),
            ("<p><code>a`b</code>", "``a`b``\n"),
        ];
        for (page, expected) in table {
            assert_eq!(markdown(page), expected, "{page}");
        }
    }

    #[test]
    fn code_has_its_language_and_no_line_numbers() {
        let table = [
            ("<pre><code class='hljs language-Rust'>fn a() {\n  b\n}\n</code></pre>", "```rust\nfn a() {\n  b\n}\n```\n"),
            ("<pre><button>Copy</button><code>let x = 1;", "```\nlet x = 1;\n```\n"),
            ("<div class='highlight-source-c'><pre>a ``` b</pre></div>", "````c\na ``` b\n````\n"),
            (
                "<table><tr><td class=gutter><pre>1</pre><td class=code><pre><span class=lineno>1</span>x</pre></table>",
                "```\nx\n```\n",
            ),
        ];
        for (page, expected) in table {
            assert!(markdown(page).ends_with(expected), "{page}: {}", markdown(page));
        }
    }

    #[test]
    fn tables_are_tables() {
        let page = "<table><thead><tr><th>a<th>b|c</thead><tr><td>1<td><p>2</p><p>3</p><tr><td colspan=2>x</table>";
        assert_eq!(markdown(page), "| a | b\\|c |\n| --- | --- |\n| 1 | 2 3 |\n| x |  |\n");
        assert_eq!(markdown("<table><tr><td><p>just</p><td><table><tr><td>layout</table></table>"), "just\n\nlayout\n");
    }
}

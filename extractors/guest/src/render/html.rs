//! The content as clean HTML: structure and addresses, no classes, styles, scripts or handlers.

use html5ever::{LocalName, local_name};

use crate::dom::{Dom, NodeData, NodeId};
use crate::links::{Base, image};
use crate::select::Selection;

pub(crate) fn render(dom: &Dom, selection: &Selection, base: &Base) -> String {
    let mut html = Html { dom, selection, base, out: String::new() };
    for root in &selection.roots {
        html.node(*root);
    }
    html.out
}

struct Html<'a> {
    dom: &'a Dom,
    selection: &'a Selection,
    base: &'a Base,
    out: String,
}

impl Html<'_> {
    fn node(&mut self, id: NodeId) {
        if !self.selection.keeps(id) {
            return;
        }
        match self.dom.data(id) {
            NodeData::Text(text) => self.escaped(text),
            NodeData::Fragment => self.children(id),
            NodeData::Nothing => {}
            NodeData::Element(element) => match element.html_name() {
                Some(&local_name!("br")) => self.out.push_str("<br>"),
                Some(&local_name!("hr")) => self.out.push_str("<hr>"),
                Some(&local_name!("img")) => {
                    if let Some(image) = image(self.dom, id, self.base) {
                        self.out.push_str("<img");
                        self.attribute("src", &image.src);
                        self.attribute("alt", &image.alt);
                        self.out.push('>');
                    }
                }
                Some(&local_name!("a")) => {
                    match element.attribute(&local_name!("href")).and_then(|href| self.base.resolve(href)) {
                        Some(href) => {
                            self.out.push_str("<a");
                            self.attribute("href", &href);
                            self.out.push('>');
                            self.children(id);
                            self.out.push_str("</a>");
                        }
                        None => self.children(id),
                    }
                }
                Some(name) if is_kept(name) => {
                    self.out.push('<');
                    self.out.push_str(name);
                    for span in ["colspan", "rowspan"] {
                        let value = element.attribute(&LocalName::from(span)).and_then(|value| value.trim().parse::<u16>().ok());
                        if let Some(value) = value {
                            self.attribute(span, &value.to_string());
                        }
                    }
                    self.out.push('>');
                    self.children(id);
                    self.out.push_str("</");
                    self.out.push_str(name);
                    self.out.push('>');
                }
                Some(_) | None => self.children(id),
            },
        }
    }

    fn children(&mut self, id: NodeId) {
        let dom = self.dom;
        for child in dom.children(id) {
            self.node(child);
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        self.escaped(value);
        self.out.push('"');
    }

    fn escaped(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                _ => self.out.push(character),
            }
        }
    }
}

/// Elements that mean something by themselves; all others leave their content only.
fn is_kept(name: &LocalName) -> bool {
    matches!(
        &**name,
        "article"
            | "section"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "p"
            | "ul"
            | "ol"
            | "li"
            | "dl"
            | "dt"
            | "dd"
            | "blockquote"
            | "pre"
            | "code"
            | "em"
            | "strong"
            | "b"
            | "i"
            | "del"
            | "s"
            | "ins"
            | "sub"
            | "sup"
            | "mark"
            | "kbd"
            | "q"
            | "cite"
            | "table"
            | "caption"
            | "thead"
            | "tbody"
            | "tfoot"
            | "tr"
            | "th"
            | "td"
            | "figure"
            | "figcaption"
            | "details"
            | "summary"
    )
}

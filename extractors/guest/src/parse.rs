//! Text to [`Dom`], by html5ever, with the depth of the tree capped as browsers cap it.
//!
//! Past [`MAX_DEPTH`] open elements a start tag is dropped and its content becomes content of the element
//! around it. So no later pass can be driven arbitrarily deep, and the parser's own stack of open elements,
//! which it searches from the inside out on almost every tag, stays short.

use std::cell::Cell;

use html5ever::buffer_queue::BufferQueue;
use html5ever::interface::Tracer;
use html5ever::tokenizer::{Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts, TreeSink};
use tendril::StrTendril;

use crate::dom::{Building, Dom, NodeId};

/// The deepest tree that is built; Chromium's and WebKit's number.
pub const MAX_DEPTH: u32 = 512;

/// Parses a page. Any text yields a tree.
pub(crate) fn parse(html: StrTendril) -> Dom {
    let options = TreeBuilderOpts {
        // Without scripts, what stands in <noscript> is what is shown.
        scripting_enabled: false,
        drop_doctype: true,
        ..TreeBuilderOpts::default()
    };
    let sink = Capped { builder: TreeBuilder::new(Building::new(), options), dropped: Cell::new(0), stale: Cell::new(false) };
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(html);
    // A script's end tag hands control back; there is nobody to run it.
    while !matches!(tokenizer.feed(&input), html5ever::TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink.builder.sink.finish()
}

struct Capped {
    builder: TreeBuilder<NodeId, Building>,
    /// Start tags that were dropped and whose end tags are still to come.
    dropped: Cell<u32>,
    /// Whether tags have been let through since the open elements were counted.
    stale: Cell<bool>,
}

impl Capped {
    /// Whether `tag` stands too deep to be let through.
    fn drops(&self, tag: &Tag) -> bool {
        match tag.kind {
            TagKind::StartTag => {
                let drop = self.is_deep() && !stays_shallow(&tag.name);
                if drop && !tag.self_closing {
                    self.dropped.set(self.dropped.get().saturating_add(1));
                }
                drop
            }
            TagKind::EndTag => {
                let left = self.dropped.get();
                self.dropped.set(left.saturating_sub(1));
                left > 0
            }
        }
    }

    /// The sink sees elements come but not go, so its depth is an upper bound. Where that matters, the open
    /// elements are counted.
    fn is_deep(&self) -> bool {
        let sink = &self.builder.sink;
        if sink.last_depth() >= MAX_DEPTH && self.stale.replace(false) {
            let open = Count(Cell::new(0));
            self.builder.trace_handles(&open);
            sink.set_last_depth(open.0.get());
        }
        sink.last_depth() >= MAX_DEPTH
    }
}

/// Counts the tree builder's open elements, with a few others that it holds.
struct Count(Cell<u32>);

impl Tracer for Count {
    type Handle = NodeId;

    fn trace_handle(&self, _node: &NodeId) {
        self.0.set(self.0.get().saturating_add(1));
    }
}

/// Elements that hold no elements: void ones, and raw text, which switches the tokenizer's state and so must
/// reach the builder.
fn stays_shallow(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "source"
            | "track"
            | "wbr"
            | "iframe"
            | "noembed"
            | "noframes"
            | "plaintext"
            | "script"
            | "style"
            | "textarea"
            | "title"
            | "xmp"
    )
}

impl TokenSink for Capped {
    type Handle = NodeId;

    fn process_token(&self, token: Token, line_number: u64) -> TokenSinkResult<NodeId> {
        if let Token::TagToken(tag) = &token {
            if self.drops(tag) {
                return TokenSinkResult::Continue;
            }
            self.stale.set(true);
        }
        self.builder.process_token(token, line_number)
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }
}

#[cfg(test)]
mod tests {
    use html5ever::local_name;

    use super::*;

    fn deepest(dom: &Dom) -> usize {
        let all = dom.walk(NodeId::DOCUMENT, |_| true);
        all.map(|id| dom.ancestors(id).count()).max().unwrap_or(0)
    }

    #[test]
    fn a_tower_is_capped_and_keeps_its_text() {
        let page = format!("{}<p>at the bottom", "<div>".repeat(20_000));
        let dom = parse(page.into());
        assert!(deepest(&dom) <= MAX_DEPTH as usize + 2, "{}", deepest(&dom));
        assert_eq!(dom.raw_text(NodeId::DOCUMENT), "at the bottom");
    }

    #[test]
    fn what_follows_a_tower_is_parsed_as_ever() {
        let page = format!("{}{}<p>after<b>wards</b>", "<div>".repeat(2_000), "</div>".repeat(2_000));
        let dom = parse(page.into());
        let bold = dom.find(NodeId::DOCUMENT, &local_name!("b")).expect("the b");
        assert!(dom.ancestors(bold).count() < 10);
    }

    #[test]
    fn scripts_in_the_deep_stay_scripts() {
        let page = format!("{}<script>if (a</script><b>) 1</script>text", "<div>".repeat(2_000));
        assert!(parse(page.into()).find(NodeId::DOCUMENT, &local_name!("script")).is_some());
    }

    #[test]
    fn unclosed_siblings_are_no_depth() {
        let dom = parse("<p>x<li>y<br>".repeat(5_000).into());
        assert!(deepest(&dom) < 10);
        assert_eq!(dom.raw_text(NodeId::DOCUMENT).len(), 10_000);
    }
}

//! What stands below every node of the content, found in one pass: so that rendering asks once per node and
//! never walks a subtree to decide on its root, which would be quadratic in nested markup.

use html5ever::local_name;

use crate::dom::{Dom, NodeData, NodeId};
use crate::render::{Flow, flow};
use crate::select::Selection;

const TEXT: u8 = 1;
const IMAGE: u8 = 1 << 1;
const BLOCK: u8 = 1 << 2;
const ANYTHING: u8 = 1 << 3;
const SPACE_FIRST: u8 = 1 << 4;
const SPACE_LAST: u8 = 1 << 5;

/// Facts about the kept content below each node.
#[derive(Debug)]
pub(crate) struct Below {
    facts: Vec<u8>,
}

impl Below {
    pub(crate) fn of(dom: &Dom, selection: &Selection) -> Self {
        let mut facts = vec![0u8; dom.len()];
        for root in &selection.roots {
            let order: Vec<NodeId> = dom.walk(*root, |id| selection.keeps(id)).filter(|id| selection.keeps(*id)).collect();
            // Backwards, every node comes after what is below it, and the last child before the first.
            for id in order.into_iter().rev() {
                let is_block = match dom.data(id) {
                    NodeData::Text(text) => {
                        facts[id.index()] = of_text(text);
                        false
                    }
                    NodeData::Element(element) => match element.html_name() {
                        Some(&local_name!("img")) => {
                            facts[id.index()] |= IMAGE;
                            false
                        }
                        Some(name) => flow(name) == Flow::Block,
                        None => false,
                    },
                    NodeData::Fragment | NodeData::Nothing => false,
                };
                if let Some(parent) = dom.parent(id).filter(|_| id != *root) {
                    let own = facts[id.index()];
                    let sum = &mut facts[parent.index()];
                    if own & ANYTHING != 0 {
                        if *sum & ANYTHING == 0 {
                            *sum |= own & SPACE_LAST;
                        }
                        *sum = *sum & !SPACE_FIRST | own & SPACE_FIRST;
                    }
                    *sum |= own & (TEXT | IMAGE | BLOCK | ANYTHING);
                    if is_block {
                        *sum |= BLOCK;
                    }
                }
            }
        }
        Self { facts }
    }

    fn has(&self, id: NodeId, fact: u8) -> bool {
        self.facts[id.index()] & fact != 0
    }

    /// Text that is more than white space.
    pub(crate) fn text(&self, id: NodeId) -> bool {
        self.has(id, TEXT)
    }

    /// An image, the node itself included.
    pub(crate) fn image(&self, id: NodeId) -> bool {
        self.has(id, IMAGE)
    }

    /// An element that stands on lines of its own.
    pub(crate) fn block(&self, id: NodeId) -> bool {
        self.has(id, BLOCK)
    }

    /// Whether the text begins with white space.
    pub(crate) fn space_first(&self, id: NodeId) -> bool {
        self.has(id, SPACE_FIRST)
    }

    /// Whether the text ends with white space.
    pub(crate) fn space_last(&self, id: NodeId) -> bool {
        self.has(id, SPACE_LAST)
    }
}

fn of_text(text: &str) -> u8 {
    let mut facts = 0;
    if !text.is_empty() {
        facts |= ANYTHING;
    }
    if text.contains(|character: char| !character.is_whitespace()) {
        facts |= TEXT;
    }
    if text.starts_with(char::is_whitespace) {
        facts |= SPACE_FIRST;
    }
    if text.ends_with(char::is_whitespace) {
        facts |= SPACE_LAST;
    }
    facts
}

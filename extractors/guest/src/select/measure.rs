//! How much text, link text and prose stands below every node, in one pass.

use html5ever::local_name;

use crate::dom::{Dom, NodeData, NodeId};

/// What stands below one node. Lengths are in bytes without white space.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measure {
    /// All text.
    pub(crate) text: u32,
    /// Text within links.
    pub(crate) link_text: u32,
    /// Commas, in any script: prose has them, navigation does not.
    pub(crate) commas: u32,
}

impl Measure {
    /// Text outside links.
    pub(crate) fn prose(&self) -> u32 {
        self.text - self.link_text
    }

    /// Share of the text that is links.
    pub(crate) fn link_density(&self) -> f32 {
        super::ratio(self.link_text, self.text.max(1))
    }
}

/// The measures of a whole tree.
#[derive(Debug)]
pub(crate) struct Measures {
    by_node: Vec<Measure>,
}

impl Measures {
    /// Measures everything below `root` that is not dropped.
    pub(crate) fn of(dom: &Dom, root: NodeId, dropped: &[bool]) -> Self {
        let mut by_node = vec![Measure::default(); dom.len()];
        let order: Vec<NodeId> = dom.walk(root, |id| !dropped[id.index()]).filter(|id| !dropped[id.index()]).collect();
        // Backwards through document order, every node comes after all that is below it.
        for id in order.into_iter().rev() {
            match dom.data(id) {
                NodeData::Text(text) => by_node[id.index()] = measure(text),
                NodeData::Element(element) if element.html_name() == Some(&local_name!("a")) => {
                    let own = &mut by_node[id.index()];
                    // An anchor without address marks a place, it leads nowhere.
                    if element.attribute(&local_name!("href")).is_some() {
                        own.link_text = own.text;
                    }
                }
                NodeData::Element(_) | NodeData::Fragment | NodeData::Nothing => {}
            }
            if id != root
                && let Some(parent) = dom.parent(id)
            {
                let own = by_node[id.index()];
                let sum = &mut by_node[parent.index()];
                sum.text = sum.text.saturating_add(own.text);
                sum.link_text = sum.link_text.saturating_add(own.link_text);
                sum.commas = sum.commas.saturating_add(own.commas);
            }
        }
        Self { by_node }
    }

    pub(crate) fn at(&self, id: NodeId) -> &Measure {
        &self.by_node[id.index()]
    }
}

fn measure(text: &str) -> Measure {
    let mut found = Measure::default();
    for character in text.chars() {
        if character.is_whitespace() {
            continue;
        }
        found.text = found.text.saturating_add(u32::try_from(character.len_utf8()).unwrap_or(1));
        if matches!(character, ',' | '、' | '，' | '،' | '﹐') {
            found.commas += 1;
        }
    }
    found
}

//! The best scored block: paragraphs lend their weight to what holds them, and the heaviest holder wins.
//!
//! The idea is that of Arc90's Readability and its many heirs: prose has length and commas, and stands close
//! together. Scores fade with distance and with the share of links.

use html5ever::local_name;

use crate::dom::{Dom, NodeId};
use crate::select::boilerplate::words;
use crate::select::measure::Measures;
use crate::select::ratio;

/// A paragraph shorter than this, in bytes without white space, says nothing.
const SHORTEST: u32 = 20;
/// How far up a paragraph's weight is felt.
const REACH: usize = 4;
/// A sibling of the best block belongs to it with this share of its score.
const SIBLING_SHARE: f32 = 0.2;

const CONTENT: &[&str] = &["article", "blog", "body", "content", "entry", "main", "page", "post", "story", "text"];

/// The best block below `root` and the siblings that belong to it, in document order. Empty without prose.
pub(crate) fn best(dom: &Dom, root: NodeId, measures: &Measures, dropped: &[bool]) -> Vec<NodeId> {
    let mut scores = vec![0f32; dom.len()];
    let mut holders = Vec::new();
    for id in dom.walk(root, |id| !dropped[id.index()]) {
        let own = measures.at(id);
        if dropped[id.index()] || own.text < SHORTEST || !is_paragraph(dom, id) {
            continue;
        }
        let weight = (1.0 + ratio(own.commas, 1) + ratio(own.text, 100).min(3.0)) * (1.0 - own.link_density());
        for (level, holder) in dom.ancestors(id).take(REACH).enumerate() {
            let fade = match level {
                0 => 1.0,
                1 => 2.0,
                _ => 3.0 * ratio(u32::try_from(level).unwrap_or(u32::MAX), 1),
            };
            if scores[holder.index()] == 0.0 {
                holders.push(holder);
                scores[holder.index()] = bonus(dom, holder);
            }
            scores[holder.index()] += weight / fade;
            if holder == root {
                break;
            }
        }
    }
    for holder in &holders {
        scores[holder.index()] *= 1.0 - measures.at(*holder).link_density();
    }
    let score = |id: NodeId| scores[id.index()];
    let Some(mut top) = holders.iter().copied().max_by(|one, other| score(*one).total_cmp(&score(*other))) else {
        return Vec::new();
    };
    // Where the prose is spread over several blocks, what holds them all is the content.
    while let Some(parent) = dom.parent(top).filter(|_| top != root) {
        let rivals = dom
            .children(parent)
            .filter(|child| *child != top && !dropped[child.index()] && score(*child) >= score(top) * 0.5)
            .count();
        if rivals < 2 && score(parent) < score(top) {
            break;
        }
        top = parent;
    }
    if top == root {
        return vec![root];
    }
    let threshold = score(top) * SIBLING_SHARE;
    let Some(parent) = dom.parent(top) else {
        return vec![top];
    };
    dom.children(parent)
        .filter(|child| {
            let own = measures.at(*child);
            *child == top
                || !dropped[child.index()]
                    && (score(*child) >= threshold
                        || is_paragraph(dom, *child) && own.text > 80 && own.link_density() < 0.25
                        || is_heading(dom, *child))
        })
        .collect()
}

fn is_paragraph(dom: &Dom, id: NodeId) -> bool {
    let Some(name) = dom.html_name(id) else {
        return false;
    };
    match *name {
        local_name!("p")
        | local_name!("pre")
        | local_name!("blockquote")
        | local_name!("td")
        | local_name!("li")
        | local_name!("dd") => true,
        // A division that holds no block is a paragraph by another name.
        local_name!("div") | local_name!("section") => !dom.children(id).any(|child| is_block(dom, child)),
        _ => false,
    }
}

fn is_heading(dom: &Dom, id: NodeId) -> bool {
    matches!(dom.html_name(id), Some(&local_name!("h1") | &local_name!("h2") | &local_name!("h3")))
}

fn is_block(dom: &Dom, id: NodeId) -> bool {
    dom.html_name(id).is_some_and(|name| {
        matches!(
            *name,
            local_name!("div")
                | local_name!("p")
                | local_name!("ul")
                | local_name!("ol")
                | local_name!("dl")
                | local_name!("table")
                | local_name!("pre")
                | local_name!("blockquote")
                | local_name!("section")
                | local_name!("article")
                | local_name!("figure")
                | local_name!("h1")
                | local_name!("h2")
                | local_name!("h3")
                | local_name!("h4")
        )
    })
}

fn bonus(dom: &Dom, id: NodeId) -> f32 {
    let Some(element) = dom.element(id) else {
        return 0.1;
    };
    let named = [local_name!("class"), local_name!("id")]
        .iter()
        .filter_map(|name| element.attribute(name))
        .any(|value| words(value).any(|word| CONTENT.contains(&&*word)));
    let by_name = if named { 15.0 } else { 0.0 };
    let by_element = match element.html_name() {
        Some(&local_name!("article") | &local_name!("main")) => 15.0,
        Some(&local_name!("div") | &local_name!("section")) => 5.0,
        Some(&local_name!("blockquote") | &local_name!("td") | &local_name!("pre")) => 3.0,
        Some(&local_name!("ul") | &local_name!("ol") | &local_name!("dl") | &local_name!("form")) => -3.0,
        Some(_) | None => 0.1,
    };
    by_name + by_element
}

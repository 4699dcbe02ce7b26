//! Which part of a page is its content: measure once, make candidates on the same tree, choose by evidence.
//!
//! ```text
//!   Dom ─▶ boilerplate (what is never content) ─▶ measure (text, links, prose below every node)
//!       ─▶ candidates: the author's own markup · the best scored block · all that is left
//!       ─▶ choose: the narrowest that still holds the page's prose
//! ```

pub(crate) mod boilerplate;
pub(crate) mod measure;
pub(crate) mod score;

use html5ever::local_name;

use crate::document::PageType;
use crate::dom::{Dom, NodeId};
use boilerplate::Verdict;
use measure::Measures;

/// The chosen content: its roots in document order, and what is left out below them.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) roots: Vec<NodeId>,
    pub(crate) dropped: Vec<bool>,
    /// How sure the choice is, 0 to 1: how much of the page's prose it holds, and how little of it is links.
    pub(crate) confidence: f32,
}

impl Selection {
    pub(crate) fn keeps(&self, id: NodeId) -> bool {
        !self.dropped[id.index()]
    }
}

/// The narrowest candidate that holds this share of the page's prose is taken as the content.
const SCORED_SHARE: f32 = 0.60;
/// The same for the author's own markup, which deserves more trust.
const MARKED_SHARE: f32 = 0.35;

/// Chooses the content of a page of the given type.
pub(crate) fn select(dom: &Dom, page_type: PageType) -> Selection {
    let body = dom.find(NodeId::DOCUMENT, &local_name!("body")).unwrap_or(NodeId::DOCUMENT);
    let mut dropped = vec![false; dom.len()];
    let mut doubtful = Vec::new();
    for id in dom.walk(body, |_| true) {
        // What stands in something dropped is never looked at again, so it needs no mark of its own.
        if dom.parent(id).is_some_and(|parent| dropped[parent.index()]) {
            dropped[id.index()] = true;
            continue;
        }
        match boilerplate::judge(dom, id, page_type) {
            Verdict::Keep => {}
            Verdict::Drop => dropped[id.index()] = true,
            Verdict::Doubt => doubtful.push(id),
        }
    }
    let whole = Measures::of(dom, body, &dropped);
    // A name is only a hint: what holds most of the page is not beside it.
    let limit = whole.at(body).text / 2;
    for id in doubtful {
        if whole.at(id).text <= limit {
            dropped[id.index()] = true;
        }
    }
    let measures = Measures::of(dom, body, &dropped);
    let total = measures.at(body).prose().max(1);
    let share = |roots: &[NodeId]| {
        let held: u32 = roots.iter().map(|root| measures.at(*root).prose()).sum();
        ratio(held, total)
    };
    let marked = marked(dom, body, &measures, &dropped);
    let scored = score::best(dom, marked.first().copied().unwrap_or(body), &measures, &dropped);
    let single = match page_type {
        PageType::Article | PageType::Documentation | PageType::Other => true,
        PageType::Forum | PageType::Product | PageType::Listing => false,
    };
    let roots = if single && !scored.is_empty() && share(&scored) >= SCORED_SHARE {
        scored
    } else if !marked.is_empty() && share(&marked) >= MARKED_SHARE {
        marked
    } else {
        vec![body]
    };
    let links: u32 = roots.iter().map(|root| measures.at(*root).link_text).sum();
    let text: u32 = roots.iter().map(|root| measures.at(*root).text).sum();
    let confidence = share(&roots).min(1.0) * (1.0 - ratio(links, text.max(1)));
    Selection { roots, dropped, confidence: confidence.clamp(0.0, 1.0) }
}

/// What the author has marked as the content: one `<main>`, or the articles in it.
fn marked(dom: &Dom, body: NodeId, measures: &Measures, dropped: &[bool]) -> Vec<NodeId> {
    let mut mains = Vec::new();
    let mut articles = Vec::new();
    for id in dom.walk(body, |id| !dropped[id.index()]) {
        let Some(element) = dom.element(id) else {
            continue;
        };
        if dropped[id.index()] || measures.at(id).text == 0 {
            continue;
        }
        let role = element.attribute(&local_name!("role"));
        match element.html_name() {
            Some(&local_name!("main")) => mains.push(id),
            Some(_) if role == Some("main") => mains.push(id),
            Some(&local_name!("article")) => articles.push(id),
            Some(_) if element.attribute(&local_name!("itemprop")) == Some("articleBody") => articles.push(id),
            Some(_) | None => {}
        }
    }
    let largest = articles.iter().copied().max_by_key(|id| measures.at(*id).text);
    let all: u32 = articles.iter().map(|id| measures.at(*id).text).sum();
    if let Some(largest) = largest
        && measures.at(largest).text * 3 >= all * 2
    {
        return vec![largest];
    }
    mains.sort_by_key(|id| std::cmp::Reverse(measures.at(*id).text));
    mains.truncate(1);
    mains
}

/// `part / whole` as a share.
#[expect(clippy::cast_precision_loss, reason = "shares of text lengths; the last bits do not matter")]
pub(crate) fn ratio(part: u32, whole: u32) -> f32 {
    part as f32 / whole as f32
}

//! What is beside the content: by element, by role, by state, and, with doubt, by name.

use html5ever::{LocalName, local_name};

use crate::document::PageType;
use crate::dom::{Dom, Element, NodeId};

/// What a node is to the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing speaks against it.
    Keep,
    /// Never content, whatever it holds.
    Drop,
    /// Probably not content, unless it holds most of the page.
    Doubt,
}

pub(crate) fn judge(dom: &Dom, id: NodeId, page_type: PageType) -> Verdict {
    let Some(element) = dom.element(id) else {
        return Verdict::Keep;
    };
    let Some(name) = element.html_name() else {
        // SVG and MathML: a drawing has no prose, a formula does.
        return Verdict::Keep;
    };
    match *name {
        local_name!("script")
        | local_name!("style")
        | local_name!("template")
        | local_name!("iframe")
        | local_name!("object")
        | local_name!("embed")
        | local_name!("canvas")
        | local_name!("audio")
        | local_name!("video")
        | local_name!("map")
        | local_name!("button")
        | local_name!("select")
        | local_name!("datalist")
        | local_name!("input")
        | local_name!("textarea")
        | local_name!("progress")
        | local_name!("meter")
        | local_name!("dialog")
        | local_name!("link")
        | local_name!("meta")
        | local_name!("title")
        | local_name!("nav") => return Verdict::Drop,
        local_name!("html") | local_name!("body") | local_name!("main") | local_name!("article") => return Verdict::Keep,
        local_name!("footer") | local_name!("aside") | local_name!("form") | local_name!("noscript") | local_name!("menu") => {
            return Verdict::Doubt;
        }
        local_name!("header") if !within_content(dom, id) => return Verdict::Doubt,
        _ => {}
    }
    if is_hidden(element) || is_permalink(dom, id, element) {
        return Verdict::Drop;
    }
    if element.attribute(&local_name!("role")).is_some_and(|role| ROLES.contains(&role)) {
        return Verdict::Doubt;
    }
    let named = has_names(name) && named_as_boilerplate(element, page_type);
    if named { Verdict::Doubt } else { Verdict::Keep }
}

fn within_content(dom: &Dom, id: NodeId) -> bool {
    dom.ancestors(id).any(|ancestor| {
        matches!(dom.html_name(ancestor), Some(&local_name!("article") | &local_name!("main") | &local_name!("section")))
    })
}

/// The mark beside a heading that links to itself.
fn is_permalink(dom: &Dom, id: NodeId, element: &Element) -> bool {
    element.html_name() == Some(&local_name!("a"))
        && element.attribute(&local_name!("href")).is_some_and(|href| href.starts_with('#'))
        && matches!(dom.raw_text(id).trim(), "¶" | "#" | "§" | "\u{1f517}")
}

fn is_hidden(element: &Element) -> bool {
    let style = element.attribute(&local_name!("style"));
    element.attribute(&local_name!("hidden")).is_some()
        || style.is_some_and(|style| {
            let style: String = style.chars().filter(|character| !character.is_whitespace()).collect();
            style.contains("display:none") || style.contains("visibility:hidden")
        })
        || element.attribute(&LocalName::from("aria-hidden")) == Some("true") && element.html_name() != Some(&local_name!("img"))
}

/// Elements whose class and id say what they are for. Inline ones are styled, not placed.
fn has_names(name: &LocalName) -> bool {
    matches!(
        *name,
        local_name!("div")
            | local_name!("section")
            | local_name!("ul")
            | local_name!("ol")
            | local_name!("dl")
            | local_name!("table")
            | local_name!("p")
            | local_name!("span")
            | local_name!("header")
            | local_name!("figure")
            | local_name!("details")
            | local_name!("li")
            | local_name!("a")
    )
}

/// Roles of what is beside the content.
const ROLES: &[&str] = &[
    "navigation",
    "banner",
    "contentinfo",
    "search",
    "menu",
    "menubar",
    "dialog",
    "alertdialog",
    "toolbar",
    "tablist",
    "complementary",
    "tooltip",
];

/// Words in a class or id that say "beside the content".
const BESIDE: &[&str] = &[
    "ad",
    "ads",
    "adsense",
    "advert",
    "advertisement",
    "advertising",
    "banner",
    "breadcrumb",
    "breadcrumbs",
    "byline",
    "consent",
    "cookie",
    "cookies",
    "copyright",
    "crumbs",
    "disclaimer",
    "disqus",
    "dropdown",
    "footer",
    "gdpr",
    "login",
    "masthead",
    "menu",
    "metabar",
    "modal",
    "nav",
    "navbar",
    "navigation",
    "newsletter",
    "outbrain",
    "overlay",
    "pager",
    "pagination",
    "paywall",
    "popup",
    "print",
    "promo",
    "promoted",
    "recommendations",
    "recommended",
    "register",
    "related",
    "rss",
    "search",
    "share",
    "sharedaddy",
    "sharing",
    "shoutbox",
    "sidebar",
    "sidenav",
    "signup",
    "skip",
    "skyscraper",
    "social",
    "sponsor",
    "sponsored",
    "subscribe",
    "subscription",
    "taboola",
    "tabs",
    "tagcloud",
    "tags",
    "toc",
    "toolbar",
    "tooltip",
    "topbar",
    "widget",
    "widgets",
];

/// Words that say "what readers wrote": content in a forum, beside it elsewhere.
const REPLIES: &[&str] = &["comment", "comments", "commentlist", "respond", "replies", "reply"];

fn named_as_boilerplate(element: &Element, page_type: PageType) -> bool {
    let names = [local_name!("class"), local_name!("id")];
    names.iter().filter_map(|name| element.attribute(name)).any(|value| {
        words(value)
            .any(|word| BESIDE.binary_search(&&*word).is_ok() || (page_type != PageType::Forum && REPLIES.contains(&&*word)))
    })
}

/// The words of a class list: `postNav-left js_share` has `post`, `nav`, `left`, `js` and `share`.
pub(crate) fn words(value: &str) -> impl Iterator<Item = String> {
    // Generated class lists can be very long; what matters stands in front.
    let value = value.get(..512).unwrap_or(value);
    let mut words = Vec::new();
    let mut word = String::new();
    let mut lower = false;
    for character in value.chars() {
        let upper = character.is_ascii_uppercase();
        let boundary = !character.is_ascii_alphanumeric() || upper && lower;
        if boundary && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if character.is_ascii_alphanumeric() {
            word.push(character.to_ascii_lowercase());
        }
        lower = character.is_ascii_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    fn verdict(page: &str, page_type: PageType) -> Verdict {
        let dom = parse(page.into());
        let marked = dom
            .walk(NodeId::DOCUMENT, |_| true)
            .find(|id| dom.element(*id).is_some_and(|element| element.attributes().any(|(name, _)| name == "x")));
        judge(&dom, marked.expect("an element marked x"), page_type)
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(BESIDE.is_sorted(), "{:?}", BESIDE.windows(2).find(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn names_are_read_as_words() {
        assert_eq!(words("postNav-left js_share2 HTML").collect::<Vec<_>>(), ["post", "nav", "left", "js", "share2", "html"]);
    }

    #[test]
    fn verdicts() {
        let table = [
            ("<nav x>", Verdict::Drop),
            ("<p x hidden>", Verdict::Drop),
            ("<p x style='display : none'>", Verdict::Drop),
            ("<div x class=share-buttons>", Verdict::Doubt),
            ("<div x class=shared>", Verdict::Keep),
            ("<div x role=navigation>", Verdict::Doubt),
            ("<header x>", Verdict::Doubt),
            ("<article><header x>", Verdict::Keep),
            ("<main x class=sidebar>", Verdict::Keep),
            ("<div x class=comments>", Verdict::Doubt),
        ];
        for (page, expected) in table {
            assert_eq!(verdict(page, PageType::Article), expected, "{page}");
        }
        assert_eq!(verdict("<div x class=comments>", PageType::Forum), Verdict::Keep);
    }
}

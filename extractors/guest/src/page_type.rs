//! What kind of page it is, by what it says of itself and, failing that, by its shape.

use html5ever::local_name;

use crate::document::PageType;
use crate::dom::{Dom, NodeId};
use crate::metadata::{ARTICLES, Facts};
use crate::select::boilerplate::words;

/// JSON-LD types by page type, in the order in which they are believed.
const SAID: &[(PageType, &[&str])] = &[
    (PageType::Forum, &["DiscussionForumPosting", "QAPage", "Question"]),
    (PageType::Documentation, &["APIReference", "TechArticle", "HowTo"]),
    (PageType::Article, ARTICLES),
    (PageType::Product, &["Product", "ProductGroup", "Offer", "Vehicle", "Book"]),
    (PageType::Listing, &["CollectionPage", "SearchResultsPage", "ItemList", "OfferCatalog"]),
];

/// Programs that make manuals, as they sign their pages.
const MANUAL_MAKERS: &[&str] = &[
    "docusaurus",
    "sphinx",
    "mkdocs",
    "rustdoc",
    "vitepress",
    "gitbook",
    "mdbook",
    "hugo-book",
    "doxygen",
    "javadoc",
    "jekyll-docs",
    "antora",
];

/// Programs that run forums.
const FORUM_MAKERS: &[&str] =
    &["discourse", "phpbb", "vbulletin", "xenforo", "mybb", "invision", "flarum", "smf", "nodebb", "vanilla"];

pub(crate) fn page_type(dom: &Dom, facts: &Facts) -> PageType {
    for (page_type, kinds) in SAID {
        if facts.thing(kinds).is_some() {
            return *page_type;
        }
    }
    match facts.open_graph("og:type") {
        Some("article" | "blog") => return PageType::Article,
        Some("product" | "og:product" | "product.item") => return PageType::Product,
        Some(_) | None => {}
    }
    let generator = facts.metadata.meta.get("generator").map(|generator| generator.to_ascii_lowercase());
    if let Some(generator) = generator {
        if MANUAL_MAKERS.iter().any(|maker| generator.contains(maker)) {
            return PageType::Documentation;
        }
        if FORUM_MAKERS.iter().any(|maker| generator.contains(maker)) {
            return PageType::Forum;
        }
    }
    by_shape(dom)
}

fn by_shape(dom: &Dom) -> PageType {
    let mut articles = 0;
    let mut posts = 0;
    for id in dom.walk(NodeId::DOCUMENT, |_| true) {
        let Some(element) = dom.element(id) else {
            continue;
        };
        if element.html_name() == Some(&local_name!("article")) {
            articles += 1;
        }
        if let Some(class) = element.attribute(&local_name!("class"))
            && is_post(class)
            && matches!(
                element.html_name(),
                Some(&local_name!("div") | &local_name!("li") | &local_name!("article") | &local_name!("tr"))
            )
        {
            posts += 1;
        }
    }
    match (articles, posts) {
        (_, 6..) => PageType::Forum,
        (6.., _) => PageType::Listing,
        (1, _) => PageType::Article,
        (_, _) => PageType::Other,
    }
}

/// Whether a class names one post of many: `post-body`, `comment content`, `messageText`.
fn is_post(class: &str) -> bool {
    // Splitting into words costs; most classes have none of these anywhere.
    let likely = ["ost", "essage", "eply", "omment"].iter().any(|part| class.contains(part));
    if !likely {
        return false;
    }
    let words: Vec<String> = words(class).take(8).collect();
    let any = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    any(&["post", "message", "reply", "comment"]) && any(&["body", "content", "author", "text"])
}

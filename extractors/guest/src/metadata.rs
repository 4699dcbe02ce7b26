//! What a page says about itself: `<meta>`, OpenGraph, JSON-LD and a few elements with a meaning.
//!
//! [`Facts`] holds everything as found; [`Facts::fill`] decides which of several answers is believed. The more
//! structured a source is, the more it is believed: JSON-LD, then OpenGraph, then `<meta>`, then the page.

use html5ever::local_name;
use serde_json::Value;

use crate::document::{Document, Metadata};
use crate::dom::{Dom, NodeId};
use crate::json::Json;
use crate::links::Base;
use crate::text::{collapsed, meaningful};

/// JSON-LD blocks past this size are site data, not metadata, and cost more than they tell.
const MAX_JSON_LD: usize = 256 << 10;

/// Everything a page says about itself.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) metadata: Metadata,
    title: Option<String>,
    heading: Option<String>,
    language: Option<String>,
    canonical: Option<String>,
    authors: Vec<String>,
    time: Option<String>,
}

impl Facts {
    pub(crate) fn of(dom: &Dom) -> Self {
        let mut facts = Self::default();
        for id in dom.walk(NodeId::DOCUMENT, |_| true) {
            let Some(element) = dom.element(id) else {
                continue;
            };
            let Some(name) = element.html_name() else {
                continue;
            };
            let attribute = |name| element.attribute(&name).map(str::trim).filter(|value| !value.is_empty());
            match *name {
                local_name!("html") => facts.language = attribute(local_name!("lang")).map(str::to_owned),
                local_name!("title") if facts.title.is_none() => facts.title = meaningful(&dom.raw_text(id)),
                local_name!("h1") if facts.heading.is_none() => facts.heading = meaningful(&dom.raw_text(id)),
                local_name!("meta") => {
                    if let Some(content) = attribute(local_name!("content")) {
                        let key = attribute(local_name!("property"))
                            .or_else(|| attribute(local_name!("name")))
                            .or_else(|| attribute(local_name!("itemprop")))
                            .or_else(|| attribute(local_name!("http-equiv")));
                        facts.meta(key, content);
                    }
                }
                local_name!("link") if attribute(local_name!("rel")) == Some("canonical") => {
                    facts.canonical = attribute(local_name!("href")).map(str::to_owned);
                }
                local_name!("script")
                    if attribute(local_name!("type")).is_some_and(|kind| kind.eq_ignore_ascii_case("application/ld+json")) =>
                {
                    facts.json_ld(&dom.raw_text(id));
                }
                local_name!("time") if facts.time.is_none() => {
                    facts.time = attribute(local_name!("datetime")).map(str::to_owned);
                }
                _ => {}
            }
            let author = attribute(local_name!("rel")).is_some_and(|rel| rel.split_whitespace().any(|rel| rel == "author"))
                || attribute(local_name!("itemprop")) == Some("author");
            if author && *name != local_name!("meta") && *name != local_name!("link") && facts.authors.len() < 8 {
                facts.authors.extend(meaningful(&dom.raw_text(id)));
            }
        }
        facts
    }

    fn meta(&mut self, key: Option<&str>, content: &str) {
        let Some(key) = key.map(str::to_ascii_lowercase) else {
            return;
        };
        let structured = ["og:", "article:", "product:", "book:", "profile:", "video:", "music:", "twitter:", "fb:"]
            .iter()
            .any(|prefix| key.starts_with(prefix));
        let map = if structured { &mut self.metadata.open_graph } else { &mut self.metadata.meta };
        map.entry(key).or_insert_with(|| collapsed(content));
    }

    fn json_ld(&mut self, text: &str) {
        let text = text.trim().trim_start_matches("<!--").trim_end_matches("-->").trim();
        if text.len() <= MAX_JSON_LD
            && let Ok(value) = serde_json::from_str::<Value>(text)
        {
            self.metadata.json_ld.push(Json(value));
        }
    }

    /// The first JSON-LD thing of one of `kinds`, wherever it stands.
    pub(crate) fn thing(&self, kinds: &[&str]) -> Option<&Value> {
        self.things().find(|thing| types(thing).any(|kind| kinds.contains(&kind)))
    }

    fn things(&self) -> impl Iterator<Item = &Value> {
        self.metadata.json_ld.iter().flat_map(|Json(block)| {
            let listed = match block {
                Value::Array(blocks) => blocks.as_slice(),
                Value::Object(_) => std::slice::from_ref(block),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => &[],
            };
            listed.iter().flat_map(|thing| {
                let graph = thing.get("@graph").and_then(Value::as_array);
                std::iter::once(thing).chain(graph.into_iter().flatten())
            })
        })
    }

    pub(crate) fn open_graph(&self, key: &str) -> Option<&str> {
        self.metadata.open_graph.get(key).map(String::as_str)
    }

    fn named(&self, keys: &[&str]) -> Option<String> {
        let find = |key: &&str| self.metadata.open_graph.get(*key).or_else(|| self.metadata.meta.get(*key));
        keys.iter().find_map(find).and_then(|value| meaningful(value))
    }

    /// Writes what is believed into `document`.
    pub(crate) fn fill(self, document: &mut Document, base: &Base, page: Option<&str>) {
        let story = self.thing(ARTICLES);
        let of_story = |key: &str| story.and_then(|story| story.get(key)).and_then(text_of);
        let any = |key: &str| self.things().find_map(|thing| thing.get(key).and_then(text_of));
        document.site_name = self
            .named(&["og:site_name", "application-name"])
            .or_else(|| story.and_then(|story| story.get("publisher")).and_then(text_of));
        document.title = of_story("headline")
            .or_else(|| self.named(&["og:title", "twitter:title", "dc.title"]))
            .or_else(|| self.title.clone())
            .map(|title| without_site(&title, document.site_name.as_deref(), self.heading.as_deref()))
            .or_else(|| self.heading.clone());
        document.authors = self.believed_authors(story);
        document.published = of_story("datePublished")
            .or_else(|| any("datePublished"))
            .or_else(|| {
                self.named(&[
                    "article:published_time",
                    "datepublished",
                    "date",
                    "dc.date",
                    "dc.date.issued",
                    "dcterms.created",
                    "pubdate",
                    "publish-date",
                    "publication_date",
                    "parsely-pub-date",
                    "sailthru.date",
                    "citation_publication_date",
                ])
            })
            .or_else(|| self.time.clone());
        document.modified = of_story("dateModified").or_else(|| any("dateModified")).or_else(|| {
            self.named(&["article:modified_time", "og:updated_time", "datemodified", "last-modified", "dcterms.modified"])
        });
        document.language = self
            .language
            .clone()
            .or_else(|| self.named(&["content-language", "dc.language", "language"]))
            .or_else(|| self.named(&["og:locale"]).map(|locale| locale.replace('_', "-")));
        document.description = self
            .named(&["og:description", "description", "twitter:description", "dc.description"])
            .or_else(|| of_story("description"));
        document.url = self
            .canonical
            .as_deref()
            .or_else(|| self.open_graph("og:url"))
            .and_then(|url| base.resolve(url))
            .filter(|url| url.starts_with("http"))
            .or_else(|| page.filter(|page| page.starts_with("http")).map(str::to_owned));
        document.metadata = self.metadata;
    }

    fn believed_authors(&self, story: Option<&Value>) -> Vec<String> {
        let mut names = Vec::new();
        if let Some(author) = story.and_then(|story| story.get("author").or_else(|| story.get("creator"))) {
            names_of(author, &mut names);
        }
        if names.is_empty() {
            let named =
                self.named(&["author", "article:author", "dc.creator", "parsely-author", "sailthru.author", "twitter:creator"]);
            names.extend(named.filter(|name| !name.contains("://") && !name.starts_with('@')));
        }
        if names.is_empty() {
            names.extend(self.authors.iter().filter(|name| name.chars().count() <= 80).cloned());
        }
        let mut unique: Vec<String> = Vec::new();
        for name in names {
            let name = name.trim_start_matches("By ").trim_start_matches("by ").to_owned();
            if !name.is_empty() && !unique.contains(&name) {
                unique.push(name);
            }
        }
        unique
    }
}

/// JSON-LD types of a text with an author.
pub(crate) const ARTICLES: &[&str] = &[
    "Article",
    "NewsArticle",
    "BlogPosting",
    "Report",
    "ScholarlyArticle",
    "TechArticle",
    "OpinionNewsArticle",
    "ReportageNewsArticle",
    "AnalysisNewsArticle",
    "ReviewNewsArticle",
    "SocialMediaPosting",
    "Review",
    "Recipe",
];

fn types(thing: &Value) -> impl Iterator<Item = &str> {
    let kind = thing.get("@type");
    let several = kind.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    kind.and_then(Value::as_str).into_iter().chain(several)
}

/// A JSON-LD value as text: itself, or the name of what it describes.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => meaningful(text),
        Value::Object(thing) => thing.get("name").or_else(|| thing.get("@value")).and_then(Value::as_str).and_then(meaningful),
        Value::Array(values) => values.iter().find_map(|value| value.as_str().and_then(meaningful)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn names_of(author: &Value, names: &mut Vec<String>) {
    match author {
        Value::Array(authors) => {
            for author in authors.iter().take(32) {
                names.extend(text_of(author));
            }
        }
        Value::String(_) | Value::Object(_) => names.extend(text_of(author)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A title without the site's name, where a separator sets it off and something else vouches for the rest.
fn without_site(title: &str, site: Option<&str>, heading: Option<&str>) -> String {
    let title = collapsed(title);
    for separator in [" | ", " - ", " – ", " — ", " · ", " :: ", " » ", " « ", " • ", "｜"] {
        let Some((left, right)) = title.rsplit_once(separator) else {
            continue;
        };
        let same = |one: &str, other: Option<&str>| other.is_some_and(|other| one.trim().eq_ignore_ascii_case(other.trim()));
        if same(right, site) || same(left, heading) {
            return left.trim().to_owned();
        }
        if same(left, site) || same(right, heading) {
            return right.trim().to_owned();
        }
        if separator == " | " && left.split_whitespace().count() >= 3 {
            return left.trim().to_owned();
        }
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    fn document(page: &str) -> Document {
        let dom = parse(page.into());
        let mut document = Document::default();
        let base = Base::of(&dom, Some("https://example.com/a"));
        Facts::of(&dom).fill(&mut document, &base, Some("https://example.com/a"));
        document
    }

    #[test]
    fn structured_sources_go_before_loose_ones() {
        let page = r#"<html lang=en-GB><head><title>Loose | Site</title><meta property=og:title content="Graph">
            <meta name=author content="Meta Author"><link rel=canonical href=/canonical>
            <script type="application/ld+json">{"@graph":[{"@type":"WebSite","name":"x"},{"@type":["Thing","NewsArticle"],
            "headline":"Linked","author":[{"name":"Ann"},"Ben",{"name":"Ann"}],"datePublished":"2026-01-02","publisher":{"name":"House"}}]}</script>"#;
        let found = document(page);
        assert_eq!(found.title.as_deref(), Some("Linked"));
        assert_eq!(found.authors, ["Ann", "Ben"]);
        assert_eq!(found.published.as_deref(), Some("2026-01-02"));
        assert_eq!(found.site_name.as_deref(), Some("House"));
        assert_eq!(found.language.as_deref(), Some("en-GB"));
        assert_eq!(found.url.as_deref(), Some("https://example.com/canonical"));
        assert_eq!(found.metadata.meta["author"], "Meta Author");
    }

    #[test]
    fn a_bare_page_still_has_a_title() {
        let found = document(
            "<title> A  long title | The Site </title><h1>Heading</h1><a rel=author>By Jane</a><time datetime=2026-05-06>",
        );
        assert_eq!(found.title.as_deref(), Some("A long title"));
        assert_eq!(found.authors, ["Jane"]);
        assert_eq!(found.published.as_deref(), Some("2026-05-06"));
        assert_eq!(document("<h1> Only  this </h1>").title.as_deref(), Some("Only this"));
        assert_eq!(document("").title, None);
        assert_eq!(document("").url.as_deref(), Some("https://example.com/a"));
    }

    #[test]
    fn broken_json_ld_is_left_out() {
        let deep = format!("<script type=application/ld+json>{}</script>", "[".repeat(10_000));
        for page in ["<script type=application/ld+json>{oops</script>", &deep, "<script type=application/ld+json>3</script>"] {
            assert!(document(page).authors.is_empty());
        }
    }

    #[test]
    fn sites_are_cut_from_titles_only_with_evidence() {
        let table = [
            ("Story - The Site", Some("the site"), None, "Story"),
            ("The Site | Story", Some("The Site"), None, "Story"),
            ("Rock - Paper", None, None, "Rock - Paper"),
            ("Rock - Paper", None, Some("rock"), "Rock"),
        ];
        for (title, site, heading, expected) in table {
            assert_eq!(without_site(title, site, heading), expected);
        }
    }
}

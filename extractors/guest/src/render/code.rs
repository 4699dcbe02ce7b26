//! Code blocks: their text without line numbers, and their language.

use html5ever::{LocalName, local_name};

use crate::dom::{Dom, Element, NodeData, NodeId};
use crate::select::Selection;

/// The text of a code block without line numbers, with line breaks where the page shows them.
pub(crate) fn code_text(dom: &Dom, id: NodeId, selection: &Selection) -> String {
    let mut code = String::new();
    let shown = |id: NodeId| selection.keeps(id) && !is_gutter(dom, id);
    for inner in dom.walk(id, shown) {
        if !shown(inner) {
            continue;
        }
        match dom.data(inner) {
            NodeData::Text(text) => code.push_str(text),
            NodeData::Element(element) => match element.html_name() {
                Some(&local_name!("br")) => code.push('\n'),
                Some(&local_name!("div") | &local_name!("p") | &local_name!("tr") | &local_name!("li")) => {
                    if !code.is_empty() && !code.ends_with('\n') {
                        code.push('\n');
                    }
                }
                Some(_) | None => {}
            },
            NodeData::Fragment | NodeData::Nothing => {}
        }
    }
    code
}

fn is_gutter(dom: &Dom, id: NodeId) -> bool {
    let Some(element) = dom.element(id) else {
        return false;
    };
    let by_class = element.attribute(&local_name!("class")).is_some_and(|class| {
        class.split_whitespace().any(|class| {
            matches!(
                class,
                "gutter"
                    | "lineno"
                    | "linenos"
                    | "linenodiv"
                    | "line-number"
                    | "line-numbers-rows"
                    | "lnt"
                    | "ln"
                    | "rouge-gutter"
                    | "blob-num"
                    | "hljs-ln-numbers"
            )
        })
    });
    by_class
        || element.attribute(&LocalName::from("data-line-number")).is_some() && element.html_name() == Some(&local_name!("td"))
}

/// A code block's language, from the classes that highlighters put on it or around it.
pub(crate) fn language(dom: &Dom, id: NodeId) -> Option<String> {
    let around = dom.ancestors(id).take(2);
    let within = dom.children(id).filter(|child| dom.html_name(*child) == Some(&local_name!("code")));
    std::iter::once(id).chain(within).chain(around).find_map(|id| language_of(dom.element(id)?))
}

fn language_of(element: &Element) -> Option<String> {
    let plausible = |language: &str| {
        let fits = !language.is_empty() && language.len() <= 20;
        let known = language.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'#' | b'-' | b'.' | b'_'));
        (fits && known && !matches!(language, "none" | "text" | "plaintext" | "plain")).then(|| language.to_ascii_lowercase())
    };
    for attribute in ["data-lang", "data-language"] {
        if let Some(language) = element.attribute(&LocalName::from(attribute)).and_then(plausible) {
            return Some(language);
        }
    }
    let class = element.attribute(&local_name!("class"))?;
    for name in class.split_whitespace() {
        for prefix in ["language-", "lang-", "highlight-source-", "brush:", "highlight-"] {
            if let Some(language) = name.strip_prefix(prefix).and_then(plausible) {
                return Some(language);
            }
        }
    }
    None
}

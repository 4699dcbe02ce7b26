//! Static pages of the corpora beside this checkout, those of them that hold their content by the ground truth; and the same pages
//! with their content moved into scripts.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use eventmesh_guest::{Hints, extract};
use flate2::read::GzDecoder;
use serde::Deserialize;

use super::case::{Case, Kind};
use crate::Error;

#[derive(Debug, Deserialize)]
struct Truth {
    corpus: String,
    id: String,
    file: String,
    main_content: Option<String>,
    #[serde(default)]
    with: Option<Vec<String>>,
}

/// Pages of the corpora, and how many had to be left out.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) cases: Vec<Case>,
    /// Their truth is not in what was sent, or not whole: they were rendered when the truth was taken.
    pub(crate) without_content: usize,
    /// There is no truth of them.
    pub(crate) without_truth: usize,
}

/// Words of a truth that must be in a page, of a hundred, for it to have its content.
const HAS: usize = 90;
/// A truth of fewer words says nothing.
const LEAST: usize = 20;

/// Different words, of a hundred, that may be left once content has been moved.
const REST: usize = 50;

/// Where the corpora are.
pub(crate) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/html")
}

/// All static pages, or why there are none.
pub(crate) fn pages(home: &Path) -> Result<Pages, Error> {
    let mut pages = Pages::default();
    for set in ["dev", "dev-large"] {
        let home = home.join(set);
        let truth = File::open(home.join("ground_truth.jsonl.gz"))
            .map_err(|error| format!("the corpus is not beside this checkout (shared/corpora/html/{set}): {error}"))?;
        for line in BufReader::new(GzDecoder::new(truth)).lines() {
            let truth: Truth = serde_json::from_str(&line?)?;
            let mut expected = words(truth.main_content.as_deref().unwrap_or_default());
            for snippet in truth.with.iter().flatten() {
                expected.extend(words(snippet));
            }
            if expected.len() < LEAST {
                pages.without_truth += 1;
                continue;
            }
            let mut page = Vec::new();
            GzDecoder::new(File::open(home.join(&truth.file))?).read_to_end(&mut page)?;
            let found = words(&visible(&String::from_utf8_lossy(&page)));
            let there = expected.iter().filter(|word| found.contains(*word)).count();
            if there * 100 < expected.len() * HAS {
                pages.without_content += 1;
                continue;
            }
            pages.cases.push(Case::new(Kind::Static, format!("{}/{}", truth.corpus, truth.id), page));
        }
    }
    Ok(pages)
}

fn words(text: &str) -> HashSet<String> {
    let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// What stands between the tags, plainly: no more than enough to look for words in it.
fn visible(page: &str) -> String {
    let mut text = String::with_capacity(page.len() / 4);
    let mut rest = page;
    while let Some(open) = rest.find('<') {
        text.push_str(&rest[..open]);
        text.push(' ');
        rest = &rest[open..];
        let hidden = ["script", "style", "noscript", "template"].into_iter().find(|name| begins(&rest[1..], name));
        let end = match hidden {
            Some(name) => find_end(rest, name),
            None if rest.starts_with("<!--") => rest.find("-->").map(|end| end + 3),
            None => rest.find('>').map(|end| end + 1),
        };
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    text.push_str(rest);
    let signs =
        [("&nbsp;", " "), ("&#39;", "'"), ("&#x27;", "'"), ("&rsquo;", "’"), ("&quot;", "\""), ("&amp;", "&"), ("&#8217;", "’")];
    let signs = signs.into_iter().chain([
        ("&auml;", "ä"),
        ("&ouml;", "ö"),
        ("&uuml;", "ü"),
        ("&szlig;", "ß"),
        ("&Auml;", "Ä"),
        ("&Ouml;", "Ö"),
        ("&Uuml;", "Ü"),
        ("&eacute;", "é"),
    ]);
    signs.fold(text, |text, (from, to)| text.replace(from, to))
}

fn begins(rest: &str, name: &str) -> bool {
    rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Where the element at the beginning of `rest` is over, its end tag included.
fn find_end(rest: &str, name: &str) -> Option<usize> {
    let (close, _) = rest.match_indices("</").find(|(at, _)| begins(&rest[at + 2..], name))?;
    Some(close + rest[close..].find('>')? + 1)
}

/// Ways to move content into a script.
const WAYS: [&str; 6] = ["whole", "template", "main", "data", "bare", "busy"];

/// The same page with its content moved into a script, one way of those there are; `None` if it does not lend itself to that.
pub(crate) fn turned(case: &Case, number: usize) -> Option<Case> {
    let page = String::from_utf8(case.page.clone()).ok()?;
    let page = without_foreign(&page);
    let lower = page.to_ascii_lowercase();
    let body = lower.find("<body")?;
    let inside = body + lower[body..].find('>')? + 1;
    let end = lower.rfind("</body").filter(|end| *end > inside)?;
    let (head, content, tail) = (&page[..inside], &page[inside..end], &page[end..]);
    let way = WAYS[number % WAYS.len()];
    let quoted = |content: &str| Some(serde_json::to_string(&without_scripts(content)).ok()?.replace("</", "<\\/"));
    let file = format!("/turned/{}.js", case.name.replace('/', "-"));
    let mut script = None;
    let body = match way {
        // In a string, in the page.
        "whole" => format!(
            "<div id=\"app\"></div><script>const html={};setTimeout(()=>{{document.getElementById('app').innerHTML=html}},120)</script>",
            quoted(content)?
        ),
        // In a template, shown after a request.
        "template" => format!(
            "<div id=\"view\"></div><template id=\"page\">{}</template><script>fetch('/data?ms=40').then(r=>r.json()).then(()=>\
             document.getElementById('view').append(document.getElementById('page').content.cloneNode(true)))</script>",
            without_scripts(content)
        ),
        // All around it stays.
        "main" => {
            let low = content.to_ascii_lowercase();
            let name = ["main", "article"].into_iter().find(|name| low.contains(&format!("<{name}")))?;
            let open = low.find(&format!("<{name}"))?;
            let open = open + low[open..].find('>')? + 1;
            let close = low.rfind(&format!("</{name}")).filter(|close| *close > open)?;
            script = Some((
                file.clone(),
                format!(
                    "fetch('/data?ms=60').then(r=>r.json()).then(()=>{{document.querySelector('{name}').innerHTML={}}})",
                    quoted(&content[open..close])?
                ),
            ));
            format!("{}{}<script src=\"{file}\" defer></script>", &content[..open], &content[close..])
        }
        // With a notice where it will be.
        "data" => {
            script = Some((
                file.clone(),
                format!(
                    "fetch('/data?ms=80').then(r=>r.json()).then(()=>{{document.getElementById('content').innerHTML={}}})",
                    quoted(content)?
                ),
            ));
            let notice =
                ["Loading…", "Wird geladen …", "Chargement en cours…", "Cargando…", "読み込み中…"][number / WAYS.len() % 5];
            format!("<div id=\"content\">{notice}</div><script src=\"{file}\"></script>")
        }
        // With nothing at all but the script.
        "bare" => {
            script = Some((
                file.clone(),
                format!(
                    "addEventListener('load',()=>setTimeout(()=>document.body.insertAdjacentHTML('afterbegin',{}),60))",
                    quoted(content)?
                ),
            ));
            format!("<script type=\"module\" src=\"{file}\"></script>")
        }
        // With a spinner, and words for those without scripts.
        _ => {
            script = Some((
                file.clone(),
                format!("setTimeout(()=>{{document.querySelector('.page').innerHTML={}}},90)", quoted(content)?),
            ));
            format!(
                "<noscript>This site works best with JavaScript; please enable it.</noscript><div class=\"page\"><div class=\"spinner\" role=\"progressbar\"></div></div>\
                 <script src=\"{file}\" async></script>"
            )
        }
    };
    let page = format!("{head}{body}{tail}");
    // Where the same words stand elsewhere in it, too, nothing has been moved.
    let (before, after) = (words(&visible(content)), words(&visible(&page)));
    if before.intersection(&after).count() * 100 > before.len() * REST {
        return None;
    }
    let hints = Hints { base_url: None, charset: Some("utf-8".to_owned()), html: false };
    let words = Some(extract(&case.page, &hints).word_count);
    Some(Case { script, words, ..Case::new(Kind::Turned, format!("{way}/{}", case.name), page) })
}

/// A page without what it gets from others, which are not there when figures are taken.
fn without_foreign(page: &str) -> String {
    let page = without(page, "script", |tag| tag.contains("src="));
    let mut text = String::with_capacity(page.len());
    let mut rest = page.as_str();
    while let Some((open, _)) = rest.match_indices('<').find(|(at, _)| begins(&rest[at + 1..], "link")) {
        text.push_str(&rest[..open]);
        let end = rest[open..].find('>').map_or(rest.len(), |end| open + end + 1);
        rest = &rest[end..];
    }
    text + rest
}

fn without_scripts(content: &str) -> String {
    without(content, "script", |_| true)
}

/// Without the elements of that name whose start tags are such.
fn without(page: &str, name: &str, such: impl Fn(&str) -> bool) -> String {
    let mut text = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((open, _)) = rest.match_indices('<').find(|(at, _)| begins(&rest[at + 1..], name)) {
        let tag = rest[open..].find('>').map_or(rest.len(), |end| open + end + 1);
        let end = find_end(&rest[open..], name).map_or(rest.len(), |end| open + end);
        text.push_str(&rest[..open]);
        if !such(&rest[open..tag]) {
            text.push_str(&rest[open..end]);
        }
        rest = &rest[end..];
    }
    text + rest
}

//! Whole pages through the guest, natively: golden ones, generated ones, and a corpus where there is one.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "a test may fail, and says what it skips")]

use std::io::Read;
use std::path::{Path, PathBuf};

use eventmesh_guest::{Document, Hints, MAX_DEPTH, extract};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

fn hints() -> Hints {
    Hints { base_url: Some("https://example.com/dir/page".into()), charset: None, html: true }
}

/// What holds for every document of every page.
fn check(document: &Document) -> Result<(), String> {
    if !(0.0..=1.0).contains(&document.quality) {
        return Err(format!("quality {}", document.quality));
    }
    if document.word_count == 0 && document.quality > 0.0 {
        return Err("trust in nothing".into());
    }
    if let Some(link) = document.links.iter().find(|link| !link.href.contains(':')) {
        return Err(format!("a relative link: {link:?}"));
    }
    let html = document.html.as_deref().unwrap_or_default();
    for forbidden in ["<script", "<style", "onclick", "javascript:"] {
        if html.contains(forbidden) && !document.text.contains(forbidden) {
            return Err(format!("{forbidden} in the clean HTML"));
        }
    }
    Ok(())
}

/// Golden pages: `name.html`, with its Markdown beside it in `name.md` and everything else in `name.json`.
/// `UPDATE_GOLDEN=1` writes them anew, for a person to read the difference.
#[test]
fn golden_pages_come_out_as_they_should() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut seen = 0;
    for page in files(&directory, "html") {
        let bytes = std::fs::read(&page).expect("a page");
        let mut document = extract(&bytes, &hints());
        check(&document).expect("a sound document");
        let markdown = std::mem::take(&mut document.markdown);
        document.html = None;
        let json = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
        for (extension, got) in [("md", markdown), ("json", json)] {
            let path = page.with_extension(extension);
            if update {
                std::fs::write(&path, got).expect("own directory");
            } else {
                let expected = std::fs::read_to_string(&path).expect("UPDATE_GOLDEN=1 makes it");
                assert_eq!(got, expected, "{}", path.display());
            }
        }
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} golden pages found in {}", directory.display());
}

/// Thousands of real pages, where the corpus is beside the checkout.
#[test]
fn corpus_pages_all_come_out() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/html/dev/html");
    if !corpus.is_dir() {
        eprintln!("SKIPPED corpus_pages_all_come_out: there is no corpus at {}", corpus.display());
        return;
    }
    let mut seen = 0;
    for folder in std::fs::read_dir(&corpus).expect("readable").filter_map(Result::ok) {
        for path in files(&folder.path(), "gz") {
            let mut page = Vec::new();
            let file = std::fs::File::open(&path).expect("a page");
            flate2::read::GzDecoder::new(file).read_to_end(&mut page).expect("gzip");
            check(&extract(&page, &hints())).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            seen += 1;
        }
    }
    assert!(seen > 1000, "only {seen} pages");
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut files: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// Pieces that parsers trip over, in any order.
fn piece() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "a",
        "article",
        "b",
        "base",
        "blockquote",
        "body",
        "br",
        "caption",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "em",
        "footer",
        "form",
        "h1",
        "h3",
        "head",
        "html",
        "i",
        "iframe",
        "img",
        "input",
        "li",
        "main",
        "math",
        "meta",
        "nav",
        "noscript",
        "ol",
        "option",
        "p",
        "pre",
        "script",
        "section",
        "select",
        "span",
        "style",
        "svg",
        "table",
        "tbody",
        "td",
        "template",
        "textarea",
        "th",
        "title",
        "tr",
        "ul",
    ];
    const ATTRIBUTES: &[&str] = &[
        "",
        " href=/x",
        " href='javascript:x'",
        " src=data:,",
        " class='nav share'",
        " hidden",
        " style='display:none'",
        " colspan=9999",
        " start=-1",
        " charset=utf-16",
        " name=author content=x",
        " type=application/ld+json",
        " rel=canonical href=//",
        " id=content",
        " srcset='a 1x, b 2x'",
        " onclick=x",
        " property=og:title content=' '",
    ];
    let name = prop::sample::select(NAMES);
    prop_oneof![
        4 => (name.clone(), prop::sample::select(ATTRIBUTES)).prop_map(|(name, attributes)| format!("<{name}{attributes}>")),
        2 => name.prop_map(|name| format!("</{name}>")),
        3 => "[ -~äß日\u{0}\u{a0}\u{202e}\n\t,.*_`#\\[\\]|<>&;]{0,30}",
        1 => prop::sample::select(&["<!--", "-->", "<![CDATA[", "]]>", "<!DOCTYPE html>", "&amp", "&#x110000;", "{\"@type\":[1]}", "```"][..])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn any_bytes_yield_a_document(bytes in prop::collection::vec(any::<u8>(), 0..4096), charset in prop::option::of("[a-z0-9-]{0,12}")) {
        let hints = Hints { charset, ..hints() };
        let document = extract(&bytes, &hints);
        prop_assert_eq!(check(&document), Ok(()));
    }

    #[test]
    fn any_soup_of_tags_yields_the_same_document_twice(pieces in prop::collection::vec(piece(), 0..200)) {
        let page = pieces.concat();
        let document = extract(page.as_bytes(), &hints());
        prop_assert_eq!(check(&document), Ok(()));
        prop_assert!(document.markdown.len() <= 64 * (page.len() + 256), "the output explodes");
        prop_assert_eq!(document, extract(page.as_bytes(), &hints()));
    }

    #[test]
    fn any_tower_stays_within_the_stack(name in prop::sample::select(&["div", "ul", "blockquote", "b", "table", "a", "svg", "select"][..]), height in 0usize..20_000) {
        let page = format!("<{name}>").repeat(height) + "text";
        let document = extract(page.as_bytes(), &hints());
        prop_assert_eq!(check(&document), Ok(()));
        prop_assert!(MAX_DEPTH >= 512);
    }
}

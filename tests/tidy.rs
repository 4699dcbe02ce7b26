//! House rules that a compiler does not know.

#![expect(clippy::expect_used, reason = "a test may fail")]

use std::path::{Path, PathBuf};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("readable").filter_map(Result::ok) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(Path::new(env!("CARGO_MANIFEST_DIR")), &mut found);
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).expect("UTF-8"))).collect()
}

#[test]
fn the_supervision_engine_knows_no_word_of_the_web() {
    const WEB: &[&str] = &["html", "http", "url", "mime", "browser", "chromium", "pdf", "markdown", "document", "css"];
    for (path, text) in all() {
        if !path.to_string_lossy().contains("/actors/src/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let words = line.split(|character: char| !character.is_ascii_alphabetic()).map(str::to_ascii_lowercase);
            for word in words {
                assert!(!WEB.contains(&&*word), "{}:{}: '{word}'", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    for (path, text) in all() {
        assert!(text.starts_with("//!"), "{} does not begin with what it is", path.display());
        // Decisions that must be read together may be long; nothing else.
        let longest = if path.ends_with("pool/core.rs") { 800 } else { 600 };
        let lines = text.lines().count();
        assert!(lines <= longest, "{} has {lines} lines", path.display());
        let module_file = path.file_name().is_some_and(|name| name == "mod.rs");
        assert!(!module_file, "{}: modules are foo.rs + foo/", path.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["unimpl", "emented!"].concat()];
    for (path, text) in all() {
        for word in &words {
            assert!(!text.contains(word.as_str()), "{} has a {word}", path.display());
        }
    }
}

//! Which way a page goes, by what it says it is and what it starts with; and whether HTML is taken as it was sent or as a browser
//! shows it. Pure.
//!
//! ```text
//!   content type, first bytes ─▶ route ─▶ HTML ─▶ document as sent ─▶ Features ─▶ Verdict ─▶ RouteTaken
//!                                                                        Hosts ─▶ Lean ─┘
//! ```
//! A page is always extracted as it was sent first. It is rendered only if evidence says that this is not its content.

mod count;
mod features;
mod hosts;
mod pass;
mod scan;
mod signs;
mod taken;
mod verdict;

pub use features::{Container, Features, Noscript, Scripts};
pub(crate) use hosts::host_of;
pub use hosts::{Hosts, Lean, Outcome};
pub use taken::{RouteTaken, Way};
pub use verdict::{Better, Evidence, Reason, Verdict};

use crate::error::{Error, ErrorKind};

/// The way of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the sandbox, as HTML.
    Html,
    /// To the processes that read PDFs.
    Pdf,
}

/// What a file starts with, and what it then is.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image, or sound"),
    (b"PK\x03\x04", "a ZIP archive, or an office document"),
    (b"\x1f\x8b", "gzip data; name the file with .gz at the end, or send it with Content-Encoding: gzip"),
    (b"\x7fELF", "a program"),
    (b"\0asm", "a program"),
];

/// The way of a page of the given content type that starts with `head`.
pub(crate) fn route(content_type: Option<&str>, head: &[u8]) -> Result<Route, Error> {
    let unsupported = |what: &str| {
        let message = format!("the source is {what}, and only HTML and PDF can be extracted");
        Err(Error::new(ErrorKind::Unsupported, message))
    };
    // What it is goes before what it is said to be.
    if is_pdf(head) {
        return Ok(Route::Pdf);
    }
    if let Some((_, what)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        return unsupported(what);
    }
    let essence = content_type.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        None | Some("") => Ok(Route::Html),
        Some(text) if text.starts_with("text/") => Ok(Route::Html),
        Some("application/xhtml+xml" | "application/xml" | "application/octet-stream") => Ok(Route::Html),
        // It says so, and may be broken in a way that its reader knows; but servers say so of their error pages, too.
        Some("application/pdf" | "application/x-pdf") if head.trim_ascii_start().starts_with(b"<") => Ok(Route::Html),
        Some("application/pdf" | "application/x-pdf") => Ok(Route::Pdf),
        Some(other) => unsupported(other),
    }
}

/// A PDF may have other bytes before its beginning, as mail and web servers leave them.
fn is_pdf(head: &[u8]) -> bool {
    let head = &head[..head.len().min(PDF_BEGINS_WITHIN)];
    head.starts_with(b"%PDF-") || (!head.trim_ascii_start().starts_with(b"<") && head.windows(5).any(|window| window == b"%PDF-"))
}

/// Readers look for the beginning of a PDF up to here.
const PDF_BEGINS_WITHIN: usize = 1024;

/// The charset in a content type.
pub(crate) fn charset(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways() {
        let goes = [
            (None, "<p>"),
            (None, ""),
            (Some("text/html; charset=utf-8"), "<p>"),
            (Some("TEXT/HTML"), "<p>"),
            (Some("application/xhtml+xml"), "<?xml"),
            (Some(""), "<p>"),
        ];
        for (content_type, head) in goes {
            assert_eq!(route(content_type, head.as_bytes()).ok(), Some(Route::Html), "{content_type:?} {head}");
        }
        let pdfs = [
            (None, "%PDF-1.7"),
            (Some("text/html"), "%PDF-1.7"),
            (Some("application/pdf"), "whatever"),
            (None, "\r\njunk %PDF-1.4"),
        ];
        for (content_type, head) in pdfs {
            assert_eq!(route(content_type, head.as_bytes()).ok(), Some(Route::Pdf), "{content_type:?} {head}");
        }
        assert_eq!(route(Some("application/pdf"), b"\n<!doctype html>").ok(), Some(Route::Html));
        assert_eq!(route(None, b"<p>The sign %PDF-1.7 begins a PDF").ok(), Some(Route::Html));
        let stops = [(Some("image/png"), "whatever"), (Some("application/json"), "{}"), (None, "GIF89a")];
        for (content_type, head) in stops {
            let error = route(content_type, head.as_bytes()).expect_err("it stops");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{content_type:?} {head}");
        }
    }

    #[test]
    fn charsets() {
        assert_eq!(charset("text/html; Charset=\"koi8-r\"; x=y").as_deref(), Some("koi8-r"));
        assert_eq!(charset("text/html; charset="), None);
        assert_eq!(charset("text/html"), None);
    }
}

//! What the API says of itself: OpenAPI from its types, a page for people, and a page for each failure.

use std::fmt::Write;

use axum::extract::Path;
use axum::response::Html;
use serde_json::Value;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi};

use super::problem::{HttpFailure, Problem};

/// Everything that is said of every kind of failure, as it stands in the documentation.
const ERRORS: &str = include_str!("../../docs/errors.md");

/// The document of `work`, with what is said of the whole.
pub(super) fn document(mut work: OpenApi) -> OpenApi {
    work.info = InfoBuilder::new()
        .title("EventMesh")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Web pages and PDFs as clean, structured content. Every answer but a failure has a format that `Accept` \
             chooses; every failure is a problem (RFC 9457) that says whether and when to try again.",
        ))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build()))
        .build();
    work
}

/// A page that says how the API is used.
pub(super) async fn page() -> Html<String> {
    let work = super::openapi();
    let value = serde_json::to_value(&work).unwrap_or_default();
    let mut text = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>EventMesh</title>\
         <style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\
         code,pre{font:14px/1.4 ui-monospace,monospace}pre{overflow:auto;padding:1rem;border:1px solid #8885}\
         table{border-collapse:collapse;width:100%}td{vertical-align:top;padding:.2rem .8rem .2rem 0;border-top:1px solid #8883}</style>\
         <h1>EventMesh</h1>",
    );
    // Writing to a string does not fail.
    let _ = write!(text, "<p>{}", escaped(value["info"]["description"].as_str().unwrap_or_default()));
    text.push_str("<p>For programs: <a href='/openapi.json'>/openapi.json</a>. Try it:<pre>curl -s http://127.0.0.1:7800/v1/extract -H 'content-type: application/json' -H 'accept: text/markdown' -d '{\"url\": \"https://example.com/\"}'</pre>");
    for (path, methods) in value["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let _ = write!(text, "<h2 id='{path}'><code>{} {path}</code></h2>", method.to_uppercase());
            for part in ["summary", "description"] {
                if let Some(said) = operation[part].as_str() {
                    let _ = write!(text, "<p>{}", escaped(said));
                }
            }
            if let Some(body) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str() {
                fields(&mut text, &value, body);
            }
        }
    }
    text.push_str("<h2>Failures</h2><ul>");
    for line in ERRORS.lines().filter_map(|line| line.strip_prefix("## `")).filter_map(|line| line.strip_suffix('`')) {
        let _ = write!(text, "<li><a href='/problems/{line}'><code>{line}</code></a>");
    }
    text.push_str("</ul>");
    Html(text)
}

/// The fields of a body, as a table; those of its parts below.
fn fields(text: &mut String, document: &Value, reference: &str) {
    let Some(schema) = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer)) else { return };
    text.push_str("<table>");
    let mut parts = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let said = field["description"].as_str().unwrap_or_default();
        let _ = write!(text, "<tr><td><code>{name}</code><td>{}", escaped(said));
        let inner = field["oneOf"].as_array().into_iter().flatten().chain([field]).find_map(|field| field["$ref"].as_str());
        parts.extend(inner.map(|inner| (name, inner)));
    }
    text.push_str("</table>");
    for (name, inner) in parts {
        let has_fields =
            inner.strip_prefix('#').and_then(|at| document.pointer(at)).is_some_and(|part| part["properties"].is_object());
        if has_fields {
            let _ = write!(text, "<h3><code>{name}</code></h3>");
            fields(text, document, inner);
        }
    }
}

/// What a problem's type says: the section of its kind.
pub(super) async fn problem(Path(code): Path<String>) -> Result<String, Problem> {
    section(&code).ok_or_else(|| Problem::http(HttpFailure::NoSuchPath, format!("no failure is called {code}")))
}

fn section(code: &str) -> Option<String> {
    if let Some((status, _, title)) = HttpFailure::ALL.iter().map(|failure| failure.told()).find(|(_, name, _)| *name == code) {
        return Some(format!("{code}\n\nHTTP {status}: {title}.\n"));
    }
    let (_, rest) = ERRORS.split_once(&format!("\n## `{code}`\n"))?;
    let said = rest.split("\n## ").next().unwrap_or_default().trim();
    Some(format!("{code}\n\n{said}\n"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn the_page_shows_every_operation_and_every_field() {
        let Html(text) = page().await;
        let document = serde_json::to_value(super::super::openapi()).expect("it is JSON");
        let paths = document["paths"].as_object().expect("there are some");
        assert!(paths.contains_key("/v1/extract") && paths.len() >= 4);
        for path in paths.keys() {
            assert!(text.contains(path.as_str()), "{path}");
        }
        for field in ["deadline_ms", "settle_cap_ms", "viewport"] {
            assert!(text.contains(&format!("<code>{field}</code>")), "{field}");
        }
    }

    #[test]
    fn every_failure_has_its_page() {
        for code in ErrorKind::ALL.map(ErrorKind::label).into_iter().chain(HttpFailure::ALL.map(|failure| failure.told().1)) {
            assert!(section(code).is_some_and(|said| said.len() > code.len() + 10), "{code}");
        }
        assert_eq!(section("nonsense"), None);
    }

    #[test]
    fn references_lead_somewhere() {
        let document = serde_json::to_value(super::super::openapi()).expect("it is JSON");
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().expect("there is one");
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}

//! What the API says of itself is so.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::daemon::{Daemon, ask};

/// What `schema` leads to.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let choices = schema["oneOf"].as_array().into_iter().chain(schema["anyOf"].as_array()).flatten();
    if let Some(choice) = choices.into_iter().find(|choice| choice["type"] != "null") {
        return resolved(document, choice);
    }
    match schema["$ref"].as_str() {
        Some(reference) => resolved(document, document.pointer(reference.trim_start_matches('#')).expect(reference)),
        None => schema,
    }
}

/// Something that a field called `name` may hold.
fn sample(document: &Value, name: &str, schema: &Value) -> Value {
    match name {
        "base_url" => return json!("https://example.com/"),
        "charset" => return json!("utf-8"),
        "selector" => return json!("p"),
        "wait" => return json!("load"),
        "format" => return json!("png"),
        "max_depth" => return json!(3),
        "max_pages" => return json!(3),
        "path" => return json!("/"),
        "secret" => return json!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "headers" => return json!({ "x-a": "b" }),
        _ => {}
    }
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    let schema = resolved(document, schema);
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    let kind = &schema["type"];
    let kind = kind.as_array().and_then(|kinds| kinds.iter().find(|kind| *kind != "null")).unwrap_or(kind).as_str();
    match kind {
        Some("boolean") => json!(true),
        Some("integer") => json!(1_000),
        Some("number") => json!(1.0),
        Some("string") => json!("x"),
        Some("array") => json!([]),
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(|(name, field)| (name.clone(), sample(document, name, field))).collect()
        }
        other => panic!("{name} is {other:?}: {schema}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_there_and_takes_every_field() {
    let daemon = Daemon::start(&[]).await;
    let answer = daemon.get("/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    let document = answer.json();
    assert!(document["openapi"].as_str().expect("a version").starts_with("3."));
    let mut fields_tried = 0;
    for (path, methods) in document["paths"].as_object().expect("there are some") {
        for (method, operation) in methods.as_object().expect("an object") {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let answer = ask(daemon.api(), method.clone(), path, &[], Default::default()).await;
            // A name in a path is nobody's; the path itself is there.
            let no_such_path = answer.status == StatusCode::NOT_FOUND && answer.json()["code"] == "no_such_path";
            let there = !no_such_path && !matches!(answer.status.as_u16(), 405 | 500);
            assert!(there, "{method} {path}: {}", answer.text());
            let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") else { continue };
            let body = resolved(&document, body);
            let fields = body["properties"].as_object().expect("fields");
            for (name, field) in fields {
                // A source is there already, and one is enough; a session has to be there first.
                if ["url", "urls", "html", "data", "requests", "options", "session"].contains(&name.as_str()) {
                    continue;
                }
                let Some(base) = base(path) else { continue };
                let with = |name: &str, value: Value| {
                    let mut body = base.clone();
                    body[name] = value;
                    body
                };
                let mut asked = vec![with(name, sample(&document, name, field))];
                // What has parts is asked for part by part, too.
                for (part, inner) in resolved(&document, field)["properties"].as_object().into_iter().flatten() {
                    // A window has two sides.
                    if name == "browser" {
                        asked.push(with(name, json!({ part: sample(&document, part, inner) })));
                    }
                }
                for body in asked {
                    let answer = daemon.post(path, &body).await;
                    let twice = path == "/v1/screenshot" && body["browser"]["screenshot"].is_object();
                    let fine = !matches!(answer.status.as_u16(), 400 | 422 | 500) || twice;
                    assert!(fine, "{path} {body}: {}", answer.text());
                    fields_tried += 1;
                }
            }
        }
    }
    assert!(fields_tried > 30, "{fields_tried}");
}

/// The least that can be asked of an operation.
fn base(path: &str) -> Option<Value> {
    match path {
        "/v1/batch" => Some(json!({ "requests": [{ "html": "<p>Some text." }] })),
        "/v1/crawl" => Some(json!({ "url": "http://127.0.0.1:9/", "scope": "path" })),
        // Its name is all that it needs.
        "/v1/sessions" => None,
        _ => Some(json!({ "html": "<p>Some text." })),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_pages_for_people() {
    let daemon = Daemon::start(&[]).await;
    let docs = daemon.get("/docs").await;
    assert_eq!((docs.status, docs.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    let mut links: Vec<_> =
        docs.text().split("href='").skip(1).filter_map(|rest| rest.split('\'').next()).map(str::to_owned).collect();
    assert!(links.len() > 15, "{links:?}");
    let of_http =
        ["syntax", "semantics", "body_stalled", "body_too_large", "media_type", "not_acceptable", "no_such_path", "method"];
    links
        .extend(of_http.iter().chain(&["unauthorized", "forbidden", "foreign", "quota"]).map(|code| format!("/problems/{code}")));
    for link in links {
        let page = daemon.get(&link).await;
        assert_eq!(page.status, StatusCode::OK, "{link}");
        assert!(page.body.len() > 40, "{link}: {}", page.text());
    }
    let nothing = daemon.get("/problems/nonsense").await;
    assert_eq!(nothing.code(), "no_such_path");
    assert!(nothing.header("server-timing").starts_with("total;dur="), "a failure takes time, too");
    // Where a problem says that it is explained, it is.
    let kind = nothing.json()["type"].as_str().expect("a type").to_owned();
    assert_eq!(daemon.get(&kind).await.status, StatusCode::OK, "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_can_do_is_what_is_documented() {
    let daemon = Daemon::start(&[]).await;
    let capabilities = daemon.get("/v1/capabilities").await.json();
    let document = daemon.get("/openapi.json").await.json();
    for operation in capabilities["operations"].as_array().expect("a list") {
        let path = format!("/v1/{}", operation.as_str().expect("a name"));
        assert!(document["paths"].get(&path).is_some(), "{path} is not documented");
    }
    let formats = document["paths"]["/v1/extract"]["post"]["responses"]["200"]["content"].as_object().expect("formats");
    let known = capabilities["formats"].as_array().expect("a list");
    assert_eq!(formats.len(), known.len());
    assert!(known.iter().all(|format| formats.contains_key(format.as_str().expect("a name"))), "{known:?}");
}

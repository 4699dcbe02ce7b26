//! Spans as OTLP has them in JSON (opentelemetry-proto, trace v1): ids in hexadecimal, 64-bit numbers as text. Pure.

use bytes::Bytes;
use serde::Serialize;

use super::span::{ERROR, Finished, REQUEST, Said, TRACE, Value};

/// Where failures of a server begin.
const FAILED: i64 = 500;

/// All of an export: who speaks, and what there is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Export<'s> {
    resource_spans: [ResourceSpans<'s>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'s> {
    resource: Resource,
    scope_spans: [ScopeSpans<'s>; 1],
}

#[derive(Debug, Serialize)]
struct Resource {
    attributes: [KeyValue<'static>; 2],
}

#[derive(Debug, Serialize)]
struct ScopeSpans<'s> {
    scope: Scope,
    spans: Vec<Span<'s>>,
}

#[derive(Debug, Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'s> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<KeyValue<'s>>,
    status: Status<'s>,
}

#[derive(Debug, Serialize)]
struct Status<'s> {
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'s str>,
}

#[derive(Debug, Serialize)]
struct KeyValue<'s> {
    key: &'static str,
    value: AnyValue<'s>,
}

#[derive(Debug, Serialize)]
enum AnyValue<'s> {
    #[serde(rename = "stringValue")]
    Text(&'s str),
    /// As all numbers of 64 bits are written in JSON.
    #[serde(rename = "intValue")]
    Whole(String),
    #[serde(rename = "boolValue")]
    Switch(bool),
}

/// Kinds and states, as the protocol numbers them.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const UNSET: u8 = 0;
const WRONG: u8 = 2;

const NAME: &str = "eventmesh";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The body of one export.
pub(super) fn encode(spans: &[Finished]) -> Result<Bytes, serde_json::Error> {
    let text = |key, text| KeyValue { key, value: AnyValue::Text(text) };
    let resource = Resource { attributes: [text("service.name", NAME), text("service.version", VERSION)] };
    let scope = Scope { name: NAME, version: VERSION };
    let scope_spans = [ScopeSpans { scope, spans: spans.iter().map(Span::of).collect() }];
    let export = Export { resource_spans: [ResourceSpans { resource, scope_spans }] };
    serde_json::to_vec(&export).map(Bytes::from)
}

impl<'s> Span<'s> {
    fn of(span: &'s Finished) -> Self {
        let is_request = span.name == REQUEST;
        Self {
            trace_id: format!("{:032x}", span.trace),
            span_id: format!("{:016x}", span.id),
            parent_span_id: span.parent.map(|parent| format!("{parent:016x}")),
            name: if is_request { name_of(&span.said) } else { span.name.to_owned() },
            kind: if is_request { SERVER } else { INTERNAL },
            start_time_unix_nano: span.began.to_string(),
            end_time_unix_nano: span.ended.to_string(),
            attributes: span.said.iter().filter(|(name, _)| *name != TRACE).map(|(name, value)| attribute(name, value)).collect(),
            status: status(&span.said),
        }
    }
}

/// What a request is called, by the conventions of OpenTelemetry: a name that many share.
fn name_of(said: &Said) -> String {
    let method = said.text("method").filter(|method| METHODS.contains(method)).unwrap_or("HTTP");
    match said.text("route") {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

/// What somebody makes up is one method, not many.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];

fn attribute<'s>(name: &'static str, value: &'s Value) -> KeyValue<'s> {
    // What the conventions have a name for is called by it.
    let key = match name {
        "id" => "eventmesh.request.id",
        "method" => "http.request.method",
        "route" => "http.route",
        "status" => "http.response.status_code",
        "code" | ERROR => "error.type",
        "pool" => "eventmesh.pool",
        "why" => "eventmesh.render.why",
        other => other,
    };
    let value = match value {
        Value::Text(text) => AnyValue::Text(text),
        Value::Whole(number) => AnyValue::Whole(number.to_string()),
        Value::Switch(is_so) => AnyValue::Switch(*is_so),
    };
    KeyValue { key, value }
}

/// A request that was refused is a failure of its caller's, not of ours.
fn status(said: &Said) -> Status<'_> {
    let fails = |value: &Value| matches!(value, Value::Whole(status) if *status >= FAILED);
    let failed = said.iter().any(|(name, value)| name == ERROR || (name == "status" && fails(value)));
    Status { code: if failed { WRONG } else { UNSET }, message: said.text(ERROR) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn span(name: &'static str, parent: Option<u64>, fields: Vec<(&'static str, Value)>) -> Finished {
        let (began, ended) = (1_700_000_000_000_000_001, 1_700_000_000_000_000_009);
        Finished { trace: 0xab, id: 0xcd, parent, name, began, ended, said: Said::of(fields) }
    }

    fn written(spans: &[Finished]) -> serde_json::Value {
        serde_json::from_slice(&encode(spans).expect("it is written")).expect("it is JSON")
    }

    #[test]
    fn a_request_is_written_as_the_protocol_has_it() {
        let fields = vec![
            ("id", text("mine")),
            ("method", text("POST")),
            ("route", text("/v1/extract")),
            ("trace", text("00-ab-cd-01")),
            ("status", Value::Whole(200)),
        ];
        let attribute = |key: &str, value| json!({ "key": key, "value": value });
        let expected = json!({ "resourceSpans": [{
            "resource": { "attributes": [
                attribute("service.name", json!({ "stringValue": "eventmesh" })),
                attribute("service.version", json!({ "stringValue": VERSION })),
            ] },
            "scopeSpans": [{
                "scope": { "name": "eventmesh", "version": VERSION },
                "spans": [{
                    "traceId": "000000000000000000000000000000ab",
                    "spanId": "00000000000000cd",
                    "parentSpanId": "00000000000000ef",
                    "name": "POST /v1/extract",
                    "kind": 2,
                    "startTimeUnixNano": "1700000000000000001",
                    "endTimeUnixNano": "1700000000000000009",
                    "attributes": [
                        attribute("eventmesh.request.id", json!({ "stringValue": "mine" })),
                        attribute("http.request.method", json!({ "stringValue": "POST" })),
                        attribute("http.route", json!({ "stringValue": "/v1/extract" })),
                        attribute("http.response.status_code", json!({ "intValue": "200" })),
                    ],
                    "status": { "code": 0 },
                }],
            }],
        }] });
        assert_eq!(written(&[span("request", Some(0xef), fields)]), expected);
    }

    #[test]
    fn what_failed_is_marked_and_what_was_refused_is_not() {
        let fields = |fields: Vec<(&'static str, Value)>| written(&[span("request", None, fields)]);
        for (said, code, message) in [
            (vec![("status", Value::Whole(200))], 0, None),
            (vec![("status", Value::Whole(404)), ("code", text("no_such_path"))], 0, None),
            (vec![("status", Value::Whole(499))], 0, None),
            (vec![("status", Value::Whole(500))], 2, None),
            (vec![("status", Value::Whole(503)), ("error", text("overloaded"))], 2, Some("overloaded")),
        ] {
            let written = fields(said);
            let status = &written["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["status"];
            assert_eq!((status["code"].as_u64(), status["message"].as_str()), (Some(code), message), "{written}");
        }
    }

    #[test]
    fn a_stage_is_called_what_it_is_and_has_a_parent_or_none() {
        let written = written(&[
            span("queue", None, vec![("pool", text("wasm"))]),
            span("render", Some(1), vec![("why", text("asked")), ("error", text("deadline")), ("kept", Value::Switch(true))]),
            span("request", None, vec![("method", text("BREW")), ("route", text("other"))]),
        ]);
        let spans = &written["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!((&spans[0]["name"], &spans[0]["kind"]), (&json!("queue"), &json!(1)));
        assert!(spans[0].get("parentSpanId").is_none());
        assert_eq!(spans[1]["attributes"][1], json!({ "key": "error.type", "value": { "stringValue": "deadline" } }));
        assert_eq!(spans[1]["attributes"][2], json!({ "key": "kept", "value": { "boolValue": true } }));
        assert_eq!(spans[2]["name"], "HTTP other");
    }

    #[test]
    fn an_export_of_nothing_is_one_all_the_same() {
        assert_eq!(written(&[])["resourceSpans"][0]["scopeSpans"][0]["spans"], json!([]));
    }
}

//! What comes in: every kind of body, and what is said to those that are none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::daemon::{Answer, Daemon, PATIENCE, ask, program};

fn form(parts: &[(&str, &str, &[u8])]) -> Bytes {
    let mut body = Vec::new();
    for (name, kind, bytes) in parts {
        let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
        let file = if *name == "file" { "; filename=\"a\"" } else { "" };
        body.extend_from_slice(format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n{kind}\r\n").as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    body.into()
}

async fn sent(daemon: &Daemon, kind: &str, body: impl Into<Bytes>) -> Answer {
    ask(daemon.api(), Method::POST, "/v1/extract", &[("content-type", kind)], body.into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_comes_in_in_every_way() {
    let daemon = Daemon::start(&[]).await;
    let html = "<title>T</title><p>Gr\u{fc}\u{df}e, und ein <a href=next>Verweis</a>.";
    let latin = b"<title>T</title><p>Gr\xfc\xdfe, und ein <a href=next>Verweis</a>.";
    let options = br#"{"base_url": "https://example.com/", "render": "never"}"#;
    let multipart = "multipart/form-data; boundary=b";
    let ways = [
        ("application/json", json!({ "html": html }).to_string().into()),
        ("application/json; charset=utf-8", json!({ "data": BASE64.encode(html) }).to_string().into()),
        ("text/html", Bytes::from(html)),
        ("TEXT/HTML; charset=windows-1252", Bytes::from_static(latin)),
        ("application/octet-stream", Bytes::from(html)),
        ("application/xhtml+xml; charset=utf-8", Bytes::from(html)),
        (multipart, form(&[("file", "text/html; charset=windows-1252", latin)])),
        (multipart, form(&[("options", "application/json", options), ("file", "", html.as_bytes())])),
        (multipart, form(&[("file", "", html.as_bytes()), ("options", "", options)])),
        (multipart, form(&[("options", "", json!({ "html": html }).to_string().as_bytes())])),
    ];
    for (kind, body) in ways {
        let answer = sent(&daemon, kind, body.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{kind}: {}", answer.text());
        let document = &answer.json()["document"];
        assert_eq!(document["text"], "Gr\u{fc}\u{df}e, und ein Verweis.", "{kind}");
        let resolved = body.windows(9).any(|part| part == b"\"base_url");
        assert_eq!(document["links"][0]["href"], if resolved { "https://example.com/next" } else { "next" }, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_body_is_refused_by_what_is_wrong() {
    let daemon = Daemon::start(&[]).await;
    let multipart = "multipart/form-data; boundary=b";
    for (kind, body, status, code, said) in [
        ("application/json", Bytes::from("{"), 400, "syntax", "EOF"),
        ("application/json", "".into(), 400, "syntax", "EOF"),
        ("application/json", "[]".into(), 422, "semantics", "invalid"),
        ("application/json", "{}".into(), 422, "semantics", "exactly one of url, html, data"),
        ("application/json", r#"{"url": "x", "html": "y"}"#.into(), 422, "semantics", "exactly one of"),
        ("application/json", r#"{"url": "x", "colour": 1}"#.into(), 422, "semantics", "colour"),
        ("application/json", r#"{"html": "x", "browser": {"viewpoint": {}}}"#.into(), 422, "semantics", "viewpoint"),
        ("application/json", r#"{"html": "x", "browser": {"screenshot": {"size": 1}}}"#.into(), 422, "semantics", "size"),
        ("application/json", r#"{"data": "%%"}"#.into(), 422, "semantics", "Base64"),
        ("text/csv", "a,b".into(), 415, "media_type", "text/csv"),
        (multipart, form(&[("page", "", b"x")]), 422, "semantics", "page"),
        (multipart, form(&[("options", "", b"{}")]), 422, "semantics", "exactly one of"),
        (multipart, form(&[("options", "", b"{\"colour\": 1}"), ("file", "", b"x")]), 422, "semantics", "colour"),
        (multipart, "--b\r\nnonsense".into(), 400, "syntax", "form"),
        ("multipart/form-data", form(&[("file", "", b"x")]), 400, "syntax", "form"),
        ("text/html", "".into(), 200, "", ""),
    ] {
        let answer = sent(&daemon, kind, body.clone()).await;
        assert_eq!(answer.status, status, "{kind} {body:?}: {}", answer.text());
        if status != 200 {
            let problem = answer.json();
            assert_eq!(answer.code(), code, "{kind} {body:?}: {problem}");
            assert!(problem["detail"].as_str().expect("text").contains(said), "{kind} {body:?}: {problem}");
            assert_eq!((&problem["status"], &problem["retryable"]), (&json!(status), &json!(false)));
        }
    }
    let picture = ask(daemon.api(), Method::POST, "/v1/screenshot", &[("content-type", "text/html")], "<p>x".into()).await;
    assert_eq!((picture.status, picture.code().as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type"));
    let place =
        daemon.post("/v1/extract", &json!({ "html": "x", "browser": { "viewport": { "width": "w", "height": 1 } } })).await;
    assert_eq!(place.json()["errors"][0]["pointer"], "/browser/viewport/width");
}

/// What is answered to `head` and then chunks of a mebibyte, up to `most` of them, and how many of them were taken.
async fn flooded(daemon: &Daemon, head: &str, most: usize) -> (String, usize) {
    let stream = TcpStream::connect(daemon.api()).await.expect("it listens");
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(head.as_bytes()).await.expect("it is taken");
    let reading = tokio::spawn(async move {
        let mut answer = Vec::new();
        // How the connection ends is no matter once the answer is there.
        let _ = reader.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    });
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(8 + (1 << 20), b'x');
    chunk.extend_from_slice(b"\r\n");
    let mut taken = 0;
    while taken < most && writer.write_all(&chunk).await.is_ok() {
        taken += 1;
    }
    (reading.await.expect("it ends"), taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_is_cut_at_the_limit() {
    let daemon = Daemon::start(&[]).await;
    let limit = daemon.get("/v1/capabilities").await.json()["limits"]["body_bytes"].as_u64().expect("a number");
    for kind in ["text/html", "application/json", "multipart/form-data; boundary=b"] {
        let head =
            format!("POST /v1/extract HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
        let start = if kind.starts_with("multipart") {
            "40\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=a\r\n\r\n\r\n"
        } else {
            ""
        };
        let (answer, taken) = flooded(&daemon, &format!("{head}{start}"), 512).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"body_too_large\""), "{kind}: {answer}");
        // Beyond the limit, no more is taken than what lies in the buffers of the system.
        assert!((taken as u64) << 20 < limit + (64 << 20), "{kind}: {taken} MiB");
    }
    daemon.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_would_be_too_many_together_are_sent_away_for_a_moment() {
    let given = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let mut command = program();
    command.args(given).env("EVENTMESH__DAEMON__MAX_BODY", "1MiB").env("EVENTMESH__DAEMON__BODIES", "1MiB");
    let daemon = Daemon::of(&mut command).await;
    let most = vec![b'x'; 700 << 10];
    assert_eq!(sent(&daemon, "text/html", most.clone()).await.status, StatusCode::OK);
    let flood = "POST /v1/extract HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n";
    // Alone it is cut where a single one may not be larger, which says that there was room until then.
    let until = async |status: &str| {
        loop {
            let (answer, _) = flooded(&daemon, flood, 2).await;
            if answer.starts_with(status) {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    // One that does not come to its end.
    let mut slow = TcpStream::connect(daemon.api()).await.expect("it listens");
    let head = "POST /v1/extract HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/html\r\ncontent-length: 1000000\r\n\r\n";
    slow.write_all(head.as_bytes()).await.expect("it is taken");
    slow.write_all(&most).await.expect("it is taken");
    let away = tokio::time::timeout(PATIENCE, until("HTTP/1.1 503 ")).await.expect("there is no room for two");
    assert!(away.contains("\"overloaded\"") && away.contains("retry-after: 1\r\n"), "{away}");
    let small = sent(&daemon, "text/html", "<p>Some text.").await;
    assert_eq!(small.status, StatusCode::OK, "what fits is taken");
    drop(slow);
    tokio::time::timeout(PATIENCE, until("HTTP/1.1 413 ")).await.expect("its room is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_page_comes_in_as_a_form_too() {
    let daemon = Daemon::start(&[]).await;
    let page = format!("<p>Some text.<!--{}-->", "x".repeat(20 << 20));
    let multipart = "multipart/form-data; boundary=b";
    for (kind, body) in [("text/html", page.clone().into()), (multipart, form(&[("file", "", page.as_bytes())]))] {
        let answer = sent(&daemon, kind, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{kind}: {}", answer.text());
        assert_eq!(answer.json()["document"]["text"], "Some text.", "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_says_it_is_too_large_is_refused_too() {
    let daemon = Daemon::start(&[]).await;
    let head = "POST /v1/extract HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/html\r\ncontent-length: 10000000000\r\n\r\n";
    let (answer, _) = flooded(&daemon, head, 512).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"body_too_large\""), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_have_a_limit() {
    let daemon = Daemon::start(&[]).await;
    let mut stream = TcpStream::connect(daemon.api()).await.expect("it listens");
    let head = format!("GET /v1/capabilities HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n\r\n", "x".repeat(80 << 10));
    // It may have seen enough before all has been written.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let fits = ask(daemon.api(), Method::GET, "/v1/capabilities", &[("x-long", &"x".repeat(32 << 10))], Bytes::new()).await;
    assert_eq!(fits.status, StatusCode::OK);
}

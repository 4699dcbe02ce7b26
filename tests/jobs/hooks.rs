//! Who is told of the ends of jobs, and looks whether it is told by whom it should be.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::site::site;

/// What webhooks are signed with here.
const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// What was sent.
#[derive(Debug)]
pub(crate) struct Letter {
    headers: HeaderMap,
    body: Bytes,
}

impl Letter {
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// What it says. It is signed, or nobody would believe it.
    pub(crate) fn read(&self) -> Value {
        let body = std::str::from_utf8(&self.body).expect("text");
        let signed = [self.id(), self.header("webhook-timestamp"), body].join(".");
        let signature = BASE64.encode(hmac(KEY, signed.as_bytes()));
        assert_eq!(self.header("webhook-signature"), format!("v1,{signature}"));
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }
}

/// HMAC-SHA256, for keys that are no longer than a block.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect::<Vec<_>>();
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// A webhook as a job asks for it.
pub(crate) fn webhook(url: &str) -> Value {
    json!({ "url": url, "secret": format!("whsec_{}", BASE64.encode(KEY)) })
}

/// A receiver that always answers the same; where it is, and what it is sent.
pub(crate) async fn receiver(answer: StatusCode) -> (String, mpsc::Receiver<Letter>) {
    let (send, received) = mpsc::channel(64);
    let hook = move |headers: HeaderMap, body: Bytes| async move {
        // Whoever has seen enough reads no more.
        let _ = send.send(Letter { headers, body }).await;
        answer
    };
    let (address, _) = site(Router::new().route("/hook", post(hook))).await;
    (format!("{address}/hook"), received)
}

/// The next that is sent.
pub(crate) async fn next(received: &mut mpsc::Receiver<Letter>) -> Letter {
    timeout(Duration::from_secs(120), received.recv()).await.expect("it comes").expect("the receiver is there")
}

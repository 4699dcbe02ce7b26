//! Sends webhooks, through the same door as everything that goes out.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::WebhookSecret;
use crate::egress::{Connector, Egress};
use crate::fetch::{FetcherError, connector};

/// Sends webhooks.
#[derive(Debug)]
pub(crate) struct Sender {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    egress: Egress,
    user_agent: HeaderValue,
}

/// What came of sending one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was taken.
    Taken,
    /// It was not, and may be the next time.
    Missed,
    /// Its receiver wants no more of it, or may not be connected to.
    Unwanted,
}

/// How long a receiver may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// A connection is not kept for long: the next job that ends may be another receiver's.
const KEPT: Duration = Duration::from_secs(10);

impl Sender {
    pub(crate) fn new(egress: Egress, user_agent: &str) -> Result<Self, FetcherError> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .pool_max_idle_per_host(1)
            .build(connector(egress.clone())?);
        let user_agent = HeaderValue::from_str(user_agent).map_err(|_| FetcherError::UserAgent)?;
        Ok(Self { client, egress, user_agent })
    }

    /// Why nothing could ever be sent to `url`, as far as that is known without looking its name up.
    pub(crate) fn check(&self, url: &str) -> Result<(), String> {
        self.egress.parse(url).map(drop).map_err(|refused| refused.to_string())
    }

    /// Sends `body` once.
    pub(crate) async fn send(&self, url: &str, secret: Option<&WebhookSecret>, id: &str, seconds: u64, body: Bytes) -> Sent {
        let Ok(mut url) = self.egress.parse(url) else { return Sent::Unwanted };
        url.set_fragment(None);
        let mut request = Request::post(url.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, self.user_agent.clone())
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds);
        if let Some(secret) = secret {
            request = request.header("webhook-signature", secret.sign(id, seconds, &body));
        }
        let Ok(request) = request.body(Full::new(body)) else { return Sent::Unwanted };
        match timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(response)) if response.status().is_success() => Sent::Taken,
            // 410 is how a receiver says that it is to be left alone.
            Ok(Ok(response)) if response.status().as_u16() == 410 => Sent::Unwanted,
            Ok(Ok(response)) => {
                tracing::info!(id, status = response.status().as_u16(), "a webhook was not taken");
                Sent::Missed
            }
            Ok(Err(error)) => {
                tracing::info!(id, %error, "a webhook could not be sent");
                Sent::Missed
            }
            Err(_) => {
                tracing::info!(id, "a webhook was not answered in time");
                Sent::Missed
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use eventmesh_actors::spawn_named;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::egress::{EgressPolicy, Resolver, Resolving};

    /// Who may be connected to, and the canary, which nobody may connect to.
    const ALLOWED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const BODY: &[u8] = b"{\"type\":\"job.done\"}";

    /// Says one answer after the other of every name, and the last one for ever.
    #[derive(Debug)]
    struct Scripted {
        answers: Vec<Vec<IpAddr>>,
        asked: AtomicUsize,
    }

    impl Resolver for Scripted {
        fn resolve<'r>(&'r self, _: &'r str) -> Resolving<'r> {
            let turn = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
            Box::pin(std::future::ready(Ok(self.answers[turn].clone())))
        }
    }

    /// Answers all that it is sent in the same way, and keeps no connection; counts those that come.
    fn receive(listener: TcpListener, status: u16) -> Arc<AtomicUsize> {
        let came = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&came);
        spawn_named("receiver", async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                // Whoever connects and says nothing has been counted.
                drop(answer(stream, status).await);
            }
        });
        came
    }

    async fn answer(mut stream: TcpStream, status: u16) -> std::io::Result<()> {
        let mut request = Vec::new();
        while !request.ends_with(BODY) {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }

    /// The canary's and the allowed one's, at the same port.
    async fn doors() -> (TcpListener, TcpListener) {
        for _ in 0..16 {
            let canary = TcpListener::bind((PRIVATE, 0)).await.expect("a port");
            let port = canary.local_addr().expect("it is bound").port();
            // Somebody else may have it there.
            if let Ok(allowed) = TcpListener::bind((ALLOWED, port)).await {
                return (canary, allowed);
            }
        }
        panic!("no port is free at both addresses");
    }

    /// Two receivers at the same port, the allowed one and the canary, and a sender who looks names up as is written here.
    struct Scene {
        port: u16,
        allowed: Arc<AtomicUsize>,
        canary: Arc<AtomicUsize>,
        resolver: Arc<Scripted>,
        egress: Egress,
        sender: Sender,
    }

    impl Scene {
        async fn of(policy: EgressPolicy, answers: Vec<Vec<IpAddr>>) -> Self {
            let (canary, allowed) = doors().await;
            let port = canary.local_addr().expect("it is bound").port();
            let resolver = Arc::new(Scripted { answers, asked: AtomicUsize::new(0) });
            let egress = Egress::new(policy, Arc::clone(&resolver) as Arc<dyn Resolver>, PATIENCE);
            let sender = Sender::new(egress.clone(), "test").expect("it can send");
            Self { port, allowed: receive(allowed, 500), canary: receive(canary, 204), resolver, egress, sender }
        }

        async fn send(&self) -> Sent {
            let url = format!("http://hooks.example.com:{}/hook", self.port);
            self.sender.send(&url, None, "msg_test", 1, Bytes::from_static(BODY)).await
        }

        /// Connections to the allowed one, to the canary, and those that were refused for their address.
        fn came(&self) -> (usize, usize, u64) {
            let refused = self.egress.refused()["address"];
            (self.allowed.load(Ordering::SeqCst), self.canary.load(Ordering::SeqCst), refused)
        }
    }

    fn strict() -> EgressPolicy {
        EgressPolicy::default().allowing([ALLOWED.into()])
    }

    fn lenient() -> EgressPolicy {
        EgressPolicy::default().allowing_loopback()
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_not_connected_to() {
        for answers in [vec![PRIVATE], vec![ALLOWED, PRIVATE], vec![PRIVATE, ALLOWED]] {
            let scene = Scene::of(strict(), vec![answers.clone()]).await;
            // Its URL alone says nothing of that.
            assert_eq!(scene.sender.check(&format!("http://hooks.example.com:{}/hook", scene.port)), Ok(()));
            assert_eq!(scene.send().await, Sent::Missed, "{answers:?}");
            assert_eq!(scene.came(), (0, 0, 1), "{answers:?}");
        }
        // With the usual policy, too, which allows nothing besides.
        let scene = Scene::of(EgressPolicy::default(), vec![vec![PRIVATE]]).await;
        let url = "http://hooks.example.com:8080/hook";
        assert_eq!(scene.sender.send(url, None, "msg_test", 1, Bytes::from_static(BODY)).await, Sent::Missed);
        assert_eq!(scene.came(), (0, 0, 1));
        let scene = Scene::of(lenient(), vec![vec![PRIVATE]]).await;
        assert_eq!(scene.send().await, Sent::Taken);
        assert_eq!(scene.came(), (0, 1, 0), "the canary can be reached");
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_between_two_tries_gains_nothing() {
        let turns = || vec![vec![ALLOWED], vec![PRIVATE]];
        let scene = Scene::of(strict(), turns()).await;
        assert_eq!(scene.send().await, Sent::Missed);
        assert_eq!(scene.came(), (1, 0, 0), "the first try is answered, and not taken");
        assert_eq!(scene.send().await, Sent::Missed);
        assert_eq!(scene.came(), (1, 0, 1));
        assert_eq!(scene.resolver.asked.load(Ordering::SeqCst), 2);
        let scene = Scene::of(lenient(), turns()).await;
        assert_eq!((scene.send().await, scene.send().await), (Sent::Missed, Sent::Taken));
        assert_eq!(scene.came(), (1, 1, 0), "the canary can be reached");
    }
}

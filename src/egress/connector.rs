//! The door as an HTTP client knows it.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

use super::{DialError, Egress, Refused};

/// Connects a client through the door.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    egress: Egress,
}

impl Connector {
    pub(crate) fn new(egress: Egress) -> Self {
        Self { egress }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let egress = self.egress.clone();
        Box::pin(async move {
            // Parsed once more: what is judged and what is connected to is one and the same.
            let url = Url::parse(&uri.to_string()).map_err(|_| Refused::Malformed)?;
            egress.dial(&url).await.map(TokioIo::new)
        })
    }
}

/// What the door said, somewhere in the causes of a client's error.
pub(crate) fn cause<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e DialError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<DialError>() {
            return Some(found);
        }
        // What an IO error wraps is none of its causes: it is itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|wrapped| wrapped.downcast_ref::<DialError>()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

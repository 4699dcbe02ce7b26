//! A site that counts who asks for what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

/// Who has asked a site for what.
#[derive(Clone, Default)]
pub(crate) struct Hits(Arc<Mutex<HashMap<String, usize>>>);

impl Hits {
    pub(crate) fn of(&self, path: &str) -> usize {
        self.0.lock().expect("whole").get(path).copied().unwrap_or(0)
    }

    pub(crate) fn all(&self) -> usize {
        self.0.lock().expect("whole").values().sum()
    }

    pub(crate) fn each(&self) -> HashMap<String, usize> {
        self.0.lock().expect("whole").clone()
    }
}

async fn count(State(hits): State<Hits>, request: Request<Body>, next: Next) -> Response {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    *hits.0.lock().expect("whole").entry(path).or_default() += 1;
    next.run(request).await
}

/// A site that is served until the test ends; its address.
pub(crate) async fn site(router: Router) -> (String, Hits) {
    let hits = Hits::default();
    let router = router.layer(from_fn_with_state(hits.clone(), count));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, hits)
}

//! The engine over HTTP: the routes, and what every request goes through on its way to them.
//!
//! ```text
//!   server ─▶ identify ─▶ admit ─▶ route ─▶ Engine::extract ─▶ one answer, or events as they come
//! ```
//! Only this module and those below know status codes. It decides nothing about pages.

mod answer;
mod arrival;
mod aside;
mod batch;
mod body;
mod crawl;
mod document;
mod identify;
mod incoming;
mod jobs;
mod keys;
mod later;
mod ops;
mod origin;
mod prefer;
mod problem;
mod prompt;
mod quota;
mod room;
mod routes;
mod server;
mod sessions;
mod spliced;
mod stream;
mod taken;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use answer::AnswerBody;
pub(crate) use batch::BatchBody;
pub(crate) use body::{ExtractBody, RenderWhen, json};
pub(crate) use crawl::CrawlBody;
pub(crate) use keys::{KeyEntry, Keys, KeysError, Scope, hash};
pub(crate) use later::{Later, WebhookBody};
pub(crate) use ops::{Ops, Order};
pub(crate) use problem::{HttpFailure, Problem};
pub(crate) use server::{Door, Server, ServerLimits};

use crate::engine::Engine;
use crate::observe::Metrics;
use crate::sessions::{SessionLimits, Sessions};
use room::Room;

/// What the routes work with. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    keys: Keys,
    /// The names that this daemon is known as.
    hosts: Vec<String>,
    metrics: Arc<Metrics>,
    sessions: Sessions,
    /// Bytes of a body.
    max_body: usize,
    /// Room for all of them that are on their way.
    room: Arc<Room>,
    later: Later,
}

/// What may come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Bytes of one body.
    pub(crate) each: usize,
    /// Bytes of all bodies that are on their way at one time.
    pub(crate) all: usize,
}

impl Api {
    pub(crate) fn new(
        engine: Engine,
        keys: Keys,
        hosts: Vec<String>,
        metrics: Arc<Metrics>,
        limits: BodyLimits,
        later: Later,
    ) -> Self {
        let sessions = Sessions::new(SessionLimits::default());
        let BodyLimits { each: max_body, all } = limits;
        Self { inner: Arc::new(Inner { engine, keys, hosts, metrics, sessions, max_body, room: Room::new(all), later }) }
    }

    /// Reads again what can be read again: the keys.
    pub(crate) fn reload(&self, keys: Option<&Path>) -> Result<(), KeysError> {
        self.inner.keys.reload(keys)
    }

    /// All of it, as axum serves it.
    pub(crate) fn router(&self) -> Router {
        let (work, document) = operations().split_for_parts();
        let document = document::document(document);
        let open = Router::new()
            .route("/openapi.json", axum::routing::get(move || std::future::ready(axum::Json(document.clone()))))
            .route("/docs", axum::routing::get(document::page))
            .route("/problems/{code}", axum::routing::get(document::problem));
        work.route_layer(middleware::from_fn_with_state(self.clone(), identify::admit))
            .merge(open)
            .fallback(nothing)
            .method_not_allowed_fallback(no_such_method)
            .layer(middleware::from_fn_with_state(self.clone(), identify::identify))
            .with_state(self.clone())
    }
}

/// The routes that are told of in the API's own document.
fn operations() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(routes::extract))
        .routes(routes!(routes::render))
        .routes(routes!(routes::screenshot))
        .routes(routes!(sessions::create))
        .routes(routes!(sessions::show, sessions::remove))
        .routes(routes!(batch::batch))
        .routes(routes!(crawl::crawl))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::look, jobs::cancel))
        .routes(routes!(jobs::events))
        .routes(routes!(jobs::results))
        .routes(routes!(routes::capabilities))
}

/// The API's own document.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    document::document(operations().into_openapi())
}

async fn nothing(uri: Uri) -> Problem {
    Problem::http(HttpFailure::NoSuchPath, format!("there is nothing at {}; /docs says what there is", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::http(HttpFailure::Method, format!("{} does not know {method}; /docs says what it knows", uri.path()))
}

//! The door for operators: whether the daemon lives, whether it serves, what it does, and what can be done to it.
//!
//! It is a listener of its own, so that it answers when the other one is full, and is not reached from where that one is. Web
//! pages that a browser on this machine shows are not let in, whatever they ask for.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use hyper::header::{CONTENT_TYPE, VARY};
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::origin;
use super::problem::{HttpFailure, Problem};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::observe::{Exposition, Metrics};

/// What can be asked of the daemon from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Finish what is at work, and go.
    Drain,
    /// Read again what can be read again.
    Reload,
}

/// What the routes work with. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Ops {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    metrics: Arc<Metrics>,
    /// Whether requests are let in.
    open: watch::Receiver<bool>,
    /// Whether anything gets done, or what is stuck.
    alive: watch::Receiver<Result<(), String>>,
    orders: mpsc::Sender<Order>,
}

impl Ops {
    pub(crate) fn new(
        engine: Engine,
        metrics: Arc<Metrics>,
        open: watch::Receiver<bool>,
        alive: watch::Receiver<Result<(), String>>,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        Self { inner: Arc::new(Inner { engine, metrics, open, alive, orders }) }
    }

    /// All of it, as axum serves it.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(alive))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/debug/tree", get(tree))
            .route("/debug/events", get(events))
            .route("/admin/drain", post(drain))
            .route("/admin/reload", post(reload))
            .route("/admin/recycle/{pool}/{slot}", post(recycle))
            .fallback(nothing)
            .layer(middleware::from_fn(origin::ours))
            .with_state(self.clone())
    }
}

async fn nothing() -> Problem {
    Problem::http(
        HttpFailure::NoSuchPath,
        "there are /healthz, /readyz, /metrics, /debug/tree, /debug/events, and by POST /admin/drain, /admin/reload and \
         /admin/recycle/POOL/SLOT",
    )
}

/// Alive: the workers have not been given up, and things get done. Whether anything can be done now is for `/readyz` to say.
async fn alive(State(ops): State<Ops>) -> Response {
    let alive = ops.inner.alive.borrow().clone();
    match (ops.inner.engine.post_mortem(), alive) {
        (Some(_), _) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the workers have failed too often and were given up\n").into_response()
        }
        (None, Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
        (None, Ok(())) => (StatusCode::OK, "alive\n").into_response(),
    }
}

/// Ready: a request that came now would be worked on.
async fn ready(State(ops): State<Ops>) -> Response {
    let open = *ops.inner.open.borrow();
    let readiness = ops.inner.engine.readiness();
    let ready = open && readiness.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "open": open, "engine": readiness }))).into_response()
}

async fn metrics(State(ops): State<Ops>, headers: HeaderMap) -> Result<Response, Problem> {
    let exposition = Exposition::negotiated(&headers);
    let failed = || Error::new(ErrorKind::Internal, "the figures cannot be written down");
    let written = tokio::task::spawn_blocking(move || ops.inner.metrics.text(exposition)).await;
    let text = written.map_err(|error| failed().caused_by(error))?.map_err(|error| failed().caused_by(error))?;
    Ok(([(CONTENT_TYPE, exposition.media_type()), (VARY, "accept")], text).into_response())
}

async fn tree(State(ops): State<Ops>) -> Response {
    Json(ops.inner.engine.snapshot()).into_response()
}

#[derive(Debug, Deserialize)]
struct Last {
    /// At most so many, the last ones.
    #[serde(default = "hundred")]
    last: usize,
}

fn hundred() -> usize {
    100
}

async fn events(State(ops): State<Ops>, Query(Last { last }): Query<Last>) -> Response {
    let events = ops.inner.engine.recent_events();
    Json(&events[events.len().saturating_sub(last)..]).into_response()
}

async fn drain(State(ops): State<Ops>) -> Result<Response, Problem> {
    ops.order(Order::Drain)
}

async fn reload(State(ops): State<Ops>) -> Result<Response, Problem> {
    ops.order(Order::Reload)
}

impl Ops {
    fn order(&self, order: Order) -> Result<Response, Problem> {
        self.inner.orders.try_send(order).map_err(|_| {
            let busy = Error::new(ErrorKind::Overloaded, "the daemon is still at the last orders");
            Problem::from(busy.retry_after(Duration::from_secs(1)))
        })?;
        Ok((StatusCode::ACCEPTED, "ordered\n").into_response())
    }
}

async fn recycle(State(ops): State<Ops>, Path((pool, slot)): Path<(String, u32)>) -> Result<Response, Problem> {
    match ops.inner.engine.recycle(&pool, slot) {
        Some(true) => Ok((StatusCode::ACCEPTED, "its replacement is on the way\n").into_response()),
        Some(false) => {
            let message = format!("{pool} has no child in slot {slot} that could be replaced now");
            Err(Problem::http(HttpFailure::Semantics, message))
        }
        None => Err(Problem::http(HttpFailure::NoSuchPath, format!("there is no pool {pool}; /debug/tree shows all"))),
    }
}

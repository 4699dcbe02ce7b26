//! EventMesh turns web pages and PDFs into clean, structured content: Markdown, text, metadata, links and tables.
//!
//! ```no_run
//! use eventmesh::{Engine, Request};
//!
//! # async fn host() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::builder().start().await?;
//! let answer = engine.extract(Request::path("page.html").base_url("https://example.com/")).document().await?;
//! println!("{}", answer.document.markdown);
//! engine.shutdown(std::time::Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```
//!
//! - Every page runs in a WASM instance of its own, under a deadline and a memory limit.
//! - The workers are supervised: they are replaced when they fail, recycled before they hurt, and every accepted
//!   request gets exactly one terminal answer, whatever happens to them.
//! - An [`Engine`] keeps nothing global: two in one process never meet.
//!
//! The files of this crate are the way of a request: [`Request`] → `admission` → `fetch` → `gate` → the pool →
//! [`Reply`]. `pipeline.rs` is that way as one function.

mod admission;
mod browser;
pub mod cache;
pub mod cli;
mod client;
mod config;
mod daemon;
mod egress;
mod engine;
mod error;
mod fetch;
pub mod gate;
mod http;
mod jobs;
pub mod memory;
mod observe;
mod pdf;
mod pipeline;
pub mod queue;
mod reply;
mod request;
mod scratch;
mod sessions;
mod systemd;
mod worker;

pub use browser::BrowserSnapshot;
pub use config::{BrowserConfig, CacheSettings, Config, EgressConfig, FetchLimits, PdfConfig};
pub use daemon::DaemonConfig;
pub use egress::{EgressPolicy, Resolver, Resolving, SystemResolver};
pub use engine::{EgressSnapshot, Engine, EngineBuilder, EngineSnapshot, PdfSnapshot, Readiness, SandboxSnapshot, StartError};
pub use error::{Error, ErrorKind};
pub use eventmesh_actors as actors;
pub use eventmesh_actors::Priority;
pub use fetch::{FetchSnapshot, FetcherError, HostLimits, RetryLimits};
pub use ipnet::IpNet;
pub use jobs::{JobsConfig, WebhookSecret};
pub use observe::OtlpConfig;
/// Rendering: what can be asked of a browser, and what comes of it.
pub mod render {
    pub use eventmesh_extractors::browser::{
        Action, BrowserLimits, Button, ConsoleMessage, Cookie, Dialog, Edge, Extract, File, FleetSnapshot, NetworkEntry, OnError,
        Outcome, Picture, PictureFormat, RenderOptions, RenderTiming, Rendered, Retirement, SandboxPolicy, Screenshot,
        SettleReason, Settled, State, Status, Viewport, Wait, What, schema,
    };
}
pub use eventmesh_extractors::pdf::{Password, PdfLimits};
pub use eventmesh_extractors::wasm::ArtifactCache;
pub use eventmesh_extractors::{
    Attachment, Document, Field, Image, Json, Link, Metadata, Note, OutlineItem, Page, PageImage, PageType, PdfFacts, Table,
};
pub use reply::{Answer, Body, Chunk, Head, Reply, Timing};
pub use request::{Picture, RenderMode, Request, Robots, Source};
pub use sessions::Session;
pub use worker::worker_main;

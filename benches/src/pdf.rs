//! PDFs: what they cost, beside the tools that read them elsewhere, and what bad ones do.

pub(crate) mod containment;
pub(crate) mod corpus;
pub(crate) mod eval;
pub(crate) mod first_page;
pub(crate) mod isolation;
pub(crate) mod long;
pub(crate) mod memory;
pub(crate) mod peers;
pub(crate) mod ready;
mod score;
pub(crate) mod small;
mod tables;

use std::path::Path;
use std::time::Duration;

use eventmesh::{Config, Engine, Request};

use crate::Error;

/// An engine with that many PDF workers.
async fn engine(workers: u32, change: impl FnOnce(&mut Config)) -> Result<Engine, Error> {
    let mut config = Config { workers: 1, deadline: Duration::from_secs(60), ..Config::default() };
    config.pdf.workers = workers;
    change(&mut config);
    Ok(Engine::builder().config(config).start().await?)
}

fn request(path: &Path) -> Request {
    Request::path(path)
}

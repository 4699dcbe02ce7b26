//! Pages that are rendered: what that costs beside others who do it, and what becomes of it when things die or wear out.

pub(crate) mod faults;
mod memory;
pub(crate) mod peers;
pub(crate) mod soak;

use eventmesh::render::{Action, RenderOptions};
use eventmesh::{Config, Engine, RenderMode, Reply, Request};
use eventmesh_chaos::os::{families, proc_text};

use crate::Error;

/// An engine that renders.
async fn engine(change: impl FnOnce(&mut Config)) -> Result<Engine, Error> {
    let mut config = Config { workers: 1, ..Config::default() };
    config.egress.policy = config.egress.policy.allowing_loopback();
    change(&mut config);
    let engine = Engine::builder().config(config).start().await?;
    match engine.snapshot().browser.missing {
        Some(missing) => Err(missing.into()),
        None => Ok(engine),
    }
}

fn render(engine: &Engine, url: String, options: RenderOptions) -> Reply {
    engine.extract(Request::url(url).rendered(RenderMode::Always, options))
}

fn actions(list: serde_json::Value) -> Result<Vec<Action>, Error> {
    Ok(serde_json::from_value(list)?)
}

/// The processes of this process's browsers, each with its command line.
fn family() -> Vec<(u32, String)> {
    let marked = format!("EVENTMESH_PARENT={}", std::process::id());
    let ours = |pid| proc_text(pid, "environ").split('\0').any(|variable| variable == marked);
    families(ours).into_iter().filter(|(_, command)| command.contains("chrom")).collect()
}

//! Pages that are rendered: what that costs beside others who do it, and what becomes of it when things die or wear out.

pub(crate) mod faults;
pub(crate) mod peers;
pub(crate) mod soak;

use eventmesh::render::{Action, RenderOptions};
use eventmesh::{Config, Engine, RenderMode, Reply, Request};

use crate::Error;

/// An engine that renders.
async fn engine(change: impl FnOnce(&mut Config)) -> Result<Engine, Error> {
    let mut config = Config { workers: 1, ..Config::default() };
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

/// The processes of this process's browsers, each with its command line. Those that a browser has started are of its group.
fn family() -> Vec<(u32, String)> {
    let text = |pid: u32, name: &str| {
        std::fs::read(format!("/proc/{pid}/{name}")).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let marked = format!("EVENTMESH_PARENT={}", std::process::id());
    let pids = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids: Vec<u32> = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // After the name in parentheses: state, parent, group.
    let group = |pid: u32| text(pid, "stat")?.rsplit(')').next()?.split_ascii_whitespace().nth(2)?.parse::<u32>().ok();
    let ours =
        |pid: u32| text(pid, "environ").is_some_and(|environment| environment.split('\0').any(|variable| variable == marked));
    let leaders: Vec<u32> = pids.iter().copied().filter(|pid| group(*pid) == Some(*pid) && ours(*pid)).collect();
    let members = pids.into_iter().filter(|pid| group(*pid).is_some_and(|group| leaders.contains(&group)));
    members
        .filter_map(|pid| Some((pid, text(pid, "cmdline")?.replace('\0', " "))))
        .filter(|(_, command)| command.contains("chrom"))
        .collect()
}

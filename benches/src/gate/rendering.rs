//! What comes of pages that need rendering, through the whole engine: whether the way they go brings their content.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use eventmesh::gate::Way;
use eventmesh::render::RenderOptions;
use eventmesh::{Config, Engine, RenderMode, Request, Resolver, Resolving};
use eventmesh_chaos::pages::{BUILT, Pages};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::case::{Case, Kind};
use super::site::{FILLED, Site};
use crate::Error;

/// Every name is this machine: each page has a host of its own, so that none leans on what another was like.
#[derive(Debug)]
struct Here;

impl Resolver for Here {
    fn resolve<'r>(&'r self, _: &'r str) -> Resolving<'r> {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}

/// What has come of a page.
#[derive(Debug)]
pub(crate) struct Came<'c> {
    pub(crate) case: &'c Case,
    pub(crate) rendered: bool,
    /// The share of its content that is there, 1 at most.
    pub(crate) there: f64,
    pub(crate) millis: f64,
    /// Why nothing came, if nothing did.
    pub(crate) problem: Option<String>,
}

/// Sends all of `cases` through an engine that decides for itself.
pub(crate) async fn through<'c>(cases: &[&'c Case], site: &Site, late: &Pages) -> Result<Vec<Came<'c>>, Error> {
    let mut config = Config { workers: 1, ..Config::default() };
    config.egress.policy = config.egress.policy.allowing_loopback();
    config.egress.resolver = Arc::new(Here);
    let engine = Engine::builder().config(config).start().await?;
    if let Some(missing) = engine.snapshot().browser.missing {
        engine.shutdown(Duration::from_secs(5)).await;
        return Err(missing.into());
    }
    let mut came = Vec::with_capacity(cases.len());
    let mut at_work = JoinSet::new();
    let mut waiting = cases.iter().copied().enumerate();
    loop {
        while at_work.len() < AT_ONCE {
            let Some((number, case)) = waiting.next() else { break };
            let (port, path) = match case.kind {
                Kind::Static | Kind::Hard | Kind::Shell | Kind::Turned => (site.port(), format!("/case/{}", case.name)),
                Kind::Late | Kind::Half | Kind::Built => (late.address().port(), case.name.clone()),
            };
            let url = format!("http://page{number}.example.com:{port}{path}");
            let engine = engine.clone();
            at_work.spawn(async move {
                let began = Instant::now();
                let request = Request::url(url).rendered(RenderMode::Auto, RenderOptions::default());
                let answer = engine.extract(request).document().await;
                (number, began.elapsed().as_secs_f64() * 1e3, answer)
            });
        }
        let Some(done) = at_work.join_next().await else { break };
        let (number, millis, answer) = done?;
        let case = cases[number];
        came.push(match answer {
            Ok(answer) => Came {
                case,
                rendered: answer.route.is_some_and(|taken| taken.route == Way::Render),
                there: there(case, &answer.document.text, answer.document.word_count),
                millis,
                problem: None,
            },
            Err(error) => Came { case, rendered: false, there: 0.0, millis, problem: Some(error.to_string()) },
        });
    }
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(came)
}

/// Pages at work at the same time.
const AT_ONCE: usize = 4;

/// How much of a page's content is in `text`.
fn there(case: &Case, text: &str, words: u32) -> f64 {
    let says = |sign: &str| if text.contains(sign) { 1.0 } else { 0.0 };
    match (case.kind, case.words) {
        (Kind::Shell, _) => says(FILLED),
        (Kind::Late | Kind::Half, _) => {
            // Some of them bring nothing but that they are complete.
            if text.contains("COMPLETE") { 1.0 } else { says("of what came later") }
        }
        (Kind::Built, _) => BUILT.iter().find(|(name, ..)| case.name.ends_with(name)).map_or(0.0, |(_, _, sign)| says(sign)),
        (Kind::Static | Kind::Hard | Kind::Turned, Some(expected)) if expected > 0 => {
            (f64::from(words) / f64::from(expected)).min(1.0)
        }
        (Kind::Static | Kind::Hard | Kind::Turned, _) => 1.0,
    }
}

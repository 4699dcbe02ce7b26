//! A crawl of one site: what it finds, what it fetches, and how it goes on after an interruption.
//!
//! ```text
//!   seed, sitemaps ─▶ frontier ─▶ fetch + extract ─▶ one event: the page, and what it has found ─┐
//!                        ▲                                                                        │
//!                        └────────────────────────────────────────────────────────────────────────┘
//! ```
//! Nothing but the log is kept: whoever reads it again has the same frontier. Whether a site wants to be crawled, and how
//! fast, is for the engine to see to when it fetches: what it refuses is an item that failed.

mod frontier;
mod pattern;
mod scope;
mod sitemap;

use eventmesh_actors::Priority;
use tokio::task::spawn_blocking;
use url::Url;

use super::items::Items;
use super::log::Log;
use super::record::{Record, Skipped, Step};
use crate::engine::Engine;
use crate::http::{CrawlBody, ExtractBody, Problem};
use crate::queue::{EntryKind, QueueError};
use crate::reply::Answer;
use crate::request::Request;
use frontier::{Frontier, Landing};
pub(crate) use pattern::Pattern;
pub(crate) use scope::Scope;
use sitemap::Sitemap;

/// A crawl.
#[derive(Debug)]
pub(crate) struct Crawl {
    frontier: Frontier,
    options: ExtractBody,
    seed: Url,
    priority: Priority,
    /// Whether sitemaps are still to be read.
    sitemaps: bool,
}

/// Sitemaps of one site that are read.
const SITEMAPS: usize = 50;
/// Pages of sitemaps that one event tells of: their addresses have at most 2,000 bytes.
const TOLD: usize = 400;

impl Crawl {
    pub(crate) fn new(body: &CrawlBody) -> Result<Self, Problem> {
        let (seed, scope) = body.scope()?;
        let mut frontier = Frontier::new(scope, body.max_pages, body.max_depth);
        frontier.begin(&seed);
        Ok(Self {
            frontier,
            options: body.options.clone().unwrap_or_default(),
            seed,
            priority: body.priority.into(),
            sitemaps: body.sitemap && body.max_depth > 0,
        })
    }

    /// What an event of an earlier run says.
    pub(crate) fn replay(&mut self, item: Option<u32>, record: &Record) {
        match record.step {
            Some(Step::SitemapsRead) => self.sitemaps = false,
            Some(Step::Begun | Step::Sitemap) | None => {}
        }
        if let Some(at) = record.found_at.as_deref().and_then(|at| Url::parse(at).ok()) {
            self.frontier.landed(&at);
        }
        self.frontier.restore(record.found.iter().map(String::as_str), record.depth.unwrap_or(0) + 1);
        if let Some(item) = item {
            self.frontier.answered(item);
        }
    }

    /// Reads the site's sitemaps, unless that was done before, and writes down what they say.
    pub(crate) async fn prepare(&mut self, items: &Items, log: &Log) -> Result<(), QueueError> {
        if !self.sitemaps {
            return Ok(());
        }
        let mut maps = vec![];
        maps.extend(self.seed.join("/sitemap.xml").ok());
        let mut at = 0;
        while let Some(map) = maps.get(at).cloned() {
            at += 1;
            let Some(found) = read(items.engine(), &map, self.priority).await else { continue };
            // Of another site's pages a site has nothing to say.
            let of_site = |map: &Url| map.host_str() == self.seed.host_str();
            let more = found.maps.iter().filter_map(|map| Scope::canonical(map)).filter(of_site);
            for map in more {
                if maps.len() < SITEMAPS && !maps.contains(&map) {
                    maps.push(map);
                }
            }
            for pages in found.pages.chunks(TOLD) {
                let found = self.frontier.discover(pages.iter().map(String::as_str), 1);
                if !found.is_empty() {
                    let record = Record { step: Some(Step::Sitemap), url: Some(map.to_string()), found, ..Record::default() };
                    log.append(EntryKind::Progress, None, record).await?;
                }
            }
        }
        let record = Record { step: Some(Step::SitemapsRead), ..Record::default() };
        log.append(EntryKind::Progress, None, record).await?;
        self.sitemaps = false;
        Ok(())
    }

    /// The next page to fetch.
    pub(crate) fn next(&mut self) -> Option<(u32, Result<Request, Problem>)> {
        let (item, found) = self.frontier.next()?;
        let body = ExtractBody { url: Some(found.url), ..self.options.clone() };
        Some((item, body.request().map(|request| request.priority(self.priority))))
    }

    /// What is written down of a page, and what it leads to.
    pub(crate) fn record(&mut self, item: u32, answer: Result<Answer, Problem>) -> Record {
        let (url, depth) = self.frontier.page(item).map(|page| (page.url.clone(), page.depth)).unwrap_or_default();
        let answer = match answer {
            Ok(answer) => answer,
            Err(problem) => return Record { url: Some(url), depth: Some(depth), ..Record::failed(&problem) },
        };
        let at = answer.head.url.as_deref().and_then(Scope::canonical).filter(|at| at.as_str() != url);
        let skipped = at.as_ref().and_then(|at| match self.frontier.landed(at) {
            Landing::Here => None,
            Landing::Known => Some(Skipped::Duplicate),
            Landing::Outside => Some(Skipped::Outside),
        });
        let found_at = at.map(String::from);
        if skipped.is_some() {
            return Record { url: Some(url), depth: Some(depth), found_at, skipped, ..Record::default() };
        }
        let followed = |rel: &Option<String>| {
            !rel.as_deref().is_some_and(|rel| rel.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("nofollow")))
        };
        let links = answer.document.links.iter().filter(|link| followed(&link.rel)).map(|link| link.href.as_str());
        let found = self.frontier.discover(links, depth + 1);
        Record { url: Some(url), depth: Some(depth), found_at, found, ..Record::answered(answer) }
    }

    /// Pages found and not given out.
    pub(crate) fn left(&self) -> u32 {
        self.frontier.left()
    }
}

/// A sitemap, if it is there and can be read. That it is not is how most sites are.
async fn read(engine: &Engine, map: &Url, priority: Priority) -> Option<Sitemap> {
    let page = match engine.fetch(map.to_string(), priority).await {
        Ok(page) => page,
        Err(error) => {
            tracing::debug!(%map, %error, "there is no sitemap");
            return None;
        }
    };
    let max = engine.config().max_page_bytes;
    let parsed = spawn_blocking(move || {
        let (bytes, _permit) = page.hold();
        Sitemap::parse(&bytes, max)
    });
    match parsed.await.ok()? {
        Ok(found) => Some(found),
        Err(error) => {
            tracing::debug!(%map, %error, "a sitemap is left out");
            None
        }
    }
}

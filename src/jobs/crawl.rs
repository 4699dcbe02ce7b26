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

use std::time::Duration;

use eventmesh_actors::Priority;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use url::Url;

use super::items::Items;
use super::log::Log;
use super::record::{Record, Skipped, Step};
use crate::engine::Engine;
use crate::error::ErrorKind;
use crate::fetch::Page;
use crate::http::{CrawlBody, ExtractBody, Problem};
use crate::queue::{EntryKind, QueueError};
use crate::reply::Answer;
use crate::request::Request;
use frontier::{Frontier, Landing};
pub(crate) use pattern::Pattern;
pub(crate) use scope::Scope;
use sitemap::{Sitemap, named};

/// A crawl.
#[derive(Debug)]
pub(crate) struct Crawl {
    frontier: Frontier,
    options: ExtractBody,
    /// Where the first page is, or was found in the end.
    home: Url,
    priority: Priority,
    /// Whether the first page has been answered: it says where the site is.
    begun: bool,
    /// Whether sitemaps are still to be read.
    sitemaps: bool,
}

/// The number of the page where it begins.
const SEED: u32 = 0;

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
            home: seed,
            priority: body.priority.into(),
            begun: false,
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
            self.begin(item, Some(&at));
            self.frontier.landed(&at);
        }
        self.begin(item, None);
        self.frontier.restore(record.found.iter().map(String::as_str), record.depth.unwrap_or(0) + 1);
        if let Some(item) = item {
            self.frontier.answered(item);
        }
    }

    /// Page `item` is answered. The first one may have been found `at` another address than it was looked for, and the site is
    /// there then.
    fn begin(&mut self, item: Option<u32>, at: Option<&Url>) {
        if item != Some(SEED) {
            return;
        }
        self.begun = true;
        if let Some(at) = at {
            self.frontier.begun_at(at);
            self.home = at.clone();
        }
    }

    /// Whether sitemaps are to be read now: not before it is known where the site is, and once.
    pub(crate) fn is_to_prepare(&self) -> bool {
        self.sitemaps && self.begun
    }

    /// Reads the site's sitemaps, those that its robots.txt names and the one that needs no name, and writes down what they
    /// say.
    pub(crate) async fn prepare(&mut self, items: &Items, log: &Log) -> Result<(), QueueError> {
        let mut maps = vec![];
        if let Ok(robots) = self.home.join("/robots.txt")
            && let Some(page) = fetch(items.engine(), &robots, self.priority).await
        {
            let (bytes, _permit) = page.hold();
            let named = named(&bytes);
            self.add(&mut maps, &named);
        }
        if let Some(map) = self.home.join("/sitemap.xml").ok().filter(|map| !maps.contains(map)) {
            maps.push(map);
        }
        let mut at = 0;
        while let Some(map) = maps.get(at).cloned() {
            at += 1;
            let Some(found) = read(items.engine(), &map, self.priority).await else { continue };
            self.add(&mut maps, &found.maps);
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

    /// Adds those of `more` that are new: of another site's pages a site has nothing to say.
    fn add(&self, maps: &mut Vec<Url>, more: &[String]) {
        for map in more.iter().filter_map(|map| Scope::canonical(map)).filter(|map| self.frontier.has_host(map)) {
            if maps.len() < SITEMAPS && !maps.contains(&map) {
                maps.push(map);
            }
        }
    }

    /// The next page to fetch.
    pub(crate) fn next(&mut self) -> Option<(u32, Result<Request, Problem>)> {
        let (item, found) = self.frontier.next()?;
        let body = ExtractBody { url: Some(found.url), ..self.options.clone() };
        Some((item, body.request().map(|request| request.priority(self.priority))))
    }

    /// What is written down of a page, and what it leads to.
    pub(crate) fn record(&mut self, item: u32, answer: Result<Answer, Problem>) -> Record {
        self.begin(Some(item), None);
        let (url, depth) = self.frontier.page(item).map(|page| (page.url.clone(), page.depth)).unwrap_or_default();
        let answer = match answer {
            Ok(answer) => answer,
            Err(problem) => return Record { url: Some(url), depth: Some(depth), ..Record::failed(&problem) },
        };
        let at = answer.head.url.as_deref().and_then(Scope::canonical).filter(|at| at.as_str() != url);
        self.begin(Some(item), at.as_ref());
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

/// A file of the site, if it is there. That it is not is how most sites are. The run's own deadline ends the waiting.
async fn fetch(engine: &Engine, file: &Url, priority: Priority) -> Option<Page> {
    loop {
        match engine.fetch(file.to_string(), priority).await {
            Ok(page) => return Some(page),
            // There is no room for it now, which says nothing of the site.
            Err(error) if error.kind() == ErrorKind::Overloaded => sleep(error.retry_delay().unwrap_or(BREATH)).await,
            Err(error) => {
                tracing::debug!(%file, %error, "a file that says what the site has is not there");
                return None;
            }
        }
    }
}

/// When there may be room again, if nobody says.
const BREATH: Duration = Duration::from_secs(1);

/// A sitemap, if it is there and can be read.
async fn read(engine: &Engine, map: &Url, priority: Priority) -> Option<Sitemap> {
    let page = fetch(engine, map, priority).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn crawl() -> Crawl {
        let body = serde_json::from_str(r#"{"url": "https://a.b/docs/", "scope": "path"}"#).expect("it is a crawl");
        Crawl::new(&body).expect("it makes sense")
    }

    fn seed(found_at: Option<&str>) -> Record {
        Record {
            url: Some("https://a.b/docs/".to_owned()),
            found_at: found_at.map(str::to_owned),
            depth: Some(0),
            ..Record::default()
        }
    }

    #[test]
    fn a_crawl_that_goes_on_knows_where_its_first_page_had_led() {
        let mut crawl = crawl();
        assert!(!crawl.is_to_prepare(), "it is not known yet where the site is");
        let links = ["https://www.a.b/docs/1", "https://a.b/docs/2", "https://www.a.b/3", "https://c.d/docs/4"];
        crawl.replay(Some(SEED), &seed(Some("https://www.a.b/docs/")));
        assert!(crawl.is_to_prepare());
        assert_eq!(crawl.home.as_str(), "https://www.a.b/docs/");
        assert_eq!(crawl.frontier.discover(links, 1), ["https://www.a.b/docs/1", "https://a.b/docs/2"]);
        let mut maps = Vec::new();
        let named = ["https://www.a.b/map.xml", "https://a.b/map.xml", "https://c.d/map.xml", "https://a.b/map.xml"];
        crawl.add(&mut maps, &named.map(str::to_owned));
        assert_eq!(maps.iter().map(Url::as_str).collect::<Vec<_>>(), &named[..2]);
        crawl.replay(None, &Record { step: Some(Step::SitemapsRead), ..Record::default() });
        assert!(!crawl.is_to_prepare());
    }

    #[test]
    fn only_the_first_page_moves_the_site() {
        let mut crawl = crawl();
        crawl.replay(Some(SEED), &seed(None));
        crawl.replay(None, &Record { found: vec!["https://a.b/docs/1".to_owned()], depth: Some(0), ..Record::default() });
        crawl.replay(Some(1), &Record { found_at: Some("https://c.d/docs/1".to_owned()), ..seed(None) });
        assert_eq!(crawl.frontier.discover(["https://c.d/docs/2"], 1), Vec::<String>::new());
        assert_eq!(crawl.home.as_str(), "https://a.b/docs/");
    }
}

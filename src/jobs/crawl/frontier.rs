//! What a crawl has found and has still to fetch. Pure.
//!
//! A page's number is its place in the order in which pages were found. Whoever offers the same pages in the same order gets
//! the same numbers, which is how a crawl that was interrupted goes on: what its log tells of is offered again.
//!
//! It is bounded by the crawl's number of pages: a page that will not be fetched is not kept either.

use std::collections::{HashMap, HashSet};

use url::Url;

use super::scope::Scope;

/// What a crawl has found.
#[derive(Debug)]
pub(crate) struct Frontier {
    scope: Scope,
    max_pages: usize,
    max_depth: u32,
    pages: Vec<Found>,
    seen: HashSet<String>,
    /// Pages of one path that differ in their query.
    variants: HashMap<String, u32>,
    next: usize,
    done: HashSet<u32>,
}

/// A page that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) url: String,
    /// Links between it and the beginning.
    pub(crate) depth: u32,
}

/// Of one path, so many pages are fetched. A calendar has as many as there are days.
const VARIANTS: u32 = 200;
/// Bytes of addresses that one page may add, so that telling of them fits into the log.
const BYTES: usize = 1 << 20;

impl Frontier {
    pub(crate) fn new(scope: Scope, max_pages: usize, max_depth: u32) -> Self {
        Self {
            scope,
            max_pages,
            max_depth,
            pages: Vec::new(),
            seen: HashSet::new(),
            variants: HashMap::new(),
            next: 0,
            done: HashSet::new(),
        }
    }

    /// The page where it begins, whatever the patterns say.
    pub(crate) fn begin(&mut self, seed: &Url) {
        self.restore([seed.as_str()], 0);
    }

    /// The page where it begins was found at `at` in the end: its site is there, too.
    pub(crate) fn begun_at(&mut self, at: &Url) {
        self.scope.follow(at);
    }

    /// Whether `url` is at a host of the site.
    pub(crate) fn has_host(&self, url: &Url) -> bool {
        self.scope.has_host(url)
    }

    /// Takes those of `links` that are new and belong to the crawl, and returns them.
    pub(crate) fn discover<'l>(&mut self, links: impl IntoIterator<Item = &'l str>, depth: u32) -> Vec<String> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        if depth > self.max_depth {
            return taken;
        }
        for link in links {
            if self.pages.len() >= self.max_pages {
                break;
            }
            let Some(url) = Scope::canonical(link).filter(|url| self.scope.takes(url)) else { continue };
            if self.seen.contains(url.as_str()) {
                continue;
            }
            bytes += url.as_str().len() + 3;
            if bytes > BYTES {
                break;
            }
            if path(url.as_str()).and_then(|path| self.variants.get(path)).is_some_and(|variants| *variants >= VARIANTS) {
                continue;
            }
            taken.push(String::from(url));
            self.restore(taken.last().map(String::as_str), depth);
        }
        taken
    }

    /// Takes what was taken before.
    pub(crate) fn restore<'l>(&mut self, links: impl IntoIterator<Item = &'l str>, depth: u32) {
        for link in links {
            if self.pages.len() < self.max_pages && self.seen.insert(link.to_owned()) {
                if let Some(path) = path(link) {
                    *self.variants.entry(path.to_owned()).or_default() += 1;
                }
                self.pages.push(Found { url: link.to_owned(), depth });
            }
        }
    }

    /// A page is answered and not fetched again.
    pub(crate) fn answered(&mut self, item: u32) {
        self.done.insert(item);
    }

    /// A page was found at another address in the end. Whether its content is wanted: it is not if it is another site's, or
    /// if the address is known, since it then has a page of its own.
    pub(crate) fn landed(&mut self, at: &Url) -> Landing {
        if !self.scope.is_on_site(at) {
            return Landing::Outside;
        }
        // Bounded by the number of pages that are asked for.
        if self.seen.insert(at.as_str().to_owned()) { Landing::Here } else { Landing::Known }
    }

    /// The next page to fetch.
    pub(crate) fn next(&mut self) -> Option<(u32, Found)> {
        loop {
            let found = self.pages.get(self.next)?.clone();
            let item = u32::try_from(self.next).ok()?;
            self.next += 1;
            if !self.done.contains(&item) {
                return Some((item, found));
            }
        }
    }

    pub(crate) fn page(&self, item: u32) -> Option<&Found> {
        self.pages.get(item as usize)
    }

    /// Pages found and neither given out nor answered.
    pub(crate) fn left(&self) -> u32 {
        let left = (self.next..self.pages.len()).filter_map(|at| u32::try_from(at).ok());
        left.filter(|item| !self.done.contains(item)).count().try_into().unwrap_or(u32::MAX)
    }
}

/// An address without its query, if it has one.
fn path(url: &str) -> Option<&str> {
    url.split_once('?').map(|(path, _)| path)
}

/// Where a page was found in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landing {
    /// At an address that nobody knew.
    Here,
    /// At the address of another page of this crawl.
    Known,
    /// Outside of the crawl.
    Outside,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontier(max_pages: usize, max_depth: u32) -> Frontier {
        let seed = Url::parse("http://a.b/").expect("a URL");
        let mut frontier = Frontier::new(Scope::new(&seed, "/".to_owned(), Vec::new(), Vec::new()), max_pages, max_depth);
        frontier.begin(&seed);
        frontier
    }

    #[test]
    fn each_page_is_taken_once_and_in_order() {
        let mut frontier = frontier(10, 2);
        assert_eq!(frontier.next().map(|(item, found)| (item, found.depth)), Some((0, 0)));
        let taken = frontier.discover(["http://a.b/1#x", "http://a.b/1", "http://c.d/", "http://a.b/", "http://a.b/2"], 1);
        assert_eq!(taken, ["http://a.b/1", "http://a.b/2"]);
        assert_eq!(frontier.discover(["http://a.b/3"], 3), Vec::<String>::new());
        assert_eq!(frontier.next().map(|(item, found)| (item, found.url)), Some((1, "http://a.b/1".to_owned())));
        assert_eq!(frontier.next().map(|(item, _)| item), Some(2));
        assert_eq!(frontier.next(), None);
    }

    #[test]
    fn it_is_bounded_and_a_calendar_does_not_eat_it() {
        let mut small = frontier(3, 9);
        let links: Vec<_> = (0..10).map(|at| format!("http://a.b/{at}")).collect();
        assert_eq!(small.discover(links.iter().map(String::as_str), 1).len(), 2);
        let mut large = frontier(10_000, 9);
        let days: Vec<_> = (0..1_000).map(|at| format!("http://a.b/calendar?day={at}")).collect();
        assert_eq!(large.discover(days.iter().map(String::as_str), 1).len(), VARIANTS as usize);
    }

    #[test]
    fn what_is_offered_in_the_same_order_has_the_same_numbers() {
        let mut first = frontier(10, 5);
        first.next();
        let one = first.discover(["http://a.b/1", "http://a.b/2"], 1);
        first.next();
        first.next();
        let two = first.discover(["http://a.b/2", "http://a.b/3"], 2);
        let mut again = frontier(10, 5);
        again.answered(0);
        again.restore(one.iter().map(String::as_str), 1);
        again.answered(2);
        again.restore(two.iter().map(String::as_str), 2);
        // Not answered: 1 and 3.
        let left: Vec<_> = std::iter::from_fn(|| again.next()).map(|(item, found)| (item, found.url)).collect();
        assert_eq!(left, [(1, "http://a.b/1".to_owned()), (3, "http://a.b/3".to_owned())]);
        assert_eq!(again.pages, first.pages);
    }

    #[test]
    fn redirects_lead_here_to_what_is_known_or_out() {
        let mut frontier = frontier(10, 5);
        let url = |text| Url::parse(text).expect("a URL");
        assert_eq!(frontier.landed(&url("http://c.d/")), Landing::Outside);
        assert_eq!(frontier.landed(&url("http://a.b/")), Landing::Known);
        assert_eq!(frontier.landed(&url("http://a.b/new")), Landing::Here);
        assert_eq!(frontier.landed(&url("http://a.b/new")), Landing::Known);
        assert!(frontier.discover(["http://a.b/new"], 1).is_empty());
    }
}

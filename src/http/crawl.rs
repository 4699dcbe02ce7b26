//! Crawls, as they are asked for.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hyper::header::HeaderMap;
use serde::Deserialize;
use url::Url;
use utoipa::ToSchema;

use super::Api;
use super::body::{ExtractBody, PriorityBody, deadline};
use super::incoming::Written;
use super::keys::Key;
use super::later::{Wanted, WebhookBody, owner};
use super::problem::{HttpFailure, Problem};
use crate::jobs::{JobView, JobsConfig, Kind, Pattern, Scope};

/// A site to be crawled.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CrawlBody {
    /// The page where it begins.
    #[schema(example = "https://example.com/docs/")]
    url: String,
    /// How far it goes.
    #[serde(default)]
    scope: ScopeBody,
    /// What every path begins with, if `scope` is `path`. Default: the directory of `url`.
    path: Option<String>,
    /// Links between the first page and the last one. Default 5.
    #[serde(default = "five")]
    pub(crate) max_depth: u32,
    /// Pages that are asked for. Default 100.
    #[serde(default = "hundred")]
    pub(crate) max_pages: usize,
    /// Milliseconds for all of it; what has been found then is what there is. Default: the daemon's.
    pub(crate) max_time_ms: Option<u64>,
    /// Only paths of one of these patterns: `*` is anything up to a slash, `**` is anything. The query belongs to the path.
    #[schema(example = json!(["/docs/**"]))]
    #[serde(default)]
    include: Vec<String>,
    /// No paths of any of these patterns.
    #[serde(default)]
    exclude: Vec<String>,
    /// Whether the site's sitemaps are read: those that its robots.txt names, and /sitemap.xml. Default they are.
    #[serde(default = "yes")]
    pub(crate) sitemap: bool,
    /// What there is to say of every page.
    pub(crate) options: Option<ExtractBody>,
    /// Who is told when all is done.
    pub(crate) webhook: Option<WebhookBody>,
    /// Who is served first. Default `batch`.
    #[serde(default = "batch")]
    pub(crate) priority: PriorityBody,
}

/// How far a crawl goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScopeBody {
    /// All of the host.
    #[default]
    Host,
    /// What is below a path.
    Path,
}

fn five() -> u32 {
    5
}

fn hundred() -> usize {
    100
}

fn yes() -> bool {
    true
}

fn batch() -> PriorityBody {
    PriorityBody::Batch
}

/// Patterns of one sort; each costs a little for every link.
const PATTERNS: usize = 20;
const DEEPEST: u32 = 100;

fn senseless(pointer: &str, why: &str) -> Problem {
    let name = pointer.trim_start_matches('/').replace('/', ".");
    Problem::http(HttpFailure::Semantics, format!("{name} {why}")).at(pointer, why)
}

impl CrawlBody {
    /// Where it begins, and what belongs to it.
    pub(crate) fn scope(&self) -> Result<(Url, Scope), Problem> {
        let seed = Scope::canonical(&self.url).ok_or_else(|| senseless("/url", "is no address of a page"))?;
        let prefix = match (self.scope, &self.path) {
            (ScopeBody::Host, None) => "/".to_owned(),
            (ScopeBody::Host, Some(_)) => return Err(senseless("/path", "is for the scope path")),
            (ScopeBody::Path, None) => Scope::directory(&seed),
            (ScopeBody::Path, Some(path)) if path.starts_with('/') && seed.path().starts_with(path.as_str()) => path.clone(),
            (ScopeBody::Path, Some(_)) => return Err(senseless("/path", "is not what the path of url begins with")),
        };
        let patterns = |texts: &[String], place: &str| {
            if texts.len() > PATTERNS {
                return Err(senseless(place, &format!("has more than {PATTERNS} patterns")));
            }
            let parse =
                |(at, text): (usize, &String)| Pattern::parse(text).map_err(|why| senseless(&format!("{place}/{at}"), &why));
            texts.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()
        };
        let (include, exclude) = (patterns(&self.include, "/include")?, patterns(&self.exclude, "/exclude")?);
        let scope = Scope::new(&seed, prefix, include, exclude);
        Ok((seed, scope))
    }

    fn check(&self, limits: &JobsConfig) -> Result<(), Problem> {
        self.scope()?;
        if !(1..=limits.max_pages).contains(&self.max_pages) {
            return Err(senseless("/max_pages", &format!("must be 1 to {}", limits.max_pages)));
        }
        if self.max_depth > DEEPEST {
            return Err(senseless("/max_depth", &format!("must be {DEEPEST} at most")));
        }
        if self.max_time_ms.map(deadline).is_some_and(|deadline| deadline.is_err()) {
            return Err(senseless("/max_time_ms", "leaves no time at all"));
        }
        self.options.clone().map_or(Ok(()), ExtractBody::check_options)
    }
}

/// Crawls a site.
///
/// It begins at one page and follows links on the same site, each page once; where the first page redirects to another host,
/// that is the site, too. It is a job: the answer is 202 and says where it
/// is. Every page is a result, with its address as `url`, its `depth`, and what it led to as `found`. Links that say
/// `nofollow` are not followed, and what a site does not want to be asked for is an item that failed.
#[utoipa::path(
    post, path = "/v1/crawl", tag = "jobs", request_body = CrawlBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send this again")),
    responses(
        (status = 202, description = "The job", body = JobView),
        (status = "default", description = "A failure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn crawl(
    State(api): State<Api>,
    key: Option<Extension<Key>>,
    headers: HeaderMap,
    Written(body, written, _place): Written<CrawlBody>,
) -> Result<Response, Problem> {
    body.check(api.inner.later.limits())?;
    // It is asked for again with every page, but told of only here.
    let refused = |refused: String| senseless("/url", &format!("cannot be asked for: {refused}"));
    api.inner.later.sender.check(&body.url).map_err(refused)?;
    let wanted =
        Wanted { kind: Kind::Crawl, priority: body.priority, items: None, spec: written, webhook: body.webhook.as_ref() };
    api.accept(wanted, owner(key.as_ref()), &headers).await
}

#[cfg(test)]
mod tests {
    use super::super::body::json;
    use super::*;

    #[test]
    fn what_is_wrong_with_a_crawl_is_told_by_its_place() {
        let limits = JobsConfig { max_pages: 50, ..JobsConfig::default() };
        let cases = [
            (r#"{"url": "http://a.b/", "max_pages": 50}"#, None),
            (r#"{"url": "http://a.b/c/d", "scope": "path", "path": "/c/", "max_pages": 9, "include": ["/c/**"]}"#, None),
            (r#"{"url": "x", "max_pages": 9}"#, Some("/url")),
            (r#"{"url": "http://a.b/"}"#, Some("/max_pages")),
            (r#"{"url": "http://a.b/", "max_pages": 0}"#, Some("/max_pages")),
            (r#"{"url": "http://a.b/", "max_pages": 9, "max_depth": 101}"#, Some("/max_depth")),
            (r#"{"url": "http://a.b/", "max_pages": 9, "max_time_ms": 0}"#, Some("/max_time_ms")),
            (r#"{"url": "http://a.b/", "max_pages": 9, "path": "/x"}"#, Some("/path")),
            (r#"{"url": "http://a.b/", "max_pages": 9, "scope": "path", "path": "/x"}"#, Some("/path")),
            (r#"{"url": "http://a.b/", "max_pages": 9, "exclude": ["/a", ""]}"#, Some("/exclude/1")),
            (r#"{"url": "http://a.b/", "max_pages": 9, "options": {"url": "x"}}"#, Some("/options/url")),
            (r#"{"url": "http://a.b/", "max_pages": 9, "options": {"priority": "batch"}}"#, Some("/options/priority")),
        ];
        for (text, expected) in cases {
            let checked = json::<CrawlBody>(text.as_bytes()).and_then(|body| body.check(&limits));
            let pointer = checked.err().map(|problem| {
                let value = serde_json::to_value(&problem).expect("it is JSON");
                value["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned()
            });
            assert_eq!(pointer.as_deref(), expected, "{text}");
        }
    }
}

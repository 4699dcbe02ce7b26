//! Which addresses belong to a crawl. Pure; whether they may be connected to is for the egress policy to say, and whether
//! their site wants to be crawled for whoever fetches.

use url::Url;

use super::pattern::Pattern;

/// Which addresses belong to a crawl.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    site: Place,
    /// Where the site is as well: where its first page was found in the end.
    moved: Option<Place>,
    /// Every path begins with it.
    prefix: String,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

/// A host and its port. A site is the same by http and https.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: String,
    /// Unless it is its scheme's own.
    port: Option<u16>,
}

/// Addresses that are longer lead into a trap, or nowhere.
const LONGEST: usize = 2_000;
/// A path that says the same thing again and again is one that leads to itself.
const SAME_SEGMENTS: usize = 3;
const SEGMENTS: usize = 32;
/// Files that are no pages. What is not named here is asked for, and the gate looks at what comes.
const NO_PAGES: [&str; 40] = [
    "7z", "apk", "avi", "avif", "bmp", "bz2", "css", "deb", "dmg", "doc", "docx", "eot", "exe", "gif", "gz", "ico", "iso",
    "jpeg", "jpg", "js", "json", "mkv", "mov", "mp3", "mp4", "msi", "ogg", "otf", "png", "rar", "rpm", "svg", "tar", "tgz",
    "ttf", "wav", "webm", "webp", "woff2", "zip",
];

impl Scope {
    /// What belongs to the site of `seed`, below `prefix`.
    pub(crate) fn new(seed: &Url, prefix: String, include: Vec<Pattern>, exclude: Vec<Pattern>) -> Self {
        Self { site: Place::of(seed), moved: None, prefix, include, exclude }
    }

    /// The first page was found at `at`: the site is there, too. What its paths begin with stays as it was said.
    pub(crate) fn follow(&mut self, at: &Url) {
        self.moved = Some(Place::of(at)).filter(|place| *place != self.site);
    }

    /// Whether `url` is at a host of the site, at whatever port and path.
    pub(crate) fn has_host(&self, url: &Url) -> bool {
        let host = Place::of(url).host;
        self.places().any(|place| place.host == host)
    }

    /// The directory that a page is in.
    pub(crate) fn directory(url: &Url) -> String {
        let path = url.path();
        path[..path.rfind('/').map_or(0, |at| at + 1)].to_owned()
    }

    /// An address in the one form that it is known by, if it is one of a page.
    pub(crate) fn canonical(text: &str) -> Option<Url> {
        if text.len() > LONGEST {
            return None;
        }
        let mut url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        url.set_fragment(None);
        if url.query() == Some("") {
            url.set_query(None);
        }
        Some(url)
    }

    /// Whether `url` is on the site and below the prefix.
    pub(crate) fn is_on_site(&self, url: &Url) -> bool {
        let at = Place::of(url);
        self.places().any(|place| *place == at) && url.path().starts_with(&self.prefix)
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.site).chain(&self.moved)
    }

    /// Whether a link to `url` is followed.
    pub(crate) fn takes(&self, url: &Url) -> bool {
        if !self.is_on_site(url) || is_trap(url) || is_no_page(url) {
            return false;
        }
        let mut path = url.path().to_owned();
        if let Some(query) = url.query() {
            path.push('?');
            path.push_str(query);
        }
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&path));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

impl Place {
    fn of(url: &Url) -> Self {
        Self { host: url.host_str().unwrap_or_default().trim_end_matches('.').to_owned(), port: url.port() }
    }
}

fn is_trap(url: &Url) -> bool {
    if url.as_str().len() > LONGEST {
        return true;
    }
    let segments: Vec<&str> = url.path().split('/').filter(|segment| !segment.is_empty()).collect();
    segments.len() > SEGMENTS || segments.iter().any(|one| segments.iter().filter(|other| *other == one).count() > SAME_SEGMENTS)
}

fn is_no_page(url: &Url) -> bool {
    let name = url.path().rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| NO_PAGES.contains(&&*ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Scope::canonical(text).expect(text)
    }

    #[test]
    fn a_crawl_stays_on_its_site_and_out_of_traps() {
        let seed = url("https://example.com/docs/start.html");
        let exclude = vec![Pattern::parse("**/private/**").expect("it is one")];
        let scope = Scope::new(&seed, Scope::directory(&seed), Vec::new(), exclude);
        let table = [
            ("https://example.com/docs/a", true),
            ("http://example.com/docs/a", true),
            ("https://EXAMPLE.com./docs/a#b", true),
            ("https://example.com/docs/a.pdf", true),
            ("https://example.com/docs/a.PNG", false),
            ("https://example.com/other", false),
            ("https://example.com:8443/docs/a", false),
            ("https://www.example.com/docs/a", false),
            ("https://example.com.evil.org/docs/a", false),
            ("https://example.com/docs/private/a", false),
            ("https://example.com/docs/x/x/x/", true),
            ("https://example.com/docs/x/x/x/x/", false),
            ("https://example.com/docs/x/y/x/y/x/y/x/y", false),
        ];
        for (text, expected) in table {
            assert_eq!(scope.takes(&url(text)), expected, "{text}");
        }
        let deep = format!("https://example.com/docs/{}", (0..40).map(|at| format!("{at}/")).collect::<String>());
        assert!(!scope.takes(&url(&deep)));
    }

    #[test]
    fn a_site_is_also_where_its_first_page_has_led() {
        let seed = url("https://example.com/docs/");
        let mut scope = Scope::new(&seed, Scope::directory(&seed), Vec::new(), Vec::new());
        assert!(!scope.has_host(&url("https://www.example.com/")));
        scope.follow(&url("https://www.example.com/docs/en/"));
        for (text, on_site, host) in [
            ("https://www.example.com/docs/a", true, true),
            ("http://example.com/docs/a", true, true),
            ("https://www.example.com/other", false, true),
            ("https://www.example.com:8443/docs/a", false, true),
            ("https://blog.example.com/docs/a", false, false),
        ] {
            assert_eq!((scope.takes(&url(text)), scope.has_host(&url(text))), (on_site, host), "{text}");
        }
    }

    #[test]
    fn includes_narrow_and_excludes_win() {
        let seed = url("http://a.b/");
        let one = |text: &str| vec![Pattern::parse(text).expect(text)];
        let scope = Scope::new(&seed, "/".to_owned(), one("/blog/**"), one("**?*"));
        assert!(scope.takes(&url("http://a.b/blog/x")) && !scope.takes(&url("http://a.b/x")));
        assert!(!scope.takes(&url("http://a.b/blog/x?page=2")));
    }

    #[test]
    fn one_page_has_one_address() {
        for (text, expected) in [
            ("http://A.b:80/x#y", Some("http://a.b/x")),
            ("http://a.b/x?", Some("http://a.b/x")),
            ("http://a.b", Some("http://a.b/")),
            ("http://a.b/c/../d", Some("http://a.b/d")),
            ("ftp://a.b/", None),
            ("mailto:a@b", None),
            ("http://u:p@a.b/", None),
        ] {
            assert_eq!(Scope::canonical(text).as_ref().map(Url::as_str), expected, "{text}");
        }
        assert!(Scope::canonical(&format!("http://a.b/{}", "x".repeat(3_000))).is_none());
    }
}

//! One cookie: what a `Set-Cookie` makes of it, and where it is sent, as RFC 6265 and its successor have it. Pure.
//!
//! Stricter than the RFC where browsers are: names are needed, a secure cookie comes over https alone, prefixes are held to
//! what they promise, and none is for a public suffix (`co.uk`), by the list that browsers use.

use std::fmt;
use std::time::Duration;

use url::{Host, Url};

use super::date;
use crate::cache::UnixTime;
use crate::render::Cookie;

/// Bytes of a name and its value.
const LONGEST: usize = 4_096;
/// Bytes of an attribute's value; longer ones are not there.
const LONGEST_ATTRIBUTE: usize = 1_024;
/// No cookie is kept for longer, whatever it says.
const LONGEST_LIFE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// A cookie as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) value: String,
    /// In lower case, without a dot before it.
    pub(super) domain: String,
    /// It is for that host alone, not for those below it.
    pub(super) host_only: bool,
    pub(super) path: String,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    /// None: for as long as the session.
    pub(super) expires: Option<UnixTime>,
}

/// What stands after the name and value.
#[derive(Default)]
struct Attributes<'a> {
    expires: Option<UnixTime>,
    max_age: Option<i64>,
    domain: Option<&'a str>,
    path: Option<&'a str>,
    secure: bool,
    http_only: bool,
}

impl Kept {
    /// What `header` sets, sent by the server of `url`; `None` if it may not.
    pub(super) fn parse(header: &str, url: &Url, now: UnixTime) -> Option<Self> {
        if header.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return None;
        }
        let mut parts = header.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > LONGEST {
            return None;
        }
        let attributes = Attributes::read(parts);
        let https = url.scheme() == "https";
        let host = url.host()?;
        let (domain, host_only) = owner(&host.to_owned(), attributes.domain)?;
        let path = attributes.path.filter(|path| path.starts_with('/'));
        if attributes.secure && !https {
            return None;
        }
        let host_prefix = attributes.secure && attributes.domain.is_none() && path == Some("/");
        if !keeps_promise(name, attributes.secure, host_prefix) {
            return None;
        }
        let kept = Self {
            name: name.to_owned(),
            value: value.to_owned(),
            domain,
            host_only,
            path: path.map_or_else(|| default_path(url), str::to_owned),
            secure: attributes.secure,
            http_only: attributes.http_only,
            expires: attributes.expiry(now),
        };
        Some(kept)
    }

    /// A cookie as somebody says it: its domain, with a dot before it if it is for the hosts below, too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of(cookie: Cookie, now: UnixTime) -> Result<Self, String> {
        let Cookie { name, value, domain, path, secure, http_only, expires } = cookie;
        let said = domain.ok_or_else(|| format!("the cookie {name} needs a domain"))?;
        let bare = said.strip_prefix('.').unwrap_or(&said);
        let host = Host::parse(bare).map_err(|_| format!("the cookie {name} is for {said}, which is no host"))?;
        let wide = bare.len() != said.len();
        let (domain, host_only) = owner(&host, wide.then_some(bare))
            .filter(|(_, host_only)| *host_only != wide || matches!(host, Host::Ipv4(_) | Host::Ipv6(_)))
            .ok_or_else(|| format!("the cookie {name} is for {said}, under which there are strangers"))?;
        let odd = |text: &str| text.bytes().any(|byte| byte.is_ascii_control() || byte == b';');
        if name.is_empty() || name.contains(['=', ' ', '\t']) || odd(&name) || odd(&value) {
            return Err(
                "a cookie has a name without = and spaces, and name and value without ; and control characters".to_owned()
            );
        }
        if name.len() + value.len() > LONGEST {
            return Err(format!("the cookie {name} is longer than {LONGEST} bytes"));
        }
        let path = path.unwrap_or_else(|| "/".to_owned());
        if !path.starts_with('/') || path.len() > LONGEST_ATTRIBUTE || odd(&path) {
            return Err(format!("the path of the cookie {name} does not begin with / or is too long"));
        }
        if !keeps_promise(&name, secure, secure && host_only && path == "/") {
            return Err(format!("the cookie {name} has a prefix that promises what it does not keep"));
        }
        let latest = now + LONGEST_LIFE;
        let expires = expires.map(|seconds| UnixTime::from_millis(seconds.saturating_mul(1_000)).min(latest));
        Ok(Self { name, value, domain, host_only, path, secure, http_only, expires })
    }

    /// As somebody is told it, or a browser takes it.
    pub(super) fn told(&self) -> Cookie {
        Cookie {
            name: self.name.clone(),
            value: self.value.clone(),
            domain: Some(if self.host_only { self.domain.clone() } else { format!(".{}", self.domain) }),
            path: Some(self.path.clone()),
            secure: self.secure,
            http_only: self.http_only,
            expires: self.expires.map(|time| time.as_millis() / 1_000),
        }
    }

    /// Whether it is sent to `url`.
    pub(super) fn is_for(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let domain = if self.host_only { host == self.domain } else { is_below(host, &self.domain) };
        domain && (!self.secure || url.scheme() == "https") && is_under(url.path(), &self.path)
    }

    /// Whether it is the same one, whatever its value.
    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.name, &self.domain, self.host_only, &self.path) == (&other.name, &other.domain, other.host_only, &other.path)
    }

    pub(super) fn is_over(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Bytes that it takes.
    pub(super) fn weight(&self) -> usize {
        self.name.len() + self.value.len() + self.domain.len() + self.path.len() + size_of::<Self>()
    }

    /// Whether `other`, which came without encryption, would stand in its place or in its way.
    pub(super) fn is_guarded_from(&self, other: &Self) -> bool {
        let domains = is_below(&self.domain, &other.domain) || is_below(&other.domain, &self.domain);
        self.secure && self.name == other.name && domains && is_under(&other.path, &self.path)
    }
}

impl fmt::Debug for Kept {
    /// Without its value, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}{}", self.name, self.domain, self.path)
    }
}

impl<'a> Attributes<'a> {
    fn read(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut attributes = Self::default();
        for part in parts {
            let (name, value) = part.split_once('=').map_or((part, ""), |(name, value)| (name, value.trim()));
            let name = name.trim();
            if value.len() > LONGEST_ATTRIBUTE {
                continue;
            }
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("expires") {
                attributes.expires = date::parse(value).or(attributes.expires);
            } else if is("max-age") {
                attributes.max_age = seconds(value).or(attributes.max_age);
            } else if is("domain") {
                // The last one counts, also where it says nothing.
                attributes.domain = Some(value.strip_prefix('.').unwrap_or(value)).filter(|domain| !domain.is_empty());
            } else if is("path") {
                attributes.path = Some(value);
            } else if is("secure") {
                attributes.secure = true;
            } else if is("httponly") {
                attributes.http_only = true;
            }
        }
        attributes
    }

    fn expiry(&self, now: UnixTime) -> Option<UnixTime> {
        let latest = now + LONGEST_LIFE;
        match self.max_age {
            Some(seconds) => Some(u64::try_from(seconds).map_or(UnixTime::default(), |seconds| {
                (now + Duration::from_secs(seconds.min(LONGEST_LIFE.as_secs()))).min(latest)
            })),
            None => self.expires.map(|time| time.min(latest)),
        }
    }
}

/// A number of seconds, which may be less than none.
fn seconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ends = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(ends))
}

/// Whose a cookie is that `host` sets for `domain`, and whether that is one host alone. `None` if it may not.
fn owner(host: &Host, domain: Option<&str>) -> Option<(String, bool)> {
    let own = host.to_string();
    let own = own.trim_end_matches('.').to_owned();
    let Some(domain) = domain else { return Some((own, true)) };
    let Host::Domain(_) = host else { return (domain.eq_ignore_ascii_case(&own)).then_some((own, true)) };
    let Ok(Host::Domain(domain)) = Host::parse(domain) else { return None };
    if psl::suffix_str(&domain) == Some(&*domain) {
        // Nobody owns it but the host that is called so.
        return (domain == own).then_some((own, true));
    }
    is_below(&own, &domain).then_some((domain, false))
}

/// Whether a cookie of that name is what its prefix says.
fn keeps_promise(name: &str, secure: bool, host: bool) -> bool {
    let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    (!begins("__Secure-") || secure) && (!begins("__Host-") || host)
}

/// Whether `host` is `domain` or below it. An address is below nothing.
fn is_below(host: &str, domain: &str) -> bool {
    let below = || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    host == domain || (below() && matches!(Host::parse(host), Ok(Host::Domain(_))))
}

fn is_under(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || directory.ends_with('/') || rest.starts_with('/'))
}

/// The directory of a URL.
fn default_path(url: &Url) -> String {
    match url.path().rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(last) => url.path()[..last].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> UnixTime {
        UnixTime::from_millis(1_700_000_000_000)
    }

    fn parse(header: &str, url: &str) -> Option<Kept> {
        Kept::parse(header, &Url::parse(url).expect("it is one"), now())
    }

    #[test]
    fn who_may_set_what_for_whom() {
        let www = "https://www.example.co.uk/a/b";
        for (header, url, expected) in [
            ("n=v", www, Some(("www.example.co.uk", true, "/a"))),
            ("n=v; Domain=example.co.uk", www, Some(("example.co.uk", false, "/a"))),
            ("n=v; domain=.EXAMPLE.co.uk; path=/", www, Some(("example.co.uk", false, "/"))),
            ("n=v; Domain=", www, Some(("www.example.co.uk", true, "/a"))),
            ("n=v; Domain=co.uk", www, None),
            ("n=v; Domain=uk", www, None),
            ("n=v; Domain=other.co.uk", www, None),
            ("n=v; Domain=ample.co.uk", www, None),
            ("n=v; Domain=a.www.example.co.uk", www, None),
            ("n=v; Domain=co.uk", "https://co.uk/", Some(("co.uk", true, "/"))),
            ("n=v; Domain=github.io", "https://somebody.github.io/", None),
            ("n=v; Domain=localhost", "http://localhost/", Some(("localhost", true, "/"))),
            ("n=v; Domain=192.0.2.1", "http://192.0.2.1/", Some(("192.0.2.1", true, "/"))),
            ("n=v; Domain=2.1", "http://192.0.2.1/", None),
            ("n=v; Path=x", "https://example.com", Some(("example.com", true, "/"))),
            ("n=v; Path=/x/", "https://example.com/y", Some(("example.com", true, "/x/"))),
            ("n=v; Secure", "http://example.com/", None),
            ("__Secure-n=v", www, None),
            ("__Secure-n=v; Secure", www, Some(("www.example.co.uk", true, "/a"))),
            ("__Host-n=v; Secure; Path=/", www, Some(("www.example.co.uk", true, "/"))),
            ("__host-n=v; Secure", www, None),
            ("__Host-n=v; Secure; Path=/; Domain=example.co.uk", www, None),
            ("nothing", www, None),
            ("=v", www, None),
            ("n=v\r\nx: y", www, None),
            ("n=v\0", www, None),
        ] {
            let kept = parse(header, url);
            let found = kept.as_ref().map(|kept| (&*kept.domain, kept.host_only, &*kept.path));
            assert_eq!(found, expected, "{header} from {url}");
        }
        assert!(parse(&format!("n={}", "v".repeat(LONGEST)), www).is_none());
    }

    #[test]
    fn how_long_it_lasts() {
        let seconds = |time: UnixTime| now().seconds_until(time);
        let most = 400 * 24 * 60 * 60;
        for (header, expected) in [
            ("n=v", None),
            ("n=v; Max-Age=60", Some(60)),
            ("n=v; Max-Age=60; Expires=Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("n=v; Expires=Tue, 14 Nov 2023 22:14:20 GMT", Some(60)),
            ("n=v; Expires=nonsense", None),
            ("n=v; Max-Age=nonsense", None),
            ("n=v; Max-Age=99999999999999999999", Some(most)),
            ("n=v; Expires=Fri, 31 Dec 2100 23:59:59 GMT", Some(most)),
        ] {
            assert_eq!(parse(header, "http://example.com/").expect("it may").expires.map(seconds), expected, "{header}");
        }
        for over in ["n=v; Max-Age=0", "n=v; Max-Age=-1", "n=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert!(parse(over, "http://example.com/").expect("it may").is_over(now()), "{over}");
        }
    }

    #[test]
    fn where_it_is_sent() {
        for (header, from, to, expected) in [
            ("n=v", "http://example.com/", "http://example.com/x?y", true),
            ("n=v", "http://example.com/", "http://example.com:8080/", true),
            ("n=v", "http://example.com/", "http://www.example.com/", false),
            ("n=v; Domain=example.com", "http://example.com/", "http://www.example.com/", true),
            ("n=v; Domain=example.com", "http://example.com/", "http://notexample.com/", false),
            ("n=v", "http://example.com/a/b", "http://example.com/a", true),
            ("n=v", "http://example.com/a/b", "http://example.com/a/c/d", true),
            ("n=v", "http://example.com/a/b", "http://example.com/ab", false),
            ("n=v", "http://example.com/a/b", "http://example.com/", false),
            ("n=v; Path=/a/", "http://example.com/", "http://example.com/a", false),
            ("n=v; Secure", "https://example.com/", "http://example.com/", false),
            ("n=v; Secure", "https://example.com/", "https://example.com/", true),
        ] {
            let kept = parse(header, from).expect("it may");
            assert_eq!(kept.is_for(&Url::parse(to).expect("it is one")), expected, "{header} from {from} to {to}");
        }
    }

    #[test]
    fn what_somebody_says_is_what_is_told() {
        let cookie = |text: &str| serde_json::from_str::<Cookie>(text).expect("it is one");
        for good in [
            r#"{"name": "n", "value": "v", "domain": "example.com"}"#,
            r#"{"name": "n", "value": "v", "domain": ".example.com", "path": "/x", "secure": true, "http_only": true}"#,
            r#"{"name": "n", "value": "v", "domain": "127.0.0.2", "expires": 1700000060}"#,
        ] {
            let mut said = cookie(good);
            let told = Kept::of(said.clone(), now()).expect(good).told();
            said.path.get_or_insert_with(|| "/".to_owned());
            assert_eq!(told, said, "{good}");
        }
        for bad in [
            r#"{"name": "n", "value": "v"}"#,
            r#"{"name": "", "value": "v", "domain": "example.com"}"#,
            r#"{"name": "n=", "value": "v", "domain": "example.com"}"#,
            r#"{"name": "n", "value": "v;w", "domain": "example.com"}"#,
            r#"{"name": "n", "value": "v\n", "domain": "example.com"}"#,
            r#"{"name": "n", "value": "v", "domain": ".co.uk"}"#,
            r#"{"name": "n", "value": "v", "domain": "a b"}"#,
            r#"{"name": "n", "value": "v", "domain": "example.com", "path": "x"}"#,
            r#"{"name": "__Host-n", "value": "v", "domain": "example.com"}"#,
        ] {
            assert!(Kept::of(cookie(bad), now()).is_err(), "{bad}");
        }
    }
}

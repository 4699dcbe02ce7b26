//! The cookies of one session, bounded in number and bytes. Pure.

use std::fmt;

use url::Url;

use super::cookie::Kept;
use crate::cache::UnixTime;
use crate::render::Cookie;

/// Cookies of one jar. Browsers keep some thousands, of all sites that somebody has ever seen.
pub(super) const COOKIES: usize = 300;
/// Of them those of one domain.
const OF_ONE_DOMAIN: usize = 100;
/// Bytes of all of them.
pub(super) const BYTES: usize = 64 << 10;
/// Bytes of what is sent to one server.
const SENT: usize = 16 << 10;

/// The cookies of one session, in the order in which they were first set.
#[derive(Default)]
pub(super) struct Jar {
    cookies: Vec<Held>,
    uses: u64,
}

struct Held {
    cookie: Kept,
    used: u64,
}

impl Jar {
    /// What is sent to `url`: the longest paths first, then the oldest. `None` if nothing is.
    pub(super) fn header(&mut self, url: &Url, now: UnixTime) -> Option<String> {
        self.uses += 1;
        self.cookies.retain(|held| !held.cookie.is_over(now));
        let uses = self.uses;
        let mut sent: Vec<_> = self.cookies.iter_mut().filter(|held| held.cookie.is_for(url)).collect();
        sent.sort_by_key(|held| std::cmp::Reverse(held.cookie.path.len()));
        let mut header = String::new();
        for held in sent {
            held.used = uses;
            if header.len() + held.cookie.name.len() + held.cookie.value.len() + 3 > SENT {
                break;
            }
            let separator = if header.is_empty() { "" } else { "; " };
            header = header + separator + &held.cookie.name + "=" + &held.cookie.value;
        }
        (!header.is_empty()).then_some(header)
    }

    /// Keeps what the server of `url` has set.
    pub(super) fn store(&mut self, header: &str, url: &Url, now: UnixTime) {
        let Some(cookie) = Kept::parse(header, url, now) else { return };
        let guarded = url.scheme() != "https" && self.cookies.iter().any(|held| held.cookie.is_guarded_from(&cookie));
        if !guarded {
            self.put(cookie, now);
        }
    }

    /// Keeps a cookie, in the place of the one that it was before, and forgets what is too much then.
    pub(super) fn put(&mut self, cookie: Kept, now: UnixTime) {
        self.uses += 1;
        self.cookies.retain(|held| !held.cookie.is_over(now));
        let (over, uses) = (cookie.is_over(now), self.uses);
        match self.cookies.iter().position(|held| held.cookie.is(&cookie)) {
            Some(place) if over => drop(self.cookies.remove(place)),
            Some(place) => self.cookies[place] = Held { cookie, used: uses },
            None if over => {}
            None => self.cookies.push(Held { cookie, used: uses }),
        }
        self.make_room();
    }

    /// Keeps what a browser had at the end, that was given `given` at the beginning and was at `url` in the end: what was set
    /// there since, and not what is gone there.
    pub(super) fn take_back(&mut self, given: &[Cookie], found: Vec<Cookie>, url: Option<&Url>, now: UnixTime) {
        let found: Vec<_> = found.into_iter().filter_map(|cookie| Kept::of(cookie, now).ok()).collect();
        for before in given.iter().filter_map(|cookie| Kept::of(cookie.clone(), now).ok()) {
            let was_seen = url.is_some_and(|url| before.is_for(url));
            if was_seen && !found.iter().any(|cookie| cookie.is(&before)) {
                // Unless somebody has set it anew meanwhile.
                self.cookies.retain(|held| !held.cookie.is(&before) || held.cookie.value != before.value);
            }
        }
        for cookie in found {
            // What came back as it was given says nothing new; somebody may have set it anew meanwhile.
            let unchanged = given.iter().any(|before| *before == cookie.told());
            if !unchanged {
                self.put(cookie, now);
            }
        }
    }

    /// All that are good, as a browser takes them.
    pub(super) fn all(&self, now: UnixTime) -> Vec<Cookie> {
        self.cookies.iter().filter(|held| !held.cookie.is_over(now)).map(|held| held.cookie.told()).collect()
    }

    fn make_room(&mut self) {
        loop {
            let bytes: usize = self.cookies.iter().map(|held| held.cookie.weight()).sum();
            let too_many = self.cookies.len() > COOKIES || bytes > BYTES;
            let crowd = self
                .cookies
                .last()
                .map(|last| last.cookie.domain.clone())
                .filter(|domain| self.cookies.iter().filter(|held| held.cookie.domain == *domain).count() > OF_ONE_DOMAIN);
            if !too_many && crowd.is_none() {
                return;
            }
            let candidates = self.cookies.iter().enumerate();
            let candidates = candidates.filter(|(_, held)| crowd.as_ref().is_none_or(|domain| held.cookie.domain == *domain));
            let Some((place, _)) = candidates.min_by_key(|(_, held)| held.used) else { return };
            self.cookies.remove(place);
        }
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.cookies.iter().map(|held| &held.cookie)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> UnixTime {
        UnixTime::from_millis(1_700_000_000_000)
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("it is one")
    }

    fn jar(headers: &[&str]) -> Jar {
        let mut jar = Jar::default();
        for header in headers {
            jar.store(header, &url("https://www.example.com/a/b"), now());
        }
        jar
    }

    #[test]
    fn what_is_sent_and_in_which_order() {
        let mut jar = jar(&["root=1; Path=/", "deep=2; Path=/a/b", "b=3", "a=4", "all=5; Domain=example.com; Path=/", "b=6"]);
        let mut sent = |to: &str| jar.header(&url(to), now()).unwrap_or_default();
        assert_eq!(sent("https://www.example.com/a/b"), "deep=2; b=6; a=4; root=1; all=5");
        assert_eq!(sent("https://www.example.com/"), "root=1; all=5");
        assert_eq!(sent("https://example.com/"), "all=5");
        assert_eq!(sent("https://example.org/"), "");
    }

    #[test]
    fn cookies_end() {
        let mut jar = jar(&["a=1; Max-Age=60", "b=2", "c=3; Max-Age=60"]);
        jar.store("b=x; Max-Age=0", &url("https://www.example.com/a/b"), now());
        assert_eq!(jar.header(&url("https://www.example.com/a/"), now()).as_deref(), Some("a=1; c=3"));
        let later = now() + std::time::Duration::from_secs(61);
        assert_eq!(jar.header(&url("https://www.example.com/a/"), later), None);
        assert!(jar.all(later).is_empty());
    }

    #[test]
    fn what_came_encrypted_is_not_changed_by_what_did_not() {
        let mut jar = jar(&["s=1; Secure; Path=/", "p=1; Path=/"]);
        for header in ["s=2; Path=/", "s=2", "s=2; Domain=example.com", "p=2; Path=/"] {
            jar.store(header, &url("http://www.example.com/"), now());
        }
        assert_eq!(jar.header(&url("https://www.example.com/"), now()).as_deref(), Some("s=1; p=2"));
    }

    #[test]
    fn a_jar_is_bounded() {
        let mut jar = Jar::default();
        jar.store("first=1; Path=/", &url("https://first.example/"), now());
        let weigh = |jar: &Jar| jar.cookies.iter().map(|held| held.cookie.weight()).sum::<usize>();
        for index in 0..500 {
            jar.store(&format!("n{index}=v; Path=/"), &url("https://one.example/"), now());
            // It is used, and therefore not the one that goes.
            assert!(jar.header(&url("https://first.example/"), now()).is_some());
        }
        assert_eq!(jar.cookies.len(), OF_ONE_DOMAIN + 1);
        for index in 0..500 {
            jar.store("n=v; Path=/", &url(&format!("https://h{index}.example/")), now());
            assert!(jar.cookies.len() <= COOKIES && weigh(&jar) <= BYTES);
        }
        for index in 0..100 {
            let header = format!("large={}; Path=/", "v".repeat(4_000));
            jar.store(&header, &url(&format!("https://l{index}.example/")), now());
            assert!(weigh(&jar) <= BYTES);
        }
        let mut wide = Jar::default();
        for index in 0..10 {
            wide.store(&format!("n{index}={}; Path=/", "v".repeat(4_000)), &url("https://one.example/"), now());
        }
        assert!(wide.header(&url("https://one.example/"), now()).expect("there are some").len() <= SENT);
    }

    #[test]
    fn what_a_browser_had_is_taken_back() {
        let mut jar = jar(&["kept=1; Path=/", "changed=1; Path=/", "gone=1; Path=/", "both=1; Path=/"]);
        jar.store("elsewhere=1; Path=/", &url("https://other.example/"), now());
        let given = jar.all(now());
        // Meanwhile a fetch has set two of them anew.
        jar.store("both=2; Path=/", &url("https://www.example.com/"), now());
        jar.store("kept=2; Path=/", &url("https://www.example.com/"), now());
        let mut found: Vec<_> = given.iter().filter(|cookie| matches!(&*cookie.name, "kept" | "changed")).cloned().collect();
        found[1].value = "2".to_owned();
        found.push(Cookie { name: "new".to_owned(), ..found[0].clone() });
        jar.take_back(&given, found, Some(&url("https://www.example.com/x")), now());
        assert_eq!(jar.header(&url("https://www.example.com/"), now()).as_deref(), Some("kept=2; changed=2; both=2; new=1"));
        assert_eq!(jar.header(&url("https://other.example/"), now()).as_deref(), Some("elsewhere=1"));
    }
}

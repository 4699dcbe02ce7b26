//! Sessions: cookies that several requests share, under a name, for a while.
//!
//! A [`Session`] is a jar that a request carries along; fetches and renders read and fill it. [`Sessions`] keeps those that
//! are made over HTTP, each for whoever made it. They live in memory: they end with the process, and are not on any disk.
//!
//! What a request with a session brings is one caller's own. Such a request is never answered from what others have asked
//! for, and its answer is kept for nobody.

mod cookie;
mod date;
mod jar;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue, SET_COOKIE};
use url::Url;

use self::cookie::Kept;
use self::jar::Jar;
use crate::cache::UnixTime;
use crate::render::Cookie;

/// A jar of cookies that requests share. Clones are the same one.
#[derive(Clone, Default)]
pub struct Session {
    jar: Arc<Mutex<Jar>>,
}

impl Session {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts cookies into it. Each needs a domain, with a dot before it if it is for the hosts below, too. Of too many the ones
    /// that were used longest ago are forgotten: there is room for 300, in 64 KiB.
    ///
    /// # Errors
    /// What is wrong with one of them. Nothing has been put then.
    pub fn put(&self, cookies: Vec<Cookie>) -> Result<(), String> {
        let now = UnixTime::now();
        let cookies = cookies.into_iter().map(|cookie| Kept::of(cookie, now)).collect::<Result<Vec<_>, _>>()?;
        let mut jar = self.jar();
        for cookie in cookies {
            jar.put(cookie, now);
        }
        Ok(())
    }

    /// The cookies that are in it.
    #[must_use]
    pub fn cookies(&self) -> Vec<Cookie> {
        self.jar().all(UnixTime::now())
    }

    /// What is sent to `url`, if anything.
    pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let header = self.jar().header(url, UnixTime::now())?;
        let mut value = HeaderValue::from_bytes(header.as_bytes()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Keeps what the server of `url` sets.
    pub(crate) fn store(&self, url: &Url, headers: &HeaderMap) {
        let mut set =
            headers.get_all(SET_COOKIE).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).peekable();
        if set.peek().is_some() {
            let now = UnixTime::now();
            let mut jar = self.jar();
            set.take(jar::COOKIES).for_each(|header| jar.store(header, url, now));
        }
    }

    /// Keeps what a browser had at the end, at `url`, that had been given `given`.
    pub(crate) fn take_back(&self, given: &[Cookie], found: Vec<Cookie>, url: &str) {
        self.jar().take_back(given, found, Url::parse(url).ok().as_ref(), UnixTime::now());
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&*self.jar()).finish()
    }
}

/// How many sessions there may be, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionLimits {
    /// All of them.
    pub(crate) sessions: usize,
    /// Those of one owner.
    pub(crate) per_owner: usize,
    /// How long one lives that does not say.
    pub(crate) life: Duration,
    /// How long one lives at most.
    pub(crate) longest: Duration,
    /// How long one lives that nobody uses.
    pub(crate) idle: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            sessions: 1_000,
            per_owner: 100,
            life: Duration::from_secs(60 * 60),
            longest: Duration::from_secs(24 * 60 * 60),
            idle: Duration::from_secs(30 * 60),
        }
    }
}

/// Why there is no such session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionError {
    /// There is one of that name already.
    Exists,
    /// There are as many as there may be.
    Full,
}

/// The sessions that were made over HTTP, by owner and name.
#[derive(Debug)]
pub(crate) struct Sessions {
    limits: SessionLimits,
    held: Mutex<Table>,
}

/// By owner and name.
type Table = HashMap<(Arc<str>, Box<str>), Held>;

#[derive(Debug)]
struct Held {
    session: Session,
    ends: UnixTime,
    used: UnixTime,
}

impl Sessions {
    pub(crate) fn new(limits: SessionLimits) -> Self {
        Self { limits, held: Mutex::default() }
    }

    pub(crate) fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    /// Keeps `session` as `owner`'s, for `life` or the usual time. Returns when it ends at the latest.
    pub(crate) fn add(
        &self,
        owner: &Arc<str>,
        name: &str,
        session: Session,
        life: Option<Duration>,
        now: UnixTime,
    ) -> Result<UnixTime, SessionError> {
        let mut held = self.swept(now);
        let key = (Arc::clone(owner), name.into());
        if held.contains_key(&key) {
            return Err(SessionError::Exists);
        }
        let own = held.keys().filter(|(other, _)| other == owner).count();
        if held.len() >= self.limits.sessions || own >= self.limits.per_owner {
            return Err(SessionError::Full);
        }
        let ends = now + life.unwrap_or(self.limits.life).min(self.limits.longest);
        held.insert(key, Held { session, ends, used: now });
        Ok(ends)
    }

    /// The session of that name, which counts as used, and when it ends at the latest.
    pub(crate) fn find(&self, owner: &Arc<str>, name: &str, now: UnixTime) -> Option<(Session, UnixTime)> {
        let mut held = self.swept(now);
        let held = held.get_mut(&(Arc::clone(owner), name.into()))?;
        held.used = now;
        Some((held.session.clone(), held.ends))
    }

    /// Forgets a session. Returns whether there was one.
    pub(crate) fn remove(&self, owner: &Arc<str>, name: &str, now: UnixTime) -> bool {
        self.swept(now).remove(&(Arc::clone(owner), name.into())).is_some()
    }

    /// Those that have not ended.
    fn swept(&self, now: UnixTime) -> MutexGuard<'_, Table> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, held| held.ends > now && now.since(held.used) < self.limits.idle);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_millis((1_700_000_000 + seconds) * 1_000)
    }

    fn sessions() -> Sessions {
        let seconds = Duration::from_secs;
        let limits = SessionLimits { sessions: 3, per_owner: 2, life: seconds(100), longest: seconds(200), idle: seconds(50) };
        Sessions::new(limits)
    }

    #[test]
    fn everybody_has_their_own() {
        let (sessions, a, b): (_, Arc<str>, Arc<str>) = (sessions(), "a".into(), "b".into());
        let first = Session::new();
        first
            .put(vec![serde_json::from_str(r#"{"name":"n","value":"v","domain":"example.com"}"#).expect("it is one")])
            .expect("it may");
        assert_eq!(sessions.add(&a, "x", first, None, at(0)), Ok(at(100)));
        assert_eq!(sessions.add(&a, "x", Session::new(), None, at(0)), Err(SessionError::Exists));
        assert!(sessions.find(&b, "x", at(0)).is_none());
        assert!(!sessions.remove(&b, "x", at(0)));
        let (found, _) = sessions.find(&a, "x", at(0)).expect("it is there");
        assert_eq!(found.cookies().len(), 1);
        assert!(sessions.remove(&a, "x", at(0)) && sessions.find(&a, "x", at(0)).is_none());
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let (sessions, a, b): (_, Arc<str>, Arc<str>) = (sessions(), "a".into(), "b".into());
        let add = |owner: &Arc<str>, name: &str| sessions.add(owner, name, Session::new(), None, at(0)).map(drop);
        assert_eq!((add(&a, "1"), add(&a, "2"), add(&a, "3")), (Ok(()), Ok(()), Err(SessionError::Full)));
        assert_eq!((add(&b, "1"), add(&b, "2")), (Ok(()), Err(SessionError::Full)));
    }

    #[test]
    fn they_end_by_age_or_when_nobody_uses_them() {
        let (sessions, a): (_, Arc<str>) = (sessions(), "a".into());
        let life = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(sessions.add(&a, "used", Session::new(), life(120), at(0)), Ok(at(120)));
        assert_eq!(sessions.add(&a, "idle", Session::new(), life(1_000), at(0)), Ok(at(200)));
        for seconds in [40, 80] {
            assert!(sessions.find(&a, "used", at(seconds)).is_some(), "{seconds}");
        }
        assert!(sessions.find(&a, "idle", at(80)).is_none());
        assert!(sessions.find(&a, "used", at(119)).is_some() && sessions.find(&a, "used", at(120)).is_none());
    }

    #[test]
    fn secrets_are_not_written_down() {
        let session = Session::new();
        session
            .put(vec![serde_json::from_str(r#"{"name":"n","value":"secret","domain":"example.com"}"#).expect("it is one")])
            .expect("it may");
        assert!(!format!("{session:?}").contains("secret"));
    }
}

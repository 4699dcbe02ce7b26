//! Turns at a host: who wants to ask waits here until it may, and holds its turn for as long as it is at it.
//!
//! [`Hosts`] decides; this has the clock, the bells and the words.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use url::{Host, Url};

use super::breaker::Outcome;
use super::hosts::{HostLimits, Hosts, Refusal, Ticket, Verdict};
use crate::error::{Error, ErrorKind};

/// Turns at all hosts. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hosts: Mutex<Hosts<Arc<Notify>>>,
    began: Instant,
    counts: TurnCounts,
}

/// What has happened so far, and who waits.
#[derive(Debug, Default)]
pub(crate) struct TurnCounts {
    pub(crate) waiting: AtomicU64,
    pub(crate) waited: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) paused: AtomicU64,
}

/// The right to ask a host, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    inner: Arc<Inner>,
    host: Arc<str>,
    outcome: Outcome,
}

/// Somebody who waits, counted until it is dropped.
struct Waiter<'w>(&'w AtomicU64);

/// A place in a queue, given up when it is dropped.
struct Place<'p> {
    inner: &'p Inner,
    host: &'p Arc<str>,
    ticket: Option<Ticket>,
}

impl Turns {
    pub(crate) fn new(limits: HostLimits) -> Self {
        let hosts = Mutex::new(Hosts::new(limits));
        Self { inner: Arc::new(Inner { hosts, began: Instant::now(), counts: TurnCounts::default() }) }
    }

    /// Waits until `url`'s host may be asked, but not past the deadline.
    pub(crate) async fn take(&self, url: &Url, deadline: Instant) -> Result<Turn, Error> {
        let host = name_of(url);
        let until = deadline.saturating_duration_since(self.inner.began);
        let mut place = Place { inner: &self.inner, host: &host, ticket: None };
        // Nobody rings this one; whoever has to wait is given the host's.
        let (mut bell, mut waits) = (Arc::<Notify>::default(), None);
        loop {
            let heard = Arc::clone(&bell);
            let mut rung = pin!(heard.notified());
            // From here on it is heard.
            rung.as_mut().enable();
            let wake = match place.ask(until) {
                Verdict::Go => {
                    drop(place);
                    return Ok(Turn { inner: Arc::clone(&self.inner), host, outcome: Outcome::Unknown });
                }
                Verdict::Refuse(refusal) => {
                    self.inner.counts.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(refusal.error(&host));
                }
                Verdict::Wait(wake) => wake.map_or(deadline, |wake| self.inner.began + wake).min(deadline),
            };
            if waits.is_some() {
                tokio::select! {
                    () = rung => {}
                    () = sleep_until(wake) => {}
                }
            } else {
                waits = Some(self.inner.counts.wait());
                bell = self.inner.hosts().bell(&host).unwrap_or_default();
            }
        }
    }

    pub(crate) fn counts(&self) -> &TurnCounts {
        &self.inner.counts
    }

    /// Hosts that are known.
    pub(crate) fn hosts(&self) -> usize {
        self.inner.hosts().len()
    }

    /// Hosts that are not asked now, or by one alone, since they have failed so often.
    pub(crate) fn broken(&self) -> usize {
        self.inner.hosts().broken(self.inner.began.elapsed())
    }
}

impl TurnCounts {
    fn wait(&self) -> Waiter<'_> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiter(&self.waiting)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inner {
    fn hosts(&self) -> MutexGuard<'_, Hosts<Arc<Notify>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, host: &str) {
        let bell = self.hosts().bell(host);
        if let Some(bell) = bell {
            bell.notify_waiters();
        }
    }
}

impl Place<'_> {
    fn ask(&mut self, until: Duration) -> Verdict {
        let waited = self.ticket.is_some();
        let verdict = self.inner.hosts().ask(self.host, &mut self.ticket, self.inner.began.elapsed(), until);
        // Whoever has left a queue is followed by the next one.
        if waited && self.ticket.is_none() {
            self.inner.ring(self.host);
        }
        verdict
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.inner.hosts().cancel(self.host, ticket);
            self.inner.ring(self.host);
        }
    }
}

impl Turn {
    /// How it went.
    pub(crate) fn went(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Whether the host is the operator's own.
    pub(crate) fn owned(&self, own: bool) {
        self.inner.hosts().owned(&self.host, own);
    }

    /// The host wants so long between two requests.
    pub(crate) fn space(&self, delay: Duration) {
        self.inner.hosts().space(&self.host, delay);
    }

    /// The host wants to be left alone.
    pub(crate) fn pause(&self, delay: Duration) {
        let paused = self.inner.hosts().pause(&self.host, delay, self.inner.began.elapsed());
        self.inner.counts.paused.fetch_add(1, Ordering::Relaxed);
        tracing::info!(host = &*self.host, seconds = paused.as_secs(), "a host asks to be left alone");
        self.inner.ring(&self.host);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let opened = self.inner.hosts().leave(&self.host, self.outcome, self.inner.began.elapsed());
        if opened {
            self.inner.counts.opened.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(host = &*self.host, "a host has failed several times in a row, and is not asked for a while");
        }
        self.inner.ring(&self.host);
    }
}

impl Refusal {
    fn error(self, host: &str) -> Error {
        match self {
            Self::Broken(after) => {
                let message = format!("{host} has failed several times in a row and is not asked for a while");
                Error::new(ErrorKind::SourceUnreadable, message).retry_after(after)
            }
            Self::Paused(after) => {
                let message = format!("{host} has asked to be left alone for longer than this request may take");
                Error::new(ErrorKind::SourceRefused, message).retry_after(after)
            }
            Self::Crowded(after) => {
                let message = format!("more is asked of {host} than it is asked for at a time, and there is no time to wait");
                Error::new(ErrorKind::Overloaded, message).retry_after(after)
            }
        }
    }
}

/// What a host is known by: its name and port, however it is spoken to.
fn name_of(url: &Url) -> Arc<str> {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default()).into()
}

/// The address that a URL itself says.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn url() -> Url {
        Url::parse("http://example.com/").expect("it is one")
    }

    fn turns(limits: HostLimits) -> Turns {
        Turns::new(HostLimits { per_second: 1_000.0, burst: 1_000, ..limits })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken_by_whoever_leaves() {
        let turns = turns(HostLimits { per_host: 2, ..HostLimits::default() });
        let url = url();
        let first = turns.take(&url, soon()).await.expect("there is room");
        let second = turns.take(&url, soon()).await.expect("there is room");
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(turns.take(&url, soon()))).collect();
        for wait in &mut waiting {
            assert!(timeout(Duration::from_millis(1), wait.as_mut()).await.is_err(), "it waits");
        }
        let waits = || turns.counts().waiting.load(Ordering::Relaxed);
        assert_eq!(waits(), 5);
        // The first of those that wait thinks better of it.
        drop(waiting.remove(0));
        assert_eq!(waits(), 4);
        drop((first, second));
        let mut held = Vec::new();
        for wait in waiting {
            held.push(wait.await.expect("its turn comes"));
            if held.len() == 2 {
                held.clear();
            }
        }
        assert_eq!((waits(), turns.counts().waited.load(Ordering::Relaxed)), (0, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_past_the_deadline() {
        let turns = turns(HostLimits { per_host: 1, ..HostLimits::default() });
        let held = turns.take(&url(), soon()).await.expect("there is room");
        let error = turns.take(&url(), soon()).await.expect_err("nobody leaves");
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert!(error.retry_delay().is_some());
        // Another host is not concerned.
        let other = Url::parse("http://example.com:8080/").expect("it is one");
        drop(turns.take(&other, soon()).await.expect("there is room"));
        drop(held);
        drop(turns.take(&url(), soon()).await.expect("there is room again"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_host_refuses_those_that_wait_for_it() {
        let turns = turns(HostLimits { per_host: 1, failures: 1, ..HostLimits::default() });
        let mut held = turns.take(&url(), soon()).await.expect("there is room");
        let url = url();
        let mut waiting = Box::pin(turns.take(&url, soon()));
        assert!(timeout(Duration::from_millis(1), waiting.as_mut()).await.is_err(), "it waits");
        held.went(Outcome::Badly);
        drop(held);
        assert_eq!(turns.broken(), 1);
        let error = waiting.await.expect_err("it is broken");
        assert_eq!(error.kind(), ErrorKind::SourceUnreadable);
        assert_eq!(error.retry_delay(), Some(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(10)).await;
        drop(turns.take(&url, soon()).await.expect("one may try"));
    }

    #[test]
    fn hosts_are_told_apart_by_name_and_port() {
        for (one, other, same) in [
            ("http://example.com/a", "http://EXAMPLE.com:80/b", true),
            ("http://example.com/", "https://example.com/", false),
            ("http://example.com/", "http://www.example.com/", false),
        ] {
            let name = |text| name_of(&Url::parse(text).expect("it is one"));
            assert_eq!(name(one) == name(other), same, "{one} {other}");
        }
    }
}

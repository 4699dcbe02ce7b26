//! When a host may be asked, so that it is not asked for more than it can bear. Pure.
//!
//! For each host (a name or address, and a port): so many requests at once, so many a second with a burst after a rest, a
//! pause where it asks for one, its own delay between requests, and a [`Breaker`] for one that is broken. Whoever has to
//! wait stands in a queue, first come, first served; nobody stands in it for whom it would be too late.
//!
//! Decision: a host in a network that the operator has allowed is the operator's own. It is not held to a rate, and is asked
//! for more at once, unless [`HostLimits::own`] says otherwise, since who allows it knows what it bears; all else holds for it
//! as for everybody: it may ask to be left alone, have its own delay, and break.
//!
//! It knows no clock and wakes nobody: times are since any beginning, and what is kept with a host as its bell is rung by
//! whoever holds this.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Breaker, BreakerLimits, Gate, Outcome};

/// What one host is asked for at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostLimits {
    /// Requests at once. Default 4: fewer than a browser makes.
    pub per_host: u32,
    /// Requests at once to a host in a network that the egress policy allows: it is the operator's. Default 64.
    pub per_own_host: u32,
    /// Requests a second, in the long run. Default 5.
    pub per_second: f64,
    /// Requests at once after a rest. Default 10.
    pub burst: u32,
    /// Whether the operator's own hosts are held to what holds for all. Default not: there is no rate for them.
    pub own: bool,
    /// Requests that wait for one host. Default 256; more are refused at once.
    pub waiting: usize,
    /// How long a host may ask to be left alone (`Retry-After`). Default 5 min; a longer wish is held to this.
    pub pause: Duration,
    /// The longest `Crawl-delay` that is kept. Default 10 s.
    pub crawl_delay: Duration,
    /// Failures in a row after which a host is not asked for a while: connections that fail, and answers from 500. Default 5.
    pub failures: u32,
    /// The time within which they happen. Default 30 s.
    pub window: Duration,
    /// How long it is not asked then, the first time; each time that it fails again, twice as long. Default 10 s.
    pub open: Duration,
    /// How long at most. Default 5 min.
    pub longest_open: Duration,
    /// Hosts that are known at once; those that nobody has asked for longest are forgotten. Default 10,000.
    pub hosts: usize,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            per_host: 4,
            per_own_host: 64,
            per_second: 5.0,
            burst: 10,
            own: false,
            waiting: 256,
            pause: Duration::from_secs(300),
            crawl_delay: Duration::from_secs(10),
            failures: 5,
            window: Duration::from_secs(30),
            open: Duration::from_secs(10),
            longest_open: Duration::from_secs(300),
            hosts: 10_000,
        }
    }
}

impl HostLimits {
    /// What is wrong with them, as sentences.
    pub(crate) fn problems(&self) -> Vec<&'static str> {
        let checks = [
            (
                self.per_host >= 1 && self.per_own_host >= 1,
                "fetch.hosts.per_host and per_own_host must be at least 1, or nothing could be fetched",
            ),
            (
                self.per_second.is_finite() && self.per_second >= 0.001,
                "fetch.hosts.per_second must be at least 0.001, a request in a quarter of an hour",
            ),
            (self.burst >= 1, "fetch.hosts.burst must be at least 1, or nothing could be fetched"),
            (self.waiting >= 1, "fetch.hosts.waiting must be at least 1"),
            (self.failures >= 1, "fetch.hosts.failures must be at least 1"),
            (self.hosts >= 16, "fetch.hosts.hosts must be at least 16"),
        ];
        checks.into_iter().filter(|(fine, _)| !fine).map(|(_, problem)| problem).collect()
    }

    fn breaker(&self) -> BreakerLimits {
        BreakerLimits { failures: self.failures, window: self.window, open: self.open, longest: self.longest_open }
    }
}

/// A place in a host's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Whether somebody may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Now. Whoever was told so leaves by [`Hosts::leave`].
    Go,
    /// Not now: ask again at this time, or when the bell rings. Without a time it will ring.
    Wait(Option<Duration>),
    /// Not at all.
    Refuse(Refusal),
}

/// Why somebody may not ask at all, and when that may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The host is broken.
    Broken(Duration),
    /// The host wants to be left alone for longer than there is time.
    Paused(Duration),
    /// Too many wait for it already, or it would be too late.
    Crowded(Duration),
}

/// All hosts, each with a bell.
#[derive(Debug)]
pub(crate) struct Hosts<B> {
    limits: HostLimits,
    known: HashMap<Arc<str>, Host<B>>,
    tickets: u64,
}

#[derive(Debug, Default)]
struct Host<B> {
    bell: B,
    own: bool,
    running: u32,
    waiting: VecDeque<Ticket>,
    /// When the burst is whole again.
    whole_at: Duration,
    /// When the next one may go, by the host's own delay.
    next_at: Duration,
    delay: Duration,
    paused_until: Duration,
    breaker: Breaker,
    used_at: Duration,
}

impl<B: Clone + Default> Hosts<B> {
    pub(crate) fn new(limits: HostLimits) -> Self {
        Self { limits, known: HashMap::new(), tickets: 0 }
    }

    /// Whether whoever holds `ticket` may ask `host`. Without a ticket one is taken, for which the same is asked again until
    /// it is answered by something else than waiting, or given back by [`Hosts::cancel`].
    pub(crate) fn ask(&mut self, host: &Arc<str>, ticket: &mut Option<Ticket>, now: Duration, deadline: Duration) -> Verdict {
        if !self.known.contains_key(host) && !self.make_room() {
            return Verdict::Refuse(Refusal::Crowded(CROWDED));
        }
        let known = self.known.entry(Arc::clone(host)).or_default();
        known.used_at = now;
        let held = *ticket.get_or_insert_with(|| {
            self.tickets += 1;
            Ticket(self.tickets)
        });
        let verdict = known.ask(&self.limits, held, now, deadline);
        match verdict {
            Verdict::Wait(_) => {}
            Verdict::Go | Verdict::Refuse(_) => {
                known.waiting.retain(|waiting| *waiting != held);
                *ticket = None;
            }
        }
        verdict
    }

    /// Whoever holds `ticket` has gone.
    pub(crate) fn cancel(&mut self, host: &str, ticket: Ticket) {
        if let Some(known) = self.known.get_mut(host) {
            known.waiting.retain(|waiting| *waiting != ticket);
        }
    }

    /// Somebody who was told to go is done. Returns whether the host counts as broken from now on, for that.
    pub(crate) fn leave(&mut self, host: &str, outcome: Outcome, now: Duration) -> bool {
        let breaker = self.limits.breaker();
        self.known.get_mut(host).is_some_and(|known| {
            known.running = known.running.saturating_sub(1);
            known.used_at = now;
            known.breaker.end(outcome, &breaker, now)
        })
    }

    /// The host wants to be left alone. Returns for how long it will be.
    pub(crate) fn pause(&mut self, host: &str, delay: Duration, now: Duration) -> Duration {
        let delay = delay.min(self.limits.pause);
        if let Some(known) = self.known.get_mut(host) {
            known.paused_until = known.paused_until.max(now + delay);
        }
        delay
    }

    /// The host wants so long between two requests; zero if it has no such wish.
    pub(crate) fn space(&mut self, host: &str, delay: Duration) {
        if let Some(known) = self.known.get_mut(host) {
            known.delay = delay.min(self.limits.crawl_delay);
        }
    }

    /// Whether the host is the operator's own.
    pub(crate) fn owned(&mut self, host: &str, own: bool) {
        if let Some(known) = self.known.get_mut(host) {
            known.own = own;
        }
    }

    /// What wakes those that wait for the host.
    pub(crate) fn bell(&self, host: &str) -> Option<B> {
        self.known.get(host).map(|known| known.bell.clone())
    }

    /// Hosts that are known.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Hosts that are not asked now, or by one alone, since they have failed so often. Looks at each, which takes a fraction of a
    /// millisecond: whose time is up is written down nowhere.
    pub(crate) fn broken(&self, now: Duration) -> usize {
        let broken = self.known.values().filter(|host| match host.breaker.gate(now) {
            Gate::Open(_) | Gate::Probing => true,
            Gate::Closed | Gate::Probe => false,
        });
        broken.count()
    }

    /// Makes room for one more, if that can be done: whoever is being asked or waited for stays, and those of whom
    /// something is known go last.
    fn make_room(&mut self) -> bool {
        if self.known.len() < self.limits.hosts {
            return true;
        }
        let rank = |host: &Host<B>| (host.is_remarkable(), host.used_at);
        let mut idle: Vec<_> = self.known.values().filter(|host| host.is_idle()).map(rank).collect();
        // A quarter at once, so that this is not done for each new one.
        let most = idle.len().min((self.limits.hosts / 4).max(1));
        if most == 0 {
            return false;
        }
        let (_, last, _) = idle.select_nth_unstable(most - 1);
        let last = *last;
        self.known.retain(|_, host| !host.is_idle() || rank(host) > last);
        true
    }
}

/// When room may have been made.
const CROWDED: Duration = Duration::from_secs(1);

impl<B> Host<B> {
    fn ask(&mut self, limits: &HostLimits, ticket: Ticket, now: Duration, deadline: Duration) -> Verdict {
        let gate = self.breaker.gate(now);
        if let Gate::Open(until) = gate {
            return Verdict::Refuse(Refusal::Broken(until - now));
        }
        if self.paused_until > deadline {
            return Verdict::Refuse(Refusal::Paused(self.paused_until.saturating_sub(now)));
        }
        let found = self.waiting.iter().position(|waiting| *waiting == ticket);
        let place = found.unwrap_or(self.waiting.len());
        let turn = self.turn(limits, place, now);
        if now >= deadline || turn > deadline || (found.is_none() && place >= limits.waiting) {
            return Verdict::Refuse(Refusal::Crowded(turn.saturating_sub(now).max(CROWDED)));
        }
        if found.is_none() {
            self.waiting.push_back(ticket);
        }
        if place > 0 || self.running >= self.most(limits) || gate == Gate::Probing {
            return Verdict::Wait(None);
        }
        if turn > now {
            return Verdict::Wait(Some(turn));
        }
        self.breaker.begin(now);
        self.running += 1;
        self.whole_at = self.whole_at.max(now) + self.each(limits);
        self.next_at = now + self.delay;
        Verdict::Go
    }

    /// The time between two requests by the rate.
    fn each(&self, limits: &HostLimits) -> Duration {
        if self.is_free(limits) { Duration::ZERO } else { Duration::from_secs_f64(1.0 / limits.per_second) }
    }

    /// Requests at once.
    fn most(&self, limits: &HostLimits) -> u32 {
        if self.is_free(limits) { limits.per_own_host } else { limits.per_host }
    }

    /// Whether it is the operator's, and not held to what holds for all.
    fn is_free(&self, limits: &HostLimits) -> bool {
        self.own && !limits.own
    }

    /// When whoever stands at `place` may go, as far as time is what is missing.
    fn turn(&self, limits: &HostLimits, place: usize, now: Duration) -> Duration {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let each = self.each(limits);
        let rate = (self.whole_at.max(now) + each.saturating_mul(place.saturating_add(1)))
            .saturating_sub(each.saturating_mul(limits.burst));
        let spaced = self.next_at.max(now) + self.delay.saturating_mul(place);
        // What is not held to a rate any more does not wait for the one that it was held to.
        let rate = if each.is_zero() { now } else { rate };
        rate.max(spaced).max(self.paused_until).max(now)
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }

    /// Whether forgetting it would let it be asked sooner than it may.
    fn is_remarkable(&self) -> bool {
        !self.breaker.is_clear() || self.paused_until > self.used_at
    }
}

#[cfg(test)]
mod tests;

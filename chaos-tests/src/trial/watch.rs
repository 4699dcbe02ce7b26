//! Looks at the target while it is tried: its events, its books, its memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use eventmesh_actors::{Event, Invariant, KernelMemory, PoolSnapshot};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::invariant::{CONTEXT, Checker};
use crate::target::Target;

/// Events remembered for the context of what callers saw.
const LOG: usize = 20_000;
/// Time between two looks at memory and books.
const EVERY: Duration = Duration::from_millis(50);

pub(super) struct Watcher {
    target: Arc<dyn Target>,
    kernel: KernelMemory,
    began: Instant,
    seen: Seen,
    /// Slots that lost a child without a plan: since when, and how.
    holes: BTreeMap<(Arc<str>, u32), (Instant, &'static str)>,
    restarts: BTreeMap<Arc<str>, VecDeque<Instant>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    checker: Checker,
    /// How long each hole stood open, by what made it, in milliseconds.
    pub(super) recoveries: BTreeMap<String, Vec<f64>>,
    /// Milliseconds since the start, and bytes resident.
    pub(super) memory: Vec<(u64, u64)>,
    pub(super) missed: u64,
    /// The last events, and when since the start.
    log: VecDeque<(Duration, String)>,
}

impl Seen {
    /// What happened before `at`, oldest first.
    pub(super) fn before(&self, at: Duration) -> Vec<String> {
        let end = self.log.partition_point(|(when, _)| *when <= at);
        let begin = end.saturating_sub(CONTEXT);
        self.log.iter().skip(begin).take(end - begin).map(|(when, what)| format!("{when:.3?}: {what}")).collect()
    }

    pub(super) fn judge(&self, checker: &mut Checker) {
        checker.take_over(&self.checker);
    }
}

impl Watcher {
    pub(super) fn new(target: Arc<dyn Target>, kernel: KernelMemory, began: Instant) -> Self {
        Self { target, kernel, began, seen: Seen::default(), holes: BTreeMap::new(), restarts: BTreeMap::new() }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Seen {
        let mut events = self.target.events();
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let stopped = async {
                // A sender that is gone has stopped, too.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            tokio::select! {
                biased;
                () = stopped => break,
                event = events.recv() => match event {
                    Some(event) => self.told(&event),
                    None => break,
                },
                _ = looks.tick() => self.look(),
            }
        }
        self.look();
        self.seen.missed = events.missed();
        self.seen
    }

    fn told(&mut self, event: &Event) {
        let now = Instant::now();
        let at = now - self.began;
        self.seen.checker.happened(|| format!("{at:.3?}: {event:?}"));
        if self.seen.log.len() >= LOG {
            self.seen.log.pop_front();
        }
        self.seen.log.push_back((at, format!("{event:?}")));
        if let Event::ChildEnded { child, exit } = event
            && !exit.is_planned()
        {
            self.holes.entry((child.pool.clone(), child.slot)).or_insert((now, exit.label()));
        }
        if let Event::ChildStarted { child, .. } = event
            && let Some((since, cause)) = self.holes.remove(&(child.pool.clone(), child.slot))
        {
            let took = (now - since).as_secs_f64() * 1e3;
            self.seen.recoveries.entry(cause.to_owned()).or_default().push(took);
        }
        if let Event::RestartScheduled { child, .. } = event {
            self.restarts.entry(child.pool.clone()).or_default().push_back(now);
            self.look_at_restarts(&child.pool, now);
        }
        if let Event::PoolProbing { pool } = event {
            // A new life, with a budget of its own.
            self.restarts.remove(pool);
        }
        if let Event::InvariantViolated { invariant, what, .. } = event {
            let known = Invariant::ALL.into_iter().find(|known| known.label() == *invariant);
            self.seen.checker.check(known.unwrap_or(Invariant::I2), false, || format!("the engine itself saw: {what}"));
        }
    }

    /// The target's own bound is not known here; what is known is that past it the pool is spent, and says so.
    fn look_at_restarts(&mut self, pool: &Arc<str>, now: Instant) {
        let tree = self.target.tree();
        let Some(snapshot) = tree.pool(pool) else { return };
        let (allowed, period) = (snapshot.restarts_allowed.intensity as usize, snapshot.restarts_allowed.period);
        let Some(recent) = self.restarts.get_mut(pool) else { return };
        // Told a moment after they were counted: a margin at both ends of the window.
        recent.retain(|then| now - *then + Duration::from_millis(100) < period);
        let count = recent.len();
        self.seen
            .checker
            .check(Invariant::I5, count <= allowed, || format!("{pool}: {count} restarts within {period:?}, {allowed} allowed"));
    }

    fn look(&mut self) {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(resident) = self.kernel.resident() {
            self.seen.memory.push((at, resident));
        }
        let tree = self.target.tree();
        for pool in tree.pools() {
            self.look_at_books(pool);
        }
    }

    fn look_at_books(&mut self, pool: &PoolSnapshot) {
        let checker = &mut self.seen.checker;
        let occupied = |state: &str| matches!(state, "backoff" | "starting" | "idle" | "leased");
        let standing = pool.children.iter().filter(|child| occupied(child.state)).count();
        // One more may stand during a recycle.
        checker.check(Invariant::I3, standing <= pool.size as usize + 1, || format!("{standing} children: {pool:?}"));
        checker.check(Invariant::I4, pool.admitted_bytes <= pool.max_bytes, || format!("{pool:?}"));
        let broken: u64 = pool.counts.violations.values().sum();
        checker.check(Invariant::I2, broken == 0, || format!("the pool's own counts: {:?}", pool.counts.violations));
    }
}

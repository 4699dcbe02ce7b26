//! What a pool is made from: sizes, bounds and policies, each with a sane default and the reason for it.

use std::sync::Arc;
use std::time::Duration;

use crate::leak::LeakPolicy;
use crate::memory::MemoryProbe;
use crate::quarantine::QuarantinePolicy;
use crate::recycle::RecycleLimits;
use crate::restart::{BackoffSpec, RestartIntensity, RestartPolicy};
use crate::watchdog::HangPolicy;

/// Sizes, bounds and policies of one pool.
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// The pool's name, the first part of its children's ids.
    pub name: Arc<str>,
    /// Children kept. At least 1. During a recycle one more may exist.
    pub size: u32,
    /// Children kept when memory is short. Default 1.
    pub min_size: u32,
    /// Children that batch work leaves to callers that somebody waits for; one is left to it in any case. Default 1: an
    /// answer that somebody waits for then waits for no batch work to end, unless there is but one child.
    pub reserved: u32,
    /// Callers that may wait. Default 1,024: more than any deadline can serve, and small.
    pub max_waiting: usize,
    /// Bytes of all jobs waiting and running. Default 256 MiB.
    pub max_bytes: u64,
    /// When healthy children are replaced. Default never.
    pub recycle: RecycleLimits,
    /// Restarts allowed before the pool gives up, of all causes together and of single ones. Default 5 in 10 s.
    pub restarts: RestartPolicy,
    /// Delays before restarts. Default 10 ms up to 1 s, forgiven after 5 min.
    pub backoff: BackoffSpec,
    /// How long a worker may take to start. Default 30 s.
    pub start_timeout: Duration,
    /// How long a worker may take to stop before it is dropped. Default 5 s.
    pub stop_grace: Duration,
    /// How long past its deadline a job may take to end by itself, and then to be cancelled. Default 100 ms
    /// each: a worker that knows its deadline ends within one tick of its own clock.
    pub cancel_grace: Duration,
    /// When a job is taken for hanging before its deadline. Default never.
    pub hang: HangPolicy,
    /// When an input is taken for poison. Default 3 children within 10 min, refused for 10 min.
    pub quarantine: QuarantinePolicy,
    /// How leaking children are found and recycled. Default not at all.
    pub leak: Option<LeakPolicy>,
    /// What all children hold together, to see whether a recycle gave memory back. Default none.
    pub memory: Option<Arc<dyn MemoryProbe>>,
    /// How often children are looked at. Default every second, or four times within the shortest budget of a phase.
    pub tick: Duration,
    /// Seed of all jitter. Default 0; a fixed seed makes the policies repeat themselves exactly.
    pub seed: u64,
}

impl PoolSpec {
    /// A pool called `name` of `size` children, with the defaults above.
    #[must_use]
    pub fn new(name: &str, size: u32) -> Self {
        Self {
            name: name.into(),
            size: size.max(1),
            min_size: 1,
            reserved: 1,
            max_waiting: 1024,
            max_bytes: 256 << 20,
            recycle: RecycleLimits::NEVER,
            restarts: RestartPolicy::any(5, Duration::from_secs(10)),
            backoff: BackoffSpec {
                base: Duration::from_millis(10),
                cap: Duration::from_secs(1),
                reset_after: Duration::from_secs(300),
            },
            start_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
            cancel_grace: Duration::from_millis(100),
            hang: HangPolicy::DEADLINE_ONLY,
            quarantine: QuarantinePolicy::default(),
            leak: None,
            memory: None,
            tick: Duration::from_secs(1),
            seed: 0,
        }
    }

    /// The time between two probes of a pool that had given up: so long that they stay within the budget.
    pub(crate) fn probe_every(&self) -> Duration {
        let every = |allowed: &RestartIntensity| allowed.period / allowed.intensity.max(1);
        let bounds = self.restarts.by_cause.values().chain([&self.restarts.any]);
        bounds.map(every).max().unwrap_or_default().max(self.backoff.base)
    }

    /// The time between two looks at the children.
    pub(crate) fn tick_every(&self) -> Duration {
        let shortest = self.hang.shortest().map_or(self.tick, |budget| (budget / 4).min(self.tick));
        shortest.max(Duration::from_millis(5))
    }
}

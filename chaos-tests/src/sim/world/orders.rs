//! What the books order, carried out.

use eventmesh_actors::sans_io::{Key, NodeKey, PoolEffect, SupervisorEffect};
use eventmesh_actors::{Event, Exit, Invariant};

use super::{Happening, Job, KILLED, STUCK_MS, World, millis};
use crate::plan::FaultKind;

impl World {
    pub(super) fn order_all(&mut self, pool: usize, effects: Vec<PoolEffect<Key, u32>>) {
        self.orders.extend(effects.into_iter().map(|effect| (pool, effect)));
    }

    pub(super) fn carry_out(&mut self) {
        loop {
            if let Some((pool, effect)) = self.orders.pop_front() {
                self.carry_out_of_pool(pool, effect);
            } else if let Some(effect) = self.root_orders.pop_front() {
                self.carry_out_of_root(effect);
            } else {
                return;
            }
        }
    }

    pub(super) fn carry_out_of_pool(&mut self, pool: usize, effect: PoolEffect<Key, u32>) {
        let life = self.pools[pool].life;
        match effect {
            PoolEffect::Start { key, delay } => {
                self.pools[pool].starting += 1;
                let slow = if self.is_on(FaultKind::SlowStart) { 500 } else { 0 };
                let takes = millis(delay) + self.rng.u64(0..=self.setting.start_ms) + slow;
                // Whether it fails is known only when it is tried.
                self.after(takes, Happening::StartEnd { pool, life, key, fails: false });
            }
            PoolEffect::Stop { handle } => {
                let takes = self.rng.u64(0..20);
                if let Some(child) = self.pools[pool].children.get_mut(&handle) {
                    child.stopping = true;
                    let busy = child.job.is_some();
                    self.checker.check(Invariant::I10, !busy, || format!("{handle:?} was told to stop in the middle of a job"));
                    self.after(takes, Happening::Gone { pool, life, key: handle, exit: KILLED });
                }
            }
            PoolEffect::Kill { handle } => {
                let stuck = self.rng.u64(1..STUCK_MS);
                if let Some(child) = self.pools[pool].children.get_mut(&handle)
                    && !child.dying
                {
                    child.dying = true;
                    let takes = if matches!(child.job, Some((Job::Stuck, ..))) { stuck } else { 1 };
                    self.after(takes, Happening::Gone { pool, life, key: handle, exit: KILLED });
                }
            }
            PoolEffect::Cancel { handle, job } => self.cancel(pool, handle, Some(job), "stalled"),
            PoolEffect::Interrupt { handle, job: number } => {
                // Half of the workers that cannot be cancelled can be interrupted.
                let helps = self.rng.bool();
                if helps
                    && let Some(child) = self.pools[pool].children.get_mut(&handle)
                    && let Some((job @ Job::Stuck, ..)) = &mut child.job
                {
                    *job = Job::Hang;
                    self.cancel(pool, handle, Some(number), "stalled");
                }
            }
            PoolEffect::Grant { token, grant } => {
                self.callers[token as usize].waiting = None;
                self.begin(pool, token, grant);
            }
            PoolEffect::Refuse { token, error } => {
                self.callers[token as usize].waiting = None;
                self.refused(token, &error);
            }
            PoolEffect::Tell(event) => self.told(pool, &event),
            PoolEffect::Escalate { cause } => self.pool_ends(pool, Exit::Escalated(cause.to_string())),
            PoolEffect::Drained => self.pool_ends(pool, Exit::Killed),
        }
    }

    pub(super) fn told(&mut self, pool: usize, event: &Event) {
        self.checker.happened(|| format!("{} ms: {event:?}", self.now));
        if let Event::RestartScheduled { .. } = event {
            let now = self.now;
            let pool = &mut self.pools[pool];
            let (intensity, period) = pool.allowed;
            pool.restarts.retain(|then| now - then < period);
            pool.restarts.push_back(now);
            let count = pool.restarts.len();
            self.checker.check(Invariant::I5, count <= intensity, || {
                format!("{}: {count} restarts within {period} ms, {intensity} allowed", pool.name)
            });
        }
        if let Event::InvariantViolated { invariant, what, .. } = event {
            self.noticed += u64::from(*invariant == Invariant::I1.label());
            let known = Invariant::ALL.into_iter().find(|known| known.label() == *invariant);
            self.checker.check(known.unwrap_or(Invariant::I2), false, || format!("the engine itself saw: {what}"));
        }
    }

    pub(super) fn carry_out_of_root(&mut self, effect: SupervisorEffect) {
        match effect {
            SupervisorEffect::Start { key, delay } => {
                let now = self.moment();
                self.pools[key.child as usize].core.back_in(now, delay);
                self.after(millis(delay) + 1, Happening::NodeUp(key.child, key.generation));
            }
            SupervisorEffect::Stop { key, within } => {
                let (now, pool) = (self.moment(), key.child as usize);
                let effects = self.pools[pool].core.drain(now);
                self.order_all(pool, effects);
                self.after(millis(within), Happening::NodeOverdue(key.child, key.generation));
            }
            SupervisorEffect::Kill { key } => {
                let pool = key.child as usize;
                if self.pools[pool].open && self.pools[pool].life == key.generation {
                    self.pool_ends(pool, Exit::Killed);
                } else {
                    let effects = self.root.ended(self.moment(), key, Exit::Killed);
                    self.root_orders.extend(effects);
                }
            }
            SupervisorEffect::Finish(exit) => {
                self.gave_up |= matches!(exit, Exit::Escalated(_));
                self.down_at = Some(self.now);
            }
            SupervisorEffect::Tell(Event::NodeRestarting { .. }) => {
                let allowed = self.setting.root_restarts.any;
                let (now, period) = (self.now, millis(allowed.period));
                self.root_restarts.retain(|then| now - then < period);
                self.root_restarts.push_back(now);
                let count = self.root_restarts.len();
                self.checker.check(Invariant::I5, count <= allowed.intensity as usize, || {
                    format!("the root: {count} restarts within {period} ms, {} allowed", allowed.intensity)
                });
            }
            SupervisorEffect::Tell(_) | SupervisorEffect::Forget { .. } | SupervisorEffect::Up => {}
        }
    }

    /// A pool's actor ends, and its children with it.
    pub(super) fn pool_ends(&mut self, pool: usize, exit: Exit) {
        if !self.pools[pool].open {
            return;
        }
        self.pools[pool].open = false;
        self.pools[pool].starting = 0;
        let effects = self.pools[pool].core.close();
        self.order_all(pool, effects);
        let life = self.pools[pool].life;
        let keys: Vec<Key> = self.pools[pool].children.keys().copied().collect();
        for key in keys {
            let stuck = self.rng.u64(1..STUCK_MS);
            if let Some(child) = self.pools[pool].children.get_mut(&key)
                && !child.dying
            {
                child.dying = true;
                let takes = if matches!(child.job, Some((Job::Stuck, ..))) { stuck } else { 1 };
                self.after(takes, Happening::Gone { pool, life, key, exit: KILLED });
            }
        }
        let node = NodeKey { child: u32::try_from(pool).unwrap_or(0), generation: life };
        let effects = self.root.ended(self.moment(), node, exit);
        self.root_orders.extend(effects);
    }
}

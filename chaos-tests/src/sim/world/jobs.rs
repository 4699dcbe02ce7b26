//! Callers and their jobs.

use std::time::Duration;

use eventmesh_actors::sans_io::{Ask, Grant, Key, Lend, Outcome};
use eventmesh_actors::{Exit, Invariant, LeaseError, Moment, Usage};

use super::{FORGOTTEN_MS, Happening, Job, PANICKED, SLACK_MS, World};
use crate::plan::FaultKind;

impl World {
    pub(super) fn arrive(&mut self, number: u32) {
        let (now, caller) = (self.moment(), &self.callers[number as usize]);
        let pool = caller.pool;
        let ask = Ask {
            bytes: caller.bytes,
            deadline: Moment::at(Duration::from_millis(caller.deadline)),
            priority: caller.priority,
            key: caller.key,
        };
        let deadline = caller.deadline;
        match self.pools[pool].core.lend(now, ask, || number) {
            Lend::Granted(grant) => {
                self.callers[number as usize].accepted = true;
                self.begin(pool, number, grant);
            }
            Lend::Queued(place) => {
                self.callers[number as usize].accepted = true;
                self.callers[number as usize].waiting = Some(place);
                self.at(deadline, Happening::Patience(number));
            }
            Lend::Refused(error) => self.refused(number, &error),
        }
    }

    pub(super) fn refused(&mut self, caller: u32, error: &LeaseError) {
        let comes_back = match error {
            LeaseError::TooLarge { .. } | LeaseError::Deadline { .. } | LeaseError::Closed { .. } => true,
            LeaseError::QueueFull { .. }
            | LeaseError::BytesFull { .. }
            | LeaseError::Unavailable { .. }
            | LeaseError::Pressed { .. }
            | LeaseError::Quarantined { .. } => error.retry_after().is_some_and(|delay| !delay.is_zero()),
        };
        self.checker.check(Invariant::I11, comes_back, || format!("caller {caller} was refused without a time: {error}"));
        self.answer(caller, "refused");
    }

    pub(super) fn lose_patience(&mut self, number: u32) {
        if self.loses_timers() {
            return;
        }
        let caller = &self.callers[number as usize];
        let (pool, Some(place)) = (caller.pool, caller.waiting) else { return };
        self.pools[pool].core.cancel_wait(place, true);
        self.callers[number as usize].waiting = None;
        self.answer(number, "deadline");
    }

    pub(super) fn answer(&mut self, number: u32, answer: &'static str) {
        let caller = &mut self.callers[number as usize];
        let first = caller.answered.is_none();
        if first {
            caller.answered = Some(answer);
            *self.answers.entry(answer.to_owned()).or_default() += 1;
        }
        let late = self.now.saturating_sub(caller.deadline + self.pools[caller.pool].graces_ms);
        self.forgotten += u64::from(first && late > FORGOTTEN_MS);
        self.checker.check(Invariant::I2, first, || format!("caller {number} was answered again, with {answer}"));
        self.checker.check(Invariant::I1, late <= SLACK_MS, || format!("caller {number} was answered {late} ms late"));
    }

    /// The caller has a child, and gives it a job.
    pub(super) fn begin(&mut self, pool: usize, number: u32, grant: Grant<Key>) {
        let caller = &self.callers[number as usize];
        let (deadline, poisonous) = (caller.deadline, caller.key == Some(self.poison) && self.is_on(FaultKind::Poison));
        let kinds = [
            (FaultKind::Panic, Job::Panic),
            (FaultKind::Fail, Job::Fail),
            (FaultKind::Break, Job::Break),
            (FaultKind::Hang, if self.rng.bool() { Job::Hang } else { Job::Stuck }),
            (FaultKind::Sicken, Job::Sicken),
            (FaultKind::Grow, Job::Grow),
        ];
        let on: Vec<Job> = kinds.iter().filter(|(kind, _)| self.is_on(*kind)).map(|(_, job)| *job).collect();
        let job = match self.rng.choice(on) {
            _ if poisonous => Job::Panic,
            Some(job) if self.rng.f64() < 0.5 => job,
            Some(_) | None => Job::Fine,
        };
        let (key, lease) = (grant.key, grant.lease);
        let takes = self.rng.u64(0..=self.setting.job_ms);
        let leaves = self.is_on(FaultKind::CallersLeave) && self.rng.f64() < 0.3;
        let grace = self.pools[pool].graces_ms / 2;
        let Some(child) = self.pools[pool].children.get_mut(&key) else {
            self.checker.check(Invariant::I3, false, || format!("{key:?} was lent and is not there"));
            return;
        };
        if child.dying || child.job.is_some() {
            let busy = child.job.is_some();
            self.checker.check(Invariant::I3, !busy, || format!("{key:?} was lent twice"));
            // The message cannot be delivered, and the lease comes back at once.
            let now = self.moment();
            let effects = self.pools[pool].core.check_in(now, &grant, Outcome::Lost);
            self.order_all(pool, effects);
            self.answer(number, "child_ended");
            return;
        }
        child.job = Some((job, grant, Some(number)));
        let starts = self.now.max(child.frozen_until);
        if !matches!(job, Job::Hang | Job::Stuck) {
            self.at(starts + takes, Happening::JobEnd { pool, key, lease });
        }
        self.at(deadline + grace, Happening::CancelDue { pool, key, lease });
        self.at(deadline + 2 * grace, Happening::CondemnDue { pool, key, lease });
        if leaves {
            // The caller goes: its own answer is that it does not want one. The child finds out in a moment.
            self.answer(number, "left");
            if let Some(child) = self.pools[pool].children.get_mut(&key)
                && let Some((_, _, caller)) = &mut child.job
            {
                *caller = None;
            }
            self.cancel(pool, key, Some(lease), "left");
        }
    }

    pub(super) fn usage(&mut self, pool: usize, key: Key, job: Job) -> Option<Usage> {
        let leaks = self.is_on(FaultKind::Leak);
        let child = self.pools[pool].children.get_mut(&key)?;
        child.jobs += 1;
        child.bytes += if leaks { 60 } else { 0 } + if job == Job::Grow { 900 } else { 0 };
        Some(Usage { bytes: child.bytes, last_job_bytes: 1, healthy: job != Job::Sicken })
    }

    /// A job comes to its own end.
    pub(super) fn job_ends(&mut self, pool: usize, key: Key, lease: u64) {
        let now = self.moment();
        let Some(child) = self.pools[pool].children.get_mut(&key) else { return };
        if child.dying || child.job.as_ref().is_none_or(|(_, grant, _)| grant.lease != lease) {
            return;
        }
        if child.frozen_until > self.now {
            let again = child.frozen_until;
            self.at(again, Happening::JobEnd { pool, key, lease });
            return;
        }
        let Some((job, grant, caller)) = child.job.take() else { return };
        if job == Job::Panic {
            // It dies with the job in its hands.
            child.job = Some((job, grant, caller));
            child.dying = true;
            let life = self.pools[pool].life;
            self.child_goes(pool, life, key, PANICKED);
            return;
        }
        let outcome = match job {
            Job::Break => Outcome::Broken("on purpose".to_owned()),
            Job::Fine | Job::Fail | Job::Panic | Job::Hang | Job::Stuck | Job::Sicken | Job::Grow => {
                match self.usage(pool, key, job) {
                    Some(usage) => Outcome::Done { jobs: 1, usage },
                    None => Outcome::Lost,
                }
            }
        };
        if let Some(caller) = caller {
            let answer = match job {
                Job::Fail => "job_failed",
                Job::Break => "worker_failed",
                Job::Fine | Job::Panic | Job::Hang | Job::Stuck | Job::Sicken | Job::Grow => "output",
            };
            self.answer(caller, answer);
        }
        let effects = self.pools[pool].core.check_in(now, &grant, outcome);
        self.order_all(pool, effects);
    }

    /// The caller gives its child up: it is told that it hung, and leaves.
    pub(super) fn give_up(&mut self, pool: usize, key: Key, lease: u64) {
        if self.loses_timers() {
            return;
        }
        let Some(child) = self.pools[pool].children.get_mut(&key) else { return };
        let Some((_, grant, caller)) = &mut child.job else { return };
        if grant.lease != lease {
            return;
        }
        if let Some(caller) = caller.take() {
            self.answer(caller, "hung");
        }
        let now = self.moment();
        let effects = self.pools[pool].core.condemn(now, key, lease, Exit::Hung);
        self.order_all(pool, effects);
    }

    /// The job's future is dropped, if it can be.
    pub(super) fn cancel(&mut self, pool: usize, key: Key, lease: Option<u64>, answer: &'static str) {
        let now = self.moment();
        let Some(child) = self.pools[pool].children.get_mut(&key) else { return };
        if child.dying || child.frozen_until > self.now {
            return;
        }
        let droppable = child
            .job
            .as_ref()
            .is_some_and(|(job, grant, _)| *job != Job::Stuck && lease.is_none_or(|lease| grant.lease == lease));
        let Some((_, grant, caller)) = child.job.take_if(|_| droppable) else { return };
        if let Some(caller) = caller {
            self.answer(caller, answer);
        }
        if let Some(usage) = self.usage(pool, key, Job::Fine) {
            let effects = self.pools[pool].core.check_in(now, &grant, Outcome::Done { jobs: 1, usage });
            self.order_all(pool, effects);
        }
    }
}

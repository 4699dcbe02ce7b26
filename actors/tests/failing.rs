//! A worker that can go bad in every way there is: the whole failure alphabet, as jobs.

#![expect(dead_code, reason = "each test file uses a part of the alphabet")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use eventmesh_actors::{ChildId, Failure, Progress, Usage, Worker};

/// What the worker is to do.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Echo(u64),
    SlowEcho(u64, Duration),
    EchoThenSicken(u64),
    FailInput,
    FailWorker,
    Panic,
    /// Never ends, but can be cancelled.
    Hang,
    /// Says that it holds so many bytes, and goes on for ever.
    Grow(u64),
    /// Blocks the thread it runs on until the test lets go; cannot be cancelled.
    Spin(Grip),
}

/// Holds a spinning job in its spin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grip(Arc<AtomicBool>);

impl Grip {
    pub(crate) fn let_go(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How starts go wrong, as counters that the test sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) failing_starts: Arc<AtomicU32>,
    pub(crate) panicking_starts: Arc<AtomicU32>,
    /// Starts take for ever.
    pub(crate) slow_starts: Arc<AtomicBool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnPurpose;

impl std::fmt::Display for OnPurpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("on purpose")
    }
}

impl std::error::Error for OnPurpose {}

#[derive(Debug)]
pub(crate) struct Failing {
    healthy: bool,
}

fn take_one(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Worker for Failing {
    type Spec = Script;
    type Job = Job;
    type Output = u64;
    type Error = OnPurpose;

    async fn start(script: &Script, _child: &ChildId) -> Result<Self, OnPurpose> {
        if take_one(&script.failing_starts) {
            return Err(OnPurpose);
        }
        if script.slow_starts.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        assert!(!take_one(&script.panicking_starts), "panic on purpose");
        Ok(Self { healthy: true })
    }

    async fn run(&mut self, job: Job, progress: &Progress) -> Result<u64, Failure<OnPurpose>> {
        match job {
            Job::Echo(number) => Ok(number),
            Job::SlowEcho(number, time) => {
                tokio::time::sleep(time).await;
                Ok(number)
            }
            Job::EchoThenSicken(number) => {
                self.healthy = false;
                Ok(number)
            }
            Job::FailInput => Err(Failure::Job(OnPurpose)),
            Job::FailWorker => Err(Failure::Worker(OnPurpose)),
            Job::Panic => panic!("panic on purpose"),
            Job::Hang => std::future::pending().await,
            Job::Grow(bytes) => {
                progress.holds(bytes);
                std::future::pending().await
            }
            Job::Spin(grip) => {
                while !grip.0.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
                Ok(0)
            }
        }
    }

    fn usage(&self) -> Usage {
        Usage { healthy: self.healthy, ..Usage::NONE }
    }

    async fn stop(self) {}
}

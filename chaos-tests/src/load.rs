//! Load that does not wait: calls are made at times drawn from a seed, whether or not those before have been answered.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::target::{Answer, Target};

/// How calls are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Draws the times between calls.
    pub seed: u64,
    /// Calls in a second.
    pub rate: f64,
    /// How long each may take.
    pub within: Duration,
    /// Calls at work at once, at most; past that, calls are left out and counted.
    pub at_once: usize,
}

/// One call, from outside.
#[derive(Clone, Debug)]
pub struct Called {
    /// When, since the load began.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// What came of it; `None` if it panicked, or was never answered.
    pub answer: Option<Answer>,
}

/// All calls of a load.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Those that were made.
    pub made: Vec<Called>,
    /// Those that were left out, because too many were at work.
    pub left_out: u64,
}

impl Load {
    /// Makes calls until `stop`, then waits for the answers of those at work, as long as they may take.
    pub async fn run(self, target: Arc<dyn Target>, stop: watch::Receiver<bool>) -> Calls {
        let mut made = Vec::new();
        let left_out = self.each(target, stop, |call| made.push(call)).await;
        made.sort_by_key(|call: &Called| call.at);
        Calls { made, left_out }
    }

    /// The same, but nothing is kept: `told` gets each call as it ends. Returns how many were left out.
    pub async fn each(self, target: Arc<dyn Target>, mut stop: watch::Receiver<bool>, mut told: impl FnMut(Called)) -> u64 {
        let mut rng = Rng::with_seed(self.seed);
        let (began, mut next) = (Instant::now(), Instant::now());
        let (mut at_work, mut left_out, mut number) = (JoinSet::new(), 0, 0u64);
        // One that panicked was never answered.
        let ended = |done: Result<Called, JoinError>| {
            done.unwrap_or_else(|_| Called { at: began.elapsed(), took: Duration::ZERO, answer: None })
        };
        let longest = self.within + target.grace() + OVERTIME;
        loop {
            // Times between independent calls are distributed exponentially.
            next += Duration::from_secs_f64((-(1.0 - rng.f64()).ln() / self.rate.max(0.001)).min(10.0));
            let stopped = async {
                // A sender that is gone has stopped, too.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            tokio::select! {
                biased;
                () = stopped => break,
                () = sleep_until(next) => {}
            }
            while let Some(done) = at_work.try_join_next() {
                told(ended(done));
            }
            if at_work.len() >= self.at_once {
                left_out += 1;
                continue;
            }
            let target = Arc::clone(&target);
            at_work.spawn(async move {
                // From when it was due, not from when a starved machine came to it.
                let asked = next;
                let answer = tokio::time::timeout(longest, target.call(number, self.within)).await;
                Called { at: asked - began, took: asked.elapsed(), answer: answer.ok() }
            });
            number += 1;
        }
        while let Some(done) = at_work.join_next().await {
            told(ended(done));
        }
        left_out
    }
}

/// How much later than late a call is waited for before it counts as never answered.
const OVERTIME: Duration = Duration::from_secs(10);

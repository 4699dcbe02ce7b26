//! One series of samples, and the test that is made on it.

use std::collections::VecDeque;

use super::slope::{Slope, median};

/// How one series is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesPolicy {
    /// What is skipped at first, in units of x.
    pub warm_up: f64,
    /// Samples in a block; a block counts by its least one.
    pub block: u32,
    /// Blocks that a level needs before it is judged, and those that it keeps at most.
    pub blocks: (usize, usize),
    /// Growth within a window below this is no leak, in bytes. Half of it must lie above all that was before the window.
    pub floor: f64,
    /// Nor is growth below so many times the noise.
    pub noise: f64,
    /// The share of the growth that must have come in the last half of the window; a warm-up slows down.
    pub last_half: f64,
}

impl SeriesPolicy {
    /// By the clock, one sample in ten seconds.
    pub const BY_HOUR: Self =
        Self { warm_up: 4.0 / 60.0, block: 6, blocks: (20, 32), floor: 10.0 * 1024.0 * 1024.0, noise: 4.0, last_half: 0.3 };

    /// By the number of jobs, one sample after each.
    pub const BY_JOB: Self =
        Self { warm_up: 300.0, block: 60, blocks: (8, 32), floor: 2.0 * 1024.0 * 1024.0, noise: 7.0, last_half: 0.25 };
}

/// Half a confidence interval of 99 %, in standard deviations.
const CONFIDENCE: f64 = 2.576;
/// Noise is fast if a step between two samples has at least this share of its variance.
const FAST: f64 = 0.15;
/// How many times the floor a window must have grown if the noise is slow.
const SLOW: f64 = 1.35;
/// Levels of the pyramid: the highest sees blocks 256 times as long as the lowest.
const LEVELS: usize = 9;
/// Blocks of the lowest level that the noise is estimated from.
const MEMORY: usize = 256;

#[derive(Clone, Debug, Default)]
struct Level {
    blocks: VecDeque<(f64, f64)>,
    /// The most that any block had that is no longer remembered.
    record: Option<f64>,
    /// The first block of a pair for the level above.
    half: Option<(f64, f64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Series {
    policy: SeriesPolicy,
    first: Option<f64>,
    /// The block that is being filled: samples, the sum of their x, their least y.
    open: (u32, f64, f64),
    levels: Vec<Level>,
    memory: VecDeque<(f64, f64)>,
    steps: Steps,
}

/// How far samples are from one to the next: the last one, how many steps there were, the mean of their squares.
#[derive(Clone, Debug, Default)]
struct Steps {
    last: Option<f64>,
    count: f64,
    mean_square: f64,
}

impl Steps {
    fn push(&mut self, y: f64) {
        if let Some(last) = self.last.replace(y) {
            self.count += 1.0;
            self.mean_square += ((y - last).powi(2) - self.mean_square) / self.count;
        }
    }
}

impl Series {
    pub(super) fn new(policy: SeriesPolicy) -> Self {
        let levels = vec![Level::default(); LEVELS];
        Self { policy, first: None, open: (0, 0.0, f64::INFINITY), levels, memory: VecDeque::new(), steps: Steps::default() }
    }

    /// Takes a sample; returns the slope and the growth within its window if that is a leak.
    pub(super) fn push(&mut self, x: f64, y: f64) -> Option<(Slope, f64)> {
        let first = *self.first.get_or_insert(x);
        if x - first < self.policy.warm_up {
            return None;
        }
        self.steps.push(y);
        self.open = (self.open.0 + 1, self.open.1 + x, self.open.2.min(y));
        if self.open.0 < self.policy.block.max(1) {
            return None;
        }
        let (count, sum, least) = std::mem::replace(&mut self.open, (0, 0.0, f64::INFINITY));
        let mut block = (sum / f64::from(count), least);
        remember(&mut self.memory, block, MEMORY);
        for number in 0..self.levels.len() {
            let level = &mut self.levels[number];
            if let Some((_, gone)) = remember(&mut level.blocks, block, self.policy.blocks.1.max(3)) {
                level.record = Some(level.record.map_or(gone, |record| record.max(gone)));
            }
            if let Some(leak) = self.judge(number) {
                return Some(leak);
            }
            let level = &mut self.levels[number];
            match level.half.take() {
                None => {
                    level.half = Some(block);
                    return None;
                }
                Some(half) => block = (f64::midpoint(half.0, block.0), half.1.min(block.1)),
            }
        }
        None
    }

    fn judge(&self, number: usize) -> Option<(Slope, f64)> {
        let points: Vec<(f64, f64)> = self.levels[number].blocks.iter().copied().collect();
        if points.len() < self.policy.blocks.0.max(4) {
            return None;
        }
        let window = points[points.len() - 1].0 - points[0].0;
        let slope = Slope::of(&points, CONFIDENCE)?;
        let grown = slope.slope * window;
        if slope.low <= 0.0 || grown < self.policy.floor {
            return None;
        }
        // Slow noise moves little from one sample to the next, and far in the end.
        let noise = self.noise(slope.slope);
        let slow = self.steps.mean_square / 2.0 < FAST * noise * noise;
        if slow && grown < self.policy.floor * SLOW {
            return None;
        }
        // What comes back from a dip is no growth: it must have passed what it ever was.
        let mut latest: Vec<f64> = points[points.len() - (points.len() / 4).max(2)..].iter().map(|point| point.1).collect();
        latest.sort_by(f64::total_cmp);
        if self.levels[number].record.is_some_and(|record| median(&latest) < record + self.policy.floor / 2.0) {
            return None;
        }
        let last_half = &points[points.len() / 2..];
        let half_window = window - (last_half[0].0 - points[0].0);
        let grown_lately = Slope::of(last_half, CONFIDENCE)?.slope * half_window;
        let steady = grown_lately >= self.policy.last_half * grown;
        (steady && grown >= self.policy.noise * noise).then_some((slope, grown))
    }

    /// The standard deviation of blocks around a line of this slope, as robust as its median.
    fn noise(&self, slope: f64) -> f64 {
        let mut levelled: Vec<f64> = self.memory.iter().map(|(x, y)| y - slope * x).collect();
        levelled.sort_by(f64::total_cmp);
        if levelled.is_empty() {
            return 0.0;
        }
        let middle = median(&levelled);
        let mut distances: Vec<f64> = levelled.iter().map(|value| (value - middle).abs()).collect();
        distances.sort_by(f64::total_cmp);
        // The median distance of normal noise is 0.6745 of its standard deviation.
        median(&distances) / 0.6745
    }
}

fn remember(blocks: &mut VecDeque<(f64, f64)>, block: (f64, f64), most: usize) -> Option<(f64, f64)> {
    let gone = if blocks.len() >= most { blocks.pop_front() } else { None };
    blocks.push_back(block);
    gone
}

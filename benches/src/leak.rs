//! `leak`: false alarms in 24 simulated hours, and the time it takes to find a leak; and a real worker that leaks.
//!
//! The series are those that trend tests are known to fail on: white noise, autocorrelated noise, a warm-up. Samples come
//! every ten seconds with a standard deviation of 3 MiB; by job, once a second with 0.25 MiB, as live bytes right after a
//! job have. The detector runs all the time, so 24 hours are thousands of tests.

use std::time::Duration;

use eventmesh_actors::{Leak, LeakAxis, LeakDetector, LeakPolicy};
use fastrand::Rng;
use serde_json::json;

use crate::Error;
use crate::report::Report;

const MIB: f64 = 1024.0 * 1024.0;
const HOURS: f64 = 24.0;
const LEAKS: [f64; 5] = [2.0, 3.0, 5.0, 12.0, 30.0];
/// Runs of each leak-free series by the clock, of each by job, and of each leak.
const FREE: u64 = 1_000;
const FREE_BY_JOB: u64 = 400;
const LEAKING: u64 = 200;

/// What a simulated child's memory is like, in MiB.
#[derive(Clone, Copy)]
struct Noise {
    name: &'static str,
    /// How much of a sample's deviation is left in the next.
    phi: f64,
    deviation: f64,
    warm_up: f64,
    /// Hours until a warm-up has come to two thirds.
    tau: f64,
    /// Seconds between samples.
    every: f64,
    /// The axis that its alarms are counted on.
    axis: LeakAxis,
}

const fn by_hour(name: &'static str, phi: f64, warm_up: f64) -> Noise {
    Noise { name, phi, deviation: 3.0, warm_up, tau: 0.05, every: 10.0, axis: LeakAxis::Hour }
}

const fn by_job(name: &'static str, phi: f64, warm_up: f64) -> Noise {
    Noise { name, phi, deviation: 0.25, warm_up, tau: 0.05, every: 1.0, axis: LeakAxis::Job }
}

const SERIES: [Noise; 7] = [
    by_hour("white", 0.0, 0.0),
    by_hour("phi 0.9", 0.9, 0.0),
    by_hour("phi 0.98", 0.98, 0.0),
    by_hour("phi 0.9, warm-up 10 MiB", 0.9, 10.0),
    by_job("by job, white", 0.0, 0.0),
    by_job("by job, phi 0.9", 0.9, 0.0),
    by_job("by job, phi 0.9, warm-up 10 MiB", 0.9, 10.0),
];

/// A standard normal number.
fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// One child's life; the hour of the first alarm on the series' own axis.
fn alarm(noise: &Noise, leak: f64, seed: u64) -> Option<(f64, Leak)> {
    let mut rng = Rng::with_seed(seed);
    let mut detector = LeakDetector::new(LeakPolicy::default());
    let fresh = noise.deviation * (1.0 - noise.phi * noise.phi).sqrt();
    let mut deviation = noise.deviation * normal(&mut rng);
    let mut step = 0u32;
    loop {
        step += 1;
        let seconds = noise.every * f64::from(step);
        let hour = seconds / 3600.0;
        if hour > HOURS {
            return None;
        }
        deviation = noise.phi * deviation + fresh * normal(&mut rng);
        let held = 60.0 + deviation + leak * hour + noise.warm_up * (1.0 - (-hour / noise.tau).exp());
        // By the clock there is no job that could be counted.
        let jobs = if noise.axis == LeakAxis::Job { u64::from(step) } else { 0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some tens of MiB")]
        let bytes = (held.max(0.0) * MIB) as u64;
        if let Some(leak) = detector.sample(Duration::from_secs_f64(seconds), jobs, bytes) {
            return Some((hour, leak));
        }
    }
}

/// The first alarms of many lives, in hours, on all processors.
fn alarms(noise: &Noise, leak: f64, seeds: std::ops::Range<u64>) -> Vec<f64> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let of_thread = |thread: u64| {
        let mine = seeds.clone().filter(move |seed| seed % threads == thread);
        mine.filter_map(|seed| alarm(noise, leak, seed)).map(|(hour, _)| hour).collect::<Vec<f64>>()
    };
    let of_thread = &of_thread;
    let mut hours: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || of_thread(thread))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    hours.sort_by(f64::total_cmp);
    hours
}

fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = ((LEAKING as f64) * share).ceil() as usize - 1;
    sorted.get(index).copied()
}

#[expect(clippy::cast_precision_loss, reason = "counts of runs")]
fn share(part: usize, whole: u64) -> f64 {
    part as f64 / whole as f64 * 100.0
}

pub(crate) fn run() -> Result<Report, Error> {
    let mut report = Report::default();
    for noise in &SERIES {
        let runs = if noise.axis == LeakAxis::Job { FREE_BY_JOB } else { FREE };
        let percent = share(alarms(noise, 0.0, 0..runs).len(), runs);
        report.row([
            ("series", json!(noise.name)),
            ("leak_mib_per_hour", json!(0)),
            ("runs", json!(runs)),
            ("false_alarms_percent", json!(percent)),
        ]);
        report.at_most(&format!("false alarms in 24 h, {}, percent of runs", noise.name), percent, 2.0);
    }
    for noise in &SERIES {
        for leak in LEAKS {
            let hours = alarms(noise, leak, 1_000_000..1_000_000 + LEAKING);
            let goal = match leak {
                12.0 => Some(2.0),
                30.0 => Some(0.5),
                5.0 => Some(12.0),
                _ => None,
            };
            let within = goal.map(|goal| share(hours.iter().filter(|hour| **hour <= goal).count(), LEAKING));
            let p50 = quantile(&hours, 0.5);
            report.row([
                ("series", json!(noise.name)),
                ("leak_mib_per_hour", json!(leak)),
                ("found_percent", json!(share(hours.len(), LEAKING))),
                ("p50_hours", json!(p50)),
                ("p90_hours", json!(quantile(&hours, 0.9))),
                ("p95_hours", json!(quantile(&hours, 0.95))),
                ("goal_hours", json!(goal)),
                ("within_goal_percent", json!(within)),
            ]);
            if let Some(goal) = goal {
                report.at_most(
                    &format!("hours to find {leak} MiB/h, {}, median", noise.name),
                    p50.unwrap_or(f64::INFINITY),
                    goal,
                );
            }
        }
    }
    Ok(report)
}

//! What an engine is, read off its snapshot once per scrape and written down.
//!
//! Rows for labels that have not come up yet are written as zero where the labels are known: a counter that comes into being
//! with its first event has missed it in the eyes of whoever computes rates.

use std::collections::BTreeMap;
use std::fmt;

use eventmesh_actors::{Cause, Invariant, NodeDetail, PoolSnapshot, TreeSnapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::sheet::Sheet;
use crate::cache::{Counts, Outcome, Tier};
use crate::engine::{Engine, EngineSnapshot, Readiness};
use crate::fetch::FetchSnapshot;

/// Writes down what an engine is doing.
#[derive(Debug)]
pub(super) struct EngineCollector {
    engine: Engine,
}

impl EngineCollector {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Collector for EngineCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seen = self.engine.snapshot();
        let sheet = &mut Sheet::new(encoder);
        sheet.gauge("eventmesh_build_info", "What runs", [([("version", env!("CARGO_PKG_VERSION"))], 1_u64)])?;
        readiness(sheet, self.engine.readiness(), self.engine.post_mortem().is_some())?;
        let config = self.engine.config();
        sheet.one("eventmesh_requests_active", "Requests that are being worked on", seen.requests)?;
        sheet.one("eventmesh_requests_limit", "Requests that may be worked on at once", config.max_requests)?;
        sheet.one("eventmesh_admitted_bytes", "Bytes of the pages of these requests", seen.admitted_bytes)?;
        sheet.one("eventmesh_admitted_limit_bytes", "Bytes that their pages may hold at once", config.max_admitted_bytes)?;
        sheet.total("eventmesh_events_missed", "Supervision events that slow readers have missed", seen.events_missed)?;
        let blocked = seen.egress.why.iter().map(|(why, count)| ([("why", *why)], *count));
        sheet.counter("eventmesh_egress_blocked", "Connections that the egress policy has refused, by why", blocked)?;
        hosts(sheet, &seen.fetch)?;
        pools(sheet, &seen.tree.pools())?;
        failures(sheet, &seen.tree)?;
        memory(sheet, &seen)?;
        sandbox(sheet, &seen)?;
        cache(sheet, seen.cache.as_ref())?;
        browsers(sheet, &seen)
    }
}

fn readiness(sheet: &mut Sheet<'_>, readiness: Readiness, given_up: bool) -> fmt::Result {
    sheet.one("eventmesh_ready", "Whether a request that came now would be worked on", u64::from(readiness.is_ready()))?;
    let parts = [("workers", readiness.workers), ("room", readiness.room), ("memory", readiness.memory)];
    let rows = parts.map(|(part, there)| ([("part", part)], u64::from(there)));
    sheet.gauge("eventmesh_readiness", "Whether what a request needs is there, by what", rows)?;
    sheet.one("eventmesh_given_up", "Whether the workers have failed too often and were given up", u64::from(given_up))
}

/// Manners. How many requests came to nothing for them is in those by outcome.
fn hosts(sheet: &mut Sheet<'_>, seen: &FetchSnapshot) -> fmt::Result {
    sheet.one("eventmesh_fetch_hosts", "Hosts that are remembered", seen.hosts)?;
    sheet.one("eventmesh_fetch_robots_sites", "Sites whose robots.txt is known, or being asked for", seen.robots)?;
    sheet.one(
        "eventmesh_fetch_breakers_open",
        "Hosts that are not asked, or by one request alone, since they have failed so often",
        seen.broken,
    )?;
    sheet.one("eventmesh_fetch_waiting", "Requests that wait for their turn at a host", seen.waiting)?;
    sheet.total("eventmesh_fetch_waits", "Requests that had to wait for their turn at a host", seen.waited)?;
    sheet.total(
        "eventmesh_fetch_turns_refused",
        "Requests that got no turn: their host is broken, wants to be left alone, or is asked for too much",
        seen.refused,
    )?;
    sheet.total("eventmesh_fetch_retries", "Times that something was asked for again after a failure", seen.retried)?;
    sheet.total("eventmesh_fetch_pauses", "Times that a host has asked to be left alone", seen.paused)?;
    sheet.total(
        "eventmesh_fetch_breakers_opened",
        "Times that a host has failed so often that it was not asked for a while",
        seen.opened,
    )?;
    sheet.total("eventmesh_fetch_disallowed", "Addresses that robots.txt did not let be asked for", seen.disallowed)
}

/// The labels that there can be. What is not listed here is written once it comes up.
const PHASES: [&str; 5] = ["closed", "probing", "open", "draining", "spent"];
const STATES: [&str; 6] = ["backoff", "starting", "idle", "leased", "retiring", "stopping"];
const RECYCLES: [&str; 7] = ["jobs", "bytes", "age", "leak", "pressure", "unhealthy", "operator"];
const REFUSALS: [&str; 8] =
    ["queue_full", "bytes_full", "too_large", "deadline", "unavailable", "pressed", "quarantined", "closed"];
const ANSWERS: [&str; 8] = ["done", "unused", "broken", "undelivered", "lost", "refused", "deadline", "cancelled"];

fn pools(sheet: &mut Sheet<'_>, pools: &[&PoolSnapshot]) -> fmt::Result {
    /// One row per pool.
    fn each<'p, V>(
        pools: &'p [&PoolSnapshot],
        value: impl Fn(&PoolSnapshot) -> V + 'p,
    ) -> impl Iterator<Item = ([(&'static str, &'p str); 1], V)> {
        pools.iter().map(move |pool| ([("pool", &*pool.name)], value(pool)))
    }
    /// One row per pool and label, those that are known first.
    fn by<'p>(
        pools: &'p [&PoolSnapshot],
        label: &'static str,
        known: &[&'static str],
        counts: impl Fn(&'p PoolSnapshot) -> &'p BTreeMap<&'static str, u64>,
    ) -> Vec<([(&'static str, &'p str); 2], u64)> {
        let rows = |pool: &'p PoolSnapshot| {
            let row = move |name: &'static str, count: u64| ([("pool", &*pool.name), (label, name)], count);
            complete(known, counts(pool)).into_iter().map(move |(name, count)| row(name, count))
        };
        pools.iter().flat_map(|pool| rows(pool)).collect()
    }
    let causes = Cause::ALL.map(Cause::label);
    sheet.gauge("eventmesh_queue_depth", "Callers that wait for a worker", each(pools, |pool| pool.waiting))?;
    sheet.gauge("eventmesh_pool_size", "Workers that a pool keeps", each(pools, |pool| pool.size))?;
    sheet.gauge(
        "eventmesh_pool_target",
        "Workers that a pool keeps now, while memory is short or it tries again",
        each(pools, |pool| pool.target),
    )?;
    let phases = pools
        .iter()
        .flat_map(|pool| PHASES.map(|phase| ([("pool", &*pool.name), ("phase", phase)], u64::from(pool.phase == phase))));
    sheet.gauge("eventmesh_pool_phase", "1 for the phase that a pool is in; spent is having failed too often", phases)?;
    let states = pools.iter().flat_map(|pool| {
        STATES.map(|state| {
            let count = pool.children.iter().filter(|child| child.state == state).count();
            ([("pool", &*pool.name), ("state", state)], count)
        })
    });
    sheet.gauge("eventmesh_child_state", "Workers, by state", states)?;
    sheet.gauge(
        "eventmesh_child_silent",
        "Workers whose job has been silent for longer than it should be",
        each(pools, |pool| pool.children.iter().filter(|child| !child.answers).count()),
    )?;
    sheet.gauge(
        "eventmesh_child_leaking",
        "Workers whose memory grows with their work",
        each(pools, |pool| pool.children.iter().filter(|child| child.leak.is_some()).count()),
    )?;
    let held = pools.iter().flat_map(|pool| {
        let bytes = || pool.children.iter().map(|child| child.usage.bytes);
        [("sum", bytes().sum::<u64>()), ("max", bytes().max().unwrap_or(0))]
            .map(|(stat, bytes)| ([("pool", &*pool.name), ("stat", stat)], bytes))
    });
    sheet.gauge("eventmesh_child_held_bytes", "Bytes that workers say they hold between jobs, all and the largest", held)?;
    sheet.counter(
        "eventmesh_child_restarts",
        "Workers that were started again after a failure, by its cause",
        by(pools, "reason", &causes, |pool| &pool.counts.restarts),
    )?;
    sheet.counter(
        "eventmesh_child_recycles",
        "Workers that were replaced by plan, by why",
        by(pools, "reason", &RECYCLES, |pool| &pool.counts.recycles),
    )?;
    sheet.counter(
        "eventmesh_child_recycles_failed",
        "Replacements that would not start",
        each(pools, |pool| pool.counts.recycles_failed),
    )?;
    sheet.counter("eventmesh_pool_demands", "Demands that a pool has accepted", each(pools, |pool| pool.counts.accepted))?;
    sheet.counter(
        "eventmesh_pool_answers",
        "Answers to accepted demands, by kind: one each",
        by(pools, "kind", &ANSWERS, |pool| &pool.counts.answers),
    )?;
    sheet.counter("eventmesh_pool_leases", "Workers lent", each(pools, |pool| pool.counts.leases))?;
    sheet.counter(
        "eventmesh_pool_refused",
        "Demands that got no worker, by why",
        by(pools, "cause", &REFUSALS, |pool| &pool.counts.refused),
    )?;
    sheet.counter("eventmesh_pool_jobs", "Jobs that came to an end of their own", each(pools, |pool| pool.counts.jobs))?;
    sheet.counter("eventmesh_pool_jobs_lost", "Jobs that ended with their worker", each(pools, |pool| pool.counts.jobs_lost))?;
    sheet.gauge(
        "eventmesh_pool_open_demands",
        "Accepted demands without an answer yet",
        each(pools, |pool| pool.open_entries),
    )?;
    sheet.gauge("eventmesh_pool_admitted_bytes", "Bytes of jobs waiting and running", each(pools, |pool| pool.admitted_bytes))?;
    sheet.gauge("eventmesh_pool_admitted_limit_bytes", "Bytes that these may hold", each(pools, |pool| pool.max_bytes))?;
    let held = pools.iter().filter_map(|pool| Some(([("pool", &*pool.name)], pool.held_bytes?)));
    sheet.gauge("eventmesh_pool_held_bytes", "Bytes that a pool's workers hold together, where somebody knows", held)?;
    sheet.gauge("eventmesh_pool_quarantined", "Inputs that are refused for a while", each(pools, |pool| pool.quarantined))?;
    sheet.gauge(
        "eventmesh_pool_restarts_allowed",
        "Restarts within the pool's window before it gives up",
        each(pools, |pool| pool.restarts_allowed.intensity),
    )?;
    sheet.gauge(
        "eventmesh_pool_restart_window_seconds",
        "Length of that window",
        each(pools, |pool| pool.restarts_allowed.period.as_secs_f64()),
    )
}

/// What has been counted, with zeros for what is known and has not come up.
fn complete(known: &[&'static str], counts: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, u64> {
    known.iter().map(|name| (*name, 0)).chain(counts.iter().map(|(name, count)| (*name, *count))).collect()
}

fn failures(sheet: &mut Sheet<'_>, tree: &TreeSnapshot) -> fmt::Result {
    let mut supervisors = Vec::new();
    let mut left = vec![tree];
    while let Some(tree) = left.pop() {
        let known = Cause::ALL.map(Cause::label);
        supervisors.extend(
            complete(&known, &tree.restarts)
                .into_iter()
                .map(|(cause, count)| ([("supervisor", &*tree.name), ("reason", cause)], count)),
        );
        left.extend(tree.children.iter().filter_map(|node| match &node.detail {
            NodeDetail::Supervisor(below) => Some(&**below),
            NodeDetail::Pool(_) | NodeDetail::Service => None,
        }));
    }
    sheet.counter(
        "eventmesh_supervisor_restarts",
        "Pools, services and supervisors that were started again, by the supervisor that did it and why",
        supervisors,
    )?;
    let mut violations = complete(&Invariant::ALL.map(Invariant::label), &BTreeMap::new());
    for pool in tree.pools() {
        for (id, count) in &pool.counts.violations {
            *violations.entry(*id).or_default() += count;
        }
    }
    let rows = violations.iter().map(|(id, count)| ([("id", *id)], *count));
    sheet.counter("eventmesh_invariant_violations", "Promises of the engine that were broken: always a bug", rows)
}

fn memory(sheet: &mut Sheet<'_>, seen: &EngineSnapshot) -> fmt::Result {
    let memory = &seen.memory;
    sheet.one(
        "eventmesh_memory_pressure_level",
        "How short memory is: 0 normal, 1 trim, 2 shrink, 3 shed, 4 refuse",
        u32::from(memory.pressure.level()),
    )?;
    sheet.one("eventmesh_memory_budget_bytes", "Bytes that this process and its children may hold", memory.budget)?;
    let held = [("resident", memory.memory.resident), ("processes", memory.memory.processes), ("guests", memory.memory.guests)];
    sheet.gauge(
        "eventmesh_memory_bytes",
        "Bytes that are held: resident by this process, by the processes that it has started, and, as part of the former, by sandboxed guests",
        held.map(|(of, bytes)| ([("of", of)], bytes)),
    )?;
    let heap = memory.memory.heap.map(|bytes| ([], bytes));
    sheet.gauge("eventmesh_jemalloc_allocated_bytes", "Live bytes of the allocator, where it is jemalloc", heap)?;
    let limits =
        || [("machine", memory.machine), ("cgroup", memory.cgroup)].into_iter().filter_map(|(of, limits)| Some((of, limits?)));
    sheet.gauge(
        "eventmesh_memory_limit_bytes",
        "Bytes of the machine, and of the control group if it has a limit",
        limits().map(|(of, limits)| ([("of", of)], limits.total)),
    )?;
    sheet.gauge(
        "eventmesh_memory_used_bytes",
        "Bytes of these that are in use and cannot be had at once",
        limits().map(|(of, limits)| ([("of", of)], limits.used)),
    )?;
    let stalls = memory.stalls.map_or_else(Vec::new, |stalls| vec![("some", stalls.some), ("all", stalls.all)]);
    sheet.gauge(
        "eventmesh_memory_stalled_ratio",
        "Share of the last ten seconds in which some task, or all, stalled for want of memory",
        stalls.into_iter().map(|(who, percent)| ([("who", who)], percent / 100.0)),
    )?;
    sheet.total("eventmesh_governor_looks", "Looks at memory", memory.looks)?;
    sheet.total("eventmesh_memory_given_back", "Times that free memory was given back", memory.given_back)
}

fn sandbox(sheet: &mut Sheet<'_>, seen: &EngineSnapshot) -> fmt::Result {
    let sandbox = &seen.sandbox;
    sheet.total("eventmesh_sandbox_pages", "Pages that ran in the sandbox", sandbox.pages)?;
    sheet.total("eventmesh_sandbox_warm_pages", "Those of them that found a warm slot", sandbox.warm_pages)?;
    sheet.one("eventmesh_sandbox_memories", "Linear memories in use", sandbox.live_memories)?;
    sheet.one("eventmesh_sandbox_resident_unused_bytes", "Bytes that unused slots keep", sandbox.resident_unused_bytes)?;
    sheet.one("eventmesh_child_processes", "Processes that were started and are there", seen.pdf.processes)?;
    let components = [("pdfium", seen.pdf.missing.is_none()), ("chromium", seen.browser.missing.is_none())];
    let rows = components.map(|(component, there)| ([("component", component)], u64::from(there)));
    sheet.gauge("eventmesh_component_available", "Whether what PDFs and rendering need is installed", rows)
}

fn cache(sheet: &mut Sheet<'_>, counts: Option<&Counts>) -> fmt::Result {
    // Without a cache there are families, and no rows.
    let requests = counts.into_iter().flat_map(|counts| {
        Tier::ALL.into_iter().flat_map(move |tier| {
            let row =
                move |outcome: Outcome| ([("tier", tier.label()), ("outcome", outcome.label())], counts.requests(tier, outcome));
            Outcome::ALL.into_iter().map(row)
        })
    });
    sheet.counter(
        "eventmesh_cache_requests",
        "Requests for what may be kept, by where the answer came from and how",
        requests,
    )?;
    let tiers = |memory: fn(&Counts) -> u64, disk: fn(&Counts) -> u64| {
        counts.into_iter().flat_map(move |counts| [([("tier", "memory")], memory(counts)), ([("tier", "disk")], disk(counts))])
    };
    sheet.gauge(
        "eventmesh_cache_entries",
        "Answers that are kept",
        tiers(|counts| counts.memory_entries, |counts| counts.disk_entries),
    )?;
    sheet.gauge(
        "eventmesh_cache_bytes",
        "Bytes that they take",
        tiers(|counts| counts.memory_bytes, |counts| counts.disk_bytes),
    )?;
    let one = |value: fn(&Counts) -> u64| counts.map(|counts| ([], value(counts)));
    sheet.counter(
        "eventmesh_cache_disk_errors",
        "Answers that could not be written to disk, read or removed",
        one(|counts| counts.disk_errors),
    )?;
    sheet.counter(
        "eventmesh_cache_disk_skipped",
        "Answers that were not written because the disk did not keep up",
        one(|counts| counts.disk_skipped),
    )
}

/// Why browsers are replaced.
const RETIREMENTS: [&str; 6] = ["pages", "memory", "slow", "canary", "gone", "asked"];

fn browsers(sheet: &mut Sheet<'_>, seen: &EngineSnapshot) -> fmt::Result {
    let fleet = seen.browser.fleet.as_ref();
    // Without a fleet there are families, and no rows.
    let one = |value: Option<u64>| value.map(|value| ([], value));
    let size = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    sheet.gauge("eventmesh_browser_up", "Whether a browser is up; there is none before the first page", {
        one(fleet.map(|fleet| u64::from(fleet.browser.is_some())))
    })?;
    sheet.gauge("eventmesh_browser_pages", "Pages that the browser in use was asked for", one(fleet.map(|fleet| fleet.pages)))?;
    sheet.gauge("eventmesh_browser_leases", "Pages that are in it", one(fleet.map(|fleet| size(fleet.leases))))?;
    sheet.gauge(
        "eventmesh_browser_draining",
        "Browsers that finish their pages",
        one(fleet.map(|fleet| size(fleet.draining))),
    )?;
    sheet.gauge("eventmesh_browser_memory_bytes", "Bytes (PSS) of its processes", one(fleet.map(|fleet| fleet.memory)))?;
    sheet.counter("eventmesh_browser_started", "Browsers that were started", one(fleet.map(|fleet| fleet.started)))?;
    let retired: BTreeMap<String, u64> =
        fleet.map(|fleet| fleet.retired.iter().map(|(why, count)| (why.to_string(), *count)).collect()).unwrap_or_default();
    let rows = fleet.map_or_else(Vec::new, |_| {
        RETIREMENTS.map(|reason| ([("reason", reason)], retired.get(reason).copied().unwrap_or(0))).to_vec()
    });
    sheet.counter("eventmesh_browser_retired", "Browsers that were replaced, by why", rows)?;
    let confined = fleet.map(|fleet| match fleet.sandboxed {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    });
    let states = confined.map_or_else(Vec::new, |confined| {
        ["on", "off", "unknown"].map(|state| ([("state", state)], u64::from(state == confined))).to_vec()
    });
    sheet.gauge("eventmesh_chromium_sandbox", "1 for the state of Chromium's own sandbox; unknown before the first start", states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_zero_until_it_comes_up_and_what_is_not_known_is_not_lost() {
        let counts = BTreeMap::from([("b", 2), ("new", 1)]);
        assert_eq!(complete(&["a", "b"], &counts), BTreeMap::from([("a", 0), ("b", 2), ("new", 1)]));
    }
}

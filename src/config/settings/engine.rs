//! The settings of the engine as a whole: room, time, memory, and what its supervisors may do.

use super::Setting;
use super::typed;
use crate::config::codec::{Auto, Bytes, Cache, Codec, Count, Levels, PerCore, Place, Ratio, Time, Unless};

pub(super) const SETTINGS: &[Setting] = &[
    setting!("workers", PerCore, engine.workers, "Workers for HTML, one thread each. Default: one per core, since extraction is nothing but CPU.")
        .found_out("\"auto\""),
    setting!(
        "reserved",
        Count,
        engine.reserved,
        "Workers of each kind (for HTML, for PDFs, pages in browsers) that requests of priority batch leave to those that somebody waits for: by default one, unless there is but one. With 0 a batch may hold all of them, and whoever waits for an answer waits for one to be free."
    ),
    setting!(
        "max_requests",
        Count,
        engine.max_requests,
        "Requests accepted at once; more are refused. With two cores the default is seconds of work, and nobody gains from waiting longer than that. The last quarter is kept for those that are not of priority batch."
    ),
    setting!(
        "max_admitted_bytes",
        Bytes,
        engine.max_admitted_bytes,
        "Bytes of all pages held at once: sixteen of the largest by default. It is raised to max_page_bytes if that is larger and this is not set."
    ),
    setting!(
        "max_page_bytes",
        Bytes,
        engine.max_page_bytes,
        "Bytes of one page, decompressed. The default is a hundred times the median page, and what a guest of 256 MiB can still parse."
    ),
    setting!(
        "deadline",
        Time,
        engine.deadline,
        "Time for one request from acceptance to its answer. The default is how long people and proxies wait for a page."
    ),
    setting!(
        "page_memory",
        Bytes,
        engine.page_memory,
        "Linear memory of one page in its sandbox: by default eight times the largest page, which is what parsing takes."
    ),
    setting!(
        "keep_resident",
        Bytes,
        engine.keep_resident,
        "Memory that each worker keeps mapped between pages: by default what the median page touches. It is lowered to page_memory if that is smaller and this is not set."
    ),
    setting!(
        "artifact_cache",
        Cache,
        engine.artifact_cache,
        "Directory for compiled code, writable by nobody else, or 'none' to compile at every start. Default: the user's cache directory, since compiling takes seconds."
    )
    .found_out("\"auto\""),
    setting!(
        "scratch",
        Auto<Place>,
        engine.scratch,
        "Directory for the scratch directories of processes. Default: the user's runtime directory, or the temporary one for want of it, and for root."
    )
    .found_out("\"auto\""),
    setting!(
        "recycle.jobs",
        Unless<Count>,
        engine.recycle.jobs,
        "Pages after which a healthy worker is replaced, or 'none'. Instances are fresh for every page, so the default only bounds what the thread around them could gather."
    ),
    setting!(
        "recycle.age",
        Unless<Time>,
        engine.recycle.age,
        "Age at which a healthy worker is replaced, or 'none', the default: a thread does not wear out by waiting."
    ),
    setting!(
        "recycle.jitter",
        Ratio,
        engine.recycle.jitter,
        "How far the limits of single workers may lie from these, as a share: enough by default that they are not all replaced at the same time."
    ),
    setting!(
        "recycle.memory.soft",
        Unless<Bytes>,
        engine.recycle.memory.soft,
        "Memory from which on a worker is replaced when that costs nobody anything, or 'none', the default: page_memory bounds each page."
    ),
    setting!(
        "recycle.memory.hard",
        Unless<Bytes>,
        engine.recycle.memory.hard,
        "Memory from which on a worker gets no further page, or 'none', the default: page_memory bounds each page."
    ),
    setting!(
        "recycle.memory.fatal",
        Unless<Bytes>,
        engine.recycle.memory.fatal,
        "Memory from which on a worker is ended in the middle of a page, or 'none', the default: page_memory bounds each page."
    ),
    setting!(
        "recycle.memory.leave",
        Ratio,
        engine.recycle.memory.leave,
        "A limit on memory is left below this share of it: by default a seventh below, so that levels do not flap."
    ),
    setting!(
        "recycle.memory.samples",
        Count,
        engine.recycle.memory.samples,
        "Samples in a row that the soft and the hard limit need: by default one more than chance gives."
    ),
    setting!(
        "restarts.intensity",
        Count,
        engine.restarts.any.intensity,
        "Restarts of workers within the period before their pool gives up. The default is more than single faults cause, and fewer than a loop of crashes."
    ),
    setting!(
        "restarts.period",
        Time,
        engine.restarts.any.period,
        "The period for the restarts: with the default a loop of crashes is found within seconds."
    ),
    setting!(
        "backoff.base",
        Time,
        engine.backoff.base,
        "The shortest delay before a restart, but for the first, which is immediate: by default too short to be felt."
    ),
    setting!(
        "backoff.cap",
        Time,
        engine.backoff.cap,
        "The longest delay before a restart: by default as long as capacity may be missing after the cause is gone."
    ),
    setting!(
        "backoff.reset_after",
        Time,
        engine.backoff.reset_after,
        "A worker that has lived for so long has proved itself, and its next failure starts from the beginning. The default is many times what pages take."
    ),
    setting!(
        "governor.budget",
        Auto<Bytes>,
        engine.governor.budget,
        "Bytes that the engine and its processes may hold together. The default 'auto' is four fifths of what the control group, or else the machine, has."
    ),
    setting!(
        "governor.interval",
        Time,
        engine.governor.interval,
        "Time between two looks at memory at rest; under pressure it is a fifth of it. By default looking costs nothing that could be measured."
    ),
    setting!(
        "governor.processes_every",
        Count,
        engine.governor.processes_every,
        "Looks between two at the memory of processes, which cost milliseconds each: every half minute by default."
    ),
    setting!(
        "governor.policy.used",
        Levels,
        engine.governor.policy.used,
        "Shares of the budget at which the levels trim, shrink, shed and refuse begin: by default early enough that nothing has to be refused at once."
    ),
    setting!(
        "governor.policy.some_stalled",
        Levels,
        engine.governor.policy.some_stalled,
        "Percent of time in which some task waited for memory, for the four levels: by default a tenth is worth to give back what is free."
    ),
    setting!(
        "governor.policy.all_stalled",
        Levels,
        engine.governor.policy.all_stalled,
        "Percent of time in which all tasks waited for memory, for the four levels: half of the above by default, being worse."
    ),
    setting!(
        "governor.policy.leave",
        Ratio,
        engine.governor.policy.leave,
        "A level is left below this share of where it was entered: by default a tenth below, so that levels do not flap."
    ),
    setting!(
        "governor.policy.enter_after",
        Count,
        engine.governor.policy.enter_after,
        "Looks in a row that enter a level: by default one more than chance gives."
    ),
    setting!(
        "governor.policy.leave_after",
        Count,
        engine.governor.policy.leave_after,
        "Looks in a row that leave a level: by default more than enter it, since coming back at once would be worse than waiting."
    ),
];

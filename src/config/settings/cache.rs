//! The settings of what is kept of pages.

use super::{Setting, typed};
use crate::config::codec::{Bytes, Codec, Count, Place, Time, Unless};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "cache.memory",
        Bytes,
        engine.cache.memory,
        "Bytes of pages that are kept in memory for whoever asks again; 0 keeps none, on disk neither. The default is some thousand pages, and less when memory is short."
    ),
    setting!(
        "cache.directory",
        Unless<Place>,
        engine.cache.directory,
        "Directory where pages are kept, too, and survive a restart; one engine has it to itself. Default none; for a daemon, the cache directory that its service manager names."
    ),
    setting!(
        "cache.disk",
        Bytes,
        engine.cache.disk,
        "Bytes that they may take there: by default sixteen times what is kept in memory."
    ),
    setting!(
        "cache.max_entry",
        Bytes,
        engine.cache.max_entry,
        "Larger contents are not kept: by default those would be fewer than eight in memory."
    ),
    setting!(
        "cache.refreshes",
        Count,
        engine.cache.refreshes,
        "Pages that are renewed at the same time while what is stale is served: by default few, since nobody waits for them."
    ),
    setting!(
        "cache.default_ttl",
        Time,
        engine.cache.freshness.default_ttl,
        "How long a page is fresh whose server says nothing: by default enough for a crawl not to ask twice, short enough for news."
    ),
    setting!(
        "cache.heuristic_max",
        Time,
        engine.cache.freshness.heuristic_max,
        "The most that is concluded from when a page was changed last (RFC 9111, 4.2.2): by default as long as the RFC finds fit to warn of."
    ),
    setting!(
        "cache.negative_ttl",
        Time,
        engine.cache.freshness.negative_ttl,
        "How long a server's failure is remembered at most: by default long enough for a herd, short enough for a repair."
    ),
    setting!(
        "cache.max_ttl",
        Time,
        engine.cache.freshness.max_ttl,
        "The longest that a server is believed: by default a week, since some say a year."
    ),
    setting!(
        "cache.stale_while_revalidate",
        Time,
        engine.cache.freshness.stale_while_revalidate,
        "How long a stale page is served while it is renewed, where its server does not say (RFC 5861): by default not at all, since that takes its leave."
    ),
    setting!(
        "cache.stale_if_error",
        Time,
        engine.cache.freshness.stale_if_error,
        "How long a stale page stands in for a server that fails, where it does not say (RFC 5861): by default an hour, the length of most outages."
    ),
    setting!(
        "cache.max_stale",
        Time,
        engine.cache.freshness.max_stale,
        "The longest that a stale page is served for either reason: by default a day."
    ),
];

//! The settings of rendering pages.

use super::{Setting, typed};
use crate::config::codec::{Auto, Bytes, Codec, Count, List, PerCore, Place, Ratio, Sandbox, Text, Time};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "browser.chromium",
        Auto<Place>,
        engine.browser.chromium,
        "Chromium: the program itself, not the script that starts it. The default 'auto' is what EVENTMESH_CHROMIUM names, else where distributions put it."
    ),
    setting!(
        "browser.program",
        Auto<Place>,
        engine.browser.program,
        "The program that is started and becomes Chromium, built together with this one. The default 'auto' is this one, which is."
    ),
    setting!(
        "browser.pages",
        PerCore,
        engine.browser.pages,
        "Pages rendered at once. Default: one per core, since more only wait for each other inside the browser; no browser is there before the first page."
    )
    .found_out("\"auto\""),
    setting!(
        "browser.sandbox",
        Sandbox,
        engine.browser.sandbox,
        "Whether Chromium confines its own processes: 'auto', the default, if it can; 'required', or nothing is rendered; 'off', only where nothing that is rendered can do harm."
    ),
    setting!(
        "browser.user",
        Auto<Count>,
        engine.browser.user,
        "Number of the user that Chromium runs as, if this process is root. The default 'auto' is a number that belongs to nobody."
    ),
    setting!(
        "browser.arguments",
        List<Text>,
        engine.browser.arguments,
        "Arguments for Chromium besides our own. Default none, since each may undo what confines it."
    ),
    setting!(
        "browser.max_bytes",
        Bytes,
        engine.browser.max_bytes,
        "Bytes of all pages waiting and being rendered, each counted as 1 MiB and what it brings along: by default 256 pages by URL."
    ),
    setting!(
        "browser.limits.page_memory",
        Bytes,
        engine.browser.limits.page_memory,
        "Memory that a page's scripts may hold, buffers and workers included, before it is given up: by default several times what heavy pages hold. While a page is too busy to be asked, its process may hold twice as much and 128 MiB besides."
    ),
    setting!(
        "browser.limits.browser_memory",
        Bytes,
        engine.browser.limits.browser_memory,
        "Memory that a browser's processes may hold together, past what they held when it was new, before another one takes over: by default what several heavy pages leave behind."
    ),
    setting!(
        "browser.limits.pages",
        Count,
        engine.browser.limits.pages,
        "Pages after which another browser takes over: by default its start is then less than a thousandth of the time."
    ),
    setting!(
        "browser.limits.slowdown",
        Ratio,
        engine.browser.limits.slowdown,
        "How many times slower than a new browser's its pages may come before another one takes over. Below the default it could be chance."
    ),
    setting!(
        "browser.limits.drain",
        Time,
        engine.browser.limits.drain,
        "How long a browser that is to go may take to finish its pages: by default twice the deadline of a page."
    ),
    setting!(
        "browser.limits.start",
        Time,
        engine.browser.limits.start,
        "How long a browser may take to be ready: by default a hundred times what it takes on an idle machine."
    ),
    setting!(
        "browser.limits.look",
        Time,
        engine.browser.limits.look,
        "How often a browser is looked at: by default often enough that one that hangs costs a page no more than its patience."
    ),
    setting!(
        "browser.limits.idle",
        Time,
        engine.browser.limits.idle,
        "How long a browser without work stays: by default a minute, since a new one takes 0.15 s."
    ),
    setting!(
        "browser.limits.call",
        Time,
        engine.browser.limits.call,
        "How long a call to a browser that should take milliseconds may take: by default a thousand times that."
    ),
    setting!(
        "browser.limits.content",
        Bytes,
        engine.browser.limits.content,
        "Bytes of a rendered page's content: by default as many as a page may have that is not rendered."
    ),
    setting!(
        "browser.limits.yields",
        Bytes,
        engine.browser.limits.yields,
        "Bytes of all that one request yields, pictures, PDF, contents and values: by default four of the largest contents."
    ),
    setting!(
        "browser.limits.requests",
        Count,
        engine.browser.limits.requests,
        "Requests that one page may make: by default ten times what heavy pages make."
    ),
    setting!(
        "browser.limits.bytes",
        Bytes,
        engine.browser.limits.bytes,
        "Bytes that one page may load: by default ten times what heavy pages load."
    ),
];

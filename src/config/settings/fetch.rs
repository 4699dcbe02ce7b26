//! The settings of fetching pages, and of whom this machine may connect to.

use super::{Setting, typed};
use crate::config::codec::{Bytes, Codec, Count, List, Network, Ports, Ratio, Switch, Text, Time};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "fetch.connect",
        Time,
        engine.fetch.connect,
        "Time to connect to a server: by default a third of the deadline, and several lost packets."
    ),
    setting!(
        "fetch.idle",
        Time,
        engine.fetch.idle,
        "Time without a byte from a server: by default half of the deadline, which bounds all of it besides."
    ),
    setting!(
        "fetch.redirects",
        Count,
        engine.fetch.redirects,
        "Redirects followed: by default half of what browsers follow, and more than any site needs."
    ),
    setting!(
        "fetch.wire_bytes",
        Bytes,
        engine.fetch.wire_bytes,
        "Bytes of a page on the wire, before decompression: as many as a page may have, so that one without compression does not fail on its way. It is raised to max_page_bytes if that is larger and this is not set."
    ),
    setting!(
        "fetch.user_agent",
        Text,
        engine.fetch.user_agent,
        "What the fetcher calls itself. The default says what it is, since sites may want to know whom to refuse."
    ),
    setting!(
        "fetch.body",
        Time,
        engine.fetch.body,
        "Time for all of a body, from its first byte: by default four deadlines, so that a limit holds for requests with longer ones, too."
    ),
    setting!(
        "fetch.ratio",
        Count,
        engine.fetch.ratio,
        "How many times as large a page may be as it was sent, past 1 MiB. The default is ten times what pages come to, and a fifth of what a bomb does."
    ),
    setting!("fetch.headers", Count, engine.fetch.headers, "Headers of an answer: by default more than any site sends."),
    setting!(
        "fetch.header_bytes",
        Bytes,
        engine.fetch.header_bytes,
        "Bytes of an answer's headers: by default what servers accept themselves, several times over."
    ),
    setting!(
        "fetch.robots",
        Switch,
        engine.fetch.robots,
        "Whether what a site's robots.txt does not allow is not asked for, by a browser neither. The default of a daemon, since programs use it that go from page to page by themselves; commands for one page do not ask unless they are told to."
    ),
    setting!(
        "fetch.robots_optional",
        Switch,
        engine.fetch.robots_optional,
        "Whether a request may ignore robots.txt where it is honoured. Default no: whether to is the operator's decision."
    ),
    setting!(
        "fetch.robots_kept",
        Time,
        engine.fetch.robots_kept,
        "How long a robots.txt is good: by default the longest that its RFC (9309) allows."
    ),
    setting!(
        "fetch.robots_again",
        Time,
        engine.fetch.robots_again,
        "How long nothing is asked of a site that fails to answer for its robots.txt: by default long enough not to be a burden."
    ),
    setting!(
        "fetch.retries.times",
        Count,
        engine.fetch.retries.times,
        "How often what failed on its way is asked for again: by default twice, since what fails three times fails for a reason."
    ),
    setting!(
        "fetch.retries.base",
        Time,
        engine.fetch.retries.base,
        "The shortest delay before that: by default longer than a server's hiccup."
    ),
    setting!(
        "fetch.retries.cap",
        Time,
        engine.fetch.retries.cap,
        "The longest delay of our own: by default a sixth of the deadline. A server's wish may be longer."
    ),
    setting!(
        "fetch.hosts.per_host",
        Count,
        engine.fetch.hosts.per_host,
        "Requests at once to one host: by default fewer than a browser makes."
    ),
    setting!(
        "fetch.hosts.per_own_host",
        Count,
        engine.fetch.hosts.per_own_host,
        "Requests at once to a host in a network that egress.allow names: by default many, since it is the operator's own."
    ),
    setting!(
        "fetch.hosts.per_second",
        Ratio,
        engine.fetch.hosts.per_second,
        "Requests a second to one host, in the long run: by default what no site notices."
    ),
    setting!(
        "fetch.hosts.burst",
        Count,
        engine.fetch.hosts.burst,
        "Requests at once after a rest: by default what a page and its parts take."
    ),
    setting!(
        "fetch.hosts.own",
        Switch,
        engine.fetch.hosts.own,
        "Whether the operator's own hosts are held to what holds for all. Default no: there is no rate for them."
    ),
    setting!(
        "fetch.hosts.waiting",
        Count,
        engine.fetch.hosts.waiting,
        "Requests that wait for one host; more are refused at once. The default is what a host answers within a minute."
    ),
    setting!(
        "fetch.hosts.pause",
        Time,
        engine.fetch.hosts.pause,
        "How long a host may ask to be left alone (Retry-After): by default five minutes; a longer wish is held to this."
    ),
    setting!(
        "fetch.hosts.crawl_delay",
        Time,
        engine.fetch.hosts.crawl_delay,
        "The longest Crawl-delay that is kept: by default ten seconds, a third of the deadline."
    ),
    setting!(
        "fetch.hosts.failures",
        Count,
        engine.fetch.hosts.failures,
        "Failures in a row after which a host is not asked for a while: connections that fail, and answers from 500. The default is more than a hiccup."
    ),
    setting!(
        "fetch.hosts.window",
        Time,
        engine.fetch.hosts.window,
        "The time within which they happen: by default one deadline."
    ),
    setting!(
        "fetch.hosts.open",
        Time,
        engine.fetch.hosts.open,
        "How long it is not asked then, the first time; each time that it fails again, twice as long. The default is what a restart takes."
    ),
    setting!(
        "fetch.hosts.longest_open",
        Time,
        engine.fetch.hosts.longest_open,
        "How long at most: by default as long as a host may ask for itself."
    ),
    setting!(
        "fetch.hosts.hosts",
        Count,
        engine.fetch.hosts.hosts,
        "Hosts that are known at once; those that nobody has asked for longest are forgotten. The default takes some MiB."
    ),
    setting!(
        "egress.allow",
        List<Network>,
        engine.egress.policy.allow,
        "Networks that may be connected to, on every port, although they are private, such as 10.1.0.0/16. Default none: whoever may ask for a URL must not reach what is inside."
    ),
    setting!(
        "egress.ports",
        List<Ports>,
        engine.egress.policy.ports,
        "Ports that may be connected to elsewhere, and ranges of them. By default where web servers are; all others are more likely to be something that takes a request line for a command."
    ),
];

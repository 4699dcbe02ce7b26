//! The settings of fetching pages, and of whom this machine may connect to.

use super::{Setting, typed};
use crate::config::codec::{Bytes, Codec, Count, List, Network, Ports, Text, Time};

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

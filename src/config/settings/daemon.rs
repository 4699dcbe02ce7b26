//! The settings of the daemon: its doors, keys and clients.

use super::{Setting, typed};
use crate::config::codec::{Auto, Bytes, Codec, Count, List, Place, Text, Time, Unless};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "daemon.listen",
        List<Text>,
        daemon.listen,
        "Where requests come in: HOST:PORT or unix:/PATH. By default only from this machine. Not used if a service manager has opened doors."
    ),
    setting!(
        "daemon.ops_listen",
        Text,
        daemon.ops_listen,
        "Where operators come in: health, figures, the tree, orders. Only this machine can be listened to, since whoever gets in may stop everything."
    ),
    setting!(
        "daemon.keys",
        Unless<Place>,
        daemon.keys,
        "The file of keys, as eventmesh keys writes them; 'credential:NAME' is the credential that a service manager has handed over. Default none: then everybody may ask for everything, and only this machine is listened to."
    )
    .live(),
    setting!(
        "daemon.hosts",
        List<Text>,
        daemon.hosts,
        "Names that the API is known as, such as that of a proxy in front of it which passes its own Host on. Default none: without keys, who asks by a name is refused unless it is localhost, since a web page of anybody could lead a name of its own here."
    ),
    setting!(
        "daemon.state",
        Auto<Place>,
        daemon.state,
        "Directory for jobs, readable and writable by nobody else. Default: the user's state directory, or that of the service manager."
    )
    .found_out("\"auto\""),
    setting!(
        "daemon.webhook_secret",
        Unless<Place>,
        daemon.webhook_secret,
        "The file of the secret (whsec_ and Base64) that webhooks are signed with that bring none of their own; 'credential:NAME' is the credential that a service manager has handed over. Default none: then those are not signed."
    ),
    setting!(
        "daemon.max_body",
        Bytes,
        daemon.max_body,
        "Bytes of a request's body: by default the largest page, in Base64. It is raised with max_page_bytes if this is not set."
    ),
    setting!(
        "daemon.bodies",
        Bytes,
        daemon.bodies,
        "Bytes of all bodies that are on their way in or being answered at one time; more are sent away: by default five of the largest, or thousands of usual ones. It is raised with max_body if this is not set."
    ),
    setting!(
        "daemon.connections",
        Count,
        daemon.connections,
        "Connections at once; more wait outside. The default is four for each request that is admitted."
    ),
    setting!(
        "daemon.head",
        Time,
        daemon.head,
        "How long a client may take to send its headers, and a connection may rest: by default as long as a request may take."
    ),
    setting!(
        "daemon.head_bytes",
        Bytes,
        daemon.head_bytes,
        "Bytes of all headers of a request: by default more than browsers and proxies send."
    ),
    setting!(
        "daemon.drain",
        Time,
        daemon.drain,
        "How long answers that are on their way at the end may take: by default as long as a request may take."
    ),
];

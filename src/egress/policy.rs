//! The rule itself: which URLs, names, addresses and ports.
//!
//! Decisions:
//! - **Nothing is decided on raw text.** The WHATWG parser turns decimal, octal, hexadecimal, short, full-width and
//!   percent-encoded hosts into one form, and that form is judged. Only what this parser would silently repair while other
//!   readers would not is refused on the text: control characters, and `\` or `@` in the authority.
//! - **The address decides, the name only warns.** A name that only a private network resolves (`localhost`, one label,
//!   `.internal` ...) is refused at once if nothing is allowed. If something is, it passes until its addresses are known, and
//!   then all of them must be allowed: such a name is never good for a public address.
//! - **An allowed network is allowed whole**, on every port and whatever its range. An IPv4-mapped IPv6 address counts as the
//!   IPv4 address that the system will dial, so `::/0` does not open IPv4, and `10.0.0.0/8` opens `::ffff:10.0.0.1`.
//! - **All or nothing**: one bad address refuses the name.
//!
//! It does not resolve, and cannot: see the parent module for how it is to be used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net};
use url::{Host, Url};

use super::address::why_not_global;
use super::refused::Refused;
use super::target::Target;

/// Whom this process may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Networks that may be connected to on every port, in spite of their range. IPv4 networks are written as such.
    pub allow: Vec<IpNet>,
    /// The ports for everybody else.
    pub ports: Vec<RangeInclusive<u16>>,
}

impl Default for EgressPolicy {
    /// The public internet on ports 80, 443 and 8000 to 8999.
    ///
    /// The last are where web servers go that cannot have the first two: 8000, 8008, 8080, 8443, 8888 and their neighbours. All
    /// other ports are more likely to be something that takes a request line for a command: mail at 25, databases from
    /// 3306, Redis at 6379, memcached at 11211. The ports from 3000 hold development servers, which are not public, and
    /// databases, which should not be reached.
    fn default() -> Self {
        Self { allow: Vec::new(), ports: vec![80..=80, 443..=443, 8000..=8999] }
    }
}

impl EgressPolicy {
    /// Allows `networks` besides.
    #[must_use]
    pub fn allowing(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.allow.extend(networks);
        self
    }

    /// Allows this machine's own addresses besides: for trying things out.
    #[must_use]
    pub fn allowing_loopback(self) -> Self {
        let four = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        self.allowing([four.into(), IpAddr::V6(Ipv6Addr::LOCALHOST).into()])
    }

    /// Reads a URL that came from outside. The result is not judged yet: that is what [`Self::target`] does.
    ///
    /// The scheme comes first, so that `file:` and its like are told as what they are.
    pub(crate) fn parse(&self, text: &str) -> Result<Url, Refused> {
        // The parser would drop tabs and line ends, and the log would show two lines.
        if text.chars().any(char::is_control) {
            return Err(Refused::Malformed);
        }
        let url = Url::parse(text).map_err(|_| Refused::Malformed)?;
        web_scheme(&url)?;
        let authority = authority_of(text);
        if authority.contains('\\') {
            return Err(Refused::Malformed);
        }
        // Also the empty user name, which the parser forgets.
        if authority.contains('@') {
            return Err(Refused::Credentials);
        }
        Ok(url)
    }

    /// Judges a URL, from [`Self::parse`] or from a redirect.
    pub(crate) fn target(&self, url: &Url) -> Result<Target, Refused> {
        web_scheme(url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let host = url.host().ok_or(Refused::Malformed)?.to_owned();
        let port = url.port_or_known_default().ok_or(Refused::Malformed)?;
        self.judge(host, port)
    }

    /// Judges what a proxy is asked to connect to, for https, ws and wss alike: there is no URL, only a host and a port. An IPv6
    /// address stands in brackets.
    pub(crate) fn authority(&self, host: &str, port: u16) -> Result<Target, Refused> {
        if host.contains('@') {
            return Err(Refused::Credentials);
        }
        // Control characters and what else a URL might hold are refused here: nothing is repaired in a host alone.
        self.judge(Host::parse(host).map_err(|_| Refused::Malformed)?, port)
    }

    /// Whether an address is in a network that has been allowed.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow.iter().any(|network| network.contains(&address))
    }

    /// The address to dial, if it may be.
    pub(super) fn admit(&self, address: IpAddr, port: u16) -> Result<SocketAddr, Refused> {
        if !self.allows(address) {
            if let Some(special) = why_not_global(address) {
                return Err(Refused::Address(special));
            }
            self.usual_port(port)?;
        }
        Ok(SocketAddr::new(address.to_canonical(), port))
    }

    fn usual_port(&self, port: u16) -> Result<(), Refused> {
        if self.ports.iter().any(|ports| ports.contains(&port)) { Ok(()) } else { Err(Refused::Port(port)) }
    }

    fn judge(&self, host: Host<String>, port: u16) -> Result<Target, Refused> {
        let mut suspicious = false;
        let host = match host {
            Host::Ipv4(address) => {
                self.admit(address.into(), port)?;
                Host::Ipv4(address)
            }
            Host::Ipv6(address) => {
                self.admit(address.into(), port)?;
                Host::Ipv6(address)
            }
            Host::Domain(mut name) => {
                if name.ends_with('.') {
                    name.pop();
                }
                if !is_host_name(&name) {
                    return Err(Refused::Malformed);
                }
                suspicious = is_private_name(&name);
                // With an allow list both wait for the addresses, which may be allowed.
                if self.allow.is_empty() {
                    if suspicious {
                        return Err(Refused::Name);
                    }
                    self.usual_port(port)?;
                }
                Host::Domain(name)
            }
        };
        Ok(Target::new(host, port, suspicious))
    }
}

fn web_scheme(url: &Url) -> Result<(), Refused> {
    if matches!(url.scheme(), "http" | "https") { Ok(()) } else { Err(Refused::Scheme) }
}

/// What stands between the slashes after the scheme and the next slash, as widely as any reader would see it.
fn authority_of(text: &str) -> &str {
    let rest = text.split_once(':').map_or(text, |(_, rest)| rest).trim_start_matches('/');
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// Whether a name can be asked of DNS: labels of letters, digits, `-` and `_`, within its lengths. The parser lets more
/// through, and a resolver may make something of it.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

/// Endings that no public name has: reserved for private use, kept out of the root for being used so, or handed out by home
/// routers, container networks and clusters.
const PRIVATE_ENDINGS: [&str; 17] = [
    "localhost",
    "localdomain",
    "localdomain4",
    "localdomain6",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "home.arpa",
    "lan",
    "mail",
    "svc",
    "consul",
    "docker",
    "test",
];

/// Whether only a private network would resolve `name`, or a cloud's own resolver. Names of one label are completed with the
/// machine's search list, if anybody resolves them. `metadata.` goes first in the names of several clouds, also public ones, that
/// lead to credentials; a public page of that name has to be allowed.
fn is_private_name(name: &str) -> bool {
    let Some((first, _)) = name.split_once('.') else { return true };
    first == "metadata"
        || PRIVATE_ENDINGS
            .iter()
            .any(|ending| name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

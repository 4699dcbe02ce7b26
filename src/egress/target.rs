//! A host and a port that somebody wants to be connected to, half decided: what is left to know are its addresses.

use std::net::{IpAddr, SocketAddr};

use url::Host;

use super::policy::EgressPolicy;
use super::refused::Refused;

/// Whom to connect to, once its addresses have been admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    host: Host<String>,
    port: u16,
    /// The name alone would be refused; only what it resolves to can vouch for it.
    suspicious: bool,
}

impl Target {
    pub(super) fn new(host: Host<String>, port: u16, suspicious: bool) -> Self {
        Self { host, port, suspicious }
    }

    /// The host in its one form: lower case, ASCII, without a final dot; or an address.
    pub(crate) fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The address, if the host is one: then there is nothing to resolve. It is admitted like any other.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// What may be dialled of `addresses`, in their order: all of it or nothing. One bad address among good ones is what an
    /// attack looks like, and an attacker could wait until it is the one that is tried.
    ///
    /// A suspicious name is refused as a name even if it has no address, so that nobody can try out which names exist.
    pub(crate) fn admit(&self, policy: &EgressPolicy, addresses: &[IpAddr]) -> Result<Vec<SocketAddr>, Refused> {
        if self.suspicious && (addresses.is_empty() || !addresses.iter().all(|address| policy.allows(*address))) {
            return Err(Refused::Name);
        }
        if addresses.is_empty() {
            return Err(Refused::Unresolved);
        }
        addresses.iter().map(|address| policy.admit(*address, self.port)).collect()
    }
}

//! Why a connection is not made, told twice: to the client, and to the log.
//!
//! The client's text never says what a name resolved to, not even in kind: otherwise whoever may ask for a page could
//! ask for a map of the network. The label is for logs and metrics, `Debug` adds the kind of range.

use super::address::Special;

/// Why a connection is not made. Displays as what a client may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Neither http nor https.
    #[error("blocked by the egress policy: only http and https may be fetched")]
    Scheme,
    /// A user name or password before the host.
    #[error("blocked by the egress policy: a URL must not hold a user name or password; leave out what is before the @")]
    Credentials,
    /// A port where no web server is expected.
    #[error("blocked by the egress policy: connections to port {0} are not allowed; allow the host's network with --allow-net")]
    Port(u16),
    /// A name that only means something inside a private network.
    #[error("blocked by the egress policy: the host's name belongs to a private network; allow that network with --allow-net")]
    Name,
    /// An address, given or resolved, that is not on the public internet.
    #[error("blocked by the egress policy: the host is not on the public internet; allow its network with --allow-net")]
    Address(Special),
    /// The name has no address.
    #[error("the host has no address; check its name")]
    Unresolved,
    /// No URL, or one that two readers may read in two ways.
    #[error("this is no valid URL, or one that can be read in more than one way; write it as https://host/path")]
    Malformed,
}

impl Refused {
    /// All reasons, as words.
    pub(crate) const WHYS: [&str; 7] = ["scheme", "credentials", "port", "name", "address", "unresolved", "malformed"];

    /// The reason as a word, for logs and metrics.
    pub(crate) fn why(self) -> &'static str {
        Self::WHYS[self.place()]
    }

    /// Its place among them.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Scheme => 0,
            Self::Credentials => 1,
            Self::Port(_) => 2,
            Self::Name => 3,
            Self::Address(_) => 4,
            Self::Unresolved => 5,
            Self::Malformed => 6,
        }
    }
}

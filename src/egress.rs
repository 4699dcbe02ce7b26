//! The one door for outbound bytes: whoever is to be talked to is named here, looked up once, and connected to at the
//! address that was looked at.
//!
//! ```text
//!   fetch ──────────▶ connector ─┐
//!                                ├─▶ Egress::dial: policy ─▶ resolver ─▶ policy ─▶ connect to what was admitted
//!   Chromium ─▶ proxy ───────────┘
//! ```
//! A name is asked for once per connection, and the addresses that came are the ones that are used: a name that means
//! something else the second time gains nothing. Each redirect is a request of its own and comes through here again.
//!
//! The rule itself is pure and does not know three things, which are left to the firewall: public addresses of this very
//! machine or of the router before it, translation prefixes that a network has taken from its own public IPv6 range, and
//! public hosts that trust this machine's address.

mod address;
mod connector;
#[cfg(test)]
mod hostile;
mod policy;
mod proxy;
mod refused;
mod resolver;
mod target;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventmesh_actors::is_shortage;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use crate::error::{Error, ErrorKind};

pub(crate) use connector::{Connector, cause};
pub use policy::EgressPolicy;
pub(crate) use proxy::Proxy;
pub(crate) use refused::Refused;
pub use resolver::{Resolver, Resolving, SystemResolver};
pub(crate) use target::Target;

/// Addresses of one name that are tried. More are a list, not a machine.
const TRIED: usize = 4;
/// How long to wait for a descriptor before asking for one again: nobody says when one is free.
const SHORTAGE: Duration = Duration::from_millis(10);
/// When whoever was told that there are no descriptors should come back.
const COME_BACK: Duration = Duration::from_secs(1);

/// Whom this engine may talk to, and the only way to do so. Clones are the same door.
#[derive(Clone, Debug)]
pub(crate) struct Egress {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    policy: EgressPolicy,
    resolver: Arc<dyn Resolver>,
    /// Time to look a name up and to connect, together.
    connect: Duration,
    /// Connections that were refused, by [`Refused::place`].
    refused: [AtomicU64; Refused::WHYS.len()],
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// It is not allowed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such name, or nobody knows.
    #[error("{host} cannot be looked up: {source}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Nobody is there.
    #[error("{host} does not answer: {source}")]
    Unreachable {
        /// The name, and no address of it.
        host: String,
        /// What the last address's attempt says.
        source: io::Error,
    },
    /// This machine had no descriptors, or no memory, to connect with. Says nothing of the host.
    #[error("there was nothing to connect with within {within:?}: {source}; raise the limit of open files if this goes on")]
    Short {
        /// The time that there was.
        within: Duration,
        /// What had run out.
        source: io::Error,
    },
    /// It took too long.
    #[error("{host} does not answer within {within:?}")]
    Late {
        /// The name.
        host: String,
        /// The time that there was.
        within: Duration,
    },
}

impl DialError {
    /// As whoever asked for `address` is told it.
    pub(crate) fn of(self, address: &str) -> Error {
        self.told(address).caused_by(self)
    }

    /// The same, without its cause.
    pub(crate) fn told(&self, address: &str) -> Error {
        let message = || format!("failed to fetch {address}: {self}");
        match self {
            Self::Refused(refused) => refused.error(address),
            Self::Unresolved { .. } | Self::Unreachable { .. } | Self::Late { .. } => {
                Error::new(ErrorKind::SourceUnreadable, message())
            }
            Self::Short { .. } => Error::new(ErrorKind::Unavailable, message()).retry_after(COME_BACK),
        }
    }
}

impl Refused {
    /// As whoever asked for `address` is told it.
    pub(crate) fn error(&self, address: &str) -> Error {
        let kind = match self {
            Self::Malformed | Self::Scheme | Self::Credentials => ErrorKind::InvalidRequest,
            Self::Port(_) | Self::Name | Self::Address(_) => ErrorKind::Blocked,
            Self::Unresolved => ErrorKind::SourceUnreadable,
        };
        // A password is nobody's business.
        let address = if address.contains('@') { "the URL" } else { address };
        Error::new(kind, format!("{address}: {self}"))
    }
}

impl Egress {
    pub(crate) fn new(policy: EgressPolicy, resolver: Arc<dyn Resolver>, connect: Duration) -> Self {
        Self { inner: Arc::new(Inner { policy, resolver, connect, refused: Default::default() }) }
    }

    /// The URL in `text`, if it is one that may be asked for as far as it can be seen without looking its name up.
    pub(crate) fn parse(&self, text: &str) -> Result<Url, Refused> {
        let url = self.inner.policy.parse(text).and_then(|url| self.inner.policy.target(&url).map(|_| url));
        url.inspect_err(|refused| self.count(refused))
    }

    /// The URL in `text`, if it is one that may be asked for. Nobody is told if it is not: it will be asked for again.
    pub(crate) fn peek(&self, text: &str) -> Option<Url> {
        let url = self.inner.policy.parse(text).ok()?;
        self.inner.policy.target(&url).is_ok().then_some(url)
    }

    /// Whether `url` may be connected to, its name looked up. For whoever hands a URL to somebody else to ask for it.
    pub(crate) async fn check(&self, url: &Url) -> Result<(), DialError> {
        let target = self.inner.policy.target(url).inspect_err(|refused| self.count(refused))?;
        self.admitted(&target, Instant::now() + self.inner.connect).await.map(|_| ())
    }

    /// Connects to `url`'s host.
    pub(crate) async fn dial(&self, url: &Url) -> Result<TcpStream, DialError> {
        let target = self.inner.policy.target(url).inspect_err(|refused| self.count(refused))?;
        self.connect(&target).await
    }

    /// Connects to `host`, which is a name or an address, at `port`.
    pub(crate) async fn dial_authority(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let target = self.inner.policy.authority(host, port).inspect_err(|refused| self.count(refused))?;
        self.connect(&target).await
    }

    /// Whether an address is in a network that the operator has allowed by name.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.inner.policy.allows(address)
    }

    /// Connections that were refused so far, by why.
    pub(crate) fn refused(&self) -> BTreeMap<&'static str, u64> {
        Refused::WHYS.into_iter().zip(self.inner.refused.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }

    fn count(&self, refused: &Refused) {
        self.inner.refused[refused.place()].fetch_add(1, Ordering::Relaxed);
        tracing::info!(why = refused.why(), "a connection is refused");
    }

    async fn admitted(&self, target: &Target, deadline: Instant) -> Result<Vec<SocketAddr>, DialError> {
        let addresses = match target.literal() {
            Some(address) => vec![address],
            None => {
                let name = target.host().to_string();
                match self.look_up(&name, deadline).await.ok_or_else(|| self.late(target))? {
                    Ok(found) => found,
                    Err(source) if is_short(&source) => {
                        return Err(DialError::Short { within: self.inner.connect, source });
                    }
                    // A name that would be refused must not be told from one that is not there.
                    Err(source) if target.admit(&self.inner.policy, &[]) == Err(Refused::Unresolved) => {
                        return Err(DialError::Unresolved { host: name, source });
                    }
                    Err(_) => Vec::new(),
                }
            }
        };
        target.admit(&self.inner.policy, &addresses).inspect_err(|refused| self.count(refused)).map_err(DialError::Refused)
    }

    async fn connect(&self, target: &Target) -> Result<TcpStream, DialError> {
        let deadline = Instant::now() + self.inner.connect;
        let mut addresses = self.admitted(target, deadline).await?;
        addresses.truncate(TRIED);
        let mut last = None;
        for (tried, address) in addresses.iter().enumerate() {
            // Each of those that are left gets its share of the time that is left, so that one that is silent does not
            // take it all.
            let left = u32::try_from(addresses.len() - tried).unwrap_or(1);
            let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / left;
            match self.connect_to(*address, share).await {
                Ok(stream) => {
                    // Requests are written whole: there is nothing to wait for.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection may be slower than it could be");
                    }
                    return Ok(stream);
                }
                // One that could not be tried says nothing of the host, whatever the others say.
                Err(_) if matches!(last, Some(DialError::Short { .. })) => {}
                Err(Some(source)) if is_shortage(&source) => {
                    last = Some(DialError::Short { within: self.inner.connect, source });
                }
                Err(Some(source)) => last = Some(DialError::Unreachable { host: target.host().to_string(), source }),
                Err(None) => last = Some(self.late(target)),
            }
        }
        Err(last.unwrap_or_else(|| self.late(target)))
    }

    /// What the resolver says of `name` until `deadline`; `None` if that is nothing.
    async fn look_up(&self, name: &str, deadline: Instant) -> Option<io::Result<Vec<IpAddr>>> {
        loop {
            match timeout_at(deadline, self.inner.resolver.resolve(name)).await.ok()? {
                Err(error) if is_short(&error) && Instant::now() + SHORTAGE < deadline => sleep(SHORTAGE).await,
                said => return Some(said),
            }
        }
    }

    /// Connects until `deadline`; `None` if nothing was heard until then. What this machine is short of is waited for: a
    /// page whose script could not be fetched would be another page.
    async fn connect_to(&self, address: SocketAddr, deadline: Instant) -> Result<TcpStream, Option<io::Error>> {
        loop {
            match timeout_at(deadline, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) if is_shortage(&error) && Instant::now() + SHORTAGE < deadline => sleep(SHORTAGE).await,
                Ok(Err(error)) => return Err(Some(error)),
                Err(_) => return Err(None),
            }
        }
    }

    fn late(&self, target: &Target) -> DialError {
        DialError::Late { host: target.host().to_string(), within: self.inner.connect }
    }
}

/// Whether a name could not be looked up for want of descriptors. The C library says then what it likes, "busy" or "not
/// known": so it is looked whether there is one.
fn is_short(error: &io::Error) -> bool {
    is_shortage(error) || std::fs::File::open("/dev/null").is_err_and(|error| is_shortage(&error))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// Knows one name, after so many times without a descriptor.
    #[derive(Debug)]
    struct Short(AtomicU32);

    impl Resolver for Short {
        fn resolve<'r>(&'r self, _: &'r str) -> Resolving<'r> {
            let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            Box::pin(async move {
                match left {
                    Ok(_) => Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())),
                    Err(_) => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
                }
            })
        }
    }

    fn door(times: u32, within: Duration) -> Egress {
        Egress::new(EgressPolicy::default().allowing_loopback(), Arc::new(Short(AtomicU32::new(times))), within)
    }

    #[tokio::test]
    async fn what_this_machine_is_short_of_is_waited_for() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let dialled = door(3, Duration::from_secs(30)).dial_authority("site.example", port).await;
        assert!(dialled.is_ok(), "{dialled:?}");
    }

    #[tokio::test]
    async fn what_it_stays_short_of_blames_nobody_and_says_when_to_come_back() {
        let dialled = door(u32::MAX, Duration::from_millis(100)).dial_authority("site.example", 80).await;
        let Err(error @ DialError::Short { .. }) = dialled else { panic!("{dialled:?}") };
        let told = error.of("http://site.example/");
        assert_eq!(told.kind(), ErrorKind::Unavailable);
        assert_eq!(told.retry_delay(), Some(COME_BACK));
    }
}

//! Names to addresses, by whoever the host says.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

/// Addresses on their way.
pub type Resolving<'r> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'r>>;

/// Looks names up. What it says is judged afterwards: it may say anything.
pub trait Resolver: fmt::Debug + Send + Sync {
    /// The addresses of `host`, best first.
    ///
    /// # Errors
    /// If the name is unknown, or nobody could be asked.
    fn resolve<'r>(&'r self, host: &'r str) -> Resolving<'r>;
}

/// The system's own resolver: what its hosts file, its name servers and its settings say.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'r>(&'r self, host: &'r str) -> Resolving<'r> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

//! Where a daemon is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// Where a daemon is: `http://HOST:PORT`, `https://HOST` or `unix:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// On the network, perhaps below a path of somebody who passes requests on.
    Web(Url),
    /// Behind a socket file.
    Unix(PathBuf),
}

impl Address {
    /// The URI of one of the daemon's paths.
    pub(super) fn uri(&self, path: &str) -> String {
        match self {
            Self::Web(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
            // A name is needed, and means nothing.
            Self::Unix(_) => format!("http://localhost{path}"),
        }
    }

    /// Whether others could read along.
    pub(super) fn is_overheard(&self) -> bool {
        match self {
            Self::Unix(_) => false,
            Self::Web(url) => {
                let here = match url.host() {
                    Some(Host::Domain(name)) => name == "localhost",
                    Some(Host::Ipv4(address)) => address.is_loopback(),
                    Some(Host::Ipv6(address)) => address.is_loopback(),
                    None => false,
                };
                url.scheme() == "http" && !here
            }
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err("a socket is unix:/PATH".to_owned()) };
        }
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url else { return Err("a server is http://HOST:PORT, https://HOST or unix:/PATH".to_owned()) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a server's URL holds no password; a key is given by --key-file or EVENTMESH_KEY".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a server's URL ends with its host, or with a path".to_owned());
        }
        Ok(Self::Web(url))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_in_three_ways() {
        let table = [
            ("http://127.0.0.1:7800", "http://127.0.0.1:7800/v1/extract", false),
            ("http://[::1]:7800/", "http://[::1]:7800/v1/extract", false),
            ("http://mesh.example:7800", "http://mesh.example:7800/v1/extract", true),
            ("https://mesh.example/behind/", "https://mesh.example/behind/v1/extract", false),
            ("unix:/run/eventmesh/api.sock", "http://localhost/v1/extract", false),
        ];
        for (text, uri, overheard) in table {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.uri("/v1/extract").as_str(), address.is_overheard()), (uri, overheard), "{text}");
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        for text in
            ["", "127.0.0.1:7800", "mesh.example", "ftp://x/", "unix:api.sock", "http://a:b@x/", "http://x/?a", "http://x/#a"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}

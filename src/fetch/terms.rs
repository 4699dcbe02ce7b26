//! On which terms a page is asked for.

use tokio::time::Instant;

use crate::config::FetchLimits;
use crate::error::{Error, ErrorKind};
use crate::request::{Request, Robots};
use crate::sessions::Session;

/// On which terms a page is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// When nobody waits for it any more.
    pub(crate) deadline: Instant,
    /// Whether the site's robots.txt is to allow it.
    pub(crate) robots: bool,
    /// The cookies that are sent, and kept.
    pub(crate) session: Option<Session>,
}

impl Terms {
    /// Those of a request.
    pub(crate) fn of(request: &Request, limits: &FetchLimits, deadline: Instant) -> Result<Self, Error> {
        let robots = match request.robots {
            None => limits.robots,
            Some(Robots::Honour) => true,
            Some(Robots::Ignore) if limits.robots && !limits.robots_optional => {
                let message = "robots.txt is honoured here, and a request may not ignore it unless the operator lets it \
                               (fetch.robots_optional)";
                return Err(Error::new(ErrorKind::Disallowed, message));
            }
            Some(Robots::Ignore) => false,
        };
        Ok(Self { deadline, robots, session: request.session.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides_about_robots() {
        for (honour, optional, asked, expected) in [
            (true, false, None, Ok(true)),
            (true, false, Some(Robots::Honour), Ok(true)),
            (true, false, Some(Robots::Ignore), Err(ErrorKind::Disallowed)),
            (true, true, Some(Robots::Ignore), Ok(false)),
            (false, false, None, Ok(false)),
            (false, false, Some(Robots::Honour), Ok(true)),
            (false, false, Some(Robots::Ignore), Ok(false)),
        ] {
            let limits = FetchLimits { robots: honour, robots_optional: optional, ..FetchLimits::default() };
            let mut request = Request::url("http://example.com/");
            request.robots = asked;
            let found = Terms::of(&request, &limits, Instant::now()).map(|terms| terms.robots).map_err(|error| error.kind());
            assert_eq!(found, expected, "{honour} {optional} {asked:?}");
        }
    }
}

//! One URL asked for with manners: robots.txt first, then a turn at its host, and again if that may help.

use std::error::Error as StdError;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap, RETRY_AFTER};
use hyper_util::client::legacy::connect::HttpInfo;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use url::Url;

use super::breaker::Outcome;
use super::retry::{Retries, Trouble, retry_after};
use super::robots::{LONGEST, Rules, Standing, token};
use super::terms::Terms;
use super::turns::{Turn, literal};
use super::{Fetcher, blocking, text_of, unreachable};
use crate::cache::{UnixTime, Validators};
use crate::egress::{DialError, cause};
use crate::error::{Error, ErrorKind};

impl Fetcher {
    /// Waits for a turn at `url`'s host, if the site allows it to be asked for at all.
    pub(crate) async fn turn(&self, url: &Url, terms: &Terms) -> Result<Turn, Error> {
        let delay = if terms.robots { Some(self.allowed(url, terms).await?) } else { None };
        let turn = self.turns.take(url, terms.deadline).await?;
        if let Some(delay) = delay {
            turn.space(delay);
        }
        if let Some(address) = literal(url) {
            turn.owned(self.egress.is_own(address));
        }
        Ok(turn)
    }

    /// Asks for `url` alone, and again if that may help.
    pub(super) async fn persist(
        &self,
        url: &Url,
        known: Option<&Validators>,
        terms: &Terms,
    ) -> Result<(Response<Incoming>, Turn), Error> {
        let mut retries = Retries::new(self.retries);
        loop {
            let mut turn = self.turn(url, terms).await?;
            let asked = self.once(url, known, terms, &mut turn).await;
            let trouble = match &asked {
                Ok(response) => Trouble::Status { code: response.status().as_u16(), retry_after: wish(response.headers()) },
                Err((trouble, _)) => *trouble,
            };
            let left = terms.deadline.saturating_duration_since(Instant::now());
            let Some(delay) = retries.next(trouble, left, fastrand::f64()) else {
                return asked.map(|response| (response, turn)).map_err(|(_, error)| error);
            };
            // Others may have it while this one waits.
            drop((asked, turn));
            self.retried.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%url, ?trouble, ?delay, "asking again");
            sleep(delay).await;
        }
    }

    /// Asks once, and tells the host's turn how that went.
    async fn once(
        &self,
        url: &Url,
        known: Option<&Validators>,
        terms: &Terms,
        turn: &mut Turn,
    ) -> Result<Response<Incoming>, (Trouble, Error)> {
        let request = self.ask(url, known, terms).map_err(|error| (Trouble::Final, error))?;
        let response = match timeout(self.idle, self.client.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let (trouble, outcome) = trouble(&error);
                turn.went(outcome);
                return Err((trouble, unreachable(url.as_str(), error)));
            }
            Err(_) => {
                turn.went(Outcome::Badly);
                return Err((Trouble::Final, self.silent(url.as_str())));
            }
        };
        if let Some(info) = response.extensions().get::<HttpInfo>() {
            turn.owned(self.egress.is_own(info.remote_addr().ip()));
        }
        let status = response.status();
        turn.went(if status.is_server_error() { Outcome::Badly } else { Outcome::Well });
        if let (429 | 503, Some(wish)) = (status.as_u16(), wish(response.headers())) {
            turn.pause(wish);
        }
        if let Some(session) = &terms.session {
            session.store(url, response.headers());
        }
        Ok(response)
    }

    /// The next part of a body, which has to be there as a whole by `until`.
    pub(super) async fn part(&self, body: &mut Incoming, until: Instant, address: &str) -> Result<Option<Frame<Bytes>>, Error> {
        let idle = Instant::now() + self.idle;
        match timeout_at(idle.min(until), body.frame()).await {
            Ok(frame) => frame.transpose().map_err(|error| unreachable(address, error)),
            Err(_) if until < idle => {
                let message = format!("failed to fetch {address}: it did not come within {:?}", self.body);
                Err(Error::new(ErrorKind::SourceUnreadable, message))
            }
            Err(_) => Err(self.silent(address)),
        }
    }

    /// Whether the site allows `url` to be asked for; how long it wants between two requests, if so.
    async fn allowed(&self, url: &Url, terms: &Terms) -> Result<Duration, Error> {
        let origin = url.origin().ascii_serialization();
        let (standing, good) = self.robots.of(&origin, || self.ask_robots(url, terms)).await?;
        match standing {
            Standing::Rules(rules) => {
                let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
                if rules.allow(path) {
                    return Ok(rules.delay().unwrap_or_default());
                }
                self.disallowed.fetch_add(1, Ordering::Relaxed);
                Err(Error::new(ErrorKind::Disallowed, format!("robots.txt of {origin} does not allow {path}")))
            }
            Standing::Silent { why, unreached: true } => Err(Error::new(ErrorKind::SourceUnreadable, &*why).retry_after(good)),
            Standing::Silent { why, unreached: false } => {
                self.disallowed.fetch_add(1, Ordering::Relaxed);
                let message = format!("robots.txt of {origin} cannot be had, and nothing is asked of it until it can: {why}");
                Err(Error::new(ErrorKind::Disallowed, message).retry_after(good))
            }
        }
    }

    /// Asks a site for its rules. An error says nothing of the site.
    async fn ask_robots(&self, url: &Url, terms: &Terms) -> Result<(Standing, Duration), Error> {
        let mut file = url.clone();
        file.set_path("/robots.txt");
        file.set_query(None);
        file.set_fragment(None);
        let plain = Terms { deadline: terms.deadline, robots: false, session: None };
        let everything = || (Standing::Rules(Arc::default()), self.robots_kept);
        let (response, url, _turn) = match Box::pin(self.follow(file, None, &plain)).await {
            Ok(found) => found,
            // It is about us, or about now.
            Err(error) if error.retry_delay().is_some() => return Err(error),
            Err(error) if error.kind() == ErrorKind::SourceUnreadable => {
                let standing = Standing::Silent { why: error.to_string().into(), unreached: true };
                return Ok((standing, self.robots_again));
            }
            // It leads nowhere, and is not there then.
            Err(error) if error.kind() == ErrorKind::SourceRefused => return Ok(everything()),
            Err(error) => return Err(error),
        };
        let status = response.status();
        if status.is_server_error() || status.as_u16() == 429 {
            let standing = Standing::Silent { why: format!("it answers with HTTP {status}").into(), unreached: false };
            return Ok((standing, self.robots_again));
        }
        if !status.is_success() {
            return Ok(everything());
        }
        let text = self.robots_text(response, url.as_str()).await;
        let product = self.user_agent.to_str().map_or("", token);
        Ok(match text {
            Ok(text) => (Standing::Rules(Arc::new(Rules::parse(&text, product))), self.robots_kept),
            Err(error) => (Standing::Silent { why: error.to_string().into(), unreached: true }, self.robots_again),
        })
    }

    async fn robots_text(&self, response: Response<Incoming>, address: &str) -> Result<Vec<u8>, Error> {
        let coding = text_of(response.headers(), &CONTENT_ENCODING).unwrap_or_default();
        let mut body = response.into_body();
        let until = Instant::now() + self.body;
        let mut text = Vec::new();
        while let Some(frame) = self.part(&mut body, until, address).await? {
            let Ok(part) = frame.into_data() else { continue };
            text.extend_from_slice(&part[..part.len().min(LONGEST - text.len())]);
            if text.len() == LONGEST {
                break;
            }
        }
        if coding.is_empty() {
            return Ok(text);
        }
        let plain = blocking(move || plain(&coding, text)).await?;
        // What cannot be read has said nothing, least of all that everything is allowed.
        plain.map_err(|error| {
            let message = format!("{address} cannot be read as it was sent: {error}");
            Error::new(ErrorKind::SourceUnreadable, message).caused_by(error)
        })
    }
}

/// The text that was sent as `coding`, up to where it is read.
fn plain(coding: &str, sent: Vec<u8>) -> io::Result<Vec<u8>> {
    match &*coding.to_ascii_lowercase() {
        "" | "identity" => Ok(sent),
        "gzip" | "x-gzip" => {
            let (mut sent, mut text) = (&sent[..], Vec::new());
            // What follows it and is no gzip is left out, as it is of pages.
            while text.len() < LONGEST && (sent.first() == Some(&0x1f) || text.is_empty() && !sent.is_empty()) {
                let left = (LONGEST - text.len()) as u64;
                GzDecoder::new(&mut sent).take(left).read_to_end(&mut text)?;
            }
            Ok(text)
        }
        other => Err(io::Error::new(io::ErrorKind::Unsupported, format!("it is {other}, which was not asked for"))),
    }
}

/// When the server wants to be asked again.
pub(super) fn wish(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, UnixTime::now())
}

/// What went wrong before there was an answer, and what that says of the host.
fn trouble(error: &(dyn StdError + 'static)) -> (Trouble, Outcome) {
    match cause(error) {
        // It was not asked. What this machine was short of has been waited for already.
        Some(DialError::Refused(_) | DialError::Short { .. }) => return (Trouble::Final, Outcome::Unknown),
        // A name that is not known now will hardly be in a second.
        Some(DialError::Unresolved { .. }) => return (Trouble::Final, Outcome::Badly),
        Some(DialError::Unreachable { .. } | DialError::Late { .. }) => return (Trouble::Connect, Outcome::Badly),
        None => {}
    }
    let mut next = Some(error);
    while let Some(error) = next {
        // One that went before the request was written is told as a request that was given up.
        let broken_off = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_closed() || error.is_canceled());
        let reset = error.downcast_ref::<io::Error>().is_some_and(|error| {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
            matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
        });
        if broken_off || reset {
            return (Trouble::Reset, Outcome::Badly);
        }
        next = error.source();
    }
    (Trouble::Final, Outcome::Badly)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(text).expect("it is written to memory");
        gzip.finish().expect("it is written to memory")
    }

    #[test]
    fn rules_are_read_as_they_were_written_and_not_as_they_were_sent() {
        let rules = b"User-agent: *\nDisallow: /private\n";
        assert_eq!(plain("", rules.to_vec()).expect("it is plain"), rules);
        assert_eq!(plain("Identity", rules.to_vec()).expect("it is plain"), rules);
        for coding in ["gzip", "GZIP", "x-gzip"] {
            assert_eq!(plain(coding, gzip(rules)).expect("it is gzip"), rules);
        }
        let two = [gzip(rules), gzip(rules)].concat();
        assert_eq!(plain("gzip", two).expect("it is gzip, twice"), [&rules[..], rules].concat());
    }

    #[test]
    fn what_cannot_be_read_is_no_rule_and_what_grows_is_cut() {
        let rules = gzip(b"User-agent: *\nDisallow: /private\n");
        assert!(plain("gzip", rules[..rules.len() / 2].to_vec()).is_err());
        assert!(plain("gzip", b"User-agent: *".to_vec()).is_err());
        assert_eq!(plain("gzip", Vec::new()).expect("nothing was said"), b"");
        assert!(plain("br", rules.clone()).is_err());
        assert!(plain("gzip, gzip", rules).is_err());
        assert_eq!(plain("gzip", gzip(&vec![b'#'; LONGEST * 20])).expect("it is gzip").len(), LONGEST);
    }
}

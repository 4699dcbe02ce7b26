//! The way of a request for a page on the web that may be known already.
//!
//! What is kept is the content as JSON, which is what most callers want, and what was found. Whoever asks while somebody else
//! fetches waits for the same content. What a caller asks for besides content (pictures, logs, pages one by one) is nobody
//! else's, and such requests come past here.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes};
use eventmesh_actors::spawn_named;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::time::Time;
use super::{Doing, Made, make};
use crate::admission::Permit;
use crate::cache::{
    Answer, Content, Directives, Failure, Fetched, Freshness, FreshnessPolicy, Key, ResponseHead, Unanswered, UnixTime,
    Validators,
};
use crate::egress::{DialError, cause};
use crate::engine::Inner;
use crate::error::{Error, ErrorKind};
use crate::gate::RouteTaken;
use crate::render::RenderOptions;
use crate::reply::{Body, Chunk, Head, Reply, ReplySender, Timing, write};
use crate::request::{Request, Source};

/// How a request is answered from what is kept.
pub(super) struct Plan {
    key: Key,
    directives: Directives,
}

/// What a request has to do with what is kept; `None` if nothing.
pub(super) fn plan(inner: &Inner, request: &Request) -> Option<Plan> {
    inner.cache.as_ref()?;
    let Source::Url(url) = &request.source else { return None };
    // What nobody may ask for is refused where everything is.
    let url = inner.egress.peek(url)?;
    // What a session brings is one caller's alone.
    if request.session.is_some() || request.password.is_some() || request.render.is_some() || !is_shared(&request.options) {
        return None;
    }
    let options = format!(
        "{:?} {:?} {} {} {:?} {:?} {:?}",
        request.base_url, request.charset, request.html, request.images, request.mode, request.options, request.robots
    );
    let key = Key::new(&url, options.as_bytes(), &inner.version);
    Some(Plan { key, directives: request.cache.clone() })
}

/// Whether nothing is asked for but content, and nothing is brought that is one caller's alone.
fn is_shared(options: &RenderOptions) -> bool {
    let asks = options.screenshot.is_some() || options.pdf || options.raw || options.console || options.network;
    let brings = !options.cookies.is_empty() || !options.headers.is_empty() || !options.actions.is_empty();
    !asks && !brings && !options.with_cookies
}

/// Answers from what is kept, or by what is fetched now.
pub(super) async fn extract(
    inner: &Arc<Inner>,
    plan: Plan,
    request: Request,
    permit: Permit,
    time: Time,
    reply: &ReplySender,
) -> Result<Timing, Error> {
    // There is a plan because there is a cache.
    let Some(cache) = &inner.cache else { return Err(Error::new(ErrorKind::Internal, "the cache is gone")) };
    let streams = request.stream_pages;
    let again = request.clone();
    // What this very request has seen of the page, if it was the one to fetch it.
    let seen = Mutex::new(None);
    let fetch = |known: Option<Validators>| {
        let seen = &seen;
        async move {
            // A caller that wants pages one by one gets them as they come; what it gets is not the whole.
            let made = Box::pin(make(inner, request, permit, time, known.as_ref(), reply)).await;
            if let Ok(made) = &made {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((made.head.is_some(), made.timing));
            }
            fetched(made, streams, &inner.config.cache.freshness)
        }
    };
    let asked = cache.get_or_fetch(plan.key, &plan.directives, UnixTime::now(), fetch);
    let answer = timeout_at(time.deadline(), asked).await.map_err(|_| time.late(Doing::FetchingByAnother))?;
    let answer = match answer {
        Ok(answer) => answer,
        Err(unanswered) => return Err(unanswered_error(&unanswered)),
    };
    let seen = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    let Answer { content, body, status, refresh, .. } = answer;
    if let Some(refresh) = refresh {
        let inner = Arc::clone(inner);
        spawn_named("refresh", async move {
            let done = refresh.run(|known| renew(&inner, again, time, known)).await;
            tracing::debug!(?done, "what was stale has been asked for again");
        });
    }
    match content {
        Content::Failure => Err(Kept::of_failure(&body).cached(status)),
        Content::Document => {
            let kept = Kept::of(&body)?;
            if !seen.is_some_and(|(headed, _)| headed) {
                reply.send(Chunk::Head(kept.head)).await;
                if let Some(route) = kept.route {
                    reply.send(Chunk::Route(route)).await;
                }
            }
            time.hand(reply, Chunk::Body(Body::kept(kept.json, status))).await?;
            Ok(seen.map_or_else(|| Timing { total: Instant::now() - time.began, ..Timing::default() }, |(_, timing)| timing))
        }
    }
}

/// Why there is no answer, and what the cache had to do with that.
fn unanswered_error(unanswered: &Unanswered<Error>) -> Error {
    let error = match unanswered {
        Unanswered::Failed { error, .. } => Error::clone(error),
        Unanswered::NotCached => Error::new(ErrorKind::SourceNotFound, "nothing is kept that answers the request"),
        Unanswered::NothingToConfirm { .. } => {
            Error::new(ErrorKind::SourceUnreadable, "the server says that nothing has changed, but nothing was known")
        }
    };
    error.cached(unanswered.status())
}

/// Fetches what is stale once more, for whoever asks next.
async fn renew(inner: &Arc<Inner>, request: Request, time: Time, known: Option<Validators>) -> Fetched<Error> {
    let time = Time { began: Instant::now(), ..time };
    // Nobody reads this one.
    let (reply, reader) = Reply::new();
    drop(reader);
    let made = match inner.enter(time.deadline()) {
        Ok(permit) => Box::pin(make(inner, request, permit, time, known.as_ref(), &reply)).await,
        Err(error) => Err(error),
    };
    reply.finish(Ok(Timing::default()));
    fetched(made, false, &inner.config.cache.freshness)
}

/// What has been made, as the cache takes it.
fn fetched(made: Result<Made, Error>, parts: bool, policy: &FreshnessPolicy) -> Fetched<Error> {
    match made {
        Ok(Made { head: None, document: None, freshness: Some(freshness), .. }) => Fetched::NotModified(freshness),
        Ok(Made { head: Some(head), route, document: Some(document), freshness, makeshift, .. }) => {
            // Pages that were sent one by one are not in it.
            let whole = !parts || document.pdf.is_none();
            let mut freshness = freshness.unwrap_or_else(|| {
                let silent = ResponseHead { status: head.status.unwrap_or(200), headers: &[], authorized: false };
                Freshness::of(&silent, UnixTime::now(), policy)
            });
            freshness.storable &= whole;
            match Kept::written(&head, route, &document) {
                Ok(body) if makeshift => Fetched::Makeshift { body, at: UnixTime::now() },
                Ok(body) => Fetched::Document { body, freshness },
                Err(error) => Fetched::Failed { failure: Failure::Ours, error, keep: None },
            }
        }
        Ok(Made { .. }) => {
            let error = Error::new(ErrorKind::Internal, "nothing has been made of the source");
            Fetched::Failed { failure: Failure::Ours, error, keep: None }
        }
        Err(error) => {
            let failure = failure(&error);
            let keep = failure.is_kept().then(|| {
                let silent = ResponseHead { status: error.upstream_status().unwrap_or(404), headers: &[], authorized: false };
                (Kept::written_failure(&error), Freshness::of_failure(&silent, UnixTime::now(), policy))
            });
            Fetched::Failed { failure, error, keep }
        }
    }
}

/// Whose fault it is, as far as that matters for what is kept.
fn failure(error: &Error) -> Failure {
    match error.kind() {
        // It was not asked, for want of descriptors: that is no rule of ours, and what is known may stand in.
        ErrorKind::Unavailable if matches!(cause(error), Some(DialError::Short { .. })) => Failure::Unreachable,
        ErrorKind::SourceNotFound => Failure::Missing,
        ErrorKind::SourceRefused => match error.upstream_status() {
            Some(status) if status >= 500 => Failure::Broken,
            Some(_) | None => Failure::Refused,
        },
        ErrorKind::SourceUnreadable => Failure::Unreachable,
        ErrorKind::Deadline => Failure::Late,
        ErrorKind::Unsupported
        | ErrorKind::Malformed
        | ErrorKind::PasswordRequired
        | ErrorKind::EncryptionUnsupported
        | ErrorKind::TooLarge => Failure::Unusable,
        ErrorKind::InvalidRequest
        | ErrorKind::Blocked
        | ErrorKind::Disallowed
        | ErrorKind::NotInstalled
        | ErrorKind::ResourceLimit
        | ErrorKind::ExtractionFailed
        | ErrorKind::Quarantined
        | ErrorKind::Internal => Failure::Ours,
        ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::ShuttingDown => Failure::Busy,
    }
}

/// What is kept: what was found, and the content as JSON.
struct Kept {
    head: Head,
    route: Option<Box<RouteTaken>>,
    json: Bytes,
}

#[derive(Serialize, Deserialize)]
struct KeptHead {
    url: Option<String>,
    status: Option<u16>,
    content_type: Option<String>,
    bytes: usize,
    route: Option<Box<RouteTaken>>,
}

#[derive(Serialize, Deserialize)]
struct KeptFailure {
    kind: String,
    message: String,
    upstream: Option<u16>,
}

impl Kept {
    /// The length of what was found, what was found, the content.
    fn written(head: &Head, route: Option<Box<RouteTaken>>, document: &crate::Document) -> Result<Bytes, Error> {
        let unwritten =
            |error: serde_json::Error| Error::new(ErrorKind::Internal, "the content cannot be written down").caused_by(error);
        let found = KeptHead {
            url: head.url.clone(),
            status: head.status,
            content_type: head.content_type.clone(),
            bytes: head.bytes,
            route,
        };
        let found = serde_json::to_vec(&found).map_err(unwritten)?;
        let mut written = Vec::new();
        written.put_u32(u32::try_from(found.len()).unwrap_or(0));
        written.put_slice(&found);
        write(document, &mut written).map_err(unwritten)?;
        // It is kept, and counted by what is in it.
        written.shrink_to_fit();
        Ok(written.into())
    }

    fn of(body: &Bytes) -> Result<Self, Error> {
        let broken = || Error::new(ErrorKind::Internal, "what is kept cannot be read");
        let length = body.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize).ok_or_else(broken)?;
        let found = body.get(4..4 + length).ok_or_else(broken)?;
        let KeptHead { url, status, content_type, bytes, route } =
            serde_json::from_slice(found).map_err(|error| broken().caused_by(error))?;
        Ok(Self { head: Head { url, status, content_type, bytes }, route, json: body.slice(4 + length..) })
    }

    fn written_failure(error: &Error) -> Bytes {
        let kept =
            KeptFailure { kind: error.kind().label().to_owned(), message: error.to_string(), upstream: error.upstream_status() };
        // Two texts and a number.
        serde_json::to_vec(&kept).unwrap_or_default().into()
    }

    fn of_failure(body: &Bytes) -> Error {
        let kept = serde_json::from_slice::<KeptFailure>(body).ok();
        let kept = kept.and_then(|kept| Some((ErrorKind::from_label(&kept.kind)?, kept.message, kept.upstream)));
        let Some((kind, message, upstream)) = kept else {
            return Error::new(ErrorKind::Internal, "a failure that is kept cannot be read");
        };
        let error = Error::new(kind, message);
        match upstream {
            Some(status) => error.upstream(status),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{CacheStatus, Forward, Way};

    #[test]
    fn what_is_kept_is_what_was_written() {
        let head = Head { url: Some("https://example.com/".to_owned()), status: Some(200), content_type: None, bytes: 7 };
        let document = crate::Document { title: Some("T".to_owned()), ..crate::Document::default() };
        let kept = Kept::of(&Kept::written(&head, None, &document).expect("it is written")).expect("it is read");
        assert_eq!(kept.head, head);
        assert_eq!(kept.json, serde_json::to_vec(&document).expect("it is JSON"));
        assert!(Kept::of(&Bytes::from_static(b"\0\0\0\x09x")).is_err());
        let error = Error::new(ErrorKind::SourceNotFound, "not there").upstream(410);
        let back = Kept::of_failure(&Kept::written_failure(&error));
        assert_eq!((back.kind(), back.to_string(), back.upstream_status()), (error.kind(), error.to_string(), Some(410)));
    }

    #[test]
    fn a_failure_says_how_it_came_through_the_cache() {
        let way = Way::Forward { why: Forward::Stale, status: None, stored: true, collapsed: false };
        let status = CacheStatus { way, ttl: None, detail: None };
        let gone = Error::new(ErrorKind::SourceNotFound, "gone").upstream(410);
        let failed = Unanswered::Failed { error: Arc::new(gone.clone()), status: status.clone() };
        let told = unanswered_error(&failed);
        assert_eq!((told.kind(), told.to_string()), (gone.kind(), gone.to_string()));
        let told = |error: Error| error.cache().map(ToString::to_string).unwrap_or_default();
        assert_eq!(told(unanswered_error(&failed)), "eventmesh; fwd=stale; fwd-status=410; stored");
        assert_eq!(told(unanswered_error(&Unanswered::NotCached)), "eventmesh; detail=only-if-cached");
        assert_eq!(told(unanswered_error(&Unanswered::NothingToConfirm { status })), "eventmesh; fwd=stale; stored");
        // One that is remembered came from here, whatever the server has said then.
        let hit = CacheStatus { way: Way::Hit, ttl: Some(7), detail: None };
        assert_eq!(told(Kept::of_failure(&Kept::written_failure(&gone)).cached(hit)), "eventmesh; hit; ttl=7");
    }

    #[test]
    fn what_is_only_better_than_nothing_is_handed_over_as_that() {
        let made = |makeshift| Made {
            head: Some(Head { url: None, status: Some(200), content_type: None, bytes: 7 }),
            route: None,
            document: Some(Box::default()),
            freshness: None,
            makeshift,
            timing: Timing::default(),
        };
        let policy = FreshnessPolicy::default();
        assert!(matches!(fetched(Ok(made(true)), false, &policy), Fetched::Makeshift { .. }));
        assert!(matches!(fetched(Ok(made(false)), false, &policy), Fetched::Document { .. }));
    }

    #[test]
    fn only_what_the_source_says_is_remembered() {
        for kind in ErrorKind::ALL {
            let failure = failure(&Error::new(kind, "x"));
            let ours = matches!(kind, ErrorKind::Internal | ErrorKind::Blocked | ErrorKind::Quarantined);
            assert_eq!(
                failure == Failure::Busy,
                matches!(kind, ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::ShuttingDown)
            );
            assert!(!ours || failure == Failure::Ours, "{kind}");
            assert!(!failure.is_kept() || kind.exit_code() == 4 || kind.exit_code() == 5, "{kind}");
        }
        assert_eq!(failure(&Error::new(ErrorKind::SourceRefused, "x").upstream(502)), Failure::Broken);
        assert_eq!(failure(&Error::new(ErrorKind::SourceRefused, "x").upstream(403)), Failure::Refused);
    }
}

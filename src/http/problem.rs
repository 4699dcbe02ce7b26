//! Failures as HTTP tells them: RFC 9457, with a type that stays, and whether and when to try again.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::CACHE_STATUS;
use crate::cache::CacheStatus;
use crate::error::{During, Error, ErrorKind};
use crate::queue::{Part, QueueError};

/// A failure (`application/problem+json`).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind of failure it is: a page of this server that explains it.
    #[serde(rename = "type")]
    #[schema(example = "/problems/overloaded")]
    #[schema(value_type = String)]
    kind: Box<str>,
    /// The kind, in words.
    #[schema(value_type = String)]
    title: Box<str>,
    /// The HTTP status.
    status: u16,
    /// What, why, and what to do.
    #[schema(value_type = String)]
    detail: Box<str>,
    /// The request that it happened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    instance: Option<Box<str>>,
    /// The kind, as a word.
    #[schema(example = "overloaded")]
    code: &'static str,
    /// Whether the same request may fare better later.
    retryable: bool,
    /// Milliseconds after which it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
    /// Which part of the work it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<ProblemStage>,
    /// What is wrong with which part of the request.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    #[schema(value_type = Vec<Fault>)]
    errors: Box<[Fault]>,
    /// How it came through the cache, if it was looked for there. It is told as a header.
    #[serde(skip)]
    cache: Option<Box<CacheStatus>>,
}

/// A part of the work on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProblemStage {
    Request,
    Admission,
    Fetch,
    Gate,
    Extract,
    Pool,
}

impl From<During> for ProblemStage {
    fn from(part: During) -> Self {
        match part {
            During::Fetch => Self::Fetch,
            During::Pool => Self::Pool,
            During::Extract => Self::Extract,
        }
    }
}

/// What is wrong with a part of a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// Where, as a JSON Pointer.
    #[schema(example = "/browser/viewport/width")]
    pointer: String,
    /// What.
    detail: String,
}

/// Failures of HTTP itself, which no engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpFailure {
    /// The body cannot be parsed.
    Syntax,
    /// The body makes no sense.
    Semantics,
    /// The body stops in the middle.
    Stalled,
    /// The body is larger than it may be.
    BodyTooLarge,
    /// The body is in a format that is not known.
    MediaType,
    /// None of the formats that are accepted can be had.
    NotAcceptable,
    /// There is nothing at this path.
    NoSuchPath,
    /// The path knows no such method.
    Method,
    /// A key is needed, and this is none.
    Unauthorized,
    /// The key does not allow this.
    Forbidden,
    /// A web page of another site asks, where whoever is on this machine needs no key.
    Foreign,
    /// The key's quota is used up.
    Quota,
    /// There is no session of that name.
    NoSuchSession,
    /// There is a session of that name already.
    SessionExists,
    /// As many jobs wait, or are kept, as may be.
    QueueFull,
    /// The idempotency key stands for another request.
    IdempotencyConflict,
    /// There is no such job.
    NoSuchJob,
    /// The job has ended.
    JobEnded,
    /// This daemon keeps no jobs.
    NoJobs,
    /// The journal of jobs cannot be read or written.
    Storage,
}

impl HttpFailure {
    pub(crate) const ALL: [Self; 20] = [
        Self::Syntax,
        Self::Semantics,
        Self::Stalled,
        Self::BodyTooLarge,
        Self::MediaType,
        Self::NotAcceptable,
        Self::NoSuchPath,
        Self::Method,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Foreign,
        Self::Quota,
        Self::NoSuchSession,
        Self::SessionExists,
        Self::QueueFull,
        Self::IdempotencyConflict,
        Self::NoSuchJob,
        Self::JobEnded,
        Self::NoJobs,
        Self::Storage,
    ];

    /// The status, the kind as a word, and in words.
    pub(crate) fn told(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Syntax => (StatusCode::BAD_REQUEST, "syntax", "the body cannot be parsed"),
            Self::Semantics => (StatusCode::UNPROCESSABLE_ENTITY, "semantics", "the body makes no sense"),
            Self::Stalled => (StatusCode::REQUEST_TIMEOUT, "body_stalled", "the body stops in the middle"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", "the body's format is not known"),
            Self::NotAcceptable => (StatusCode::NOT_ACCEPTABLE, "not_acceptable", "no accepted format can be had"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "no_such_path", "there is nothing at this path"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method", "the path knows no such method"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "a key is needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "the key does not allow this"),
            Self::Foreign => (StatusCode::FORBIDDEN, "foreign", "a web page of another site may not ask here"),
            Self::Quota => (StatusCode::TOO_MANY_REQUESTS, "quota", "the key's quota is used up"),
            Self::NoSuchSession => (StatusCode::NOT_FOUND, "no_such_session", "there is no session of that name"),
            Self::SessionExists => (StatusCode::CONFLICT, "session_exists", "there is a session of that name already"),
            Self::QueueFull => (StatusCode::SERVICE_UNAVAILABLE, "queue_full", "as many jobs are there as may be"),
            Self::IdempotencyConflict => {
                (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_conflict", "the idempotency key stands for another request")
            }
            Self::NoSuchJob => (StatusCode::NOT_FOUND, "no_such_job", "there is no such job"),
            Self::JobEnded => (StatusCode::CONFLICT, "job_ended", "the job has ended"),
            Self::NoJobs => (StatusCode::NOT_IMPLEMENTED, "no_jobs", "this daemon keeps no jobs"),
            Self::Storage => (StatusCode::INTERNAL_SERVER_ERROR, "storage", "the journal of jobs cannot be used"),
        }
    }
}

impl Problem {
    pub(crate) fn http(failure: HttpFailure, detail: impl Into<String>) -> Self {
        let (status, code, title) = failure.told();
        Self {
            kind: format!("/problems/{code}").into(),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into().into(),
            instance: None,
            code,
            retryable: matches!(failure, HttpFailure::Quota | HttpFailure::Stalled | HttpFailure::QueueFull),
            retry_after_ms: None,
            stage: Some(ProblemStage::Request),
            errors: Box::default(),
            cache: None,
        }
    }

    /// A part of the request is at fault.
    pub(crate) fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let fault = Fault { pointer: pointer.into(), detail: detail.into() };
        self.errors = self.errors.into_iter().chain([fault]).collect();
        self
    }

    /// A part of a part is at fault, which is at `place`.
    pub(crate) fn under(mut self, place: &str) -> Self {
        if self.errors.is_empty() {
            let detail = self.detail.to_string();
            return self.at(place, detail);
        }
        for fault in &mut self.errors {
            fault.pointer.insert_str(0, place);
        }
        self
    }

    /// The disk has failed; what exactly is for the log.
    pub(crate) fn storage(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "the journal of jobs cannot be used");
        Self::http(HttpFailure::Storage, "the journal of jobs cannot be read or written; the daemon's log says why")
    }

    pub(crate) fn is_retryable(&self) -> bool {
        self.retryable
    }

    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after_ms = Some(u32::try_from(delay.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// It happened to the request of this name.
    pub(crate) fn instance(mut self, request: &str) -> Self {
        self.instance = Some(request.into());
        self
    }

    /// As it is sent.
    pub(crate) fn body(&self) -> Body {
        // Text and numbers.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The status that a failure of the engine is told with.
pub(crate) fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::SourceNotFound => StatusCode::NOT_FOUND,
        ErrorKind::SourceUnreadable | ErrorKind::SourceRefused => StatusCode::BAD_GATEWAY,
        ErrorKind::Blocked | ErrorKind::Disallowed => StatusCode::FORBIDDEN,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::InvalidRequest
        | ErrorKind::Unsupported
        | ErrorKind::Malformed
        | ErrorKind::PasswordRequired
        | ErrorKind::EncryptionUnsupported
        | ErrorKind::ResourceLimit
        | ErrorKind::Quarantined => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::NotInstalled => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Deadline => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::ExtractionFailed | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Which part of the work fails with such a failure, if it is always the same one.
fn stage(kind: ErrorKind) -> Option<ProblemStage> {
    match kind {
        ErrorKind::InvalidRequest => Some(ProblemStage::Request),
        ErrorKind::Overloaded | ErrorKind::ShuttingDown => Some(ProblemStage::Admission),
        ErrorKind::SourceNotFound
        | ErrorKind::SourceUnreadable
        | ErrorKind::SourceRefused
        | ErrorKind::Blocked
        | ErrorKind::Disallowed
        | ErrorKind::TooLarge => Some(ProblemStage::Fetch),
        ErrorKind::Unsupported => Some(ProblemStage::Gate),
        ErrorKind::Malformed
        | ErrorKind::PasswordRequired
        | ErrorKind::EncryptionUnsupported
        | ErrorKind::ResourceLimit
        | ErrorKind::ExtractionFailed
        | ErrorKind::Quarantined => Some(ProblemStage::Extract),
        ErrorKind::NotInstalled | ErrorKind::Unavailable => Some(ProblemStage::Pool),
        ErrorKind::Deadline | ErrorKind::Internal => None,
    }
}

/// Whether the same request may fare better later.
fn retryable(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::SourceUnreadable
        | ErrorKind::SourceRefused
        | ErrorKind::Deadline
        | ErrorKind::Quarantined
        | ErrorKind::Overloaded
        | ErrorKind::Unavailable
        | ErrorKind::ShuttingDown
        | ErrorKind::Internal => true,
        ErrorKind::InvalidRequest
        | ErrorKind::SourceNotFound
        | ErrorKind::Blocked
        | ErrorKind::Disallowed
        | ErrorKind::Unsupported
        | ErrorKind::Malformed
        | ErrorKind::PasswordRequired
        | ErrorKind::EncryptionUnsupported
        | ErrorKind::NotInstalled
        | ErrorKind::TooLarge
        | ErrorKind::ResourceLimit
        | ErrorKind::ExtractionFailed => false,
    }
}

/// A daemon that is going is back, or another one is there, in this time.
const BACK: Duration = Duration::from_secs(5);

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let kind = error.kind();
        let delay = error.retry_delay().or_else(|| (status(kind) == StatusCode::SERVICE_UNAVAILABLE).then_some(BACK));
        let problem = Self {
            kind: format!("/problems/{kind}").into(),
            title: kind.label().replace('_', " ").into(),
            status: status(kind).as_u16(),
            detail: error.to_string().into(),
            instance: None,
            code: kind.label(),
            retryable: retryable(kind),
            retry_after_ms: None,
            stage: stage(kind).or_else(|| error.part().map(ProblemStage::from)),
            errors: Box::default(),
            cache: error.cache().cloned().map(Box::new),
        };
        match delay {
            Some(delay) => problem.retry_after(delay),
            None => problem,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

/// When there may be room for one more job, or one more reader.
const ROOM: Duration = Duration::from_secs(5);

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        let http = |failure| Self::http(failure, error.to_string());
        match &error {
            QueueError::NotFound => http(HttpFailure::NoSuchJob),
            QueueError::Conflict { .. } => http(HttpFailure::IdempotencyConflict),
            QueueError::Full(_) => http(HttpFailure::QueueFull).retry_after(ROOM),
            QueueError::TooLarge { part, .. } => match part {
                Part::Spec => http(HttpFailure::BodyTooLarge),
                Part::Event | Part::Kind | Part::Owner | Part::Key | Part::Items => http(HttpFailure::Semantics),
            },
            QueueError::Ended(_) => http(HttpFailure::JobEnded),
            QueueError::TooManyEvents { .. }
            | QueueError::AlreadyAnswered { .. }
            | QueueError::NoSuchItem { .. }
            | QueueError::Stale => Error::new(ErrorKind::Internal, error.to_string()).into(),
            QueueError::Locked { .. } | QueueError::Corrupt { .. } | QueueError::Format { .. } | QueueError::Storage(_) => {
                Self::storage(&error)
            }
            QueueError::Closed => {
                Error::new(ErrorKind::ShuttingDown, "the daemon is shutting down, or its journal has failed").into()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(delay) = self.retry_after_ms {
            // Whole seconds, and never too early.
            headers.insert(RETRY_AFTER, HeaderValue::from(delay.div_ceil(1000).max(1)));
        }
        if let Some(cache) = self.cache.as_ref().and_then(|status| HeaderValue::from_str(&status.to_string()).ok()) {
            headers.insert(CACHE_STATUS, cache);
        }
        response.extensions_mut().insert(Told(self.code));
        // Which request it happened to is known further out.
        response.extensions_mut().insert(self);
        response
    }
}

/// What went wrong, for logs and metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told(pub(crate) &'static str);

#[cfg(test)]
mod tests {
    use eventmesh_extractors::browser::Doing as Rendering;

    use super::*;
    use crate::cache::Way;
    use crate::pipeline::Doing;

    #[test]
    fn whoever_is_sent_away_is_told_when_to_come_back() {
        for kind in ErrorKind::ALL {
            let problem = Problem::from(Error::new(kind, "why"));
            let away = matches!(problem.status, 429 | 503);
            assert!(!away || (problem.retry_after_ms.is_some() && problem.retryable), "{kind}");
            let response = problem.into_response();
            assert_eq!(away, response.headers().contains_key(RETRY_AFTER), "{kind}");
            assert!(response.status().is_client_error() || response.status().is_server_error(), "{kind}");
        }
    }

    #[test]
    fn a_deadline_says_what_was_under_way() {
        let table = [
            (Doing::LookingUp, "being looked up", "fetch"),
            (Doing::Fetching, "being fetched", "fetch"),
            (Doing::FetchingByAnother, "being fetched, by somebody else", "fetch"),
            (Doing::AwaitingTurn, "waiting for its turn at the host", "fetch"),
            (Doing::AwaitingWorker, "waiting for a worker", "pool"),
            (Doing::Rendering(Rendering::AwaitingBrowser), "waiting for a browser", "pool"),
            (Doing::Rendering(Rendering::Opening), "opening a page", "extract"),
            (Doing::Rendering(Rendering::Loading), "being loaded", "extract"),
            (Doing::Rendering(Rendering::AwaitingPage), "waiting for the page", "extract"),
            (Doing::Rendering(Rendering::Drawing), "being drawn", "extract"),
            (Doing::Extracting, "being extracted", "extract"),
            (Doing::Reading, "being read", "extract"),
            (Doing::AwaitingCaller, "waiting for its caller to take what had been read", "extract"),
        ];
        for (doing, told, stage) in table {
            assert_eq!(doing.to_string(), told);
            let problem = Problem::from(Error::new(ErrorKind::Deadline, told).during(doing.part()));
            assert_eq!(serde_json::to_value(&problem).expect("it is JSON")["stage"], stage, "{told}");
        }
    }

    #[test]
    fn no_two_failures_have_the_same_name() {
        let mut names: Vec<_> = ErrorKind::ALL.into_iter().map(ErrorKind::label).collect();
        names.extend(HttpFailure::ALL.map(|failure| failure.told().1));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_failure_that_came_through_the_cache_says_how() {
        let status = CacheStatus { way: Way::Hit, ttl: Some(7), detail: None };
        let failed = || Error::new(ErrorKind::SourceNotFound, "gone");
        let response = Problem::from(failed().cached(status)).into_response();
        assert_eq!(response.headers()[CACHE_STATUS], "eventmesh; hit; ttl=7");
        assert!(!Problem::from(failed()).into_response().headers().contains_key(CACHE_STATUS));
    }

    #[test]
    fn retry_after_is_never_too_early() {
        let problem = Problem::from(Error::new(ErrorKind::Overloaded, "full").retry_after(Duration::from_millis(1_001)));
        assert_eq!(problem.into_response().headers()[RETRY_AFTER], "2");
    }
}

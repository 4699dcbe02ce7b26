//! How a client would like to be answered (RFC 7240): now, or later as a job.

use std::time::Duration;

use hyper::header::HeaderMap;

/// The header.
const PREFER: &str = "prefer";

/// What a client would like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefer {
    /// To be told of a job at once, and of what came of it later.
    pub(super) later: bool,
    /// To wait so long for the answer itself before.
    pub(super) wait: Option<Duration>,
}

impl Prefer {
    /// What `headers` say. What is not known, or makes no sense, is no preference; the first of several counts.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let lines = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        for preference in lines.flat_map(|line| line.split(',')) {
            // What follows a semicolon belongs to preferences that are not known here.
            let said = preference.split(';').next().unwrap_or_default();
            let (name, value) = said.split_once('=').map_or((said, ""), |(name, value)| (name, value));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => prefer.later = true,
                "wait" if prefer.wait.is_none() => prefer.wait = value.parse().ok().map(Duration::from_secs),
                _ => {}
            }
        }
        prefer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read() {
        let seconds = |wait| Some(Duration::from_secs(wait));
        let table: &[(&[&str], bool, Option<Duration>)] = &[
            (&[], false, None),
            (&["respond-async"], true, None),
            (&["Respond-Async, wait=10"], true, seconds(10)),
            (&["respond-async", "wait = \"7\""], true, seconds(7)),
            (&["wait=1, wait=2"], false, seconds(1)),
            (&["wait=soon"], false, None),
            (&["wait=-1; respond-async"], false, None),
            (&["handling=lenient; x=\"y\", respond-async; z"], true, None),
            (&["respond-asynchronously"], false, None),
        ];
        for (lines, later, wait) in table {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append(PREFER, line.parse().expect("a value"));
            }
            assert_eq!(Prefer::of(&headers), Prefer { later: *later, wait: *wait }, "{lines:?}");
        }
    }
}

//! What the cache did for a request, as the value of a `Cache-Status` field: RFC 9211.
//!
//! ```text
//!   eventmesh; hit; ttl=30; detail=memory          eventmesh; fwd=miss; stored
//!   eventmesh; hit; ttl=-5; detail=disk            eventmesh; fwd=stale; fwd-status=304; stored
//!   eventmesh; fwd=miss; collapsed                 eventmesh; fwd=stale; detail=stale-if-error
//!   eventmesh; fwd=miss; fwd-status=404; stored    eventmesh; detail=only-if-cached
//! ```

use std::fmt;

/// What the cache did for a request. Displays as the field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// Where the answer came from.
    pub way: Way,
    /// Seconds that it stays fresh, negative if it is stale.
    pub ttl: Option<i64>,
    /// What else there is to say.
    pub detail: Option<Detail>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What was stored.
    Hit,
    /// The source.
    Forward {
        /// Why what was stored did not do.
        why: Forward,
        /// What the source answered with, where that may be another status than this answer's: one that confirms what is
        /// stored, or one that is told as a failure.
        status: Option<u16>,
        /// It has been stored.
        stored: bool,
        /// Another request had already asked.
        collapsed: bool,
    },
    /// Neither: what was stored did not do, and the source was not to be asked.
    Nowhere,
}

/// Why the source was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The request had nothing to do with the cache.
    Bypass,
    /// Nothing was stored.
    Miss,
    /// What was stored was stale.
    Stale,
    /// What was stored was fresh, but not for this request.
    Request,
}

/// What else there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// It was in memory.
    Memory,
    /// It was on disk.
    Disk,
    /// It is served stale, and renewed meanwhile.
    StaleWhileRevalidate,
    /// It is served stale, since its source failed.
    StaleIfError,
    /// The request wanted what is stored, or nothing.
    OnlyIfCached,
}

impl Forward {
    /// The word in the field.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Request => "request",
        }
    }
}

impl Detail {
    /// The word in the field.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::StaleWhileRevalidate => "stale-while-revalidate",
            Self::StaleIfError => "stale-if-error",
            Self::OnlyIfCached => "only-if-cached",
        }
    }
}

impl CacheStatus {
    /// Nothing was got in this way.
    pub(crate) fn empty(way: Way) -> Self {
        Self { way, ttl: None, detail: None }
    }

    /// Nothing that is stored does, and only that was wanted.
    pub(crate) const NOT_CACHED: Self = Self { way: Way::Nowhere, ttl: None, detail: Some(Detail::OnlyIfCached) };

    /// The same, of a source that has answered with `status`, if it was asked and has.
    #[must_use]
    pub(crate) fn answered(mut self, answer: Option<u16>) -> Self {
        match &mut self.way {
            Way::Forward { status, .. } => *status = status.or(answer),
            Way::Hit | Way::Nowhere => {}
        }
        self
    }
}

/// Integers of structured fields have fifteen digits.
const LARGEST: i64 = 999_999_999_999_999;

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("eventmesh")?;
        match self.way {
            Way::Hit => f.write_str("; hit")?,
            Way::Forward { why, status, stored, collapsed } => {
                write!(f, "; fwd={}", why.label())?;
                if let Some(status) = status {
                    write!(f, "; fwd-status={status}")?;
                }
                if stored {
                    f.write_str("; stored")?;
                }
                if collapsed {
                    f.write_str("; collapsed")?;
                }
            }
            Way::Nowhere => {}
        }
        if let Some(ttl) = self.ttl {
            write!(f, "; ttl={}", ttl.clamp(-LARGEST, LARGEST))?;
        }
        match self.detail {
            Some(detail) => write!(f, "; detail={}", detail.label()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(why: Forward, status: Option<u16>, stored: bool, collapsed: bool) -> Way {
        Way::Forward { why, status, stored, collapsed }
    }

    #[test]
    fn every_way_has_its_words() {
        let table = [
            (Way::Hit, Some(30), None, "eventmesh; hit; ttl=30"),
            (Way::Hit, Some(-5), Some(Detail::Disk), "eventmesh; hit; ttl=-5; detail=disk"),
            (Way::Hit, Some(i64::MIN), Some(Detail::Memory), "eventmesh; hit; ttl=-999999999999999; detail=memory"),
            (Way::Hit, Some(-1), Some(Detail::StaleWhileRevalidate), "eventmesh; hit; ttl=-1; detail=stale-while-revalidate"),
            (forward(Forward::Miss, None, true, false), Some(60), None, "eventmesh; fwd=miss; stored; ttl=60"),
            (forward(Forward::Miss, None, false, true), None, None, "eventmesh; fwd=miss; collapsed"),
            (forward(Forward::Stale, Some(304), false, false), None, None, "eventmesh; fwd=stale; fwd-status=304"),
            (
                forward(Forward::Request, Some(304), true, true),
                None,
                None,
                "eventmesh; fwd=request; fwd-status=304; stored; collapsed",
            ),
            (forward(Forward::Bypass, None, false, false), None, None, "eventmesh; fwd=bypass"),
            (
                forward(Forward::Stale, None, false, false),
                Some(-9),
                Some(Detail::StaleIfError),
                "eventmesh; fwd=stale; ttl=-9; detail=stale-if-error",
            ),
            (Way::Nowhere, None, Some(Detail::OnlyIfCached), "eventmesh; detail=only-if-cached"),
        ];
        for (way, ttl, detail, expected) in table {
            assert_eq!(CacheStatus { way, ttl, detail }.to_string(), expected);
        }
    }

    #[test]
    fn what_the_source_says_is_told_where_it_was_asked() {
        let asked = |status| CacheStatus::empty(forward(Forward::Miss, status, false, false));
        assert_eq!(asked(None).answered(Some(404)).to_string(), "eventmesh; fwd=miss; fwd-status=404");
        assert_eq!(asked(None).answered(None).to_string(), "eventmesh; fwd=miss");
        assert_eq!(asked(Some(304)).answered(Some(404)).to_string(), "eventmesh; fwd=miss; fwd-status=304");
        assert_eq!(CacheStatus::empty(Way::Hit).answered(Some(404)).to_string(), "eventmesh; hit");
        assert_eq!(CacheStatus::NOT_CACHED.answered(Some(404)), CacheStatus::NOT_CACHED);
    }
}

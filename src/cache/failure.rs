//! Which failures are remembered, and which a stale document may stand in for.
//!
//! A failure is remembered if the source has said it: it would say so again. What went wrong on our side or on the
//! way is never remembered. It is a class and no error: the caller's error goes along with it, untouched.

/// Why a document could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The source has no such thing: 404, 410.
    Missing,
    /// What it sent cannot be used: no document, broken, encrypted, too large.
    Unusable,
    /// It does not want to: any other 4xx, endless redirects.
    Refused,
    /// It fails itself: 5xx.
    Broken,
    /// It cannot be reached, or stopped half-way.
    Unreachable,
    /// It did not answer in time.
    Late,
    /// There was no room for whoever asked, or there is none any more.
    Busy,
    /// It is about this engine: a crash, a rule of its operator.
    Ours,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Missing, Self::Unusable, Self::Refused, Self::Broken, Self::Unreachable, Self::Late, Self::Busy, Self::Ours];

    /// Whether it is remembered, and replaces what was known.
    #[must_use]
    pub fn is_kept(self) -> bool {
        match self {
            Self::Missing | Self::Unusable => true,
            Self::Refused | Self::Broken | Self::Unreachable | Self::Late | Self::Busy | Self::Ours => false,
        }
    }

    /// Whether it is one caller's alone, such as its deadline or its turn at a full door: another that waits for the same
    /// document may well get it.
    #[must_use]
    pub fn is_own(self) -> bool {
        match self {
            Self::Late | Self::Busy => true,
            Self::Missing | Self::Unusable | Self::Refused | Self::Broken | Self::Unreachable | Self::Ours => false,
        }
    }

    /// Whether a stale document may stand in. Not for `Ours`: what this engine refuses stays refused.
    #[must_use]
    pub fn is_excused(self) -> bool {
        match self {
            Self::Broken | Self::Unreachable | Self::Late => true,
            Self::Missing | Self::Unusable | Self::Refused | Self::Busy | Self::Ours => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_is_both_remembered_and_covered_up() {
        for failure in Failure::ALL {
            assert!(!(failure.is_kept() && failure.is_excused()), "{failure:?}");
        }
    }

    #[test]
    fn what_is_not_about_the_source_is_never_remembered() {
        let kept: Vec<Failure> = Failure::ALL.into_iter().filter(|failure| failure.is_kept()).collect();
        assert_eq!(kept, [Failure::Missing, Failure::Unusable]);
        assert!(Failure::ALL.into_iter().all(|failure| !(failure.is_own() && failure.is_kept())));
        assert!(!Failure::Ours.is_excused(), "a rule of the operator is not got around by what is stored");
    }
}

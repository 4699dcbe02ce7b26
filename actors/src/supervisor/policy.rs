//! OTP's words for who is restarted, who is stopped how, and whose end matters.

use std::time::Duration;

use serde::Serialize;

/// Who is restarted when a child fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// That child.
    #[default]
    OneForOne,
    /// All of them: they cannot live without each other.
    OneForAll,
    /// That child and those started after it: they build upon it.
    RestForOne,
}

impl Strategy {
    /// The strategy as OTP writes it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
        }
    }
}

/// Whether a child that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only if it ended abnormally: by a failure, a panic, or a kill from outside.
    Transient,
    /// Never; it is forgotten when it ends.
    Temporary,
}

impl Restart {
    /// The word that OTP uses.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
        }
    }
}

/// How a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shutdown {
    /// It is killed at once.
    Brutal,
    /// It is asked, and killed if it is still there after this time.
    Within(Duration),
}

impl Shutdown {
    /// As long as it takes: OTP's infinity, for supervisors, whose own children have their times.
    pub const INFINITY: Self = Self::Within(Duration::MAX);

    /// How long it may take, and no longer than `grace`.
    #[must_use]
    pub fn within(self, grace: Duration) -> Duration {
        match self {
            Self::Brutal => Duration::ZERO,
            Self::Within(time) => time.min(grace),
        }
    }
}

/// Whether the end of significant children ends their supervisor, as a plan and not as a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoShutdown {
    /// It does not.
    #[default]
    Never,
    /// The first one that ends and is not restarted does.
    AnySignificant,
    /// The last one does.
    AllSignificant,
}

impl AutoShutdown {
    /// What is wrong with a child of `policy` under a supervisor of this kind, if anything is.
    #[must_use]
    pub fn objection(self, policy: &ChildPolicy) -> Option<&'static str> {
        match (policy.significant, policy.restart, self) {
            (false, _, _) => None,
            (true, Restart::Permanent, _) => {
                Some("a permanent child always comes back and cannot be significant; make it transient or temporary")
            }
            (true, Restart::Transient | Restart::Temporary, Self::Never) => {
                Some("a significant child needs a supervisor with auto_shutdown any_significant or all_significant")
            }
            (true, Restart::Transient | Restart::Temporary, Self::AnySignificant | Self::AllSignificant) => None,
        }
    }
}

/// How a supervisor treats one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildPolicy {
    /// Whether it is started again.
    pub restart: Restart,
    /// Whether its end can end the supervisor.
    pub significant: bool,
    /// How it is stopped.
    pub shutdown: Shutdown,
}

impl Default for ChildPolicy {
    /// Permanent, not significant, five seconds to stop: OTP's defaults.
    fn default() -> Self {
        Self { restart: Restart::Permanent, significant: false, shutdown: Shutdown::Within(Duration::from_secs(5)) }
    }
}

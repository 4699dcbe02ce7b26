//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

use figment::{Metadata, Source};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody has said anything.
    Default,
    /// Nobody has said anything, and it follows another setting, which somebody has set.
    Follows(&'static str),
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

const VARIABLE: &str = "environment variable";
const FLAG: &str = "flag";

impl Origin {
    /// As what figment calls the place of a value.
    pub(super) fn metadata(&self) -> Metadata {
        match self {
            Self::File(path) => Metadata::from("file", Source::File(path.clone())),
            Self::Environment(name) => Metadata::from(VARIABLE, Source::Custom(name.clone())),
            Self::Flag(name) => Metadata::from(FLAG, Source::Custom(name.clone())),
            Self::Default | Self::Follows(_) => Metadata::named("default"),
        }
    }

    /// What [`Self::metadata`] has been made from.
    pub(super) fn of(metadata: &Metadata) -> Self {
        match &metadata.source {
            Some(Source::File(path)) => Self::File(path.clone()),
            Some(Source::Custom(name)) if metadata.name == VARIABLE => Self::Environment(name.clone()),
            Some(Source::Custom(name)) => Self::Flag(name.clone()),
            // Of a kind that is never made here.
            Some(_) | None => Self::Default,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Follows(key) => write!(f, "default, following {key}"),
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_comes_back_from_figment() {
        for origin in [
            Origin::Default,
            Origin::File("/etc/x".into()),
            Origin::Environment("A__B".to_owned()),
            Origin::Flag("--a".to_owned()),
        ] {
            assert_eq!(Origin::of(&origin.metadata()), origin);
        }
    }
}

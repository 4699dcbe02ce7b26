//! Why a call over the protocol failed.

use std::time::Duration;

/// Why a call over the protocol failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CdpError {
    /// The browser has closed the connection, which it does when it ends.
    #[error("the browser is gone")]
    Gone,
    /// The page's renderer has crashed, or was killed.
    #[error("the page's process crashed")]
    Crashed,
    /// The page was closed, or has moved elsewhere.
    #[error("the page was closed")]
    Detached,
    /// No answer came in time.
    #[error("{method} was not answered within {within:?}")]
    Deadline {
        /// What was asked for.
        method: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The browser said no.
    #[error("{method} was refused: {message}")]
    Refused {
        /// What was asked for.
        method: String,
        /// The browser's words.
        message: String,
    },
    /// The answer was none that is understood.
    #[error("{method} got an answer that is not understood: {why}")]
    Garbage {
        /// What was asked for.
        method: String,
        /// What is wrong with it.
        why: String,
    },
    /// The page said more in a moment than is kept.
    #[error("the page sent more events at once than are kept")]
    Overrun,
}

impl CdpError {
    /// Whether nothing more can be had from the page, or the browser, that was asked.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Gone | Self::Crashed | Self::Detached | Self::Overrun => true,
            Self::Deadline { .. } | Self::Refused { .. } | Self::Garbage { .. } => false,
        }
    }
}

//! Why a page was not rendered.

use std::fmt;
use std::time::Duration;

use eventmesh_actors::process::ProcessError;

use crate::cdp::CdpError;
use crate::chromium::ChromiumMissing;

/// Why a page was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// There is no Chromium.
    #[error(transparent)]
    Missing(#[from] ChromiumMissing),
    /// There is no process.
    #[error("there is no process to render it")]
    Process(#[from] ProcessError),
    /// Chromium did not come up.
    #[error("Chromium did not come up: {why}")]
    Start {
        /// What it said, or what it did not do.
        why: String,
    },
    /// Chromium cannot confine its own processes, and is not to run without.
    #[error("Chromium cannot confine its own processes here ({why}); see `eventmesh doctor`")]
    Sandbox {
        /// What it said.
        why: String,
    },
    /// There is no browser at the moment.
    #[error("no browser is up; the last start failed: {why}")]
    Unavailable {
        /// Why the last start failed.
        why: String,
        /// When it is tried again.
        retry_after: Duration,
    },
    /// The page was not there.
    #[error("the page cannot be loaded: {why}")]
    Load {
        /// The browser's name for the reason, such as `net::ERR_NAME_NOT_RESOLVED`.
        why: String,
    },
    /// The page was there, and has led to one that was not.
    #[error("the page leads to one that cannot be loaded: {why}")]
    Led {
        /// The browser's name for the reason.
        why: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Request(String),
    /// An answer with a file, or with something else that is no page.
    #[error("the source is a download, not a page")]
    Download,
    /// The page's process ended.
    #[error("the page's process crashed")]
    Crashed,
    /// The browser ended.
    #[error("the browser ended")]
    BrowserGone,
    /// The browser's process that loads ended.
    #[error("the browser's process that loads ended in the middle of it")]
    NetworkGone,
    /// The page holds more than it may.
    #[error("the page holds {} MiB, and {} MiB are allowed", held >> 20, limit >> 20)]
    Memory {
        /// Bytes that it holds.
        held: u64,
        /// Bytes that it may hold.
        limit: u64,
    },
    /// The page asked for more than it may.
    #[error("the page loads more than it may: {what}")]
    TooMuch {
        /// What it loads.
        what: String,
    },
    /// It was not done by its deadline.
    #[error("it was not done by its deadline, it was still {doing}")]
    Deadline {
        /// What it was at.
        doing: Doing,
    },
    /// An action failed, and was not to be passed over.
    #[error("action {} ({name}) failed: {why}", index + 1)]
    Action {
        /// Which, from 0.
        index: usize,
        /// What it is called.
        name: &'static str,
        /// Why.
        why: String,
    },
    /// The protocol went wrong.
    #[error("the page could not be talked to")]
    Protocol(#[source] CdpError),
}

/// What takes time on the way of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doing {
    /// No browser is up yet.
    AwaitingBrowser,
    /// It gets a page of its own in the browser.
    Opening,
    /// It is on its way from the site.
    Loading,
    /// It is there, and not yet as it was waited for.
    AwaitingPage,
    /// A frame is not there yet.
    AwaitingFrame,
    /// All of that, as far as nothing more is known.
    Rendering,
    /// Actions are performed.
    Acting,
    /// An action that waits for a time.
    Idling,
    /// An action that drags.
    Dragging,
    /// An action has sent it elsewhere.
    Leaving,
    /// A picture is made of it.
    Drawing,
    /// A PDF is made of it.
    Printing,
    /// Its HTML is taken.
    Writing,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AwaitingBrowser => "waiting for a browser",
            Self::Opening => "opening a page",
            Self::Loading => "being loaded",
            Self::AwaitingPage => "waiting for the page",
            Self::AwaitingFrame => "waiting for a frame",
            Self::Rendering => "being rendered",
            Self::Acting => "performing actions",
            Self::Idling => "waiting",
            Self::Dragging => "dragging",
            Self::Leaving => "going elsewhere",
            Self::Drawing => "being drawn",
            Self::Printing => "being printed",
            Self::Writing => "being written down",
        })
    }
}

impl From<CdpError> for RenderError {
    fn from(error: CdpError) -> Self {
        match error {
            CdpError::Gone => Self::BrowserGone,
            CdpError::Crashed => Self::Crashed,
            CdpError::Detached
            | CdpError::Overrun
            | CdpError::Deadline { .. }
            | CdpError::Refused { .. }
            | CdpError::Garbage { .. } => Self::Protocol(error),
        }
    }
}

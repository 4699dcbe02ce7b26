//! What a request was at when its time was over: in the words that its caller is told, and as the part of the work that it
//! counts to.

use std::fmt;

use eventmesh_extractors::browser::Doing as Rendering;

use crate::error::During;

/// What a request is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Its host is looked up, for a browser.
    LookingUp,
    /// The page or file is on its way.
    Fetching,
    /// Somebody else asks for the same.
    FetchingByAnother,
    /// Its host is asked for as much as it may be.
    AwaitingTurn,
    /// All workers are at something else.
    AwaitingWorker,
    /// A worker makes a document of it.
    Extracting,
    /// A worker reads it, a PDF.
    Reading,
    /// A browser has to do with it.
    Rendering(Rendering),
    /// Its caller does not read.
    AwaitingCaller,
}

impl Doing {
    /// The part of the work that it belongs to.
    pub(crate) fn part(self) -> During {
        match self {
            Self::LookingUp | Self::Fetching | Self::FetchingByAnother | Self::AwaitingTurn => During::Fetch,
            Self::AwaitingWorker | Self::Rendering(Rendering::AwaitingBrowser) => During::Pool,
            Self::Extracting
            | Self::Reading
            | Self::AwaitingCaller
            | Self::Rendering(
                Rendering::Opening
                | Rendering::Loading
                | Rendering::AwaitingPage
                | Rendering::AwaitingFrame
                | Rendering::Rendering
                | Rendering::Acting
                | Rendering::Idling
                | Rendering::Dragging
                | Rendering::Leaving
                | Rendering::Drawing
                | Rendering::Printing
                | Rendering::Writing,
            ) => During::Extract,
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LookingUp => "being looked up",
            Self::Fetching => "being fetched",
            Self::FetchingByAnother => "being fetched, by somebody else",
            Self::AwaitingTurn => "waiting for its turn at the host",
            Self::AwaitingWorker => "waiting for a worker",
            Self::Extracting => "being extracted",
            Self::Reading => "being read",
            Self::Rendering(rendering) => return rendering.fmt(f),
            Self::AwaitingCaller => "waiting for its caller to take what had been read",
        })
    }
}

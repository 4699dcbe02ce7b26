//! Pages rendered by real Chromium, under supervision.

mod actions;
mod blocklist;
mod cdp;
mod chromium;
mod error;
mod fleet;
mod instance;
mod job;
mod launcher;
mod page;
mod request;
mod script;
mod spec;
mod tunnels;
mod worker;
mod yields;

pub use actions::{Action, Button, Edge, File, OnError, Outcome, State, Status, What, schema};
pub use cdp::CdpError;
pub use chromium::{CHROMIUM_VARIABLE, Chromium, ChromiumMissing, Found};
pub use error::{Doing, RenderError};
pub use fleet::{Fleet, FleetSnapshot, Retirement};
pub use launcher::{LAUNCHER_ARGUMENT, launch};
pub use request::{
    ConsoleMessage, Cookie, Dialog, Extract, NetworkEntry, Picture, PictureFormat, RenderOptions, RenderRequest, RenderSource,
    RenderTiming, Rendered, Screenshot, SettleReason, Settled, Viewport, Wait,
};
pub use spec::{BrowserLimits, BrowserSpec, LauncherProgram, SandboxPolicy};
pub use tunnels::Tunnels;
pub use worker::{BrowserWorker, RenderJob};

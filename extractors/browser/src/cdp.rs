//! The protocol's client: typed calls with deadlines over one pipe, and events by session.
//!
//! The types are chromiumoxide's, generated from the protocol's own description; the connection is ours, because a call must
//! never wait for an answer that cannot come: when a page crashes, is closed, or the browser goes, all its calls fail at once
//! and say why.

mod connection;
mod error;
mod message;

pub(crate) use connection::{Batch, Connection, Event, Events, Pending, Session};
pub use error::CdpError;

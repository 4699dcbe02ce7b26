//! The workers of EventMesh.
//!
//! So far there is one kind: [`wasm`] runs the guest, which turns HTML into a [`Document`], inside a sandbox
//! with a fresh instance for every page. Each worker implements [`eventmesh_actors::Worker`] and can be
//! supervised by any pool; nothing here fetches, caches or knows a request.

pub mod wasm;

pub use eventmesh_guest::{ABI_VERSION, Document, Hints, Image, Json, Link, Metadata, PageType, Table};

//! What EventMesh promises, tried against the real thing.
//!
//! So far this crate holds its promise tests (`tests/promises.rs`): each is named after what it promises, and runs
//! a real engine with real sandboxes against a loopback site with bad manners.

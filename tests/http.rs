//! The API promise by promise: the program itself, asked over HTTP as anybody would, and by its own client.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may fail, runs the program itself, and says what it skips"
)]

#[path = "http/bodies.rs"]
mod bodies;
#[path = "http/cancel.rs"]
mod cancel;
#[path = "http/client.rs"]
mod client;
#[path = "http/daemon.rs"]
mod daemon;
#[path = "http/documents.rs"]
mod documents;
#[path = "http/formats.rs"]
mod formats;
#[path = "http/keys.rs"]
mod keys;
#[path = "http/life.rs"]
mod life;
#[path = "http/site.rs"]
mod site;

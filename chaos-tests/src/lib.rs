//! What EventMesh promises, and what tries to break it.
mod invariant;
mod plan;
mod shrink;
pub mod sim;
pub use invariant::{Checker, Outcome, Verdict};
pub use plan::{Fault, FaultKind, FaultPlan};
pub use shrink::shrink;

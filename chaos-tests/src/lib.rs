//! What EventMesh promises, and what tries to break it.
//!
//! - **Sim level** ([`sim`]): the engine's own books under virtual time. A seed is a whole run and replays exactly.
//! - **Real level** ([`Trial`]): a real tree under a load that does not wait, faults from a plan, then quiet. Faults enter
//!   through a decorated [`Worker`](eventmesh_actors::Worker) ([`Faulty`]) or through the operating system.
//! - Either ends in a [`Report`]: a verdict for each promise, with the first violation and what came before.
//!
//! A host application tries its own tree by implementing [`Target`]; see `examples/own_tree.rs`.

mod board;
mod faulty;
mod invariant;
mod load;
pub mod os;
pub mod pages;
mod plan;
pub mod real;
mod report;
pub mod scenario;
mod shrink;
pub mod sim;
pub mod site;
mod soak;
mod target;
mod trial;
pub mod victim;

pub use board::Board;
pub use faulty::{Faulty, FaultyError, FaultySpec, LEAK};
pub use invariant::{Checker, Outcome, Verdict};
pub use load::{Called, Calls, Load};
pub use plan::{Fault, FaultKind, FaultPlan};
pub use report::{Kept, Latencies, Recovery, Report};
pub use shrink::shrink;
pub use soak::{Soak, SoakReport};
pub use target::{Answer, AnswerKind, Call, Target};
pub use trial::Trial;

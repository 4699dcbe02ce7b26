//! What a trial is made against: anything that answers calls and is supervised.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use eventmesh_actors::{Subscriber, TreeSnapshot};
use serde::{Deserialize, Serialize};

use crate::plan::Fault;

/// How a call ended, as its caller saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What came of it.
    pub kind: AnswerKind,
    /// What it was, in one word: for the counts of the report.
    pub label: &'static str,
    /// For a refusal that should say when to come back: whether it did.
    pub comes_back: bool,
}

impl Answer {
    /// An answer of `kind`, called `label`.
    #[must_use]
    pub fn new(kind: AnswerKind, label: &'static str) -> Self {
        Self { kind, label, comes_back: true }
    }
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// What was asked for.
    Good,
    /// The input's own fault, rightly told.
    Rejected,
    /// A typed failure that the caller can do nothing about.
    Failed,
    /// Not taken on.
    Refused,
    /// The answer is wrong: another one than this input should have.
    Wrong,
}

/// A call at work.
pub type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a trial is made against. A host application implements it for its own tree; see `examples/own_tree.rs`.
pub trait Target: Send + Sync + 'static {
    /// Makes call number `number`, to be answered `within` that time. The number decides everything about it.
    fn call(&self, number: u64, within: Duration) -> Call;

    /// How long past its time a call may be answered: the graces of whatever answers it.
    fn grace(&self) -> Duration;

    /// The live tree.
    fn tree(&self) -> TreeSnapshot;

    /// Whether what stands behind the tree and is not told by it is whole, too.
    fn is_whole(&self) -> bool {
        true
    }

    /// What happens in the tree from now on.
    fn events(&self) -> Subscriber;

    /// A fault of a kind that only the target knows how to inflict. `false` if it does not either. The trial itself
    /// takes care of memory, files and clocks, and of what a [`Board`](crate::Board) has.
    fn inflict(&self, _fault: &Fault) -> bool {
        false
    }

    /// Ends a fault that lasts.
    fn relieve(&self, _fault: &Fault) {}

    /// Stops the tree, and returns how long that may take at most.
    fn stop(&self) -> Pin<Box<dyn Future<Output = Duration> + Send + '_>>;

    /// What is left behind after the stop and should not be: processes, directories.
    fn left_behind(&self) -> Vec<String> {
        Vec::new()
    }
}

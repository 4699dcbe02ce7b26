//! The life of one child as a pure state machine.
//!
//! ```text
//!              Started              Lend
//!   Starting ───────────▶ Idle ◀─────────────▶ Leased
//!      │                   │     CheckIn(Fit)   │   │
//!      │ Retire            │ Retire      Retire │   │ CheckIn(Unfit)
//!      ▼                   ▼                    ▼   │
//!   Stopping ◀────────── Stopping ◀───────── Retiring │
//!      ▲                       CheckIn              │
//!      └────────────────────────────────────────────┘
//!   Ended: from any state, on Ended
//! ```
//!
//! The machine decides; whoever feeds it carries the [`Action`] out. It has no clock and knows no actor. Each
//! state × input pair is written out in one match without a wildcard, and each is tested.

use crate::exit::Exit;

/// Where one child is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// Its worker is being started.
    Starting,
    /// It waits to be lent.
    Idle,
    /// It is lent to a caller.
    Leased,
    /// It is lent, and leaves when it comes back.
    Retiring(Exit),
    /// It has been told to go; nothing is lent to it any more.
    Stopping(Exit),
    /// It is gone.
    Ended(Exit),
}

/// What can happen to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Its worker stands.
    Started,
    /// A caller wants it.
    Lend,
    /// Its caller is done with it, and it can serve again.
    CheckInFit,
    /// Its caller is done with it, and it must not serve again.
    CheckInUnfit(Exit),
    /// It is to go, politely.
    Retire(Exit),
    /// It is to go, now.
    Condemn(Exit),
    /// Its actor is gone; `exit` is what was seen from outside.
    Ended(Exit),
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Offer it to a waiting caller, or keep it idle.
    Offer,
    /// Hand it to the caller.
    Hand,
    /// Let its worker stop within the grace, then kill it.
    Stop,
    /// Kill it.
    Kill,
    /// It failed with a cause of its own: fill its slot again.
    Replace(Exit),
    /// It is gone as planned.
    Forget,
    /// This cannot happen. Nothing changed; whoever fed it has a bug.
    Violation,
}

impl Input {
    /// The input as one word, for reports.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Lend => "lend",
            Self::CheckInFit => "check-in fit",
            Self::CheckInUnfit(_) => "check-in unfit",
            Self::Retire(_) => "retire",
            Self::Condemn(_) => "condemn",
            Self::Ended(_) => "ended",
        }
    }
}

impl ChildState {
    /// Takes `input` and says what is to be done. An impossible input changes nothing.
    pub fn on(&mut self, input: Input) -> Action {
        use ChildState as S;
        use Input as I;
        let (next, action) = match (&*self, input) {
            (S::Starting, I::Started) => (S::Idle, Action::Offer),
            (S::Starting, I::Retire(exit) | I::Condemn(exit)) => (S::Stopping(exit), Action::Kill),
            (S::Starting, I::Ended(exit)) => (S::Ended(exit.clone()), Action::Replace(exit)),
            (S::Starting, I::Lend | I::CheckInFit | I::CheckInUnfit(_)) => return Action::Violation,

            (S::Idle, I::Lend) => (S::Leased, Action::Hand),
            (S::Idle, I::Retire(exit)) => (S::Stopping(exit), Action::Stop),
            (S::Idle, I::Condemn(exit)) => (S::Stopping(exit), Action::Kill),
            (S::Idle, I::Ended(exit)) => (S::Ended(exit.clone()), Action::Replace(exit)),
            (S::Idle, I::Started | I::CheckInFit | I::CheckInUnfit(_)) => return Action::Violation,

            (S::Leased, I::CheckInFit) => (S::Idle, Action::Offer),
            (S::Leased, I::CheckInUnfit(exit)) if exit.is_planned() => (S::Stopping(exit), Action::Stop),
            (S::Leased, I::CheckInUnfit(exit) | I::Condemn(exit)) => (S::Stopping(exit), Action::Kill),
            (S::Leased, I::Retire(exit)) => (S::Retiring(exit), Action::None),
            (S::Leased, I::Ended(exit)) => (S::Ended(exit.clone()), Action::Replace(exit)),
            (S::Leased, I::Started | I::Lend) => return Action::Violation,

            (S::Retiring(exit), I::CheckInFit) => (S::Stopping(exit.clone()), Action::Stop),
            (S::Retiring(_), I::CheckInUnfit(exit)) if exit.is_planned() => (S::Stopping(exit), Action::Stop),
            (S::Retiring(_), I::CheckInUnfit(exit) | I::Condemn(exit)) => (S::Stopping(exit), Action::Kill),
            // The first reason stays: it is the one that was told.
            (S::Retiring(_), I::Retire(_)) => return Action::None,
            // Its replacement stands or is not wanted, so a failure now leaves no hole.
            (S::Retiring(_), I::Ended(exit)) => (S::Ended(exit), Action::Forget),
            (S::Retiring(_), I::Started | I::Lend) => return Action::Violation,

            // A start that was overtaken by the order to go, or a job that ended during it.
            (S::Stopping(_), I::Started) => return Action::Kill,
            (S::Stopping(_), I::CheckInFit | I::CheckInUnfit(_) | I::Retire(_)) => return Action::None,
            (S::Stopping(_), I::Condemn(_)) => return Action::Kill,
            (S::Stopping(exit), I::Ended(_)) => (S::Ended(exit.clone()), Action::Forget),
            (S::Stopping(_), I::Lend) => return Action::Violation,

            // The last lease may well outlive its child.
            (S::Ended(_), I::CheckInFit | I::CheckInUnfit(_) | I::Retire(_) | I::Condemn(_)) => return Action::None,
            (S::Ended(_), I::Started | I::Lend | I::Ended(_)) => return Action::Violation,
        };
        *self = next;
        action
    }

    /// The state as one word, for people and counters.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Leased => "leased",
            Self::Retiring(_) => "retiring",
            Self::Stopping(_) => "stopping",
            Self::Ended(_) => "ended",
        }
    }

    /// Whether the child takes one of its pool's places: it serves, or is about to.
    #[must_use]
    pub fn occupies(&self) -> bool {
        match self {
            Self::Starting | Self::Idle | Self::Leased => true,
            Self::Retiring(_) | Self::Stopping(_) | Self::Ended(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recycle::RecycleReason;

    const PLANNED: Exit = Exit::Recycled(RecycleReason::Jobs);
    const FIRST: Exit = Exit::Shutdown;

    fn cause() -> Exit {
        Exit::Broken("cause".into())
    }

    /// Every state × every input, with the next state and the action. A pair that is missing fails the test.
    #[test]
    fn every_state_meets_every_input() {
        use Action as A;
        use ChildState as S;
        use Input as I;
        let states = [S::Starting, S::Idle, S::Leased, S::Retiring(FIRST), S::Stopping(FIRST), S::Ended(FIRST)];
        let inputs = [
            I::Started,
            I::Lend,
            I::CheckInFit,
            I::CheckInUnfit(cause()),
            I::CheckInUnfit(PLANNED),
            I::Retire(PLANNED),
            I::Condemn(cause()),
            I::Ended(cause()),
        ];
        // (state, one expectation per input, in order). `None`: the state stays as it is.
        type Expected = (Option<ChildState>, Action);
        let stay = |action: Action| -> Expected { (None, action) };
        let go = |state: ChildState, action: Action| -> Expected { (Some(state), action) };
        let table: [[Expected; 8]; 6] = [
            [
                go(S::Idle, A::Offer),
                stay(A::Violation),
                stay(A::Violation),
                stay(A::Violation),
                stay(A::Violation),
                go(S::Stopping(PLANNED), A::Kill),
                go(S::Stopping(cause()), A::Kill),
                go(S::Ended(cause()), A::Replace(cause())),
            ],
            [
                stay(A::Violation),
                go(S::Leased, A::Hand),
                stay(A::Violation),
                stay(A::Violation),
                stay(A::Violation),
                go(S::Stopping(PLANNED), A::Stop),
                go(S::Stopping(cause()), A::Kill),
                go(S::Ended(cause()), A::Replace(cause())),
            ],
            [
                stay(A::Violation),
                stay(A::Violation),
                go(S::Idle, A::Offer),
                go(S::Stopping(cause()), A::Kill),
                go(S::Stopping(PLANNED), A::Stop),
                go(S::Retiring(PLANNED), A::None),
                go(S::Stopping(cause()), A::Kill),
                go(S::Ended(cause()), A::Replace(cause())),
            ],
            [
                stay(A::Violation),
                stay(A::Violation),
                go(S::Stopping(FIRST), A::Stop),
                go(S::Stopping(cause()), A::Kill),
                go(S::Stopping(PLANNED), A::Stop),
                stay(A::None),
                go(S::Stopping(cause()), A::Kill),
                go(S::Ended(cause()), A::Forget),
            ],
            [
                stay(A::Kill),
                stay(A::Violation),
                stay(A::None),
                stay(A::None),
                stay(A::None),
                stay(A::None),
                stay(A::Kill),
                go(S::Ended(FIRST), A::Forget),
            ],
            [
                stay(A::Violation),
                stay(A::Violation),
                stay(A::None),
                stay(A::None),
                stay(A::None),
                stay(A::None),
                stay(A::None),
                stay(A::Violation),
            ],
        ];
        for (state, row) in states.iter().zip(table) {
            for (input, (next, action)) in inputs.iter().zip(row) {
                let mut subject = state.clone();
                let got = subject.on(input.clone());
                assert_eq!(got, action, "{state:?} on {input:?}");
                assert_eq!(subject, next.unwrap_or_else(|| state.clone()), "{state:?} on {input:?}");
            }
        }
    }
}

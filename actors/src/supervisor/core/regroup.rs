//! Restarting several children because of one: those that go with it stop, right to left, and start, left to right.

use std::time::Duration;

use super::{Effect, Phase, State, SupervisorCore};
use crate::clock::Moment;

/// Children that are stopped and started together because one of them failed.
#[derive(Debug)]
pub(super) struct Regroup {
    /// Their numbers; in the order of the supervisor's children.
    pub(super) members: Vec<u32>,
    /// How long to wait before the first is started.
    delay: Duration,
    /// Whether members that stand are to go first.
    stops: bool,
}

impl SupervisorCore {
    /// Begins to restart the child `number` and those from the place `from` on.
    pub(super) fn regroup_from(&mut self, now: Moment, from: usize, number: u32, delay: Duration, effects: &mut Vec<Effect>) {
        // Those that nobody wants any more stay down. A start that is still ahead in the boot stays there.
        let booting = |number: u32| self.boot.contains(&number);
        let mut members: Vec<u32> = self.children[from..]
            .iter()
            .filter(|child| child.number == number || (child.wanted && child.state != State::Down && !booting(child.number)))
            .map(|child| child.number)
            .collect();
        // A failure in the middle of another regrouping: those that were still to come are to come now.
        if let Some(regroup) = self.regroup.take() {
            let to_come = |state| matches!(state, State::Down | State::Stopping | State::Killing);
            let waiting = |member: &u32| {
                !members.contains(member) && self.place(*member).is_some_and(|place| to_come(self.children[place].state))
            };
            let more: Vec<u32> = regroup.members.iter().copied().filter(waiting).collect();
            members.extend(more);
        }
        members.sort_by_key(|number| self.place(*number));
        self.regroup = Some(Regroup { members, delay, stops: true });
        self.regroup_next(now, effects);
    }

    /// Goes on with a regrouping: stop the next one, last first; then start the next one, first first; then be done.
    pub(super) fn regroup_next(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(regroup) = &self.regroup else { return };
        if !matches!(self.phase, Phase::Starting | Phase::Running) {
            return;
        }
        let (delay, stops) = (regroup.delay, regroup.stops);
        let places: Vec<usize> = regroup.members.iter().filter_map(|member| self.place(*member)).collect();
        let standing = places.iter().rev().copied().find(|place| self.children[*place].state != State::Down);
        match standing {
            Some(last) if stops => {
                self.send_off(now, last, Duration::MAX, effects);
                return;
            }
            Some(_) | None => {}
        }
        let busy = |place: &usize| matches!(self.children[*place].state, State::Starting | State::Stopping | State::Killing);
        if places.iter().any(busy) {
            return;
        }
        let first_down = places.iter().copied().find(|place| self.children[*place].state == State::Down);
        let Some(first) = first_down else {
            self.regroup = None;
            return;
        };
        if let Some(regroup) = &mut self.regroup {
            regroup.stops = false;
            regroup.delay = Duration::ZERO;
        }
        self.begin(now, self.children[first].number, delay, effects);
    }
}

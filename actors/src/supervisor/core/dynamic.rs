//! Orders from outside while a supervisor runs: end a child, start it again, forget it.

use std::time::Duration;

use super::{ChildError, Effect, Phase, State, SupervisorCore};
use crate::clock::Moment;

impl SupervisorCore {
    /// Stops one child and keeps it known, unless it is temporary.
    ///
    /// # Errors
    /// [`ChildError::Unknown`].
    pub fn terminate(&mut self, now: Moment, name: &str) -> Result<Vec<Effect>, ChildError> {
        let mut effects = Vec::new();
        let place = self.named(name)?;
        let number = self.children[place].number;
        if let Some(regroup) = &mut self.regroup {
            regroup.members.retain(|member| *member != number);
        }
        self.children[place].wanted = false;
        if self.children[place].state == State::Down {
            // It is not there, and must not come either.
            self.gone_by_order(now, number, &mut effects);
        } else {
            self.send_off(now, place, Duration::MAX, &mut effects);
        }
        Ok(effects)
    }

    /// Starts a child that is down again.
    ///
    /// # Errors
    /// [`ChildError::Unknown`], [`ChildError::WrongState`], [`ChildError::NotRunning`].
    pub fn restart_child(&mut self, now: Moment, name: &str) -> Result<Vec<Effect>, ChildError> {
        let mut effects = Vec::new();
        let place = self.named(name)?;
        self.must_be_down(place)?;
        if self.phase != Phase::Running {
            return Err(ChildError::NotRunning { supervisor: self.name.to_string() });
        }
        self.children[place].wanted = true;
        self.begin(now, self.children[place].number, Duration::ZERO, &mut effects);
        Ok(effects)
    }

    /// Forgets a child that is down.
    ///
    /// # Errors
    /// [`ChildError::Unknown`], [`ChildError::WrongState`].
    pub fn delete(&mut self, name: &str) -> Result<Vec<Effect>, ChildError> {
        let mut effects = Vec::new();
        let place = self.named(name)?;
        self.must_be_down(place)?;
        self.forget(self.children[place].number, &mut effects);
        Ok(effects)
    }

    fn must_be_down(&self, place: usize) -> Result<(), ChildError> {
        let child = &self.children[place];
        let regrouped = self.regroup.as_ref().is_some_and(|regroup| regroup.members.contains(&child.number));
        if child.state == State::Down && !regrouped && !self.boot.contains(&child.number) {
            return Ok(());
        }
        Err(ChildError::WrongState {
            supervisor: self.name.to_string(),
            child: child.name.to_string(),
            state: self.label(child, Moment::default()),
        })
    }
}

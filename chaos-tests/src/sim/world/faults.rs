//! Faults, as the plan has them.

use eventmesh_actors::Pressure;
use eventmesh_actors::sans_io::Key;

use super::{Happening, KILLED, World};
use crate::plan::FaultKind;

impl World {
    pub(super) fn fault(&mut self, number: usize) {
        let fault = self.run.plan.faults[number];
        let now = self.moment();
        match fault.kind {
            FaultKind::Kill | FaultKind::Freeze => {
                let pool = fault.target as usize % self.pools.len();
                let keys: Vec<Key> = self.pools[pool].children.keys().copied().collect();
                let Some(key) = keys.get(fault.target as usize % keys.len().max(1)).copied() else { return };
                let life = self.pools[pool].life;
                if fault.kind == FaultKind::Kill {
                    self.child_goes(pool, life, key, KILLED);
                } else if let Some(child) = self.pools[pool].children.get_mut(&key) {
                    child.frozen_until = self.now + fault.for_ms;
                }
            }
            FaultKind::Retire => {
                for pool in 0..self.pools.len() {
                    let slot = fault.target % self.pools[pool].size;
                    let (_, effects) = self.pools[pool].core.retire(now, slot);
                    self.order_all(pool, effects);
                }
            }
            FaultKind::MemoryHog => {
                self.press(Pressure::ALL[fault.target as usize % 5]);
                self.turn_on(number);
            }
            FaultKind::Panic
            | FaultKind::Fail
            | FaultKind::Break
            | FaultKind::Hang
            | FaultKind::Grow
            | FaultKind::Leak
            | FaultKind::SlowStart
            | FaultKind::FailStart
            | FaultKind::Sicken
            | FaultKind::NoFiles
            | FaultKind::DiskFull
            | FaultKind::StarveClock
            | FaultKind::CallersLeave
            | FaultKind::LibraryGone
            | FaultKind::Poison => self.turn_on(number),
        }
    }

    pub(super) fn turn_on(&mut self, number: usize) {
        let fault = self.run.plan.faults[number];
        self.active.push(fault.kind);
        self.after(fault.for_ms, Happening::FaultOver(number));
    }

    pub(super) fn press(&mut self, pressure: Pressure) {
        let now = self.moment();
        for pool in 0..self.pools.len() {
            let effects = self.pools[pool].core.pressed(now, pressure);
            self.order_all(pool, effects);
        }
    }
}

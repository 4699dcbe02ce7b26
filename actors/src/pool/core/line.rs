//! The line of waiting callers: in order within a priority, the higher priority first.

use std::collections::VecDeque;

use crate::clock::Moment;
use crate::lease::Priority;

#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub(super) id: u64,
    pub(super) bytes: u64,
    pub(super) deadline: Moment,
    pub(super) key: Option<u64>,
    /// Its entry in the ledger.
    pub(super) entry: u64,
    pub(super) token: T,
}

/// Bounded by whoever pushes.
#[derive(Debug)]
pub(super) struct Line<T> {
    interactive: VecDeque<Waiter<T>>,
    batch: VecDeque<Waiter<T>>,
    next: u64,
}

impl<T> Line<T> {
    pub(super) fn new() -> Self {
        Self { interactive: VecDeque::new(), batch: VecDeque::new(), next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id that the next one to join gets.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn join(&mut self, priority: Priority, waiter: Waiter<T>) {
        self.of(priority).push_back(waiter);
    }

    /// Whether somebody waits whose turn is before that of a newcomer of `priority`.
    pub(super) fn is_before(&self, priority: Priority) -> bool {
        match priority {
            Priority::Interactive => !self.interactive.is_empty(),
            Priority::Batch => !self.is_empty(),
        }
    }

    pub(super) fn front(&self) -> Option<(Priority, &Waiter<T>)> {
        let batch = || Some((Priority::Batch, self.batch.front()?));
        self.interactive.front().map(|waiter| (Priority::Interactive, waiter)).or_else(batch)
    }

    pub(super) fn pop(&mut self) -> Option<Waiter<T>> {
        self.interactive.pop_front().or_else(|| self.batch.pop_front())
    }

    /// The last one in line of a priority, for those that are to be sent away.
    pub(super) fn pop_of(&mut self, priority: Priority) -> Option<Waiter<T>> {
        self.of(priority).pop_front()
    }

    pub(super) fn leave(&mut self, id: u64) -> Option<Waiter<T>> {
        [&mut self.interactive, &mut self.batch].into_iter().find_map(|queue| {
            let place = queue.binary_search_by_key(&id, |waiter| waiter.id).ok()?;
            queue.remove(place)
        })
    }

    fn of(&mut self, priority: Priority) -> &mut VecDeque<Waiter<T>> {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        }
    }
}

//! How much may be on its way in at once: the bytes of all bodies that have come and are not done with.
//!
//! The engine's own admission sees a request when all of it is there. Until then a body takes from here as it grows, and who
//! finds nothing left is sent away, so that many large bodies at once are not more than a few.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// There is no room for more of a body now.
#[derive(Debug, thiserror::Error)]
#[error("as many bytes of bodies are on their way in as may be")]
pub(super) struct NoRoom;

/// Room for bodies.
#[derive(Debug)]
pub(crate) struct Room {
    all: usize,
    taken: AtomicUsize,
}

/// What one body has taken. It is given back when the last clone goes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    room: Arc<Room>,
    bytes: AtomicUsize,
}

impl Room {
    /// For so many bytes.
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, taken: AtomicUsize::new(0) })
    }

    /// A place in it, for nothing yet.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        Place { held: Arc::new(Held { room: Arc::clone(self), bytes: AtomicUsize::new(0) }) }
    }
}

impl Place {
    /// Takes so many bytes more.
    pub(super) fn grow(&self, bytes: usize) -> Result<(), NoRoom> {
        let Held { room, bytes: held } = &*self.held;
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= room.all);
        room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| NoRoom)?;
        held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// Whether `error` came of a body for which there was no room.
pub(super) fn is_no_room(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<NoRoom>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_have_so_much_room_and_give_it_back() {
        let room = Room::new(100);
        let (first, second) = (room.place(), room.place());
        first.grow(60).expect("there is room");
        second.grow(40).expect("there is room");
        assert!(second.grow(1).is_err() && first.grow(usize::MAX).is_err());
        second.grow(0).expect("nothing fits always");
        let still = first.clone();
        drop(first);
        assert!(second.grow(1).is_err(), "somebody has it still");
        drop(still);
        second.grow(60).expect("it was given back");
        drop(second);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}

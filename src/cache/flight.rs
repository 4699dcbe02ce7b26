//! Many callers, one fetch.
//!
//! A flight is open from its first caller until its outcome is known, or its last caller has gone: there are never
//! more flights than callers. The first caller leads, that is, fetches in its own time; nothing is spawned. If it
//! goes, the next one leads, with a fetch of its own. Whoever comes after the outcome begins another flight.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::key::Key;

/// The fetches under way.
pub(crate) struct Flights<T> {
    open: Mutex<HashMap<Key, Flight<T>>>,
}

struct Flight<T> {
    outcome: Arc<OnceCell<T>>,
    seats: usize,
}

/// A caller's place in a flight.
pub(crate) struct Seat<'f, T> {
    flights: &'f Flights<T>,
    key: Key,
    outcome: Arc<OnceCell<T>>,
}

/// How a caller came to an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Leader,
    Follower,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { open: Mutex::default() }
    }
}

impl<T> Flights<T> {
    /// Takes a seat in the flight for `key`.
    pub(crate) fn join(&self, key: Key) -> Seat<'_, T> {
        let mut open = self.lock();
        let flight = open.entry(key).or_insert_with(|| Flight { outcome: Arc::default(), seats: 0 });
        flight.seats += 1;
        Seat { flights: self, key, outcome: Arc::clone(&flight.outcome) }
    }

    /// Whether somebody fetches this, or is about to.
    pub(crate) fn is_open(&self, key: &Key) -> bool {
        self.lock().contains_key(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Flight<T>>> {
        // Nothing that can panic happens under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Seat<'_, T> {
    /// Waits for the outcome, or brings it about by `fetch` if nobody else does.
    pub(crate) async fn fly(&self, fetch: impl Future<Output = T>) -> (T, Role) {
        let mut role = Role::Follower;
        let lead = async {
            let outcome = fetch.await;
            role = Role::Leader;
            self.close();
            outcome
        };
        let outcome = self.outcome.get_or_init(|| lead).await.clone();
        (outcome, role)
    }
}

impl<T> Seat<'_, T> {
    fn close(&self) {
        if let Entry::Occupied(flight) = self.flights.lock().entry(self.key)
            && Arc::ptr_eq(&flight.get().outcome, &self.outcome)
        {
            flight.remove();
        }
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut flight) = self.flights.lock().entry(self.key)
            && Arc::ptr_eq(&flight.get().outcome, &self.outcome)
        {
            flight.get_mut().seats -= 1;
            if flight.get().seats == 0 {
                flight.remove();
            }
        }
    }
}

impl<T> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("open", &self.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    const KEY: Key = Key::from_bytes([7; 32]);

    #[tokio::test]
    async fn one_leads_and_all_get_the_outcome() {
        let flights = Flights::default();
        let seats: Vec<_> = (0..5).map(|_| flights.join(KEY)).collect();
        let (land, landed) = oneshot::channel();
        let mut leader = Box::pin(seats[0].fly(async { landed.await.expect("lands") }));
        assert!(leader.as_mut().now_or_never().is_none());
        let mut followers: Vec<_> = seats[1..].iter().map(|seat| Box::pin(seat.fly(ready(0)))).collect();
        for follower in &mut followers {
            assert!(follower.as_mut().now_or_never().is_none(), "two lead");
        }
        land.send(11).expect("somebody waits");
        assert_eq!(leader.await, (11, Role::Leader));
        assert!(!flights.is_open(&KEY));
        for follower in followers {
            assert_eq!(follower.await, (11, Role::Follower));
        }
        assert_eq!(flights.join(KEY).fly(ready(12)).await, (12, Role::Leader), "an old outcome is given to a new flight");
    }

    #[tokio::test]
    async fn a_leader_that_goes_is_followed_by_the_next() {
        let flights = Flights::default();
        let (first, second, third) = (flights.join(KEY), flights.join(KEY), flights.join(KEY));
        let mut leader = Box::pin(first.fly(pending()));
        assert!(leader.as_mut().now_or_never().is_none());
        let mut next = Box::pin(second.fly(ready(3)));
        assert!(next.as_mut().now_or_never().is_none());
        drop(leader);
        drop(first);
        assert_eq!(next.await, (3, Role::Leader));
        assert_eq!(third.fly(ready(4)).await, (3, Role::Follower));
    }

    #[tokio::test]
    async fn an_empty_flight_is_closed_and_an_old_seat_leaves_the_new_one_alone() {
        let flights = Flights::default();
        drop(flights.join(KEY));
        assert!(!flights.is_open(&KEY));

        let old = flights.join(KEY);
        assert_eq!(old.fly(ready(1)).await, (1, Role::Leader));
        let new = flights.join(KEY);
        drop(old);
        assert!(flights.is_open(&KEY), "the new flight was closed by an old seat");
        drop(new);
        assert!(!flights.is_open(&KEY));
    }
}

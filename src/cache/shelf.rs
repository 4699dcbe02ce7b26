//! What stays and what goes when there is room for so many bytes: a segmented LRU.
//!
//! ```text
//!   insert ─▶ trial ──asked for again──▶ proven      proven is four fifths at most
//!               │  ◀────── its oldest ─────┘
//!               ▼ oldest first
//!             evicted
//! ```
//! What is asked for once, such as all that a crawl passes by, leaves before anything that was asked for again.
//! A plain struct: the memory tier keeps entries in one, the disk tier the names of its files.

use std::collections::{BTreeMap, HashMap};

use super::key::Key;

/// Values by key, bounded by weight.
#[derive(Debug)]
pub(crate) struct Shelf<V> {
    places: HashMap<Key, Place<V>>,
    trial: Row,
    proven: Row,
    capacity: u64,
    ticks: u64,
}

#[derive(Debug)]
struct Place<V> {
    value: V,
    weight: u64,
    proven: bool,
    tick: u64,
}

/// Keys from the longest untouched to the latest.
#[derive(Debug, Default)]
struct Row {
    keys: BTreeMap<u64, Key>,
    weight: u64,
}

impl<V> Shelf<V> {
    pub(crate) fn new(capacity: u64) -> Self {
        Self { places: HashMap::new(), trial: Row::default(), proven: Row::default(), capacity, ticks: 0 }
    }

    /// Puts a value in, in place of the one that was there, and gives out what has to go for it. What does not fit
    /// at all comes back itself.
    pub(crate) fn insert(&mut self, key: Key, value: V, weight: u64) -> Vec<(Key, V)> {
        let proven = self.take(&key).is_some_and(|place| place.proven);
        if weight > self.capacity {
            return vec![(key, value)];
        }
        let evicted = self.evict(self.capacity - weight);
        self.place(key, value, weight, proven);
        self.settle();
        evicted
    }

    /// The value, which stays the longer for being asked for.
    pub(crate) fn get(&mut self, key: &Key) -> Option<&V> {
        let Place { value, weight, .. } = self.take(key)?;
        self.place(*key, value, weight, true);
        self.settle();
        self.places.get(key).map(|place| &place.value)
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.places.contains_key(key)
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<V> {
        self.take(key).map(|place| place.value)
    }

    /// Changes how much there is room for, and gives out what has to go.
    pub(crate) fn resize(&mut self, capacity: u64) -> Vec<(Key, V)> {
        self.capacity = capacity;
        let evicted = self.evict(capacity);
        self.settle();
        evicted
    }

    pub(crate) fn weight(&self) -> u64 {
        self.trial.weight + self.proven.weight
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    fn evict(&mut self, most: u64) -> Vec<(Key, V)> {
        let mut evicted = Vec::new();
        while self.weight() > most {
            let Some(key) = self.trial.oldest().or_else(|| self.proven.oldest()) else { break };
            evicted.extend(self.take(&key).map(|place| (key, place.value)));
        }
        evicted
    }

    /// Moves what has become too much for the proven back among those on trial.
    fn settle(&mut self) {
        let most = self.capacity / 5 * 4;
        while self.proven.weight > most {
            let Some(key) = self.proven.oldest() else { break };
            if let Some(place) = self.take(&key) {
                self.place(key, place.value, place.weight, false);
            }
        }
    }

    fn place(&mut self, key: Key, value: V, weight: u64, proven: bool) {
        self.ticks += 1;
        let tick = self.ticks;
        let row = if proven { &mut self.proven } else { &mut self.trial };
        row.keys.insert(tick, key);
        row.weight += weight;
        self.places.insert(key, Place { value, weight, proven, tick });
    }

    fn take(&mut self, key: &Key) -> Option<Place<V>> {
        let place = self.places.remove(key)?;
        let row = if place.proven { &mut self.proven } else { &mut self.trial };
        row.keys.remove(&place.tick);
        row.weight -= place.weight;
        Some(place)
    }
}

impl Row {
    fn oldest(&self) -> Option<Key> {
        self.keys.first_key_value().map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: u8) -> Key {
        Key::from_bytes([name; 32])
    }

    fn names(evicted: &[(Key, u8)]) -> Vec<u8> {
        evicted.iter().map(|(_, name)| *name).collect()
    }

    #[test]
    fn what_was_asked_for_again_outlives_a_scan() {
        let mut shelf = Shelf::new(10);
        for name in 0..3 {
            assert!(shelf.insert(key(name), name, 1).is_empty());
            assert_eq!(shelf.get(&key(name)), Some(&name));
        }
        for name in 100..200 {
            shelf.insert(key(name), name, 1);
        }
        assert_eq!(shelf.weight(), 10);
        for name in 0..3 {
            assert!(shelf.contains(&key(name)), "{name} was washed out");
        }
    }

    #[test]
    fn the_longest_untouched_goes_first_and_the_proven_give_way_in_the_end() {
        let mut shelf = Shelf::new(5);
        for name in 0..5 {
            shelf.insert(key(name), name, 1);
        }
        shelf.get(&key(0));
        assert_eq!(names(&shelf.insert(key(5), 5, 1)), [1]);
        assert_eq!(names(&shelf.insert(key(6), 6, 2)), [2, 3]);
        assert_eq!(names(&shelf.insert(key(7), 7, 5)), [4, 5, 6, 0]);
        // All are proven, and still the oldest goes.
        let mut shelf = Shelf::new(5);
        for name in 0..5 {
            shelf.insert(key(name), name, 1);
        }
        for name in 0..5 {
            shelf.get(&key(name));
        }
        assert_eq!(names(&shelf.insert(key(9), 9, 1)), [0]);
    }

    #[test]
    fn what_does_not_fit_comes_back_and_takes_what_it_replaces_along() {
        let mut shelf = Shelf::new(5);
        shelf.insert(key(1), 1, 2);
        assert_eq!(names(&shelf.insert(key(1), 9, 6)), [9]);
        assert_eq!((shelf.len(), shelf.weight()), (0, 0), "an old value is left under a key that has a new one");
    }

    #[test]
    fn less_room_is_made_at_once_and_more_is_used_again() {
        let mut shelf = Shelf::new(8);
        for name in 0..8 {
            shelf.insert(key(name), name, 1);
        }
        assert_eq!(names(&shelf.resize(3)), [0, 1, 2, 3, 4]);
        assert_eq!(names(&shelf.resize(0)), [5, 6, 7]);
        assert_eq!(names(&shelf.insert(key(1), 1, 1)), [1], "nothing fits into nothing");
        assert!(shelf.resize(8).is_empty());
        assert!(shelf.insert(key(1), 1, 1).is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u64),
        Get(u8),
        Remove(u8),
        Resize(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0_u8..20, 0_u64..30).prop_map(|(name, weight)| Step::Insert(name, weight)),
            6 => (0_u8..20).prop_map(Step::Get),
            2 => (0_u8..20).prop_map(Step::Remove),
            1 => (0_u64..100).prop_map(Step::Resize),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_map_that_forgets_and_never_holds_too_much(steps in proptest::collection::vec(any_step(), 1..200)) {
            let mut shelf = Shelf::new(60);
            let mut capacity = 60;
            let mut model: HashMap<Key, (u64, u64)> = HashMap::new();
            for (value, step) in (0_u64..).zip(steps) {
                let evicted = match step {
                    Step::Insert(name, weight) => {
                        model.insert(key(name), (value, weight));
                        shelf.insert(key(name), value, weight)
                    }
                    Step::Get(name) => {
                        prop_assert_eq!(shelf.get(&key(name)).copied(), model.get(&key(name)).map(|(value, _)| *value));
                        Vec::new()
                    }
                    Step::Remove(name) => {
                        prop_assert_eq!(shelf.remove(&key(name)), model.remove(&key(name)).map(|(value, _)| value));
                        Vec::new()
                    }
                    Step::Resize(room) => {
                        capacity = room;
                        shelf.resize(room)
                    }
                };
                for (key, value) in evicted {
                    prop_assert_eq!(model.remove(&key).map(|(value, _)| value), Some(value), "something else went");
                }
                prop_assert!(shelf.weight() <= capacity);
                prop_assert_eq!(shelf.len(), model.len());
                prop_assert_eq!(shelf.weight(), model.values().map(|(_, weight)| weight).sum::<u64>());
                prop_assert_eq!(shelf.trial.keys.len() + shelf.proven.keys.len(), shelf.len());
                prop_assert!(shelf.proven.weight <= capacity / 5 * 4);
            }
        }
    }
}

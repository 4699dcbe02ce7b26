//! What the writer keeps in memory about the journal: who is next, whose lease runs when, and how many there are. It is
//! made anew from the jobs when the journal is opened, so it needs no rows, and a heartbeat costs no write.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::job::{Counts, Ending, JobId, Lane, State, UnixMillis};
use super::record::Record;
use super::tally::Tally;

pub(super) struct Index {
    /// By lane and owner, then by age. Bounded by the limit of queued jobs.
    queued: BTreeMap<(Lane, Owner), BTreeSet<u64>>,
    /// How many each owner has running, who has any.
    running: HashMap<Owner, usize>,
    /// How many one owner may have running.
    share: usize,
    /// The same by when they were queued: one that was given back is older than it has waited.
    waiting: BTreeSet<(UnixMillis, u64)>,
    /// Of the running ones. As many as there are claims.
    leases: BTreeMap<u64, UnixMillis>,
    counts: Counts,
    pub(super) tally: Tally,
    last_number: u64,
    secret: [u8; 32],
}

/// How things stand, as it is told to others.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) counts: Counts,
    /// Whether one of those that wait may be claimed.
    pub(super) claimable: bool,
    /// Since when the job waits that has waited longest.
    pub(super) waiting_since: Option<UnixMillis>,
    pub(super) tally: Tally,
}

/// Whose a job is, if anybody's. Two owners with the same one would have their turns and their share together, and nothing else.
type Owner = Option<u64>;

fn owner(name: Option<&str>) -> Owner {
    let mut hasher = DefaultHasher::new();
    name?.hash(&mut hasher);
    Some(hasher.finish())
}

/// What of a job is counted.
#[derive(Clone, Copy)]
pub(super) struct Weight {
    state: State,
    lane: Lane,
    owner: Owner,
    bytes: u64,
    /// When it changed last. A queued job changes no more until it is claimed or ended, so that it has waited since.
    since: UnixMillis,
}

impl From<&Record> for Weight {
    fn from(record: &Record) -> Self {
        let job = &record.job;
        Self { state: job.state, lane: job.lane, owner: owner(job.owner.as_deref()), bytes: job.bytes, since: job.updated }
    }
}

impl Index {
    pub(super) fn new(secret: [u8; 32], share: usize) -> Self {
        Self {
            queued: BTreeMap::new(),
            running: HashMap::new(),
            share,
            waiting: BTreeSet::new(),
            leases: BTreeMap::new(),
            counts: Counts::default(),
            tally: Tally::default(),
            last_number: 0,
            secret,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn standing(&self) -> Standing {
        let waiting_since = self.waiting.first().map(|(since, _)| *since);
        Standing { counts: self.counts, claimable: self.next().is_some(), waiting_since, tally: self.tally.clone() }
    }

    /// A number that is higher than those of all jobs there are, and a name that nobody has.
    pub(super) fn next_name(&mut self) -> (u64, JobId) {
        self.last_number += 1;
        (self.last_number, JobId::derive(&self.secret, self.last_number))
    }

    /// A job that was found running when the journal was opened has lost its lease with its process.
    pub(super) fn found(&mut self, number: u64, record: &Record) {
        self.last_number = self.last_number.max(number);
        self.change(number, None, Some(record.into()));
        match record.job.state {
            State::Running => self.lease(number, UnixMillis(0)),
            State::Queued | State::Ended(_) => {}
        }
    }

    pub(super) fn lease(&mut self, number: u64, until: UnixMillis) {
        self.leases.insert(number, until);
    }

    /// Of the first lane that has any whose owner may have one more: the oldest of those whose owner has none running, else the
    /// oldest.
    pub(super) fn next(&self) -> Option<u64> {
        let next = |lane: Lane| {
            let owners = self.queued.range((lane, None)..=(lane, Some(u64::MAX)));
            let oldest = owners.filter_map(|((_, owner), numbers)| {
                let running = self.running.get(owner).copied().unwrap_or_default();
                let may_run = owner.is_none() || running < self.share;
                may_run.then_some((running > 0, *numbers.first()?))
            });
            oldest.min().map(|(_, number)| number)
        };
        next(Lane::Interactive).or_else(|| next(Lane::Batch))
    }

    pub(super) fn lapsed(&self, now: UnixMillis) -> Vec<u64> {
        self.leases.iter().filter(|(_, until)| **until <= now).map(|(number, _)| *number).collect()
    }

    /// A job comes, changes or goes.
    pub(super) fn change(&mut self, number: u64, before: Option<Weight>, after: Option<Weight>) {
        if let Some(before) = before {
            self.count(before, |count, by| *count -= by);
            self.waiting.remove(&(before.since, number));
            match before.state {
                State::Queued => {
                    if let Entry::Occupied(mut numbers) = self.queued.entry((before.lane, before.owner)) {
                        numbers.get_mut().remove(&number);
                        if numbers.get().is_empty() {
                            numbers.remove();
                        }
                    }
                }
                State::Running => {
                    if let Some(running) = self.running.get_mut(&before.owner) {
                        *running -= 1;
                        if *running == 0 {
                            self.running.remove(&before.owner);
                        }
                    }
                }
                State::Ended(_) => {}
            }
        }
        if let Some(after) = after {
            self.count(after, |count, by| *count += by);
        }
        match after.map(|after| (after.state, after)) {
            Some((State::Running, after)) => *self.running.entry(after.owner).or_default() += 1,
            Some((State::Queued, after)) => {
                self.leases.remove(&number);
                self.queued.entry((after.lane, after.owner)).or_default().insert(number);
                self.waiting.insert((after.since, number));
            }
            Some((State::Ended(_), _)) | None => {
                self.leases.remove(&number);
            }
        }
    }

    fn count(&mut self, weight: Weight, by: impl Fn(&mut u64, u64)) {
        let counts = &mut self.counts;
        by(&mut counts.bytes, weight.bytes);
        let count = match weight.state {
            State::Queued => match weight.lane {
                Lane::Interactive => &mut counts.queued_interactive,
                Lane::Batch => &mut counts.queued_batch,
            },
            State::Running => &mut counts.running,
            State::Ended(ending) => {
                by(&mut counts.ended_bytes, weight.bytes);
                match ending {
                    Ending::Done => &mut counts.done,
                    Ending::Failed => &mut counts.failed,
                    Ending::Cancelled => &mut counts.cancelled,
                    Ending::Dead => &mut counts.dead,
                }
            }
        };
        by(count, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::Job;
    use super::*;

    /// More than any of these tests has jobs.
    const MANY: usize = 100;

    fn record(number: u64, lane: Lane, state: State, since: u64) -> Record {
        let job = Job {
            id: JobId::derive(&[7; 32], number),
            owner: None,
            lane,
            kind: "batch".to_owned(),
            state,
            attempts: 0,
            created: UnixMillis(1),
            updated: UnixMillis(since),
            items: None,
            done_items: 0,
            last_seq: 0,
            bytes: 10,
        };
        Record { job, generation: 0, scope: None }
    }

    #[test]
    fn who_has_waited_longest_is_known_whatever_its_lane_and_its_age() {
        let mut index = Index::new([7; 32], MANY);
        let since = |index: &Index| index.standing().waiting_since.map(|since| since.0);
        assert_eq!(since(&index), None);
        let first = record(1, Lane::Batch, State::Queued, 10);
        let second = record(2, Lane::Interactive, State::Queued, 20);
        index.found(1, &first);
        index.found(2, &second);
        assert_eq!((since(&index), index.next()), (Some(10), Some(2)));
        // The older one runs, and is given back: it is the one that has waited less.
        let running = record(1, Lane::Batch, State::Running, 30);
        index.change(1, Some(Weight::from(&first)), Some(Weight::from(&running)));
        assert_eq!(since(&index), Some(20));
        let back = record(1, Lane::Batch, State::Queued, 40);
        index.change(1, Some(Weight::from(&running)), Some(Weight::from(&back)));
        assert_eq!(since(&index), Some(20));
        let ended = record(2, Lane::Interactive, State::Ended(Ending::Cancelled), 50);
        index.change(2, Some(Weight::from(&second)), Some(Weight::from(&ended)));
        assert_eq!(since(&index), Some(40));
        index.change(1, Some(Weight::from(&back)), None);
        index.change(2, Some(Weight::from(&ended)), None);
        assert_eq!((since(&index), index.standing().counts), (None, Counts::default()));
    }

    #[test]
    fn whoever_has_none_running_comes_before_whoever_has() {
        let mut index = Index::new([7; 32], MANY);
        let of = |number: u64, lane: Lane, owner: &str, state: State| weight(number, lane, Some(owner), state);
        let queued = [
            (1, Lane::Batch, "many"),
            (2, Lane::Batch, "many"),
            (3, Lane::Batch, "many"),
            (4, Lane::Batch, "few"),
            (5, Lane::Interactive, "many"),
        ];
        for (number, lane, owner) in queued {
            index.change(number, None, Some(of(number, lane, owner, State::Queued)));
        }
        let mut order = Vec::new();
        while let Some(number) = index.next() {
            let (_, lane, owner) = queued[number as usize - 1];
            let [before, after] = [State::Queued, State::Running].map(|state| of(number, lane, owner, state));
            index.change(number, Some(before), Some(after));
            order.push(number);
        }
        // The lane counts first; then whoever has none; then age.
        assert_eq!(order, [5, 4, 1, 2, 3]);
        for (number, lane, owner) in queued {
            index.change(number, Some(of(number, lane, owner, State::Running)), None);
        }
        assert!(index.running.is_empty() && index.queued.is_empty(), "nothing is left behind");
    }

    fn weight(number: u64, lane: Lane, owner: Option<&str>, state: State) -> Weight {
        let mut record = record(number, lane, state, number);
        record.job.owner = owner.map(str::to_owned);
        Weight::from(&record)
    }

    /// Every share, with more jobs than fit into it, in either lane and in both.
    #[test]
    fn one_owner_has_no_more_running_than_its_share_and_all_others_have_theirs() {
        for share in 1..=4_usize {
            for lanes in [[Lane::Batch; 2], [Lane::Interactive; 2], [Lane::Interactive, Lane::Batch]] {
                let mut index = Index::new([7; 32], share);
                let owners = [Some("greedy"), Some("greedy"), Some("late"), None];
                let queued: Vec<_> =
                    owners.iter().flat_map(|owner| [*owner; 3].into_iter().zip(lanes.into_iter().cycle())).collect();
                for (number, (owner, lane)) in (0..).zip(&queued) {
                    index.change(number, None, Some(weight(number, *lane, *owner, State::Queued)));
                }
                let running = |index: &Index, name| index.running.get(&owner(name)).copied().unwrap_or_default();
                let mut claimed = Vec::new();
                while let Some(number) = index.next() {
                    assert!(index.standing().claimable);
                    let (owner, lane) = queued[number as usize];
                    let [before, after] = [State::Queued, State::Running].map(|state| weight(number, lane, owner, state));
                    index.change(number, Some(before), Some(after));
                    claimed.push(number);
                }
                assert!(!index.standing().claimable, "nobody is told of what nobody may have");
                assert_eq!(running(&index, Some("greedy")), share.min(6));
                assert_eq!(running(&index, Some("late")), share.min(3));
                assert_eq!(running(&index, None), 3, "nobody has nobody to share with");
                assert_eq!(index.counts().queued() as usize, 12 - claimed.len());
                // With one of its jobs over, it may have the next.
                let number = *claimed.iter().find(|number| **number < 6).expect("it has one running");
                let (name, lane) = queued[number as usize];
                index.change(number, Some(weight(number, lane, name, State::Running)), None);
                let next = index.next().map(|number| queued[number as usize].0);
                assert_eq!((next, index.standing().claimable), (Some(Some("greedy")), true));
            }
        }
    }

    #[test]
    fn every_state_is_counted_as_itself() {
        for (at, (state, _)) in Counts::default().by_state().into_iter().enumerate() {
            let mut index = Index::new([7; 32], MANY);
            index.found(1, &record(1, Lane::Batch, state, 1));
            let counted = index.counts().by_state().map(|(_, count)| count);
            let mut expected = [0; 6];
            expected[at] = 1;
            assert_eq!(counted, expected, "{state:?}");
        }
    }
}

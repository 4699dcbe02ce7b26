//! Random operations on the journal, and on a model of the queue that is a list in memory: both must say the same.
#![expect(clippy::expect_used, reason = "a test may fail")]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use eventmesh::queue::{
    Claim, Ending, Entry, EntryKind, EventKind, Idempotency, JobId, JobQueue, Journal, Lane, Outcome, QueueError, QueueLimits,
    Selection, State, Submission, UnixMillis,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const LEASE: u64 = 20;
const KEEP: u64 = 60;
/// Jobs of somebody that run at one time.
const SHARE: usize = 2;

fn limits() -> QueueLimits {
    let keep_ended = Duration::from_millis(KEEP);
    QueueLimits {
        max_queued: 4,
        max_running_per_owner: SHARE,
        max_events: 5,
        max_attempts: 2,
        keep_ended,
        ..QueueLimits::default()
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Submit { lane: Lane, owned: bool, key: Option<(u8, u8)> },
    Claim,
    Append { claim: usize, item: Option<u32>, kind: EntryKind },
    Finish { claim: usize, outcome: Outcome },
    Release { claim: usize },
    Heartbeat { claim: usize },
    Cancel { job: usize },
    Sweep,
    Wait { millis: u64 },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let claim = || 0..6_usize;
    let kind = prop_oneof![Just(EntryKind::Result), Just(EntryKind::Error), Just(EntryKind::Progress)];
    prop_oneof![
        4 => (prop_oneof![Just(Lane::Interactive), Just(Lane::Batch)], any::<bool>(), option::of((0..2_u8, 0..2_u8)))
            .prop_map(|(lane, owned, key)| Operation::Submit { lane, owned, key }),
        4 => Just(Operation::Claim),
        6 => (claim(), option::of(0..4_u32), kind).prop_map(|(claim, item, kind)| Operation::Append { claim, item, kind }),
        2 => (claim(), prop_oneof![Just(Outcome::Done), Just(Outcome::Failed)])
            .prop_map(|(claim, outcome)| Operation::Finish { claim, outcome }),
        1 => claim().prop_map(|claim| Operation::Release { claim }),
        1 => claim().prop_map(|claim| Operation::Heartbeat { claim }),
        1 => (0..6_usize).prop_map(|job| Operation::Cancel { job }),
        1 => Just(Operation::Sweep),
        3 => (1..30_u64).prop_map(|millis| Operation::Wait { millis }),
        1 => Just(Operation::Reopen),
    ]
}

#[derive(Debug)]
struct ModelJob {
    lane: Lane,
    owned: bool,
    key: Option<(u8, u8)>,
    state: State,
    attempts: u32,
    generation: u64,
    lease: u64,
    ended: u64,
    log: Vec<(EventKind, Option<u32>)>,
    forgotten: bool,
}

/// Jobs in the order of their submission.
#[derive(Debug, Default)]
struct Model {
    jobs: Vec<ModelJob>,
    now: u64,
}

impl Model {
    fn submit(&mut self, lane: Lane, owned: bool, key: Option<(u8, u8)>) -> Result<(usize, bool), &'static str> {
        let same = |job: &ModelJob| key.is_some() && job.owned == owned && job.key.map(|k| k.0) == key.map(|k| k.0);
        let known = self.jobs.iter().position(|job| !job.forgotten && same(job));
        if let Some(known) = known {
            return if self.jobs[known].key == key { Ok((known, true)) } else { Err("conflict") };
        }
        if self.jobs.iter().filter(|job| job.state == State::Queued).count() >= 4 {
            return Err("full");
        }
        let (state, log) = (State::Queued, Vec::new());
        self.jobs.push(ModelJob {
            lane,
            owned,
            key,
            state,
            attempts: 0,
            generation: 0,
            lease: 0,
            ended: 0,
            log,
            forgotten: false,
        });
        Ok((self.jobs.len() - 1, false))
    }

    fn end(&mut self, job: usize, ending: Ending) {
        let now = self.now;
        let job = &mut self.jobs[job];
        job.log.push((EventKind::End(ending), None));
        (job.state, job.ended) = (State::Ended(ending), now);
    }

    fn lapse(&mut self, all: bool) {
        for at in 0..self.jobs.len() {
            let now = self.now;
            let job = &mut self.jobs[at];
            if job.state == State::Running && (all || job.lease <= now) {
                job.attempts += 1;
                job.state = State::Queued;
                if job.attempts == 2 {
                    self.end(at, Ending::Dead);
                }
            }
        }
    }

    fn claim(&mut self) -> Option<usize> {
        self.lapse(false);
        let running = |owned: bool| self.jobs.iter().filter(|job| job.owned == owned && job.state == State::Running).count();
        let queued = self.jobs.iter().enumerate().filter(|(_, job)| job.state == State::Queued);
        let may_run = queued.filter(|(_, job)| !job.owned || running(true) < SHARE);
        let (next, _) = may_run.min_by_key(|(at, job)| (job.lane == Lane::Batch, running(job.owned) > 0, *at))?;
        let job = &mut self.jobs[next];
        (job.state, job.lease, job.generation) = (State::Running, self.now + LEASE, job.generation + 1);
        Some(next)
    }

    fn held(&mut self, (job, generation): (usize, u64)) -> Result<&mut ModelJob, &'static str> {
        let job = &mut self.jobs[job];
        match job.state {
            _ if job.forgotten => Err("not found"),
            _ if job.generation != generation => Err("stale"),
            State::Queued => Err("stale"),
            State::Ended(_) => Err("ended"),
            State::Running => Ok(job),
        }
    }

    fn append(&mut self, claim: (usize, u64), item: Option<u32>, kind: EntryKind) -> Result<u64, &'static str> {
        let job = self.held(claim)?;
        if item.is_some_and(|item| item >= 3) {
            return Err("no item");
        }
        let answered = |event: &(EventKind, Option<u32>)| event.1 == item && event.0 != EventKind::Progress;
        if item.is_some() && kind != EntryKind::Progress && job.log.iter().any(answered) {
            return Err("answered");
        }
        if job.log.len() >= 5 {
            return Err("too many");
        }
        job.log.push((kind.into(), item));
        Ok(job.log.len() as u64)
    }

    fn sweep(&mut self) {
        self.lapse(false);
        for job in &mut self.jobs {
            job.forgotten |= matches!(job.state, State::Ended(_)) && job.ended + KEEP <= self.now;
        }
    }
}

fn word(error: &QueueError) -> &'static str {
    match error {
        QueueError::NotFound => "not found",
        QueueError::Conflict { .. } => "conflict",
        QueueError::Full(_) => "full",
        QueueError::TooManyEvents { .. } => "too many",
        QueueError::AlreadyAnswered { .. } => "answered",
        QueueError::NoSuchItem { .. } => "no item",
        QueueError::Stale => "stale",
        QueueError::Ended(_) => "ended",
        QueueError::TooLarge { .. }
        | QueueError::Locked { .. }
        | QueueError::Corrupt { .. }
        | QueueError::Format { .. }
        | QueueError::Storage(_)
        | QueueError::Closed => "unexpected",
    }
}

async fn open(path: &Path, now: u64) -> Journal {
    Journal::open(path, limits(), UnixMillis(now)).await.expect("opens")
}

async fn agree(operations: Vec<Operation>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jobs");
    let mut queue = open(&path, 0).await;
    let mut model = Model::default();
    let mut ids: Vec<JobId> = Vec::new();
    let mut claims: Vec<(usize, Claim)> = Vec::new();
    for operation in operations {
        let now = UnixMillis(model.now);
        let lease = UnixMillis(model.now + LEASE);
        // The latest claims are the ones that may still count.
        let pick = |back: usize| claims.iter().rev().nth(back).map(|(job, claim)| ((*job, claim.generation), claim));
        match operation.clone() {
            Operation::Submit { lane, owned, key } => {
                let idempotency = key.map(|(key, body)| Idempotency::new(key.to_string(), &[body]));
                let owner = owned.then(|| "somebody".to_owned());
                let submission =
                    Submission { owner, lane, kind: "k".to_owned(), spec: Bytes::new(), items: Some(3), idempotency };
                let real = queue.submit(submission, now).await.map(|it| (it.job.id, it.replayed)).map_err(|error| word(&error));
                let expected = model.submit(lane, owned, key);
                if let (Ok((id, false)), Ok((_, false))) = (&real, &expected) {
                    ids.push(id.clone());
                }
                assert_eq!(real, expected.map(|(job, replayed)| (ids[job].clone(), replayed)), "{operation:?}");
            }
            Operation::Claim => {
                let real = queue.claim(lease, now).await.expect("answers").map(|claimed| claimed.claim);
                let expected = model.claim();
                assert_eq!(real.as_ref().map(|claim| &claim.job), expected.map(|job| &ids[job]));
                claims.extend(expected.zip(real));
            }
            Operation::Append { claim, item, kind } => {
                if let Some((key, claim)) = pick(claim) {
                    let entry = Entry { kind, item, data: Bytes::from_static(b"data") };
                    let real = queue.append(claim, entry, now).await.map_err(|error| word(&error));
                    assert_eq!(real, model.append(key, item, kind), "{operation:?}");
                }
            }
            Operation::Finish { claim, outcome } => {
                if let Some((key, claim)) = pick(claim) {
                    let real = queue.finish(claim, outcome, Bytes::new(), now).await.map(|_| ()).map_err(|error| word(&error));
                    let expected = model.held(key).map(|_| ());
                    if expected.is_ok() {
                        model.end(key.0, outcome.into());
                    }
                    assert_eq!(real, expected, "{operation:?}");
                }
            }
            Operation::Release { claim } => {
                if let Some((key, claim)) = pick(claim) {
                    let real = queue.release(claim, now).await.map_err(|error| word(&error));
                    assert_eq!(real, model.held(key).map(|job| job.state = State::Queued), "{operation:?}");
                }
            }
            Operation::Heartbeat { claim } => {
                if let Some((key, claim)) = pick(claim) {
                    let real = queue.heartbeat(claim, lease).await.map_err(|error| word(&error));
                    assert_eq!(real, model.held(key).map(|job| job.lease = lease.0), "{operation:?}");
                }
            }
            Operation::Cancel { job } => {
                if let Some(id) = ids.get(job) {
                    let real = queue.cancel(id, now).await.map(|job| job.state).map_err(|error| word(&error));
                    let over = matches!(model.jobs[job].state, State::Ended(_));
                    if !over {
                        model.end(job, Ending::Cancelled);
                    }
                    let known = if model.jobs[job].forgotten { Err("not found") } else { Ok(model.jobs[job].state) };
                    assert_eq!(real, known, "{operation:?}");
                }
            }
            Operation::Sweep => {
                queue.sweep(now).await.expect("sweeps");
                model.sweep();
            }
            Operation::Wait { millis } => model.now += millis,
            Operation::Reopen => {
                queue.close().await.expect("closes");
                queue = open(&path, model.now).await;
                model.lapse(true);
            }
        }
        compare(&queue, &model, &ids, &operation).await;
    }
}

async fn compare(queue: &Journal, model: &Model, ids: &[JobId], operation: &Operation) {
    let counts = queue.counts().await.expect("counts");
    let count = |state| model.jobs.iter().filter(|job| !job.forgotten && job.state == state).count() as u64;
    assert_eq!((counts.queued(), counts.running), (count(State::Queued), count(State::Running)), "{operation:?}");
    assert_eq!(counts.dead, count(State::Ended(Ending::Dead)));
    let mut bytes = 0;
    for (id, expected) in ids.iter().zip(&model.jobs) {
        let found = queue.get(id).await;
        if expected.forgotten {
            assert!(matches!(found, Err(QueueError::NotFound)), "{found:?} after {operation:?}");
            continue;
        }
        let job = found.expect("known");
        bytes += job.bytes;
        let page = queue.events(id, Selection::All, 0, 100).await.expect("reads");
        assert!(page.events.iter().map(|event| event.seq).eq(1..=job.last_seq), "{page:?}");
        let log: Vec<_> = page.events.iter().map(|event| (event.kind, event.item)).collect();
        assert_eq!((job.state, job.attempts, log), (expected.state, expected.attempts, expected.log.clone()), "{operation:?}");
        assert_eq!(page.complete, matches!(expected.state, State::Ended(_)));
        let answers = expected.log.iter().filter(|(kind, _)| *kind != EventKind::Progress).filter_map(|(_, item)| *item);
        let mut answered: Vec<u32> = answers.collect();
        answered.sort_unstable();
        assert_eq!(queue.done_items(id).await.expect("reads"), answered);
        assert_eq!(job.done_items as usize, answered.len());
    }
    assert_eq!(counts.bytes, bytes, "{operation:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_journal_is_the_model(operations in vec(operation(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(agree(operations));
    }
}

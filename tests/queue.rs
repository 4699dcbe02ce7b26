//! What the job queue promises: bounds, idempotency, fencing, retention, and what is said about files that cannot be used.
#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail, and its tasks need no names")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventmesh::queue::{
    Claim, Ending, Entry, EntryKind, Event, EventKind, EventReader, Filter, Full, Idempotency, JobId, JobQueue, Journal, Lane,
    Outcome, Part, QueueError, QueueLimits, Selection, State, Submission, UnixMillis, Whose,
};
use futures_util::FutureExt;

const FAR: UnixMillis = UnixMillis(1_000_000);

fn at(millis: u64) -> UnixMillis {
    UnixMillis(millis)
}

async fn open(directory: &Path, limits: QueueLimits) -> Journal {
    Journal::open(directory.join("jobs"), limits, at(0)).await.expect("opens")
}

fn job(lane: Lane) -> Submission {
    let spec = Bytes::from_static(b"{}");
    Submission { owner: Some("key".to_owned()), lane, kind: "batch".to_owned(), spec, items: Some(10), idempotency: None }
}

fn entry(kind: EntryKind, item: Option<u32>) -> Entry {
    Entry { kind, item, data: Bytes::from(format!("{item:?}")) }
}

async fn claim(queue: &Journal) -> Claim {
    queue.claim(FAR, at(0)).await.expect("answers").expect("a job is queued").claim
}

async fn submit(queue: &Journal, lane: Lane) -> JobId {
    queue.submit(job(lane), at(1)).await.expect("accepted").job.id
}

fn everything(limit: usize) -> Filter {
    Filter { whose: Whose::Everybody, state: None, before: None, limit }
}

#[tokio::test]
async fn lanes_come_first_then_age_and_ids_tell_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let queue = open(directory.path(), QueueLimits { max_running_per_owner: 4, ..QueueLimits::default() }).await;
    let mut ids = Vec::new();
    for lane in [Lane::Batch, Lane::Interactive, Lane::Batch, Lane::Interactive] {
        ids.push(submit(&queue, lane).await);
    }
    assert!(ids.iter().all(|id| id.as_str().len() == 26 && id.as_str().parse::<JobId>().expect("an id") == *id));
    let mut claimed = Vec::new();
    while let Some(next) = queue.claim(FAR, at(2)).await.expect("answers") {
        assert_eq!((next.job.state, &next.spec[..]), (State::Running, &b"{}"[..]));
        claimed.push(next.claim.job);
    }
    assert_eq!(claimed, [1, 3, 0, 2].map(|at: usize| ids[at].clone()));
    let listed: Vec<_> = queue.list(everything(2)).await.expect("lists").into_iter().map(|job| job.id).collect();
    assert_eq!(listed, [3, 2].map(|at: usize| ids[at].clone()), "the newest first");
    let rest = Filter { before: Some(listed[1].clone()), whose: Whose::Of(Some("key".to_owned())), ..everything(9) };
    assert_eq!(queue.list(rest).await.expect("lists").len(), 2);
    let nobodys = Filter { whose: Whose::Of(None), ..everything(9) };
    assert!(queue.list(nobodys).await.expect("lists").is_empty());
    let missing = ["", "0123456789abcdefghjkmnpqru", "../../etc/passwd/0000000000"];
    assert!(missing.iter().all(|id| matches!(id.parse::<JobId>(), Err(QueueError::NotFound))));
}

#[tokio::test]
async fn one_owner_runs_no_more_than_its_share_and_nobody_is_told_of_the_rest() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = || QueueLimits { max_running_per_owner: 2, ..QueueLimits::default() };
    let queue = open(directory.path(), limits()).await;
    for _ in 0..4 {
        submit(&queue, Lane::Interactive).await;
    }
    let first = claim(&queue).await;
    claim(&queue).await;
    assert!(queue.claim(FAR, at(2)).await.expect("answers").is_none(), "two of its jobs run");
    assert!(queue.available().now_or_never().is_none(), "there is nothing that may be claimed");
    // Others go on beside it, in a lower lane, too.
    let other = Submission { owner: Some("other".to_owned()), ..job(Lane::Batch) };
    let other = queue.submit(other, at(2)).await.expect("accepted").job.id;
    queue.available().await.expect("it is open");
    assert_eq!(claim(&queue).await.job, other);
    assert!(queue.available().now_or_never().is_none());
    queue.finish(&first, Outcome::Done, Bytes::new(), at(3)).await.expect("ends");
    queue.available().await.expect("it is open");
    claim(&queue).await;
    assert!(queue.claim(FAR, at(4)).await.expect("answers").is_none());
    // Whoever had them running is gone: they are queued again, and the share is what it was.
    queue.close().await.expect("closes");
    let queue = open(directory.path(), limits()).await;
    let mut claimed = 0;
    while queue.claim(FAR, at(5)).await.expect("answers").is_some() {
        claimed += 1;
    }
    assert_eq!((claimed, queue.counts().await.expect("counts").queued()), (3, 1), "two of the one, and one of the other");
}

#[tokio::test]
async fn a_key_stands_for_one_body_of_one_owner_and_kind_also_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let queue = open(directory.path(), QueueLimits { max_queued: 3, ..QueueLimits::default() }).await;
    let with = |body: &[u8]| Submission { idempotency: Some(Idempotency::new("k", body)), ..job(Lane::Batch) };
    let first = queue.submit(with(b"a"), at(1)).await.expect("accepted");
    assert!(!first.replayed);
    let others = [Submission { owner: None, ..with(b"b") }, Submission { kind: "crawl".to_owned(), ..with(b"b") }];
    for other in others {
        assert!(!queue.submit(other, at(1)).await.expect("another scope").replayed);
    }
    queue.close().await.expect("closes");
    let queue = open(directory.path(), QueueLimits { max_queued: 3, ..QueueLimits::default() }).await;
    // The queue is full, but this asks for nothing new.
    let again = queue.submit(with(b"a"), at(2)).await.expect("the first one");
    assert!(again.replayed && again.job == first.job);
    assert_eq!(queue.replay(&with(b"a")).await.expect("answers"), Some(again.job));
    let unknown = [job(Lane::Batch), Submission { kind: "render".to_owned(), ..with(b"a") }];
    for other in unknown {
        assert_eq!(queue.replay(&other).await.expect("answers"), None);
    }
    let conflict = queue.replay(&with(b"b")).await;
    assert!(matches!(conflict, Err(QueueError::Conflict { .. })), "{conflict:?}");
    match queue.submit(with(b"b"), at(2)).await {
        Err(QueueError::Conflict { first: found }) => assert_eq!(found, first.job.id),
        other => panic!("{other:?}"),
    }
    // One of two that come at the same time is the first.
    let directory = tempfile::tempdir().expect("a directory");
    let queue = open(directory.path(), QueueLimits::default()).await;
    let (one, two) = tokio::join!(queue.submit(with(b"a"), at(1)), queue.submit(with(b"a"), at(1)));
    let (one, two) = (one.expect("accepted"), two.expect("accepted"));
    assert!(one.job.id == two.job.id && one.replayed != two.replayed);
}

#[tokio::test]
async fn items_are_answered_once_the_end_is_last_and_lost_claims_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let queue = open(directory.path(), QueueLimits::default()).await;
    let id = submit(&queue, Lane::Batch).await;
    let first = queue.claim(at(10), at(2)).await.expect("answers").expect("queued").claim;
    assert_eq!(queue.append(&first, entry(EntryKind::Result, Some(3)), at(3)).await.expect("new"), 1);
    // The lease lapses, somebody else takes over and knows what is done.
    queue.heartbeat(&first, at(20)).await.expect("held");
    assert!(queue.claim(FAR, at(19)).await.expect("answers").is_none());
    let second = queue.claim(FAR, at(20)).await.expect("answers").expect("lapsed").claim;
    assert_eq!(queue.done_items(&id).await.expect("known"), [3]);
    for stale in [
        queue.append(&first, entry(EntryKind::Result, Some(4)), at(21)).await.err(),
        queue.finish(&first, Outcome::Done, Bytes::new(), at(21)).await.err(),
        queue.heartbeat(&first, FAR).await.err(),
        queue.release(&first, at(21)).await.err(),
    ] {
        assert!(matches!(stale, Some(QueueError::Stale)), "{stale:?}");
    }
    let twice = queue.append(&second, entry(EntryKind::Error, Some(3)), at(22)).await;
    assert!(matches!(twice, Err(QueueError::AlreadyAnswered { item: 3, seq: 1 })), "{twice:?}");
    let none = queue.append(&second, entry(EntryKind::Result, Some(10)), at(22)).await;
    assert!(matches!(none, Err(QueueError::NoSuchItem { item: 10, items: 10 })), "{none:?}");
    assert_eq!(queue.append(&second, entry(EntryKind::Progress, Some(3)), at(22)).await.expect("no answer"), 2);
    assert_eq!(queue.finish(&second, Outcome::Done, Bytes::from_static(b"sum"), at(23)).await.expect("ends"), 3);
    let after = queue.append(&second, entry(EntryKind::Progress, None), at(24)).await;
    assert!(matches!(after, Err(QueueError::Ended(Ending::Done))), "{after:?}");
    assert_eq!(queue.cancel(&id, at(24)).await.expect("stays").state, State::Ended(Ending::Done));

    let page = queue.events(&id, Selection::All, 0, 2).await.expect("reads");
    assert_eq!((page.events.len(), page.after, page.complete), (2, 2, false));
    let page = queue.events(&id, Selection::Answers, 0, 9).await.expect("reads");
    assert_eq!((page.events.len(), page.after, page.complete), (1, 3, true));
    let last = queue.events(&id, Selection::All, 2, 9).await.expect("reads").events;
    let end = Event { seq: 3, at: at(23), kind: EventKind::End(Ending::Done), item: None, data: Bytes::from_static(b"sum") };
    assert_eq!(last, [end]);
}

#[tokio::test]
async fn a_release_costs_no_attempt_and_a_cancel_stops_the_holder() {
    let directory = tempfile::tempdir().expect("a directory");
    let queue = open(directory.path(), QueueLimits { max_attempts: 1, ..QueueLimits::default() }).await;
    let id = submit(&queue, Lane::Batch).await;
    for _ in 0..3 {
        let held = claim(&queue).await;
        queue.release(&held, at(2)).await.expect("held");
    }
    let held = claim(&queue).await;
    assert_eq!(queue.get(&id).await.expect("known").attempts, 0);
    assert_eq!(queue.cancel(&id, at(3)).await.expect("cancels").state, State::Ended(Ending::Cancelled));
    let refused = queue.heartbeat(&held, FAR).await;
    assert!(matches!(refused, Err(QueueError::Ended(Ending::Cancelled))), "{refused:?}");
    let end = queue.events(&id, Selection::All, 0, 9).await.expect("reads");
    assert!(end.complete && end.events[0].kind == EventKind::End(Ending::Cancelled));
}

#[tokio::test]
async fn every_bound_refuses_by_name_and_breaks_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = QueueLimits {
        max_queued: 2,
        max_spec_bytes: 100,
        max_event_bytes: 10,
        max_events: 10,
        max_page_bytes: 15,
        max_waiting_bytes: 1,
        max_journal_bytes: 2_500,
        ..QueueLimits::default()
    };
    let queue = open(directory.path(), limits).await;
    let large = [
        (Part::Spec, Submission { spec: vec![0; 101].into(), ..job(Lane::Batch) }),
        (Part::Kind, Submission { kind: "k".repeat(65), ..job(Lane::Batch) }),
        (Part::Owner, Submission { owner: Some("o".repeat(257)), ..job(Lane::Batch) }),
        (Part::Key, Submission { idempotency: Some(Idempotency::new("i".repeat(257), b"")), ..job(Lane::Batch) }),
        (Part::Items, Submission { items: Some(11), ..job(Lane::Batch) }),
    ];
    for (expected, submission) in large {
        match queue.submit(submission, at(1)).await {
            Err(QueueError::TooLarge { part, .. }) => assert_eq!(part, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
    }
    let id = submit(&queue, Lane::Batch).await;
    submit(&queue, Lane::Batch).await;
    let full = queue.submit(job(Lane::Interactive), at(1)).await;
    assert!(matches!(full, Err(QueueError::Full(Full::Jobs))), "{full:?}");
    let held = claim(&queue).await;
    assert_eq!(held.job, id);
    let large = Entry { kind: EntryKind::Progress, item: None, data: vec![0; 11].into() };
    let refused = queue.append(&held, large, at(2)).await;
    assert!(matches!(refused, Err(QueueError::TooLarge { part: Part::Event, size: 11, max: 10 })), "{refused:?}");
    for seq in 1..=10 {
        let entry = Entry { kind: EntryKind::Result, item: None, data: vec![0; 10].into() };
        assert_eq!(queue.append(&held, entry, at(2)).await.expect("fits"), seq);
    }
    let refused = queue.append(&held, entry(EntryKind::Progress, None), at(2)).await;
    assert!(matches!(refused, Err(QueueError::TooManyEvents { max: 10 })), "{refused:?}");
    assert_eq!(queue.events(&id, Selection::All, 0, 9).await.expect("reads").events.len(), 1, "a page has its bytes");
    // Bytes are full, the queue is not; what was accepted goes on to its end.
    submit(&queue, Lane::Batch).await;
    claim(&queue).await;
    let full = queue.submit(job(Lane::Batch), at(1)).await;
    assert!(matches!(full, Err(QueueError::Full(Full::Bytes))), "{full:?}");
    queue.finish(&held, Outcome::Failed, Bytes::new(), at(3)).await.expect("the end always fits");
    assert_eq!(queue.get(&id).await.expect("known").last_seq, 11);
}

#[tokio::test]
async fn the_old_and_the_many_are_forgotten_and_the_living_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = QueueLimits { keep_ended: Duration::from_millis(100), keep_ended_bytes: 1_500, ..QueueLimits::default() };
    let queue = open(directory.path(), limits.clone()).await;
    let keyed = Submission { idempotency: Some(Idempotency::new("k", b"a")), ..job(Lane::Interactive) };
    let mut ids = vec![queue.submit(keyed.clone(), at(1)).await.expect("accepted").job.id];
    for _ in 0..4 {
        ids.push(submit(&queue, Lane::Batch).await);
    }
    for millis in [10, 20, 30, 40] {
        let held = claim(&queue).await;
        queue.append(&held, entry(EntryKind::Result, Some(0)), at(millis)).await.expect("held");
        queue.finish(&held, Outcome::Done, Bytes::new(), at(millis)).await.expect("held");
    }
    // Four of about 650 bytes are too many, two are not.
    assert_eq!(queue.sweep(at(50)).await.expect("sweeps").forgotten, 2);
    let gone = queue.get(&ids[0]).await;
    assert!(matches!(gone, Err(QueueError::NotFound)), "{gone:?}");
    assert_eq!(queue.sweep(at(129)).await.expect("sweeps").forgotten, 0);
    assert_eq!(queue.sweep(at(130)).await.expect("sweeps").forgotten, 1);
    let counts = queue.counts().await.expect("counts");
    assert_eq!((counts.done, counts.queued()), (1, 1));
    assert_eq!(queue.sweep(at(9_999)).await.expect("sweeps").forgotten, 1);
    assert!(!queue.submit(keyed, at(9_999)).await.expect("accepted").replayed, "its key is forgotten with it");
    queue.close().await.expect("closes");
    let counts = open(directory.path(), limits).await.counts().await.expect("counts");
    assert_eq!((counts.done, counts.queued(), counts.ended_bytes), (0, 2, 0));
    assert!(counts.bytes > 1_000 && counts.bytes < 1_100, "what is left is two jobs: {counts:?}");
}

#[tokio::test]
async fn a_sweep_of_many_is_done_in_slices() {
    let directory = tempfile::tempdir().expect("a directory");
    let queue = Arc::new(open(directory.path(), QueueLimits { keep_ended: Duration::ZERO, ..QueueLimits::default() }).await);
    let mut ends = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let queue = queue.clone();
        ends.spawn(async move {
            let id = submit(&queue, Lane::Batch).await;
            queue.cancel(&id, at(1)).await.expect("cancels")
        });
    }
    assert_eq!(ends.join_all().await.len(), 200);
    let first = queue.sweep(at(2)).await.expect("sweeps");
    assert!(first.more && first.forgotten == 128, "{first:?}");
    let second = queue.sweep(at(2)).await.expect("sweeps");
    assert!(!second.more && second.forgotten == 72, "{second:?}");
    assert_eq!(queue.counts().await.expect("counts"), eventmesh::queue::Counts::default());
}

#[tokio::test]
async fn a_job_that_kills_every_process_is_dead_and_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = QueueLimits { max_attempts: 2, ..QueueLimits::default() };
    let queue = open(directory.path(), limits.clone()).await;
    let id = submit(&queue, Lane::Batch).await;
    let lost = claim(&queue).await;
    queue.close().await.expect("closes");
    let queue = open(directory.path(), limits.clone()).await;
    let job = queue.get(&id).await.expect("known");
    assert_eq!((job.state, job.attempts), (State::Queued, 1));
    let stale = queue.append(&lost, entry(EntryKind::Progress, None), at(1)).await;
    assert!(matches!(stale, Err(QueueError::Stale)), "{stale:?}");
    claim(&queue).await;
    queue.close().await.expect("closes");
    let queue = open(directory.path(), limits).await;
    let job = queue.get(&id).await.expect("known");
    assert_eq!((job.state, job.attempts), (State::Ended(Ending::Dead), 2));
    let page = queue.events(&id, Selection::All, 0, 9).await.expect("reads");
    assert!(page.complete && page.events[0].kind == EventKind::End(Ending::Dead));
}

#[tokio::test]
async fn a_reader_follows_to_the_end_from_wherever_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let queue = Arc::new(open(directory.path(), QueueLimits::default()).await);
    let id = submit(&queue, Lane::Batch).await;
    let read = |after| {
        let mut reader = EventReader::new(queue.clone(), id.clone(), after);
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(events) = reader.next().await.expect("reads") {
                seen.extend(events.into_iter().map(|event| event.seq));
            }
            seen
        })
    };
    let (all, some) = (read(0), read(2));
    queue.available().await.expect("there is one");
    let held = claim(&queue).await;
    for item in 0..4 {
        queue.append(&held, entry(EntryKind::Result, Some(item)), at(1)).await.expect("held");
    }
    queue.finish(&held, Outcome::Done, Bytes::new(), at(1)).await.expect("held");
    assert_eq!(all.await.expect("ends"), [1, 2, 3, 4, 5]);
    assert_eq!(some.await.expect("ends"), [3, 4, 5]);
    assert_eq!(read(5).await.expect("ends"), [0; 0]);
    // Whoever still waits when the queue is closed hears of it.
    let other = submit(&queue, Lane::Batch).await;
    let (waited, closed) = tokio::join!(queue.wait(&other, 0), queue.close());
    closed.expect("closes");
    assert!(matches!(waited, Err(QueueError::Closed)), "{waited:?}");
    for refused in [queue.get(&id).await.err(), queue.submit(job(Lane::Batch), at(1)).await.err()] {
        assert!(matches!(refused, Some(QueueError::Closed)), "{refused:?}");
    }
    queue.close().await.expect("closed before");
}

/// Whatever a dropped future had come to, asking again with the same key leads to one job.
#[tokio::test]
async fn futures_that_are_dropped_at_any_point_lose_and_double_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    for polls in 0..12_u32 {
        let queue = open(directory.path(), QueueLimits::default()).await;
        let keyed = Submission { idempotency: Some(Idempotency::new(polls.to_string(), b"a")), ..job(Lane::Batch) };
        let mut asked = queue.submit(keyed.clone(), at(1));
        for _ in 0..polls {
            tokio::select! {
                biased;
                _ = &mut asked => break,
                () = tokio::task::yield_now() => {}
            }
        }
        drop(asked);
        if polls % 2 == 0 {
            queue.submit(keyed.clone(), at(1)).await.expect("accepted");
        }
        queue.close().await.expect("closes");
        let queue = open(directory.path(), QueueLimits::default()).await;
        queue.submit(keyed, at(1)).await.expect("accepted");
        assert_eq!(queue.counts().await.expect("counts").queued(), u64::from(polls) + 1);
        queue.close().await.expect("closes");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jobs");
    let reopen = || Journal::open(&path, QueueLimits::default(), at(0));
    let queue = reopen().await.expect("opens");
    let locked = reopen().await.expect_err("in use");
    assert!(matches!(locked, QueueError::Locked { .. }), "{locked:?}");
    assert!(locked.to_string().contains("another process"), "{locked}");
    for _ in 0..50 {
        submit(&queue, Lane::Batch).await;
    }
    queue.close().await.expect("closes");

    let whole = std::fs::read(&path).expect("reads");
    let damages: [(&str, Vec<u8>); 4] = [
        ("no journal", b"this is a letter".to_vec()),
        ("cut off", whole[..whole.len() / 3].to_vec()),
        ("zeroes", vec![0; 8_192]),
        ("flipped", whole.iter().enumerate().map(|(at, byte)| if at > 4_096 { !byte } else { *byte }).collect()),
    ];
    for (damage, bytes) in damages {
        std::fs::write(&path, bytes).expect("writes");
        let error = reopen().await.expect_err(damage);
        assert!(matches!(error, QueueError::Corrupt { .. }), "{damage}: {error:?}");
        assert!(error.to_string().contains("move it away"), "{error}");
    }
    std::fs::write(&path, whole).expect("writes");
    assert_eq!(reopen().await.expect("opens").counts().await.expect("counts").queued(), 50);
    let nowhere = Journal::open(directory.path().join("no/jobs"), QueueLimits::default(), at(0)).await.expect_err("no directory");
    assert!(matches!(nowhere, QueueError::Storage(_)), "{nowhere:?}");
}

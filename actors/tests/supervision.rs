//! Pools and trees against a worker that can go bad in every way there is.
//!
//! Several of these are faults measured in other supervision libraries: jobs that panic, a worker that ends
//! itself after it has finished, a replacement that fails to start, a handler that is stuck. The pool passes
//! each with every job answered exactly once and none lost that did not end its child itself.

#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail, and its tasks are its own")]

mod failing;

use std::sync::atomic::Ordering;
use std::time::Duration;

use eventmesh_actors::{
    BackoffSpec, Bus, ChildSpec, Demand, Event, Exit, LeaseError, Pool, PoolSpec, Priority, RecycleLimits, RestartIntensity,
    RunError, SupervisorSpec, Tree, TreeState,
};
use failing::{Failing, Grip, Job, Script};
use tokio::time::{Instant, sleep};

const MANY: RestartIntensity = RestartIntensity { intensity: 1_000_000, period: Duration::from_secs(1) };
const GRACE: Duration = Duration::from_secs(5);

fn demand(millis: u64) -> Demand {
    Demand::new(1, Instant::now() + Duration::from_millis(millis))
}

fn spec(size: u32) -> PoolSpec {
    PoolSpec { restarts: MANY.into(), ..PoolSpec::new("test", size) }
}

async fn tree_over(pool: &Pool<Failing>, bus: Bus) -> Tree {
    Tree::start(SupervisorSpec::new("tests").child(ChildSpec::pool(pool)), bus).await.expect("the tree starts")
}

async fn running(spec: PoolSpec, script: Script) -> (Pool<Failing>, Tree) {
    let bus = Bus::new(1024);
    let pool = Pool::new(spec, script, bus.clone());
    let tree = tree_over(&pool, bus).await;
    pool.ready(Instant::now() + GRACE).await.expect("the pool comes up");
    (pool, tree)
}

#[tokio::test]
async fn a_job_is_answered_and_the_child_reused() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    for number in 0..10 {
        assert_eq!(pool.run(demand(1000), || Job::Echo(number)).await.expect("echo"), number);
    }
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.counts.leases, snapshot.counts.jobs), (10, 10));
    assert_eq!(snapshot.children[0].id.to_string(), "test/0#1");
    tree.shutdown(GRACE).await;
    assert_eq!(tree.state(), TreeState::Down);
    assert!(matches!(pool.lease(demand(10)).await, Err(LeaseError::Closed { .. })));
}

/// In a factory that routes jobs through its mailbox, a panicking worker takes jobs with it unannounced.
#[tokio::test]
async fn panicking_jobs_lose_only_themselves_and_say_so() {
    let (pool, tree) = running(PoolSpec { max_waiting: 2000, ..spec(4) }, Script::default()).await;
    let mut calls = Vec::new();
    for number in 0..2000u64 {
        let pool = pool.clone();
        calls.push(tokio::spawn(async move {
            let job = move || if number % 100 == 0 { Job::Panic } else { Job::Echo(number) };
            (number, pool.run(demand(60_000), job).await)
        }));
    }
    let mut ended = 0;
    for call in calls {
        match call.await.expect("no caller panics") {
            (number, Ok(echo)) => assert_eq!(number, echo),
            (number, Err(RunError::ChildEnded { .. })) => {
                assert_eq!(number % 100, 0, "job {number} was innocent");
                ended += 1;
            }
            (number, Err(error)) => panic!("job {number}: {error}"),
        }
    }
    let counts = pool.snapshot().counts;
    assert_eq!(ended, 20, "each panicking job is answered");
    assert_eq!((counts.jobs, counts.jobs_lost, counts.violations.len()), (1980, 40, 0), "and was tried twice");
    assert_eq!(counts.restarts["panicked"], 40);
    tree.shutdown(GRACE).await;
}

/// Elsewhere, a worker that reports "finished", looks at its memory and then ends itself loses one job each time.
#[tokio::test]
async fn recycling_after_every_job_loses_none_at_size_one() {
    let limits = RecycleLimits { jobs: Some(1), ..RecycleLimits::NEVER };
    let (pool, tree) = running(PoolSpec { recycle: limits, ..spec(1) }, Script::default()).await;
    let mut callers = Vec::new();
    for caller in 0..4u64 {
        let pool = pool.clone();
        callers.push(tokio::spawn(async move {
            for number in 0..500 {
                let number = caller * 1000 + number;
                assert_eq!(pool.run(demand(60_000), || Job::Echo(number)).await.expect("no job is lost"), number);
            }
        }));
    }
    for caller in callers {
        caller.await.expect("every job was answered");
    }
    let counts = pool.snapshot().counts;
    assert_eq!((counts.jobs, counts.jobs_lost, counts.violations.len()), (2000, 0, 0));
    assert!(counts.recycles["jobs"] > 10, "{counts:?}");
    assert!(counts.restarts.is_empty(), "a recycle is not a restart: {counts:?}");
    tree.shutdown(GRACE).await;
}

/// The same for a worker that says after a job that it is not well.
#[tokio::test]
async fn a_worker_that_ends_itself_after_finishing_loses_none() {
    // A worker that is sick after each first job waits out a backoff; here it is forgiven at once.
    let backoff = BackoffSpec { base: Duration::ZERO, cap: Duration::ZERO, reset_after: Duration::ZERO };
    let (pool, tree) = running(PoolSpec { backoff, ..spec(2) }, Script::default()).await;
    for number in 0..500 {
        let answer = pool.run(demand(60_000), || Job::EchoThenSicken(number)).await;
        assert_eq!(answer.expect("no job is lost"), number);
    }
    let counts = pool.snapshot().counts;
    assert_eq!((counts.jobs, counts.jobs_lost, counts.violations.len()), (500, 0, 0));
    assert_eq!(counts.recycles["unhealthy"], 500);
    tree.shutdown(GRACE).await;
}

/// Elsewhere, one replacement that fails to start takes the whole factory down.
#[tokio::test]
async fn a_replacement_that_fails_to_start_costs_no_job() {
    let limits = RecycleLimits { jobs: Some(3), ..RecycleLimits::NEVER };
    let script = Script::default();
    let failures = script.failing_starts.clone();
    let (pool, tree) = running(PoolSpec { recycle: limits, ..spec(1) }, script).await;
    failures.store(3, Ordering::SeqCst);
    for number in 0..500 {
        let answer = pool.run(demand(60_000), || Job::SlowEcho(number, Duration::from_micros(500))).await;
        assert_eq!(answer.expect("no job is lost"), number);
    }
    let counts = pool.snapshot().counts;
    assert_eq!((counts.jobs, counts.jobs_lost, counts.violations.len()), (500, 0, 0));
    assert_eq!(counts.recycles_failed, 3);
    assert!(counts.restarts.is_empty(), "{counts:?}");
    assert!(counts.recycles["jobs"] > 0);
    tree.shutdown(GRACE).await;
}

/// The same when the child is gone and the one after it will not start: callers wait, nobody is lost.
#[tokio::test]
async fn callers_wait_while_a_start_is_retried() {
    let script = Script::default();
    let failures = script.failing_starts.clone();
    let (pool, tree) = running(spec(1), script).await;
    failures.store(3, Ordering::SeqCst);
    assert!(matches!(pool.lease(demand(1000)).await.expect("a lease").run(Job::Panic).await, Err(RunError::ChildEnded { .. })));
    assert_eq!(pool.run(demand(60_000), || Job::Echo(7)).await.expect("echo"), 7);
    let counts = pool.snapshot().counts;
    assert_eq!((counts.restarts["panicked"], counts.restarts["start_failed"]), (1, 3));
    tree.shutdown(GRACE).await;
}

/// A child that panics while it starts is a failed start like any other.
#[tokio::test]
async fn a_panic_during_start_is_a_failed_start() {
    let script = Script::default();
    script.panicking_starts.store(2, Ordering::SeqCst);
    let (pool, tree) = running(spec(1), script).await;
    assert_eq!(pool.snapshot().counts.restarts["start_failed"], 2);
    assert!(matches!(pool.snapshot().last_failure, Some(Exit::StartFailed(_))));
    tree.shutdown(GRACE).await;
}

/// Elsewhere, a stuck handler is either never found or found after a fixed ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stuck_handler_is_replaced_and_its_siblings_serve() {
    let (pool, tree) = running(spec(2), Script::default()).await;
    let mut lease = pool.lease(demand(50)).await.expect("a lease");
    let stuck = lease.child().clone();
    // Spins on a runtime thread, as no worker should: not even a kill reaches it.
    let grip = Grip::default();
    match lease.run(Job::Spin(grip.clone())).await {
        Err(RunError::ChildEnded { child, exit: Some(Exit::Hung) }) => assert_eq!(child, stuck),
        other => panic!("expected a hang, got {other:?}"),
    }
    // The spin is still on. The sibling serves, and so does the replacement.
    let mut served = std::collections::BTreeSet::new();
    for number in 0..4 {
        let mut first = pool.lease(demand(60_000)).await.expect("a lease");
        let second = pool.lease(demand(60_000)).await;
        let mut second = second.unwrap_or_else(|error| panic!("{error}: {:?}", pool.snapshot()));
        assert_eq!(first.run(Job::Echo(number)).await.expect("echo"), number);
        assert_eq!(second.run(Job::Echo(number)).await.expect("echo"), number);
        served.extend([first.child().to_string(), second.child().to_string()]);
    }
    assert!(!served.contains(&stuck.to_string()), "{served:?}");
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.counts.restarts["hung"], 1);
    grip.let_go();
    tree.shutdown(GRACE).await;
}

/// The retry after a hang is past the deadline, and must not look like a hang of the next child.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hang_costs_its_own_child_only() {
    let (pool, tree) = running(spec(2), Script::default()).await;
    let grip = Grip::default();
    let result = pool.run(demand(50), || Job::Spin(grip.clone())).await;
    assert!(matches!(result, Err(RunError::ChildEnded { exit: Some(Exit::Hung), .. })), "{result:?}");
    let restarts = pool.snapshot().counts.restarts;
    assert_eq!((restarts.len(), restarts["hung"]), (1, 1));
    grip.let_go();
    tree.shutdown(GRACE).await;
}

/// A caller that gives up on a job that cannot be cancelled does not leave its slot lost behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stuck_child_is_replaced_when_its_caller_has_gone() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    let grip = Grip::default();
    let stuck = pool.run(demand(600_000), || Job::Spin(grip.clone()));
    assert!(tokio::time::timeout(Duration::from_millis(50), stuck).await.is_err());
    assert_eq!(pool.run(demand(60_000), || Job::Echo(7)).await.expect("the slot is filled again"), 7);
    assert_eq!(pool.snapshot().counts.restarts["hung"], 1);
    grip.let_go();
    tree.shutdown(GRACE).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_past_its_deadline_runs_nothing_and_hurts_nobody() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    let mut lease = pool.lease(demand(10)).await.expect("a lease");
    sleep(Duration::from_secs(5)).await;
    assert!(matches!(lease.run(Job::Echo(1)).await, Err(RunError::Deadline { .. })));
    drop(lease);
    assert_eq!(pool.run(demand(10), || Job::Echo(7)).await.expect("echo"), 7);
    assert!(pool.snapshot().counts.restarts.is_empty());
    tree.shutdown(GRACE).await;
}

/// Starts that nobody wants any more do not hold a shutdown up, whether they have begun or not.
#[tokio::test(start_paused = true)]
async fn shutdown_right_after_start_is_over_at_once() {
    let bus = Bus::new(16);
    for slow in [false, true] {
        let script = Script::default();
        script.slow_starts.store(slow, Ordering::SeqCst);
        let pool = Pool::<Failing>::new(spec(3), script, bus.clone());
        let tree = tree_over(&pool, bus.clone()).await;
        if slow {
            sleep(Duration::from_millis(10)).await;
        }
        let began = Instant::now();
        tree.shutdown(GRACE).await;
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
        assert!(pool.snapshot().children.is_empty());
    }
}

/// The last act of a pool's old actor must not close the pool that a new one has opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_can_be_run_by_one_tree_after_another() {
    let bus = Bus::new(1024);
    let pool = Pool::<Failing>::new(spec(1), Script::default(), bus.clone());
    for round in 0..50 {
        let tree = tree_over(&pool, bus.clone()).await;
        pool.ready(Instant::now() + GRACE).await.expect("the pool comes up");
        assert_eq!(pool.run(demand(5000), || Job::Echo(round)).await.expect("echo"), round);
        drop(tree);
    }
}

/// Elsewhere, a healthy job longer than a fixed ping is killed. Here only its own deadline counts.
#[tokio::test(start_paused = true)]
async fn a_long_job_within_its_deadline_is_left_alone() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    let job = Job::SlowEcho(7, Duration::from_secs(3600));
    assert_eq!(pool.run(demand(4_000_000), || job.clone()).await.expect("echo"), 7);
    assert!(pool.snapshot().counts.restarts.is_empty());
    tree.shutdown(GRACE).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_past_its_deadline_is_cancelled_and_the_child_lives() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    let result = pool.run(demand(100), || Job::Hang).await;
    assert!(matches!(result, Err(RunError::Deadline { .. })), "{result:?}");
    assert_eq!(pool.run(demand(100), || Job::Echo(7)).await.expect("echo"), 7);
    assert_eq!(pool.snapshot().children[0].id.generation, 1);
    tree.shutdown(GRACE).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_cancels_its_job_and_frees_the_child() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    let abandoned = tokio::time::timeout(Duration::from_millis(10), pool.run(demand(60_000), || Job::Hang)).await;
    assert!(abandoned.is_err());
    assert_eq!(pool.run(demand(100), || Job::Echo(7)).await.expect("the child is free"), 7);
    assert_eq!(pool.snapshot().admitted_bytes, 0);
    tree.shutdown(GRACE).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_the_deadline_and_leaves_no_trace() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    let held = pool.lease(demand(60_000)).await.expect("a lease");
    let began = Instant::now();
    let refused = pool.lease(demand(250)).await;
    assert!(matches!(refused, Err(LeaseError::Deadline { .. })), "{refused:?}");
    assert_eq!(began.elapsed().as_millis() / 10, 25);
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.waiting, snapshot.admitted_bytes), (0, 1));
    drop(held);
    assert_eq!(pool.snapshot().admitted_bytes, 0);
    tree.shutdown(GRACE).await;
}

/// A batch that is as wide as the pool used to hold all of it, and whoever waited for an answer waited for its jobs first.
#[tokio::test(start_paused = true)]
async fn batch_work_never_holds_the_last_child() {
    let (pool, tree) = running(spec(2), Script::default()).await;
    while pool.snapshot().children.iter().any(|child| child.state != "idle") {
        sleep(Duration::from_millis(1)).await;
    }
    let batch = |number| {
        let pool = pool.clone();
        let demand = demand(600_000).priority(Priority::Batch);
        tokio::spawn(async move { pool.run(demand, || Job::SlowEcho(number, Duration::from_secs(60))).await })
    };
    let began = Instant::now();
    let calls: Vec<_> = (0..4).map(batch).collect();
    while pool.snapshot().waiting < 3 {
        sleep(Duration::from_millis(1)).await;
    }
    for number in 10..20 {
        assert_eq!(pool.run(demand(100), || Job::Echo(number)).await.expect("a child is kept for it"), number);
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!((pool.snapshot().waiting, pool.snapshot().reserved), (3, 1));
    for (number, call) in (0..).zip(calls) {
        assert_eq!(call.await.expect("no panic").expect("one after the other"), number);
    }
    assert!(began.elapsed() >= Duration::from_secs(240), "{:?}", began.elapsed());
    tree.shutdown(GRACE).await;
}

#[tokio::test]
async fn failures_of_the_input_restart_nothing() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    for _ in 0..100 {
        assert!(matches!(pool.run(demand(1000), || Job::FailInput).await, Err(RunError::Job(_))));
    }
    let snapshot = pool.snapshot();
    assert!(snapshot.counts.restarts.is_empty());
    assert_eq!(snapshot.children[0].jobs, 100);
    tree.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_worker_that_blames_itself_is_replaced_and_the_job_tried_once_more() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    assert!(matches!(pool.run(demand(1000), || Job::FailWorker).await, Err(RunError::Worker(_))));
    let mut tries = 0;
    let answer = pool
        .run(demand(1000), || {
            tries += 1;
            if tries == 1 { Job::FailWorker } else { Job::Echo(7) }
        })
        .await;
    assert_eq!((answer.expect("the second try"), tries), (7, 2));
    assert_eq!(pool.snapshot().counts.restarts["broken"], 3);
    tree.shutdown(GRACE).await;
}

#[tokio::test]
async fn an_operator_replaces_a_child_without_losing_anything() {
    let (pool, tree) = running(spec(1), Script::default()).await;
    let mut lease = pool.lease(demand(5000)).await.expect("a lease");
    assert!(pool.retire(0));
    assert!(!pool.retire(0), "one at a time");
    assert_eq!(lease.run(Job::Echo(1)).await.expect("the old one ends its work"), 1);
    drop(lease);
    while pool.snapshot().children.iter().any(|child| child.id.generation == 1) {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pool.run(demand(1000), || Job::Echo(2)).await.expect("echo"), 2);
    assert_eq!(pool.snapshot().counts.recycles["operator"], 1);
    tree.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_spent_pool_is_restarted_by_its_tree_and_a_spent_tree_is_down() {
    let once = RestartIntensity { intensity: 1, period: Duration::from_secs(600) };
    let bus = Bus::new(1024);
    let mut events = bus.subscribe();
    let bad = Pool::<Failing>::new(PoolSpec { restarts: once.into(), ..PoolSpec::new("bad", 1) }, Script::default(), bus.clone());
    let good = Pool::<Failing>::new(PoolSpec::new("good", 1), Script::default(), bus.clone());
    let root = SupervisorSpec::new("tests").restarts(once).child(ChildSpec::pool(&good)).child(ChildSpec::pool(&bad));
    let tree = Tree::start(root, bus).await.expect("the tree starts");
    bad.ready(Instant::now() + GRACE).await.expect("up");
    // `run` tries each job twice: two deaths spend the pool, and its tree starts it again.
    let _ = bad.run(demand(5000), || Job::Panic).await;
    while tree.snapshot().restarted() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    bad.ready(Instant::now() + GRACE).await.expect("up again");
    assert_eq!(bad.run(demand(5000), || Job::Echo(7)).await.expect("echo"), 7);
    assert_eq!(good.run(demand(5000), || Job::Echo(7)).await.expect("the other pool never noticed"), 7);
    assert_eq!(good.snapshot().children[0].id.generation, 1);
    let _ = bad.run(demand(5000), || Job::Panic).await;
    tree.down().await;
    assert_eq!(tree.snapshot().state, "down");
    assert!(matches!(good.lease(demand(10)).await, Err(LeaseError::Closed { .. })));
    drop((tree, bad, good));
    let mut told = Vec::new();
    while let Some(event) = events.recv().await {
        told.push(event);
    }
    assert_eq!(told.iter().filter(|event| matches!(event, Event::BudgetSpent { .. })).count(), 2);
    assert_eq!(told.iter().filter(|event| matches!(event, Event::SupervisorGaveUp { .. })).count(), 1);
    assert_eq!(events.missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_running_jobs_and_kills_what_stays() {
    let (pool, tree) = running(spec(2), Script::default()).await;
    let polite = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(demand(60_000), || Job::SlowEcho(7, Duration::from_secs(1))).await }
    });
    let stubborn = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(demand(600_000), || Job::Hang).await }
    });
    sleep(Duration::from_millis(10)).await;
    let began = Instant::now();
    tree.shutdown(Duration::from_secs(3)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(polite.await.expect("no panic").expect("it was let to end"), 7);
    let stubborn = stubborn.await.expect("no panic");
    assert!(matches!(stubborn, Err(RunError::ChildEnded { .. } | RunError::Lease(LeaseError::Closed { .. }))), "{stubborn:?}");
    assert!(pool.snapshot().children.is_empty());
}

#[tokio::test]
async fn two_trees_in_one_process_never_meet() {
    let (first, first_tree) = running(spec(1), Script::default()).await;
    let (second, second_tree) = running(spec(1), Script::default()).await;
    let _ = first.run(demand(1000), || Job::Panic).await;
    first_tree.shutdown(GRACE).await;
    assert_eq!(second.run(demand(1000), || Job::Echo(7)).await.expect("echo"), 7);
    let counts = second.snapshot().counts;
    assert_eq!((counts.leases, counts.restarts.len()), (1, 0));
    second_tree.shutdown(GRACE).await;
}

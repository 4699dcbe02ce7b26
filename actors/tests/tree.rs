//! Supervisors on real actors: what OTP promises, and what it does not.

#![expect(clippy::expect_used, reason = "a test may fail")]

mod failing;

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventmesh_actors::{
    AutoShutdown, BackoffSpec, Bus, ChildError, ChildSpec, Demand, Event, Exit, HangPolicy, LeaseError, MemoryLimits, NodeDetail,
    PhaseBudget, Pool, PoolSpec, Pressure, QuarantinePolicy, RecycleLimits, Restart, RestartPolicy, RunError, Shutdown, Step,
    Strategy, Supervisor, SupervisorSpec, Tree, TreeError, TreeState,
};
use failing::{Failing, Job, Script};
use tokio::time::{Instant, sleep};

const GRACE: Duration = Duration::from_secs(5);

/// What services did, in order: `+name` came up, `-name` was asked to stop.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, what: String) {
        self.0.lock().expect("no panic").push(what);
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().expect("no panic")).join(" ")
    }

    /// A service that comes up and stays, and fails or ends when it is told to.
    fn service(&self, name: &'static str, orders: &Orders) -> ChildSpec {
        let (diary, orders) = (self.clone(), orders.clone());
        ChildSpec::service(name, move |context| {
            let (diary, orders) = (diary.clone(), orders.clone());
            async move {
                if orders.refuses_to_start(name) {
                    return Err("no".to_owned());
                }
                diary.note(format!("+{name}"));
                context.ready();
                tokio::select! {
                    () = context.stopping() => {
                        diary.note(format!("-{name}"));
                        orders.stays_after_stop(name).await;
                        Ok(())
                    }
                    end = orders.end(name) => end,
                }
            }
        })
    }
}

/// What services are to do, by name.
#[derive(Clone, Default)]
struct Orders(Arc<Mutex<Vec<(&'static str, Order)>>>);

#[derive(Clone, Copy, PartialEq)]
enum Order {
    End,
    Fail,
    Panic,
    StayAfterStop,
    /// Of that many starts.
    RefuseToStart(u32),
}

impl Orders {
    fn give(&self, name: &'static str, order: Order) {
        self.0.lock().expect("no panic").push((name, order));
    }

    fn take(&self, name: &str, wanted: impl Fn(Order) -> bool) -> Option<Order> {
        let mut orders = self.0.lock().expect("no panic");
        let place = orders.iter().position(|(to, order)| *to == name && wanted(*order))?;
        Some(orders.remove(place).1)
    }

    fn refuses_to_start(&self, name: &'static str) -> bool {
        match self.take(name, |order| matches!(order, Order::RefuseToStart(_))) {
            Some(Order::RefuseToStart(left)) if left > 0 => {
                self.give(name, Order::RefuseToStart(left - 1));
                true
            }
            Some(_) | None => false,
        }
    }

    async fn stays_after_stop(&self, name: &str) {
        if self.take(name, |order| order == Order::StayAfterStop).is_some() {
            std::future::pending::<()>().await;
        }
    }

    async fn end(&self, name: &str) -> Result<(), String> {
        loop {
            match self.take(name, |order| matches!(order, Order::End | Order::Fail | Order::Panic)) {
                Some(Order::End) => return Ok(()),
                Some(Order::Fail) => return Err("on purpose".to_owned()),
                Some(Order::Panic) => panic!("on purpose"),
                Some(Order::StayAfterStop | Order::RefuseToStart(_)) | None => sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

fn root() -> SupervisorSpec {
    let backoff =
        BackoffSpec { base: Duration::from_millis(1), cap: Duration::from_millis(5), reset_after: Duration::from_secs(60) };
    SupervisorSpec::new("root").backoff(backoff).restarts(RestartPolicy::any(20, Duration::from_secs(60)))
}

async fn started(spec: SupervisorSpec) -> Tree {
    Tree::start(spec, Bus::new(1024)).await.expect("the tree starts")
}

/// Waits until every child runs, in its life number `generation` at least.
async fn all_run(tree: &Tree, name: &str, generation: u64) {
    loop {
        let children = tree.snapshot().children;
        let there = children.iter().any(|child| &*child.name == name && child.generation >= generation);
        if there && children.iter().all(|child| child.state == "running") {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_strategy_restarts_whom_it_should_in_order() {
    for (strategy, expected) in
        [(Strategy::OneForOne, "+b"), (Strategy::OneForAll, "-c -a +a +b +c"), (Strategy::RestForOne, "-c +b +c")]
    {
        for order in [Order::Fail, Order::Panic, Order::End] {
            let (diary, orders) = (Diary::default(), Orders::default());
            let child = |name| diary.service(name, &orders);
            let tree = started(root().strategy(strategy).child(child("a")).child(child("b")).child(child("c"))).await;
            assert_eq!(diary.take(), "+a +b +c");
            orders.give("b", order);
            all_run(&tree, "b", 2).await;
            assert_eq!(diary.take(), expected, "{strategy:?}");
            tree.shutdown(GRACE).await;
            assert_eq!(diary.take(), "-c -b -a", "{strategy:?}");
            assert_eq!((tree.state(), tree.down().await), (TreeState::Down, Exit::Shutdown));
        }
    }
}

/// Elsewhere, a transient child that is killed is taken for one that has ended well, and never comes back.
#[tokio::test(start_paused = true)]
async fn a_killed_transient_child_comes_back_and_one_that_ended_well_does_not() {
    let (diary, orders) = (Diary::default(), Orders::default());
    let tree = started(root().child(diary.service("a", &orders).restart(Restart::Transient))).await;
    tree.root().kill_child("a").expect("known");
    all_run(&tree, "a", 2).await;
    assert_eq!(tree.snapshot().children[0].last_exit, Some(Exit::Killed));
    orders.give("a", Order::End);
    while tree.snapshot().children[0].state != "down" {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!((tree.snapshot().children[0].state, diary.take().as_str()), ("down", "+a +a"));
    tree.shutdown(GRACE).await;
}

/// Elsewhere, a stop with a time limit is given up at the limit, and the child stays.
#[tokio::test(start_paused = true)]
async fn a_child_that_will_not_stop_is_killed_and_nobody_waits_longer() {
    let (diary, orders) = (Diary::default(), Orders::default());
    let child = |name| diary.service(name, &orders).shutdown(Shutdown::Within(Duration::from_secs(1)));
    let tree = started(root().child(child("a")).child(child("b"))).await;
    orders.give("b", Order::StayAfterStop);
    let began = Instant::now();
    tree.shutdown(GRACE).await;
    assert_eq!(began.elapsed().as_millis() / 100, 10, "{:?}", began.elapsed());
    assert_eq!(diary.take(), "+a +b -b -a");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_at_first_fails_the_tree_and_leaves_nothing() {
    let (diary, orders) = (Diary::default(), Orders::default());
    orders.give("b", Order::RefuseToStart(1));
    let child = |name| diary.service(name, &orders);
    let result = Tree::start(root().child(child("a")).child(child("b")).child(child("c")), Bus::new(64)).await;
    assert!(matches!(&result, Err(TreeError::Start { why, .. }) if why.contains('b')), "{result:?}");
    assert_eq!(diary.take(), "+a -a");
    let never = ChildSpec::service("never", |context| async move {
        context.stopping().await;
        Ok::<(), Infallible>(())
    });
    let result = Tree::start(root().child(never.start_timeout(Duration::from_secs(1))), Bus::new(64)).await;
    assert!(matches!(&result, Err(TreeError::Start { why, .. }) if why.contains("not up within 1s")), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_is_tried_again_while_its_siblings_serve() {
    let (diary, orders) = (Diary::default(), Orders::default());
    let child = |name| diary.service(name, &orders);
    let tree = started(root().child(child("a")).child(child("b"))).await;
    orders.give("a", Order::RefuseToStart(5));
    orders.give("a", Order::Fail);
    orders.give("b", Order::Fail);
    all_run(&tree, "a", 7).await;
    let snapshot = tree.snapshot();
    assert_eq!((snapshot.restarts["start_failed"], snapshot.restarts["broken"]), (5, 2));
    assert_eq!(diary.take(), "+a +b +b +a");
    tree.shutdown(GRACE).await;
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_gives_up_is_restarted_whole_and_gives_up_for_good() {
    let (diary, orders) = (Diary::default(), Orders::default());
    let bus = Bus::new(1024);
    let inner = SupervisorSpec::new("inner")
        .restarts(RestartPolicy::any(0, Duration::from_secs(60)))
        .child(diary.service("x", &orders))
        .child(diary.service("y", &orders));
    let inner = Supervisor::new(inner, bus.clone()).expect("sound");
    let once = root().restarts(RestartPolicy::any(1, Duration::from_secs(60)));
    let tree = Tree::start(once.child(diary.service("a", &orders)).child(ChildSpec::supervisor(&inner)), bus.clone())
        .await
        .expect("the tree starts");
    assert_eq!(diary.take(), "+a +x +y");
    orders.give("x", Order::Panic);
    all_run(&tree, "inner", 2).await;
    assert_eq!(diary.take(), "-y +x +y", "its siblings never notice");
    let NodeDetail::Supervisor(below) = tree.snapshot().children.remove(1).detail else { panic!("a supervisor") };
    assert_eq!((below.state, below.children.len()), ("running", 2));
    orders.give("y", Order::Fail);
    let exit = tree.down().await;
    assert!(matches!(&exit, Exit::Escalated(why) if why.contains("inner")), "{exit}");
    assert_eq!(diary.take(), "-x -a");
    let post_mortem = tree.post_mortem().expect("it gave up");
    assert!(post_mortem.events.iter().any(|record| matches!(&record.event, Event::SupervisorGaveUp { .. })));
    assert!(serde_json::to_string(&post_mortem).expect("JSON").contains("supervisor_gave_up"));
}

#[tokio::test(start_paused = true)]
async fn significant_children_end_their_supervisor_and_a_permanent_one_comes_back() {
    let (diary, orders) = (Diary::default(), Orders::default());
    let worker = diary.service("x", &orders).restart(Restart::Transient).significant(true);
    let inner = SupervisorSpec::new("inner").auto_shutdown(AutoShutdown::AnySignificant).child(worker);
    let inner = Supervisor::new(inner, Bus::new(64)).expect("sound");
    let tree = started(root().child(ChildSpec::supervisor(&inner))).await;
    orders.give("x", Order::End);
    all_run(&tree, "inner", 2).await;
    assert_eq!((tree.snapshot().children[0].last_exit.clone(), diary.take().as_str()), (Some(Exit::Finished), "+x +x"));
    tree.shutdown(GRACE).await;
    let unsound = diary.service("x", &orders).significant(true);
    let result = Supervisor::new(SupervisorSpec::new("unsound").child(unsound), Bus::new(1));
    assert!(matches!(result, Err(ChildError::Unsound { .. })));
}

#[tokio::test(start_paused = true)]
async fn children_come_and_go_while_the_tree_runs() {
    let (diary, orders) = (Diary::default(), Orders::default());
    let tree = started(root().max_children(3).child(diary.service("a", &orders))).await;
    tree.root().add_child(diary.service("b", &orders)).expect("room");
    tree.root().add_child(diary.service("t", &orders).restart(Restart::Temporary)).expect("room");
    assert!(matches!(tree.root().add_child(diary.service("d", &orders)), Err(ChildError::Full { .. })));
    all_run(&tree, "t", 1).await;
    assert!(matches!(
        tree.root().add_child(diary.service("b", &orders)),
        Err(ChildError::NameTaken { .. } | ChildError::Full { .. })
    ));
    orders.give("t", Order::Fail);
    while tree.snapshot().children.len() > 2 {
        sleep(Duration::from_millis(1)).await;
    }
    tree.root().terminate_child("a").expect("known");
    while tree.snapshot().children[0].state != "down" {
        sleep(Duration::from_millis(1)).await;
    }
    tree.root().restart_child("a").expect("down");
    all_run(&tree, "a", 2).await;
    assert!(matches!(tree.root().delete_child("a"), Err(ChildError::WrongState { .. })));
    assert_eq!(diary.take(), "+a +b +t -a +a");
    tree.shutdown(GRACE).await;
    assert!(matches!(tree.root().restart_child("a"), Err(ChildError::NotRunning { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_tree_takes_everything_with_it() {
    let lives = Arc::new(AtomicU64::new(0));
    struct Alive(Arc<AtomicU64>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let service = ChildSpec::service("a", {
        let lives = Arc::clone(&lives);
        move |context| {
            lives.fetch_add(1, Ordering::SeqCst);
            let alive = Alive(Arc::clone(&lives));
            async move {
                context.ready();
                std::future::pending::<()>().await;
                drop(alive);
                Ok::<(), Infallible>(())
            }
        }
    });
    let inner = Supervisor::new(SupervisorSpec::new("inner").child(service), Bus::new(16)).expect("sound");
    let tree = started(root().child(ChildSpec::supervisor(&inner))).await;
    assert_eq!(lives.load(Ordering::SeqCst), 1);
    drop(tree);
    while lives.load(Ordering::SeqCst) > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

fn demand(millis: u64) -> Demand {
    Demand::new(1, Instant::now() + Duration::from_millis(millis))
}

async fn pool(spec: PoolSpec) -> (Pool<Failing>, Tree) {
    let bus = Bus::new(1024);
    let pool = Pool::new(spec, Script::default(), bus.clone());
    let tree = Tree::start(root().child(ChildSpec::pool(&pool)), bus).await.expect("the tree starts");
    pool.ready(Instant::now() + GRACE).await.expect("up");
    (pool, tree)
}

/// Elsewhere, one bad input restarts a worker until the whole pool is given up.
#[tokio::test(start_paused = true)]
async fn a_poison_input_is_refused_and_everybody_else_is_served() {
    let quarantine = QuarantinePolicy { strikes: 2, ..QuarantinePolicy::default() };
    let (pool, tree) = pool(PoolSpec { quarantine, ..PoolSpec::new("test", 2) }).await;
    // `run` tries twice: two children.
    assert!(matches!(pool.run(demand(5000).key(7), || Job::Panic).await, Err(RunError::ChildEnded { .. })));
    let refused = pool.run(demand(5000).key(7), || Job::Panic).await;
    let Err(RunError::Lease(error @ LeaseError::Quarantined { .. })) = refused else { panic!("{refused:?}") };
    assert!(error.retry_after().is_some_and(|delay| delay > Duration::from_secs(60)));
    assert_eq!(pool.run(demand(5000).key(8), || Job::Echo(1)).await.expect("others are served"), 1);
    assert_eq!((pool.snapshot().quarantined, pool.snapshot().counts.restarts["panicked"]), (1, 2));
    sleep(Duration::from_secs(601)).await;
    assert_eq!(pool.run(demand(5000).key(7), || Job::Echo(7)).await.expect("it has expired"), 7);
    tree.shutdown(GRACE).await;
}

/// A job that is silent is cancelled long before its deadline; its caller is told, and the child lives on.
#[tokio::test(start_paused = true)]
async fn a_silent_job_is_cancelled_before_its_deadline() {
    let phases = vec![PhaseBudget { name: "only", budget: Some(Duration::from_millis(200)) }];
    let hang = HangPolicy { phases, grace: Duration::from_millis(50) };
    let (pool, tree) = pool(PoolSpec { hang, ..PoolSpec::new("test", 1) }).await;
    let began = Instant::now();
    let result = pool.run(demand(3_600_000), || Job::Hang).await;
    assert!(matches!(result, Err(RunError::Stalled { .. })), "{result:?}");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    assert_eq!(pool.run(demand(1000), || Job::Echo(7)).await.expect("echo"), 7);
    assert!(pool.snapshot().counts.restarts.is_empty());
    tree.shutdown(GRACE).await;
}

/// One that cannot be cancelled has its child killed and replaced, while it is still stuck.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_silent_job_that_cannot_be_cancelled_climbs_the_ladder() {
    let phases = vec![PhaseBudget { name: "only", budget: Some(Duration::from_millis(50)) }];
    let hang = HangPolicy { phases, grace: Duration::from_millis(20) };
    let bus = Bus::new(1024);
    let spec = PoolSpec { hang, ..PoolSpec::new("test", 1) };
    let pool = Pool::<Failing>::new(spec, Script::default(), bus.clone());
    let tree = Tree::start(root().child(ChildSpec::pool(&pool)), bus.clone()).await.expect("the tree starts");
    let grip = failing::Grip::default();
    let stuck = eventmesh_actors::spawn_named("stuck", {
        let (pool, grip) = (pool.clone(), grip.clone());
        async move { pool.lease(demand(600_000)).await.expect("a lease").run(Job::Spin(grip)).await }
    });
    while pool.snapshot().children.iter().all(|child| child.state != "leased") {
        sleep(Duration::from_millis(1)).await;
    }
    let echo = pool.run(demand(60_000), || Job::Echo(7)).await;
    assert_eq!(echo.expect("the slot is filled again"), 7);
    let steps: Vec<Step> = bus
        .recent()
        .iter()
        .filter_map(|record| if let Event::HangSuspected { step, .. } = &record.event { Some(*step) } else { None })
        .collect();
    assert_eq!(steps[..3], [Step::Cancel, Step::Interrupt, Step::Kill]);
    let answer = stuck.await.expect("no panic").expect("no panic");
    assert!(matches!(&answer, Err(RunError::ChildEnded { exit: Some(Exit::Hung), .. })), "its caller is told: {answer:?}");
    grip.let_go();
    assert_eq!(pool.snapshot().counts.violations.len(), 0);
    tree.shutdown(GRACE).await;
}

/// A child that grows in the middle of its job is killed at its fatal limit, and its caller is told why.
#[tokio::test(start_paused = true)]
async fn a_job_past_the_fatal_limit_costs_its_child_and_says_why() {
    let memory = MemoryLimits { fatal: Some(1000), ..MemoryLimits::NONE };
    let recycle = RecycleLimits { memory, ..RecycleLimits::NEVER };
    let (pool, tree) = pool(PoolSpec { recycle, tick: Duration::from_millis(10), ..PoolSpec::new("test", 1) }).await;
    let mut lease = pool.lease(demand(60_000)).await.expect("a lease");
    let result = lease.run(Job::Grow(1000)).await;
    assert!(matches!(&result, Err(RunError::ChildEnded { exit: Some(Exit::OutOfMemory(1000)), .. })), "{result:?}");
    drop(lease);
    assert_eq!(pool.run(demand(1000), || Job::Echo(7)).await.expect("echo"), 7);
    assert_eq!(pool.snapshot().counts.restarts["out_of_memory"], 1);
    tree.shutdown(GRACE).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_follows_the_pressure_and_comes_back() {
    let (pool, tree) = pool(PoolSpec::new("test", 3)).await;
    let levels = tokio::sync::watch::Sender::new(Pressure::Normal);
    pool.follow(levels.subscribe());
    let children = async |count: usize| {
        while pool.snapshot().children.len() != count {
            sleep(Duration::from_millis(1)).await;
        }
    };
    children(3).await;
    levels.send_replace(Pressure::Refuse);
    children(1).await;
    let refused = pool.lease(demand(1000)).await;
    assert!(matches!(refused, Err(LeaseError::Pressed { pressure: Pressure::Refuse, .. })), "{refused:?}");
    levels.send_replace(Pressure::Normal);
    children(3).await;
    assert_eq!(pool.run(demand(1000), || Job::Echo(7)).await.expect("echo"), 7);
    assert!(pool.snapshot().counts.restarts.is_empty());
    tree.shutdown(GRACE).await;
}

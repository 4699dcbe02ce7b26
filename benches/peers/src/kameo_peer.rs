//! kameo.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use tokio::time::{Instant, sleep};

struct Root;

impl Actor for Root {
    type Args = ();
    type Error = Infallible;

    async fn on_start(_arguments: (), _myself: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

#[derive(Clone, Default)]
struct Child {
    starts: Arc<AtomicU64>,
    dies_at_once: Arc<AtomicBool>,
}

impl Actor for Child {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(child: Self, _myself: ActorRef<Self>) -> Result<Self, Infallible> {
        child.starts.fetch_add(1, SeqCst);
        assert!(!child.dies_at_once.load(SeqCst), "on purpose");
        Ok(child)
    }
}

struct Panic;

impl Message<Panic> for Child {
    type Reply = u64;

    async fn handle(&mut self, _message: Panic, _context: &mut Context<Self, u64>) -> u64 {
        panic!("on purpose")
    }
}

struct Rest;

impl Message<Rest> for Child {
    type Reply = u64;

    async fn handle(&mut self, _message: Rest, _context: &mut Context<Self, u64>) -> u64 {
        sleep(Duration::from_millis(300)).await;
        0
    }
}

async fn started(child: &Child, count: u64) -> bool {
    for _ in 0..200 {
        if child.starts.load(SeqCst) >= count {
            return true;
        }
        sleep(Duration::from_millis(5)).await;
    }
    false
}

pub async fn intensity() -> String {
    let (root, child) = (Root::spawn(()), Child::default());
    let actor = Child::supervise(&root, child.clone()).restart_limit(3, Duration::from_secs(1)).spawn().await;
    started(&child, 1).await;
    let mut crashes = 0;
    while crashes < 10 {
        sleep(Duration::from_millis(400)).await;
        let starts = child.starts.load(SeqCst);
        if actor.tell(Panic).await.is_err() {
            break;
        }
        crashes += 1;
        if !started(&child, starts + 1).await {
            break;
        }
    }
    let alive = root.is_alive();
    root.kill();
    format!("gives up at crash {crashes} although no second has more than 3, supervisor {}", if alive { "alive" } else { "dead" })
}

pub async fn hot_loop() -> String {
    let (root, child) = (Root::spawn(()), Child::default());
    child.dies_at_once.store(true, SeqCst);
    let began = Instant::now();
    let _actor = Child::supervise(&root, child.clone()).restart_limit(1_000_000, Duration::from_secs(5)).spawn().await;
    while began.elapsed() < Duration::from_millis(200) {
        sleep(Duration::from_millis(5)).await;
    }
    let starts = child.starts.load(SeqCst);
    child.dies_at_once.store(false, SeqCst);
    sleep(Duration::from_millis(20)).await;
    root.kill();
    format!("{starts} starts, no pause between them")
}

pub async fn stale_kill() -> String {
    let (root, child) = (Root::spawn(()), Child::default());
    let actor = Child::supervise(&root, child.clone()).spawn().await;
    started(&child, 1).await;
    // The first restart makes the handle stale.
    let _ = actor.tell(Panic).await;
    started(&child, 2).await;
    let caller = actor.clone();
    let call = tokio::spawn(async move { caller.ask(Rest).await.is_ok() });
    sleep(Duration::from_millis(50)).await;
    actor.kill();
    let completed = call.await.unwrap_or(false);
    root.kill();
    format!("`kill` {}", if completed { "does nothing: the call it should have ended completes" } else { "works" })
}

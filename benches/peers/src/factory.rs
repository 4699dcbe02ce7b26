//! ractor, and its factory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ractor::factory::queues::DefaultQueue;
use ractor::factory::routing::QueuerRouting;
use ractor::factory::{
    DeadMansSwitchConfiguration, DiscardHandler, DiscardReason, Factory, FactoryArguments, FactoryMessage, Job, JobOptions,
    WorkerMessage, WorkerStartContext, worker_builder,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

type Failed = ActorProcessingErr;

#[derive(Debug)]
enum Work {
    Answer(RpcReplyPort<()>),
    Panic(RpcReplyPort<()>),
}

#[derive(Clone, Default)]
struct Plan {
    takes: Duration,
    recycle_after: Option<u64>,
    /// The start, counted from 0, that fails.
    failing_start: Option<u64>,
}

#[derive(Default)]
struct Counts {
    starts: AtomicU64,
    recycles: AtomicU64,
    discards: AtomicU64,
}

struct Hand {
    plan: Plan,
    counts: Arc<Counts>,
}

impl Actor for Hand {
    type Msg = WorkerMessage<u64, Work>;
    type State = (WorkerStartContext<u64, Work, ()>, u64);
    type Arguments = WorkerStartContext<u64, Work, ()>;

    async fn pre_start(&self, _myself: ActorRef<Self::Msg>, context: Self::Arguments) -> Result<Self::State, Failed> {
        let start = self.counts.starts.fetch_add(1, SeqCst);
        if self.plan.failing_start == Some(start) { Err("no".into()) } else { Ok((context, 0)) }
    }

    async fn handle(&self, myself: ActorRef<Self::Msg>, message: Self::Msg, state: &mut Self::State) -> Result<(), Failed> {
        let (context, done) = state;
        let job = match message {
            WorkerMessage::FactoryPing(sent) => {
                context.factory.cast(FactoryMessage::WorkerPong(context.wid, sent.elapsed()))?;
                return Ok(());
            }
            WorkerMessage::Dispatch(job) => job,
        };
        if !self.plan.takes.is_zero() {
            sleep(self.plan.takes).await;
        }
        match job.msg {
            Work::Answer(port) => drop(port.send(())),
            Work::Panic(_port) => panic!("on purpose"),
        }
        *done += 1;
        context.factory.cast(FactoryMessage::Finished(context.wid, job.key))?;
        if self.plan.recycle_after.is_some_and(|after| *done >= after) {
            // The look at its memory: 200 µs of awaiting.
            let began = Instant::now();
            while began.elapsed() < Duration::from_micros(200) {
                tokio::task::yield_now().await;
            }
            self.counts.recycles.fetch_add(1, SeqCst);
            myself.stop(Some("recycled".to_owned()));
        }
        Ok(())
    }
}

struct Discarded(Arc<Counts>);

impl DiscardHandler<u64, Work> for Discarded {
    fn discard(&self, _reason: DiscardReason, _job: &mut Job<u64, Work>) {
        self.0.discards.fetch_add(1, SeqCst);
    }
}

type Hands = Factory<u64, Work, (), Hand, QueuerRouting<u64, Work>, DefaultQueue<u64, Work>>;

struct Pool {
    factory: ActorRef<FactoryMessage<u64, Work>>,
    task: JoinHandle<()>,
    counts: Arc<Counts>,
}

impl Pool {
    async fn start(size: usize, plan: Plan, switch: Option<DeadMansSwitchConfiguration>) -> Self {
        let counts = Arc::new(Counts::default());
        let of_hands = Arc::clone(&counts);
        let builder = worker_builder::<Hand, (), _>(move |_| (Hand { plan: plan.clone(), counts: Arc::clone(&of_hands) }, ()));
        let arguments = FactoryArguments::builder()
            .worker_builder(Box::new(builder))
            .num_initial_workers(size)
            .router(QueuerRouting::default())
            .queue(DefaultQueue::default())
            .discard_handler(Arc::new(Discarded(Arc::clone(&counts))))
            .maybe_dead_mans_switch(switch)
            .build();
        let (factory, task) = Actor::spawn(None, Hands::default(), arguments).await.expect("the factory starts");
        Self { factory, task, counts }
    }

    fn submit(&self, key: u64, work: impl FnOnce(RpcReplyPort<()>) -> Work) -> Option<oneshot::Receiver<()>> {
        let (sender, receiver) = oneshot::channel();
        let job = Job { key, msg: work(sender.into()), options: JobOptions::default(), accepted: None };
        self.factory.cast(FactoryMessage::Dispatch(job)).ok().map(|()| receiver)
    }

    async fn stop(self) {
        self.factory.stop(None);
        self.task.await.expect("the factory ends");
    }
}

/// (answered, lost): a lost one was accepted, and its reply port was dropped.
async fn collected(receivers: Vec<Option<oneshot::Receiver<()>>>) -> (u64, u64) {
    let (mut answered, mut lost) = (0, 0);
    for receiver in receivers.into_iter().flatten() {
        match timeout(Duration::from_secs(3), receiver).await {
            Ok(Ok(())) => answered += 1,
            Ok(Err(_)) | Err(_) => lost += 1,
        }
    }
    (answered, lost)
}

pub async fn panicking_jobs() -> String {
    let pool = Pool::start(4, Plan::default(), None).await;
    let submit = |key| if key % 100 == 50 { pool.submit(key, Work::Panic) } else { pool.submit(key, Work::Answer) };
    let (answered, lost) = collected((0..5_000).map(submit).collect()).await;
    let discards = pool.counts.discards.load(SeqCst);
    pool.stop().await;
    format!("{answered} of 5,000 answered; {lost} lost without a word (discard handler called {discards} times)")
}

pub async fn recycling() -> String {
    let plan = Plan { takes: Duration::from_millis(1), recycle_after: Some(50), ..Plan::default() };
    let pool = Pool::start(4, plan, None).await;
    let (_, lost) = collected((0..4_000).map(|key| pool.submit(key, Work::Answer)).collect()).await;
    let recycles = pool.counts.recycles.load(SeqCst);
    pool.stop().await;
    format!("{lost} of 4,000 jobs lost in {recycles} recycles")
}

pub async fn failing_start() -> String {
    let plan = Plan { takes: Duration::from_millis(1), failing_start: Some(4), ..Plan::default() };
    let pool = Pool::start(4, plan, None).await;
    let submit = |key| if key == 100 { pool.submit(key, Work::Panic) } else { pool.submit(key, Work::Answer) };
    let (answered, lost) = collected((0..500).map(submit).collect()).await;
    let status = pool.factory.get_status();
    pool.stop().await;
    format!("the whole factory is {status:?}: {answered} of 500 answered, {lost} lost")
}

pub async fn a_long_job() -> String {
    let switch = DeadMansSwitchConfiguration { detection_timeout: Duration::from_millis(300), kill_worker: true };
    let pool = Pool::start(2, Plan { takes: Duration::from_secs(12), ..Plan::default() }, Some(switch)).await;
    let began = Instant::now();
    let answered = match pool.submit(0, Work::Answer) {
        Some(receiver) => receiver.await.is_ok(),
        None => false,
    };
    let took = began.elapsed();
    pool.stop().await;
    if answered { format!("answered after {took:.1?}") } else { format!("killed after {took:.1?}, its answer lost") }
}

/// An actor that takes long for everything, also for its end.
struct Slow {
    ends: Arc<AtomicU64>,
}

impl Actor for Slow {
    type Msg = Vec<u8>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Vec<u8>>, _arguments: ()) -> Result<(), Failed> {
        Ok(())
    }

    async fn handle(&self, _myself: ActorRef<Vec<u8>>, _message: Vec<u8>, _state: &mut ()) -> Result<(), Failed> {
        sleep(Duration::from_secs(3600)).await;
        Ok(())
    }

    async fn post_stop(&self, _myself: ActorRef<Vec<u8>>, _state: &mut ()) -> Result<(), Failed> {
        sleep(Duration::from_millis(20)).await;
        self.ends.fetch_add(1, SeqCst);
        Ok(())
    }
}

struct Parent;

impl Actor for Parent {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, _arguments: ()) -> Result<(), Failed> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        _event: SupervisionEvent,
        _state: &mut (),
    ) -> Result<(), Failed> {
        Ok(())
    }
}

pub async fn flood() -> String {
    let (actor, task) = Actor::spawn(None, Slow { ends: Arc::default() }, ()).await.expect("it starts");
    let before = resident();
    let accepted = (0..200_000).filter(|_| actor.cast(vec![0; 1024]).is_ok()).count();
    let grown = resident().saturating_sub(before) >> 20;
    actor.kill();
    task.await.expect("it ends");
    format!("{accepted} accepted, {grown} MiB more, no error")
}

pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

pub async fn parent_stop() -> String {
    let ends = Arc::new(AtomicU64::new(0));
    let (parent, parent_task) = Actor::spawn(None, Parent, ()).await.expect("it starts");
    let slow = Slow { ends: Arc::clone(&ends) };
    let (_, child_task) = Actor::spawn_linked(None, slow, (), parent.get_cell()).await.expect("it starts");
    parent.stop(None);
    parent_task.await.expect("it ends");
    child_task.await.expect("it ends");
    format!("the child is killed, its `post_stop` run {} times", ends.load(SeqCst))
}

pub async fn stop_limit() -> String {
    let (actor, task) = Actor::spawn(None, Slow { ends: Arc::default() }, ()).await.expect("it starts");
    actor.cast(Vec::new()).expect("it runs");
    sleep(Duration::from_millis(20)).await;
    let stopped = actor.stop_and_wait(None, Some(Duration::from_millis(300))).await.is_ok();
    let status = actor.get_status();
    actor.kill();
    task.await.expect("it ends");
    format!("{}, and it is still {status:?}", if stopped { "stopped" } else { "an error" })
}

//! ractor-supervisor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, registry};
use ractor_supervisor::{
    ChildSpec, Restart, SpawnFn, Supervisor, SupervisorArguments, SupervisorMsg, SupervisorOptions, SupervisorStrategy,
};
use tokio::task::JoinHandle;
use tokio::time::sleep;

struct Child;

impl Actor for Child {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, _arguments: ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

async fn over(name: &str, child: &str, restart: Restart, starts: &Arc<AtomicU64>) -> (ActorRef<SupervisorMsg>, JoinHandle<()>) {
    let starts = Arc::clone(starts);
    let spawn_fn = SpawnFn::new(move |supervisor, id| {
        let starts = Arc::clone(&starts);
        async move {
            let (child, _) = Supervisor::spawn_linked(id, Child, (), supervisor).await?;
            starts.fetch_add(1, SeqCst);
            Ok(child.get_cell())
        }
    });
    let spec = ChildSpec { id: child.to_owned(), restart, spawn_fn, backoff_fn: None, reset_after: None };
    let options = SupervisorOptions {
        strategy: SupervisorStrategy::OneForOne,
        max_restarts: 5,
        max_window: Duration::from_secs(5),
        reset_after: None,
    };
    let arguments = SupervisorArguments { child_specs: vec![spec], options };
    Supervisor::spawn(name.to_owned(), arguments).await.expect("it starts")
}

pub async fn killed_transient() -> String {
    let starts = Arc::new(AtomicU64::new(0));
    let (supervisor, task) = over("one", "transient", Restart::Transient, &starts).await;
    sleep(Duration::from_millis(100)).await;
    if let Some(child) = registry::where_is("transient") {
        child.kill();
    }
    sleep(Duration::from_millis(300)).await;
    let there = registry::where_is("transient").is_some();
    supervisor.stop(None);
    task.await.expect("it ends");
    format!("started {} time, then {}", starts.load(SeqCst), if there { "there again" } else { "gone for good" })
}

pub async fn same_name() -> String {
    let (first, second) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (left, left_task) = over("left", "worker", Restart::Permanent, &first).await;
    sleep(Duration::from_millis(100)).await;
    let (right, right_task) = over("right", "worker", Restart::Permanent, &second).await;
    sleep(Duration::from_millis(300)).await;
    let status = right.get_status();
    left.stop(None);
    right.stop(None);
    left_task.await.expect("it ends");
    right_task.await.expect("it ends");
    format!("the second one's child starts {} times, and that supervisor is {status:?}", second.load(SeqCst))
}

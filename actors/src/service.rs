//! A long-running task as a supervised child.
//!
//! What a governor, a sweeper or a feed is: it comes up, says so, runs until it is asked to stop or fails. It is an
//! actor like all others, so that it is linked, killed and reported like all others.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::exit::{Exit, FailedWith};
use crate::snapshot::NodeDetail;
use crate::supervisor::child_spec::{Starting, Subtree};

type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Run = Arc<dyn Fn(ServiceContext) -> Running + Send + Sync>;

/// Why a service's actor ends when the service came to its own end.
pub(crate) const FINISHED: &str = "finished";

/// One life of a service, seen from inside.
#[derive(Clone, Debug)]
pub struct ServiceContext {
    ready: watch::Sender<bool>,
    stop: watch::Receiver<bool>,
}

impl ServiceContext {
    /// The service is up; whoever was to be started after it is started now.
    pub fn ready(&self) {
        self.ready.send_replace(true);
    }

    /// Waits until the service is asked to stop. It should then return, within its shutdown time.
    pub async fn stopping(&self) {
        let mut stop = self.stop.clone();
        // Without its sender there is nobody left to run for.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// A service: what is run for each of its lives.
pub(crate) struct Service {
    name: Arc<str>,
    run: Run,
    /// Asks the life at hand to stop.
    stop: Mutex<watch::Sender<bool>>,
}

impl Service {
    pub(crate) fn new<F, R, E>(name: &str, run: F) -> Self
    where
        F: Fn(ServiceContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let run: Run = Arc::new(move |context| {
            let running = run(context);
            Box::pin(async move { running.await.map_err(|error| error.to_string()) })
        });
        Self { name: name.into(), run, stop: Mutex::new(watch::Sender::new(false)) }
    }
}

impl Subtree for Service {
    fn start(&self, parent: ActorCell) -> Starting<'_> {
        Box::pin(async move {
            let (stop, stopped) = watch::channel(false);
            *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = stop;
            let (ready, mut is_ready) = watch::channel(false);
            let context = ServiceContext { ready, stop: stopped };
            let arguments = (Arc::clone(&self.run), context);
            let (actor, _) =
                Actor::spawn_linked(None, ServiceActor, arguments, parent).await.map_err(|error| error.to_string())?;
            let guard = KillUnlessUp { actor: Some(actor.clone()) };
            actor.cast(Begin).map_err(|error| error.to_string())?;
            if is_ready.wait_for(|ready| *ready).await.is_err() {
                return Err(format!("service {} ended before it was ready", self.name));
            }
            guard.let_live();
            Ok(actor.get_cell())
        })
    }

    fn stop(&self, _grace: Duration) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).send_replace(true);
    }

    fn back_in(&self, _delay: Duration) {}

    fn abandon(&self) {}

    fn detail(&self) -> NodeDetail {
        NodeDetail::Service
    }
}

/// A start that is given up leaves no actor behind.
struct KillUnlessUp {
    actor: Option<ActorRef<Begin>>,
}

impl KillUnlessUp {
    fn let_live(mut self) {
        self.actor = None;
    }
}

impl Drop for KillUnlessUp {
    fn drop(&mut self) {
        if let Some(actor) = self.actor.take() {
            actor.kill();
        }
    }
}

struct Begin;

struct ServiceActor;

impl Actor for ServiceActor {
    type Msg = Begin;
    type State = Option<(Run, ServiceContext)>;
    type Arguments = (Run, ServiceContext);

    async fn pre_start(&self, _myself: ActorRef<Begin>, arguments: Self::Arguments) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(arguments))
    }

    async fn handle(&self, myself: ActorRef<Begin>, _begin: Begin, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if let Some((run, context)) = state.take() {
            run(context).await.map_err(|why| FailedWith(Exit::Broken(why)))?;
        }
        myself.stop(Some(FINISHED.to_owned()));
        Ok(())
    }
}

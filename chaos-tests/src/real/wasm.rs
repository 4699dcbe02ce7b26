//! Real sandboxed workers under the decorator.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use eventmesh_actors::{Pool, PoolSpec, RecycleLimits, RestartPolicy, Subscriber, TreeSnapshot};
use eventmesh_extractors::Hints;
use eventmesh_extractors::wasm::{Job, Sandbox, SandboxSpec, WasmWorker};
use tokio::time::Instant;

use super::{PoolTree, StartError, bus, cache, page};
use crate::board::Board;
use crate::faulty::{Faulty, FaultySpec, LEAK};
use crate::plan::{Fault, FaultKind};
use crate::target::{Answer, AnswerKind, Call, Target};

/// A pool of decorated sandbox workers.
#[derive(Debug)]
pub struct WasmTarget {
    tree: PoolTree<Faulty<WasmWorker>>,
}

const SHUTDOWN: Duration = Duration::from_secs(5);

impl WasmTarget {
    /// Starts `size` workers, recycled by `recycle`.
    ///
    /// # Errors
    /// What keeps them from serving.
    pub async fn start(size: u32, recycle: RecycleLimits, board: Arc<Board>, seed: u64) -> Result<Self, StartError> {
        let spec = SandboxSpec { cache: cache(), ..SandboxSpec::new(size + 1) };
        let sandbox = tokio::task::spawn_blocking(move || Sandbox::new(&spec)).await.map_err(std::io::Error::other)??;
        let bus = bus();
        let pool = PoolSpec {
            recycle,
            restarts: RestartPolicy::any(1000, Duration::from_secs(1)),
            tick: Duration::from_millis(50),
            seed,
            ..PoolSpec::new("wasm", size)
        };
        let worker = FaultySpec { inner: Arc::new(sandbox), board, leak: LEAK };
        let tree = PoolTree::start(Pool::new(pool, worker, bus.clone()), bus, SHUTDOWN).await?;
        Ok(Self { tree })
    }
}

impl Target for WasmTarget {
    fn call(&self, number: u64, within: Duration) -> Call {
        let pool = self.tree.pool.clone();
        Box::pin(async move {
            let (page, deadline) = (page(number), Instant::now() + within);
            let job = || Job { page: page.clone(), hints: Hints::default(), deadline };
            let (answer, output) = PoolTree::call(&pool, number, page.len() as u64, within, job).await;
            match output {
                Some(extracted) if extracted.document.title.as_deref() != Some(&format!("Page {number}")) => {
                    Answer::new(AnswerKind::Wrong, "wrong")
                }
                Some(_) | None => answer,
            }
        })
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn tree(&self) -> TreeSnapshot {
        self.tree.snapshot()
    }

    fn events(&self) -> Subscriber {
        self.tree.events()
    }

    fn inflict(&self, fault: &Fault) -> bool {
        if fault.kind == FaultKind::Retire {
            self.tree.pool.retire(fault.target % 2);
        }
        fault.kind == FaultKind::Retire
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = Duration> + Send + '_>> {
        Box::pin(self.tree.stop())
    }
}

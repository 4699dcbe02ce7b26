//! A pool of workers that go bad, used alone. Run it with `cargo run -p eventmesh-actors --example pool`.

#![expect(clippy::print_stdout, reason = "it is an example")]

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use eventmesh_actors::{
    Bus, ChildId, ChildSpec, Demand, Failure, Pool, PoolSpec, Progress, RecycleLimits, SupervisorSpec, Tree, Usage, Worker,
};
use tokio::time::Instant;

/// Squares numbers, holds a little more memory after each, and cannot stand 13.
struct Squarer {
    held: Vec<u64>,
}

impl Worker for Squarer {
    type Spec = ();
    type Job = u64;
    type Output = u64;
    type Error = Infallible;

    async fn start(_spec: &(), child: &ChildId) -> Result<Self, Infallible> {
        println!("{child} starts");
        Ok(Self { held: Vec::new() })
    }

    async fn run(&mut self, number: u64, _progress: &Progress) -> Result<u64, Failure<Infallible>> {
        assert_ne!(number, 13, "cannot stand 13");
        self.held.push(number);
        Ok(number * number)
    }

    fn usage(&self) -> Usage {
        Usage { bytes: (self.held.len() * size_of::<u64>()) as u64, ..Usage::NONE }
    }

    async fn stop(self) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::new(256);
    let mut events = bus.subscribe();
    // Replaced after every four jobs, before it can hurt; the new one stands before the old one goes.
    let recycle = RecycleLimits { jobs: Some(4), ..RecycleLimits::NEVER };
    let pool = Pool::<Squarer>::new(PoolSpec { recycle, ..PoolSpec::new("squarer", 2) }, (), bus.clone());
    let tree = Tree::start(SupervisorSpec::new("example").child(ChildSpec::pool(&pool)), bus).await?;

    for number in 8..18 {
        let demand = Demand::new(8, Instant::now() + Duration::from_secs(1));
        match pool.run(demand, || number).await {
            Ok(square) => println!("{number}² = {square}"),
            Err(error) => println!("{number}: {error}"),
        }
    }

    let counts = pool.snapshot().counts;
    println!(
        "{} jobs, {} lost with their child, restarts {:?}, recycles {:?}",
        counts.jobs, counts.jobs_lost, counts.restarts, counts.recycles
    );
    tree.shutdown(Duration::from_secs(1)).await;
    drop((tree, pool));
    while let Some(event) = events.recv().await {
        println!("{event:?}");
    }
    Ok(())
}

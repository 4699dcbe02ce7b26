//! The one thread that writes. What has come in while it wrote goes into the next transaction together.
//!
//! Every transaction is durable: one `fsync`, shared by all orders in it. One order alone pays for it alone; many at a time
//! pay a fraction each. This is what it buys, and why no order goes without:
//! - submit: an accepted job is there after any crash;
//! - claim: a run that kills the process is counted, else it would kill every process after it;
//! - answers and the end: they are given once, to clients that have perhaps read them already;
//! - progress too: a sequence number that a reader has seen must never be given to another event.
//!
//! A heartbeat writes nothing, and a transaction in which nothing was written costs no `fsync`.
//!
//! An error of the storage stops the thread for good: what is in memory is no longer what is in the file. Orders of that
//! transaction get the error, all others hear that the queue is closed. Opening the journal again finds out what is there.

use std::sync::Arc;

use redb::{Database, Durability};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::desk::{Desk, Left};
use super::error::QueueError;
use super::index::{Index, Standing};
use super::limits::QueueLimits;
use super::watchers::Watchers;

/// Something to be done in a transaction.
pub(super) type Order = Box<dyn FnOnce(&mut Desk<'_>) -> Delivery + Send>;

/// Delivers an answer, or why the transaction failed.
pub(super) type Deliver = Box<dyn FnOnce(Option<&QueueError>)>;

/// The answer to an order, held back until the transaction is on the disk.
pub(super) struct Delivery {
    /// Set if the storage failed under the order.
    pub(super) failure: Option<QueueError>,
    pub(super) deliver: Deliver,
}

/// As many orders go into one transaction.
pub(super) const GROUP: usize = 256;

/// Fields are dropped in their order: the end of the standing tells that the file has been let go.
pub(super) struct Writer {
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) database: Arc<Database>,
    pub(super) index: Index,
    pub(super) limits: Arc<QueueLimits>,
    pub(super) watchers: Watchers,
    /// What has stopped it, once something has.
    pub(super) failure: watch::Sender<Option<QueueError>>,
    pub(super) standing: watch::Sender<Standing>,
}

impl Writer {
    /// Until the queue is closed or dropped, or the storage fails.
    pub(super) fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP);
        while self.orders.blocking_recv_many(&mut group, GROUP) > 0 {
            let mut deliveries = Vec::with_capacity(group.len());
            let written = self.write(&mut group, &mut deliveries);
            if let Ok(written) = &written {
                self.standing.send_replace(self.index.standing());
                self.watchers.tell(&written.changed);
            }
            if let Err(error) = &written {
                // Before anybody hears that it is closed.
                self.failure.send_replace(Some(error.clone()));
            }
            for deliver in deliveries {
                deliver(written.as_ref().err());
            }
            match written {
                Ok(Left { closing: false, .. }) => {}
                Ok(Left { closing: true, .. }) | Err(_) => break,
            }
        }
    }

    fn write(&mut self, group: &mut Vec<Order>, deliveries: &mut Vec<Deliver>) -> Result<Left, QueueError> {
        let orders = group.len() as u64;
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate).map_err(QueueError::storage)?;
        let mut desk = Desk::open(&transaction, &mut self.index, &self.limits)?;
        for order in group.drain(..) {
            let Delivery { failure, deliver } = order(&mut desk);
            deliveries.push(deliver);
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        let left = desk.leave();
        if left.dirty {
            let began = Instant::now();
            transaction.commit()?;
            self.index.tally.commits.add(began.elapsed());
        } else {
            transaction.abort()?;
        }
        self.index.tally.orders += orders;
        Ok(left)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The storage panics over pages that make no sense.
        if std::thread::panicking() {
            self.failure.send_replace(Some(QueueError::storage("the thread that writes has panicked")));
        }
        self.watchers.close();
    }
}

//! The journal's tables. Inside, a job is a number: small keys, in the order of age.

use redb::{Table, TableDefinition, WriteTransaction};

use super::error::QueueError;

/// The version of everything below and of what is encoded in it.
pub(super) const FORMAT: u64 = 1;

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Name → number.
pub(super) const IDS: TableDefinition<'_, &str, u64> = TableDefinition::new("ids");
/// Scope of an idempotency key → number, hash of the body.
pub(super) const KEYS: TableDefinition<'_, &[u8; 32], (u64, &[u8; 32])> = TableDefinition::new("keys");
/// Number → record. Small, since it is written with every event.
pub(super) const JOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("jobs");
pub(super) const SPECS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("specs");
/// Number, sequence number → event.
pub(super) const EVENTS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("events");
/// Number, item → sequence number of its answer.
pub(super) const ITEMS: TableDefinition<'_, (u64, u32), u64> = TableDefinition::new("items");
/// Time of the end, number → nothing.
pub(super) const ENDED: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("ended");

pub(super) struct Tables<'t> {
    pub(super) ids: Table<'t, &'static str, u64>,
    pub(super) keys: Table<'t, &'static [u8; 32], (u64, &'static [u8; 32])>,
    pub(super) jobs: Table<'t, u64, &'static [u8]>,
    pub(super) specs: Table<'t, u64, &'static [u8]>,
    pub(super) events: Table<'t, (u64, u64), &'static [u8]>,
    pub(super) items: Table<'t, (u64, u32), u64>,
    pub(super) ended: Table<'t, (u64, u64), ()>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, QueueError> {
        Ok(Self {
            ids: transaction.open_table(IDS)?,
            keys: transaction.open_table(KEYS)?,
            jobs: transaction.open_table(JOBS)?,
            specs: transaction.open_table(SPECS)?,
            events: transaction.open_table(EVENTS)?,
            items: transaction.open_table(ITEMS)?,
            ended: transaction.open_table(ENDED)?,
        })
    }
}

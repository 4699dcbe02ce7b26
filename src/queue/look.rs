//! What can be read from one snapshot of the journal.

use std::ops::Bound;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

use super::error::QueueError;
use super::event::{Event, Page, Selection};
use super::job::{Filter, Job, JobId, Whose};
use super::record::Record;
use super::tables::{EVENTS, IDS, ITEMS, JOBS, KEYS, SPECS};

/// As many jobs or events are on one page at most.
const MAX_PAGE: usize = 1_000;

/// A snapshot.
pub(super) struct Look(pub(super) ReadTransaction);

impl Look {
    pub(super) fn job(&self, id: &JobId) -> Result<Job, QueueError> {
        Ok(self.find(id)?.1.job)
    }

    pub(super) fn spec(&self, id: &JobId) -> Result<Bytes, QueueError> {
        let specs = self.0.open_table(SPECS)?;
        let spec = ReadableTable::get(&specs, self.number(id)?)?.ok_or(QueueError::NotFound)?;
        Ok(Bytes::copy_from_slice(spec.value()))
    }

    /// The job that a key has made, if it was with the same body.
    pub(super) fn replay(&self, scope: &[u8; 32], body: &[u8; 32]) -> Result<Option<Job>, QueueError> {
        let keys = self.0.open_table(KEYS)?;
        let found = ReadableTable::get(&keys, scope)?.map(|found| (found.value().0, *found.value().1));
        let Some((number, first)) = found else { return Ok(None) };
        let job = self.record(number)?.job;
        if *body == first { Ok(Some(job)) } else { Err(QueueError::Conflict { first: job.id }) }
    }

    /// Looks at one job after the other: there is no index by owner.
    pub(super) fn list(&self, filter: &Filter) -> Result<Vec<Job>, QueueError> {
        let before = match &filter.before {
            None => u64::MAX,
            // Forgotten since the page before: the oldest are forgotten first, so this was the last page.
            Some(id) => match self.number(id) {
                Err(QueueError::NotFound) => 0,
                number => number?,
            },
        };
        let jobs = self.0.open_table(JOBS)?;
        let mut found = Vec::new();
        for row in ReadableTable::range(&jobs, ..before)?.rev() {
            if found.len() >= filter.limit.min(MAX_PAGE) {
                break;
            }
            let job = Record::decode(row?.1.value())?.job;
            let theirs = match &filter.whose {
                Whose::Everybody => true,
                Whose::Of(owner) => *owner == job.owner,
            };
            if theirs && filter.state.is_none_or(|state| state == job.state) {
                found.push(job);
            }
        }
        Ok(found)
    }

    pub(super) fn events(
        &self,
        id: &JobId,
        selection: Selection,
        after: u64,
        limit: usize,
        max_bytes: u64,
    ) -> Result<Page, QueueError> {
        let (number, record) = self.find(id)?;
        let events = self.0.open_table(EVENTS)?;
        let range = (Bound::Excluded((number, after)), Bound::Included((number, u64::MAX)));
        let mut page = Page { events: Vec::new(), after, complete: false };
        let mut bytes = 0;
        for row in ReadableTable::range::<(u64, u64)>(&events, range)? {
            let (key, value) = row?;
            let event = Event::decode(key.value().1, value.value())?;
            let wanted = match selection {
                Selection::All => true,
                Selection::Answers => event.kind.answers(),
            };
            if wanted {
                bytes += event.data.len() as u64;
                let full = page.events.len() >= limit.min(MAX_PAGE) || bytes > max_bytes;
                if full && !(page.events.is_empty() && limit > 0) {
                    return Ok(page);
                }
                page.after = event.seq;
                page.events.push(event);
            } else {
                page.after = event.seq;
            }
        }
        page.complete = record.ended().is_some();
        Ok(page)
    }

    pub(super) fn done_items(&self, id: &JobId) -> Result<Vec<u32>, QueueError> {
        let number = self.number(id)?;
        let items = self.0.open_table(ITEMS)?;
        ReadableTable::range(&items, (number, 0)..=(number, u32::MAX))?.map(|row| Ok(row?.0.value().1)).collect()
    }

    fn find(&self, id: &JobId) -> Result<(u64, Record), QueueError> {
        let number = self.number(id)?;
        Ok((number, self.record(number)?))
    }

    fn record(&self, number: u64) -> Result<Record, QueueError> {
        let jobs = self.0.open_table(JOBS)?;
        let record = Record::decode(ReadableTable::get(&jobs, number)?.ok_or(QueueError::NotFound)?.value())?;
        Ok(record)
    }

    fn number(&self, id: &JobId) -> Result<u64, QueueError> {
        let ids = self.0.open_table(IDS)?;
        Ok(ReadableTable::get(&ids, id.as_str())?.ok_or(QueueError::NotFound)?.value())
    }
}

//! What can be done to the journal inside one transaction.
//!
//! Every operation checks first and writes then: a refusal leaves nothing behind, so that others can go on in the same
//! transaction. An error of the storage ends the transaction and the writer with it.

use bytes::Bytes;
use redb::{ReadableTable, WriteTransaction};

use super::error::{Full, QueueError};
use super::event::{Entry, EventKind};
use super::index::{Index, Weight};
use super::job::{Claim, Claimed, Ending, Job, JobId, State, Swept, UnixMillis};
use super::limits::QueueLimits;
use super::record::Record;
use super::submission::{Submission, Submitted};
use super::tables::Tables;

pub(super) struct Desk<'d> {
    tables: Tables<'d>,
    index: &'d mut Index,
    limits: &'d QueueLimits,
    left: Left,
}

/// What is known once the last operation is done.
#[derive(Default)]
pub(super) struct Left {
    /// Jobs with news for their readers.
    pub(super) changed: Vec<JobId>,
    /// Something was written.
    pub(super) dirty: bool,
    /// This is the last transaction.
    pub(super) closing: bool,
}

/// A job that is being changed.
struct Row {
    number: u64,
    before: Weight,
    record: Record,
}

/// A sweep forgets no more in one transaction: others wait for it.
const SLICE_JOBS: u64 = 128;
const SLICE_EVENTS: u64 = 4_096;

impl<'d> Desk<'d> {
    pub(super) fn open(
        transaction: &'d WriteTransaction,
        index: &'d mut Index,
        limits: &'d QueueLimits,
    ) -> Result<Self, QueueError> {
        let tables = Tables::open(transaction)?;
        Ok(Self { tables, index, limits, left: Left::default() })
    }

    /// Lets go of the tables.
    pub(super) fn leave(self) -> Left {
        self.left
    }

    /// Nothing is taken after this transaction.
    pub(super) fn close(&mut self) {
        self.left.closing = true;
    }

    pub(super) fn submit(&mut self, submission: Submission, now: UnixMillis) -> Result<Submitted, QueueError> {
        let scope = submission.scope();
        let key = scope.as_ref().zip(submission.idempotency.as_ref().map(|idempotency| idempotency.body));
        if let Some((scope, body)) = key
            && let Some((number, first)) = self.tables.keys.get(scope)?.map(|found| (found.value().0, *found.value().1))
        {
            let job = self.row(number)?.record.job;
            return if body == first {
                Ok(Submitted { job, replayed: true })
            } else {
                Err(QueueError::Conflict { first: job.id })
            };
        }
        let counts = self.index.counts();
        let bytes = submission.bytes();
        if counts.queued() >= self.limits.max_queued {
            return Err(QueueError::Full(Full::Jobs));
        }
        if counts.bytes.saturating_add(bytes) > self.limits.max_journal_bytes {
            return Err(QueueError::Full(Full::Bytes));
        }
        let (number, id) = self.index.next_name();
        self.tables.ids.insert(id.as_str(), number)?;
        self.tables.specs.insert(number, &*submission.spec)?;
        if let Some((scope, body)) = key {
            self.tables.keys.insert(scope, (number, &body))?;
        }
        let job = Job {
            id,
            owner: submission.owner,
            lane: submission.lane,
            kind: submission.kind,
            state: State::Queued,
            attempts: 0,
            created: now,
            updated: now,
            items: submission.items,
            done_items: 0,
            last_seq: 0,
            bytes,
        };
        let record = Record { job: job.clone(), generation: 0, scope };
        self.put(number, None, &record)?;
        Ok(Submitted { job, replayed: false })
    }

    pub(super) fn claim(&mut self, lease: UnixMillis, now: UnixMillis) -> Result<Option<Claimed>, QueueError> {
        self.lapse(now)?;
        let Some(number) = self.index.next() else {
            return Ok(None);
        };
        let mut row = self.row(number)?;
        let claim = row.record.claim(now);
        self.save(&row)?;
        self.index.lease(number, lease);
        let spec = self.tables.specs.get(number)?.map(|spec| Bytes::copy_from_slice(spec.value())).unwrap_or_default();
        Ok(Some(Claimed { claim, job: row.record.job, spec }))
    }

    pub(super) fn heartbeat(&mut self, claim: &Claim, lease: UnixMillis) -> Result<(), QueueError> {
        let row = self.held(claim)?;
        self.index.lease(row.number, lease);
        Ok(())
    }

    pub(super) fn release(&mut self, claim: &Claim, now: UnixMillis) -> Result<(), QueueError> {
        let mut row = self.held(claim)?;
        row.record.release(now);
        self.save(&row)
    }

    pub(super) fn append(&mut self, claim: &Claim, entry: Entry, now: UnixMillis) -> Result<u64, QueueError> {
        let mut row = self.held(claim)?;
        let kind = EventKind::from(entry.kind);
        if let Some((item, items)) = entry.item.zip(row.record.job.items)
            && item >= items
        {
            return Err(QueueError::NoSuchItem { item, items });
        }
        let answered = entry.item.filter(|_| kind.answers());
        if let Some(item) = answered
            && let Some(seq) = self.tables.items.get((row.number, item))?
        {
            return Err(QueueError::AlreadyAnswered { item, seq: seq.value() });
        }
        if row.record.job.last_seq >= self.limits.max_events {
            return Err(QueueError::TooManyEvents { max: self.limits.max_events });
        }
        let seq = self.log(&mut row, kind, entry.item, entry.data, now)?;
        if let Some(item) = answered {
            self.tables.items.insert((row.number, item), seq)?;
            row.record.job.done_items += 1;
            self.index.tally.answered(kind);
        }
        self.save(&row)?;
        Ok(seq)
    }

    pub(super) fn finish(&mut self, claim: &Claim, ending: Ending, data: Bytes, now: UnixMillis) -> Result<u64, QueueError> {
        let row = self.held(claim)?;
        Ok(self.end(row, ending, data, now)?.last_seq)
    }

    pub(super) fn cancel(&mut self, id: &JobId, now: UnixMillis) -> Result<Job, QueueError> {
        let row = self.find(id)?;
        match row.record.ended() {
            Some(_) => Ok(row.record.job),
            None => self.end(row, Ending::Cancelled, Bytes::new(), now),
        }
    }

    pub(super) fn sweep(&mut self, now: UnixMillis) -> Result<Swept, QueueError> {
        let mut swept = Swept { lapsed: self.lapse(now)?, ..Swept::default() };
        let keep = u64::try_from(self.limits.keep_ended.as_millis()).unwrap_or(u64::MAX);
        let mut events = 0;
        loop {
            let oldest = self.tables.ended.first()?.map(|(key, _)| key.value());
            let Some((at, number)) = oldest else { break };
            let too_many = self.index.counts().ended_bytes > self.limits.keep_ended_bytes;
            if at.saturating_add(keep) > now.0 && !too_many {
                break;
            }
            if swept.forgotten >= SLICE_JOBS || events >= SLICE_EVENTS {
                swept.more = true;
                break;
            }
            let row = self.row(number)?;
            events += row.record.job.last_seq;
            self.forget(&row)?;
            swept.forgotten += 1;
        }
        Ok(swept)
    }

    /// Jobs whose lease is over are queued again, or dead.
    pub(super) fn lapse(&mut self, now: UnixMillis) -> Result<u64, QueueError> {
        let lapsed = self.index.lapsed(now);
        for number in &lapsed {
            self.index.tally.lost += 1;
            let mut row = self.row(*number)?;
            if row.record.lose(self.limits.max_attempts, now) {
                self.save(&row)?;
            } else {
                self.end(row, Ending::Dead, Bytes::new(), now)?;
            }
        }
        Ok(lapsed.len() as u64)
    }

    fn end(&mut self, mut row: Row, ending: Ending, data: Bytes, now: UnixMillis) -> Result<Job, QueueError> {
        self.log(&mut row, EventKind::End(ending), None, data, now)?;
        self.tables.ended.insert((row.record.job.updated.0, row.number), ())?;
        self.save(&row)?;
        self.index.tally.ended(&row.record.job.kind, ending);
        Ok(row.record.job)
    }

    fn forget(&mut self, row: &Row) -> Result<(), QueueError> {
        let (number, record) = (row.number, &row.record);
        self.tables.ended.remove((record.job.updated.0, number))?;
        self.tables.ids.remove(record.job.id.as_str())?;
        if let Some(scope) = &record.scope {
            self.tables.keys.remove(scope)?;
        }
        self.tables.jobs.remove(number)?;
        self.tables.specs.remove(number)?;
        self.tables.events.retain_in((number, 0)..=(number, u64::MAX), |_, _| false)?;
        self.tables.items.retain_in((number, 0)..=(number, u32::MAX), |_, _| false)?;
        self.index.change(number, Some(row.before), None);
        self.left.changed.push(record.job.id.clone());
        self.left.dirty = true;
        Ok(())
    }

    fn log(
        &mut self,
        row: &mut Row,
        kind: EventKind,
        item: Option<u32>,
        data: Bytes,
        now: UnixMillis,
    ) -> Result<u64, QueueError> {
        let event = row.record.log(kind, item, data, now);
        self.tables.events.insert((row.number, event.seq), event.encode()?.as_slice())?;
        self.left.changed.push(row.record.job.id.clone());
        Ok(event.seq)
    }

    fn held(&self, claim: &Claim) -> Result<Row, QueueError> {
        let row = self.find(&claim.job)?;
        row.record.held_by(claim)?;
        Ok(row)
    }

    fn find(&self, id: &JobId) -> Result<Row, QueueError> {
        let number = self.tables.ids.get(id.as_str())?.ok_or(QueueError::NotFound)?.value();
        self.row(number)
    }

    fn row(&self, number: u64) -> Result<Row, QueueError> {
        let found = self.tables.jobs.get(number)?.ok_or(QueueError::NotFound)?;
        let record = Record::decode(found.value())?;
        Ok(Row { number, before: Weight::from(&record), record })
    }

    fn save(&mut self, row: &Row) -> Result<(), QueueError> {
        self.put(row.number, Some(row.before), &row.record)
    }

    fn put(&mut self, number: u64, before: Option<Weight>, record: &Record) -> Result<(), QueueError> {
        self.tables.jobs.insert(number, postcard::to_allocvec(record)?.as_slice())?;
        self.index.change(number, before, Some(record.into()));
        self.left.dirty = true;
        Ok(())
    }
}

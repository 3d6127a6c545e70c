//! The log of one partition: records, transaction markers, the last stable offset, compaction.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use streams_core::client::{Isolation, MemoryRecord};

/// A producer's number, the same for all epochs of a transactional id.
pub(super) type ProducerId = u32;

/// Who writes in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: ProducerId,
    pub(super) epoch: i32,
}

/// The producer's epoch is older than what the log has seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fenced;

/// The offset is before the start or after the end of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfRange;

/// Offsets only grow; what is removed leaves gaps.
pub(super) struct Log {
    entries: VecDeque<Entry>,
    start: i64,
    end: i64,
    /// First offset of each open transaction: the least is the last stable offset.
    open: BTreeMap<i64, ProducerId>,
    producers: HashMap<ProducerId, ProducerState, FixedState>,
    /// Leader epochs and the offsets from which they hold, both growing.
    epochs: Vec<(i32, i64)>,
}

struct Entry {
    offset: i64,
    kind: Kind,
    /// `None` in a marker.
    record: Option<Arc<MemoryRecord>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Of an open or committed transaction.
    Transactional(ProducerId),
    /// Of an aborted transaction.
    Aborted,
    /// The end of a transaction.
    Marker,
}

struct ProducerState {
    epoch: i32,
    /// Where its open transaction began in this log.
    first: Option<i64>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            start: 0,
            end: 0,
            open: BTreeMap::new(),
            producers: HashMap::with_hasher(FixedState::default()),
            epochs: vec![(0, 0)],
        }
    }

    /// The first offset that may be read.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Where a reader of that isolation stops: the next offset to be written, or the first one of
    /// an open transaction.
    pub(super) fn end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.end,
            // Records of an open transaction may have been deleted: the start is stable too.
            Isolation::ReadCommitted => {
                self.open.first_key_value().map_or(self.end, |(&first, _)| first.max(self.start))
            }
        }
    }

    /// Writes a record outside of transactions.
    pub(super) fn append(&mut self, record: Arc<MemoryRecord>) -> i64 {
        self.push(Kind::Plain, Some(record))
    }

    /// Writes a record of the producer's transaction, and opens it here if this is its first one.
    pub(super) fn append_transactional(
        &mut self,
        producer: Identity,
        record: Arc<MemoryRecord>,
    ) -> Result<i64, Fenced> {
        let end = self.end;
        let state = self
            .producers
            .entry(producer.id)
            .or_insert(ProducerState { epoch: producer.epoch, first: None });
        if state.epoch > producer.epoch {
            return Err(Fenced);
        }
        state.epoch = producer.epoch;
        if state.first.is_none() {
            state.first = Some(end);
            self.open.insert(end, producer.id);
        }
        Ok(self.push(Kind::Transactional(producer.id), Some(record)))
    }

    /// Writes the marker that ends the producer's transaction, also where it wrote nothing.
    pub(super) fn end_transaction(&mut self, producer: Identity, committed: bool) {
        let state = self
            .producers
            .entry(producer.id)
            .or_insert(ProducerState { epoch: producer.epoch, first: None });
        state.epoch = state.epoch.max(producer.epoch);
        if let Some(first) = state.first.take() {
            self.open.remove(&first);
            if !committed {
                self.forsake(producer.id, first);
            }
        }
        self.push(Kind::Marker, None);
    }

    /// Calls `sink` with up to `records_max` records from offset `from` on, and returns where to
    /// read on: past markers, gaps, and what this isolation does not show.
    pub(super) fn read(
        &self,
        from: i64,
        records_max: usize,
        isolation: Isolation,
        mut sink: impl FnMut(i64, &Arc<MemoryRecord>),
    ) -> Result<i64, OutOfRange> {
        if from < self.start || from > self.end {
            return Err(OutOfRange);
        }
        let end = self.end(isolation);
        let mut left = records_max;
        let mut next = from;
        for entry in self.entries.range(self.index_of(from)..) {
            if entry.offset >= end {
                break;
            }
            if let Some(record) = entry.visible(isolation) {
                if left == 0 {
                    return Ok(next);
                }
                left -= 1;
                sink(entry.offset, record);
            }
            next = entry.offset + 1;
        }
        Ok(next.max(end))
    }

    /// The first record not older than `timestamp`; the end if there is none.
    pub(super) fn offset_at(&self, timestamp: i64, isolation: Isolation) -> i64 {
        let end = self.end(isolation);
        self.entries
            .iter()
            .take_while(|entry| entry.offset < end)
            .find(|entry| entry.record.as_ref().is_some_and(|r| r.timestamp >= timestamp))
            .map_or(end, |entry| entry.offset)
    }

    /// The leader epoch in which the record at `offset` was written.
    pub(super) fn epoch_of(&self, offset: i64) -> i32 {
        let after = self.epochs.partition_point(|&(_, from)| from <= offset);
        after.checked_sub(1).map_or(-1, |index| self.epochs[index].0)
    }

    /// What is written from now on has a new leader epoch.
    pub(super) fn elect_leader(&mut self) -> i32 {
        let epoch = self.epochs.last().map_or(0, |&(epoch, _)| epoch + 1);
        self.epochs.push((epoch, self.end));
        epoch
    }

    /// Deletes everything before `offset`.
    pub(super) fn delete_before(&mut self, offset: i64) -> Result<(), OutOfRange> {
        if offset < 0 || offset > self.end {
            return Err(OutOfRange);
        }
        self.start = self.start.max(offset);
        let kept_from = self.index_of(self.start);
        self.entries.drain(..kept_from);
        Ok(())
    }

    /// Keeps the last record of each key below the last stable offset, as a log cleaner that has
    /// caught up. With `remove_tombstones` also null values and markers go.
    pub(super) fn compact(&mut self, remove_tombstones: bool) {
        let end = self.end(Isolation::ReadCommitted);
        let keep = self.survivors(end, remove_tombstones);
        let mut index = 0;
        self.entries.retain(|entry| {
            let kept = entry.offset >= end || keep[index];
            index += 1;
            kept
        });
    }

    /// Whether each entry below `end` survives compaction.
    fn survivors(&self, end: i64, remove_tombstones: bool) -> Vec<bool> {
        let below = || self.entries.iter().take_while(|entry| entry.offset < end);
        let mut last: HashMap<&[u8], i64, FixedState> = HashMap::with_hasher(FixedState::default());
        for entry in below() {
            if let Some(key) = entry.committed().and_then(|record| record.key.as_deref()) {
                last.insert(key, entry.offset);
            }
        }
        below()
            .map(|entry| match (entry.kind, entry.committed()) {
                (Kind::Marker, _) => !remove_tombstones,
                (_, None) => false,
                (_, Some(record)) => {
                    record.key.as_deref().is_some_and(|key| last.get(key) == Some(&entry.offset))
                        && !(remove_tombstones && record.value.is_none())
                }
            })
            .collect()
    }

    fn push(&mut self, kind: Kind, record: Option<Arc<MemoryRecord>>) -> i64 {
        let offset = self.end;
        self.entries.push_back(Entry { offset, kind, record });
        self.end += 1;
        offset
    }

    /// Marks the records of the producer from offset `first` on as aborted.
    fn forsake(&mut self, producer: ProducerId, first: i64) {
        let from = self.index_of(first);
        for entry in self.entries.range_mut(from..) {
            if entry.kind == Kind::Transactional(producer) {
                entry.kind = Kind::Aborted;
            }
        }
    }

    /// The index of the first entry at or after `offset`.
    fn index_of(&self, offset: i64) -> usize {
        self.entries.partition_point(|entry| entry.offset < offset)
    }
}

impl Entry {
    /// The record, where a reader of that isolation sees one (below its end).
    fn visible(&self, isolation: Isolation) -> Option<&Arc<MemoryRecord>> {
        match isolation {
            Isolation::ReadUncommitted => self.record.as_ref(),
            Isolation::ReadCommitted => self.committed(),
        }
    }

    fn committed(&self) -> Option<&Arc<MemoryRecord>> {
        self.record.as_ref().filter(|_| self.kind != Kind::Aborted)
    }
}

//! The records of one input partition, waiting for their turn.

use std::collections::VecDeque;
use std::sync::Arc;

use super::dropped::DropReason;
use super::node::{Enter, Node};
use super::source::SourceSpec;
use super::task_state::TaskState;
use crate::client::{RawRecord, TopicPartition};
use crate::error::BoxError;
use crate::record::{Headers, RecordContext, RecordMetadata, RecordRef, Timestamp};
use crate::serdes::SerdeContext;
use crate::topology::TimestampExtractor;

/// A queue of raw records whose head is deserialised, once, when it is looked at. The head's
/// bytes stay until it is done, for the dead letter queue.
pub(crate) trait RecordQueue: Send {
    /// The partition.
    fn partition(&self) -> &TopicPartition;

    /// Appends what a fetch gave.
    fn push(&mut self, raws: &mut Vec<RawRecord>, next_position: i64, leader_epoch: i32);

    /// How many records wait, the head included.
    fn len(&self) -> usize;

    /// The head's time, if there is a head that was read already.
    fn head_timestamp(&self) -> Option<Timestamp>;

    /// Reads records until one is good to be the head, or none is left. Bad ones are dropped as
    /// the handlers say.
    fn prepare(&mut self, state: &mut TaskState) -> Result<(), BoxError>;

    /// Sends the head through the arena. It must be prepared.
    fn process(
        &mut self,
        nodes: &mut [Box<dyn Node>],
        state: &mut TaskState,
    ) -> Result<(), BoxError>;

    /// The next offset to process, and the leader epoch of the record before it (-1: unknown).
    /// `None` before the first push.
    fn position(&self) -> Option<(i64, i32)>;

    /// The largest time of the records taken so far.
    fn partition_time(&self) -> Timestamp;
}

/// A queue whose source has keys `K` and values `V`.
pub(super) struct TypedQueue<K, V> {
    source: Arc<SourceSpec<K, V>>,
    /// The source's place in the arena.
    node: usize,
    enter: Enter<K, V>,
    partition: TopicPartition,
    partition_time: Timestamp,
    raws: VecDeque<RawRecord>,
    head: Option<Head<K, V>>,
    /// Of the head.
    record: RecordContext,
    /// Where fetching goes on behind what is queued.
    next_position: Option<i64>,
    /// From which offset on which leader epoch holds, oldest first.
    epochs: VecDeque<(i64, i32)>,
}

struct Head<K, V> {
    key: K,
    value: V,
    raw: RawRecord,
}

enum Reading<K, V> {
    Read(K, V, Timestamp),
    Dropped(DropReason),
}

impl<K: 'static, V: 'static> TypedQueue<K, V> {
    pub(super) fn new(
        source: Arc<SourceSpec<K, V>>,
        node: usize,
        enter: Enter<K, V>,
        partition: TopicPartition,
        partition_time: Timestamp,
    ) -> Self {
        let metadata = RecordMetadata {
            topic: partition.topic.clone(),
            partition: partition.partition,
            offset: -1,
        };
        let record = RecordContext::from_source(partition_time, Headers::new(), metadata);
        Self {
            source,
            node,
            enter,
            partition,
            partition_time,
            raws: VecDeque::new(),
            head: None,
            record,
            next_position: None,
            epochs: VecDeque::new(),
        }
    }

    fn read(
        &mut self,
        raw: &RawRecord,
        wall_clock: Timestamp,
    ) -> Result<Reading<K, V>, (&'static str, BoxError)> {
        let source = &*self.source;
        if source.skip_null_keys && raw.key().is_none() {
            return Ok(Reading::Dropped(DropReason::NullKey));
        }
        if source.skip_null_values && raw.value().is_none() {
            return Ok(Reading::Dropped(DropReason::NullValue));
        }
        let topic = &*self.partition.topic;
        let headers = self.record.headers_mut();
        let mut cx = SerdeContext::key(topic, headers);
        let key =
            source.key.deserialize_or_null(raw.key(), &mut cx).map_err(|error| ("key", error))?;
        let mut cx = SerdeContext::value(topic, headers);
        let value = source
            .value
            .deserialize_or_null(raw.value(), &mut cx)
            .map_err(|error| ("value", error))?;
        let timestamp = match (&source.timestamps, raw.timestamp()) {
            (TimestampExtractor::WallClock, _) => wall_clock,
            (TimestampExtractor::Custom(extract), _) => {
                let record = RecordRef { key: &key, value: &value, context: &self.record };
                extract(record, self.partition_time).map_err(|error| ("timestamp", error))?
            }
            (TimestampExtractor::FailOnInvalid, ..0) => {
                return Err(("timestamp", NoTimestamp.into()));
            }
            (TimestampExtractor::UsePartitionTimeOnInvalid, ..0) => self.partition_time,
            (_, timestamp) => Timestamp::from_millis(timestamp),
        };
        if timestamp.as_millis() < 0 {
            return Ok(Reading::Dropped(DropReason::InvalidTimestamp));
        }
        Ok(Reading::Read(key, value, timestamp))
    }
}

impl<K: Send + 'static, V: Send + 'static> RecordQueue for TypedQueue<K, V> {
    fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    fn push(&mut self, raws: &mut Vec<RawRecord>, next_position: i64, leader_epoch: i32) {
        if let Some(first) = raws.first()
            && self.epochs.back().is_none_or(|&(_, epoch)| epoch != leader_epoch)
        {
            self.epochs.push_back((first.offset(), leader_epoch));
        }
        self.raws.extend(raws.drain(..));
        self.next_position = Some(next_position);
    }

    fn len(&self) -> usize {
        self.raws.len() + usize::from(self.head.is_some())
    }

    fn head_timestamp(&self) -> Option<Timestamp> {
        self.head.as_ref().map(|_| self.record.timestamp())
    }

    fn prepare(&mut self, state: &mut TaskState) -> Result<(), BoxError> {
        while self.head.is_none() {
            let Some(raw) = self.raws.pop_front() else { break };
            let timestamp = Timestamp::from_millis(raw.timestamp());
            self.record.advance(timestamp, raw.headers(), raw.offset());
            state.enter_node(self.node);
            // There for handlers, and for telling where a panic happened.
            let raw = &*state.head.insert(raw);
            let read = self.read(raw, state.wall_clock);
            match read {
                Ok(Reading::Read(key, value, timestamp)) => {
                    self.record.set_timestamp(timestamp);
                    let raw = state.head.take().expect("it was put there above");
                    self.head = Some(Head { key, value, raw });
                }
                Ok(Reading::Dropped(reason)) => state.dropped(reason, &self.record),
                Err((what, error)) => {
                    // A serde may have written headers before it failed.
                    *self.record.headers_mut() = raw.headers();
                    state.deserialization_failed(what, error, &self.record)?;
                }
            }
            state.head = None;
        }
        Ok(())
    }

    fn process(
        &mut self,
        nodes: &mut [Box<dyn Node>],
        state: &mut TaskState,
    ) -> Result<(), BoxError> {
        let Some(Head { key, value, raw }) = self.head.take() else { return Ok(()) };
        let timestamp = self.record.timestamp();
        self.partition_time = self.partition_time.max(timestamp);
        while self.epochs.get(1).is_some_and(|&(from, _)| from <= raw.offset()) {
            self.epochs.pop_front();
        }
        state.stream_time = state.stream_time.max(timestamp);
        state.head = Some(raw);
        let result = (self.enter)(nodes, self.node, key, value, &self.record, state);
        state.head = None;
        result
    }

    fn position(&self) -> Option<(i64, i32)> {
        let head = self.head.as_ref().map(|head| head.raw.offset());
        let next = head.or_else(|| self.raws.front().map(RawRecord::offset));
        let offset = next.or(self.next_position)?;
        let before = self.epochs.iter().rev().find(|&&(from, _)| from < offset);
        Some((offset, before.map_or(-1, |&(_, epoch)| epoch)))
    }

    fn partition_time(&self) -> Timestamp {
        self.partition_time
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the record has no time: have its producer give one, or choose another \
     `Consumed::timestamp_extractor`"
)]
struct NoTimestamp;

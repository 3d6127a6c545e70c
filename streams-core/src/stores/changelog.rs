//! Where a store's writes go beside its layers.

use crate::client::{ProducerRecord, Tag, TopicSlot};
use crate::error::BoxError;
use crate::record::{Headers, Timestamp};
use crate::task::RecordCollector;

/// A write, as the changelog has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangelogRecord<'a> {
    /// In the format of the kind of store.
    pub key: &'a [u8],
    /// `None` is a delete.
    pub value: Option<&'a [u8]>,
    /// Of the write.
    pub timestamp: Timestamp,
}

/// The row that a key-value store keeps of a record of its changelog: the time before the value.
pub(crate) fn stored_row(timestamp: i64, value: &[u8], row: &mut Vec<u8>) {
    row.clear();
    row.extend_from_slice(&timestamp.to_be_bytes());
    row.extend_from_slice(value);
}

/// Writes the changelog of one store of one task.
pub struct ChangelogWriter<'a> {
    pub(crate) collector: &'a mut dyn RecordCollector,
    pub(crate) topic: TopicSlot,
    pub(crate) partition: i32,
    pub(crate) tag: Tag,
    pub(crate) headers: Headers,
}

impl ChangelogWriter<'_> {
    /// Hands one record over.
    pub fn write(&mut self, record: ChangelogRecord<'_>) -> Result<(), BoxError> {
        self.collector.send(ProducerRecord {
            topic: self.topic,
            partition: self.partition,
            // Kafka refuses negative times; a store may have been written before the first record.
            timestamp: record.timestamp.as_millis().max(0),
            key: Some(record.key),
            value: record.value,
            headers: &self.headers,
            tag: self.tag,
        })?;
        Ok(())
    }
}

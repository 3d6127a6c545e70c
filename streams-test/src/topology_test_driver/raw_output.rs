//! Records as bytes.

use streams_core::Headers;

use super::topic_logs::Entry;

/// A record of a topic as its bytes, for comparisons byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOutput {
    /// From zero.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// `None` is null.
    pub key: Option<Vec<u8>>,
    /// `None` is null.
    pub value: Option<Vec<u8>>,
    /// In the order of the record.
    pub headers: Headers,
}

impl RawOutput {
    pub(super) fn of(entry: &Entry) -> Self {
        let record = &entry.record;
        Self {
            partition: entry.partition,
            offset: entry.offset,
            timestamp: record.timestamp,
            key: record.key.as_deref().map(<[u8]>::to_vec),
            value: record.value.as_deref().map(<[u8]>::to_vec),
            headers: record.headers.clone(),
        }
    }
}

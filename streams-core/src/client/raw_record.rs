//! A fetched record, still as bytes.

use std::sync::Arc;

use super::rdkafka::Message;
use crate::record::Headers;

/// A record as it lies in the log. Key, value and headers stay in the memory in which they were
/// fetched until this is dropped; nothing is copied.
pub struct RawRecord {
    repr: Repr,
}

enum Repr {
    Memory { record: Arc<MemoryRecord>, offset: i64 },
    Rdkafka(Message),
}

/// A record of a log in memory: of the embedded cluster, and of tests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryRecord {
    /// Milliseconds since 1970; negative when the producer gave none.
    pub timestamp: i64,
    /// `None` is null.
    pub key: Option<Box<[u8]>>,
    /// `None` is null.
    pub value: Option<Box<[u8]>>,
    /// In the order of the record.
    pub headers: Headers,
}

impl RawRecord {
    /// A record of a log in memory.
    pub fn from_memory(offset: i64, record: Arc<MemoryRecord>) -> Self {
        Self { repr: Repr::Memory { record, offset } }
    }

    pub(super) fn from_rdkafka(message: Message) -> Self {
        Self { repr: Repr::Rdkafka(message) }
    }

    /// Its place in the partition.
    #[inline]
    pub fn offset(&self) -> i64 {
        match &self.repr {
            Repr::Memory { offset, .. } => *offset,
            Repr::Rdkafka(message) => message.offset(),
        }
    }

    /// Milliseconds since 1970; negative when the record has none.
    #[inline]
    pub fn timestamp(&self) -> i64 {
        match &self.repr {
            Repr::Memory { record, .. } => record.timestamp,
            Repr::Rdkafka(message) => message.timestamp(),
        }
    }

    /// The key's bytes; `None` is null.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        match &self.repr {
            Repr::Memory { record, .. } => record.key.as_deref(),
            Repr::Rdkafka(message) => message.key(),
        }
    }

    /// The value's bytes; `None` is null.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        match &self.repr {
            Repr::Memory { record, .. } => record.value.as_deref(),
            Repr::Rdkafka(message) => message.value(),
        }
    }

    /// The headers; free when there are none.
    #[inline]
    pub fn headers(&self) -> Headers {
        match &self.repr {
            Repr::Memory { record, .. } => record.headers.clone(),
            Repr::Rdkafka(message) => message.headers(),
        }
    }
}

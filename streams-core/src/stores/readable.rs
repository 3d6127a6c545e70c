//! Whether the records of a source topic that is a store's changelog can be read.

use std::fmt;
use std::sync::Arc;

use crate::client::RawRecord;
use crate::processor::Data;
use crate::serdes::{Serde, SerdeContext, SerdeRef};

/// Knows the serdes of a store. A source topic holds what others wrote: a record that cannot be
/// read is skipped by whoever processes it, if the application says so, and must not come into
/// the store by way of a restore.
#[derive(Clone)]
pub(crate) struct Readable(Arc<IsReadable>);

type IsReadable = dyn Fn(&str, &RawRecord) -> bool + Send + Sync;

impl Readable {
    pub(super) fn new<K: Data, V: Data>(key: SerdeRef<K>, value: SerdeRef<V>) -> Self {
        Self(Arc::new(move |topic, record| {
            let mut headers = record.headers();
            let of_key = |bytes: &[u8], headers: &mut _| {
                key.deserialize(bytes, &mut SerdeContext::key(topic, headers)).is_ok()
            };
            let of_value = |bytes: &[u8], headers: &mut _| {
                value.deserialize(bytes, &mut SerdeContext::value(topic, headers)).is_ok()
            };
            record.key().is_none_or(|bytes| of_key(bytes, &mut headers))
                && record.value().is_none_or(|bytes| of_value(bytes, &mut headers))
        }))
    }

    /// Whether key and value of this record can be read.
    pub(crate) fn is(&self, topic: &str, record: &RawRecord) -> bool {
        (self.0)(topic, record)
    }
}

impl fmt::Debug for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readable")
    }
}

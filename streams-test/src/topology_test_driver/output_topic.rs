//! Topics that a test reads.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use streams_core::serdes::{SerdeContext, SerdeRef};
use streams_core::topology::Consumed;
use streams_core::{BoxError, Data, Record, Timestamp};

use super::driver::TopologyTestDriver;
use super::key_values::{KeyValues, TimedKeyValues};
use super::topic_logs::Entry;

/// Reads a topic of a [`TopologyTestDriver`], from its beginning: each handle has its own
/// position. Records of several partitions come in the order in which they were written.
pub struct TestOutputTopic<K, V> {
    driver: TopologyTestDriver,
    topic: Arc<str>,
    key: SerdeRef<K>,
    value: SerdeRef<V>,
    /// How far it was read.
    next: Cell<usize>,
}

impl<K: Data, V: Data> TestOutputTopic<K, V> {
    #[track_caller]
    pub(super) fn new(driver: TopologyTestDriver, consumed: Consumed<K, V>) -> Self {
        let topic = driver.one_topic(&consumed);
        let serdes = (consumed.key_serde().resolve(None), consumed.value_serde().resolve(None));
        let (Some(key), Some(value)) = serdes else {
            panic!("test topic `{topic}` has nobody to inherit serdes from");
        };
        Self { driver, topic, key, value, next: Cell::new(0) }
    }

    /// The next record; `None` if there is none.
    ///
    /// # Panics
    /// If it cannot be read with the types of this handle.
    #[track_caller]
    pub fn read(&self) -> Option<Record<K, V>> {
        let (entry, next) = {
            let running = self.driver.running();
            let logs = running.logs.lock();
            let (place, entry) = logs.find(&self.topic)?.next_committed(self.next.get())?;
            (self.record(entry), place + 1)
        };
        self.next.set(next);
        match entry {
            Ok(record) => Some(record),
            Err(error) => panic!("cannot read a record of topic `{}`: {error}", self.topic),
        }
    }

    /// All records that were not read yet.
    ///
    /// # Panics
    /// If one cannot be read with the types of this handle.
    #[track_caller]
    pub fn read_records(&self) -> Vec<Record<K, V>> {
        let mut records = Vec::new();
        while let Some(record) = self.read() {
            records.push(record);
        }
        records
    }

    /// Keys and values of all records that were not read yet.
    ///
    /// # Panics
    /// If one cannot be read with the types of this handle.
    #[track_caller]
    pub fn read_all(&self) -> KeyValues<K, V> {
        self.read_records().into_iter().map(|record| (record.key, record.value)).collect()
    }

    /// Keys, values and times of all records that were not read yet.
    ///
    /// # Panics
    /// If one cannot be read with the types of this handle.
    #[track_caller]
    pub fn read_timed(&self) -> TimedKeyValues<K, V> {
        let timed = |r: Record<K, V>| (r.key, r.value, r.timestamp.as_millis());
        self.read_records().into_iter().map(timed).collect()
    }

    /// Values of all records that were not read yet.
    ///
    /// # Panics
    /// If one cannot be read with the types of this handle.
    #[track_caller]
    pub fn read_values(&self) -> Vec<V> {
        self.read_records().into_iter().map(|record| record.value).collect()
    }

    /// The last value of each key, of all records that were not read yet.
    ///
    /// # Panics
    /// If one cannot be read with the types of this handle.
    #[track_caller]
    pub fn read_map(&self) -> BTreeMap<K, V>
    where
        K: Ord,
    {
        self.read_records().into_iter().map(|record| (record.key, record.value)).collect()
    }

    /// Whether there is nothing that was not read yet.
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        let running = self.driver.running();
        let logs = running.logs.lock();
        logs.find(&self.topic).and_then(|log| log.next_committed(self.next.get())).is_none()
    }

    /// How many records were not read yet.
    #[track_caller]
    pub fn len(&self) -> usize {
        let running = self.driver.running();
        let logs = running.logs.lock();
        let (mut len, mut next) = (0, self.next.get());
        while let Some((place, _)) = logs.find(&self.topic).and_then(|log| log.next_committed(next))
        {
            (len, next) = (len + 1, place + 1);
        }
        len
    }

    fn record(&self, entry: &Entry) -> Result<Record<K, V>, BoxError> {
        let record = &entry.record;
        let mut headers = record.headers.clone();
        let mut cx = SerdeContext::key(&self.topic, &mut headers);
        let key = self.key.deserialize_or_null(record.key.as_deref(), &mut cx)?;
        let mut cx = SerdeContext::value(&self.topic, &mut headers);
        let value = self.value.deserialize_or_null(record.value.as_deref(), &mut cx)?;
        let timestamp = Timestamp::from_millis(record.timestamp);
        Ok(Record { key, value, timestamp, headers: record.headers.clone() })
    }
}

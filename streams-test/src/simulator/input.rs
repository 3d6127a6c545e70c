//! What a simulation writes to the inputs of an application.

use streams_core::client::MemoryRecord;
use streams_core::partitioning::partition_for_key;
use streams_core::serdes::{DefaultSerde, SerdeContext, SerdeRef};
use streams_core::{Data, Headers};

/// What can be a record of an input: `(key, value)`, `(key, value, milliseconds)`, or a
/// [`MemoryRecord`], whose bytes may be anything. Null is `None`.
pub trait SimulatedRecord {
    /// The bytes. A record without a time of its own has `time`.
    fn into_record(self, topic: &str, time: i64) -> MemoryRecord;
}

impl<K: Data + DefaultSerde, V: Data + DefaultSerde> SimulatedRecord for (K, V) {
    fn into_record(self, topic: &str, time: i64) -> MemoryRecord {
        (self.0, self.1, time).into_record(topic, time)
    }
}

impl<K: Data + DefaultSerde, V: Data + DefaultSerde> SimulatedRecord for (K, V, i64) {
    fn into_record(self, topic: &str, _: i64) -> MemoryRecord {
        let mut headers = Headers::new();
        let key = to_bytes(&self.0, &mut SerdeContext::key(topic, &mut headers));
        let value = to_bytes(&self.1, &mut SerdeContext::value(topic, &mut headers));
        MemoryRecord { timestamp: self.2, key, value, headers }
    }
}

impl SimulatedRecord for MemoryRecord {
    fn into_record(self, _: &str, _: i64) -> MemoryRecord {
        self
    }
}

fn to_bytes<T: DefaultSerde + 'static>(value: &T, cx: &mut SerdeContext<'_>) -> Option<Box<[u8]>> {
    let mut bytes = Vec::new();
    let serde = SerdeRef::new(T::default_serde());
    match serde.serialize_or_null(value, &mut bytes, cx) {
        Ok(is_there) => is_there.then(|| bytes.into()),
        Err(error) => panic!("cannot write a record of input topic `{}`: {error}", cx.topic),
    }
}

/// One topic.
pub(super) struct Input {
    pub(super) topic: String,
    pub(super) partitions: i32,
    /// All of it is there, and was processed, before anything else is.
    pub(super) is_table: bool,
    pub(super) records: Vec<MemoryRecord>,
}

/// A record on its way to a partition.
pub(super) struct Fed {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) record: MemoryRecord,
}

impl Input {
    fn fed(&self) -> impl Iterator<Item = Fed> {
        self.records.iter().enumerate().map(|(at, record)| {
            let partition = match &record.key {
                Some(key) => partition_for_key(key, self.partitions),
                // Of records without a key each partition has some.
                None => i32::try_from(at).unwrap_or(0) % self.partitions,
            };
            Fed { topic: self.topic.clone(), partition, record: record.clone() }
        })
    }
}

/// The tables one after the other; the streams record by record, by time as far as each of them
/// is in order.
pub(super) fn feed(inputs: &[Input]) -> (Vec<Fed>, Vec<Fed>) {
    let tables = inputs.iter().filter(|input| input.is_table).flat_map(Input::fed).collect();
    let streams = inputs.iter().filter(|input| !input.is_table);
    let mut streams: Vec<_> = streams.map(|input| input.fed().peekable()).collect();
    let mut merged = Vec::new();
    loop {
        let heads = streams.iter_mut().enumerate();
        let heads = heads.filter_map(|(at, s)| s.peek().map(|head| (head.record.timestamp, at)));
        let Some((_, at)) = heads.min() else { break };
        merged.extend(streams[at].next());
    }
    (tables, merged)
}

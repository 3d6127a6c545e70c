//! What a run has committed, and how it is compared with an undisturbed one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use streams_core::Data;
use streams_core::client::{Isolation, MemoryRecord};
use streams_core::serdes::{DefaultSerde, SerdeContext, SerdeRef};

use crate::embedded::EmbeddedCluster;

/// What a run has committed: the records of its output topics, and its stores.
#[derive(Default)]
pub struct Outcome {
    /// By topic and partition.
    topics: BTreeMap<String, Vec<Vec<Arc<MemoryRecord>>>>,
    /// The records of the changelogs, by store.
    stores: BTreeMap<String, Vec<Vec<Arc<MemoryRecord>>>>,
}

/// In which sense the records of a topic are those of an undisturbed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compare {
    /// Each key has the same records in the same order, in the same partition. The default for
    /// topics under exactly-once.
    Records,
    /// The same records, whatever their order: where records of one key come from several
    /// partitions, or timers write what several keys have in common.
    AnyOrder,
    /// Each key ends with the same value. The default for stores under exactly-once, and what
    /// at-least-once can promise of state that a repetition does not change.
    LastValues,
    /// Each record is there, perhaps more than once: what at-least-once promises of processors
    /// without state.
    AtLeastOnce,
    /// There are the same keys. The default under at-least-once, where counts may count twice.
    Keys,
    /// Nothing is compared.
    Nothing,
}

impl Outcome {
    pub(super) fn read(
        cluster: &EmbeddedCluster,
        topics: impl Iterator<Item = String>,
        changelogs: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let read = |topic: &str| -> Vec<Vec<Arc<MemoryRecord>>> {
            let count =
                cluster.topics().iter().find(|t| &*t.name == topic).map_or(0, |t| t.partitions);
            let of = |partition| cluster.read(topic, partition, 0, Isolation::ReadCommitted);
            (0..count)
                .map(|partition| of(partition).into_iter().map(|(_, r)| r).collect())
                .collect()
        };
        Self {
            topics: topics.map(|topic| (topic.clone(), read(&topic))).collect(),
            stores: changelogs.map(|(store, topic)| (store, read(&topic))).collect(),
        }
    }

    /// The committed records of an output topic, by partition.
    ///
    /// # Panics
    /// If it was not declared as an output.
    #[track_caller]
    pub fn records(&self, topic: &str) -> &[Vec<Arc<MemoryRecord>>] {
        let found = self.topics.get(topic);
        found.unwrap_or_else(|| panic!("`{topic}` is no output of the simulation; declare it"))
    }

    /// The committed values of each key of an output topic, in their order.
    ///
    /// # Panics
    /// If it was not declared as an output, or has other types.
    #[track_caller]
    pub fn values<K, V>(&self, topic: &str) -> BTreeMap<K, Vec<V>>
    where
        K: Data + DefaultSerde + Ord,
        V: Data + DefaultSerde,
    {
        let mut values = BTreeMap::<K, Vec<V>>::new();
        for record in self.records(topic).iter().flatten() {
            let (key, value) = decoded(topic, record);
            values.entry(key).or_default().push(value);
        }
        values
    }

    /// The last committed value of each key of an output topic, without keys that end with null.
    ///
    /// # Panics
    /// As [`values`](Self::values).
    #[track_caller]
    pub fn table<K, V>(&self, topic: &str) -> BTreeMap<K, V>
    where
        K: Data + DefaultSerde + Ord,
        V: Data + DefaultSerde,
    {
        table(topic, self.records(topic))
    }

    /// The committed rows of a key-value store, of all its tasks.
    ///
    /// # Panics
    /// If there is no store of that name that has a changelog, or it has other types.
    #[track_caller]
    pub fn store<K, V>(&self, store: &str) -> BTreeMap<K, V>
    where
        K: Data + DefaultSerde + Ord,
        V: Data + DefaultSerde,
    {
        let found = self.stores.get(store);
        let found = found.unwrap_or_else(|| panic!("no store `{store}` has a changelog"));
        table(store, found)
    }

    /// Panics where `self` is not as `undisturbed`.
    #[track_caller]
    pub(super) fn check(
        &self,
        undisturbed: &Self,
        topic: impl Fn(&str) -> Compare,
        store: impl Fn(&str) -> Compare,
    ) {
        for (name, records) in &self.topics {
            let expected = undisturbed.topics.get(name).map_or(&[][..], Vec::as_slice);
            compare(topic(name), &format!("topic `{name}`"), records, expected);
        }
        for (name, records) in &self.stores {
            let expected = undisturbed.stores.get(name).map_or(&[][..], Vec::as_slice);
            compare(store(name), &format!("store `{name}`"), records, expected);
        }
    }
}

type Partitions = [Vec<Arc<MemoryRecord>>];
type Bytes = Option<Box<[u8]>>;
/// Of a key in a partition: its values and times.
type ByKey = BTreeMap<(usize, Bytes), Vec<(Bytes, i64)>>;

#[track_caller]
fn compare(how: Compare, what: &str, actual: &Partitions, expected: &Partitions) {
    if how == Compare::Nothing {
        return;
    }
    let (mut actual, mut expected) = (by_key(actual), by_key(expected));
    match how {
        Compare::Records | Compare::Nothing => {}
        Compare::AnyOrder => {
            actual.values_mut().chain(expected.values_mut()).for_each(|values| values.sort());
        }
        Compare::LastValues => {
            for records in [&mut actual, &mut expected] {
                records.values_mut().for_each(|values| drop(values.drain(..values.len() - 1)));
                records.retain(|_, values| values[0].0.is_some());
            }
        }
        Compare::AtLeastOnce => {
            for (key, values) in &mut actual {
                let wanted = expected.get(key).map_or(&[][..], Vec::as_slice);
                let mut found = wanted.to_vec();
                found.retain(|value| values.contains(value));
                *values = found;
            }
        }
        Compare::Keys => {
            actual.values_mut().chain(expected.values_mut()).for_each(Vec::clear);
        }
    }
    let keys: Vec<_> = actual.keys().chain(expected.keys()).cloned().collect();
    for key in keys {
        let (actual, expected) = (actual.get(&key), expected.get(&key));
        assert!(
            actual == expected,
            "{what} is not that of an undisturbed run: key {} of partition {} has\n  {}\n\
             instead of\n  {}",
            Shown(key.1.as_deref()),
            key.0,
            shown(actual),
            shown(expected),
        );
    }
}

fn by_key(partitions: &Partitions) -> ByKey {
    let mut by_key = ByKey::new();
    for (partition, records) in partitions.iter().enumerate() {
        for record in records {
            let values = by_key.entry((partition, record.key.clone())).or_default();
            values.push((record.value.clone(), record.timestamp));
        }
    }
    by_key
}

#[track_caller]
fn table<K, V>(topic: &str, partitions: &Partitions) -> BTreeMap<K, V>
where
    K: Data + DefaultSerde + Ord,
    V: Data + DefaultSerde,
{
    let mut last = BTreeMap::new();
    for record in partitions.iter().flatten() {
        last.insert(record.key.clone(), record.clone());
    }
    let there = last.into_values().filter(|record| record.value.is_some());
    there.map(|record| decoded(topic, &record)).collect()
}

#[track_caller]
fn decoded<K: Data + DefaultSerde, V: Data + DefaultSerde>(
    topic: &str,
    record: &MemoryRecord,
) -> (K, V) {
    let mut headers = record.headers.clone();
    let key = of_bytes(record.key.as_deref(), &mut SerdeContext::key(topic, &mut headers));
    let value = of_bytes(record.value.as_deref(), &mut SerdeContext::value(topic, &mut headers));
    (key, value)
}

#[track_caller]
fn of_bytes<T: DefaultSerde + 'static>(bytes: Option<&[u8]>, cx: &mut SerdeContext<'_>) -> T {
    let serde = SerdeRef::new(T::default_serde());
    match serde.deserialize_or_null(bytes, cx) {
        Ok(value) => value,
        Err(error) => panic!("a record of `{}` has another type: {error}", cx.topic),
    }
}

/// Bytes as a person can read them.
struct Shown<'a>(Option<&'a [u8]>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            None => f.write_str("null"),
        }
    }
}

fn shown(values: Option<&Vec<(Bytes, i64)>>) -> String {
    let Some(values) = values else { return "no record".to_owned() };
    let values = values.iter().map(|(value, time)| format!("{}@{time}", Shown(value.as_deref())));
    values.collect::<Vec<_>>().join(", ")
}

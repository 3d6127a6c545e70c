//! A topology whose state shows which records it has seen, for tests under faults.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use streams_core::Topology;
use streams_core::client::{Isolation, MemoryRecord};
use streams_core::error::BoxError;
use streams_core::partitioning::partition_for_key;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{KeyValueHandle, Stores};
use streams_test::EmbeddedCluster;

/// Of each topic.
pub const PARTITIONS: i32 = 2;
/// Keys are the numbers of words.
pub const WORDS: u64 = 7;
pub const INPUT: &str = "words";
pub const REPARTITION: &str = "app-again-repartition";
pub const CHANGELOG: &str = "app-seen-changelog";
pub const OUTPUT: &str = "out";

/// What the state has of a key: how often a record came, and which records.
pub type Seen = (u64, BTreeSet<u64>);

/// Counts the records of a key, and keeps their numbers.
struct Count(KeyValueHandle<String, String>);

impl Processor for Count {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        key: String,
        number: String,
        cx: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let (mut count, mut numbers) =
            cx.store(&self.0).get(&key)?.map(|text| parse(text)).unwrap_or_default();
        count += 1;
        numbers.insert(number.parse()?);
        let text = format(&(count, numbers));
        cx.store(&self.0).put(&key, text.clone())?;
        cx.forward(key, text)
    }
}

pub fn format((count, numbers): &Seen) -> String {
    let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
    format!("{count}:{}", numbers.join(","))
}

pub fn parse(text: &str) -> Seen {
    let (count, numbers) = text.split_once(':').unwrap();
    (count.parse().unwrap(), numbers.split(',').map(|number| number.parse().unwrap()).collect())
}

/// Two sub-topologies with a repartition topic between them; the second one has state.
pub fn topology() -> Topology {
    let mut builder = Topology::builder();
    let words = builder.add_source::<String, String>("words", INPUT);
    builder.add_repartition_topic("again-repartition", None);
    builder.add_sink("again-sink", &[&words], "again-repartition");
    let again = builder.add_source::<String, String>("again-source", "again-repartition");
    let stores = Stores::key_value::<String, String>("seen");
    let counts = builder.add_processor("count", &[&again], stores, |seen, _| Count(seen));
    builder.add_sink("out", &[&counts], OUTPUT);
    builder.build().unwrap()
}

/// What was written to the input, by key.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub numbers: BTreeMap<String, BTreeSet<u64>>,
    next: u64,
}

impl Written {
    /// Writes one record of a word.
    pub fn write(&mut self, cluster: &EmbeddedCluster, word: u64) {
        self.write_to(INPUT, cluster, word);
    }

    /// To the input, or where its records go from there.
    pub fn write_to(&mut self, topic: &str, cluster: &EmbeddedCluster, word: u64) {
        let number = self.next;
        self.next += 1;
        let key = format!("word-{word}");
        append(cluster, topic, &key, &number.to_string());
        self.numbers.entry(key).or_default().insert(number);
    }
}

/// Appends a record to the partition of its key.
pub fn append(cluster: &EmbeddedCluster, topic: &str, key: &str, value: &str) {
    let partition = partition_for_key(key.as_bytes(), PARTITIONS);
    let record = MemoryRecord {
        timestamp: 1,
        key: Some(key.as_bytes().into()),
        value: Some(value.as_bytes().into()),
        ..MemoryRecord::default()
    };
    cluster.append(topic, partition, record).unwrap();
}

/// Whether every record was processed and its position committed.
pub fn is_drained(cluster: &EmbeddedCluster) -> bool {
    [INPUT, REPARTITION].iter().all(|topic| {
        (0..PARTITIONS).all(|partition| {
            let end = end(cluster, topic, partition);
            let committed = cluster.committed("app", topic, partition);
            end == 0 || committed.is_some_and(|committed| committed.offset == end)
        })
    })
}

/// Where the inputs are, and where they end.
pub fn positions(cluster: &EmbeddedCluster) -> String {
    let mut text = String::new();
    for topic in [INPUT, REPARTITION] {
        for partition in 0..PARTITIONS {
            let end = end(cluster, topic, partition);
            let committed = cluster.committed("app", topic, partition);
            let committed = committed.map(|committed| committed.offset);
            text += &format!(" {topic}-{partition}: {committed:?} of {end}");
        }
    }
    text
}

pub fn end(cluster: &EmbeddedCluster, topic: &str, partition: i32) -> i64 {
    cluster.end_offset(topic, partition, Isolation::ReadUncommitted).unwrap_or(0)
}

/// The last value of each key.
pub fn table(cluster: &EmbeddedCluster, topic: &str) -> BTreeMap<String, Seen> {
    let mut table = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for (_, record) in cluster.read(topic, partition, 0, Isolation::ReadCommitted) {
            let key = String::from_utf8(record.key.clone().unwrap().into_vec()).unwrap();
            let value = String::from_utf8(record.value.clone().unwrap().into_vec()).unwrap();
            table.insert(key, parse(&value));
        }
    }
    table
}

/// Shows what the runtime says, if `RUST_LOG` asks for it.
pub fn show_logs() {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().without_time().with_env_filter(filter).try_init();
    }
}

//! The true runtime, on threads, over the embedded cluster.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use streams_core::client::{Isolation, MemoryRecord};
use streams_core::config::State;
use streams_core::error::BoxError;
use streams_core::processor::{Processor, ProcessorContext};
use streams_core::stores::{KeyValueHandle, Stores};
use streams_core::{KafkaStreams, StreamsConfig, Topology};
use streams_test::EmbeddedCluster;

struct Count {
    counts: KeyValueHandle<String, i64>,
}

impl Processor for Count {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        key: String,
        _: String,
        cx: &mut ProcessorContext<'_, String, i64>,
    ) -> Result<(), BoxError> {
        let count = cx.store(&self.counts).update(&key, |count| {
            let next = count.unwrap_or(0) + 1;
            *count = Some(next);
            next
        })?;
        cx.forward(key, count)
    }
}

fn topology() -> Topology {
    let mut builder = Topology::builder();
    let words = builder.add_source::<String, String>("words", "words");
    let stores = Stores::key_value::<String, i64>("counts");
    let counts = builder.add_processor("count", &[&words], stores, |counts, _| Count { counts });
    builder.add_sink("out", &[&counts], "counts-out");
    builder.build().unwrap()
}

fn word(n: usize) -> String {
    format!("word-{}", n * n % 17)
}

fn write_words(cluster: &EmbeddedCluster, from: usize, to: usize) {
    for n in from..to {
        let key = word(n).into_bytes();
        let partition = streams_core::partitioning::partition_for_key(&key, 4);
        let record = MemoryRecord {
            timestamp: n as i64,
            key: Some(key.into()),
            value: Some(b"x".as_slice().into()),
            ..MemoryRecord::default()
        };
        cluster.append("words", partition, record).unwrap();
    }
}

fn counts(cluster: &EmbeddedCluster) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for partition in 0..4 {
        for (_, record) in cluster.read("counts-out", partition, 0, Isolation::ReadCommitted) {
            let key = String::from_utf8(record.key.clone().unwrap().into_vec()).unwrap();
            let bytes = <[u8; 8]>::try_from(&*record.value.clone().unwrap()).unwrap();
            counts.insert(key, i64::from_be_bytes(bytes));
        }
    }
    counts
}

fn expected(to: usize) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for n in 0..to {
        *counts.entry(word(n)).or_insert(0) += 1;
    }
    counts
}

fn config(cluster: &EmbeddedCluster, dir: &std::path::Path, threads: usize) -> StreamsConfig {
    StreamsConfig::new("app", "embedded")
        .client(Arc::new(cluster.clone()))
        .state_dir(dir)
        .threads(threads)
        .commit_interval(Duration::from_millis(50))
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within 20 s: {what}");
}

#[tokio::test]
async fn counts_equal_those_of_a_plain_count_and_go_on_after_a_restart() {
    for threads in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let cluster = EmbeddedCluster::new();
        cluster.create_topic("words", 4).unwrap();
        cluster.create_topic("counts-out", 4).unwrap();
        write_words(&cluster, 0, 1000);
        let config = config(&cluster, dir.path(), threads);
        let streams = KafkaStreams::start(topology(), config.clone()).await.unwrap();
        streams.wait_for(State::Running).await.unwrap();
        until("first counts", || counts(&cluster) == expected(1000)).await;
        streams.close().await.unwrap();
        write_words(&cluster, 1000, 1500);
        let streams = KafkaStreams::start(topology(), config).await.unwrap();
        until("counts after a restart", || counts(&cluster) == expected(1500)).await;
        streams.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_changelog_is_restored_that_is_longer_than_one_read_of_it() {
    const KEYS: usize = 45_000;
    let dir = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::new();
    cluster.create_topic("words", 1).unwrap();
    cluster.create_topic("counts-out", 4).unwrap();
    let write = |from: usize, to: usize| {
        for n in from..to {
            let record = MemoryRecord {
                timestamp: n as i64,
                key: Some(format!("key-{}", n % KEYS).into_bytes().into()),
                value: Some(b"x".as_slice().into()),
                ..MemoryRecord::default()
            };
            cluster.append("words", 0, record).unwrap();
        }
    };
    write(0, KEYS);
    let config = config(&cluster, dir.path(), 1);
    let streams = KafkaStreams::start(topology(), config.clone()).await.unwrap();
    until("the first counts", || counts(&cluster).len() == KEYS).await;
    streams.close().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("app")).unwrap();
    write(KEYS, 2 * KEYS);
    let streams = KafkaStreams::start(topology(), config).await.unwrap();
    until("each key was restored", || counts(&cluster).values().all(|count| *count == 2)).await;
    streams.close().await.unwrap();
}

//! Sources that name their topics by a regular expression.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use streams_dsl::core::client::{Isolation, MemoryRecord};
use streams_dsl::core::topology::Topics;
use streams_dsl::prelude::*;
use streams_test::{EmbeddedCluster, TopologyTestDriver};

const COUNTS: StoreName<KeyValueStore<String, i64>> = StoreName::new("counts");

fn counting(pattern: &str) -> Topology {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, i64>(Topics::pattern(pattern));
    orders.group_by_key().count(COUNTS).to("counts");
    builder.build().unwrap()
}

#[test]
fn a_driver_reads_the_topics_that_match() {
    let driver = TopologyTestDriver::new(&counting("orders-.*"))
        .partitions("orders-eu", 1)
        .partitions("orders-us", 1)
        .partitions("returns", 1);
    for (topic, n) in [("orders-eu", 1), ("orders-us", 2), ("orders-eu", 3)] {
        driver.input::<String, i64>(topic).pipe("ann", n);
    }
    let counts = driver.output::<String, i64>("counts");
    assert_eq!(counts.read_all(), [("ann", 1), ("ann", 2), ("ann", 3)]);
}

fn write(cluster: &EmbeddedCluster, topic: &str, key: &str) {
    let record = MemoryRecord {
        timestamp: 1,
        key: Some(key.as_bytes().into()),
        value: Some(7_i64.to_be_bytes().into()),
        ..MemoryRecord::default()
    };
    cluster.append(topic, 0, record).unwrap();
}

fn counts(cluster: &EmbeddedCluster) -> BTreeMap<String, i64> {
    let records = cluster.read("counts", 0, 0, Isolation::ReadCommitted);
    let row = |record: &MemoryRecord| {
        let key = String::from_utf8(record.key.clone().unwrap().into()).unwrap();
        (key, i64::from_be_bytes(record.value.as_deref().unwrap().try_into().unwrap()))
    };
    records.iter().map(|(_, record)| row(record)).collect()
}

/// Waits until each key has been counted so often.
async fn wait_for(cluster: &EmbeddedCluster, expected: &[(&str, i64)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect();
    let wait = async {
        while counts(cluster) != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    assert!(waited.is_ok(), "{:?} instead of {expected:?}", counts(cluster));
}

/// A topic that is made while the application runs is found, and read from its beginning; state and
/// positions of the task that reads it too are kept.
#[tokio::test]
async fn a_topic_that_comes_later_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::new();
    for topic in ["orders-eu", "returns", "counts"] {
        cluster.create_topic(topic, 1).unwrap();
    }
    let config = StreamsConfig::new("app", "embedded")
        .client(Arc::new(cluster.clone()))
        .state_dir(dir.path())
        .exactly_once()
        .set("commit.interval.ms", 20)
        .set("metadata.max.age.ms", 50);
    let streams = KafkaStreams::start(counting("orders-.*"), config.clone()).await.unwrap();
    write(&cluster, "orders-eu", "ann");
    write(&cluster, "returns", "ann");
    wait_for(&cluster, &[("ann", 1)]).await;
    cluster.create_topic("orders-us", 1).unwrap();
    write(&cluster, "orders-us", "ann");
    write(&cluster, "orders-us", "bob");
    wait_for(&cluster, &[("ann", 2), ("bob", 1)]).await;
    streams.close().await.unwrap();
    // After a restart nothing is read twice.
    let streams = KafkaStreams::start(counting("orders-.*"), config).await.unwrap();
    write(&cluster, "orders-eu", "bob");
    wait_for(&cluster, &[("ann", 2), ("bob", 2)]).await;
    streams.close().await.unwrap();
}

/// Nobody can say whose the records are: as in Kafka Streams, it is an error once there is such a topic.
#[tokio::test]
async fn a_topic_that_two_patterns_match_ends_the_application() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::new();
    for topic in ["orders-us", "returns-eu", "out", "orders-eu"] {
        cluster.create_topic(topic, 1).unwrap();
    }
    let builder = StreamsBuilder::new();
    for pattern in ["orders-.*", ".*-eu"] {
        builder.stream::<String, i64>(Topics::pattern(pattern)).to("out");
    }
    let config = StreamsConfig::new("app", "embedded")
        .client(Arc::new(cluster.clone()))
        .state_dir(dir.path());
    let streams = KafkaStreams::start(builder.build().unwrap(), config).await.unwrap();
    let ended = streams.run_until(std::future::pending::<()>());
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
    let error = format!("{:?}", ended.unwrap_err());
    let expected = "topic orders-eu matches more than one pattern, `orders-.*` and `.*-eu`";
    assert!(error.contains(expected), "{error}");
}

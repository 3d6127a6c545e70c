//! Every likely mistake gets a clear error that says what to do and where; nothing hangs, and
//! nothing is lost.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use streams_dsl::core::client::{Isolation, MemoryRecord};
use streams_dsl::prelude::*;
use streams_test::EmbeddedCluster;

const LIMIT: Duration = Duration::from_secs(30);

fn counting() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, i64>("numbers")
        .group_by(|_, number| *number, "by-number")
        .count("counts")
        .to("counts-out");
    builder.build().unwrap()
}

fn cluster(topics: &[(&str, i32)]) -> EmbeddedCluster {
    let cluster = EmbeddedCluster::new();
    topics.iter().for_each(|(topic, partitions)| cluster.create_topic(topic, *partitions).unwrap());
    cluster
}

fn config(cluster: &EmbeddedCluster, dir: &Path) -> StreamsConfig {
    StreamsConfig::new("app", "embedded")
        .client(Arc::new(cluster.clone()))
        .state_dir(dir)
        .commit_interval(Duration::from_millis(20))
}

/// Runs until it fails; the error with its causes.
async fn failure(topology: Topology, config: StreamsConfig) -> String {
    let ended = tokio::time::timeout(LIMIT, async {
        let streams = KafkaStreams::start(topology, config).await?;
        streams.run_until(std::future::pending::<()>()).await
    });
    format!("{:?}", ended.await.expect("it hangs").expect_err("it should have failed"))
}

fn record(key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64) -> MemoryRecord {
    MemoryRecord {
        timestamp,
        key: key.map(Into::into),
        value: value.map(Into::into),
        ..MemoryRecord::default()
    }
}

#[track_caller]
fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "«{part}» is missing in: {error}");
    }
}

#[tokio::test]
async fn no_broker_at_the_address() {
    let dir = tempfile::tempdir().unwrap();
    let config = StreamsConfig::new("app", "127.0.0.1:1")
        .state_dir(dir.path())
        .set("request.timeout.ms", 1500);
    let error = failure(counting(), config).await;
    says(&error, &["no Kafka broker answers at 127.0.0.1:1", "bootstrap.servers"]);
}

#[tokio::test]
async fn an_input_topic_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("counts-out", 1)]);
    let error = failure(counting(), config(&cluster, dir.path())).await;
    says(&error, &["numbers"]);
}

#[tokio::test]
async fn an_output_topic_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("numbers", 1)]);
    let value = 7i64.to_be_bytes();
    cluster.append("numbers", 0, record(Some(b"k"), Some(&value), 1)).unwrap();
    let error = failure(counting(), config(&cluster, dir.path())).await;
    println!("{error}");
    says(&error, &["counts-out", "create"]);
}

#[tokio::test]
async fn an_internal_topic_has_the_wrong_number_of_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("numbers", 4), ("app-by-number-repartition", 3), ("counts-out", 1)]);
    let error = failure(counting(), config(&cluster, dir.path())).await;
    says(&error, &["app-by-number-repartition", "4", "3"]);
}

#[tokio::test]
async fn joined_topics_have_different_numbers_of_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("orders", 4), ("customers", 3), ("out", 1)]);
    let builder = StreamsBuilder::new();
    let customers = builder.table::<String, String>("customers", "customers");
    let orders = builder.stream::<String, String>("orders");
    orders.join_table(&customers, |_, order, customer| format!("{order} {customer}")).to("out");
    let error = failure(builder.build().unwrap(), config(&cluster, dir.path())).await;
    says(&error, &["orders", "customers", "4", "3"]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("numbers", 1), ("counts-out", 1)]);
    let good = 7i64.to_be_bytes();
    cluster.append("numbers", 0, record(Some(b"k"), Some(&good), 1)).unwrap();
    cluster.append("numbers", 0, record(Some(b"k"), Some(b"bad"), 2)).unwrap();
    let error = failure(counting(), config(&cluster, dir.path())).await;
    says(&error, &["topic numbers, partition 0, offset 1", "value", "on_deserialization_error"]);
    let committed = cluster.committed("app", "numbers", 0).map_or(0, |committed| committed.offset);
    assert!(committed <= 1, "the bad record at 1 was committed: {committed}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_skipped_if_the_handler_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("numbers", 1), ("counts-out", 1)]);
    let good = 7i64.to_be_bytes();
    for value in [&good[..], b"bad", &good[..]] {
        cluster.append("numbers", 0, record(Some(b"k"), Some(value), 1)).unwrap();
    }
    let config = config(&cluster, dir.path()).on_deserialization_error(streams_dsl::reaction::skip);
    let streams = KafkaStreams::start(counting(), config).await.unwrap();
    let two = 2i64.to_be_bytes();
    let counted = async {
        while !cluster
            .read("counts-out", 0, 0, Isolation::ReadUncommitted)
            .iter()
            .any(|(_, record)| record.value.as_deref() == Some(&two))
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, counted).await.unwrap();
    streams.close().await.unwrap();
}

#[tokio::test]
async fn a_null_key_where_the_type_has_no_null() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("numbers", 1), ("counts-out", 1)]);
    cluster.append("numbers", 0, record(None, Some(&7i64.to_be_bytes()), 1)).unwrap();
    let error = failure(counting(), config(&cluster, dir.path())).await;
    says(&error, &["key", "topic numbers, partition 0, offset 0", "Option"]);
}

#[tokio::test]
async fn a_record_without_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("numbers", 1), ("counts-out", 1)]);
    let value = 7i64.to_be_bytes();
    cluster.append("numbers", 0, record(Some(b"k"), Some(&value), -1)).unwrap();
    let error = failure(counting(), config(&cluster, dir.path())).await;
    says(&error, &["timestamp", "topic numbers, partition 0, offset 0", "timestamp_extractor"]);
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let cluster = cluster(&[("numbers", 1), ("counts-out", 1)]);
    let error = failure(counting(), config(&cluster, file.path())).await;
    says(&error, &["state directory", &file.path().display().to_string(), "writable"]);
}

#[tokio::test]
async fn a_state_directory_that_another_instance_holds() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("numbers", 1), ("counts-out", 1)]);
    let first = KafkaStreams::start(counting(), config(&cluster, dir.path())).await.unwrap();
    let error = failure(counting(), config(&cluster, dir.path())).await;
    let pid = std::process::id().to_string();
    says(&error, &["in use by", &pid, "a directory of its own"]);
    first.close().await.unwrap();
}

#[tokio::test]
async fn a_configuration_key_that_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[]);
    let config = config(&cluster, dir.path()).set("num.stream.thread", 2);
    let error = failure(counting(), config).await;
    says(&error, &["num.stream.thread", "num.stream.threads"]);
}

#[test]
fn two_sources_on_one_topic_name_both_calls() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("numbers").to("out");
    builder.table::<String, i64>("numbers", "table").to("out2");
    let error = builder.build().unwrap_err().to_string();
    says(&error, &["numbers", "bad_input.rs"]);
}

#[test]
fn two_stores_of_one_name_name_the_call() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("numbers");
    numbers.group_by_key().count("counts").to("a");
    numbers.group_by(|_, number| *number, "by-number").count("counts").to("b");
    let error = builder.build().unwrap_err().to_string();
    says(&error, &["counts", "bad_input.rs"]);
}

#[test]
fn a_changed_key_needs_a_name_for_its_repartition_topic() {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, i64>("numbers");
    numbers.select_key(|_, number| *number).group_by_key().count("counts").to("out");
    let error = builder.build().unwrap_err().to_string();
    says(&error, &["group_by_key_with", "bad_input.rs"]);
}

/// Counts with a generated name, which moves when a table is read before.
fn unnamed(with_table: bool) -> Topology {
    let builder = StreamsBuilder::new();
    if with_table {
        builder.table::<String, i64>("rows", auto()).to("counts-out");
    }
    builder.stream::<String, i64>("numbers").group_by_key().count(auto()).to("counts-out");
    builder.build().unwrap()
}

#[tokio::test]
async fn a_generated_name_moved() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(&[("numbers", 1), ("rows", 1), ("counts-out", 1)]);
    let start = async |topology, accept: bool| {
        let config = config(&cluster, dir.path()).set("accept.changed.topology", accept);
        KafkaStreams::start(topology, config).await?.close().await
    };
    start(unnamed(false), false).await.unwrap();
    start(unnamed(false), false).await.unwrap();
    let error = format!("{:?}", start(unnamed(true), false).await.unwrap_err());
    says(&error, &["KSTREAM-AGGREGATE-STATE-STORE-0000000001", "accept.changed.topology=true"]);
    // What was refused has changed nothing.
    start(unnamed(false), false).await.unwrap();
    start(unnamed(true), true).await.unwrap();
    start(unnamed(true), false).await.unwrap();
    let error = format!("{:?}", start(unnamed(false), false).await.unwrap_err());
    says(&error, &["KSTREAM-AGGREGATE-STATE-STORE-0000000006 is gone"]);
}

//! Foreign-key joins: the bytes of their topics, and rows that lie on other partitions than what
//! they refer to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use streams_core::client::{Isolation, MemoryRecord};
use streams_core::partitioning::partition_for_key;
use streams_dsl::prelude::*;
use streams_test::{EmbeddedCluster, TopologyTestDriver};

/// The foreign key stands before `|`; nothing there is none.
fn foreign_key(value: &str) -> Option<String> {
    value.split('|').next().filter(|key| !key.is_empty()).map(str::to_owned)
}

fn join(b: &StreamsBuilder, left_join: bool) {
    let left = b.table::<String, String>("left", auto());
    let right = b.table::<String, String>("right", auto());
    let joined = if left_join {
        let joiner = |_: &String, l: &String, r: Option<&String>| {
            format!("({l},{})", r.map_or("null", String::as_str))
        };
        left.left_join_on(&right, |_, v| foreign_key(v), joiner, "fk")
    } else {
        left.join_on(&right, |_, v| foreign_key(v), |_, l, r| format!("({l},{r})"), "fk")
    };
    joined.to("out");
}

const TOPICS: [&str; 3] = [
    "test-fk-subscription-registration-topic",
    "test-fk-subscription-response-topic",
    "test-fk-subscription-store-changelog",
];

/// What Kafka Streams 4.1 wrote to the topics of `join`, given what stands before `->`.
#[test]
fn topics_hold_the_jvms_bytes() {
    let file = include_str!("join_vectors/foreign_key_bytes.txt");
    for (run, left_join) in file.split("# run ").skip(1).zip([false, true]) {
        let builder = StreamsBuilder::new();
        join(&builder, left_join);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        let out = driver.output::<String, Option<String>>("out");
        let mut sections = run.split("## ");
        for line in sections.next().unwrap().lines().skip(1) {
            let (input, wanted) = line.split_once("->").unwrap();
            let (input, time) = input.trim().split_once(" @").unwrap();
            let [side, key, value] = input.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("{input}")
            };
            let topic = if side == "l" { "left" } else { "right" };
            let value = (value != "null").then(|| value.to_owned());
            let input = driver.input::<String, Option<String>>(topic);
            input.pipe_at(key, value, time.parse::<i64>().unwrap());
            let show = |(key, value, time): (String, Option<String>, i64)| {
                format!("{key}={}@{time}", value.as_deref().unwrap_or("null"))
            };
            let seen: Vec<_> = out.read_timed().into_iter().map(show).collect();
            assert_eq!(seen.join(" "), wanted.trim(), "{line}");
        }
        for (section, topic) in sections.zip(TOPICS) {
            let wanted = section.strip_prefix(topic).unwrap().trim();
            let hex = |bytes: Option<Vec<u8>>| match bytes {
                Some(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                None => "null".to_owned(),
            };
            let seen: Vec<_> = driver
                .output_raw(topic)
                .into_iter()
                .map(|r| format!("{} {} {}", hex(r.key), hex(r.value), r.timestamp))
                .collect();
            assert_eq!(seen.join("\n"), wanted, "{topic}");
        }
    }
}

fn write(cluster: &EmbeddedCluster, topic: &str, count: i32, key: &str, value: Option<&str>) {
    let record = MemoryRecord {
        timestamp: 1,
        key: Some(key.as_bytes().into()),
        value: value.map(|value| value.as_bytes().into()),
        ..MemoryRecord::default()
    };
    cluster.append(topic, partition_for_key(key.as_bytes(), count), record).unwrap();
}

/// The last value of each key.
fn rows(cluster: &EmbeddedCluster, topic: &str, count: i32) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for partition in 0..count {
        for (_, record) in cluster.read(topic, partition, 0, Isolation::ReadCommitted) {
            let key = text(record.key.as_deref().unwrap());
            match record.value.as_deref() {
                Some(value) => rows.insert(key, text(value)),
                None => rows.remove(&key),
            };
        }
    }
    rows
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within 30 s: {what}");
}

#[tokio::test]
async fn rows_of_other_partitions_are_joined_and_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::new();
    for (topic, partitions) in [("left", 3), ("right", 5), ("out", 2)] {
        cluster.create_topic(topic, partitions).unwrap();
    }
    let config = StreamsConfig::new("fk-app", "embedded")
        .client(Arc::new(cluster.clone()))
        .state_dir(dir.path())
        .threads(2)
        .exactly_once()
        .commit_interval(Duration::from_millis(20));
    let topology = || {
        let builder = StreamsBuilder::new();
        join(&builder, true);
        builder.build().unwrap()
    };
    let wanted = |version: usize| -> BTreeMap<String, String> {
        let rights = 7;
        let row = |n: usize| {
            let right =
                if n % rights < 5 { format!("R{}v{version}", n % rights) } else { "null".into() };
            (format!("l{n}"), format!("(r{}|{n},{right})", n % rights))
        };
        (0..40).map(row).collect()
    };
    let streams = KafkaStreams::start(topology(), config.clone()).await.unwrap();
    for n in 0..40 {
        write(&cluster, "left", 3, &format!("l{n}"), Some(&format!("r{}|{n}", n % 7)));
    }
    for n in 0..5 {
        write(&cluster, "right", 5, &format!("r{n}"), Some(&format!("R{n}v1")));
    }
    until("the first results", || rows(&cluster, "out", 2) == wanted(1)).await;
    streams.close().await.unwrap();
    for n in 0..5 {
        write(&cluster, "right", 5, &format!("r{n}"), Some(&format!("R{n}v2")));
    }
    let streams = KafkaStreams::start(topology(), config).await.unwrap();
    until("results after a restart", || rows(&cluster, "out", 2) == wanted(2)).await;
    streams.close().await.unwrap();
}

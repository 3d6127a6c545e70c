//! Where records go.
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use super::{Collector, Driver};
use crate::client::ANY_PARTITION;
use crate::partitioning::partition_for_key;
use crate::topology::{Node, Partitions, Produced, Topology};

type Text = Node<Option<String>, Option<String>>;

#[test]
fn a_keyed_record_goes_where_its_key_belongs() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    builder.add_sink("sink", &[&source], "out");
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    driver.push(0, Some("key"), Some("v"), 1);
    driver.push(0, None, None, 2);
    driver.drain().unwrap();
    let sent = driver.sent();
    assert_eq!(sent[0].partition, partition_for_key(b"key", 4));
    assert_eq!((sent[1].partition, &sent[1].key, &sent[1].value), (ANY_PARTITION, &None, &None));
}

#[test]
fn a_partitioner_chooses_one_many_none_or_the_key() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    let produced = Produced::<Option<String>, Option<String>>::from("out").partitioner(
        |record, partitions| match record.value.as_deref() {
            Some("one") => Partitions::One(partitions - 1),
            Some("many") => Partitions::Many(vec![0, 2]),
            Some("drop") => Partitions::Drop,
            _ => Partitions::ByKey,
        },
    );
    builder.add_sink("sink", &[&source], produced);
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    for value in ["one", "many", "drop", "key"] {
        driver.push(0, Some("key"), Some(value), 1);
    }
    driver.drain().unwrap();
    let partitions: Vec<_> = driver.sent().iter().map(|sent| sent.partition).collect();
    assert_eq!(partitions, [3, 0, 2, partition_for_key(b"key", 4)]);
    assert_eq!(driver.task.dropped()[0].count, 1);
}

#[test]
fn a_topic_is_chosen_per_record() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    builder.add_sink(
        "sink",
        &[&source],
        Produced::dynamic(|record: crate::RecordRef<'_, Option<String>, Option<String>>| {
            match record.key.as_deref() {
                Some(key) => Cow::Borrowed(key),
                None => Cow::Owned(format!("null-{}", record.context.timestamp().as_millis())),
            }
        }),
    );
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    driver.push(0, Some("a"), Some("1"), 1);
    driver.push(0, None, Some("2"), 2);
    driver.push(0, Some("a"), Some("3"), 3);
    driver.drain().unwrap();
    assert_eq!(driver.lines(), ["a:a=1@1", "null-2:null=2@2", "a:a=3@3"]);
}

#[test]
fn another_collector_has_other_slots() {
    let mut builder = Topology::builder();
    let source: Text = builder.add_source("source", "in");
    builder.add_sink("sink", &[&source], "out");
    let mut driver = Driver::new(&builder.build().unwrap(), &["in"]);
    driver.push(0, Some("a"), Some("1"), 1);
    driver.drain().unwrap();
    // As after a move to another thread: slot 0 is another topic there.
    driver.collector = Box::new(Collector {
        generation: 2,
        topics: vec!["other".into()],
        output: driver.output.clone(),
        partitions: 4,
    });
    driver.push(0, Some("a"), Some("2"), 2);
    driver.drain().unwrap();
    assert_eq!(driver.lines(), ["out:a=1@1", "out:a=2@2"]);
}

#[test]
fn a_repartition_topic_bears_the_application_id() {
    let mut builder = Topology::builder();
    builder.add_repartition_topic("words-repartition", None);
    let source: Text = builder.add_source("source", "in");
    builder.add_sink("sink", &[&source], "words-repartition");
    let words: Text = builder.add_source("words", "words-repartition");
    builder.add_sink("out", &[&words], "out");
    let topology = builder.build().unwrap();
    assert_eq!(topology.subtopologies().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(*topology.source_topics(1, "app")[0], *"app-words-repartition");
    assert!(topology.is_repartition_topic("app-words-repartition", "app"));
    let mut driver = Driver::new(&topology, &["in"]);
    driver.push(0, Some("a"), Some("1"), 1);
    driver.drain().unwrap();
    assert_eq!(driver.lines(), ["app-words-repartition:a=1@1"]);
}

//! Writing and reading topics of a real Kafka, by the plain client.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Makes topics.
///
/// # Panics
/// If the broker refuses.
pub async fn create_topics(bootstrap: &str, names: &[&str], partitions: i32) {
    let admin: AdminClient<_> = config(bootstrap).create().expect("an admin client");
    let topics: Vec<_> = names
        .iter()
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(-1)))
        .collect();
    let created = admin.create_topics(&topics, &AdminOptions::new()).await.expect("an answer");
    created.into_iter().for_each(|topic| drop(topic.expect("the topic is made")));
}

/// Writes records with keys, partitioned as the JVM does.
///
/// # Panics
/// If the broker does not take them.
pub fn write(bootstrap: &str, topic: &str, records: impl Iterator<Item = (String, String)>) {
    let producer: BaseProducer = config(bootstrap)
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .create()
        .expect("a producer");
    for (key, value) in records {
        let mut record = BaseRecord::to(topic).key(&key).payload(&value);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(Duration::from_secs(30)).expect("the records are taken");
}

/// The last value of each key in a topic, as of now.
///
/// # Panics
/// If the topic cannot be read.
pub fn read_table(bootstrap: &str, topic: &str, partitions: i32) -> BTreeMap<String, Vec<u8>> {
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", "reader-of-tests")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut table = BTreeMap::new();
    for partition in 0..partitions {
        let timeout = Duration::from_secs(10);
        let (low, high) =
            consumer.fetch_watermarks(topic, partition, timeout).expect("the ends of the log");
        if low == high {
            continue;
        }
        let mut assignment = TopicPartitionList::new();
        let from = Offset::Offset(low);
        assignment.add_partition_offset(topic, partition, from).expect("an offset");
        consumer.assign(&assignment).expect("an assignment");
        loop {
            let message = consumer.poll(Duration::from_secs(10)).expect("a record in time");
            let message = message.expect("a record");
            let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
            table.insert(key, message.payload().unwrap_or_default().to_vec());
            if message.offset() + 1 >= high {
                break;
            }
        }
    }
    table
}

/// All committed records of a topic as of now, each partition in order.
///
/// # Panics
/// If the topic cannot be read.
pub fn read_all(bootstrap: &str, topic: &str, partitions: i32) -> Vec<(String, Vec<u8>)> {
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", "reader-of-tests")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut records = Vec::new();
    for partition in 0..partitions {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        consumer.assign(&assignment).expect("an assignment");
        // A log may end in markers or aborted records: not an offset, only the reader tells.
        loop {
            match consumer.poll(Duration::from_secs(10)).expect("a record or the end, in time") {
                Ok(message) => {
                    let key = String::from_utf8_lossy(message.key().unwrap_or_default());
                    let value = message.payload().unwrap_or_default().to_vec();
                    records.push((key.into_owned(), value));
                }
                Err(KafkaError::PartitionEOF(_)) => break,
                Err(error) => panic!("{topic}-{partition}: {error}"),
            }
        }
    }
    records
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

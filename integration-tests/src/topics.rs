//! Writing and reading topics of a real Kafka, by the plain client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

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

/// A record as it lies in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Where.
    pub offset: i64,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// All committed records of a topic as of now, each partition in order.
///
/// # Panics
/// If the topic cannot be read.
pub fn read_all(bootstrap: &str, topic: &str, partitions: i32) -> Vec<(String, Vec<u8>)> {
    let logs = read_partitions(bootstrap, topic, partitions);
    logs.into_iter().flatten().map(|record| (record.key, record.value)).collect()
}

/// All committed records of each partition of a topic as of now.
///
/// # Panics
/// If the topic cannot be read.
pub fn read_partitions(bootstrap: &str, topic: &str, partitions: i32) -> Vec<Vec<LogRecord>> {
    read_with_isolation(bootstrap, topic, partitions, "read_committed")
}

/// All records of each partition of a topic as of now, those of transactions that are open or were
/// aborted among them.
///
/// # Panics
/// If the topic cannot be read.
pub fn read_uncommitted(bootstrap: &str, topic: &str, partitions: i32) -> Vec<Vec<LogRecord>> {
    read_with_isolation(bootstrap, topic, partitions, "read_uncommitted")
}

fn read_with_isolation(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    isolation: &str,
) -> Vec<Vec<LogRecord>> {
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", "reader-of-tests")
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // A reader that goes on elsewhere, for example behind a new leader that does not know the
        // end yet, would look like lost records.
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "50")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&assignment).expect("an assignment");
    let mut logs = vec![Vec::new(); usize::try_from(partitions).unwrap_or(0)];
    let mut open: BTreeSet<i32> = (0..partitions).collect();
    let mut errors = Vec::new();
    // A log may end in markers or aborted records: not an offset, only the reader tells.
    while !open.is_empty() {
        match consumer.poll(Duration::from_secs(20)) {
            Some(Ok(message)) => {
                logs[usize::try_from(message.partition()).unwrap_or(0)].push(LogRecord {
                    offset: message.offset(),
                    key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
                    value: message.payload().unwrap_or_default().to_vec(),
                });
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) if is_reset(&error) => {
                println!("reading {topic} once more: {error}");
                return read_with_isolation(bootstrap, topic, partitions, isolation);
            }
            // A broker that is gone: the reader finds the others.
            Some(Err(error)) if errors.len() < 20 => errors.push(error.to_string()),
            other => panic!("cannot read {topic}: {other:?} after {errors:?}"),
        }
    }
    logs
}

fn is_reset(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::LogTruncation))
}

/// The partitions of these topics' that end in an open transaction: committed readers do not get
/// to the end of the log. A topic is named, or the beginning of its name with a `*`.
///
/// # Panics
/// If the brokers do not tell.
pub fn partitions_with_open_transactions(bootstrap: &str, topics: &[&str]) -> Vec<String> {
    let timeout = Duration::from_secs(20);
    let consumer = |isolation: &str| -> BaseConsumer {
        let mut config = config(bootstrap);
        config.set("group.id", "reader-of-tests").set("isolation.level", isolation);
        config.create().expect("a consumer")
    };
    let (committed, all) = (consumer("read_committed"), consumer("read_uncommitted"));
    let metadata = all.fetch_metadata(None, timeout).expect("the topics");
    let is_meant = |name: &str| {
        topics.iter().any(|topic| match topic.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == *topic,
        })
    };
    let mut open = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| is_meant(topic.name())) {
        for partition in topic.partitions() {
            let end = |consumer: &BaseConsumer| {
                consumer
                    .fetch_watermarks(topic.name(), partition.id(), timeout)
                    .expect("the ends")
                    .1
            };
            let (stable, end) = (end(&committed), end(&all));
            if stable < end {
                let place = format!("{}-{}", topic.name(), partition.id());
                open.push(format!("{place}: stable up to {stable}, ends at {end}"));
            }
        }
    }
    open
}

/// The broker that coordinates a group (`__consumer_offsets`) or transactional id
/// (`__transaction_state`), as of now. None while there is none.
///
/// # Panics
/// If the brokers do not tell.
pub fn coordinator(bootstrap: &str, internal_topic: &str, id: &str) -> Option<i32> {
    // As the JVM hashes strings (of ASCII) and takes absolute values.
    let hash =
        id.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    let metadata = metadata(bootstrap);
    let topic = metadata.topics().iter().find(|topic| topic.name() == internal_topic)?;
    let count = i32::try_from(topic.partitions().len()).ok().filter(|count| *count > 0)?;
    let number = (hash & i32::MAX) % count;
    let partition = topic.partitions().iter().find(|partition| partition.id() == number)?;
    Some(partition.leader()).filter(|leader| *leader >= 0)
}

/// Whether every partition has a leader, and all its replicas are in sync.
///
/// # Panics
/// If the brokers do not tell.
pub fn all_in_sync(bootstrap: &str) -> bool {
    let metadata = metadata(bootstrap);
    let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    partitions.all(|p| p.leader() >= 0 && p.isr().len() == p.replicas().len())
}

fn metadata(bootstrap: &str) -> Metadata {
    let client: BaseConsumer = config(bootstrap).create().expect("a client");
    let timeout = Duration::from_secs(20);
    client.fetch_metadata(None, timeout).expect("the brokers describe the topics")
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    // What brokers that are killed on purpose let librdkafka say is noise.
    config.set("log_level", "3");
    config
}

//! A Kafka to run an example on: the embedded cluster, or a real one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use streams_core::client::{
    ANY_PARTITION, Admin, ClientErrorKind, ClientSupplier, FetchRole, FetchedBatch, FetcherOptions,
    Isolation, KafkaClients, NewTopic, ProducerOptions, ProducerRecord, RawRecord, Tag,
    TopicPartition, Wake,
};
use streams_dsl::prelude::*;
use streams_test::EmbeddedCluster;
use tokio::sync::Notify;

/// Clients of a cluster, and a configuration that leads to it.
pub struct Cluster {
    clients: Arc<dyn ClientSupplier>,
    config: StreamsConfig,
    /// For people.
    pub name: String,
}

/// Wakes whoever waits for the next record.
struct Woken(Notify);

impl Wake for Woken {
    fn wake(&self) {
        self.0.notify_one();
    }
}

impl Cluster {
    /// The Kafka that `STREAMS_BOOTSTRAP_SERVERS` names, or else an embedded cluster. Other
    /// settings come from the environment too: `STREAMS_STATE_DIR`, `STREAMS_NUM_STREAM_THREADS`.
    pub fn from_env(application_id: &str) -> Result<Self, BoxError> {
        let servers = std::env::var("STREAMS_BOOTSTRAP_SERVERS").unwrap_or_default();
        if servers.is_empty() || servers == "embedded" {
            let clients: Arc<dyn ClientSupplier> = Arc::new(EmbeddedCluster::new());
            let state =
                std::env::temp_dir().join(format!("streams-examples-{}", std::process::id()));
            let config = StreamsConfig::new(application_id, "embedded")
                .state_dir(state)
                .with_env()?
                .client(clients.clone());
            return Ok(Self { clients, config, name: "the embedded cluster".to_owned() });
        }
        let config = StreamsConfig::new(application_id, &servers).with_env()?;
        let handle = tokio::runtime::Handle::current();
        let clients = Arc::new(KafkaClients::new(&config.validate()?, handle)?);
        Ok(Self { clients, config, name: format!("Apache Kafka at {servers}") })
    }

    /// The configuration of an application on this cluster.
    pub fn config(&self) -> StreamsConfig {
        self.config.clone()
    }

    /// Makes topics; those that are there already stay as they are.
    pub async fn create_topics(&self, names: &[&str], partitions: i32) -> Result<(), BoxError> {
        let topic = |name: &&str| NewTopic {
            name: (*name).into(),
            partitions,
            replication_factor: -1,
            configs: BTreeMap::new(),
        };
        let mut admin = self.admin()?;
        for created in admin.create_topics(names.iter().map(topic).collect()).await? {
            match created {
                Err(error) if error.kind != ClientErrorKind::TopicExists => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes records of key and value. A record with an empty key is written without one.
    pub async fn write<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<u64, BoxError> {
        let now = streams_core::time::Clock::wall_ms(&streams_core::time::SystemClock);
        let records = records.into_iter().map(|(key, value)| (key, value, now));
        self.write_timed(topic, records).await
    }

    /// Writes records of key, value and event time, in seconds since 1970.
    pub async fn write_at<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (&'a str, &'a str, i64)>,
    ) -> Result<u64, BoxError> {
        let records = records.into_iter();
        self.write_timed(topic, records.map(|(key, value, time)| (key, value, time * 1000))).await
    }

    async fn write_timed<'a>(
        &self,
        topic: &str,
        records: impl Iterator<Item = (&'a str, &'a str, i64)>,
    ) -> Result<u64, BoxError> {
        let mut producer =
            self.clients.producer(ProducerOptions::plain(), Arc::new(Woken(Notify::new())))?;
        let slot = producer.topic(&topic.into())?;
        let partitions = producer.partitions(slot)?;
        let headers = Headers::new();
        let mut written = 0;
        for (key, value, timestamp) in records {
            let key = (!key.is_empty()).then_some(key.as_bytes());
            producer.send(ProducerRecord {
                topic: slot,
                partition: key.map_or(ANY_PARTITION, |key| {
                    streams_core::partitioning::partition_for_key(key, partitions)
                }),
                timestamp,
                key,
                value: Some(value.as_bytes()),
                headers: &headers,
                tag: Tag::NONE,
            })?;
            written += 1;
        }
        producer.flush().await?;
        match producer.failure() {
            Some(failure) => Err(failure.error.into()),
            None => Ok(written),
        }
    }

    /// Reads a topic from its start, record after record, until `take` says that it has enough.
    pub async fn read(
        &self,
        topic: &str,
        mut take: impl FnMut(&RawRecord) -> bool,
    ) -> Result<(), BoxError> {
        let described = self.admin()?.describe_topics(vec![topic.into()]).await?;
        let partitions = described.into_iter().next().ok_or("no answer")??.partitions;
        let woken = Arc::new(Woken(Notify::new()));
        let options = FetcherOptions {
            client_id: "example-reader".to_owned(),
            role: FetchRole::Main,
            isolation: Isolation::ReadCommitted,
            buffer_bytes_per_partition: 1 << 20,
        };
        let mut fetcher = self.clients.fetcher(options, woken.clone())?;
        for partition in 0..partitions {
            fetcher.assign(&TopicPartition::new(topic, partition), 0)?;
        }
        let mut batch = FetchedBatch::default();
        let mut ready = Vec::new();
        loop {
            fetcher.ready(&mut ready);
            for slot in ready.drain(..) {
                batch.records.clear();
                fetcher.fetch(slot, 10_000, &mut batch)?;
                for record in &batch.records {
                    if take(record) {
                        return Ok(());
                    }
                }
            }
            let _ = tokio::time::timeout(Duration::from_millis(50), woken.0.notified()).await;
        }
    }

    /// Prints the values of the first records of a topic, one a line.
    pub async fn print_values(&self, topic: &str, records: usize) -> Result<(), BoxError> {
        let mut left = records;
        self.read(topic, |record| {
            println!("{}", String::from_utf8_lossy(record.value().unwrap_or_default()));
            left -= 1;
            left == 0
        })
        .await
    }

    fn admin(&self) -> Result<Box<dyn Admin>, BoxError> {
        Ok(self.clients.admin(Arc::new(Woken(Notify::new())))?)
    }
}

//! The Kafka of a run: started by `scripts/kafka`, or the one that was named.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;
use tempfile::TempDir;

use crate::Result;

/// Of every topic.
pub(crate) const PARTITIONS: i32 = 4;
const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// A Kafka, stopped when this is dropped if it was started for the run.
pub(crate) struct Broker {
    pub(crate) bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
    offsets: BaseConsumer,
    runtime: tokio::runtime::Runtime,
    started: Option<TempDir>,
}

impl Broker {
    pub(crate) fn start_or_use(bootstrap: Option<&str>) -> Result<Self> {
        let (bootstrap, started) = match bootstrap {
            Some(bootstrap) => (bootstrap.to_owned(), None),
            None => {
                let directory = tempfile::tempdir()?;
                (start(&directory)?, Some(directory))
            }
        };
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &bootstrap).set("group.id", "bench-offsets");
        Ok(Self {
            admin: config.create()?,
            offsets: config.create()?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            bootstrap,
            started,
        })
    }

    /// A topic that keeps records of any age; it can be read and written when this returns.
    pub(crate) fn create_topic(&self, name: &str) -> Result<()> {
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))
            .set("retention.ms", "-1")
            .set("file.delete.delay.ms", "1000");
        // A topic that is being deleted is there until it is gone.
        let deadline = crate::measure::now() + TIMEOUT;
        loop {
            let created = self.admin.create_topics([&topic], &AdminOptions::new());
            match self.runtime.block_on(created)?.remove(0) {
                Ok(_) => break,
                Err((_, RDKafkaErrorCode::TopicAlreadyExists))
                    if crate::measure::now() < deadline => {}
                Err((_, code)) => return Err(format!("cannot create topic {name}: {code}").into()),
            }
            self.pause();
        }
        // Leaders are known a moment later.
        while let Err(error) = self.records(name) {
            if crate::measure::now() >= deadline {
                return Err(error);
            }
            self.pause();
        }
        Ok(())
    }

    /// Deletes topics; one that is missing is no error.
    pub(crate) fn delete_topics(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let deleted = self.admin.delete_topics(&names, &AdminOptions::new());
        for result in self.runtime.block_on(deleted)? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, code)) => {
                    return Err(format!("cannot delete topic {name}: {code}").into());
                }
            }
        }
        Ok(())
    }

    fn pause(&self) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
    }

    /// How many records the topic's partitions hold together. Asks again for a while: brokers
    /// know new topics one moment and not the next.
    pub(crate) fn records(&self, topic: &str) -> Result<u64> {
        let deadline = crate::measure::now() + ANSWER_WAIT;
        loop {
            match self.records_now(topic) {
                Err(_) if crate::measure::now() < deadline => {
                    self.pause();
                    // It keeps for half a minute that it did not know a topic.
                    let _ = self.offsets.fetch_metadata(Some(topic), TIMEOUT);
                }
                answer => return answer,
            }
        }
    }

    /// Where a group stands.
    pub(crate) fn positions(&self, group: &str) -> Result<Positions> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("group.id", group);
        Ok(Positions(config.create()?))
    }

    fn records_now(&self, topic: &str) -> Result<u64> {
        let mut records = 0;
        for partition in 0..PARTITIONS {
            let (first, end) = self.offsets.fetch_watermarks(topic, partition, TIMEOUT)?;
            records += u64::try_from(end - first)?;
        }
        Ok(records)
    }
}

/// The committed positions of a group.
pub(crate) struct Positions(BaseConsumer);

impl Positions {
    /// Summed over the partitions of a topic.
    pub(crate) fn committed(&self, topic: &str) -> Result<u64> {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_range(topic, 0, PARTITIONS - 1);
        let committed = self.0.committed_offsets(wanted, TIMEOUT)?;
        let offsets = committed.elements();
        let offsets = offsets.iter().filter_map(|partition| partition.offset().to_raw());
        // No position yet is a negative one.
        Ok(offsets.filter_map(|offset| u64::try_from(offset).ok()).sum())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(directory) = &self.started {
            let stopped =
                script().arg("stop").arg("--dir").arg(directory.path()).arg("--kill").status();
            if let Err(error) = stopped {
                eprintln!("bench: cannot stop Kafka in {}: {error}", directory.path().display());
            }
        }
    }
}

fn start(directory: &TempDir) -> Result<String> {
    let output = script()
        .args(["start", "--port", "0", "--while-pid", &std::process::id().to_string(), "--dir"])
        .arg(directory.path())
        .env("KAFKA_HEAP_OPTS", "-Xms256m -Xmx1g")
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let servers = text.lines().find_map(|line| line.strip_prefix("bootstrap.servers="));
    servers.map(str::to_owned).ok_or_else(|| "scripts/kafka did not start a Kafka".into())
}

fn script() -> Command {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka");
    Command::new(path)
}

//! The tasks' way out: into the topics of the driver.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streams_core::client::{ClientError, ClientErrorKind, MemoryRecord, ProducerRecord, TopicSlot};
use streams_core::task::RecordCollector;

use super::topic_logs::TopicLogs;

/// The topics, shared with the collector that tasks write through.
#[derive(Clone)]
pub(super) struct SharedLogs(Arc<Mutex<TopicLogs>>);

impl SharedLogs {
    pub(super) fn new(logs: TopicLogs) -> Self {
        Self(Arc::new(Mutex::new(logs)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, TopicLogs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes into the topics of the driver.
pub(super) struct LogCollector(pub(super) SharedLogs);

impl RecordCollector for LogCollector {
    fn generation(&self) -> u64 {
        // There is one collector as long as there are tasks, and slots stay.
        0
    }

    fn topic(&mut self, name: &Arc<str>) -> Result<TopicSlot, ClientError> {
        Ok(TopicSlot(u32::try_from(self.0.lock().topic(name)).unwrap_or(u32::MAX)))
    }

    fn partitions(&mut self, topic: TopicSlot) -> Result<i32, ClientError> {
        let logs = self.0.lock();
        logs.get(topic.0 as usize).map(|log| log.partition_count()).ok_or_else(unknown)
    }

    fn send(&mut self, record: ProducerRecord<'_>) -> Result<(), ClientError> {
        let mut logs = self.0.lock();
        let topic = record.topic.0 as usize;
        let log = logs.get(topic).ok_or_else(unknown)?;
        let count = log.partition_count();
        if record.partition >= count || record.partition < -1 {
            let (name, partition) = (&log.name, record.partition);
            let message = format!("topic {name} has {count} partitions, but not {partition}");
            return Err(ClientError::new(ClientErrorKind::UnknownTopic, message));
        }
        let memory = MemoryRecord {
            timestamp: record.timestamp,
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
            headers: record.headers.clone(),
        };
        logs.append(topic, record.partition, memory, true);
        Ok(())
    }
}

fn unknown() -> ClientError {
    ClientError::new(ClientErrorKind::UnknownTopic, "a topic slot of another collector")
}

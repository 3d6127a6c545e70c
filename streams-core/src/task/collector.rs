//! Where a task's output goes.

use std::any::Any;
use std::sync::Arc;

use crate::client::{ClientError, ProducerRecord, TopicSlot};

/// Takes the records that tasks write: a producer, as tasks know it. The thread owns it and lends
/// it to one task at a time.
pub trait RecordCollector: Any + Send {
    /// Changes whenever slots made before are not to be used any more, and differs between
    /// collectors: tasks keep slots, and move between threads.
    fn generation(&self) -> u64;

    /// The slot of a topic.
    fn topic(&mut self, name: &Arc<str>) -> Result<TopicSlot, ClientError>;

    /// The topic's number of partitions.
    fn partitions(&mut self, topic: TopicSlot) -> Result<i32, ClientError>;

    /// Hands a record over.
    fn send(&mut self, record: ProducerRecord<'_>) -> Result<(), ClientError>;
}

/// In the task while none is lent to it.
pub(crate) struct NoCollector;

impl RecordCollector for NoCollector {
    fn generation(&self) -> u64 {
        u64::MAX
    }

    fn topic(&mut self, name: &Arc<str>) -> Result<TopicSlot, ClientError> {
        Err(not_lent(name))
    }

    fn partitions(&mut self, _: TopicSlot) -> Result<i32, ClientError> {
        Err(not_lent("a topic"))
    }

    fn send(&mut self, _: ProducerRecord<'_>) -> Result<(), ClientError> {
        Err(not_lent("a topic"))
    }
}

fn not_lent(topic: &str) -> ClientError {
    let message = format!("cannot write to {topic}: the task has no collector now");
    ClientError::new(crate::client::ClientErrorKind::Fatal, message)
}

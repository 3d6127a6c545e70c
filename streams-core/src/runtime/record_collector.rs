//! What tasks send through: the thread's producer, and what became of its records.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::client::{Call, ClientError, DeliveryFailure, Producer, ProducerRecord, Tag, TopicSlot};
use crate::task::RecordCollector;

/// A collector as it is lent to tasks.
pub(crate) type Lent = Box<dyn RecordCollector>;

/// A thread's producer. Tags are handed out here, one per changelog partition that the thread
/// writes, and never reused.
pub(crate) struct Collector {
    producer: Box<dyn Producer>,
    generation: u64,
    next_tag: u32,
}

impl Collector {
    /// A collector that sends through `producer`.
    pub(crate) fn new(producer: Box<dyn Producer>) -> Self {
        static GENERATIONS: AtomicU64 = AtomicU64::new(0);
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        Self { producer, generation, next_tag: 1 }
    }

    /// The collector behind the box in which it is lent.
    pub(crate) fn of(lent: &mut Lent) -> &mut Self {
        let any: &mut dyn Any = &mut **lent;
        any.downcast_mut().expect("a thread lends its own collector, and gets it back")
    }

    /// A tag that nobody has had.
    pub(crate) fn new_tag(&mut self) -> Tag {
        let tag = Tag(self.next_tag);
        self.next_tag += 1;
        tag
    }

    /// Answered when everything sent so far was acknowledged or has failed.
    pub(crate) fn flush(&mut self) -> Call<()> {
        self.producer.flush()
    }

    /// The next record that could not be written.
    pub(crate) fn failure(&mut self) -> Option<DeliveryFailure> {
        self.producer.failure()
    }

    /// The offset after the last acknowledged record of that tag.
    pub(crate) fn next_offset(&self, tag: Tag) -> Option<i64> {
        self.producer.acknowledged(tag).map(|offset| offset + 1)
    }
}

impl RecordCollector for Collector {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn topic(&mut self, name: &Arc<str>) -> Result<TopicSlot, ClientError> {
        self.producer.topic(name)
    }

    fn partitions(&mut self, topic: TopicSlot) -> Result<i32, ClientError> {
        self.producer.partitions(topic)
    }

    fn send(&mut self, record: ProducerRecord<'_>) -> Result<(), ClientError> {
        self.producer.send(record)
    }
}

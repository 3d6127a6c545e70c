//! What tasks send through: the thread's producer, and what became of its records.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::client::{
    Call, ClientError, CommitOutcome, DeliveryFailure, GroupMetadata, OffsetToCommit, Producer,
    ProducerRecord, Tag, TopicSlot,
};
use crate::task::RecordCollector;

/// A collector as it is lent to tasks.
pub(crate) type Lent = Box<dyn RecordCollector>;

/// A thread's producer. Tags are handed out here, one per changelog partition that the thread
/// writes, and never reused.
pub(crate) struct Collector {
    producer: Box<dyn Producer>,
    generation: u64,
    next_tag: u32,
    transaction: Transaction,
    /// Of the task that writes now.
    output_tag: Tag,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transaction {
    /// The producer is a plain one.
    Never,
    /// The next record begins one.
    None,
    /// It was begun, and is not known to have ended.
    Open,
}

impl Collector {
    /// A collector that sends through `producer`, in transactions or not.
    pub(crate) fn new(producer: Box<dyn Producer>, transactional: bool) -> Self {
        static GENERATIONS: AtomicU64 = AtomicU64::new(0);
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        let transaction = if transactional { Transaction::None } else { Transaction::Never };
        Self { producer, generation, next_tag: 1, transaction, output_tag: Tag::NONE }
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

    /// Records without a tag have this one from now on: whose they are shows when one is refused.
    pub(crate) fn write_for(&mut self, output_tag: Tag) {
        self.output_tag = output_tag;
    }

    /// Answered when everything sent so far was acknowledged or has failed.
    pub(crate) fn flush(&mut self) -> Call<()> {
        self.producer.flush()
    }

    /// The next record that could not be written.
    pub(crate) fn failure(&mut self) -> Option<DeliveryFailure> {
        self.producer.failure()
    }

    /// Takes the transactional id.
    pub(crate) fn init(&mut self) -> Call<()> {
        self.producer.init_transactions()
    }

    /// Whether a transaction was begun that is not known to have ended.
    pub(crate) fn in_transaction(&self) -> bool {
        self.transaction == Transaction::Open
    }

    /// Begins a transaction if there is none, as for positions without any output.
    #[inline]
    pub(crate) fn ensure_transaction(&mut self) -> Result<(), ClientError> {
        if self.transaction == Transaction::None {
            self.producer.begin()?;
            self.transaction = Transaction::Open;
        }
        Ok(())
    }

    /// Commits the transaction with the positions of the inputs.
    pub(crate) fn commit(
        &mut self,
        offsets: &[OffsetToCommit],
        group: &GroupMetadata,
    ) -> Call<CommitOutcome> {
        self.producer.commit(offsets, group)
    }

    /// Aborts the transaction.
    pub(crate) fn abort(&mut self) -> Call<()> {
        self.producer.abort()
    }

    /// The transaction was committed or aborted: the next record begins another one.
    pub(crate) fn transaction_ended(&mut self) {
        self.transaction = Transaction::None;
        // Of the transaction that has ended: it cost only that one.
        while self.producer.failure().is_some() {}
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
        self.ensure_transaction()?;
        let tag = if record.tag == Tag::NONE { self.output_tag } else { record.tag };
        self.producer.send(ProducerRecord { tag, ..record })
    }
}

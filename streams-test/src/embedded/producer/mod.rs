//! Writing records, plainly or in transactions.

mod outlet;
mod transaction_handle;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use streams_core::client::{
    Call, ClientError, CommitOutcome, DeliveryFailure, GroupMetadata, MemoryRecord, OffsetToCommit,
    Producer, ProducerRecord, Tag, TopicSlot, WakeRef,
};
use streams_core::time::Instant;

use self::outlet::Outlet;
use self::transaction_handle::{CommitStart, Refused, TransactionHandle};
use super::cluster::Cluster;
use super::commit::CommitAttempt;
use super::faults::{Fault, Operation, Step, lost};
use super::topic::invalid;
use super::transactions::fenced;

pub(super) use self::transaction_handle::check_member;

/// Appends in the caller's thread: nothing is ever in flight, but for delayed acknowledgements.
pub(super) struct EmbeddedProducer {
    cluster: Arc<Cluster>,
    wake: WakeRef,
    /// Of the cluster's topics, when they were last looked up.
    version: u64,
    topics: Vec<Outlet>,
    slots: HashMap<Arc<str>, TopicSlot, FixedState>,
    acknowledged: HashMap<Tag, i64, FixedState>,
    /// Acknowledgements that come later, in the order in which they were sent.
    late: VecDeque<(Instant, Tag, i64)>,
    failures: VecDeque<DeliveryFailure>,
    transactions: Option<TransactionHandle>,
}

impl EmbeddedProducer {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        transactional_id: Option<&str>,
        wake: WakeRef,
    ) -> Self {
        let transactions =
            transactional_id.map(|id| TransactionHandle::new(cluster.transactions.get(id)));
        Self {
            version: cluster.version(),
            cluster,
            wake,
            topics: Vec::new(),
            slots: HashMap::default(),
            acknowledged: HashMap::default(),
            late: VecDeque::new(),
            failures: VecDeque::new(),
            transactions,
        }
    }

    /// Looks all topics up again when some topic changed.
    #[inline]
    fn refresh(&mut self) {
        let version = self.cluster.version();
        if version != self.version {
            self.version = version;
            for outlet in &mut self.topics {
                outlet.look_up(&self.cluster);
            }
        }
    }

    /// Writes a record, or says why it cannot be.
    fn write(&mut self, record: &ProducerRecord<'_>) -> Result<i64, Refused> {
        self.refresh();
        let outlet = self
            .topics
            .get_mut(record.topic.0 as usize)
            .ok_or_else(|| Refused::Record(unknown_slot(record.topic)))?;
        let (topic, index, added) = outlet.choose(record)?;
        let partition = &topic.partitions[index];
        let append_time = topic.settings.append_time;
        let memory = Arc::new(MemoryRecord {
            timestamp: if append_time { self.cluster.clock.wall_ms() } else { record.timestamp },
            key: record.key.map(Box::from),
            value: record.value.map(Box::from),
            headers: record.headers.clone(),
        });
        let Some(handle) = &self.transactions else {
            return partition.with_log(|log| log.append(memory)).map_err(Refused::Transaction);
        };
        let transaction = handle.current().map_err(Refused::Record)?;
        if *added != transaction.number {
            transaction.add_partition(&self.cluster, partition).map_err(Refused::of)?;
            *added = transaction.number;
        }
        partition
            .with_log(|log| log.append_transactional(transaction.identity, memory))
            .map_err(Refused::Transaction)?
            .map_err(|_| Refused::Producer(fenced(transaction.id.name())))
    }

    /// Writes a record as the fault plan wants it.
    fn write_under_faults(&mut self, record: &ProducerRecord<'_>) -> Result<(), Refused> {
        if !self.cluster.faults.active() {
            let offset = self.write(record)?;
            self.acknowledge(record.tag, offset);
            return Ok(());
        }
        let client = self.transactions.as_ref().map_or("", |handle| handle.id.name());
        let topic = self.topics.get(record.topic.0 as usize).map(|outlet| &*outlet.name);
        let operation = Operation {
            step: Step::Produce,
            client,
            partition: topic.map(|topic| (topic, record.partition)),
        };
        match self.cluster.faults.decide(&operation, self.cluster.clock.now()) {
            Fault::None => {
                let offset = self.write(record)?;
                self.acknowledge(record.tag, offset);
                Ok(())
            }
            Fault::Fail(error) => Err(Refused::of(error)),
            Fault::Delay(time) | Fault::DelayAnswer(time) => {
                let offset = self.write(record)?;
                // Acknowledgements of one connection do not overtake each other.
                let time = self.late.back().map_or(time, |&(last, ..)| last.max(time));
                self.late.push_back((time, record.tag, offset));
                Ok(())
            }
            Fault::LoseAnswer => {
                self.write(record)?;
                Err(Refused::Transaction(lost(Step::Produce)))
            }
            Fault::LoseRequest => Err(Refused::Transaction(lost(Step::Produce))),
        }
    }

    #[inline]
    fn acknowledge(&mut self, tag: Tag, offset: i64) {
        if tag != Tag::NONE {
            let highest = self.acknowledged.entry(tag).or_insert(offset);
            *highest = offset.max(*highest);
        }
    }

    /// Takes over the acknowledgements that have come by now.
    fn take_late(&mut self) {
        let now = self.cluster.clock.now();
        while let Some(&(time, tag, offset)) = self.late.front()
            && time <= now
        {
            self.late.pop_front();
            self.acknowledge(tag, offset);
        }
    }

    fn refuse(&mut self, record: &ProducerRecord<'_>, refused: Refused) {
        let topic = self
            .topics
            .get(record.topic.0 as usize)
            .map_or_else(|| Arc::from(""), |outlet| outlet.name.clone());
        let error = refused.error().clone();
        self.failures.push_back(DeliveryFailure {
            topic,
            partition: record.partition,
            tag: record.tag,
            error,
        });
        if let Some(handle) = &mut self.transactions {
            handle.refused(refused);
        }
    }

    fn handle(&mut self) -> Result<&mut TransactionHandle, ClientError> {
        self.transactions
            .as_mut()
            .ok_or_else(|| invalid("the producer is not transactional; give it a transactional id"))
    }
}

impl Producer for EmbeddedProducer {
    fn topic(&mut self, name: &Arc<str>) -> Result<TopicSlot, ClientError> {
        if let Some(&slot) = self.slots.get(name) {
            return Ok(slot);
        }
        let index = u32::try_from(self.topics.len()).map_err(|_| invalid("too many topics"))?;
        self.topics.push(Outlet::new(name.clone(), &self.cluster));
        self.slots.insert(name.clone(), TopicSlot(index));
        Ok(TopicSlot(index))
    }

    fn partitions(&mut self, topic: TopicSlot) -> Result<i32, ClientError> {
        self.refresh();
        let outlet = self.topics.get(topic.0 as usize).ok_or_else(|| unknown_slot(topic))?;
        outlet.partition_count()
    }

    fn send(&mut self, record: ProducerRecord<'_>) -> Result<(), ClientError> {
        if let Some(handle) = &self.transactions {
            handle.check_send()?;
        }
        if let Err(refused) = self.write_under_faults(&record) {
            self.refuse(&record, refused);
        }
        Ok(())
    }

    fn flush(&mut self) -> Call<()> {
        self.take_late();
        let client = self.transactions.as_ref().map_or("", |handle| handle.id.name());
        let Some(&(time, ..)) = self.late.back() else {
            return self.cluster.request(&self.wake, Step::Flush, client, |_| Ok(()));
        };
        self.cluster.request_waiting(&self.wake, Step::Flush, client, move |cluster, reply| {
            cluster.timers.at(time, move |_| reply.send(Ok(())));
        })
    }

    fn failure(&mut self) -> Option<DeliveryFailure> {
        self.failures.pop_front()
    }

    fn acknowledged(&self, tag: Tag) -> Option<i64> {
        let on_time = self.acknowledged.get(&tag).copied();
        if self.late.is_empty() {
            return on_time;
        }
        let now = self.cluster.clock.now();
        let late = self.late.iter().filter(|&&(time, of, _)| of == tag && time <= now);
        late.map(|&(.., offset)| offset).chain(on_time).max()
    }

    fn init_transactions(&mut self) -> Call<()> {
        let (id, cell) = match self.handle().and_then(|handle| handle.start_init()) {
            Ok(started) => started,
            Err(error) => return Call::ready(Err(error)),
        };
        let named = id.clone();
        self.cluster.request(&self.wake, Step::InitTransactions, named.name(), move |cluster| {
            let identity = id.init(&cluster.groups);
            *cell.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
            Ok(())
        })
    }

    fn begin(&mut self) -> Result<(), ClientError> {
        self.handle()?.begin()
    }

    fn commit(&mut self, offsets: &[OffsetToCommit], group: &GroupMetadata) -> Call<CommitOutcome> {
        self.cluster.tick();
        let started = self.handle().and_then(|handle| handle.start_commit(offsets, group));
        let transaction = match started {
            Ok(CommitStart::Attempt(transaction)) => transaction,
            Ok(CommitStart::Outcome(outcome)) => return Call::ready(Ok(outcome)),
            Err(error) => return Call::ready(Err(error)),
        };
        let (reply, call) = Call::pair(Some(self.wake.clone()));
        let offsets = offsets.to_vec();
        let attempt = CommitAttempt { transaction, offsets, group: group.clone(), reply };
        attempt.run(&self.cluster);
        call
    }

    fn abort(&mut self) -> Call<()> {
        let transaction = match self.handle().and_then(TransactionHandle::start_abort) {
            Ok(transaction) => transaction,
            Err(error) => return Call::ready(Err(error)),
        };
        let id = transaction.id.clone();
        self.cluster
            .request(&self.wake, Step::Abort, id.name(), move |cluster| transaction.abort(cluster))
    }
}

fn unknown_slot(slot: TopicSlot) -> ClientError {
    invalid(format!("topic slot {} is not of this producer", slot.0))
}

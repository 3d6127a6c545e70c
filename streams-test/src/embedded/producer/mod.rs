//! Writing records, plainly or in transactions.

mod in_flight;
mod outlet;
mod transaction_handle;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use streams_core::client::{
    ANY_PARTITION, Call, ClientError, CommitOutcome, DeliveryFailure, GroupMetadata, MemoryRecord,
    OffsetToCommit, Producer, ProducerOptions, ProducerRecord, Tag, TopicSlot, WakeRef,
};
use streams_core::time::Instant;

use self::in_flight::{Accepted, InFlight};
use self::outlet::Outlet;
use self::transaction_handle::{CommitStart, Refused, TransactionHandle};
use super::cluster::Cluster;
use super::commit::CommitAttempt;
use super::faults::{Fault, Operation, Step, lost};
use super::topic::invalid;

pub(crate) use self::in_flight::Alive;
pub(super) use self::transaction_handle::check_member;

/// Appends in the caller's thread: nothing is ever in flight, but for what a fault plan delays.
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
    in_flight: InFlight,
    delivery_timeout: Option<Duration>,
    failures: VecDeque<DeliveryFailure>,
    transactions: Option<TransactionHandle>,
}

impl EmbeddedProducer {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        options: &ProducerOptions,
        wake: WakeRef,
        alive: Alive,
    ) -> Self {
        let transactions = options
            .transactional_id
            .as_ref()
            .map(|id| TransactionHandle::new(cluster.transactions.get(id)));
        Self {
            version: cluster.version(),
            cluster,
            wake,
            topics: Vec::new(),
            slots: HashMap::default(),
            acknowledged: HashMap::default(),
            late: VecDeque::new(),
            in_flight: InFlight::new(alive),
            delivery_timeout: options.delivery_timeout,
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

    /// Takes a record, or says why it cannot be.
    fn accept(&mut self, record: &ProducerRecord<'_>) -> Result<Accepted, Refused> {
        self.refresh();
        let slot = record.topic.0 as usize;
        let outlet = self.topics.get_mut(slot);
        let outlet = outlet.ok_or_else(|| Refused::Record(unknown_slot(record.topic)))?;
        let (topic, index, added) = outlet.choose(record)?;
        let partition = topic.partitions[index].clone();
        let append_time = topic.settings.append_time;
        let memory = Arc::new(MemoryRecord {
            timestamp: if append_time { self.cluster.clock.wall_ms() } else { record.timestamp },
            key: record.key.map(Box::from),
            value: record.value.map(Box::from),
            headers: record.headers.clone(),
        });
        let mut transaction = None;
        if let Some(handle) = &self.transactions {
            let current = handle.current().map_err(Refused::Record)?;
            if *added != current.number {
                current.add_partition(&self.cluster, &partition).map_err(Refused::of)?;
                *added = current.number;
            }
            transaction = Some(current.clone());
        }
        Ok(Accepted { slot, partition, record: memory, transaction, tag: record.tag })
    }

    /// Writes a record as the fault plan wants it.
    fn write(&mut self, record: &ProducerRecord<'_>) -> Result<(), Refused> {
        let mut fault = Fault::None;
        if self.cluster.faults.active() {
            let client = self.transactions.as_ref().map_or("", |handle| handle.id.name());
            let topic = self.topics.get(record.topic.0 as usize).map(|outlet| &*outlet.name);
            let partition = topic.map(|topic| (topic, record.partition));
            let operation = Operation { step: Step::Produce, client, partition };
            fault = self.cluster.faults.decide(&operation, self.cluster.clock.now());
        }
        match fault {
            Fault::Fail(error) | Fault::FailLate(error, _) => return Err(Refused::of(error)),
            Fault::LoseRequest => return Err(Refused::Transaction(lost(Step::Produce))),
            _ => {}
        }
        let accepted = self.accept(record)?;
        let behind = self.in_flight.behind(&accepted.partition);
        let time = match fault {
            Fault::Delay(time) | Fault::Block(time) => Some(time.max(behind.unwrap_or_default())),
            _ => behind,
        };
        if let Fault::Block(time) = fault {
            self.cluster.block_sender(time);
        }
        if let Some(time) = time {
            let latest = self.delivery_timeout.map(|timeout| self.cluster.clock.now() + timeout);
            self.in_flight.delay(&self.cluster, time, latest, accepted);
            return Ok(());
        }
        let offset = accepted.write()?;
        match fault {
            Fault::DelayAnswer(time) => {
                // Acknowledgements of one connection do not overtake each other.
                let time = self.late.back().map_or(time, |&(last, ..)| last.max(time));
                self.late.push_back((time, record.tag, offset));
            }
            Fault::LoseAnswer => return Err(Refused::Transaction(lost(Step::Produce))),
            // A producer without a transaction has no number by which the broker knows a record
            // that comes again.
            Fault::Twice(_) if accepted.transaction.is_none() => {
                let offset = accepted.write()?;
                self.acknowledge(record.tag, offset);
            }
            _ => self.acknowledge(record.tag, offset),
        }
        Ok(())
    }

    #[inline]
    fn acknowledge(&mut self, tag: Tag, offset: i64) {
        if tag != Tag::NONE {
            let highest = self.acknowledged.entry(tag).or_insert(offset);
            *highest = offset.max(*highest);
        }
    }

    /// Learns what became of records that were on their way.
    fn take_arrived(&mut self) {
        for (accepted, written) in self.in_flight.take_arrived() {
            match written {
                Ok(offset) => self.acknowledge(accepted.tag, offset),
                Err(refused) => self.refuse(accepted.slot, ANY_PARTITION, accepted.tag, refused),
            }
        }
    }

    /// Takes over the acknowledgements that have come by now.
    fn take_late(&mut self) {
        self.take_arrived();
        let now = self.cluster.clock.now();
        while let Some(&(time, tag, offset)) = self.late.front()
            && time <= now
        {
            self.late.pop_front();
            self.acknowledge(tag, offset);
        }
    }

    fn refuse(&mut self, slot: usize, partition: i32, tag: Tag, refused: Refused) {
        let topic = self.topics.get(slot);
        let topic = topic.map_or_else(|| Arc::from(""), |outlet| outlet.name.clone());
        let error = refused.error().clone();
        self.failures.push_back(DeliveryFailure { topic, partition, tag, error });
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
        if let Err(refused) = self.write(&record) {
            self.refuse(record.topic.0 as usize, record.partition, record.tag, refused);
        }
        Ok(())
    }

    fn flush(&mut self) -> Call<()> {
        self.take_late();
        let client = self.transactions.as_ref().map_or("", |handle| handle.id.name());
        let late = self.late.back().map(|&(time, ..)| time);
        let Some(time) = late.max(self.in_flight.until()) else {
            return self.cluster.request(&self.wake, Step::Flush, client, |_| Ok(()));
        };
        self.cluster.request_waiting(&self.wake, Step::Flush, client, move |cluster, reply| {
            cluster.timers.at(time, move |_| reply.send(Ok(())));
        })
    }

    fn failure(&mut self) -> Option<DeliveryFailure> {
        self.take_arrived();
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
            // One that comes again fences us; its answer goes to nobody.
            cell.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(identity);
            Ok(())
        })
    }

    fn begin(&mut self) -> Result<(), ClientError> {
        self.handle()?.begin()
    }

    fn commit(&mut self, offsets: &[OffsetToCommit], group: &GroupMetadata) -> Call<CommitOutcome> {
        self.cluster.tick();
        if offsets.is_empty() {
            self.cluster.unfenced_commits.fetch_add(1, Ordering::Relaxed);
        }
        let started = self.handle().and_then(|handle| handle.start_commit(offsets, group));
        self.in_flight.purge();
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
        self.in_flight.purge();
        let id = transaction.id.clone();
        self.cluster
            .request(&self.wake, Step::Abort, id.name(), move |cluster| transaction.abort(cluster))
    }
}

fn unknown_slot(slot: TopicSlot) -> ClientError {
    invalid(format!("topic slot {} is not of this producer", slot.0))
}

//! Writing records, plainly or in transactions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use streams_core::client::{
    ANY_PARTITION, Call, ClientError, ClientErrorKind, CommitOutcome, DeliveryFailure,
    GroupMetadata, MemoryRecord, OffsetToCommit, Producer, ProducerRecord, Tag, TopicSlot, WakeRef,
};
use streams_core::time::Instant;

use super::cluster::{Cluster, unknown_topic};
use super::commit::CommitAttempt;
use super::faults::{Fault, Operation, Step, lost};
use super::log::Identity;
use super::partition::{Partition, unknown};
use super::topic::{Topic, invalid};
use super::transactions::{Transaction, TransactionalId, fenced};

/// After that many bytes the partition of records without one changes, as with the JVM's batches.
const STICKY_BYTES: usize = 16 * 1024;

/// Appends in the caller's thread: nothing is ever in flight, but for delayed acknowledgements.
pub(super) struct EmbeddedProducer {
    cluster: Arc<Cluster>,
    wake: WakeRef,
    /// Of the cluster's topics, when they were last looked up.
    version: u64,
    topics: Vec<TopicEntry>,
    slots: HashMap<Arc<str>, TopicSlot, FixedState>,
    acknowledged: HashMap<Tag, i64, FixedState>,
    /// Acknowledgements that come later, in the order in which they were sent.
    late: VecDeque<(Instant, Tag, i64)>,
    failures: VecDeque<DeliveryFailure>,
    transactions: Option<TransactionHandle>,
}

struct TopicEntry {
    name: Arc<str>,
    topic: Option<Arc<Topic>>,
    /// Per partition the number of the last transaction that it was added to.
    added: Vec<u64>,
    sticky_partition: usize,
    sticky_bytes: usize,
}

/// The transactional side of a producer.
struct TransactionHandle {
    id: Arc<TransactionalId>,
    /// Filled when the answer to `init_transactions` arrives.
    identity: Arc<Mutex<Option<Identity>>>,
    current: Option<Transaction>,
    number: u64,
    phase: Phase,
}

enum Phase {
    Idle,
    Begun,
    /// A commit or an abort was asked for; whether it came to pass, the coordinator knows.
    Ending,
    /// It can only be aborted.
    Failed(ClientError),
    /// This producer can do nothing any more.
    Dead(ClientError),
}

impl EmbeddedProducer {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        transactional_id: Option<&str>,
        wake: WakeRef,
    ) -> Self {
        let transactions = transactional_id.map(|id| TransactionHandle {
            id: cluster.transactions.get(id),
            identity: Arc::default(),
            current: None,
            number: 0,
            phase: Phase::Idle,
        });
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
            for entry in &mut self.topics {
                entry.look_up(&self.cluster);
            }
        }
    }

    fn entry(&mut self, slot: TopicSlot) -> Result<&mut TopicEntry, ClientError> {
        self.refresh();
        self.topics
            .get_mut(slot.0 as usize)
            .ok_or_else(|| invalid(format!("topic slot {} is not of this producer", slot.0)))
    }

    /// Writes a record, or says why it cannot be.
    fn write(&mut self, record: &ProducerRecord<'_>) -> Result<i64, Refused> {
        let cluster = self.cluster.clone();
        let entry = self.entry(record.topic).map_err(Refused::Record)?;
        let bytes = size_of_record(record);
        let (topic, index) = entry.choose(record.partition, bytes)?;
        let partition = &topic.partitions[index];
        check_record(&topic, partition, record, bytes).map_err(Refused::Record)?;
        let timestamp =
            if topic.settings.append_time { cluster.clock.wall_ms() } else { record.timestamp };
        let memory = Arc::new(MemoryRecord {
            timestamp,
            key: record.key.map(Box::from),
            value: record.value.map(Box::from),
            headers: record.headers.clone(),
        });
        let Some(handle) = &self.transactions else {
            return partition.with_log(|log| log.append(memory)).map_err(Refused::Transaction);
        };
        let Some(transaction) = &handle.current else {
            return Err(Refused::Record(not_begun()));
        };
        let added = &mut self.topics[record.topic.0 as usize].added[index];
        if *added != transaction.number {
            transaction.add_partition(&cluster, partition).map_err(Refused::of)?;
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
        let topic = self.topics.get(record.topic.0 as usize).map(|entry| &*entry.name);
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

    fn refuse(&mut self, record: &ProducerRecord<'_>, refused: Refused) {
        let error = refused.error().clone();
        if let Some(handle) = &mut self.transactions {
            match refused {
                Refused::Record(_) => {}
                Refused::Transaction(error) => handle.phase = Phase::Failed(error),
                Refused::Producer(error) => handle.phase = Phase::Dead(error),
            }
        }
        let topic = self
            .topics
            .get(record.topic.0 as usize)
            .map_or_else(|| Arc::from(""), |entry| entry.name.clone());
        self.failures.push_back(DeliveryFailure {
            topic,
            partition: record.partition,
            tag: record.tag,
            error,
        });
    }

    fn handle(&mut self) -> Result<&mut TransactionHandle, ClientError> {
        self.transactions
            .as_mut()
            .ok_or_else(|| invalid("the producer is not transactional; give it a transactional id"))
    }

    /// What `commit` has to do: an answer at once, or an attempt.
    fn start_commit(
        &mut self,
        offsets: &[OffsetToCommit],
        group: &GroupMetadata,
    ) -> Result<Result<Transaction, CommitOutcome>, ClientError> {
        let handle = self.handle()?;
        match &handle.phase {
            Phase::Idle => return Err(not_begun()),
            Phase::Failed(error) => return Ok(Err(CommitOutcome::Aborted(error.clone()))),
            Phase::Dead(error) => return Ok(Err(CommitOutcome::Fatal(error.clone()))),
            Phase::Begun | Phase::Ending => {}
        }
        if offsets.is_empty() {
            return Err(invalid("a transaction without offsets is not fenced; give it some"));
        }
        check_member(group)?;
        let transaction = handle.current.clone().ok_or_else(not_begun)?;
        handle.phase = Phase::Ending;
        Ok(Ok(transaction))
    }
}

impl Producer for EmbeddedProducer {
    fn topic(&mut self, name: &Arc<str>) -> Result<TopicSlot, ClientError> {
        if let Some(&slot) = self.slots.get(name) {
            return Ok(slot);
        }
        let index = u32::try_from(self.topics.len()).map_err(|_| invalid("too many topics"))?;
        let mut entry = TopicEntry {
            name: name.clone(),
            topic: None,
            added: Vec::new(),
            sticky_partition: 0,
            sticky_bytes: 0,
        };
        entry.look_up(&self.cluster);
        self.topics.push(entry);
        self.slots.insert(name.clone(), TopicSlot(index));
        Ok(TopicSlot(index))
    }

    fn partitions(&mut self, topic: TopicSlot) -> Result<i32, ClientError> {
        let entry = self.entry(topic)?;
        let found = entry.topic.as_ref().ok_or_else(|| unknown_topic(&entry.name))?;
        Ok(found.partition_count())
    }

    fn send(&mut self, record: ProducerRecord<'_>) -> Result<(), ClientError> {
        if let Some(handle) = &self.transactions {
            match &handle.phase {
                Phase::Begun => {}
                Phase::Idle | Phase::Ending => return Err(not_begun()),
                Phase::Failed(error) => {
                    return Err(ClientError::new(
                        ClientErrorKind::AbortTransaction,
                        format!("abort the transaction first: {error}"),
                    ));
                }
                Phase::Dead(error) => return Err(error.clone()),
            }
        }
        if let Err(refused) = self.write_under_faults(&record) {
            self.refuse(&record, refused);
        }
        Ok(())
    }

    fn flush(&mut self) -> Call<()> {
        let client = self.transactions.as_ref().map_or("", |handle| handle.id.name());
        let Some(&(time, ..)) = self.late.back() else {
            return self.cluster.request(&self.wake, Step::Flush, client, |_| Ok(()));
        };
        if time <= self.cluster.clock.now() {
            return self.cluster.request(&self.wake, Step::Flush, client, |_| Ok(()));
        }
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
        let handle = match self.handle() {
            Ok(handle) => handle,
            Err(error) => return Call::ready(Err(error)),
        };
        let (id, cell) = (handle.id.clone(), handle.identity.clone());
        // The answer to an earlier call may have been lost; after a begin it was heard of.
        if handle.number > 0 {
            return Call::ready(Err(invalid(format!(
                "the producer of {} was initialized already; make a new one",
                id.name()
            ))));
        }
        let name = id.clone();
        self.cluster.request(&self.wake, Step::InitTransactions, name.name(), move |cluster| {
            let identity = id.init(&cluster.groups);
            *cell.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
            Ok(())
        })
    }

    fn begin(&mut self) -> Result<(), ClientError> {
        let handle = self.handle()?;
        handle.check_begin()?;
        let identity = *handle.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = identity.ok_or_else(|| {
            invalid(format!("initialize the transactions of {} first", handle.id.name()))
        })?;
        handle.number += 1;
        let (id, number) = (handle.id.clone(), handle.number);
        handle.current = Some(Transaction { id, identity, number });
        handle.phase = Phase::Begun;
        Ok(())
    }

    fn commit(&mut self, offsets: &[OffsetToCommit], group: &GroupMetadata) -> Call<CommitOutcome> {
        self.cluster.tick();
        let transaction = match self.start_commit(offsets, group) {
            Ok(Ok(transaction)) => transaction,
            Ok(Err(outcome)) => return Call::ready(Ok(outcome)),
            Err(error) => return Call::ready(Err(error)),
        };
        let (reply, call) = Call::pair(Some(self.wake.clone()));
        let offsets = offsets.to_vec();
        let attempt = CommitAttempt { transaction, offsets, group: group.clone(), reply };
        attempt.run(&self.cluster);
        call
    }

    fn abort(&mut self) -> Call<()> {
        let handle = match self.handle() {
            Ok(handle) => handle,
            Err(error) => return Call::ready(Err(error)),
        };
        match &handle.phase {
            Phase::Idle => return Call::ready(Err(not_begun())),
            Phase::Dead(error) => return Call::ready(Err(error.clone())),
            Phase::Begun | Phase::Ending | Phase::Failed(_) => {}
        }
        let Some(transaction) = handle.current.clone() else {
            return Call::ready(Err(not_begun()));
        };
        handle.phase = Phase::Ending;
        let id = transaction.id.clone();
        self.cluster
            .request(&self.wake, Step::Abort, id.name(), move |cluster| transaction.abort(cluster))
    }
}

impl TransactionHandle {
    fn check_begin(&mut self) -> Result<(), ClientError> {
        match &self.phase {
            Phase::Idle => Ok(()),
            Phase::Begun | Phase::Failed(_) => {
                Err(invalid(format!("a transaction of {} is begun already", self.id.name())))
            }
            Phase::Dead(error) => Err(error.clone()),
            Phase::Ending => match self.current.as_ref().map(Transaction::has_ended) {
                None | Some(Ok(true)) => Ok(()),
                Some(Ok(false)) => Err(invalid(format!(
                    "nobody knows how the last transaction of {} ended; commit or abort it again",
                    self.id.name()
                ))),
                Some(Err(error)) => {
                    self.phase = Phase::Dead(error.clone());
                    Err(error)
                }
            },
        }
    }
}

impl TopicEntry {
    fn look_up(&mut self, cluster: &Cluster) {
        let found = cluster.topic(&self.name);
        let same = matches!((&self.topic, &found), (Some(old), Some(new)) if old.id == new.id);
        if !same {
            self.added.clear();
        }
        self.added.resize(found.as_ref().map_or(0, |topic| topic.partitions.len()), 0);
        self.topic = found;
    }

    /// The topic, and the index of the partition that takes a record of `bytes`.
    fn choose(&mut self, partition: i32, bytes: usize) -> Result<(Arc<Topic>, usize), Refused> {
        let Some(topic) = self.topic.clone() else {
            return Err(Refused::Transaction(unknown_topic(&self.name)));
        };
        let count = topic.partitions.len();
        if partition != ANY_PARTITION {
            return match usize::try_from(partition) {
                Ok(index) if index < count => Ok((topic, index)),
                _ => Err(Refused::Transaction(unknown(
                    &streams_core::client::TopicPartition::new(self.name.clone(), partition),
                ))),
            };
        }
        if self.sticky_bytes >= STICKY_BYTES {
            self.sticky_bytes = 0;
            self.sticky_partition += 1;
        }
        self.sticky_bytes += bytes;
        self.sticky_partition %= count;
        Ok((topic, self.sticky_partition))
    }
}

/// How far an error reaches.
enum Refused {
    /// The client did not take the record: the transaction can go on without it.
    Record(ClientError),
    /// A record of the transaction is lost: it can only be aborted.
    Transaction(ClientError),
    /// The producer is fenced.
    Producer(ClientError),
}

impl Refused {
    fn of(error: ClientError) -> Self {
        match error.kind {
            ClientErrorKind::ProducerFenced | ClientErrorKind::Fatal => Self::Producer(error),
            ClientErrorKind::RecordTooLarge => Self::Record(error),
            _ => Self::Transaction(error),
        }
    }

    fn error(&self) -> &ClientError {
        match self {
            Self::Record(error) | Self::Transaction(error) | Self::Producer(error) => error,
        }
    }
}

fn check_record(
    topic: &Topic,
    partition: &Partition,
    record: &ProducerRecord<'_>,
    bytes: usize,
) -> Result<(), ClientError> {
    let max = topic.settings.record_bytes_max;
    if bytes > max {
        return Err(ClientError::new(
            ClientErrorKind::RecordTooLarge,
            format!(
                "a record of {bytes} bytes is too large for {}, which takes {max}; raise its \
                 max.message.bytes",
                partition.name()
            ),
        ));
    }
    if topic.settings.compacted && record.key.is_none() {
        return Err(invalid(format!(
            "{} is compacted and takes no record without a key",
            partition.name()
        )));
    }
    Ok(())
}

/// The member that commits must be known, or it would not be fenced.
pub(super) fn check_member(group: &GroupMetadata) -> Result<(), ClientError> {
    if group.member_id.is_empty() || group.generation < 0 {
        return Err(invalid(format!(
            "a commit for group {} needs a member id and a generation, or it is not fenced",
            group.group
        )));
    }
    Ok(())
}

fn size_of_record(record: &ProducerRecord<'_>) -> usize {
    let headers: usize =
        record.headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers
}

fn not_begun() -> ClientError {
    invalid("no transaction is begun; begin one first")
}

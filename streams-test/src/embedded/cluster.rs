//! The handle of the embedded cluster: topics, direct access for tests, time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use streams_core::client::{
    Admin, ClientError, ClientErrorKind, ClientSupplier, CommittedOffset, Fetcher, FetcherOptions,
    GroupTransport, Isolation, MemoryRecord, NewTopic, OffsetToCommit, Producer, ProducerOptions,
    TopicDescription, TopicPartition, WakeRef,
};
use streams_core::time::{ClockRef, Instant, SystemClock};
use uuid::Uuid;

use super::admin::EmbeddedAdmin;
use super::coordinator::Groups;
use super::faults::{FaultPlan, Faults};
use super::fetcher::EmbeddedFetcher;
use super::group_transport::EmbeddedGroupTransport;
use super::partition::{Partition, unknown};
use super::producer::{Alive, EmbeddedProducer};
use super::timers::Timers;
use super::topic::Topic;
use super::transactions::Transactions;

/// The default of `transaction.timeout.ms` in Kafka Streams.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// An in-memory Kafka for development: a handle, whose clones are the same cluster.
///
/// It is a [`ClientSupplier`], so that it goes into the configuration as the client, and gives
/// tests direct access to its topics.
///
/// ```
/// use streams_core::client::{Isolation, MemoryRecord};
/// use streams_test::EmbeddedCluster;
///
/// let cluster = EmbeddedCluster::new();
/// cluster.create_topic("words", 1)?;
/// let word = MemoryRecord { value: Some(b"hello".as_slice().into()), ..Default::default() };
/// assert_eq!(cluster.append("words", 0, word)?, 0);
///
/// let records = cluster.read("words", 0, 0, Isolation::ReadCommitted);
/// assert_eq!(records[0].1.value.as_deref(), Some(b"hello".as_slice()));
/// # Ok::<(), streams_core::client::ClientError>(())
/// ```
#[derive(Clone)]
pub struct EmbeddedCluster(pub(super) Arc<Cluster>);

/// What all handles and clients share.
///
/// Locks are taken in this order: a transactional id, groups, a partition, an inbox. The locks of
/// topics, timers and faults are taken anywhere, and nothing is taken under them.
pub(super) struct Cluster {
    pub(super) clock: ClockRef,
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
    /// Moves with every change of `topics`, so that producers need not look them up.
    version: AtomicU64,
    topic_ids: AtomicU64,
    transaction_timeout_nanos: AtomicU64,
    pub(super) transactions: Transactions,
    pub(super) groups: Groups,
    pub(super) timers: Timers,
    pub(super) faults: Faults,
    /// Nanoseconds on the clock. Until then no coordinator answers.
    coordinators_move_until: AtomicU64,
    /// Nanoseconds on the clock; 0 if nobody is. Until then the thread that sent last is blocked.
    sender_blocked_until: AtomicU64,
    /// Commits of transactions without any position: refused, and a mistake of the caller.
    pub(super) unfenced_commits: AtomicU64,
}

impl EmbeddedCluster {
    /// An empty cluster on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty cluster that takes time from `clock`.
    pub fn with_clock(clock: ClockRef) -> Self {
        let cluster = Self(Arc::new(Cluster {
            clock,
            topics: RwLock::default(),
            version: AtomicU64::new(0),
            topic_ids: AtomicU64::new(0),
            transaction_timeout_nanos: AtomicU64::new(0),
            transactions: Transactions::default(),
            groups: Groups::default(),
            timers: Timers::default(),
            faults: Faults::default(),
            coordinators_move_until: AtomicU64::new(0),
            sender_blocked_until: AtomicU64::new(0),
            unfenced_commits: AtomicU64::new(0),
        }));
        cluster.set_transaction_timeout(TRANSACTION_TIMEOUT);
        cluster
    }

    /// Makes a topic with the default settings.
    ///
    /// # Errors
    /// When it exists already, or the name or the number is none that Kafka takes.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), ClientError> {
        self.create_topic_with(NewTopic {
            name: name.into(),
            partitions,
            replication_factor: -1,
            configs: BTreeMap::new(),
        })
    }

    /// Makes a topic. Of its configuration `cleanup.policy`, `max.message.bytes` and
    /// `message.timestamp.type` are obeyed; nothing is ever deleted or compacted by itself.
    ///
    /// # Errors
    /// As for [`create_topic`](Self::create_topic), or a setting has a wrong value.
    pub fn create_topic_with(&self, topic: NewTopic) -> Result<(), ClientError> {
        self.0.create_topic(&topic)
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// When there is no such topic, or it would shrink.
    pub fn grow_topic(&self, name: &str, partitions: i32) -> Result<(), ClientError> {
        let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
        let (name, topic) = topics
            .get_key_value(name)
            .map(|(name, topic)| (name.clone(), topic.clone()))
            .ok_or_else(|| unknown_topic(name))?;
        let grown = topic.grown(&name, partitions)?;
        topics.insert(name, Arc::new(grown));
        self.0.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Deletes a topic with its records and the offsets that groups committed for it.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let topic = {
            let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
            let topic = topics.remove(name).ok_or_else(|| unknown_topic(name))?;
            self.0.version.fetch_add(1, Ordering::Release);
            topic
        };
        self.0.groups.forget_topic(name);
        for partition in &topic.partitions {
            partition.delete();
        }
        Ok(())
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<TopicDescription> {
        let topics = self.0.topics();
        topics.iter().map(|(name, topic)| describe(name, topic)).collect()
    }

    /// The settings with which a topic was made.
    pub fn topic_configs(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.0.topic(name).map(|topic| topic.configs.clone())
    }

    /// Writes a record outside of transactions, and returns its offset.
    ///
    /// # Errors
    /// When there is no such partition.
    pub fn append(
        &self,
        topic: &str,
        partition: i32,
        record: MemoryRecord,
    ) -> Result<i64, ClientError> {
        let record = Arc::new(record);
        self.0.partition(topic, partition)?.with_log(|log| log.append(record))
    }

    /// All records from offset `from` on that `isolation` shows; none where there is no such
    /// partition, for an application may not have made it yet. Offsets before the start of the
    /// log mean its start.
    pub fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        isolation: Isolation,
    ) -> Vec<(i64, Arc<MemoryRecord>)> {
        let mut records = Vec::new();
        let read = self.0.partition(topic, partition).and_then(|partition| {
            partition.with_log(|log| {
                let from = from.max(log.start());
                log.read(from, usize::MAX, isolation, |offset, record| {
                    records.push((offset, record.clone()));
                })
            })
        });
        drop(read);
        records
    }

    /// The end of a partition: where the next record goes, or the last stable offset under
    /// read-committed.
    ///
    /// # Errors
    /// When there is no such partition.
    pub fn end_offset(
        &self,
        topic: &str,
        partition: i32,
        isolation: Isolation,
    ) -> Result<i64, ClientError> {
        self.0.partition(topic, partition)?.with_log(|log| log.end(isolation))
    }

    /// The position that a group committed, without those that open transactions hold.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<CommittedOffset> {
        self.0.tick();
        self.0.groups.committed(group, &TopicPartition::new(topic, partition))
    }

    /// Commits a position for a group, whoever its members are: to set up a test.
    pub fn commit(&self, group: &str, offset: OffsetToCommit) {
        self.0.groups.force_commit(group, offset);
    }

    /// Compacts all partitions of a topic as a log cleaner that has caught up: the last record
    /// per key below the last stable offset stays; records of aborted transactions and without a
    /// key go, with `remove_tombstones` also null values and markers. Offsets stay as they are.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn compact(&self, topic: &str, remove_tombstones: bool) -> Result<(), ClientError> {
        let found = self.0.topic(topic).ok_or_else(|| unknown_topic(topic))?;
        found
            .partitions
            .iter()
            .try_for_each(|partition| partition.with_log(|log| log.compact(remove_tombstones)))
    }

    /// Elects a leader for a partition: later records have the leader epoch that is returned.
    ///
    /// # Errors
    /// When there is no such partition.
    pub fn elect_leader(&self, topic: &str, partition: i32) -> Result<i32, ClientError> {
        self.0.partition(topic, partition)?.with_log(super::log::Log::elect_leader)
    }

    /// How long a transaction may be open until the cluster aborts it and fences its producer;
    /// holds for transactions that begin later. 10 s as long as nothing else was set.
    pub fn set_transaction_timeout(&self, timeout: Duration) {
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        self.0.transaction_timeout_nanos.store(nanos, Ordering::Relaxed);
    }

    /// The coordinators of groups and transactions move to another broker: whoever waits for their
    /// answer gets none, nobody answers for `duration`, and then they go on with what was written
    /// down, so that members that were about to join are unknown.
    pub fn move_coordinators(&self, duration: Duration) {
        let until = nanos(self.0.clock.now() + duration);
        self.0.coordinators_move_until.fetch_max(until, Ordering::Relaxed);
        self.0.groups.coordinator_moved(self.0.clock.now() + duration);
    }

    /// Lets the members of a group join again, as when their subscriptions change.
    pub fn rebalance(&self, group: &str) {
        self.0.groups.rebalance(group, self.0.clock.now());
    }

    /// The cluster as the clients of a process see it that may die.
    pub(crate) fn for_process(&self, alive: Alive) -> Arc<dyn ClientSupplier> {
        Arc::new(ProcessClients { cluster: self.clone(), alive })
    }

    /// How many transactions somebody wanted to commit without any position.
    pub(crate) fn unfenced_commits(&self) -> u64 {
        self.0.unfenced_commits.load(Ordering::Relaxed)
    }

    /// Until when the thread is blocked that sent a record since this was last asked.
    pub(crate) fn take_sender_blocked_until(&self) -> Option<Instant> {
        match self.0.sender_blocked_until.swap(0, Ordering::Relaxed) {
            0 => None,
            nanos => Some(Instant::from_origin(Duration::from_nanos(nanos))),
        }
    }

    /// Asks `plan` from now on how operations shall go; `None` ends the faults.
    pub fn set_faults(&self, plan: Option<Arc<dyn FaultPlan>>) {
        self.0.faults.set(plan);
    }

    /// Does what is due by the clock: expires members and transactions, answers delayed requests.
    pub fn tick(&self) {
        self.0.tick();
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub fn next_timer(&self) -> Option<Instant> {
        [self.0.timers.next(), self.0.transactions.next_timer(), self.0.groups.next_timer()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Default for EmbeddedCluster {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EmbeddedCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedCluster").field("topics", &self.topics()).finish_non_exhaustive()
    }
}

impl ClientSupplier for EmbeddedCluster {
    fn fetcher(
        &self,
        options: FetcherOptions,
        wake: WakeRef,
    ) -> Result<Box<dyn Fetcher>, ClientError> {
        Ok(Box::new(EmbeddedFetcher::new(self.0.clone(), options, wake)))
    }

    fn producer(
        &self,
        options: ProducerOptions,
        wake: WakeRef,
    ) -> Result<Box<dyn Producer>, ClientError> {
        let alive = Alive::new(true.into());
        Ok(Box::new(EmbeddedProducer::new(self.0.clone(), &options, wake, alive)))
    }

    fn admin(&self, wake: WakeRef) -> Result<Box<dyn Admin>, ClientError> {
        Ok(Box::new(EmbeddedAdmin::new(self.0.clone(), wake)))
    }

    fn group_transport(
        &self,
        group: &str,
        wake: WakeRef,
    ) -> Result<Box<dyn GroupTransport>, ClientError> {
        Ok(Box::new(EmbeddedGroupTransport::new(self.0.clone(), group, wake)))
    }
}

/// The clients of one process.
struct ProcessClients {
    cluster: EmbeddedCluster,
    alive: Alive,
}

impl ClientSupplier for ProcessClients {
    fn fetcher(
        &self,
        options: FetcherOptions,
        wake: WakeRef,
    ) -> Result<Box<dyn Fetcher>, ClientError> {
        self.cluster.fetcher(options, wake)
    }

    fn producer(
        &self,
        options: ProducerOptions,
        wake: WakeRef,
    ) -> Result<Box<dyn Producer>, ClientError> {
        let (cluster, alive) = (self.cluster.0.clone(), self.alive.clone());
        Ok(Box::new(EmbeddedProducer::new(cluster, &options, wake, alive)))
    }

    fn admin(&self, wake: WakeRef) -> Result<Box<dyn Admin>, ClientError> {
        self.cluster.admin(wake)
    }

    fn group_transport(
        &self,
        group: &str,
        wake: WakeRef,
    ) -> Result<Box<dyn GroupTransport>, ClientError> {
        self.cluster.group_transport(group, wake)
    }
}

impl Cluster {
    pub(super) fn create_topic(&self, wanted: &NewTopic) -> Result<(), ClientError> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.contains_key(&wanted.name) {
            return Err(ClientError::new(
                ClientErrorKind::TopicExists,
                format!("topic {} exists already", wanted.name),
            ));
        }
        let id = self.topic_ids.fetch_add(1, Ordering::Relaxed) + 1;
        let topic = Topic::new(wanted, Uuid::from_u64_pair(0, id))?;
        topics.insert(wanted.name.clone(), Arc::new(topic));
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Moves when a topic is made, grows or goes.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics().get(name).cloned()
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.topics().keys().cloned().collect()
    }

    pub(super) fn describe(&self, name: &str) -> Result<TopicDescription, ClientError> {
        self.topics()
            .get_key_value(name)
            .map(|(name, topic)| describe(name, topic))
            .ok_or_else(|| unknown_topic(name))
    }

    pub(super) fn partition(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Arc<Partition>, ClientError> {
        self.topics()
            .get(topic)
            .and_then(|topic| topic.partition(partition).cloned())
            .ok_or_else(|| unknown(&TopicPartition::new(topic, partition)))
    }

    pub(super) fn transaction_deadline(&self) -> Instant {
        let nanos = self.transaction_timeout_nanos.load(Ordering::Relaxed);
        self.clock.now() + Duration::from_nanos(nanos)
    }

    pub(super) fn coordinators_move_until(&self) -> Instant {
        let nanos = self.coordinators_move_until.load(Ordering::Relaxed);
        Instant::from_origin(Duration::from_nanos(nanos))
    }

    pub(super) fn block_sender(&self, until: Instant) {
        self.sender_blocked_until.fetch_max(nanos(until), Ordering::Relaxed);
    }

    pub(super) fn tick(&self) {
        let now = self.clock.now();
        while let Some(work) = self.timers.take_due(now) {
            work(self);
        }
        self.transactions.expire(now, &self.groups);
        self.groups.expire(now);
    }

    fn topics(&self) -> RwLockReadGuard<'_, BTreeMap<Arc<str>, Arc<Topic>>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanos(instant: Instant) -> u64 {
    u64::try_from(instant.since_origin().as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn unknown_topic(name: &str) -> ClientError {
    ClientError::new(
        ClientErrorKind::UnknownTopic,
        format!("there is no topic {name}; create it first"),
    )
}

fn describe(name: &Arc<str>, topic: &Topic) -> TopicDescription {
    TopicDescription { name: name.clone(), id: topic.id, partitions: topic.partition_count() }
}

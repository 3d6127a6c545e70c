//! The traits behind which Kafka lies. Every call here is dynamic once per batch, never per hop;
//! what takes time is a [`Call`]; nothing blocks except where it says so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::call::{Call, WakeRef};
use super::error::ClientError;
use super::raw_record::RawRecord;
use crate::record::Headers;

/// A topic and one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name as the broker knows it.
    pub topic: Arc<str>,
    /// From zero.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Whether records of open and aborted transactions are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All records, and the end of the log is its high watermark.
    #[default]
    ReadUncommitted,
    /// Only committed ones, and the log ends at the last stable offset.
    ReadCommitted,
}

/// Makes clients. One per application: it knows the configuration and shares connections.
pub trait ClientSupplier: Send + Sync + 'static {
    /// A reader of partitions. `wake` is woken when something can be fetched.
    fn fetcher(
        &self,
        options: FetcherOptions,
        wake: WakeRef,
    ) -> Result<Box<dyn Fetcher>, ClientError>;

    /// A writer.
    fn producer(
        &self,
        options: ProducerOptions,
        wake: WakeRef,
    ) -> Result<Box<dyn Producer>, ClientError>;

    /// Metadata, topics, offsets.
    fn admin(&self, wake: WakeRef) -> Result<Box<dyn Admin>, ClientError>;

    /// A member's line to the coordinator of `group`.
    fn group_transport(
        &self,
        group: &str,
        wake: WakeRef,
    ) -> Result<Box<dyn GroupTransport>, ClientError>;
}

/// What a [`Fetcher`] reads for: settings may be given for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FetchRole {
    /// The records of tasks.
    #[default]
    Main,
    /// Changelogs.
    Restore,
    /// Global tables.
    Global,
}

/// How a [`Fetcher`] reads.
#[derive(Clone, Debug)]
pub struct FetcherOptions {
    /// Names the client in the broker's logs and metrics.
    pub client_id: String,
    /// What it reads for.
    pub role: FetchRole,
    /// Which records are seen.
    pub isolation: Isolation,
    /// Bytes that may be fetched ahead of the application, per partition.
    pub buffer_bytes_per_partition: usize,
}

// ---- fetch ------------------------------------------------------------------------------------

/// A partition that a [`Fetcher`] reads: a small index, reused after `unassign`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FetchSlot(pub u32);

/// Reads partitions that it was told to read; knows nothing of groups. Backpressure is not to
/// call [`fetch`](Fetcher::fetch): it is per partition.
pub trait Fetcher: Send {
    /// Starts to read `partition` at offset `position`.
    fn assign(
        &mut self,
        partition: &TopicPartition,
        position: i64,
    ) -> Result<FetchSlot, ClientError>;

    /// Stops to read; what was fetched ahead is dropped.
    fn unassign(&mut self, slot: FetchSlot);

    /// Reads on at `position`; what was fetched ahead is dropped.
    fn seek(&mut self, slot: FetchSlot, position: i64) -> Result<(), ClientError>;

    /// Appends the partitions that may have something new since they were last fetched empty.
    /// A hint: a slot named here may have nothing, but one with something is always named.
    fn ready(&mut self, into: &mut Vec<FetchSlot>);

    /// Takes up to `records_max` records of one partition. Never blocks.
    ///
    /// On an error nothing was taken; the partition stays assigned.
    fn fetch(
        &mut self,
        slot: FetchSlot,
        records_max: usize,
        into: &mut FetchedBatch,
    ) -> Result<(), ClientError>;
}

/// What a partition gave: never records alone, because transaction markers and compacted gaps
/// end logs, and "the offset after the last record" never arrives.
#[derive(Default)]
pub struct FetchedBatch {
    /// In offset order; appended to, so that the vector can be reused.
    pub records: Vec<RawRecord>,
    /// Where reading goes on: past the records, markers and gaps that were seen.
    pub next_position: i64,
    /// The end of the log as of the last answer of the broker (last stable offset under
    /// read-committed), if one came yet.
    pub end_offset: Option<i64>,
    /// The leader epoch of the last record, or -1.
    pub leader_epoch: i32,
}

impl FetchedBatch {
    /// Whether, as far as is known, nothing is left to read.
    pub fn at_end(&self) -> bool {
        self.end_offset.is_some_and(|end| self.next_position >= end)
    }
}

// ---- produce ----------------------------------------------------------------------------------

/// A topic that a [`Producer`] writes: a small index, stable for the producer's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicSlot(pub u32);

/// Groups acknowledgements: the highest offset that was acknowledged is kept per tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u32);

impl Tag {
    /// Nobody asks for the offset.
    pub const NONE: Self = Self(0);
}

/// The partition of a record is the producer's choice.
pub const ANY_PARTITION: i32 = -1;

/// A record on its way out.
#[derive(Clone, Copy, Debug)]
pub struct ProducerRecord<'a> {
    /// Made by [`Producer::topic`].
    pub topic: TopicSlot,
    /// Or [`ANY_PARTITION`].
    pub partition: i32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// `None` is null.
    pub key: Option<&'a [u8]>,
    /// `None` is null.
    pub value: Option<&'a [u8]>,
    /// Copied.
    pub headers: &'a Headers,
    /// Where its offset is accounted.
    pub tag: Tag,
}

/// A record that could not be written.
#[derive(Clone, Debug)]
pub struct DeliveryFailure {
    /// Where it was to go.
    pub topic: Arc<str>,
    /// Or [`ANY_PARTITION`].
    pub partition: i32,
    /// As it was sent.
    pub tag: Tag,
    /// Why.
    pub error: ClientError,
}

/// An input position to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// Of which partition.
    pub partition: TopicPartition,
    /// The next offset to process.
    pub offset: i64,
    /// The leader epoch of the last processed record, or -1.
    pub leader_epoch: i32,
    /// The JVM's base64 text with partition time; may be empty.
    pub metadata: String,
}

/// Who commits: fences zombies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group's id: the application id.
    pub group: Arc<str>,
    /// As the coordinator gave it; never empty.
    pub member_id: Arc<str>,
    /// Generation or member epoch, as captured when the assignment was applied; never negative.
    pub generation: i32,
}

/// How an attempt to commit a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All of it is visible.
    Committed,
    /// None of it ever will be; the producer can go on after [`Producer::abort`].
    Aborted(ClientError),
    /// Nobody knows yet: call `commit` again, or find out by other means. Never guess.
    Unknown(ClientError),
    /// The producer is dead, and the transaction was not committed.
    Fatal(ClientError),
}

/// How a [`Producer`] writes.
#[derive(Clone, Debug, Default)]
pub struct ProducerOptions {
    /// Makes it transactional.
    pub transactional_id: Option<String>,
    /// A record that was not written so long after it was sent is lost, and said to be: the client
    /// does not try any more. Without it the client's settings decide.
    pub delivery_timeout: Option<Duration>,
}

impl ProducerOptions {
    /// Of records outside of transactions.
    pub fn plain() -> Self {
        Self::default()
    }

    /// Of records in transactions.
    pub fn transactional(id: impl Into<String>) -> Self {
        Self { transactional_id: Some(id.into()), ..Self::default() }
    }
}

/// Writes records, plainly or in transactions. A handle of one thread; handles may share
/// connections.
pub trait Producer: Send {
    /// The slot of a topic. Looks up its partition count in the background.
    fn topic(&mut self, name: &Arc<str>) -> Result<TopicSlot, ClientError>;

    /// The topic's number of partitions. Blocks on first use until the broker told, within the
    /// client's request timeout; cached and refreshed afterwards.
    fn partitions(&mut self, topic: TopicSlot) -> Result<i32, ClientError>;

    /// Hands a record over; key, value and headers are copied. A full queue blocks inside, and
    /// is never an error.
    fn send(&mut self, record: ProducerRecord<'_>) -> Result<(), ClientError>;

    /// Answered when everything sent so far through this handle was acknowledged or has failed;
    /// does not wait for `linger.ms`. Failures are told by [`failure`](Producer::failure).
    fn flush(&mut self) -> Call<()>;

    /// The next record that could not be written since the last call.
    fn failure(&mut self) -> Option<DeliveryFailure>;

    /// The highest acknowledged offset of records sent with `tag`, if any.
    fn acknowledged(&self, tag: Tag) -> Option<i64>;

    /// Fences earlier producers of the transactional id and ends their transactions.
    fn init_transactions(&mut self) -> Call<()>;

    /// Begins a transaction. Local.
    fn begin(&mut self) -> Result<(), ClientError>;

    /// Adds the input positions to the transaction and commits it. `offsets` is never empty.
    fn commit(&mut self, offsets: &[OffsetToCommit], group: &GroupMetadata) -> Call<CommitOutcome>;

    /// Aborts the transaction.
    fn abort(&mut self) -> Call<()>;
}

// ---- admin ------------------------------------------------------------------------------------

/// Which position of a log is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first record still there.
    Earliest,
    /// The end.
    Latest,
    /// The first record not older than that (ms since 1970); the end if there is none.
    AtTimestamp(i64),
}

/// A topic as the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: Arc<str>,
    /// Changes when a topic is deleted and made again. Nil on brokers that do not tell.
    pub id: uuid::Uuid,
    /// How many.
    pub partitions: i32,
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: Arc<str>,
    /// How many.
    pub partitions: i32,
    /// -1 is the broker's default.
    pub replication_factor: i16,
    /// By the broker's names.
    pub configs: BTreeMap<String, String>,
}

/// A committed position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to process.
    pub offset: i64,
    /// Or -1.
    pub leader_epoch: i32,
    /// As it was committed.
    pub metadata: String,
}

/// The answer for each thing asked for, in the order of the question.
pub type Each<T> = Vec<Result<T, ClientError>>;

/// Topics and offsets.
pub trait Admin: Send {
    /// Describes topics; a missing one is [`UnknownTopic`](super::ClientErrorKind::UnknownTopic).
    fn describe_topics(&mut self, topics: Vec<Arc<str>>) -> Call<Each<TopicDescription>>;

    /// The names of all topics that this principal may see.
    fn list_topics(&mut self) -> Call<Vec<Arc<str>>>;

    /// Makes topics; one that is there is [`TopicExists`](super::ClientErrorKind::TopicExists).
    fn create_topics(&mut self, topics: Vec<NewTopic>) -> Call<Each<()>>;

    /// Positions in logs.
    fn list_offsets(
        &mut self,
        partitions: Vec<(TopicPartition, OffsetSpec)>,
        isolation: Isolation,
    ) -> Call<Each<i64>>;

    /// Committed positions of a group; `None` where it never committed. With `stable`, an
    /// offset that a transaction is about to change is [`UnstableOffset`](super::GroupError).
    fn committed_offsets(
        &mut self,
        group: &str,
        partitions: Vec<TopicPartition>,
        stable: bool,
    ) -> Call<Each<Option<CommittedOffset>>>;

    /// Deletes records before the given offsets.
    fn delete_records(&mut self, before: Vec<(TopicPartition, i64)>) -> Call<Each<()>>;
}

// ---- group ------------------------------------------------------------------------------------

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Empty at first; the answer (or the error) tells it.
    pub member_id: String,
    /// Static membership.
    pub instance_id: Option<String>,
    /// After which silence the member counts as dead.
    pub session_timeout: Duration,
    /// How long a rebalance waits for it.
    pub rebalance_timeout: Duration,
    /// The name of our assignor, and our subscription in its bytes.
    pub protocol: (String, Vec<u8>),
    /// Every topic for which offsets are committed: sources and repartition topics. The broker
    /// drops committed offsets of other topics when they are old, and tools show it.
    pub topics: Vec<Arc<str>>,
}

/// What a join led to.
#[derive(Clone, Debug)]
pub struct JoinResponse {
    /// Ours. With [`MemberIdRequired`](super::GroupError::MemberIdRequired) everything else is empty: join again with it.
    pub member_id: String,
    /// Join again with `member_id`.
    pub member_id_required: bool,
    /// Of the group, from now on.
    pub generation: i32,
    /// Who leads.
    pub leader: String,
    /// For the leader: each member and its subscription.
    pub members: Vec<(String, Vec<u8>)>,
}

impl JoinResponse {
    /// Whether this member has to assign.
    pub fn is_leader(&self) -> bool {
        !self.member_id_required && self.leader == self.member_id
    }
}

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// Ours.
    pub member_id: String,
    /// Static membership.
    pub instance_id: Option<String>,
    /// Of the join.
    pub generation: i32,
    /// The assignor's name.
    pub protocol: String,
    /// From the leader: each member's assignment. Empty from others.
    pub assignments: Vec<(String, Vec<u8>)>,
    /// From the leader: the input partitions of each member's active tasks, by member id. Only
    /// for tools, which show who reads what; the members go by their assignment.
    pub partitions: BTreeMap<String, Vec<TopicPartition>>,
}

/// Speaks to the coordinator of one group. One per member: a join blocks its connection.
pub trait GroupTransport: Send {
    /// Answered when the group is complete, which may take the rebalance timeout.
    fn join(&mut self, request: JoinRequest) -> Call<JoinResponse>;

    /// Our assignment; empty bytes if there is none.
    fn sync(&mut self, request: SyncRequest) -> Call<Vec<u8>>;

    /// Still alive.
    fn heartbeat(&mut self, member: GroupMetadata) -> Call<()>;

    /// No more. An unknown member is no error.
    fn leave(&mut self, member_id: &str) -> Call<()>;

    /// Commits input positions as this member. The outer error concerns all of them.
    fn commit_offsets(
        &mut self,
        member: GroupMetadata,
        offsets: Vec<OffsetToCommit>,
    ) -> Call<Each<()>>;
}

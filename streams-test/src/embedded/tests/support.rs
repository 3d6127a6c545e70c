//! What the tests share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streams_core::client::{
    Admin, Call, ClientError, ClientSupplier, FetchRole, Fetcher, FetcherOptions, GroupMetadata,
    Isolation, JoinRequest, JoinResponse, MemoryRecord, OffsetToCommit, Producer, ProducerOptions,
    ProducerRecord, SyncRequest, Tag, TopicPartition, Wake, WakeRef,
};
use streams_core::{Headers, client::FetchedBatch};

use streams_core::time::Instant;

use crate::embedded::{EmbeddedCluster, Fault, FaultPlan, Operation, Step, VirtualClock};

pub(super) const SESSION: Duration = Duration::from_secs(10);
pub(super) const REBALANCE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Wakes(AtomicUsize);

impl Wakes {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) fn wakes() -> (Arc<Wakes>, WakeRef) {
    let wakes = Arc::new(Wakes::default());
    (wakes.clone(), wakes)
}

pub(super) fn nobody() -> WakeRef {
    wakes().1
}

pub(super) fn cluster() -> (EmbeddedCluster, Arc<VirtualClock>) {
    let clock = VirtualClock::new(1_000_000);
    (EmbeddedCluster::with_clock(clock.clone()), clock)
}

pub(super) fn record(key: &str, value: Option<&str>) -> MemoryRecord {
    MemoryRecord {
        timestamp: 5,
        key: Some(key.as_bytes().into()),
        value: value.map(|value| value.as_bytes().into()),
        headers: Headers::new(),
    }
}

pub(super) fn fetcher(cluster: &EmbeddedCluster, isolation: Isolation) -> Box<dyn Fetcher> {
    cluster.fetcher(options(isolation), nobody()).unwrap()
}

pub(super) fn options(isolation: Isolation) -> FetcherOptions {
    FetcherOptions {
        client_id: "reader".into(),
        role: FetchRole::Main,
        isolation,
        buffer_bytes_per_partition: 1 << 20,
    }
}

pub(super) fn admin(cluster: &EmbeddedCluster) -> Box<dyn Admin> {
    cluster.admin(nobody()).unwrap()
}

pub(super) fn plain(cluster: &EmbeddedCluster) -> Box<dyn Producer> {
    cluster.producer(ProducerOptions::plain(), nobody()).unwrap()
}

/// A producer whose transactions are initialized.
pub(super) fn transactional(cluster: &EmbeddedCluster, id: &str) -> Box<dyn Producer> {
    let mut producer = cluster.producer(ProducerOptions::transactional(id), nobody()).unwrap();
    done(producer.init_transactions()).unwrap();
    producer
}

pub(super) fn send(producer: &mut dyn Producer, topic: &str, partition: i32, value: &str) {
    try_send(producer, topic, partition, value).unwrap();
}

pub(super) fn try_send(
    producer: &mut dyn Producer,
    topic: &str,
    partition: i32,
    value: &str,
) -> Result<(), ClientError> {
    let topic = producer.topic(&topic.into())?;
    producer.send(ProducerRecord {
        topic,
        partition,
        timestamp: 7,
        key: Some(b"k"),
        value: Some(value.as_bytes()),
        headers: &Headers::new(),
        tag: Tag(1),
    })
}

pub(super) fn done<T>(mut call: Call<T>) -> Result<T, ClientError> {
    call.try_take().expect("the call is answered at once")
}

/// Values and where reading goes on.
pub(super) fn fetch_all(
    fetcher: &mut dyn Fetcher,
    slot: streams_core::client::FetchSlot,
) -> (Vec<String>, FetchedBatch) {
    let mut batch = FetchedBatch::default();
    fetcher.fetch(slot, usize::MAX, &mut batch).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let values = batch.records.iter().map(|r| r.value().map(text).unwrap_or_default()).collect();
    (values, batch)
}

pub(super) fn offset(topic: &str, partition: i32, offset: i64) -> OffsetToCommit {
    OffsetToCommit {
        partition: TopicPartition::new(topic, partition),
        offset,
        leader_epoch: -1,
        metadata: String::new(),
    }
}

pub(super) fn join_request(member_id: &str) -> JoinRequest {
    JoinRequest {
        member_id: member_id.into(),
        instance_id: None,
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol: ("ours".into(), b"subscription".to_vec()),
        topics: vec!["t".into()],
    }
}

pub(super) fn metadata(group: &str, joined: &JoinResponse) -> GroupMetadata {
    GroupMetadata {
        group: group.into(),
        member_id: joined.member_id.as_str().into(),
        generation: joined.generation,
    }
}

pub(super) fn sync_request(joined: &JoinResponse) -> SyncRequest {
    let assign = |(id, _): &(String, Vec<u8>)| (id.clone(), format!("for {id}").into_bytes());
    SyncRequest {
        member_id: joined.member_id.clone(),
        instance_id: None,
        generation: joined.generation,
        protocol: "ours".into(),
        assignments: joined.members.iter().map(assign).collect(),
        partitions: BTreeMap::new(),
    }
}

/// The only member of a group, assigned.
pub(super) fn sole_member(cluster: &EmbeddedCluster, group: &str) -> GroupMetadata {
    let mut transport = cluster.group_transport(group, nobody()).unwrap();
    let id = done(transport.join(join_request(""))).unwrap().member_id;
    let joined = done(transport.join(join_request(&id))).unwrap();
    done(transport.sync(sync_request(&joined))).unwrap();
    metadata(group, &joined)
}

/// Faults for the next operations of a kind, in order; everything else goes well.
#[derive(Default)]
pub(super) struct Script(Mutex<Vec<(Step, Fault)>>);

impl Script {
    pub(super) fn new(cluster: &EmbeddedCluster) -> Arc<Self> {
        let script = Arc::new(Self::default());
        cluster.set_faults(Some(script.clone()));
        script
    }

    pub(super) fn next(&self, step: Step, fault: Fault) {
        self.0.lock().unwrap().push((step, fault));
    }
}

impl FaultPlan for Script {
    fn decide(&self, operation: &Operation<'_>, _now: Instant) -> Fault {
        let mut planned = self.0.lock().unwrap();
        match planned.iter().position(|(step, _)| *step == operation.step) {
            Some(index) => planned.remove(index).1,
            None => Fault::None,
        }
    }
}

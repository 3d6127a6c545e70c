//! What the tests of the wire client share.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, dead_code, unreachable_pub)]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use ::rdkafka::ClientConfig;
use ::rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use streams_core::client::wire::WireClients;
use streams_core::client::*;

pub static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap()
});

struct NoWake;

impl Wake for NoWake {
    fn wake(&self) {}
}

pub fn wake() -> WakeRef {
    Arc::new(NoWake)
}

pub fn clients(settings: &[(&str, &str)]) -> Result<WireClients, ClientError> {
    let settings: Vec<_> =
        settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    WireClients::new(&settings, "wire-test", RUNTIME.handle().clone())
}

pub fn clients_of(bootstrap: &str) -> WireClients {
    clients(&[("bootstrap.servers", bootstrap)]).unwrap()
}

pub fn wait<T>(call: Call<T>) -> Result<T, ClientError> {
    RUNTIME.block_on(async { tokio::time::timeout(Duration::from_secs(60), call).await }).unwrap()
}

/// The answer for the only thing asked.
pub fn one<T>(call: Call<Each<T>>) -> Result<T, ClientError> {
    wait(call)?.pop().unwrap()
}

/// Repeats until it is `Some`.
#[track_caller]
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(found) = attempt() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it did not happen in time: {what}");
}

/// A name that no other test uses.
pub fn unique(name: &str) -> Arc<str> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).into()
}

pub fn new_topic(name: &Arc<str>, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.clone(),
        partitions,
        replication_factor: -1,
        configs: std::collections::BTreeMap::default(),
    }
}

pub fn make_topic(admin: &mut dyn Admin, partitions: i32) -> Arc<str> {
    let name = unique("topic");
    one(admin.create_topics(vec![new_topic(&name, partitions)])).unwrap();
    until("topic is made", || one(admin.describe_topics(vec![name.clone()])).ok());
    name
}

pub fn producer(bootstrap: &str, transactional_id: Option<&str>) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("linger.ms", "0");
    if let Some(id) = transactional_id {
        config.set("transactional.id", id);
    }
    config.create().unwrap()
}

pub fn produce(producer: &BaseProducer, topic: &str, partition: i32, timestamps: &[i64]) {
    for timestamp in timestamps {
        let record: BaseRecord<'_, str, str> = BaseRecord::to(topic);
        producer.send(record.partition(partition).timestamp(*timestamp).payload("x")).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// A member of a group: the calls, waited for.
pub struct Member {
    pub transport: Box<dyn GroupTransport>,
    pub group: Arc<str>,
    pub id: String,
    pub generation: i32,
}

pub const SESSION: Duration = Duration::from_secs(6);

impl Member {
    pub fn new(clients: &WireClients, group: &Arc<str>) -> Self {
        let transport = clients.group_transport(group, wake());
        Self { transport, group: group.clone(), id: String::new(), generation: -1 }
    }

    pub fn start_join(&mut self, topics: &[Arc<str>]) -> Call<JoinResponse> {
        self.transport.join(JoinRequest {
            member_id: self.id.clone(),
            instance_id: None,
            session_timeout: SESSION,
            rebalance_timeout: Duration::from_secs(10),
            protocol: ("test-assignor".to_owned(), b"subscription".to_vec()),
            topics: topics.to_vec(),
        })
    }

    /// Joins, the first time to learn the member's id.
    pub fn learn_id(&mut self, topics: &[Arc<str>]) {
        let call = self.start_join(topics);
        let answer = wait(call).unwrap();
        assert!(answer.member_id_required && !answer.is_leader());
        self.id = answer.member_id;
    }

    pub fn joined(&mut self, call: Call<JoinResponse>) -> JoinResponse {
        let answer = wait(call).unwrap();
        assert_eq!(answer.member_id, self.id);
        self.generation = answer.generation;
        answer
    }

    pub fn start_sync(
        &mut self,
        assignments: Vec<(String, Vec<u8>)>,
        partitions: &[(&str, TopicPartition)],
    ) -> Call<Vec<u8>> {
        let partitions =
            partitions.iter().map(|(id, p)| ((*id).to_owned(), vec![p.clone()])).collect();
        self.transport.sync(SyncRequest {
            member_id: self.id.clone(),
            instance_id: None,
            generation: self.generation,
            protocol: "test-assignor".to_owned(),
            assignments,
            partitions,
        })
    }

    /// Joins and syncs as the group's only member.
    pub fn settle_alone(&mut self, topics: &[Arc<str>], partition: &TopicPartition) {
        if self.id.is_empty() {
            self.learn_id(topics);
        }
        let call = self.start_join(topics);
        let answer = self.joined(call);
        assert!(answer.is_leader());
        assert_eq!(answer.members, [(self.id.clone(), b"subscription".to_vec())]);
        let id = self.id.clone();
        let call =
            self.start_sync(vec![(id.clone(), b"all".to_vec())], &[(&id, partition.clone())]);
        assert_eq!(wait(call).unwrap(), b"all");
    }

    pub fn metadata(&self) -> GroupMetadata {
        GroupMetadata {
            group: self.group.clone(),
            member_id: self.id.as_str().into(),
            generation: self.generation,
        }
    }

    pub fn heartbeat(&mut self) -> Result<(), ClientError> {
        let call = self.transport.heartbeat(self.metadata());
        wait(call)
    }

    pub fn commit(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), ClientError> {
        let offset = OffsetToCommit {
            partition: partition.clone(),
            offset,
            leader_epoch: 0,
            metadata: "m".to_owned(),
        };
        one(self.transport.commit_offsets(self.metadata(), vec![offset]))
    }
}

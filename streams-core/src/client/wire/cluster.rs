//! Where things are: brokers, the leaders of partitions, the coordinators of groups.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::metadata_request::MetadataRequestTopic;
use kacrab_protocol::generated::metadata_response::MetadataResponseTopic;
use kacrab_protocol::generated::*;
use tokio::time::Instant;

use super::super::error::ClientError;
use super::address::Address;
use super::connection::Connection;
use super::failure::Failure;
use super::pool::{Lane, Pool};
use super::settings::WireSettings;

/// How often all known addresses are tried before "nothing answers" is said. How long to go on
/// trying is the runtime's decision.
const ROUNDS: usize = 3;

/// What is known of the cluster, and the connections into it. One per handle.
pub(super) struct Cluster {
    pub(super) settings: Arc<WireSettings>,
    pool: Pool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    brokers: BTreeMap<i32, Address>,
    controller: Option<i32>,
    topics: HashMap<Arc<str>, Arc<TopicMetadata>, FixedState>,
    coordinators: HashMap<Arc<str>, Address, FixedState>,
    /// Spreads new connections over the servers.
    turn: usize,
}

/// A topic, as a broker described it.
#[derive(Debug)]
pub(super) struct TopicMetadata {
    pub(super) id: uuid::Uuid,
    /// The brokers that lead, by partition, or the error code of the partition.
    pub(super) leaders: Vec<Result<i32, i16>>,
}

/// What was asked for each topic, in the order of the question.
pub(super) type Topics = Vec<Result<Arc<TopicMetadata>, Failure>>;

/// No topic, partition or group has this code; it stands for "leader not available".
const LEADER_NOT_AVAILABLE: i16 = 5;

impl Cluster {
    pub(super) fn new(settings: Arc<WireSettings>) -> Self {
        Self { settings, pool: Pool::default(), known: Mutex::default() }
    }

    /// The deadline of a call that starts now.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.request_timeout
    }

    /// A connection to some broker.
    pub(super) async fn any(&self, deadline: Instant) -> Result<Connection, Failure> {
        if let Some(connection) = self.pool.any_open() {
            return Ok(connection);
        }
        let mut backoff = self.settings.backoff();
        let mut reasons: Vec<String> = Vec::new();
        for round in 0..ROUNDS {
            if round > 0 && !backoff.pause(deadline).await {
                break;
            }
            reasons.clear();
            for address in self.servers() {
                match self.to(&address, Lane::Prompt, deadline).await {
                    Ok(connection) => return Ok(connection),
                    // The other brokers would say the same.
                    Err(failure) if !failure.error.is_retriable() => return Err(failure),
                    Err(failure) => reasons.push(failure.error.message),
                }
            }
        }
        let message = format!(
            "no broker answers: {}: check bootstrap.servers and that Kafka runs",
            reasons.join("; ")
        );
        Err(Failure::stop(ClientError::retriable(message)))
    }

    /// A connection to the broker at `address`.
    pub(super) async fn to(
        &self,
        address: &Address,
        lane: Lane,
        deadline: Instant,
    ) -> Result<Connection, Failure> {
        self.pool.connection(lane, address, &self.settings, deadline).await
    }

    /// A connection to the broker that makes topics; any broker, if none is known.
    pub(super) async fn controller(&self, deadline: Instant) -> Result<Connection, Failure> {
        if self.known().controller.is_none() {
            self.refresh(&[], deadline).await?;
        }
        let address = {
            let known = self.known();
            known.controller.and_then(|id| known.brokers.get(&id).cloned())
        };
        match address {
            Some(address) => self.to(&address, Lane::Prompt, deadline).await,
            None => self.any(deadline).await,
        }
    }

    /// Forgets which broker makes topics.
    pub(super) fn forget_controller(&self) {
        self.known().controller = None;
    }

    /// Describes topics: what is known if `cached`, else by asking.
    pub(super) async fn topics(
        &self,
        names: &[Arc<str>],
        cached: bool,
        deadline: Instant,
    ) -> Result<Topics, Failure> {
        if cached {
            let known = self.known();
            let all: Option<Topics> =
                names.iter().map(|name| known.topics.get(name).cloned().map(Ok)).collect();
            if let Some(all) = all {
                return Ok(all);
            }
        }
        self.refresh(names, deadline).await
    }

    /// The names of all topics.
    pub(super) async fn all_topics(&self, deadline: Instant) -> Result<Vec<Arc<str>>, Failure> {
        let connection = self.any(deadline).await?;
        let request = MetadataRequestData { topics: None, ..Default::default() };
        let answer = connection.ask(deadline, |_| request).await?;
        let names = answer.topics.iter().filter_map(|topic| topic.name.as_ref());
        Ok(names.map(|name| Arc::from(name.as_str())).collect())
    }

    /// Asks some broker for metadata.
    async fn refresh(&self, names: &[Arc<str>], deadline: Instant) -> Result<Topics, Failure> {
        let connection = self.any(deadline).await?;
        let topics = names.iter().map(|name| MetadataRequestTopic {
            name: Some(KafkaString::from(name.to_string())),
            ..Default::default()
        });
        let request = MetadataRequestData {
            topics: Some(topics.collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let answer = connection.ask(deadline, |_| request).await?;
        let mut known = self.known();
        known.learn_brokers(&answer);
        let mut described: HashMap<&str, _, FixedState> = HashMap::default();
        for topic in &answer.topics {
            let Some(name) = &topic.name else { continue };
            let found = describe(topic, name.as_str());
            known.learn_topic(name.as_str(), &found);
            described.insert(name.as_str(), found);
        }
        let missing = |name: &Arc<str>| {
            Err(Failure::of_code(LEADER_NOT_AVAILABLE, &format!("describing topic {name}"), None))
        };
        Ok(names
            .iter()
            .map(|name| described.get(&**name).cloned().unwrap_or_else(|| missing(name)))
            .collect())
    }

    /// The address of a broker by its id.
    pub(super) fn broker(&self, id: i32) -> Option<Address> {
        self.known().brokers.get(&id).cloned()
    }

    /// A connection to the coordinator of a group.
    pub(super) async fn coordinator(
        &self,
        group: &Arc<str>,
        lane: Lane,
        deadline: Instant,
    ) -> Result<Connection, Failure> {
        let known = self.known().coordinators.get(group).cloned();
        let address = match known {
            Some(address) => address,
            None => self.find_coordinator(group, deadline).await?,
        };
        match self.to(&address, lane, deadline).await {
            Err(failure) => {
                self.lose_coordinator(group, &failure.error);
                Err(failure)
            }
            found => found,
        }
    }

    /// Forgets which broker coordinates a group.
    pub(super) fn forget_coordinator(&self, group: &Arc<str>) {
        self.known().coordinators.remove(group);
    }

    /// The coordinator of a group is gone: whoever waits for it on any lane is told at once.
    pub(super) fn lose_coordinator(&self, group: &Arc<str>, why: &ClientError) {
        let lost = self.known().coordinators.remove(group);
        if let Some(address) = lost {
            self.pool.close(Lane::Waiting, &address, why);
            self.pool.close(Lane::Prompt, &address, why);
        }
    }

    /// Nobody waits any more for what a group's coordinator holds back: it would hold back the next
    /// request of that connection as well.
    pub(super) fn give_up_waiting(&self, group: &Arc<str>) {
        let coordinator = self.known().coordinators.get(group).cloned();
        if let Some(address) = coordinator {
            let why = ClientError::retriable("nobody waits for the answer any more");
            self.pool.close(Lane::Waiting, &address, &why);
        }
    }

    async fn find_coordinator(
        &self,
        group: &Arc<str>,
        deadline: Instant,
    ) -> Result<Address, Failure> {
        let connection = self.any(deadline).await?;
        let key = KafkaString::from(group.to_string());
        let answer = connection
            .ask(deadline, |version| match version {
                ..=3 => FindCoordinatorRequestData { key, ..Default::default() },
                _ => {
                    FindCoordinatorRequestData { coordinator_keys: vec![key], ..Default::default() }
                }
            })
            .await?;
        let (code, text, host, port) = match answer.coordinators.first() {
            Some(found) => (found.error_code, &found.error_message, &found.host, found.port),
            None => (answer.error_code, &answer.error_message, &answer.host, answer.port),
        };
        if code != 0 {
            let what = format!("finding the coordinator of group {group}");
            return Err(Failure::of_code(code, &what, text.as_ref().map(KafkaString::as_str)));
        }
        let address = Address::of_broker(host.as_str(), port).map_err(Failure::look_up)?;
        self.known().coordinators.insert(group.clone(), address.clone());
        Ok(address)
    }

    /// The brokers that are known, then those of the configuration, starting at another one each
    /// time.
    fn servers(&self) -> Vec<Address> {
        let mut known = self.known();
        known.turn = known.turn.wrapping_add(1);
        let rotated = |list: Vec<Address>| {
            let start = if list.is_empty() { 0 } else { known.turn % list.len() };
            let (last, first) = list.split_at(start);
            [first, last].concat()
        };
        let mut servers = rotated(known.brokers.values().cloned().collect());
        for address in rotated(self.settings.bootstrap.clone()) {
            if !servers.contains(&address) {
                servers.push(address);
            }
        }
        servers
    }

    // No foreign code runs under this lock, so a poisoned one still guards a whole value.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn learn_brokers(&mut self, answer: &MetadataResponseData) {
        let brokers: BTreeMap<i32, Address> = answer
            .brokers
            .iter()
            .filter_map(|b| Some((b.node_id, Address::of_broker(b.host.as_str(), b.port).ok()?)))
            .collect();
        // A broker that is just starting may know none yet.
        if !brokers.is_empty() {
            self.brokers = brokers;
        }
        self.controller = (answer.controller_id >= 0).then_some(answer.controller_id);
    }

    fn learn_topic(&mut self, name: &str, found: &Result<Arc<TopicMetadata>, Failure>) {
        match found {
            Ok(topic) => self.topics.insert(name.into(), topic.clone()),
            Err(_) => self.topics.remove(name),
        };
    }
}

fn describe(topic: &MetadataResponseTopic, name: &str) -> Result<Arc<TopicMetadata>, Failure> {
    Failure::check(topic.error_code, || format!("describing topic {name}"))?;
    let mut leaders = vec![Err(LEADER_NOT_AVAILABLE); topic.partitions.len()];
    for partition in &topic.partitions {
        let index = usize::try_from(partition.partition_index).ok();
        let Some(slot) = index.and_then(|index| leaders.get_mut(index)) else {
            let message = format!("topic {name} has gaps in its partitions");
            return Err(Failure::look_up(ClientError::retriable(message)));
        };
        *slot = match partition.leader_id {
            // Some codes concern replicas only, and leave the leader usable.
            leader @ 0.. => Ok(leader),
            _ if partition.error_code != 0 => Err(partition.error_code),
            _ => Err(LEADER_NOT_AVAILABLE),
        };
    }
    let id = *topic.topic_id.inner();
    Ok(Arc::new(TopicMetadata { id, leaders }))
}

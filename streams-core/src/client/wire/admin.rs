//! Topics and offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kacrab_protocol::generated::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kacrab_protocol::generated::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kacrab_protocol::generated::*;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::super::call::{Call, WakeRef};
use super::super::error::ClientError;
use super::super::seam::{
    Admin, CommittedOffset, Each, Isolation, NewTopic, OffsetSpec, TopicDescription, TopicPartition,
};
use super::cluster::Cluster;
use super::committed::{Committed, fetch_committed};
use super::connection::Connection;
use super::failure::{Failure, Next};
use super::partition_calls::{Answers, PartitionCall, ask_leaders};
use super::retry::retrying;
use super::tasks::Tasks;

/// [`Admin`] over our own connections.
pub(super) struct WireAdmin {
    cluster: Arc<Cluster>,
    tasks: Tasks,
}

impl WireAdmin {
    pub(super) fn new(cluster: Arc<Cluster>, handle: Handle, wake: WakeRef) -> Self {
        Self { cluster, tasks: Tasks::new(handle, wake) }
    }
}

impl Admin for WireAdmin {
    fn describe_topics(&mut self, topics: Vec<Arc<str>>) -> Call<Each<TopicDescription>> {
        let cluster = self.cluster.clone();
        self.tasks.start(async move { describe_topics(&cluster, topics).await })
    }

    fn list_topics(&mut self) -> Call<Vec<Arc<str>>> {
        let cluster = self.cluster.clone();
        self.tasks.start(async move {
            let deadline = cluster.deadline();
            let attempt = async || cluster.all_topics(deadline).await;
            let topics = retrying(cluster.settings.backoff(), deadline, attempt);
            topics.await.map_err(|failure| failure.error)
        })
    }

    fn create_topics(&mut self, topics: Vec<NewTopic>) -> Call<Each<()>> {
        let cluster = self.cluster.clone();
        self.tasks.start(async move { create_topics(&cluster, &topics).await })
    }

    fn list_offsets(
        &mut self,
        partitions: Vec<(TopicPartition, OffsetSpec)>,
        isolation: Isolation,
    ) -> Call<Each<i64>> {
        let cluster = self.cluster.clone();
        self.tasks.start(async move { list_offsets(&cluster, &partitions, isolation).await })
    }

    fn committed_offsets(
        &mut self,
        group: &str,
        partitions: Vec<TopicPartition>,
        stable: bool,
    ) -> Call<Each<Option<CommittedOffset>>> {
        let cluster = self.cluster.clone();
        let asked = Committed { group: group.into(), partitions, stable };
        self.tasks.start(async move { fetch_committed(&cluster, &asked).await })
    }

    fn delete_records(&mut self, before: Vec<(TopicPartition, i64)>) -> Call<Each<()>> {
        let cluster = self.cluster.clone();
        self.tasks.start(async move {
            Ok(ask_leaders(&cluster, &DeleteRecords, &before, cluster.deadline()).await)
        })
    }
}

// ---- topics -----------------------------------------------------------------------------------

async fn describe_topics(
    cluster: &Cluster,
    names: Vec<Arc<str>>,
) -> Result<Each<TopicDescription>, ClientError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let deadline = cluster.deadline();
    let attempt = async || {
        let topics = cluster.topics(&names, false, deadline).await?;
        // A topic that is just being made has no leaders yet: together they are asked again.
        match topics.iter().find_map(|t| t.as_ref().err().filter(|f| f.next != Next::Stop)) {
            Some(failure) => Err(failure.clone()),
            None => Ok(topics),
        }
    };
    let topics = retrying(cluster.settings.backoff(), deadline, attempt);
    let topics = topics.await.map_err(|failure| failure.error)?;
    let described = names.iter().zip(topics).map(|(name, topic)| {
        let topic = topic.map_err(|failure| failure.error)?;
        let partitions = i32::try_from(topic.leaders.len()).unwrap_or(i32::MAX);
        Ok(TopicDescription { name: name.clone(), id: topic.id, partitions })
    });
    Ok(described.collect())
}

/// An answer that was lost and asked for again may say "exists" of a topic that this call made.
async fn create_topics(cluster: &Cluster, topics: &[NewTopic]) -> Result<Each<()>, ClientError> {
    let deadline = cluster.deadline();
    let mut backoff = cluster.settings.backoff();
    let mut results: BTreeMap<&str, Result<(), Failure>> = BTreeMap::new();
    loop {
        let open: Vec<&NewTopic> = topics
            .iter()
            .filter(|topic| match results.get(&*topic.name) {
                None => true,
                Some(result) => result.as_ref().is_err_and(|f| f.next != Next::Stop),
            })
            .collect();
        if open.is_empty() {
            break;
        }
        match create_once(cluster, &open, deadline).await {
            Ok(answers) => {
                for topic in open {
                    let answer = answers.get(&*topic.name).cloned();
                    results.insert(&topic.name, answer.unwrap_or_else(|| Err(no_answer(topic))));
                }
            }
            Err(failure) => {
                cluster.forget_controller();
                results.extend(open.iter().map(|topic| (&*topic.name, Err(failure.clone()))));
            }
        }
        if results.values().any(|r| r.as_ref().is_err_and(|f| f.next == Next::LookUp)) {
            cluster.forget_controller();
        }
        let settled =
            results.values().all(|r| r.as_ref().map_or_else(|f| f.next == Next::Stop, |()| true));
        if settled || !backoff.pause(deadline).await {
            break;
        }
    }
    let result = |topic: &NewTopic| match results.get(&*topic.name) {
        Some(result) => result.clone().map_err(|failure| failure.error),
        None => Err(no_answer(topic).error),
    };
    Ok(topics.iter().map(result).collect())
}

async fn create_once(
    cluster: &Cluster,
    topics: &[&NewTopic],
    deadline: Instant,
) -> Result<BTreeMap<String, Result<(), Failure>>, Failure> {
    let controller = cluster.controller(deadline).await?;
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let request = CreateTopicsRequestData {
        topics: topics.iter().map(|topic| to_create(topic)).collect(),
        timeout_ms: i32::try_from(left).unwrap_or(i32::MAX),
        ..Default::default()
    };
    let answer = controller.ask(deadline, |_| request).await?;
    let results = answer.topics.iter().map(|topic| {
        let name = topic.name.as_str().to_owned();
        let result = match topic.error_code {
            0 => Ok(()),
            code => {
                let told = topic.error_message.as_ref().map(KafkaString::as_str);
                Err(Failure::of_code(code, &format!("creating topic {name}"), told))
            }
        };
        (name, result)
    });
    Ok(results.collect())
}

fn to_create(topic: &NewTopic) -> CreatableTopic {
    let config = |(name, value): (&String, &String)| CreatableTopicConfig {
        name: KafkaString::from(name.clone()),
        value: Some(KafkaString::from(value.clone())),
        ..Default::default()
    };
    CreatableTopic {
        name: KafkaString::from(topic.name.to_string()),
        num_partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs: topic.configs.iter().map(config).collect(),
        ..Default::default()
    }
}

fn no_answer(topic: &NewTopic) -> Failure {
    let message = format!("the broker did not answer for topic {}", topic.name);
    Failure::look_up(ClientError::retriable(message))
}

// ---- positions --------------------------------------------------------------------------------

/// A position and, where a record was looked for, whether one was found.
type Position = Option<i64>;

struct ListOffsets {
    isolation: Isolation,
}

/// No record is that young: the position is the end.
async fn list_offsets(
    cluster: &Cluster,
    partitions: &[(TopicPartition, OffsetSpec)],
    isolation: Isolation,
) -> Result<Each<i64>, ClientError> {
    let deadline = cluster.deadline();
    let call = ListOffsets { isolation };
    let found = ask_leaders(cluster, &call, partitions, deadline).await;
    let without: Vec<_> = partitions
        .iter()
        .zip(&found)
        .filter(|(_, found)| matches!(found, Ok(None)))
        .map(|((partition, _), _)| (partition.clone(), OffsetSpec::Latest))
        .collect();
    let ends = ask_leaders(cluster, &call, &without, deadline).await;
    let mut ends = without.iter().map(|(partition, _)| partition).zip(ends);
    let position = |(found, (asked, _)): (Result<Position, ClientError>, &(TopicPartition, _))| {
        if let Some(position) = found? {
            return Ok(position);
        }
        let end = ends.find(|(partition, _)| *partition == asked).map(|(_, end)| end);
        end.and_then(Result::transpose).unwrap_or_else(|| {
            let message = format!("the broker told no end of {asked}");
            Err(ClientError::retriable(message))
        })
    };
    Ok(found.into_iter().zip(partitions).map(position).collect())
}

impl PartitionCall for ListOffsets {
    type Item = (TopicPartition, OffsetSpec);
    type Answer = Position;

    fn partition(item: &Self::Item) -> &TopicPartition {
        &item.0
    }

    async fn ask(
        &self,
        leader: &Connection,
        items: &[&Self::Item],
        deadline: Instant,
    ) -> Result<Answers<Position>, Failure> {
        let topics = by_topic(items.iter().map(|(partition, spec)| (partition, spec)));
        let topics = topics.into_iter().map(|(name, partitions)| ListOffsetsTopic {
            name,
            partitions: partitions.into_iter().map(|(p, spec)| to_list(p, *spec)).collect(),
            ..Default::default()
        });
        let request = ListOffsetsRequestData {
            replica_id: -1,
            isolation_level: i8::from(self.isolation == Isolation::ReadCommitted),
            topics: topics.collect(),
            ..Default::default()
        };
        let answer = leader.ask(deadline, |_| request).await?;
        let mut answers = Answers::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let index = partition.partition_index;
                let what = || format!("finding an offset of {}-{index}", topic.name.as_str());
                let found = Failure::check(partition.error_code, what)
                    .map(|()| (partition.offset >= 0).then_some(partition.offset));
                answers.insert((topic.name.as_str().to_owned(), index), found);
            }
        }
        Ok(answers)
    }
}

fn to_list(partition_index: i32, spec: OffsetSpec) -> ListOffsetsPartition {
    let timestamp = match spec {
        OffsetSpec::Latest => -1,
        OffsetSpec::Earliest => -2,
        // Negative times have meanings of their own on the wire.
        OffsetSpec::AtTimestamp(timestamp) => timestamp.max(0),
    };
    ListOffsetsPartition { partition_index, timestamp, ..Default::default() }
}

// ---- deletion ---------------------------------------------------------------------------------

struct DeleteRecords;

impl PartitionCall for DeleteRecords {
    type Item = (TopicPartition, i64);
    type Answer = ();

    fn partition(item: &Self::Item) -> &TopicPartition {
        &item.0
    }

    async fn ask(
        &self,
        leader: &Connection,
        items: &[&Self::Item],
        deadline: Instant,
    ) -> Result<Answers<()>, Failure> {
        let topics = by_topic(items.iter().map(|(partition, before)| (partition, before)));
        let to_delete = |(partition_index, offset): (i32, &i64)| DeleteRecordsPartition {
            partition_index,
            offset: *offset,
            ..Default::default()
        };
        let topics = topics.into_iter().map(|(name, partitions)| DeleteRecordsTopic {
            name,
            partitions: partitions.into_iter().map(to_delete).collect(),
            ..Default::default()
        });
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let request = DeleteRecordsRequestData {
            topics: topics.collect(),
            timeout_ms: i32::try_from(left).unwrap_or(i32::MAX),
            ..Default::default()
        };
        let answer = leader.ask(deadline, |_| request).await?;
        let mut answers = Answers::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let index = partition.partition_index;
                let what = || format!("deleting records of {}-{index}", topic.name.as_str());
                let done = Failure::check(partition.error_code, what);
                answers.insert((topic.name.as_str().to_owned(), index), done);
            }
        }
        Ok(answers)
    }
}

/// Partitions with something each, by topic.
pub(super) fn by_topic<'a, T>(
    partitions: impl Iterator<Item = (&'a TopicPartition, T)>,
) -> Vec<(KafkaString, Vec<(i32, T)>)> {
    let mut topics: BTreeMap<&str, Vec<(i32, T)>> = BTreeMap::new();
    for (partition, with) in partitions {
        topics.entry(&partition.topic).or_default().push((partition.partition, with));
    }
    topics.into_iter().map(|(name, list)| (KafkaString::from(name.to_owned()), list)).collect()
}

//! OffsetFetch: what a group committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kacrab_protocol::generated::*;
use tokio::time::Instant;

use super::super::error::{ClientError, ClientErrorKind};
use super::super::seam::{CommittedOffset, Each, TopicPartition};
use super::admin::by_topic;
use super::cluster::Cluster;
use super::failure::{Failure, Next};
use super::pool::Lane;
use super::retry::retrying;

/// What is asked.
pub(super) struct Committed {
    pub(super) group: Arc<str>,
    pub(super) partitions: Vec<TopicPartition>,
    /// Tell of offsets that a transaction is about to change.
    pub(super) stable: bool,
}

type Answer = Result<Option<CommittedOffset>, ClientError>;

/// Asks the coordinator.
pub(super) async fn fetch_committed(
    cluster: &Cluster,
    asked: &Committed,
) -> Result<Each<Option<CommittedOffset>>, ClientError> {
    if asked.partitions.is_empty() {
        return Ok(Vec::new());
    }
    let deadline = cluster.deadline();
    let attempt = async || {
        let answer = fetch_once(cluster, asked, deadline).await;
        if answer.as_ref().is_err_and(|failure| failure.next == Next::LookUp) {
            cluster.forget_coordinator(&asked.group);
        }
        answer
    };
    let answers = retrying(cluster.settings.backoff(), deadline, attempt);
    let answers = answers.await.map_err(|failure| failure.error)?;
    let missing = |partition: &TopicPartition| {
        Err(ClientError::retriable(format!("the broker did not answer for {partition}")))
    };
    let answer = |partition: &TopicPartition| {
        let key = (partition.topic.to_string(), partition.partition);
        answers.get(&key).cloned().unwrap_or_else(|| missing(partition))
    };
    Ok(asked.partitions.iter().map(answer).collect())
}

async fn fetch_once(
    cluster: &Cluster,
    asked: &Committed,
    deadline: Instant,
) -> Result<BTreeMap<(String, i32), Answer>, Failure> {
    let coordinator = cluster.coordinator(&asked.group, Lane::Prompt, deadline).await?;
    let mut version = 0;
    let request = |agreed| {
        version = agreed;
        to_request(asked, agreed)
    };
    let answer = coordinator.ask(deadline, request).await?;
    if asked.stable && version < 7 {
        return Err(Failure::stop(ClientError::new(
            ClientErrorKind::Unsupported,
            format!("{} cannot tell stable offsets: use Kafka 2.5 or later", coordinator.name()),
        )));
    }
    let what = || format!("reading committed offsets of group {}", asked.group);
    let mut answers = BTreeMap::new();
    match answer.groups.into_iter().next() {
        Some(group) => {
            Failure::check(group.error_code, what)?;
            for topic in group.topics {
                for p in topic.partitions {
                    let answer = read(p.error_code, p.committed_offset, what);
                    let with = with_details(answer, p.committed_leader_epoch, p.metadata)?;
                    answers.insert((topic.name.as_str().to_owned(), p.partition_index), with);
                }
            }
        }
        None => {
            Failure::check(answer.error_code, what)?;
            for topic in answer.topics {
                for p in topic.partitions {
                    let answer = read(p.error_code, p.committed_offset, what);
                    let with = with_details(answer, p.committed_leader_epoch, p.metadata)?;
                    answers.insert((topic.name.as_str().to_owned(), p.partition_index), with);
                }
            }
        }
    }
    Ok(answers)
}

/// Version 8 asks for several groups, and so has another layout. Member null and epoch -1 ask as
/// somebody outside of the group.
fn to_request(asked: &Committed, version: i16) -> OffsetFetchRequestData {
    let topics = by_topic(asked.partitions.iter().map(|partition| (partition, ())));
    let topics = topics.into_iter().map(|(name, partitions)| {
        (name, partitions.into_iter().map(|(index, ())| index).collect::<Vec<_>>())
    });
    let group_id = KafkaString::from(asked.group.to_string());
    if version < 8 {
        let to_topic = |(name, partition_indexes)| OffsetFetchRequestTopic {
            name,
            partition_indexes,
            ..Default::default()
        };
        return OffsetFetchRequestData {
            group_id,
            topics: Some(topics.map(to_topic).collect()),
            require_stable: asked.stable && version >= 7,
            ..Default::default()
        };
    }
    let to_topic = |(name, partition_indexes)| OffsetFetchRequestTopics {
        name,
        partition_indexes,
        ..Default::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id,
        topics: Some(topics.map(to_topic).collect()),
        ..Default::default()
    };
    OffsetFetchRequestData {
        groups: vec![group],
        require_stable: asked.stable,
        ..Default::default()
    }
}

/// The offset of one partition; negative is "never committed".
fn read(code: i16, offset: i64, what: impl FnOnce() -> String) -> Result<Option<i64>, Failure> {
    Failure::check(code, what).map(|()| (offset >= 0).then_some(offset))
}

/// Errors that concern the coordinator are the call's, others the partition's.
fn with_details(
    offset: Result<Option<i64>, Failure>,
    leader_epoch: i32,
    metadata: Option<KafkaString>,
) -> Result<Answer, Failure> {
    match offset {
        Err(failure) if failure.next != Next::Stop => Err(failure),
        Err(failure) => Ok(Err(failure.error)),
        Ok(None) => Ok(Ok(None)),
        Ok(Some(offset)) => {
            let metadata = metadata.map_or_else(String::new, |text| text.as_str().to_owned());
            Ok(Ok(Some(CommittedOffset { offset, leader_epoch, metadata })))
        }
    }
}

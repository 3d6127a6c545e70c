//! Requests about partitions, which go to the leader of each: split by leader, asked side by side,
//! and asked again where leaders moved.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures::future::join_all;
use tokio::time::Instant;

use super::super::error::{ClientError, ClientErrorKind};
use super::super::seam::{Each, TopicPartition};
use super::address::Address;
use super::cluster::Cluster;
use super::connection::Connection;
use super::failure::{Failure, Next};
use super::pool::Lane;

/// A kind of question about partitions.
pub(super) trait PartitionCall: Send + Sync {
    /// One question.
    type Item: Send + Sync;
    /// Its answer.
    type Answer: Send;

    /// Which partition it concerns.
    fn partition(item: &Self::Item) -> &TopicPartition;

    /// Asks the leader of all of `items`; the answers come by topic and partition.
    fn ask(
        &self,
        leader: &Connection,
        items: &[&Self::Item],
        deadline: Instant,
    ) -> impl Future<Output = Result<Answers<Self::Answer>, Failure>> + Send;
}

/// What a leader answered, by topic and partition.
pub(super) type Answers<T> = BTreeMap<(String, i32), Result<T, Failure>>;

/// How often a topic that a broker does not know is asked for: brokers learn of a new topic one
/// after the other.
const UNKNOWN_TOPIC_ATTEMPTS: usize = 4;

const UNKNOWN_TOPIC: i16 = 3;

/// Asks about all of `items`; an answer each, by the deadline.
pub(super) async fn ask_leaders<C: PartitionCall>(
    cluster: &Cluster,
    call: &C,
    items: &[C::Item],
    deadline: Instant,
) -> Each<C::Answer> {
    let mut answers: Vec<Option<Result<C::Answer, Failure>>> = items.iter().map(|_| None).collect();
    let mut backoff = cluster.settings.backoff();
    for attempt in 0.. {
        let open: Vec<usize> =
            (0..items.len()).filter(|i| is_open(&answers[*i], attempt)).collect();
        if open.is_empty() || (attempt > 0 && !backoff.pause(deadline).await) {
            break;
        }
        attempt_all(cluster, call, items, &open, attempt == 0, deadline, &mut answers).await;
    }
    let unanswered = || Err(ClientError::retriable("there was no time to ask"));
    answers
        .into_iter()
        .map(|answer| answer.map_or_else(unanswered, |answer| answer.map_err(|f| f.error)))
        .collect()
}

/// Whether it is right to ask, or to ask again.
fn is_open<T>(answer: &Option<Result<T, Failure>>, attempt: usize) -> bool {
    match answer {
        None => true,
        Some(Ok(_)) => false,
        Some(Err(failure)) => {
            failure.next != Next::Stop
                || (failure.error.kind == ClientErrorKind::UnknownTopic
                    && attempt < UNKNOWN_TOPIC_ATTEMPTS)
        }
    }
}

async fn attempt_all<C: PartitionCall>(
    cluster: &Cluster,
    call: &C,
    items: &[C::Item],
    open: &[usize],
    cached: bool,
    deadline: Instant,
    answers: &mut [Option<Result<C::Answer, Failure>>],
) {
    let partitions: Vec<_> = open.iter().map(|i| C::partition(&items[*i])).collect();
    let leaders = find_leaders(cluster, &partitions, cached, deadline).await;
    let mut batches: BTreeMap<(Address, usize), Vec<usize>> = BTreeMap::new();
    let mut times_asked: BTreeMap<&TopicPartition, usize> = BTreeMap::new();
    for ((index, partition), leader) in open.iter().zip(partitions).zip(leaders) {
        match leader {
            Ok(address) => {
                // Brokers refuse to be asked twice about a partition in one request.
                let turn = times_asked.entry(partition).or_default();
                batches.entry((address, *turn)).or_default().push(*index);
                *turn += 1;
            }
            Err(failure) => answers[*index] = Some(Err(failure)),
        }
    }
    let calls = batches.into_iter().map(async |((address, _), indexes)| {
        let asked: Vec<_> = indexes.iter().map(|i| &items[*i]).collect();
        let answer = match cluster.to(&address, Lane::Prompt, deadline).await {
            Ok(leader) => call.ask(&leader, &asked, deadline).await,
            Err(failure) => Err(failure),
        };
        (indexes, answer)
    });
    for (indexes, answer) in join_all(calls).await {
        let mut answer = answer;
        for index in indexes {
            let partition = C::partition(&items[index]);
            answers[index] = Some(match &mut answer {
                Ok(found) => take(found, partition),
                Err(failure) => Err(failure.clone()),
            });
        }
    }
}

/// The address of each partition's leader.
async fn find_leaders(
    cluster: &Cluster,
    partitions: &[&TopicPartition],
    cached: bool,
    deadline: Instant,
) -> Vec<Result<Address, Failure>> {
    let mut names: Vec<Arc<str>> = partitions.iter().map(|p| p.topic.clone()).collect();
    names.sort();
    names.dedup();
    let topics = match cluster.topics(&names, cached, deadline).await {
        Ok(topics) => topics,
        Err(failure) => return partitions.iter().map(|_| Err(failure.clone())).collect(),
    };
    let leader = |partition: &&TopicPartition| {
        let position = names.binary_search(&partition.topic).map_err(|_| missing(partition))?;
        let topic = topics[position].as_ref().map_err(Failure::clone)?;
        let index = usize::try_from(partition.partition).ok();
        let code = match index.and_then(|index| topic.leaders.get(index)) {
            Some(Ok(id)) => match cluster.broker(*id) {
                Some(address) => return Ok(address),
                None => 5,
            },
            Some(Err(code)) => *code,
            None => UNKNOWN_TOPIC,
        };
        Err(Failure::of_code(code, &format!("finding the leader of {partition}"), None))
    };
    partitions.iter().map(leader).collect()
}

fn take<T>(answers: &mut Answers<T>, partition: &TopicPartition) -> Result<T, Failure> {
    let key = (partition.topic.to_string(), partition.partition);
    answers.remove(&key).unwrap_or_else(|| Err(missing(partition)))
}

fn missing(partition: &TopicPartition) -> Failure {
    Failure::look_up(ClientError::retriable(format!("the broker did not answer for {partition}")))
}

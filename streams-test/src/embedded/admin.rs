//! Topics and offsets for the application.

use std::sync::Arc;

use streams_core::client::{
    Admin, Call, ClientError, ClientErrorKind, CommittedOffset, Each, Isolation, NewTopic,
    OffsetSpec, TopicDescription, TopicPartition, WakeRef,
};

use super::cluster::{Cluster, unknown_topic};
use super::faults::Step;
use super::log::OutOfRange;
use super::topic::invalid;

pub(super) struct EmbeddedAdmin {
    cluster: Arc<Cluster>,
    wake: WakeRef,
}

impl EmbeddedAdmin {
    pub(super) fn new(cluster: Arc<Cluster>, wake: WakeRef) -> Self {
        Self { cluster, wake }
    }

    fn each<Q, A>(
        &self,
        step: Step,
        questions: Vec<Q>,
        answer: impl Fn(&Cluster, Q) -> Result<A, ClientError> + Send + 'static,
    ) -> Call<Each<A>>
    where
        Q: Clone + Send + 'static,
        A: Send + 'static,
    {
        self.cluster.request(&self.wake, step, "", move |cluster| {
            Ok(questions.iter().cloned().map(|question| answer(cluster, question)).collect())
        })
    }
}

impl Admin for EmbeddedAdmin {
    fn describe_topics(&mut self, topics: Vec<Arc<str>>) -> Call<Each<TopicDescription>> {
        self.each(Step::DescribeTopics, topics, |cluster, name| cluster.describe(&name))
    }

    fn list_topics(&mut self) -> Call<Vec<Arc<str>>> {
        self.cluster.request(&self.wake, Step::DescribeTopics, "", |cluster| Ok(cluster.names()))
    }

    fn create_topics(&mut self, topics: Vec<NewTopic>) -> Call<Each<()>> {
        self.each(Step::CreateTopics, topics, |cluster, topic| cluster.create_topic(&topic))
    }

    fn list_offsets(
        &mut self,
        partitions: Vec<(TopicPartition, OffsetSpec)>,
        isolation: Isolation,
    ) -> Call<Each<i64>> {
        self.each(Step::ListOffsets, partitions, move |cluster, (name, spec)| {
            cluster.partition(&name.topic, name.partition)?.with_log(|log| match spec {
                OffsetSpec::Earliest => log.start(),
                OffsetSpec::Latest => log.end(isolation),
                OffsetSpec::AtTimestamp(timestamp) => log.offset_at(timestamp, isolation),
            })
        })
    }

    fn committed_offsets(
        &mut self,
        group: &str,
        partitions: Vec<TopicPartition>,
        stable: bool,
    ) -> Call<Each<Option<CommittedOffset>>> {
        let name = group.to_owned();
        self.cluster.request(&self.wake, Step::CommittedOffsets, group, move |cluster| {
            Ok(cluster.groups.fetch_offsets(&name, &partitions, stable))
        })
    }

    fn delete_records(&mut self, before: Vec<(TopicPartition, i64)>) -> Call<Each<()>> {
        self.each(Step::DeleteRecords, before, |cluster, (name, offset)| {
            let topic = cluster.topic(&name.topic).ok_or_else(|| unknown_topic(&name.topic))?;
            if !topic.settings.deletes {
                return Err(invalid(format!(
                    "records of {name} cannot be deleted: its cleanup.policy is compact"
                )));
            }
            let deleted = cluster
                .partition(&name.topic, name.partition)?
                .with_log(|log| log.delete_before(offset))?;
            deleted.map_err(|OutOfRange| {
                ClientError::new(
                    ClientErrorKind::OffsetOutOfRange,
                    format!("offset {offset} is past the end of {name}"),
                )
            })
        })
    }
}

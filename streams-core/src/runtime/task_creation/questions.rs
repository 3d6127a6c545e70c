//! What has to be known of Kafka before a task can run: where its inputs were left, and how far
//! the changelogs of its stores go.

use uuid::Uuid;

use super::CreationContext;
use super::store_in_creation::StoreInCreation;
use crate::client::{
    ClientError, CommittedOffset, Isolation, OffsetSpec, TopicDescription, TopicPartition,
};
use crate::runtime::asked::Asked;
use crate::runtime::task_plan::TaskPlan;

/// Questions under way.
pub(super) struct Questions {
    pub(super) committed: Asked<Option<CommittedOffset>>,
    topics: Asked<TopicDescription>,
    earliest: Asked<i64>,
    ends: Asked<i64>,
    /// The stores that the last three are about.
    stores: Vec<usize>,
}

/// How far the changelog of a store goes.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    /// The store's place among those of the task.
    pub(super) store: usize,
    pub(super) topic_id: Uuid,
    pub(super) earliest: i64,
    pub(super) end: i64,
    /// What comes at the end and after it is not the store's, or not yet.
    pub(super) strict: bool,
}

impl Questions {
    /// Asks everything at once.
    pub(super) fn ask(
        plan: &TaskPlan,
        stores: &[StoreInCreation],
        cx: &mut CreationContext<'_>,
    ) -> Self {
        let inputs = plan.inputs.iter().map(|input| input.partition.clone()).collect();
        let group = &cx.shared.config.application_id;
        let committed = Asked::Waiting(cx.admin.committed_offsets(group, inputs, true));
        let (stores, changelogs): (Vec<usize>, Vec<TopicPartition>) = stores
            .iter()
            .enumerate()
            .filter_map(|(index, store)| {
                let changelog = store.changelog.as_ref()?;
                Some((index, changelog.partition.clone()))
            })
            .unzip();
        let topics = changelogs.iter().map(|changelog| changelog.topic.clone()).collect();
        let at = |spec| changelogs.iter().map(|p| (p.clone(), spec)).collect::<Vec<_>>();
        let (earliest, latest) = (at(OffsetSpec::Earliest), at(OffsetSpec::Latest));
        Self {
            committed,
            topics: Asked::new(changelogs.len(), || cx.admin.describe_topics(topics)),
            earliest: Asked::new(changelogs.len(), || {
                cx.admin.list_offsets(earliest, Isolation::ReadUncommitted)
            }),
            // The end counts open transactions too: they may become part of it.
            ends: Asked::new(changelogs.len(), || {
                cx.admin.list_offsets(latest, Isolation::ReadUncommitted)
            }),
            stores,
        }
    }

    /// Whether every answer is there.
    pub(super) fn poll(&mut self) -> Result<bool, ClientError> {
        let mut answered = true;
        for there in
            [self.committed.poll(), self.topics.poll(), self.earliest.poll(), self.ends.poll()]
        {
            answered &= there?;
        }
        Ok(answered)
    }

    /// Of each store with a changelog, once every answer is there.
    pub(super) fn into_extents(self) -> Vec<Extent> {
        let ends = self.earliest.into_answers().into_iter().zip(self.ends.into_answers());
        let topics = self.topics.into_answers().into_iter().zip(ends);
        let extent = |(store, (topic, (earliest, end))): (usize, (TopicDescription, _))| Extent {
            store,
            topic_id: topic.id,
            earliest,
            end,
            strict: false,
        };
        self.stores.into_iter().zip(topics).map(extent).collect()
    }
}

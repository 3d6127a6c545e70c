//! What a task consists of, as far as the runtime is concerned.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::client::TopicPartition;
use crate::config::ResolvedConfig;
use crate::stores::StoreDeclaration;
use crate::task_id::TaskId;
use crate::topology::{OffsetReset, Topology};

/// The inputs and stores of one task.
#[derive(Clone)]
pub(crate) struct TaskPlan {
    pub(crate) id: TaskId,
    pub(crate) inputs: Vec<PlannedInput>,
    pub(crate) stores: Vec<Arc<StoreDeclaration>>,
}

/// One input partition.
#[derive(Clone)]
pub(crate) struct PlannedInput {
    pub(crate) partition: TopicPartition,
    /// Where to begin without a committed position.
    pub(crate) reset: OffsetReset,
}

impl TaskPlan {
    /// The plan of task `id`, when the topics have these partition counts.
    pub(crate) fn new(
        topology: &Topology,
        config: &ResolvedConfig,
        id: TaskId,
        partition_counts: &BTreeMap<Arc<str>, i32>,
    ) -> Self {
        let application_id = &config.application_id;
        let topics = topology.topics_among(id.subtopology, application_id, partition_counts);
        let has_partition = |topic: &Arc<str>| {
            partition_counts.get(topic).is_some_and(|count| id.partition < *count)
        };
        let inputs = topics.into_iter().filter(has_partition).map(|topic| {
            // What we wrote into an internal topic must all be read, whatever users' topics do.
            let reset = if topology.is_repartition_topic(&topic, application_id) {
                OffsetReset::Earliest
            } else {
                topology.offset_reset(&topic, application_id).unwrap_or(config.auto_offset_reset)
            };
            PlannedInput { partition: TopicPartition { topic, partition: id.partition }, reset }
        });
        Self { id, inputs: inputs.collect(), stores: topology.stores(id.subtopology) }
    }

    /// Whether these are its inputs, in its order.
    pub(crate) fn is_read_by<'a>(&self, inputs: impl Iterator<Item = &'a PlannedInput>) -> bool {
        inputs.map(|input| &input.partition).eq(self.inputs.iter().map(|input| &input.partition))
    }
}

//! What the driver is made of, before its tasks are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use streams_core::assignment::PartitionPlan;
use streams_core::config::{Handlers, ResolvedConfig};
use streams_core::stores::GlobalStores;
use streams_core::topology::{InternalTopicSettings, Topology};
use streams_core::{StreamsError, TaskId, Timestamp};

/// What a test said of its driver.
pub(super) struct Setup {
    pub(super) topology: Topology,
    pub(super) application_id: Arc<str>,
    pub(super) handlers: Handlers,
    /// What the tasks read their global stores through.
    pub(super) globals: GlobalStores,
    /// `None`: tasks never wait for their empty inputs.
    pub(super) max_task_idle: Option<Duration>,
    /// Whether the processors of global stores have the handler of the others.
    pub(super) global_processing_handler: bool,
    pub(super) wall_clock: Timestamp,
    pub(super) manual_commit: bool,
    /// As the test gave them.
    pub(super) partitions: BTreeMap<String, i32>,
}

/// Which tasks there are and what they read.
pub(super) struct Layout {
    pub(super) tasks: Vec<TaskId>,
    /// Partition counts of all topics whose count is known.
    pub(super) counts: BTreeMap<Arc<str>, i32>,
    /// All topics that sources read.
    pub(super) sources: BTreeSet<Arc<str>>,
}

impl Setup {
    pub(super) fn new(topology: &Topology) -> Self {
        Self {
            topology: topology.clone(),
            application_id: "test".into(),
            handlers: Handlers::default(),
            globals: GlobalStores::default(),
            max_task_idle: None,
            global_processing_handler: false,
            // Midnight, 1 January 2024 UTC: runs are alike.
            wall_clock: Timestamp::from_millis(1_704_067_200_000),
            manual_commit: false,
            partitions: BTreeMap::new(),
        }
    }

    pub(super) fn with_config(topology: &Topology, config: ResolvedConfig) -> Self {
        Self {
            application_id: config.application_id,
            handlers: config.handlers,
            global_processing_handler: config.processing_exception_handler_global_enabled,
            max_task_idle: config.max_task_idle.filter(|idle| !idle.is_zero()),
            ..Self::new(topology)
        }
    }

    /// A topic's name as the broker knows it: tests may name internal topics as the topology does.
    pub(super) fn topic_name(&self, name: &str) -> Arc<str> {
        let decorated = format!("{}-{name}", self.application_id);
        if self.topology.is_repartition_topic(&decorated, &self.application_id) {
            decorated.into()
        } else {
            name.into()
        }
    }

    pub(super) fn layout(&self) -> Result<Layout, StreamsError> {
        let group =
            self.topology.group_topology(&self.application_id, &InternalTopicSettings::default());
        let mut sources = BTreeSet::new();
        let mut users = BTreeMap::new();
        for (name, &count) in &self.partitions {
            users.insert(self.topic_name(name), count);
        }
        let group = group.resolved(users.keys());
        for sub in &group.subtopologies {
            sub.source_topics.iter().for_each(|topic| {
                users.entry(topic.clone()).or_insert(1);
            });
            sources.extend(sub.source_topics.iter().chain(sub.repartition_sources.keys()).cloned());
        }
        for global in self.topology.global_subtopologies() {
            for topic in self.topology.source_topics(global, &self.application_id) {
                users.entry(topic.clone()).or_insert(1);
                sources.insert(topic);
            }
        }
        let plan = PartitionPlan::new(&group, &users)
            .map_err(|error| StreamsError::Partitions { message: error.to_string() })?;
        users.extend(plan.counts);
        Ok(Layout { tasks: plan.tasks, counts: users, sources })
    }
}

//! What feeds one global store in the driver: records of its topic are in the store before any
//! task goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use state_stores::{StateDirectory, TaskKey, TaskStorage};
use streams_core::client::{RawRecord, TopicPartition};
use streams_core::task::{Dropped, GlobalTask, GlobalTaskSetup, ProcessorTask, global_handlers};
use streams_core::{StreamsError, Timestamp};

use super::setup::{Layout, Setup};
use super::task_instance::{DropCounts, state_error, streams_error};
use super::topic_logs::TopicLogs;

/// For what is cached of a global store.
const CACHE_BYTES_MAX: usize = 1 << 20;

/// A global store and what feeds it.
pub(super) struct GlobalInstance {
    /// Away only after it could not be made anew.
    task: Option<GlobalTask>,
}

/// All global stores, whose lease is one.
pub(super) struct GlobalInstances {
    pub(super) all: Vec<GlobalInstance>,
    _storage: Option<TaskStorage>,
}

impl GlobalInstances {
    pub(super) fn new(
        setup: &Setup,
        layout: &Layout,
        directory: &Arc<StateDirectory>,
    ) -> Result<Self, StreamsError> {
        let mut all = Vec::new();
        if setup.topology.global_subtopologies().next().is_none() {
            return Ok(Self { all, _storage: None });
        }
        let id = streams_core::TaskId::global(0);
        let storage = directory.lease(TaskKey::GLOBAL).map_err(|error| state_error(id, error))?;
        for subtopology in setup.topology.global_subtopologies() {
            let stores = setup.topology.stores(subtopology);
            let topics = setup.topology.source_topics(subtopology, &setup.application_id);
            let (Some(store), Some(topic)) = (stores.first(), topics.into_iter().next()) else {
                continue;
            };
            let layers = storage.open_store(store.spec()).map_err(|e| state_error(id, e))?;
            let partitions = layout.counts.get(&topic).copied().unwrap_or(1);
            let parts = GlobalTaskSetup {
                topology: setup.topology.clone(),
                application_id: setup.application_id.clone(),
                subtopology,
                topic,
                topic_id: uuid::Uuid::nil(),
                positions: (0..partitions).map(|_| 0).collect(),
                handlers: global_handlers(&setup.handlers, setup.global_processing_handler),
            };
            let task = GlobalTask::new(parts, layers, setup.wall_clock);
            let mut task = task.map_err(streams_error)?;
            task.publish(&setup.globals);
            all.push(GlobalInstance { task: Some(task) });
        }
        Ok(Self { all, _storage: Some(storage) })
    }
}

impl GlobalInstance {
    /// Takes what was committed to its topic since.
    pub(super) fn feed(
        &mut self,
        logs: &TopicLogs,
        passed_over: &BTreeSet<(TopicPartition, i64)>,
        wall_clock: Timestamp,
    ) -> Result<(), StreamsError> {
        let fed = self.take(logs, passed_over, wall_clock);
        if fed.is_err()
            && let Some(task) = self.task.take()
        {
            self.task = Some(task.rebuilt(wall_clock).map_err(streams_error)?);
        }
        fed
    }

    fn take(
        &mut self,
        logs: &TopicLogs,
        passed_over: &BTreeSet<(TopicPartition, i64)>,
        wall_clock: Timestamp,
    ) -> Result<(), StreamsError> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let topic = task.topic().clone();
        let partitions = logs.find(&topic).map_or(0, super::topic_logs::TopicLog::partition_count);
        for number in 0..partitions {
            let place = usize::try_from(number).unwrap_or(0);
            let from = task.positions()[place];
            let partition = TopicPartition::new(topic.clone(), number);
            let (mut raws, mut next) = (Vec::new(), from);
            let log = logs.find(&topic);
            for entry in log.into_iter().flat_map(|log| log.committed_from(number, from)) {
                next = entry.offset + 1;
                let is_passed_over = passed_over.contains(&(partition.clone(), entry.offset));
                if !entry.is_aborted() && !is_passed_over {
                    raws.push(RawRecord::from_memory(entry.offset, entry.record.clone()));
                }
            }
            if next > from {
                let processed = task.process(place, &mut raws, next, 0, wall_clock);
                processed.map_err(streams_error)?;
            }
        }
        if task.task_mut().is_dirty() {
            task.commit(wall_clock.as_millis(), CACHE_BYTES_MAX)?;
        }
        Ok(())
    }

    /// The task that feeds it.
    pub(super) fn task(&mut self) -> Option<&mut ProcessorTask> {
        self.task.as_mut().map(GlobalTask::task_mut)
    }

    pub(super) fn id(&self) -> Option<streams_core::TaskId> {
        self.task.as_ref().map(GlobalTask::id)
    }

    /// What was dropped since it was last made.
    pub(super) fn add_dropped(&mut self, counts: &mut DropCounts) {
        for Dropped { node, reason, count } in self.task().map(|t| t.dropped()).unwrap_or_default()
        {
            *counts.entry((node, reason)).or_default() += count;
        }
    }

    pub(super) fn close(&mut self) {
        if let Some(task) = &mut self.task {
            task.close();
        }
    }
}

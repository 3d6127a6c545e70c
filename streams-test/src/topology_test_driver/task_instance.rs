//! One task with what outlives it: its place in the state directory, and how far it has read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use state_stores::{Attempt, LayeredStore, StateDirectory, StateError, StoreMetadata, TaskKey};
use streams_core::client::{RawRecord, Tag, TopicPartition};
use streams_core::stores::ChangelogKind;
use streams_core::task::{
    ChangelogPartition, DropReason, Dropped, ProcessorTask, TaskError, TaskSetup, TaskStore,
};
use streams_core::{StreamsError, TaskId, Timestamp};

use super::setup::{Layout, Setup};
use super::topic_logs::TopicLogs;

/// Committed state is written to the engine with every eighth commit, so that reads go through
/// layers and engine both, as they do in production.
const COMMITS_PER_APPLY: u64 = 8;

/// How often a node dropped records for a reason.
pub(super) type DropCounts = BTreeMap<(Arc<str>, DropReason), u64>;

/// A task and its inputs.
pub(super) struct TaskInstance {
    pub(super) id: TaskId,
    pub(super) task: ProcessorTask,
    /// The queues' numbers are their indexes.
    inputs: Vec<Input>,
    changelogs: Vec<Option<ChangelogPartition>>,
    /// Times of operators, as of the last commit.
    committed_times: Vec<(String, i64)>,
    /// Since when some input is empty and others are not.
    idle_since: Option<Timestamp>,
    /// What was dropped by earlier arenas of this task.
    dropped_before: DropCounts,
    /// What was dropped as of the last commit.
    dropped_committed: DropCounts,
}

struct Input {
    partition: TopicPartition,
    /// The next offset to be given to the task.
    next: i64,
    /// As of the last commit.
    committed: i64,
    committed_time: Timestamp,
}

impl TaskInstance {
    pub(super) fn new(
        id: TaskId,
        setup: &Setup,
        layout: &Layout,
        directory: &Arc<StateDirectory>,
    ) -> Result<Self, StreamsError> {
        let app = &setup.application_id;
        let storage = directory
            .lease(TaskKey::new(id.subtopology, id.partition))
            .map_err(|error| state_error(id, error))?;
        let mut layers = Vec::new();
        let mut changelogs = Vec::new();
        for store in setup.topology.stores(id.subtopology) {
            let opened = storage.open_store(store.spec());
            layers.push(opened.map_err(|error| state_error(id, error))?);
            let own = *store.changelog() == ChangelogKind::Own;
            let topic = store.changelog_topic(app).filter(|_| own);
            changelogs.push(topic.map(|topic| ChangelogPartition {
                topic,
                partition: id.partition,
                tag: Tag::NONE,
            }));
        }
        let topics = setup.topology.topics_among(id.subtopology, app, &layout.counts);
        let inputs: Vec<Input> = topics
            .into_iter()
            .filter(|topic| layout.counts.get(topic).is_some_and(|&count| count > id.partition))
            .map(|topic| Input::new(TopicPartition::new(topic, id.partition)))
            .collect();
        let times = (setup.wall_clock, Vec::new());
        let task = make_task(id, setup, times, &inputs, layers, &changelogs)?;
        let (dropped_before, dropped_committed) = (DropCounts::new(), DropCounts::new());
        Ok(Self {
            id,
            task,
            inputs,
            changelogs,
            committed_times: Vec::new(),
            idle_since: None,
            dropped_before,
            dropped_committed,
        })
    }

    /// Gives the task what was committed to its inputs since. Records in `passed_over` are left
    /// out.
    pub(super) fn feed(&mut self, logs: &TopicLogs, passed_over: &BTreeSet<(TopicPartition, i64)>) {
        for (queue, input) in self.inputs.iter_mut().enumerate() {
            let Some(log) = logs.find(&input.partition.topic) else { continue };
            let mut raws = Vec::new();
            let from = input.next;
            for entry in log.committed_from(input.partition.partition, from) {
                input.next = entry.offset + 1;
                let is_passed_over = !passed_over.is_empty()
                    && passed_over.contains(&(input.partition.clone(), entry.offset));
                if !entry.is_aborted() && !is_passed_over {
                    raws.push(RawRecord::from_memory(entry.offset, entry.record.clone()));
                }
            }
            if input.next > from {
                self.task.push(queue, &mut raws, input.next, 0);
            }
        }
    }

    /// Whether some input is empty, and is to be waited for.
    pub(super) fn is_waiting(&mut self, setup: &Setup, now: Timestamp) -> bool {
        let queued = |queue: usize| self.task.queued(queue) > 0;
        let all = (0..self.inputs.len()).all(queued);
        let Some(idle) = setup.max_task_idle.filter(|_| !all) else {
            self.idle_since = None;
            return false;
        };
        let none = !(0..self.inputs.len()).any(queued);
        if none {
            self.idle_since = None;
            return true;
        }
        now < *self.idle_since.get_or_insert(now) + idle
    }

    /// The number of the input that reads a partition.
    pub(super) fn input_of(&self, topic: &str, partition: i32) -> Option<usize> {
        let reads = |input: &Input| {
            &*input.partition.topic == topic && input.partition.partition == partition
        };
        self.inputs.iter().position(reads)
    }

    pub(super) fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Where the next record of an input lies.
    pub(super) fn head(&self, queue: usize) -> Option<(TopicPartition, i64)> {
        let partition = &self.inputs[queue].partition;
        let mut positions = self.task.positions();
        let position = positions.find(|position| position.partition == *partition)?;
        Some((position.partition, position.offset))
    }

    /// The attempt and all before it were committed.
    pub(super) fn committed(
        &mut self,
        attempt: u64,
        wall_clock: Timestamp,
        logs: &TopicLogs,
    ) -> Result<(), StreamsError> {
        for position in self.task.positions() {
            let mut inputs = self.inputs.iter_mut();
            if let Some(input) = inputs.find(|input| input.partition == position.partition) {
                (input.committed, input.committed_time) =
                    (position.offset, position.partition_time);
            }
        }
        self.committed_times = self.task.committed_times();
        self.dropped_committed = self.dropped();
        let stream_time_ms = self.task.stream_time().as_millis();
        for (layers, changelog) in self.task.layers_mut().zip(&self.changelogs) {
            let end = changelog.as_ref().and_then(|changelog| {
                logs.find(&changelog.topic).map(|log| log.end(changelog.partition))
            });
            let mut metadata = StoreMetadata::new(uuid::Uuid::nil(), end.unwrap_or(0));
            metadata.stream_time_ms = stream_time_ms;
            metadata.wall_time_ms = wall_clock.as_millis();
            layers.commit(Attempt(attempt), metadata);
            if attempt.is_multiple_of(COMMITS_PER_APPLY)
                && let Some(job) = layers.apply()
            {
                let applied = job.run();
                layers.finish_apply(applied).map_err(|error| state_error(self.id, error))?;
            }
        }
        Ok(())
    }

    /// Gives up everything since the last commit, `attempt` and what came after it, and makes the
    /// task anew from what was committed.
    pub(super) fn rebuild(
        self,
        attempt: u64,
        setup: &Setup,
        wall_clock: Timestamp,
    ) -> Result<Self, StreamsError> {
        let Self { id, task, mut inputs, changelogs, committed_times, dropped_committed, .. } =
            self;
        let mut layers = task.into_layers();
        layers.iter_mut().for_each(|layers| layers.abort(Attempt(attempt)));
        for input in &mut inputs {
            input.next = input.committed;
        }
        let times = (wall_clock, committed_times.clone());
        let task = make_task(id, setup, times, &inputs, layers, &changelogs)?;
        let dropped_before = dropped_committed.clone();
        Ok(Self {
            id,
            task,
            inputs,
            changelogs,
            committed_times,
            idle_since: None,
            dropped_before,
            dropped_committed,
        })
    }

    /// What this task dropped, now.
    pub(super) fn dropped(&self) -> DropCounts {
        let mut counts = self.dropped_before.clone();
        for Dropped { node, reason, count } in self.task.dropped() {
            *counts.entry((node, reason)).or_default() += count;
        }
        counts
    }
}

impl Input {
    fn new(partition: TopicPartition) -> Self {
        let committed_time = Timestamp::from_millis(-1);
        Self { partition, next: 0, committed: 0, committed_time }
    }
}

fn make_task(
    id: TaskId,
    setup: &Setup,
    (wall_clock, committed_times): (Timestamp, Vec<(String, i64)>),
    inputs: &[Input],
    layers: Vec<LayeredStore>,
    changelogs: &[Option<ChangelogPartition>],
) -> Result<ProcessorTask, StreamsError> {
    let stores = layers.into_iter().zip(changelogs);
    let made = ProcessorTask::new(TaskSetup {
        topology: &setup.topology,
        application_id: &setup.application_id,
        task: id,
        inputs: inputs.iter().map(|i| (i.partition.clone(), i.committed_time)).collect(),
        committed_times,
        stores: stores
            .map(|(layers, changelog)| TaskStore { layers, changelog: changelog.clone() })
            .collect(),
        globals: &setup.globals,
        handlers: &setup.handlers,
        wall_clock,
    });
    made.map_err(streams_error)
}

/// A task's error as a user sees it.
pub(super) fn streams_error(error: TaskError) -> StreamsError {
    match error {
        TaskError::Streams(error) | TaskError::Retry(error) => error,
        TaskError::Client(error) => StreamsError::Fatal {
            message: "the task cannot write".to_owned(),
            source: Some(error.into()),
        },
    }
}

pub(super) fn state_error(task: TaskId, error: StateError) -> StreamsError {
    let message = format!("the state of task {task} cannot be used");
    StreamsError::Fatal { message, source: Some(error.into()) }
}

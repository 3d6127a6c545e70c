//! A running task: its inputs, its processors, and what of both is not committed yet.

mod fetch;
mod input;
mod layers;
mod old_times;
mod task_commit;

use std::sync::Arc;
use std::time::Duration;

use state_stores::{Attempt, TaskStorage};
use uuid::Uuid;

use self::input::TaskInput;
use self::old_times::OldTimes;
use super::committed_metadata::CommittedMetadata;
use super::instance::InstanceShared;
use super::partition_group::{Choice, Head, MaxTaskIdle, choose};
use super::record_collector::{Collector, Lent};
use super::task_creation::ReadyTask;
use super::task_plan::TaskPlan;
use crate::client::{FetchSlot, FetchedBatch, Fetcher, Tag, TopicPartition};
use crate::error::StreamsError;
use crate::record::Timestamp;
use crate::stores::ChangelogKind;
use crate::task::{ChangelogPartition, ProcessorTask, TaskError, TaskSetup, TaskStore};
use crate::task_id::TaskId;
use crate::time::Instant;

/// A task that processes.
pub(crate) struct StreamTask {
    shared: Arc<InstanceShared>,
    task: ProcessorTask,
    inputs: Vec<TaskInput>,
    stores: Vec<StoreState>,
    idle: MaxTaskIdle,
    idle_since: Option<Instant>,
    idle_until: Option<Instant>,
    suspended: bool,
    commit_requested: bool,
    /// An input has moved without any record: over markers, gaps, or by its reset policy.
    moved: bool,
    /// As of the last seal: what runs on during a commit is not part of it.
    sealed_stream_time: Timestamp,
    /// Of the records that it writes to topics other than changelogs.
    output_tag: Tag,
    old_times: OldTimes,
    batch: FetchedBatch,
    // Declared last: the lease ends when everything that uses it is gone.
    _storage: TaskStorage,
}

struct StoreState {
    changelog: Option<(Uuid, ChangelogPartition)>,
    /// The input that is the store's changelog: it goes as far as that is committed.
    source: Option<(Uuid, TopicPartition)>,
}

/// What a task needs of its thread to be opened.
pub(crate) struct TaskContext<'a> {
    pub(crate) shared: &'a Arc<InstanceShared>,
    pub(crate) fetcher: &'a mut dyn Fetcher,
    pub(crate) collector: &'a mut Collector,
}

impl StreamTask {
    /// Whether it reads what `plan` says: topics that match a pattern come and go.
    pub(crate) fn reads(&self, plan: &TaskPlan) -> bool {
        plan.is_read_by(self.inputs.iter().map(|input| &input.plan))
    }

    /// Wires the processors and begins to read the inputs.
    pub(crate) fn open(ready: ReadyTask, cx: TaskContext<'_>) -> Result<Self, StreamsError> {
        let ReadyTask { plan, storage, stores, positions } = ready;
        let shared = cx.shared.clone();
        let mut inputs = Vec::with_capacity(plan.inputs.len());
        for (input, position) in plan.inputs.into_iter().zip(positions) {
            inputs.push(TaskInput::open(input, position, &shared, cx.fetcher)?);
        }
        let mut task_stores = Vec::with_capacity(stores.len());
        let mut states = Vec::with_capacity(stores.len());
        let mut keeps_windows = false;
        for open in stores {
            keeps_windows |= open.declaration.is_forgotten_by_time();
            let is_own = *open.declaration.changelog() == ChangelogKind::Own;
            let (own, source) =
                if is_own { (open.changelog, None) } else { (None, open.changelog) };
            let tag = cx.collector.new_tag();
            let changelog = own.as_ref().map(|changelog| ChangelogPartition {
                topic: changelog.partition.topic.clone(),
                partition: changelog.partition.partition,
                tag,
            });
            let topic_id = own.map_or(Uuid::nil(), |own| own.topic_id);
            states.push(StoreState {
                changelog: changelog.clone().map(|c| (topic_id, c)),
                source: source.map(|source| (source.topic_id, source.partition)),
            });
            task_stores.push(TaskStore { layers: open.store, changelog });
        }
        let task = wire(&shared, plan.id, &inputs, task_stores)?;
        let mut opened = Self {
            idle: MaxTaskIdle::from_config(shared.config.max_task_idle),
            sealed_stream_time: task.stream_time(),
            task,
            inputs,
            stores: states,
            idle_since: None,
            idle_until: None,
            suspended: false,
            commit_requested: false,
            moved: false,
            output_tag: cx.collector.new_tag(),
            old_times: OldTimes::new(keeps_windows),
            batch: FetchedBatch::default(),
            shared,
            _storage: storage,
        };
        opened.keep_chosen_positions();
        Ok(opened)
    }

    /// As of the last commit: the processors are made anew over the committed layers, and the
    /// inputs go back. For a task of whose last attempt it is known that it was not committed.
    pub(crate) fn rebuilt(mut self, attempt: Attempt) -> Result<Self, StreamsError> {
        let id = self.task.task_id();
        let stores = self.task.into_layers().into_iter().zip(&self.stores);
        let stores = stores.map(|(mut layers, store)| {
            layers.abort(attempt);
            let changelog = store.changelog.as_ref().map(|(_, changelog)| changelog.clone());
            TaskStore { layers, changelog }
        });
        let stores = stores.collect();
        self.inputs.iter_mut().for_each(TaskInput::go_back);
        self.task = wire(&self.shared, id, &self.inputs, stores)?;
        self.sealed_stream_time = self.task.stream_time();
        self.idle_since = None;
        self.idle_until = None;
        self.commit_requested = false;
        self.moved = false;
        self.keep_chosen_positions();
        Ok(self)
    }

    /// Which task.
    pub(crate) fn id(&self) -> TaskId {
        self.task.task_id()
    }

    /// Its inputs, as the fetcher knows them.
    pub(crate) fn slots(&self) -> impl Iterator<Item = FetchSlot> + use<> {
        self.inputs.iter().map(|input| input.slot).collect::<Vec<_>>().into_iter()
    }

    /// Processes no more: it is about to be released.
    pub(crate) fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Stays after all.
    pub(crate) fn resume(&mut self) {
        self.suspended = false;
    }

    /// Processes up to `records_max` records, the oldest first; how many it processed.
    pub(crate) fn process(
        &mut self,
        records_max: usize,
        now: Instant,
        wall_ms: i64,
        collector: &mut Lent,
    ) -> Result<usize, TaskError> {
        if self.suspended {
            return Ok(0);
        }
        self.task.set_wall_clock(Timestamp::from_millis(wall_ms));
        Collector::of(collector).write_for(self.output_tag);
        self.idle_until = None;
        let mut processed = 0;
        // Most tasks have one input: nothing to choose.
        let at_once = if self.inputs.len() == 1 { records_max } else { 1 };
        while processed < records_max {
            let Some(input) = self.next_input(now, collector)? else { break };
            let dirty_bytes_max = self.shared.dirty_bytes_max;
            let most = at_once.min(records_max - processed);
            processed += self.task.process_many(input, most, dirty_bytes_max, collector)?;
            if self.task.take_commit_request() || self.task.dirty_bytes() > dirty_bytes_max {
                self.commit_requested = true;
                break;
            }
        }
        if processed > 0 && self.task.cached_bytes() > self.shared.cache_bytes_max {
            self.task.evict(self.shared.cache_bytes_max);
        }
        Ok(processed)
    }

    fn next_input(
        &mut self,
        now: Instant,
        collector: &mut Lent,
    ) -> Result<Option<usize>, TaskError> {
        // Most tasks have one input: nothing to choose.
        if self.inputs.len() == 1 {
            return Ok((self.task.queued(0) > 0).then_some(0));
        }
        for input in 0..self.inputs.len() {
            self.task.head_timestamp(input, collector)?;
        }
        let heads =
            self.inputs.iter().enumerate().map(|(at, input)| match self.task.prepared_head(at) {
                Some(time) => Head::Record(time),
                None if input.at_end() => Head::AtEnd,
                None => Head::Behind,
            });
        match choose(heads, self.idle, &mut self.idle_since, now) {
            Choice::Process(input) => Ok(Some(input)),
            Choice::Wait(until) => {
                self.idle_until = until;
                Ok(None)
            }
            Choice::Nothing => Ok(None),
        }
    }

    /// Calls the wall clock timers that are due; whether there were any.
    pub(crate) fn punctuate(
        &mut self,
        wall_ms: i64,
        collector: &mut Lent,
    ) -> Result<bool, TaskError> {
        if self.suspended || self.task.next_wall_clock_punctuation().is_none() {
            return Ok(false);
        }
        let now = Timestamp::from_millis(wall_ms);
        Collector::of(collector).write_for(self.output_tag);
        Ok(self.task.punctuate_wall_clock(now, collector)? > 0)
    }

    /// Whether there is anything to process or to commit.
    pub(crate) fn has_work(&self, wall_ms: i64) -> bool {
        let now = Timestamp::from_millis(wall_ms);
        self.needs_commit()
            || (0..self.inputs.len()).any(|input| self.task.queued(input) > 0)
            || self.task.next_wall_clock_punctuation().is_some_and(|due| due <= now)
    }

    /// Whether records with that tag are its own.
    pub(crate) fn writes_with(&self, tag: Tag) -> bool {
        let changelogs = self.stores.iter().filter_map(|store| store.changelog.as_ref());
        tag == self.output_tag || changelogs.into_iter().any(|(_, changelog)| changelog.tag == tag)
    }

    /// When it has something to do although nothing arrives.
    pub(crate) fn next_deadline(&self, now: Instant, wall_ms: i64) -> Option<Instant> {
        let timer = self.task.next_wall_clock_punctuation().map(|due| {
            let left = due.since(Timestamp::from_millis(wall_ms));
            now + left.max(Duration::from_millis(1))
        });
        let unapplied = self.task.layers().any(|layers| layers.committed_bytes() > 0);
        let apply = unapplied.then(|| now + self.shared.apply_policy.age_max);
        let rewound = self.inputs.iter().any(|input| input.rewound);
        let rewind = rewound.then(|| now + Duration::from_millis(100));
        [timer, apply, rewind, self.idle_until].into_iter().flatten().min()
    }
}

/// The arena over these layers, with the times that were committed.
fn wire(
    shared: &InstanceShared,
    task: TaskId,
    inputs: &[TaskInput],
    stores: Vec<TaskStore>,
) -> Result<ProcessorTask, StreamsError> {
    let mut committed_times = Vec::new();
    let times = inputs.iter().map(|input| {
        let metadata = CommittedMetadata::decode(&input.committed.metadata);
        let time = metadata.partition_time.unwrap_or(Timestamp::from_millis(-1));
        committed_times.extend(metadata.processors);
        (input.plan.partition.clone(), time)
    });
    let inputs = times.collect();
    ProcessorTask::new(TaskSetup {
        topology: &shared.topology,
        application_id: &shared.config.application_id,
        task,
        inputs,
        committed_times,
        stores,
        globals: &shared.globals,
        handlers: &shared.config.handlers,
        wall_clock: Timestamp::from_millis(shared.clock.wall_ms()),
    })
    .map_err(|error| task_error(error, shared))
}

fn task_error(error: TaskError, shared: &InstanceShared) -> StreamsError {
    match error {
        TaskError::Streams(error) | TaskError::Retry(error) => error,
        TaskError::Client(error) => {
            StreamsError::from_client(error, "write records", &shared.config.bootstrap_servers)
        }
    }
}

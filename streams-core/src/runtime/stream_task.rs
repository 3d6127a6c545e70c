//! A running task: its inputs, its processors, and what of both is not committed yet.

use std::sync::Arc;
use std::time::Duration;

use state_stores::{Applied, ApplyJob, Attempt, LayeredStore, StoreMetadata, TaskStorage};
use uuid::Uuid;

use super::committed_metadata::CommittedMetadata;
use super::instance::{ApplyPolicy, InstanceShared};
use super::offset_reset::reset_spec;
use super::partition_group::{Choice, Head, MaxTaskIdle, choose};
use super::record_collector::{Collector, Lent};
use super::task_creation::ReadyTask;
use super::task_plan::PlannedInput;
use crate::client::{
    Admin, Call, ClientErrorKind, Each, FetchSlot, FetchedBatch, Fetcher, OffsetToCommit,
    TopicPartition,
};
use crate::error::StreamsError;
use crate::record::Timestamp;
use crate::stores::ChangelogKind;
use crate::task::{ChangelogPartition, ProcessorTask, TaskError, TaskSetup, TaskStore};
use crate::task_id::TaskId;
use crate::time::Instant;
use crate::topology::OffsetReset;

/// A task that processes.
pub(crate) struct StreamTask {
    shared: Arc<InstanceShared>,
    task: ProcessorTask,
    inputs: Vec<Input>,
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
    batch: FetchedBatch,
    // Declared last: the lease ends when everything that uses it is gone.
    _storage: TaskStorage,
}

struct Input {
    plan: PlannedInput,
    /// The reset policy chose the position, and nobody has committed it yet.
    chosen: bool,
    slot: FetchSlot,
    /// Where fetching goes on.
    position: i64,
    end_offset: Option<i64>,
    /// The last fetch did not find the end.
    ready: bool,
    /// The fetcher is to be sent back to `position`.
    rewound: bool,
    committed: OffsetToCommit,
    /// What the commit under way makes of it.
    committing: Option<OffsetToCommit>,
    resetting: Option<Call<Each<i64>>>,
    purge: Purge,
}

/// The committed position of an input that only we read.
#[derive(Clone, Copy, Debug, Default)]
struct Purge {
    is_repartition: bool,
    /// By the last commit that ended.
    committed: i64,
    /// Everything before was deleted.
    purged: i64,
}

struct StoreState {
    changelog: Option<(Uuid, ChangelogPartition)>,
}

/// What a task needs of its thread to be opened.
pub(crate) struct TaskContext<'a> {
    pub(crate) shared: &'a Arc<InstanceShared>,
    pub(crate) fetcher: &'a mut dyn Fetcher,
    pub(crate) collector: &'a mut Collector,
}

impl StreamTask {
    /// Wires the processors and begins to read the inputs.
    pub(crate) fn open(ready: ReadyTask, cx: TaskContext<'_>) -> Result<Self, StreamsError> {
        let ReadyTask { plan, storage, stores, positions } = ready;
        let shared = cx.shared.clone();
        let mut inputs = Vec::with_capacity(plan.inputs.len());
        for (input, position) in plan.inputs.into_iter().zip(positions) {
            let slot = cx.fetcher.assign(&input.partition, position.offset).map_err(|error| {
                let doing = format!("read {}", input.partition);
                StreamsError::from_client(error, doing, &shared.config.bootstrap_servers)
            })?;
            let committed = OffsetToCommit {
                partition: input.partition.clone(),
                offset: position.offset,
                leader_epoch: -1,
                metadata: position.metadata,
            };
            let application_id = &shared.config.application_id;
            let topic = &input.partition.topic;
            let is_repartition = shared.topology.is_repartition_topic(topic, application_id);
            let purge = Purge { is_repartition, ..Purge::default() };
            let chosen = !position.committed && !matches!(input.reset, OffsetReset::Earliest);
            inputs.push(Input {
                plan: input,
                chosen,
                slot,
                position: position.offset,
                end_offset: None,
                ready: true,
                rewound: false,
                committed,
                committing: None,
                resetting: None,
                purge,
            });
        }
        let mut task_stores = Vec::with_capacity(stores.len());
        let mut states = Vec::with_capacity(stores.len());
        for open in stores {
            let own =
                open.changelog.filter(|_| *open.declaration.changelog() == ChangelogKind::Own);
            let tag = cx.collector.new_tag();
            let changelog = own.as_ref().map(|changelog| ChangelogPartition {
                topic: changelog.partition.topic.clone(),
                partition: changelog.partition.partition,
                tag,
            });
            let topic_id = own.map_or(Uuid::nil(), |own| own.topic_id);
            states.push(StoreState { changelog: changelog.clone().map(|c| (topic_id, c)) });
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
        for input in &mut self.inputs {
            input.position = input.committed.offset;
            input.committing = None;
            input.resetting = None;
            input.ready = true;
            input.rewound = true;
        }
        self.task = wire(&self.shared, id, &self.inputs, stores)?;
        self.sealed_stream_time = self.task.stream_time();
        self.idle_since = None;
        self.idle_until = None;
        self.commit_requested = false;
        self.moved = false;
        self.keep_chosen_positions();
        Ok(self)
    }

    /// A place that `latest` means now is another one a minute later: it is committed before
    /// anything was processed, so that nothing is skipped that comes after the first start.
    fn keep_chosen_positions(&mut self) {
        for at in 0..self.inputs.len() {
            if self.inputs[at].chosen {
                self.move_to(at, self.inputs[at].position);
            }
        }
    }

    /// The position of an input is that, although no record says so.
    fn move_to(&mut self, at: usize, position: i64) {
        self.batch.records.clear();
        self.task.push(at, &mut self.batch.records, position, -1);
        self.moved = true;
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

    // ---- input --------------------------------------------------------------------------------

    /// The fetcher says that this input may have something.
    pub(crate) fn input_is_ready(&mut self, input: usize) {
        self.inputs[input].ready = true;
    }

    /// Fills the queues that are less than half full; whether something came.
    pub(crate) fn fetch(
        &mut self,
        fetcher: &mut dyn Fetcher,
        admin: &mut dyn Admin,
        now: Instant,
    ) -> Result<bool, StreamsError> {
        if self.suspended {
            return Ok(false);
        }
        let queued_max = self.shared.config.buffered_records_per_partition;
        let mut came = false;
        for at in 0..self.inputs.len() {
            came |= self.finish_reset(at, fetcher)?;
            if !self.finish_rewind(at, fetcher)? {
                continue;
            }
            let queued = self.task.queued(at);
            let input = &mut self.inputs[at];
            if !input.ready || input.resetting.is_some() || queued > queued_max / 2 {
                continue;
            }
            self.batch.records.clear();
            let wanted = queued_max - queued;
            match fetcher.fetch(input.slot, wanted, &mut self.batch) {
                Ok(()) => {}
                Err(error) => match error.kind {
                    ClientErrorKind::OffsetOutOfRange => {
                        self.begin_reset(at, admin)?;
                        continue;
                    }
                    ClientErrorKind::Retriable => {
                        tracing::warn!(task = %self.id(), partition = %self.inputs[at].plan.partition, %error, "cannot fetch now");
                        self.inputs[at].ready = false;
                        continue;
                    }
                    _ => {
                        let doing = format!("read {}", input.plan.partition);
                        let servers = &self.shared.config.bootstrap_servers;
                        return Err(StreamsError::from_client(error, doing, servers));
                    }
                },
            }
            let _ = now;
            let input = &mut self.inputs[at];
            input.ready = self.batch.records.len() >= wanted;
            input.end_offset = self.batch.end_offset.or(input.end_offset);
            let moved = self.batch.next_position != input.position;
            input.position = self.batch.next_position;
            if moved || !self.batch.records.is_empty() {
                came = true;
                self.moved |= self.batch.records.is_empty();
                let (position, epoch) = (self.batch.next_position, self.batch.leader_epoch);
                self.task.push(at, &mut self.batch.records, position, epoch);
            }
        }
        Ok(came)
    }

    /// Whether the input can be read where it is to be read.
    fn finish_rewind(
        &mut self,
        at: usize,
        fetcher: &mut dyn Fetcher,
    ) -> Result<bool, StreamsError> {
        let input = &mut self.inputs[at];
        if !input.rewound {
            return Ok(true);
        }
        match fetcher.seek(input.slot, input.position) {
            Ok(()) => {
                input.rewound = false;
                Ok(true)
            }
            Err(error) if error.is_retriable() => {
                tracing::warn!(partition = %input.plan.partition, %error, "cannot go back now");
                Ok(false)
            }
            Err(error) => {
                let doing = format!("read {} again", input.plan.partition);
                let servers = &self.shared.config.bootstrap_servers;
                Err(StreamsError::from_client(error, doing, servers))
            }
        }
    }

    /// The log no longer has, or not yet, the position: the reset policy says where to go on.
    fn begin_reset(&mut self, at: usize, admin: &mut dyn Admin) -> Result<(), StreamsError> {
        let isolation = self.shared.config.isolation();
        let wall_ms = self.shared.clock.wall_ms();
        let input = &mut self.inputs[at];
        let partition = &input.plan.partition;
        tracing::warn!(
            %partition, offset = input.position, policy = ?input.plan.reset,
            "the log does not have this offset: the reset policy decides"
        );
        let spec = reset_spec(&input.plan.reset, partition, wall_ms)?;
        input.resetting = Some(admin.list_offsets(vec![(partition.clone(), spec)], isolation));
        Ok(())
    }

    fn finish_reset(&mut self, at: usize, fetcher: &mut dyn Fetcher) -> Result<bool, StreamsError> {
        let input = &mut self.inputs[at];
        let Some(answer) = input.resetting.as_mut().and_then(Call::try_take) else {
            return Ok(false);
        };
        input.resetting = None;
        let offset = answer.and_then(|each| {
            each.into_iter().next().unwrap_or_else(|| {
                Err(crate::client::ClientError::retriable("the broker told no offset"))
            })
        });
        match offset.and_then(|offset| fetcher.seek(input.slot, offset).map(|()| offset)) {
            Ok(offset) => {
                tracing::warn!(partition = %input.plan.partition, offset, "goes on there");
                input.position = offset;
                input.ready = true;
                self.move_to(at, offset);
                Ok(true)
            }
            Err(error) if error.is_retriable() => {
                // The next fetch finds the position out of range again.
                input.ready = true;
                Ok(true)
            }
            Err(error) => {
                let doing = format!("read {}", input.plan.partition);
                let servers = &self.shared.config.bootstrap_servers;
                Err(StreamsError::from_client(error, doing, servers))
            }
        }
    }

    // ---- processing ---------------------------------------------------------------------------

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
        Ok(self.task.punctuate_wall_clock(now, collector)? > 0)
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

    // ---- commit -------------------------------------------------------------------------------

    /// Whether something happened that is not sealed yet.
    pub(crate) fn needs_commit(&self) -> bool {
        self.moved || self.task.is_dirty()
    }

    /// Whether a processor asked for a commit, or too much is dirty.
    pub(crate) fn commit_requested(&self) -> bool {
        self.commit_requested
    }

    /// Bytes written since the last seal.
    pub(crate) fn dirty_bytes(&self) -> usize {
        self.task.dirty_bytes()
    }

    /// Step 1 of a commit: emissions, seal, changelog; appends the positions to be committed.
    pub(crate) fn prepare_commit(
        &mut self,
        attempt: Attempt,
        collector: &mut Lent,
        offsets: &mut Vec<OffsetToCommit>,
    ) -> Result<(), TaskError> {
        self.task.flush(collector)?;
        self.task.seal(attempt, collector)?;
        self.commit_requested = false;
        self.moved = false;
        self.sealed_stream_time = self.task.stream_time();
        let before = offsets.len();
        for position in self.task.positions() {
            let input = self.inputs.iter_mut().find(|i| i.plan.partition == position.partition);
            let Some(input) = input else { continue };
            let time = position.partition_time;
            let metadata = CommittedMetadata {
                partition_time: (time.as_millis() >= 0).then_some(time),
                processors: Vec::new(),
            };
            let committed = OffsetToCommit {
                partition: position.partition,
                offset: position.offset,
                leader_epoch: position.leader_epoch,
                metadata: metadata.encode(),
            };
            if input.committed != committed {
                offsets.push(committed.clone());
                input.committing = Some(committed);
            }
        }
        // A commit without a position would be refused to nobody, not even to a zombie.
        if offsets.len() == before
            && let Some(input) = self.inputs.first()
        {
            offsets.push(input.committed.clone());
        }
        Ok(())
    }

    /// Step 3 of a commit: the sealed layers are part of the state.
    pub(crate) fn committed(&mut self, attempt: Attempt, collector: &Collector, wall_time_ms: i64) {
        for input in &mut self.inputs {
            if let Some(committed) = input.committing.take() {
                input.chosen = false;
                input.committed = committed;
            }
        }
        let stream_time_ms = self.sealed_stream_time.as_millis();
        for input in &mut self.inputs {
            input.purge.committed = input.committed.offset;
        }
        for (layers, store) in self.task.layers_mut().zip(&self.stores) {
            if layers.sealed_bytes() == 0 {
                continue;
            }
            let before = layers.metadata().map_or(0, |metadata| metadata.next_offset);
            let metadata = match &store.changelog {
                Some((topic_id, changelog)) => {
                    let next_offset = collector.next_offset(changelog.tag).unwrap_or(before);
                    StoreMetadata::new(*topic_id, next_offset)
                }
                None => StoreMetadata::new(Uuid::nil(), before),
            };
            layers.commit(attempt, StoreMetadata { stream_time_ms, wall_time_ms, ..metadata });
        }
    }

    /// Whether `take_purgeable` has something.
    pub(crate) fn has_purgeable(&self) -> bool {
        self.inputs.iter().any(|input| input.purge.is_due())
    }

    /// The positions below which the records of repartition topics are needed no more, as far as
    /// they have moved since this was last asked.
    pub(crate) fn take_purgeable(&mut self) -> Vec<(TopicPartition, i64)> {
        let moved = self.inputs.iter_mut().filter(|input| input.purge.is_due());
        moved
            .map(|input| {
                input.purge.purged = input.purge.committed;
                (input.plan.partition.clone(), input.purge.committed)
            })
            .collect()
    }

    /// Hands committed layers that are large or old to `apply`.
    pub(crate) fn apply_layers(
        &mut self,
        policy: &ApplyPolicy,
        wall_ms: i64,
        mut apply: impl FnMut(TaskId, usize, ApplyJob),
    ) {
        let id = self.id();
        for (index, layers) in self.task.layers_mut().enumerate() {
            let age = layers.committed_since_ms().map_or(0, |since| wall_ms.saturating_sub(since));
            let due = layers.committed_bytes() >= policy.bytes_max
                || u128::try_from(age).unwrap_or(0) >= policy.age_max.as_millis();
            if due
                && layers.committed_bytes() > 0
                && !layers.is_applying()
                && let Some(job) = layers.apply()
            {
                apply(id, index, job);
            }
        }
    }

    /// A layer is in the engine.
    pub(crate) fn finish_apply(
        &mut self,
        store: usize,
        applied: Applied,
    ) -> Result<(), StreamsError> {
        let id = self.id();
        let Some(layers) = self.task.layers_mut().nth(store) else { return Ok(()) };
        finish_apply(id, layers, applied)
    }

    /// Whether the worker has one of its layers.
    pub(crate) fn is_applying(&self) -> bool {
        self.task.layers().any(LayeredStore::is_applying)
    }

    /// Ends a task of which everything is committed: the rest of its layers goes to the engine,
    /// then the storage is free.
    pub(crate) fn close(mut self) {
        self.task.close();
        let id = self.id();
        for layers in self.task.layers_mut() {
            if let Some(job) = layers.apply()
                && let Err(error) = finish_apply(id, layers, job.run())
            {
                tracing::error!(task = %id, ?error, "not in the engine: replayed at the next start");
            }
        }
    }
}

impl Purge {
    fn is_due(&self) -> bool {
        self.is_repartition && self.committed > self.purged
    }
}

impl Input {
    fn at_end(&self) -> bool {
        !self.ready && self.end_offset.is_some_and(|end| self.position >= end)
    }
}

/// The arena over these layers, with the times that were committed.
fn wire(
    shared: &InstanceShared,
    task: TaskId,
    inputs: &[Input],
    stores: Vec<TaskStore>,
) -> Result<ProcessorTask, StreamsError> {
    let times = inputs.iter().map(|input| {
        let metadata = CommittedMetadata::decode(&input.committed.metadata);
        let time = metadata.partition_time.unwrap_or(Timestamp::from_millis(-1));
        (input.plan.partition.clone(), time)
    });
    ProcessorTask::new(TaskSetup {
        topology: &shared.topology,
        application_id: &shared.config.application_id,
        task,
        inputs: times.collect(),
        stores,
        handlers: &shared.config.handlers,
        wall_clock: Timestamp::from_millis(shared.clock.wall_ms()),
    })
    .map_err(|error| task_error(error, shared))
}

fn finish_apply(
    task: TaskId,
    layers: &mut LayeredStore,
    applied: Applied,
) -> Result<(), StreamsError> {
    layers.finish_apply(applied).map_err(|error| StreamsError::Fatal {
        message: format!("the state of task {task} cannot be written"),
        source: Some(error.into()),
    })
}

fn task_error(error: TaskError, shared: &InstanceShared) -> StreamsError {
    match error {
        TaskError::Streams(error) => error,
        TaskError::Client(error) => {
            StreamsError::from_client(error, "write records", &shared.config.bootstrap_servers)
        }
    }
}

//! The tasks and what goes on between them: records are processed one at a time, each followed by
//! the timers that are due and a commit; what tasks wrote to topics that others read is fed back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use state_stores::{Attempt, StateDirectory};
use streams_core::client::{MemoryRecord, TopicPartition};
use streams_core::partitioning::partition_for_key;
use streams_core::stores::Store;
use streams_core::task::{Dropped, ProcessorTask, RecordCollector};
use streams_core::{StreamsError, TaskId, Timestamp};

use super::global_instance::GlobalInstances;
use super::log_collector::{LogCollector, SharedLogs};
use super::ready_queues::{Queue, ReadyQueues};
use super::setup::{Layout, Setup};
use super::task_instance::{DropCounts, TaskInstance, streams_error};
use super::topic_logs::TopicLogs;

/// So many records that follow from one are an endless circle.
const RECORDS_PER_RUN_MAX: usize = 100_000;

/// A driver whose tasks were made.
pub(super) struct Running {
    pub(super) setup: Setup,
    layout: Layout,
    pub(super) logs: SharedLogs,
    collector: Box<dyn RecordCollector>,
    pub(super) tasks: Vec<TaskInstance>,
    globals: GlobalInstances,
    pub(super) wall_clock: Timestamp,
    /// The number of the commit that comes next.
    attempt: u64,
    /// Inputs with records that were not processed yet.
    ready: ReadyQueues,
    /// What was written since the tasks were fed.
    arrived: Vec<(Arc<str>, i32)>,
    /// Records on which a task failed.
    passed_over: BTreeSet<(TopicPartition, i64)>,
    /// Why the tasks could not be made again.
    broken: Option<String>,
}

/// When what was processed is committed. A processor may ask for it at any time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    AfterEachRecord,
    WhenNothingIsLeft,
    OnRequest,
}

/// Why a record could not be processed, and which one it was.
struct Failure {
    error: StreamsError,
    record: Option<(TopicPartition, i64)>,
}

impl Running {
    pub(super) fn new(setup: Setup) -> Result<Self, StreamsError> {
        let layout = setup.layout()?;
        let logs = SharedLogs::new(TopicLogs::new(layout.counts.clone()));
        let directory = StateDirectory::in_memory_as(uuid::Uuid::nil());
        let globals = GlobalInstances::new(&setup, &layout, &directory)?;
        let tasks = layout
            .tasks
            .iter()
            .map(|&id| TaskInstance::new(id, &setup, &layout, &directory))
            .collect::<Result<_, _>>()?;
        let collector = Box::new(LogCollector(logs.clone()));
        let wall_clock = setup.wall_clock;
        let passed_over = BTreeSet::new();
        Ok(Self {
            setup,
            layout,
            logs,
            collector,
            tasks,
            globals,
            wall_clock,
            attempt: 1,
            ready: ReadyQueues::default(),
            arrived: Vec::new(),
            passed_over,
            broken: None,
        })
    }

    /// The tasks that have a store of that type, by their place; those of global stores come after
    /// the others.
    pub(super) fn with_store<S: Store>(
        &mut self,
        name: &str,
        partition: Option<i32>,
    ) -> Vec<usize> {
        let has = |task: &ProcessorTask| task.store_handle::<S>(name).is_some();
        let of_task = |instance: &TaskInstance| {
            partition.is_none_or(|p| p == instance.id.partition) && has(&instance.task)
        };
        let tasks = self.tasks.iter().map(of_task).collect::<Vec<_>>();
        let globals = self.globals.all.iter_mut();
        let globals = globals.map(|global| global.task().is_some_and(|task| has(task)));
        let all = tasks.into_iter().chain(globals.map(|has| has && partition.is_none()));
        all.enumerate().filter(|(_, has)| *has).map(|(place, _)| place).collect()
    }

    /// A task by its place.
    pub(super) fn task(&mut self, place: usize) -> (TaskId, &mut ProcessorTask) {
        let count = self.tasks.len();
        if place < count {
            let instance = &mut self.tasks[place];
            return (instance.id, &mut instance.task);
        }
        let global = &mut self.globals.all[place - count];
        let id = global.id().unwrap_or(TaskId::global(0));
        (id, global.task().expect("the task was found by its store"))
    }

    /// The topics that sources read.
    pub(super) fn sources(&self) -> &BTreeSet<Arc<str>> {
        &self.layout.sources
    }

    /// Appends a record to an input topic, to the partition of its key unless one is given, and
    /// processes whatever follows from it.
    pub(super) fn pipe(
        &mut self,
        topic: &Arc<str>,
        partition: Option<i32>,
        record: MemoryRecord,
    ) -> Result<(), StreamsError> {
        {
            let mut logs = self.logs.lock();
            let number = logs.topic(topic);
            let count = logs.get(number).map_or(1, |log| log.partition_count());
            let by_key = record.key.as_deref().map(|key| partition_for_key(key, count));
            let any = streams_core::client::ANY_PARTITION;
            let partition = partition.or(by_key).unwrap_or(any);
            logs.append(number, partition, record, false);
        }
        self.run()
    }

    /// Processes everything there is to process.
    pub(super) fn run(&mut self) -> Result<(), StreamsError> {
        self.guarded(|running| running.process_all(running.usual_commit()))
    }

    /// Processes everything, and commits it, and what follows from that.
    pub(super) fn commit(&mut self) -> Result<(), StreamsError> {
        self.guarded(|running| running.process_all(Commit::WhenNothingIsLeft))
    }

    /// Moves the clock, and calls what is due.
    pub(super) fn advance_wall_clock(&mut self, by: Duration) -> Result<(), StreamsError> {
        self.wall_clock += by;
        let now = self.wall_clock;
        self.guarded(|running| {
            for instance in &mut running.tasks {
                let called = instance.task.punctuate_wall_clock(now, &mut running.collector);
                called.map_err(Failure::nowhere)?;
            }
            running.process_all(running.usual_commit())
        })
    }

    /// Gives up everything since the last commit.
    pub(super) fn abort(&mut self) -> Result<(), StreamsError> {
        self.check_broken()?;
        self.logs.lock().abort();
        self.ready.clear();
        self.arrived.clear();
        let (attempt, wall_clock) = (self.attempt, self.wall_clock);
        for instance in std::mem::take(&mut self.tasks) {
            match instance.rebuild(attempt, &self.setup, wall_clock) {
                Ok(instance) => self.tasks.push(instance),
                Err(error) => {
                    self.broken = Some(error.to_string());
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// What all tasks dropped.
    pub(super) fn dropped(&mut self) -> Vec<Dropped> {
        let mut all = DropCounts::new();
        self.globals.all.iter_mut().for_each(|global| global.add_dropped(&mut all));
        for instance in &self.tasks {
            for (what, count) in instance.dropped() {
                *all.entry(what).or_default() += count;
            }
        }
        all.into_iter().map(|((node, reason), count)| Dropped { node, reason, count }).collect()
    }

    /// Runs the tasks; after a failure everything since the last commit is given up, and the
    /// record on which a task failed is passed over from then on.
    fn guarded(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), StreamsError> {
        self.check_broken()?;
        let Err(Failure { error, record }) = run(self) else { return Ok(()) };
        self.passed_over.extend(record);
        self.abort()?;
        Err(error)
    }

    fn check_broken(&self) -> Result<(), StreamsError> {
        match &self.broken {
            None => Ok(()),
            Some(why) => {
                let message = format!("the tasks could not be made again after an abort: {why}");
                Err(StreamsError::fatal(message))
            }
        }
    }

    fn usual_commit(&self) -> Commit {
        if self.setup.manual_commit { Commit::OnRequest } else { Commit::AfterEachRecord }
    }

    /// Processes until nothing is left, also of what follows from the commits in between.
    fn process_all(&mut self, commit: Commit) -> Result<(), Failure> {
        for _ in 0..RECORDS_PER_RUN_MAX {
            self.feed()?;
            let found = self.process_next()?;
            let mut commit_now = match commit {
                Commit::AfterEachRecord => true,
                Commit::WhenNothingIsLeft => !found,
                Commit::OnRequest => false,
            };
            for instance in &mut self.tasks {
                commit_now |= instance.task.take_commit_request();
            }
            if commit_now && self.tasks.iter().any(|instance| instance.task.is_dirty()) {
                self.commit_once()?;
            } else if !found {
                return Ok(());
            }
        }
        let message = format!(
            "{RECORDS_PER_RUN_MAX} records followed from one: does the topology write to a topic \
             that it reads itself?"
        );
        Err(Failure { error: StreamsError::fatal(message), record: None })
    }

    /// Gives the global stores, and then the tasks, what was written to their inputs, in that
    /// order.
    fn feed(&mut self) -> Result<(), Failure> {
        {
            let logs = self.logs.lock();
            for global in &mut self.globals.all {
                global
                    .feed(&logs, &self.passed_over, self.wall_clock)
                    .map_err(|error| Failure { record: record_of(&error), error })?;
            }
        }
        {
            let logs = self.logs.lock();
            self.tasks.iter_mut().for_each(|instance| instance.feed(&logs, &self.passed_over));
        }
        for (topic, partition) in std::mem::take(&mut self.arrived) {
            let reads = |(task, instance): (usize, &TaskInstance)| {
                Some((task, instance.input_of(&topic, partition)?))
            };
            if let Some(queue) = self.tasks.iter().enumerate().find_map(reads) {
                self.offer(queue)?;
            }
        }
        // What a test wrote, and what is processed again after an abort.
        for task in 0..self.tasks.len() {
            for queue in 0..self.tasks[task].input_count() {
                self.offer((task, queue))?;
            }
        }
        Ok(())
    }

    /// An input is ready if it has a record.
    fn offer(&mut self, queue: Queue) -> Result<(), Failure> {
        if self.ready.contains(queue) {
            return Ok(());
        }
        let task = &mut self.tasks[queue.0].task;
        let time = task.head_timestamp(queue.1, &mut self.collector).map_err(|error| {
            let error = streams_error(error);
            Failure { record: record_of(&error), error }
        })?;
        if let Some(time) = time {
            self.ready.offer(time, queue);
        }
        Ok(())
    }

    /// Processes the oldest record that any task has, and calls the timers that stream time has
    /// reached.
    fn process_next(&mut self) -> Result<bool, Failure> {
        let mut waiting = Vec::new();
        let next = loop {
            let Some(queue) = self.ready.poll() else { break None };
            if self.tasks[queue.0].is_waiting(&self.setup, self.wall_clock) {
                waiting.push(queue);
            } else {
                break Some(queue);
            }
        };
        for queue in waiting {
            self.offer(queue)?;
        }
        let Some((index, queue)) = next else { return Ok(false) };
        let instance = &mut self.tasks[index];
        let record = instance.head(queue);
        let processed = instance.task.process(queue, &mut self.collector);
        let punctuated =
            processed.and_then(|_| instance.task.punctuate_stream_time(&mut self.collector));
        punctuated.map_err(|error| Failure { error: streams_error(error), record })?;
        self.offer((index, queue))?;
        Ok(true)
    }

    /// Flushes, seals and commits all tasks with something to commit, together.
    fn commit_once(&mut self) -> Result<(), Failure> {
        let attempt = self.attempt;
        let dirty = |instance: &&mut TaskInstance| instance.task.is_dirty();
        let mut dirty: Vec<&mut TaskInstance> = self.tasks.iter_mut().filter(dirty).collect();
        for instance in &mut dirty {
            let flushed = instance.task.flush(&mut self.collector);
            let sealed =
                flushed.and_then(|()| instance.task.seal(Attempt(attempt), &mut self.collector));
            sealed.map_err(Failure::nowhere)?;
        }
        self.attempt += 1;
        let mut logs = self.logs.lock();
        self.arrived.extend(logs.commit());
        for instance in dirty {
            instance
                .committed(attempt, self.wall_clock, &logs)
                .map_err(|error| Failure { error, record: None })?;
        }
        Ok(())
    }
}

/// The processors are told that their tasks end.
impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter_mut().for_each(|instance| instance.task.close());
        self.globals.all.iter_mut().for_each(|global| global.close());
    }
}

impl Failure {
    fn nowhere(error: streams_core::task::TaskError) -> Self {
        Self { error: streams_error(error), record: None }
    }
}

/// The input record that an error speaks of.
fn record_of(error: &StreamsError) -> Option<(TopicPartition, i64)> {
    let at = match error {
        StreamsError::Deserialization { at, .. }
        | StreamsError::Processing { at, .. }
        | StreamsError::Production { at, .. }
        | StreamsError::Panicked { at, .. } => at,
        _ => return None,
    };
    let record = at.record.as_ref()?;
    Some((TopicPartition::new(record.topic.clone(), record.partition), record.offset))
}

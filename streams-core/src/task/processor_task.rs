//! A task as the runtime knows it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use state_stores::{Attempt, LayeredStore};

use super::collector::RecordCollector;
use super::dropped::Dropped;
use super::error::TaskError;
use super::node::Node;
use super::panics::{panic_message, panicked};
use super::record_queue::RecordQueue;
use super::setup::{ChangelogPartition, Parts, TaskSetup, make};
use super::task_state::TaskState;
use super::timers::{TimerKind, Timers};
use crate::client::{RawRecord, TopicPartition};
use crate::error::{BoxError, StreamsError};
use crate::record::{Headers, RecordContext, Timestamp};
use crate::stores::{ChangelogWriter, Cursor, GlobalStoreReader, Store, StoreHandle, StoreName};
use crate::task_id::TaskId;

/// One instance of a sub-topology: its arena, its stores, and the queues of its inputs.
///
/// All of it can be made anew from the topology and the stores' layers: that is what follows an
/// abort. After an error, and after a panic of the application's code, which becomes an error,
/// the task must be dropped or taken apart by [`into_layers`](Self::into_layers).
pub struct ProcessorTask {
    nodes: Vec<Box<dyn Node>>,
    queues: Vec<Box<dyn RecordQueue>>,
    timers: Timers,
    state: TaskState,
    /// By store.
    changelogs: Vec<Option<ChangelogPartition>>,
    /// Of the slots behind those of its own stores.
    globals: Vec<GlobalStoreReader>,
    /// Something happened since the last seal that a commit must cover.
    dirty: bool,
}

/// How far an input was processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputPosition {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to process.
    pub offset: i64,
    /// The leader epoch of the record before it, or -1.
    pub leader_epoch: i32,
    /// The largest record time that was processed, or -1 ms.
    pub partition_time: Timestamp,
}

/// A collector on loan from the thread.
type Lent = Box<dyn RecordCollector>;

impl ProcessorTask {
    /// Makes the arena: runs the supplier of every node.
    pub fn new(setup: TaskSetup<'_>) -> Result<Self, TaskError> {
        let Parts { nodes, queues, timers, state, changelogs, globals } = make(setup)?;
        Ok(Self { nodes, queues, timers, state, changelogs, globals, dirty: false })
    }

    /// Which task it is.
    pub fn task_id(&self) -> TaskId {
        self.state.task_id()
    }

    // ---- inputs -------------------------------------------------------------------------------

    /// The partitions it reads: the queues' numbers are their indexes.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = &TopicPartition> {
        self.queues.iter().map(|queue| queue.partition())
    }

    /// Appends what a fetch of that input gave. Records come in order, without repetition.
    pub fn push(
        &mut self,
        queue: usize,
        raws: &mut Vec<RawRecord>,
        next_position: i64,
        leader_epoch: i32,
    ) {
        let queue = &mut self.queues[queue];
        let before = queue.position();
        queue.push(raws, next_position, leader_epoch);
        // Over markers and gaps the position moves without a record.
        self.dirty |= before.is_some() && queue.position() != before;
    }

    /// How many records of that input wait.
    pub fn queued(&self, queue: usize) -> usize {
        self.queues[queue].len()
    }

    /// The time of the next record of that input; `None` if there is none. Reads the record if it
    /// was not read yet: records that cannot be read are answered here.
    pub fn head_timestamp(
        &mut self,
        queue: usize,
        collector: &mut Lent,
    ) -> Result<Option<Timestamp>, TaskError> {
        let input = &self.queues[queue];
        if input.head_timestamp().is_none() && input.len() > 0 {
            self.dirty = true;
            self.run(Some(queue), collector, |task| task.queues[queue].prepare(&mut task.state))?;
        }
        Ok(self.queues[queue].head_timestamp())
    }

    /// The time of the next record of that input, if it was read already.
    pub fn prepared_head(&self, queue: usize) -> Option<Timestamp> {
        self.queues[queue].head_timestamp()
    }

    /// The input whose next record is the oldest; `None` if none has one.
    pub fn oldest_input(&mut self, collector: &mut Lent) -> Result<Option<usize>, TaskError> {
        let mut oldest: Option<(Timestamp, usize)> = None;
        for queue in 0..self.queues.len() {
            if let Some(time) = self.head_timestamp(queue, collector)?
                && oldest.is_none_or(|(oldest, _)| time < oldest)
            {
                oldest = Some((time, queue));
            }
        }
        Ok(oldest.map(|(_, queue)| queue))
    }

    /// Processes the next record of that input; `false` if there was none.
    pub fn process(&mut self, queue: usize, collector: &mut Lent) -> Result<bool, TaskError> {
        if self.queues[queue].len() == 0 {
            return Ok(false);
        }
        self.dirty = true;
        self.run(Some(queue), collector, |task| task.process_head(queue))
    }

    /// Processes the next records of that input, and calls the timers that stream time reaches in
    /// between; how many records, at most `records_max`. Ends early when a processor asks for a
    /// commit, and when more than `dirty_bytes_max` are dirty.
    pub fn process_many(
        &mut self,
        queue: usize,
        records_max: usize,
        dirty_bytes_max: usize,
        collector: &mut Lent,
    ) -> Result<usize, TaskError> {
        if self.queues[queue].len() == 0 {
            return Ok(0);
        }
        self.dirty = true;
        self.run(Some(queue), collector, |task| {
            let mut records = 0;
            while records < records_max && task.queues[queue].len() > 0 {
                task.process_head(queue)?;
                records += 1;
                if task.timers.is_due(TimerKind::StreamTime, task.state.stream_time()) {
                    task.call_timers(TimerKind::StreamTime, task.state.stream_time())?;
                }
                if task.state.commit_requested || task.dirty_bytes() > dirty_bytes_max {
                    break;
                }
            }
            Ok(records)
        })
    }

    fn process_head(&mut self, queue: usize) -> Result<bool, BoxError> {
        let queue = &mut self.queues[queue];
        queue.prepare(&mut self.state)?;
        let found = queue.head_timestamp().is_some();
        queue.process(&mut self.nodes, &mut self.state)?;
        Ok(found)
    }

    /// How far each input was processed. An input that nothing was pushed to is left out: its
    /// position is the one at which fetching began.
    pub fn positions(&self) -> impl Iterator<Item = InputPosition> {
        self.queues.iter().filter_map(|queue| {
            let (offset, leader_epoch) = queue.position()?;
            let partition = queue.partition().clone();
            let partition_time = queue.partition_time();
            Some(InputPosition { partition, offset, leader_epoch, partition_time })
        })
    }

    /// Times of operators, to be committed with the positions.
    pub fn committed_times(&self) -> Vec<(String, i64)> {
        self.state.committed_times.to_commit()
    }

    // ---- time ---------------------------------------------------------------------------------

    /// The largest record time so far, or -1 ms.
    pub fn stream_time(&self) -> Timestamp {
        self.state.stream_time()
    }

    /// Tells the time of day. Processors see it until it is told again.
    pub fn set_wall_clock(&mut self, now: Timestamp) {
        self.state.wall_clock = now;
    }

    /// Calls the timers that stream time has reached; how many.
    pub fn punctuate_stream_time(&mut self, collector: &mut Lent) -> Result<usize, TaskError> {
        let now = self.state.stream_time();
        if now.as_millis() < 0 {
            return Ok(0);
        }
        self.punctuate(TimerKind::StreamTime, now, collector)
    }

    /// Tells the time of day, and calls the timers that it has reached; how many.
    pub fn punctuate_wall_clock(
        &mut self,
        now: Timestamp,
        collector: &mut Lent,
    ) -> Result<usize, TaskError> {
        self.set_wall_clock(now);
        self.punctuate(TimerKind::WallClock, now, collector)
    }

    /// When the next wall clock timer is due; `None` if there is no timer.
    pub fn next_wall_clock_punctuation(&self) -> Option<Timestamp> {
        self.timers.next_due(TimerKind::WallClock)
    }

    fn punctuate(
        &mut self,
        kind: TimerKind,
        now: Timestamp,
        collector: &mut Lent,
    ) -> Result<usize, TaskError> {
        if !self.timers.is_due(kind, now) {
            return Ok(0);
        }
        self.dirty = true;
        self.run(None, collector, |task| task.call_timers(kind, now))
    }

    #[cold]
    fn call_timers(&mut self, kind: TimerKind, now: Timestamp) -> Result<usize, BoxError> {
        if now.as_millis() < 0 {
            return Ok(0);
        }
        let record = RecordContext::new(now, Headers::new());
        let mut calls = 0;
        while let Some(timer) = self.timers.take_due(kind, now) {
            calls += 1;
            self.enter_at(timer.node, |node, below, state| {
                node.punctuate(below, timer.index, now, &record, state)
            })?;
        }
        Ok(calls)
    }

    /// Whether any timer was asked for.
    pub fn has_timers(&self) -> bool {
        let due = |kind| self.timers.next_due(kind).is_some();
        due(TimerKind::WallClock) || due(TimerKind::StreamTime)
    }

    // ---- commit -------------------------------------------------------------------------------

    /// Whether a commit has something to do: records were consumed, timers called, or stores
    /// written since the last seal.
    pub fn is_dirty(&self) -> bool {
        self.dirty || self.state.stores.iter().any(|store| store.is_dirty())
    }

    /// Whether a processor asked for a commit since this was last asked.
    pub fn take_commit_request(&mut self) -> bool {
        std::mem::take(&mut self.state.commit_requested)
    }

    /// Forwards what was held back, parents before children, until nothing is held back.
    pub fn flush(&mut self, collector: &mut Lent) -> Result<(), TaskError> {
        self.run(None, collector, |task| {
            let record = RecordContext::new(task.state.stream_time(), Headers::new());
            // Each round may hand changes to nodes above by stores that they share; a round per
            // node is enough unless they go in a circle.
            for _ in 0..=task.nodes.len() {
                for node in 0..task.nodes.len() {
                    task.enter_at(node, |node, below, state| node.flush(below, &record, state))?;
                }
                if !task.state.stores.iter().any(|store| store.has_emissions()) {
                    return Ok(());
                }
            }
            let circle = task.stores_with_emissions().join(", ");
            let message = format!("the changes of these stores cause each other: {circle}");
            Err(task.state.escalate(StreamsError::fatal(message)))
        })
    }

    /// Writes the changes of all stores to their changelogs, and ties them to `attempt` in the
    /// layers. Comes after [`flush`](Self::flush).
    pub fn seal(&mut self, attempt: Attempt, collector: &mut Lent) -> Result<(), TaskError> {
        self.run(None, collector, |task| {
            for (slot, changelog) in task.changelogs.iter().enumerate() {
                let store = &mut task.state.stores[slot];
                if !store.is_dirty() {
                    continue;
                }
                let sealed = match changelog {
                    None => store.seal(attempt, None),
                    Some(ChangelogPartition { topic, partition, tag }) => {
                        let collector = &mut *task.state.collector;
                        match collector.topic(topic) {
                            Err(error) => Err(error.into()),
                            Ok(topic) => store.seal(
                                attempt,
                                Some(&mut ChangelogWriter {
                                    collector,
                                    topic,
                                    partition: *partition,
                                    tag: *tag,
                                    headers: Headers::new(),
                                }),
                            ),
                        }
                    }
                };
                sealed.map_err(|error| seal_failed(&mut task.state, slot, error))?;
            }
            task.dirty = false;
            Ok(())
        })
    }

    /// The layers of its stores, in the order of [`Topology::stores`](crate::Topology::stores): to commit and to apply.
    pub fn layers_mut(&mut self) -> impl ExactSizeIterator<Item = &mut LayeredStore> {
        let own = self.changelogs.len();
        self.state.stores[..own].iter_mut().map(|store| store.layers_mut())
    }

    /// The layers of its stores, in the order of [`Topology::stores`](crate::Topology::stores).
    pub fn layers(&self) -> impl ExactSizeIterator<Item = &LayeredStore> {
        let own = self.changelogs.len();
        self.state.stores[..own].iter().map(|store| store.layers())
    }

    /// Gives up everything but the layers of its stores: after an abort, or to hand them over.
    pub fn into_layers(self) -> Vec<LayeredStore> {
        let own = self.changelogs.len();
        self.state.stores.into_iter().take(own).map(|store| store.into_layers()).collect()
    }

    /// Tells all processors that the task ends. Not after an error.
    pub fn close(&mut self) {
        let nodes = &mut self.nodes;
        let closed = catch_unwind(AssertUnwindSafe(|| {
            nodes.iter_mut().for_each(|node| node.close());
        }));
        if let Err(panic) = closed {
            let message = panic_message(&*panic);
            tracing::error!(task = %self.state.task_id(), message, "a processor panicked on close");
        }
    }

    // ---- memory -------------------------------------------------------------------------------

    /// Memory held by what was written since the last seal, roughly.
    pub fn dirty_bytes(&self) -> usize {
        self.state.stores.iter().map(|store| store.dirty_bytes()).sum()
    }

    /// Memory held by the stores' caches, roughly; what was written included.
    pub fn cached_bytes(&self) -> usize {
        self.state.stores.iter().map(|store| store.cached_bytes()).sum()
    }

    /// Drops cached rows that were not used lately until at most `bytes_max` are held, or only
    /// such as were written since the last seal. To be called between records.
    pub fn evict(&mut self, bytes_max: usize) {
        let held = self.cached_bytes();
        if held <= bytes_max {
            return;
        }
        for store in &mut self.state.stores {
            // Each gives up the same share of what it holds.
            let share = store.cached_bytes() as u128 * bytes_max as u128 / held as u128;
            store.evict(usize::try_from(share).unwrap_or(usize::MAX));
        }
    }

    // ---- inspection ---------------------------------------------------------------------------

    /// What was dropped since the task was made, by node and reason.
    pub fn dropped(&self) -> Vec<Dropped> {
        self.state.dropped_counts()
    }

    /// A store of its own by its name; `None` if the task has no such store of that type.
    pub fn store_handle<S: Store>(&self, name: &str) -> Option<StoreHandle<S>> {
        let own = |slot: &u32| (*slot as usize) < self.changelogs.len();
        let slot = self.state.find_store(name).filter(own)?;
        let instance: &dyn std::any::Any = &*self.state.stores[slot as usize];
        instance.is::<S::Instance>().then(|| StoreHandle::new(slot))
    }

    /// Uses a store between records: for queries and tests. What is put has the time of `record`.
    /// `None` if the task has no such store of that type.
    pub fn with_store<S: Store, R>(
        &mut self,
        name: StoreName<S>,
        record: &RecordContext,
        f: impl FnOnce(S::Access<'_>) -> R,
    ) -> Option<R> {
        let handle = self.store_handle::<S>(name.as_str())?;
        Some(f(self.state.store(&handle, record)))
    }

    /// The next row of a cursor that came from [`store_handle`](Self::store_handle).
    pub fn next_row<S: Store>(
        &mut self,
        cursor: &mut Cursor<S>,
    ) -> Result<Option<S::Row>, BoxError> {
        self.state.next(cursor)
    }

    // ---- inside -------------------------------------------------------------------------------

    /// The one way into the arena but for source records, which enter by their queue: timers,
    /// flushes, and whatever else begins at a node.
    fn enter_at(
        &mut self,
        node: usize,
        cause: impl FnOnce(&mut dyn Node, &mut [Box<dyn Node>], &mut TaskState) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let (node, below) = self.nodes[node..].split_first_mut().expect("the arena has the node");
        cause(&mut **node, below, &mut self.state)
    }

    /// Runs the application's code: with the collector on loan, and panics turned into errors.
    fn run<R>(
        &mut self,
        input: Option<usize>,
        collector: &mut Lent,
        f: impl FnOnce(&mut Self) -> Result<R, BoxError>,
    ) -> Result<R, TaskError> {
        let (own, globals) = (self.changelogs.len(), &mut self.globals);
        for (reader, store) in globals.iter_mut().zip(&mut self.state.stores[own..]) {
            reader.refresh(&mut **store);
        }
        std::mem::swap(&mut self.state.collector, collector);
        let result = catch_unwind(AssertUnwindSafe(|| f(self)));
        std::mem::swap(&mut self.state.collector, collector);
        match result {
            Ok(result) => self.state.ended(result),
            Err(panic) => {
                let input = input.map(|queue| self.queues[queue].partition());
                Err(panicked(&self.state, input, &*panic))
            }
        }
    }

    fn stores_with_emissions(&self) -> Vec<&str> {
        let stores = self.state.stores.iter().enumerate();
        let held = stores.filter(|(_, store)| store.has_emissions());
        held.map(|(slot, _)| &**self.state.store_name(slot)).collect()
    }
}

#[cold]
fn seal_failed(state: &mut TaskState, slot: usize, error: BoxError) -> BoxError {
    match error.downcast::<crate::client::ClientError>() {
        Ok(error) => state.escalate(*error),
        Err(error) => {
            let message = format!("cannot commit store {}", state.store_name(slot));
            state.escalate(StreamsError::Fatal { message, source: Some(error) })
        }
    }
}

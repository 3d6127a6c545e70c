//! What feeds one global store: like a task, but there is one of it per instance, which reads all
//! partitions of the store's topic and writes nothing to Kafka.
//!
//! What was processed goes to the engine at once, in one batch with the positions up to which it
//! was: a crash loses the end of both, and reading goes on from there.

use std::sync::Arc;

use state_stores::{Attempt, LayeredStore, StateError, StoreMetadata};
use uuid::Uuid;

use super::collector::{NoCollector, RecordCollector};
use super::error::TaskError;
use super::processor_task::ProcessorTask;
use super::setup::{TaskSetup, TaskStore};
use crate::client::{RawRecord, TopicPartition};
use crate::config::Handlers;
use crate::error::StreamsError;
use crate::reaction::{Reaction, fail};
use crate::record::Timestamp;
use crate::serdes::Bytes;
use crate::stores::{GlobalStoreWriter, GlobalStores};
use crate::task_id::TaskId;
use crate::topology::Topology;

/// What feeds a global store.
pub struct GlobalTask {
    task: ProcessorTask,
    parts: Parts,
    store: Arc<str>,
    /// By partition: where reading goes on after what is in the engine.
    positions: Vec<i64>,
    attempt: u64,
    /// Tells readers what was changed, once there may be some.
    writer: Option<GlobalStoreWriter>,
    collector: Box<dyn RecordCollector>,
}

/// What a [`GlobalTask`] is made of, and made of again after it failed.
#[derive(Clone)]
pub struct GlobalTaskSetup {
    /// The topology.
    pub topology: Topology,
    /// The application's id.
    pub application_id: Arc<str>,
    /// Which sub-topology; one of [`Topology::global_subtopologies`].
    pub subtopology: u32,
    /// The store's topic.
    pub topic: Arc<str>,
    /// Changes when the topic is made anew.
    pub topic_id: Uuid,
    /// By partition: where reading begins.
    pub positions: Vec<i64>,
    /// Who is asked about errors; see [`global_handlers`].
    pub handlers: Handlers,
}

type Parts = GlobalTaskSetup;

impl GlobalTask {
    /// Makes the processor over `layers`, which have what lies before the positions.
    ///
    /// # Errors
    /// What the processor's supplier does wrong.
    pub fn new(
        setup: GlobalTaskSetup,
        layers: LayeredStore,
        wall_clock: Timestamp,
    ) -> Result<Self, TaskError> {
        let store: Arc<str> = layers.spec().name.as_str().into();
        let task = make(&setup, layers, wall_clock)?;
        let positions = setup.positions.clone();
        let (attempt, collector) = (0, Box::new(NoCollector));
        Ok(Self { task, parts: setup, store, positions, attempt, writer: None, collector })
    }

    /// Under which it is told of.
    pub fn id(&self) -> TaskId {
        self.task.task_id()
    }

    /// The store's name.
    pub fn store(&self) -> &Arc<str> {
        &self.store
    }

    /// The store's topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.parts.topic
    }

    /// By partition: where reading goes on after what is in the engine.
    pub fn positions(&self) -> &[i64] {
        &self.positions
    }

    /// Processes what a fetch of a partition gave.
    ///
    /// # Errors
    /// What the handlers do not get over. Then it is to be [`rebuilt`](Self::rebuilt) or dropped.
    pub fn process(
        &mut self,
        partition: usize,
        raws: &mut Vec<RawRecord>,
        next_position: i64,
        leader_epoch: i32,
        wall_clock: Timestamp,
    ) -> Result<(), TaskError> {
        self.task.set_wall_clock(wall_clock);
        self.task.push(partition, raws, next_position, leader_epoch);
        while self.task.queued(partition) > 0 {
            self.task.process_many(partition, usize::MAX, usize::MAX, &mut self.collector)?;
        }
        Ok(())
    }

    /// Bytes that were written and are not in the engine yet.
    pub fn dirty_bytes(&self) -> usize {
        self.task.dirty_bytes()
    }

    /// Writes what was processed to the engine, and tells the readers. Blocks for as long as the
    /// engine takes.
    ///
    /// # Errors
    /// What serdes and the engine report.
    pub fn commit(&mut self, wall_ms: i64, cache_bytes_max: usize) -> Result<(), StreamsError> {
        self.seal().map_err(task_error)?;
        let mut positions = self.positions.clone();
        for position in self.task.positions() {
            positions[place(position.partition.partition)] = position.offset;
        }
        let metadata = StoreMetadata {
            stream_time_ms: self.task.stream_time().as_millis(),
            wall_time_ms: wall_ms,
            extra: encode(&positions),
            ..StoreMetadata::new(self.parts.topic_id, positions.iter().sum())
        };
        let (attempt, writer) = (Attempt(self.attempt), self.writer.as_ref());
        let layers = self.task.layers_mut().next().expect("a global task has its store");
        layers.commit(attempt, metadata);
        if let Some(job) = layers.apply() {
            let changed: Vec<Bytes> = match writer {
                Some(_) => job.keys().map(Bytes::from).collect(),
                None => Vec::new(),
            };
            let applied = layers.finish_apply(job.run());
            applied.map_err(|error| state_error(&self.store, error))?;
            if let Some(writer) = writer {
                writer.changed(changed);
            }
        }
        self.positions = positions;
        self.task.evict(cache_bytes_max);
        Ok(())
    }

    /// Lets tasks read the store from now on.
    pub fn publish(&mut self, globals: &GlobalStores) {
        let layers = self.task.layers().next().expect("a global task has its store");
        self.writer = Some(globals.publish(&self.store, layers));
    }

    /// As of the last commit: the processor is made anew. Reading goes back to
    /// [`positions`](Self::positions).
    ///
    /// # Errors
    /// What the processor's supplier does wrong.
    pub fn rebuilt(self, wall_clock: Timestamp) -> Result<Self, TaskError> {
        let Self { task, mut parts, store, positions, attempt, writer, collector } = self;
        let mut layers = task.into_layers();
        let mut layers = layers.pop().expect("a global task has its store");
        layers.abort(Attempt(attempt));
        parts.positions.clone_from(&positions);
        let task = make(&parts, layers, wall_clock)?;
        Ok(Self { task, parts, store, positions, attempt, writer, collector })
    }

    /// Empties the store, because it cannot be told what is missing in it.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn wipe(self) -> Result<(), StreamsError> {
        let wipe = |mut layers: LayeredStore| layers.wipe();
        let wiped = self.task.into_layers().into_iter().try_for_each(wipe);
        wiped.map_err(|error| state_error(&self.store, error))
    }

    /// Tells the processor that it ends. Not after an error.
    pub fn close(&mut self) {
        self.task.close();
    }

    /// The task, for reading its store between records.
    pub fn task_mut(&mut self) -> &mut ProcessorTask {
        &mut self.task
    }

    fn seal(&mut self) -> Result<(), TaskError> {
        self.attempt += 1;
        self.task.flush(&mut self.collector)?;
        self.task.seal(Attempt(self.attempt), &mut self.collector)
    }
}

/// By partition: where reading goes on after what a global store has, as its metadata tells.
pub fn global_positions(metadata: &StoreMetadata) -> Vec<i64> {
    let chunks = metadata.extra.as_chunks().0;
    chunks.iter().map(|bytes| i64::from_be_bytes(*bytes)).collect()
}

/// The application's handlers, as they are for global stores: nothing is written on their behalf,
/// so there are no dead letters, and who fails in a processor is asked only if it is wanted
/// (`processing.exception.handler.global.enabled`).
pub fn global_handlers(handlers: &Handlers, processing: bool) -> Handlers {
    let without_letters = |ask: crate::config::ErrorHandler| -> crate::config::ErrorHandler {
        Arc::new(move |context, error| match ask(context, error) {
            Reaction::DeadLetter { topic } => {
                tracing::warn!(to = topic, "a global store sends no dead letters: skipped");
                Reaction::Skip
            }
            reaction => reaction,
        })
    };
    Handlers {
        deserialization: without_letters(handlers.deserialization.clone()),
        processing: match processing {
            true => without_letters(handlers.processing.clone()),
            false => Arc::new(fail),
        },
        ..handlers.clone()
    }
}

fn make(
    setup: &GlobalTaskSetup,
    layers: LayeredStore,
    wall_clock: Timestamp,
) -> Result<ProcessorTask, TaskError> {
    let partition = |number: usize| {
        let number = i32::try_from(number).expect("partitions are numbered by i32");
        (TopicPartition::new(setup.topic.clone(), number), Timestamp::from_millis(-1))
    };
    let task = ProcessorTask::new(TaskSetup {
        topology: &setup.topology,
        application_id: &setup.application_id,
        task: TaskId::global(setup.subtopology),
        inputs: (0..setup.positions.len()).map(partition).collect(),
        committed_times: Vec::new(),
        stores: vec![TaskStore { layers, changelog: None }],
        globals: &GlobalStores::default(),
        handlers: &setup.handlers,
        wall_clock,
    })?;
    if task.has_timers() {
        let message = format!(
            "the processor that feeds a global store from topic {} has timers, which are called \
             only in tasks: leave them out",
            setup.topic
        );
        return Err(StreamsError::Topology(message.into()).into());
    }
    Ok(task)
}

fn place(partition: i32) -> usize {
    usize::try_from(partition).expect("partitions are numbered from zero")
}

fn encode(positions: &[i64]) -> Vec<u8> {
    positions.iter().flat_map(|position| position.to_be_bytes()).collect()
}

fn task_error(error: TaskError) -> StreamsError {
    match error {
        TaskError::Streams(error) | TaskError::Retry(error) => error,
        TaskError::Client(error) => StreamsError::Fatal {
            message: "a global store writes to no topic".to_owned(),
            source: Some(error.into()),
        },
    }
}

fn state_error(store: &str, error: StateError) -> StreamsError {
    let message = format!("global store {store} cannot be written");
    StreamsError::Fatal { message, source: Some(error.into()) }
}

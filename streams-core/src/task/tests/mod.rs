//! Tasks driven by hand: records in as bytes, records out as bytes.
#![allow(clippy::unwrap_used)]

mod arena;
mod bounded_stores;
mod errors;
mod machine;
mod positions;
mod segmented_stores;
mod sinks;
mod stores;
mod timers;
mod versioned_stores;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use state_stores::{
    Attempt, LayeredStore, StateDirectory, StateDirectoryOptions, StoreMetadata, TaskKey,
    TaskStorage,
};

use super::{ChangelogPartition, ProcessorTask, RecordCollector, TaskError, TaskSetup, TaskStore};
use crate::TaskId;
use crate::client::{
    ClientError, MemoryRecord, ProducerRecord, RawRecord, Tag, TopicPartition, TopicSlot,
};
use crate::config::Handlers;
use crate::record::{Headers, Timestamp};
use crate::stores::GlobalStores;
use crate::topology::Topology;

const APPLICATION: &str = "app";

/// What left a task.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    topic: String,
    partition: i32,
    timestamp: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Headers,
    tag: Tag,
}

/// Key, value and time of a record, as they were sent.
type RawSent = (Vec<u8>, Option<Vec<u8>>, i64);

#[derive(Clone, Default)]
struct Output {
    sent: Arc<Mutex<Vec<Sent>>>,
    /// Of changelogs.
    changelog: Arc<Mutex<Vec<RawSent>>>,
    fail: Arc<Mutex<Option<ClientError>>>,
}

struct Collector {
    generation: u64,
    topics: Vec<Arc<str>>,
    output: Output,
    partitions: i32,
}

impl RecordCollector for Collector {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn topic(&mut self, name: &Arc<str>) -> Result<TopicSlot, ClientError> {
        let known = self.topics.iter().position(|topic| topic == name);
        let slot = known.unwrap_or_else(|| {
            self.topics.push(name.clone());
            self.topics.len() - 1
        });
        Ok(TopicSlot(u32::try_from(slot).unwrap()))
    }

    fn partitions(&mut self, _: TopicSlot) -> Result<i32, ClientError> {
        Ok(self.partitions)
    }

    fn send(&mut self, record: ProducerRecord<'_>) -> Result<(), ClientError> {
        if let Some(error) = self.output.fail.lock().unwrap().clone() {
            return Err(error);
        }
        let text = |bytes: &[u8]| match str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => text.to_owned(),
            _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        if self.topics[record.topic.0 as usize].ends_with("-changelog") {
            let key = record.key.unwrap().to_vec();
            let raw = (key, record.value.map(<[u8]>::to_vec), record.timestamp);
            self.output.changelog.lock().unwrap().push(raw);
        }
        self.output.sent.lock().unwrap().push(Sent {
            topic: self.topics[record.topic.0 as usize].to_string(),
            partition: record.partition,
            timestamp: record.timestamp,
            key: record.key.map(text),
            value: record.value.map(text),
            headers: record.headers.clone(),
            tag: record.tag,
        });
        Ok(())
    }
}

/// A task with the storage below it.
struct Driver {
    topology: Topology,
    directory: Arc<StateDirectory>,
    storage: Option<TaskStorage>,
    id: TaskId,
    inputs: Vec<TopicPartition>,
    handlers: Handlers,
    task: ProcessorTask,
    collector: Box<dyn RecordCollector>,
    output: Output,
    offsets: BTreeMap<usize, i64>,
    attempt: u64,
    /// Of a driver whose stores are in RocksDB. Goes last.
    disk: Option<tempfile::TempDir>,
}

impl Driver {
    fn new(topology: &Topology, inputs: &[&str]) -> Self {
        Self::with(topology, inputs, Handlers::default())
    }

    fn with(topology: &Topology, inputs: &[&str], handlers: Handlers) -> Self {
        Self::with_disk(topology, inputs, handlers, None)
    }

    fn with_disk(
        topology: &Topology,
        inputs: &[&str],
        handlers: Handlers,
        disk: Option<tempfile::TempDir>,
    ) -> Self {
        let id = TaskId::new(0, 0);
        let directory = open_directory(disk.as_ref());
        let storage = directory.lease(TaskKey::new(0, 0)).unwrap();
        let layers = open_layers(topology, &storage);
        let inputs: Vec<_> = inputs.iter().map(|&topic| TopicPartition::new(topic, 0)).collect();
        let task = make(topology, id, &inputs, &handlers, layers).unwrap();
        let output = Output::default();
        let collector = Box::new(Collector {
            generation: 1,
            topics: Vec::new(),
            output: output.clone(),
            partitions: 4,
        });
        Self {
            topology: topology.clone(),
            directory,
            storage: Some(storage),
            id,
            inputs,
            handlers,
            task,
            collector,
            output,
            offsets: BTreeMap::new(),
            attempt: 0,
            disk,
        }
    }

    /// The same task without its past; in RocksDB if `on_disk`, else where it was.
    fn anew(&self, on_disk: bool) -> Self {
        let disk = (on_disk || self.disk.is_some()).then(|| tempfile::tempdir().unwrap());
        let inputs: Vec<&str> = self.inputs.iter().map(|input| &*input.topic).collect();
        Self::with_disk(&self.topology, &inputs, self.handlers.clone(), disk)
    }

    /// The process ends in an orderly way, but for what is not in the engine, and begins again.
    fn reopen(self) -> Self {
        let Self { topology, directory, storage, id, inputs, handlers, task, disk, .. } = self;
        directory.flush_all().unwrap();
        drop((task, storage));
        let directory = match &disk {
            Some(disk) => {
                drop(directory);
                open_directory(Some(disk))
            }
            None => directory,
        };
        let storage = directory.lease(TaskKey::new(0, 0)).unwrap();
        let layers = open_layers(&topology, &storage);
        let task = make(&topology, id, &inputs, &handlers, layers).unwrap();
        let storage = Some(storage);
        Self { topology, directory, storage, id, inputs, handlers, task, disk, ..self }
    }

    fn push(&mut self, input: usize, key: Option<&str>, value: Option<&str>, timestamp: i64) {
        self.push_with_headers(input, key, value, timestamp, Headers::new());
    }

    fn push_with_headers(
        &mut self,
        input: usize,
        key: Option<&str>,
        value: Option<&str>,
        timestamp: i64,
        headers: Headers,
    ) {
        let offset = self.offsets.entry(input).or_default();
        let bytes = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
        let record =
            MemoryRecord { timestamp, key: key.map(bytes), value: value.map(bytes), headers };
        let raw = RawRecord::from_memory(*offset, Arc::new(record));
        *offset += 1;
        self.task.push(input, &mut vec![raw], *offset, 7);
    }

    /// Pushes and processes everything that waits, oldest first.
    fn pipe(
        &mut self,
        input: usize,
        key: &str,
        value: &str,
        timestamp: i64,
    ) -> Result<(), TaskError> {
        self.push(input, Some(key), Some(value), timestamp);
        self.drain()
    }

    fn drain(&mut self) -> Result<(), TaskError> {
        while let Some(input) = self.task.oldest_input(&mut self.collector)? {
            self.task.process(input, &mut self.collector)?;
            self.task.punctuate_stream_time(&mut self.collector)?;
        }
        Ok(())
    }

    fn sent(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.output.sent.lock().unwrap())
    }

    /// `topic:key=value@timestamp` of everything that was sent since it was last asked for.
    fn lines(&self) -> Vec<String> {
        let null = || "null".to_owned();
        let line = |sent: Sent| {
            let (key, value) = (sent.key.unwrap_or_else(null), sent.value.unwrap_or_else(null));
            format!("{}:{key}={value}@{}", sent.topic, sent.timestamp)
        };
        self.sent().into_iter().map(line).collect()
    }

    /// Flushes, seals and commits.
    fn commit(&mut self) {
        self.seal();
        let metadata = StoreMetadata::new(uuid::Uuid::nil(), 0);
        let attempt = Attempt(self.attempt);
        self.task.layers_mut().for_each(|layers| layers.commit(attempt, metadata.clone()));
    }

    fn seal(&mut self) {
        self.attempt += 1;
        self.task.flush(&mut self.collector).unwrap();
        self.task.seal(Attempt(self.attempt), &mut self.collector).unwrap();
    }

    /// Takes back the last seal and everything since, as after an abort.
    fn abort(self, sealed: bool) -> Self {
        let Self { topology, id, inputs, handlers, task, mut attempt, .. } = self;
        let mut layers = task.into_layers();
        if sealed {
            layers.iter_mut().for_each(|layers| layers.abort(Attempt(attempt)));
            attempt -= 1;
        }
        let task = make(&topology, id, &inputs, &handlers, layers).unwrap();
        Self { topology, id, inputs, handlers, task, attempt, ..self }
    }

    /// Writes everything committed into the engine.
    fn apply(&mut self) {
        for layers in self.task.layers_mut() {
            if let Some(job) = layers.apply() {
                layers.finish_apply(job.run()).unwrap();
            }
        }
    }
}

fn open_directory(disk: Option<&tempfile::TempDir>) -> Arc<StateDirectory> {
    match disk {
        Some(disk) => StateDirectory::open(StateDirectoryOptions::new(disk.path())).unwrap(),
        None => StateDirectory::in_memory(),
    }
}

fn open_layers(topology: &Topology, storage: &TaskStorage) -> Vec<LayeredStore> {
    let stores = topology.stores(0);
    stores.iter().map(|store| storage.open_store(store.spec()).unwrap()).collect()
}

fn make(
    topology: &Topology,
    task: TaskId,
    inputs: &[TopicPartition],
    handlers: &Handlers,
    layers: Vec<LayeredStore>,
) -> Result<ProcessorTask, TaskError> {
    let changelogs =
        topology.stores(task.subtopology).into_iter().enumerate().map(|(at, store)| {
            let topic = match store.changelog() {
                crate::stores::ChangelogKind::Own => store.changelog_topic(APPLICATION)?,
                _ => return None,
            };
            let tag = Tag(u32::try_from(at + 1).unwrap());
            Some(ChangelogPartition { topic, partition: task.partition, tag })
        });
    let stores = layers
        .into_iter()
        .zip(changelogs)
        .map(|(layers, changelog)| TaskStore { layers, changelog })
        .collect();
    ProcessorTask::new(TaskSetup {
        topology,
        application_id: &APPLICATION.into(),
        task,
        inputs: inputs.iter().map(|input| (input.clone(), at(-1))).collect(),
        committed_times: Vec::new(),
        stores,
        globals: &GlobalStores::default(),
        handlers,
        wall_clock: at(0),
    })
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}
